package api

import (
	"context"
	"errors"
	"iter"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Outcome is what a wait came to: what Wait would return.
type Outcome struct {
	Result *Result
	Err    error
}

// WaitAll waits for many tasks and yields each as it ends, with what Wait would return;
// the failure of one does not stop the others. The polls of all tasks share a bound of
// requests at once (InFlight) and may share a rate (Rate). When the server says that it is
// asked too often, no poll starts for the longer of its Retry-After and 1 s; the polls that
// follow are evenly paced below the rate that was refused, and the pace rises again slowly.
//
// Tasks are read as there is room (Waiting), and reading them must not block. A task that is
// among those now waited for is dropped. When the context ends, every task that was read
// is yielded, and no more are read, so look at the error of the context: some may be left. Leaving
// the loop stops everything, and no goroutine is left. An option that makes no sense is yielded once, with the zero Task.
func (c *ClientWithResponses) WaitAll(ctx context.Context, tasks iter.Seq[Task], opts ...WaitOption) iter.Seq2[Task, Outcome] {
	return func(yield func(Task, Outcome) bool) {
		w, err := c.waiter(ctx, opts)
		if err == nil && tasks == nil {
			err = invalid(opRetrieve, "the sequence of tasks is nil")
		}
		if err != nil {
			yield(Task{}, Outcome{Err: err})
			return
		}
		w.gate = newGate(w.inFlight, w.rate)
		w.all(ctx, tasks, yield)
	}
}

// InFlight bounds the requests that a WaitAll makes at once. The default is 8. Wait and Watch
// ignore it, and Waiting and Rate too, because they make one request at a time.
func InFlight(n int) WaitOption {
	return option(opRetrieve, "InFlight: the number is not positive", n > 0, func(w *waiter) { w.inFlight = n })
}

// Waiting bounds the tasks that a WaitAll waits for at once, each with a goroutine of its
// own. The default is 1000.
func Waiting(n int) WaitOption {
	return option(opRetrieve, "Waiting: the number is not positive", n > 0, func(w *waiter) { w.waiting = n })
}

// Rate bounds the polls per second that a WaitAll starts, evenly spread. By default there
// is no such bound.
func Rate(perSecond float64) WaitOption {
	return option(opRetrieve, "Rate: the number is not positive and finite", perSecond > 0 && !math.IsInf(perSecond, 1), func(w *waiter) { w.rate = rate.Limit(perSecond) })
}

// all runs a goroutine for each task now waited for.
func (w *waiter) all(ctx context.Context, tasks iter.Seq[Task], yield func(Task, Outcome) bool) {
	type ended struct {
		task    Task
		outcome Outcome
	}
	inner, cancel := context.WithCancel(ctx)
	done, left := make(chan ended), make(chan struct{})
	var group sync.WaitGroup
	defer group.Wait()
	defer close(left)
	defer cancel()

	waiting := map[Task]struct{}{}
	report := func(e ended) bool {
		delete(waiting, e.task)
		return yield(e.task, e.outcome)
	}
	if ctx.Err() != nil {
		return
	}
	start := func(task Task) {
		waiting[task] = struct{}{}
		group.Go(func() {
			e, returned := ended{task: task}, false
			defer func() {
				if r := recover(); r != nil {
					panic(r) // before anybody hears of an outcome
				}
				if !returned {
					e.outcome.Err = &Error{Op: opRetrieve, Err: errGoexit}
				}
				select {
				case done <- e:
				case <-left:
				}
			}()
			w.watch(inner, task, func(r *Result, err error) bool {
				e.outcome = Outcome{Result: r, Err: err}
				return true
			})
			returned = true
		})
	}
	for task := range tasks {
		if _, ok := waiting[task]; !ok {
			start(task)
		}
		for len(waiting) == w.waiting {
			if !report(<-done) {
				return
			}
		}
		select {
		case e := <-done:
			if !report(e) {
				return
			}
		default:
		}
		if ctx.Err() != nil {
			break
		}
	}
	for len(waiting) > 0 {
		if !report(<-done) {
			return
		}
	}
}

// errGoexit is what is left when a function of the caller ends its goroutine, as t.FailNow does.
var errGoexit = errors.New("a function that was called ended its goroutine")

// gate is what the polls of one WaitAll share. A nil gate is that of a single wait.
type gate struct {
	door    chan struct{} // one poll at a time waits for its turn
	slots   chan struct{} // of the requests in flight
	limiter *rate.Limiter
	most    rate.Limit // of Rate

	mu      sync.Mutex
	answers []time.Time // of the last second
	quiet   time.Time   // no poll starts before
	pace    rate.Limit  // at that time
	burst   bool        // what was refused was a burst, and the pace is a guess
}

func newGate(inFlight int, most rate.Limit) *gate {
	return &gate{door: make(chan struct{}, 1), slots: make(chan struct{}, inFlight), limiter: rate.NewLimiter(most, 1), most: most, pace: rate.Inf}
}

// enter waits until a poll may start, and reports whether the context let it.
func (g *gate) enter(ctx context.Context) bool {
	if g == nil {
		return ctx.Err() == nil
	}
	if !acquire(ctx, g.door) {
		return false
	}
	defer func() { <-g.door }()
	if !acquire(ctx, g.slots) {
		return false
	}
	for sleep(ctx, g.silence()) {
		turn := g.turn()
		if !sleep(ctx, turn.Delay()) {
			turn.Cancel() // The next one has it.
			break
		}
		if g.silence() <= 0 {
			return true
		}
	}
	<-g.slots
	return false
}

func acquire(ctx context.Context, slots chan<- struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// silence is how long no poll may start.
func (g *gate) silence() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Until(g.quiet)
}

// turn is the turn of the next poll.
func (g *gate) turn() *rate.Reservation {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	g.limiter.SetLimitAt(now, g.paceAt(now))
	return g.limiter.ReserveN(now, 1)
}

// paceAt is the pace as it rises after a refusal: twofold each second where it is a guess,
// and slowly at first where it was the pace that was refused.
func (g *gate) paceAt(t time.Time) rate.Limit {
	age := max(t.Sub(g.quiet).Seconds(), 0)
	rise := math.Exp(age * age * age / 125e3)
	if g.burst {
		rise = math.Exp2(age)
	}
	return min(g.pace*rate.Limit(rise), g.most)
}

// leave ends a poll that started at start. When the server is asked too often, the pace falls to
// nine tenths of that at which the refused poll started, or to eight when it had not held for 3 s;
// after a burst, to what was answered of it in a second. Of polls in flight together, one tells.
func (g *gate) leave(start time.Time, e *Error) {
	if g == nil {
		return
	}
	<-g.slots
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for len(g.answers) > 0 && now.Sub(g.answers[0]) > time.Second {
		g.answers = g.answers[1:]
	}
	before := start.Before(g.quiet)
	if e == nil || !errors.Is(e, ErrRateLimited) && !errors.Is(e, ErrOverloaded) {
		g.answers = append(g.answers, now)
		if before && g.burst {
			g.pace++ // It was in flight when the pace was guessed.
		}
		return
	}
	if !before {
		held, answered := start.Sub(g.quiet).Seconds(), rate.Limit(len(g.answers))
		g.pace = g.paceAt(start)
		switch g.burst = g.pace*rate.Limit(min(held, 1)) > 8*(answered+1); {
		case g.burst:
			g.pace = max(answered, 1)
		case held < 3:
			g.pace *= 0.8
		default:
			g.pace *= 0.9
		}
	}
	if until := now.Add(max(min(e.RetryAfter, maxPause), time.Second)); until.After(g.quiet) {
		g.quiet = until
	}
}
