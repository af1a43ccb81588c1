package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

const (
	waitJSON    = "application/json;charset=UTF-8"
	waitPending = `{"status":"pending","agent_id":"vidu_template_agent","async_id":"task-1"}`
	waitVideo   = `{"status":"success","choices":[{"message":[{"content":[{"type":"video_url","video_url":"https://media.example.com/v.mp4"}]}]}]}`
	waitSigned  = "https://media.example.com/v.mp4?KeyId=one&Signature=c2lnbmVk"
)

// waitTask is a task for transports that do not look at it.
var waitTask = api.Task{AgentID: api.AgentViduTemplate, AsyncID: "emFp+/8="}

// waitIn runs test in a bubble of virtual time, with a stand-in server and a client of it.
func waitIn(t *testing.T, test func(*testing.T, *zaitest.Server, *api.ClientWithResponses), opts ...api.ClientOption) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := zaitest.NewUnstartedServer()
		defer srv.Close()
		opts := append([]api.ClientOption{api.WithBaseURL(srv.URL), api.WithHTTPClient(&http.Client{Transport: srv.Transport()})}, opts...)
		client, err := api.New(srv.APIKey, opts...)
		if err != nil {
			t.Fatal(err)
		}
		test(t, srv, client)
	})
}

// waitAdd adds a task to the server, and returns its handle.
func waitAdd(srv *zaitest.Server, script zaitest.TaskScript) api.Task {
	if script.AgentID == "" {
		script.AgentID = string(api.AgentViduTemplate)
	}
	return api.Task{AgentID: api.AgentID(script.AgentID), AsyncID: srv.AddTask(script)}
}

// waitRaw replies with a JSON body.
func waitRaw(status int, body string) zaitest.Reply {
	return zaitest.Raw(status, http.Header{"Content-Type": {waitJSON}}, body)
}

// waitPolls is what OnPoll was called with.
type waitPolls struct {
	polls   []api.Poll
	results []*api.Result
}

func (w *waitPolls) option() api.WaitOption {
	return api.OnPoll(func(r *api.Result, p api.Poll) {
		w.polls, w.results = append(w.polls, p), append(w.results, r)
	})
}

// waitClasses are the sentinels that an error can match as its class.
var waitClasses = []error{
	api.ErrAuthentication, api.ErrAccount, api.ErrPermission, api.ErrQuota, api.ErrRateLimited, api.ErrOverloaded,
	api.ErrInvalidRequest, api.ErrConflict, api.ErrNotFound, api.ErrContentBlocked, api.ErrBlocked, api.ErrServer, api.ErrMalformed,
}

// waitIsClass fails the test unless err matches class and no other; nil is no class at all.
func waitIsClass(t *testing.T, err, class error) {
	t.Helper()
	for _, c := range waitClasses {
		conflict := errors.Is(class, api.ErrConflict) && errors.Is(c, api.ErrInvalidRequest) // 1231 is both.
		if got, want := errors.Is(err, c), errors.Is(class, c) || conflict; got != want {
			t.Errorf("errors.Is(%v, %q) is %t", err, c, got)
		}
	}
}

// waitUnfinished returns the *WaitError that err must be.
func waitUnfinished(t *testing.T, err error) *api.WaitError {
	t.Helper()
	e, ok := errors.AsType[*api.WaitError](err)
	if !ok {
		t.Fatalf("the error is a %T: %v, want a *WaitError", err, err)
	}
	return e
}

// TestWaitEnd: what a task comes to.
func TestWaitEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		script  zaitest.TaskScript
		polls   int
		failed  bool          // *TaskError
		code    api.ErrorCode // of it
		class   error         // of the error
		video   string
		text    string
		nothing bool // ErrNoResult
	}{
		{name: "success at once", script: zaitest.TaskScript{VideoURLs: []string{waitSigned}}, polls: 1, video: waitSigned},
		{name: "success later", script: zaitest.TaskScript{Pending: 4, VideoURLs: []string{waitSigned}}, polls: 5, video: waitSigned},
		{name: "success in another shape", script: zaitest.TaskScript{Pending: 1, VideoURLs: []string{waitSigned}, Shape: zaitest.ShapeTaskAPI}, polls: 2, video: waitSigned},
		{name: "failure at once", script: zaitest.TaskScript{Code: "1301", Message: "refused"}, polls: 1, failed: true, code: "1301", class: api.ErrContentBlocked},
		{name: "failure later", script: zaitest.TaskScript{Pending: 2, Code: "500", Message: "broken"}, polls: 3, failed: true, code: "500", class: api.ErrServer},
		{name: "failure without a reason", script: zaitest.TaskScript{Fail: true}, polls: 1, failed: true},
		{name: "failure beside success", script: zaitest.TaskScript{Code: "1210", Message: "bad", Shape: zaitest.ShapeErrorInSuccess}, polls: 1, failed: true, code: "1210", class: api.ErrInvalidRequest},
		{name: "video task with nothing", script: zaitest.TaskScript{Pending: 1, NoResult: true}, polls: 2, nothing: true},
		{name: "video task with a text", script: zaitest.TaskScript{Text: "no video today"}, polls: 1, nothing: true, text: "no video today"},
		{name: "video task with a picture", script: zaitest.TaskScript{ImageURLs: []string{waitSigned}}, polls: 1, nothing: true},
		{name: "slides with nothing", script: zaitest.TaskScript{AgentID: "slides_glm_agent", NoResult: true}, polls: 1, nothing: true},
		{name: "slides with a file", script: zaitest.TaskScript{AgentID: "slides_glm_agent", FileURLs: []string{waitSigned}}, polls: 1},
		{name: "slides with a picture", script: zaitest.TaskScript{AgentID: "slides_glm_agent", ImageURLs: []string{waitSigned}}, polls: 1},
		{name: "translation with a text", script: zaitest.TaskScript{AgentID: "general_translation", Text: "bonjour"}, polls: 1, text: "bonjour"},
		{name: "unknown agent with a video", script: zaitest.TaskScript{AgentID: "some_agent", VideoURLs: []string{waitSigned}}, polls: 1, video: waitSigned},
		{name: "unknown agent with an object", script: zaitest.TaskScript{AgentID: "some_agent", Replies: []zaitest.Reply{
			waitRaw(200, `{"status":"success","choices":[{"message":[{"content":[{"type":"object","object":{"a":1}}]}]}]}`),
		}}, polls: 1},
		{name: "unknown agent with no object", script: zaitest.TaskScript{AgentID: "some_agent", Replies: []zaitest.Reply{
			waitRaw(200, `{"status":"success","choices":[{"message":[{"content":[{"type":"object","object":null,"text":""}]}]}]}`),
		}}, polls: 1, nothing: true},
		{name: "unknown agent with an empty part", script: zaitest.TaskScript{AgentID: "some_agent", Replies: []zaitest.Reply{
			waitRaw(200, `{"status":"success","choices":[{"message":[{"content":[{"type":"object"}]}]}]}`),
		}}, polls: 1, nothing: true},
		{name: "incomplete, which is no error", script: zaitest.TaskScript{AgentID: "general_translation", Text: "bonj", FinishReason: "length"}, polls: 1, text: "bonj"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				task := waitAdd(srv, tt.script)
				var seen waitPolls
				r, err := client.Wait(t.Context(), task, seen.option())
				if r == nil {
					t.Fatalf("no Result, error %v", err)
				}
				if r.Task() != task {
					t.Errorf("the Result is of task %v, want %v", r.Task(), task)
				}
				failed, ok := errors.AsType[*api.TaskError](err)
				switch {
				case ok != tt.failed:
					t.Errorf("error %v, want a *TaskError: %t", err, tt.failed)
				case ok:
					waitIsClass(t, err, tt.class)
					if failed.Code != tt.code || failed.Task != task || failed.Result != r || failed.StatusCode != http.StatusOK {
						t.Errorf("%#v, want code %q", failed, tt.code)
					}
				case errors.Is(err, api.ErrNoResult) != tt.nothing:
					t.Errorf("error %v, want ErrNoResult: %t", err, tt.nothing)
				case tt.nothing && !strings.Contains(err.Error(), task.String()):
					t.Errorf("the error %q does not name the task", err)
				case !tt.nothing && err != nil:
					t.Error(err)
				}
				if got := strings.Join(r.VideoURLs(), " "); got != tt.video {
					t.Errorf("videos %q, want %q", got, tt.video)
				}
				if r.Text() != tt.text {
					t.Errorf("text %q, want %q", r.Text(), tt.text)
				}
				if n := len(srv.Requests()); n != tt.polls || len(seen.polls) != tt.polls {
					t.Errorf("%d requests, %d calls of OnPoll, want %d", n, len(seen.polls), tt.polls)
				}
			})
		})
	}
}

// TestWaitUnknownWord: a word that nobody knows is not the end, and MaxWait ends the wait.
func TestWaitUnknownWord(t *testing.T) {
	t.Parallel()
	waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
		task := waitAdd(srv, zaitest.TaskScript{Pending: zaitest.Forever, StatusWords: zaitest.StatusWords{Pending: "dreaming"}})
		start := time.Now()
		r, err := client.Wait(t.Context(), task, api.MaxWait(10*time.Minute))
		e := waitUnfinished(t, err)
		if took := time.Since(start); took != 10*time.Minute || e.Elapsed != took {
			t.Errorf("waited %v, Elapsed %v, want 10 minutes", took, e.Elapsed)
		}
		if r == nil || r.Status != api.StatusPending || r.RawStatus != "dreaming" || e.Result != r {
			t.Errorf("Result %v, in the error %v", r, e.Result)
		}
		if e.Polls != len(srv.Requests()) || e.Task != task {
			t.Errorf("%d polls of %v, want %d of %v", e.Polls, e.Task, len(srv.Requests()), task)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("not context.DeadlineExceeded: %v", err)
		}
		for _, part := range []string{task.String(), "10m0s", fmt.Sprint(e.Polls, " polls"), "dreaming", "MaxWait"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the error %q does not say %q", err, part)
			}
		}
	})
}

// TestWaitPassing: a poll that fails for a passing reason does not end a wait.
func TestWaitPassing(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		reply  zaitest.Reply
		status int   // of the *Error
		class  error // of the *Error
	}{
		{"connection reset", zaitest.Abort(), 0, nil},
		{"no answer", zaitest.Hang(), 0, nil},
		{"body cut", zaitest.CutBody(20), 200, api.ErrMalformed},
		{"body that stalls", zaitest.StallBody(20), 200, api.ErrMalformed},
		{"truncated JSON", zaitest.TruncatedJSON(), 200, api.ErrMalformed},
		{"HTML", zaitest.HTMLError(200), 200, api.ErrMalformed},
		{"empty body", waitRaw(200, ""), 200, api.ErrMalformed},
		{"no content", zaitest.Raw(204, nil, ""), 204, api.ErrMalformed},
		{"null", waitRaw(200, "null"), 200, api.ErrMalformed},
		{"empty object", waitRaw(200, "{}"), 200, api.ErrMalformed},
		{"list", waitRaw(200, "[]"), 200, api.ErrMalformed},
		{"no status", waitRaw(200, `{"choices":[],"agent_id":"vidu_template_agent"}`), 200, api.ErrMalformed},
		{"stream that ends early", zaitest.Raw(200, http.Header{"Content-Type": {"text/event-stream"}}, ": hello\n\n"), 200, api.ErrMalformed},
		{"429 of a proxy", zaitest.HTMLError(429), 429, api.ErrRateLimited},
		{"429 with 1302", zaitest.RateLimited("1302", ""), 429, api.ErrRateLimited},
		{"429 with 1303", zaitest.RateLimited("1303", "1"), 429, api.ErrRateLimited},
		{"429 with 1305", zaitest.RateLimited("1305", ""), 429, api.ErrOverloaded},
		{"429 with 1312", zaitest.RateLimited("1312", ""), 429, api.ErrOverloaded},
		{"529", zaitest.HTMLError(529), 529, api.ErrOverloaded},
		{"408", zaitest.HTMLError(408), 408, api.ErrServer},
		{"425", zaitest.HTMLError(425), 425, api.ErrServer},
		{"500", zaitest.ServerError("1234"), 500, api.ErrServer},
		{"502", zaitest.HTMLError(502), 502, api.ErrServer},
		{"503", zaitest.HTMLError(503), 503, api.ErrServer},
		{"504", zaitest.HTMLError(504), 504, api.ErrServer},
		{"599", zaitest.HTMLError(599), 599, api.ErrServer},
		{"1120 in HTTP 200", waitRaw(200, `{"code":"1120","msg":"later","success":false}`), 200, api.ErrServer},
		{"flat 500 in HTTP 200", waitRaw(200, `{"code":500,"msg":"broken","success":false}`), 200, api.ErrServer},
		{"unknown class, 418", zaitest.HTMLError(418), 418, nil},
		{"unknown class, 501", zaitest.HTMLError(501), 501, nil},
		{"unknown class, 505", zaitest.HTMLError(505), 505, nil},
		{"unknown code in HTTP 200", zaitest.APIError(200, "8888", "what"), 200, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				task := waitAdd(srv, zaitest.TaskScript{Pending: 1, Replies: []zaitest.Reply{nil, tt.reply, tt.reply, nil}})
				var seen waitPolls
				start := time.Now()
				r, err := client.Wait(t.Context(), task, seen.option(), api.MaxFailures(3))
				if err != nil || len(r.VideoURLs()) != 1 {
					t.Fatalf("Result %v, error %v", r, err)
				}
				if n := len(srv.Requests()); n != 4 || len(seen.polls) != 4 {
					t.Fatalf("%d requests and %d calls of OnPoll, want 4", n, len(seen.polls))
				}
				for i, p := range seen.polls[1:3] {
					e, ok := errors.AsType[*api.Error](p.Err)
					if !ok || e.StatusCode != tt.status || e.Attempts != 1 || seen.results[i+1] != nil {
						t.Fatalf("poll %d: error %#v, Result %v", p.N, p.Err, seen.results[i+1])
					}
					waitIsClass(t, p.Err, tt.class)
				}
				// Two polls of 10 s at most, and three pauses.
				if took := time.Since(start); took > time.Minute {
					t.Errorf("took %v", took)
				}
			}, api.WithTimeout(10*time.Second))
		})
	}
}

// TestWaitPermanent: a failure that another poll would not mend ends a wait at once.
func TestWaitPermanent(t *testing.T) {
	t.Parallel()
	redirect := func(status int) zaitest.Reply {
		return zaitest.Raw(status, http.Header{"Location": {"https://elsewhere.example.com/"}}, "")
	}
	for _, tt := range []struct {
		name  string
		reply zaitest.Reply
		class error
	}{
		{"401", zaitest.HTMLError(401), api.ErrAuthentication},
		{"401 with 1003", zaitest.APIError(401, "1003", "expired"), api.ErrAuthentication},
		{"1001 in HTTP 200", waitRaw(200, `{"code":1001,"msg":"no header","success":false}`), api.ErrAuthentication},
		{"1112 in HTTP 200", zaitest.APIError(200, "1112", "locked"), api.ErrAccount},
		{"429 with 1121", zaitest.RateLimited("1121", ""), api.ErrAccount},
		{"403", zaitest.HTMLError(403), api.ErrPermission},
		{"403 with 1220", zaitest.APIError(403, "1220", "no"), api.ErrPermission},
		{"434", zaitest.HTMLError(434), api.ErrPermission},
		{"429 with 1113", zaitest.RateLimited("1113", "1"), api.ErrQuota},
		{"429 with 1308", zaitest.RateLimited("1308", ""), api.ErrQuota},
		{"400", zaitest.HTMLError(400), api.ErrInvalidRequest},
		{"400 with an unknown code", zaitest.APIError(400, "8888", "what"), api.ErrInvalidRequest},
		{"413", zaitest.HTMLError(413), api.ErrInvalidRequest},
		{"1231", zaitest.APIError(400, "1231", "again"), api.ErrConflict},
		{"404", zaitest.HTMLError(404), api.ErrNotFound},
		{"1221", zaitest.APIError(400, "1221", "gone"), api.ErrNotFound},
		{"flat 500 that means not found", waitRaw(200, `{"code":500,"msg":"404 NOT_FOUND","success":false}`), api.ErrNotFound},
		{"1301", zaitest.APIError(400, "1301", "unsafe"), api.ErrContentBlocked},
		{"405", zaitest.HTMLError(405), api.ErrBlocked},
		{"301", redirect(301), nil},
		{"302", redirect(302), nil},
		{"304", redirect(304), nil},
		{"307", redirect(307), nil},
		{"308", redirect(308), nil},
		{"302 with the body of a pending task", zaitest.Raw(302, http.Header{"Location": {"/"}}, waitPending), nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				task := waitAdd(srv, zaitest.TaskScript{Pending: 2, Replies: []zaitest.Reply{nil, tt.reply}})
				var seen waitPolls
				r, err := client.Wait(t.Context(), task, seen.option())
				e, ok := errors.AsType[*api.Error](err)
				if !ok || e.Op != sampleOp || e.Attempts != 1 {
					t.Fatalf("error %#v", err)
				}
				waitIsClass(t, err, tt.class)
				if r == nil || r.Status != api.StatusPending {
					t.Errorf("Result %v, want the one before", r)
				}
				if n := len(srv.Requests()); n != 2 || len(seen.polls) != 2 {
					t.Fatalf("%d requests, %d calls of OnPoll, want 2", n, len(seen.polls))
				}
				if last := seen.polls[1]; !errors.Is(last.Err, e) || last.Next != 0 || seen.results[1] != nil {
					t.Errorf("OnPoll was told %+v, %v", last, seen.results[1])
				}
			})
		})
	}
	t.Run("too large", func(t *testing.T) {
		t.Parallel()
		waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
			task := waitAdd(srv, zaitest.TaskScript{AgentID: "general_translation", Text: strings.Repeat("x", 2000)})
			r, err := client.Wait(t.Context(), task)
			if r != nil || !errors.Is(err, api.ErrBodyTooLarge) || len(srv.Requests()) != 1 {
				t.Errorf("Result %v, error %v, %d requests", r, err, len(srv.Requests()))
			}
		}, api.WithMaxBody(1000))
	})
}

// TestWaitMaxFailures: passing failures in a row end a wait, and an answer starts the count
// again.
func TestWaitMaxFailures(t *testing.T) {
	t.Parallel()
	bad := func(n int, last zaitest.Reply) []zaitest.Reply {
		return append(slices.Repeat([]zaitest.Reply{zaitest.HTMLError(502)}, n-1), last)
	}
	for _, tt := range []struct {
		name    string
		opts    []api.WaitOption
		replies []zaitest.Reply
		polls   int
		ends    bool
	}{
		{"default", nil, bad(10, zaitest.HTMLError(503)), 10, true},
		{"default, one less", nil, bad(9, zaitest.HTMLError(503)), 10, false},
		{"one", []api.WaitOption{api.MaxFailures(1)}, bad(1, zaitest.HTMLError(503)), 1, true},
		{"three", []api.WaitOption{api.MaxFailures(3)}, bad(3, zaitest.HTMLError(503)), 3, true},
		{"reset by a pending answer", []api.WaitOption{api.MaxFailures(3)},
			slices.Concat(bad(2, zaitest.Abort()), []zaitest.Reply{waitRaw(200, waitPending)}, bad(3, zaitest.HTMLError(503))), 6, true},
		{"reset, and then not reached", []api.WaitOption{api.MaxFailures(3)},
			slices.Concat(bad(2, zaitest.Abort()), []zaitest.Reply{waitRaw(200, waitPending)}, bad(2, zaitest.HTMLError(503))), 6, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				r, err := client.Wait(t.Context(), waitAdd(srv, zaitest.TaskScript{Replies: tt.replies}), tt.opts...)
				if n := len(srv.Requests()); n != tt.polls {
					t.Errorf("%d requests, want %d", n, tt.polls)
				}
				if !tt.ends {
					if err != nil || len(r.VideoURLs()) == 0 {
						t.Errorf("Result %v, error %v", r, err)
					}
					return
				}
				if e, ok := errors.AsType[*api.Error](err); !ok || e.StatusCode != http.StatusServiceUnavailable || !errors.Is(err, api.ErrServer) {
					t.Errorf("error %v, want that of the last poll", err)
				}
				if (r != nil) != (tt.polls == 6) {
					t.Errorf("Result %v", r)
				}
			})
		})
	}
}

// TestWaitRefusedAsFailed: an answer that says failed, names no task, and has a code that
// speaks of the account or of too many calls, is a refused poll and not a failed task.
func TestWaitRefusedAsFailed(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		code    string
		class   error
		passing bool
		task    bool // speaks of the task all the same
	}{
		{"1302", api.ErrRateLimited, true, false},
		{"1303", api.ErrRateLimited, true, false},
		{"429", api.ErrRateLimited, true, false},
		{"1305", api.ErrOverloaded, true, false},
		{"1312", api.ErrOverloaded, true, false},
		{"529", api.ErrOverloaded, true, false},
		{"1113", api.ErrQuota, false, false},
		{"1316", api.ErrQuota, false, false},
		{"1001", api.ErrAuthentication, false, false},
		{"401", api.ErrAuthentication, false, false},
		{"1112", api.ErrAccount, false, false},
		{"1220", api.ErrPermission, false, false},
		{"1301", api.ErrContentBlocked, false, true},
		{"1210", api.ErrInvalidRequest, false, true},
		{"404", api.ErrNotFound, false, true},
		{"500", api.ErrServer, false, true},
		{"8888", nil, false, true},
		{"", nil, false, true},
	} {
		for name, id := range map[string]string{"without an id": "", "with an id": `,"async_id":"task-1"`} {
			t.Run(tt.code+" "+name, func(t *testing.T) {
				t.Parallel()
				reply := zaitest.WithHeader("Retry-After", "7", zaitest.Raw(200, http.Header{"Content-Type": {waitJSON}, "X-Log-Id": {"log-1"}},
					`{"status":"failed","agent_id":"vidu_template_agent"`+id+`,"error":{"code":"`+tt.code+`","message":"see `+waitSigned+`"}}`))
				waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
					task := waitAdd(srv, zaitest.TaskScript{Pending: 1, Replies: []zaitest.Reply{nil, reply}})
					var seen waitPolls
					r, err := client.Wait(t.Context(), task, seen.option())
					if tt.passing && id == "" {
						if err != nil || len(r.VideoURLs()) != 1 || len(seen.polls) != 3 {
							t.Fatalf("Result %v, error %v, %d polls", r, err, len(seen.polls))
						}
						err = seen.polls[1].Err
					} else if len(seen.polls) != 2 {
						t.Fatalf("%d polls, want 2", len(seen.polls))
					}
					waitIsClass(t, err, tt.class)
					if failed, ok := errors.AsType[*api.TaskError](err); ok != (tt.task || id != "") {
						t.Fatalf("error %#v", err)
					} else if ok {
						if r == nil || failed.Result != r || r.Status != api.StatusFailed {
							t.Errorf("Result %v", r)
						}
						return
					}
					e, ok := errors.AsType[*api.Error](err)
					if !ok || e.Op != sampleOp || e.StatusCode != http.StatusOK || string(e.Code) != tt.code || e.RequestID != "log-1" ||
						e.RetryAfter != 7*time.Second || e.Attempts != 1 || e.Retryable() != tt.passing {
						t.Errorf("error %#v", err)
					}
					if !strings.Contains(err.Error(), "see https://media.example.com/v.mp4?…") {
						t.Errorf("the error is %q", err)
					}
					if !tt.passing && (r == nil || r.Status != api.StatusPending) {
						t.Errorf("Result %v, want the one before", r)
					}
				})
			})
		}
	}
}

// TestWaitSlowPoll: an attempt that never answers is given up after WithTimeout, and the
// next one is made.
func TestWaitSlowPoll(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]zaitest.Reply{"no header": zaitest.Hang(), "half a body": zaitest.StallBody(10)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				task := waitAdd(srv, zaitest.TaskScript{Replies: []zaitest.Reply{reply}})
				var seen waitPolls
				if _, err := client.Wait(t.Context(), task, seen.option()); err != nil {
					t.Fatal(err)
				}
				if p := seen.polls[0]; p.Elapsed != 13*time.Second || !errors.Is(p.Err, context.DeadlineExceeded) {
					t.Errorf("the first poll ended after %v: %v", p.Elapsed, p.Err)
				}
			}, api.WithTimeout(13*time.Second))
		})
	}
}

// TestWaitRetryAfter: a Retry-After is the least time to the next poll, in a pending answer
// and in a refusal.
func TestWaitRetryAfter(t *testing.T) {
	t.Parallel()
	start := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC) // of every bubble
	for _, tt := range []struct {
		name        string
		reply       zaitest.Reply
		opts        []api.WaitOption
		least, most time.Duration
	}{
		{"pending", zaitest.WithHeader("Retry-After", "45", nil), nil, 45 * time.Second, 55 * time.Second},
		{"pending, more than a minute", zaitest.WithHeader("Retry-After", "300", nil), nil, 300 * time.Second, 330 * time.Second},
		{"pending, beyond belief", zaitest.WithHeader("Retry-After", "4294967295", nil), nil, time.Hour, time.Hour},
		{"429, beyond belief", zaitest.RateLimited("1302", "99999999999"), nil, time.Hour, time.Hour},
		{"pending, a date", zaitest.WithHeader("Retry-After", start.Add(80*time.Second).Format(http.TimeFormat), nil), nil, 80 * time.Second, 90 * time.Second},
		{"pending, sooner than the schedule", zaitest.WithHeader("Retry-After", "1", nil), nil, 4 * time.Second, 6 * time.Second},
		{"pending, nonsense", zaitest.WithHeader("Retry-After", "soon", nil), nil, 4 * time.Second, 6 * time.Second},
		{"pending, with Every", zaitest.WithHeader("Retry-After", "45", nil), []api.WaitOption{api.Every(time.Second)}, 45 * time.Second, 55 * time.Second},
		{"pending, with Expect", zaitest.WithHeader("Retry-After", "45", nil), []api.WaitOption{api.Expect(10 * time.Second)}, 45 * time.Second, 55 * time.Second},
		{"429", zaitest.RateLimited("1302", "45"), nil, 45 * time.Second, 55 * time.Second},
		{"429, sooner than the schedule", zaitest.RateLimited("1302", "1"), nil, 4 * time.Second, 6 * time.Second},
		{"503", zaitest.WithHeader("Retry-After", "45", zaitest.ServerError("1234")), nil, 45 * time.Second, 55 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				task := waitAdd(srv, zaitest.TaskScript{Pending: 1, Replies: []zaitest.Reply{tt.reply}})
				if _, err := client.Wait(t.Context(), task, tt.opts...); err != nil {
					t.Fatal(err)
				}
				requests := srv.Requests()
				if gap := requests[1].Time.Sub(requests[0].Time); gap < tt.least || gap > tt.most {
					t.Errorf("the second poll came after %v, want %v to %v", gap, tt.least, tt.most)
				}
			})
		})
	}
	t.Run("absurd", func(t *testing.T) {
		t.Parallel()
		waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
			task := waitAdd(srv, zaitest.TaskScript{Pending: zaitest.Forever, Replies: []zaitest.Reply{zaitest.WithHeader("Retry-After", strings.Repeat("9", 30), nil)}})
			_, err := client.Wait(t.Context(), task, api.MaxWait(time.Hour/2))
			if e := waitUnfinished(t, err); e.Polls != 1 || e.Elapsed != time.Hour/2 {
				t.Errorf("%v", e)
			}
		})
	})
}

// TestWaitContext: what a wait that is given up comes back with.
func TestWaitContext(t *testing.T) {
	t.Parallel()
	cause := errors.New("the worker is shut down")
	for _, tt := range []struct {
		name    string
		ctx     func(context.Context) (context.Context, context.CancelFunc)
		replies []zaitest.Reply
		opts    []api.WaitOption
		elapsed time.Duration
		polls   int
		raw     string // last status; empty when there was no answer
		is      []error
		says    string
	}{
		{
			name: "canceled between polls",
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				ctx, cancel := context.WithCancel(ctx)
				time.AfterFunc(2*time.Second, cancel)
				return ctx, cancel
			},
			elapsed: 2 * time.Second, polls: 1, raw: "pending", is: []error{context.Canceled},
		},
		{
			name:    "canceled with a cause between polls",
			ctx:     waitCancel(2*time.Second, cause),
			elapsed: 2 * time.Second, polls: 1, raw: "pending", is: []error{context.Canceled, cause}, says: cause.Error(),
		},
		{
			name:    "canceled with a cause that wraps context.Canceled",
			ctx:     waitCancel(2*time.Second, fmt.Errorf("%w: %w", cause, context.Canceled)),
			elapsed: 2 * time.Second, polls: 1, raw: "pending", is: []error{context.Canceled, cause}, says: cause.Error(),
		},
		{
			name:    "canceled with a cause during the first poll",
			ctx:     waitCancel(2*time.Second, cause),
			replies: []zaitest.Reply{zaitest.Hang()},
			elapsed: 2 * time.Second, polls: 1, is: []error{context.Canceled, cause},
		},
		{
			name:    "canceled with a cause during a body",
			ctx:     waitCancel(20*time.Second, cause),
			replies: []zaitest.Reply{nil, zaitest.StallBody(9)},
			elapsed: 20 * time.Second, polls: 2, raw: "pending", is: []error{context.Canceled, cause},
		},
		{
			name: "deadline between polls",
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeout(ctx, 3*time.Second)
			},
			elapsed: 3 * time.Second, polls: 1, raw: "pending", is: []error{context.DeadlineExceeded},
		},
		{
			name: "deadline with a cause during a poll",
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeoutCause(ctx, 10*time.Second, cause)
			},
			replies: []zaitest.Reply{nil, zaitest.Hang()},
			elapsed: 10 * time.Second, polls: 2, raw: "pending", is: []error{context.DeadlineExceeded, cause},
		},
		{
			name:    "MaxWait between polls",
			opts:    []api.WaitOption{api.MaxWait(3 * time.Second)},
			elapsed: 3 * time.Second, polls: 1, raw: "pending", is: []error{context.DeadlineExceeded}, says: "MaxWait",
		},
		{
			name:    "MaxWait during a poll",
			opts:    []api.WaitOption{api.MaxWait(9 * time.Second)},
			replies: []zaitest.Reply{nil, zaitest.Hang()},
			elapsed: 9 * time.Second, polls: 2, raw: "pending", is: []error{context.DeadlineExceeded}, says: "MaxWait",
		},
		{
			name:    "a cause before MaxWait",
			ctx:     waitCancel(2*time.Second, cause),
			opts:    []api.WaitOption{api.MaxWait(9 * time.Second)},
			elapsed: 2 * time.Second, polls: 1, raw: "pending", is: []error{context.Canceled, cause},
		},
		{
			name: "a deadline before MaxWait",
			ctx: func(ctx context.Context) (context.Context, context.CancelFunc) {
				return context.WithTimeoutCause(ctx, 2*time.Second, cause)
			},
			opts:    []api.WaitOption{api.MaxWait(math.MaxInt64)},
			elapsed: 2 * time.Second, polls: 1, raw: "pending", is: []error{context.DeadlineExceeded, cause},
		},
		{
			name:    "MaxWait before the next poll of a very long spacing",
			opts:    []api.WaitOption{api.MaxWait(1000 * time.Hour), api.Every(math.MaxInt64), api.MaxFailures(math.MaxInt)},
			elapsed: 1000 * time.Hour, polls: 1, raw: "pending", is: []error{context.DeadlineExceeded}, says: "MaxWait",
		},
		{
			name:    "after a failed poll, whose failure is not lost",
			ctx:     waitCancel(8*time.Second, cause),
			replies: []zaitest.Reply{nil, zaitest.ServerError("1234")},
			elapsed: 8 * time.Second, polls: 2, raw: "pending", is: []error{context.Canceled, cause, api.ErrServer}, says: "1234",
		},
		{
			name:    "during a poll after a failed one",
			ctx:     waitCancel(20*time.Second, cause),
			replies: []zaitest.Reply{zaitest.RateLimited("1302", ""), zaitest.Hang()},
			elapsed: 20 * time.Second, polls: 2, is: []error{context.Canceled, cause, api.ErrRateLimited}, says: "1302",
		},
		{
			name:    "ended before",
			ctx:     waitCancel(0, cause),
			elapsed: 0, polls: 0, is: []error{context.Canceled, cause},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				task := waitAdd(srv, zaitest.TaskScript{Pending: zaitest.Forever, Replies: tt.replies})
				ctx := t.Context()
				if tt.ctx != nil {
					var cancel context.CancelFunc
					ctx, cancel = tt.ctx(ctx)
					defer cancel()
				}
				var seen waitPolls
				start := time.Now()
				r, err := client.Wait(ctx, task, append(tt.opts, seen.option())...)
				e := waitUnfinished(t, err)
				if took := time.Since(start); took != tt.elapsed || e.Elapsed != took {
					t.Errorf("took %v, Elapsed %v, want %v", took, e.Elapsed, tt.elapsed)
				}
				if n := len(srv.Requests()); n != tt.polls || e.Polls != tt.polls || len(seen.polls) != tt.polls {
					t.Errorf("%d requests, Polls %d, %d calls of OnPoll, want %d", n, e.Polls, len(seen.polls), tt.polls)
				}
				if e.Task != task || e.Result != r || (r == nil) != (tt.raw == "") || r != nil && r.RawStatus != tt.raw {
					t.Errorf("task %v, Result %v, returned %v", e.Task, e.Result, r)
				}
				for _, target := range tt.is {
					if !errors.Is(err, target) {
						t.Errorf("not %q: %v", target, err)
					}
				}
				if tt.ctx != nil && !errors.Is(err, context.Cause(ctx)) {
					t.Errorf("not context.Cause: %v", err)
				}
				if !strings.Contains(err.Error(), tt.says) || strings.ContainsAny(err.Error(), "\n\r") {
					t.Errorf("the error is %q, want one line with %q", err, tt.says)
				}
				if len(seen.polls) > 0 && len(tt.replies) == tt.polls {
					// The last poll was cut, and its call of OnPoll says so.
					if last := seen.polls[tt.polls-1]; last.Err == nil || last.N != tt.polls || seen.results[tt.polls-1] != nil {
						t.Errorf("the last poll is %+v with %v", last, seen.results[tt.polls-1])
					}
				}
			})
		})
	}
}

// waitCancel makes contexts that are canceled after d.
func waitCancel(d time.Duration, cause error) func(context.Context) (context.Context, context.CancelFunc) {
	return func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancelCause(ctx)
		if d == 0 {
			cancel(cause)
		}
		time.AfterFunc(d, func() { cancel(cause) })
		return ctx, func() { cancel(nil) }
	}
}

// TestWaitEvery: the spacing is exact, from the answer to the next poll.
func TestWaitEvery(t *testing.T) {
	t.Parallel()
	waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
		slow := zaitest.Slow(300*time.Millisecond, nil)
		task := waitAdd(srv, zaitest.TaskScript{Pending: 40, Replies: slices.Repeat([]zaitest.Reply{slow}, 41)})
		if _, err := client.Wait(t.Context(), task, api.Every(1700*time.Millisecond)); err != nil {
			t.Fatal(err)
		}
		requests := srv.Requests()
		if len(requests) != 41 {
			t.Fatalf("%d requests, want 41", len(requests))
		}
		for i := range requests[1:] {
			if gap := requests[i+1].Time.Sub(requests[i].Time); gap != 2*time.Second {
				t.Fatalf("poll %d came %v after the one before, want 2 s", i+2, gap)
			}
		}
	})
	t.Run("failures", func(t *testing.T) {
		t.Parallel()
		waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
			task := waitAdd(srv, zaitest.TaskScript{Replies: slices.Repeat([]zaitest.Reply{zaitest.HTMLError(502)}, 9)})
			if _, err := client.Wait(t.Context(), task, api.Every(10*time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			// Ten polls within 100 ms would not outlast a gateway that restarts.
			requests := srv.Requests()
			for i := range requests[1:] {
				if gap := requests[i+1].Time.Sub(requests[i].Time); gap < 500*time.Millisecond || gap > 9*time.Second {
					t.Errorf("poll %d came %v after the failed one before", i+2, gap)
				}
			}
		})
	})
}

// TestWaitExpect: the first look is made at once, the next ones where the task is expected to
// end, and a task that takes much longer is polled less.
func TestWaitExpect(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		expect, takes  time.Duration
		late           time.Duration // at most
		polls          int           // at most
		secondNotUntil float64       // of what is expected
	}{
		{"as expected", time.Minute, time.Minute, 5 * time.Second, 6, 0.85},
		{"somewhat earlier", time.Minute, 55 * time.Second, 10 * time.Second, 3, 0.85},
		{"much earlier", time.Minute, 3 * time.Second, time.Minute, 2, 0.85},
		{"at once", time.Minute, 0, 0, 1, 0},
		{"later", time.Minute, 80 * time.Second, 4 * time.Second, 12, 0.85},
		{"much later", time.Minute, 10 * time.Minute, 14 * time.Second, 80, 0.85},
		{"a short task", 3 * time.Second, 3 * time.Second, 2 * time.Second, 4, 0.85},
		{"an instant", time.Millisecond, 10 * time.Second, 6 * time.Second, 7, 0},
		{"next to nothing", 10 * time.Nanosecond, 10 * time.Second, 6 * time.Second, 8, 0},
		{"a long task", 10 * time.Minute, 10 * time.Minute, 13 * time.Second, 8, 0.85},
		{"a year", 365 * 24 * time.Hour, time.Second, 375 * 24 * time.Hour, 3, 0.85},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				for range 10 {
					task := waitAdd(srv, zaitest.TaskScript{Duration: tt.takes})
					var seen waitPolls
					if _, err := client.Wait(t.Context(), task, api.Expect(tt.expect), seen.option()); err != nil {
						t.Fatal(err)
					}
					n := len(seen.polls)
					if took := seen.polls[n-1].Elapsed; took > tt.takes+tt.late || n > tt.polls {
						t.Errorf("%d polls, %v late, want at most %d, %v", n, took-tt.takes, tt.polls, tt.late)
					}
					if first := seen.polls[0]; first.Elapsed != 0 {
						t.Errorf("the first look came after %v", first.Elapsed)
					}
					if n > 1 && seen.polls[1].Elapsed.Seconds() < tt.secondNotUntil*tt.expect.Seconds() {
						t.Errorf("the second poll came after %v", seen.polls[1].Elapsed)
					}
				}
			})
		})
	}
}

// TestWaitExpectSlow: a first look that takes its time does not bring the next ones forward.
func TestWaitExpectSlow(t *testing.T) {
	t.Parallel()
	waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
		task := waitAdd(srv, zaitest.TaskScript{Duration: time.Minute, Replies: []zaitest.Reply{zaitest.Slow(20*time.Second, nil)}})
		var seen waitPolls
		if _, err := client.Wait(t.Context(), task, api.Expect(time.Minute), seen.option()); err != nil {
			t.Fatal(err)
		}
		if second := seen.polls[1].Elapsed; second < 54*time.Second || second > time.Minute {
			t.Errorf("the second poll came after %v", second)
		}
	})
}

// TestWaitOnPoll: the function is called after each poll, with what it came to.
func TestWaitOnPoll(t *testing.T) {
	t.Parallel()
	waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
		task := waitAdd(srv, zaitest.TaskScript{Pending: 2, Code: "1301", Message: "refused", Replies: []zaitest.Reply{
			nil, zaitest.Slow(200*time.Millisecond, zaitest.HTMLError(502)), nil, nil,
		}})
		start := time.Now()
		var seen waitPolls
		var at []time.Duration
		_, err := client.Wait(t.Context(), task, seen.option(), api.OnPoll(func(r *api.Result, p api.Poll) {
			at = append(at, time.Since(start))
			seen.polls, seen.results = append(seen.polls, p), append(seen.results, r)
		}))
		requests := srv.Requests()
		if len(seen.polls) != 4 || len(requests) != 4 {
			t.Fatalf("%d polls, %d requests, want 4", len(seen.polls), len(requests))
		}
		for i, p := range seen.polls {
			if p.N != i+1 || p.Task != task || p.Elapsed != at[i] {
				t.Errorf("poll %d: %+v at %v", i+1, p, at[i])
			}
			next := time.Duration(0)
			if i < 3 {
				next = requests[i+1].Time.Sub(start) - p.Elapsed
			}
			if p.Next != next {
				t.Errorf("poll %d says that the next comes in %v, and it came in %v", i+1, p.Next, next)
			}
			switch i {
			case 0, 2:
				if p.Err != nil || seen.results[i] == nil || seen.results[i].Status != api.StatusPending {
					t.Errorf("poll %d: %+v with %v", i+1, p, seen.results[i])
				}
			case 1:
				if !errors.Is(p.Err, api.ErrServer) || seen.results[i] != nil {
					t.Errorf("poll %d: %+v with %v", i+1, p, seen.results[i])
				}
			case 3:
				if failed, ok := errors.AsType[*api.TaskError](p.Err); !ok || !errors.Is(err, failed) || seen.results[i].Status != api.StatusFailed {
					t.Errorf("poll %d: %+v with %v, and Wait returned %v", i+1, p, seen.results[i], err)
				}
			}
		}
	})
}

// TestWaitEdit: the editors are applied to each poll, in order, and a failing one fails its
// poll.
func TestWaitEdit(t *testing.T) {
	t.Parallel()
	header := func(name, value string) api.RequestEditorFn {
		return func(_ context.Context, req *http.Request) error {
			req.Header.Set(name, value)
			return nil
		}
	}
	t.Run("each poll", func(t *testing.T) {
		t.Parallel()
		waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
			task := waitAdd(srv, zaitest.TaskScript{Pending: 3})
			_, err := client.Wait(t.Context(), task, api.Edit(header("X-One", "1"), header("X-Two", "1")), api.Edit(), api.Edit(header("X-Two", "2"), api.AcceptLanguage("zh")))
			if err != nil {
				t.Fatal(err)
			}
			for i, r := range srv.Requests() {
				if r.Header.Get("X-One") != "1" || r.Header.Get("X-Two") != "2" || r.Header.Get("Accept-Language") != "zh" {
					t.Errorf("poll %d: %v", i+1, r.Header)
				}
			}
		})
	})
	broken := errors.New("the token server is down")
	for _, tt := range []struct {
		name  string
		fails func(n int) error
		polls int
		want  error
	}{
		{"once", func(n int) error {
			if n == 2 {
				return broken
			}
			return nil
		}, 4, nil},
		{"always", func(int) error { return broken }, 5, broken},
		{"with a request that makes no sense", func(int) error { return fmt.Errorf("%w: %w", broken, api.ErrInvalidRequest) }, 1, api.ErrInvalidRequest},
	} {
		t.Run("fails "+tt.name, func(t *testing.T) {
			t.Parallel()
			waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				n := 0
				var seen waitPolls
				_, err := client.Wait(t.Context(), waitAdd(srv, zaitest.TaskScript{Pending: 2}), seen.option(), api.MaxFailures(5),
					api.Edit(func(context.Context, *http.Request) error { n++; return tt.fails(n) }))
				if !errors.Is(err, tt.want) || (err == nil) != (tt.want == nil) || n != tt.polls || len(seen.polls) != tt.polls {
					t.Errorf("error %v, editor called %d times, %d polls", err, n, len(seen.polls))
				}
				if _, ok := errors.AsType[*api.Error](err); err != nil && !ok {
					t.Errorf("the error is a %T", err)
				}
			})
		})
	}
}

// TestWaitInvalid: what makes no sense is refused before anything is sent, by every verb.
func TestWaitInvalid(t *testing.T) {
	t.Parallel()
	srv := zaitest.NewUnstartedServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL), api.WithHTTPClient(&http.Client{Transport: srv.Transport()}))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := api.NewClientWithResponses(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context()) // What is taken by mistake ends at once.
	cancel()
	option := func(name string, opts ...api.WaitOption) waitCall {
		return waitCall{name: name, client: client, ctx: ended, task: waitTask, opts: opts}
	}
	soon := []api.WaitOption{api.MaxWait(time.Second)}
	calls := []waitCall{
		option("Every 0", api.Every(0)),
		option("Every below 0", api.Every(-time.Second)),
		option("Expect 0", api.Expect(0)),
		option("Expect below 0", api.Expect(-1)),
		option("Expect more than a year", api.Expect(math.MaxInt64)),
		option("MaxWait 0", api.MaxWait(0)),
		option("MaxWait below 0", api.MaxWait(-time.Hour)),
		option("MaxFailures 0", api.MaxFailures(0)),
		option("MaxFailures below 0", api.MaxFailures(-1)),
		option("OnPoll nil", api.OnPoll(nil)),
		option("Edit nil", api.Edit(nil)),
		option("Edit with a nil", api.Edit(api.AcceptLanguage("zh"), nil)),
		option("InFlight 0", api.InFlight(0)),
		option("InFlight below 0", api.InFlight(-8)),
		option("Waiting 0", api.Waiting(0)),
		option("Waiting below 0", api.Waiting(-1)),
		option("Rate 0", api.Rate(0)),
		option("Rate below 0", api.Rate(-1)),
		option("Rate NaN", api.Rate(math.NaN())),
		option("Rate infinite", api.Rate(math.Inf(1))),
		option("Every and Expect", api.Every(time.Second), api.Expect(time.Minute)),
		option("Expect and Every", api.Expect(time.Minute), api.Every(time.Second)),
		option("nil option", api.Every(time.Second), nil),
		{name: "nil client", ctx: t.Context(), task: waitTask},
		{name: "empty client", client: &api.ClientWithResponses{}, ctx: t.Context(), task: waitTask},
		{name: "raw client", client: raw, ctx: t.Context(), task: waitTask},
		{name: "nil context", client: client, task: waitTask},
		{name: "empty task", client: client, ctx: t.Context(), opts: soon},
		{name: "task without an agent", client: client, ctx: t.Context(), task: api.Task{AsyncID: "a"}, opts: soon},
		{name: "task without an id", client: client, ctx: t.Context(), task: api.Task{AgentID: "a"}, opts: soon},
	}
	for _, tt := range calls {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := tt.client.Wait(tt.ctx, tt.task, tt.opts...)
			waitRefused(t, "Wait", r, err)
			if name, _, ok := strings.Cut(tt.name, " "); ok && len(tt.opts) == 1 && tt.ctx == ended && !strings.Contains(err.Error(), name+": the") && !strings.Contains(err.Error(), name+": a request editor") {
				t.Errorf("%v does not say what is wrong with %s", err, name)
			}
			n := 0
			for r, err := range tt.client.Watch(tt.ctx, tt.task, tt.opts...) {
				waitRefused(t, "Watch", r, err)
				n++
			}
			for task, o := range tt.client.WaitAll(tt.ctx, slices.Values([]api.Task{tt.task}), tt.opts...) {
				waitRefused(t, "WaitAll", o.Result, o.Err)
				if zero := tt.task == waitTask || tt.ctx == nil; task != tt.task && !zero || zero && task != (api.Task{}) {
					t.Errorf("WaitAll yields %v", task)
				}
				n++
			}
			if n != 2 {
				t.Errorf("Watch and WaitAll yield %d errors, want one each", n)
			}
		})
	}
	t.Run("nil sequence", func(t *testing.T) {
		t.Parallel()
		n := 0
		for task, o := range client.WaitAll(t.Context(), nil) {
			n++
			waitRefused(t, "WaitAll", o.Result, o.Err)
			if task != (api.Task{}) {
				t.Errorf("yields %v", task)
			}
		}
		if n != 1 {
			t.Errorf("yields %d times", n)
		}
	})
	t.Cleanup(func() {
		if n := len(srv.Requests()); n != 0 {
			t.Errorf("%d requests were sent", n)
		}
	})
}

type waitCall struct {
	name   string
	client *api.ClientWithResponses
	ctx    context.Context //nolint:containedctx // A case of a table.
	task   api.Task
	opts   []api.WaitOption
}

func waitRefused(t *testing.T, verb string, r *api.Result, err error) {
	t.Helper()
	e, ok := errors.AsType[*api.Error](err)
	if r != nil || !ok || !errors.Is(err, api.ErrInvalidRequest) || e.StatusCode != 0 || e.Op != sampleOp {
		t.Errorf("%s: Result %v, error %#v", verb, r, err)
	}
}

// TestWaitWithoutID: an agent that has no async ids is waited for by what BodyFields sends.
func TestWaitWithoutID(t *testing.T) {
	t.Parallel()
	waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
		srv.Enqueue(waitRaw(200, `{"status":"pending"}`), waitRaw(200, `{"status":"success","choices":[{"message":[{"content":[{"type":"text","text":"4"}]}]}]}`))
		task := api.Task{AgentID: "intelligent_education_solve_agent"}
		r, err := client.Wait(t.Context(), task, api.Edit(api.BodyFields(map[string]any{"trace_id": "t-1"})))
		if err != nil || r.Text() != "4" {
			t.Fatalf("Result %v, error %v", r, err)
		}
		for _, req := range srv.Requests() {
			if string(req.Body) != `{"agent_id":"intelligent_education_solve_agent","trace_id":"t-1"}` {
				t.Errorf("sent %s", req.Body)
			}
		}
	})
}

// TestWatch: every state is yielded as it comes, failed polls are not, and the last pair is
// what Wait returns.
func TestWatch(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		script zaitest.TaskScript
		opts   []api.WaitOption
		want   []string // status words; the error of the last
	}{
		{"success", zaitest.TaskScript{Pending: 2, Replies: []zaitest.Reply{nil, zaitest.HTMLError(502), nil}}, nil, []string{"pending", "pending", "success"}},
		{"failure", zaitest.TaskScript{Pending: 1, Code: "1301", Message: "no"}, nil, []string{"pending", "failed", "zai: task"}},
		{"refusal", zaitest.TaskScript{Pending: 1, Replies: []zaitest.Reply{nil, zaitest.HTMLError(401)}}, nil, []string{"pending", "pending", "zai: retrieveAgentResult: HTTP 401"}},
		{"refusal at once", zaitest.TaskScript{Replies: []zaitest.Reply{zaitest.HTMLError(401)}}, nil, []string{"none", "zai: retrieveAgentResult: HTTP 401"}},
		{"time-out", zaitest.TaskScript{Pending: 9}, []api.WaitOption{api.Every(time.Second), api.MaxWait(2500 * time.Millisecond)},
			[]string{"pending", "pending", "pending", "pending", "zai: waiting for task"}},
		{"no result", zaitest.TaskScript{NoResult: true}, nil, []string{"success", "zai: task"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				var got []string
				for r, err := range client.Watch(t.Context(), waitAdd(srv, tt.script), tt.opts...) {
					word := "none"
					if r != nil {
						word = string(r.Status)
					}
					if got = append(got, word); err != nil {
						got = append(got, err.Error())
					}
				}
				if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
					t.Errorf("yields %q, want %q", got, tt.want)
				}
			})
		})
	}
}

// TestWatchBreak: leaving the loop stops everything, and a sequence can be ranged over again.
func TestWatchBreak(t *testing.T) {
	t.Parallel()
	waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
		var seen waitPolls
		states := client.Watch(t.Context(), waitAdd(srv, zaitest.TaskScript{Pending: 6}), seen.option())
		for turn := 1; turn <= 2; turn++ {
			n := 0
			for r, err := range states {
				if err != nil || r.Status != api.StatusPending {
					t.Fatalf("Result %v, error %v", r, err)
				}
				if n++; n == 2 {
					break
				}
			}
			after := len(srv.Requests())
			waitIdle(t, time.Hour)
			if now := len(srv.Requests()); after != 2*turn || now != after {
				t.Errorf("turn %d: %d requests, and %d an hour later, want %d", turn, after, now, 2*turn)
			}
			if p := seen.polls[2*turn-1]; p.N != 2 || p.Elapsed > 10*time.Second {
				t.Errorf("turn %d: %+v, want a new count and a new clock", turn, p)
			}
		}
		var last *api.Result
		for r, err := range states {
			if last = r; err != nil {
				t.Fatal(err)
			}
		}
		if last.Status != api.StatusSuccess || len(srv.Requests()) != 7 {
			t.Errorf("%v after %d requests", last, len(srv.Requests()))
		}
	})
}

// TestWaitPanic: a panic of the caller's function or loop reaches the caller, and nothing goes on.
func TestWaitPanic(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string][]api.WaitOption{
		"in OnPoll":   {api.OnPoll(func(*api.Result, api.Poll) { panic("the caller's") })},
		"in the loop": {api.MaxWait(time.Hour)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
				task := waitAdd(srv, zaitest.TaskScript{Pending: zaitest.Forever})
				func() {
					defer func() {
						if p := recover(); p != "the caller's" {
							t.Errorf("panic %v", p)
						}
					}()
					for _, err := range client.Watch(t.Context(), task, opts...) {
						if err == nil {
							panic("the caller's")
						}
					}
				}()
				waitIdle(t, time.Hour)
				if n := len(srv.Requests()); n != 1 {
					t.Errorf("%d requests, want 1", n)
				}
			})
		})
	}
}

// waitIdle lets virtual time pass.
func waitIdle(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Error("the test is over")
	}
}

// TestWaitSecrets: neither a signed address nor the key shows in what a wait reports, in any
// format.
func TestWaitSecrets(t *testing.T) {
	t.Parallel()
	waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
		leak := `"message":"key ` + srv.APIKey + ` for ` + waitSigned + `"`
		pending := `{"status":"` + waitSigned + `","async_id":"task-1","choices":[{"message":[{"content":[{"type":"video_url","video_url":"` + waitSigned + `"}]}]}]}`
		var reports []any
		keep := func(r *api.Result, err error) {
			reports = append(reports, r, err, api.Outcome{Result: r, Err: err})
			if e, ok := errors.AsType[*api.WaitError](err); ok {
				reports = append(reports, *e, e)
			}
			for ; err != nil; err = errors.Unwrap(err) {
				reports = append(reports, err)
			}
		}
		for _, reply := range []zaitest.Reply{
			waitRaw(200, pending),
			zaitest.APIError(503, "1234", srv.APIKey+" "+waitSigned),
			waitRaw(200, `{"status":"failed",`+`"error":{"code":"1302",`+leak+`}}`),
			waitRaw(200, `{"status":"failed","async_id":"task-1",`+`"error":{"code":"1301",`+leak+`}}`),
			waitRaw(401, `{"error":{"code":"1001",`+leak+`}}`),
			zaitest.Raw(502, http.Header{"Content-Type": {"text/html"}, "X-Log-Id": {srv.APIKey}, "X-Where": {waitSigned}}, "<a href="+waitSigned+">"+srv.APIKey+"</a>"),
			zaitest.Raw(307, http.Header{"Location": {waitSigned + srv.APIKey}}, ""),
		} {
			task := waitAdd(srv, zaitest.TaskScript{Pending: zaitest.Forever, Replies: []zaitest.Reply{waitRaw(200, pending), reply, zaitest.Hang()}})
			var seen waitPolls
			keep(client.Wait(t.Context(), task, seen.option(), api.MaxWait(30*time.Second)))
			for i, p := range seen.polls {
				keep(seen.results[i], p.Err)
				reports = append(reports, p, &p)
			}
		}
		secrets := []string{srv.APIKey, "Signature", "c2lnbmVk"}
		for _, report := range reports {
			for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
				waitNoSecret(t, fmt.Sprintf(format, report), secrets)
			}
			switch report.(type) {
			case *api.Result, api.Outcome: // What the task came to is what they hold.
				continue
			}
			if text, err := json.Marshal(report); err == nil {
				waitNoSecret(t, string(text), secrets)
			}
		}
	})
}

func waitNoSecret(t *testing.T, text string, secrets []string) {
	t.Helper()
	for _, secret := range secrets {
		if strings.Contains(text, secret) {
			t.Errorf("%q shows in %s", secret, text)
		}
	}
}

// TestWaitErrorZero: a WaitError that a test of one's own makes up can be printed.
func TestWaitErrorZero(t *testing.T) {
	t.Parallel()
	for _, e := range []*api.WaitError{{}, {Err: io.EOF}, {Result: &api.Result{Status: api.StatusPending}}} {
		if text := e.Error(); !strings.HasPrefix(text, "zai: waiting for task /: ") {
			t.Errorf("%q", text)
		}
	}
	for _, err := range (*api.ClientWithResponses)(nil).Watch(t.Context(), waitTask) {
		if !errors.Is(err, api.ErrInvalidRequest) {
			t.Errorf("%v", err)
		}
	}
}

// TestExpectAfterAFailedLook: Expect pauses only after an answer that says that the task goes on.
func TestExpectAfterAFailedLook(t *testing.T) {
	t.Parallel()
	waitIn(t, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses) {
		task := waitAdd(srv, zaitest.TaskScript{})
		srv.Enqueue(zaitest.HTMLError(502))
		start := time.Now()
		_, err := client.Wait(t.Context(), task, api.Expect(time.Hour))
		if took := time.Since(start); err != nil || took > 15*time.Second {
			t.Errorf("%v after %v", err, took)
		}
	})
}
