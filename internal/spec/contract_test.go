package spec_test

import (
	"context"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
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

// TestValidatorSeesDrift: the validation of the test above is not blind.
func TestValidatorSeesDrift(t *testing.T) {
	t.Parallel()
	router, err := legacy.NewRouter(description(t))
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, api.DefaultServer+"/v1/agents/async-result", strings.NewReader(`{"async_id":7}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer x")
	route, params, err := router.FindRoute(req)
	if err != nil {
		t.Fatal(err)
	}
	input := &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	if openapi3filter.ValidateRequest(t.Context(), input) == nil {
		t.Error("a number as async_id passed")
	}
}

// enumOf binds the properties whose texts name values to the Go types of their values.
var enumOf = map[string]string{
	"agent_id":      "AgentID",
	"status":        "Status",
	"finish_reason": "FinishReason",
	"role":          "Role",
	"type":          "PartType",
}

// notInText lists the constants that no text of the description names, with their source.
var notInText = map[string]string{
	"AgentID general_translation":                "docs.z.ai, page of POST /v1/agents",
	"AgentID slides_glm_agent":                   "docs.z.ai, page of POST /v1/agents",
	"FinishReason model_context_window_exceeded": "docs.z.ai, page of POST /paas/v4/chat/completions",
	"PartType file_url":                          "docs.bigmodel.cn OpenAPI, answers of async-result",
	"PartType image_url":                         "docs.bigmodel.cn OpenAPI, answers of POST /v1/agents",
	"PartType text":                              "docs.bigmodel.cn OpenAPI, answers of POST /v1/agents",
	"PartType object":                            "recorded slide streams of api.z.ai",
	"Phase thinking":                             "docs.z.ai, page of POST /v1/agents (slides)",
	"Phase tool":                                 "docs.z.ai, page of POST /v1/agents (slides)",
	"Phase answer":                               "docs.z.ai, page of POST /v1/agents (slides)",
}

// TestEnumsMatchTexts: every value that the description names in a text has a constant,
// and every constant is named there or listed above.
func TestEnumsMatchTexts(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	var root yaml.Node
	if err := yaml.Unmarshal(zai.Spec(), &root); err != nil {
		t.Fatal(err)
	}
	properties(&root, func(name, text string) {
		for _, value := range quoted.FindAllStringSubmatch(text, -1) {
			enum, ok := enumOf[name]
			if !ok {
				t.Errorf("the text of property %q names the value %q, and no enum type is bound to it", name, value[1])
			}
			named[enum+" "+value[1]] = true
		}
	})
	if len(named) < 10 {
		t.Fatalf("the texts name only %v", slices.Collect(maps.Keys(named)))
	}
	constants := enumConstants(t)
	for value := range named {
		if !constants[value] {
			t.Errorf("the description names %s, and package api has no constant for it", value)
		}
	}
	for value := range constants {
		_, listed := notInText[value]
		if named[value] == listed {
			t.Errorf("constant %s: named in the description %v, listed with another source %v", value, named[value], listed)
		}
	}
	for value := range notInText {
		if !constants[value] {
			t.Errorf("%s is listed and is no constant", value)
		}
	}
}

// quoted matches a value in a text: in backticks, or in typographic quotes.
var quoted = regexp.MustCompile("[`‘]([a-z0-9_-]+)[`’]")

// properties calls visit with the name and the text of every property of every schema.
func properties(n *yaml.Node, visit func(name, text string)) {
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Value == "properties" {
			for j := 0; j+1 < len(child.Content); j += 2 {
				schema := child.Content[j+1]
				for k := 0; k+1 < len(schema.Content); k += 2 {
					if schema.Content[k].Value == "description" {
						visit(child.Content[j].Value, schema.Content[k+1].Value)
					}
				}
			}
		}
		properties(child, visit)
	}
}

// enumConstants returns the constants of the hand-written open enums of package api, as
// "type value". Error codes have a table of their own.
func enumConstants(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../../api/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no files of package api", err)
	}
	constants := map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				constant, ok := spec.(*ast.ValueSpec)
				if !ok || constant.Type == nil {
					continue
				}
				enum, ok := constant.Type.(*ast.Ident)
				literal, isLiteral := constant.Values[0].(*ast.BasicLit)
				if !ok || !isLiteral || literal.Kind != token.STRING || enum.Name == "ErrorCode" {
					continue
				}
				value, err := strconv.Unquote(literal.Value)
				if err != nil {
					t.Fatal(err)
				}
				constants[enum.Name+" "+value] = true
			}
		}
	}
	return constants
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
