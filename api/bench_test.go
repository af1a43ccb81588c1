package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"testing"

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

// BenchmarkRetrieve compares one Retrieve over a canned transport with the same call
// written by hand on net/http and encoding/json, and with the raw generated call.
func BenchmarkRetrieve(b *testing.B) {
	for _, name := range []string{"pending", "success"} {
		file := map[string]string{
			"pending": "testdata/samples/async_result_001_pending_minimal.json",
			"success": "testdata/samples/async_result_010_success_documented.json",
		}[name]
		body, err := os.ReadFile(file)
		if err != nil {
			b.Fatal(err)
		}
		doer := &http.Client{Transport: canned(body)}
		task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: "dmlkdS1kZW1vLTAwMDE="}
		ctx := b.Context()

		b.Run(name+"/plain", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := plainRetrieve(ctx, doer, task); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/raw", func(b *testing.B) {
			c, err := api.NewClientWithResponses(api.DefaultServer, api.WithHTTPClient(doer), api.WithRequestEditorFn(api.BearerAuth("id.secret")))
			if err != nil {
				b.Fatal(err)
			}
			language := "en-US,en"
			b.ReportAllocs()
			for b.Loop() {
				r, err := c.RetrieveAgentResultWithResponse(ctx, &api.RetrieveAgentResultParams{AcceptLanguageTag: &language}, task)
				if err != nil || r.JSON200 == nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(name+"/zai", func(b *testing.B) {
			c, err := api.New("id.secret", api.WithHTTPClient(doer))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Retrieve(ctx, task); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

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

func plainRetrieve(ctx context.Context, doer *http.Client, task api.Task) (*plainResult, error) {
	body, err := json.Marshal(struct {
		AgentID api.AgentID `json:"agent_id"`
		AsyncID string      `json:"async_id"`
	}{task.AgentID, task.AsyncID})
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.z.ai/api/v1/agents/async-result", bytes.NewReader(body))
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
