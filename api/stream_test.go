package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

var (
	streamTranslation = api.NewTranslationRequest("Hello", api.LanguageFrench)
	streamSlides      = api.NewSlidesRequest("Tides")
	streamStop        = zaitest.Event{FinishReason: "stop"}
)

// streamIn runs test in a bubble of virtual time, with a stand-in whose next run has these events.
func streamIn(t *testing.T, script zaitest.Stream, opts []api.ClientOption, test func(*testing.T, *zaitest.Server, *api.ClientWithResponses)) {
	t.Helper()
	retrieveIn(t, opts, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses, _ api.Task) {
		srv.EnqueueTasks(zaitest.TaskScript{Stream: script})
		test(t, srv, client)
	})
}

// streamOver returns a client whose requests are answered with a stream of this content.
func streamOver(t testing.TB, body func() io.Reader, opts ...api.ClientOption) *api.ClientWithResponses {
	t.Helper()
	return streamVia(t, "text/event-stream;charset=UTF-8", body, opts...)
}

func streamVia(t testing.TB, contentType string, body func() io.Reader, opts ...api.ClientOption) *api.ClientWithResponses {
	t.Helper()
	client, err := api.New(sampleKey, append([]api.ClientOption{api.WithHTTPClient(&http.Client{Transport: verbTransport(func(req *http.Request) (*http.Response, error) {
		return &http.Response{
			StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {contentType}, "X-Log-Id": {"log-1"}},
			Body: io.NopCloser(body()), ContentLength: -1, Request: req,
		}, nil
	})})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// streamAll reads a stream to its end. An error must be the last thing that comes.
func streamAll(t testing.TB, stream iter.Seq2[*api.Result, error]) (events []*api.Result, failure error) {
	t.Helper()
	for event, err := range stream {
		if failure != nil || (event == nil) == (err == nil) {
			t.Fatalf("event %v and error %v, after error %v", event, err, failure)
		}
		if failure = err; err == nil {
			events = append(events, event)
		}
	}
	return events, failure
}

func streamTexts(events []*api.Result) string {
	var texts []string
	for _, e := range events {
		texts = append(texts, e.Text())
	}
	return strings.Join(texts, "|")
}

// streamBroken checks an error of a stream that ended before its end.
func streamBroken(t *testing.T, err error, events int, causes ...error) *api.Error {
	t.Helper()
	e, ok := err.(*api.Error) //nolint:errorlint // Nothing may be wrapped around it.
	if !ok {
		t.Fatalf("the error is a %T: %v", err, err)
	}
	for _, cause := range append(causes, api.ErrUnknownOutcome) {
		if !errors.Is(err, cause) {
			t.Errorf("%v is not %v", err, cause)
		}
	}
	if e.Op != "invokeAgent" || e.StatusCode != http.StatusOK || e.Attempts != 1 || e.RequestID == "" || e.Events != events || len(e.Header["Content-Type"]) != 1 {
		t.Errorf("got %+v after %d events", e, events)
	}
	return e
}

// TestStreamFirstEvent: an event is in the caller's hands before the server sends the next.
func TestStreamFirstEvent(t *testing.T) {
	t.Parallel()
	for _, proto := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(proto, func(t *testing.T) {
			t.Parallel()
			srv, doer := streamServer(t, proto == "HTTP/2.0", nil)
			client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL), api.WithHTTPClient(doer))
			if err != nil {
				t.Fatal(err)
			}
			var used string
			srv.Enqueue(func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
				used = r.Proto
				ordinary(w, r)
			})
			hold := make(chan struct{})
			srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Events: []zaitest.Event{{Text: "1"}, {Text: "2", Hold: hold}, {Text: "3", Hold: hold}, {FinishReason: "stop", Hold: hold}}}})
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			var events []*api.Result
			for event, err := range client.Stream(ctx, streamTranslation) {
				if err != nil {
					t.Fatal(err)
				}
				if events = append(events, event); len(events) < 4 {
					hold <- struct{}{} // Only now the next one is sent.
				}
			}
			if got := streamTexts(events); got != "1|2|3|" || used != proto {
				t.Errorf("got %q over %s", got, used)
			}
		})
	}
}

// streamServer is a stand-in that listens, with a Doer that keeps no idle connections.
func streamServer(t testing.TB, http2 bool, connState func(net.Conn, http.ConnState)) (*zaitest.Server, *http.Client) {
	t.Helper()
	srv := zaitest.NewUnstartedServer()
	web := httptest.NewUnstartedServer(srv)
	web.Config.ConnState = connState
	if web.EnableHTTP2 = http2; http2 {
		web.StartTLS()
	} else {
		web.Start()
	}
	srv.URL = web.URL + "/api"
	doer := web.Client()
	t.Cleanup(func() {
		srv.Close()
		doer.CloseIdleConnections()
		web.Close()
	})
	return srv, doer
}

// TestStreamEnds: what ends a stream, and that the connection is then given up at once, even
// if the server would keep it open.
func TestStreamEnds(t *testing.T) {
	t.Parallel()
	const both = `{"choices":[{"finish_reason":"stop"},{"finish_reason":"tool_calls"}]}`
	tool := func(output any) zaitest.Event {
		return zaitest.Event{Tool: &zaitest.Tool{Name: "search", Output: output}}
	}
	mark := zaitest.Event{FinishReason: "tool_calls"}
	for _, tt := range []struct {
		name   string
		events []zaitest.Event
		want   string
		finish api.FinishReason
	}{
		{"stop", []zaitest.Event{{Text: "a"}, streamStop}, "a|", "stop"},
		{"stop, then more", []zaitest.Event{{Text: "a"}, streamStop, {Text: "b"}, {Data: "[DONE]"}}, "a|", "stop"},
		{"stop first", []zaitest.Event{streamStop, {Text: "b"}}, "", "stop"},
		{"an abnormal end", []zaitest.Event{{Text: "a"}, {FinishReason: "sensitive"}}, "a|", "sensitive"},
		{"an unknown end", []zaitest.Event{{Text: "a"}, {FinishReason: "tired"}}, "a|", "tired"},
		{"an end with text", []zaitest.Event{{Text: "a"}, {Text: "b", FinishReason: "stop"}}, "a|b", "stop"},
		{"[DONE] alone", []zaitest.Event{{Text: "a"}, {Data: "[DONE]"}, {Text: "b"}}, "a|", ""},
		{"[DONE] in blanks", []zaitest.Event{{Text: "a"}, {Data: "  [DONE]\t"}}, "a|", ""},
		{"[DONE] and nothing else", []zaitest.Event{{Data: "[DONE]"}}, "", ""},
		{"[DONE] after tool calls", []zaitest.Event{tool("x"), mark, {Data: "[DONE]"}}, "||", ""},
		{"tool calls are no end", []zaitest.Event{mark, tool("x"), mark, mark, tool("y"), mark, {Text: "a"}, streamStop}, "||||||a|", "stop"},
		{"an end beside tool calls", []zaitest.Event{{Text: "a"}, {Data: both}, {Text: "b"}}, "a|", "tool_calls"},
		{"a word is no end", []zaitest.Event{{Data: `{"status":"success"}`}, {Data: `{"status":"completed","async_id":"x"}`}, {Text: "a"}, streamStop}, "||a|", "stop"},
	} {
		for _, keepOpen := range []bool{true, false} {
			t.Run(fmt.Sprint(tt.name, ", open ", keepOpen), func(t *testing.T) {
				t.Parallel()
				streamIn(t, zaitest.Stream{Events: tt.events, KeepOpen: keepOpen}, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
					var gone atomic.Bool
					srv.Enqueue(func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
						defer gone.Store(true)
						ordinary(w, r)
					})
					start := time.Now()
					events, err := streamAll(t, client.Stream(t.Context(), streamTranslation))
					synctest.Wait()
					if err != nil || streamTexts(events) != tt.want || time.Since(start) != 0 || !gone.Load() {
						t.Fatalf("got %q, %v after %v, and the server is done: %v; want %q", streamTexts(events), err, time.Since(start), gone.Load(), tt.want)
					}
					for i, e := range events {
						want := api.StatusPending
						if i == len(events)-1 {
							want = api.StatusSuccess
						}
						if e.Status != want || e.RawStatus != "" || e.AsyncID != "" || e.StatusCode != http.StatusOK || e.RequestID == "" || e.AgentID != api.AgentGeneralTranslation {
							t.Errorf("event %d of %d is %+v", i, len(events), e)
						}
					}
					last := events[len(events)-1]
					if last.FinishReason() != tt.finish || (last.Raw == nil) != (tt.finish == "") {
						t.Errorf("the last event is %+v, %s", last, last.Raw)
					}
				})
			})
		}
	}
}

// TestStreamBroken: a stream that ends before its end says so, with what is known, and
// Invoke says the same.
func TestStreamBroken(t *testing.T) {
	t.Parallel()
	cause := errors.New("the user went home")
	two := []zaitest.Event{{Text: "1", Phase: "answer"}, {FinishReason: "tool_calls"}}
	after := func(e ...zaitest.Event) zaitest.Stream {
		return zaitest.Stream{Events: append(slices.Clone(two), e...)}
	}
	for _, tt := range []struct {
		name   string
		script zaitest.Stream
		opts   []api.ClientOption
		ctx    func(context.Context) (context.Context, context.CancelFunc)
		took   time.Duration
		causes []error
	}{
		{name: "the body ends", script: after()},
		{name: "the connection breaks", script: after(zaitest.Event{Abort: true}), causes: []error{io.ErrUnexpectedEOF}},
		{
			name: "the server falls silent", script: after(zaitest.Event{Text: "2", Pause: time.Hour}), took: 2 * time.Minute,
			causes: []error{context.DeadlineExceeded},
		},
		{
			name: "the server falls silent, WithIdleTimeout", script: after(zaitest.Event{Text: "2", Pause: time.Hour}), took: 3 * time.Second,
			opts: []api.ClientOption{api.WithIdleTimeout(3 * time.Second)}, causes: []error{context.DeadlineExceeded},
		},
		{
			name: "the context is canceled", script: after(zaitest.Event{Text: "2", Pause: time.Hour}), took: 5 * time.Second,
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancelCause(ctx)
				timer := time.AfterFunc(5*time.Second, func() { cancel(cause) })
				return ctx, func() { timer.Stop(); cancel(nil) }
			},
			causes: []error{context.Canceled, cause},
		},
		{
			name: "the context ends", script: after(zaitest.Event{Text: "2", Pause: time.Hour}), took: 7 * time.Second,
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeoutCause(ctx, 7*time.Second, cause)
			},
			causes: []error{context.DeadlineExceeded, cause},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			streamIn(t, tt.script, tt.opts, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				run := func(call func(context.Context) error) (*api.Error, time.Duration) {
					ctx, cancel := t.Context(), context.CancelFunc(func() {})
					if tt.ctx != nil {
						ctx, cancel = tt.ctx(ctx)
					}
					defer cancel()
					start := time.Now()
					err := call(ctx)
					took := time.Since(start)
					e := streamBroken(t, err, 2, append(tt.causes, api.ErrInterrupted)...)
					if runs := srv.Runs(); e.ConversationID == "" || e.ConversationID != runs[len(runs)-1].ConversationID || e.CallerRequestID == "" || e.CallerRequestID != runs[len(runs)-1].RequestID {
						t.Errorf("got %+v, want the ids of %+v", e, runs)
					}
					return e, took
				}
				e, took := run(func(ctx context.Context) error {
					events, err := streamAll(t, client.Stream(ctx, streamSlides))
					if streamTexts(events) != "1|" {
						t.Errorf("events %q", streamTexts(events))
					}
					return err
				})
				srv.EnqueueTasks(zaitest.TaskScript{Stream: tt.script})
				again, tookAgain := run(func(ctx context.Context) error {
					r, err := client.Invoke(ctx, streamSlides)
					if r != nil {
						t.Errorf("a Result beside an error: %v", r)
					}
					return err
				})
				if took != tt.took || tookAgain != tt.took || e.Err.Error() != again.Err.Error() || len(srv.Requests()) != 2 {
					t.Errorf("%v after %v, Invoke %v after %v, %d requests", e, took, again, tookAgain, len(srv.Requests()))
				}
			})
		})
	}
	t.Run("HTTP/2 reset", func(t *testing.T) {
		t.Parallel()
		srv, doer := streamServer(t, true, nil)
		client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL), api.WithHTTPClient(doer))
		if err != nil {
			t.Fatal(err)
		}
		hold := make(chan struct{})
		srv.EnqueueTasks(zaitest.TaskScript{Stream: after(zaitest.Event{Abort: true, Hold: hold})})
		var last error
		n := 0
		for _, err := range client.Stream(t.Context(), streamSlides) {
			if last = err; err == nil {
				if n++; n == 2 {
					close(hold)
				}
			}
		}
		if e := streamBroken(t, last, 2, api.ErrInterrupted); n != 2 || e.ConversationID == "" || !strings.Contains(e.Error(), "INTERNAL_ERROR") {
			t.Errorf("%d events, %v", n, e)
		}
	})
}

// TestStreamFailure: a failure inside of a stream is a TaskError after the events before it, and
// nothing comes after it.
func TestStreamFailure(t *testing.T) {
	t.Parallel()
	for code, class := range map[string]error{"1301": api.ErrContentBlocked, "1113": api.ErrQuota, "1302": api.ErrRateLimited, "500": api.ErrServer, "9999": nil} {
		failure := zaitest.Event{Code: code, Message: "no, https://x.example/a?Signature=abc"}
		for name, tt := range map[string]struct {
			events []zaitest.Event
			want   string
		}{
			"first":           {[]zaitest.Event{failure, {Text: "x"}, streamStop}, ""},
			"middle":          {[]zaitest.Event{{Text: "1"}, {Text: "2"}, failure, {Text: "x"}, streamStop}, "1|2"},
			"last":            {[]zaitest.Event{{Text: "1"}, failure}, "1"},
			"with a mark":     {[]zaitest.Event{{Text: "1"}, {FinishReason: "sensitive", Code: code, Message: failure.Message}, streamStop}, "1"},
			"without a state": {[]zaitest.Event{{Text: "1"}, {Data: `{"error":{"code":"` + code + `","message":"` + failure.Message + `"}}`}, streamStop}, "1"},
		} {
			t.Run(code+" "+name, func(t *testing.T) {
				t.Parallel()
				script := zaitest.Stream{Events: tt.events, KeepOpen: true}
				streamIn(t, script, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
					events, err := streamAll(t, client.Stream(t.Context(), streamTranslation))
					srv.EnqueueTasks(zaitest.TaskScript{AgentID: "solve", Stream: script})
					r, invoked := client.Invoke(t.Context(), api.CustomRequest{AgentID: "solve", Messages: streamTranslation.Messages})
					if r != nil || streamTexts(events) != tt.want || len(srv.Requests()) != 2 {
						t.Errorf("events %q, want %q; Result %v; %d requests", streamTexts(events), tt.want, r, len(srv.Requests()))
					}
					for _, err := range []error{err, invoked} {
						e, ok := err.(*api.TaskError) //nolint:errorlint // Nothing may be wrapped around it.
						if !ok || string(e.Code) != code || e.StatusCode != http.StatusOK || e.RequestID == "" || e.Result == nil || e.Result.Status != api.StatusFailed ||
							class != nil && !errors.Is(err, class) || errors.Is(err, api.ErrUnknownOutcome) || errors.Is(err, api.ErrInterrupted) {
							t.Errorf("got %T %v", err, err)
						}
						retrieveHoldsNo(t, "Signature", err)
						if strings.Contains(err.Error(), "  ") {
							t.Errorf("the text is %q", err)
						}
					}
					e, _ := errors.AsType[*api.TaskError](invoked)
					if text := strings.ReplaceAll(tt.want, "|", ""); e.Result.Text() != text || e.Task.AgentID != "solve" {
						t.Errorf("what came before is %q, want %q", e.Result.Text(), text)
					}
				})
			})
		}
	}
}

// TestStreamBeforeItBegins: a failure before the stream is what Invoke returns, from one request.
func TestStreamBeforeItBegins(t *testing.T) {
	t.Parallel()
	raw := func(status int, contentType, body string) zaitest.Reply {
		return zaitest.Raw(status, http.Header{"Content-Type": {contentType}}, body)
	}
	const sse, jsonType = "text/event-stream", "application/json"
	for name, tt := range map[string]struct {
		reply zaitest.Reply
		class error
	}{
		"JSON failure in 200":         {zaitest.Failed("1113", "no balance"), api.ErrQuota},
		"JSON failure as a stream":    {raw(200, sse, `{"status":"failed","error":{"code":"1301","message":"x"}}`), api.ErrContentBlocked},
		"JSON failure after blanks":   {raw(200, sse, "\ufeff\r\n\n  "+`{"error":{"code":"1113","message":"x"}}`), api.ErrQuota},
		"refusal without a status":    {raw(200, jsonType, `{"code":401,"msg":"x","success":false}`), api.ErrAuthentication},
		"400":                         {zaitest.APIError(400, "1214", "x"), api.ErrInvalidRequest},
		"401":                         {zaitest.APIError(401, "1000", "x"), api.ErrAuthentication},
		"429 without balance":         {zaitest.RateLimited("1113", ""), api.ErrQuota},
		"500":                         {zaitest.ServerError("1234"), api.ErrServer},
		"503":                         {zaitest.HTMLError(503), api.ErrServer},
		"stream with 500":             {raw(500, sse, "data: {\"error\":{\"code\":\"1234\",\"message\":\"x\"}}\n\n"), api.ErrServer},
		"stream with 400":             {raw(400, sse, "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"), api.ErrInvalidRequest},
		"HTML in 200":                 {raw(200, "text/html", "<html>data: {}</html>"), api.ErrMalformed},
		"HTML as a stream":            {raw(200, sse, "<html>"), api.ErrMalformed},
		"list as a stream":            {raw(200, sse, "[]"), api.ErrMalformed},
		"nothing":                     {raw(200, jsonType, ""), api.ErrMalformed},
		"text":                        {raw(200, "text/plain", "Authentication Failed"), api.ErrMalformed},
		"what begins like an event":   {raw(200, jsonType, "dat"), api.ErrMalformed},
		"redirect":                    {zaitest.WithHeader("Location", "/elsewhere", raw(307, sse, "data: [DONE]\n\n")), nil},
		"nothing at all":              {zaitest.Abort(), api.ErrUnknownOutcome},
		"nothing as a stream":         {raw(200, sse, ""), api.ErrInterrupted},
		"blank lines as a stream":     {raw(200, sse, strings.Repeat("\n", 10_000)), api.ErrInterrupted},
		"comments as a stream":        {raw(200, jsonType, ": ping\n\n: ping\n\n"), api.ErrInterrupted},
		"half an event":               {raw(200, sse, `data: {"choices":[`), api.ErrInterrupted},
		"half a mark":                 {raw(200, sse, `data: {"choices":[{"finish_reason":"stop"`), api.ErrInterrupted},
		"another field than data":     {raw(200, sse, "event: [DONE]\n\nid: [DONE]\n\n"), api.ErrInterrupted},
		"three corrupt events":        {raw(200, sse, "data: null\n\ndata: [1]\n\ndata: 7\n\ndata: [DONE]\n\n"), api.ErrMalformed},
		"three events without fields": {raw(200, sse, "data\n\ndata:\n\ndata: \n\ndata: [DONE]\n\n"), api.ErrMalformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			retrieveIn(t, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses, _ api.Task) {
				srv.Always(tt.reply)
				events, err := streamAll(t, client.Stream(t.Context(), streamTranslation))
				_, invoked := client.Invoke(t.Context(), streamTranslation)
				if err == nil || len(events) != 0 || tt.class != nil && !errors.Is(err, tt.class) || len(srv.Requests()) != 2 {
					t.Fatalf("%d events, %v, %d requests", len(events), err, len(srv.Requests()))
				}
				if diff := gocmp.Diff(streamFacts(invoked), streamFacts(err)); diff != "" {
					t.Errorf("Invoke (-), Stream (+):\n%s", diff)
				}
			})
		})
	}
}

// streamFacts is what an error says, but for the ids of the request.
func streamFacts(err error) map[string]any {
	facts := map[string]any{"matches": sampleMatches(err)}
	if e, ok := errors.AsType[*api.TaskError](err); ok {
		facts["TaskError"] = []any{e.Code, e.Message, e.StatusCode, e.Retryable()}
	}
	if e, ok := errors.AsType[*api.Error](err); ok {
		facts["Error"] = []any{e.Op, e.Code, e.Message, e.StatusCode, e.Attempts, e.Retryable(), string(e.Body), fmt.Sprint(e.Err)}
	}
	return facts
}

// TestStreamShapes: every way to write a stream, and a wrong content type, says the same, to Stream
// and to Invoke.
func TestStreamShapes(t *testing.T) {
	t.Parallel()
	for _, request := range []api.AgentRequest{streamTranslation, streamSlides} {
		var want *api.Result
		for _, shape := range append([]zaitest.Shape{""}, zaitest.StreamShapes()...) {
			retrieveIn(t, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses, _ api.Task) {
				script := zaitest.TaskScript{Text: "Bonjour le monde", Shape: shape}
				if want == nil {
					script.Shape = zaitest.ShapeNoDone
				}
				srv.EnqueueTasks(script, script)
				var all api.Accumulator
				events, err := streamAll(t, client.Stream(t.Context(), request))
				for _, e := range events {
					err = errors.Join(err, all.Add(e))
				}
				if err != nil {
					t.Fatalf("%s: %v", shape, err)
				}
				got := []*api.Result{all.Result()}
				if _, slides := request.(api.SlidesRequest); slides {
					r, err := client.Invoke(t.Context(), request)
					if err != nil {
						t.Fatalf("%s: Invoke: %v", shape, err)
					}
					got = append(got, r)
				}
				for _, r := range got {
					if want == nil {
						want = r
					}
					if (r.Skipped == 1) != (shape == zaitest.ShapeCorruptEvent) {
						t.Errorf("%s: %d skipped", shape, r.Skipped)
					}
					if r.Status != api.StatusSuccess || r.Text() != want.Text() || r.Text() == "" || r.Thinking() != want.Thinking() || r.FinishReason() != "stop" ||
						*r.Usage != *want.Usage || !gocmp.Equal(r.ToolCalls(), want.ToolCalls()) {
						t.Errorf("%s: got %+v, want %+v", shape, r, want)
					}
				}
			})
		}
	}
	// JSON that answers a request for a stream is one Result, under whatever content type.
	for _, contentType := range []string{"application/json", "text/event-stream", ""} {
		client := streamVia(t, contentType, func() io.Reader {
			return strings.NewReader(`{"choices":[{"finish_reason":"stop","messages":[{"content":"a"}]}]}`)
		})
		events, err := streamAll(t, client.Stream(t.Context(), streamTranslation))
		if err != nil || len(events) != 1 || events[0].Text() != "a" || events[0].Status != api.StatusSuccess || events[0].AgentID != api.AgentGeneralTranslation {
			t.Errorf("%q: %v, %v", contentType, events, err)
		}
	}
}

// TestStreamCorrupt: a corrupt event is passed over and counted; three in a row are the end.
func TestStreamCorrupt(t *testing.T) {
	t.Parallel()
	const good, null, stop, done = `{"choices":[{"messages":[{"content":"a"}]}]}`, `{"choices":null,"usage":null}`, `{"choices":[{"finish_reason":"stop"}]}`, "[DONE]"
	bad := []string{`{"id":data: {`, "null", `"s3cret"`, "[s3cret", `{"a":1}}`, "\xff\x00"}
	for name, tt := range map[string]struct {
		events  []string
		skipped []int // before each event that comes
		class   error
	}{
		"none":                       {[]string{good, null, stop}, []int{0, 0, 0}, nil},
		"one":                        {[]string{good, bad[0], good, stop}, []int{0, 1, 0}, nil},
		"first":                      {[]string{bad[1], good, stop}, []int{1, 0}, nil},
		"two in a row":               {[]string{good, bad[2], bad[3], good, stop}, []int{0, 2, 0}, nil},
		"many, never three in a row": {[]string{bad[4], bad[5], good, bad[0], bad[1], null, bad[2], bad[3], stop}, []int{2, 2, 2}, nil},
		"last before [DONE]":         {[]string{good, bad[0], done}, []int{0, 1}, nil},
		"two before [DONE]":          {[]string{good, bad[0], bad[1], done}, []int{0, 2}, nil},
		"three in a row":             {[]string{good, bad[0], bad[1], bad[2], stop}, []int{0}, api.ErrMalformed},
		"nothing else":               {bad, nil, api.ErrMalformed},
		"two and the end":            {[]string{good, bad[0], bad[1]}, []int{0}, api.ErrInterrupted},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			log := &downloadLog{}
			body := func() io.Reader { return strings.NewReader(decodeEvents(tt.events...)) }
			client := streamOver(t, body, api.WithLogger(slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))))
			events, err := streamAll(t, client.Stream(t.Context(), streamTranslation))
			var all api.Accumulator
			var skipped []int
			total := 0
			for _, e := range events {
				if err := all.Add(e); err != nil {
					t.Error(err)
				}
				skipped = append(skipped, e.Skipped)
				total += e.Skipped
			}
			if !slices.Equal(skipped, tt.skipped) || all.Skipped != total || all.Result().Skipped != total {
				t.Errorf("skipped %v, %d in all, want %v", skipped, all.Skipped, tt.skipped)
			}
			logged := 0
			for _, record := range regexp.MustCompile(`msg="zai: corrupt events" .* skipped=(\d+)`).FindAllStringSubmatch(log.String(), -1) {
				n, err := strconv.Atoi(record[1])
				if logged += n; err != nil {
					t.Error(err)
				}
			}
			if want := len(tt.events) - len(events); logged != want && (tt.class == nil || logged == 0) {
				t.Errorf("%d corrupt events in the log, want %d: %s", logged, want, log)
			}
			if text := log.String(); strings.Contains(text, "s3cret") || strings.Count(text, "msg=zai ") != 1 {
				t.Errorf("the log is %s", text)
			}
			r, invoked := client.Invoke(t.Context(), streamTranslation)
			if tt.class != nil {
				for _, err := range []error{err, invoked} {
					if !errors.Is(err, tt.class) || !errors.Is(err, api.ErrUnknownOutcome) || strings.Contains(err.Error(), "s3cret") {
						t.Errorf("got %v", err)
					}
				}
			} else if err != nil || invoked != nil || r.Skipped != total {
				t.Errorf("got %v; Invoke: %v, %v", err, r, invoked)
			}
		})
	}
}

// TestStreamRequest: what is sent, and when.
func TestStreamRequest(t *testing.T) {
	t.Parallel()
	streamIn(t, zaitest.Stream{}, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
		request := streamTranslation
		request.Stream = new(false)
		stream := client.Stream(t.Context(), request, api.AcceptLanguage("fr"), api.BodyFields(map[string]any{"extra": 1}))
		next, stop := iter.Pull2(client.Stream(t.Context(), streamSlides))
		stop()
		if _, _, ok := next(); ok || len(srv.Requests()) != 0 {
			t.Fatalf("%d requests before the loop", len(srv.Requests()))
		}
		if _, err := streamAll(t, stream); err != nil {
			t.Fatal(err)
		}
		if *request.Stream {
			t.Error("the request was changed")
		}
		sent := srv.Requests()[0]
		for name, want := range map[string]string{
			"Accept": "application/json", "Accept-Encoding": "identity", "Content-Type": "application/json",
			"Authorization": "Bearer " + srv.APIKey, "Accept-Language": "fr", "Idempotency-Key": "",
		} {
			if got := strings.Join(sent.Header[name], "|"); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		var body map[string]any
		if err := json.Unmarshal(sent.Body, &body); err != nil || body["stream"] != true || body["extra"] != 1.0 || body["agent_id"] != "general_translation" || sent.Path != "/api/v1/agents" {
			t.Errorf("%s %s %s", sent.Method, sent.Path, sent.Body)
		}
		// A second loop would be a second bill.
		for range 2 {
			if events, err := streamAll(t, stream); len(events) != 0 || !errors.Is(err, api.ErrInvalidRequest) {
				t.Errorf("%v, %v", events, err)
			}
		}
		var none *api.ClientWithResponses
		bare, err := api.NewClientWithResponses(srv.URL)
		if err != nil {
			t.Fatal(err)
		}
		for name, stream := range map[string]iter.Seq2[*api.Result, error]{
			"video":       client.Stream(t.Context(), api.NewVideoRequest(api.TemplateFrenchKiss, "https://media.example.com/a.jpg", "")),
			"no text":     client.Stream(t.Context(), api.NewTranslationRequest(" ", "")),
			"nil request": client.Stream(t.Context(), nil),
			"nil pointer": client.Stream(t.Context(), (*api.SlidesRequest)(nil)),
			"nil context": client.Stream(nil, streamSlides), //nolint:staticcheck // That is what is tried.
			"nil editor":  client.Stream(t.Context(), streamSlides, nil),
			"nil client":  none.Stream(t.Context(), streamSlides),
			"bare client": bare.Stream(t.Context(), streamSlides),
		} {
			events, err := streamAll(t, stream)
			if e, ok := errors.AsType[*api.Error](err); !ok || len(events) != 0 || !errors.Is(err, api.ErrInvalidRequest) || errors.Is(err, api.ErrUnknownOutcome) || e.StatusCode != 0 {
				t.Errorf("%s: %v, %v", name, events, err)
			}
		}
		if n := len(srv.Requests()); n != 1 {
			t.Errorf("%d requests", n)
		}
	})
}

// TestStreamIsNotResent: a run is billed, so nothing is sent again but after an answer that
// proves that there was none.
func TestStreamIsNotResent(t *testing.T) {
	t.Parallel()
	for code, requests := range map[string]int{"1302": 3, "1303": 3, "1305": 3, "1312": 3, "1113": 2, "1308": 2, "9999": 2} {
		t.Run("429 "+code, func(t *testing.T) {
			t.Parallel()
			streamIn(t, zaitest.Stream{Events: []zaitest.Event{{Text: "a"}, streamStop}}, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				srv.Enqueue(zaitest.RateLimited("1302", "4"), zaitest.RateLimited(code, "5"))
				start := time.Now()
				events, err := streamAll(t, client.Stream(t.Context(), streamTranslation))
				if n := len(srv.Requests()); n != requests {
					t.Errorf("%d requests, want %d", n, requests)
				}
				if requests == 3 && (err != nil || streamTexts(events) != "a|" || time.Since(start) < 9*time.Second) ||
					requests == 2 && (err == nil || len(events) != 0 || len(srv.Runs()) != 0 || errors.Is(err, api.ErrUnknownOutcome)) {
					t.Errorf("%v, %v after %v", events, err, time.Since(start))
				}
			})
		})
	}
	t.Run("attempts", func(t *testing.T) {
		t.Parallel()
		streamIn(t, zaitest.Stream{Events: []zaitest.Event{{Text: "a"}}}, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
			srv.Enqueue(zaitest.RateLimited("1302", ""))
			_, err := streamAll(t, client.Stream(t.Context(), streamTranslation))
			if e, ok := errors.AsType[*api.Error](err); !ok || e.Attempts != 2 || e.Events != 1 || !errors.Is(err, api.ErrInterrupted) {
				t.Errorf("got %+v", err)
			}
		})
	})
	t.Run("closed connection", func(t *testing.T) {
		t.Parallel()
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = listener.Close() })
		second := make(chan int, 1)
		go func() { // It answers the first request of a connection, and closes it when the second has come.
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			defer func() { _ = conn.Close() }()
			buf := make([]byte, 4096)
			_, _ = conn.Read(buf)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"status\":\"pending\"}")
			n, _ := conn.Read(buf)
			second <- n
		}()
		client := retrieveClient(t, "http://"+listener.Addr().String())
		if _, err := client.Retrieve(t.Context(), retrieveTask); err != nil {
			t.Fatal(err)
		}
		events, err := streamAll(t, client.Stream(t.Context(), streamTranslation))
		if e, ok := errors.AsType[*api.Error](err); !ok || len(events) != 0 || !errors.Is(err, api.ErrUnknownOutcome) || e.StatusCode != 0 || e.Attempts != 1 || <-second == 0 {
			t.Errorf("%v, %v", events, err)
		}
	})
}

// TestStreamTime: the answer must begin within WithTimeout and go on within WithIdleTimeout. The
// consumer has all the time it wants, and the whole no limit but the context.
func TestStreamTime(t *testing.T) {
	t.Parallel()
	words := []zaitest.Event{{Text: "1"}, {Text: "2"}, {Text: "3"}, {Text: "4"}, {Text: "5"}, {Text: "6"}, {Text: "7"}, streamStop}
	t.Run("ten minutes", func(t *testing.T) {
		t.Parallel()
		first := slices.Clone(words)
		first[0].Pause = 110 * time.Second // The headers come at once.
		script := zaitest.Stream{Events: first, Interval: 70 * time.Second}
		streamIn(t, script, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
			start := time.Now()
			events, err := streamAll(t, client.Stream(t.Context(), streamTranslation))
			if err != nil || streamTexts(events) != "1|2|3|4|5|6|7|" || time.Since(start) != 10*time.Minute {
				t.Errorf("%q, %v after %v", streamTexts(events), err, time.Since(start))
			}
			srv.EnqueueTasks(zaitest.TaskScript{Stream: script})
			if r, err := client.Invoke(t.Context(), streamSlides); err != nil || r.Text() != "1234567" || time.Since(start) != 20*time.Minute {
				t.Errorf("Invoke: %v, %v after %v", r, err, time.Since(start))
			}
		})
	})
	t.Run("a busy consumer", func(t *testing.T) {
		t.Parallel()
		for _, interval := range []time.Duration{0, 2 * time.Second} {
			streamIn(t, zaitest.Stream{Events: words, Interval: interval}, []api.ClientOption{api.WithIdleTimeout(3 * time.Second), api.WithTimeout(3 * time.Second)},
				func(t *testing.T, _ *zaitest.Server, client *api.ClientWithResponses) {
					var events []*api.Result
					for event, err := range client.Stream(t.Context(), streamTranslation) {
						if err != nil {
							t.Fatal(err)
						}
						events = append(events, event)
						<-time.After(time.Hour)
					}
					if streamTexts(events) != "1|2|3|4|5|6|7|" {
						t.Errorf("every %v: %q", interval, streamTexts(events))
					}
				})
		}
	})
	for name, tt := range map[string]struct {
		reply zaitest.Reply
		took  time.Duration
	}{
		"no answer":      {zaitest.Hang(), 3 * time.Second},
		"no first event": {nil, 5 * time.Second},
		"half a JSON answer": {func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
			w.Header().Set("Content-Type", "application/json")
			downloadFlush(w, []byte(`{"status":`))
			<-r.Context().Done()
		}, 3 * time.Second},
		"half of the beginning": {func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
			w.Header().Set("Content-Type", "application/json")
			downloadFlush(w, []byte("\n\ndat"))
			<-r.Context().Done()
		}, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			script := zaitest.Stream{Events: []zaitest.Event{{Text: "1", Pause: time.Hour}}}
			streamIn(t, script, []api.ClientOption{api.WithTimeout(3 * time.Second), api.WithIdleTimeout(5 * time.Second)}, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				srv.Enqueue(tt.reply)
				start := time.Now()
				events, err := streamAll(t, client.Stream(t.Context(), streamTranslation))
				if len(events) != 0 || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, api.ErrUnknownOutcome) || time.Since(start) != tt.took || len(srv.Requests()) != 1 {
					t.Errorf("%v, %v after %v", events, err, time.Since(start))
				}
			})
		})
	}
}

// TestStreamMaxBody: the bound holds for one event, one folded Result and one answer that is no
// stream, to the byte, and not for a whole stream.
func TestStreamMaxBody(t *testing.T) {
	t.Parallel()
	const bound = 500
	event := func(n int) string { // n bytes of data
		const bare = `{"conversation_id":"c-1","choices":[{"messages":[{"content":""}]}]}`
		return strings.Replace(bare, `""`, `"`+strings.Repeat("a", n-len(bare))+`"`, 1)
	}
	const stop = `{"choices":[{"finish_reason":"stop"}]}`
	text := func(n int) string { return strings.Repeat("a", n) }
	for name, tt := range map[string]struct {
		body   string
		events int
		stream error
		invoke error
	}{
		"small events in one read": {decodeEvents(event(200), event(200), event(200), event(200), stop), 5, nil, api.ErrBodyTooLarge},
		"a large event":            {decodeEvents(event(490), stop), 2, nil, nil},
		"too large an event":       {decodeEvents(event(200), event(501), stop), 1, api.ErrBodyTooLarge, api.ErrBodyTooLarge},
		"in several lines":         {decodeEvents(event(200), stop) + strings.Repeat("data: "+text(100)+"\n", 6), 2, nil, nil},
		"several lines first":      {decodeEvents(event(200)) + strings.Repeat("data: "+text(100)+"\n", 6), 1, api.ErrBodyTooLarge, api.ErrBodyTooLarge},
		"empty lines":              {decodeEvents(event(200)) + strings.Repeat("data\n", 600), 1, api.ErrBodyTooLarge, api.ErrBodyTooLarge},
		"a comment":                {decodeEvents(event(200)) + ": " + text(600) + "\n\n", 1, api.ErrBodyTooLarge, api.ErrBodyTooLarge},
		"many comments":            {strings.Repeat(": "+text(100)+"\n", 100) + decodeEvents(stop), 1, nil, nil},
		"no end of a line":         {decodeEvents(event(200)) + text(1<<14), 1, api.ErrBodyTooLarge, api.ErrBodyTooLarge},
		"JSON at the bound":        {`{"choices":[{"finish_reason":"stop"}]}` + strings.Repeat(" ", bound-38), 1, nil, nil},
		"JSON above the bound":     {`{"choices":[{"finish_reason":"stop"}]}` + strings.Repeat(" ", bound-37), 0, api.ErrBodyTooLarge, api.ErrBodyTooLarge},
		"JSON far above the bound": {`{"choices":[{"finish_reason":"stop"}]}` + strings.Repeat(" ", 1<<14), 0, api.ErrBodyTooLarge, api.ErrBodyTooLarge},
	} {
		for _, size := range []int{1, 7, math.MaxInt} {
			body := func() io.Reader { return &pieces{rest: tt.body, size: func(n int) int { return min(size, n) }} }
			client := streamOver(t, body, api.WithMaxBody(bound))
			events, err := streamAll(t, client.Stream(t.Context(), streamTranslation))
			if len(events) != tt.events || !errors.Is(err, tt.stream) {
				t.Errorf("%s, reads of %d: %d events, %v, want %d, %v", name, size, len(events), err, tt.events, tt.stream)
			}
			_, err = client.Invoke(t.Context(), streamTranslation)
			if !errors.Is(err, tt.invoke) {
				t.Errorf("%s, reads of %d: Invoke: %v, want %v", name, size, err, tt.invoke)
			}
			if e, ok := errors.AsType[*api.Error](err); ok && tt.events > 0 && (e.ConversationID != "c-1" || e.Events == 0 || !errors.Is(err, api.ErrUnknownOutcome)) {
				t.Errorf("%s, reads of %d: Invoke: %+v", name, size, e)
			}
			// The largest bound there is bounds nothing.
			if events, err := streamAll(t, streamOver(t, body, api.WithMaxBody(math.MaxInt64)).Stream(t.Context(), streamTranslation)); errors.Is(err, api.ErrBodyTooLarge) || len(events) < tt.events {
				t.Errorf("%s, reads of %d, without a bound: %d events, %v", name, size, len(events), err)
			}
		}
	}
}

// TestStreamMasksTheKey: a key that the server echoes in an event comes out nowhere, however it
// is cut.
func TestStreamMasksTheKey(t *testing.T) {
	t.Parallel()
	stars := strings.Repeat("*", len(sampleKey))
	body := decodeEvents(`{"conversation_id":"`+sampleKey+`","choices":[{"messages":[{"content":"bad `+sampleKey+`"}]}]}`,
		`{"corrupt `+sampleKey, `{"error":{"code":"1004","message":"bad `+sampleKey+`"}}`)
	for cut := strings.Index(body, "bad "); body[cut-1] != '}'; cut++ {
		log := &downloadLog{}
		logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		for _, whole := range []string{body, body[:len(body)-60]} {
			client := streamOver(t, func() io.Reader {
				return io.MultiReader(strings.NewReader(whole[:cut]), strings.NewReader(whole[cut:]))
			}, api.WithLogger(logger))
			events, err := streamAll(t, client.Stream(t.Context(), streamTranslation))
			if len(events) != 1 || events[0].Text() != "bad "+stars || events[0].ConversationID != stars || err == nil {
				t.Fatalf("cut at %d: %v, %v", cut, events, err)
			}
			retrieveHoldsNo(t, sampleKey, err, string(events[0].Raw), *events[0])
			if failed, ok := errors.AsType[*api.TaskError](err); ok {
				retrieveHoldsNo(t, sampleKey, string(failed.Result.Raw), failed.Message)
			}
			_, err = client.Invoke(t.Context(), streamTranslation)
			retrieveHoldsNo(t, sampleKey, err)
		}
		if strings.Contains(log.String(), sampleKey) {
			t.Fatalf("the log holds the key: %s", log)
		}
	}
}

// TestStreamLeaves: however a loop is left, the connection is closed at once, and no goroutine
// stays behind. It is not parallel, because it counts goroutines.
func TestStreamLeaves(t *testing.T) { //nolint:paralleltest // See above.
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	leave := map[string]func(*testing.T, context.Context, context.CancelFunc, iter.Seq2[*api.Result, error]){
		"break": func(t *testing.T, _ context.Context, _ context.CancelFunc, stream iter.Seq2[*api.Result, error]) {
			for event, err := range stream {
				if err != nil || event.Text() != "1" {
					t.Errorf("%v, %v", event, err)
				}
				break
			}
		},
		"panic": func(t *testing.T, _ context.Context, _ context.CancelFunc, stream iter.Seq2[*api.Result, error]) {
			defer func() {
				if recover() != "1<nil>" {
					t.Error("the panic did not come through")
				}
			}()
			for event, err := range stream {
				panic(fmt.Sprint(event.Text(), err))
			}
		},
		"end": func(t *testing.T, _ context.Context, _ context.CancelFunc, stream iter.Seq2[*api.Result, error]) {
			if events, err := streamAll(t, stream); len(events) != 3 || err != nil {
				t.Errorf("%v, %v", events, err)
			}
		},
		"cancel": func(t *testing.T, _ context.Context, cancel context.CancelFunc, stream iter.Seq2[*api.Result, error]) {
			var last error
			for _, last = range stream {
				cancel()
			}
			if last != nil && !errors.Is(last, context.Canceled) {
				t.Error(last)
			}
		},
		"pull": func(t *testing.T, _ context.Context, _ context.CancelFunc, stream iter.Seq2[*api.Result, error]) {
			next, stop := iter.Pull2(stream)
			if event, err, ok := next(); !ok || err != nil || event.Text() != "1" {
				t.Errorf("%v, %v, %v", event, err, ok)
			}
			stop()
		},
	}
	for _, http2 := range []bool{false, true} {
		for name, leave := range leave {
			t.Run(fmt.Sprint(name, ", HTTP/2 ", http2), func(t *testing.T) { //nolint:paralleltest // See above.
				closed := make(chan struct{}, 1)
				srv, doer := streamServer(t, http2, func(_ net.Conn, state http.ConnState) {
					if state == http.StateClosed && !http2 {
						closed <- struct{}{}
					}
				})
				srv.Enqueue(func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
					defer func() {
						if http2 {
							closed <- struct{}{}
						}
					}()
					ordinary(w, r) // KeepOpen lets it return when the client has gone.
				})
				client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL), api.WithHTTPClient(doer))
				if err != nil {
					t.Fatal(err)
				}
				srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Events: []zaitest.Event{{Text: "1"}, {Text: "2"}, streamStop}, KeepOpen: true}})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				leave(t, ctx, cancel, client.Stream(ctx, streamTranslation))
				select {
				case <-closed:
				case <-time.After(20 * time.Second):
					t.Error("the server still has the connection")
				}
			})
		}
	}
}

// streamRepeat is an event whose text is a piece that is repeated, times over.
type streamRepeat struct {
	before, piece, after string
	length, times        int // of the text, and of the event
	at                   int
}

func (r *streamRepeat) size() int { return len(r.before) + r.length + len(r.after) }

func (r *streamRepeat) Read(p []byte) (n int, err error) {
	for n < len(p) && r.times > 0 {
		var from string
		at := r.at - len(r.before)
		switch {
		case at < 0:
			from = r.before[r.at:]
		case at < r.length:
			from = r.piece[at%len(r.piece):]
			from = from[:min(len(from), r.length-at)]
		default:
			from = r.after[at-r.length:]
		}
		m := copy(p[n:], from)
		n += m
		if r.at += m; r.at == r.size() {
			r.at = 0
			r.times--
		}
	}
	if n == 0 && len(p) > 0 {
		err = io.EOF
	}
	return n, err
}

var streamPiece = strings.Repeat("To be, or not to be. ", 1000)

// streamEvents is an event of size bytes, of a shape of benchShapes.
func streamEvents(shape string, size int) *streamRepeat {
	before, after := benchShapes[shape][0], benchShapes[shape][1]
	return &streamRepeat{before: before, piece: streamPiece, after: after, length: size - len(before) - len(after), times: 1}
}

// TestStreamMemory: what a stream takes is a small multiple of its largest event, and does not
// depend on its length. It is not parallel, because it looks at the heap of the whole process.
func TestStreamMemory(t *testing.T) { //nolint:paralleltest // See above.
	large, total := 8<<20, 200<<20
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		large, total = 2<<20, 6<<20 // The race detector takes its time, ten times over.
	}
	for name, parts := range map[string][]int{ // the sizes that take turns
		"published, one event of 8 MiB": {large}, "published, large ones": {large}, "recorded, large ones": {large}, "recorded, of all sizes": {large, 1 << 20, 64 << 10, 300},
	} {
		shape, _, _ := strings.Cut(name, ",")
		single := strings.HasSuffix(name, "8 MiB")
		body := func() io.Reader {
			var all []io.Reader
			for n := 0; n < total; {
				for _, size := range parts {
					all = append(all, streamEvents(shape, size))
					n += size
				}
				if single {
					break
				}
			}
			return io.MultiReader(append(all, strings.NewReader("data: [DONE]\n\n"))...)
		}
		client := streamOver(t, body)
		heap := func() uint64 {
			sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
			metrics.Read(sample)
			return sample[0].Value.Uint64()
		}
		grown := math.Inf(1)
		for range 3 { // When the collector gets to run is chance: the best of a few looks tells what is needed.
			runtime.GC()
			before := heap()
			var peak uint64
			stop, done := make(chan struct{}), make(chan struct{})
			go func() {
				defer close(done)
				tick := time.NewTicker(time.Millisecond)
				defer tick.Stop()
				for {
					peak = max(peak, heap())
					select {
					case <-stop:
						return
					case <-tick.C:
					}
				}
			}()
			length, start := 0, time.Now()
			for event, err := range client.Stream(t.Context(), streamTranslation) {
				if err != nil {
					t.Fatal(err)
				}
				length += len(event.Raw)
			}
			took := time.Since(start)
			close(stop)
			<-done
			// The collector lets the heap grow to twice what is live, so what was there before counts twice.
			grown = min(grown, (float64(peak)-2*float64(before))/float64(large))
			t.Logf("%s: %d MiB in %v, the heap grew by %.1f times the largest event", name, length>>20, took, grown)
			if grown <= 6 {
				break
			}
		}
		if grown > 6 {
			t.Errorf("%s: the heap grew by %.1f times the largest event", name, grown)
		}
	}
}

// streamPaced gives one piece after each pause.
type streamPaced struct {
	pause  time.Duration
	pieces []string
}

func (p *streamPaced) Read(b []byte) (int, error) {
	if len(p.pieces) == 0 {
		return 0, io.EOF
	}
	<-time.After(p.pause)
	n := copy(b, p.pieces[0])
	p.pieces = p.pieces[1:]
	return n, nil
}

// TestStreamBlankLines: blank lines before the first event keep a stream going, as reads do. What turns out
// to be JSON has WithTimeout from there on.
func TestStreamBlankLines(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		pieces []string
		err    error
		took   time.Duration
	}{
		"blank lines":     {[]string{"\n", "\n", " \n", "\r\n", "\n", "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\n\n"}, nil, 1800 * time.Millisecond},
		"JSON":            {[]string{"\n", "\n", "{\"status\":\"success\",", "\"choices\":[{\"message\":\"a\"}]}"}, nil, 1200 * time.Millisecond},
		"JSON, slowly":    {[]string{"{", "\"status\":\"success\",", "\"choices\":[]", " ", " ", "}"}, context.DeadlineExceeded, 1500 * time.Millisecond}, // This body does not look at the context.
		"nothing at last": {[]string{"\n", "\n", ""}, api.ErrInterrupted, 900 * time.Millisecond},
	} {
		synctest.Test(t, func(t *testing.T) {
			client := streamVia(t, "text/event-stream", func() io.Reader { return &streamPaced{300 * time.Millisecond, test.pieces} },
				api.WithIdleTimeout(400*time.Millisecond), api.WithTimeout(time.Second))
			start := time.Now()
			_, err := streamAll(t, client.Stream(t.Context(), streamTranslation))
			if took := time.Since(start); !errors.Is(err, test.err) || took != test.took {
				t.Errorf("%s: %v after %v, want %v after %v", name, err, took, test.err, test.took)
			}
		})
	}
}
