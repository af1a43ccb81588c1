package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"runtime/metrics"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

// waitNumbers are n tasks, numbered from 0.
func waitNumbers(n int) func(yield func(api.Task) bool) {
	return func(yield func(api.Task) bool) {
		for i := range n {
			if !yield(api.Task{AgentID: api.AgentViduTemplate, AsyncID: strconv.Itoa(i)}) {
				return
			}
		}
	}
}

// waitWindow is a server that refuses what is above n per second of the clock.
func waitWindow(n int) func() bool {
	var second time.Time
	taken := 0
	return func() bool {
		if now := time.Now().Truncate(time.Second); !now.Equal(second) {
			second, taken = now, 0
		}
		taken++
		return taken <= n
	}
}

// waitSliding is a server that refuses what is above n in any second.
func waitSliding(n int) func() bool {
	var taken []time.Time
	return func() bool {
		now := time.Now()
		for len(taken) > 0 && now.Sub(taken[0]) >= time.Second {
			taken = taken[1:]
		}
		if len(taken) >= n {
			return false
		}
		taken = append(taken, now)
		return true
	}
}

// waitBucket is a server with a bucket of tokens.
func waitBucket(n, burst int) func() bool {
	return rate.NewLimiter(rate.Limit(n), burst).Allow
}

// waitServer is a transport that takes its time and counts.
type waitServer struct {
	takes  time.Duration                                          // from request to answer, more or less
	answer func(task api.Task, n int) (status int, answer string) // n counts the requests for the task, from 1

	mu       sync.Mutex
	asked    map[api.Task]int
	starts   []time.Time // of the requests, as the client made them
	refusals []time.Time // of the answers with status 429, as they reached the client
	inFlight int
	most     int // in flight at once
	heap     uint64
}

func (s *waitServer) RoundTrip(req *http.Request) (*http.Response, error) {
	var task api.Task
	if err := errors.Join(json.NewDecoder(req.Body).Decode(&task), req.Body.Close()); err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.starts = append(s.starts, time.Now())
	s.inFlight++
	s.most = max(s.most, s.inFlight)
	if len(s.starts)%50 == 0 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		s.heap = max(s.heap, sample[0].Value.Uint64())
	}
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.inFlight--
	}()
	if err := waitFor(req, s.takes/2); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.asked == nil {
		s.asked = map[api.Task]int{}
	}
	s.asked[task]++
	status, body := s.answer(task, s.asked[task])
	s.mu.Unlock()
	// The way back varies, so that answers overtake each other.
	if err := waitFor(req, s.takes*2/5+rand.N(s.takes/5+1)); err != nil {
		return nil, err
	}
	if status == http.StatusTooManyRequests {
		s.mu.Lock()
		s.refusals = append(s.refusals, time.Now())
		s.mu.Unlock()
	}
	return waitReply(req, status, body), nil
}

// client returns a client of the server.
func (s *waitServer) client(t *testing.T) *api.ClientWithResponses {
	t.Helper()
	client, err := api.New(sampleKey, api.WithHTTPClient(&http.Client{Transport: s}))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// waitGoroutines runs f, and fails the test when a goroutine that f started is left after it. It
// must run in a bubble.
func waitGoroutines(t *testing.T, f func(ctx context.Context)) {
	t.Helper()
	pprof.Do(t.Context(), pprof.Labels("wait", t.Name()), func(ctx context.Context) {
		f(ctx)
		synctest.Wait()
		var profile strings.Builder
		if err := pprof.Lookup("goroutine").WriteTo(&profile, 1); err != nil {
			t.Fatal(err)
		}
		label := fmt.Sprintf("%q:%q", "wait", t.Name())
		_, records, _ := strings.Cut(profile.String(), "\n")
		for record := range strings.SplitSeq(records, "\n\n") {
			// This goroutine is one of them.
			if strings.Contains(record, label) && (!strings.HasPrefix(record, "1 @") || !strings.Contains(record, "waitGoroutines")) {
				t.Errorf("left running: %s", record)
			}
		}
	})
}

// TestWaitAllMany: many tasks, few requests at once, at a rate, each task once, within little
// memory.
func TestWaitAllMany(t *testing.T) { //nolint:paralleltest // The heap is that of the process.
	tasks := 10_000
	if waitRace() {
		tasks = 2000
	}
	for _, tt := range []struct {
		name     string
		opts     []api.WaitOption
		inFlight int
		rate     float64
	}{
		{"by default", nil, 8, 0},
		{"all at once, at a rate", []api.WaitOption{api.Waiting(tasks), api.InFlight(64), api.Rate(400)}, 64, 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &waitServer{takes: 200 * time.Millisecond, answer: func(_ api.Task, n int) (int, string) {
					if n < 2 {
						return http.StatusOK, waitPending
					}
					return http.StatusOK, waitVideo
				}}
				seen := map[api.Task]int{}
				waitGoroutines(t, func(ctx context.Context) {
					for task, o := range s.client(t).WaitAll(ctx, waitNumbers(tasks), tt.opts...) {
						if seen[task]++; o.Err != nil || len(o.Result.VideoURLs()) != 1 || seen[task] > 1 {
							t.Errorf("%v: %v, %v, yielded %d times", task, o.Result, o.Err, seen[task])
						}
					}
				})
				if len(seen) != tasks || len(s.starts) != 2*tasks {
					t.Errorf("%d tasks, %d requests, want %d, %d", len(seen), len(s.starts), tasks, 2*tasks)
				}
				if s.most > tt.inFlight || s.most < 8 {
					t.Errorf("%d requests at once, want at most %d", s.most, tt.inFlight)
				}
				for i := range s.starts[1:] {
					if gap := s.starts[i+1].Sub(s.starts[i]).Seconds(); tt.rate > 0 && gap < 1/tt.rate-1e-6 {
						t.Fatalf("request %d follows after %v s, want %v", i+2, gap, 1/tt.rate)
					}
				}
				if s.heap > 128<<20 || s.heap == 0 {
					t.Errorf("the heap grew to %d MiB", s.heap>>20)
				}
				t.Logf("%d tasks took %v, and %d MiB", tasks, time.Since(waitEpoch), s.heap>>20)
			})
		})
	}
}

// waitEpoch is the start of every bubble.
var waitEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

// TestWaitAllRefused: against a server that refuses what is above n per second, a WaitAll gets
// at least 0.8 n answers a second, loses nothing, and is silent for 1 s after each refusal.
func TestWaitAllRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		server   string
		n        int
		allow    func() bool
		inFlight int
		takes    time.Duration
		pending  int // answers
	}{
		{"window", 5, waitWindow(5), 8, 300 * time.Millisecond, 0},
		{"window", 20, waitWindow(20), 8, 100 * time.Millisecond, 3},
		{"window", 50, waitWindow(50), 64, 100 * time.Millisecond, 0},
		{"sliding window", 5, waitSliding(5), 8, 100 * time.Millisecond, 3},
		{"sliding window", 20, waitSliding(20), 64, 300 * time.Millisecond, 0},
		{"sliding window", 50, waitSliding(50), 8, 10 * time.Millisecond, 0},
		{"bucket", 20, waitBucket(20, 20), 64, 300 * time.Millisecond, 3},
		{"small bucket", 20, waitBucket(20, 1), 8, 100 * time.Millisecond, 0},
	} {
		if waitRace() && tt.n == 50 {
			continue // Much of the same.
		}
		t.Run(fmt.Sprint(tt.server, " of ", tt.n), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				answered := 0
				s := &waitServer{takes: tt.takes, answer: nil}
				answers := map[api.Task]int{}
				s.answer = func(task api.Task, _ int) (int, string) {
					if !tt.allow() {
						return http.StatusTooManyRequests, `{"error":{"code":"1303","message":"slower"}}`
					}
					answered++
					if answers[task]++; answers[task] <= tt.pending {
						return http.StatusOK, waitPending
					}
					return http.StatusOK, waitVideo
				}
				ended := 0
				waitGoroutines(t, func(ctx context.Context) {
					ctx, cancel := context.WithTimeout(ctx, time.Minute)
					defer cancel()
					for task, o := range s.client(t).WaitAll(ctx, waitNumbers(1<<30), api.InFlight(tt.inFlight), api.Waiting(10*tt.n)) {
						switch {
						case o.Err == nil && len(o.Result.VideoURLs()) == 1:
							ended++
						case !errors.Is(o.Err, context.DeadlineExceeded):
							t.Errorf("%v is lost: %v", task, o.Err)
						}
					}
				})
				share := float64(answered) / 60 / float64(tt.n)
				t.Logf("%d answers, %.2f of what may be had, %d refusals, %d tasks", answered, share, len(s.refusals), ended)
				if share < 0.8 || ended == 0 || ended < answered/(tt.pending+1)-10*tt.n {
					t.Errorf("%d answers, %.2f of what may be had, %d tasks ended", answered, share, ended)
				}
				if len(s.refusals) == 0 {
					t.Error("nothing was refused")
				}
				waitSilent(t, s, time.Second)
			})
		})
	}
}

// waitSilent fails the test when a request started within d after a refusal.
func waitSilent(t *testing.T, s *waitServer, d time.Duration) {
	t.Helper()
	for _, refused := range s.refusals {
		for _, start := range s.starts {
			if since := start.Sub(refused); since > 0 && since < d {
				t.Fatalf("a request started %v after a refusal, want %v at least", since, d)
			}
		}
	}
}

// TestWaitAllSilence: how long no poll starts after an answer.
func TestWaitAllSilence(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		reply zaitest.Reply
		want  time.Duration // 0 for none
	}{
		{"429", zaitest.RateLimited("1302", ""), time.Second},
		{"429, with a short Retry-After", zaitest.RateLimited("1302", "0"), time.Second},
		{"429, with a long Retry-After", zaitest.RateLimited("1303", "7"), 7 * time.Second},
		{"overloaded", zaitest.RateLimited("1305", "2"), 2 * time.Second},
		{"529", zaitest.HTMLError(529), time.Second},
		{"429 of a proxy", zaitest.HTMLError(429), time.Second},
		{"in the form of a failed task", zaitest.WithHeader("Retry-After", "3", waitRaw(200, `{"status":"failed","error":{"code":"1302","message":"slower"}}`)), 3 * time.Second},
		{"502", zaitest.WithHeader("Retry-After", "7", zaitest.HTMLError(502)), 0},
		{"no balance", zaitest.RateLimited("1113", "7"), 0},
		{"pending", zaitest.WithHeader("Retry-After", "7", nil), 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				var tasks []api.Task
				for range 40 {
					tasks = append(tasks, waitAdd(srv, zaitest.TaskScript{Replies: []zaitest.Reply{zaitest.Slow(100*time.Millisecond, nil)}}))
				}
				// The order of the tasks is not known, so it is the tenth request that is refused.
				srv.Enqueue(append(make([]zaitest.Reply, 9), zaitest.Slow(50*time.Millisecond, tt.reply))...)
				ended := 0
				for range client.WaitAll(t.Context(), slices.Values(tasks), api.InFlight(4)) {
					ended++
				}
				if ended != len(tasks) {
					t.Errorf("%d tasks ended, want %d", ended, len(tasks))
				}
				requests := srv.Requests()
				var longest time.Duration
				for i := range requests[1:20] {
					longest = max(longest, requests[i+1].Time.Sub(requests[i].Time))
				}
				// Since a request of 100 ms may have started just before the refusal.
				if longest < tt.want || longest > tt.want+150*time.Millisecond {
					t.Errorf("no request started for %v, want %v", longest, tt.want)
				}
			})
		})
	}
}

// TestWaitAllOutcomes: each task comes to what Wait makes of it, whatever the others come to, and
// as soon as it has ended.
func TestWaitAllOutcomes(t *testing.T) {
	t.Parallel()
	waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
		want := map[api.Task]error{
			waitAdd(srv, zaitest.TaskScript{Pending: 2}):                                                         nil,
			waitAdd(srv, zaitest.TaskScript{}):                                                                   nil,
			waitAdd(srv, zaitest.TaskScript{Pending: 1, Code: "1301", Message: "refused"}):                       api.ErrContentBlocked,
			waitAdd(srv, zaitest.TaskScript{NoResult: true}):                                                     api.ErrNoResult,
			waitAdd(srv, zaitest.TaskScript{Replies: []zaitest.Reply{zaitest.HTMLError(401)}}):                   api.ErrAuthentication,
			waitAdd(srv, zaitest.TaskScript{Replies: slices.Repeat([]zaitest.Reply{zaitest.HTMLError(502)}, 3)}): api.ErrServer,
			waitAdd(srv, zaitest.TaskScript{Pending: zaitest.Forever}):                                           context.DeadlineExceeded,
			{AgentID: "", AsyncID: "without an agent"}:                                                           api.ErrInvalidRequest,
			{AgentID: api.AgentViduTemplate, AsyncID: "unknown"}:                                                 api.ErrInvalidRequest,
		}
		start := time.Now()
		var order []time.Duration
		got := map[api.Task]bool{}
		for task, o := range client.WaitAll(t.Context(), maps.Keys(want), api.MaxWait(time.Minute), api.MaxFailures(3)) {
			order = append(order, time.Since(start))
			err, ok := want[task]
			if !ok || got[task] || !errors.Is(o.Err, err) || (o.Err == nil) != (err == nil) {
				t.Errorf("%v: %v, %v, want %v", task, o.Result, o.Err, err)
			}
			if got[task] = true; o.Err == nil && len(o.Result.VideoURLs()) != 1 {
				t.Errorf("%v: %v", task, o.Result)
			}
		}
		if len(got) != len(want) || order[0] != 0 || order[len(order)-1] != time.Minute || order[len(order)-2] > 20*time.Second {
			t.Errorf("%d tasks at %v", len(got), order)
		}
	})
}

// TestWaitAllInput: tasks are read as there is room, and those that are being waited for are
// dropped.
func TestWaitAllInput(t *testing.T) {
	t.Parallel()
	waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
		var tasks []api.Task
		for i := range 20 {
			tasks = append(tasks, waitAdd(srv, zaitest.TaskScript{Pending: i % 3}))
		}
		read, yielded := 0, map[api.Task]int{}
		total := 0
		for task, o := range client.WaitAll(t.Context(), func(yield func(api.Task) bool) {
			for _, task := range tasks {
				for range 2 { // The second is dropped.
					if read-total > 3 {
						t.Errorf("%d tasks are read, and %d have ended", read, total)
					}
					if !yield(task) {
						t.Error("not read to the end")
						return
					}
				}
				read++
			}
		}, api.Waiting(4)) {
			total++
			if yielded[task]++; o.Err != nil {
				t.Error(o.Err)
			}
		}
		for _, task := range tasks {
			// A task that is named again after it has ended is waited for again.
			if yielded[task] < 1 || yielded[task] > 2 {
				t.Errorf("%v is yielded %d times", task, yielded[task])
			}
		}
		if read != len(tasks) {
			t.Errorf("%d tasks read, want %d", read, len(tasks))
		}
	})
	t.Run("named again", func(t *testing.T) {
		t.Parallel()
		waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
			one, two := waitAdd(srv, zaitest.TaskScript{}), waitAdd(srv, zaitest.TaskScript{Pending: 1})
			var got []api.Task
			for task := range client.WaitAll(t.Context(), slices.Values([]api.Task{two, two, one, two, one}), api.Waiting(2)) {
				got = append(got, task)
			}
			if want := []api.Task{one, one, two}; !slices.Equal(got, want) {
				t.Errorf("yields %v, want %v", got, want)
			}
		})
	})
	t.Run("named again and again", func(t *testing.T) { // in real time, because reading does not block
		t.Parallel()
		client := retrieveServer(t, createRaw(http.StatusOK, "application/json", `{"status":"failed","error":{"code":"1301"}}`))
		named := []api.Task{retrieveTask, {AgentID: "a", AsyncID: "2"}}
		ended := map[api.Task]bool{}
		for task, o := range client.WaitAll(t.Context(), func(yield func(api.Task) bool) {
			for len(ended) < len(named) {
				for _, task := range named {
					if !yield(task) {
						return
					}
				}
			}
		}) {
			if ended[task] = true; !errors.Is(o.Err, api.ErrContentBlocked) {
				t.Error(o.Err)
			}
		}
		pending := retrieveServer(t, createRaw(http.StatusOK, "application/json", `{"status":"pending"}`))
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		yielded := 0
		for _, o := range pending.WaitAll(ctx, func(yield func(api.Task) bool) {
			for yield(retrieveTask) {
			}
		}) {
			if yielded++; !errors.Is(o.Err, context.DeadlineExceeded) {
				t.Error(o.Err)
			}
		}
		if yielded != 1 {
			t.Errorf("%d tasks yielded", yielded)
		}
	})
	t.Run("empty", func(t *testing.T) {
		t.Parallel()
		waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
			for task, o := range client.WaitAll(t.Context(), waitNumbers(0)) {
				t.Errorf("yields %v, %v", task, o)
			}
		})
	})
}

// TestWaitAllGivesTurnsBack: a wait that ends before its turn leaves the turn to the others, so that too
// many tasks do not use the rate up while none is polled.
func TestWaitAllGivesTurnsBack(t *testing.T) {
	t.Parallel()
	for _, waiting := range []int{50, 70} {
		waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
			const period = 10 * time.Minute
			ctx, cancel := context.WithTimeout(t.Context(), period)
			defer cancel()
			ended := 0
			for _, o := range client.WaitAll(ctx, func(yield func(api.Task) bool) {
				for yield(waitAdd(srv, zaitest.TaskScript{})) {
				}
			}, api.Rate(1), api.Waiting(waiting), api.MaxWait(time.Minute)) {
				if o.Err == nil {
					ended++
				}
			}
			if most := int(period.Seconds()) + 1; ended > most || ended < most*3/4 {
				t.Errorf("%d tasks waiting: %d ended, and the rate allows %d", waiting, ended, most)
			}
		})
	}
}

// TestWaitAllGoexit: t.FailNow in a function that is called ends the goroutine. Its task is yielded, and the
// others go on.
func TestWaitAllGoexit(t *testing.T) {
	t.Parallel()
	waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
		bad, good := waitAdd(srv, zaitest.TaskScript{Pending: 3}), waitAdd(srv, zaitest.TaskScript{Pending: 2})
		got := map[api.Task]error{}
		for task, o := range client.WaitAll(t.Context(), slices.Values([]api.Task{bad, good}), api.OnPoll(func(_ *api.Result, p api.Poll) {
			if p.Task == bad && p.N == 2 {
				runtime.Goexit()
			}
		})) {
			got[task] = o.Err
		}
		if _, ok := errors.AsType[*api.Error](got[bad]); !ok || got[good] != nil || len(got) != 2 {
			t.Errorf("got %v", got)
		}
	})
}

// TestWaitAllContext: when the context ends, each task that was taken is yielded with the cause,
// whether it is polled, between polls or waits for its turn, and no more are taken.
func TestWaitAllContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("the worker is shut down")
	for name, after := range map[string]time.Duration{"ended before": 0, "during polls": 150 * time.Millisecond, "later": 20 * time.Second} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &waitServer{takes: 200 * time.Millisecond, answer: func(api.Task, int) (int, string) { return http.StatusOK, waitPending }}
				read, got := 0, 0
				polled := map[int]bool{}
				waitGoroutines(t, func(ctx context.Context) {
					ctx, cancel := waitCancel(after, cause)(ctx)
					defer cancel()
					for task, o := range s.client(t).WaitAll(ctx, func(yield func(api.Task) bool) {
						for task := range waitNumbers(1000) {
							if read++; !yield(task) {
								return
							}
						}
					}, api.Waiting(50), api.InFlight(4)) {
						e := waitUnfinished(t, o.Err)
						if !errors.Is(e, cause) || !errors.Is(e, context.Canceled) || e.Task != task || e.Elapsed != after {
							t.Errorf("%v: %v", task, o.Err)
						}
						polled[e.Polls] = true
						got++
					}
				})
				want := 50
				if after == 0 {
					want = 0
				}
				if read != want || got != want || after > 0 && time.Since(waitEpoch) != after {
					t.Errorf("%d tasks read, %d yielded, want %d; took %v", read, got, want, time.Since(waitEpoch))
				}
				if name == "during polls" && (!polled[0] || !polled[1]) {
					t.Errorf("tasks were polled %v times", polled)
				}
			})
		})
	}
	t.Run("MaxWait before the turn", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			s := &waitServer{takes: time.Second, answer: func(api.Task, int) (int, string) { return http.StatusOK, waitVideo }}
			unfinished := 0
			for _, o := range s.client(t).WaitAll(t.Context(), waitNumbers(10), api.InFlight(1), api.Rate(0.25), api.MaxWait(10*time.Second)) {
				if o.Err != nil {
					if e := waitUnfinished(t, o.Err); e.Polls != 0 || e.Elapsed != 10*time.Second || !errors.Is(e, context.DeadlineExceeded) {
						t.Error(o.Err)
					}
					unfinished++
				}
			}
			if unfinished != 7 || len(s.starts) != 3 {
				t.Errorf("%d tasks had no turn, %d requests", unfinished, len(s.starts))
			}
		})
	})
}

// TestWaitAllLeave: leaving the loop, by a break or a panic, stops everything and leaks nothing.
func TestWaitAllLeave(t *testing.T) {
	t.Parallel()
	broken := func(yield func(api.Task) bool) {
		for task := range waitNumbers(20) {
			if !yield(task) {
				return
			}
		}
		panic("the caller's")
	}
	for _, tt := range []struct {
		name   string
		tasks  func(yield func(api.Task) bool)
		leave  func() bool
		panics bool
	}{
		{"break", waitNumbers(1000), func() bool { return true }, false},
		{"panic in the loop", waitNumbers(1000), func() bool { panic("the caller's") }, true},
		{"panic in the sequence", broken, func() bool { return false }, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := &waitServer{takes: 200 * time.Millisecond, answer: func(task api.Task, _ int) (int, string) {
					if task.AsyncID == "7" {
						return http.StatusOK, waitVideo
					}
					return http.StatusOK, waitPending
				}}
				waitGoroutines(t, func(ctx context.Context) {
					defer func() {
						if p := recover(); (p != nil) != tt.panics {
							t.Errorf("panic %v", p)
						}
					}()
					for task, o := range s.client(t).WaitAll(ctx, tt.tasks, api.Waiting(100)) {
						if task.AsyncID != "7" || o.Err != nil {
							t.Errorf("%v: %v", task, o.Err)
						}
						if tt.leave() {
							break
						}
					}
				})
				requests := len(s.starts)
				waitIdle(t, time.Hour)
				if len(s.starts) != requests || s.inFlight != 0 {
					t.Errorf("%d requests after leaving, %d in flight", len(s.starts)-requests, s.inFlight)
				}
			})
		})
	}
}

// TestWaitConnections: a thousand waits at once, over real connections, need at most twice as
// many connections as there are requests in flight.
func TestWaitConnections(t *testing.T) {
	t.Parallel()
	const polls, inFlight = 2, 16
	waits := 1000
	if waitRace() {
		waits = 200 // More than a transport keeps by itself.
	}
	for _, tt := range []struct {
		name string
		http int
		all  bool
	}{
		{"HTTP/1.1, Wait", 1, false},
		{"HTTP/1.1, WaitAll", 1, true},
		{"HTTP/2, Wait", 2, false},
	} {
		t.Run(tt.name, func(t *testing.T) { //nolint:paralleltest // In turns: each fills the machine.
			srv := zaitest.NewUnstartedServer()
			defer srv.Close()
			var accepts, requests, protocols, now, most atomic.Int64
			web := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				protocols.Or(1 << r.ProtoMajor)
				srv.ServeHTTP(w, r)
			}))
			web.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					accepts.Add(1)
				}
			}
			opts := []api.ClientOption{nil}
			if tt.http == 2 {
				web.EnableHTTP2 = true
				web.Config.HTTP2 = &http.HTTP2Config{MaxConcurrentStreams: waits}
				web.StartTLS()
				opts = append(opts, api.WithHTTPClient(web.Client()))
			} else {
				web.Start()
			}
			defer web.Close()
			opts[0] = api.WithBaseURL(web.URL + "/api")
			client, err := api.New(srv.APIKey, opts...)
			if err != nil {
				t.Fatal(err)
			}
			if tt.http == 2 {
				// As long as there is no connection to share, net/http makes one for each request.
				if _, err := client.Retrieve(t.Context(), waitAdd(srv, zaitest.TaskScript{})); err != nil {
					t.Fatal(err)
				}
				requests.Store(0)
			}
			tasks := make([]api.Task, waits)
			for i := range tasks {
				tasks[i] = waitAdd(srv, zaitest.TaskScript{Pending: polls - 1})
			}
			wait := []api.WaitOption{
				api.InFlight(inFlight),
				api.Every(20 * time.Millisecond),
				api.Edit(func(context.Context, *http.Request) error {
					for n := now.Add(1); ; {
						if m := most.Load(); n <= m || most.CompareAndSwap(m, n) {
							return nil
						}
					}
				}),
				api.OnPoll(func(*api.Result, api.Poll) { now.Add(-1) }),
			}
			var ended atomic.Int64
			if tt.all {
				for task, o := range client.WaitAll(t.Context(), slices.Values(tasks), wait...) {
					if ended.Add(1); o.Err != nil {
						t.Errorf("%v: %v", task, o.Err)
					}
				}
			} else {
				var group sync.WaitGroup
				for _, task := range tasks {
					group.Go(func() {
						if _, err := client.Wait(t.Context(), task, wait...); err != nil {
							t.Errorf("%v: %v", task, err)
						}
						ended.Add(1)
					})
				}
				group.Wait()
			}
			t.Logf("%d connections for %d requests in flight, %d in all", accepts.Load(), most.Load(), requests.Load())
			if ended.Load() != int64(waits) || requests.Load() != int64(polls*waits) || protocols.Load() != 1<<tt.http {
				t.Errorf("%d waits ended after %d requests", ended.Load(), requests.Load())
			}
			limit := most.Load()
			if tt.all {
				limit = inFlight
			}
			if accepts.Load() > 2*limit {
				t.Errorf("%d connections for %d requests in flight", accepts.Load(), limit)
			}
		})
	}
}
