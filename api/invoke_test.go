package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/legacy"

	"example.com/zai"
	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

// invokeStand returns a stand-in server on the loopback interface, and a client of it.
func invokeStand(t *testing.T, opts ...api.ClientOption) (*zaitest.Server, *api.ClientWithResponses) {
	t.Helper()
	srv := zaitest.NewServer()
	t.Cleanup(srv.Close)
	client, err := api.New(srv.APIKey, append([]api.ClientOption{api.WithBaseURL(srv.URL), api.WithHTTPClient(&http.Client{Transport: &http.Transport{}})}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	return srv, client
}

// TestVerbsOnTheWire: the requests are what the published description asks for, byte by byte, and
// nothing else.
func TestVerbsOnTheWire(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(zai.Spec())
	if err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	srv, client := invokeStand(t)
	deck := srv.AddConversation(zaitest.TaskScript{})
	invoke := func(request api.AgentRequest) func(context.Context, ...api.RequestEditorFn) error {
		return func(ctx context.Context, editors ...api.RequestEditorFn) error {
			_, err := client.Invoke(ctx, request, editors...)
			return err
		}
	}
	submit := func(request api.AgentRequest) func(context.Context, ...api.RequestEditorFn) error {
		return func(ctx context.Context, editors ...api.RequestEditorFn) error {
			_, err := client.Submit(ctx, request, editors...)
			return err
		}
	}
	stream := func(request api.AgentRequest) func(context.Context, ...api.RequestEditorFn) error {
		return func(ctx context.Context, editors ...api.RequestEditorFn) error {
			for _, err := range client.Stream(ctx, request, editors...) {
				if err != nil {
					return err
				}
			}
			return nil
		}
	}
	conversation := func(request api.ConversationRequest) func(context.Context, ...api.RequestEditorFn) error {
		return func(ctx context.Context, editors ...api.RequestEditorFn) error {
			_, err := client.Conversation(ctx, request, editors...)
			return err
		}
	}
	const agents, decks = "/v1/agents", "/v1/agents/conversation"
	const hi = `"messages":[{"content":[{"text":"hi","type":"text"}],"role":"user"}]`
	const effect = `"custom_variables":{"template":"sexy_me"},"messages":[{"content":[{"image_url":"https://a.example/b.jpg","type":"image_url"}],"role":"user"}]`
	slides := api.NewSlidesRequest("hi")
	slides.RequestID = "mine"
	video := api.NewVideoRequest(api.TemplateSexyMe, "https://a.example/b.jpg", "")
	mine := video
	mine.RequestID = "mine-2"
	translation := api.NewTranslationRequest("hi", api.LanguageFrench)
	custom := api.CustomRequest{AgentID: "solve", Messages: []api.RequestMessage{{Content: []api.RequestPart{{Type: api.PartText, Text: "hi"}}}}}
	for _, test := range []struct {
		name    string
		call    func(context.Context, ...api.RequestEditorFn) error
		editors []api.RequestEditorFn
		path    string
		body    string            // $ID is a request id that the client makes up
		header  map[string]string // beside the usual
		foreign bool              // not described
	}{
		{name: "translation", call: invoke(translation), path: agents, body: `{"agent_id":"general_translation","custom_variables":{"target_lang":"fr"},` + hi + `}`},
		{name: "nothing set", call: invoke(api.NewTranslationRequest("hi", "")), path: agents, body: `{"agent_id":"general_translation",` + hi + `}`},
		{name: "a pointer", call: invoke(&translation), path: agents, body: `{"agent_id":"general_translation","custom_variables":{"target_lang":"fr"},` + hi + `}`},
		{name: "translation, streamed", call: stream(translation), path: agents, body: `{"agent_id":"general_translation","custom_variables":{"target_lang":"fr"},` + hi + `,"stream":true}`},
		{name: "video", call: submit(video), path: agents, body: `{"agent_id":"vidu_template_agent",` + effect + `,"request_id":"$ID"}`},
		{name: "video again", call: submit(video), path: agents, body: `{"agent_id":"vidu_template_agent",` + effect + `,"request_id":"$ID"}`},
		{name: "video, my id", call: submit(&mine), path: agents, body: `{"agent_id":"vidu_template_agent",` + effect + `,"request_id":"mine-2"}`},
		{name: "video, invoked", call: invoke(video), path: agents, body: `{"agent_id":"vidu_template_agent",` + effect + `,"request_id":"$ID"}`},
		{name: "slides", call: invoke(api.NewSlidesRequest("hi")), path: agents, body: `{"agent_id":"slides_glm_agent",` + hi + `,"request_id":"$ID"}`},
		{name: "slides, my id", call: invoke(slides), path: agents, body: `{"agent_id":"slides_glm_agent",` + hi + `,"request_id":"mine"}`},
		{name: "slides, streamed", call: stream(api.NewSlidesRequest("hi")), path: agents, body: `{"agent_id":"slides_glm_agent",` + hi + `,"request_id":"$ID","stream":true}`},
		{name: "custom", call: invoke(custom), path: agents, body: `{"agent_id":"solve",` + hi + `}`, foreign: true},
		{name: "custom, streamed", call: stream(custom), path: agents, body: `{"agent_id":"solve",` + hi + `,"stream":true}`, foreign: true},
		{
			name: "with editors", call: submit(video), path: agents,
			editors: []api.RequestEditorFn{
				api.AcceptLanguage("zh"), api.BodyFields(map[string]any{"request_id": "edited", "user_id": "u"}),
				func(_ context.Context, req *http.Request) error {
					req.Header.Set("User-Agent", "mine/1")
					req.Header.Set("Accept", "text/event-stream")
					return nil
				},
			},
			body:    `{"agent_id":"vidu_template_agent",` + effect + `,"request_id":"edited","user_id":"u"}`,
			header:  map[string]string{"Accept-Language": "zh", "User-Agent": "mine/1", "Accept": "text/event-stream"},
			foreign: true,
		},
		{name: "conversation", call: conversation(api.ConversationRequest{ConversationID: deck}), path: decks, body: `{"agent_id":"slides_glm_agent","conversation_id":"` + deck + `"}`},
		{
			name: "conversation with pages", path: decks,
			call: conversation(api.ConversationRequest{AgentID: api.AgentSlidesGLM, ConversationID: deck, CustomVariables: api.ConversationOptions{
				IncludePDF: true, Pages: []api.PageExport{{Position: 2, Width: 960, Height: 540.5}, {Position: 1}},
			}}),
			body: `{"agent_id":"slides_glm_agent","conversation_id":"` + deck + `","custom_variables":{"include_pdf":true,"pages":[{"height":540.5,"position":2,"width":960},{"position":1}]}}`,
		},
	} {
		before := len(srv.Requests())
		if err := test.call(t.Context(), test.editors...); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		requests := srv.Requests()[before:]
		if len(requests) != 1 {
			t.Fatalf("%s: %d requests", test.name, len(requests))
		}
		r := requests[0]
		if r.Method != http.MethodPost || r.Path != "/api"+test.path || r.Query != "" {
			t.Errorf("%s: %s %s?%s", test.name, r.Method, r.Path, r.Query)
		}
		var sent struct {
			RequestID string `json:"request_id"`
		}
		if err := json.Unmarshal(r.Body, &sent); err != nil {
			t.Fatal(err)
		}
		if want := strings.ReplaceAll(test.body, "$ID", sent.RequestID); string(r.Body) != want || strings.Contains(test.body, "$ID") && len(sent.RequestID) < 16 {
			t.Errorf("%s:\n sent %s\n want %s", test.name, r.Body, want)
		}
		want := map[string]string{
			"Authorization": "Bearer " + srv.APIKey, "Content-Type": "application/json", "Accept-Language": "en-US,en",
			"Content-Length": fmt.Sprint(len(r.Body)), "Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "zai-go/",
		}
		if test.path == decks {
			delete(want, "Accept")
			want["Accept-Encoding"] = "gzip"
		}
		for name, value := range test.header {
			want[name] = value
		}
		for name, values := range r.Header {
			got := strings.Join(values, "|")
			if w, ok := want[name]; !ok || got != w && (name != "User-Agent" || !strings.HasPrefix(got, w)) {
				t.Errorf("%s: %s is %q, want %q", test.name, name, got, w)
			}
			delete(want, name)
		}
		if len(want) > 0 {
			t.Errorf("%s: not sent: %v", test.name, want)
		}
		if test.foreign {
			continue
		}
		req := httptest.NewRequestWithContext(t.Context(), r.Method, api.DefaultServer+test.path, strings.NewReader(string(r.Body)))
		req.Header = r.Header
		route, params, err := router.FindRoute(req)
		if err != nil {
			t.Fatal(err)
		}
		if err := openapi3filter.ValidateRequest(t.Context(), &openapi3filter.RequestValidationInput{
			Request: req, PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
		}); err != nil {
			t.Errorf("%s: not as described: %v", test.name, err)
		}
	}
}

// TestRequestIDs: made up for each call, also for the same request used by many at once.
func TestRequestIDs(t *testing.T) {
	t.Parallel()
	srv, client := invokeStand(t)
	request := api.NewVideoRequest(api.TemplateSexyMe, "https://a.example/b.jpg", "")
	tasks := make([]api.Task, 32)
	var group sync.WaitGroup
	for i := range tasks {
		group.Go(func() {
			var err error
			if tasks[i], err = client.Submit(t.Context(), &request); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	seen, known := map[string]bool{}, map[api.Task]bool{}
	for _, run := range srv.Runs() {
		seen[run.RequestID] = true
		known[api.Task{AgentID: api.AgentID(run.AgentID), AsyncID: run.AsyncID}] = true
	}
	if len(seen) != len(tasks) || seen[""] || request.RequestID != "" {
		t.Errorf("%d ids for %d requests: %v", len(seen), len(tasks), seen)
	}
	for _, task := range tasks {
		if !known[task] {
			t.Errorf("the server knows nothing of %v", task)
		}
	}
}

// TestVerbsRefuseBeforeSending: nothing that cannot work is sent.
func TestVerbsRefuseBeforeSending(t *testing.T) {
	t.Parallel()
	client, err := api.New(sampleKey, api.WithHTTPClient(optionsNever(t)))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := api.NewClientWithResponses(api.DefaultServer, api.WithHTTPClient(optionsNever(t)))
	if err != nil {
		t.Fatal(err)
	}
	good := api.NewTranslationRequest("hi", "")
	at := func(pictures ...string) api.AgentRequest {
		r := api.NewVideoRequest(api.TemplateSexyMe, "", "hi")
		r.Messages[0].Content = r.Messages[0].Content[:1]
		for _, p := range pictures {
			r.Messages[0].Content = append(r.Messages[0].Content, api.RequestPart{Type: api.PartImageURL, ImageURL: p})
		}
		return r
	}
	text := []api.RequestMessage{{Content: []api.RequestPart{{Type: api.PartText, Text: "hi"}}}}
	const ok = "https://a.example/b.jpg?Signature=sekret"
	for verb, call := range map[string]func(context.Context, *api.ClientWithResponses, api.AgentRequest, ...api.RequestEditorFn) error{
		"Invoke": func(ctx context.Context, c *api.ClientWithResponses, request api.AgentRequest, editors ...api.RequestEditorFn) error {
			return createResult(c.Invoke(ctx, request, editors...))
		},
		"Submit": func(ctx context.Context, c *api.ClientWithResponses, request api.AgentRequest, editors ...api.RequestEditorFn) error {
			_, err := c.Submit(ctx, request, editors...)
			return err
		},
		"Stream": func(ctx context.Context, c *api.ClientWithResponses, request api.AgentRequest, editors ...api.RequestEditorFn) error {
			for _, err := range c.Stream(ctx, request, editors...) {
				return err
			}
			return nil
		},
	} {
		for want, request := range map[string]api.AgentRequest{
			"request is nil":              nil,
			"the request is nil":          (*api.VideoRequest)(nil),
			"invokeAgent: invalid":        (*api.CustomRequest)(nil),
			"no message":                  api.TranslationRequest{},
			"no text to translate":        api.NewTranslationRequest(" ", api.LanguageFrench),
			"agent id is empty":           api.CustomRequest{Messages: text},
			"there is no message":         api.CustomRequest{AgentID: "a"},
			"unsupported type: chan int":  api.CustomRequest{AgentID: "a", Messages: text, CustomVariables: map[string]any{"c": make(chan int)}},
			"unsupported value: NaN":      api.CustomRequest{AgentID: "a", Messages: text, CustomVariables: map[string]any{"c": math.NaN()}},
			"exactly one picture, not 0":  at(),
			"exactly one picture, not 2":  at(ok, ok),
			"not an absolute http":        at("/b.jpg?Signature=sekret"),
			"an absolute http or https":   at("//a.example/b.jpg?Signature=sekret"),
			"address of the picture":      at("data:image/png;base64,c2VrcmV0"),
			"takes a template":            api.NewVideoRequest("", ok, ""),
			"this is a request for vidu_": api.VideoRequest{AgentID: api.AgentSlidesGLM, Messages: text},
		} {
			err := call(t.Context(), client, request)
			optionsRefused(t, err, want, "sekret")
			if errors.Is(err, api.ErrUnknownOutcome) {
				t.Errorf("%s: %v", verb, err)
			}
		}
		optionsRefused(t, call(nil, client, good), "context is nil")
		optionsRefused(t, call(t.Context(), client, good, nil), "editor is nil")
		optionsRefused(t, call(t.Context(), nil, good), "client is nil")
		optionsRefused(t, call(t.Context(), &api.ClientWithResponses{}, good), "not made by New")
		optionsRefused(t, call(t.Context(), raw, good), "not made by New")
	}
	conversation := func(c *api.ClientWithResponses, ctx context.Context, request api.ConversationRequest, editors ...api.RequestEditorFn) error {
		return createResult(c.Conversation(ctx, request, editors...))
	}
	deck := api.ConversationRequest{ConversationID: "c"}
	optionsRefused(t, conversation(client, t.Context(), api.ConversationRequest{}), "conversation id is empty")
	optionsRefused(t, conversation(client, nil, deck), "context is nil")
	optionsRefused(t, conversation(client, t.Context(), deck, nil), "editor is nil")
	optionsRefused(t, conversation(nil, t.Context(), deck), "client is nil")
	optionsRefused(t, conversation(raw, t.Context(), deck), "not made by New")
	deck.CustomVariables.Pages = []api.PageExport{{Position: 1, Width: math.Inf(1)}}
	optionsRefused(t, conversation(client, t.Context(), deck), "unsupported value")
}

// TestInvoke: what the agents answer, at once and as a stream that nobody asked for.
func TestInvoke(t *testing.T) {
	t.Parallel()
	for _, shape := range append([]zaitest.Shape{""}, zaitest.ShapeMessages, zaitest.ShapeMessageObject, zaitest.ShapeContentString, zaitest.ShapeData, zaitest.ShapePlainText, zaitest.ShapeStatusOnly) {
		srv, client := invokeStand(t)
		srv.EnqueueTasks(zaitest.TaskScript{Shape: shape})
		r, err := client.Invoke(t.Context(), api.NewTranslationRequest("Hello", api.LanguageFrench))
		if err != nil || r.Status != api.StatusSuccess || r.Text() != "[fr] Hello" || r.AgentID != api.AgentGeneralTranslation || r.StatusCode != http.StatusOK || r.RequestID == "" {
			t.Errorf("%s: got %v, %v", shape, r, err)
		}
	}
	srv, client := invokeStand(t)
	r, err := client.Invoke(t.Context(), api.NewSlidesRequest("Tides"))
	if err != nil || r.Status != api.StatusSuccess || r.Text() == "" || r.ConversationID != srv.Runs()[0].ConversationID || r.AgentID != api.AgentSlidesGLM || r.FinishReason() != api.FinishStop || len(r.ToolCalls()) == 0 || r.StatusCode != http.StatusOK {
		t.Errorf("got %v, %v", r, err)
	}
	srv.EnqueueTasks(zaitest.TaskScript{FinishReason: "length"})
	if r, err := client.Invoke(t.Context(), api.NewTranslationRequest("Hello", "")); err != nil || !r.FinishReason().Abnormal() {
		t.Errorf("an abnormal finish: got %v, %v", r, err)
	}
	// What a stream said before it failed is kept.
	srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Events: []zaitest.Event{{Text: "so far", Phase: "answer"}, {Code: "1301", Message: "unsafe"}}}})
	r, err = client.Invoke(t.Context(), api.NewSlidesRequest("Tides"))
	if e, ok := errors.AsType[*api.TaskError](err); !ok || r != nil || !errors.Is(err, api.ErrContentBlocked) || e.Result.Text() != "so far" || errors.Is(err, api.ErrUnknownOutcome) {
		t.Errorf("got %v, %v", r, err)
	}
	// A stream within the bound of each event can be too large to fold.
	many := slices.Repeat([]zaitest.Event{{Text: strings.Repeat("x", 500), Phase: "answer"}}, 10)
	srv, client = invokeStand(t, api.WithMaxBody(2000))
	srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Events: append(many, zaitest.Event{FinishReason: "stop"})}})
	r, err = client.Invoke(t.Context(), api.NewSlidesRequest("Tides"))
	if e, ok := errors.AsType[*api.Error](err); !ok || r != nil || !errors.Is(err, api.ErrBodyTooLarge) || !errors.Is(err, api.ErrUnknownOutcome) || e.ConversationID == "" || e.CallerRequestID != srv.Runs()[0].RequestID {
		t.Errorf("got %v, %v", r, err)
	}
}

// TestSubmit: a task is what is accepted and not finished, and anything else is ErrNoTask beside the
// answer, or a failure.
func TestSubmit(t *testing.T) {
	t.Parallel()
	video := api.NewVideoRequest(api.TemplateSexyMe, "https://a.example/b.jpg", "")
	for name, test := range map[string]struct {
		request api.AgentRequest
		body    string
		task    string // the async id
		status  api.Status
		class   error
	}{
		"pending":            {body: `{"status":"pending","agent_id":"vidu_template_agent","async_id":"a+/=="}`, task: "a+/=="},
		"no agent":           {body: `{"status":"pending","async_id":"a-1"}`, task: "a-1"},
		"no status":          {body: `{"id":"x","async_id":"a-1"}`, task: "a-1"},
		"an unknown word":    {body: `{"status":"QUEUED","async_id":"a-1"}`, task: "a-1"},
		"a platform word":    {body: `{"task_status":"PROCESSING","asyncId":"a-1"}`, task: "a-1"},
		"in data":            {body: `{"data":{"status":"pending","async_id":"a-1"}}`, task: "a-1"},
		"no id":              {body: `{"status":"pending","agent_id":"vidu_template_agent"}`, status: api.StatusPending, class: api.ErrNoTask},
		"an empty id":        {body: `{"status":"pending","async_id":""}`, status: api.StatusPending, class: api.ErrNoTask},
		"finished":           {body: `{"status":"success","async_id":"a-1","choices":[{"message":[{"content":[{"type":"video_url","video_url":"https://a.example/v.mp4"}]}]}]}`, status: api.StatusSuccess, class: api.ErrNoTask},
		"finished with text": {body: `{"choices":[{"messages":{"content":{"text":"hi","type":"text"}}}]}`, status: api.StatusSuccess, class: api.ErrNoTask},
		"failed":             {body: `{"status":"failed","async_id":"a-1","error":{"code":"1301","message":"x"}}`, class: api.ErrContentBlocked},
		"failed without why": {body: `{"status":"failed","async_id":"a-1"}`, class: errCreateNone},
		"another":            {request: api.CustomRequest{AgentID: "solve", Messages: video.Messages}, body: `{"status":"pending","async_id":"a-1"}`, task: "a-1"},
	} {
		if test.request == nil {
			test.request = video
		}
		client := retrieveServer(t, createRaw(http.StatusOK, "application/json", test.body))
		task, err := client.Submit(t.Context(), test.request)
		e, isError := errors.AsType[*api.Error](err)
		failed, isTask := errors.AsType[*api.TaskError](err)
		agent := api.AgentViduTemplate
		if custom, ok := test.request.(api.CustomRequest); ok {
			agent = custom.AgentID
		}
		switch {
		case test.class == nil:
			if want := (api.Task{AgentID: agent, AsyncID: test.task}); err != nil || task != want {
				t.Errorf("%s: got %v, %v, want %v", name, task, err, want)
			}
		case test.class == api.ErrNoTask: //nolint:errorlint // It is the sentinel itself.
			if task != (api.Task{}) || !isError || !errors.Is(err, api.ErrNoTask) || errors.Is(err, api.ErrUnknownOutcome) || e.Result == nil || e.Result.Status != test.status || string(e.Result.Raw) != test.body || e.StatusCode != http.StatusOK {
				t.Errorf("%s: got %v, %v", name, task, err)
			}
		case task != (api.Task{}) || !isTask || isError || failed.Task != (api.Task{AgentID: agent, AsyncID: "a-1"}) || !errors.Is(test.class, errCreateNone) && !errors.Is(err, test.class):
			t.Errorf("%s: got %v, %v", name, task, err)
		}
	}
	srv, client := invokeStand(t)
	_, err := client.Submit(t.Context(), api.NewSlidesRequest("Tides"))
	if e, ok := errors.AsType[*api.Error](err); !ok || !errors.Is(err, api.ErrNoTask) || e.Result == nil || e.Result.Text() == "" || e.Result.ConversationID != srv.Runs()[0].ConversationID || e.StatusCode != http.StatusOK || e.Attempts != 1 {
		t.Errorf("a stream: %v", err)
	}
	synctest.Test(t, func(t *testing.T) {
		var sent []string
		client, err := api.New(retrieveKey, api.WithHTTPClient(retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
			var body struct {
				RequestID string `json:"request_id"`
			}
			if err := json.NewDecoder(req.Body).Decode(&body); err != nil {
				return nil, err
			}
			sent = append(sent, body.RequestID)
			status, answer := http.StatusTooManyRequests, `{"error":{"code":"1302","message":"slow down"}}`
			if len(sent) == 2 {
				status, answer = http.StatusOK, `{"status":"pending"}`
			}
			return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer)), Request: req}, nil
		})))
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.Submit(t.Context(), video)
		e, ok := errors.AsType[*api.Error](err)
		if !ok || !errors.Is(err, api.ErrNoTask) || len(sent) != 2 || e.Attempts != 2 || sent[0] == "" || e.CallerRequestID != sent[0] || sent[1] != sent[0] {
			t.Errorf("after a repetition: %#v for the ids %q", err, sent)
		}
	})
	task, err := client.Submit(t.Context(), video)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := client.Retrieve(t.Context(), task); err != nil || r.Status != api.StatusSuccess {
		t.Errorf("got %v, %v", r, err)
	}
}

// TestConversation: the files of a deck, repeated like any read.
func TestConversation(t *testing.T) {
	t.Parallel()
	retrieveIn(t, nil, func(t *testing.T, srv *zaitest.Server, client *api.ClientWithResponses, _ api.Task) {
		deck := api.ConversationRequest{ConversationID: srv.AddConversation(zaitest.TaskScript{})}
		r, err := client.Conversation(t.Context(), deck)
		if err != nil || len(r.ImageURLs()) != 2 || len(r.FileURLs()) != 0 || r.ConversationID != deck.ConversationID || r.AgentID != api.AgentSlidesGLM {
			t.Errorf("got %v, %v", r, err)
		}
		deck.CustomVariables = api.ConversationOptions{IncludePDF: true, Pages: []api.PageExport{{Position: 2}}}
		if r, err := client.Conversation(t.Context(), deck); err != nil || len(r.ImageURLs()) != 1 || len(r.FileURLs()) != 1 {
			t.Errorf("got %v, %v", r, err)
		}
		before := len(srv.Requests())
		srv.Enqueue(zaitest.HTMLError(502), zaitest.TruncatedJSON())
		if r, err := client.Conversation(t.Context(), deck); err != nil || len(r.FileURLs()) != 1 || len(srv.Requests())-before != 3 {
			t.Errorf("after two failures: got %v, %v", r, err)
		}
		for name, fault := range map[string]struct {
			reply    zaitest.Reply
			requests int
			class    error
			task     bool
		}{
			"500":       {zaitest.ServerError("1234"), 3, api.ErrServer, false},
			"broken":    {zaitest.Abort(), 3, nil, false},
			"401":       {zaitest.APIError(401, "1004", "no"), 1, api.ErrAuthentication, false},
			"1113":      {zaitest.RateLimited("1113", ""), 1, api.ErrQuota, false},
			"failed":    {zaitest.Failed("1214", "no such deck"), 1, api.ErrInvalidRequest, true},
			"in 200":    {zaitest.Raw(200, nil, `{"error":{"code":"1214","message":"no"}}`), 1, api.ErrInvalidRequest, false},
			"null":      {zaitest.Raw(200, nil, `null`), 1, api.ErrMalformed, false},
			"no key":    {zaitest.Raw(200, nil, `{}`), 1, api.ErrMalformed, false},
			"malformed": {zaitest.Raw(200, nil, `<html>`), 3, api.ErrMalformed, false},
		} {
			before := len(srv.Requests())
			srv.Enqueue(slices.Repeat([]zaitest.Reply{fault.reply}, fault.requests)...)
			r, err := client.Conversation(t.Context(), deck)
			e, isError := errors.AsType[*api.Error](err)
			_, isTask := errors.AsType[*api.TaskError](err)
			if r != nil || isTask != fault.task || isError == fault.task || fault.class != nil && !errors.Is(err, fault.class) || errors.Is(err, api.ErrUnknownOutcome) || len(srv.Requests())-before != fault.requests {
				t.Errorf("%s: got %v, %v after %d requests", name, r, err, len(srv.Requests())-before)
			}
			if isError && (e.Attempts != fault.requests || e.Op != "getAgentConversation") {
				t.Errorf("%s: got %+v", name, e)
			}
		}
		for _, body := range []string{`{"conversation_id":"","agent_id":"slides_glm_agent"}`, `{"choices":[]}`} {
			srv.Enqueue(zaitest.Raw(200, nil, body))
			if r, err := client.Conversation(t.Context(), deck); err != nil || len(r.FileURLs())+len(r.ImageURLs()) != 0 || r.ConversationID != deck.ConversationID {
				t.Errorf("a deck without exports, %s: got %v, %v", body, r, err)
			}
		}
	})
	// The server closes a connection that was used before: net/http asks again by itself.
	var saw createSaw
	client := createServer(t, false, true, saw.serve(func(w http.ResponseWriter, r *http.Request) {
		if saw.warm.Load() == r.Context().Value(createConn{}) {
			createHijack("", false)(w, r)
			return
		}
		fmt.Fprint(w, `{"conversation_id":"c"}`)
	}), api.WithMaxAttempts(1))
	if _, err := client.Retrieve(t.Context(), retrieveTask); err != nil {
		t.Fatal(err)
	}
	if _, err := client.Conversation(t.Context(), api.ConversationRequest{ConversationID: "c"}); err != nil || saw.creates.Load() != 2 {
		t.Errorf("%v after %d requests", err, saw.creates.Load())
	}
}

// TestVerbsKeepTheKey: neither the key nor a signed address comes out, in an error or the log, that the
// server echoes.
func TestVerbsKeepTheKey(t *testing.T) {
	t.Parallel()
	var logged strings.Builder
	logger := slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	echo := "key " + retrieveKey + " of https://a.example/b.mp4?X-Signature=s1gnature"
	for name, reply := range map[string]http.HandlerFunc{
		"refused":   createRaw(401, "application/json", `{"error":{"code":"1004","message":"`+echo+`"}}`),
		"failed":    createRaw(200, "application/json", `{"status":"failed","error":{"code":"1004","message":"`+echo+`"}}`),
		"HTML":      createRaw(502, "text/html", echo),
		"malformed": createRaw(200, "text/html", echo),
		"stream":    createRaw(200, "text/event-stream", "data: {\"error\":{\"code\":\"1\",\"message\":\""+echo+"\"}}\n\n"),
		"finished":  createRaw(200, "application/json", `{"status":"success","choices":[{"message":[{"content":[{"video_url":"https://a.example/b.mp4?X-Signature=s1gnature"}]}]}]}`),
		"header": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "https://a.example/b.mp4?X-Signature=s1gnature&k="+retrieveKey)
			w.Header().Set("X-Log-Id", retrieveKey)
			w.WriteHeader(http.StatusFound)
		},
	} {
		client := retrieveServer(t, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			reply(w, r)
		}, api.WithLogger(logger))
		for verb, call := range createVerbs {
			err := call(t.Context(), client)
			if err == nil {
				if name != "finished" {
					t.Errorf("%s, %s: no error", name, verb)
				}
				continue
			}
			retrieveHoldsNo(t, retrieveKey, err)
			retrieveHoldsNo(t, "s1gnature", err)
			if e, ok := errors.AsType[*api.Error](err); ok {
				retrieveHoldsNo(t, retrieveKey, *e, string(e.Body), e.Header)
				retrieveHoldsNo(t, "s1gnature", string(e.Body), e.Header)
			}
		}
	}
	retrieveHoldsNo(t, retrieveKey, logged.String())
	retrieveHoldsNo(t, "s1gnature", logged.String())
	for _, want := range []string{`"operation":"invokeAgent"`, `"operation":"uploadFile"`} {
		if !strings.Contains(logged.String(), want) {
			t.Errorf("the log has no %s: %s", want, logged.String())
		}
	}
}
