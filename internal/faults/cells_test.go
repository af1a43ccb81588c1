package faults

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

// A fault is what goes wrong between the client and the server, and what must come of it.
type fault struct {
	name string
	// between puts the fault between a client and w, and returns the address that the client is to dial.
	between func(t *testing.T, w *world) string
	// server and client are what the two take for TLS; nil is none.
	server, client *tls.Config
	// always is what comes of the fault on each connection, and once of the fault on the first one, after which
	// all is well. Nil leaves such a row out.
	always, once outcomes
}

// outcomes are regular expressions that what comes of a fault must match, by verb: how the call ended, how many
// requests the server saw, and what a create made.
type outcomes map[string]string

// but returns the outcomes with others for some verbs.
func (o outcomes) but(outcome string, verbs ...string) outcomes {
	o = maps.Clone(o)
	for _, v := range verbs {
		o[v] = outcome
	}
	return o
}

// with returns the outcomes with more at the end of each.
func (o outcomes) with(more string) outcomes {
	o = maps.Clone(o)
	for v := range o {
		o[v] += more
	}
	return o
}

func (o outcomes) match(v verb, got string) bool {
	return regexp.MustCompile("^(?:" + o[v.name] + ")$").MatchString(got)
}

func (o outcomes) check(t *testing.T, v verb, got string) {
	t.Helper()
	if !o.match(v, got) {
		t.Errorf("got %q, want %q", got, o[v.name])
	}
}

// timed reports whether it is a limit of time that ends some of the calls, or an attempt of theirs.
func (o outcomes) timed() bool {
	return slices.ContainsFunc(slices.Collect(maps.Values(o)), func(want string) bool { return strings.Contains(want, "timeout") })
}

// The verbs by what they may do about a failure.
var (
	reads   = []string{"Retrieve", "Conversation", "DownloadFile"} // repeated by themselves
	creates = []string{"Invoke", "Submit", "Stream", "Upload"}     // never repeated
)

// harmless is a fault that nobody notices.
func harmless() outcomes {
	return outcomes{"Wait": "ok 2", "WaitAll": "ok 6"}.but("ok 1", reads...).but("ok 1", "Download").but("ok 1/1", creates...)
}

// lostRequest is one that the server does not see. That of a create may have got through, for all the client knows.
func lostRequest(cause string) (always, once outcomes) {
	always = outcomes{}.but(cause+" 0", reads...).but(cause+" 0", "Wait", "WaitAll", "Download").but("unknown: "+cause+" 0/0", creates...)
	return always, always.mended("ok 1")
}

// notSent is a request that never left: a create knows that it made nothing.
func notSent(cause string) (always, once outcomes) {
	always, once = lostRequest(cause)
	return always.but(cause+" 0/0", creates...), once.but(cause+" 0/0", creates...)
}

// lostAnswer is one that the server gave and the client did not get. A poll whose answer is lost counts at the server,
// so that the next one is told the end.
func lostAnswer(cause string) (always, once outcomes) {
	always = outcomes{"Wait": cause + " 2", "WaitAll": cause + " 6", "Download": cause + " 1"}.
		but(cause+" 3", reads...).but("unknown: "+cause+" 1/1", creates...)
	// In the wait for many, a broken connection that was dialed first may be used later, for the last poll of a task.
	return always, always.mended("ok 2").but("ok [67]", "WaitAll")
}

// cutAnswer is one that ends in the middle of its body.
func cutAnswer() (always, once outcomes) {
	always, once = lostAnswer("malformed")
	always = always.but("cut 3", "DownloadFile").but("cut 1", "Download").but("unknown: interrupted 1/1", "Stream")
	return always, once.but("cut 1", "Download").but("unknown: interrupted 1/1", "Stream")
}

// mended is what becomes of outcomes when all but the first connection is well.
func (o outcomes) mended(read string) outcomes {
	return o.but(read, reads...).but("ok 2", "Wait").but("ok 6", "WaitAll")
}

// run tries every verb with the fault.
func (f fault) run(t *testing.T, title string) {
	t.Helper()
	for _, row := range []struct {
		name  string
		first bool
		want  outcomes
	}{{f.name, false, f.always}, {f.name + ", once", true, f.once}} {
		if row.want == nil {
			continue
		}
		printed := report.row(title, row.name)
		for _, v := range verbs {
			t.Run(row.name+"/"+v.name, func(t *testing.T) {
				t.Parallel()
				got := f.cell(t, v, row.first, row.want)
				report.set(printed, v.name, got)
				row.want.check(t, v, got)
			})
		}
	}
}

// cell makes one call, and returns what came of it. Where a limit of time decides, and the machine was too busy meanwhile
// for what is healthy to keep it, the call is made again with more time.
func (f fault) cell(t *testing.T, v verb, first bool, want outcomes) string {
	t.Helper()
	if !want.timed() {
		return f.try(t, v, first, ample)
	}
	for limit := patience(t, f.server, f.client); ; limit = min(4*limit, ample) {
		start := time.Now()
		got := f.try(t, v, first, limit)
		if limit == ample || want.match(v, got) || stalls.worst(start) < limit/handovers {
			return got
		}
		t.Logf("again, because the machine was busy: %q within limits of %v", got, limit)
	}
}

// try makes one call, under a limit of time for each attempt.
func (f fault) try(t *testing.T, v verb, first bool, limit time.Duration) string {
	t.Helper()
	w := newWorld(t, f.server)
	d := &dialer{first: first}
	if f.between != nil {
		d.path = f.between(t, w)
	}
	client, transport := newClient(t, w, d.dial, f.client, api.WithTimeout(limit), api.WithIdleTimeout(limit))
	return outcome(t, v, w, d.settle(t, w, transport), client)
}

// settle returns what closes the idle connections, and waits until there are none, on either side.
func (d *dialer) settle(t *testing.T, w *world, transport *http.Transport) func() {
	return func() {
		eventually(t, "the client has closed its connections", func() bool {
			transport.CloseIdleConnections() // A stream of HTTP/2 may end a moment after its call, and only then is its connection idle.
			return d.open.Load() == 0
		})
		eventually(t, "the server has no connection", func() bool { return w.conns.count() == 0 })
	}
}

// outcome makes one call, waits until everything is quiet again, and checks what holds whatever the fault is: nothing
// is made twice, nothing is made without being told of it or of the doubt, and no secret is told.
func outcome(t *testing.T, v verb, w *world, settle func(), client *api.ClientWithResponses) string {
	t.Helper()
	before, call := len(w.Requests()), v.prepare(t, w)
	var err error
	labeled(t, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, 5*ample)
		t.Cleanup(cancel) // After it is looked for what is left: what waits for the caller's context is a leak, too.
		err = call(ctx, client)
		if ctx.Err() != nil {
			t.Errorf("no limit of the client ended the call: %v", err)
		}
	}, settle)

	made, unknown := w.made(), errors.Is(err, api.ErrUnknownOutcome)
	switch {
	case made > 1:
		t.Errorf("the call made %d things: %v", made, w.Runs())
	case v.creates && err == nil && made != 1:
		t.Error("the call reports a success, and nothing was made")
	case v.creates && err != nil && !unknown && made != 0:
		t.Errorf("something was made, and the error does not tell of the doubt: %v", err)
	case !v.creates && (unknown || made != 0):
		t.Errorf("a read made %d things, and has the error %v", made, err)
	}
	var e *api.Error
	if err != nil && !errors.As(err, &e) {
		t.Errorf("the error %v is no *api.Error", err)
	}
	if text := fmt.Sprintf("%v %+v %#v", err, err, e); strings.Contains(text, w.APIKey) || strings.Contains(text, "Signature=") {
		t.Errorf("the error tells a secret: %s", text)
	}
	got := fmt.Sprintf("%s %d", word(err), len(w.Requests())-before)
	if v.creates {
		got += fmt.Sprintf("/%d", made)
	}
	if n := w.refused.Load(); n > 0 {
		got += fmt.Sprintf(", %d refused", n)
	}
	return got
}

// patience is the first limit of time where a fault is silence: many times what a healthy exchange takes just now, within
// reason, because the cells sit it out.
func patience(t *testing.T, server, client *tls.Config) time.Duration {
	t.Helper()
	w := newWorld(t, server)
	c, transport := newClient(t, w, new(net.Dialer).DialContext, client)
	defer transport.CloseIdleConnections()
	start := time.Now()
	warmUp(t, w, c)
	return min(time.Second+10*time.Since(start), 3*time.Second)
}

// handovers is about how often goroutines wait for each other in a healthy exchange, all of them together.
const handovers = 20

// stalls tells how long goroutines have had to wait for a processor.
var stalls stallWatch

// A stallWatch measures how late a timer is.
type stallWatch struct {
	mu  sync.Mutex
	all []stall
}

type stall struct {
	end  time.Time
	late time.Duration
}

// watch measures until done, and remembers what could matter.
func (s *stallWatch) watch(done <-chan struct{}) {
	const step = 10 * time.Millisecond
	for {
		start := time.Now()
		select {
		case <-done:
			return
		case <-time.After(step):
		}
		if x := (stall{end: time.Now(), late: time.Since(start) - step}); x.late > time.Second/handovers/2 {
			s.mu.Lock()
			s.all = append(s.all, x)
			s.mu.Unlock()
		}
	}
}

// worst is the longest wait that ended after a time.
func (s *stallWatch) worst(since time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	var worst time.Duration
	for _, x := range slices.Backward(s.all) {
		if x.end.Before(since) {
			break
		}
		worst = max(worst, x.late)
	}
	return worst
}

// warmUp makes a request that no fault hits.
func warmUp(t *testing.T, w *world, client *api.ClientWithResponses) {
	t.Helper()
	task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: w.AddTask(zaitest.TaskScript{Pending: zaitest.Forever})}
	if _, err := client.Retrieve(t.Context(), task); err != nil {
		t.Fatal(err)
	}
}
