package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

// optionsRefused checks an error of construction: its class, its text, and what it must not tell.
func optionsRefused(t *testing.T, err error, want string, secrets ...string) {
	t.Helper()
	var e *api.Error
	if !errors.Is(err, api.ErrInvalidRequest) || !errors.As(err, &e) || e.StatusCode != 0 || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want ErrInvalidRequest that says %q", err, want)
	}
	for _, secret := range secrets {
		if err != nil && strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), secret) {
			t.Errorf("%v tells %q", err, secret)
		}
	}
}

func TestNewRefusesBadKeys(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{
		"":                      "empty",
		"sekret.key\n":          "byte 11",
		"Bearer sekret.key":     "space",
		"sekret\x00key":         "control",
		"sekret\tkey":           "control",
		"sekretkey\x7f":         "byte 10 of 10",
		"sekretkéy":             "non-ASCII",
		strings.Repeat(" ", 40): "space",
	} {
		_, err := api.New(key)
		optionsRefused(t, err, want, "sekret")
		client, err := api.NewWithAuth(api.BearerAuth(key), api.WithHTTPClient(optionsNever(t)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Retrieve(t.Context(), retrieveTask)
		optionsRefused(t, err, want, "sekret")
	}
}

// optionsNever is a Doer that must not be asked.
func optionsNever(t *testing.T) api.HttpRequestDoer {
	return retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
		t.Errorf("%s %s was sent", req.Method, req.URL)
		return nil, errors.New("not to be sent")
	})
}

func TestNewChecksTheBaseURL(t *testing.T) {
	t.Parallel()
	for base, want := range map[string]string{
		"":                                 "absolute",
		"api.z.ai/api":                     "absolute",
		"/api":                             "absolute",
		"https://":                         "absolute",
		"https:api.z.ai":                   "absolute",
		"https://%80":                      "absolute",
		"ftp://api.z.ai":                   "absolute",
		"http://api.z.ai/api":              "loopback",
		"http://127.0.0.1.example.com/api": "loopback",
		"http://localhost.example.com/api": "loopback",
		"https://me:sekret@api.z.ai/api":   "user info",
		"https://me:sekret@api.z.ai:x/api": "port",
		"https://api.z.ai/api?k=sekret":    "query",
		"https://api.z.ai/api?":            "query",
		"https://api.z.ai/api#sekret":      "fragment",
		"https://api.z.ai/a/../api":        "path",
		"https://api.z.ai/api/./x":         "path",
		"https://api.z.ai//api":            "path",
		"https://api.z.ai/a%2Fb":           "path",
		"https://api.z.ai/a\x7fsekret":     "control character",
	} {
		_, err := api.New("id.secret", api.WithBaseURL(base))
		optionsRefused(t, err, want, "sekret")
	}
	for base, path := range map[string]string{
		"https://api.z.ai/api":                     "/api",
		"https://api.z.ai/api/":                    "/api",
		"https://api.z.ai/api//":                   "/api",
		"https://api.z.ai":                         "",
		"HTTPS://API.Z.AI/api":                     "/api",
		"https://api.z.ai/api/paas/v4":             "/api",
		"https://api.z.ai/api/paas/v4/":            "/api",
		"https://api.z.ai/api/coding/paas/v4":      "/api",
		"https://api.z.ai/api/coding/paas/v4/":     "/api",
		"https://api.z.ai/api/coding":              "/api/coding",
		"https://open.bigmodel.cn/api":             "/api",
		"http://127.0.0.1:8080/x":                  "/x",
		"http://[::1]:8080":                        "",
		"http://localhost:8080/api/coding/paas/v4": "/api",
		"http://127.8.9.10/api":                    "/api",
	} {
		var asked string
		client, err := api.New("id.secret", api.WithBaseURL(base), api.WithHTTPClient(retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
			asked = req.URL.Path
			return nil, errors.New("enough")
		})), api.WithMaxAttempts(1))
		if err != nil {
			t.Errorf("%s: %v", base, err)
			continue
		}
		if _, err := client.Retrieve(t.Context(), retrieveTask); err == nil || asked != path+"/v1/agents/async-result" {
			t.Errorf("%s: asked %q, %v", base, asked, err)
		}
	}
}

func TestNewRefusesBadOptions(t *testing.T) {
	t.Parallel()
	for name, opt := range map[string]api.ClientOption{
		"an option is nil":       nil,
		"editor is nil":          api.WithRequestEditorFn(nil),
		"HTTP client is nil":     api.WithHTTPClient(nil),
		"the HTTP client is nil": api.WithHTTPClient((*http.Client)(nil)),
		"client is nil":          api.WithHTTPClient(retrieveDoerFunc(nil)),
		"WithTimeout":            api.WithTimeout(0),
		"WithIdleTimeout":        api.WithIdleTimeout(-time.Second),
		"WithMaxBody":            api.WithMaxBody(0),
		"WithMaxAttempts":        api.WithMaxAttempts(-1),
		"lost":                   func(*api.Client) error { return errors.New("lost") },
	} {
		_, err := api.New("id.secret", opt)
		optionsRefused(t, err, name)
	}
	_, err := api.NewWithAuth(nil)
	optionsRefused(t, err, "auth editor is nil")
	if _, err := api.NewClientWithResponses(api.DefaultServer, api.WithTimeout(time.Second)); err == nil || !strings.Contains(err.Error(), "needs New") {
		t.Errorf("got %v", err)
	}
}

// TestWithLoggerLastWins: a nil logger takes an earlier one away.
func TestWithLoggerLastWins(t *testing.T) {
	t.Parallel()
	for _, last := range []bool{false, true} {
		var log strings.Builder
		opts := []api.ClientOption{api.WithLogger(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))), api.WithLogger(nil)}
		if last {
			slices.Reverse(opts)
		}
		client, err := api.New("id.secret", append(opts, api.WithMaxAttempts(1), api.WithHTTPClient(retrieveDoerFunc(func(*http.Request) (*http.Response, error) {
			return nil, errors.New("no network")
		})))...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Retrieve(t.Context(), retrieveTask); err == nil {
			t.Error("no error")
		}
		if logged := log.Len() > 0; logged != last {
			t.Errorf("the logger was last: %t; it logged: %t", last, logged)
		}
	}
}

// TestTheLargestValues: whoever wants no bound can say so.
func TestTheLargestValues(t *testing.T) {
	t.Parallel()
	srv := zaitest.NewServer()
	t.Cleanup(srv.Close)
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL), api.WithLogger(nil), api.WithTimeout(math.MaxInt64),
		api.WithIdleTimeout(math.MaxInt64), api.WithMaxBody(math.MaxInt64), api.WithMaxAttempts(math.MaxInt))
	if err != nil {
		t.Fatal(err)
	}
	task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: srv.AddTask(zaitest.TaskScript{})}
	srv.Enqueue(zaitest.CutBody(3))
	result, err := client.Retrieve(t.Context(), task)
	if err != nil {
		t.Fatal(err)
	}
	if raw, err := client.RetrieveAgentResultWithResponse(t.Context(), nil, task); err != nil || raw.JSON200 == nil {
		t.Errorf("%v, %v", raw, err)
	}
	if _, err := client.Download(t.Context(), result.VideoURLs()[0], io.Discard, api.MaxBytes(math.MaxInt64)); err != nil {
		t.Error(err)
	}
	if _, err := client.Wait(t.Context(), task, api.Every(math.MaxInt64), api.MaxWait(math.MaxInt64), api.MaxFailures(math.MaxInt)); err != nil {
		t.Error(err)
	}
}

// TestAcceptLanguageOfTheGeneratedMethods: the parameter goes out as it is, and not at all where it is absent.
func TestAcceptLanguageOfTheGeneratedMethods(t *testing.T) {
	t.Parallel()
	var sent []string
	client, err := api.New("id.secret", api.WithHTTPClient(retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
		sent = append(sent, req.Header.Values("Accept-Language")...)
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	})))
	if err != nil {
		t.Fatal(err)
	}
	language := "zh-CN,zh;q=0.9, *;q=0.1"
	for _, value := range []*string{&language, nil} {
		_, err1 := client.RetrieveAgentResultWithResponse(t.Context(), &api.RetrieveAgentResultParams{AcceptLanguage: value}, retrieveTask)
		_, err2 := client.GetAgentConversationWithResponse(t.Context(), &api.GetAgentConversationParams{AcceptLanguage: value}, api.ConversationRequest{})
		_, err3 := client.InvokeAgentWithResponse(t.Context(), &api.InvokeAgentParams{AcceptLanguage: value}, api.NewSlidesRequest("Go"))
		if err := errors.Join(err1, err2, err3); err != nil {
			t.Error(err)
		}
	}
	if want := []string{language, language, language}; !slices.Equal(sent, want) {
		t.Errorf("sent %q, want %q", sent, want)
	}
}

// TestOptionsInEveryOrder: all permutations of the options make the same client.
func TestOptionsInEveryOrder(t *testing.T) {
	t.Parallel()
	var requests int
	var header http.Header
	doer := retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
		requests++
		header = req.Header
		if req.URL.Host != "127.0.0.1:9" || req.Context().Done() == nil {
			return nil, errors.New("the wrong place, or no limit of time")
		}
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
	})
	opts := []api.ClientOption{
		api.WithBaseURL("http://127.0.0.1:9/api"), api.WithHTTPClient(doer), api.WithTimeout(time.Minute),
		api.WithMaxAttempts(1), api.WithMaxBody(10), api.WithRequestEditorFn(api.AcceptLanguage("zh")),
	}
	permutations := 0
	var permute func(int)
	permute = func(k int) {
		if k < len(opts) {
			for i := k; i < len(opts); i++ {
				opts[k], opts[i] = opts[i], opts[k]
				permute(k + 1)
				opts[k], opts[i] = opts[i], opts[k]
			}
			return
		}
		permutations++
		requests = 0
		client, err := api.New("id.secret", slices.Clone(opts)...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Retrieve(t.Context(), retrieveTask); !errors.Is(err, api.ErrMalformed) || requests != 1 ||
			header.Get("Accept-Language") != "zh" || header.Get("Authorization") != "Bearer id.secret" {
			t.Fatalf("permutation %d: %v, %d requests, %v", permutations, err, requests, header)
		}
	}
	permute(0)
	if permutations != 720 {
		t.Errorf("%d permutations", permutations)
	}
}

// optionsWrap is a Doer around another.
type optionsWrap struct {
	next  api.HttpRequestDoer
	calls *[]string
	name  string
}

func (w optionsWrap) Do(req *http.Request) (*http.Response, error) {
	*w.calls = append(*w.calls, w.name)
	return w.next.Do(req)
}

// TestOptionsAroundTheDoer: an option finds the Doer of the options before it, and may send through it,
// and what the client holds still holds: its time-out, its user agent, no redirect.
func TestOptionsAroundTheDoer(t *testing.T) {
	t.Parallel()
	var calls []string
	around := func(name string) api.ClientOption {
		return func(c *api.Client) error {
			c.Client = optionsWrap{c.Client, &calls, name}
			return nil
		}
	}
	var paths []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if paths = append(paths, r.URL.Path); !strings.HasPrefix(r.UserAgent(), "zai-go/") {
			t.Errorf("sent by %s", r.UserAgent())
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	defer srv.Close()
	for name, opts := range map[string][]api.ClientOption{
		"own transport": {around("inner"), api.WithTimeout(time.Minute), around("outer")},
		"http.Client":   {api.WithHTTPClient(srv.Client()), around("inner"), around("outer"), api.WithMaxAttempts(1)},
	} {
		calls, paths = nil, nil
		client, err := api.New("id.secret", append(opts, api.WithBaseURL(srv.URL))...)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Retrieve(t.Context(), retrieveTask)
		if e, ok := errors.AsType[*api.Error](err); !ok || e.StatusCode != http.StatusTemporaryRedirect || !slices.Equal(calls, []string{"outer", "inner"}) || len(paths) != 1 {
			t.Errorf("%s: %v by %v to %v", name, err, calls, paths)
		}
	}
	_, err := api.New("id.secret", func(c *api.Client) error { c.Client = nil; return nil })
	optionsRefused(t, err, "the HTTP client is nil")
}

func TestNewFromEnv(t *testing.T) {
	srv := zaitest.NewServer()
	defer srv.Close()
	other := zaitest.NewServer()
	defer other.Close()
	t.Setenv("ZAI_API_KEY", "")
	_, err := api.NewFromEnv()
	optionsRefused(t, err, "ZAI_API_KEY")
	t.Setenv("ZAI_API_KEY", srv.APIKey)
	t.Setenv("ZAI_BASE_URL", "")
	if _, err := api.NewFromEnv(); err != nil {
		t.Error(err)
	}
	t.Setenv("ZAI_BASE_URL", "http://sekret@example.com")
	_, err = api.NewFromEnv()
	optionsRefused(t, err, "user info", "sekret")
	t.Setenv("ZAI_BASE_URL", srv.URL+"/coding/paas/v4/")
	for want, opts := range map[*zaitest.Server][]api.ClientOption{srv: nil, other: {api.WithBaseURL(other.URL)}} {
		client, err := api.NewFromEnv(opts...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Retrieve(t.Context(), retrieveTask); err != nil || len(want.Requests()) != 1 {
			t.Errorf("%v, %d requests", err, len(want.Requests()))
		}
	}
}

// TestRetrieveRefusesBeforeSending: bad input is refused with nothing sent.
func TestRetrieveRefusesBeforeSending(t *testing.T) {
	t.Parallel()
	client, err := api.New("id.secret", api.WithHTTPClient(optionsNever(t)))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := api.NewClientWithResponses(api.DefaultServer, api.WithHTTPClient(optionsNever(t)))
	if err != nil {
		t.Fatal(err)
	}
	retrieve := func(c *api.ClientWithResponses, ctx context.Context, task api.Task, editors ...api.RequestEditorFn) error {
		_, err := c.Retrieve(ctx, task, editors...)
		return err
	}
	ctx := t.Context()
	noID := api.Task{AgentID: "a"}
	optionsRefused(t, retrieve(client, ctx, api.Task{AsyncID: "x"}), "agent id is empty")
	optionsRefused(t, retrieve(client, ctx, noID), "async id is empty")
	optionsRefused(t, retrieve(client, ctx, noID, api.AcceptLanguage("zh")), "async id is empty")
	optionsRefused(t, retrieve(client, ctx, noID, api.BodyFields(nil)), "async id is empty")
	optionsRefused(t, retrieve(client, ctx, noID, api.BodyFields(map[string]any{"custom_variables": nil})), "async id is empty")
	optionsRefused(t, retrieve(client, ctx, noID, api.BodyFields(map[string]any{"async_id": ""})), "async id is empty")
	optionsRefused(t, retrieve(client, ctx, api.Task{AgentID: "a", AsyncID: "b\xff"}), "not UTF-8")
	optionsRefused(t, retrieve(client, ctx, api.Task{AgentID: "a\xff", AsyncID: "b"}), "not UTF-8")
	optionsRefused(t, retrieve(client, nil, retrieveTask), "context is nil")
	optionsRefused(t, retrieve(client, ctx, retrieveTask, func(_ context.Context, req *http.Request) error {
		req.URL = nil
		return nil
	}), "changed the origin")
	optionsRefused(t, retrieve(client, ctx, retrieveTask, func(_ context.Context, req *http.Request) error {
		req.Header = nil
		return nil
	}), "header")
	optionsRefused(t, retrieve(client, ctx, retrieveTask, nil), "editor is nil")
	optionsRefused(t, retrieve(client, ctx, retrieveTask, api.AcceptLanguage("")), "empty")
	optionsRefused(t, retrieve(client, ctx, retrieveTask, api.AcceptLanguage("de\r\nX-Evil: 1")), "control")
	optionsRefused(t, retrieve(client, ctx, retrieveTask, api.BodyFields(map[string]any{"f": make(chan int)})), "BodyFields")
	optionsRefused(t, retrieve(client, ctx, retrieveTask, func(_ context.Context, req *http.Request) error {
		req.GetBody, req.Body = nil, nil
		return nil
	}, api.BodyFields(map[string]any{"f": 1})), "no JSON body")
	optionsRefused(t, retrieve(nil, ctx, retrieveTask), "client is nil")
	optionsRefused(t, retrieve(&api.ClientWithResponses{}, ctx, retrieveTask), "not made by New")
	optionsRefused(t, retrieve(&api.ClientWithResponses{ClientInterface: (*api.Client)(nil)}, ctx, retrieveTask), "not made by New")
	optionsRefused(t, retrieve(raw, ctx, retrieveTask), "not made by New")

	lost := errors.New("the vault is sealed")
	broken, err := api.NewWithAuth(api.BearerAuthFunc(func(context.Context) (string, error) { return "", lost }), api.WithHTTPClient(optionsNever(t)))
	if err != nil {
		t.Fatal(err)
	}
	if err := retrieve(broken, ctx, retrieveTask); !errors.Is(err, lost) || errors.Is(err, api.ErrInvalidRequest) {
		t.Errorf("got %v", err)
	}
	unset, err := api.NewWithAuth(api.BearerAuthFunc(nil), api.WithHTTPClient(optionsNever(t)))
	if err != nil {
		t.Fatal(err)
	}
	optionsRefused(t, retrieve(unset, ctx, retrieveTask), "source of the API key is nil")
}

// TestBodyFields: fields of the client and of the call are added, and the last word counts.
func TestBodyFields(t *testing.T) {
	t.Parallel()
	srv := zaitest.NewServer()
	t.Cleanup(srv.Close)
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL), api.WithRequestEditorFn(api.BodyFields(map[string]any{"user_id": "u-1", "n": 1})))
	if err != nil {
		t.Fatal(err)
	}
	task := api.Task{AgentID: "a", AsyncID: "b"}
	srv.Enqueue(zaitest.ServerError("1234")) // The second attempt carries the same body.
	if _, err := client.Retrieve(t.Context(), task, api.BodyFields(map[string]any{"n": 2, "deep": map[string]any{"x": []int{1}}})); err != nil {
		t.Fatal(err)
	}
	const want = `{"agent_id":"a","async_id":"b","deep":{"x":[1]},"n":2,"user_id":"u-1"}`
	for _, req := range srv.Requests() {
		if string(req.Body) != want {
			t.Errorf("sent %s, want %s", req.Body, want)
		}
	}
	if len(srv.Requests()) != 2 {
		t.Errorf("%d requests", len(srv.Requests()))
	}
}

// TestBearerAuthFuncIsAskedForEachAttempt: keys rotate between the attempts of a call.
func TestBearerAuthFuncIsAskedForEachAttempt(t *testing.T) {
	t.Parallel()
	var keys []string
	asked := 0
	type contextKey struct{}
	client, err := api.NewWithAuth(api.BearerAuthFunc(func(ctx context.Context) (string, error) {
		asked++
		return fmt.Sprint(ctx.Value(contextKey{}), asked), nil
	}), api.WithHTTPClient(retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
		keys = append(keys, req.Header.Get("Authorization"))
		return &http.Response{StatusCode: http.StatusInternalServerError, Body: http.NoBody}, nil
	})))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Retrieve(context.WithValue(t.Context(), contextKey{}, "key-"), retrieveTask)
	if !errors.Is(err, api.ErrServer) || !slices.Equal(keys, []string{"Bearer key-1", "Bearer key-2", "Bearer key-3"}) {
		t.Errorf("%v, %v", keys, err)
	}
}

// TestADoerThatGivesNothing: a Doer that breaks its contract is an error and no panic.
func TestADoerThatGivesNothing(t *testing.T) {
	t.Parallel()
	for _, resp := range []*http.Response{nil, {StatusCode: 200}} {
		client, err := api.New("id.secret", api.WithMaxAttempts(1), api.WithHTTPClient(retrieveDoerFunc(func(*http.Request) (*http.Response, error) { return resp, nil })))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := client.Retrieve(t.Context(), retrieveTask); err == nil || !strings.Contains(err.Error(), "no answer") {
			t.Errorf("got %v", err)
		}
	}
	client, err := api.New("id.secret", api.WithHTTPClient(retrieveDoerFunc(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: &http.Request{}}, nil
	})))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Retrieve(t.Context(), retrieveTask)
	_, err2 := client.Download(t.Context(), "https://example.com/a.mp4", io.Discard)
	for _, err := range []error{err, err2} {
		if err == nil || !strings.Contains(err.Error(), "followed a redirect") {
			t.Errorf("got %v", err)
		}
	}
}
