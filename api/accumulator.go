package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
)

// Accumulator folds the events of a stream into one Result: the answer and the thinking as one
// text each for as long as they go on, tool calls in the order in which they began, the last
// usage and reason to finish. The zero value is ready for use. It is not safe for concurrent use.
type Accumulator struct {
	// MaxBody bounds the bytes of the texts, tool calls and addresses, with the roles, phases and tags of
	// those that are not joined to the one before. Of these there may be one for each 256 bytes of MaxBody, and
	// always 1,024. 0 means 16 MiB.
	MaxBody int64
	// Skipped is the number of corrupt events that the stream passed over.
	Skipped int

	result   Result
	finish   FinishReason
	complete bool
	messages []Message
	text     []byte              // of the last message, while more of it may come
	calls    map[string]*toolRun // that may go on, by tool and position
	runs     []*toolRun          // that were written in pieces
	size     int64
}

// toolRun is a tool call that comes in pieces.
type toolRun struct {
	message int // its index
	fields  object
	pieces  bool // more than one
}

// Add takes in the next event. Its error matches ErrBodyTooLarge when the event would pass
// MaxBody; what came before it is kept.
func (a *Accumulator) Add(event *Result) error {
	if event == nil {
		return nil
	}
	size := a.size
	for _, p := range event.parts() {
		size += int64(len(p.Text) + len(p.Object) + len(p.VideoURL) + len(p.FileURL) + len(p.ImageURL) + len(p.URL))
	}
	for i := range event.VideoResult {
		size += int64(len(event.VideoResult[i].URL) + len(event.VideoResult[i].CoverImageURL))
	}
	limit := cmp.Or(a.MaxBody, defaultMaxBody)
	if size > limit {
		return fmt.Errorf("%w of %d bytes: the texts of a stream", ErrBodyTooLarge, limit)
	}
	// Each takes some hundred bytes, however short it is.
	if n := max(len(a.messages), len(a.result.VideoResult)); int64(n) > max(limit/256, 1024) {
		return fmt.Errorf("%w of %d bytes: a stream of %d pieces", ErrBodyTooLarge, limit, n)
	}
	a.size = size
	a.Skipped += event.Skipped
	for i := range event.Choices {
		c := &event.Choices[i]
		for m := range c.All() {
			for _, p := range m.Content {
				a.part(m.Role, cmp.Or(p.Phase, m.Phase), p)
			}
		}
		if c.FinishReason == FinishToolCalls { // The calls that have an output are over.
			for key, run := range a.calls {
				if has(run.fields, "output") {
					delete(a.calls, key)
				}
			}
		} else {
			a.finish = cmp.Or(c.FinishReason, a.finish)
		}
	}
	a.complete = a.complete || event.Status == StatusSuccess
	r := &a.result
	for _, v := range event.VideoResult {
		if v != (VideoResult{}) { // Empty ones would pass any bound.
			r.VideoResult = append(r.VideoResult, v)
		}
	}
	r.ID, r.RequestID, r.AsyncID = cmp.Or(event.ID, r.ID), cmp.Or(event.RequestID, r.RequestID), cmp.Or(event.AsyncID, r.AsyncID)
	r.AgentID, r.ConversationID = cmp.Or(event.AgentID, r.AgentID), cmp.Or(event.ConversationID, r.ConversationID)
	r.Usage, r.Error = cmp.Or(event.Usage, r.Usage), cmp.Or(event.Error, r.Error)
	r.StatusCode = cmp.Or(event.StatusCode, r.StatusCode)
	return nil
}

// part takes in a part. Text that goes on in the phase of the text before it becomes one part
// with it, and so do the pieces of a tool call.
func (a *Accumulator) part(role Role, phase Phase, p Part) {
	bare := p.VideoURL+p.FileURL+p.ImageURL+p.URL == ""
	plain := bare && p.Text != "" && p.Object == nil
	switch {
	case plain && len(a.text) > 0 && a.messages[len(a.messages)-1].Phase == phase:
		a.text = append(a.text, p.Text...)
		return
	case bare && p.Text == "" && (p.Object == nil || a.goesOn(p.Object)):
		return
	}
	a.size += int64(len(role) + len(phase) + len(p.Type) + len(p.TagCN) + len(p.TagEN))
	a.flush(a.messages)
	a.text = a.text[:0]
	a.messages = append(a.messages, Message{Role: role, Phase: phase, Content: []Part{p}})
	if plain {
		a.text = append(a.text, p.Text...)
	}
}

// flush writes the pending text into the last message.
func (a *Accumulator) flush(messages []Message) {
	if len(a.text) > 0 {
		last := &messages[len(messages)-1]
		p := last.Content[0]
		p.Text = string(a.text)
		last.Content = []Part{p}
	}
}

// goesOn reports whether a tool call is a piece of one that came before: of the same tool at the
// same position, adding its output, or more of an output that is text. If not, it is kept
// in mind as the beginning of one.
func (a *Accumulator) goesOn(call json.RawMessage) bool {
	piece := asObject(call)
	name := asString(piece["tool_name"])
	if name == "" {
		return false
	}
	key := name + " " + string(piece["position"])
	run := a.calls[key]
	fits := run != nil && !has(piece, "input")
	if fits && has(run.fields, "output") {
		fits = isString(run.fields["output"]) && isString(piece["output"])
	}
	if !fits {
		if a.calls == nil {
			a.calls = map[string]*toolRun{}
		}
		a.calls[key] = &toolRun{message: len(a.messages), fields: piece}
		return false
	}
	for field, value := range piece {
		if field == "output" && has(run.fields, field) {
			whole := run.fields[field]
			value = append(whole[:len(whole)-1], value[1:]...) // Two JSON strings become one.
		}
		run.fields[field] = value
	}
	if !run.pieces {
		run.pieces = true
		a.runs = append(a.runs, run)
	}
	return true
}

// Result returns what has come so far, in one Choice. Status is failed when an event said so,
// success when the stream came to its end, and otherwise pending. Raw is nil: each event has
// its own.
func (a *Accumulator) Result() *Result {
	r := a.result
	r.VideoResult, r.Skipped = slices.Clone(r.VideoResult), a.Skipped
	messages := slices.Clone(a.messages)
	a.flush(messages)
	for _, run := range a.runs {
		m := &messages[run.message]
		m.Content = slices.Clone(m.Content)
		m.Content[0].Object = unescaped(run.fields)
	}
	if len(messages) > 0 || a.finish != "" {
		r.Choices = []Choice{{FinishReason: a.finish, Messages: messages}}
	}
	switch {
	case r.Error != nil:
		r.Status = StatusFailed
	case a.complete || a.finish != "":
		r.Status = StatusSuccess
	default:
		r.Status = StatusPending
	}
	return &r
}

// unescaped writes an object without escapes for HTML, which tools write.
func unescaped(o object) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(o) != nil { //nolint:errchkjson // The fields were read from JSON, so this cannot be.
		return nil
	}
	return bytes.TrimSpace(b.Bytes())
}
