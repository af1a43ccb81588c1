package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// ErrNoResult is a task that finished with nothing in it: a vidu_template_agent task
// without a video address, or any other without a text, an address or an object.
var ErrNoResult error = sentinel("the task finished without a result")

// maxPause bounds a Retry-After in a wait: what asks for more is no server to be believed.
const maxPause = time.Hour

// defaultMaxFailures is the number of polls in a row that may fail before a wait ends.
const defaultMaxFailures = 10

// Wait polls a task until it has ended. It looks at once, and then on a schedule that finds
// tasks of up to a minute sooner than a loop with pauses of 5 s, with as many polls, and longer ones
// later, with fewer:
//
//	task takes     3 s          10 s         60 s         600 s        median 60 s
//	this schedule  2.3 s,  2.0  1.4 s,  3.0  2.5 s, 13.2  6.3 s,   72  2.9 s, 16.4
//	every 5 s      2.6 s,  2.0  1.6 s,  3.1  2.9 s, 12.8  2.8 s,  115  2.8 s, 16.5
//	every 3 s      0.6 s,  2.0  1.8 s,  4.5  1.7 s, 19.6  1.8 s,  183  1.8 s, 25.5
//	AWS waiter     2.9 s,  3.0  4.2 s,  4.3  33 s,   7.3  40 s,  16.2  30 s,   7.4
//	Google LRO     2.0 s,  4.0  6.1 s,  5.7  21 s,   8.6  20 s,  26.3  19 s,   9.1
//	Azure poller   28 s,   2.0  21 s,   2.0  14 s,   3.4  15 s,  21.3  15 s,   4.1
//
// An entry is how late the result is in the mean, and the number of polls, with a round
// trip of 0.3 s and durations spread by 10 % to both sides (last column: lognormal with a sigma
// of 0.75). Every 5 s is the official example, every 3 s a habit; the waiters of the three cloud SDKs
// have their defaults.
//
// A poll follows the answer before it after a 25th of the time waited so far, but at least
// 4.7 s, which is what tasks of a minute can afford, and at most 12 s, so that no result
// is much later than that. The third poll comes 1 s later, for then it finds the tasks of 10 s. What
// that costs is longer tasks, which are late by 1 % of their duration, for two thirds of the polls.
// All pauses are spread evenly by 6 % to both sides, so that tasks started together are not polled
// together. Every and Expect change the schedule. A Retry-After of the server is the least
// time to the next poll, up to an hour.
//
// A task that succeeded is its Result and a nil error, or the Result and ErrNoResult when
// there is nothing in it. A task that failed is its Result and a *TaskError. A status word
// that nobody knows counts as not finished.
//
// A poll that fails for a passing reason does not end the wait, but MaxFailures of them in
// a row do; a permanent failure, such as ErrAuthentication or ErrNotFound, ends it at
// once. Either way the error is the *Error of the last poll, beside the last Result, which may be nil.
// A poll that is refused in the form of a failed task, by a rate limit say, counts as a
// failed poll and not as a failed task.
//
// When the context ends, or MaxWait has passed, Wait returns the last Result and a
// *WaitError. Without either limit it waits for as long as the task is pending.
func (c *ClientWithResponses) Wait(ctx context.Context, task Task, opts ...WaitOption) (*Result, error) {
	var last *Result
	for r, err := range c.Watch(ctx, task, opts...) {
		if last = r; err != nil {
			return last, err
		}
	}
	return last, nil
}

// Watch is Wait that yields every answer it sees: each pending one as it comes, with a
// nil error, and last what Wait would return. Leaving the loop stops everything.
func (c *ClientWithResponses) Watch(ctx context.Context, task Task, opts ...WaitOption) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		w, err := c.waiter(ctx, opts)
		if err != nil {
			yield(nil, err)
			return
		}
		w.watch(ctx, task, yield)
	}
}

// WaitOption changes how Wait, Watch and WaitAll work.
type WaitOption func(*waiter) error

// Every polls at a fixed spacing, from an answer, or the return of OnPoll, to the next poll,
// without jitter. After failed polls the spacing may be longer, up to 9 s, and a Retry-After still counts.
func Every(d time.Duration) WaitOption {
	return option(opRetrieve, "Every: the duration is not positive", d > 0, func(w *waiter) { w.every = d })
}

// Expect names the usual duration of such a task, counted from the start of the wait.
// After the first look that gave an answer, the polls begin shortly before it, and are close
// together around it. More than a year is refused.
func Expect(d time.Duration) WaitOption {
	return option(opRetrieve, "Expect: the duration is not positive, or more than a year", d > 0 && d <= maxExpect, func(w *waiter) { w.expect = d })
}

const maxExpect = 365 * 24 * time.Hour

// MaxWait bounds the wait for one task; the *WaitError then matches context.DeadlineExceeded.
// The context bounds it too. Without MaxWait there is no such bound; 0 is refused.
func MaxWait(d time.Duration) WaitOption {
	return option(opRetrieve, "MaxWait: the duration is not positive", d > 0, func(w *waiter) { w.maxWait = d })
}

// MaxFailures is the number of polls in a row that fail for a passing reason and end the
// wait. The default is 10.
func MaxFailures(n int) WaitOption {
	return option(opRetrieve, "MaxFailures: the number is not positive", n > 0, func(w *waiter) { w.maxFailures = n })
}

// OnPoll calls progress after each poll, also after a failed one, whose Result is nil.
// In WaitAll it is called from several goroutines. The next poll waits for it to return.
func OnPoll(progress func(*Result, Poll)) WaitOption {
	return option(opRetrieve, "OnPoll: the function is nil", progress != nil, func(w *waiter) { w.onPoll = progress })
}

// Edit applies request editors to each poll.
func Edit(editors ...RequestEditorFn) WaitOption {
	return option(opRetrieve, "Edit: a request editor is nil", !slices.ContainsFunc(editors, func(e RequestEditorFn) bool { return e == nil }),
		func(w *waiter) { w.editors = append(slices.Clip(w.editors), editors...) })
}

// option is a WaitOption or a DownloadOption, refused where it is not valid.
func option[T any](op, refusal string, valid bool, set func(*T)) func(*T) error {
	return func(t *T) error {
		if !valid {
			return invalid(op, "%s", refusal)
		}
		set(t)
		return nil
	}
}

// Poll describes one poll, for OnPoll.
type Poll struct {
	// Task is the task that was asked for.
	Task Task
	// N counts the polls of this task, from 1.
	N int
	// Elapsed is the time since the wait began.
	Elapsed time.Duration
	// Next is the time to the next poll; 0 after the last.
	Next time.Duration
	// Err is why the poll failed, or the task; nil when the poll gave an answer to go on with.
	Err error
}

// WaitError is a wait that ended before the task did. The task goes on, and can be
// waited for again.
type WaitError struct {
	// Task is the task that was waited for.
	Task Task
	// Result is the last answer; nil when there was none. It is left out of JSON because it may hold signed URLs.
	Result *Result `json:"-"`
	// Polls is the number of polls made.
	Polls int
	// Elapsed is how long the wait took.
	Elapsed time.Duration
	// Err is why the wait ended: the end of the context with its cause, joined with the
	// failure of the last poll if it failed.
	Err error
}

// Error says how long and how often was asked, which status was last, and why the wait ended.
func (e *WaitError) Error() string {
	status := "unknown"
	if e.Result != nil {
		status = line(cmp.Or(e.Result.RawStatus, string(e.Result.Status)), 32)
	}
	return fmt.Sprintf("zai: waiting for task %s: not finished after %d polls in %v, last status %s: %s",
		e.Task, e.Polls, e.Elapsed.Round(time.Millisecond), status, line(strings.ReplaceAll(fmt.Sprint(e.Err), "\n", "; "), 400))
}

// Unwrap returns Err.
func (e *WaitError) Unwrap() error { return e.Err }

// waiter holds the settings of a wait.
type waiter struct {
	client                 *ClientWithResponses
	guard                  *guard
	every, expect, maxWait time.Duration
	maxFailures            int
	onPoll                 func(*Result, Poll)
	editors                []RequestEditorFn
	inFlight, waiting      int
	rate                   rate.Limit
	gate                   *gate // of WaitAll
}

// waiter checks the client and applies the options.
func (c *ClientWithResponses) waiter(ctx context.Context, opts []WaitOption) (*waiter, error) {
	g, err := c.guard(ctx, opRetrieve, nil)
	if err != nil {
		return nil, err
	}
	w := &waiter{client: c, guard: g, maxFailures: defaultMaxFailures, inFlight: 8, waiting: 1000, rate: rate.Inf}
	for _, opt := range opts {
		if opt == nil {
			return nil, invalid(opRetrieve, "a wait option is nil")
		}
		if err := opt(w); err != nil {
			return nil, err
		}
	}
	if w.every > 0 && w.expect > 0 {
		return nil, invalid(opRetrieve, "Every and Expect exclude each other")
	}
	return w, nil
}

// watch polls until the task or the wait has ended, or yield wants no more.
func (w *waiter) watch(ctx context.Context, task Task, yield func(*Result, error) bool) {
	start := time.Now()
	if w.maxWait > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, w.maxWait, fmt.Errorf("MaxWait of %v passed: %w", w.maxWait, context.DeadlineExceeded))
		defer cancel()
	}
	var last *Result
	var failure *Error
	n, failures := 0, 0
	unfinished := func() error {
		cause := w.guard.cause(ctx, ctx, nil, "")
		if failure != nil {
			cause = errors.Join(cause, failure)
		}
		return &WaitError{Task: task, Result: last, Polls: n, Elapsed: time.Since(start), Err: cause}
	}
	for w.gate.enter(ctx) {
		n++
		r, e := w.look(ctx, task)
		poll := Poll{Task: task, N: n, Elapsed: time.Since(start)}
		var end bool
		switch {
		case e == nil:
			last, failure, failures = r, nil, 0
			poll.Err, end = r.end()
		case ctx.Err() != nil:
			poll.Err, end = unfinished(), true
		default:
			failure = e
			failures++
			poll.Err, end = e, failures >= w.maxFailures || !e.passing()
		}
		if !end {
			poll.Next = w.delay(n, failures, poll.Elapsed, r, e)
		}
		if w.onPoll != nil {
			w.onPoll(r, poll)
		}
		if end {
			yield(last, poll.Err)
			return
		}
		if r != nil && !yield(r, nil) {
			return
		}
		sleep(ctx, poll.Next) // When the context cut it short, enter says so.
	}
	yield(last, unfinished())
}

// look makes one poll of one attempt: the wait itself is the retry.
func (w *waiter) look(ctx context.Context, task Task) (r *Result, e *Error) {
	start := time.Now()
	defer func() { w.gate.leave(start, e) }()
	if r, e = w.client.poll(ctx, w.guard, 1, task, w.editors); e != nil {
		return nil, e
	}
	if failed, ok := errors.AsType[*TaskError](r.Err()); ok && r.AsyncID == "" {
		switch class, _ := failed.classify(); class {
		case ErrAuthentication, ErrAccount, ErrPermission, ErrQuota, ErrRateLimited, ErrOverloaded: //nolint:errorlint // The class is the sentinel itself.
			// This poll was refused, and the task may well go on.
			return nil, &Error{Op: opRetrieve, StatusCode: r.StatusCode, Code: failed.Code, Message: failed.Message,
				RequestID: r.RequestID, RetryAfter: r.RetryAfter, Attempts: 1}
		}
	}
	return r.of(task), nil
}

// passing reports whether a failed poll says nothing about the next one.
func (e *Error) passing() bool {
	class, retryable := classify(e.StatusCode, e.Code, e.Message, e.flat)
	redirect := e.StatusCode/100 == 3
	refused := errors.Is(e.Err, ErrInvalidRequest) || errors.Is(e.Err, ErrBodyTooLarge) || errors.Is(e.Err, errForeign)
	return !redirect && !refused && (class == nil || class == ErrServer || retryable) //nolint:errorlint // The class is the sentinel itself.
}

// end reports whether an answer is the last one, and the error that goes with it.
func (r *Result) end() (error, bool) {
	switch r.Status {
	case StatusSuccess:
		if !r.hasResult() {
			return fmt.Errorf("zai: task %s: %w", r.Task(), ErrNoResult), true
		}
		return nil, true
	case StatusFailed:
		return r.Err(), true
	default:
		return nil, false
	}
}

// hasResult reports whether a finished task has what its agent is for.
func (r *Result) hasResult() bool {
	if r.AgentID == AgentViduTemplate {
		return len(r.VideoURLs()) > 0
	}
	for _, p := range r.parts() {
		if p.Text != "" || len(p.Object) > 0 && string(p.Object) != "null" {
			return true
		}
	}
	return r.hasOutput()
}

// delay is the time from a poll to the next; the schedule is explained at Wait.
func (w *waiter) delay(n, failures int, elapsed time.Duration, r *Result, e *Error) time.Duration {
	var pause, least time.Duration
	if e != nil {
		least = max(min(e.RetryAfter, maxPause), jitter(min(firstBackoff<<min(failures, 10), maxBackoff)))
	} else {
		least = min(r.RetryAfter, maxPause)
	}
	switch {
	case w.every > 0:
		return max(w.every, least)
	case elapsed < w.expect*9/10 && e == nil:
		pause = w.expect*19/20 - elapsed
	case elapsed < w.expect*2:
		pause = min(max(w.expect/20, time.Second), 12*time.Second)
	default:
		pause = min(max(elapsed/25, 4700*time.Millisecond), 12*time.Second)
		if n == 2 {
			pause += time.Second
		}
	}
	return max(jitter(pause), least)
}

// jitter spreads d evenly by 6 % to both sides.
func jitter(d time.Duration) time.Duration {
	return d - d*6/100 + rand.N(d*12/100+1)
}
