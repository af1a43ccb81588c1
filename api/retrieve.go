package api

import (
	"context"
	"net/http"
	"slices"
)

// Retrieve asks once for the state of an agent task (POST /v1/agents/async-result).
//
// A Result with Status pending, success or failed is an answer and comes without an
// error, also when the task failed: Result.Err tells. A word that nobody knows counts as
// pending. An error is always an *Error and matches one of the classes of this package, or
// none where the server gave no known reason; ErrMalformed means that an HTTP status came,
// but no answer that says how the task stands.
//
// Retrieve is a read and is repeated after transient failures: see WithMaxAttempts. The
// task must name an agent and an async id; an agent that has no async ids takes what
// identifies the task through BodyFields. The context bounds all attempts.
func (c *ClientWithResponses) Retrieve(ctx context.Context, task Task, editors ...RequestEditorFn) (*Result, error) {
	const op = "retrieveAgentResult"
	g, err := c.guard(ctx, op, editors)
	if err != nil {
		return nil, err
	}
	if task.AgentID == "" {
		return nil, invalid(op, "the agent id is empty")
	}
	if task.AsyncID == "" {
		editors = append(slices.Clip(editors), identified)
	}
	r, err := g.read(ctx, op, func() (*http.Response, error) { return c.post(ctx, g.poll, task, editors) })
	if err != nil {
		return nil, err
	}
	if r.AgentID == "" {
		r.AgentID = task.AgentID
	}
	if r.AsyncID == "" {
		r.AsyncID = task.AsyncID
	}
	return r, nil
}

// identified refuses a request that names an agent and nothing else: the server would
// answer it as a failed task.
func identified(_ context.Context, req *http.Request) error {
	body, err := bodyObject(req)
	if err != nil {
		return invalid("", "%w", err)
	}
	for name := range body {
		if name != "agent_id" && has(body, name) {
			return nil
		}
	}
	return invalid("", "the async id is empty")
}
