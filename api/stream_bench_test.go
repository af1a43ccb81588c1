package api_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"example.com/zai/api"
)

// benchChunk is what a caller would write by hand for the events of a stream, of one shape.
type benchChunk struct {
	ID      string `json:"id"`
	Choices []struct {
		Index        int    `json:"index"`
		FinishReason string `json:"finish_reason"`
		Message      []struct {
			Role    string `json:"role"`
			Content []struct {
				Type string `json:"type"`
				Text string `json:"text"`
			} `json:"content"`
		} `json:"message"`
		Messages []struct {
			Role    string `json:"role"`
			Phase   string `json:"phase"`
			Content struct {
				Type string `json:"type"`
				Text string `json:"text"`
			} `json:"content"`
		} `json:"messages"`
	} `json:"choices"`
}

// benchShapes are events of the published shape, and of that of recorded streams.
var benchShapes = map[string][2]string{
	"published": {`data: {"id":"1","choices":[{"index":0,"message":[{"role":"assistant","content":[{"type":"text","text":"`, `"}]}]}]}` + "\n\n"},
	"recorded": {
		`data: {"id":"1","agent_id":"slides_glm_agent","conversation_id":"c","choices":[{"index":0,"messages":[{"role":"assistant","phase":"answer","content":{"type":"text","text":"`,
		`"}}]}]}` + "\n\n",
	},
}

// BenchmarkStreamCall compares Stream with a loop over bufio and encoding/json that is written by
// hand, and with one around the generated call: the same events, from memory, by the length of their texts.
func BenchmarkStreamCall(b *testing.B) {
	const total = 2 << 20
	for _, shape := range []string{"published", "recorded"} {
		for _, text := range []int{10, 1 << 10, 64 << 10, 1 << 20, 8 << 20} {
			event := streamRepeat{before: benchShapes[shape][0], piece: streamPiece, after: benchShapes[shape][1], length: text}
			event.times = max(total/event.size(), 1)
			want := text * event.times
			body := func() io.Reader {
				events := event
				return io.MultiReader(&events, strings.NewReader("data: [DONE]\n\n"))
			}
			client := streamOver(b, body)
			doer := &http.Client{Transport: verbTransport(func(req *http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(body()), ContentLength: -1, Request: req}, nil
			})}
			raw, err := api.NewClient(api.DefaultServer, api.WithHTTPClient(doer))
			if err != nil {
				b.Fatal(err)
			}
			for _, way := range []struct {
				name string
				read func() (int, error)
			}{
				{"plain", func() (int, error) { return benchByHand(b.Context(), doer) }},
				{"raw", func() (int, error) { return benchGenerated(b.Context(), raw) }},
				{"zai", func() (n int, err error) {
					for event, err := range client.Stream(b.Context(), streamTranslation) {
						if err != nil {
							return n, err
						}
						n += len(event.Text())
					}
					return n, nil
				}},
			} {
				b.Run(fmt.Sprintf("%s/%dB/%s", shape, text, way.name), func(b *testing.B) {
					b.SetBytes(int64(event.size() * event.times))
					b.ReportAllocs()
					for b.Loop() {
						if n, err := way.read(); n != want || err != nil {
							b.Fatal(n, err)
						}
					}
				})
			}
		}
	}
}

// benchByHand asks for a stream and returns the length of its texts.
func benchByHand(ctx context.Context, doer *http.Client) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://api.z.ai/api/v1/agents", strings.NewReader(`{"stream":true}`))
	if err != nil {
		return 0, err
	}
	resp, err := doer.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return benchRead(resp.Body, func(data []byte) (n int, err error) {
		var chunk benchChunk
		if err := json.Unmarshal(data, &chunk); err != nil {
			return 0, err
		}
		for _, c := range chunk.Choices {
			for _, m := range c.Message {
				for _, p := range m.Content {
					n += len(p.Text)
				}
			}
			for _, m := range c.Messages {
				n += len(m.Content.Text)
			}
			if c.FinishReason == "stop" {
				return n, errors.New("an end in the middle")
			}
		}
		return n, nil
	})
}

// benchGenerated is benchByHand with the generated call and the generated Result.
func benchGenerated(ctx context.Context, client *api.Client) (int, error) {
	resp, err := client.InvokeAgentWithBody(ctx, nil, "application/json", strings.NewReader(`{"stream":true}`))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	return benchRead(resp.Body, func(data []byte) (int, error) {
		var r api.Result
		err := json.Unmarshal(data, &r)
		return len(r.Text()), err
	})
}

// benchRead reads events to the mark of their end, and adds up the lengths of their texts.
func benchRead(body io.Reader, length func(data []byte) (int, error)) (n int, err error) {
	for r := bufio.NewReader(body); ; {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return n, err
		}
		data, ok := bytes.CutPrefix(bytes.TrimSpace(line), []byte("data: "))
		if !ok {
			continue
		}
		if string(data) == "[DONE]" {
			return n, nil
		}
		more, err := length(data)
		if n += more; err != nil {
			return n, err
		}
	}
}
