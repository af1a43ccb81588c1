package api

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// guard is the Doer of every client that New makes. It stands before the Doer that sends
// and holds for the raw methods too: it bounds each attempt in time and each body in size,
// sends the key to the API's own origin only, follows no redirect, and masks the key
// wherever the server echoes it.
type guard struct {
	next        HttpRequestDoer
	templates   map[string]*http.Request // of the reads, without body and credentials
	origin      *url.URL
	traced      bool // next reports to httptrace for certain
	timeout     time.Duration
	idleTimeout time.Duration
	maxBody     int64
	maxAttempts int
	userAgent   []string
	logger      logger
}

// logger is a *slog.Logger. As an interface, what a program that sets none does not need of
// log/slog is not linked: 70 KiB.
type logger interface {
	Enabled(context.Context, slog.Level) bool
	LogAttrs(context.Context, slog.Level, string, ...slog.Attr)
}

// draft is the Doer while New applies the options: a guard that is not in its place yet, and what it
// will send with.
type draft struct {
	guard *guard
	next  HttpRequestDoer
}

func (d *draft) Do(req *http.Request) (*http.Response, error) { return d.next.Do(req) }

// with is d with another Doer. A caller's http.Client is copied, so that redirects can be
// refused without changing the original.
func (d *draft) with(next HttpRequestDoer) (*draft, error) {
	if isNil(next) {
		return nil, errors.New("the HTTP client is nil")
	}
	if client, ok := next.(*http.Client); ok {
		own := *client
		own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		if next = doerFunc(own.Do); own.Jar == nil && own.Timeout == 0 {
			next = roundTrip(cmp.Or(own.Transport, http.DefaultTransport))
		}
	}
	return &draft{guard: d.guard, next: next}, nil
}

// doerFunc is a function as an HttpRequestDoer. An *http.Client in its place would link methods that nobody calls: 8 KiB.
type doerFunc func(*http.Request) (*http.Response, error)

func (f doerFunc) Do(req *http.Request) (*http.Response, error) { return f(req) }

// roundTrip is what an http.Client without cookies and timeout does for one request. The
// client would prepare for redirects too, with six allocations, and none is followed.
func roundTrip(t http.RoundTripper) doerFunc {
	return func(req *http.Request) (*http.Response, error) {
		resp, err := t.RoundTrip(req)
		if resp != nil && resp.Body == nil {
			resp.Body = http.NoBody
		}
		return resp, err
	}
}

// Do sends one request. Its error is an *Error.
func (g *guard) Do(req *http.Request) (*http.Response, error) {
	if !sameOrigin(req.URL, g.origin) {
		return nil, invalid("", "a request editor changed the origin from %s", g.origin.Host)
	} else if req.Header == nil {
		return nil, invalid("", "a request editor took the header away")
	}
	for name, values := range req.Header {
		for _, v := range values {
			if strings.ContainsFunc(v, isControl) { // net/http says so too, after it may have been sent for all one knows.
				return nil, invalid("", "the header %q holds a control character", line(name, 64))
			}
		}
	}
	if _, ok := req.Header["User-Agent"]; !ok {
		req.Header["User-Agent"] = g.userAgent
	}
	key := req.Header.Get("Authorization")
	key = key[strings.LastIndexByte(key, ' ')+1:]
	caller := req.Context()
	ctx, cancel := context.WithCancelCause(caller)
	timer := time.AfterFunc(g.timeout, func() { cancel(errTimeout) })
	*req = *req.WithContext(ctx) // It was made for this call, and a copy costs 300 bytes.
	answer := &body{guard: g, left: g.maxBody, key: key, caller: caller, attempt: ctx, cancel: cancel, timer: timer}
	if req.Body != nil && strings.HasPrefix(req.Header.Get("Content-Type"), "multipart/") {
		answer.upload = &upload{ReadCloser: req.Body, guard: g, caller: caller, ctx: ctx, timer: timer, busy: make(chan struct{}, 1)}
		req.Body = answer.upload
	}
	resp, err := g.next.Do(req)
	switch {
	case err != nil:
		err = g.cause(caller, ctx, err, key)
	case resp == nil || resp.Body == nil:
		err = errNoAnswer
	case resp.StatusCode == http.StatusSwitchingProtocols: // Its body is the connection, which no context ends.
		err = errors.Join(errSwitched, resp.Body.Close())
	case resp.Request != nil && !sameOrigin(resp.Request.URL, g.origin):
		err = errors.Join(errForeign, resp.Body.Close())
	default:
		resp.Status = mask(resp.Status, key)
		for _, values := range resp.Header {
			for i, v := range values {
				if masked := mask(v, key); masked != v {
					values[i] = masked
				}
			}
		}
		answer.ReadCloser, resp.Body = resp.Body, answer
		return resp, nil
	}
	answer.end()
	return nil, &Error{Err: err, Attempts: 1, again: caller.Err() == nil && !errors.Is(err, errForeign) && !errors.Is(err, errSwitched)}
}

// cause is what a failed exchange is reported with: why the caller's context ended, that
// the attempt took too long, or the transport's error without the URL and the key.
func (g *guard) cause(caller, attempt context.Context, err error, key string) error {
	if caller.Err() != nil {
		cause := context.Cause(caller)
		if _, of := errors.AsType[ours](cause); of {
			cause = &causeError{cause}
		}
		if !errors.Is(cause, caller.Err()) {
			cause = fmt.Errorf("%w: %w", caller.Err(), cause)
		}
		return cause
	}
	if attempt.Err() != nil {
		return context.Cause(attempt)
	}
	err = withoutURL(err)
	if text := redact(mask(err.Error(), key)); text != err.Error() {
		return &maskedError{text: text, err: err}
	}
	return err
}

var (
	errTimeout  = fmt.Errorf("the server took longer than WithTimeout or WithIdleTimeout allow: %w", context.DeadlineExceeded)
	errNoAnswer = errors.New("the HTTP client gave no answer and no error")
	errSwitched = errors.New("the server switched protocols (HTTP 101)")
	errForeign  = errors.New("the HTTP client followed a redirect to another origin")
)

// maskedError is an error whose text held the key or the query of an address. It can be compared and not unwrapped.
type maskedError struct {
	text string
	err  error
}

func (e *maskedError) Error() string        { return e.text }
func (e *maskedError) GoString() string     { return strconv.Quote(e.text) }
func (e *maskedError) Is(target error) bool { return errors.Is(e.err, target) }

// body is the body of an answer: bounded, masked, and the end of its attempt.
type body struct {
	io.ReadCloser
	guard *guard
	left  int64 // bytes to the bound; negative once it was passed
	key   string
	held  []byte        // read, and perhaps the start of the key
	small *bufio.Reader // for a caller whose buffer does not hold a key
	// The contexts of the call and of this attempt, for the reason why a read failed.
	caller, attempt context.Context
	cancel          context.CancelCauseFunc // of the attempt
	upload          *upload                 // the body of the request, where it is one
	timer           *time.Timer             // of the attempt; in a stream, of each read
	stream          bool                    // the limit of time holds for each read, not for all of it
}

// isStream reports whether the body is an event stream, from as much of its beginning as tells. It
// then takes the bounds of the whole off: WithIdleTimeout holds for each read, and the reader
// of the stream bounds each event.
func (b *body) isStream(contentType string) bool {
	const endless = math.MaxInt64 - 1
	declared := isEventStream(contentType, nil)
	b.left = endless
	b.small = bufio.NewReaderSize(readerFunc(b.masked), 4<<10+2*len(b.key))
	for n := 1; ; {
		if declared { // Its headers came, and its first event takes its time.
			b.timer.Reset(b.guard.idleTimeout)
		}
		_, err := b.small.Peek(n) // Read gives the error again.
		peeked, _ := b.small.Peek(b.small.Buffered())
		begin := bytes.TrimLeft(peeked, blanks)
		if err == nil && len(begin) < len("event:") && (len(begin) == 0 || begin[0] >= utf8.RuneSelf || strings.IndexByte("dei", begin[0]) >= 0) {
			n = len(peeked) + 1
			continue
		}
		if b.stream = isEventStream(contentType, begin); b.stream {
			b.timer.Stop()
			_, _ = b.small.Discard(len(peeked) - len(begin))
		} else if b.left -= endless - b.guard.maxBody; b.left < 0 {
			b.small.Reset(readerFunc(b.bounded)) // It is too large already, which bounded says.
		}
		if declared && !b.stream {
			b.timer.Reset(b.guard.timeout)
		}
		return b.stream
	}
}

// Read reads at most the bound, and masks the key.
func (b *body) Read(p []byte) (int, error) {
	if b.stream {
		b.timer.Reset(b.guard.idleTimeout)
		defer b.timer.Stop()
	}
	if b.small == nil && len(p) > len(b.key) {
		return b.masked(p)
	}
	if b.small == nil {
		b.small = bufio.NewReaderSize(readerFunc(b.masked), 2*len(b.key)+16)
	}
	return b.small.Read(p)
}

// masked reads into a buffer that is longer than the key. A tail that may be the start
// of the key is held back until the next bytes decide.
func (b *body) masked(p []byte) (int, error) {
	for {
		h := copy(p, b.held)
		n, err := b.bounded(p[h:])
		p := p[:h+n]
		if b.key == "" {
			return n, err
		}
		key := []byte(b.key)
		if bytes.Contains(p, key) {
			copy(p, bytes.ReplaceAll(p, key, []byte(stars(b.key))))
		}
		end := len(p)
		if err == nil {
			end -= min(len(key)-1, end)
			for !bytes.HasPrefix(key, p[end:]) {
				end++
			}
		}
		b.held = append(b.held[:0], p[end:]...)
		if end > 0 || n == 0 || err != nil {
			return end, err
		}
	}
}

// bounded reads at most the bound. One byte more decides whether the body ends there.
func (b *body) bounded(p []byte) (int, error) {
	if b.left >= 0 && int64(len(p))-1 > b.left {
		p = p[:b.left+1]
	}
	n, err := 0, error(nil)
	if context.Cause(b.attempt) == errTimeout { //nolint:errorlint // The value itself. Not every body looks at the context.
		err = errTimeout
	} else if b.left >= 0 {
		n, err = b.ReadCloser.Read(p)
		b.left -= int64(n)
	}
	if b.left < 0 {
		return max(n-1, 0), fmt.Errorf("%w of %d bytes", ErrBodyTooLarge, b.guard.maxBody)
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = b.guard.cause(b.caller, b.attempt, err, b.key)
	}
	return n, err
}

// Close closes the body and ends the attempt.
func (b *body) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

func (b *body) end() {
	b.timer.Stop()
	if b.cancel(nil); b.upload != nil {
		b.upload.end()
	}
}

// upload is the body of a request that may take longer than WithTimeout: each piece must
// be taken within the idle limit, and the answer must begin within WithTimeout after the last.
type upload struct {
	io.ReadCloser
	guard  *guard
	caller context.Context //nolint:containedctx // of the call
	ctx    context.Context //nolint:containedctx // of the attempt
	timer  *time.Timer
	buf    []byte
	busy   chan struct{} // full while a Read is under way, and when none may begin any more
}

// Read reads on a goroutine of its own, because net/http waits for a Read that blocks even when
// the context has ended, and because a panic on its goroutine would end the program.
func (u *upload) Read(p []byte) (int, error) {
	if u.ctx.Err() != nil {
		return 0, u.ctx.Err()
	}
	select {
	case u.busy <- struct{}{}:
	case <-u.ctx.Done():
		return 0, u.ctx.Err()
	}
	u.timer.Reset(u.guard.idleTimeout)
	if u.buf == nil {
		u.buf = make([]byte, 32<<10)
	}
	var piece []byte
	err := errGoexit
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("the content panicked: %v", r)
			}
			<-u.busy
		}()
		var n int
		n, err = u.ReadCloser.Read(u.buf[:min(len(p), len(u.buf))])
		piece = u.buf[:n]
	}()
	select {
	case <-done:
	case <-u.ctx.Done():
		return 0, u.ctx.Err()
	}
	if err != nil {
		u.timer.Reset(u.guard.timeout)
	}
	return copy(p, piece), err
}

// end lets no Read begin any more, and waits a moment for one that is under way, unless the
// attempt took too long already.
func (u *upload) end() {
	if errors.Is(context.Cause(u.ctx), errTimeout) {
		return
	}
	select {
	case u.busy <- struct{}{}:
	case <-u.caller.Done():
	case <-time.After(time.Second):
	}
}

// isControl reports whether no header can carry r.
func isControl(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func sameOrigin(a, b *url.URL) bool {
	return a != nil && strings.EqualFold(a.Scheme, b.Scheme) && strings.EqualFold(a.Host, b.Host)
}

// mask replaces the key in s by as many stars.
func mask(s, key string) string {
	if key == "" || !strings.Contains(s, key) {
		return s
	}
	return strings.ReplaceAll(s, key, stars(key))
}

// hide masks the key where errors and logs show what the server wrote: in JSON it may have
// been spelled with escapes, which a reader of bytes does not find.
func (r *Result) hide(key string) {
	for _, s := range [...]*string{(*string)(&r.AgentID), &r.AsyncID, &r.ConversationID, &r.ID, &r.RequestID, &r.RawStatus} {
		*s = mask(*s, key)
	}
	if r.Error != nil {
		r.Error.Code, r.Error.Message = ErrorCode(redact(mask(string(r.Error.Code), key))), mask(r.Error.Message, key)
	}
}

func stars(key string) string { return strings.Repeat("*", len(key)) }
