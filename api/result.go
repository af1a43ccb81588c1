package api

import (
	"encoding/json"
	"fmt"
	"iter"
	"log/slog"
	"strconv"
	"strings"
)

// VideoURLs returns the addresses of the videos, in order and without repeats. They are
// signed and short-lived: fetch them soon, without the API key, and log them without
// their query.
func (r *Result) VideoURLs() []string {
	return r.urls(func(p *Part) string {
		if strings.TrimSpace(p.VideoURL) == "" && p.Type == PartVideoURL {
			return p.URL
		}
		return p.VideoURL
	}, r.VideoResult)
}

// FileURLs returns the addresses of the files, in order and without repeats. See VideoURLs.
func (r *Result) FileURLs() []string {
	return r.urls(func(p *Part) string { return p.FileURL }, nil)
}

// ImageURLs returns the addresses of the pictures, in order and without repeats. See VideoURLs.
func (r *Result) ImageURLs() []string {
	return r.urls(func(p *Part) string { return p.ImageURL }, nil)
}

// urls collects what address finds in the parts, then the videos of the task API.
func (r *Result) urls(address func(*Part) string, videos []VideoResult) []string {
	var urls []string
	seen := map[string]bool{}
	add := func(s string) {
		if s = strings.TrimSpace(s); isHTTP(s) && !seen[s] {
			seen[s], urls = true, append(urls, s)
		}
	}
	for _, p := range r.parts() {
		add(address(p))
	}
	for i := range videos {
		add(videos[i].URL)
	}
	return urls
}

// Text returns what the agent answered: the text of all parts joined without a separator,
// without its thinking and its tool calls.
func (r *Result) Text() string {
	return r.text(func(phase Phase) bool { return phase != PhaseThinking && phase != PhaseTool })
}

// Thinking returns what the agent wrote before it answered, where it tells.
func (r *Result) Thinking() string {
	return r.text(func(phase Phase) bool { return phase == PhaseThinking })
}

func (r *Result) text(wanted func(Phase) bool) string {
	var texts []string
	for phase, p := range r.parts() {
		if p.Text != "" && wanted(phase) {
			texts = append(texts, p.Text)
		}
	}
	return strings.Join(texts, "")
}

// ToolCall is a tool that an agent used on its way to the answer.
type ToolCall struct {
	// Name is that of the tool: search, insert_page, add_slide and others.
	Name string
	// Title is that of the page, where the tool made one.
	Title string
	// Position holds the pages concerned, counted from 1: one for an insertion, all of them for
	// a deletion.
	Position []int
	// Input and Output are JSON as it was received; Text reads an Output that is a string. In
	// an event of a stream they are a piece, which Accumulator puts together with the others.
	Input, Output json.RawMessage
}

// Text returns an Output that is a string, which for a page is its HTML, and otherwise "". In recorded
// answers that HTML has escapes of its own, which stay: a backslash before each quote, and two
// backslashes and an n for each line end.
func (c *ToolCall) Text() string { return asString(c.Output) }

// ToolCalls returns the tools that the agent used, in order.
func (r *Result) ToolCalls() (calls []ToolCall) {
	for _, p := range r.parts() {
		o := asObject(p.Object)
		if name := asString(o["tool_name"]); name != "" {
			call := ToolCall{Name: name, Title: asString(o["title"]), Input: o["input"], Output: o["output"]}
			for _, position := range each(o["position"], func(raw json.RawMessage) []json.RawMessage { return []json.RawMessage{raw} }) {
				if n, err := strconv.Atoi(codeText(position)); err == nil {
					call.Position = append(call.Position, n)
				}
			}
			calls = append(calls, call)
		}
	}
	return calls
}

// FinishReason returns why the agent stopped: the last reason of all choices, empty when
// there is none. An Abnormal one means that the answer is incomplete.
func (r *Result) FinishReason() FinishReason {
	for i := len(r.Choices) - 1; i >= 0; i-- {
		if reason := r.Choices[i].FinishReason; reason != "" {
			return reason
		}
	}
	return ""
}

// Task returns the handle with which the result can be asked for again.
func (r *Result) Task() Task { return Task{AgentID: r.AgentID, AsyncID: r.AsyncID} }

// Err returns a *TaskError when the answer says that the task failed, otherwise nil.
func (r *Result) Err() error {
	if r.Status != StatusFailed {
		return nil
	}
	e := &TaskError{Task: r.Task(), Result: r, StatusCode: r.StatusCode, RequestID: r.RequestID}
	if r.Error != nil {
		e.Code, e.Message = r.Error.Code, redact(r.Error.Message)
	}
	return e
}

// String describes r on one line, without the addresses it holds.
func (r Result) String() string {
	return fmt.Sprintf("Result{%s %s %s, %d choices}",
		line(string(r.AgentID), 64), line(r.AsyncID, 128), line(string(r.Status), 32), len(r.Choices))
}

// GoString is String, so that no format prints signed addresses by accident.
func (r Result) GoString() string { return r.String() }

// LogValue is what slog prints: String.
func (r Result) LogValue() slog.Value { return slog.StringValue(r.String()) }

// All returns the messages of the choice under whichever key the server put them:
// messages, message, delta.
func (c *Choice) All() iter.Seq[*Message] {
	return func(yield func(*Message) bool) {
		for _, list := range [...][]Message{c.Messages, c.Message, c.Delta} {
			for i := range list {
				if !yield(&list[i]) {
					return
				}
			}
		}
	}
}

// parts returns every part with the phase that holds for it.
func (r *Result) parts() iter.Seq2[Phase, *Part] {
	return func(yield func(Phase, *Part) bool) {
		for i := range r.Choices {
			for m := range r.Choices[i].All() {
				for j := range m.Content {
					phase := m.Phase
					if p := m.Content[j].Phase; p != "" {
						phase = p
					}
					if !yield(phase, &m.Content[j]) {
						return
					}
				}
			}
		}
	}
}

// hasOutput reports whether the answer holds an address or an answer text, from which a
// missing status can be derived.
func (r *Result) hasOutput() bool {
	return r.Text() != "" || len(r.VideoURLs()) > 0 || len(r.FileURLs()) > 0 || len(r.ImageURLs()) > 0
}

// isHTTP reports whether s is an http or https address.
func isHTTP(s string) bool {
	scheme, _, ok := strings.Cut(s, "://")
	return ok && (strings.EqualFold(scheme, "http") || strings.EqualFold(scheme, "https"))
}
