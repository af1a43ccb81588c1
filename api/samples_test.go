package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"example.com/zai/api"
)

const (
	samplePoll = "POST /v1/agents/async-result"
	sampleOp   = "retrieveAgentResult"
	sampleKey  = "key-of-the-tests.not-a-secret"

	// sampleTask is the async id that the tests ask for. No answer repeats it, so that an id
	// taken from an answer can be told from the one that Retrieve fills in.
	sampleTask = "cmVxdWVzdGVkL3Rhc2s+MQ=="

	// sampleAnyText stands for a text that the client makes up.
	sampleAnyText = "(any text)"
)

// TestSamples plays every recorded answer of the poll operation to a client over HTTP.
func TestSamples(t *testing.T) {
	t.Parallel()
	manifest := sampleManifestOf(t)
	var listed, ran atomic.Int32
	t.Run("answer", func(t *testing.T) {
		for _, s := range manifest.Samples {
			if s.Operation != samplePoll {
				continue
			}
			listed.Add(1)
			t.Run(strings.TrimSuffix(s.File, ".json"), func(t *testing.T) {
				t.Parallel()
				a := s.answer(t)
				task := api.Task{AgentID: api.AgentID(s.AgentID), AsyncID: sampleTask}
				r, err := sampleServe(t, a, task)
				s.Expected.reading().check(t, a, r, err)
				ran.Add(1)
			})
		}
	})
	files, err := filepath.Glob(filepath.Join("testdata", "samples", "async_result_*.json"))
	if err != nil {
		t.Fatal(err)
	}
	if n := len(files); n == 0 || int(ran.Load()) != n || int(listed.Load()) != n {
		t.Errorf("%d samples of %s ran to the end; the manifest lists %d, the folder holds %d", ran.Load(), samplePoll, listed.Load(), n)
	}
}

// TestSamplesComplete holds the manifest and the folder together.
func TestSamplesComplete(t *testing.T) {
	t.Parallel()
	manifest := sampleManifestOf(t)
	files, err := os.ReadDir(filepath.Join("testdata", "samples"))
	if err != nil {
		t.Fatal(err)
	}
	var inFolder []string
	for _, f := range files {
		if f.Name() != "manifest.json" {
			inFolder = append(inFolder, f.Name())
		}
	}
	var inManifest []string
	for _, s := range manifest.Samples {
		inManifest = append(inManifest, s.File)
	}
	slices.Sort(inManifest)
	if diff := cmp.Diff(inManifest, inFolder); diff != "" {
		t.Errorf("files of the manifest (-) and of the folder (+):\n%s", diff)
	}
	if manifest.Count != len(manifest.Samples) {
		t.Errorf("the manifest counts %d samples and lists %d", manifest.Count, len(manifest.Samples))
	}
}

// TestSampleSentinels makes sure that the checks of classes leave no sentinel out.
func TestSampleSentinels(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var declared []string
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			vars, ok := d.(*ast.GenDecl)
			if !ok || vars.Tok != token.VAR {
				continue
			}
			for _, spec := range vars.Specs {
				for _, id := range spec.(*ast.ValueSpec).Names {
					if strings.HasPrefix(id.Name, "Err") {
						declared = append(declared, id.Name)
					}
				}
			}
		}
	}
	var listed []string
	for _, s := range sampleSentinels {
		listed = append(listed, s.name)
	}
	slices.Sort(declared)
	slices.Sort(listed)
	if diff := cmp.Diff(declared, listed); diff != "" {
		t.Errorf("sentinels of the package (-) and of sampleSentinels (+):\n%s", diff)
	}
}

// sampleManifest is testdata/samples/manifest.json.
type sampleManifest struct {
	SchemaVersion int               `json:"schema_version"`
	About         string            `json:"about"`
	Conventions   map[string]string `json:"conventions"`
	Count         int               `json:"count"`
	Samples       []sample          `json:"samples"`
}

// sample is a recorded answer and what a correct client reads from it.
type sample struct {
	File          string            `json:"file"`
	Operation     string            `json:"operation"`
	AgentID       string            `json:"agent_id"`
	RequestStream *bool             `json:"request_stream"`
	HTTPStatus    int               `json:"http_status"`
	Headers       map[string]string `json:"headers"`
	BodyEncoding  string            `json:"body_encoding"`
	Evidence      string            `json:"evidence"`
	ObservedOn    string            `json:"observed_on"`
	Sources       []string          `json:"sources"`
	Note          string            `json:"note"`
	Expected      sampleExpected    `json:"expected"`
}

// sampleExpected is the expectation of a sample. Null and absent texts are empty, except
// for the message of an error, where null has a meaning of its own.
type sampleExpected struct {
	Outcome        string         `json:"outcome"`
	Status         api.Status     `json:"status"`
	RawStatus      string         `json:"raw_status"`
	AsyncID        string         `json:"async_id"`
	VideoURLs      []string       `json:"video_urls"`
	FileURLs       []string       `json:"file_urls"`
	ImageURLs      []string       `json:"image_urls"`
	Text           string         `json:"text"`
	FinishReason   string         `json:"finish_reason"`
	AbnormalFinish bool           `json:"abnormal_finish"`
	Error          *sampleFailure `json:"error"`
	Category       string         `json:"category"`
	Retryable      bool           `json:"retryable"`
	RetryAfter     int            `json:"retry_after_s"`

	// Those of other operations.
	FileID       string          `json:"file_id"`
	StreamExpect json.RawMessage `json:"stream_expect"`
}

type sampleFailure struct {
	Code    api.ErrorCode `json:"code"`
	Message *string       `json:"message"`
}

// reading is e in the form in which it is compared.
func (e *sampleExpected) reading() sampleReading {
	want := sampleReading{
		Outcome: e.Outcome, Status: e.Status, RawStatus: e.RawStatus, AsyncID: e.AsyncID,
		Videos: e.VideoURLs, Files: e.FileURLs, Images: e.ImageURLs,
		Text: e.Text, Finish: api.FinishReason(e.FinishReason), Abnormal: e.AbnormalFinish,
		Category: e.Category, Retryable: e.Retryable, RetryAfter: time.Duration(e.RetryAfter) * time.Second,
	}
	if e.Error != nil {
		want.Code, want.Message = e.Error.Code, sampleAnyText
		if e.Error.Message != nil {
			want.Message = *e.Error.Message
		}
	}
	return want
}

// sampleManifestOf reads the manifest. A key that the tests do not know is an error, so that
// no expectation is passed over.
func sampleManifestOf(t testing.TB) sampleManifest {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "samples", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	var m sampleManifest
	if err := d.Decode(&m); err != nil {
		t.Fatal(err)
	}
	return m
}

// answer is the recorded answer. An empty value of a header means that the header is absent.
func (s *sample) answer(t testing.TB) *sampleAnswer {
	t.Helper()
	body, err := os.ReadFile(filepath.Join("testdata", "samples", s.File))
	if err != nil {
		t.Fatal(err)
	}
	switch s.BodyEncoding {
	case "json":
	case "text-in-body_text":
		var text struct {
			BodyText *string `json:"body_text"`
		}
		if err := json.Unmarshal(body, &text); err != nil || text.BodyText == nil {
			t.Fatalf("%s: no body_text: %v", s.File, err)
		}
		body = []byte(*text.BodyText)
	default:
		t.Fatalf("%s: unknown body_encoding %q", s.File, s.BodyEncoding)
	}
	a := &sampleAnswer{status: s.HTTPStatus, header: http.Header{"Content-Type": nil}, body: body}
	for name, value := range s.Headers {
		if value != "" {
			a.header.Set(name, value)
		}
	}
	return a
}

// sampleAnswer is an HTTP answer to be played to the client.
type sampleAnswer struct {
	status int
	header http.Header // a nil entry is a header that must not be sent
	body   []byte
	asked  atomic.Int32 // requests that got it
}

// sampleServe plays a over a connection of its own and returns what Retrieve makes of it.
func sampleServe(t *testing.T, a *sampleAnswer, task api.Task) (*api.Result, error) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		a.asked.Add(1)
		if got := req.Method + " " + strings.TrimPrefix(req.URL.Path, "/api"); got != samplePoll {
			t.Errorf("request %s, want %s", got, samplePoll)
		}
		var sent api.Task
		if err := json.NewDecoder(req.Body).Decode(&sent); err != nil || sent != task {
			t.Errorf("request body %+v, %v, want %+v", sent, err, task)
		}
		for name, values := range a.header {
			w.Header()[name] = values
		}
		w.WriteHeader(a.status)
		if _, err := w.Write(a.body); err != nil {
			t.Errorf("writing the answer: %v", err)
		}
	}))
	defer server.Close()
	client, err := api.New(sampleKey, api.WithBaseURL(server.URL+"/api"), api.WithHTTPClient(server.Client()), api.WithMaxAttempts(1))
	if err != nil {
		t.Fatal(err)
	}
	return client.Retrieve(t.Context(), task)
}

// sampleTransport answers within the process: with the answer that the context holds.
type sampleTransport struct{}

type sampleAnswerKey struct{}

// RoundTrip returns the answer of the request's context.
func (sampleTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		if err := req.Body.Close(); err != nil {
			return nil, err
		}
	}
	a, ok := req.Context().Value(sampleAnswerKey{}).(*sampleAnswer)
	if !ok {
		return nil, errors.New("the context holds no answer")
	}
	a.asked.Add(1)
	header := make(http.Header, len(a.header))
	for name, values := range a.header {
		if values != nil {
			header[name] = slices.Clone(values)
		}
	}
	return &http.Response{
		Status:        strconv.Itoa(a.status) + " " + http.StatusText(a.status),
		StatusCode:    a.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        header,
		Body:          io.NopCloser(bytes.NewReader(a.body)),
		ContentLength: int64(len(a.body)),
		Request:       req,
	}, nil
}

// sampleClient returns a client that asks once and is answered by sampleTransport.
func sampleClient(t testing.TB) *api.ClientWithResponses {
	t.Helper()
	client, err := api.New(sampleKey, api.WithHTTPClient(&http.Client{Transport: sampleTransport{}}), api.WithMaxAttempts(1))
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// samplePlay returns what Retrieve of a sampleClient makes of a.
func samplePlay(ctx context.Context, client *api.ClientWithResponses, a *sampleAnswer) (*api.Result, error) {
	ctx = context.WithValue(ctx, sampleAnswerKey{}, a)
	return client.Retrieve(ctx, api.Task{AgentID: api.AgentViduTemplate, AsyncID: sampleTask})
}

// sampleReading is what a client reads from an answer. Expectations may leave out what
// follows from the rest: see complete.
type sampleReading struct {
	Outcome    string // pending, success, task_failed, api_error, malformed, no_status
	HTTP       int    // of an *api.Error
	Status     api.Status
	RawStatus  string
	AsyncID    string
	Videos     []string
	Files      []string
	Images     []string
	Text       string
	Finish     api.FinishReason
	Abnormal   bool
	Code       api.ErrorCode
	Message    string
	Category   string // in expectations
	Matches    string // the sentinels that match
	Retryable  bool
	RetryAfter time.Duration
}

// check compares what Retrieve gave for a with w.
func (w sampleReading) check(t testing.TB, a *sampleAnswer, r *api.Result, err error) {
	t.Helper()
	want, got := w.complete(t, a.status), sampleRead(t, a, r, err)
	if want.Message == sampleAnyText && got.Message != "" {
		got.Message = sampleAnyText
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("HTTP %d %v, body %.2000q\nwant (-), got (+):\n%serror: %v", a.status, a.header["Content-Type"], a.body, diff, err)
	}
	if n := a.asked.Load(); n != 1 {
		t.Errorf("%d requests were made, want 1", n)
	}
}

// complete fills in what follows: the sentinels from category, code and outcome, the HTTP
// status of an error, the async id that was asked for. What an *api.Error does not carry
// is taken out.
func (w sampleReading) complete(t testing.TB, status int) sampleReading {
	t.Helper()
	var matches []string
	for _, s := range sampleSentinels {
		if s.category != "" && s.category == w.Category ||
			s.name == "ErrConflict" && w.Code == "1231" && w.Category == "invalid_request" ||
			s.name == "ErrMalformed" && (w.Outcome == "malformed" || w.Outcome == "no_status") {
			matches = append(matches, s.name)
		}
	}
	if len(matches) == 0 && w.Category != "" && w.Category != "unknown" {
		t.Fatalf("no sentinel for category %q", w.Category)
	}
	w.Matches, w.Category = strings.Join(matches, " "), ""
	switch w.Outcome {
	case "pending", "success", "task_failed":
		if w.AsyncID == "" {
			w.AsyncID = sampleTask
		}
		return w
	case "malformed", "no_status":
		return sampleReading{Outcome: "malformed", HTTP: status, Message: sampleAnyText, Matches: w.Matches, RetryAfter: w.RetryAfter}
	case "api_error":
		return sampleReading{
			Outcome: w.Outcome, HTTP: status, Code: w.Code, Message: w.Message,
			Matches: w.Matches, Retryable: w.Retryable, RetryAfter: w.RetryAfter,
		}
	default:
		t.Fatalf("unknown outcome %q", w.Outcome)
		return w
	}
}

// sampleRead turns what Retrieve gave into the form in which it is compared.
func sampleRead(t testing.TB, a *sampleAnswer, r *api.Result, err error) sampleReading {
	t.Helper()
	if err != nil {
		e, ok := errors.AsType[*api.Error](err)
		if !ok {
			t.Fatalf("the error is a %T, want *api.Error: %v", err, err)
		}
		if _, ok := errors.AsType[*api.TaskError](err); ok {
			t.Errorf("the error is a *api.TaskError too: %v", err)
		}
		if r != nil {
			t.Errorf("a Result beside an error: %v", r)
		}
		if e.Op != sampleOp {
			t.Errorf("Op is %q, want %q", e.Op, sampleOp)
		}
		if e.Attempts != 1 {
			t.Errorf("Attempts is %d, want 1", e.Attempts)
		}
		got := sampleReading{
			Outcome: "api_error", HTTP: e.StatusCode, Code: e.Code, Message: e.Message,
			Matches: sampleMatches(err), Retryable: e.Retryable(), RetryAfter: e.RetryAfter,
		}
		if errors.Is(err, api.ErrMalformed) {
			got.Outcome, got.Message = "malformed", err.Error()
		}
		return got
	}
	if r == nil {
		t.Fatal("neither a Result nor an error")
	}
	if !bytes.Equal(r.Raw, a.body) {
		t.Errorf("Raw is not the answer as received: %q", r.Raw)
	}
	if r.AgentID == "" {
		t.Error("AgentID is empty")
	}
	if want := (api.Task{AgentID: r.AgentID, AsyncID: r.AsyncID}); r.Task() != want {
		t.Errorf("Task() is %+v, want %+v", r.Task(), want)
	}
	got := sampleReading{
		Outcome: string(r.Status), Status: r.Status, RawStatus: r.RawStatus, AsyncID: r.AsyncID,
		Videos: r.VideoURLs(), Files: r.FileURLs(), Images: r.ImageURLs(),
		Text: r.Text(), Finish: r.FinishReason(), Abnormal: r.FinishReason().Abnormal(), RetryAfter: r.RetryAfter,
	}
	if failure := r.Err(); failure != nil {
		e, ok := errors.AsType[*api.TaskError](failure)
		if !ok {
			t.Fatalf("Err() is a %T, want *api.TaskError: %v", failure, failure)
		}
		if e.Result != r || e.Task != r.Task() {
			t.Errorf("Err() does not hold the result and its task: %+v", e)
		}
		got.Outcome, got.Code, got.Message = "task_failed", e.Code, e.Message
		got.Matches, got.Retryable = sampleMatches(failure), e.Retryable()
	}
	return got
}

// sampleSentinels are all sentinels of the package with the category that each stands for.
var sampleSentinels = []struct {
	name     string
	err      error
	category string
}{
	{"ErrAccount", api.ErrAccount, "account"},
	{"ErrAuthentication", api.ErrAuthentication, "auth"},
	{"ErrBlocked", api.ErrBlocked, "blocked"},
	{"ErrBodyTooLarge", api.ErrBodyTooLarge, ""},
	{"ErrConflict", api.ErrConflict, ""},
	{"ErrContentBlocked", api.ErrContentBlocked, "content"},
	{"ErrInterrupted", api.ErrInterrupted, ""},
	{"ErrInvalidRequest", api.ErrInvalidRequest, "invalid_request"},
	{"ErrMalformed", api.ErrMalformed, ""},
	{"ErrNoResult", api.ErrNoResult, ""},
	{"ErrNoTask", api.ErrNoTask, ""},
	{"ErrNotFound", api.ErrNotFound, "not_found"},
	{"ErrOverloaded", api.ErrOverloaded, "overload"},
	{"ErrPermission", api.ErrPermission, "permission"},
	{"ErrQuota", api.ErrQuota, "quota"},
	{"ErrRateLimited", api.ErrRateLimited, "rate_limit"},
	{"ErrServer", api.ErrServer, "server"},
	{"ErrUnknownOutcome", api.ErrUnknownOutcome, ""},
}

// sampleMatches names the sentinels that err matches.
func sampleMatches(err error) string {
	var names []string
	for _, s := range sampleSentinels {
		if errors.Is(err, s.err) {
			names = append(names, s.name)
		}
	}
	return strings.Join(names, " ")
}
