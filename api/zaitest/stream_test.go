package zaitest_test

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/zai/api/zaitest"
)

const streamed = `"stream":true,`

// events returns the data of the events of a stream whose lines end in LF.
func events(body string) (list []string) {
	for event := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		list = append(list, strings.TrimPrefix(event, "data: "))
	}
	return list
}

// How the events a, b and stop go over the wire in every shape. $ stands for the ids.
var streamWants = map[zaitest.Shape]string{
	"": recorded, zaitest.ShapeMessagesContentObject: recorded, zaitest.ShapePlainText: recorded,
	zaitest.ShapeNoContentType: recorded, zaitest.ShapeEventsAsJSON: recorded,
	zaitest.ShapeDone:          recorded + "data: [DONE]\n\n",
	zaitest.ShapeNoDone:        recorded,
	zaitest.ShapeCRLF:          strings.ReplaceAll(recorded, "\n", "\r\n"),
	zaitest.ShapeCR:            strings.ReplaceAll(recorded, "\n", "\r"),
	zaitest.ShapeByteOrderMark: "\ufeff" + recorded,
	zaitest.ShapeEventFields: ": keep-alive\n\nevent: message\nid: 0\nretry: 3000\n" + eventA + ": keep-alive\n\nevent: message\nid: 1\nretry: 3000\n" + eventB +
		": keep-alive\n\nevent: message\nid: 2\nretry: 3000\n" + eventStop,
	zaitest.ShapeNoFinalBlankLine: strings.TrimSuffix(recorded, "\n\n"),
	zaitest.ShapeNullEvent:        `data: {"id":"","object":"","created":0,"model":"","choices":null,"usage":null}` + "\n\n" + recorded,
	zaitest.ShapeCorruptEvent:     eventA + "data: {\"id\":data: {\n\n" + eventB + eventStop,

	zaitest.ShapeDocumented:     spoken(`"messages":{"content":$}`), // of this agent
	zaitest.ShapeMessages:       spoken(`"messages":[{"content":[$]}]`),
	zaitest.ShapeMessagesObject: spoken(`"messages":{"content":$}`),
	zaitest.ShapeMessageObject:  spoken(`"message":{"content":[$]}`),
	zaitest.ShapeDelta: strings.NewReplacer(`"index":0,"delta"`, `"delta"`, `"role":"assistant"}}]`, `"role":"assistant"},"index":0}]`).
		Replace(spoken(`"delta":{"content":[$]}`)),
	zaitest.ShapeContentObject: spoken(`"message":[{"content":$}]`),
	zaitest.ShapeContentString: strings.NewReplacer(`{"text":"a","type":"text"}`, `"a"`, `{"text":"b","type":"text"}`, `"b"`).
		Replace(spoken(`"message":[{"content":$}]`)),
}

const (
	eventA    = `data: {"agent_id":"general_translation","choices":[{"index":0,"messages":[{"content":{"text":"a","type":"text"},"role":"assistant"}]}],"id":"$"}` + "\n\n"
	eventB    = `data: {"agent_id":"general_translation","choices":[{"index":0,"messages":[{"content":{"text":"b","type":"text"},"role":"assistant"}]}],"id":"$"}` + "\n\n"
	eventStop = `data: {"agent_id":"general_translation","choices":[{"finish_reason":"stop"}],"id":"$","usage":{"completion_tokens":14,"prompt_tokens":9,"total_calls":1,"total_tokens":23}}` + "\n\n"
	recorded  = eventA + eventB + eventStop
)

// spoken is the recorded stream with another way to write a message.
func spoken(message string) string {
	return strings.NewReplacer(
		`"messages":[{"content":{"text":"a","type":"text"},"role":"assistant"}]`, say(message, "a"),
		`"messages":[{"content":{"text":"b","type":"text"},"role":"assistant"}]`, say(message, "b")).Replace(recorded)
}

func say(message, text string) string {
	message = strings.Replace(message, "$", `{"text":"`+text+`","type":"text"}`, 1)
	if strings.HasSuffix(message, "}]") {
		return strings.TrimSuffix(message, "}]") + `,"role":"assistant"}]`
	}
	return strings.TrimSuffix(message, "}") + `,"role":"assistant"}`
}

func TestStreamShapes(t *testing.T) {
	for _, shape := range zaitest.StreamShapes() {
		if _, ok := streamWants[shape]; !ok && shape != zaitest.ShapeMultiLine {
			t.Errorf("%s is not tested", shape)
		}
	}
	media := map[zaitest.Shape]string{zaitest.ShapePlainText: "text/plain", zaitest.ShapeNoContentType: "", zaitest.ShapeEventsAsJSON: "application/json;charset=UTF-8"}
	script := zaitest.Stream{Events: []zaitest.Event{{Text: "a"}, {Text: "b"}, {FinishReason: "stop"}}}
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		for shape, want := range streamWants {
			srv.EnqueueTasks(zaitest.TaskScript{Shape: shape, Stream: script})
			got := post(client, srv, invoke, translation(streamed))
			if want = strings.ReplaceAll(want, "$", got.header.Get("X-Log-Id")); got.body != want || got.err != nil || got.status != http.StatusOK {
				t.Errorf("%s: got %v\n%q\nwant\n%q", shape, got.err, got.body, want)
			}
			contentType, special := media[shape]
			if !special {
				contentType = "text/event-stream;charset=UTF-8"
			}
			if got := got.header.Get("Content-Type"); got != contentType {
				t.Errorf("%s: Content-Type %q", shape, got)
			}
		}

		srv.EnqueueTasks(zaitest.TaskScript{Shape: zaitest.ShapeMultiLine, Stream: script})
		got := post(client, srv, invoke, translation(streamed))
		list := events(got.body)
		if len(list) != 3 || strings.Count(got.body, "\ndata: ") < 20 {
			t.Fatalf("%q", got.body)
		}
		for i, want := range events(strings.ReplaceAll(recorded, "$", got.header.Get("X-Log-Id"))) {
			wantJSON(t, "lines", strings.ReplaceAll(list[i], "\ndata: ", "\n"), want)
		}

		for shape, n := range map[zaitest.Shape]int{zaitest.ShapeDone: 1, zaitest.ShapeNoDone: 0, "": 1} { // what has [DONE] already
			srv.EnqueueTasks(zaitest.TaskScript{Shape: shape, FinishReason: "error"})
			got := post(client, srv, invoke, translation(streamed)).body
			if strings.Count(got, "[DONE]") != n || !strings.Contains(got, `"finish_reason":"error"`) || strings.Contains(got, "stop") {
				t.Errorf("%s: %s", shape, got)
			}
		}
	})
}

// What the agents stream by themselves: a text in words, and a deck as it was recorded.
func TestRecordedStreams(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		got := post(client, srv, invoke, translation(streamed))
		head := `"id":"` + got.header.Get("X-Log-Id") + `","agent_id":"general_translation"`
		chunk := func(text string) string {
			return `{` + head + `,"choices":[{"index":0,"messages":[{"role":"assistant","content":{"type":"text","text":"` + text + `"}}]}]}`
		}
		list := events(got.body)
		for i, want := range []string{chunk("[fr] "), chunk("Hello "), chunk("you"), `{` + head + `,"choices":[{"finish_reason":"stop"}],
			"usage":{"prompt_tokens":9,"completion_tokens":14,"total_tokens":23,"total_calls":1}}`} {
			wantJSON(t, "translation", list[i], want)
		}
		if len(list) != 5 || list[4] != "[DONE]" {
			t.Errorf("%q", list)
		}

		for _, fields := range []string{"", streamed, `"stream":false,`} {
			got := post(client, srv, invoke, slides(fields))
			runs := srv.Runs()
			head := `"id":"` + got.header.Get("X-Log-Id") + `","agent_id":"slides_glm_agent","conversation_id":"` + runs[len(runs)-1].ConversationID + `"`
			say := func(phase, text string) string {
				return `{` + head + `,"choices":[{"index":0,"messages":[{"role":"assistant","content":{"type":"text","text":"` + text + `"},"phase":"` + phase + `"}]}]}`
			}
			tool := func(object string) string {
				return `{` + head + `,"choices":[{"index":0,"messages":[{"role":"assistant","content":[{"type":"object","object":` + object +
					`,"tag_cn":"工具","tag_en":"Tool"}],"phase":"tool"}]}]}`
			}
			page := func(n, output string) string {
				return tool(`{"tool_name":"add_slide","output":"` + output + `","position":[` + n + `],"title":"Slide ` + n + `"}`)
			}
			mark := `{` + head + `,"choices":[{"finish_reason":"tool_calls"}]}`
			wants := []string{
				say("thinking", "Plan"), say("thinking", " it"),
				tool(`{"tool_name":"search","input":"{\"q\":\"tides\"}"}`), mark, tool(`{"tool_name":"search","output":"[{\\\"title\\\":\\\"t\\\"}]"}`),
				page("1", `<!DOCTYPE html>`), page("1", `\\\\n<div class=\\\"slide\\\">`), page("1", "One</div>"), mark,
				page("2", `<!DOCTYPE html>`), page("2", `\\\\n<div class=\\\"slide\\\">`), page("2", "Two</div>"), mark,
				say("answer", "Deck "), say("answer", "ready"),
				`{` + head + `,"choices":[{"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18,"total_calls":1}}`,
			}
			list := events(got.body)
			if len(list) != len(wants) {
				t.Fatalf("%d events, not %d: %s", len(list), len(wants), got.body)
			}
			for i, want := range wants {
				wantJSON(t, "slides", list[i], want)
			}
		}

		srv.EnqueueTasks(zaitest.TaskScript{Shape: zaitest.ShapeDocumented})
		list = events(post(client, srv, invoke, slides("")).body)
		for i, want := range map[int]string{
			0: `[{"index":0,"message":[{"role":"assistant","phase":"thinking","content":[{"type":"text","text":"Plan"}]}]}]`,
			2: `[{"index":0,"message":[{"role":"assistant","phase":"tool","content":[{"type":"object","tag_cn":"工具","tag_en":"Tool",
				"object":{"tool_name":"search","input":"{\"q\":\"tides\"}"}}]}]}]`,
		} {
			choices, err := json.Marshal(value(t, list[i], "choices"))
			if err != nil {
				t.Fatal(err)
			}
			wantJSON(t, "documented", string(choices), want)
		}
	})
}

// Whoever has read the end of a stream finds the files of the deck.
func TestFilesAtTheEnd(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		list := zaitest.SlidesEvents()
		list = append(list, zaitest.Event{Data: "[DONE]", Hold: make(chan struct{})}) // which never comes
		srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Events: list}})
		resp, err := client.Do(postRequest(t.Context(), srv, invoke, slides(`"request_id":"r-1",`)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for line := ""; !strings.Contains(line, `"finish_reason":"stop"`); {
			if line, err = lines.ReadString('\n'); err != nil {
				t.Fatal(err)
			}
		}
		got := post(client, srv, conversation, `{"agent_id":"slides_glm_agent","conversation_id":"`+srv.Runs()[0].ConversationID+`"}`)
		if strings.Count(got.body, `"image_url":`) != 2 {
			t.Errorf("%+v", got)
		}
		if got := post(client, srv, invoke, slides(`"request_id":"r-1",`)); got.status != http.StatusOK {
			t.Errorf("%+v", got)
		}
	})
}

// A large event takes the server little more memory than the test gave it.
func TestLargeEvent(t *testing.T) {
	srv := zaitest.NewUnstartedServer()
	defer srv.Close()
	client := &http.Client{Transport: srv.Transport()}
	large := zaitest.Event{Data: strings.Repeat("x", 8<<20)}
	srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Events: []zaitest.Event{large, large, large}}})
	resp, err := client.Do(postRequest(t.Context(), srv, invoke, translation(streamed)))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	n, err := io.Copy(io.Discard, resp.Body)
	if runtime.ReadMemStats(&after); err != nil || n != 3*(8<<20+int64(len("data: \n\n"))) || after.TotalAlloc-before.TotalAlloc > 1<<20 {
		t.Errorf("%d bytes with %d allocated, %v", n, after.TotalAlloc-before.TotalAlloc, err)
	}
}

// What a script may have happen in a stream.
func TestStreamScripts(t *testing.T) {
	a := zaitest.Event{Text: "a"}
	tests := []struct {
		name   string
		events []zaitest.Event
		want   []string // $ stands for the ids
		err    error
	}{
		{"nothing", []zaitest.Event{}, []string{""}, nil},
		{"error first", []zaitest.Event{{Code: "1113", Message: "m"}}, []string{`{$,"status":"failed","error":{"code":"1113","message":"m"}}`}, nil},
		{"error in the middle", []zaitest.Event{a, {Code: "1301"}, a}, []string{say1, `{$,"status":"failed","error":{"code":"1301","message":""}}`, say1}, nil},
		{"error last", []zaitest.Event{a, {FinishReason: "sensitive", Code: "1301", Message: "m"}}, []string{say1,
			`{$,"choices":[{"finish_reason":"sensitive"}],` + usage18 + `,"error":{"code":"1301","message":"m"}}`}, nil},
		{"cut", []zaitest.Event{a, a}, []string{say1, say1}, nil},
		{"broken", []zaitest.Event{a, {Abort: true}}, []string{say1}, io.ErrUnexpectedEOF},
		{"corrupt", []zaitest.Event{{Data: "{"}, {Data: "null"}, a}, []string{"{", "null", say1}, nil},
		{"lines", []zaitest.Event{{Data: "{\n}"}}, []string{"{\ndata: }"}, nil},
		{"an end with text", []zaitest.Event{{Text: "a", FinishReason: "length"}}, []string{
			`{$,"choices":[{"index":0,"finish_reason":"length","messages":[{"role":"assistant","content":{"type":"text","text":"a"}}]}],` + usage18 + `}`}, nil},
		{"output of other types", []zaitest.Event{{Tool: &zaitest.Tool{Name: "search_images", Output: []any{}}}}, []string{
			`{$,"choices":[{"index":0,"messages":[{"role":"assistant","phase":"tool","content":[{"type":"object","tag_cn":"工具","tag_en":"Tool",
			"object":{"tool_name":"search_images","output":[]}}]}]}]}`}, nil},
	}
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		for _, test := range tests {
			srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Events: test.events}})
			got := post(client, srv, invoke, invocation("solve", hello, "")) // streams though not asked to
			list := events(got.body)
			if !errors.Is(got.err, test.err) || len(list) != len(test.want) || got.status != http.StatusOK {
				t.Errorf("%s: %v, %q", test.name, got.err, got.body)
				continue
			}
			for i, want := range test.want {
				if !strings.HasPrefix(want, "{$") {
					if list[i] != want {
						t.Errorf("%s: %q, not %q", test.name, list[i], want)
					}
					continue
				}
				wantJSON(t, test.name, list[i], strings.Replace(want, "$", `"id":"`+got.header.Get("X-Log-Id")+`","agent_id":"solve"`, 1))
			}
		}
		srv.Enqueue(zaitest.CutBody(100))
		if got := post(client, srv, invoke, slides("")); got.err == nil || len(got.body) != 100 {
			t.Errorf("%v, %q", got.err, got.body)
		}
	})
}

const (
	say1    = `{$,"choices":[{"index":0,"messages":[{"role":"assistant","content":{"type":"text","text":"a"}}]}]}`
	usage18 = `"usage":{"prompt_tokens":9,"completion_tokens":9,"total_tokens":18,"total_calls":1}`
)

// An event is there before the next one is sent.
func TestEventByEvent(t *testing.T) {
	check := func(t *testing.T, srv *zaitest.Server, client *http.Client, proto int) {
		t.Helper()
		hold := make(chan struct{})
		list := zaitest.TextEvents("one two three")
		for i := range list {
			list[i].Hold = hold
		}
		srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Events: list}})
		resp, err := client.Do(postRequest(t.Context(), srv, invoke, translation(streamed)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.ProtoMajor != proto {
			t.Errorf("%s", resp.Proto)
		}
		lines := bufio.NewReader(resp.Body)
		for range list {
			hold <- struct{}{} // the server waits here, and nothing but one event comes of it
			for _, want := range []string{"data: ", "\n"} {
				if line, err := lines.ReadString('\n'); err != nil || !strings.HasPrefix(line, want) {
					t.Errorf("%q, %v", line, err)
				}
			}
			if lines.Buffered() > 0 {
				t.Error("more than one event came")
			}
		}
		if rest, err := io.ReadAll(lines); err != nil || len(rest) > 0 {
			t.Errorf("%q, %v", rest, err)
		}
	}
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) { check(t, srv, client, 1) })

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
	check(t, srv, client, 2)
	srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Events: []zaitest.Event{{Text: "a"}, {Abort: true}}}})
	if got := post(client, srv, invoke, translation(streamed)); got.err == nil || len(events(got.body)) != 1 {
		t.Errorf("%+v", got)
	}
}

func TestStreamsInVirtualTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zaitest.NewUnstartedServer()
		defer srv.Close()
		client := &http.Client{Transport: srv.Transport()}
		list := zaitest.SlidesEvents()
		list[1].Pause = 5 * time.Second
		srv.DefaultTask = zaitest.TaskScript{Stream: zaitest.Stream{Events: list, Interval: 20 * time.Second}}
		start := time.Now()
		if got := post(client, srv, invoke, slides("")); got.err != nil || time.Since(start) != time.Duration(len(list)-1)*20*time.Second+5*time.Second {
			t.Errorf("%v, %+v", time.Since(start), got)
		}

		for _, stuck := range []zaitest.Stream{
			{KeepOpen: true},
			{Events: []zaitest.Event{{Text: "a"}, {Hold: make(chan struct{})}}},
			{Events: []zaitest.Event{{Text: "a"}, {Pause: time.Hour}}},
		} {
			srv.EnqueueTasks(zaitest.TaskScript{Stream: stuck})
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			got := do(client, postRequest(ctx, srv, invoke, translation(streamed)))
			if !errors.Is(got.err, context.DeadlineExceeded) || time.Since(start) != time.Minute || len(events(got.body)) == 0 {
				t.Errorf("%v, %+v", time.Since(start), got)
			}
			cancel()
		}
	})
}

// A client that accepts the type of a stream finds its connection left open, as with the API, and one that
// accepts gzip waits for all of it.
func TestStreamTraps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		srv := zaitest.NewUnstartedServer()
		defer srv.Close()
		client := &http.Client{Transport: srv.Transport()}
		for accept, open := range map[string]bool{"": false, "*/*": false, "application/json": false, "text/event-stream": true} {
			req := postRequest(t.Context(), srv, invoke, translation(streamed))
			req.Header.Set("Accept", accept)
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			ended := make(chan bool, 1)
			lines := bufio.NewReader(resp.Body)
			for line := ""; line != "data: [DONE]\n"; {
				if line, err = lines.ReadString('\n'); err != nil {
					t.Fatal(err)
				}
			}
			go func() {
				_, _ = io.Copy(io.Discard, lines)
				ended <- true
			}()
			synctest.Wait()
			if (len(ended) == 0) != open {
				t.Errorf("Accept %q: the stream ended by itself %t", accept, !open)
			}
			resp.Body.Close()
		}

		hold := make(chan struct{})
		srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{KeepOpen: true, Events: []zaitest.Event{{Text: "a"}, {Text: "b", Hold: hold}}}})
		req := postRequest(t.Context(), srv, invoke, translation(streamed))
		req.Header.Set("Accept-Encoding", "gzip")
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		first := make(chan byte, 1)
		go func() {
			b := make([]byte, 1)
			_, _ = io.ReadFull(resp.Body, b)
			first <- b[0]
		}()
		if synctest.Wait(); len(first) > 0 {
			t.Error("the first event came before the second")
		}
		close(hold)
		zip, err := gzip.NewReader(io.MultiReader(strings.NewReader(string(rune(<-first))), resp.Body))
		if err != nil {
			t.Fatal(err)
		}
		zip.Multistream(false)
		if body, err := io.ReadAll(zip); err != nil || len(events(string(body))) != 2 || resp.Header.Get("Content-Encoding") != "gzip" {
			t.Errorf("%q, %v", body, err)
		}
	})
}

// The server's end is the end of its streams.
func TestCloseWhileStreaming(t *testing.T) {
	for _, stream := range []zaitest.Stream{{KeepOpen: true}, {Events: []zaitest.Event{{Text: "a"}, {Hold: make(chan struct{})}}}} {
		both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
			srv.EnqueueTasks(zaitest.TaskScript{Stream: stream})
			resp, err := client.Do(postRequest(t.Context(), srv, invoke, translation(streamed)))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			srv.Close()
			if body, err := io.ReadAll(resp.Body); err == nil {
				t.Errorf("%q", body)
			}
		})
	}
}
