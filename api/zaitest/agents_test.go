package zaitest_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"example.com/zai/api/zaitest"
)

const (
	invoke       = "/v1/agents"
	conversation = "/v1/agents/conversation"
	files        = "/paas/v4/files"

	picture = `[{"type":"text","text":"kiss"},{"type":"image_url","image_url":"https://media.example.com/a.jpg"}]`
	hello   = `[{"type":"text","text":"Hello you"}]`
)

func postRequest(ctx context.Context, srv *zaitest.Server, path, body string) *http.Request {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, srv.URL+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+srv.APIKey)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept-Encoding", "identity") // or a stream would come in one piece
	return req
}

func post(client *http.Client, srv *zaitest.Server, path, body string) answer {
	return do(client, postRequest(context.Background(), srv, path, body))
}

// invocation is the body of a request to an agent, with more fields if there are.
func invocation(agentID, content, fields string) string {
	return `{"agent_id":"` + agentID + `",` + fields + `"messages":[{"role":"user","content":` + content + `}]}`
}

func effects(fields string) string {
	return invocation(agent, picture, fields+`"custom_variables":{"template":"french_kiss"},`)
}

func translation(fields string) string {
	return invocation("general_translation", hello, fields+`"custom_variables":{"target_lang":"fr"},`)
}

func slides(fields string) string { return invocation("slides_glm_agent", hello, fields) }

// value is the JSON at a path of names in an object.
func value(t *testing.T, body string, path ...string) any {
	t.Helper()
	var v any
	if err := json.Unmarshal([]byte(body), &v); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	for _, name := range path {
		m, _ := v.(map[string]any)
		v = m[name]
	}
	return v
}

func TestTaskByRequest(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		srv.DefaultTask = zaitest.TaskScript{Code: "1301", Message: "no"}
		srv.EnqueueTasks(zaitest.TaskScript{AgentID: "general_translation"}, zaitest.TaskScript{AgentID: agent, Pending: 1}, zaitest.TaskScript{})
		for _, polls := range [][]string{{pendingJSON, successJSON}, {successJSON}, {failedJSON}, {failedJSON}} {
			got := post(client, srv, invoke, effects(""))
			id, _ := value(t, got.body, "async_id").(string)
			wantJSON(t, "accepted", got.body, fill(srv, id, pendingJSON))
			for _, want := range polls {
				wantJSON(t, "poll", poll(client, srv, id).body, fill(srv, id, want))
			}
		}
		runs := srv.Runs()
		if len(runs) != 4 || runs[0].AsyncID == "" || runs[0].AsyncID == runs[1].AsyncID || runs[0].AgentID != agent {
			t.Errorf("%+v", runs)
		}
	})
}

func TestTaskInline(t *testing.T) {
	const head = `"agent_id":"vidu_template_agent","id":"$ID"`
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		for _, test := range []struct {
			script zaitest.TaskScript
			want   string
			runs   int
		}{
			{zaitest.TaskScript{Inline: true}, `{"status":"success",` + head + `,"choices":[{"index":0,"finish_reason":"stop",
				"message":[{"role":"assistant","content":[` + video + `]}]}]}`, 1},
			{zaitest.TaskScript{Inline: true, Shape: zaitest.ShapeMessages}, `{"status":"success",` + head + `,"choices":[{"index":0,"finish_reason":"stop",
				"messages":[{"role":"assistant","content":[` + video + `]}]}]}`, 1},
			{zaitest.TaskScript{Inline: true, Code: "1113", Message: "top up"}, `{"status":"failed",` + head + `,"error":{"code":"1113","message":"top up"}}`, 0},
			{zaitest.TaskScript{Shape: zaitest.ShapeStatusOnly}, `{"status":"pending"}`, 1},
		} {
			before := len(srv.Runs())
			srv.EnqueueTasks(test.script)
			got := post(client, srv, invoke, effects(""))
			if got.status != http.StatusOK {
				t.Error(got)
			}
			wantJSON(t, "answer", got.body, fill(srv, got.header.Get("X-Log-Id"), test.want))
			if n := len(srv.Runs()) - before; n != test.runs {
				t.Errorf("%+v: %d runs, not %d", test.script, n, test.runs)
			}
		}
		srv.Enqueue(zaitest.Failed("1301", "no"))
		got := post(client, srv, invoke, effects(""))
		wantJSON(t, "refused", got.body, fill(srv, got.header.Get("X-Log-Id"), `{"status":"failed",`+head+`,"error":{"code":"1301","message":"no"}}`))
	})
}

// What an agent that answers with text says at once, in every shape of an answer.
func TestAnswers(t *testing.T) {
	const usage = `"usage":{"prompt_tokens":9,"completion_tokens":14,"total_tokens":23,"total_calls":1}`
	french := func(message string) string {
		return `{"id":"$ID","agent_id":"general_translation","status":"success",` + usage + `,"choices":[{"index":0,"finish_reason":"stop",` + message + `}]}`
	}
	const text = `{"type":"text","text":"[fr] Hello you"}`
	wants := map[zaitest.Shape]string{
		zaitest.ShapeDocumented:            french(`"messages":{"role":"assistant","content":` + text + `}`),
		zaitest.ShapeMessagesObject:        french(`"messages":{"role":"assistant","content":` + text + `}`),
		zaitest.ShapeMessages:              french(`"messages":[{"role":"assistant","content":[` + text + `]}]`),
		zaitest.ShapeMessagesContentObject: french(`"messages":[{"role":"assistant","content":` + text + `}]`),
		zaitest.ShapeMessageObject:         french(`"message":{"role":"assistant","content":[` + text + `]}`),
		zaitest.ShapeDelta:                 french(`"delta":{"role":"assistant","content":[` + text + `]}`),
		zaitest.ShapeContentObject:         french(`"message":[{"role":"assistant","content":` + text + `}]`),
		zaitest.ShapeContentString:         french(`"message":[{"role":"assistant","content":"[fr] Hello you"}]`),
	}
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		for shape, want := range wants {
			srv.EnqueueTasks(zaitest.TaskScript{Shape: shape})
			got := post(client, srv, invoke, translation(""))
			wantJSON(t, string(shape), got.body, fill(srv, got.header.Get("X-Log-Id"), want))
		}
		for name, test := range map[string]struct {
			script     zaitest.TaskScript
			body, want string
		}{
			"default":  {zaitest.TaskScript{}, translation(""), wants[zaitest.ShapeDocumented]},
			"Chinese":  {zaitest.TaskScript{Text: "你好"}, translation(""), strings.NewReplacer("[fr] Hello you", "你好", "14", "2", "23", "11").Replace(wants[zaitest.ShapeDocumented])},
			"blocked":  {zaitest.TaskScript{FinishReason: "sensitive"}, translation(""), strings.Replace(wants[zaitest.ShapeDocumented], "stop", "sensitive", 1)},
			"refused":  {zaitest.TaskScript{Code: "1113", Message: "m"}, translation(""), `{"id":"$ID","agent_id":"general_translation","status":"failed","error":{"code":"1113","message":"m"}}`},
			"streamed": {zaitest.TaskScript{Code: "1113", Message: "m"}, translation(`"stream":true,`), `{"id":"$ID","agent_id":"general_translation","status":"failed","error":{"code":"1113","message":"m"}}`},
			"deck":     {zaitest.TaskScript{Code: "1113", Message: "m"}, slides(""), `{"id":"$ID","agent_id":"slides_glm_agent","status":"failed","error":{"code":"1113","message":"m"}}`},
			"other": {zaitest.TaskScript{}, invocation("solve", hello, ""), `{"id":"$ID","agent_id":"solve","status":"success","usage":{"prompt_tokens":9,
				"completion_tokens":9,"total_tokens":18,"total_calls":1},"choices":[{"index":0,"finish_reason":"stop","message":[{"role":"assistant",
				"content":[{"type":"text","text":"Hello you"}]}]}]}`},
			"files": {zaitest.TaskScript{FileURLs: []string{"https://a.example/1.pdf"}}, invocation("solve", hello, ""), `{"id":"$ID","agent_id":"solve","status":"success",
				"usage":{"prompt_tokens":9,"completion_tokens":0,"total_tokens":9,"total_calls":1},"choices":[{"index":0,"finish_reason":"stop",
				"message":[{"role":"assistant","content":[{"type":"file_url","file_url":"https://a.example/1.pdf"}]}]}]}`},
		} {
			srv.EnqueueTasks(test.script)
			got := post(client, srv, invoke, test.body)
			if got.status != http.StatusOK || got.header.Get("Content-Type") != "application/json;charset=UTF-8" {
				t.Errorf("%s: %+v", name, got)
			}
			wantJSON(t, name, got.body, fill(srv, got.header.Get("X-Log-Id"), test.want))
		}

		srv.EnqueueTasks(zaitest.TaskScript{Pending: 1, Text: "done"})
		got := post(client, srv, invoke, invocation("doc_translation_agent", hello, ""))
		id, _ := value(t, got.body, "async_id").(string)
		for _, want := range []string{"pending", "success"} {
			if got := do(client, pollRequest(t.Context(), srv, "doc_translation_agent", id)); value(t, got.body, "status") != want {
				t.Error(got)
			}
		}
	})
}

func TestBadInvocations(t *testing.T) {
	tests := []struct{ name, body, code string }{
		{"not JSON", `{`, "1210"},
		{"wrong type", invocation(agent, picture, `"stream":"yes",`), "1210"},
		{"no agent", `{"messages":[{"content":[]}]}`, "1213"},
		{"no messages", `{"agent_id":"solve"}`, "1213"},
		{"content is text", invocation("solve", `"hi"`, ""), "1211"},
		{"content is null", invocation("solve", `null`, ""), "1211"},
		{"no content", `{"agent_id":"solve","messages":[{}]}`, "1211"},
		{"content of text", invocation("solve", `["hi"]`, ""), "1211"},
		{"a part without a type", invocation("solve", `[{"text":"hi"}]`, ""), "1214"},
		{"a text without text", invocation("solve", `[{"type":"text"}]`, ""), "1214"},
		{"a picture with an object", invocation("solve", `[{"type":"image_url","image_url":{"url":"https://a.example"}}]`, ""), "1214"},
		{"nothing to translate", invocation("general_translation", `[]`, ""), "1213"},
		{"no template", invocation(agent, picture, ""), "1213"},
		{"no picture", strings.Replace(effects(""), picture, hello, 1), "1213"},
		{"two pictures", strings.Replace(effects(""), `[{"type":"text","text":"kiss"}`, `[{"type":"image_url","image_url":"https://a.example/b.jpg"}`, 1), "1213"},
		{"a picture in base64", strings.Replace(effects(""), "https://media.example.com/a.jpg", "data:image/png;base64,AA==", 1), "1214"},
		{"no such deck", slides(`"conversation_id":"x",`), "1214"},
	}
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		for _, test := range tests {
			got := post(client, srv, invoke, test.body)
			if got.status != http.StatusBadRequest || value(t, got.body, "error", "code") != test.code {
				t.Errorf("%s: %+v", test.name, got)
			}
		}
		if runs := srv.Runs(); len(runs) != 0 {
			t.Errorf("%+v", runs)
		}
		req := postRequest(t.Context(), srv, invoke, effects(""))
		req.Header.Del("Authorization")
		if got := do(client, req); got.status != http.StatusUnauthorized {
			t.Error(got)
		}
	})
}

func TestRequestIDInUse(t *testing.T) {
	const id = `"request_id":"r-1",`
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		check := func(want, body string) {
			t.Helper()
			got := post(client, srv, invoke, body)
			code, _ := value(t, got.body, "error", "code").(string)
			if code != want {
				t.Errorf("%+v", got)
			}
		}
		check("", effects(id))
		check("1231", effects(id))
		check("1231", translation(id))
		check("", effects(`"request_id":"r-2",`))
		poll(client, srv, srv.Runs()[0].AsyncID) // which tells that it has ended
		check("", effects(id))
		if got := srv.Runs(); len(got) != 3 || got[1].RequestID != "r-2" || got[2].RequestID != "r-1" {
			t.Errorf("%+v", got)
		}

		hold := make(chan struct{})
		srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Events: []zaitest.Event{{Text: "x"}, {FinishReason: "stop", Hold: hold}}}})
		resp, err := client.Do(postRequest(t.Context(), srv, invoke, translation(`"request_id":"r-3","stream":true,`)))
		if err != nil {
			t.Fatal(err)
		}
		check("1231", translation(`"request_id":"r-3",`))
		close(hold)
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Error(err)
		}
		resp.Body.Close()
	})
}

// However often the same request comes at once, one of them is carried out.
func TestConcurrentRequestID(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		var wg sync.WaitGroup
		var accepted atomic.Int32
		for range 20 {
			wg.Go(func() {
				if got := post(client, srv, invoke, effects(`"request_id":"r-1",`)); got.status == http.StatusOK {
					accepted.Add(1)
				}
			})
		}
		wg.Wait()
		if accepted.Load() != 1 || len(srv.Runs()) != 1 {
			t.Errorf("%d accepted, %d runs", accepted.Load(), len(srv.Runs()))
		}
	})
}

// A fault keeps a request from being carried out, unless it only loses the answer.
func TestLose(t *testing.T) {
	gone := zaitest.Raw(200, http.Header{"Content-Length": {"200"}}, "")
	faults := map[string]struct {
		reply  zaitest.Reply
		status int // 0: none
		made   int
	}{
		"reset":             {zaitest.Abort(), 0, 0},
		"reset, headers":    {gone, 200, 0},
		"reset, cut body":   {zaitest.Raw(200, http.Header{"Content-Length": {"200"}}, `{"status":`), 200, 0},
		"truncated":         {zaitest.TruncatedJSON(), 200, 0},
		"500":               {zaitest.ServerError("1234"), 500, 0},
		"502":               {zaitest.HTMLError(502), 502, 0},
		"503":               {zaitest.WithHeader("Retry-After", "1", zaitest.HTMLError(503)), 503, 0},
		"headers, then cut": {zaitest.CutBody(0), 200, 1},
		"cut":               {zaitest.CutBody(5), 200, 1},
	}
	for name, fault := range maps.Clone(faults) {
		if fault.made == 0 {
			fault.reply, fault.made = zaitest.Lose(fault.reply), 1
			faults["lost: "+name] = fault
		}
	}
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		for name, fault := range faults {
			for _, kept := range []bool{false, true} {
				if kept {
					post(client, srv, invoke, translation(""))
				} else {
					client.CloseIdleConnections()
				}
				before := len(srv.Runs())
				srv.Enqueue(fault.reply)
				req := postRequest(t.Context(), srv, invoke, effects(`"request_id":"`+name+fmt.Sprint(kept)+`",`))
				req.GetBody = nil // not to be sent again
				got := do(client, req)
				if got.status != fault.status || got.status == 0 && got.err == nil {
					t.Errorf("%s: %+v", name, got)
				}
				if runs := srv.Runs()[before:]; len(runs) != fault.made || fault.made == 1 && runs[0].RequestID != name+fmt.Sprint(kept) {
					t.Errorf("%s: %+v", name, runs)
				}
			}
		}
		before := len(srv.Runs())
		for i, wrap := range []func(zaitest.Reply) zaitest.Reply{func(r zaitest.Reply) zaitest.Reply { return r }, zaitest.Lose} {
			ctx, cancel := context.WithCancel(t.Context())
			srv.Enqueue(wrap(func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
				cancel()
				zaitest.Hang()(w, r, ordinary)
			}))
			if got := do(client, postRequest(ctx, srv, invoke, effects(`"request_id":"hang",`))); !errors.Is(got.err, context.Canceled) {
				t.Error(got)
			}
			if n := len(srv.Runs()) - before; n != i {
				t.Errorf("%d runs, not %d", n, i)
			}
		}
		if got := post(client, srv, invoke, effects(`"request_id":"hang",`)); value(t, got.body, "error", "code") != "1231" {
			t.Errorf("the second one was not carried out: %+v", got)
		}
	})
}

func TestConversation(t *testing.T) {
	body := func(id, fields string) string {
		return `{"agent_id":"slides_glm_agent","conversation_id":"` + id + `"` + fields + `}`
	}
	part := func(kind, address string) string { return `{"type":"` + kind + `","` + kind + `":"` + address + `"}` }
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		want := func(parts ...string) string {
			return `"choices":[{"message":[{"role":"assistant","content":[` + strings.Join(parts, ",") + `]}]}]}`
		}
		page1, page2 := part("image_url", srv.FileURL("page-1.png")), part("image_url", srv.FileURL("page-2.png"))
		pdf := part("file_url", srv.FileURL("deck.pdf"))
		const none = `"choices":[{"message":[]}]}`
		own := zaitest.TaskScript{FileURLs: []string{"https://a.example/d.pdf"}, ImageURLs: []string{"https://a.example/1.png"}}
		for _, test := range []struct {
			name   string
			script zaitest.TaskScript
			fields string
			wants  []string
		}{
			{"default", zaitest.TaskScript{}, ``, []string{want(page1, page2)}},
			{"PDF", zaitest.TaskScript{}, `,"custom_variables":{"include_pdf":true}`, []string{want(pdf, page1, page2)}},
			{"pages", zaitest.TaskScript{}, `,"custom_variables":{"pages":[{"position":2,"width":595.28},{"position":3},{"position":0}]}`, []string{want(page2)}},
			{"no pages", zaitest.TaskScript{}, `,"custom_variables":{"pages":[]}`, []string{none}},
			{"own", own, `,"custom_variables":{"include_pdf":true}`, []string{want(part("file_url", "https://a.example/d.pdf"), part("image_url", "https://a.example/1.png"))}},
			{"not yet", zaitest.TaskScript{Pending: 1}, ``, []string{none, want(page1, page2)}},
			{"never", zaitest.TaskScript{NoResult: true}, `,"custom_variables":{"include_pdf":true}`, []string{none, none}},
			{"messages", zaitest.TaskScript{Shape: zaitest.ShapeMessages}, ``, []string{strings.Replace(want(page1, page2), "message", "messages", 1)}},
			{"failed", zaitest.TaskScript{Code: "1301", Message: "no"}, ``, []string{`"error":{"code":"1301","message":"no"}}`}},
			{"replies", zaitest.TaskScript{Replies: []zaitest.Reply{zaitest.ServerError("1234")}}, ``, []string{"", want(page1, page2)}},
		} {
			id := srv.AddConversation(test.script)
			for _, want := range test.wants {
				got := post(client, srv, conversation, body(id, test.fields))
				if want == "" {
					if got.status != http.StatusInternalServerError {
						t.Errorf("%s: %+v", test.name, got)
					}
					continue
				}
				wantJSON(t, test.name, got.body, `{"agent_id":"slides_glm_agent","conversation_id":"`+id+`",`+want)
			}
		}
		got := post(client, srv, conversation, body("x", ""))
		if got.status != http.StatusOK || value(t, got.body, "error", "code") != "1214" || value(t, got.body, "conversation_id") != "x" {
			t.Error(got)
		}
		for _, name := range []string{"deck.pdf", "page-1.png", "page-2.png"} {
			if got := get(t, client, srv.FileURL(name)); got.status != http.StatusOK || got.body == "" {
				t.Errorf("%s: %+v", name, got)
			}
		}
	})
}

// A deck is made by a stream, has its files once that has ended, and grows with the next one.
func TestDeck(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		hold := make(chan struct{})
		events := zaitest.SlidesEvents("<p>1</p>", "<p>2</p>", "<p>3</p>")
		events[len(events)-1].Hold = hold
		srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Events: events}})
		resp, err := client.Do(postRequest(t.Context(), srv, invoke, slides(`"stream":false,"request_id":"r-1",`)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		run := srv.Runs()[0]
		images := func() int {
			got := post(client, srv, conversation, `{"agent_id":"slides_glm_agent","conversation_id":"`+run.ConversationID+`"}`)
			return strings.Count(got.body, `"image_url":`)
		}
		if n := images(); n != 0 {
			t.Errorf("%d pages before the stream has ended", n)
		}
		close(hold)
		if body, err := io.ReadAll(resp.Body); err != nil || strings.Count(string(body), run.ConversationID) != len(events) {
			t.Errorf("%s, %v", body, err)
		}
		if n := images(); n != 3 || run.RequestID != "r-1" {
			t.Errorf("%d pages, %+v", n, run)
		}
		if got := get(t, client, srv.FileURL("page-3.png")); got.status != http.StatusOK {
			t.Error(got)
		}
		srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Events: []zaitest.Event{
			{Tool: &zaitest.Tool{Name: "insert_page", Output: "<p>4</p>", Position: []int{4}}}, {FinishReason: "stop"},
		}}})
		post(client, srv, invoke, slides(`"conversation_id":"`+run.ConversationID+`",`))
		if n := images(); n != 4 || srv.Runs()[1].ConversationID != run.ConversationID {
			t.Errorf("%d pages, %+v", n, srv.Runs())
		}
	})
}
