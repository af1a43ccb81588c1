package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

// chance is where random numbers come from: those of the n-th connection or request are the same whenever it comes.
type chance struct{ seed, stream uint64 }

// of returns the random numbers of n.
func (c chance) of(n int64) *rand.Rand {
	return rand.New(rand.NewPCG(c.seed, c.stream<<48|uint64(n)))
}

// film is the file that the k-th run makes.
func film(k int) []byte { return bytes.Repeat(fmt.Appendf(nil, "film %08d\n", k), 300) }

// script is how the k-th run goes.
func script(w *world, k int, rng *rand.Rand) zaitest.TaskScript {
	s := zaitest.TaskScript{Pending: rng.IntN(3), VideoURLs: []string{w.AddFile(filmName(k), film(k))}}
	if fails(k) {
		s.Code, s.Message = "1301", filmName(k)
	}
	return s
}

// fails reports whether the k-th run fails, and says which it is: one in twenty.
func fails(k int) bool { return k%20 == 7 }

func filmName(k int) string { return fmt.Sprintf("film-%d.mp4", k) }

// failed follows the name of a film that was not made.
const failed = " failed"

// number is k of the name of a film, wherever it stands.
func number(text string) int {
	k := -1
	if i := strings.Index(text, "film-"); i >= 0 {
		_, _ = fmt.Sscanf(text[i:], "film-%d.mp4", &k)
	}
	return k
}

// badNetwork returns a dial function that takes, at random, the direct way or one of many bad ones. Toxiproxy's delays
// and slices are its own, within their bounds.
func badNetwork(t *testing.T, w *world, d *dialer, seed uint64) func(context.Context, string, string) (net.Conn, error) {
	t.Helper()
	relayed, dialed := chance{seed, 1}, chance{seed, 2}
	random := newRelay(t, w.addr, func(conn int) *breakage {
		rng := relayed.of(int64(conn))
		b := &breakage{upstream: rng.IntN(2) == 0, at: after(1 + rng.IntN(6000)), how: manner(rng.IntN(int(silent)))}
		if b.upstream && b.how == halfDone {
			b.how = closed // To half a request that is said to be all of it a server rightly says HTTP 400.
		}
		if rng.IntN(20) == 0 {
			b.how = silent
		}
		return b
	})
	ways := []string{
		nobody, random.addr, random.addr, random.addr,
		toxiproxyTo(t, w.addr, toxic{"latency", "downstream", `"latency":3,"jitter":3`}),
		toxiproxyTo(t, w.addr, toxic{"slicer", "downstream", `"average_size":200,"size_variation":90,"delay":10`}),
		toxiproxyTo(t, w.addr, toxic{"limit_data", "downstream", `"bytes":5000`}),
		toxiproxyTo(t, w.addr, toxic{"limit_data", "upstream", `"bytes":3000`}),
		toxiproxyTo(t, w.addr, toxic{"reset_peer", "downstream", `"timeout":20`}),
		toxiproxyTo(t, w.addr, toxic{"timeout", "downstream", `"timeout":200`}),
	}
	var n atomic.Int64
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if way := dialed.of(n.Add(1)).IntN(2 * len(ways)); way < len(ways) {
			addr = ways[way]
		}
		return d.dial(ctx, network, addr)
	}
}

// badServer returns a reply that is, at random, the ordinary one or a failure.
func badServer(seed uint64) zaitest.Reply {
	failures := []zaitest.Reply{
		zaitest.HTMLError(http.StatusBadGateway), zaitest.ServerError("1234"), zaitest.Abort(), zaitest.CutBody(40), zaitest.TruncatedJSON(),
		zaitest.Lose(zaitest.HTMLError(http.StatusGatewayTimeout)), zaitest.Lose(zaitest.Abort()), zaitest.Lose(zaitest.ServerError("1234")),
	}
	var requests atomic.Int64
	return func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
		reply := zaitest.Reply(nil)
		file := r.Method == http.MethodGet
		switch n := (chance{seed, 3}).of(requests.Add(1)).IntN(1000); {
		case n < 80:
			// What is no JSON could be a file.
			if reply = failures[n%len(failures)]; file && n%len(failures) == 4 {
				reply = zaitest.CutBody(2000)
			}
		case n < 110 && strings.HasSuffix(r.URL.Path, "/agents"):
			reply = zaitest.RateLimited("1302", "")
		case n == 110:
			reply = zaitest.Hang()
		}
		if reply == nil {
			ordinary(w, r)
			return
		}
		reply(w, r, ordinary)
	}
}

// each calls f with each number below n, from several goroutines.
func each(n int, f func(i int)) {
	const workers = 32
	var group sync.WaitGroup
	for worker := range workers {
		group.Go(func() {
			for i := worker; i < n; i += workers {
				f(i)
			}
		})
	}
	group.Wait()
}

// TestSoak takes thousands of tasks all the way over a bad network to a bad server, until as many of them as were asked
// for have succeeded and their films are there. At the end every one is accounted for exactly once.
//
// The same seed gives the n-th connection, the n-th request and the n-th task the same fate. Which call gets it is up to
// the order in which goroutines run.
func TestSoak(t *testing.T) {
	t.Parallel()
	seed, start := *flagSeed, time.Now()
	total, succeed := 0, 0
	for ; succeed < *flagTasks; total++ {
		if !fails(total) {
			succeed++
		}
	}
	fmt.Printf("soak: %d tasks, of which %d are to fail; seed %d\n", total, total-succeed, seed)
	defer func() {
		if t.Failed() {
			t.Logf("again with -tasks %d -seed %d", *flagTasks, seed)
		}
	}()
	w := newWorld(t, nil)
	w.MaxRequests = 0
	d := &dialer{}
	client, transport := newClient(t, w, badNetwork(t, w, d, seed), nil,
		api.WithTimeout(2*time.Second), api.WithIdleTimeout(2*time.Second), api.WithMaxAttempts(4))
	w.Always(badServer(seed))
	s := &soak{T: t, world: w, client: client, dir: t.TempDir(), tasks: make([]submitted, total), waited: map[api.Task]string{}}
	settle := d.settle(t, w, transport)
	for _, stage := range []func(context.Context){
		func(ctx context.Context) { s.submit(ctx, chance{seed, 4}) },
		s.wait,
		s.download,
	} {
		labeled(t, stage, settle)
		if t.Failed() {
			t.FailNow()
		}
	}
	s.audit(succeed)
	fmt.Printf("soak: %s; %d connections; %v\n", s.summary, d.dialed.Load(), time.Since(start).Round(100*time.Millisecond))
}

// A soak keeps the books of the client's side.
type soak struct {
	*testing.T
	world   *world
	client  *api.ClientWithResponses
	dir     string
	tasks   []submitted
	summary string

	waited map[api.Task]string // what came of each task: the name of its film, and that it failed if it did
	films  []string            // addresses
}

// submitted is what a caller knows of a request that was sent.
type submitted struct {
	requestID string
	task      api.Task // zero unless known
	doubts    int      // answers that were lost
	refusals  int      // answers that say that nothing was made
	made      bool     // the server says that there is a task, but not which
}

// submit submits the tasks, each until it is made. After an unknown outcome the same request, under the same id, settles
// the doubt: the server refuses a second one while the first is there.
func (s *soak) submit(ctx context.Context, c chance) {
	const (
		batch = 500 // of scripts that wait at the server
		tries = 30  // far more than the worst of the tasks needs, which is printed
	)
	ctx, giveUp := context.WithCancel(ctx)
	s.Cleanup(giveUp) // After it is looked for what is left.
	for from := 0; from < len(s.tasks); from += batch {
		part := s.tasks[from:min(from+batch, len(s.tasks))]
		for k := from; k < from+len(part); k++ {
			s.world.EnqueueTasks(script(s.world, k, c.of(int64(k))))
		}
		each(len(part), func(i int) {
			x := &part[i]
			x.requestID = fmt.Sprintf("soak-%08d", from+i)
			request := api.NewVideoRequest(api.TemplateFrenchKiss, "https://example.com/couple.jpg", "a kiss")
			request.RequestID = x.requestID
			for ctx.Err() == nil {
				task, err := s.client.Submit(ctx, request)
				switch {
				case err == nil:
					x.task = task
					return
				case errors.Is(err, api.ErrConflict):
					if x.made = true; x.doubts == 0 {
						s.Errorf("%s was sent twice behind the caller's back: %v", x.requestID, err)
					}
					return
				case errors.Is(err, api.ErrUnknownOutcome):
					x.doubts++
				default:
					x.refusals++ // This time. It says nothing of an answer that was lost before.
				}
				if x.doubts+x.refusals == tries && ctx.Err() == nil {
					s.Errorf("%s: %d answers in doubt, %d refusals, the last %v", x.requestID, x.doubts, x.refusals, err)
					giveUp()
				}
			}
		})
	}
}

// wait waits for all tasks. The ids that the client was never told are looked up in the server's books.
func (s *soak) wait(ctx context.Context) {
	made := map[string]api.Task{}
	for _, run := range s.world.Runs() {
		made[run.RequestID] = api.Task{AgentID: api.AgentViduTemplate, AsyncID: run.AsyncID}
	}
	known := map[api.Task]bool{}
	for i := range s.tasks {
		x := &s.tasks[i]
		if x.made {
			x.task = made[x.requestID]
		}
		if known[x.task] || x.task != made[x.requestID] || x.task == (api.Task{}) {
			s.Errorf("%s is known as %v, and the server has %v", x.requestID, x.task, made[x.requestID])
		}
		known[x.task] = true
	}
	for task, outcome := range s.client.WaitAll(ctx, maps.Keys(known), api.Every(50*time.Millisecond), api.InFlight(32), api.MaxFailures(20)) {
		if _, twice := s.waited[task]; twice || !known[task] {
			s.Errorf("%v was yielded twice, or was not waited for", task)
		}
		s.waited[task] = s.name(task, outcome.Result, outcome.Err)
	}
	if len(s.waited) != len(s.tasks) {
		s.Errorf("%d tasks of %d were yielded", len(s.waited), len(s.tasks))
	}
}

// name is the film of a task that has ended. The address of one that succeeded is kept.
func (s *soak) name(task api.Task, r *api.Result, err error) string {
	var failure *api.TaskError
	switch {
	case errors.As(err, &failure) && errors.Is(err, api.ErrContentBlocked):
		return filmName(number(failure.Message)) + failed
	case err != nil:
		s.Errorf("%v: %v", task, err)
	case len(r.VideoURLs()) != 1:
		s.Errorf("%v: the result has the videos %q", task, r.VideoURLs())
	default:
		s.films = append(s.films, r.VideoURLs()[0])
		return filmName(number(r.VideoURLs()[0]))
	}
	return ""
}

// download fetches the films, again where the client gives up, as its user would.
func (s *soak) download(ctx context.Context) {
	each(len(s.films), func(i int) {
		path := filepath.Join(s.dir, filmName(number(s.films[i])))
		for attempt := 1; ; attempt++ {
			_, err := s.client.DownloadFile(ctx, s.films[i], path)
			if err == nil {
				return
			}
			if _, statErr := os.Stat(path); statErr == nil || attempt == 10 {
				s.Errorf("%s, attempt %d: %v, and a file is there: %v", path, attempt, err, statErr == nil)
				return
			}
		}
	})
}

// audit compares the books of both sides: every task was made once, ended once, and its film is there if it has one.
func (s *soak) audit(succeed int) {
	runs := map[string]int{}
	for _, run := range s.world.Runs() {
		runs[run.RequestID]++
	}
	var doubts, refusals, lost, worst int
	for _, x := range s.tasks {
		if n := runs[x.requestID]; n != 1 {
			s.Errorf("request %s was carried out %d times", x.requestID, n)
		}
		doubts += x.doubts
		refusals += x.refusals
		worst = max(worst, x.doubts+x.refusals)
		if x.made {
			lost++
		}
	}
	ends := map[string]int{}
	for _, name := range s.waited {
		ends[name]++
	}
	for k := range s.tasks {
		name := filmName(k)
		if fails(k) {
			name += failed
		} else if content, err := os.ReadFile(filepath.Join(s.dir, name)); err != nil || !bytes.Equal(content, film(k)) {
			s.Errorf("%s holds %d bytes that are not its own: %v", name, len(content), err)
		}
		if ends[name] != 1 {
			s.Errorf("%d tasks ended as %q", ends[name], name)
		}
	}
	files, err := os.ReadDir(s.dir)
	if err != nil {
		s.Error(err)
	}
	total := len(s.tasks)
	if made := len(s.world.Runs()); made != total || len(runs) != total || len(s.waited) != total || len(ends) != total {
		s.Errorf("of %d tasks %d were made, for %d requests; %d were waited for, with %d ends", total, made, len(runs), len(s.waited), len(ends))
	}
	if len(files) != succeed || len(s.films) != succeed {
		s.Errorf("%d films are to be there; %d were downloaded to %d files", succeed, len(s.films), len(files))
	}
	s.summary = fmt.Sprintf("%d made, %d of them found in the server's books; %d answers in doubt and %d refusals, at most %d for one; %d failed, %d films",
		total, lost, doubts, refusals, worst, total-len(s.films), len(files))
}
