package zaitest

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Stream is a stream of events, and how it goes. The zero value is one as they were recorded,
// all of it at once. Where a client asks for gzip, all of it comes at the end; where it accepts
// text/event-stream, the connection stays open after the last event; so does the API.
type Stream struct {
	// Events are what the stream tells. Nil means [SlidesEvents] for the agent of slides, and
	// else [TextEvents] of the script's Text, ending in its FinishReason.
	Events []Event

	// Interval is the time before each event but the first.
	Interval time.Duration

	// KeepOpen leaves the connection open after the last event, until the client goes away.
	KeepOpen bool
}

// An Event is one event of a stream: a Text, a Tool, a mark or an error. The ids in it are the
// server's. The Shape of the script says how it is written.
type Event struct {
	// Text is a piece of what the agent says in a Phase: thinking, answer, or none.
	Text, Phase string

	// Tool is a piece of a tool call.
	Tool *Tool

	// FinishReason alone is a mark: tool_calls between two calls, anything else, with the
	// usage, at the end.
	FinishReason string

	// Code and Message are an error.
	Code, Message string

	// Data stands in place of all that: [DONE], or JSON of the test's own, or something that is
	// none.
	Data string

	// Before the event, the server waits for Pause, and until Hold, if there is one, is closed
	// or sends.
	Pause time.Duration
	Hold  <-chan struct{}

	// Abort breaks the connection in place of the event.
	Abort bool
}

// A Tool is a piece of a tool call. Names are search, add_slide and insert_page, among others.
// A call is announced with its Input; of its Output, a string or what JSON may hold, more
// pieces may come. Position is which slides it is about, counted from 1.
type Tool struct {
	Name     string `json:"tool_name"`
	Input    string `json:"input,omitempty"`
	Output   any    `json:"output,omitempty"`
	Position []int  `json:"position,omitempty"`
	Title    string `json:"title,omitempty"`
}

// TextEvents returns a stream that says text, word by word, and stops, with [DONE] after it,
// like that of a translation.
func TextEvents(text string) []Event {
	var events []Event
	for _, word := range pieces(text, " ") {
		events = append(events, Event{Text: word})
	}
	return append(events, Event{FinishReason: "stop"}, Event{Data: done})
}

const done = "[DONE]"

// pieces cuts text behind every end.
func pieces(text, end string) []string {
	return slices.DeleteFunc(strings.SplitAfter(text, end), func(piece string) bool { return piece == "" })
}

// SlidesEvents returns a stream as the agent of slides was recorded: it thinks, searches,
// writes the slides in pieces of HTML, whose quotes and line ends are escaped, with a mark
// after each call, says that they are ready, and stops, without [DONE]. The pages are HTML, and by default there are two.
func SlidesEvents(pages ...string) []Event {
	if len(pages) == 0 {
		pages = []string{"<!DOCTYPE html>\n<div class=\"slide\">One</div>", "<!DOCTYPE html>\n<div class=\"slide\">Two</div>"}
	}
	mark := Event{FinishReason: "tool_calls"}
	events := []Event{
		{Phase: "thinking", Text: "Plan"},
		{Phase: "thinking", Text: " it"},
		{Tool: &Tool{Name: "search", Input: `{"q":"tides"}`}},
		mark,
		{Tool: &Tool{Name: "search", Output: `[{\"title\":\"t\"}]`}},
	}
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\\n`, `"`, `\"`) // as it was recorded
	for i, page := range pages {
		for _, piece := range pieces(escape.Replace(page), ">") {
			events = append(events, Event{Tool: &Tool{Name: "add_slide", Title: fmt.Sprint("Slide ", i+1), Output: piece, Position: []int{i + 1}}})
		}
		events = append(events, mark)
	}
	return append(events, Event{Phase: "answer", Text: "Deck "}, Event{Phase: "answer", Text: "ready"}, Event{FinishReason: "stop"})
}

// stream answers with the events of a run. The deck is nil if it has none.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, t, deck *task) {
	events := t.events()
	s.mu.Lock()
	if deck != nil {
		for _, e := range events {
			if e.Tool != nil {
				deck.pages = slices.Max(append([]int{deck.pages}, e.Tool.Position...))
			}
		}
		for n := range deck.pages {
			if name := pageFile(n); s.files[name] == nil {
				s.files[name] = []byte(png)
			}
		}
	}
	s.mu.Unlock()
	ended := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.active = false; deck != nil {
			deck.active = false
		}
	}
	defer ended()

	header := http.Header{"Content-Type": {eventStream}}
	t.setContentType(header)
	maps.Copy(w.Header(), header)
	zipped := strings.Contains(r.Header.Get("Accept-Encoding"), "gzip")
	if zipped {
		w.Header().Set("Content-Encoding", "gzip")
	}
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w).Flush
	_ = flush()
	out, end := io.Writer(w), func() error { return nil }
	if zipped {
		zip := gzip.NewWriter(w)
		out, end, flush = zip, zip.Close, end
	}
	for i, e := range events {
		if i > 0 {
			e.Pause += t.Stream.Interval
		}
		if !e.wait(r.Context()) || e.Abort {
			panic(http.ErrAbortHandler)
		}
		last := i == len(events)-1
		if last || e.FinishReason != "" && e.FinishReason != "tool_calls" {
			ended() // before a client can know, which then asks for the files
		}
		t.frame(out, t.data(e), i, last)
		_ = flush()
	}
	_ = end()
	if t.Stream.KeepOpen || strings.Contains(r.Header.Get("Accept"), "text/event-stream") {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}
}

func (e Event) wait(ctx context.Context) bool {
	if e.Pause > 0 {
		select {
		case <-time.After(e.Pause):
		case <-ctx.Done():
		}
	}
	if e.Hold != nil {
		select {
		case <-e.Hold:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

// events are those of the script, or the recorded ones, with what the shape adds.
func (t *task) events() []Event {
	events := slices.Clone(t.Stream.Events)
	if events == nil {
		if events = TextEvents(t.Text); t.AgentID == slidesAgent {
			events = SlidesEvents()
		}
		last := slices.IndexFunc(events, func(e Event) bool { return e.FinishReason == "stop" })
		events[last].FinishReason = t.FinishReason
	}
	isDone := func(e Event) bool { return e.Data == done }
	switch t.Shape {
	case ShapeDone:
		events = append(slices.DeleteFunc(events, isDone), Event{Data: done})
	case ShapeNoDone:
		events = slices.DeleteFunc(events, isDone)
	case ShapeNullEvent:
		events = slices.Insert(events, 0, Event{Data: `{"id":"","object":"","created":0,"model":"","choices":null,"usage":null}`})
	case ShapeCorruptEvent:
		events = slices.Insert(events, min(1, len(events)), Event{Data: `{"id":data: {`})
	}
	return events
}

// data is what an event says, in JSON.
func (t *task) data(e Event) string {
	if e.Data != "" {
		return e.Data
	}
	m := object{"agent_id": t.AgentID}
	maps.Copy(m, t.ids)
	var parts []any
	phase, shape := e.Phase, t.Shape
	if !shape.in(messageShapes...) {
		shape = ShapeMessagesContentObject
	}
	switch tool := e.Tool; {
	case tool != nil:
		if shape == ShapeMessagesContentObject {
			shape = ShapeMessages // of these, content was seen as an array only
		}
		phase, parts = "tool", []any{object{"type": "object", "object": tool, "tag_cn": "工具", "tag_en": "Tool"}}
	case e.Text != "" && shape == ShapeContentString:
		parts = []any{e.Text}
	case e.Text != "":
		parts = []any{object{"type": "text", "text": e.Text}}
	}
	choice := object{}
	if parts != nil {
		choice = shape.choice(parts, phase)
		choice["index"] = 0
	}
	if e.FinishReason != "" {
		choice["finish_reason"] = e.FinishReason
		if e.FinishReason != "tool_calls" {
			m["usage"] = t.usage
		}
	}
	if len(choice) > 0 {
		m["choices"] = []any{choice}
	}
	if e.Code+e.Message != "" {
		m["error"] = object{"code": e.Code, "message": e.Message}
		if len(choice) == 0 {
			m["status"] = failed
		}
	}
	return encode(m)
}

// frame writes the n-th event.
func (t *task) frame(w io.Writer, data string, n int, last bool) {
	write := func(texts ...string) {
		for _, text := range texts {
			_, _ = io.WriteString(w, text)
		}
	}
	end := "\n"
	switch t.Shape {
	case ShapeCRLF:
		end = "\r\n"
	case ShapeCR:
		end = "\r"
	case ShapeByteOrderMark:
		if n == 0 {
			write("\ufeff")
		}
	case ShapeEventFields:
		write(": keep-alive\n\nevent: message\nid: ", strconv.Itoa(n), "\nretry: 3000\n")
	case ShapeMultiLine:
		var lines bytes.Buffer
		if json.Indent(&lines, []byte(data), "", " ") == nil {
			data = lines.String()
		}
	}
	before := ""
	for line := range strings.SplitSeq(data, "\n") {
		write(before, "data: ", line)
		before = end
	}
	if !last || t.Shape != ShapeNoFinalBlankLine {
		write(end, end)
	}
}
