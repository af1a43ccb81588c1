package api_test

import (
	"context"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"example.com/zai/api"
)

const (
	waitRoundTrip = 300 * time.Millisecond // of a poll; the state is that of its middle
	waitLongest   = 850 * time.Second      // longer than every task of the workloads
)

// waitWorkload is a set of tasks: how long they take, and how well they should be waited for.
type waitWorkload struct {
	name  string
	takes []time.Duration // in order
	late  float64         // in the mean at most, in seconds
	polls float64         // in the mean at most
}

// waitWorkloads are the tasks that the schedule is made for. Their durations are spread evenly
// over the quantiles of their distribution, so that a run says the same as the next.
func waitWorkloads() []waitWorkload {
	const n = 500
	var all []waitWorkload
	for _, w := range []struct {
		middle, late, polls float64
	}{{3, 2.5, math.Inf(1)}, {10, 1.5, math.Inf(1)}, {60, 2.8, 15}, {600, 8, 80}} {
		takes := make([]time.Duration, n)
		for i := range takes {
			takes[i] = waitSeconds(w.middle * (0.9 + 0.2*(float64(i)+0.5)/n))
		}
		all = append(all, waitWorkload{fmt.Sprint(w.middle, " s"), takes, w.late, w.polls})
	}
	takes := make([]time.Duration, n)
	for i := range takes {
		normal := math.Sqrt2 * math.Erfinv(2*(float64(i)+0.5)/n-1)
		takes[i] = waitSeconds(60 * math.Exp(0.75*normal))
	}
	return append(all, waitWorkload{"median 60 s", takes, 3.0, 17})
}

func waitSeconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// waitLooks are the moments at which the polls of one wait saw the state of their task.
type waitLooks []time.Duration

// judge says how late the result of a task comes in the mean, in seconds, and after how many
// polls. A wait does not know when its task will end, so the looks of one long wait tell it
// for every shorter task.
func (w *waitWorkload) judge(waits []waitLooks) (late, polls float64) {
	for _, looks := range waits {
		n := 0
		for _, takes := range w.takes {
			for looks[n] < takes {
				n++
			}
			late += (looks[n] + waitRoundTrip/2 - takes).Seconds()
			polls += float64(n + 1)
		}
	}
	all := float64(len(waits) * len(w.takes))
	return late / all, polls / all
}

// waitSchedules are the schedules that others use: the pause after the n-th poll, and how many
// waits tell what it comes to, as some pauses are random.
var waitSchedules = []struct {
	name  string
	waits int
	pause func(n int) time.Duration
}{
	// The example of the official Python SDK, examples/agent_examples.py.
	{"every 5 s", 1, func(int) time.Duration { return 5 * time.Second }},
	// The habit of hand-written loops.
	{"every 3 s", 1, func(int) time.Duration { return 3 * time.Second }},
	// The AWS SDK for Go v2: ComputeDelay of github.com/aws/smithy-go/waiter, with the defaults
	// of the Smithy specification of waiters, minDelay 2 s and maxDelay 120 s.
	{"AWS waiter", 10000, func(n int) time.Duration {
		const least, most = 2 * time.Second, 120 * time.Second
		ceiling := most
		if n <= 6 { // of log2(120/2)+1
			ceiling = least << (n - 1)
		}
		if ceiling == least {
			return least
		}
		return least + rand.N(ceiling-least)
	}},
	// The Google Cloud libraries: Wait of cloud.google.com/go/longrunning, DefaultWaitInterval
	// 60 s, over gax.Backoff of github.com/googleapis/gax-go/v2 with Initial 1 s and Multiplier 2.
	{"Google LRO", 10000, func(n int) time.Duration {
		return 1 + rand.N(min(time.Second<<min(n-1, 10), time.Minute))
	}},
	// The Azure SDK: PollUntilDone of azcore/runtime, whose default Frequency is 30 s.
	{"Azure poller", 1, func(int) time.Duration { return 30 * time.Second }},
}

// waitLoop returns the looks of a plain loop.
func waitLoop(pause func(n int) time.Duration) (looks waitLooks) {
	at := waitRoundTrip / 2
	for n := 1; ; n++ {
		if looks = append(looks, at); at > waitLongest {
			return looks
		}
		at += waitRoundTrip + pause(n)
	}
}

// waitTransport is a function that answers requests.
type waitTransport func(*http.Request) (*http.Response, error)

func (f waitTransport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// waitReply is a JSON answer.
func waitReply(req *http.Request, status int, body string) *http.Response {
	return &http.Response{
		StatusCode: status, Status: fmt.Sprint(status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{"Content-Type": {waitJSON}}, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
	}
}

// waitFor lets virtual time pass, unless the request is given up.
func waitFor(req *http.Request, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-req.Context().Done():
		return req.Context().Err()
	}
}

// waitJob is a task of the transport of waitJobs, given with the context of its wait.
type waitJob struct {
	ends  time.Time
	looks []time.Time
}

type waitJobKey struct{}

// waitJobs is a client whose polls take the round trip and see the state in its middle.
func waitJobs(t *testing.T) *api.ClientWithResponses {
	t.Helper()
	client, err := api.New(sampleKey, api.WithHTTPClient(&http.Client{Transport: waitTransport(func(req *http.Request) (*http.Response, error) {
		job, ok := req.Context().Value(waitJobKey{}).(*waitJob)
		if !ok {
			return nil, fmt.Errorf("no job")
		}
		if err := waitFor(req, waitRoundTrip/2); err != nil {
			return nil, err
		}
		now := time.Now()
		job.looks = append(job.looks, now)
		if err := waitFor(req, waitRoundTrip/2); err != nil {
			return nil, err
		}
		if now.Before(job.ends) {
			return waitReply(req, http.StatusOK, waitPending), nil
		}
		return waitReply(req, http.StatusOK, waitVideo), nil
	})}))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// waitRace reports whether the race detector slows the test down.
func waitRace() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// waitMany makes n waits at once for tasks that take as long as takes says, and returns their
// looks. It fails the test when a wait does not end with the first look at the finished task.
func waitMany(t *testing.T, n int, takes func(i int) time.Duration) []waitLooks {
	t.Helper()
	all := make([]waitLooks, n)
	synctest.Test(t, func(t *testing.T) {
		client := waitJobs(t)
		var group sync.WaitGroup
		for i := range n {
			group.Go(func() {
				start := time.Now()
				job := &waitJob{ends: start.Add(takes(i))}
				r, err := client.Wait(context.WithValue(t.Context(), waitJobKey{}, job), waitTask)
				if err != nil || len(r.VideoURLs()) != 1 {
					t.Errorf("Result %v, error %v", r, err)
				}
				for k, at := range job.looks {
					if last := k == len(job.looks)-1; at.Before(job.ends) == last {
						t.Errorf("look %d of %d at %v of a task that takes %v", k+1, len(job.looks), at.Sub(start), takes(i))
					}
					all[i] = append(all[i], at.Sub(start))
				}
				if took, want := time.Since(start), all[i][len(all[i])-1]+waitRoundTrip/2; took != want {
					t.Errorf("the wait took %v, want %v", took, want)
				}
			})
		}
		group.Wait()
	})
	return all
}

// TestSchedule measures the schedule of Wait on the workloads that it is made for, beside the
// schedules of others, and holds it to its goals and to the table in the documentation of Wait.
func TestSchedule(t *testing.T) {
	t.Parallel()
	n := 300
	if waitRace() {
		n = 60
	}
	long := waitMany(t, n, func(int) time.Duration { return waitLongest })
	workloads := waitWorkloads()
	measured := map[string][]waitCell{}
	var names []string
	row := func(name string, waits []waitLooks) {
		names = append(names, name)
		for i := range workloads {
			late, polls := workloads[i].judge(waits)
			measured[name] = append(measured[name], waitCell{late, polls})
		}
	}
	row("this schedule", long)
	for _, s := range waitSchedules {
		waits := make([]waitLooks, s.waits)
		for i := range waits {
			waits[i] = waitLoop(s.pause)
		}
		row(s.name, waits)
	}

	var table strings.Builder
	fmt.Fprintf(&table, "%-15s", "task takes")
	for i := range workloads {
		fmt.Fprintf(&table, "%-13s", workloads[i].name)
	}
	for _, name := range names {
		fmt.Fprintf(&table, "\n%-15s", name)
		for _, c := range measured[name] {
			fmt.Fprintf(&table, "%-13s", c)
		}
	}
	t.Logf("lateness and polls, of %d waits:\n%s", n, &table)

	for i, c := range measured["this schedule"] {
		if w := &workloads[i]; c.late > w.late || c.polls > w.polls {
			t.Errorf("tasks of %s are %.2f s late after %.2f polls, want at most %.1f s and %.0f", w.name, c.late, c.polls, w.late, w.polls)
		}
	}
	waitDocumented(t, names, measured)
}

// waitCell is an entry of the table.
type waitCell struct{ late, polls float64 }

func (c waitCell) String() string {
	late := fmt.Sprintf("%.1f s,", c.late)
	if c.late >= 9.95 {
		late = fmt.Sprintf("%.0f s,", c.late)
	}
	if c.polls >= 30 {
		return fmt.Sprintf("%-6s %4.0f", late, c.polls)
	}
	return fmt.Sprintf("%-6s %4.1f", late, c.polls)
}

// waitDocumented compares the table in the doc comment of Wait with what was measured.
func waitDocumented(t *testing.T, names []string, measured map[string][]waitCell) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "wait.go", nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	var doc string
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Name.Name == "Wait" {
			doc = f.Doc.Text()
		}
	}
	entry := regexp.MustCompile(`([\d.]+) s, +([\d.]+)`)
	for _, name := range names {
		i := strings.Index(doc, name+" ")
		if i < 0 {
			t.Errorf("the documentation of Wait has no row %q", name)
			continue
		}
		line, _, _ := strings.Cut(doc[i:], "\n")
		cells := entry.FindAllStringSubmatch(strings.TrimPrefix(line, name), -1)
		if len(cells) != len(measured[name]) {
			t.Errorf("%q has %d entries, want %d", line, len(cells), len(measured[name]))
			continue
		}
		for k, c := range cells {
			want := measured[name][k]
			for h, value := range [2]float64{want.late, want.polls} {
				said, err := strconv.ParseFloat(c[h+1], 64)
				slack := 0.1 + value*0.02 // Half of the last digit, and noise.
				if !strings.Contains(c[h+1], ".") {
					slack += 0.45
				}
				if err != nil || math.Abs(said-value) > slack {
					t.Errorf("row %q says %s where %.2f was measured", name, c[h+1], value)
				}
			}
		}
	}
}

// TestScheduleDirect waits for tasks that do end, and compares that with what the looks of
// longer waits say.
func TestScheduleDirect(t *testing.T) {
	t.Parallel()
	for _, w := range waitWorkloads() {
		n := 400
		if w.polls > 20 {
			n = 80 // Each makes many polls.
		}
		if waitRace() {
			n /= 10
		}
		w.takes = slices.Collect(func(yield func(time.Duration) bool) {
			for i := range n {
				if !yield(w.takes[(2*i+1)*len(w.takes)/(2*n)]) {
					return
				}
			}
		})
		var late, polls float64
		for i, looks := range waitMany(t, n, func(i int) time.Duration { return w.takes[i] }) {
			late += (looks[len(looks)-1] + waitRoundTrip/2 - w.takes[i]).Seconds() / float64(n)
			polls += float64(len(looks)) / float64(n)
		}
		t.Logf("%-12s %.2f s late after %.2f polls, of %d waits", w.name, late, polls, n)
		// A single wait is late by up to a pause, so the mean of n is off by a fraction of it.
		noise := 15 / math.Sqrt(float64(n))
		if late > w.late+noise || polls > w.polls+noise {
			t.Errorf("tasks of %s are %.2f s late after %.2f polls", w.name, late, polls)
		}
	}
}

// TestScheduleTogether: tasks that are started together are not polled together.
func TestScheduleTogether(t *testing.T) {
	t.Parallel()
	const tasks, spread, window, most = 300, 50 * time.Millisecond, 100 * time.Millisecond, 100
	rounds := 5
	if waitRace() {
		rounds = 1
	}
	for range rounds {
		synctest.Test(t, func(t *testing.T) {
			client := waitJobs(t)
			start := time.Now()
			jobs := make([]waitJob, tasks)
			var group sync.WaitGroup
			for i := range jobs {
				group.Go(func() {
					timer := time.NewTimer(spread * time.Duration(i) / tasks)
					<-timer.C
					jobs[i].ends = start.Add(2 * time.Minute)
					if _, err := client.Wait(context.WithValue(t.Context(), waitJobKey{}, &jobs[i]), waitTask); err != nil {
						t.Error(err)
					}
				})
			}
			group.Wait()
			var looks []time.Duration
			for i := range jobs {
				for _, at := range jobs[i].looks {
					if since := at.Sub(start); since > 2*time.Second {
						looks = append(looks, since)
					}
				}
			}
			slices.Sort(looks)
			peak := 0
			for first, last := 0, 0; last < len(looks); last++ {
				for looks[last]-looks[first] >= window {
					first++
				}
				peak = max(peak, last-first+1)
			}
			t.Logf("%d polls, at most %d within %v", len(looks), peak, window)
			if peak > most || len(looks) < tasks*15 {
				t.Errorf("%d polls, %d within %v, want at most %d", len(looks), peak, window, most)
			}
		})
	}
}
