package api

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"unicode/utf8"
)

// Retrieve asks once for the state of an agent task (POST /v1/agents/async-result).
//
// A Result with Status pending, success or failed is an answer and comes without an
// error, also when the task failed: Result.Err tells. A word that nobody knows counts as
// pending. A task that the server does not know is answered as one that failed, with a code, as
// recorded of one agent.
//
// An error is always an *Error. It matches a class of this package where the server
// gave a known reason, ErrInvalidRequest where nothing was sent, and what the connection or
// the context failed with where no answer came; ErrMalformed means that an HTTP status
// came, but no answer that says how the task stands.
//
// Retrieve is a read and is repeated after transient failures: see WithMaxAttempts. The
// task must name an agent and an async id; an agent that has no async ids takes what
// identifies the task through BodyFields. The context bounds all attempts.
func (c *ClientWithResponses) Retrieve(ctx context.Context, task Task, editors ...RequestEditorFn) (*Result, error) {
	g, err := c.guard(ctx, opRetrieve, editors)
	if err != nil {
		return nil, err
	}
	r, err := retry(ctx, g, func(n int) (*Result, *Error) { return c.poll(ctx, g, n, task, editors) })
	if err != nil {
		return nil, err
	}
	return r.of(task), nil
}

// opRetrieve is the operation id of the description.
const opRetrieve = "retrieveAgentResult"

// poll is one attempt to retrieve a task, the n-th.
func (c *ClientWithResponses) poll(ctx context.Context, g *guard, n int, task Task, editors []RequestEditorFn) (*Result, *Error) {
	if task.AgentID == "" {
		return nil, invalid(opRetrieve, "the agent id is empty")
	} else if !utf8.ValidString(string(task.AgentID)) || !utf8.ValidString(task.AsyncID) {
		return nil, invalid(opRetrieve, "an id is not UTF-8, and JSON cannot carry it unchanged")
	}
	if task.AsyncID == "" {
		editors = append(slices.Clip(editors), identified)
	}
	return c.read(ctx, g, opRetrieve, n, plainTask(task), editors)
}

// of fills in the ids of the task that was asked for, where the answer has none.
func (r *Result) of(task Task) *Result {
	r.AgentID, r.AsyncID = cmp.Or(r.AgentID, task.AgentID), cmp.Or(r.AsyncID, task.AsyncID)
	return r
}

// identified refuses a request that names an agent and nothing else: the server would
// answer it as a failed task.
func identified(_ context.Context, req *http.Request) error {
	body, err := bodyObject(req)
	if err != nil {
		return invalid("", "%w", err)
	}
	for name := range body {
		if name != "agent_id" && has(body, name) && string(body[name]) != `""` {
			return nil
		}
	}
	return invalid("", "the async id is empty")
}
