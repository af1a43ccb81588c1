package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

var retrieveTask = api.Task{AgentID: api.AgentViduTemplate, AsyncID: "emFp+/8="}

// retrieveIn runs test in a bubble of virtual time, with a stand-in server and a client of it.
func retrieveIn(t *testing.T, opts []api.ClientOption, test func(*testing.T, *zaitest.Server, *api.ClientWithResponses, api.Task)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := zaitest.NewUnstartedServer()
		defer srv.Close()
		opts := append([]api.ClientOption{api.WithBaseURL(srv.URL), api.WithHTTPClient(&http.Client{Transport: srv.Transport()})}, opts...)
		client, err := api.New(srv.APIKey, opts...)
		if err != nil {
			t.Fatal(err)
		}
		test(t, srv, client, api.Task{AgentID: api.AgentViduTemplate, AsyncID: srv.AddTask(zaitest.TaskScript{})})
	})
}

// TestRetrieveRetries: what is repeated, how often, and after how long.
func TestRetrieveRetries(t *testing.T) {
	t.Parallel()
	many := func(r zaitest.Reply) []zaitest.Reply { return slices.Repeat([]zaitest.Reply{r}, 10) }
	jsonBody := func(status int, body string) zaitest.Reply {
		return zaitest.Raw(status, http.Header{"Content-Type": {"application/json"}}, body)
	}
	for _, tt := range []struct {
		name     string
		replies  []zaitest.Reply
		opts     []api.ClientOption
		requests int
		least    time.Duration // of virtual time
		most     time.Duration
		status   int // of the error; 0 with a nil class means success
		class    error
		carried  time.Duration // RetryAfter of the error
	}{
		{name: "401 with a numeric code", replies: many(jsonBody(401, `{"code":401,"msg":"x"}`)), requests: 1, status: 401, class: api.ErrAuthentication},
		{name: "429 with seconds", replies: []zaitest.Reply{zaitest.RateLimited("1302", "7")}, requests: 2, least: 7 * time.Second, most: 7 * time.Second},
		{name: "429 with a date", replies: []zaitest.Reply{func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
			zaitest.RateLimited("1305", time.Now().Add(9*time.Second).UTC().Format(http.TimeFormat))(w, r, ordinary)
		}}, requests: 2, least: 8 * time.Second, most: 9 * time.Second},
		{name: "429 for ever", replies: many(zaitest.RateLimited("1302", "")), requests: 3, most: 1500 * time.Millisecond, status: 429, class: api.ErrRateLimited},
		{name: "429 that asks for an hour", replies: many(zaitest.RateLimited("1302", "3600")), requests: 1, status: 429, class: api.ErrRateLimited, carried: time.Hour},
		{name: "429 without balance", replies: many(zaitest.RateLimited("1113", "")), requests: 1, status: 429, class: api.ErrQuota},
		{name: "500 then success", replies: []zaitest.Reply{zaitest.ServerError("1234")}, requests: 2, most: time.Second / 2},
		{name: "500 for ever, five attempts", opts: []api.ClientOption{api.WithMaxAttempts(5)}, replies: many(zaitest.ServerError("1234")), requests: 5, most: 8 * time.Second, status: 500, class: api.ErrServer},
		{name: "500, one attempt", opts: []api.ClientOption{api.WithMaxAttempts(1)}, replies: many(zaitest.ServerError("1234")), requests: 1, status: 500, class: api.ErrServer},
		{name: "HTML 502 then success", replies: []zaitest.Reply{zaitest.HTMLError(502)}, requests: 2, most: time.Second / 2},
		{name: "truncated JSON then success", replies: []zaitest.Reply{zaitest.TruncatedJSON()}, requests: 2, most: time.Second / 2},
		{name: "truncated JSON for ever", replies: many(zaitest.TruncatedJSON()), requests: 3, most: 2 * time.Second, status: 200, class: api.ErrMalformed},
		{name: "body cut in the middle", replies: many(zaitest.CutBody(20)), requests: 3, most: 2 * time.Second, status: 200, class: io.ErrUnexpectedEOF},
		{name: "connection broken, then success", replies: []zaitest.Reply{zaitest.Abort()}, requests: 2, most: time.Second / 2},
		{name: "empty body then success", replies: []zaitest.Reply{jsonBody(200, "")}, requests: 2, most: time.Second / 2},
		{name: "null", replies: many(jsonBody(200, "null")), requests: 1, status: 200, class: api.ErrMalformed},
		{name: "{}", replies: many(jsonBody(200, "{}")), requests: 1, status: 200, class: api.ErrMalformed},
		{name: "list", replies: many(jsonBody(200, "[]")), requests: 1, status: 200, class: api.ErrMalformed},
		{name: "no status", replies: many(jsonBody(200, `{"id":"x"}`)), requests: 1, status: 200, class: api.ErrMalformed},
		{name: "JSON as text", replies: []zaitest.Reply{zaitest.Raw(200, http.Header{"Content-Type": {"text/plain"}}, `{"status":"success"}`)}, requests: 1},
		{name: "404", replies: many(jsonBody(404, `{"timestamp":"x","status":404,"error":"Not Found","path":"/"}`)), requests: 1, status: 404, class: api.ErrNotFound},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			retrieveIn(t, tt.opts, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses, task api.Task) {
				srv.Enqueue(tt.replies...)
				start := time.Now()
				r, err := client.Retrieve(t.Context(), task)
				took := time.Since(start)
				if got := len(srv.Requests()); got != tt.requests {
					t.Errorf("%d requests, want %d", got, tt.requests)
				}
				if took < tt.least || took > tt.most {
					t.Errorf("took %v, want %v to %v", took, tt.least, tt.most)
				}
				if tt.class == nil {
					if err != nil || r.Status != api.StatusSuccess {
						t.Errorf("got %v, %v, want success", r, err)
					}
					return
				}
				var e *api.Error
				if r != nil || !errors.As(err, &e) || !errors.Is(err, tt.class) {
					t.Fatalf("got %v, %v, want an *Error of class %v", r, err, tt.class)
				}
				if e.StatusCode != tt.status || e.Attempts != tt.requests || e.RetryAfter != tt.carried || e.Op != "retrieveAgentResult" || e.RequestID == "" {
					t.Errorf("got %+v", e)
				}
			})
		})
	}
}

// TestRetrieveBackoff: a backoff is anything up to its bound, which doubles with each attempt, up
// to 8 s.
func TestRetrieveBackoff(t *testing.T) {
	t.Parallel()
	opts := []api.ClientOption{api.WithMaxAttempts(8)}
	retrieveIn(t, opts, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses, task api.Task) {
		srv.Always(zaitest.ServerError("1234"))
		bounds := []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 8 * time.Second, 8 * time.Second}
		longest := make([]time.Duration, len(bounds))
		for range 40 { // All below half of a bound: once in 10^12 runs.
			if _, err := client.Retrieve(t.Context(), task); !errors.Is(err, api.ErrServer) {
				t.Fatal(err)
			}
			requests := srv.Requests()
			requests = requests[len(requests)-len(bounds)-1:]
			for i := range bounds {
				longest[i] = max(longest[i], requests[i+1].Time.Sub(requests[i].Time))
			}
		}
		for i, bound := range bounds {
			if longest[i] > bound || longest[i] < bound/2 {
				t.Errorf("backoff %d is up to %v, want up to %v", i+1, longest[i], bound)
			}
		}
	})
}

// TestRetrieveRoom: Raw holds on to little more than the answer, and to twice as much where the
// server does not say how long it is.
func TestRetrieveRoom(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 3_000, 30_000, 300_000, 900_000} {
		body := `{"status":"pending","id":"` + strings.Repeat("a", size) + `"}`
		for length, most := range map[int64]int{int64(len(body)): len(body) + 256, -1: 2*len(body) + 2048} {
			client, err := api.New(retrieveKey, api.WithHTTPClient(retrieveDoerFunc(func(*http.Request) (*http.Response, error) {
				resp := securityAnswer(http.StatusOK, body)
				resp.ContentLength = length
				return resp, nil
			})))
			if err != nil {
				t.Fatal(err)
			}
			r, err := client.Retrieve(t.Context(), retrieveTask)
			if err != nil || string(r.Raw) != body || cap(r.Raw) > most {
				t.Errorf("%d bytes of a declared length of %d: room for %d, want at most %d (%v)", len(body), length, cap(r.Raw), most, err)
			}
		}
	}
}

// TestRetrieveEndsWithTheContext: nothing outlives the context or WithTimeout, and the
// error says which.
func TestRetrieveEndsWithTheContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("the user went home")
	t.Run("no answer, context of 1 s", func(t *testing.T) {
		t.Parallel()
		retrieveIn(t, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses, task api.Task) {
			srv.Enqueue(zaitest.Hang())
			ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, cause)
			defer cancel()
			start := time.Now()
			_, err := client.Retrieve(ctx, task)
			if time.Since(start) != time.Second || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, cause) {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
		})
	})
	for name, reply := range map[string]zaitest.Reply{"no answer": zaitest.Hang(), "a body that stalls": zaitest.StallBody(10)} {
		t.Run(name+", WithTimeout", func(t *testing.T) {
			t.Parallel()
			retrieveIn(t, []api.ClientOption{api.WithTimeout(3 * time.Second), api.WithMaxAttempts(2)}, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses, task api.Task) {
				srv.Always(reply)
				start := time.Now()
				_, err := client.Retrieve(t.Context(), task)
				if took := time.Since(start); took < 6*time.Second || took > 6500*time.Millisecond || !errors.Is(err, context.DeadlineExceeded) || len(srv.Requests()) != 2 {
					t.Errorf("after %v and %d requests: %v", took, len(srv.Requests()), err)
				}
			})
		})
	}
	t.Run("during a backoff", func(t *testing.T) {
		t.Parallel()
		retrieveIn(t, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses, task api.Task) {
			srv.Always(zaitest.RateLimited("1302", "30"))
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(5*time.Second, func() { cancel(cause) })
			start := time.Now()
			_, err := client.Retrieve(ctx, task)
			if time.Since(start) != 5*time.Second || !errors.Is(err, api.ErrRateLimited) || !errors.Is(err, context.Canceled) || !errors.Is(err, cause) {
				t.Errorf("after %v: %v", time.Since(start), err)
			}
		})
	})
	for name, left := range map[string]time.Duration{"past": 20 * time.Second, "to": 30 * time.Second} {
		t.Run("Retry-After "+name+" the deadline is not slept", func(t *testing.T) {
			t.Parallel()
			retrieveIn(t, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses, task api.Task) {
				srv.Always(zaitest.RateLimited("1302", "30"))
				ctx, cancel := context.WithTimeout(t.Context(), left)
				defer cancel()
				start := time.Now()
				_, err := client.Retrieve(ctx, task)
				var e *api.Error
				if time.Since(start) != 0 || !errors.As(err, &e) || e.RetryAfter != 30*time.Second {
					t.Errorf("after %v: %v", time.Since(start), err)
				}
			})
		})
	}
	t.Run("ended before", func(t *testing.T) {
		t.Parallel()
		retrieveIn(t, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses, task api.Task) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			if _, err := client.Retrieve(ctx, task); !errors.Is(err, context.Canceled) || len(srv.Requests()) != 0 {
				t.Errorf("%v, %d requests", err, len(srv.Requests()))
			}
		})
	})
}

// retrieveServer is a server of one handler, with a client of it.
func retrieveServer(t *testing.T, handler http.HandlerFunc, opts ...api.ClientOption) *api.ClientWithResponses {
	t.Helper()
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	return retrieveClient(t, srv.URL, opts...)
}

const retrieveKey = "0123456789abcdef.S3cretS3cretS3cret"

func retrieveClient(t *testing.T, base string, opts ...api.ClientOption) *api.ClientWithResponses {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := api.New(retrieveKey, append([]api.ClientOption{api.WithHTTPClient(&http.Client{Transport: transport}), api.WithBaseURL(base)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// TestRetrieveStopsAtTheBound: an endless body is read up to the bound and not held
// several times over.
func TestRetrieveStopsAtTheBound(t *testing.T) {
	endless := func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		block := []byte(strings.Repeat(" ", 64<<10))
		for range 2000 { // 125 MiB: as good as endless, and too much for a client without the bound.
			if _, err := w.Write(block); err != nil {
				return
			}
		}
	}
	client := retrieveServer(t, endless)
	var peak atomic.Uint64
	var before runtime.MemStats // What the other tests hold is not the client's.
	runtime.GC()
	runtime.ReadMemStats(&before)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapAlloc))
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	_, err := client.Retrieve(t.Context(), retrieveTask)
	close(stop)
	<-done
	var e *api.Error
	if !errors.Is(err, api.ErrBodyTooLarge) || !errors.As(err, &e) || e.StatusCode != http.StatusOK || len(e.Body) > 4<<10 || e.Attempts != 1 {
		t.Errorf("got %v", err)
	}
	rise := peak.Load() - min(before.HeapAlloc, peak.Load())
	if t.Logf("the heap rose by %d KiB", rise>>10); rise > 40<<20 {
		t.Errorf("the heap rose by %d MiB", rise>>20)
	}
	// The raw method has the same bound.
	small := retrieveServer(t, endless, api.WithMaxBody(1000))
	if _, err := small.RetrieveAgentResultWithResponse(t.Context(), nil, retrieveTask); !errors.Is(err, api.ErrBodyTooLarge) {
		t.Errorf("raw: %v", err)
	}
}

// TestRetrieveKeepsTheKeyAtHome: redirects are not followed, and an answer that another
// origin gave is an error.
func TestRetrieveKeepsTheKeyAtHome(t *testing.T) {
	t.Parallel()
	for _, status := range []int{302, 307} {
		for name, doer := range map[string]api.HttpRequestDoer{
			"own transport": nil,
			"http.Client":   &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }},
			"with timeout":  &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return nil }, Timeout: time.Minute},
			"another Doer":  retrieveDoer{&http.Client{}},
		} {
			t.Run(fmt.Sprint(status, " ", name), func(t *testing.T) {
				t.Parallel()
				var visits atomic.Int32
				other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					visits.Add(1)
					fmt.Fprint(w, `{"status":"success"}`)
				}))
				defer other.Close()
				home := httptest.NewServer(http.RedirectHandler(other.URL+"/x?Signature=abc", status))
				defer home.Close()
				opts := []api.ClientOption{api.WithBaseURL(home.URL)}
				if doer != nil {
					opts = append(opts, api.WithHTTPClient(doer))
				}
				client, err := api.New(retrieveKey, opts...)
				if err != nil {
					t.Fatal(err)
				}
				_, err = client.Retrieve(t.Context(), retrieveTask)
				var e *api.Error
				if !errors.As(err, &e) || e.Attempts != 1 || e.Retryable() {
					t.Errorf("got %v", err)
				}
				if _, follows := doer.(retrieveDoer); follows {
					if e.StatusCode != 0 || visits.Load() != 1 {
						t.Errorf("got %v after %d visits", err, visits.Load())
					}
				} else if e.StatusCode != status || e.Message != "redirects are not followed" || visits.Load() != 0 {
					t.Errorf("got %v after %d visits", err, visits.Load())
				}
				retrieveHoldsNo(t, "Signature", err)
				if own, ok := doer.(*http.Client); ok && own.CheckRedirect(nil, nil) != nil {
					t.Error("the caller's client was changed")
				}
			})
		}
	}
	t.Run("editor", func(t *testing.T) {
		t.Parallel()
		client := retrieveServer(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
		_, err := client.Retrieve(t.Context(), retrieveTask, func(_ context.Context, req *http.Request) error {
			req.URL.Host = "127.0.0.1:1"
			return nil
		})
		if !errors.Is(err, api.ErrInvalidRequest) {
			t.Errorf("got %v", err)
		}
		// The change did not reach later requests.
		ok := retrieveServer(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"status":"pending"}`) })
		_, _ = ok.Retrieve(t.Context(), retrieveTask, func(_ context.Context, req *http.Request) error { req.URL.Path = "/x"; return nil })
		if _, err := ok.Retrieve(t.Context(), retrieveTask); err != nil {
			t.Error(err)
		}
	})
	// No change of the origin, not even to another scheme or port of the host,
	// gets the key out or an answer in.
	for _, address := range []string{"http://api.z.ai/api/v1/agents/async-result", "https://api.z.ai:8443/api/v1/agents/async-result", "https://z.ai/api/v1/agents/async-result"} {
		elsewhere, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		var asked []string
		client, err := api.New(retrieveKey, api.WithHTTPClient(retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
			asked = append(asked, req.URL.String())
			followed := req.Clone(req.Context())
			followed.URL = elsewhere
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"status":"success"}`)), Request: followed}, nil
		})))
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Retrieve(t.Context(), retrieveTask, func(_ context.Context, req *http.Request) error { req.URL = elsewhere; return nil })
		if !errors.Is(err, api.ErrInvalidRequest) || len(asked) != 0 {
			t.Errorf("an editor that goes to %s: %v after %q", address, err, asked)
		}
		r, err := client.Retrieve(t.Context(), retrieveTask)
		if e, ok := errors.AsType[*api.Error](err); !ok || r != nil || e.StatusCode != 0 || e.Retryable() || len(asked) != 1 {
			t.Errorf("a Doer that goes to %s: %v, %v after %q", address, r, err, asked)
		}
	}
}

type retrieveDoer struct{ client *http.Client }

func (d retrieveDoer) Do(req *http.Request) (*http.Response, error) { return d.client.Do(req) }

// TestRetrieveOnManyDeadConnections: however many kept connections are reset by the next request on
// them, one call finds a living one, without a retry of our own.
func TestRetrieveOnManyDeadConnections(t *testing.T) {
	t.Parallel()
	const kept = 60
	var dead atomic.Bool
	var resets atomic.Int32
	var old sync.Map
	var together sync.WaitGroup
	together.Add(kept)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := old.Load(r.RemoteAddr); ok && dead.Load() {
			resets.Add(1)
			conn, _, err := w.(http.Hijacker).Hijack() //nolint:forcetypeassert // It is HTTP/1.
			if err != nil {
				t.Error(err)
				return
			}
			_ = conn.(*net.TCPConn).SetLinger(0) //nolint:forcetypeassert // As above.
			_ = conn.Close()
			return
		}
		if !dead.Load() {
			old.Store(r.RemoteAddr, true)
			together.Done()
			together.Wait()
		}
		fmt.Fprint(w, `{"status":"pending"}`)
	}))
	defer server.Close()
	client, err := api.New(retrieveKey, api.WithBaseURL(server.URL), api.WithMaxAttempts(1))
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	for range kept {
		group.Go(func() {
			if _, err := client.Retrieve(t.Context(), retrieveTask); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	dead.Store(true)
	if _, err := client.Retrieve(t.Context(), retrieveTask); err != nil || resets.Load() < kept/2 {
		t.Errorf("%v after %d resets", err, resets.Load())
	}
}

// TestRetrieveOnAClosedConnection: a kept-alive connection that the server closes under
// the next call is no error for the caller, even without retries of our own.
func TestRetrieveOnAClosedConnection(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// This server answers the first request of a connection and closes it when the second arrives.
	var connections sync.WaitGroup
	answered := make(chan struct{}, 100)
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Go(func() {
				defer func() { _ = conn.Close() }()
				buf := make([]byte, 4096)
				if _, err := conn.Read(buf); err != nil {
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n{\"status\":\"pending\"}")
				answered <- struct{}{}
				_, _ = conn.Read(buf)
			})
		}
	}()
	t.Cleanup(connections.Wait)
	client := retrieveClient(t, "http://"+listener.Addr().String(), api.WithMaxAttempts(1))
	t.Cleanup(func() { _ = listener.Close() })
	for range 50 {
		if _, err := client.Retrieve(t.Context(), retrieveTask); err != nil {
			t.Fatal(err)
		}
		<-answered
	}
}

// TestRetrieveMasksTheKey: wherever the server echoes the key, it does not come out.
func TestRetrieveMasksTheKey(t *testing.T) {
	t.Parallel()
	var logged strings.Builder
	logger := slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	for name, reply := range map[string]func(http.ResponseWriter){
		"JSON error": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprintf(w, `{"error":{"code":"1004","message":"bad key %s\nsee https://x.example/a?Signature=abc"}}`, retrieveKey)
		},
		"HTML error": func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("X-Echo", "Bearer "+retrieveKey)
			w.WriteHeader(http.StatusBadGateway)
			fmt.Fprintf(w, "<p>%s</p><a href='https://x.example/a?Signature=abc'>", retrieveKey)
		},
		"truncated success": func(w http.ResponseWriter) {
			fmt.Fprintf(w, `{"status":"success","id":%q,"choices":[{"message":[{"content":[{"video_url":"https://x.example/a.mp4?Signature=abc`, retrieveKey)
		},
		"refused in words": func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadRequest)
			fmt.Fprint(w, `{"error":{"code":"1210","message":"words of the server"}}`)
		},
		"failed task": func(w http.ResponseWriter) {
			fmt.Fprintf(w, `{"status":"failed","error":{"code":"1","message":"%s https://x.example/a?Signature=abc"}}`, retrieveKey)
		},
		"success": func(w http.ResponseWriter) {
			fmt.Fprintf(w, `{"status":"success","id":%q,"choices":[{"message":[{"content":"%s"}]}]}`, retrieveKey, retrieveKey)
		},
	} {
		client := retrieveServer(t, func(w http.ResponseWriter, _ *http.Request) { reply(w) }, api.WithMaxAttempts(1), api.WithLogger(logger))
		r, err := client.Retrieve(t.Context(), retrieveTask)
		if r != nil {
			err = r.Err()
			retrieveHoldsNo(t, retrieveKey, *r, r, r.Task(), r.Text(), string(r.Raw))
		} else if err == nil {
			t.Errorf("%s: no result and no error", name)
		}
		if err != nil {
			retrieveHoldsNo(t, retrieveKey, err)
			retrieveHoldsNo(t, "Signature", err)
			if strings.ContainsAny(err.Error(), "\n\r\x1b") {
				t.Errorf("%s: %q is not one line", name, err)
			}
		}
		var e *api.Error
		if errors.As(err, &e) {
			retrieveHoldsNo(t, retrieveKey, string(e.Body), e.Header, *e)
			retrieveHoldsNo(t, "Signature", string(e.Body), e.Header)
		}
		raw, _ := client.RetrieveAgentResultWithResponse(t.Context(), nil, retrieveTask)
		if raw != nil {
			retrieveHoldsNo(t, retrieveKey, string(raw.Body), raw.HTTPResponse.Header, raw.HTTPResponse.Status, raw, client)
		}
	}
	retrieveHoldsNo(t, retrieveKey, logged.String())
	retrieveHoldsNo(t, "Signature", logged.String())
	retrieveHoldsNo(t, "words of the server", logged.String())
	for _, want := range []string{`"operation":"retrieveAgentResult"`, `"status":401`, `"attempt":1`, `"duration":`, `"request_id":`} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("the log has no %s: %s", want, logged.String())
		}
	}
	broken, err := api.New(retrieveKey, api.WithMaxAttempts(1), api.WithHTTPClient(retrieveDoerFunc(func(*http.Request) (*http.Response, error) {
		return nil, fmt.Errorf("malformed answer %q: %w", retrieveKey, io.ErrUnexpectedEOF)
	})))
	if err != nil {
		t.Fatal(err)
	}
	_, err = broken.Retrieve(t.Context(), retrieveTask)
	retrieveHoldsNo(t, retrieveKey, err, errors.Unwrap(err))
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the cause of %v is lost", err)
	}
}

// TestRetrieveMasksAnEscapedKey: an answer whose JSON escapes a letter of the key does not hold it
// until it is read, and what is read is masked.
func TestRetrieveMasksAnEscapedKey(t *testing.T) {
	t.Parallel()
	for _, format := range []string{`{"status":"failed","error":{"message":"%s\u00%x"}}`, `{"error":{"code":"1004","message":"%s\u00%x"}}`} {
		client := retrieveServer(t, func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprintf(w, format, retrieveKey[:len(retrieveKey)-1], retrieveKey[len(retrieveKey)-1])
		})
		r, err := client.Retrieve(t.Context(), retrieveTask)
		if err == nil {
			err = r.Err()
			retrieveHoldsNo(t, retrieveKey, r, r.Error)
		}
		if err == nil || !strings.Contains(err.Error(), "***") {
			t.Errorf("got %v", err)
		}
		retrieveHoldsNo(t, retrieveKey, err)
	}
	// The excerpt shows it neither as it is nor escaped, and no query, wherever they stand.
	escaped := func(s string) (text string) {
		for _, c := range []byte(s) {
			text += fmt.Sprintf(`\u00%02x`, c)
		}
		return text
	}
	for _, before := range []int{0, 3000, 3990, 4 << 10, 20 << 10} {
		for name, secret := range map[string]string{
			"a dot": strings.Replace(retrieveKey, ".", `\u002e`, 1), "upper case": strings.Replace(retrieveKey, ".", `\u002E`, 1), "all": escaped(retrieveKey),
			"a query": `https:\/\/h\/x\u003fSignature=abc`, "all of a query": escaped("https://h/x?Signature=abc"),
		} {
			client := retrieveServer(t, func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(http.StatusBadRequest)
				fmt.Fprintf(w, `{"error":{"code":"1210","pad":"%s","message":"\u0022\u005c\u00e9\u000a %s \u00"}}`, strings.Repeat(`\u0061`, before/6), secret)
			})
			_, err := client.Retrieve(t.Context(), retrieveTask)
			e, ok := errors.AsType[*api.Error](err)
			if !ok || len(e.Body) > 4<<10 || before == 0 && !strings.Contains(string(e.Body), `"message":"\u0022\u005c\u00e9\u000a `) {
				t.Fatalf("%s: %v", name, err)
			}
			for _, part := range []string{retrieveKey, retrieveKey[:8], "Signature", `\u0061`, `\u0053`} {
				if strings.Contains(string(e.Body), part) {
					t.Errorf("%s after %d bytes: the excerpt shows %q: %s", name, before, part, e.Body[max(0, len(e.Body)-200):])
				}
			}
		}
	}
}

// TestRetrieveMasksASlash: some servers escape the slash of a token.
func TestRetrieveMasksASlash(t *testing.T) {
	t.Parallel()
	const key = "to/ken/with/slashes"
	srv := httptest.NewServer(createRaw(http.StatusUnauthorized, "application/json", `{"error":{"code":"1000","message":"bad `+strings.ReplaceAll(key, "/", `\/`)+`"}}`))
	defer srv.Close()
	client, err := api.New(key, api.WithBaseURL(srv.URL))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Retrieve(t.Context(), retrieveTask)
	if e, ok := errors.AsType[*api.Error](err); !ok || strings.Contains(string(e.Body), "ken") || e.Code != "1000" {
		t.Errorf("%v with %s", err, e.Body)
	}
}

// TestRetrieveBoundsTheExcerpt: the marks for queries that were taken out do not make it longer.
func TestRetrieveBoundsTheExcerpt(t *testing.T) {
	t.Parallel()
	client := retrieveServer(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		fmt.Fprint(w, strings.Repeat("/?q ", 2000))
	})
	_, err := client.Retrieve(t.Context(), retrieveTask)
	var e *api.Error
	if !errors.As(err, &e) || len(e.Body) != 4<<10 || !strings.HasPrefix(string(e.Body), "/?… /?… ") {
		t.Errorf("%v with %d bytes", err, len(e.Body))
	}
}

type retrieveDoerFunc func(*http.Request) (*http.Response, error)

func (f retrieveDoerFunc) Do(req *http.Request) (*http.Response, error) { return f(req) }

// retrieveHoldsNo prints values in every way there is and looks for a secret.
func retrieveHoldsNo(t *testing.T, secret string, values ...any) {
	t.Helper()
	for _, text := range retrieveForms(t, values...) {
		if strings.Contains(text, secret) {
			t.Errorf("shows %q: %s", secret, text)
		}
	}
}

// retrieveForms are the values as formats, loggers and encoding/json show them.
func retrieveForms(t *testing.T, values ...any) (texts []string) {
	t.Helper()
	for _, v := range values {
		var log strings.Builder
		slog.New(slog.NewTextHandler(&log, nil)).InfoContext(t.Context(), "x", "v", v)
		slog.New(slog.NewJSONHandler(&log, nil)).InfoContext(t.Context(), "x", "v", v)
		encoded, _ := json.Marshal(v)
		texts = append(texts, fmt.Sprintf("%T: %[1]v %+[1]v %#[1]v %[1]s %[1]q", v), string(encoded), log.String())
	}
	return texts
}

// TestRetrieveMasksAtEveryCut: the key is masked however its bytes are cut by the network
// and by the reader's buffer.
func TestRetrieveMasksAtEveryCut(t *testing.T) {
	t.Parallel()
	const before, after = "<p>0123012", "0123456789</p>0"
	want := before + strings.Repeat("*", len(retrieveKey)) + after
	for cut := range len(retrieveKey) + 1 {
		doer := retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
			parts := io.MultiReader(strings.NewReader(before+retrieveKey[:cut]), strings.NewReader(retrieveKey[cut:]+after))
			return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(parts), Request: req}, nil
		})
		client, err := api.New(retrieveKey, api.WithHTTPClient(doer))
		if err != nil {
			t.Fatal(err)
		}
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "halves": iotest.HalfReader,
		} {
			resp, err := client.RetrieveAgentResult(t.Context(), nil, retrieveTask)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(wrap(resp.Body))
			if err != nil || string(got) != want || resp.Body.Close() != nil {
				t.Errorf("cut at %d, %s: %q, %v", cut, name, got, err)
			}
		}
	}
}

// TestRetrieveOnTheWire: the request is what the description asks for, and nothing else.
func TestRetrieveOnTheWire(t *testing.T) {
	t.Parallel()
	srv := zaitest.NewServer()
	t.Cleanup(srv.Close)
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL+"/paas/v4/"))
	if err != nil {
		t.Fatal(err)
	}
	odd := api.Task{AgentID: api.AgentViduTemplate, AsyncID: " a+/=\"\\\n<é漢> "}
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			if _, err := client.Retrieve(t.Context(), odd); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	requests := srv.Requests()
	if len(requests) != 16 {
		t.Fatalf("%d requests", len(requests))
	}
	for _, req := range requests {
		var body map[string]string
		if err := json.Unmarshal(req.Body, &body); err != nil || len(body) != 2 || body["agent_id"] != "vidu_template_agent" || body["async_id"] != odd.AsyncID {
			t.Errorf("body %s, %v", req.Body, err)
		}
		if req.Method != http.MethodPost || req.Path != "/api/v1/agents/async-result" || req.Query != "" {
			t.Errorf("%s %s ?%s", req.Method, req.Path, req.Query)
		}
		for name, want := range map[string]string{
			"Authorization": "Bearer " + srv.APIKey, "Content-Type": "application/json", "Accept-Language": "en-US,en", "Idempotency-Key": "",
		} {
			if got := strings.Join(req.Header[name], "|"); got != want {
				t.Errorf("%s is %q, want %q", name, got, want)
			}
		}
		if !strings.HasPrefix(req.Header.Get("User-Agent"), "zai-go/") {
			t.Errorf("User-Agent is %q", req.Header.Get("User-Agent"))
		}
		for name := range req.Header {
			if !slices.Contains([]string{"Authorization", "Content-Type", "Accept-Language", "User-Agent", "Accept-Encoding", "Content-Length"}, name) {
				t.Errorf("header %s was sent", name)
			}
		}
	}
}
