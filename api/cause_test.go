package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"example.com/zai/api"
)

// causeError is an error of a caller.
type causeError struct{ why string }

func (e *causeError) Error() string { return e.why }

// causeClasses are what errors of this package match.
var causeClasses = []error{
	api.ErrUnknownOutcome, api.ErrInvalidRequest, api.ErrContentBlocked, api.ErrNoResult, api.ErrServer, api.ErrAuthentication,
	api.ErrMalformed, api.ErrInterrupted, api.ErrNoTask, api.ErrBodyTooLarge,
}

// TestErrorsOfOtherCalls: the cause of a context is that of another call in an errgroup. What that
// failed with is visible, but this call has not failed with it, and does not write into it.
func TestErrorsOfOtherCalls(t *testing.T) {
	t.Parallel()
	verbs := map[string]func(context.Context, *api.ClientWithResponses) error{
		"Retrieve": func(ctx context.Context, c *api.ClientWithResponses) error {
			return createResult(c.Retrieve(ctx, retrieveTask))
		},
		"Conversation": func(ctx context.Context, c *api.ClientWithResponses) error {
			return createResult(c.Conversation(ctx, api.ConversationRequest{ConversationID: "1"}))
		},
		"Wait": func(ctx context.Context, c *api.ClientWithResponses) error {
			_, err := c.Wait(ctx, retrieveTask)
			return err
		},
		"Download": func(ctx context.Context, c *api.ClientWithResponses) error {
			_, err := c.Download(ctx, "https://192.0.2.1/a.mp4", &strings.Builder{})
			return err
		},
	}
	for name, call := range createVerbs {
		verbs[name] = func(ctx context.Context, c *api.ClientWithResponses) error { return call(ctx, c) }
	}
	other := api.Task{AgentID: "other", AsyncID: "1"}
	for name, cause := range map[string]error{
		"a lost create":   &api.Error{Op: "other", StatusCode: 502, Err: api.ErrUnknownOutcome},
		"a refusal":       fmt.Errorf("worker 3: %w", &api.Error{Op: "other", StatusCode: 400, Code: "1210"}),
		"nothing sent":    &api.Error{Op: "other", Err: api.ErrInvalidRequest},
		"a failed task":   &api.TaskError{Task: other, Code: "1301"},
		"a wait":          &api.WaitError{Task: other, Err: api.ErrServer},
		"an empty result": fmt.Errorf("task: %w", api.ErrNoResult),
		"of the caller":   fmt.Errorf("shutdown: %w", &causeError{"the user went home"}),
	} {
		text := cause.Error()
		for verb, call := range verbs {
			for _, late := range []bool{false, true} {
				ctx, cancel := context.WithCancelCause(t.Context())
				if !late {
					cancel(cause)
				}
				client, err := api.New(sampleKey, api.WithHTTPClient(&http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
					cancel(cause)
					return nil, ctx.Err()
				}}}))
				if err != nil {
					t.Fatal(err)
				}
				err = call(ctx, client)
				if !errors.Is(err, context.Canceled) || !errors.Is(err, cause) || !strings.Contains(err.Error(), line(text)) {
					t.Errorf("%s, %s, late %t: %v does not tell why", verb, name, late, err)
				}
				for _, class := range causeClasses {
					if errors.Is(err, class) {
						t.Errorf("%s, %s, late %t: %v matches %v", verb, name, late, err, class)
					}
				}
				e, _ := errors.AsType[*api.Error](err)
				_, failed := errors.AsType[*api.TaskError](err)
				waited, _ := errors.AsType[*api.WaitError](err)
				if e != nil && (e.Op == "other" || e.StatusCode != 0) || failed || waited != nil && waited.Task == other || cause.Error() != text {
					t.Errorf("%s, %s, late %t: %v is that of another call", verb, name, late, err)
				}
				if _, own := errors.AsType[*causeError](err); own != (name == "of the caller") {
					t.Errorf("%s, %s, late %t: the caller's own error in %v: %t", verb, name, late, err, own)
				}
			}
		}
	}
}

func line(text string) string { return strings.ReplaceAll(text, "\n", " ") }

// TestEditorsWithErrorsOfOtherCalls: what an editor fails with may be kept by it, and is not written into.
func TestEditorsWithErrorsOfOtherCalls(t *testing.T) {
	t.Parallel()
	kept := &api.Error{Op: "other", StatusCode: http.StatusServiceUnavailable, Message: "sealed"}
	for _, failure := range []error{kept, fmt.Errorf("my vault: %w", kept)} {
		client, err := api.NewWithAuth(func(context.Context, *http.Request) error { return failure }, api.WithHTTPClient(optionsNever(t)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Retrieve(t.Context(), retrieveTask)
		e, ok := errors.AsType[*api.Error](err)
		if !ok || e == kept || e.StatusCode != 0 || e.Op != "retrieveAgentResult" || !errors.Is(err, failure) || !strings.Contains(err.Error(), failure.Error()) {
			t.Errorf("got %#v, want the failure %v as its cause", err, failure)
		}
		if kept.Op != "other" || kept.Attempts != 0 {
			t.Errorf("the error that was kept is now %v", kept)
		}
	}
}

// TestHeadersThatCannotBeSent: nothing is sent, and nothing is in doubt.
func TestHeadersThatCannotBeSent(t *testing.T) {
	t.Parallel()
	for name, editor := range map[string]api.RequestEditorFn{
		"a trace":  func(_ context.Context, req *http.Request) error { req.Header.Set("X-Trace", "a\nb"); return nil },
		"a delete": func(_ context.Context, req *http.Request) error { req.Header.Set("X-Trace", "a\x7f"); return nil },
		"a token with a line end": func(_ context.Context, req *http.Request) error {
			req.Header.Set("Authorization", "Bearer t0ken-of-a-file\n")
			return nil
		},
	} {
		var asked atomic.Int32
		client := retrieveServer(t, func(http.ResponseWriter, *http.Request) { asked.Add(1) })
		calls := map[string]func() error{"Retrieve": func() error { return createResult(client.Retrieve(t.Context(), retrieveTask, editor)) }}
		for verb, call := range createVerbs {
			calls[verb] = func() error { return call(t.Context(), client, editor) }
		}
		for verb, call := range calls {
			err := call()
			if !errors.Is(err, api.ErrInvalidRequest) || errors.Is(err, api.ErrUnknownOutcome) || asked.Load() != 0 || strings.Contains(err.Error(), "t0ken") {
				t.Errorf("%s, %s: %v after %d requests", name, verb, err, asked.Load())
			}
		}
	}
}

// TestHeadersWithTabs: HTTP allows a tab, and bytes that are not ASCII.
func TestHeadersWithTabs(t *testing.T) {
	t.Parallel()
	var got atomic.Value
	client := retrieveServer(t, func(w http.ResponseWriter, r *http.Request) {
		got.Store(r.Header.Get("X-Trace"))
		createRaw(http.StatusOK, "application/json", `{"status":"pending"}`)(w, r)
	})
	_, err := client.Retrieve(t.Context(), retrieveTask, func(_ context.Context, req *http.Request) error {
		req.Header.Set("X-Trace", "a\tb é\xff")
		return nil
	})
	if err != nil || got.Load() != "a\tb é\xff" {
		t.Errorf("sent %q: %v", got.Load(), err)
	}
}

// TestNoProxy: where the client's own transport finds no proxy, nothing was sent.
func TestNoProxy(t *testing.T) { //nolint:paralleltest // The default transport is that of the process.
	shared := http.DefaultTransport
	defer func() { http.DefaultTransport = shared }()
	broken := errors.New("invalid proxy address")
	http.DefaultTransport = &http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return nil, broken }}
	client, err := api.New(sampleKey)
	if err != nil {
		t.Fatal(err)
	}
	for verb, call := range createVerbs {
		if err := call(t.Context(), client); !errors.Is(err, broken) || errors.Is(err, api.ErrUnknownOutcome) {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

// TestRetryableWithoutAnAnswer: a read that was lost may be repeated, a create may not, and what the
// caller ended is no failure of the server.
func TestRetryableWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, test := range map[string]struct {
		ctx     context.Context
		handler http.HandlerFunc
		opts    []api.ClientOption
		read    bool
	}{
		"cut":      {ctx: t.Context(), handler: func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, read: true},
		"time-out": {ctx: t.Context(), handler: drained(createStall("")), opts: []api.ClientOption{api.WithTimeout(20 * time.Millisecond)}, read: true},
		"ended":    {ctx: ended, handler: func(http.ResponseWriter, *http.Request) {}},
		"refused":  {ctx: t.Context(), handler: createRaw(http.StatusUnauthorized, "", "")},
	} {
		client := retrieveServer(t, test.handler, append(test.opts, api.WithMaxAttempts(1))...)
		_, err := client.Retrieve(test.ctx, retrieveTask)
		if e, ok := errors.AsType[*api.Error](err); !ok || e.Retryable() != test.read {
			t.Errorf("Retrieve, %s: Retryable is not %t: %v", name, test.read, err)
		}
		if test.ctx == ended {
			_, err = client.Download(ended, "https://192.0.2.1/a.mp4", io.Discard)
			if e, ok := errors.AsType[*api.Error](err); !ok || e.Retryable() {
				t.Errorf("Download, %s: Retryable, or no *Error: %v", name, err)
			}
		}
		for verb, call := range createVerbs {
			err := call(test.ctx, client)
			if e, ok := errors.AsType[*api.Error](err); !ok || e.Retryable() {
				t.Errorf("%s, %s: Retryable, or no *Error: %v", verb, name, err)
			}
		}
	}
}

// drained reads the request first, without which a server does not see that its client has left.
func drained(answer http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		answer(w, r)
	}
}

// TestEditorsWhoseContextEnds: a source of keys that asks a server fails with the cause of the context,
// which is that of another call.
func TestEditorsWhoseContextEnds(t *testing.T) {
	t.Parallel()
	other := &api.TaskError{Task: api.Task{AgentID: "other", AsyncID: "1"}, Code: "1113"}
	calls := map[string]func(context.Context, *api.ClientWithResponses, ...api.RequestEditorFn) error{
		"Retrieve": func(ctx context.Context, c *api.ClientWithResponses, _ ...api.RequestEditorFn) error {
			return createResult(c.Retrieve(ctx, retrieveTask))
		},
	}
	maps.Copy(calls, createVerbs)
	for verb, call := range calls {
		ctx, cancel := context.WithCancelCause(t.Context())
		client, err := api.NewWithAuth(api.BearerAuthFunc(func(ctx context.Context) (string, error) {
			cancel(other)
			return "", context.Cause(ctx)
		}), api.WithHTTPClient(optionsNever(t)))
		if err != nil {
			t.Fatal(err)
		}
		err = call(ctx, client)
		if _, failed := errors.AsType[*api.TaskError](err); failed || errors.Is(err, api.ErrQuota) || !errors.Is(err, context.Canceled) || !errors.Is(err, other) {
			t.Errorf("%s: %v is that of another call", verb, err)
		}
	}
}

// TestEditorsWithAddresses: what an editor fails with shows no query.
func TestEditorsWithAddresses(t *testing.T) {
	t.Parallel()
	sealed := errors.New("sealed")
	client, err := api.NewWithAuth(api.BearerAuthFunc(func(context.Context) (string, error) {
		return "", &url.Error{Op: "Get", URL: "https://auth.example.com/token?client_secret=S3CRET", Err: sealed}
	}), api.WithHTTPClient(optionsNever(t)))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Retrieve(t.Context(), retrieveTask)
	retrieveHoldsNo(t, "S3CRET", err)
	if !errors.Is(err, sealed) || !strings.Contains(err.Error(), "https://auth.example.com/token?…") {
		t.Errorf("got %v", err)
	}
}

// slicesError cannot be compared, as lists of errors cannot.
type slicesError []string

func (e slicesError) Error() string { return strings.Join(e, ", ") }

// TestOptionsThatFail: the error of an option stays what it is.
func TestOptionsThatFail(t *testing.T) {
	t.Parallel()
	broken := &url.Error{Op: "Get", URL: "https://example.com/ca.pem", Err: errors.New("connection refused")}
	for _, failure := range []error{slicesError{"bad", "worse"}, fmt.Errorf("load the CA bundle: %w", broken)} {
		_, err := api.New("id.secret", func(*api.Client) error { return failure })
		optionsRefused(t, err, failure.Error())
	}
	_, err := api.New("id.secret", api.WithBaseURL("https://me:sekret@api.z.ai/api\n"))
	optionsRefused(t, err, "base URL: ", "sekret")
}

// TestStreamOfAnotherTask: the events of a poll have no async id, so the task is the one asked for.
func TestStreamOfAnotherTask(t *testing.T) {
	t.Parallel()
	client := retrieveServer(t, createRaw(http.StatusOK, "text/event-stream",
		"data: {\"async_id\":\"other\",\"choices\":[{\"messages\":[{\"content\":\"a\"}]}]}\n\ndata: {\"async_id\":\"other\",\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n"))
	if r, err := client.Retrieve(t.Context(), retrieveTask); err != nil || r.Task() != retrieveTask || r.Text() != "a" {
		t.Errorf("got %v, %v", r, err)
	}
}

// TestSwitchingProtocols: nobody asked for another protocol, whose connection no context would end.
func TestSwitchingProtocols(t *testing.T) {
	t.Parallel()
	client := retrieveServer(t, func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = conn.Close() }) // It stays open.
		_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
	})
	_, err := client.Retrieve(t.Context(), retrieveTask)
	if e, ok := errors.AsType[*api.Error](err); !ok || e.Attempts != 1 || !strings.Contains(err.Error(), "101") {
		t.Errorf("Retrieve: %v", err)
	}
	for verb, call := range createVerbs {
		if err := call(t.Context(), client); !errors.Is(err, api.ErrUnknownOutcome) || !strings.Contains(err.Error(), "101") {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

// TestEditorsDoNotCount: requests that an editor makes with the context it is given say nothing of the
// create, and an editor that takes the context away does not take away that it was sent.
func TestEditorsDoNotCount(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	var tokens atomic.Int32
	auth := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { tokens.Add(1) }))
	defer auth.Close()
	ask := func(address string) api.RequestEditorFn {
		return func(ctx context.Context, _ *http.Request) error {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
			if err != nil {
				return err
			}
			resp, err := auth.Client().Do(req)
			if err == nil {
				_ = resp.Body.Close()
			}
			return nil // There was a token of before.
		}
	}
	for verb, call := range createVerbs {
		lost := errors.New("connection lost")
		silent, err := api.New(sampleKey, api.WithHTTPClient(retrieveDoerFunc(func(*http.Request) (*http.Response, error) { return nil, lost })))
		if err != nil {
			t.Fatal(err)
		}
		if err := call(t.Context(), silent, ask(nobody)); !errors.Is(err, lost) || !errors.Is(err, api.ErrUnknownOutcome) {
			t.Errorf("%s by a Doer that does not report: %v", verb, err)
		}
		if err := call(t.Context(), retrieveClient(t, nobody), ask(auth.URL)); err == nil || errors.Is(err, api.ErrUnknownOutcome) {
			t.Errorf("%s to nobody: %v", verb, err)
		}
		broken := retrieveServer(t, drained(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
		background := func(_ context.Context, req *http.Request) error {
			*req = *req.WithContext(t.Context())
			return nil
		}
		if err := call(t.Context(), broken, background); !errors.Is(err, api.ErrUnknownOutcome) {
			t.Errorf("%s without the context: %v", verb, err)
		}
	}
	if tokens.Load() != int32(len(createVerbs)) {
		t.Errorf("%d tokens were asked for", tokens.Load())
	}
}

// TestEditorsMayChangeWhatTheySee: header values are those of one request, none is nil, and what an editor
// replaced is what the next one finds.
func TestEditorsMayChangeWhatTheySee(t *testing.T) {
	t.Parallel()
	var got []http.Header
	var bodies []string
	client := retrieveServer(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got, bodies = append(got, r.Header), append(bodies, string(body))
		createRaw(http.StatusOK, "application/json", `{"status":"success","choices":[{"messages":[{"content":"a"}]}]}`)(w, r)
	})
	shout := func(_ context.Context, req *http.Request) error {
		for name := range req.Header {
			req.Header[name][0] = strings.ToUpper(req.Header[name][0][:1]) + req.Header[name][0][1:]
		}
		return nil
	}
	replace := func(_ context.Context, req *http.Request) error {
		const body = `{"agent_id":"general_translation","request_id":"mine","messages":[]}`
		req.Body, req.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
		return nil
	}
	calls := []func(...api.RequestEditorFn) error{
		func(editors ...api.RequestEditorFn) error {
			return createResult(client.Retrieve(t.Context(), retrieveTask, editors...))
		},
		func(editors ...api.RequestEditorFn) error {
			return createResult(client.Invoke(t.Context(), streamTranslation, editors...))
		},
	}
	for i, call := range calls {
		got, bodies = nil, nil
		for _, editors := range [][]api.RequestEditorFn{nil, {shout}, nil, {replace, api.BodyFields(map[string]any{"extra": 1})}} {
			if err := call(editors...); err != nil {
				t.Fatal(err)
			}
		}
		for n, want := range []string{"en-US,en", "En-US,en", "en-US,en", "en-US,en"} {
			if language := got[n].Get("Accept-Language"); language != want {
				t.Errorf("call %d, request %d asks for %q", i, n, language)
			}
		}
		if want := `{"agent_id":"general_translation","extra":1,"messages":[],"request_id":"mine"}`; bodies[3] != want {
			t.Errorf("call %d sent %s", i, bodies[3])
		}
	}
	failing := retrieveServer(t, drained(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	_, err := failing.Invoke(t.Context(), streamSlides, replace)
	if e, ok := errors.AsType[*api.Error](err); !ok || e.CallerRequestID != "mine" {
		t.Errorf("%v does not name the id that was sent", err)
	}
}

// TestLogHoldsNoBody: what the server wrote is not logged.
func TestLogHoldsNoBody(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	client := retrieveServer(t, createRaw(http.StatusBadRequest, "application/json", `{"error":{"code":"1210","message":"the prompt was: a s3cret"}}`),
		api.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
	_, err := client.Retrieve(t.Context(), retrieveTask)
	if !strings.Contains(err.Error(), "s3cret") || strings.Contains(log.String(), "s3cret") || !strings.Contains(log.String(), "code 1210") {
		t.Errorf("%v is logged as %s", err, &log)
	}
}

// TestStreamCountsWhatItSkipped: corrupt events before the break are counted in its error.
func TestStreamCountsWhatItSkipped(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]int{
		"data: {x\n\n": 1, "data: {\"id\":\"1\"}\n\ndata: {x\n\ndata: {x\n\n": 2, "data: {x\n\ndata: {x\n\ndata: {x\n\n": 3, "data: {x\n\ndata: {\"id\":\"1\"}\n\n": 0,
	} {
		client := retrieveServer(t, createRaw(http.StatusOK, "text/event-stream", body))
		var last error
		for _, err := range client.Stream(t.Context(), streamTranslation) {
			last = err
		}
		if e, ok := errors.AsType[*api.Error](last); !ok || e.Skipped != want {
			t.Errorf("%q: %v, want %d skipped", body, last, want)
		}
	}
}

// invalidCauseError is an error of a caller that takes itself for one of this package.
type invalidCauseError struct{}

func (invalidCauseError) Error() string        { return "the order was withdrawn" }
func (invalidCauseError) Is(target error) bool { return target == api.ErrInvalidRequest }

// TestCausesThatSayAnything: what a caller ends a context with does not say that nothing was sent.
func TestCausesThatSayAnything(t *testing.T) {
	t.Parallel()
	for verb, call := range createVerbs {
		ctx, cancel := context.WithCancelCause(t.Context())
		client := retrieveServer(t, drained(func(_ http.ResponseWriter, r *http.Request) {
			cancel(invalidCauseError{})
			<-r.Context().Done()
		}))
		if err := call(ctx, client); !errors.Is(err, api.ErrUnknownOutcome) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", verb, err)
		}
	}
}

// endingBody gives its content, ends the context, and only then says that this was all, as HTTP/2 does.
type endingBody struct {
	content io.Reader
	end     func()
}

func (b *endingBody) Read(p []byte) (int, error) {
	n, err := b.content.Read(p)
	if n == 0 || err != nil {
		return n, err
	}
	b.end()
	return n, nil
}

// TestAnswersThatCameWhole: an answer that was received before the context ended counts.
func TestAnswersThatCameWhole(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	client, err := api.New(sampleKey, api.WithHTTPClient(&http.Client{Transport: verbTransport(func(req *http.Request) (*http.Response, error) {
		content := strings.NewReader(`{"status":"pending","agent_id":"vidu_template_agent","async_id":"1"}`)
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(&endingBody{content, cancel}), ContentLength: -1, Request: req}, nil
	})}))
	if err != nil {
		t.Fatal(err)
	}
	task, err := client.Submit(ctx, api.NewVideoRequest(api.TemplateBodyShake, createPicture, ""))
	if err != nil || task.AsyncID != "1" || ctx.Err() == nil {
		t.Errorf("got %v, %v", task, err)
	}
}

// TestEditorsThatCall: a create within the editor of another one is not that other one, and what an editor
// keeps is not written into.
func TestEditorsThatCall(t *testing.T) {
	t.Parallel()
	lost := retrieveServer(t, createRaw(http.StatusBadGateway, "text/html", ""))
	_, kept := api.ParseTask("no task")
	text := kept.Error()
	for name, editor := range map[string]api.RequestEditorFn{
		"a lost upload": func(ctx context.Context, _ *http.Request) error {
			_, err := lost.Upload(ctx, "a.txt", strings.NewReader("a"))
			return err
		},
		"kept": func(context.Context, *http.Request) error { return kept },
	} {
		client, err := api.New(sampleKey, api.WithHTTPClient(optionsNever(t)))
		if err != nil {
			t.Fatal(err)
		}
		for verb, call := range createVerbs {
			err := call(t.Context(), client, editor)
			if err == nil || errors.Is(err, api.ErrUnknownOutcome) || errors.Is(err, api.ErrServer) || kept.Error() != text {
				t.Errorf("%s, %s: %v, and %v", verb, name, err, kept)
			}
		}
	}
}

// TestPiecesOfAWholeStream: an answer to a poll that comes in many pieces is whole.
func TestPiecesOfAWholeStream(t *testing.T) {
	t.Parallel()
	const pieces = 5_000 // An Accumulator of 1 MiB takes 4,096.
	var events strings.Builder
	for n := range pieces {
		fmt.Fprintf(&events, "data: {\"choices\":[{\"messages\":[{\"phase\":\"p%d\",\"content\":\"a\"}]}]}\n\n", n%2)
	}
	events.WriteString("data: {\"choices\":[{\"finish_reason\":\"length\",\"messages\":[{\"content\":\"THE END\"}]}]}\n\ndata: [DONE]\n\n")
	client := retrieveServer(t, createRaw(http.StatusOK, "text/event-stream", events.String()), api.WithMaxBody(1<<20))
	r, err := client.Retrieve(t.Context(), retrieveTask)
	if err != nil || len(r.Text()) != pieces+len("THE END") || r.FinishReason() != api.FinishLength {
		t.Errorf("got %v, %v", r, err)
	}
	if _, err := client.Invoke(t.Context(), streamTranslation); !errors.Is(err, api.ErrBodyTooLarge) || !strings.Contains(err.Error(), "pieces") {
		t.Errorf("Invoke: %v", err)
	}
}
