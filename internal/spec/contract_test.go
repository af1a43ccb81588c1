package spec_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"go.yaml.in/yaml/v3"

	"example.com/zai"
	"example.com/zai/api"
	"example.com/zai/api/zaitest"
	"example.com/zai/internal/spec"
)

// description loads openapi.yaml as it is published: the overlay must not hide a drift.
func description(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(zai.Spec())
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDescriptionIsValid(t *testing.T) {
	t.Parallel()
	doc := description(t)
	if err := doc.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	if got := doc.Servers[0].URL; got != api.DefaultServer {
		t.Errorf("DefaultServer is %q, the description says %q", api.DefaultServer, got)
	}
}

// TestPagesAreDocuments: every page is a valid document of its own, and the merged one has its
// operations.
func TestPagesAreDocuments(t *testing.T) {
	t.Parallel()
	pages, err := spec.ReadPages(os.DirFS("pages"))
	if err != nil {
		t.Fatal(err)
	}
	merged := description(t).Paths
	var operations []string
	for _, page := range pages {
		data, err := yaml.Marshal(page.Doc)
		if err != nil {
			t.Fatal(err)
		}
		doc, err := openapi3.NewLoader().LoadFromData(data)
		if err != nil {
			t.Errorf("%s: %v", page.Name, err)
			continue
		}
		if err := doc.Validate(t.Context()); err != nil {
			t.Errorf("%s: %v", page.Name, err)
		}
		for path, item := range doc.Paths.Map() {
			for method := range item.Operations() {
				operations = append(operations, method+" "+path)
				if there := merged.Value(path); there == nil || there.GetOperation(method) == nil {
					t.Errorf("%s: %s %s is not in openapi.yaml", page.Name, method, path)
				}
			}
		}
	}
	slices.Sort(operations)
	want := []string{"POST /paas/v4/files", "POST /v1/agents", "POST /v1/agents/async-result", "POST /v1/agents/conversation"}
	for _, operation := range want {
		if !slices.Contains(operations, operation) {
			t.Errorf("no page describes %s, only %q", operation, operations)
		}
	}
}

// TestSpecIsTheCallersOwn: a caller that changes what Spec returns changes nothing else.
func TestSpecIsTheCallersOwn(t *testing.T) {
	t.Parallel()
	spec := zai.Spec()
	spec[0] ^= 0xff
	if zai.Spec()[0] == spec[0] {
		t.Error("Spec returns the embedded bytes themselves")
	}
}

// validator validates every exchange that passes through it.
type validator struct {
	t      *testing.T
	next   http.RoundTripper
	router routers.Router
	seen   map[string]int // exchanges by operation path and HTTP status
	report func(format string, args ...any)
}

func newValidator(t *testing.T, next http.RoundTripper) *validator {
	t.Helper()
	return newBranchValidator(t, next, "")
}

// newBranchValidator returns a validator that takes answers of invokeAgent for those of one
// agent, whose schema is given: each of them matches several branches of the oneOf.
func newBranchValidator(t *testing.T, next http.RoundTripper, schema string) *validator {
	t.Helper()
	doc := description(t)
	if schema != "" {
		branches := doc.Paths.Value("/v1/agents").Post.Responses.Status(http.StatusOK).Value.Content.Get("application/json").Schema
		i := slices.IndexFunc(branches.Value.OneOf, func(ref *openapi3.SchemaRef) bool { return path.Base(ref.Ref) == schema })
		if i < 0 {
			t.Fatalf("invokeAgent has no answer of type %s", schema)
		}
		*branches = openapi3.SchemaRef{Value: branches.Value.OneOf[i].Value}
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return &validator{t: t, next: next, router: router, seen: map[string]int{}, report: t.Errorf}
}

func (v *validator) RoundTrip(req *http.Request) (*http.Response, error) {
	// RoundTrip must not change the request, and validation reads its body.
	body, err := io.ReadAll(req.Body)
	if err := errors.Join(err, req.Body.Close()); err != nil {
		v.t.Error(err)
	}
	checked := req.Clone(req.Context())
	req = req.Clone(req.Context())
	checked.Body, req.Body = io.NopCloser(bytes.NewReader(body)), io.NopCloser(bytes.NewReader(body))
	route, params, err := v.router.FindRoute(checked)
	if err != nil {
		v.t.Errorf("%s %s is not described: %v", req.Method, req.URL, err)
		return v.next.RoundTrip(req)
	}
	input := &openapi3filter.RequestValidationInput{
		Request: checked, PathParams: params, Route: route,
		Options: &openapi3filter.Options{
			MultiError:            true,
			IncludeResponseStatus: true,
			AuthenticationFunc: func(_ context.Context, in *openapi3filter.AuthenticationInput) error {
				if s := in.SecurityScheme; s.Type != "http" || s.Scheme != "bearer" {
					return errors.New("the client knows bearer authentication only")
				}
				if !strings.HasPrefix(in.RequestValidationInput.Request.Header.Get("Authorization"), "Bearer ") {
					return errors.New("no bearer token was sent")
				}
				return nil
			},
		},
	}
	if err := openapi3filter.ValidateRequest(req.Context(), input); err != nil {
		v.t.Errorf("request: %v", err)
	}
	resp, err := v.next.RoundTrip(req)
	if err != nil {
		return resp, err
	}
	output := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: resp.StatusCode, Header: resp.Header, Body: resp.Body}
	if err := openapi3filter.ValidateResponse(req.Context(), output); err != nil {
		v.report("answer with HTTP status %d: %v", resp.StatusCode, err)
	}
	resp.Body = output.Body
	v.seen[route.Path+" "+strconv.Itoa(resp.StatusCode)]++
	return resp, nil
}

// TestExchangesAreDescribed sends what the client can send and has the stand-in server
// answer in the documented shape; both sides must match the description.
func TestExchangesAreDescribed(t *testing.T) {
	t.Parallel()
	srv := zaitest.NewUnstartedServer()
	t.Cleanup(srv.Close)
	srv.URL = api.DefaultServer
	v := newValidator(t, srv.Transport())
	client, err := api.New(srv.APIKey, api.WithHTTPClient(&http.Client{Transport: v}), api.WithMaxAttempts(1))
	if err != nil {
		t.Fatal(err)
	}
	retrieve := func(task api.Task, editors ...api.RequestEditorFn) error {
		_, err := client.Retrieve(t.Context(), task, editors...)
		return err
	}
	for _, script := range []zaitest.TaskScript{
		{},
		{Pending: 1},
		{VideoURLs: []string{"https://media.example.com/a.mp4", "https://media.example.com/b.mp4"}, FinishReason: "length"},
		{NoResult: true},
		{Code: "1301", Message: "blocked"},
		{Fail: true},
	} {
		task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: srv.AddTask(script)}
		for range script.Pending + 1 {
			if err := retrieve(task); err != nil {
				t.Errorf("%+v: %v", script, err)
			}
		}
		if err := retrieve(task, api.BodyFields(map[string]any{"conversation_id": "c-1"})); err != nil {
			t.Errorf("%+v: %v", script, err)
		}
	}
	if err := retrieve(api.Task{AgentID: api.AgentViduTemplate, AsyncID: "no such task"}); err != nil {
		t.Error(err)
	}
	srv.Enqueue(zaitest.ServerError("1234"))
	if err := retrieve(api.Task{AgentID: api.AgentViduTemplate, AsyncID: "x"}); !errors.Is(err, api.ErrServer) {
		t.Errorf("got %v, want a server error", err)
	}
	// The raw methods, without the layer.
	raw, err := client.RetrieveAgentResultWithResponse(t.Context(), &api.RetrieveAgentResultParams{}, api.Task{AgentID: "a", AsyncID: "b"})
	if err != nil || raw.JSON200 == nil {
		t.Errorf("raw call: %+v, %v", raw, err)
	}
	for _, exchange := range []string{"/v1/agents/async-result 200", "/v1/agents/async-result 500"} {
		if v.seen[exchange] == 0 {
			t.Errorf("no exchange %q was validated, only %v", exchange, v.seen)
		}
	}
}

// TestVerbsAreDescribed has every verb of the agents family talk to the stand-in server: requests
// match the description, and so do answers, under the branch of their agent. Streams are not
// described: docs.bigmodel.cn guides, recorded slide streams.
func TestVerbsAreDescribed(t *testing.T) {
	t.Parallel()
	translation, video := api.NewTranslationRequest("Hello", api.LanguageFrench), api.NewVideoRequest(api.TemplateBodyShake, "https://media.example.com/a.jpg", "wave")
	fold := func(client *api.ClientWithResponses, request api.AgentRequest) error {
		for _, err := range client.Stream(t.Context(), request) {
			if err != nil {
				return err
			}
		}
		return nil
	}
	for _, test := range []struct {
		name, schema, exchange string
		streams                bool
		call                   func(*api.ClientWithResponses, *zaitest.Server) error
	}{
		{"Invoke a translation", "TranslationAgentResponse", "/v1/agents 200", false, func(client *api.ClientWithResponses, _ *zaitest.Server) error {
			_, err := client.Invoke(t.Context(), translation)
			return err
		}},
		{"Submit a video", "SpecialEffectsVideosAgentResponse", "/v1/agents 200", false, func(client *api.ClientWithResponses, _ *zaitest.Server) error {
			task, err := client.Submit(t.Context(), video)
			if err == nil {
				_, err = client.Wait(t.Context(), task)
			}
			return err
		}},
		{"Stream a translation", "TranslationAgentResponse", "/v1/agents 200", true, func(client *api.ClientWithResponses, _ *zaitest.Server) error { return fold(client, translation) }},
		{"Stream slides", "GlmSlideAgentResponse", "/v1/agents 200", true, func(client *api.ClientWithResponses, _ *zaitest.Server) error {
			return fold(client, api.NewSlidesRequest("Tides"))
		}},
		{"Invoke slides", "GlmSlideAgentResponse", "/v1/agents 200", true, func(client *api.ClientWithResponses, _ *zaitest.Server) error {
			_, err := client.Invoke(t.Context(), api.NewSlidesRequest("Tides"))
			return err
		}},
		{"Conversation", "", "/v1/agents/conversation 200", false, func(client *api.ClientWithResponses, srv *zaitest.Server) error {
			_, err := client.Conversation(t.Context(), api.ConversationRequest{
				ConversationID:  srv.AddConversation(zaitest.TaskScript{}),
				CustomVariables: api.ConversationOptions{IncludePDF: true, Pages: []api.PageExport{{Position: 1, Width: 595.28, Height: 841.89}}},
			})
			return err
		}},
		{"Upload", "", "/paas/v4/files 200", false, func(client *api.ClientWithResponses, _ *zaitest.Server) error {
			_, err := client.Upload(t.Context(), "terms.xlsx", strings.NewReader("content"))
			return err
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			srv := zaitest.NewUnstartedServer()
			defer srv.Close()
			srv.URL = api.DefaultServer
			v := newBranchValidator(t, srv.Transport(), test.schema)
			v.t = t
			undescribed := 0
			if test.streams {
				v.report = func(string, ...any) { undescribed++ }
			}
			client, err := api.New(srv.APIKey, api.WithHTTPClient(&http.Client{Transport: v}), api.WithMaxAttempts(1))
			if err != nil {
				t.Fatal(err)
			}
			if err := test.call(client, srv); err != nil {
				t.Error(err)
			}
			if v.seen[test.exchange] == 0 || test.streams != (undescribed > 0) {
				t.Errorf("exchanges %v, %d of them are not described", v.seen, undescribed)
			}
		})
	}
}

// TestStandInIsDescribed has the stand-in server answer plain requests to the other operations.
// What it says by itself must match the description; what does not is listed with its source.
func TestStandInIsDescribed(t *testing.T) {
	t.Parallel()
	const (
		hello     = `"messages":[{"role":"user","content":[{"type":"text","text":"Hello"}]}]`
		translate = `{"agent_id":"general_translation","custom_variables":{"target_lang":"fr"},` + hello + `}`
		stream    = `{"agent_id":"general_translation","stream":true,` + hello + `}`
		video     = `{"agent_id":"vidu_template_agent","request_id":"r-1","custom_variables":{"template":"bodyshake"},` +
			`"messages":[{"role":"user","content":[{"type":"image_url","image_url":"https://media.example.com/a.jpg"}]}]}`
		slides = `{"agent_id":"slides_glm_agent",` + hello + `}`
		deck   = `{"agent_id":"slides_glm_agent","conversation_id":"$","custom_variables":{"include_pdf":true,"pages":[{"position":1}]}}`

		translationAnswer = "TranslationAgentResponse"
		videoAnswer       = "SpecialEffectsVideosAgentResponse"
		slidesAnswer      = "GlmSlideAgentResponse"
	)
	// The nested error, which is what the API sends where the flat one is described.
	const nested = "recorded api.z.ai traffic, July 2026"
	script := func(s zaitest.TaskScript) func(*zaitest.Server) {
		return func(srv *zaitest.Server) { srv.EnqueueTasks(s) }
	}
	reply := func(r zaitest.Reply) func(*zaitest.Server) {
		return func(srv *zaitest.Server) { srv.Enqueue(r) }
	}
	form := "--b\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nagent\r\n" +
		"--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"terms.xlsx\"\r\nContent-Type: application/octet-stream\r\n\r\nx\r\n--b--\r\n"
	for _, test := range []struct {
		path, body, schema string
		prepare            func(*zaitest.Server)
		status             int
		source             string // not empty: of an answer that the description does not have
	}{
		{"/v1/agents", translate, translationAnswer, nil, 200, ""},
		{"/v1/agents", translate, translationAnswer, script(zaitest.TaskScript{Text: "Bonjour", FinishReason: "sensitive"}), 200, ""},
		{"/v1/agents", translate, translationAnswer, script(zaitest.TaskScript{NoResult: true}), 200, ""},
		{"/v1/agents", translate, translationAnswer, script(zaitest.TaskScript{Code: "1113", Message: "top up"}), 200, ""},
		{"/v1/agents", translate, translationAnswer, reply(zaitest.Failed("1301", "no")), 200, ""},
		{"/v1/agents", translate, translationAnswer, reply(zaitest.APIError(400, "1211", "content has to be an array")), 400, ""},
		{"/v1/agents", translate, translationAnswer, reply(zaitest.RateLimited("1302", "1")), 429, ""},
		{"/v1/agents", video, videoAnswer, nil, 200, ""},
		{"/v1/agents", video, videoAnswer, script(zaitest.TaskScript{Inline: true}), 200, ""},
		{"/v1/agents", video, videoAnswer, script(zaitest.TaskScript{Inline: true, Code: "1214", Message: "image_url is not acceptable"}), 200, ""},
		{"/v1/agents", video, videoAnswer, reply(zaitest.Failed("1231", "request r-1 already exists")), 200, ""},
		{"/v1/agents", slides, slidesAnswer, reply(zaitest.Failed("1113", "top up")), 200, ""},
		{"/v1/agents", slides, slidesAnswer, script(zaitest.TaskScript{Shape: zaitest.ShapeEventsAsJSON}), 200, "recorded slide streams, May 2026: a deck comes as events only"},
		{"/v1/agents", slides, slidesAnswer, nil, 200, "recorded slide streams, May 2026"},
		{"/v1/agents", stream, translationAnswer, nil, 200, "docs.bigmodel.cn, guide to translation: a stream"},
		{"/v1/agents", translate, translationAnswer, script(zaitest.TaskScript{Shape: zaitest.ShapeMessages}), 200, "docs.bigmodel.cn OpenAPI, July 2026"},
		{"/v1/agents", translate, translationAnswer, script(zaitest.TaskScript{Shape: zaitest.ShapeMessagesContentObject}), 200, "example of the docs.z.ai agents page"},
		{"/v1/agents", translate, translationAnswer, reply(zaitest.HTMLError(502)), 502, "nginx"},
		{"/v1/agents/conversation", deck, "", nil, 200, ""},
		{"/v1/agents/conversation", strings.Replace(deck, "$", "x", 1), "", nil, 200, ""}, // there is no such deck
		{"/v1/agents/conversation", `{"agent_id":"slides_glm_agent","conversation_id":"$"}`, "", nil, 200, ""},
		{"/v1/agents/conversation", deck, "", reply(zaitest.ServerError("1234")), 500, nested},
		{"/paas/v4/files", form, "", nil, 200, ""},
		{"/paas/v4/files", form, "", reply(zaitest.APIError(435, "435", "the file is over the size limit")), 435, nested},
	} {
		srv := zaitest.NewUnstartedServer()
		srv.URL = api.DefaultServer
		v := newBranchValidator(t, srv.Transport(), test.schema)
		var found []string
		v.report = func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
		if test.prepare != nil {
			test.prepare(srv)
		}
		body := strings.Replace(test.body, "$", srv.AddConversation(zaitest.TaskScript{}), 1)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api.DefaultServer+test.path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+srv.APIKey)
		req.Header.Set("Content-Type", "application/json")
		if test.path == "/paas/v4/files" {
			req.Header.Set("Content-Type", "multipart/form-data; boundary=b")
		}
		resp, err := v.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != test.status {
			t.Errorf("%s: HTTP status %d, not %d, %v: %s", body, resp.StatusCode, test.status, err, answer)
		}
		if (len(found) == 0) != (test.source == "") {
			t.Errorf("%s answered with %s: source %q, %q", body, answer, test.source, found)
		}
		resp.Body.Close()
		srv.Close()
	}
}

// TestRequestsAreDescribed: what the constructors make, with every option set and with none,
// is what the description asks for, under the schema of its agent and under no other.
func TestRequestsAreDescribed(t *testing.T) {
	t.Parallel()
	doc := description(t)
	validate := requestValidator(t, doc)
	translation := api.NewTranslationRequest("hi", api.LanguageNorwegian)
	translation.Stream = new(true)
	translation.CustomVariables.SourceLang = api.LanguageAuto
	translation.CustomVariables.Glossary = "file-1"
	translation.CustomVariables.Strategy = api.StrategyGeneral
	translation.CustomVariables.StrategyConfig.General.Suggestion = "formal"
	translation.CustomVariables.StrategyConfig.COT.ReasonLang = "to"
	video := api.NewVideoRequest(api.TemplateFrenchKiss, "https://media.example.com/a.jpg", "kiss")
	video.RequestID = "r-1"
	slides := api.NewSlidesRequest("hi")
	slides.Stream, slides.ConversationID, slides.RequestID = new(false), "c-1", "r-1"

	unknown := api.NewTranslationRequest("hi", api.LanguageChinese)
	cot := api.NewTranslationRequest("hi", api.LanguageEnglish)
	cot.CustomVariables.Strategy = api.StrategyCOT
	custom := api.CustomRequest{AgentID: "solve", Messages: translation.Messages}

	for _, test := range []struct {
		request api.AgentRequest
		schema  string // empty: the description does not have this
	}{
		{api.NewTranslationRequest("hi", api.LanguageEnglish), "TranslationAgentRequest"},
		{api.NewTranslationRequest("", ""), "TranslationAgentRequest"},
		{translation, "TranslationAgentRequest"},
		{&translation, "TranslationAgentRequest"},
		{api.NewVideoRequest(api.TemplateSexyMe, "https://media.example.com/a.jpg", ""), "SpecialEffectsVideosAgentRequest"},
		{video, "SpecialEffectsVideosAgentRequest"},
		{api.VideoRequest{AgentID: api.AgentViduTemplate, Messages: video.Messages}, "SpecialEffectsVideosAgentRequest"},
		{api.NewSlidesRequest("hi"), "GlmSlideAgentRequest"},
		{api.NewSlidesRequest(""), "GlmSlideAgentRequest"},
		{api.SlidesRequest{AgentID: api.AgentSlidesGLM, Messages: []api.RequestMessage{{}}}, "GlmSlideAgentRequest"},
		{slides, "GlmSlideAgentRequest"},
		{unknown, ""}, // zh works all the same: official Python SDK, example of a translation
		{cot, ""},     // cot works all the same: named in the text, and answered live
		{custom, ""},  // agents of open.bigmodel.cn only: docs.bigmodel.cn OpenAPI
	} {
		req, err := api.NewInvokeAgentRequest(api.DefaultServer+"/", nil, test.request)
		if err != nil {
			t.Error(err)
			continue
		}
		body, err := json.Marshal(test.request)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(req); (err == nil) != (test.schema != "") {
			t.Errorf("%s: %v", body, err)
		}
		var value any
		if err := json.Unmarshal(body, &value); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"TranslationAgentRequest", "SpecialEffectsVideosAgentRequest", "GlmSlideAgentRequest"} {
			if err := doc.Components.Schemas[name].Value.VisitJSON(value); (err == nil) != (name == test.schema) {
				t.Errorf("%s under %s: %v", body, name, err)
			}
		}
	}

	for _, request := range []api.ConversationRequest{
		{AgentID: api.AgentSlidesGLM, ConversationID: "c-1"},
		{AgentID: api.AgentSlidesGLM, ConversationID: "c-1", CustomVariables: api.ConversationOptions{
			IncludePDF: true, Pages: []api.PageExport{{Position: 1, Width: 595.28, Height: 841.89}, {Position: 2}},
		}},
	} {
		req, err := api.NewGetAgentConversationRequest(api.DefaultServer+"/", nil, request)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(req); err != nil {
			t.Errorf("%+v: %v", request, err)
		}
	}

	for field, valid := range map[string]bool{"purpose": true, "use": false} {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		file, err := form.CreateFormFile("file", "terms.xlsx")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(file, "content"); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(form.WriteField(field, "agent"), form.Close()); err != nil {
			t.Fatal(err)
		}
		req, err := api.NewUploadFileRequestWithBody(api.DefaultServer+"/", form.FormDataContentType(), &body)
		if err != nil {
			t.Fatal(err)
		}
		if err := validate(req); (err == nil) != valid {
			t.Errorf("a form with %s: %v", field, err)
		}
	}
}

// TestValidatorSeesDrift: the validation of the tests above is not blind.
func TestValidatorSeesDrift(t *testing.T) {
	t.Parallel()
	validate := requestValidator(t, description(t))
	const message = `"messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]`
	for path, bodies := range map[string][]string{
		"/v1/agents/async-result": {`{"async_id":7}`},
		"/v1/agents/conversation": {`{"custom_variables":{"pages":{}}}`, `{"custom_variables":{"include_pdf":"yes"}}`},
		"/v1/agents": {
			`{}`,
			`{"agent_id":"general_translation"}`,
			`{"agent_id":"general_translation","messages":null}`,
			`{"agent_id":"general_translation","messages":[{"role":"user","content":"hi"}]}`,
			`{"agent_id":"general_translation","messages":[{"role":"user","content":[{"type":"text"}]}]}`,
			`{"agent_id":"general_translation","custom_variables":null,` + message + `}`,
			`{"agent_id":"general_translation","custom_variables":{"target_lang":"auto"},` + message + `}`,
			`{"agent_id":"general_translation","custom_variables":{"source_lang":"en-US"},` + message + `}`,
			`{"agent_id":"vidu_template_agent","custom_variables":{},` + message + `}`,
			`{"agent_id":"slides_glm_agent","messages":[{"role":"user","content":[{"type":"image_url","image_url":"https://media.example.com/a.jpg"}]}]}`,
		},
	} {
		for _, body := range bodies {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api.DefaultServer+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			if validate(req) == nil {
				t.Errorf("%s: %s passed", path, body)
			}
		}
	}
}

// requestValidator returns a function that validates a request without a key.
func requestValidator(t *testing.T, doc *openapi3.T) func(*http.Request) error {
	t.Helper()
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return func(req *http.Request) error {
		route, params, err := router.FindRoute(req)
		if err != nil {
			t.Errorf("%s: %v", req.URL, err)
			return err
		}
		return openapi3filter.ValidateRequest(t.Context(), &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}})
	}
}

// TestEnumsMatchTexts: every value that the description names, in an enum or in a text, has a
// constant, and every constant is named there or listed with another source.
func TestEnumsMatchTexts(t *testing.T) {
	t.Parallel()
	constants, generated, err := spec.Constants("../../api")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range generated {
		if name != "DefaultServer" {
			t.Errorf("the generated constant %s: give its enum an x-go-type", name)
		}
	}
	values, err := spec.NamedValues(zai.Spec())
	if err != nil {
		t.Fatal(err)
	}
	if len(values) < 60 {
		t.Fatalf("the texts name only %v", values)
	}
	for _, problem := range slices.Concat(spec.WithoutConstant(values, constants), spec.WithoutText(values, constants)) {
		t.Error(problem)
	}
}

// TestEnumsSeeDrift: the check above is not blind.
func TestEnumsSeeDrift(t *testing.T) {
	t.Parallel()
	constants := map[string]bool{"Status pending": true, "Status gone": true, "Role system": true}
	values, err := spec.NamedValues([]byte("properties:\n" +
		"  status: {description: '`pending` or ‘canceled’', enum: [pending, expired]}\n" +
		"  finish_reason:\n    description: The server's \"halted\", “paused” or 'stuck'.\n" +
		"  role: {$ref: '#/components/schemas/Role'}\n" +
		"  template: {type: array, items: {enum: [dance]}}\n" +
		"  kind: {description: '`new`'}\n" +
		"  purpose: {enum: [agent]}\n" +
		"components: {schemas: {Role: {anyOf: [{enum: [judge]}, {$ref: '#/components/schemas/Role'}]}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	missing := strings.Join(spec.WithoutConstant(values, constants), "\n")
	for _, word := range []string{
		"Status canceled", "Status expired", `"kind"`, "FinishReason halted", "FinishReason paused", "FinishReason stuck",
		"Role judge", "Template dance",
	} {
		if !strings.Contains(missing, word) {
			t.Errorf("%s is not missed in\n%s", word, missing)
		}
	}
	if strings.Count(missing, "\n") != 7 {
		t.Errorf("got\n%s", missing)
	}
	left := strings.Join(spec.WithoutText(values, constants), "\n")
	if !strings.Contains(left, "Status gone") || !strings.Contains(left, "Language zh") || strings.Contains(left, "Role system") {
		t.Errorf("got\n%s", left)
	}
}

// TestOverlaySaysWhy: every correction gives its reason.
func TestOverlaySaysWhy(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("overlay.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var overlay struct {
		Overlay string
		Actions []struct{ Target, Description string }
	}
	if err := yaml.Unmarshal(data, &overlay); err != nil {
		t.Fatal(err)
	}
	if overlay.Overlay != "1.1.0" || len(overlay.Actions) == 0 {
		t.Fatalf("overlay %q with %d actions", overlay.Overlay, len(overlay.Actions))
	}
	for _, action := range overlay.Actions {
		if action.Description == "" {
			t.Errorf("the action on %s gives no reason", action.Target)
		}
	}
}
