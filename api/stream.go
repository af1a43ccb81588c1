package api

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
)

// maxSkipped is the number of corrupt events in a row that end a stream.
const maxSkipped = 3

// Stream sends a request to an agent (POST /v1/agents) and yields its answer as it is
// written: a Result for each event, with the piece of text or the tool call that is new in it. An
// Accumulator folds them into one. The last Result has the Status success; those before it are
// pending. A server that answers with one JSON object instead is one Result.
//
// An error is the last thing that is yielded. A failure before the stream is what Invoke would
// return; a failure inside of it is a *TaskError, after the events before it; a stream that ends
// before its answer is complete is an *Error that matches ErrInterrupted and ErrUnknownOutcome,
// with the ConversationID, by which Conversation finds what was made so far. A corrupt event is
// skipped and counted (Result.Skipped); three in a row end the stream with ErrMalformed, and an
// event larger than WithMaxBody ends it with ErrBodyTooLarge.
//
// WithTimeout holds until the answer begins and WithIdleTimeout for each read after that; the
// context alone bounds the whole, which takes some five minutes for slides. Leaving the loop closes
// the connection, and the run is lost. Each run is billed, so nothing is sent before the loop
// begins, nothing is sent again, except as Invoke does, and a second loop over the same
// sequence is refused. A VideoRequest is refused too: that agent does not stream.
func (c *ClientWithResponses) Stream(ctx context.Context, request AgentRequest, editors ...RequestEditorFn) iter.Seq2[*Result, error] {
	var begun atomic.Bool
	return func(yield func(*Result, error) bool) {
		if begun.Swap(true) {
			yield(nil, invalid(opInvoke, "the sequence was used before, and a second loop would send the request again"))
			return
		}
		result, stream, err := c.invoke(ctx, request, true, editors)
		if stream == nil {
			yield(result, err)
			return
		}
		stream.all(yield)
	}
}

// stream is an answer that comes as events.
type stream struct {
	*exchange
	agent  AgentID
	resp   *http.Response
	body   *body
	events eventReader
	count  int    // of the events so far
	last   Result // the ids of the events so far
}

// streamOf returns the stream that an answer is, or nil.
func (x *exchange) streamOf(resp *http.Response, agent AgentID) *stream {
	if resp == nil || resp.StatusCode < 200 || resp.StatusCode > 299 {
		return nil
	}
	b, ok := resp.Body.(*body)
	if !ok {
		return nil
	}
	blank, begin := b.peek()
	if !isEventStream(resp.Header.Get("Content-Type"), begin) {
		return nil
	}
	_, _ = b.small.Discard(blank)
	b.endless()
	return &stream{exchange: x, agent: agent, resp: resp, body: b, events: eventReader{r: bufio.NewReaderSize(b, 32<<10), max: x.guard.maxBody}}
}

// all yields the events, and closes the connection.
func (s *stream) all(yield func(*Result, error) bool) {
	var r *Result
	var e *Error
	defer func() {
		_ = s.body.Close()
		s.guard.log(s.ctx, s.op, s.attempt, s.start, r, e)
	}()
	for skipped := 0; ; {
		var done bool
		if r, done, e = s.next(&skipped); e != nil {
			yield(nil, e)
			return
		}
		if err := r.Err(); err != nil {
			yield(nil, err)
			return
		}
		if !yield(r, nil) || done {
			return
		}
	}
}

// next reads the next event, passing over corrupt ones. It reports whether the event is the last.
func (s *stream) next(skipped *int) (r *Result, done bool, e *Error) {
	for *skipped = 0; *skipped < maxSkipped; {
		event, err := s.events.next()
		event = bytes.TrimSpace(event)
		switch done = string(event) == "[DONE]"; {
		case errors.Is(err, io.EOF):
			return nil, false, s.broken(ErrInterrupted)
		case errors.Is(err, ErrBodyTooLarge):
			return nil, false, s.broken(err)
		case err != nil:
			return nil, false, s.broken(fmt.Errorf("%w: %w", ErrInterrupted, err))
		case done:
			r = &Result{}
		default:
			r, _, err = parse(event, false)
		}
		if err != nil || r == nil {
			*skipped++
			s.guard.skip(s.ctx, s.op, s.count, *skipped)
			continue
		}
		if !done {
			s.count++
			r.Raw = event
		}
		return s.finish(r, *skipped, done), done || r.Status != StatusPending, nil
	}
	return nil, false, s.broken(fmt.Errorf("%w: %d corrupt events in a row", ErrMalformed, maxSkipped))
}

// finish fills in what an event does not say itself.
func (s *stream) finish(r *Result, skipped int, done bool) *Result {
	last := &s.last
	r.hide(s.body.key)
	last.ID, last.RequestID = cmp.Or(r.ID, last.ID), cmp.Or(r.RequestID, last.RequestID)
	last.ConversationID = cmp.Or(r.ConversationID, last.ConversationID)
	r.Skipped, r.StatusCode, r.RequestID, r.ConversationID = skipped, s.resp.StatusCode, s.requestID(), last.ConversationID
	r.AgentID = cmp.Or(r.AgentID, s.agent)
	reason := r.FinishReason()
	switch {
	case r.Error != nil:
		r.Status = StatusFailed
	case done, reason != "" && reason != FinishToolCalls:
		r.Status = StatusSuccess
	default:
		r.Status = StatusPending
	}
	r.RawStatus, r.AsyncID = "", "" // A stream has neither, whatever its events hold.
	return r
}

func (s *stream) requestID() string { return requestID(s.resp.Header, &s.last) }

// broken is a stream that ended without its end.
func (s *stream) broken(err error) *Error {
	return s.blame(&Error{
		Op: s.op, StatusCode: s.resp.StatusCode, RequestID: s.requestID(), ConversationID: s.last.ConversationID,
		Events: s.count, Attempts: s.attempt, Header: redactHeader(s.resp.Header), Err: err,
	})
}

// skip writes a corrupt event to the log, without what stood in it.
func (g *guard) skip(ctx context.Context, op string, events, skipped int) {
	if g.logger != nil {
		g.logger.LogAttrs(ctx, slog.LevelDebug, "zai: corrupt event", slog.String("operation", op), slog.Int("events", events), slog.Int("skipped", skipped))
	}
}

// decodeStream reads a whole event stream and folds its events into one Result.
func decodeStream(status int, body []byte, poll bool) (*Result, verdict) {
	events := eventReader{r: bufio.NewReader(bytes.NewReader(body)), max: int64(len(body))}
	all := Accumulator{MaxBody: math.MaxInt64}
	var first []byte
	var count, skipped int
	var done bool
	if crowded(body) {
		skipped = maxSkipped
	}
	for skipped < maxSkipped {
		event, err := events.next()
		event = bytes.TrimSpace(event)
		if done = string(event) == "[DONE]"; done || err != nil {
			break
		}
		r, _, err := parse(event, false)
		if err != nil || r == nil {
			skipped++
			continue
		}
		skipped = 0
		if count++; count == 1 {
			first = event
		}
		r.Status = ""  // A word is no sign that the stream is complete.
		_ = all.Add(r) // It is within the bound of the body.
	}
	if poll && count == 1 && skipped < maxSkipped {
		r, v := decodeJSON(status, first, false)
		r.RawStatus, r.AsyncID = "", "" // A stream has neither, whatever its events hold.
		return r, v
	}
	r := all.Result()
	switch {
	case status < 200 || status > 299:
		r.Status = ""
		return r, refused
	case r.Status == StatusFailed:
	case skipped < maxSkipped && (done || r.Status == StatusSuccess):
		r.Status = StatusSuccess
	default:
		return r, unread
	}
	return r, answered
}

// isEventStream reports whether a body is an event stream. The body decides, because
// the server sends streams under other content types and JSON under that of streams.
func isEventStream(contentType string, body []byte) bool {
	if len(body) > 0 && strings.IndexByte("{<[", body[0]) >= 0 {
		return false
	}
	for _, prefix := range [...]string{"data:", ":", "event:", "id:"} {
		if bytes.HasPrefix(body, []byte(prefix)) {
			return true
		}
	}
	return strings.Contains(strings.ToLower(contentType), "event-stream")
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
