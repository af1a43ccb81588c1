package api

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// accumulator folds the events of a stream into one Result.
type accumulator struct {
	result   Result
	finish   FinishReason
	messages []Message
	text     strings.Builder // of the last message, while more of it may come
	size     int64           // of what is held
}

// add takes in the next event. Text that goes on in the phase of the text before it
// becomes one part with it. The marks between tool calls are not the end of the answer.
func (a *accumulator) add(event *Result) {
	for i := range event.Choices {
		if reason := event.Choices[i].FinishReason; reason != FinishToolCalls {
			a.finish = cmp.Or(reason, a.finish)
		}
		for m := range event.Choices[i].All() {
			for _, p := range m.Content {
				a.part(m.Role, cmp.Or(p.Phase, m.Phase), p)
			}
		}
	}
	r := &a.result
	r.VideoResult = append(r.VideoResult, event.VideoResult...)
	r.ID, r.RequestID = cmp.Or(event.ID, r.ID), cmp.Or(event.RequestID, r.RequestID)
	r.AgentID, r.ConversationID = cmp.Or(event.AgentID, r.AgentID), cmp.Or(event.ConversationID, r.ConversationID)
	r.Usage, r.Error = cmp.Or(event.Usage, r.Usage), cmp.Or(event.Error, r.Error)
}

func (a *accumulator) part(role Role, phase Phase, p Part) {
	a.size += int64(len(p.Text) + len(p.Object) + len(p.VideoURL) + len(p.FileURL) + len(p.ImageURL) + len(p.URL))
	last := len(a.messages) - 1
	plain := p.Text != "" && p.Object == nil && p.VideoURL+p.FileURL+p.ImageURL+p.URL == ""
	if plain && a.text.Len() > 0 && a.messages[last].Phase == phase {
		a.text.WriteString(p.Text)
		return
	}
	if a.text.Len() > 0 {
		a.messages[last].Content[0].Text = a.text.String()
		a.text.Reset()
	}
	a.messages = append(a.messages, Message{Role: role, Phase: phase, Content: []Part{p}})
	if plain {
		a.text.WriteString(p.Text)
	}
}

// fold returns what has come so far. Status is failed when an event said so, success
// once a reason to finish came, and otherwise pending.
func (a *accumulator) fold() *Result {
	r := a.result
	messages := slices.Clone(a.messages)
	if a.text.Len() > 0 {
		last := &messages[len(messages)-1]
		last.Content = []Part{{Type: PartText, Text: a.text.String()}}
	}
	if len(messages) > 0 || a.finish != "" {
		r.Choices = []Choice{{FinishReason: a.finish, Messages: messages}}
	}
	switch {
	case r.Error != nil:
		r.Status = StatusFailed
	case a.finish != "":
		r.Status = StatusSuccess
	default:
		r.Status = StatusPending
	}
	return &r
}

// isEventStream reports whether a body is an event stream. The body decides, because
// the server sends streams under other content types and JSON under that of streams.
func isEventStream(contentType string, body []byte) bool {
	for _, prefix := range [...]string{"data:", ":", "event:", "id:"} {
		if bytes.HasPrefix(body, []byte(prefix)) {
			return true
		}
	}
	return strings.Contains(strings.ToLower(contentType), "event-stream") &&
		(len(body) == 0 || strings.IndexByte("{<[", body[0]) < 0)
}

// eventReader reads the events of a stream. Lines end in CRLF, LF or CR; only the field
// data counts; the end of the body ends the last event.
type eventReader struct {
	r       *bufio.Reader
	max     int64 // bytes of one event
	afterCR bool  // a LF that comes next belongs to the CR before it
}

// next returns the data of the next event, in memory that the caller owns.
func (e *eventReader) next() ([]byte, error) {
	var data []byte
	for open := false; ; {
		line, err := e.line(e.max - int64(len(data)))
		if err != nil && (!errors.Is(err, io.EOF) || len(line) == 0 && !open) {
			return nil, err
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimPrefix(value, []byte(" "))
		switch {
		case string(name) == "data" && open:
			data = append(append(data, '\n'), value...)
		case string(name) == "data":
			data, open = value, true
		}
		if open && (err != nil || len(line) == 0) {
			return data, nil //nolint:nilerr // The end of the body ends the event, and comes again.
		}
	}
}

// line reads a line of at most limit bytes, without its end.
func (e *eventReader) line(limit int64) (line []byte, err error) {
	for {
		if _, err := e.r.Peek(1); err != nil {
			return line, err
		}
		chunk, _ := e.r.Peek(e.r.Buffered())
		if e.afterCR && chunk[0] == '\n' {
			e.afterCR = false
			_, _ = e.r.Discard(1)
			continue
		}
		end := bytes.IndexAny(chunk, "\r\n")
		found := end >= 0
		if !found {
			end = len(chunk)
		}
		if int64(len(line)+end) > limit {
			return nil, fmt.Errorf("%w: an event of more than %d bytes", ErrBodyTooLarge, e.max)
		}
		line = append(line, chunk[:end]...)
		if e.afterCR = found && chunk[end] == '\r'; found {
			end++
		}
		_, _ = e.r.Discard(end)
		if found {
			return line, nil
		}
	}
}
