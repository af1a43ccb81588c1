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
// asked too often, no poll starts for the longer of its Retry-After and 1 s, and the
// polls that follow are paced below the rate that was too much.
//
// Tasks are read as there is room (Waiting), and reading them must not block. A task that is
// among those now waited for is dropped. When the context ends, every task that was read
// is yielded, and no more are read. Leaving the loop stops everything, and no goroutine
// is left. An option that makes no sense is yielded once, with the zero Task.
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
		w.gate = newGate(w.inFlight, rate.Limit(w.rate))
		w.all(ctx, tasks, yield)
	}
}

// InFlight bounds the requests that a WaitAll makes at once. The default is 8.
func InFlight(n int) WaitOption {
	return waitOption("InFlight", n > 0, func(w *waiter) { w.inFlight = n })
}

// Waiting bounds the tasks that a WaitAll waits for at once, each with a goroutine of its
// own. The default is 1000.
func Waiting(n int) WaitOption {
	return waitOption("Waiting", n > 0, func(w *waiter) { w.waiting = n })
}

// Rate bounds the polls per second that a WaitAll starts, evenly spread. By default there
// is no such bound.
func Rate(perSecond float64) WaitOption {
	return waitOption("Rate", perSecond > 0 && !math.IsInf(perSecond, 1), func(w *waiter) { w.rate = perSecond })
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
	next, stop := iter.Pull(tasks)
	defer stop()
	defer group.Wait()
	defer close(left)
	defer cancel()

	waiting := map[Task]struct{}{}
	for more := true; ; {
		for more && len(waiting) < w.waiting && ctx.Err() == nil {
			var task Task
			if task, more = next(); !more {
				break
			}
			if _, ok := waiting[task]; ok {
				continue
			}
			waiting[task] = struct{}{}
			group.Go(func() {
				var last Outcome
				w.watch(inner, task, func(r *Result, err error) bool {
					last = Outcome{Result: r, Err: err}
					return true
				})
				select {
				case done <- ended{task, last}:
				case <-left:
				}
			})
		}
		if len(waiting) == 0 {
			return
		}
		e := <-done
		delete(waiting, e.task)
		if !yield(e.task, e.outcome) {
			return
		}
	}
}

// gate is what the polls of one WaitAll share.
type gate struct {
	slots   chan struct{}
	most    rate.Limit
	limiter *rate.Limiter

	mu     sync.Mutex
	quiet  time.Time // no poll starts before
	since  time.Time // when served began to count, or the pace last rose
	served int
}

func newGate(inFlight int, most rate.Limit) *gate {
	return &gate{slots: make(chan struct{}, inFlight), most: most, limiter: rate.NewLimiter(most, 1), since: time.Now()}
}

// enter waits until a poll may start, and reports whether the context let it.
func (g *gate) enter(ctx context.Context) bool {
	select {
	case g.slots <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	for {
		turn := g.limiter.Reserve()
		if !sleep(ctx, turn.Delay()) {
			turn.Cancel()
			<-g.slots
			return false
		}
		g.mu.Lock()
		quiet := time.Until(g.quiet)
		g.mu.Unlock()
		if quiet <= 0 {
			return true
		}
		if !sleep(ctx, quiet) {
			<-g.slots
			return false
		}
	}
}

// leave ends a poll. When the server was asked too often, the pace falls: at first to
// nine tenths of what it answered per second, later to nine tenths of itself. From there
// it rises by 1 % a second.
func (g *gate) leave(e *Error) {
	<-g.slots
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	took := now.Sub(g.since).Seconds()
	pace := g.limiter.Limit()
	if e == nil || !errors.Is(e, ErrRateLimited) && !errors.Is(e, ErrOverloaded) {
		if g.served++; pace < g.most && took > 1 {
			g.limiter.SetLimit(min(pace*rate.Limit(math.Pow(1.01, took)), g.most))
			g.since = now
		}
		return
	}
	if now.After(g.quiet) { // Not one of several polls that were refused together.
		if pace == rate.Inf {
			pace = rate.Limit(float64(g.served) / max(took, 1))
		}
		g.limiter.SetLimit(max(pace*9/10, 1))
	}
	if until := now.Add(max(e.RetryAfter, time.Second)); until.After(g.quiet) {
		g.quiet = until
	}
	g.since, g.served = g.quiet, 0
}
