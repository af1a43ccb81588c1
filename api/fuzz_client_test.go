package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"example.com/zai/api"
)

// FuzzBaseURL: a base URL is refused, or it is https or loopback without user info, query
// and fragment, and every request of every operation goes to exactly that origin, below
// that path.
func FuzzBaseURL(f *testing.F) {
	for _, base := range []string{
		api.DefaultServer, api.BigModelServer, "http://127.0.0.1:8080", "http://[::1]:80/api/", "http://localhost/api/coding/paas/v4/", "https://api.z.ai:8443//",
		"https://me:sekret@api.z.ai/api", "https://api.z.ai/api?k=v#f", "https://api.z.ai/a/../b", "http://api.z.ai", "https://api.z.ai/a%2Fb", "https://api.z.ai\\@example.com",
		"//api.z.ai", "https:api.z.ai", "https://api.z.ai/%0d%0aX:y", "https://１２７.0.0.1/", "https://[fe80::1%25lo]/", "https://api.z.ai:/", "HTTPS://API.z.ai/é", "http://127.1/",
	} {
		f.Add(base)
	}
	f.Fuzz(func(t *testing.T, base string) {
		var sent []*http.Request
		doer := retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
			sent = append(sent, req)
			return nil, errors.New("enough")
		})
		client, err := api.New(retrieveKey, api.WithBaseURL(base), api.WithHTTPClient(doer), api.WithMaxAttempts(1))
		if err != nil {
			if !errors.Is(err, api.ErrInvalidRequest) || client != nil {
				t.Errorf("got %v beside %v", err, client)
			}
			return
		}
		u, err := url.Parse(base)
		if err == nil {
			// The generated option hands it on as net/url writes it, which for "https:/%2Fhost/ " has a host.
			u, err = url.Parse(u.String())
		}
		if err != nil || u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || u.Opaque != "" || u.Hostname() == "" {
			t.Fatalf("New takes %q: %+v, %v", base, u, err)
		}
		if ip := net.ParseIP(u.Hostname()); u.Scheme != "https" && (u.Scheme != "http" || !strings.EqualFold(u.Hostname(), "localhost") && !ip.IsLoopback() && !strings.Contains(u.Hostname(), "%")) {
			t.Errorf("New takes %q", base)
		}
		ctx, request := t.Context(), api.NewSlidesRequest("cats")
		_, err = client.Retrieve(ctx, retrieveTask)
		_, err2 := client.Invoke(ctx, request)
		_, err3 := client.Conversation(ctx, api.ConversationRequest{ConversationID: "c"})
		_, err4 := client.Upload(ctx, "a.txt", strings.NewReader("x"))
		_, err5 := client.RetrieveAgentResult(ctx, nil, retrieveTask)
		for i, err := range []error{err, err2, err3, err4, err5} {
			if err == nil || !strings.Contains(err.Error(), "enough") || len(sent) != 5 {
				t.Fatalf("operation %d with the base %q: %v after %d requests", i, base, err, len(sent))
			}
		}
		path, host := strings.TrimRight(u.Path, "/"), strings.TrimSuffix(u.Host, ":")
		for i, want := range []string{"/v1/agents/async-result", "/v1/agents", "/v1/agents/conversation", "/paas/v4/files", "/v1/agents/async-result"} {
			got := sent[i].URL
			if got.Scheme != u.Scheme || got.Host != host || got.User != nil || got.RawQuery != "" || got.Fragment != "" || got.Opaque != "" ||
				sent[i].Host != "" && sent[i].Host != host {
				t.Errorf("base %q: asked %v of %q", base, got, sent[i].Host)
			}
			if p := strings.TrimSuffix(strings.TrimSuffix(path, "/paas/v4"), "/coding"); got.Path != path+want && got.Path != strings.TrimRight(p, "/")+want {
				t.Errorf("base %q: the path is %q", base, got.Path)
			}
			// What is parsed from the wire is what was meant.
			again, err := url.ParseRequestURI(got.RequestURI())
			if err != nil || again.Path != got.Path || again.RawQuery != "" || strings.ContainsAny(got.RequestURI(), " \r\n\x00") {
				t.Errorf("base %q: the target is %q", base, got.RequestURI())
			}
		}
	})
}

// FuzzKey: a key is refused without being shown, or it reaches the header byte for byte and
// comes out nowhere, though the server repeats it in every place there is.
func FuzzKey(f *testing.F) {
	for _, key := range []string{
		retrieveKey, "", "id.secret", "with space", "line\r\nX-Injected: 1", "nul\x00byte", "naïve.key", `quote"back\slash`, "<html>&amp;'=+/", "eyJhbGciOiJIUzI1NiJ9.e30.c2ln-_==",
		"https://api.z.ai/?Signature=abc", "%41%42%43%44", "****************", strings.Repeat("a", 5000), "\x7fdelete", "trailing ", "\tkey",
	} {
		f.Add(key, 0)
		f.Add(key, 1)
		f.Add(key, 2)
	}
	f.Fuzz(func(t *testing.T, key string, way int) {
		shown, fine := fuzzKeyShown(t, key, way)
		// Short keys, and parts of what is said with any other key too, are found without being shown.
		if len(key) < 12 || strings.Trim(key, "*") == "" {
			return
		}
		other := strings.Repeat("~", len(key))
		if !fine {
			other = " " + other
		}
		without, _ := fuzzKeyShown(t, other, way)
		for _, text := range shown {
			if strings.Contains(text, key) && !slices.ContainsFunc(without, func(text string) bool { return strings.Contains(text, key) }) {
				t.Errorf("shows %q: %s", key, text)
			}
		}
	})
}

// fuzzKeyShown makes a client with the key and asks a server that repeats it: all that is said
// of client, answer and error, in every form there is, and whether New took the key.
func fuzzKeyShown(t *testing.T, key string, way int) (shown []string, fine bool) {
	t.Helper()
	var log bytes.Buffer
	logger := slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	sent := ""
	doer := retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
		if len(req.Header["Authorization"]) != 1 {
			t.Errorf("header %v", req.Header)
		}
		sent = req.Header.Get("Authorization")
		if way == 1 {
			return nil, fmt.Errorf("cannot send %s (%q): %w", key, key, &url.Error{Op: "Post", URL: "https://api.z.ai/?k=" + key, Err: errors.New("refused for " + key)})
		}
		answer := map[string]any{"request_id": key, "error": map[string]any{"code": key, "message": "no " + key + "\nno"}}
		status := http.StatusUnauthorized
		if way == 2 {
			status = http.StatusOK
			for _, name := range []string{"status", "agent_id", "async_id", "conversation_id", "id"} {
				answer[name] = key
			}
		}
		body, err := json.Marshal(answer)
		if err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: status, Header: http.Header{"X-Log-Id": {key}, "X-Echo": {"Bearer " + key}, "Content-Type": {"text/" + key}},
			Status: "401 " + key, Body: io.NopCloser(bytes.NewReader(body)), Request: req}, nil
	})
	client, err := api.New(key, api.WithHTTPClient(doer), api.WithMaxAttempts(1), api.WithLogger(logger))
	fine = key != "" && !strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' })
	if fine != (err == nil) {
		t.Fatalf("New(%q): %v", key, err)
	}
	if err != nil {
		return retrieveForms(t, err), fine
	}
	r, err := client.Retrieve(t.Context(), retrieveTask)
	if r != nil {
		err = r.Err()
	}
	if sent != "Bearer "+key {
		t.Errorf("sent %q for %q", sent, key)
	}
	if err == nil && len(key) < 12 {
		return nil, fine // It stands in the words of the answer, and was masked there.
	}
	if err == nil {
		t.Fatal("no error")
	}
	for _, r := range err.Error() {
		if !strconv.IsPrint(r) {
			t.Fatalf("%q is not one line", err)
		}
	}
	shown = retrieveForms(t, err, client, errors.Unwrap(err), log.String())
	if e, ok := errors.AsType[*api.Error](err); ok {
		shown = append(shown, retrieveForms(t, *e, e.Message, string(e.Code), e.RequestID, e.Header, string(e.Body))...)
	}
	if e, ok := errors.AsType[*api.TaskError](err); ok {
		shown = append(shown, retrieveForms(t, *e, e.Message, string(e.Code), e.RequestID, e.Result, e.Task, e.Result.RawStatus, string(e.Result.Raw))...)
	}
	return shown, fine
}

// FuzzRetryAfter: a Retry-After is the time that it names, never negative, and a date says
// the same as the seconds until it.
func FuzzRetryAfter(f *testing.F) {
	for _, value := range []string{
		"", "0", "3", " 7 ", "60", "61", "-1", "+5", "1.5", "1e3", "4294967295", "4294967296", "18446744073709551616", "0x10", "soon", "３",
		"Fri, 31 Dec 1999 23:59:59 GMT", "Friday, 31-Dec-99 23:59:59 GMT", "Fri Dec 31 23:59:59 1999", "Fri, 31 Dec 9999 23:59:59 GMT", "Sat, 01 Jan 2000 00:00:30 UTC",
	} {
		f.Add(value, uint32(30))
	}
	f.Fuzz(func(t *testing.T, value string, seconds uint32) {
		synctest.Test(t, func(t *testing.T) {
			var client *api.ClientWithResponses
			read := func(value string) time.Duration {
				a := &sampleAnswer{status: http.StatusTooManyRequests, header: http.Header{"Retry-After": {value}}, body: []byte(`{"error":{"code":"1302","message":"m"}}`)}
				_, err := samplePlay(t.Context(), client, a)
				e, ok := errors.AsType[*api.Error](err)
				if !ok {
					t.Fatal(err)
				}
				if text := err.Error(); value != "" && len(value) > 20 && strings.Contains(text, value) {
					t.Errorf("the error repeats the header: %s", text)
				}
				return e.RetryAfter
			}
			client = sampleClient(t)
			got, text := read(value), strings.TrimSpace(value)
			want := time.Duration(0)
			if date, err := http.ParseTime(text); err == nil {
				want = max(time.Until(date), 0)
			} else if text != "" && strings.Trim(text, "0123456789") == "" {
				if want = 1<<63 - 1; len(strings.TrimLeft(text, "0")) <= 10 {
					n, err := strconv.ParseInt(text, 10, 64)
					if err == nil && n < 1<<32 {
						want = time.Duration(n) * time.Second
					}
				}
			}
			if got != want {
				t.Errorf("%q is %v, want %v", value, got, want)
			}
			date := time.Now().UTC().Add(time.Duration(seconds) * time.Second)
			if date.Year() <= 9999 {
				in := read(strconv.FormatUint(uint64(seconds), 10))
				for _, layout := range []string{http.TimeFormat, time.ANSIC} {
					if at := read(date.Format(layout)); at != in || at < 0 {
						t.Errorf("%d s is %v, its date %s is %v", seconds, in, date.Format(layout), at)
					}
				}
			}
		})
	})
}
