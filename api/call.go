package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	maxExcerpt    = 4 << 10         // of a body, in an Error
	maxRetryAfter = time.Minute     // a longer one is the caller's to wait
	firstBackoff  = time.Second / 2 // bound of the first backoff; doubles with each attempt
	maxBackoff    = 8 * time.Second
)

// guard returns the guard of a client that New made, after checking what every verb
// must check.
func (c *ClientWithResponses) guard(ctx context.Context, op string, editors []RequestEditorFn) (*guard, error) {
	if c == nil {
		return nil, invalid(op, "the client is nil")
	}
	if ctx == nil {
		return nil, invalid(op, "the context is nil")
	}
	for _, editor := range editors {
		if editor == nil {
			return nil, invalid(op, "a request editor is nil")
		}
	}
	if client, ok := c.ClientInterface.(*Client); ok && client != nil {
		if g, ok := client.Client.(*guard); ok {
			return g, nil
		}
	}
	return nil, invalid(op, "the client was not made by New, NewWithAuth or NewFromEnv")
}

// read is one attempt at a read, the n-th.
func (c *ClientWithResponses) read(ctx context.Context, g *guard, op string, n int, body any, editors []RequestEditorFn) (*Result, *Error) {
	start := time.Now()
	resp, err := c.post(ctx, g.templates[op], body, editors) //nolint:bodyclose // answer closes it.
	r, e := g.answer(ctx, op, resp, err)
	g.log(ctx, op, n, start, r, e)
	return r, e
}

// post sends body as a read: a copy of what the generated code built once, because it
// parses the base URL three times for each request it builds. The nil Idempotency-Key, which
// editors do not see, is not sent: it lets net/http repeat the request on a new connection
// when the server has closed an idle one.
func (c *ClientWithResponses) post(ctx context.Context, template *http.Request, body any, editors []RequestEditorFn) (*http.Response, error) {
	encoded, err := json.Marshal(body)
	if err != nil {
		return nil, invalid("", "%w", err)
	}
	client := c.ClientInterface.(*Client) //nolint:forcetypeassert // Checked by guard.
	req, address := template.WithContext(ctx), *template.URL
	req.URL = &address
	values := [...]string{template.Header.Get("Content-Type"), defaultLanguage} // They are the editors' to change.
	req.Header = http.Header{"Content-Type": values[:1:1], "Accept-Language": values[1:]}
	setBody(req, encoded)
	if err := client.applyEditors(ctx, req, editors); err != nil {
		return nil, err
	}
	if _, ok := req.Header["Idempotency-Key"]; !ok && req.Header != nil {
		req.Header["Idempotency-Key"] = nil
	}
	return client.Client.Do(req)
}

const defaultLanguage = "en-US,en"

// retry repeats an attempt until it gives an answer, a failure that another attempt would
// not mend, or the attempts run out.
func retry[T any](ctx context.Context, g *guard, attempt func(n int) (T, *Error)) (T, error) {
	for n := 1; ; n++ {
		r, e := attempt(n)
		if e == nil {
			return r, nil
		}
		e.Attempts += n - 1
		if !e.again || n >= g.maxAttempts || ctx.Err() != nil {
			return r, e
		}
		delay := max(rand.N(min(firstBackoff<<min(n-1, 10), maxBackoff)), e.RetryAfter, e.pause)
		if deadline, ok := ctx.Deadline(); e.RetryAfter > maxRetryAfter || ok && time.Until(deadline) <= delay {
			return r, e
		}
		if !sleep(ctx, delay) {
			e.again, e.Err = false, errors.Join(e.Err, g.cause(ctx, ctx, ctx.Err(), ""))
			return r, e
		}
	}
}

// sleep waits for d, and reports whether the context let it.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// answer reads what one attempt gave: a Result, or why there is none.
func (g *guard) answer(ctx context.Context, op string, resp *http.Response, err error) (*Result, *Error) {
	if err != nil {
		own, ok := err.(*Error) //nolint:errorlint // One that is wrapped tells of another call, and so does one with an Op.
		if !ok || own.Op != "" {
			return nil, &Error{Op: op, Err: g.editing(ctx, err)}
		}
		e := *own // Whoever made it may keep it.
		e.Op = op
		return nil, &e
	}
	data, err := g.readAll(resp)
	key := resp.Body.(*body).key //nolint:forcetypeassert // The guard made it.
	var r *Result
	v := unread
	if err == nil || resp.StatusCode/100 != 2 {
		r, v = decode(resp.StatusCode, resp.Header.Get("Content-Type"), data)
	} else {
		r = &Result{}
	}
	r.hide(key)
	r.RequestID = requestID(resp.Header, r)
	r.StatusCode = resp.StatusCode
	r.RetryAfter = retryAfter(resp.Header.Get("Retry-After"))
	if v == answered || v == noStatus && (op == opConversation || op == opUpload) {
		return r, nil
	}
	// An escape takes six bytes for one, and a key may begin at the end of the excerpt.
	excerpt := []byte(redact(mask(unescape(string(data[:min(len(data), 6*(maxExcerpt+len(key)))])), key)))
	e := &Error{
		Op:         op,
		StatusCode: resp.StatusCode,
		RequestID:  r.RequestID,
		RetryAfter: r.RetryAfter,
		Attempts:   1,
		Header:     redactHeader(resp.Header),
		Body:       excerpt[:min(len(excerpt), maxExcerpt)], // A mark may be longer than what it stands for.
		Err:        err,
	}
	switch {
	case r.Error != nil:
		e.Code, e.Message, e.flat = r.Error.Code, redact(r.Error.Message), r.Error.Flat
	case resp.StatusCode/100 == 3:
		e.Message = "redirects are not followed"
	case v == refused:
		e.Message = strings.TrimSpace(cmp.Or(http.StatusText(resp.StatusCode), "refused") + " " + line(resp.Header.Get("Content-Type"), 64))
	}
	tooLarge := errors.Is(err, ErrBodyTooLarge)
	switch {
	case v == refused:
		e.again = e.Retryable() && !tooLarge
	case tooLarge:
	case err != nil:
		e.again, e.Err = true, fmt.Errorf("%w: %w", ErrMalformed, err)
	default:
		e.again, e.Err = v == unread, fmt.Errorf("%w (Content-Type %q)", ErrMalformed, line(resp.Header.Get("Content-Type"), 64))
	}
	return nil, e
}

// editing is what a call is reported with whose request editor failed.
func (g *guard) editing(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return g.cause(ctx, ctx, err, "")
	}
	if of, ok := errors.AsType[ours](err); ok {
		if _, plain := of.(sentinel); !plain {
			err = &causeError{err} // of another call, as one for a token
		}
	}
	if text := redact(err.Error()); text != err.Error() {
		return &maskedError{text: text, err: err}
	}
	return err
}

// requestID is the server's id of a request.
func requestID(h http.Header, r *Result) string {
	return redact(cmp.Or(h.Get("X-Log-Id"), h.Get("X-Request-Id"), r.RequestID, r.ID))
}

// readAll reads a whole body. The buffer grows faster once it is large, so that little
// of it is garbage when the bound is reached.
func (g *guard) readAll(resp *http.Response) ([]byte, error) {
	defer func() { _ = resp.Body.Close() }() // What was read counts.
	const room = 256
	size := int64(1 << 10)
	if resp.ContentLength >= 0 {
		size = min(resp.ContentLength, 1<<20)
	}
	buf := make([]byte, 0, room+size)
	for {
		if cap(buf)-len(buf) < room {
			factor := 2
			if cap(buf) >= 1<<20 {
				factor = 4
			}
			buf = append(make([]byte, 0, room+min(int64(cap(buf)*factor), g.maxBody)), buf...)
		}
		n, err := resp.Body.Read(buf[len(buf):cap(buf)])
		if buf = buf[:len(buf)+n]; err != nil {
			if err == io.EOF {
				err = nil
			}
			return buf, err
		}
	}
}

// log writes one attempt at level debug.
func (g *guard) log(ctx context.Context, op string, attempt int, start time.Time, r *Result, e *Error) {
	if g.logger == nil || !g.logger.Enabled(ctx, slog.LevelDebug) {
		return
	}
	if r != nil {
		e = &Error{StatusCode: r.StatusCode, RequestID: r.RequestID}
	}
	attrs := []slog.Attr{
		slog.String("operation", op), slog.Int("status", e.StatusCode), slog.Duration("duration", time.Since(start)),
		slog.Int("attempt", attempt), slog.String("request_id", line(e.RequestID, 64)),
	}
	if r == nil {
		quiet := *e
		quiet.Message = "" // It is a part of the body.
		attrs = append(attrs, slog.String("error", quiet.Error()))
	}
	g.logger.LogAttrs(ctx, slog.LevelDebug, "zai", attrs...)
}

// retryAfter reads a Retry-After header: seconds, or a date. Anything else is 0.
func retryAfter(value string) time.Duration {
	if value = strings.TrimSpace(value); value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		if seconds, err := strconv.ParseUint(value, 10, 32); err == nil {
			return time.Duration(seconds) * time.Second
		}
		return 1<<63 - 1
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(time.Until(date), 0)
}

// redact takes the queries of addresses with a path or a host out of a text: they may hold a
// signature.
func redact(text string) string {
	return cutQueries(text, func(before string) bool { return strings.Contains(before, "/") })
}

// redactAny is redact for texts in which any question mark may begin a query.
func redactAny(text string) string { return cutQueries(text, func(string) bool { return true }) }

// cutQueries cuts what follows a question mark, where wanted says so of what stands before it.
func cutQueries(text string, wanted func(before string) bool) string {
	if !strings.Contains(text, "?") {
		return text
	}
	const ends = " \t\r\n\"'<>" // an address; a query may hold the single quote
	var b strings.Builder
	for {
		head, query, found := strings.Cut(text, "?")
		b.WriteString(head)
		if !found {
			return b.String()
		}
		b.WriteByte('?')
		text = query
		if wanted(head[strings.LastIndexAny(head, ends)+1:]) {
			text = strings.TrimLeftFunc(query, func(r rune) bool { return r == '\'' || !strings.ContainsRune(ends, r) })
			cut := strings.TrimRight(query[:len(query)-len(text)], `'\`)
			if text = query[len(cut):]; cut != "" {
				b.WriteString("…")
			}
		}
	}
}

// unescape writes as it is what JSON has escaped of printable ASCII, also in JSON within JSON: an escape
// would hide a key, or the query of an address.
func unescape(text string) string {
	text = strings.ReplaceAll(text, `\/`, "/")
	var b strings.Builder
	for {
		head, tail, found := strings.Cut(text, `\u00`)
		b.WriteString(head)
		if !found {
			return b.String()
		}
		code, err := strconv.ParseUint(tail[:min(len(tail), 2)], 16, 8)
		if text = tail; err == nil && len(tail) > 1 && code >= ' ' && code <= '~' && code != '"' && code != '\\' {
			b.WriteByte(byte(code))
			text = tail[2:]
		} else {
			b.WriteString(`\u00`)
		}
	}
}

// redactHeader copies a header without the queries of addresses.
func redactHeader(h http.Header) http.Header {
	h = h.Clone()
	for _, values := range h {
		for i, v := range values {
			values[i] = redactAny(v)
		}
	}
	return h
}

// line makes a text of the server fit for one line of a log: at most n bytes, without
// control characters.
func line(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "…"
	}
	return strings.Map(func(r rune) rune {
		if !strconv.IsPrint(r) {
			return ' '
		}
		return r
	}, s)
}
