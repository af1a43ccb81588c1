package api

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Operation ids of the description.
const (
	opInvoke       = "invokeAgent"
	opConversation = "getAgentConversation"
)

// Invoke sends a request to an agent (POST /v1/agents) and returns its answer. Where the agent
// answers with a stream, as slides_glm_agent does though none was asked for, the stream is
// read to its end and folded into one Result; WithIdleTimeout then takes the place of
// WithTimeout, and WithMaxBody bounds its texts.
//
// An answer that says failed is a *TaskError, also inside HTTP 200. Any other failure is an
// *Error; what is wrong with a request is said before it is sent (ErrInvalidRequest). An
// answer of an abnormal FinishReason is incomplete and no error. Accept and Accept-Encoding are set after
// the editors of the client and before those of the call.
//
// Agents cost money, so a request is sent once. It is repeated only, within WithMaxAttempts, after
// HTTP 429 with a code that proves that nothing was created (1302, 1303, 1305, 1312). An
// *Error that matches ErrUnknownOutcome is an answer that was lost: its CallerRequestID is the
// request_id that was sent, which Invoke makes up for agents that take one where the request
// has none. While the server runs that request, it refuses the same id with ErrConflict (code 1231);
// whether it does so later is not documented, so an id is no way to send a request again safely.
func (c *ClientWithResponses) Invoke(ctx context.Context, request AgentRequest, editors ...RequestEditorFn) (*Result, error) {
	result, _, err := c.finish(ctx, request, editors)
	return result, err
}

// finish is Invoke, and returns also the attempt that gave the Result.
func (c *ClientWithResponses) finish(ctx context.Context, request AgentRequest, editors []RequestEditorFn) (*Result, *exchange, error) {
	result, x, err := c.invoke(ctx, request, false, editors)
	if err != nil || x.stream == nil {
		return result, x, err
	}
	all := Accumulator{MaxBody: x.guard.maxBody}
	for event, err := range x.stream.all {
		if failed, ok := err.(*TaskError); ok { //nolint:errorlint // A wrapped one tells of another call.
			_ = all.Add(failed.Result) // The error is what counts.
			failed.Result = all.Result()
		}
		if err == nil {
			if tooLarge := all.Add(event); tooLarge != nil {
				err = x.stream.broken(tooLarge)
			}
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return all.Result(), x, nil
}

// Submit is Invoke for an agent that makes a task, such as vidu_template_agent, and returns the
// Task to keep and to wait for. An answer that is finished already or names no task is an
// *Error that matches ErrNoTask and holds the Result.
func (c *ClientWithResponses) Submit(ctx context.Context, request AgentRequest, editors ...RequestEditorFn) (Task, error) {
	r, x, err := c.finish(ctx, request, editors)
	if err != nil {
		return Task{}, err
	}
	if r.Status != StatusPending || r.AsyncID == "" {
		return Task{}, &Error{Op: opInvoke, StatusCode: r.StatusCode, RequestID: r.RequestID, CallerRequestID: x.callerID, Attempts: x.attempt, Result: r,
			Err: fmt.Errorf("%w: the answer is %s, its async id %q; Invoke is for such answers", ErrNoTask, r.Status, line(r.AsyncID, 64))}
	}
	return r.Task(), nil
}

// invoke sends a request to an agent. Without an error the answer is a Result, or the stream of the
// attempt that was answered.
func (c *ClientWithResponses) invoke(ctx context.Context, request AgentRequest, streaming bool, editors []RequestEditorFn) (*Result, *exchange, error) {
	g, err := c.guard(ctx, opInvoke, editors)
	if err != nil {
		return nil, nil, err
	}
	body, agent, err := encode(request, streaming)
	if err != nil {
		return nil, nil, err
	}
	editors = slices.Clip(append([]RequestEditorFn{streamable}, editors...))
	var x *exchange
	r, err := retry(ctx, g, func(n int) (*Result, *Error) {
		x = g.create(ctx, opInvoke, n)
		params := &InvokeAgentParams{AcceptLanguage: new(defaultLanguage)}
		resp, err := c.InvokeAgentWithBody(ctx, params, "application/json", bytes.NewReader(body), append(editors, x.once)...) //nolint:bodyclose // answer or the stream closes it.
		if x.stream = x.streamOf(resp, agent); x.stream != nil {
			return nil, nil
		}
		return x.answer(resp, err)
	})
	if err != nil || x.stream != nil {
		return nil, x, err
	}
	r.AgentID = cmp.Or(r.AgentID, agent)
	if err := r.Err(); err != nil {
		return nil, nil, err
	}
	return r, x, nil
}

// Conversation returns the files that were exported from a conversation with slides_glm_agent
// (POST /v1/agents/conversation): Result.FileURLs and ImageURLs. A deck without exports yet is a
// Result that holds none. An empty AgentID means slides_glm_agent.
//
// Conversation is a read and is repeated after transient failures, as Retrieve is, and
// returns the same errors; an answer that says failed is a *TaskError.
func (c *ClientWithResponses) Conversation(ctx context.Context, request ConversationRequest, editors ...RequestEditorFn) (*Result, error) {
	g, err := c.guard(ctx, opConversation, editors)
	if err != nil {
		return nil, err
	}
	if request.ConversationID == "" {
		return nil, invalid(opConversation, "the conversation id is empty")
	}
	request.AgentID = cmp.Or(request.AgentID, AgentSlidesGLM)
	r, err := retry(ctx, g, func(n int) (*Result, *Error) { return c.read(ctx, g, opConversation, n, request, editors) })
	if err != nil {
		return nil, err
	}
	r.AgentID, r.ConversationID = cmp.Or(r.AgentID, request.AgentID), cmp.Or(r.ConversationID, request.ConversationID)
	if err := r.Err(); err != nil {
		return nil, err
	}
	return r, nil
}

// streamable asks for what keeps a stream going: compressed ones crawl, and with another Accept the
// server keeps their connection open.
func streamable(_ context.Context, req *http.Request) error {
	req.Header.Set("Accept", "application/json")
	req.Header.Set("Accept-Encoding", "identity")
	return nil
}

// exchange is one attempt at a create, for what its error must say: nothing tells a lost answer
// from a request that was never sent but the connection itself.
type exchange struct {
	guard    *guard
	ctx      context.Context //nolint:containedctx // of the call
	op       string
	attempt  int
	start    time.Time
	stream   *stream     // where that is the answer
	sent     bool        // or about to be
	callerID string      // the request_id that is sent
	reported atomic.Bool // the Doer reports to httptrace
	written  atomic.Bool // a part of the request, perhaps
	broken   atomic.Bool // net/http would send it again: over HTTP/2, before an answer
}

// create begins the n-th attempt at a create.
func (g *guard) create(ctx context.Context, op string, n int) *exchange {
	x := &exchange{guard: g, ctx: ctx, op: op, attempt: n, start: time.Now()}
	x.reported.Store(g.traced)
	return x
}

// once is the last editor of a create. It traces this request, and not those that editors make of
// their own, and keeps net/http from sending it twice: for an idempotency key that an editor of the caller set, even a nil one, and over HTTP/2 for a stream
// that was reset with PROTOCOL_ERROR, which proves nothing. What is left is a connection that broke
// before a byte was written.
func (x *exchange) once(ctx context.Context, req *http.Request) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if o, err := bodyObject(req); err == nil {
		x.callerID = asString(o["request_id"])
	}
	_, key := req.Header["Idempotency-Key"]
	_, xkey := req.Header["X-Idempotency-Key"]
	if again := req.GetBody; key || xkey {
		req.GetBody = nil
	} else if again != nil {
		req.GetBody = func() (io.ReadCloser, error) {
			if x.broken.Load() {
				return nil, errReset
			}
			return again()
		}
	}
	*req = *req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{ //nolint:contextcheck // An editor may have set it.
		GetConn: func(string) { x.reported.Store(true) },
		WroteHeaderField: func(name string, _ []string) {
			x.written.Store(true)
			if strings.HasPrefix(name, ":") {
				x.broken.Store(true)
			}
		},
		GotFirstResponseByte: func() { x.broken.Store(false) },
	}))
	x.sent = true
	return nil
}

var errReset = errors.New("the server refused or reset the HTTP/2 stream")

// answer reads what the attempt gave.
func (x *exchange) answer(resp *http.Response, err error) (*Result, *Error) {
	r, e := x.guard.answer(x.ctx, x.op, resp, err)
	if e != nil {
		e = x.blame(e)
	}
	x.guard.log(x.ctx, x.op, x.attempt, x.start, r, e)
	return r, e
}

// blame says of a failure whether the create may be repeated, whether its outcome is known,
// and what the caller's id was.
func (x *exchange) blame(e *Error) *Error {
	e.again = e.StatusCode == http.StatusTooManyRequests && slices.Contains(nothingCreated, e.Code)
	if !x.sent { // It was refused by an editor.
		return e
	}
	e.CallerRequestID = x.callerID
	// When the context has ended, an error of the caller may be the cause, which may say anything.
	unsent := e.StatusCode == 0 && (x.ctx.Err() == nil && errors.Is(e.Err, ErrInvalidRequest) || x.reported.Load() && !x.written.Load())
	class, _ := classify(e.StatusCode, e.Code, e.Message, e.flat)
	switch {
	case unsent || class != nil && class != ErrServer: //nolint:errorlint // The class is the sentinel itself.
	case e.Err == nil:
		e.Err = ErrUnknownOutcome
	default:
		e.Err = fmt.Errorf("%w: %w", ErrUnknownOutcome, e.Err)
	}
	return e
}

// nothingCreated are the codes with which HTTP 429 refuses a create before it has begun.
var nothingCreated = []ErrorCode{CodeConcurrencyLimit, CodeFrequencyLimit, CodePlatformBusy, CodeModelBusy}
