package api_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

const createPicture = "https://media.example.com/a.jpg?X-Signature=s1gnature"

// createVerbs are the verbs that create something.
var createVerbs = map[string]func(context.Context, *api.ClientWithResponses, ...api.RequestEditorFn) error{
	"Invoke": func(ctx context.Context, c *api.ClientWithResponses, editors ...api.RequestEditorFn) error {
		return createResult(c.Invoke(ctx, api.NewSlidesRequest("Tides"), editors...))
	},
	"Submit": func(ctx context.Context, c *api.ClientWithResponses, editors ...api.RequestEditorFn) error {
		task, err := c.Submit(ctx, api.NewVideoRequest(api.TemplateBodyShake, createPicture, ""), editors...)
		if err != nil && task != (api.Task{}) {
			return fmt.Errorf("the task %v beside an error: %v", task, err) //nolint:errorlint // It is not to be found.
		}
		return err
	},
	"Stream": func(ctx context.Context, c *api.ClientWithResponses, editors ...api.RequestEditorFn) error {
		for _, err := range c.Stream(ctx, api.NewSlidesRequest("Tides"), editors...) {
			if err != nil {
				return err
			}
		}
		return nil
	},
	"Upload": func(ctx context.Context, c *api.ClientWithResponses, editors ...api.RequestEditorFn) error {
		file, err := c.Upload(ctx, "terms.xlsx", strings.NewReader("content"), editors...)
		if err != nil && file != nil {
			return fmt.Errorf("a file beside an error: %v", err) //nolint:errorlint // It is not to be found.
		}
		return err
	},
}

func createResult(r *api.Result, err error) error {
	if err != nil && r != nil {
		return fmt.Errorf("a result beside an error: %v", err) //nolint:errorlint // It is not to be found.
	}
	return err
}

// createSaw counts the creates that a server saw.
type createSaw struct {
	creates atomic.Int32
	id      atomic.Value // the request_id of the last
	warm    atomic.Value // the connection, or address, from which the read came
}

// serve answers reads, and has reply answer creates after it read the whole of them.
func (s *createSaw) serve(reply http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if strings.HasSuffix(r.URL.Path, "/async-result") {
			if conn := r.Context().Value(createConn{}); conn != nil {
				s.warm.Store(conn)
			} else {
				s.warm.Store(r.RemoteAddr)
			}
			fmt.Fprint(w, `{"status":"pending"}`)
			return
		}
		s.creates.Add(1)
		var sent struct {
			RequestID string `json:"request_id"`
		}
		if err == nil && json.Unmarshal(body, &sent) == nil {
			s.id.Store(sent.RequestID)
		}
		reply(w, r)
	}
}

func createRaw(status int, contentType, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

// createAbort announces size bytes, sends some of them, and breaks the connection.
func createAbort(contentType, body string, size int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", contentType)
		if size > 0 {
			w.Header().Set("Content-Length", fmt.Sprint(size))
		}
		_, _ = io.WriteString(w, body)
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// createStall sends the head and some of the body of an answer, if there is one, and nothing more.
func createStall(body string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if body != "" {
			_, _ = io.WriteString(w, body)
			_ = http.NewResponseController(w).Flush()
		}
		<-r.Context().Done()
	}
}

// createHijack answers on the bare connection.
func createHijack(answer string, reset bool) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, answer)
		if tcp, ok := conn.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	}
}

// TestLostAnswers loses the answer of each verb that creates, in every way, over a new connection,
// over one that was used before, and over HTTP/2: the server sees the create exactly once,
// and the error says whether its outcome is known.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	const jsonType, accepted = "application/json", `{"status":"pending","agent_id":"vidu_template_agent","async_id":"a-1","id":"x"}`
	gone := errors.New("the user went home")
	faults := []struct {
		name  string
		reply http.HandlerFunc
		known bool // whether the outcome is
		class error
		code  int           // the HTTP status in the error
		tcp   bool          // it takes a socket
		takes time.Duration // of virtual time
		ends  bool          // the context ends a second after the server has the request
		opts  []api.ClientOption
	}{
		{name: "closed before the header", reply: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }},
		{name: "reset before the header", reply: createHijack("", true), tcp: true},
		{name: "closed in the header", reply: createHijack("HTTP/1.1 200 OK\r\nContent-Ty", false), tcp: true},
		{name: "reset after the header", reply: createHijack("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", true), tcp: true, code: 200, class: api.ErrMalformed},
		{name: "not HTTP", reply: createHijack("SSH-2.0-OpenSSH_9.9\r\n\r\n", false), tcp: true},
		{name: "closed after the header", reply: createAbort(jsonType, "", 100), code: 200, class: api.ErrMalformed},
		{name: "closed in the body", reply: createAbort(jsonType, accepted[:30], len(accepted)), code: 200, class: api.ErrMalformed},
		{name: "closed before the end of a chunked body", reply: createAbort(jsonType, accepted, 0), code: 200, class: api.ErrMalformed},
		{name: "truncated JSON", reply: createRaw(200, jsonType, accepted[:30]), code: 200, class: api.ErrMalformed},
		{name: "HTML in 200", reply: createRaw(200, "text/html", "<html>busy</html>"), code: 200, class: api.ErrMalformed},
		{name: "nothing in 200", reply: createRaw(200, jsonType, ""), code: 200, class: api.ErrMalformed},
		{name: "204", reply: func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }, code: 204, class: api.ErrMalformed},
		{name: "null", reply: createRaw(200, jsonType, "null"), code: 200, class: api.ErrMalformed},
		{name: "a list", reply: createRaw(200, jsonType, "["+accepted+"]"), code: 200, class: api.ErrMalformed},
		{name: "no state", reply: createRaw(200, jsonType, `{"created":1}`), code: 200, class: api.ErrMalformed},
		{name: "a stream without an end", reply: createRaw(200, "text/event-stream", "data: {\"conversation_id\":\"c\",\"choices\":[]}\n\n"), code: 200},
		{name: "a stream that is not one", reply: createRaw(200, "text/event-stream", "data: x\n\ndata: x\n\ndata: x\n\n"), code: 200, class: api.ErrMalformed},
		{name: "500", reply: createRaw(500, jsonType, `{"error":{"code":"1234","message":"network error"}}`), code: 500, class: api.ErrServer},
		{name: "500 in 200", reply: createRaw(200, jsonType, `{"code":500,"msg":"broken","success":false}`), code: 200, class: api.ErrServer},
		{name: "502", reply: createRaw(502, "text/html", "<html>nginx</html>"), code: 502, class: api.ErrServer},
		{name: "503 that says when", reply: func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Retry-After", "1")
			createRaw(503, "text/html", "<html>nginx</html>")(w, r)
		}, code: 503, class: api.ErrServer},
		{name: "504", reply: createRaw(504, "text/html", "<html>nginx</html>"), code: 504, class: api.ErrServer},
		{name: "408", reply: createRaw(408, jsonType, ""), code: 408, class: api.ErrServer},
		{name: "418", reply: createRaw(418, jsonType, ""), code: 418},
		{name: "501", reply: createRaw(501, jsonType, ""), code: 501},
		{name: "302", reply: http.RedirectHandler("/login", http.StatusFound).ServeHTTP, code: 302},
		{name: "307", reply: http.RedirectHandler("/api/v1/agents", http.StatusTemporaryRedirect).ServeHTTP, code: 307},
		{name: "308", reply: http.RedirectHandler("/api/paas/v4/files", http.StatusPermanentRedirect).ServeHTTP, code: 308},
		{name: "no answer in time", reply: createStall(""), takes: time.Minute, class: context.DeadlineExceeded},
		{name: "no body in time", reply: createStall("{"), takes: time.Minute, class: context.DeadlineExceeded, code: 200},
		{name: "no event in time", reply: createStall("data: {}\n\n"), opts: []api.ClientOption{api.WithIdleTimeout(time.Minute)}, takes: time.Minute, class: context.DeadlineExceeded, code: 200},
		{name: "the context ends before the header", reply: createStall(""), ends: true, takes: time.Second, class: gone},
		{name: "the context ends in the body", reply: createStall("{"), ends: true, takes: time.Second, class: gone, code: 200},
		{name: "more than WithMaxBody", reply: createRaw(200, jsonType, accepted+strings.Repeat(" ", 2000)), opts: []api.ClientOption{api.WithMaxBody(1000)}, code: 200, class: api.ErrBodyTooLarge},
		{name: "an endless body", reply: func(w http.ResponseWriter, r *http.Request) {
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, strings.Repeat(" ", 4096)); err != nil {
					return
				}
			}
		}, opts: []api.ClientOption{api.WithMaxBody(1 << 16)}, code: 200, class: api.ErrBodyTooLarge},

		// A refusal is an answer.
		{name: "529", reply: createRaw(529, jsonType, ""), code: 529, class: api.ErrOverloaded, known: true},
		{name: "429 without a code", reply: createRaw(429, "text/html", "<html>"), code: 429, class: api.ErrRateLimited, known: true},
		{name: "503 with 1302", reply: createRaw(503, jsonType, `{"error":{"code":"1302","message":"x"}}`), code: 503, class: api.ErrRateLimited, known: true},
		{name: "401", reply: createRaw(401, jsonType, `{"error":{"code":"1002","message":"x"}}`), code: 401, class: api.ErrAuthentication, known: true},
		{name: "405", reply: createRaw(405, "text/html", "<html>firewall"), code: 405, class: api.ErrBlocked, known: true},
		{name: "a wrong path", reply: createRaw(200, jsonType, `{"code":500,"msg":"404 NOT_FOUND","success":false}`), code: 200, class: api.ErrNotFound, known: true},
		{name: "413 that is cut", reply: func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			createAbort("text/html", "<html>", 0)(w, r)
		}, code: 413, class: api.ErrInvalidRequest, known: true},
	}
	for _, f := range faults {
		for _, connection := range []string{"new", "kept alive", "HTTP/2"} {
			if f.tcp && connection == "HTTP/2" {
				continue
			}
			t.Run(f.name+", "+connection, func(t *testing.T) {
				t.Parallel()
				in := synctest.Test
				if f.tcp {
					in = func(t *testing.T, test func(*testing.T)) { t.Helper(); test(t) }
				}
				in(t, func(t *testing.T) {
					for verb, call := range createVerbs {
						var saw createSaw
						ctx, cancel := context.WithCancelCause(t.Context())
						client := createServer(t, connection == "HTTP/2", f.tcp, saw.serve(func(w http.ResponseWriter, r *http.Request) {
							if connection == "kept alive" && saw.warm.Load() != r.Context().Value(createConn{}) || connection == "HTTP/2" && r.ProtoMajor != 2 {
								t.Errorf("%s: the create came over %s, and not over the connection that was used before", verb, r.Proto)
							}
							if f.ends {
								time.AfterFunc(time.Second, func() { cancel(gone) })
							}
							f.reply(w, r)
						}), f.opts...)
						if connection != "new" {
							if _, err := client.Retrieve(ctx, retrieveTask); err != nil {
								t.Fatal(err)
							}
						}
						start := time.Now()
						err := call(ctx, client)
						cancel(nil)
						if took := time.Since(start); !f.tcp && took != f.takes {
							t.Errorf("%s: took %v, want %v", verb, took, f.takes)
						}
						if n := saw.creates.Load(); n != 1 {
							t.Errorf("%s: the server saw %d creates: %v", verb, n, err)
						}
						e, ok := errors.AsType[*api.Error](err)
						if !ok {
							t.Errorf("%s: got %v", verb, err)
							continue
						}
						if errors.Is(err, api.ErrUnknownOutcome) == f.known {
							t.Errorf("%s: ErrUnknownOutcome is %v: %v", verb, !f.known, err)
						}
						if f.class != nil && !errors.Is(err, f.class) {
							t.Errorf("%s: got %v, want %v", verb, err, f.class)
						}
						if e.StatusCode != f.code {
							t.Errorf("%s: HTTP %d, want %d: %v", verb, e.StatusCode, f.code, err)
						}
						if id, _ := saw.id.Load().(string); e.CallerRequestID != id || (id == "") != (verb == "Upload") || e.Attempts != 1 {
							t.Errorf("%s: CallerRequestID is %q and %q was sent, in %d attempts", verb, e.CallerRequestID, id, e.Attempts)
						}
						retrieveHoldsNo(t, sampleKey, err)
						retrieveHoldsNo(t, "s1gnature", err)
					}
				})
			})
		}
	}
}

// createConn is the key of the connection in the context of a request.
type createConn struct{}

// createServer returns a client of a handler that it reaches in memory, which suits a
// bubble of virtual time, or over TCP.
func createServer(t *testing.T, http2, tcp bool, handler http.Handler, opts ...api.ClientOption) *api.ClientWithResponses {
	t.Helper()
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	srv := &http.Server{
		Handler: handler, Protocols: protocols, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0), ReadHeaderTimeout: time.Hour,
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, createConn{}, conn)
		},
	}
	transport := &http.Transport{Protocols: protocols}
	var listener net.Listener
	base := "http://127.0.0.1"
	if tcp {
		var err error
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
		base = "http://" + listener.Addr().String()
	} else {
		pipes := &createPipes{conns: make(chan net.Conn), done: make(chan struct{})}
		listener, transport.DialContext = pipes, pipes.dial
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(listener)
	}()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		_ = srv.Close()
		<-served
	})
	client, err := api.New(sampleKey, append([]api.ClientOption{api.WithBaseURL(base + "/api"), api.WithHTTPClient(&http.Client{Transport: transport})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// createPipes is a listener of connections in memory.
type createPipes struct {
	conns chan net.Conn
	done  chan struct{}
}

func (l *createPipes) dial(context.Context, string, string) (net.Conn, error) {
	client, server := net.Pipe()
	l.conns <- server
	return client, nil
}

func (l *createPipes) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *createPipes) Close() error {
	close(l.done)
	return nil
}

func (l *createPipes) Addr() net.Addr { return &net.TCPAddr{} }

// TestNothingWasSent: where no byte was written, the outcome is known.
func TestNothingWasSent(t *testing.T) {
	var saw createSaw
	plain := httptest.NewServer(saw.serve(createRaw(500, "", "")))
	defer plain.Close()
	secure := httptest.NewUnstartedServer(saw.serve(createRaw(500, "", "")))
	secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	secure.StartTLS()
	defer secure.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never says a word
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = silent.Close() }()
	ended, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("the user went home")
	cancel(gone)
	expired, cancelExpired := context.WithDeadline(t.Context(), time.Now().Add(-time.Hour))
	defer cancelExpired()
	sealed := errors.New("the vault is sealed")
	elsewhere := func(_ context.Context, req *http.Request) error { req.URL.Host = "127.0.0.1:9"; return nil }

	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	for name, test := range map[string]struct {
		base    string
		ctx     context.Context
		opts    []api.ClientOption
		editors []api.RequestEditorFn
		class   error
	}{
		"no listener":          {base: closed},
		"no such host":         {base: "https://zaitest.invalid/api", class: errCreateDNS, opts: []api.ClientOption{api.WithHTTPClient(&http.Client{Transport: &http.Transport{DialContext: createNoHost}})}},
		"an unknown authority": {base: secure.URL},
		"TLS to plain":         {base: strings.Replace(plain.URL, "http:", "https:", 1)},
		"no TLS in time":       {base: "https://" + silent.Addr().String(), class: context.DeadlineExceeded, opts: []api.ClientOption{api.WithTimeout(50 * time.Millisecond)}},
		"ended before":         {base: plain.URL, ctx: ended, class: gone},
		"expired before":       {base: plain.URL, ctx: expired, class: context.DeadlineExceeded},
		"no key": {base: plain.URL, class: sealed, editors: []api.RequestEditorFn{
			api.BearerAuthFunc(func(context.Context) (string, error) { return "", sealed }),
		}},
		"another origin": {base: plain.URL, class: api.ErrInvalidRequest, editors: []api.RequestEditorFn{elsewhere}},
		"a nil editor":   {base: plain.URL, class: api.ErrInvalidRequest, editors: []api.RequestEditorFn{nil}},
		"an empty tag":   {base: plain.URL, class: api.ErrInvalidRequest, editors: []api.RequestEditorFn{api.AcceptLanguage("")}},
		"a broken field": {base: plain.URL, class: api.ErrInvalidRequest, editors: []api.RequestEditorFn{api.BodyFields(map[string]any{"f": func() {}})}},
	} {
		if test.ctx == nil {
			test.ctx = t.Context()
		}
		for verb, call := range createVerbs {
			transport := &http.Transport{}
			client, err := api.New(sampleKey, append([]api.ClientOption{api.WithBaseURL(test.base), api.WithHTTPClient(&http.Client{Transport: transport})}, test.opts...)...)
			if err != nil {
				t.Fatal(err)
			}
			err = call(test.ctx, client, test.editors...)
			transport.CloseIdleConnections()
			e, ok := errors.AsType[*api.Error](err)
			if !ok || errors.Is(err, api.ErrUnknownOutcome) {
				t.Errorf("%s, %s: got %v", name, verb, err)
				continue
			}
			if test.class != nil && !errors.Is(err, test.class) {
				t.Errorf("%s, %s: got %v, want %v", name, verb, err, test.class)
			}
			if e.StatusCode != 0 || e.Attempts > 1 {
				t.Errorf("%s, %s: HTTP %d after %d attempts", name, verb, e.StatusCode, e.Attempts)
			}
		}
	}
	if n := saw.creates.Load(); n != 0 {
		t.Errorf("the server saw %d creates", n)
	}
}

var errCreateDNS = &net.DNSError{Err: "no such host", Name: "zaitest.invalid", IsNotFound: true}

func createNoHost(context.Context, string, string) (net.Conn, error) { return nil, errCreateDNS }

// TestDoersThatDoNotReport: what a Doer does not report to httptrace counts as written.
func TestDoersThatDoNotReport(t *testing.T) {
	t.Parallel()
	broken := errors.New("the tunnel is closed")
	for name, test := range map[string]struct {
		doer  func(*http.Request) (*http.Response, error)
		known bool
	}{
		"silent":         {func(*http.Request) (*http.Response, error) { return nil, broken }, false},
		"nothing at all": {func(*http.Request) (*http.Response, error) { return nil, nil }, false}, //nolint:nilnil // A broken one.
		"without a body": {func(*http.Request) (*http.Response, error) { return &http.Response{StatusCode: http.StatusOK}, nil }, false},
		"asks for a connection": {func(req *http.Request) (*http.Response, error) {
			httptrace.ContextClientTrace(req.Context()).GetConn("api.z.ai:443")
			return nil, broken
		}, true},
		"writes a header": {func(req *http.Request) (*http.Response, error) {
			httptrace.ContextClientTrace(req.Context()).GetConn("api.z.ai:443")
			httptrace.ContextClientTrace(req.Context()).WroteHeaderField("Host", []string{"api.z.ai"})
			return nil, broken
		}, false},
		"from another origin": {func(req *http.Request) (*http.Response, error) {
			other := req.Clone(req.Context())
			other.URL.Host = "example.com"
			return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: other}, nil
		}, false},
	} {
		for verb, call := range createVerbs {
			asked := 0
			client, err := api.New(sampleKey, api.WithHTTPClient(retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
				asked++
				return test.doer(req)
			})))
			if err != nil {
				t.Fatal(err)
			}
			err = call(t.Context(), client)
			if e, ok := errors.AsType[*api.Error](err); !ok || errors.Is(err, api.ErrUnknownOutcome) == test.known || e.StatusCode != 0 || asked != 1 {
				t.Errorf("%s, %s: %v after %d requests", name, verb, err, asked)
			}
		}
	}
}

// TestUnknownWhateverTheCause: a context that ends because something else was refused says nothing
// about the create under way. This is what happens in an errgroup.
func TestUnknownWhateverTheCause(t *testing.T) {
	t.Parallel()
	for verb, call := range createVerbs {
		ctx, cancel := context.WithCancelCause(t.Context())
		var saw createSaw
		client := retrieveServer(t, saw.serve(func(_ http.ResponseWriter, r *http.Request) {
			cancel(&api.Error{StatusCode: http.StatusBadRequest, Code: "1210", Err: api.ErrInvalidRequest})
			<-r.Context().Done()
		}))
		if err := call(ctx, client); !errors.Is(err, api.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) || errors.Is(err, api.ErrInvalidRequest) || !errors.Is(err, context.Cause(ctx)) || saw.creates.Load() != 1 {
			t.Errorf("%s: %v after %d creates", verb, err, saw.creates.Load())
		}
	}
}

// TestIdempotencyKeysOfTheCaller: net/http sends a request again that carries such a key, even an
// empty one, when the server closes a connection that was used before. A create is not sent again.
func TestIdempotencyKeysOfTheCaller(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(http.Header){
		"a key":        func(h http.Header) { h.Set("Idempotency-Key", "k-1") },
		"an X- key":    func(h http.Header) { h.Set("X-Idempotency-Key", "k-1") },
		"a nil key":    func(h http.Header) { h["Idempotency-Key"] = nil },
		"a nil X- key": func(h http.Header) { h["X-Idempotency-Key"] = nil },
		"an empty key": func(h http.Header) { h["Idempotency-Key"] = []string{} },
	} {
		editor := func(_ context.Context, req *http.Request) error { set(req.Header); return nil }
		for verb, call := range createVerbs {
			var saw createSaw
			client := retrieveServer(t, saw.serve(func(w http.ResponseWriter, r *http.Request) {
				if saw.warm.Load() != r.RemoteAddr {
					t.Errorf("%s, %s: on a new connection", name, verb)
				}
				createHijack("", false)(w, r)
			}), api.WithRequestEditorFn(editor))
			if _, err := client.Retrieve(t.Context(), retrieveTask); err != nil {
				t.Fatal(err)
			}
			err := call(t.Context(), client, editor)
			e, ok := errors.AsType[*api.Error](err)
			if !ok || !errors.Is(err, api.ErrUnknownOutcome) || saw.creates.Load() != 1 {
				t.Errorf("%s, %s: %v after %d creates", name, verb, err, saw.creates.Load())
				continue
			}
			if id, _ := saw.id.Load().(string); e.CallerRequestID != id || (id == "") != (verb == "Upload") {
				t.Errorf("%s, %s: CallerRequestID is %q, %q was sent", name, verb, e.CallerRequestID, id)
			}
		}
	}
}

// TestStreamsThatAreReset: over HTTP/2, net/http sends a request again whose stream the server
// refuses, or resets with PROTOCOL_ERROR. A create is sent once whatever the reason; a read goes on.
func TestStreamsThatAreReset(t *testing.T) {
	t.Parallel()
	goaway := func(last uint32) func(uint32) []byte {
		return func(uint32) []byte { return createFrame(7, 0, binary.BigEndian.AppendUint32(nil, last), 0) }
	}
	reset := func(code uint32) func(uint32) []byte {
		return func(stream uint32) []byte { return createFrame(3, stream, nil, code) }
	}
	for name, test := range map[string]struct {
		answer func(stream uint32) []byte
		reads  int32 // how often a read is sent, in one attempt
	}{
		"GOAWAY":            {goaway(0), 2},
		"REFUSED_STREAM":    {reset(7), 2},
		"PROTOCOL_ERROR":    {reset(1), 2},
		"INTERNAL_ERROR":    {reset(2), 1},
		"CANCEL":            {reset(8), 1},
		"NO_ERROR":          {reset(0), 1},
		"ENHANCE_YOUR_CALM": {reset(11), 1},
		"closed":            {nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			verbs := map[string]func(context.Context, *api.ClientWithResponses, ...api.RequestEditorFn) error{
				"Conversation": func(ctx context.Context, c *api.ClientWithResponses, editors ...api.RequestEditorFn) error {
					return createResult(c.Conversation(ctx, api.ConversationRequest{ConversationID: "c"}, editors...))
				},
			}
			for verb, call := range createVerbs {
				verbs[verb] = call
			}
			for verb, call := range verbs {
				asked := atomic.Int32{}
				ctx, cancel := context.WithCancel(t.Context())
				base := createHTTP2(t, func(stream uint32) []byte {
					if asked.Add(1) > 1 {
						cancel() // It has been sent again, which is all there is to see.
					}
					if test.answer == nil {
						return nil
					}
					return test.answer(stream)
				})
				transport := &http.Transport{Protocols: new(http.Protocols)}
				transport.Protocols.SetUnencryptedHTTP2(true)
				client, err := api.New(sampleKey, api.WithBaseURL(base), api.WithMaxAttempts(1), api.WithHTTPClient(&http.Client{Transport: transport}))
				if err != nil {
					t.Fatal(err)
				}
				err = call(ctx, client)
				cancel()
				transport.CloseIdleConnections()
				want := int32(1)
				if verb == "Conversation" {
					want = test.reads
				}
				if n := asked.Load(); n != want || err == nil {
					t.Errorf("%s: the server saw %d requests, want %d: %v", verb, n, want, err)
				}
				if errors.Is(err, api.ErrUnknownOutcome) != (verb != "Conversation") {
					t.Errorf("%s: got %v", verb, err)
				}
			}
		})
	}
}

// createFrame is an HTTP/2 frame that ends in a code.
func createFrame(kind byte, stream uint32, payload []byte, code uint32) []byte {
	payload = binary.BigEndian.AppendUint32(payload, code)
	frame := []byte{0, 0, byte(len(payload)), kind, 0}
	return append(binary.BigEndian.AppendUint32(frame, stream), payload...)
}

// createHTTP2 is a server that speaks as much of HTTP/2 as is needed to refuse. It answers each
// request, when all of it has come, with a frame, and closes the connection for a nil one.
func createHTTP2(t *testing.T, answer func(stream uint32) []byte) (base string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	done := make(chan struct{})
	t.Cleanup(func() {
		close(done)
		_ = listener.Close()
		group.Wait()
	})
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer func() { _ = conn.Close() }()
				group.Go(func() {
					<-done
					_ = conn.Close()
				})
				preface := make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
				if _, err := io.ReadFull(conn, preface); err != nil {
					return
				}
				_, _ = conn.Write([]byte{0, 0, 0, 4, 0, 0, 0, 0, 0}) // SETTINGS
				head := make([]byte, 9)
				for {
					if _, err := io.ReadFull(conn, head); err != nil {
						return
					}
					if _, err := io.CopyN(io.Discard, conn, int64(head[0])<<16|int64(head[1])<<8|int64(head[2])); err != nil {
						return
					}
					switch kind, flags := head[3], head[4]; {
					case kind == 4 && flags == 0:
						_, _ = conn.Write([]byte{0, 0, 0, 4, 1, 0, 0, 0, 0}) // its ACK
					case kind <= 1 && flags&1 != 0: // END_STREAM
						frame := answer(binary.BigEndian.Uint32(head[5:]))
						if frame == nil {
							return
						}
						_, _ = conn.Write(frame)
					}
				}
			})
		}
	})
	return "http://" + listener.Addr().String()
}

// TestCreatesThatAreRepeated: only HTTP 429 with a code that proves that nothing was created is
// followed by another request, the same one, within WithMaxAttempts, and no sooner than it says.
func TestCreatesThatAreRepeated(t *testing.T) {
	t.Parallel()
	many := func(r zaitest.Reply) []zaitest.Reply { return slices.Repeat([]zaitest.Reply{r}, 10) }
	once := func(r zaitest.Reply) []zaitest.Reply { return []zaitest.Reply{r} }
	flat := func(status int, code string) zaitest.Reply {
		return zaitest.Raw(status, http.Header{"Content-Type": {"application/json"}}, `{"code":`+code+`,"msg":"no"}`)
	}
	for _, test := range []struct {
		name        string
		replies     []zaitest.Reply
		opts        []api.ClientOption
		timeout     time.Duration // of the context
		requests    int
		least, most time.Duration
		class       error // nil means success
		task        bool  // the error is a *TaskError
		carried     time.Duration
	}{
		{name: "1302", replies: once(zaitest.RateLimited("1302", "")), requests: 2, most: time.Second / 2},
		{name: "1303", replies: once(zaitest.RateLimited("1303", "")), requests: 2, most: time.Second / 2},
		{name: "1305", replies: once(zaitest.RateLimited("1305", "")), requests: 2, most: time.Second / 2},
		{name: "1312", replies: once(zaitest.RateLimited("1312", "")), requests: 2, most: time.Second / 2},
		{name: "1302 as a number", replies: once(flat(429, "1302")), requests: 2, most: time.Second / 2},
		{name: "1302, 7 s", replies: once(zaitest.RateLimited("1302", "7")), requests: 2, least: 7 * time.Second, most: 7 * time.Second},
		{name: "1302, 60 s", replies: once(zaitest.RateLimited("1302", "60")), requests: 2, least: time.Minute, most: time.Minute},
		{name: "1302, 61 s", replies: many(zaitest.RateLimited("1302", "61")), requests: 1, class: api.ErrRateLimited, carried: 61 * time.Second},
		{name: "1302, past the deadline", replies: many(zaitest.RateLimited("1302", "7")), timeout: 6 * time.Second, requests: 1, class: api.ErrRateLimited, carried: 7 * time.Second},
		{name: "1302 for ever", replies: many(zaitest.RateLimited("1302", "")), requests: 3, most: 1500 * time.Millisecond, class: api.ErrRateLimited},
		{name: "1302, one attempt", opts: []api.ClientOption{api.WithMaxAttempts(1)}, replies: many(zaitest.RateLimited("1302", "")), requests: 1, class: api.ErrRateLimited},
		{name: "1305, five attempts", opts: []api.ClientOption{api.WithMaxAttempts(5)}, replies: many(zaitest.RateLimited("1305", "2")), requests: 5, least: 8 * time.Second, most: 12 * time.Second, class: api.ErrOverloaded, carried: 2 * time.Second},
		{name: "1302, then a lost answer", replies: []zaitest.Reply{zaitest.RateLimited("1302", ""), zaitest.Lose(zaitest.HTMLError(502))}, requests: 2, most: time.Second / 2, class: api.ErrUnknownOutcome},
		{name: "1302, then refused", replies: []zaitest.Reply{zaitest.RateLimited("1302", ""), zaitest.Failed("1113", "no money")}, requests: 2, most: time.Second / 2, class: api.ErrQuota, task: true},
		{name: "429 without a code", replies: many(zaitest.HTMLError(429)), requests: 1, class: api.ErrRateLimited},
		{name: "429 as a code", replies: many(flat(429, "429")), requests: 1, class: api.ErrRateLimited},
		{name: "1113", replies: many(zaitest.RateLimited("1113", "")), requests: 1, class: api.ErrQuota},
		{name: "1304", replies: many(zaitest.RateLimited("1304", "1")), requests: 1, class: api.ErrQuota, carried: time.Second},
		{name: "1234 in 429", replies: many(zaitest.RateLimited("1234", "")), requests: 1, class: api.ErrUnknownOutcome},
		{name: "1302 in 200", replies: many(zaitest.Failed("1302", "slow")), requests: 1, class: api.ErrRateLimited, task: true},
		{name: "flat 1302 in 200", replies: many(flat(200, "1302")), requests: 1, class: api.ErrRateLimited},
		{name: "1302 in 503", replies: many(zaitest.APIError(503, "1302", "slow")), requests: 1, class: api.ErrRateLimited},
		{name: "1305 in 400", replies: many(zaitest.APIError(400, "1305", "slow")), requests: 1, class: api.ErrOverloaded},
		{name: "503 that says when", replies: many(zaitest.WithHeader("Retry-After", "1", zaitest.HTMLError(503))), requests: 1, class: api.ErrUnknownOutcome, carried: time.Second},
		{name: "500", replies: many(zaitest.ServerError("1234")), requests: 1, class: api.ErrUnknownOutcome},
		{name: "a broken connection", replies: many(zaitest.Abort()), requests: 1, class: api.ErrUnknownOutcome},
		{name: "401", replies: many(zaitest.APIError(401, "1004", "no")), requests: 1, class: api.ErrAuthentication},
		{name: "400", replies: many(zaitest.APIError(400, "1210", "no")), requests: 1, class: api.ErrInvalidRequest},
		{name: "running", replies: many(zaitest.APIError(400, "1231", "no")), requests: 1, class: api.ErrConflict},
		{name: "running, in 200", replies: many(zaitest.Failed("1231", "no")), requests: 1, class: api.ErrConflict, task: true},
		{name: "blocked", replies: many(zaitest.Failed("1301", "no")), requests: 1, class: api.ErrContentBlocked, task: true},
		{name: "no money, in 200", replies: many(zaitest.Failed("1113", "no")), requests: 1, class: api.ErrQuota, task: true},
		{name: "failed, for no known reason", replies: many(zaitest.Failed("", "")), requests: 1, class: errCreateNone, task: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			for verb, call := range createVerbs {
				retrieveIn(t, test.opts, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses, _ api.Task) {
					ctx := t.Context()
					if test.timeout > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeout(ctx, test.timeout)
						defer cancel()
					}
					srv.Enqueue(test.replies...)
					start := time.Now()
					err := call(ctx, client)
					took, requests := time.Since(start), srv.Requests()
					if verb == "Upload" { // which is never repeated
						if e, ok := errors.AsType[*api.Error](err); len(requests) != 1 || took != 0 || err == nil || ok && e.Attempts != 1 {
							t.Errorf("Upload: %v after %v and %d requests", err, took, len(requests))
						}
						return
					}
					if len(requests) != test.requests || took < test.least || took > test.most {
						t.Errorf("%s: %d requests in %v, want %d in %v to %v", verb, len(requests), took, test.requests, test.least, test.most)
					}
					var ids []string
					for _, r := range requests {
						var sent struct {
							RequestID string `json:"request_id"`
						}
						if err := json.Unmarshal(r.Body, &sent); err != nil || sent.RequestID == "" {
							t.Errorf("%s: sent %s, %v", verb, r.Body, err)
						}
						ids = append(ids, sent.RequestID)
						if !bytes.Equal(r.Body, requests[0].Body) {
							t.Errorf("%s: first %s, then %s", verb, requests[0].Body, r.Body)
						}
					}
					if test.class == nil {
						if runs := srv.Runs(); err != nil || len(runs) != 1 || runs[0].RequestID != ids[0] {
							t.Errorf("%s: %v, runs %v", verb, err, runs)
						}
						return
					}
					failed, isTask := errors.AsType[*api.TaskError](err)
					e, isError := errors.AsType[*api.Error](err)
					switch {
					case isTask != test.task || isError == test.task || !errors.Is(test.class, errCreateNone) && !errors.Is(err, test.class):
						t.Errorf("%s: got %v, want %v", verb, err, test.class)
					case errors.Is(err, api.ErrUnknownOutcome) != (test.class == api.ErrUnknownOutcome): //nolint:errorlint // It is the sentinel itself.
						t.Errorf("%s: ErrUnknownOutcome does not fit: %v", verb, err)
					case errors.Is(err, api.ErrConflict) && !errors.Is(err, api.ErrInvalidRequest):
						t.Errorf("%s: not ErrInvalidRequest: %v", verb, err)
					case isTask && (failed.Result == nil || failed.Task.AgentID == ""):
						t.Errorf("%s: got %+v", verb, failed)
					case isError && (e.Attempts != test.requests || e.RetryAfter != test.carried || e.CallerRequestID != ids[0] || e.Op != "invokeAgent"):
						t.Errorf("%s: got %+v", verb, e)
					}
				})
			}
		})
	}
}

var errCreateNone = errors.New("no class")

// TestCreateEndsWhileItWaits: the context ends the pause before a repeat, and the answer that was
// had says that nothing was created.
func TestCreateEndsWhileItWaits(t *testing.T) {
	t.Parallel()
	gone := errors.New("the user went home")
	retrieveIn(t, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses, _ api.Task) {
		srv.Always(zaitest.RateLimited("1302", "30"))
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(5*time.Second, func() { cancel(gone) })
		start := time.Now()
		_, err := client.Submit(ctx, api.NewVideoRequest(api.TemplateBodyShake, createPicture, ""))
		if time.Since(start) != 5*time.Second || !errors.Is(err, api.ErrRateLimited) || !errors.Is(err, gone) || errors.Is(err, api.ErrUnknownOutcome) || len(srv.Requests()) != 1 {
			t.Errorf("after %v and %d requests: %v", time.Since(start), len(srv.Requests()), err)
		}
	})
}

// TestLostTasks: the server has made a task, nobody was told, and the id by which to ask the
// support for it is in the error.
func TestLostTasks(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]zaitest.Reply{
		"502": zaitest.HTMLError(502), "broken": zaitest.Abort(), "truncated": zaitest.TruncatedJSON(), "slow": zaitest.Hang(),
	} {
		retrieveIn(t, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses, _ api.Task) {
			srv.Enqueue(zaitest.Lose(lose))
			start := time.Now()
			_, err := client.Submit(t.Context(), api.NewVideoRequest(api.TemplateBodyShake, createPicture, ""))
			e, ok := errors.AsType[*api.Error](err)
			runs := srv.Runs()
			if !ok || len(runs) != 1 || !errors.Is(err, api.ErrUnknownOutcome) || e.CallerRequestID == "" || e.CallerRequestID != runs[0].RequestID {
				t.Errorf("%s: %v, runs %v", name, err, runs)
			}
			if want := time.Minute; name == "slow" && (time.Since(start) != want || !errors.Is(err, context.DeadlineExceeded)) {
				t.Errorf("%s: %v after %v", name, err, time.Since(start))
			}
		})
	}
}
