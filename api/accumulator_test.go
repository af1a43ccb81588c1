package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"example.com/zai/api"
)

// accumulate streams events of these data, and folds them. Their Results must not change by it.
func accumulate(t *testing.T, events ...string) *api.Accumulator {
	t.Helper()
	all := &api.Accumulator{}
	client := streamOver(t, func() io.Reader { return strings.NewReader(decodeEvents(append(events, "[DONE]")...)) })
	results, err := streamAll(t, client.Stream(t.Context(), streamSlides))
	if err != nil {
		t.Fatal(err)
	}
	var before []string
	for _, r := range results {
		before = append(before, accumulatorText(t, r))
	}
	for _, r := range results {
		if err := all.Add(r); err != nil {
			t.Fatal(err)
		}
	}
	for i, r := range results {
		if after := accumulatorText(t, r); after != before[i] {
			t.Errorf("event %d was changed from %s to %s", i, before[i], after)
		}
	}
	return all
}

// accumulatorText is all that a Result holds.
func accumulatorText(t *testing.T, r *api.Result) string {
	t.Helper()
	text, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + string(r.Raw)
}

func accumulatorTool(object string) string {
	return `{"choices":[{"messages":[{"role":"assistant","phase":"tool","content":[{"type":"object","object":` + object + `,"tag_en":"Tool"}]}]}]}`
}

func accumulatorPart(key, phase, content string) string {
	return `{"choices":[{"` + key + `":[{"role":"assistant","phase":"` + phase + `","content":` + content + `}]}]}`
}

// TestAccumulatorPieces puts the pieces of tool calls together, in whatever order they come.
func TestAccumulatorPieces(t *testing.T) {
	t.Parallel()
	const mark = `{"choices":[{"finish_reason":"tool_calls"}]}`
	call := func(name, input, output string, position ...int) api.ToolCall {
		c := api.ToolCall{Name: name, Position: position}
		if input != "" {
			c.Input = json.RawMessage(input)
		}
		if output != "" {
			c.Output = json.RawMessage(output)
		}
		return c
	}
	for name, tt := range map[string]struct {
		events []string
		want   []api.ToolCall
	}{
		"input, then output": {[]string{`{"tool_name":"search","input":"q"}`, `{"tool_name":"search","output":"r"}`}, []api.ToolCall{call("search", `"q"`, `"r"`)}},
		"a mark between":     {[]string{`{"tool_name":"search","input":{"q":1}}`, mark, `{"tool_name":"search","output":[1,2]}`, mark}, []api.ToolCall{call("search", `{"q":1}`, `[1,2]`)}},
		"both at once":       {[]string{`{"tool_name":"search","input":"q","output":"r"}`, `{"tool_name":"search","output":"s"}`}, []api.ToolCall{call("search", `"q"`, `"rs"`)}},
		"only output":        {[]string{`{"tool_name":"add_slide","output":"<p>","position":[1]}`}, []api.ToolCall{call("add_slide", "", `"<p>"`, 1)}},
		"fragments": {
			[]string{`{"tool_name":"add_slide","output":"<p>\\n","position":[1]}`, `{"tool_name":"add_slide","output":"\u00e9\ud83d","position":[1]}`, `{"tool_name":"add_slide","output":"\ude00","position":[1]}`, `{"tool_name":"add_slide","output":"","position":[1]}`},
			[]api.ToolCall{call("add_slide", "", `"<p>\\n\u00e9\ud83d\ude00"`, 1)},
		},
		"interleaved positions": {
			[]string{`{"tool_name":"add_slide","output":"a","position":[1]}`, `{"tool_name":"add_slide","output":"x","position":[2]}`, `{"tool_name":"add_slide","output":"b","position":[1]}`, `{"tool_name":"add_slide","output":"y","position":[2]}`},
			[]api.ToolCall{call("add_slide", "", `"ab"`, 1), call("add_slide", "", `"xy"`, 2)},
		},
		"interleaved tools": {
			[]string{`{"tool_name":"search","input":"q"}`, `{"tool_name":"search_images","input":"i"}`, `{"tool_name":"search","output":"r"}`, `{"tool_name":"search_images","output":[]}`},
			[]api.ToolCall{call("search", `"q"`, `"r"`), call("search_images", `"i"`, `[]`)},
		},
		"again after a mark": {
			[]string{`{"tool_name":"add_slide","output":"a","position":[1]}`, mark, `{"tool_name":"add_slide","output":"b","position":[1]}`},
			[]api.ToolCall{call("add_slide", "", `"a"`, 1), call("add_slide", "", `"b"`, 1)},
		},
		"again with an input": {
			[]string{`{"tool_name":"search","input":"q"}`, `{"tool_name":"search","output":"r"}`, `{"tool_name":"search","input":"q2"}`, `{"tool_name":"search","output":"r2"}`},
			[]api.ToolCall{call("search", `"q"`, `"r"`), call("search", `"q2"`, `"r2"`)},
		},
		"two inputs in a row": {
			[]string{`{"tool_name":"search","input":"q"}`, `{"tool_name":"search","input":"q2"}`, `{"tool_name":"search","output":"r2"}`},
			[]api.ToolCall{call("search", `"q"`, ""), call("search", `"q2"`, `"r2"`)},
		},
		"lists are not joined": {
			[]string{`{"tool_name":"search","output":[1]}`, `{"tool_name":"search","output":[2]}`, `{"tool_name":"search","output":"x"}`, `{"tool_name":"search","output":"y"}`},
			[]api.ToolCall{call("search", "", `[1]`), call("search", "", `[2]`), call("search", "", `"xy"`)},
		},
		"null, then output": {
			[]string{`{"tool_name":"search","input":"q","output":null}`, `{"tool_name":"search","output":"r"}`},
			[]api.ToolCall{call("search", `"q"`, `"r"`)},
		},
		"a title later": {
			[]string{`{"tool_name":"add_slide","output":"a","position":[1,"2"]}`, `{"tool_name":"add_slide","output":"b","position":[1,"2"],"title":"One"}`},
			[]api.ToolCall{{Name: "add_slide", Title: "One", Position: []int{1, 2}, Output: json.RawMessage(`"ab"`)}},
		},
		"without a name": {[]string{`{"output":"a"}`, `{"tool_name":"","output":"b"}`, `{"tool_name":7,"output":"c"}`, `[1]`, `"x"`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var events []string
			for _, e := range tt.events {
				if e != mark {
					e = accumulatorTool(e)
				}
				events = append(events, e)
			}
			r := accumulate(t, events...).Result()
			got := r.ToolCalls()
			if diff := gocmp.Diff(tt.want, got); diff != "" {
				t.Errorf("want (-), got (+):\n%s", diff)
			}
			if r.Text() != "" || r.Status != api.StatusSuccess || r.FinishReason() != "" {
				t.Errorf("got %+v", r)
			}
			for m := range r.Choices[0].All() {
				if m.Phase != api.PhaseTool || m.Role != "assistant" || len(m.Content) != 1 || m.Content[0].TagEN != "Tool" || !json.Valid(m.Content[0].Object) {
					t.Errorf("message %+v", m)
				}
			}
		})
	}
}

// TestAccumulatorTexts joins texts of one phase, keeps the others apart, and loses no part.
func TestAccumulatorTexts(t *testing.T) {
	t.Parallel()
	text := func(s string) string { return `{"type":"text","text":"` + s + `"}` }
	r := accumulate(t,
		accumulatorPart("messages", "thinking", text("T1 ")),
		accumulatorPart("message", "thinking", text("T2")),
		accumulatorPart("delta", "answer", `"A1 "`),
		accumulatorPart("messages", "answer", `[`+text("A2 ")+`,`+text("")+`,`+text("A3 ")+`,{"type":"text","phase":"thinking","text":" T3"}]`),
		accumulatorPart("messages", "tool", text("dropped")),
		`{"conversation_id":"c-1","request_id":"r-1","usage":{"total_tokens":1},"choices":[{"messages":[{"content":"B1 "}]},{"message":{"content":"B2 "},"delta":{"content":"B3 "}}]}`,
		`{"choices":null}`, `{}`,
		accumulatorPart("messages", "answer", `[{"type":"video_url","video_url":"https://a.example/1.mp4"},{"type":"file_url","file_url":"https://a.example/2.pdf","text":"A4 "},{"type":"image_url","image_url":{"url":"https://a.example/3.png"}}]`),
		`{"video_result":[{"url":"https://a.example/4.mp4"}]}`, `{"video_result":[{"url":"https://a.example/5.mp4"}]}`,
		`{"id":"id-2","choices":[{"finish_reason":"tool_calls"},{"finish_reason":"length"}],"usage":{"total_tokens":7,"prompt_tokens":3}}`,
	).Result()
	type facts struct {
		text, thinking, videos, files, images, conversation, id, request string
		finish                                                           api.FinishReason
		usage                                                            api.Usage
		phases                                                           string
	}
	var phases []string
	for m := range r.Choices[0].All() {
		phases = append(phases, string(m.Phase))
	}
	got := facts{
		r.Text(), r.Thinking(), fmt.Sprint(r.VideoURLs()), fmt.Sprint(r.FileURLs()), fmt.Sprint(r.ImageURLs()), r.ConversationID, r.ID, r.RequestID,
		r.FinishReason(), *r.Usage, strings.Join(phases, " "),
	}
	want := facts{
		"A1 A2 A3 B1 B2 B3 A4 ", "T1 T2 T3", "[https://a.example/1.mp4 https://a.example/4.mp4 https://a.example/5.mp4]", "[https://a.example/2.pdf]",
		"[https://a.example/3.png]", "c-1", "id-2", "log-1", "length", api.Usage{TotalTokens: 7, PromptTokens: 3}, "thinking answer thinking tool  answer answer answer",
	}
	if got != want {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if r.Raw != nil || r.Status != api.StatusSuccess || r.AgentID != api.AgentSlidesGLM || r.StatusCode != http.StatusOK || len(r.Choices) != 1 {
		t.Errorf("got %+v", r)
	}
}

// TestAccumulatorInTheMiddle: a Result that was taken does not change any more.
func TestAccumulatorInTheMiddle(t *testing.T) {
	t.Parallel()
	var all api.Accumulator
	if r := all.Result(); r.Status != api.StatusPending || r.Choices != nil || r.Err() != nil || r.Text() != "" {
		t.Errorf("of nothing: %+v", r)
	}
	if err := all.Add(nil); err != nil {
		t.Error(err)
	}
	part := func(phase api.Phase, p api.Part) *api.Result {
		return &api.Result{Choices: []api.Choice{{Messages: []api.Message{{Phase: phase, Content: []api.Part{p}}}}}}
	}
	tool := func(output string) *api.Result {
		return part(api.PhaseTool, api.Part{Object: json.RawMessage(`{"tool_name":"add_slide","position":[1],"output":` + output + `}`)})
	}
	video := &api.Result{VideoResult: []api.VideoResult{{URL: "https://a.example/1.mp4"}}, Skipped: 1}
	events := []*api.Result{
		part(api.PhaseThinking, api.Part{Text: "a", Type: api.PartText, TagEN: "tag"}), part(api.PhaseThinking, api.Part{Text: "b"}),
		tool(`"x"`), tool(`"<y>"`), part(api.PhaseAnswer, api.Part{Text: "c"}), tool(`"z"`), part(api.PhaseAnswer, api.Part{Text: "d"}), video, video,
		{Choices: []api.Choice{{FinishReason: "stop"}}}, part(api.PhaseAnswer, api.Part{Text: "e"}),
		{Status: api.StatusFailed, Error: &api.ErrorDetail{Code: "1301"}},
	}
	var taken []*api.Result
	var texts []string
	for round := range 2 { // Used on, it goes on.
		for i, e := range events {
			if err := all.Add(e); err != nil {
				t.Fatal(err)
			}
			r := all.Result()
			taken, texts = append(taken, r), append(texts, accumulatorText(t, r))
			want := api.StatusPending
			if i >= 9 {
				want = api.StatusSuccess
			}
			if i == len(events)-1 || round > 0 {
				want = api.StatusFailed
			}
			if r.Status != want || (r.Err() != nil) != (want == api.StatusFailed) {
				t.Errorf("after event %d, %d: %s, want %s", round, i, r.Status, want)
			}
		}
	}
	for i, r := range taken {
		if got := accumulatorText(t, r); got != texts[i] {
			t.Errorf("Result %d was %s, and is now %s", i, texts[i], got)
		}
	}
	r := taken[len(events)-1]
	if calls := r.ToolCalls(); r.Thinking() != "ab" || r.Text() != "cde" || len(calls) != 1 || string(calls[0].Output) != `"x<y>z"` || len(r.VideoURLs()) != 1 || r.Skipped != 2 {
		t.Errorf("got %s, %+v", texts[len(events)-1], calls)
	}
	for m := range r.Choices[0].All() { // What stands beside the text of a first piece stays.
		if p := m.Content[0]; p.Text != "ab" || p.Type != api.PartText || p.TagEN != "tag" {
			t.Errorf("the first part is %+v", p)
		}
		break
	}
}

// TestAccumulatorBound: what would pass MaxBody is refused, and what came before is kept.
func TestAccumulatorBound(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 60)
	message := func(p api.Part) *api.Result {
		return &api.Result{Choices: []api.Choice{{Messages: []api.Message{{Content: []api.Part{p}}}}}}
	}
	for name, event := range map[string]*api.Result{
		"text":    message(api.Part{Text: long}),
		"object":  message(api.Part{Object: json.RawMessage(`"` + long[2:] + `"`)}),
		"address": message(api.Part{VideoURL: long}),
		"file":    message(api.Part{FileURL: long}),
		"image":   message(api.Part{ImageURL: long}),
		"url":     message(api.Part{URL: long}),
		"video":   {VideoResult: []api.VideoResult{{URL: long}}},
	} {
		all := api.Accumulator{MaxBody: 120}
		for i, want := range []error{nil, nil, api.ErrBodyTooLarge, api.ErrBodyTooLarge} {
			before := accumulatorText(t, all.Result())
			err := all.Add(event)
			if !errors.Is(err, want) || err != nil && accumulatorText(t, all.Result()) != before {
				t.Errorf("%s, event %d: %v, want %v", name, i, err, want)
			}
		}
		if err := all.Add(&api.Result{Choices: []api.Choice{{FinishReason: "stop"}}}); err != nil || all.Result().Status != api.StatusSuccess {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What stands beside texts that stay apart counts, and there is an end to such texts.
	beside := api.Accumulator{MaxBody: 100 << 10}
	pieces := api.Accumulator{}
	for name, all := range map[string]*api.Accumulator{"beside": &beside, "pieces": &pieces} {
		n := 0
		for ; n < 1<<17; n++ {
			event := message(api.Part{Text: "a", Phase: api.Phase(strings.Repeat("p", 1+n%2))})
			if name == "beside" {
				event.Choices[0].Messages[0].Role = api.Role(long)
				event.Choices[0].Messages[0].Content[0].TagCN, event.Choices[0].Messages[0].Content[0].TagEN = long, long
			}
			if err := all.Add(event); err != nil {
				if !errors.Is(err, api.ErrBodyTooLarge) {
					t.Errorf("%s: %v", name, err)
				}
				break
			}
		}
		if most := map[string]int{"beside": (100<<10)/150 + 1, "pieces": 1<<16 + 1}[name]; n > most || n < most/2 {
			t.Errorf("%s: %d texts are taken in, want about %d", name, n, most)
		}
	}
	// Events that say nothing take no room.
	var all api.Accumulator
	for range 1000 {
		if err := all.Add(message(api.Part{Type: api.PartText})); err != nil {
			t.Fatal(err)
		}
	}
	if r := all.Result(); len(r.Choices) != 0 {
		t.Errorf("%d choices", len(r.Choices))
	}
	big := message(api.Part{Text: strings.Repeat("a", 9<<20)})
	if first, second := all.Add(big), all.Add(big); first != nil || !errors.Is(second, api.ErrBodyTooLarge) {
		t.Errorf("the zero value takes 9 MiB: %v, and 18 MiB: %v", first, second)
	}
}

// TestAccumulatorKeepsTheTask: an agent that answers a stream request with a task has begun one.
func TestAccumulatorKeepsTheTask(t *testing.T) {
	t.Parallel()
	client := retrieveServer(t, createRaw(http.StatusOK, "application/json", `{"status":"pending","agent_id":"x","async_id":"T1"}`))
	var all api.Accumulator
	for event, err := range client.Stream(t.Context(), streamTranslation) {
		if err != nil || all.Add(event) != nil {
			t.Fatal(err)
		}
	}
	if r := all.Result(); r.Task() != (api.Task{AgentID: "x", AsyncID: "T1"}) || r.Status != api.StatusPending {
		t.Errorf("got %v", r)
	}
}
