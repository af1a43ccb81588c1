package zaitest_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"go.uber.org/goleak"

	"example.com/zai/api/zaitest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const agent = "vidu_template_agent"

// both runs f with a server that listens and with one that does not.
func both(t *testing.T, f func(t *testing.T, srv *zaitest.Server, client *http.Client)) {
	t.Helper()
	t.Run("loopback", func(t *testing.T) {
		srv := zaitest.NewServer()
		defer srv.Close()
		transport := &http.Transport{}
		defer transport.CloseIdleConnections()
		f(t, srv, &http.Client{Transport: transport})
	})
	t.Run("memory", func(t *testing.T) {
		srv := zaitest.NewUnstartedServer()
		defer srv.Close()
		f(t, srv, &http.Client{Transport: srv.Transport()})
	})
}

// An answer is all of what came back.
type answer struct {
	status int
	header http.Header
	body   string
	err    error // of the request or of reading the body
}

func do(client *http.Client, req *http.Request) answer {
	resp, err := client.Do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(body), err}
}

func pollRequest(ctx context.Context, srv *zaitest.Server, agentID, asyncID string) *http.Request {
	body, _ := json.Marshal(map[string]string{"agent_id": agentID, "async_id": asyncID})
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+"/v1/agents/async-result", bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+srv.APIKey)
	req.Header.Set("Content-Type", "application/json")
	return req
}

func poll(client *http.Client, srv *zaitest.Server, asyncID string) answer {
	return do(client, pollRequest(context.Background(), srv, agent, asyncID))
}

func get(t *testing.T, client *http.Client, url string) answer {
	t.Helper()
	req, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	return do(client, req)
}

// wantJSON compares values, not text.
func wantJSON(t *testing.T, what, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%s: bad test: %v in %s", what, err, want)
	}
	if err := json.Unmarshal([]byte(got), &g); err != nil || !reflect.DeepEqual(g, w) {
		t.Errorf("%s: got\n%s\nwant\n%s", what, got, want)
	}
}

// fill puts a task's id and the address of the server's own video into what is expected.
func fill(srv *zaitest.Server, asyncID, text string) string {
	return strings.NewReplacer("$ID", asyncID, "$VIDEO", srv.FileURL("video.mp4")).Replace(text)
}

const (
	pendingJSON = `{"status":"pending","agent_id":"vidu_template_agent","async_id":"$ID"}`
	successJSON = `{"status":"success","agent_id":"vidu_template_agent","async_id":"$ID","choices":[{"index":0,"finish_reason":"stop",
		"message":[{"role":"assistant","content":[{"type":"video_url","video_url":"$VIDEO"}]}]}]}`
	failedJSON = `{"status":"failed","agent_id":"vidu_template_agent","async_id":"$ID","error":{"code":"1301","message":"no"}}`
)

func TestScripts(t *testing.T) {
	tests := []struct {
		name   string
		script zaitest.TaskScript
		want   []string
	}{
		{"zero", zaitest.TaskScript{}, []string{successJSON, successJSON}},
		{"pending", zaitest.TaskScript{Pending: 2}, []string{pendingJSON, pendingJSON, successJSON, successJSON}},
		{"forever", zaitest.TaskScript{Pending: zaitest.Forever}, []string{pendingJSON, pendingJSON, pendingJSON}},
		{"duration", zaitest.TaskScript{Duration: time.Hour}, []string{pendingJSON, pendingJSON}},
		{"failure", zaitest.TaskScript{Pending: 1, Code: "1301", Message: "no"}, []string{pendingJSON, failedJSON, failedJSON}},
		{"failure without a code", zaitest.TaskScript{Message: "no"}, []string{
			`{"status":"failed","agent_id":"vidu_template_agent","async_id":"$ID","error":{"code":"","message":"no"}}`,
		}},
		{"failure without a reason", zaitest.TaskScript{Fail: true}, []string{
			`{"status":"failed","agent_id":"vidu_template_agent","async_id":"$ID"}`,
		}},
		{"no result", zaitest.TaskScript{NoResult: true}, []string{
			`{"status":"success","agent_id":"vidu_template_agent","async_id":"$ID","choices":[]}`,
		}},
		{"everything", zaitest.TaskScript{
			VideoURLs: []string{"https://a.example/1.mp4", "https://a.example/2.mp4"}, FileURLs: []string{"https://a.example/3.pdf?a=b&c=d"},
			ImageURLs: []string{"https://a.example/4.png"}, Text: "done", FinishReason: "length",
		}, []string{
			`{"status":"success","agent_id":"vidu_template_agent","async_id":"$ID","choices":[{"index":0,"finish_reason":"length",
			"message":[{"role":"assistant","content":[{"type":"video_url","video_url":"https://a.example/1.mp4"},
			{"type":"video_url","video_url":"https://a.example/2.mp4"},{"type":"file_url","file_url":"https://a.example/3.pdf?a=b&c=d"},
			{"type":"image_url","image_url":"https://a.example/4.png"},{"type":"text","text":"done"}]}]}]}`,
		}},
		{"words", zaitest.TaskScript{Pending: 1, NoResult: true, StatusWords: zaitest.StatusWords{Pending: "QUEUED", Success: "Done"}}, []string{
			`{"status":"QUEUED","agent_id":"vidu_template_agent","async_id":"$ID"}`,
			`{"status":"Done","agent_id":"vidu_template_agent","async_id":"$ID","choices":[]}`,
		}},
		{"word of a failure", zaitest.TaskScript{Fail: true, StatusWords: zaitest.StatusWords{Failed: "expired"}}, []string{
			`{"status":"expired","agent_id":"vidu_template_agent","async_id":"$ID"}`,
		}},
		{"replies", zaitest.TaskScript{Pending: 2, Replies: []zaitest.Reply{nil, zaitest.ServerError("1234"), nil}}, []string{
			pendingJSON, `{"error":{"code":"1234","message":"something broke inside"}}`, pendingJSON, successJSON,
		}},
	}
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		for _, test := range tests {
			id := srv.AddTask(test.script)
			for i, want := range test.want {
				got := poll(client, srv, id)
				if got.err != nil {
					t.Fatal(test.name, got.err)
				}
				wantJSON(t, fmt.Sprint(test.name, " ", i), got.body, fill(srv, id, want))
			}
		}
	})
}

func TestOtherAgent(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		id := srv.AddTask(zaitest.TaskScript{AgentID: "doc_translation_agent", Text: "x"})
		got := do(client, pollRequest(t.Context(), srv, "doc_translation_agent", id))
		if !strings.Contains(got.body, `"agent_id":"doc_translation_agent"`) || !strings.Contains(got.body, `"success"`) {
			t.Error(got)
		}
	})
}

// shapeWants holds what each shape makes of a pending, a successful and a failed task. Empty means that it changes nothing.
var shapeWants = map[zaitest.Shape]struct{ pending, success, failed string }{
	zaitest.ShapeDocumented:            {},
	zaitest.ShapeMessages:              {success: ok(`"messages":[{"role":"assistant","content":[` + video + `]}]`)},
	zaitest.ShapeMessagesObject:        {success: ok(`"messages":{"role":"assistant","content":` + video + `}`)},
	zaitest.ShapeMessagesContentObject: {success: ok(`"messages":[{"role":"assistant","content":` + video + `}]`)},
	zaitest.ShapeMessageObject:         {success: ok(`"message":{"role":"assistant","content":[` + video + `]}`)},
	zaitest.ShapeDelta:                 {success: ok(`"delta":{"role":"assistant","content":[` + video + `]}`)},
	zaitest.ShapeContentObject:         {success: ok(`"message":[{"role":"assistant","content":` + video + `}]`)},
	zaitest.ShapeContentString:         {success: ok(`"message":[{"role":"assistant","content":"$VIDEO"}]`)},
	zaitest.ShapeURLObject: {success: ok(`"message":[{"role":"assistant","content":[{"type":"video_url",
		"video_url":{"url":"$VIDEO","cover_image_url":"https://zaitest.invalid/cover.jpg"}}]}]`)},
	zaitest.ShapeURLKey: {success: ok(`"message":[{"role":"assistant","content":[{"type":"video_url","url":"$VIDEO"}]}]`)},
	zaitest.ShapeChoicesObject: {success: `{"status":"success",` + ids + `,"choices":{"index":0,"finish_reason":"stop",
		"message":[{"role":"assistant","content":[` + video + `]}]}}`},
	zaitest.ShapeChoicesNull: {
		pending: `{"status":"pending",` + ids + `,"choices":null}`,
		failed:  `{"status":"failed",` + ids + `,"error":{"code":"1301","message":"no"},"choices":null}`,
	},
	zaitest.ShapeChoicesEmpty: {
		pending: `{"status":"pending",` + ids + `,"choices":[]}`,
		failed:  `{"status":"failed",` + ids + `,"error":{"code":"1301","message":"no"},"choices":[]}`,
	},
	zaitest.ShapeStatusOnly: {
		`{"status":"pending"}`,
		strings.Replace(successJSON, ids+",", "", 1),
		`{"status":"failed","error":{"code":"1301","message":"no"}}`,
	},
	zaitest.ShapeCamelCaseID: {
		strings.Replace(pendingJSON, "async_id", "asyncId", 1),
		strings.Replace(successJSON, "async_id", "asyncId", 1),
		strings.Replace(failedJSON, "async_id", "asyncId", 1),
	},
	zaitest.ShapeUnknownFields: {
		`{"status":"pending",` + ids + extras + `}`,
		`{"status":"success",` + ids + extras + `,"choices":[{"index":0,"finish_reason":"stop","message":[{"role":"assistant",
			"phase":"answer","content":[{"type":"video_url","video_url":"$VIDEO","tag_cn":"结果","tag_en":"Result"}]}]}]}`,
		`{"status":"failed",` + ids + extras + `,"error":{"code":"1301","message":"no"}}`,
	},
	zaitest.ShapeErrorNull: {
		pending: `{"status":"pending",` + ids + `,"error":null}`,
		success: strings.Replace(successJSON, ids, ids+`,"error":null`, 1),
	},
	zaitest.ShapeErrorEmpty: {
		pending: `{"status":"pending",` + ids + `,"error":{}}`,
		success: strings.Replace(successJSON, ids, ids+`,"error":{}`, 1),
	},
	zaitest.ShapePlatformWords: {
		strings.Replace(pendingJSON, "pending", "PROCESSING", 1),
		strings.Replace(successJSON, "success", "SUCCESS", 1),
		strings.Replace(failedJSON, "failed", "FAIL", 1),
	},
	zaitest.ShapeTaskAPI: {
		`{"model":"zaitest","request_id":"r-1","task_status":"PROCESSING"}`,
		`{"model":"zaitest","request_id":"r-1","task_status":"SUCCESS",
			"video_result":[{"url":"$VIDEO","cover_image_url":"https://zaitest.invalid/cover.jpg"}]}`,
		`{"model":"zaitest","request_id":"r-1","task_status":"FAIL"}`,
	},
	zaitest.ShapeData: {`{"data":` + pendingJSON + `}`, `{"data":` + successJSON + `}`, `{"data":` + failedJSON + `}`},

	zaitest.ShapeErrorString:    {failed: `{"status":"failed",` + ids + `,"error":"no"}`},
	zaitest.ShapeErrorNumber:    {failed: `{"status":"failed",` + ids + `,"error":{"code":1301,"message":"no"}}`},
	zaitest.ShapeErrorFlat:      {failed: `{"status":"failed",` + ids + `,"code":1301,"msg":"no"}`},
	zaitest.ShapeErrorInSuccess: {failed: `{"status":"success",` + ids + `,"error":{"code":"1301","message":"no"}}`},

	zaitest.ShapeEventStream:   {},
	zaitest.ShapePlainText:     {},
	zaitest.ShapeNoContentType: {},
	zaitest.ShapeByteOrderMark: {},
}

const (
	ids    = `"agent_id":"vidu_template_agent","async_id":"$ID"`
	video  = `{"type":"video_url","video_url":"$VIDEO"}`
	extras = `,"id":"i-1","request_id":"r-1","conversation_id":"c-1","created":1767225600,"usage":{"total_tokens":0,"total_calls":1}`
)

func ok(message string) string {
	return `{"status":"success",` + ids + `,"choices":[{"index":0,"finish_reason":"stop",` + message + `}]}`
}

func TestShapes(t *testing.T) {
	if len(shapeWants) != len(zaitest.Shapes()) {
		t.Errorf("%d shapes are tested, %d exist", len(shapeWants), len(zaitest.Shapes()))
	}
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		for _, shape := range zaitest.Shapes() {
			want, ok := shapeWants[shape]
			if !ok {
				t.Errorf("%s is not tested", shape)
			}
			check := func(script zaitest.TaskScript, want, documented string) {
				t.Helper()
				if want == "" {
					want = documented
				}
				script.Shape = shape
				id := srv.AddTask(script)
				got := poll(client, srv, id)
				body, contentType := got.body, "application/json;charset=UTF-8"
				switch shape {
				case zaitest.ShapeEventStream:
					contentType = "text/event-stream"
					body = strings.TrimSuffix(strings.TrimPrefix(body, "data: "), "\n\n")
					if len(got.body)-len(body) != len("data: \n\n") {
						t.Errorf("not an event: %q", got.body)
					}
				case zaitest.ShapePlainText:
					contentType = "text/plain"
				case zaitest.ShapeNoContentType:
					contentType = ""
				case zaitest.ShapeByteOrderMark:
					body = strings.TrimPrefix(body, "\ufeff")
					if body == got.body {
						t.Errorf("no byte order mark: %q", body)
					}
				}
				if got.err != nil || got.status != http.StatusOK || got.header.Get("Content-Type") != contentType {
					t.Errorf("%s: %+v", shape, got)
				}
				wantJSON(t, string(shape), body, fill(srv, id, want))
			}
			check(zaitest.TaskScript{Pending: 1}, want.pending, pendingJSON)
			check(zaitest.TaskScript{}, want.success, successJSON)
			check(zaitest.TaskScript{Code: "1301", Message: "no"}, want.failed, failedJSON)
		}
	})
}

func TestShapesOfManyParts(t *testing.T) {
	const a, b = `{"type":"video_url","video_url":"https://a.example/1.mp4"}`, `{"type":"file_url","file_url":"https://a.example/2.pdf"}`
	const text = `{"type":"text","text":"x"}`
	wants := map[zaitest.Shape]string{
		zaitest.ShapeMessagesObject: ok(`"messages":{"role":"assistant","content":[` + a + `,` + b + `,` + text + `]}`),
		zaitest.ShapeContentString:  ok(`"message":[{"role":"assistant","content":["https://a.example/1.mp4",` + b + `,"x"]}]`),
		zaitest.ShapeContentObject: ok(`"message":[{"role":"assistant","content":` + a + `},{"role":"assistant","content":` + b + `},
			{"role":"assistant","content":` + text + `}]`),
		zaitest.ShapeTaskAPI: `{"model":"zaitest","request_id":"r-1","task_status":"SUCCESS",
			"video_result":[{"url":"https://a.example/1.mp4","cover_image_url":"https://zaitest.invalid/cover.jpg"}]}`,
	}
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		for shape, want := range wants {
			id := srv.AddTask(zaitest.TaskScript{
				VideoURLs: []string{"https://a.example/1.mp4"}, FileURLs: []string{"https://a.example/2.pdf"}, Text: "x", Shape: shape,
			})
			wantJSON(t, string(shape), poll(client, srv, id).body, fill(srv, id, want))
		}
	})
}

func TestShapesWithoutResultOrCode(t *testing.T) {
	srv := zaitest.NewUnstartedServer()
	defer srv.Close()
	client := &http.Client{Transport: srv.Transport()}
	for _, shape := range zaitest.Shapes() { // there is less to make over, and nothing to stumble over
		for _, script := range []zaitest.TaskScript{{NoResult: true}, {Fail: true}, {Code: "word"}, {Text: "x"}} {
			script.Shape = shape
			got := poll(client, srv, srv.AddTask(script))
			if got.err != nil || got.status != http.StatusOK || !strings.Contains(got.body, "{") {
				t.Errorf("%s: %+v", shape, got)
			}
		}
	}
}

func TestUnknownShape(t *testing.T) {
	srv := zaitest.NewUnstartedServer()
	defer srv.Close()
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	srv.AddTask(zaitest.TaskScript{Shape: "square"})
}

// What stands in the published page is the yardstick for the documented shape.
func TestDocumentedShapeFollowsTheDescription(t *testing.T) {
	page, err := os.ReadFile("../../internal/spec/pages/get-async-result.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := bytes.Cut(page, []byte("````yaml"))
	_, rest, _ = bytes.Cut(rest, []byte("\n"))
	document, _, found := bytes.Cut(rest, []byte("\n````"))
	if !found {
		t.Fatal("no description in the page")
	}
	doc, err := openapi3.NewLoader().LoadFromData(document)
	if err != nil {
		t.Fatal(err)
	}
	operation := doc.Paths.Find("/v1/agents/async-result").Post
	check := func(what string, got answer) {
		t.Helper()
		response := operation.Responses.Status(got.status)
		if response == nil {
			response = operation.Responses.Default()
		}
		content := response.Value.Content.Get(got.header.Get("Content-Type"))
		if content == nil {
			t.Fatalf("%s: no schema for %v", what, got.header)
		}
		var value any
		if err := json.Unmarshal([]byte(got.body), &value); err != nil {
			t.Fatal(what, err)
		}
		if err := content.Schema.Value.VisitJSON(value, openapi3.VisitAsResponse()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		for field := range value.(map[string]any) {
			if content.Schema.Value.Properties[field] == nil && field != "error" {
				t.Errorf("%s: %s is not described", what, field)
			}
		}
	}
	srv := zaitest.NewUnstartedServer()
	defer srv.Close()
	client := &http.Client{Transport: srv.Transport()}
	for what, script := range map[string]zaitest.TaskScript{
		"pending": {Pending: 1}, "success": {}, "nothing": {NoResult: true}, "failure": {Code: "1301"}, "no reason": {Fail: true},
		"many": {VideoURLs: []string{"https://a.example/1.mp4", "https://a.example/2.mp4"}, FileURLs: []string{"https://a.example/a.pdf"}},
	} {
		check(what, poll(client, srv, srv.AddTask(script)))
	}
	check("unknown task", poll(client, srv, "?"))
	for what, reply := range map[string]zaitest.Reply{
		"rate": zaitest.RateLimited("1302", "1"), "server": zaitest.ServerError("1234"), "api": zaitest.APIError(400, "1210", "no"),
	} {
		srv.Enqueue(reply)
		check(what, poll(client, srv, "?"))
	}
	bad := pollRequest(t.Context(), srv, agent, "?")
	bad.Header.Del("Authorization")
	check("key", do(client, bad))
}

func TestRefusals(t *testing.T) {
	unknown := `{"status":"failed","agent_id":"$AGENT","async_id":"$ASYNC","error":{"code":"400","message":"this agent has no such task"}}`
	badRequest := `{"error":{"code":"1210","message":"the request is not the JSON object that was expected"}}`
	tests := []struct {
		name   string
		change func(*http.Request)
		body   string
		status int
		want   string
	}{
		{"no key", func(r *http.Request) { r.Header.Del("Authorization") }, "", 401,
			`{"error":{"code":"1001","message":"no Authorization header"}}`},
		{"no bearer", func(r *http.Request) { r.SetBasicAuth("a", "b.c") }, "", 401,
			`{"error":{"code":"1002","message":"the Authorization header does not hold a key"}}`},
		{"no secret", func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }, "", 401,
			`{"error":{"code":"1002","message":"the Authorization header does not hold a key"}}`},
		{"another key", func(r *http.Request) { r.Header.Set("Authorization", "Bearer a.b") }, "", 401,
			`{"error":{"code":"1004","message":"the key is not accepted"}}`},
		{"no content type", func(r *http.Request) { r.Header.Del("Content-Type") }, "", 400, badRequest},
		{"wrong content type", func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, "", 400, badRequest},
		{"not JSON", nil, `{"agent_id":`, 400, badRequest},
		{"more than JSON", nil, `{} {}`, 400, badRequest},
		{"no object", nil, `[]`, 400, badRequest},
		{"wrong type", nil, `{"async_id":1}`, 400, badRequest},
		{"no task", nil, `{"agent_id":"vidu_template_agent","async_id":"none"}`, 200,
			strings.NewReplacer("$AGENT", agent, "$ASYNC", "none").Replace(unknown)},
		{"no ids", nil, `{}`, 200, strings.NewReplacer("$AGENT", "", "$ASYNC", "").Replace(unknown)},
		{"another agent", nil, `{"agent_id":"slides_glm_agent","async_id":"$ID"}`, 200,
			strings.NewReplacer("$AGENT", "slides_glm_agent", "$ASYNC", "$ID").Replace(unknown)},
	}
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		id := srv.AddTask(zaitest.TaskScript{})
		for _, test := range tests {
			req := pollRequest(t.Context(), srv, agent, id)
			if test.body != "" {
				body := fill(srv, id, test.body)
				req.Body, req.ContentLength, req.GetBody = io.NopCloser(strings.NewReader(body)), int64(len(body)), nil
			}
			if test.change != nil {
				test.change(req)
			}
			got := do(client, req)
			if got.err != nil || got.status != test.status || got.header.Get("Content-Type") != "application/json;charset=UTF-8" {
				t.Errorf("%s: %+v", test.name, got)
			}
			wantJSON(t, test.name, got.body, fill(srv, id, test.want))
		}
		if got := poll(client, srv, id); got.status != 200 || !strings.Contains(got.body, `"success"`) {
			t.Errorf("none of this was the task's: %+v", got)
		}
	})
}

func TestContentTypeParameters(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		req := pollRequest(t.Context(), srv, agent, srv.AddTask(zaitest.TaskScript{}))
		req.Header.Set("Content-Type", "Application/JSON; charset=utf-8")
		if got := do(client, req); got.status != 200 {
			t.Error(got)
		}
	})
}

func TestRoutes(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		root := strings.TrimSuffix(srv.URL, "/api")
		for _, test := range []struct {
			method, path string
			status       int
			allow        string
		}{
			{"POST", "/api/v4/v1/agents/async-result", 404, ""},
			{"POST", "/api/v1/agents/async-result/", 404, ""},
			{"POST", "/v1/agents/async-result", 404, ""},
			{"GET", "/api", 404, ""},
			{"GET", "/", 404, ""},
			{"GET", "/api/v1/agents/async-result", 405, "POST"},
			{"DELETE", "/api/v1/agents/async-result", 405, "POST"},
		} {
			req, err := http.NewRequest(test.method, root+test.path, nil)
			if err != nil {
				t.Fatal(err)
			}
			got := do(client, req)
			var body struct {
				Timestamp time.Time
				Status    int
				Error     string
				Path      string
			}
			if err := json.Unmarshal([]byte(got.body), &body); err != nil {
				t.Errorf("%v: %v in %s", test, err, got.body)
			}
			if got.status != test.status || body.Status != test.status || body.Error != http.StatusText(test.status) || body.Timestamp.IsZero() ||
				body.Path != strings.TrimPrefix(test.path, "/api") || got.header.Get("Allow") != test.allow {
				t.Errorf("%v: %+v", test, got)
			}
		}
	})
}

func TestReplies(t *testing.T) {
	html := "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n" +
		"<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
	tests := []struct {
		name   string
		reply  zaitest.Reply
		status int
		header http.Header // what must be there
		body   string      // the whole, or what came of it
		err    error
	}{
		{"raw", zaitest.Raw(418, http.Header{"content-type": {"a/b"}, "X-Y": {"1", "2"}}, "tea"), 418,
			http.Header{"Content-Type": {"a/b"}, "X-Y": {"1", "2"}, "Content-Length": {"3"}}, "tea", nil},
		{"raw, bare", zaitest.Raw(200, nil, "<html>"), 200, http.Header{"Content-Type": nil}, "<html>", nil},
		{"raw, empty", zaitest.Raw(200, nil, ""), 200, http.Header{"Content-Type": nil, "Content-Length": {"0"}}, "", nil},
		{"raw, 204", zaitest.Raw(204, nil, ""), 204, http.Header{"Content-Type": nil, "Content-Length": nil}, "", nil},
		{"raw, lying", zaitest.Raw(200, http.Header{"Content-Length": {"10"}}, "short"), 200, nil, "short", io.ErrUnexpectedEOF},
		{"API error", zaitest.APIError(400, "1214", "no such <field>"), 400, http.Header{"Content-Type": {"application/json;charset=UTF-8"}},
			`{"error":{"code":"1214","message":"no such <field>"}}`, nil},
		{"flat error", zaitest.FlatError(200, 500, "404 NOT_FOUND"), 200, http.Header{"Content-Type": {"application/json;charset=UTF-8"}},
			`{"code":500,"msg":"404 NOT_FOUND","success":false}`, nil},
		{"rate limited", zaitest.RateLimited("1302", ""), 429, http.Header{"Retry-After": nil},
			`{"error":{"code":"1302","message":"too much is asked for"}}`, nil},
		{"rate limited for a time", zaitest.RateLimited("1305", "3"), 429, http.Header{"Retry-After": {"3"}},
			`{"error":{"code":"1305","message":"too much is asked for"}}`, nil},
		{"server error", zaitest.ServerError("1234"), 500, nil, `{"error":{"code":"1234","message":"something broke inside"}}`, nil},
		{"HTML error", zaitest.HTMLError(502), 502, http.Header{"Content-Type": {"text/html"}}, html, nil},
		{"truncated JSON", zaitest.TruncatedJSON(), 200, http.Header{"Content-Length": {"80"}},
			`{"status":"success","agent_id":"vidu_template_agent","choices":[{"index":0,"mess`, nil},
		{"cut body", zaitest.CutBody(11), 200, http.Header{"Content-Length": {"83"}}, `{"agent_id"`, io.ErrUnexpectedEOF},
		{"cut at once", zaitest.CutBody(0), 200, http.Header{"Content-Length": {"83"}}, ``, io.ErrUnexpectedEOF},
		{"cut too late", zaitest.CutBody(83), 200, nil, pendingJSON, nil},
		{"abort", zaitest.Abort(), 0, nil, "", io.EOF},
		{"slow", zaitest.Slow(time.Microsecond, nil), 200, nil, pendingJSON, nil},
		{"slow, then", zaitest.Slow(time.Microsecond, zaitest.ServerError("1230")), 500, nil,
			`{"error":{"code":"1230","message":"something broke inside"}}`, nil},
		{"header", zaitest.WithHeader("Retry-After", "7", nil), 200, http.Header{"Retry-After": {"7"}}, pendingJSON, nil},
		{"own", func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
			body, _ := io.ReadAll(r.Body)
			w.Header().Set("X-Length", fmt.Sprint(len(body)))
			r.Body = io.NopCloser(bytes.NewReader(body))
			ordinary(w, r)
		}, 200, http.Header{"X-Length": {"64"}}, pendingJSON, nil},
		{"none", nil, 200, http.Header{"Content-Type": {"application/json;charset=UTF-8"}}, pendingJSON, nil},
	}
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		for _, test := range tests {
			id := srv.AddTask(zaitest.TaskScript{Pending: 2, Replies: []zaitest.Reply{test.reply}})
			check := func(from string) {
				t.Helper()
				got := poll(client, srv, id)
				if got.status != test.status || !errors.Is(got.err, test.err) {
					t.Errorf("%s from %s: %+v", test.name, from, got)
				}
				for name, values := range test.header {
					if name = http.CanonicalHeaderKey(name); !reflect.DeepEqual(got.header[name], values) {
						t.Errorf("%s from %s: %s is %q, not %q", test.name, from, name, got.header[name], values)
					}
				}
				if test.status != 0 && got.header.Get("X-Log-Id") == "" {
					t.Errorf("%s from %s: no X-Log-Id", test.name, from)
				}
				if test.body == pendingJSON {
					wantJSON(t, test.name, got.body, fill(srv, id, test.body))
				} else if got.body != test.body {
					t.Errorf("%s from %s: got %q, want %q", test.name, from, got.body, test.body)
				}
			}
			check("the task")
			srv.Enqueue(test.reply)
			check("the queue")
		}
	})
}

func TestEnqueueAndAlways(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		id := srv.AddTask(zaitest.TaskScript{Replies: []zaitest.Reply{zaitest.APIError(400, "1210", "")}})
		srv.Always(zaitest.HTMLError(503))
		srv.Enqueue(zaitest.RateLimited("1302", ""), nil)
		srv.Enqueue(zaitest.ServerError("1234"))
		var got []int
		for range 5 {
			got = append(got, poll(client, srv, id).status)
		}
		srv.Always(nil)
		got = append(got, poll(client, srv, id).status)
		if want := []int{429, 400, 500, 503, 503, 200}; !reflect.DeepEqual(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		srv.Enqueue(zaitest.HTMLError(502)) // whatever is asked for, with or without a key
		if got := get(t, client, srv.FileURL("video.mp4")); got.status != 502 {
			t.Error(got)
		}
	})
}

func TestFiles(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		got := get(t, client, srv.FileURL("video.mp4"))
		if got.status != 200 || got.header.Get("Content-Type") != "video/mp4" || got.header.Get("Content-Length") != "1048" ||
			len(got.body) != 1048 || !strings.HasPrefix(got.body[4:], "ftypmp42") || got.header.Get("X-Log-Id") == "" {
			t.Errorf("%+v", got)
		}

		later := srv.FileURL("a b/ü?.pdf")
		if got := get(t, client, later); got.status != 404 {
			t.Error(got)
		}
		content := []byte("%PDF-")
		if address := srv.AddFile("a b/ü?.pdf", content); address != later {
			t.Errorf("%s is not %s", address, later)
		}
		content[0] = '?' // the server has its own
		if got := get(t, client, later); got.status != 200 || got.body != "%PDF-" || got.header.Get("Content-Type") != "application/pdf" {
			t.Errorf("%+v", got)
		}
		if got := get(t, client, srv.AddFile("deck.unknown", nil)); got.status != 200 || got.body != "" ||
			got.header.Get("Content-Type") != "application/octet-stream" {
			t.Errorf("%+v", got)
		}

		for _, test := range []struct {
			change func(*http.Request)
			status int
		}{
			{func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+srv.APIKey) }, 400},
			{func(r *http.Request) { r.URL.RawQuery = "" }, 403},
			{func(r *http.Request) { r.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "%2B", "+") }, 403},
			{func(r *http.Request) { r.URL.RawQuery = r.URL.Query().Encode() }, 200}, // another order, but the same values
			{func(r *http.Request) { r.Method = http.MethodPost }, 405},
			{func(r *http.Request) { r.Method = http.MethodHead }, 200},
			{func(r *http.Request) { r.Header.Set("Range", "bytes=0-1") }, 206},
		} {
			req, err := http.NewRequest(http.MethodGet, later, nil)
			if err != nil {
				t.Fatal(err)
			}
			test.change(req)
			if got := do(client, req); got.status != test.status || got.err != nil {
				t.Errorf("want %d: %+v", test.status, got)
			}
		}

		srv.AddFile("large.bin", make([]byte, 1<<20))
		srv.Enqueue(zaitest.CutBody(100_000))
		if got := get(t, client, srv.FileURL("large.bin")); !errors.Is(got.err, io.ErrUnexpectedEOF) || len(got.body) != 100_000 ||
			got.header.Get("Content-Length") != "1048576" {
			t.Errorf("%d bytes, %v, %v", len(got.body), got.header, got.err)
		}
	})
}

func TestLargeRequest(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		for size, status := range map[int]int{1 << 20: 400, 1<<20 + 1: 413} {
			req := pollRequest(t.Context(), srv, agent, "")
			req.Body, req.ContentLength, req.GetBody = io.NopCloser(strings.NewReader(strings.Repeat("x", size))), int64(size), nil
			got := do(client, req)
			if got.status != status {
				t.Errorf("%d bytes: %+v", size, got)
			}
		}
		for _, r := range srv.Requests() {
			if len(r.Body) != 1<<20 {
				t.Errorf("%d bytes are kept", len(r.Body))
			}
		}
	})
}

func TestRequests(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		before := time.Now()
		id := srv.AddTask(zaitest.TaskScript{})
		req := pollRequest(t.Context(), srv, agent, id)
		req.Header["X-Two"] = []string{"1", "2"}
		req.Header["Idempotency-Key"] = nil // never sent
		first := do(client, req)
		srv.Enqueue(zaitest.Abort())
		post, err := http.NewRequest(http.MethodPost, srv.URL+"/nothing?here=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := do(client, post); got.err == nil {
			t.Error(got)
		}
		got := srv.Requests()
		if len(got) != 2 {
			t.Fatalf("%d requests", len(got))
		}
		r := got[0]
		if r.Method != http.MethodPost || r.Path != "/api/v1/agents/async-result" || r.Query != "" || r.Time.Before(before) || r.Time.After(time.Now()) ||
			r.Header.Get("Authorization") != "Bearer "+srv.APIKey || !reflect.DeepEqual(r.Header["X-Two"], []string{"1", "2"}) {
			t.Errorf("%+v", r)
		}
		if _, there := r.Header["Idempotency-Key"]; there {
			t.Error("a header came that was not sent")
		}
		wantJSON(t, "body", string(r.Body), fill(srv, id, `{`+ids+`}`))
		if r := got[1]; r.Method != http.MethodPost || r.Path != "/api/nothing" || r.Query != "here=1" || len(r.Body) != 0 {
			t.Errorf("%+v", r)
		}
		if other := get(t, client, srv.URL); first.header.Get("X-Log-Id") == other.header.Get("X-Log-Id") {
			t.Error("two answers with one X-Log-Id")
		}
	})
}

func TestMaxRequests(t *testing.T) {
	srv := zaitest.NewUnstartedServer()
	defer srv.Close()
	client := &http.Client{Transport: srv.Transport()}
	srv.MaxRequests = 3
	for i := range 10 {
		get(t, client, fmt.Sprint(srv.URL, "/", i))
	}
	got := srv.Requests()
	if len(got) != 3 || got[0].Path != "/api/7" || got[2].Path != "/api/9" {
		t.Errorf("%+v", got)
	}
}

func TestConcurrent(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		const polls, tasks = 25, 3
		var wg sync.WaitGroup
		var pending, success, failed atomic.Int32
		srv.Enqueue(make([]zaitest.Reply, 10)...)
		for range 5 {
			srv.Enqueue(zaitest.ServerError("1234"))
		}
		for range tasks {
			id := srv.AddTask(zaitest.TaskScript{Pending: 7, Replies: []zaitest.Reply{nil, zaitest.RateLimited("1302", "")}})
			for range polls {
				wg.Go(func() {
					switch got := poll(client, srv, id); {
					case got.status == 500 || got.status == 429:
						failed.Add(1)
					case strings.Contains(got.body, `"pending"`):
						pending.Add(1)
					case strings.Contains(got.body, `"success"`):
						success.Add(1)
					default:
						t.Errorf("%+v", got)
					}
					srv.AddFile(id, nil)
					srv.Always(nil)
					_ = srv.Requests()
				})
			}
		}
		wg.Wait()
		if failed.Load() != 5+tasks || pending.Load() != 7*tasks || success.Load() != polls*tasks-5-8*tasks {
			t.Errorf("%d failed, %d pending, %d success", failed.Load(), pending.Load(), success.Load())
		}
		if n := len(srv.Requests()); n != polls*tasks {
			t.Errorf("%d requests", n)
		}
	})
}

func TestIDs(t *testing.T) {
	srv := zaitest.NewUnstartedServer()
	defer srv.Close()
	seen := make(map[string]bool)
	for range 100 {
		id := srv.AddTask(zaitest.TaskScript{})
		if seen[id] || !strings.Contains(id, "+") || !strings.Contains(id, "/") || !strings.HasSuffix(id, "=") {
			t.Errorf("%q", id)
		}
		seen[id] = true
	}
}

// A client that goes away, and a server that is closed, both end an exchange that would not end by itself.
func TestGivingUp(t *testing.T) {
	stuck := map[string]zaitest.Reply{
		"hang": zaitest.Hang(), "stall": zaitest.StallBody(5), "stall at once": zaitest.StallBody(0), "slow": zaitest.Slow(time.Hour, nil),
	}
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		id := srv.AddTask(zaitest.TaskScript{})
		for name, reply := range stuck {
			entered, left := make(chan bool), make(chan bool)
			srv.Enqueue(func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
				defer close(left)
				close(entered)
				reply(w, r, ordinary)
			})
			ctx, cancel := context.WithCancel(t.Context())
			go func() { <-entered; cancel() }()
			if got := do(client, pollRequest(ctx, srv, agent, id)); !errors.Is(got.err, context.Canceled) {
				t.Errorf("%s: %+v", name, got)
			}
			<-left
		}

		// An answer that is not read holds the handler. The client closes it.
		srv.AddFile("large.bin", make([]byte, 8<<20))
		left := make(chan bool)
		srv.Enqueue(func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
			defer close(left)
			ordinary(w, r)
		})
		resp, err := client.Get(srv.FileURL("large.bin"))
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		<-left
	})
	for name, reply := range stuck {
		both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
			id := srv.AddTask(zaitest.TaskScript{})
			srv.Enqueue(func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
				go srv.Close()
				reply(w, r, ordinary)
			})
			if got := poll(client, srv, id); got.err == nil {
				t.Errorf("%s: %+v", name, got)
			}
		})
	}
}

func TestClose(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		srv.AddFile("large.bin", make([]byte, 8<<20))
		resp, err := client.Get(srv.FileURL("large.bin"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		srv.Close() // does not wait for a client that does not read
		if n, err := io.Copy(io.Discard, resp.Body); err == nil || n == 8<<20 {
			t.Errorf("%d bytes, %v", n, err)
		}
		if got := get(t, client, srv.URL); got.err == nil {
			t.Error(got)
		}
		srv.Close()
	})
}

func TestVirtualTime(t *testing.T) {
	outside := zaitest.NewUnstartedServer() // may be used by one bubble after the other
	defer outside.Close()
	for _, test := range []struct {
		name   string
		server func(t *testing.T) *zaitest.Server
	}{
		{"inside", func(t *testing.T) *zaitest.Server {
			srv := zaitest.NewUnstartedServer()
			t.Cleanup(srv.Close)
			return srv
		}},
		{"outside", func(*testing.T) *zaitest.Server { return outside }},
		{"outside again", func(*testing.T) *zaitest.Server { return outside }},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := test.server(t)
				client := &http.Client{Transport: srv.Transport()}
				start := time.Now()
				id := srv.AddTask(zaitest.TaskScript{Duration: 42 * time.Second, Pending: 2})
				polls := 1
				for ; strings.Contains(poll(client, srv, id).body, "pending"); polls++ {
					<-time.After(5 * time.Second)
				}
				if elapsed := time.Since(start); elapsed != 45*time.Second || polls != 10 {
					t.Errorf("%d polls in %v", polls, elapsed)
				}

				start = time.Now()
				srv.Enqueue(zaitest.Slow(time.Hour, nil))
				if got := poll(client, srv, id); got.err != nil || time.Since(start) != time.Hour {
					t.Errorf("%v %+v", time.Since(start), got)
				}

				for _, reply := range []zaitest.Reply{zaitest.Hang(), zaitest.StallBody(9), zaitest.Slow(time.Hour, nil)} {
					srv.Enqueue(reply)
					start = time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					got := do(client, pollRequest(ctx, srv, agent, id))
					if !errors.Is(got.err, context.DeadlineExceeded) || time.Since(start) != time.Minute {
						t.Errorf("%v %+v", time.Since(start), got)
					}
					cancel()
				}

				srv.Enqueue(zaitest.StallBody(9))
				resp, err := client.Do(pollRequest(t.Context(), srv, agent, id))
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close() // and nothing is left, or the bubble would not end
			})
		})
	}
}

func TestManyInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zaitest.NewUnstartedServer()
		defer srv.Close()
		client := &http.Client{Transport: srv.Transport()}
		var wg sync.WaitGroup
		for i := range 30 {
			id := srv.AddTask(zaitest.TaskScript{Duration: time.Duration(i) * time.Second})
			wg.Go(func() {
				for strings.Contains(poll(client, srv, id).body, "pending") {
					<-time.After(10 * time.Second)
				}
			})
		}
		wg.Wait()
	})
}

func TestTransport(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, _ *http.Client) { // started or not
		client := &http.Client{Transport: srv.Transport()}
		if got := poll(client, srv, srv.AddTask(zaitest.TaskScript{})); got.status != 200 {
			t.Error(got)
		}
		n := len(srv.Requests())
		for _, url := range []string{"https://media.example.com/api", "http://zaitest.invalid/api", "http://127.0.0.1:1/api"} {
			var none *net.DNSError
			if got := get(t, client, url); !errors.As(got.err, &none) || !none.IsNotFound {
				t.Errorf("%s: %+v", url, got)
			}
		}
		if len(srv.Requests()) != n {
			t.Error("what went elsewhere came here")
		}
		srv.URL = "%"
		if got := get(t, client, "https://zaitest.invalid/"); got.err == nil {
			t.Error(got)
		}
	})
}

// A server behind somebody else's listener, with HTTP/2.
func TestHandler(t *testing.T) {
	srv := zaitest.NewUnstartedServer()
	defer srv.Close()
	listener := httptest.NewUnstartedServer(srv)
	listener.EnableHTTP2 = true
	listener.StartTLS()
	defer listener.Close()
	srv.URL = listener.URL + "/api"
	transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: listener.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}

	id := srv.AddTask(zaitest.TaskScript{})
	got := poll(client, srv, id)
	wantJSON(t, "HTTP/2", got.body, fill(srv, id, successJSON))
	resp, err := client.Get(srv.FileURL("video.mp4"))
	if err != nil {
		t.Fatal(err)
	}
	if resp.Body.Close(); resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
		t.Error(resp)
	}
	for _, reply := range []zaitest.Reply{zaitest.Abort(), zaitest.CutBody(5)} {
		srv.Enqueue(reply)
		if got := poll(client, srv, id); got.err == nil {
			t.Error(got)
		}
	}
	srv.Close()
	if got := poll(client, srv, id); got.err == nil {
		t.Error(got)
	}
}

// TestSlowNoticesTheClient: a client that goes away in the middle of a wait ends it, whatever it sent.
func TestSlowNoticesTheClient(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		srv := zaitest.NewUnstartedServer()
		client := &http.Client{Transport: srv.Transport()}
		srv.Enqueue(zaitest.Slow(time.Hour, nil))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+"/paas/v4/files", bytes.NewReader(make([]byte, 2<<20)))
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
		}
		if took := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || took != time.Second {
			t.Errorf("%v after %v", err, took)
		}
	}) // No goroutine is left.
}
