package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"example.com/zai/api"
)

// canned answers every request with the same body, without a network.
type canned []byte

func (c canned) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
		if err := req.Body.Close(); err != nil {
			return nil, err
		}
	}
	return &http.Response{
		StatusCode:    http.StatusOK,
		Status:        "200 OK",
		Proto:         "HTTP/1.1",
		Header:        http.Header{"Content-Type": {"application/json;charset=UTF-8"}, "X-Log-Id": {"20260101000000demo"}},
		Body:          io.NopCloser(bytes.NewReader(c)),
		ContentLength: int64(len(c)),
		Request:       req,
	}, nil
}

// costs are the ways to ask once for a task that are compared: by hand on net/http and
// encoding/json, with the generated method, and with Retrieve.
func costs(tb testing.TB, base string, doer *http.Client) []cost {
	tb.Helper()
	task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: "dmlkdS1kZW1vLTAwMDE="}
	raw, err := api.NewClientWithResponses(base, api.WithHTTPClient(doer), api.WithRequestEditorFn(api.BearerAuth("id.secret")))
	if err != nil {
		tb.Fatal(err)
	}
	client, err := api.New("id.secret", api.WithBaseURL(base), api.WithHTTPClient(doer))
	if err != nil {
		tb.Fatal(err)
	}
	language, address := "en-US,en", base+asyncResult
	return []cost{
		{"plain", func(ctx context.Context) error {
			_, err := plainRetrieve(ctx, doer, address, task)
			return err
		}},
		{"raw", func(ctx context.Context) error {
			r, err := raw.RetrieveAgentResultWithResponse(ctx, &api.RetrieveAgentResultParams{AcceptLanguage: &language}, task)
			if err == nil && r.JSON200 == nil {
				return errors.New("no answer")
			}
			return err
		}},
		{"zai", func(ctx context.Context) error {
			_, err := client.Retrieve(ctx, task)
			return err
		}},
	}
}

const asyncResult = "/v1/agents/async-result"

type cost struct {
	name string
	run  func(context.Context) error
}

// costAnswers are the answers of which the cost is measured.
func costAnswers(tb testing.TB) []costAnswer {
	tb.Helper()
	read := func(name string) canned {
		body, err := os.ReadFile(filepath.Join("testdata", "samples", name))
		if err != nil {
			tb.Fatal(err)
		}
		return body
	}
	return []costAnswer{
		{"pending", read("async_result_001_pending_minimal.json"), 5},
		{"success", read("async_result_010_success_documented.json"), 0},
	}
}

type costAnswer struct {
	name string
	body canned
	more float64 // allocations that Retrieve may spend beyond those of a call by hand
}

// BenchmarkRetrieve compares one Retrieve, over a canned transport and over loopback, where it is
// also compared with a call by hand that is bounded in time, as Retrieve always is.
func BenchmarkRetrieve(b *testing.B) {
	bench := func(name string, ways []cost) {
		for _, c := range ways {
			b.Run(name+"/"+c.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := c.run(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
	for _, answer := range costAnswers(b) {
		bench("canned/"+answer.name, costs(b, api.DefaultServer, &http.Client{Transport: answer.body}))
	}
	for _, answer := range costAnswers(b) {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "application/json;charset=UTF-8")
			_, _ = w.Write(answer.body)
		}))
		ways := costs(b, server.URL, server.Client())
		bench("loopback/"+answer.name, ways)
		bounded := *server.Client()
		bounded.Timeout = time.Minute
		ways[0] = costs(b, server.URL, &bounded)[0]
		bench("loopback/"+answer.name+"/time-out", []cost{ways[0], ways[2]})
		server.Close()
	}
}

// TestRetrieveAllocations holds one Retrieve to the allocations of the same call by hand
// and of the generated method.
func TestRetrieveAllocations(t *testing.T) {
	for _, answer := range costAnswers(t) {
		least, most := map[string]float64{}, map[string]float64{} // differ where the race detector empties pools
		for _, c := range costs(t, api.DefaultServer, &http.Client{Transport: answer.body}) {
			for n := range 3 {
				allocations := testing.AllocsPerRun(200, func() {
					if err := c.run(t.Context()); err != nil {
						t.Fatal(err)
					}
				})
				if n == 0 {
					least[c.name] = allocations
				}
				least[c.name], most[c.name] = min(least[c.name], allocations), max(most[c.name], allocations)
			}
		}
		t.Logf("%s: %v", answer.name, least)
		if got, limit := least["zai"], most["plain"]+answer.more; got > limit {
			t.Errorf("%s: %v allocations, want at most %v: by hand %v", answer.name, got, limit, most["plain"])
		}
		if got, limit := least["zai"], most["raw"]+4; got > limit {
			t.Errorf("%s: %v allocations, want at most %v: by the generated method %v", answer.name, got, limit, most["raw"])
		}
	}
}

// BenchmarkWaitAll compares one poll of a WaitAll for many tasks, each of which succeeds at
// its tenth poll, with as many calls in a row by hand, and by the generated method.
func BenchmarkWaitAll(b *testing.B) {
	answers := costAnswers(b)
	polls := 0
	var mu sync.Mutex
	doer := &http.Client{Transport: roundTripFunc(func(req *http.Request) (*http.Response, error) {
		mu.Lock()
		polls++
		body := answers[0].body
		if polls%10 == 0 {
			body = answers[1].body
		}
		mu.Unlock()
		return body.RoundTrip(req)
	})}
	client, err := api.New("id.secret", api.WithHTTPClient(doer))
	raw, err2 := api.NewClientWithResponses(api.DefaultServer, api.WithHTTPClient(doer))
	if err != nil || err2 != nil {
		b.Fatal(err, err2)
	}
	b.Run("poll/plain", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, err := plainRetrieve(b.Context(), doer, api.DefaultServer+asyncResult, api.Task{AgentID: api.AgentViduTemplate, AsyncID: "1"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("poll/raw", func(b *testing.B) {
		b.ReportAllocs()
		for range b.N {
			if _, err := raw.RetrieveAgentResultWithResponse(b.Context(), nil, api.Task{AgentID: api.AgentViduTemplate, AsyncID: "1"}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("poll/zai", func(b *testing.B) {
		b.ReportAllocs()
		polls = 0
		tasks := func(yield func(api.Task) bool) {
			for n := 0; n < b.N; n += 10 {
				if !yield(api.Task{AgentID: api.AgentViduTemplate, AsyncID: strconv.Itoa(n)}) {
					return
				}
			}
		}
		for task, outcome := range client.WaitAll(b.Context(), tasks, api.Every(time.Nanosecond)) {
			if outcome.Err != nil {
				b.Fatal(task, outcome.Err)
			}
		}
		if polls < b.N || polls > b.N+9 {
			b.Fatalf("%d polls, want %d", polls, b.N)
		}
	})
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// plainResult is what a caller would write by hand for the documented shape.
type plainResult struct {
	Status  string `json:"status"`
	AgentID string `json:"agent_id"`
	AsyncID string `json:"async_id"`
	Choices []struct {
		Index        int    `json:"index"`
		FinishReason string `json:"finish_reason"`
		Message      []struct {
			Role    string `json:"role"`
			Content []struct {
				Type     string `json:"type"`
				VideoURL string `json:"video_url"`
			} `json:"content"`
		} `json:"message"`
	} `json:"choices"`
}

func plainRetrieve(ctx context.Context, doer *http.Client, address string, task api.Task) (*plainResult, error) {
	body, err := json.Marshal(struct {
		AgentID api.AgentID `json:"agent_id"`
		AsyncID string      `json:"async_id"`
	}{task.AgentID, task.AsyncID})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer id.secret")
	req.Header.Set("Accept-Language", "en-US,en")
	resp, err := doer.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var r plainResult
	return &r, json.Unmarshal(data, &r)
}
