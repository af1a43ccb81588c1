package faults

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

// chance is a source of random numbers that several goroutines share.
type chance struct {
	mu  sync.Mutex
	rng *rand.Rand
}

func newChance(seed, stream uint64) *chance { return &chance{rng: rand.New(rand.NewPCG(seed, stream))} }

func (c *chance) n(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.rng.IntN(n)
}

// film is the file that the k-th run makes.
func film(k int) []byte { return bytes.Repeat(fmt.Appendf(nil, "film %08d\n", k), 300) }

// script is how the k-th run goes: one in twenty fails, and says which it is.
func script(w *world, k int, c *chance) zaitest.TaskScript {
	s := zaitest.TaskScript{Pending: c.n(3), VideoURLs: []string{w.AddFile(filmName(k), film(k))}}
	if k%20 == 7 {
		s.Code, s.Message = "1301", filmName(k)
	}
	return s
}

func filmName(k int) string { return fmt.Sprintf("film-%d.mp4", k) }

// number is k of the name of a film, wherever it stands.
func number(text string) int {
	k := -1
	if i := strings.Index(text, "film-"); i >= 0 {
		_, _ = fmt.Sscanf(text[i:], "film-%d.mp4", &k)
	}
	return k
}

// badNetwork returns a dial function that takes, at random, the direct way or one of many bad ones.
func badNetwork(t *testing.T, w *world, d *dialer, c *chance) func(context.Context, string, string) (net.Conn, error) {
	t.Helper()
	random := newRelay(t, w.addr, func(int) *breakage {
		b := &breakage{upstream: c.n(2) == 0, at: after(1 + c.n(6000)), how: manner(c.n(int(silent)))}
		if b.upstream && b.how == halfDone {
			b.how = closed // To half a request that is said to be all of it a server rightly says HTTP 400.
		}
		if c.n(20) == 0 {
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
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		if way := c.n(2 * len(ways)); way < len(ways) {
			addr = ways[way]
		}
		return d.dial(ctx, network, addr)
	}
}

// badServer returns a reply that is, at random, the ordinary one or a failure.
func badServer(c *chance) zaitest.Reply {
	failures := []zaitest.Reply{
		zaitest.HTMLError(http.StatusBadGateway), zaitest.ServerError("1234"), zaitest.Abort(), zaitest.CutBody(40), zaitest.TruncatedJSON(),
		zaitest.Lose(zaitest.HTMLError(http.StatusGatewayTimeout)), zaitest.Lose(zaitest.Abort()), zaitest.Lose(zaitest.ServerError("1234")),
	}
	return func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
		reply := zaitest.Reply(nil)
		file := r.Method == http.MethodGet
		switch n := c.n(1000); {
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

// TestSoak takes thousands of tasks all the way over a bad network to a bad server. At the end every one of them is
// accounted for exactly once.
func TestSoak(t *testing.T) {
	t.Parallel()
	n, seed, start := *flagTasks, *flagSeed, time.Now()
	fmt.Printf("soak: %d tasks, seed %d\n", n, seed)
	w := newWorld(t, nil)
	w.MaxRequests = 0
	d := &dialer{}
	client, transport := newClient(t, w, badNetwork(t, w, d, newChance(seed, 1)), nil,
		api.WithTimeout(2*time.Second), api.WithIdleTimeout(2*time.Second), api.WithMaxAttempts(4))
	w.Always(badServer(newChance(seed, 2)))
	s := &soak{T: t, world: w, client: client, dir: t.TempDir(), tasks: make([]submitted, n)}
	labeled(t, func(ctx context.Context) {
		s.submit(ctx, newChance(seed, 3))
		s.wait(ctx)
		s.download(ctx)
	}, d.settle(t, w, transport))
	s.audit()
	fmt.Printf("soak: %s; %d connections; %v\n", s.summary, d.dialed.Load(), time.Since(start).Round(100*time.Millisecond))
	if t.Failed() {
		t.Logf("again with -tasks %d -seed %d", n, seed)
	}
}

// A soak keeps the books of the client's side.
type soak struct {
	*testing.T
	world   *world
	client  *api.ClientWithResponses
	dir     string
	tasks   []submitted
	summary string

	waited map[api.Task]string // what came of each task: the name of its film, and why it failed if it did
	films  []string            // addresses
}

// submitted is what a caller knows of a request that was sent.
type submitted struct {
	requestID string
	task      api.Task // zero unless known
	doubts    int      // answers that were lost
	made      bool     // the server says that there is a task, but not which
}

// submit submits the tasks. After an unknown outcome the same request, under the same id, settles the doubt: the server
// refuses a second one while the first is there.
func (s *soak) submit(ctx context.Context, c *chance) {
	const batch = 500 // of scripts that wait at the server
	enqueued := 0
	for from := 0; from < len(s.tasks); from += batch {
		part := s.tasks[from:min(from+batch, len(s.tasks))]
		for enqueued < len(s.world.Runs())+len(part) {
			s.world.EnqueueTasks(script(s.world, enqueued, c))
			enqueued++
		}
		each(len(part), func(i int) {
			x := &part[i]
			x.requestID = fmt.Sprintf("soak-%08d", from+i)
			request := api.NewVideoRequest(api.TemplateFrenchKiss, "https://example.com/couple.jpg", "a kiss")
			request.RequestID = x.requestID
			for {
				task, err := s.client.Submit(ctx, request)
				switch {
				case err == nil:
					x.task = task
				case errors.Is(err, api.ErrUnknownOutcome):
					x.doubts++
					continue
				case x.doubts > 0 && errors.Is(err, api.ErrConflict):
					x.made = true
				case x.doubts > 0:
					continue // It was not taken this time, which says nothing of the first.
				case errors.Is(err, api.ErrConflict):
					s.Errorf("%s was sent twice behind the caller's back: %v", x.requestID, err)
				}
				return
			}
		})
	}
}

// wait waits for all tasks that are known.
func (s *soak) wait(ctx context.Context) {
	known := map[api.Task]bool{}
	for _, x := range s.tasks {
		if x.task != (api.Task{}) {
			known[x.task] = true
		}
	}
	s.waited = map[api.Task]string{}
	tasks := func(yield func(api.Task) bool) {
		for task := range known {
			if !yield(task) {
				return
			}
		}
	}
	for task, outcome := range s.client.WaitAll(ctx, tasks, api.Every(50*time.Millisecond), api.InFlight(32)) {
		if _, twice := s.waited[task]; twice || !known[task] {
			s.Errorf("%v was yielded, and was not waited for", task)
		}
		s.waited[task] = s.name(task, outcome.Result, outcome.Err)
	}
	if len(s.waited) != len(known) {
		s.Errorf("%d tasks of %d were yielded", len(s.waited), len(known))
	}
}

// name is the film of a task that has ended. The address of one that succeeded is kept.
func (s *soak) name(task api.Task, r *api.Result, err error) string {
	var failed *api.TaskError
	switch {
	case errors.As(err, &failed) && errors.Is(err, api.ErrContentBlocked):
		return filmName(number(failed.Message)) + " failed"
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

// audit compares the books of both sides.
func (s *soak) audit() {
	runs := map[string]zaitest.Run{}
	for _, run := range s.world.Runs() {
		if _, twice := runs[run.RequestID]; twice {
			s.Errorf("request %s was carried out twice", run.RequestID)
		}
		runs[run.RequestID] = run
	}
	var known, orphans, refused, doubts int
	for _, x := range s.tasks {
		run, ran := runs[x.requestID]
		doubts += x.doubts
		switch {
		case x.task != (api.Task{}):
			if known++; !ran || run.AsyncID != x.task.AsyncID {
				s.Errorf("%s is known as %v, and the server has %v", x.requestID, x.task, run)
			}
		case x.made:
			if orphans++; !ran {
				s.Errorf("%s is said to be there, and is not", x.requestID)
			}
		default:
			if refused++; ran {
				s.Errorf("%s was refused, and the server has %v", x.requestID, run)
			}
		}
		delete(runs, x.requestID)
	}
	if len(runs) > 0 {
		s.Errorf("nobody asked for %v", runs)
	}

	// The tasks whose ids were lost are waited for by the server's books, so that nothing is left over.
	s.world.Always(nil)
	client, transport := newClient(s.T, s.world, new(net.Dialer).DialContext, nil)
	defer transport.CloseIdleConnections()
	films := map[string]bool{}
	for _, run := range s.world.Runs() {
		task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: run.AsyncID}
		name, ok := s.waited[task]
		if !ok {
			r, err := client.Wait(s.Context(), task, api.Every(time.Millisecond))
			name = s.name(task, r, err)
		}
		if films[name] {
			s.Errorf("two tasks have the film %q", name)
		}
		films[name] = true
	}
	for k := range len(s.world.Runs()) {
		name := filmName(k)
		if k%20 == 7 {
			name += " failed"
		}
		if !films[name] {
			s.Errorf("no task has the film %q", name)
		}
	}

	files, err := os.ReadDir(s.dir)
	if err != nil {
		s.Error(err)
	}
	succeeded := 0
	for _, name := range s.waited {
		if name != "" && !strings.HasSuffix(name, "failed") {
			succeeded++
			content, err := os.ReadFile(filepath.Join(s.dir, name))
			if err != nil || !bytes.Equal(content, film(number(name))) {
				s.Errorf("%s holds %d bytes that are not its own: %v", name, len(content), err)
			}
		}
	}
	if len(files) != succeeded {
		s.Errorf("the folder holds %d files for %d films", len(files), succeeded)
	}
	s.summary = fmt.Sprintf("%d known, %d made but unnamed, %d refused; %d answers in doubt; %d succeeded, %d failed, %d files",
		known, orphans, refused, doubts, succeeded, len(s.waited)-succeeded, len(files))
}
