package api

import (
	"encoding/json"
	"testing"

	"example.com/zai/api/zaitest"
)

// TestResultJSON: an answer is read by encoding/json as the verbs read it, for the generated
// methods and for programs that store answers.
func TestResultJSON(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]string{
		`{"status":"SUCCESS","choices":[{"messages":{"content":{"type":"text","text":"Bonjour"}}}]}`:  "success Bonjour",
		`{"status":"success" ,"choices":[{"message":[{"content":[{"type":"text","text":"ciao"}]}]}]}`: "success ciao",
		`{"data":{"async_id":"1","status":"working"}}`:                                                "pending ",
		`{"status":"success","error":{"code":1113}}`:                                                  "failed ",
		`{"choices":{"delta":{"content":"hi"}}}`:                                                      "success hi",
		`{}`:                                                                                          " ",
		`{"status":7,"choices":"none"}`:                                                               " ",
		`{"async_id":"1","status":"success","choices":[{"messages":[{"content":["a",{"text":"b"}]}]}]}`: "success ab",
	} {
		var r, again Result
		if err := json.Unmarshal([]byte(answer), &r); err != nil {
			t.Errorf("%s: %v", answer, err)
		}
		if got := string(r.Status) + " " + r.Text(); got != want {
			t.Errorf("%s: got %q, want %q", answer, got, want)
		}
		stored, err := json.Marshal(&r)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(stored, &again); err != nil || again.Text() != r.Text() || again.AsyncID != r.AsyncID {
			t.Errorf("%s became %s: %v", answer, stored, err)
		}
	}
	kept := Result{ID: "kept"}
	if err := json.Unmarshal([]byte("null"), &kept); err != nil || kept.ID != "kept" {
		t.Errorf("null: %v, %v", err, kept)
	}
	for _, bad := range []string{`[]`, `"x"`, `7`, `{`, ``} {
		if err := json.Unmarshal([]byte(bad), &Result{}); err == nil {
			t.Errorf("%s was taken", bad)
		}
		if err := new(Result).UnmarshalJSON([]byte(bad)); err == nil && bad != `{` { // encoding/json checks the syntax.
			t.Errorf("%s was taken by itself", bad)
		}
	}
}

// TestGeneratedMethodsReadTheDocumentedTranslation: the description has an object where a list
// stands in the other answers.
func TestGeneratedMethodsReadTheDocumentedTranslation(t *testing.T) {
	t.Parallel()
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := New(srv.APIKey, WithBaseURL(srv.URL))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := client.InvokeAgentWithResponse(t.Context(), &InvokeAgentParams{}, NewTranslationRequest("Hello", LanguageFrench))
	if err != nil || answer.JSON200 == nil || answer.JSON200.Text() != "[fr] Hello" {
		t.Errorf("got %+v, %v", answer, err)
	}
}

// TestRedact takes the queries of addresses out of texts, and nothing else.
func TestRedact(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"": "",
		"get https://a.example/b.mp4?KeyId=1&Signature=2 now":  "get https://a.example/b.mp4?… now",
		`{"u":"HTTPS:\/\/a.example\/b?S=1\u0026T=2","v":"c?"}`: `{"u":"HTTPS:\/\/a.example\/b?…","v":"c?"}`,
		"/b?S=1":                    "/b?…",
		"render ?ode lost in a.b?c": "render ?ode lost in a.b?c",
		"<a href='https://a.example?x=1'>is it so? yes": "<a href='https://a.example?…'>is it so? yes",
		"ok?yes":                       "ok?yes",
		"really? http://a.example/?":   "really? http://a.example/?",
		"https://a.example/b?x=1?y=2?": "https://a.example/b?…",
		"好吗?好 https://a.example/b?签名":  "好吗?好 https://a.example/b?…",
	} {
		if got := redact(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"/b?S=1": "/b?…", "b.mp4?S=1#frag": "b.mp4?…", "?S=1": "?…", "to ?S=1 and x": "to ?… and x", "why? yes": "why? yes",
	} {
		if got := redactAny(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

// TestLine makes texts fit for one line, and leaves those that are.
func TestLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text string
		n    int
		want string
	}{
		{"", 0, ""}, {"abc", 3, "abc"}, {"abcd", 3, "abc…"}, {"好吗", 6, "好吗"}, {"好吗", 5, "好…"}, {"a\nb\x1b\u202e好", 20, "a b  好"},
	} {
		if got := line(tt.text, tt.n); got != tt.want {
			t.Errorf("%q within %d bytes became %q, want %q", tt.text, tt.n, got, tt.want)
		}
	}
}
