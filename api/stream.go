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
	"slices"
	"strings"
	"sync/atomic"
)

// maxSkipped is the number of corrupt events in a row that end a stream.
const maxSkipped = 3

// Stream sends a request to an agent (POST /v1/agents) and yields its answer as it is
// written: a Result for each event, with the piece of text or the tool call that is new in it. An
// Accumulator folds them into one. The last Result has the Status success; those before it are
// pending. Where the mark [DONE] alone ends the stream, the last Result is otherwise empty. A
// server that answers with one JSON object instead is one Result.
//
// An error is the last thing that is yielded. A failure before the stream is what Invoke would
// return; a failure inside of it is a *TaskError, after the events before it; a stream that ends
// before its answer is complete is an *Error that matches ErrInterrupted and ErrUnknownOutcome,
// with the ConversationID, by which Conversation finds what was made so far. A corrupt event is
// skipped and counted (Result.Skipped, Error.Skipped); three in a row end the stream with ErrMalformed, and an
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
		result, x, err := c.invoke(ctx, request, true, editors)
		if err != nil || x.stream == nil {
			yield(result, err)
			return
		}
		x.stream.all(yield)
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
	if resp == nil || resp.StatusCode/100 != 2 {
		return nil
	}
	b, ok := resp.Body.(*body)
	if !ok || !b.isStream(resp.Header.Get("Content-Type")) {
		return nil
	}
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
	for {
		if r, e = s.next(); e != nil {
			yield(nil, e)
			return
		}
		if err := r.Err(); err != nil {
			yield(nil, err)
			return
		}
		if last := r.Status != StatusPending; !yield(r, nil) || last {
			return
		}
		r = nil // It is the caller's now, and need not be kept while the next one is read.
	}
}

// next reads the next event, and fills in what it does not say itself.
func (s *stream) next() (*Result, *Error) {
	r, done, err := s.events.result()
	if n := s.events.skipped; n > 0 && s.guard.logger != nil { // The log is told that, but not what stood in them.
		s.guard.logger.LogAttrs(s.ctx, slog.LevelDebug, "zai: corrupt events", slog.String("operation", s.op), slog.Int("events", s.count), slog.Int("skipped", n))
	}
	switch {
	case errors.Is(err, io.EOF):
		return nil, s.broken(ErrInterrupted)
	case errors.Is(err, ErrBodyTooLarge), errors.Is(err, ErrMalformed):
		return nil, s.broken(err)
	case err != nil:
		return nil, s.broken(fmt.Errorf("%w: %w", ErrInterrupted, err))
	case !done:
		s.count++
	}
	last := &s.last
	r.hide(s.body.key)
	last.ID, last.RequestID = cmp.Or(r.ID, last.ID), cmp.Or(r.RequestID, last.RequestID)
	last.ConversationID = cmp.Or(r.ConversationID, last.ConversationID)
	r.Skipped, r.StatusCode, r.RequestID, r.ConversationID = s.events.skipped, s.resp.StatusCode, s.requestID(), last.ConversationID
	r.AgentID = cmp.Or(r.AgentID, s.agent)
	r.RawStatus, r.AsyncID = "", "" // A stream has neither, whatever its events hold.
	ends := func(c Choice) bool { return c.FinishReason != "" && c.FinishReason != FinishToolCalls }
	switch {
	case r.Error != nil:
		r.Status = StatusFailed
	case done, slices.ContainsFunc(r.Choices, ends):
		r.Status = StatusSuccess
	default:
		r.Status = StatusPending
	}
	return r, nil
}

func (s *stream) requestID() string { return requestID(s.resp.Header, &s.last) }

// broken is a stream that ended without its end.
func (s *stream) broken(err error) *Error {
	return s.blame(&Error{
		Op: s.op, StatusCode: s.resp.StatusCode, RequestID: s.requestID(), ConversationID: s.last.ConversationID,
		Events: s.count, Skipped: s.events.skipped, Attempts: s.attempt, Header: redactHeader(s.resp.Header), Err: err,
	})
}

// decodeStream reads a whole event stream: the answer to a poll may be one of one event, which
// is then read as that event. More are folded into one Result.
func decodeStream(status int, body []byte) (*Result, verdict) {
	if crowded(body) {
		return decodeJSON(status, nil, false) // It is read as nothing.
	}
	events := eventReader{r: bufio.NewReader(bytes.NewReader(body)), max: int64(len(body))}
	all := Accumulator{MaxBody: math.MaxInt64}
	var first []byte
	count := 0
	r, done, err := events.result()
	for ; err == nil && !done; r, done, err = events.result() {
		if count++; count == 1 {
			first = r.Raw
		}
		r.Status, r.AsyncID = "", "" // A word is no sign that the stream is complete, and it has no async id.
		_ = all.Add(r)               // It is within the bound of the body.
	}
	corrupt := errors.Is(err, ErrMalformed)
	if count == 1 && !corrupt {
		r, v := decodeJSON(status, first, false)
		r.RawStatus, r.AsyncID = "", "" // A stream has neither, whatever its events hold.
		return r, v
	}
	r = all.Result()
	switch {
	case status/100 != 2:
		r.Status = ""
		return r, refused
	case r.Status == StatusFailed:
	case !corrupt && (done || r.Status == StatusSuccess):
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
	long    int   // bytes of the last line that did not fit into the buffer
	afterCR bool  // a LF that comes next belongs to the CR before it
	skipped int   // corrupt events before the last one
}

// result reads the next event, passing over corrupt ones. Done is the marker [DONE], with an
// empty Result.
func (e *eventReader) result() (r *Result, done bool, err error) {
	for e.skipped = 0; e.skipped < maxSkipped; e.skipped++ {
		event, err := e.next()
		if err != nil {
			return nil, false, err
		}
		if event = bytes.TrimSpace(event); string(event) == "[DONE]" {
			return &Result{}, true, nil
		}
		if r, _, err := parse(event, false); err == nil && r != nil {
			r.Raw = event
			return r, false, nil
		}
	}
	return nil, false, fmt.Errorf("%w: %d corrupt events in a row", ErrMalformed, maxSkipped)
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

// line reads a line of at most limit bytes, without its end. A long one is gathered in pieces, which
// leaves less garbage than a slice that grows, and the first piece has room for one like the last.
func (e *eventReader) line(limit int64) ([]byte, error) {
	var pieces [][]byte
	for scanned := 0; ; {
		_, err := e.r.Peek(scanned + 1)
		chunk, _ := e.r.Peek(e.r.Buffered())
		if e.afterCR && len(chunk) > 0 {
			if e.afterCR = false; chunk[0] == '\n' {
				_, _ = e.r.Discard(1)
				continue
			}
		}
		end := bytes.IndexAny(chunk[scanned:], "\r\n")
		found := end >= 0
		if end += scanned; !found {
			end = len(chunk)
		}
		switch {
		case int64(end) > limit:
			return nil, fmt.Errorf("%w: an event of more than %d bytes", ErrBodyTooLarge, e.max)
		case found:
			e.afterCR = chunk[end] == '\r'
			line := e.join(pieces, chunk[:end])
			_, _ = e.r.Discard(end + 1)
			return line, nil
		case err == nil:
			scanned = end
		case errors.Is(err, bufio.ErrBufferFull):
			if pieces == nil {
				pieces = [][]byte{make([]byte, 0, e.long)}
			}
			if last := &pieces[len(pieces)-1]; cap(*last)-len(*last) >= end {
				*last = append(*last, chunk...)
			} else {
				pieces = append(pieces, bytes.Clone(chunk))
			}
			limit -= int64(end)
			_, _ = e.r.Discard(end)
			scanned = 0
		default:
			line := e.join(pieces, chunk)
			_, _ = e.r.Discard(end)
			return line, err
		}
	}
}

// join makes a line of its pieces and its rest, in the first piece if it is not much too large.
func (e *eventReader) join(pieces [][]byte, rest []byte) []byte {
	if pieces == nil {
		return bytes.Clone(rest)
	}
	line := pieces[0]
	if n := len(line) + len(rest); len(pieces) == 1 && n <= cap(line) && n >= cap(line)/2 {
		line = append(line, rest...)
	} else {
		line = bytes.Join(append(pieces, rest), nil)
	}
	e.long = len(line) + len(line)/16
	return line
}
