package api_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

// securityVerbs are all verbs that send the key.
var securityVerbs = map[string]func(context.Context, *api.ClientWithResponses) error{
	"Retrieve": func(ctx context.Context, c *api.ClientWithResponses) error {
		r, err := c.Retrieve(ctx, retrieveTask)
		if err == nil {
			err = r.Err()
		}
		return err
	},
	"Wait": func(ctx context.Context, c *api.ClientWithResponses) error {
		_, err := c.Wait(ctx, retrieveTask, api.MaxFailures(1), api.MaxWait(time.Second))
		return err
	},
	"Invoke": func(ctx context.Context, c *api.ClientWithResponses) error {
		_, err := c.Invoke(ctx, api.NewSlidesRequest("cats"))
		return err
	},
	"Submit": func(ctx context.Context, c *api.ClientWithResponses) error {
		_, err := c.Submit(ctx, api.NewVideoRequest(api.TemplateFrenchKiss, "https://x.example/a.png", "p"))
		return err
	},
	"Stream": func(ctx context.Context, c *api.ClientWithResponses) (last error) {
		for _, err := range c.Stream(ctx, api.NewSlidesRequest("cats")) {
			last = err
		}
		return last
	},
	"Conversation": func(ctx context.Context, c *api.ClientWithResponses) error {
		_, err := c.Conversation(ctx, api.ConversationRequest{ConversationID: "c"})
		return err
	},
	"Upload": func(ctx context.Context, c *api.ClientWithResponses) error {
		_, err := c.Upload(ctx, "a.txt", strings.NewReader("x"))
		return err
	},
}

// securityValueError is an error that is printed by its fields.
type securityValueError struct{ Text string }

func (e securityValueError) Error() string { return e.Text }

// TestSecurityServerTexts: what a hostile server, proxy or transport writes reaches errors and
// logs of every verb without the key, without queries of addresses, and on one line without
// control characters, in every way in which a value can be printed.
func TestSecurityServerTexts(t *testing.T) {
	t.Parallel()
	const (
		address = "https://files.example.com/v.mp4?KeyId=demo&Signature=s3cret'quoted'&Expires=1"
		inject  = "one\r\nlevel=ERROR msg=forged\x1b[31mred\u202egnp\x00\x7f\u2028"
	)
	text := inject + " Bearer " + retrieveKey + " " + address + " /v.mp4?Signature=s3cret"
	encoded := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	failure := map[string]any{"code": text, "message": text}
	escaped := strings.NewReplacer("K", `\u004b`, "S", `\u0053`, "0", `\u0030`).Replace(encoded(failure)) // Not a byte of the key is in place.
	answers := map[string]func() (*http.Response, error){
		"transport": func() (*http.Response, error) { return nil, securityValueError{text} },
		"url.Error": func() (*http.Response, error) {
			return nil, fmt.Errorf("proxy: %w", &url.Error{Op: "Post", URL: address, Err: errors.New("dial " + text)})
		},
		"redirect": func() (*http.Response, error) { return securityAnswer(302, ""), nil },
	}
	for _, status := range []int{200, 400, 500} {
		for name, body := range map[string]string{
			"failed":        `{"status":"failed","async_id":` + encoded(inject+retrieveKey) + `,"id":` + encoded(text) + `,"error":` + encoded(failure) + `}`,
			"escaped":       `{"status":"failed","request_id":"0123456789abcdef.S3cret\u00533cretS3cret","error":` + escaped + `}`,
			"refused":       `{"request_id":` + encoded(text) + `,"error":` + encoded(failure) + `}`,
			"flat":          `{"code":1234,"msg":` + encoded(text) + `}`,
			"unknown state": `{"status":` + encoded(text) + `,"async_id":` + encoded(text) + `}`,
			"HTML":          "<p>" + text + "<a href='" + address + "'>",
			"cut":           `{"status":` + encoded(text),
			"event":         "data: {\"error\":" + encoded(failure) + "}\n\n",
			"escaped event": "data: {\"conversation_id\":\"0123456789abcdef.\\u00533cretS3cretS3cret\",\"choices\":[]}\n\ndata: {\"error\":" + escaped + "}\n\n",
			"broken events": "data: " + text + "\n\ndata: {\n\n",
		} {
			answers[fmt.Sprint(status, " ", name)] = func() (*http.Response, error) { return securityAnswer(status, body), nil }
		}
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var log bytes.Buffer
				logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
					// Other handlers do not quote what this one does.
					if text := a.Value.String(); strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) }) {
						t.Errorf("the log gets %s=%q", a.Key, text)
					}
					return a
				}}))
				client, err := api.New(retrieveKey, api.WithLogger(logger), api.WithMaxAttempts(1), api.WithHTTPClient(retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
					resp, err := answer()
					if resp != nil {
						resp.Request = req
						for _, header := range []string{"X-Log-Id", "X-Echo", "Content-Type"} {
							resp.Header.Set(header, text)
						}
						for _, header := range []string{"Location", "Set-Location"} {
							resp.Header.Set(header, "/login?key="+retrieveKey+"&Signature=s3cret")
						}
					}
					return resp, err
				})))
				if err != nil {
					t.Fatal(err)
				}
				for verb, call := range securityVerbs {
					err := call(t.Context(), client)
					if err == nil {
						continue // It is a word that nobody knows, and Retrieve an answer.
					}
					securityClean(t, verb, err)
					securityText(t, verb, err.Error())
					if line := strings.Count(err.Error(), "\n"); line > 0 || len(err.Error()) > 2000 {
						t.Errorf("%s: %d bytes on %d lines: %q", verb, len(err.Error()), line+1, err)
					}
				}
				if raw, err := client.RetrieveAgentResultWithResponse(t.Context(), nil, retrieveTask); err == nil && strings.Contains(raw.HTTPResponse.Status, retrieveKey) {
					t.Errorf("the raw method gives the status line %q", raw.HTTPResponse.Status)
				}
				securityText(t, "log", log.String())
				for _, line := range strings.Split(strings.TrimSpace(log.String()), "\n") {
					if !strings.HasPrefix(line, "time=") {
						t.Errorf("a line of the log is %q", line)
					}
				}
			})
		})
	}
}

// securityAnswer is an answer of a Doer.
func securityAnswer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Status: "999 " + retrieveKey, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

// securityClean looks for secrets in an error and in all errors within it.
func securityClean(t *testing.T, verb string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	securitySecrets(t, verb, err.Error())
	encoded, _ := json.Marshal(err)
	for _, text := range []string{fmt.Sprintf("%+v", err), fmt.Sprintf("%#v", err), fmt.Sprintf("%q", err), string(encoded)} {
		securitySecrets(t, verb, text)
	}
	if e, ok := err.(*api.Error); ok { //nolint:errorlint // One after the other.
		securitySecrets(t, verb, fmt.Sprintf("%+v %#v", *e, *e)+string(e.Body))
	}
	if e, ok := err.(*api.TaskError); ok { //nolint:errorlint // As above.
		securitySecrets(t, verb, fmt.Sprintf("%+v %#v %v", *e, *e, e.Task))
	}
	switch e := err.(type) { //nolint:errorlint // As above.
	case interface{ Unwrap() error }:
		securityClean(t, verb, e.Unwrap())
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			securityClean(t, verb, inner)
		}
	}
}

func securitySecrets(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range []string{retrieveKey, "s3cret", "KeyId=demo"} {
		if i := strings.Index(text, secret); i >= 0 {
			t.Errorf("%s shows %q: …%q", what, secret, text[max(0, i-60):min(len(text), i+60)])
		}
	}
}

// securityText looks for secrets and for what moves the cursor of a terminal.
func securityText(t *testing.T, what, text string) {
	t.Helper()
	securitySecrets(t, what, text)
	if i := strings.IndexAny(text, "\r\x00\x1b\x7f\u2028\u202e"); i >= 0 {
		t.Errorf("%s holds the control character at %q", what, text[i:min(len(text), i+20)])
	}
}

// TestSecurityPrinting: a client, its parts, tasks and results can be printed and logged by
// accident.
func TestSecurityPrinting(t *testing.T) {
	t.Parallel()
	client, err := api.New(retrieveKey)
	if err != nil {
		t.Fatal(err)
	}
	raw := client.ClientInterface.(*api.Client)
	body := []byte(`{"status":"success","async_id":"a\nb","choices":[{"message":[{"content":[{"type":"video_url","video_url":"https://x.example/v.mp4?Signature=s3cret"}]}]}]}`)
	r, err := samplePlay(t.Context(), sampleClient(t), &sampleAnswer{status: 200, header: http.Header{}, body: body})
	if err != nil || len(r.VideoURLs()) != 1 {
		t.Fatal(r, err)
	}
	for _, v := range []any{
		client, *client, raw, *raw, raw.Client, raw.RequestEditors, r, *r, []*api.Result{r}, map[string]any{"r": *r}, api.Outcome{Result: r}, &api.Outcome{Result: r},
		api.Poll{Task: r.Task()}, &api.TaskError{Result: r}, &api.WaitError{Result: r, Err: io.EOF}, &api.Error{Result: r}, api.TaskError{Result: r}, api.Error{Result: r},
	} {
		var log strings.Builder
		for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			if _, whole := v.(map[string]any); !whole { // That is JSON for the JSON handler, addresses and all.
				slog.New(handler).InfoContext(t.Context(), "x", "v", v)
			}
		}
		text := fmt.Sprintf("%v %+v %#v %s %q", v, v, v, v, v)
		if _, isError := v.(error); isError {
			encoded, _ := json.Marshal(v)
			text += string(encoded)
		}
		for _, secret := range []string{retrieveKey, "s3cret"} {
			if strings.Contains(text, secret) {
				t.Errorf("%T shows %s: %s", v, secret, text)
			}
		}
		if _, ok := v.(slog.LogValuer); ok && strings.Contains(log.String(), "s3cret") || strings.Contains(log.String(), retrieveKey) {
			t.Errorf("%T logs a secret: %s", v, log.String())
		}
	}
}

// TestSecurityBombs: an answer that grows when it is unpacked or read costs no more than 64 times WithMaxBody, or than
// the 65,536 values that any answer may hold, and the next call is as good as before.
func TestSecurityBombs(t *testing.T) { //nolint:paralleltest // It measures the heap.
	const limit = 1 << 19
	wrap := func(begin, unit, end string) string {
		return begin + strings.Repeat(unit, (limit-len(begin)-len(end)-100)/len(unit)) + end
	}
	deep := strings.Repeat(`{"status":[`, 40_000)
	bombs := map[string]string{
		"zeros":           strings.Repeat("\x00", 4*limit),
		"space":           strings.Repeat(" ", 4*limit),
		"text":            `{"status":"success","choices":[{"message":[{"content":"` + strings.Repeat("a", 4*limit) + `"}]}]}`,
		"choices":         wrap(`{"status":"pending","async_id":"1","choices":[`, `{},`, `{}]}`),
		"single choice":   wrap(`{"choices":[`, `[],`, `{}]}`),
		"messages":        wrap(`{"status":"pending","choices":[{"messages":[`, `{},`, `{}]}]}`),
		"parts":           wrap(`{"status":"pending","choices":[{"messages":[{"content":[`, `{},`, `{}]}]}]}`),
		"strings":         wrap(`{"status":"pending","choices":[{"messages":[{"content":[`, `"a",`, `"b"]}]}]}`),
		"spread parts":    wrap(`{"status":"pending","choices":[{"messages":[{"content":[`, `{"text":"`+strings.Repeat("\\n", 8)+`"},`, `{}]}]}]}`),
		"few strings":     `{"status":"pending","choices":[{"messages":[{"content":[` + strings.Repeat(`"a",`, 60_000) + `"b"]}]}]}`,
		"videos":          wrap(`{"status":"pending","video_result":[`, `{},`, `{}]}`),
		"keys":            wrap(`{"status":"pending",`, `"a":1,`, `"b":2}`),
		"events":          wrap("", "data: {\"choices\":[{}]}\n\n", ""),
		"event":           wrap(`data: {"choices":[{"delta":[{"content":[`, `"a",`, "\"b\"]}]}]}\n\n"),
		"empty events":    wrap("", "data:\n\n", ""),
		"parts of events": wrap("", `data: {"choices":[{"delta":[{"content":[{}`+strings.Repeat(",{}", 200)+"]}]}]}\n\n", ""),
		"deep":            deep,
	}
	t.Cleanup(runtime.GC) // The next test may measure the heap too.
	var body atomic.Pointer[[]byte]
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(*body.Load())
	}))
	t.Cleanup(server.Close)
	client := retrieveClient(t, server.URL, api.WithMaxBody(limit), api.WithMaxAttempts(1))
	for name, bomb := range bombs {
		var packed bytes.Buffer
		w, err := gzip.NewWriterLevel(&packed, gzip.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, bomb); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		sent := packed.Bytes()
		body.Store(&sent)
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		r, err := client.Retrieve(t.Context(), retrieveTask)
		runtime.ReadMemStats(&after)
		if len(bomb) > limit && !errors.Is(err, api.ErrBodyTooLarge) {
			t.Errorf("%s: %d bytes in %d: %v", name, len(bomb), len(sent), err)
		}
		// All that was ever allocated, of which the collector leaves a small part.
		most := uint64(32 << 20)
		if name == "few strings" { // As many values as any answer may hold, however short.
			most = 300 << 20
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > most {
			t.Errorf("%s: %d bytes packed, %d unpacked, took %d MiB", name, len(sent), len(bomb), grown>>20)
		}
		runtime.KeepAlive(r)
	}
	var encoded bytes.Buffer
	w := gzip.NewWriter(&encoded)
	if _, err := io.WriteString(w, `{"status":"success"}`); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	sent := encoded.Bytes()
	body.Store(&sent)
	if _, err := client.Retrieve(t.Context(), retrieveTask); err != nil {
		t.Error(err)
	}
}

// TestSecurityEndlessEvents: whatever a stream repeats without an end, Invoke keeps no more of
// it than WithMaxBody says, and ends with the context where there is nothing to keep.
func TestSecurityEndlessEvents(t *testing.T) {
	t.Parallel()
	say := func(part string) string {
		return `data: {"choices":[{"delta":[{"content":[` + part + "]}]}]}\n\n"
	}
	for name, event := range map[string]string{
		"texts":        say(`{"text":"aaaa"}`),
		"phases":       say(`{"text":"a","phase":"thinking"},{"text":"b"}`),
		"addresses":    say(`{"file_url":"https://x.example/a"}`),
		"objects":      say(`{"object":{"a":1}}`),
		"tool calls":   say(`{"object":{"tool_name":"t","position":[1],"output":"x"}}`),
		"videos":       "data: {\"video_result\":[{\"url\":\"https://x.example/a\"}]}\n\n",
		"empty videos": "data: {\"video_result\":[{},{},{}]}\n\n",
		"one event":    "data: x",
		"lines":        "data: x\n",
		"empty events": "data: {\"choices\":[]}\n\n",
		"empty parts":  say(`{}`),
		"comments":     ": ping\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
				defer cancel()
				doer := retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
					resp := securityAnswer(http.StatusOK, "")
					resp.Request = req
					resp.Header.Set("Content-Type", "text/event-stream")
					resp.Body = io.NopCloser(&securityEndless{ctx: req.Context(), event: strings.Repeat(event, 20)})
					return resp, nil
				})
				client, err := api.New(retrieveKey, api.WithHTTPClient(doer), api.WithMaxBody(2_000))
				if err != nil {
					t.Fatal(err)
				}
				_, err = client.Invoke(ctx, api.NewSlidesRequest("cats"))
				kept := !slices.Contains([]string{"empty events", "empty parts", "empty videos", "comments"}, name)
				if kept && !errors.Is(err, api.ErrBodyTooLarge) || !kept && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// securityEndless says the same every second.
type securityEndless struct {
	ctx   context.Context
	event string
}

func (r *securityEndless) Read(p []byte) (int, error) {
	select {
	case <-time.After(time.Second):
		return copy(p, r.event), nil
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
}

// TestSecurityManyValues: what is refused for its many values is no answer that anybody gives.
func TestSecurityManyValues(t *testing.T) {
	t.Parallel()
	part := `{"type":"text","text":"a, b, c"},`
	commas := strings.Repeat(", ", 80_000)
	for name, content := range map[string]string{
		"30,000 parts":        strings.Repeat(part, 30_000) + `{}`,
		"a text of commas":    `{"type":"text","text":"` + commas + `"}`,
		"a tool's numbers":    `{"type":"object","object":{"tool_name":"t","output":[` + strings.Repeat("1,", 60_000) + `1]}}`,
		"quotes and escapes":  `{"type":"text","text":"\"` + commas + `\\"}`,
		"ends with backslash": `{"type":"text","text":"` + commas + `\\\\"}`,
	} {
		body := []byte(`{"status":"success","choices":[{"message":[{"content":[` + content + `]}]}]}`)
		var r api.Result
		if err := json.Unmarshal(body, &r); err != nil || len(r.Choices) != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	for commas, ok := range map[int]bool{1 << 16: true, 1<<16 + 1: false} { // and one in a text
		var r api.Result
		err := json.Unmarshal([]byte(`{"status":"success","id":",","choices":[`+strings.Repeat(`{},`, commas-2)+`{}]}`), &r)
		if (err == nil) != ok {
			t.Errorf("an answer of small values with %d commas: %v", commas, err)
		}
	}
}

// TestSecurityRedirects: no verb follows a redirect of the API, and the key of a create does
// not leave its origin.
func TestSecurityRedirects(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for verb, call := range securityVerbs {
			t.Run(fmt.Sprint(status, " ", verb), func(t *testing.T) {
				t.Parallel()
				var visits atomic.Int32
				other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { visits.Add(1) }))
				defer other.Close()
				home := httptest.NewServer(http.RedirectHandler(other.URL+"/?Signature=s3cret", status))
				defer home.Close()
				err := call(t.Context(), retrieveClient(t, home.URL))
				e, ok := errors.AsType[*api.Error](err)
				if !ok || e.StatusCode != status || visits.Load() != 0 {
					t.Errorf("got %v after %d visits", err, visits.Load())
				}
				securityClean(t, verb, err)
			})
		}
	}
}

// TestSecurityCookies: what a server sets as a cookie is kept only where the caller brought a
// jar, and is no part of a download from another place.
func TestSecurityCookies(t *testing.T) {
	t.Parallel()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, doer := range map[string]*http.Client{"default": nil, "jar": {Jar: jar}} {
		var got []string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			got = append(got, r.Header.Get("Cookie")+r.Header.Get("Authorization"))
			w.Header().Set("Set-Cookie", "session=s3cret; Path=/")
			fmt.Fprint(w, `{"status":"pending"}`)
		}))
		t.Cleanup(server.Close)
		opts := []api.ClientOption{}
		if doer != nil {
			opts = append(opts, api.WithHTTPClient(doer))
		}
		client := retrieveClient(t, server.URL, opts...)
		for range 2 {
			if _, err := client.Retrieve(t.Context(), retrieveTask); err != nil {
				t.Error(err)
			}
		}
		elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			got = append(got, r.Header.Get("Cookie")+r.Header.Get("Authorization"))
		}))
		t.Cleanup(elsewhere.Close)
		if _, err := client.Download(t.Context(), strings.Replace(elsewhere.URL, "127.0.0.1", "localhost", 1), io.Discard); err != nil {
			t.Error(err)
		}
		want := []string{"Bearer " + retrieveKey, "Bearer " + retrieveKey, ""}
		if doer != nil {
			want[1] = "session=s3cret" + want[1]
		}
		if strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// TestSecurityInjection: nothing that a caller passes on from strangers adds a header, a
// field or a request.
func TestSecurityInjection(t *testing.T) {
	t.Parallel()
	srv := zaitest.NewServer()
	t.Cleanup(srv.Close)
	client := retrieveClient(t, srv.URL)
	const evil = "x\r\nX-Injected: 1\r\n\r\nPOST /api/v1/agents HTTP/1.1\r\n\"},{\"\x00é\u2028"
	ctx := t.Context()
	calls := map[string]func() error{
		"task": func() error {
			_, err := client.Retrieve(ctx, api.Task{AgentID: evil, AsyncID: evil})
			return err
		},
		"conversation": func() error {
			_, err := client.Conversation(ctx, api.ConversationRequest{AgentID: evil, ConversationID: evil})
			return err
		},
		"prompt": func() error { _, err := client.Invoke(ctx, api.NewSlidesRequest(evil)); return err },
		"body field": func() error {
			_, err := client.Retrieve(ctx, retrieveTask, api.BodyFields(map[string]any{evil: evil}))
			return err
		},
		"file name": func() error {
			_, err := client.Upload(ctx, "a\"; filename=\"../../b.txt", strings.NewReader("x"))
			return err
		},
		"language": func() error {
			_, err := client.Retrieve(ctx, retrieveTask, api.AcceptLanguage(evil))
			return err
		},
		"file name of two lines": func() error {
			_, err := client.Upload(ctx, "a\r\nX-Injected: 1.txt", strings.NewReader("x"))
			return err
		},
		"header of an editor": func() error {
			_, err := client.Retrieve(ctx, retrieveTask, func(_ context.Context, req *http.Request) error {
				req.Header["X-Trace"] = []string{evil}
				return nil
			})
			return err
		},
	}
	for name, call := range calls {
		before := len(srv.Requests())
		err := call()
		sent := srv.Requests()[before:]
		switch name {
		case "language", "file name of two lines":
			if !errors.Is(err, api.ErrInvalidRequest) || len(sent) != 0 {
				t.Errorf("%s: %v after %d requests", name, err, len(sent))
			}
		case "header of an editor":
			if err == nil || len(sent) != 0 {
				t.Errorf("%s: %v after %d requests", name, err, len(sent))
			}
		default:
			if len(sent) != 1 || sent[0].Header.Get("X-Injected") != "" || sent[0].Header.Get("Authorization") != "Bearer "+retrieveKey {
				t.Errorf("%s: %v, requests %v", name, err, sent)
			}
		}
		if err != nil {
			securityText(t, name, err.Error())
		}
	}
}

// TestSecurityFileNames: of the name of an upload only the last element is sent, and it
// cannot leave the header that holds it.
func TestSecurityFileNames(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"../../etc/passwd.txt": "passwd.txt", `C:\Users\me\a.pdf`: "a.pdf", "/abs/b.txt": "b.txt", "a/../c.txt": "c.txt",
		`q"; name="purpose`: `q"; name="purpose`, "é文.txt": "é文.txt", "..": "", ".": "", "": "", "dir/": "", `..\`: "",
		"a\nb.txt": "", "a\x00.txt": "", "a\x1b.txt": "", "a\u0085.txt": "",
	} {
		var got string
		var values map[string][]string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, header, err := r.FormFile("file")
			if err != nil {
				t.Error(err)
				return
			}
			got, values = header.Filename, r.MultipartForm.Value
			fmt.Fprint(w, `{"id":"f","object":"file"}`)
		}))
		_, err := retrieveClient(t, server.URL).Upload(t.Context(), name, strings.NewReader("x"))
		server.Close()
		if got != want || want != "" && (err != nil || len(values) != 1 || len(values["purpose"]) != 1) || want == "" && !errors.Is(err, api.ErrInvalidRequest) {
			t.Errorf("%q is sent as %q with %v, error %v, want %q", name, got, values, err, want)
		}
	}
}

// TestSecurityInside: no address that a server names reaches what only this machine sees,
// however it is spelled.
func TestSecurityInside(t *testing.T) {
	t.Parallel()
	var visits atomic.Int32
	inside := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		visits.Add(1)
		fmt.Fprint(w, "secrets of this machine")
	}))
	t.Cleanup(inside.Close)
	own := inside.Client()
	own.Transport.(*http.Transport).TLSClientConfig.InsecureSkipVerify = true
	port := inside.Listener.Addr().(interface{ String() string }).String()
	port = port[strings.LastIndexByte(port, ':'):]
	client, err := api.New(retrieveKey, api.WithHTTPClient(own))
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{
		"127.0.0.1", "localhost", "LOCALHOST.", "[::1]", "0.0.0.0", "[::ffff:127.0.0.1]", "１２７.0.0.1", "127。0。0。1", "ｌocalhost", "①②⑦.0.0.1", "%EF%BC%91%EF%BC%92%EF%BC%97.0.0.1",
		"2130706433", "0x7f000001", "0x7f.1", "127.1", "0177.0.0.1", "017700000001", "127.0.0.1.", "foo.localhost", "foo.LocalHost.", "ⓛⓞⓒⓐⓛⓗⓞⓢⓣ",
	} {
		for _, format := range []string{"https://%s%s/", "https://%s%s/v.mp4?Signature=s3cret", "http://%s%s/"} {
			var b strings.Builder
			_, err := client.Download(t.Context(), fmt.Sprintf(format, host, port), &b)
			if !errors.Is(err, api.ErrInvalidRequest) || b.Len() > 0 || visits.Load() != 0 {
				t.Errorf("%s: %q, %v, %d visits", host, b.String(), err, visits.Load())
			}
			securityClean(t, host, err)
		}
	}
}

// TestPropertyTask: a task is itself again after text, JSON, the key of a map and a flag.
func TestPropertyTask(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		task := api.Task{AgentID: api.AgentID(rapid.String().Draw(t, "agent")), AsyncID: rapid.String().Draw(t, "async")}
		again, err := api.ParseTask(task.String())
		if err != nil || again != task {
			t.Fatalf("%#v is %q, and that %#v, %v", task, task.String(), again, err)
		}
		var fromText api.Task
		text, err := task.MarshalText()
		if err != nil || fromText.UnmarshalText(text) != nil || fromText != task {
			t.Fatalf("%#v is %q, and that %#v, %v", task, text, fromText, err)
		}
		type tasks struct {
			One  api.Task
			Many []api.Task
			Map  map[api.Task]int
		}
		in, out := tasks{task, []api.Task{task, {}}, map[api.Task]int{task: 1}}, tasks{}
		encoded, err := json.Marshal(in)
		if err != nil || json.Unmarshal(encoded, &out) != nil || out.One != task || out.Many[0] != task || out.Map[task] != 1 || len(out.Map) != 1 {
			t.Fatalf("%#v is %s, and that %#v, %v", in, encoded, out, err)
		}
		var bytesOf [2][]byte
		for i := range bytesOf {
			bytesOf[i] = rapid.SliceOfN(rapid.Byte(), 0, 20).Draw(t, "bytes")
		}
		raw := api.Task{AgentID: api.AgentID(bytesOf[0]), AsyncID: string(bytesOf[1])} // Not UTF-8, mostly.
		if again, err := api.ParseTask(raw.String()); err != nil || again != raw {
			t.Fatalf("%#v is %q, and that %#v, %v", raw, raw.String(), again, err)
		}
	})
}

// TestBodiesAreClosed: when a verb returns, each body that it was given is closed, and the context of
// each request has ended, also where the answer is too large, breaks off, or has no end.
func TestBodiesAreClosed(t *testing.T) {
	t.Parallel()
	answers := map[string]struct {
		status int
		body   func() io.Reader
	}{
		"whole":   {http.StatusOK, func() io.Reader { return strings.NewReader(`{"status":"pending","async_id":"1"}`) }},
		"refused": {http.StatusUnauthorized, func() io.Reader { return strings.NewReader(`{"error":{"code":"1000"}}`) }},
		"large":   {http.StatusOK, func() io.Reader { return strings.NewReader(strings.Repeat(" ", 8<<10)) }},
		"broken":  {http.StatusOK, func() io.Reader { return iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader(`{"status":`))) }},
		"broken event": {http.StatusOK, func() io.Reader {
			return io.MultiReader(strings.NewReader("data: {\"choices\":[{}]}\n\n"), iotest.ErrReader(io.ErrUnexpectedEOF))
		}},
		"large event": {http.StatusOK, func() io.Reader {
			return strings.NewReader("data: {\"choices\":[{}]}\n\ndata: " + strings.Repeat(" ", 8<<10))
		}},
		"end of events": {http.StatusOK, func() io.Reader {
			return io.MultiReader(strings.NewReader("data: {\"choices\":[{}]}\n\ndata: [DONE]\n\n"), iotest.ErrReader(errors.New("read beyond the end")))
		}},
	}
	verbs := maps.Clone(securityVerbs)
	verbs["Stream, left"] = func(ctx context.Context, c *api.ClientWithResponses) error {
		for _, err := range c.Stream(ctx, api.NewSlidesRequest("cats")) {
			return err
		}
		return nil
	}
	verbs["Download"] = func(ctx context.Context, c *api.ClientWithResponses) error {
		_, err := c.Download(ctx, "https://media.example.com/a.mp4", io.Discard)
		return err
	}
	for name, answer := range answers {
		for verb, call := range verbs {
			synctest.Test(t, func(t *testing.T) {
				opened, closed := 0, 0
				var requests []context.Context
				client, err := api.New(retrieveKey, api.WithMaxAttempts(2), api.WithMaxBody(1<<10), api.WithHTTPClient(retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
					opened++
					requests = append(requests, req.Context())
					body := &downloadBody{Reader: answer.body(), close: func() { closed++ }}
					return &http.Response{StatusCode: answer.status, Header: http.Header{}, Body: body, ContentLength: -1, Request: req}, nil
				})))
				if err != nil {
					t.Fatal(err)
				}
				err = call(t.Context(), client)
				if opened == 0 || closed != opened {
					t.Errorf("%s, %s: %d of %d bodies are closed: %v", verb, name, closed, opened, err)
				}
				for _, ctx := range requests {
					if ctx.Err() == nil {
						t.Errorf("%s, %s: an attempt goes on: %v", verb, name, err)
					}
				}
			})
		}
	}
}

// nothingCreatedCodes prove, with HTTP 429, that a create has made nothing.
var nothingCreatedCodes = []api.ErrorCode{"1302", "1303", "1305", "1312"}

// TestCreatesAreSentOnce: with three attempts allowed, each create is sent again after the answers that prove
// that it made nothing, and after no other of any code and any status.
func TestCreatesAreSentOnce(t *testing.T) {
	t.Parallel()
	codes := codesAll()
	synctest.Test(t, func(t *testing.T) {
		for _, verb := range []string{"Invoke", "Submit", "Stream", "Upload"} {
			for _, status := range []int{200, 400, 401, 408, 425, 429, 500, 502, 503, 529} {
				for _, code := range codes {
					sent := 0
					client, err := api.New(retrieveKey, api.WithMaxAttempts(3), api.WithHTTPClient(retrieveDoerFunc(func(*http.Request) (*http.Response, error) {
						sent++
						return securityAnswer(status, `{"error":{"code":"`+string(code)+`","message":"m"}}`), nil
					})))
					if err != nil {
						t.Fatal(err)
					}
					want := 1
					if status == http.StatusTooManyRequests && slices.Contains(nothingCreatedCodes, code) && verb != "Upload" {
						want = 3
					}
					if err := securityVerbs[verb](t.Context(), client); err == nil || sent != want {
						t.Errorf("%s sent %d times, want %d: HTTP %d, code %q: %v", verb, sent, want, status, code, err)
					}
				}
			}
		}
	})
}

// TestPropertyRetry: over any row of answers, a create is sent again after HTTP 429 with a
// code that proves that nothing was created and after nothing else; a read is sent again
// only where its error is transient; neither is sent more than WithMaxAttempts says; and no
// time is spent that the server did not ask for, nor any beyond the deadline.
func TestPropertyRetry(t *testing.T) {
	t.Parallel()
	type answer struct {
		status int
		code   api.ErrorCode
		after  string
		lost   bool
	}
	body := func(a answer) string {
		if a.code != "" {
			return `{"error":{"code":"` + string(a.code) + `","message":"m"}}`
		}
		return `{"status":"pending","async_id":"1"}`
	}
	codes := codesAll()
	propertyCheck(t, 300, func(rt *rapid.T) {
		attempts := rapid.IntRange(1, 5).Draw(rt, "attempts")
		limit := rapid.SampledFrom([]time.Duration{time.Millisecond, 3 * time.Second, 2 * time.Minute, time.Hour}).Draw(rt, "deadline")
		var answers []answer
		for range 6 {
			answers = append(answers, answer{
				status: rapid.SampledFrom([]int{200, 200, 301, 400, 401, 429, 429, 429, 500, 502, 503, 529}).Draw(rt, "status"),
				code:   rapid.OneOf(rapid.Just(api.ErrorCode("")), rapid.SampledFrom(nothingCreatedCodes), rapid.SampledFrom(codes)).Draw(rt, "code"),
				after:  rapid.SampledFrom([]string{"", "", "0", "1", "7", "60", "61", "999999999999", "soon"}).Draw(rt, "retry after"),
				lost:   rapid.IntRange(0, 7).Draw(rt, "lost") == 0,
			})
		}
		var problems []string // A rapid.T belongs to its own goroutine.
		broke := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
		synctest.Test(t, func(t *testing.T) {
			for verb, call := range securityVerbs {
				if verb == "Wait" {
					continue // It polls: see its own tests.
				}
				create := verb != "Retrieve" && verb != "Conversation"
				sent, last := 0, time.Now()
				doer := retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
					a := answers[sent]
					if sent > 0 {
						before := answers[sent-1]
						repeatable := before.lost || referenceDecode(before.status, "", []byte(body(before))).Retryable
						if create {
							repeatable = !before.lost && before.status == 429 && slices.Contains(nothingCreatedCodes, before.code)
						}
						if !repeatable {
							broke("%s was repeated after %+v", verb, before)
						}
						if verb == "Upload" {
							broke("an upload was repeated after %+v", before)
						}
						waited, least := time.Since(last), time.Duration(0)
						if !before.lost {
							least, _ = time.ParseDuration(before.after + "s")
						}
						if waited < least || waited > max(least, 8*time.Second) || least > time.Minute {
							broke("%s waited %v after %+v", verb, waited, before)
						}
					}
					last = time.Now()
					if sent++; sent > attempts {
						broke("%s was sent %d times, want at most %d", verb, sent, attempts)
					}
					if req.Body != nil {
						_, _ = io.Copy(io.Discard, req.Body)
					}
					if a.lost {
						return nil, io.ErrUnexpectedEOF
					}
					resp := securityAnswer(a.status, body(a))
					if a.after != "" {
						resp.Header.Set("Retry-After", a.after)
					}
					resp.Request = req
					return resp, nil
				})
				client, err := api.New(retrieveKey, api.WithHTTPClient(doer), api.WithMaxAttempts(attempts))
				if err != nil {
					broke("%v", err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), limit)
				start := time.Now()
				err = call(ctx, client)
				cancel()
				if spent := time.Since(start); spent > limit {
					broke("%s took %v of %v", verb, spent, limit)
				}
				e, ok := errors.AsType[*api.Error](err)
				if ok && (e.Attempts != sent || sent == 0) {
					broke("%s says %d attempts, made %d: %v", verb, e.Attempts, sent, err)
				}
			}
		})
		if len(problems) > 0 {
			rt.Fatal(strings.Join(problems, "\n"))
		}
	})
}
