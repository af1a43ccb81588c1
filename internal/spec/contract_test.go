package spec_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime/multipart"
	"net/http"
	"os"
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
}

func newValidator(t *testing.T, next http.RoundTripper) *validator {
	t.Helper()
	router, err := legacy.NewRouter(description(t))
	if err != nil {
		t.Fatal(err)
	}
	return &validator{t: t, next: next, router: router, seen: map[string]int{}}
}

func (v *validator) RoundTrip(req *http.Request) (*http.Response, error) {
	// RoundTrip must not change the request, and validation reads its body.
	checked := req.Clone(req.Context())
	var err error
	if checked.Body, err = req.GetBody(); err != nil {
		v.t.Error(err)
	}
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
		v.t.Errorf("answer with HTTP status %d: %v", resp.StatusCode, err)
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
		{api.VideoRequest{Messages: video.Messages}, "SpecialEffectsVideosAgentRequest"},
		{api.NewSlidesRequest("hi"), "GlmSlideAgentRequest"},
		{api.NewSlidesRequest(""), "GlmSlideAgentRequest"},
		{api.SlidesRequest{Messages: []api.RequestMessage{{}}}, "GlmSlideAgentRequest"},
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
		"  kind: {description: '`new`'}\n" +
		"  purpose: {enum: [agent]}\n"))
	if err != nil {
		t.Fatal(err)
	}
	missing := strings.Join(spec.WithoutConstant(values, constants), "\n")
	for _, word := range []string{"Status canceled", "Status expired", `"kind"`} {
		if !strings.Contains(missing, word) {
			t.Errorf("%s is not missed in\n%s", word, missing)
		}
	}
	if strings.Count(missing, "\n") != 2 {
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
