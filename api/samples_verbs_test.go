package api_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"example.com/zai/api"
)

// verbReading is what a typed verb reads from an answer, in the words of the manifest.
type verbReading struct {
	Outcome, AsyncID, Text, Thinking, FileID string
	HTTP                                     int // of an *api.Error
	Status                                   api.Status
	RawStatus                                string
	Videos, Files, Images                    []string
	Finish                                   api.FinishReason
	Abnormal                                 bool
	Code                                     api.ErrorCode
	Message                                  string
	Matches                                  string // the sentinels that match
	Retryable                                bool
	Tools                                    []string
	Tokens                                   int
	Events, Skipped                          int
}

// read fills in what stands in a Result.
func (v *verbReading) read(r *api.Result) {
	if r == nil {
		return
	}
	v.Status, v.RawStatus, v.AsyncID = r.Status, r.RawStatus, r.AsyncID
	v.Videos, v.Files, v.Images = r.VideoURLs(), r.FileURLs(), r.ImageURLs()
	v.Text, v.Thinking = r.Text(), r.Thinking()
	v.Finish, v.Abnormal = r.FinishReason(), r.FinishReason().Abnormal()
	for _, call := range r.ToolCalls() {
		if n := len(v.Tools); n == 0 || v.Tools[n-1] != call.Name {
			v.Tools = append(v.Tools, call.Name)
		}
	}
	if r.Usage != nil {
		v.Tokens = r.Usage.TotalTokens
	}
}

// fail fills in what stands in an error, and the Outcome.
func (v *verbReading) fail(t *testing.T, err error) {
	t.Helper()
	v.Matches = sampleMatches(err)
	if e, ok := errors.AsType[*api.TaskError](err); ok {
		v.Outcome, v.Code, v.Message, v.Retryable = "task_failed", e.Code, e.Message, e.Retryable()
		v.read(e.Result)
		return
	}
	e, ok := errors.AsType[*api.Error](err)
	if !ok {
		t.Fatalf("the error is a %T: %v", err, err)
	}
	v.Outcome, v.HTTP, v.Code, v.Message, v.Retryable = "api_error", e.StatusCode, e.Code, e.Message, e.Retryable()
	if errors.Is(err, api.ErrMalformed) || errors.Is(err, api.ErrInterrupted) {
		v.Outcome, v.Message = "malformed", err.Error()
	}
}

// want is what the verbs must read from a sample. What an error does not carry is left out.
func (s *sample) want(t *testing.T) verbReading {
	t.Helper()
	e := &s.Expected
	w := verbReading{
		Outcome: e.Outcome, Status: e.Status, RawStatus: e.RawStatus, AsyncID: e.AsyncID, Text: e.Text, FileID: e.FileID,
		Videos: e.VideoURLs, Files: e.FileURLs, Images: e.ImageURLs,
		Finish: api.FinishReason(e.FinishReason), Abnormal: e.AbnormalFinish, Retryable: e.Retryable,
	}
	var matches []string
	for _, class := range sampleSentinels {
		if class.category != "" && class.category == e.Category || class.name == "ErrConflict" && e.Error != nil && e.Error.Code == "1231" {
			matches = append(matches, class.name)
		}
	}
	if e.Error != nil {
		w.Code, w.Message = e.Error.Code, sampleAnyText
		if e.Error.Message != nil {
			w.Message = *e.Error.Message
		}
	}
	switch w.Outcome {
	case "api_error":
		w = verbReading{Outcome: w.Outcome, HTTP: s.HTTPStatus, Code: w.Code, Message: w.Message, Retryable: w.Retryable}
	case "malformed": // of a stream that was cut, here
		w = verbReading{Outcome: w.Outcome, HTTP: s.HTTPStatus, Message: sampleAnyText}
		matches = []string{"ErrInterrupted", "ErrUnknownOutcome"}
	case "no_status": // of a conversation without exports: an empty Result
		w.Outcome = ""
	}
	w.Matches = strings.Join(matches, " ")
	return w
}

// streamWant is the stream_expect of a sample, whose keys are all optional.
type streamWant struct {
	Events          *int      `json:"events"`
	MalformedEvents *int      `json:"malformed_events"`
	DoneMarker      *bool     `json:"done_marker"` // the client stops at the terminal mark before it
	Complete        *bool     `json:"complete"`    // follows from the outcome
	Thinking        *string   `json:"thinking"`
	Tools           *[]string `json:"tools"`
	TotalTokens     *int      `json:"total_tokens"`
}

// limit takes from got what the sample does not speak of, and gives want what it does.
func (s *sample) limit(t *testing.T, want, got *verbReading) {
	t.Helper()
	var w streamWant
	if len(s.Expected.StreamExpect) > 0 {
		d := json.NewDecoder(bytes.NewReader(s.Expected.StreamExpect))
		d.DisallowUnknownFields()
		if err := d.Decode(&w); err != nil {
			t.Fatal(err)
		}
	}
	if w.Complete != nil && *w.Complete != (want.Outcome == "success") {
		t.Errorf("complete is %v in a stream that is %s", *w.Complete, want.Outcome)
	}
	keep(w.Events, &want.Events, &got.Events)
	keep(w.MalformedEvents, &want.Skipped, &got.Skipped)
	keep(w.TotalTokens, &want.Tokens, &got.Tokens)
	keep(w.Thinking, &want.Thinking, &got.Thinking)
	keep(w.Tools, &want.Tools, &got.Tools)
}

func keep[T any](said, want, got *T) {
	var none T
	if said == nil {
		said, *got = &none, none
	}
	*want = *said
}

func verbRequest(s *sample) api.AgentRequest {
	switch api.AgentID(s.AgentID) {
	case api.AgentGeneralTranslation:
		return api.NewTranslationRequest("Hello", api.LanguageFrench)
	case api.AgentViduTemplate:
		return api.NewVideoRequest(api.TemplateFrenchKiss, "https://media.example.com/a.jpg", "")
	case api.AgentSlidesGLM:
		return api.NewSlidesRequest("Tides")
	default:
		return api.CustomRequest{AgentID: api.AgentID(s.AgentID), Messages: []api.RequestMessage{{Content: []api.RequestPart{{Type: api.PartText, Text: "1+1"}}}}}
	}
}

// TestSamplesOfVerbs plays every recorded answer of the other operations to the verbs: to
// Stream where the request asked for one, and to Invoke in any case.
func TestSamplesOfVerbs(t *testing.T) {
	t.Parallel()
	var ran atomic.Int32
	listed := 0
	t.Run("answer", func(t *testing.T) {
		for _, s := range sampleManifestOf(t).Samples {
			if s.Operation == samplePoll {
				continue
			}
			verbs := map[string]func(*testing.T, *api.ClientWithResponses, *sample, *verbReading){}
			switch s.Operation {
			case "POST /v1/agents":
				verbs["Invoke"] = sampleInvoke
				if s.RequestStream != nil && *s.RequestStream {
					verbs["Stream"] = sampleStream
				}
			case "POST /v1/agents/conversation":
				verbs["Conversation"] = sampleConversation
			case "POST /paas/v4/files":
				verbs["Upload"] = sampleUpload
			default:
				t.Fatalf("unknown operation %q", s.Operation)
			}
			listed += len(verbs)
			for name, verb := range verbs {
				t.Run(strings.TrimSuffix(s.File, ".json")+"/"+name, func(t *testing.T) {
					t.Parallel()
					a := s.answer(t)
					server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
						a.asked.Add(1)
						if got := req.Method + " " + strings.TrimPrefix(req.URL.Path, "/api"); got != s.Operation {
							t.Errorf("request %s, want %s", got, s.Operation)
						}
						if _, err := io.Copy(io.Discard, req.Body); err != nil {
							t.Error(err)
						}
						for name, values := range a.header {
							w.Header()[name] = values
						}
						w.WriteHeader(a.status)
						_, _ = w.Write(a.body) // The client may have left.
					}))
					defer server.Close()
					client, err := api.New(sampleKey, api.WithBaseURL(server.URL+"/api"), api.WithHTTPClient(server.Client()))
					if err != nil {
						t.Fatal(err)
					}
					var got verbReading
					verb(t, client, &s, &got)
					want := s.want(t)
					s.limit(t, &want, &got)
					if name != "Stream" { // Only its caller sees the events.
						want.Events, got.Events = 0, 0
					}
					if want.Message == sampleAnyText && got.Message != "" {
						got.Message = sampleAnyText
					}
					if diff := gocmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
						t.Errorf("body %.3000q\nwant (-), got (+):\n%s", a.body, diff)
					}
					if n := a.asked.Load(); n != 1 {
						t.Errorf("%d requests, want 1", n)
					}
					ran.Add(1)
				})
			}
		}
	})
	files, err := filepath.Glob(filepath.Join("testdata", "samples", "[cfi]*_[1-5]??_*.json"))
	if err != nil || len(files) < 25 || int(ran.Load()) != listed {
		t.Errorf("%d of %d runs came to their end, over %d files: %v", ran.Load(), listed, len(files), err)
	}
}

func sampleInvoke(t *testing.T, client *api.ClientWithResponses, s *sample, got *verbReading) {
	t.Helper()
	r, err := client.Invoke(t.Context(), verbRequest(s))
	if err != nil {
		got.fail(t, err)
		return
	}
	got.read(r)
	got.Outcome, got.Skipped = string(r.Status), r.Skipped
	if r.AgentID == "" || r.StatusCode != http.StatusOK {
		t.Errorf("agent %q, HTTP %d", r.AgentID, r.StatusCode)
	}
}

func sampleStream(t *testing.T, client *api.ClientWithResponses, s *sample, got *verbReading) {
	t.Helper()
	all, err := verbFold(t, client, verbRequest(s))
	if err == nil {
		got.Outcome = string(all.Result().Status)
	} else if got.fail(t, err); got.Outcome == "malformed" {
		got.Events, got.Thinking = all.events, all.Result().Thinking()
		return
	}
	if all.events > 0 || err == nil {
		status := got.Status
		got.read(all.Result())
		got.Status = cmp.Or(status, got.Status)
	}
	if failed, ok := errors.AsType[*api.TaskError](err); ok {
		got.Finish, got.Abnormal = failed.Result.FinishReason(), failed.Result.FinishReason().Abnormal()
	}
	got.Events, got.Skipped = all.events, all.Skipped
}

// verbFolded is a stream that was folded as a caller would.
type verbFolded struct {
	api.Accumulator
	events int // that were not empty
}

func verbFold(t *testing.T, client *api.ClientWithResponses, request api.AgentRequest) (*verbFolded, error) {
	t.Helper()
	all := &verbFolded{}
	var last api.Status
	for event, err := range client.Stream(t.Context(), request) {
		if err != nil {
			return all, err
		}
		if err := all.Add(event); err != nil {
			t.Fatal(err)
		}
		if event.Raw != nil {
			all.events++
		}
		if last == api.StatusSuccess || event.AgentID == "" {
			t.Errorf("event %v after a %s", event, last)
		}
		last = event.Status
	}
	if last != api.StatusSuccess {
		t.Errorf("the last event is %q", last)
	}
	return all, nil
}

func sampleConversation(t *testing.T, client *api.ClientWithResponses, _ *sample, got *verbReading) {
	t.Helper()
	r, err := client.Conversation(t.Context(), api.ConversationRequest{ConversationID: "c-asked"})
	if err != nil {
		got.fail(t, err)
		return
	}
	got.read(r)
	got.Outcome = string(r.Status)
	if r.AgentID != api.AgentSlidesGLM || r.ConversationID != "c1" || len(r.Raw) == 0 {
		t.Errorf("agent %q, conversation %q, raw %q", r.AgentID, r.ConversationID, r.Raw)
	}
}

func sampleUpload(t *testing.T, client *api.ClientWithResponses, s *sample, got *verbReading) {
	t.Helper()
	file, err := client.Upload(t.Context(), "terms.xlsx", strings.NewReader("content"))
	if err != nil {
		got.fail(t, err)
		return
	}
	got.Outcome, got.FileID = "success", file.ID
	var want api.File
	if err := json.Unmarshal(s.answer(t).body, &want); err != nil || *file != want {
		t.Errorf("got %+v, want %+v, %v", *file, want, err)
	}
}

// verbSentID is where an error names the request id that was made up.
var verbSentID = regexp.MustCompile(` \(sent with request id \w+\)`)

// TestStreamFraming cuts the streams of the samples at every kind of place, and writes their lines
// in every way: the events stay the same.
func TestStreamFraming(t *testing.T) {
	t.Parallel()
	cuts := map[string]func(n int) int{
		"1 byte":  func(int) int { return 1 },
		"4 KiB":   func(int) int { return 4 << 10 },
		"whole":   func(n int) int { return n },
		"at will": func(n int) int { return 1 + rand.N(n) },
	}
	plain := func(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }
	writings := map[string]func(string) string{
		"as it is": func(s string) string { return s },
		"CRLF":     func(s string) string { return strings.ReplaceAll(plain(s), "\n", "\r\n") },
		"CR":       func(s string) string { return strings.ReplaceAll(plain(s), "\n", "\r") },
		"LF":       plain,
		"BOM":      func(s string) string { return "\ufeff" + s },
		"comments": func(s string) string {
			return ":\n\n: hi\n" + strings.ReplaceAll(plain(s), "\n\n", "\n\n: data: {}\nevent: x\nid: 7\nretry: 1\nnodata\n")
		},
		"multi-line":     func(s string) string { return strings.ReplaceAll(plain(s), `,"choices":`, ",\ndata: \"choices\":") },
		"no blank line":  func(s string) string { return strings.TrimRight(s, "\r\n") },
		"one line end":   func(s string) string { return strings.TrimRight(s, "\r\n") + "\n" },
		"without spaces": func(s string) string { return strings.ReplaceAll(plain(s), "data: ", "data:") },
	}
	for _, s := range sampleManifestOf(t).Samples {
		a := s.answer(t)
		if !strings.Contains(a.header.Get("Content-Type"), "event-stream") || s.Operation == samplePoll {
			continue
		}
		var want *verbFolded
		var wantErr string
		for cut, size := range cuts {
			for writing, write := range writings {
				pieces := &pieces{rest: write(string(a.body)), size: size}
				client, err := api.New(sampleKey, api.WithHTTPClient(&http.Client{Transport: verbTransport(func(req *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: http.StatusOK, Header: a.header.Clone(), Body: io.NopCloser(pieces), ContentLength: -1, Request: req}, nil
				})}))
				if err != nil {
					t.Fatal(err)
				}
				got, err := verbFold(t, client, verbRequest(&s))
				gotErr := ""
				if err != nil {
					gotErr = verbSentID.ReplaceAllString(err.Error(), "")
				}
				if want == nil {
					want, wantErr = got, gotErr
				}
				if diff := gocmp.Diff(want.Result(), got.Result()); diff != "" || gotErr != wantErr || got.events != want.events || got.Skipped != want.Skipped {
					t.Errorf("%s, %s, %s: %d events, %d skipped, error %q, want %d, %d, %q\n%s",
						s.File, cut, writing, got.events, got.Skipped, gotErr, want.events, want.Skipped, wantErr, diff)
				}
			}
		}
		if want == nil || want.events == 0 {
			t.Errorf("%s: no events", s.File)
		}
	}
}

// pieces reads a text in pieces.
type pieces struct {
	rest string
	size func(n int) int
}

func (r *pieces) Read(p []byte) (int, error) {
	if r.rest == "" {
		return 0, io.EOF
	}
	n := copy(p, r.rest[:min(r.size(len(r.rest)), len(r.rest))])
	r.rest = r.rest[n:]
	return n, nil
}

// TestAccumulatorTools puts the pieces of tool calls together as they were recorded.
func TestAccumulatorTools(t *testing.T) {
	t.Parallel()
	for _, s := range sampleManifestOf(t).Samples {
		if !strings.Contains(s.File, "301") {
			continue
		}
		a := s.answer(t)
		client, err := api.New(sampleKey, api.WithHTTPClient(&http.Client{Transport: verbTransport(func(req *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK, Header: a.header.Clone(), Body: io.NopCloser(bytes.NewReader(a.body)), ContentLength: -1, Request: req}, nil
		})}))
		if err != nil {
			t.Fatal(err)
		}
		all, err := verbFold(t, client, verbRequest(&s))
		if err != nil {
			t.Fatal(err)
		}
		got := all.Result().ToolCalls()
		want := []api.ToolCall{
			{Name: "search", Input: json.RawMessage(`"{\"q\":\"tides\"}"`), Output: json.RawMessage(`"[{\\\"title\\\":\\\"t\\\"}]"`)},
			{Name: "add_slide", Title: "One", Position: []int{1}, Output: json.RawMessage(`"<!DOCTYPE html>\\\\n<div class=\\\"slide\\\"></div>"`)},
		}
		if diff := gocmp.Diff(want, got); diff != "" {
			t.Errorf("want (-), got (+):\n%s", diff)
		}
		if text, want := got[1].Text(), `<!DOCTYPE html>\\n<div class=\"slide\"></div>`; text != want {
			t.Errorf("the page is %q, want %q", text, want)
		}
		if kinds := slices.Collect(func(yield func(api.Phase) bool) {
			for m := range all.Result().Choices[0].All() {
				if !yield(m.Phase) {
					return
				}
			}
		}); !slices.Equal(kinds, []api.Phase{api.PhaseThinking, api.PhaseTool, api.PhaseTool, api.PhaseAnswer}) {
			t.Errorf("the phases are %q", kinds)
		}
		return
	}
	t.Error("there is no sample 301")
}

// verbTransport is a function that answers requests.
type verbTransport func(*http.Request) (*http.Response, error)

func (f verbTransport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }
