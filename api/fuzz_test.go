package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"

	"example.com/zai/api"
)

// FuzzRetrieve plays any answer: Retrieve never panics, never returns neither a Result nor
// an error, keeps the HTTP status, and never takes an error object for a success.
func FuzzRetrieve(f *testing.F) {
	for _, s := range sampleManifestOf(f).Samples {
		f.Add(s.HTTPStatus, s.Headers["Content-Type"], s.answer(f).body)
	}
	// TestDecode and TestMatrix play more, which as seeds would take the time of a short run.
	client := sampleClient(f)
	f.Fuzz(func(t *testing.T, status int, ctype string, body []byte) {
		status = 200 + int(uint(status)%400)
		a := (&decodeRow{http: status, ctype: ctype, body: string(body)}).answer()
		r, err := samplePlay(t.Context(), client, a)
		if (r == nil) == (err == nil) {
			t.Fatalf("Result %v and error %v, want one of them", r, err)
		}
		if err != nil {
			e, ok := errors.AsType[*api.Error](err)
			if !ok {
				t.Fatalf("the error is a %T: %v", err, err)
			}
			if e.StatusCode != status {
				t.Errorf("StatusCode is %d, want %d", e.StatusCode, status)
			}
			return
		}
		failure := r.Err()
		switch {
		case status > 299:
			t.Errorf("%v for HTTP %d", r, status)
		case r.Status != api.StatusPending && r.Status != api.StatusSuccess && r.Status != api.StatusFailed:
			t.Errorf("Status is %q", r.Status)
		case (failure != nil) != (r.Status == api.StatusFailed):
			t.Errorf("Status is %q, Err() is %v", r.Status, failure)
		case failure == nil && fuzzHasError(body):
			t.Errorf("%s although the answer holds an error", r.Status)
		case !bytes.Equal(r.Raw, body) && !bytes.Contains(body, []byte(sampleKey)):
			t.Errorf("Raw is %q", r.Raw)
		case r.AgentID == "" || r.AsyncID == "":
			t.Errorf("the task is %+v", r.Task())
		}
		for _, u := range [][]string{r.VideoURLs(), r.FileURLs(), r.ImageURLs()} {
			for i, s := range u {
				if s == "" || i > 0 && s == u[i-1] {
					t.Errorf("addresses %q", u)
				}
			}
		}
		encoded, err := json.Marshal(r)
		if err != nil {
			t.Fatalf("encoding the Result: %v", err)
		}
		var again api.Result
		if err := json.Unmarshal(encoded, &again); err != nil {
			t.Fatalf("decoding the encoded Result %s: %v", encoded, err)
		}
		if again.AsyncID != r.AsyncID && !bytes.Contains(encoded, []byte(`\ufffd`)) {
			t.Errorf("AsyncID is %q after a round trip, was %q", again.AsyncID, r.AsyncID)
		}
	})
}

// fuzzHasError reports whether body is a JSON object whose error is an object that holds a
// code or a message.
func fuzzHasError(body []byte) bool {
	var top, failure map[string]any
	if json.Unmarshal(bytes.TrimLeft(body, "\ufeff \t\r\n"), &top) != nil {
		return false
	}
	failure, _ = top["error"].(map[string]any)
	message, _ := failure["message"].(string)
	code, _ := failure["code"].(string)
	return message != "" || code != "" && code != "0" && code != "200"
}

// FuzzStream plays any stream, whole and in random pieces: the events are the same, Invoke agrees
// with them, and nothing is a success without a terminal mark or [DONE].
func FuzzStream(f *testing.F) {
	for _, s := range sampleManifestOf(f).Samples {
		if a := s.answer(f); s.HTTPStatus == http.StatusOK {
			f.Add(uint64(len(a.body)), a.header.Get("Content-Type"), a.body)
		}
	}
	for _, body := range []string{
		"\ufeff\r\n: hi\r\rdata:{\r\ndata: }\r\n\r\ndata: [DONE]", "data\n\ndata: null\n\n\n", "data: {\"choices\":[{\"finish_reason\":\"stop\"}]}\r\r",
		": " + strings.Repeat("a", 5000), "\n\ndat", "data: {\"choices\":null}\n\n" + strings.Repeat("data: {}\n", 600),
		"data: {\"id\":\"" + sampleKey + "\"}\n\ndata: {\"error\":{\"message\":\"" + sampleKey + "\"}}\n\n",
	} {
		f.Add(uint64(1), "text/event-stream", []byte(body))
		f.Add(uint64(2), "", []byte(body))
	}
	f.Fuzz(func(t *testing.T, seed uint64, contentType string, body []byte) {
		random := rand.New(rand.NewPCG(seed, 0))
		play := func(size func(int) int) (*api.ClientWithResponses, []*api.Result, error) {
			client := streamVia(t, contentType, func() io.Reader { return &pieces{rest: string(body), size: size} }, api.WithMaxBody(4<<10))
			request := streamSlides
			request.RequestID = "sent-1" // Errors name it.
			events, err := streamAll(t, client.Stream(t.Context(), request))
			return client, events, err
		}
		client, events, err := play(func(n int) int { return n })
		_, again, errAgain := play(func(n int) int { return 1 + random.IntN(min(n, 40)) })
		var all api.Accumulator
		for i, e := range events {
			if e.Status == api.StatusFailed || (e.Status == api.StatusSuccess) != (i == len(events)-1 && err == nil) && !bytes.Equal(e.Raw, body) {
				t.Fatalf("event %d of %d is %s, and the end %v", i, len(events), e.Status, err)
			}
			if all.Add(e) != nil {
				t.Fatal("16 MiB in the events of a fuzzed stream")
			}
			if i >= len(again) || accumulatorText(t, e) != accumulatorText(t, again[i]) || e.Skipped != again[i].Skipped {
				t.Fatalf("event %d is %v, and in pieces %v", i, e, again)
			}
			retrieveHoldsNo(t, sampleKey, string(e.Raw))
		}
		if len(events) != len(again) || fmt.Sprintf("%T %v", err, err) != fmt.Sprintf("%T %v", errAgain, errAgain) {
			t.Fatalf("%d events and %v, in pieces %d and %v", len(events), err, len(again), errAgain)
		}
		r, invoked := client.Invoke(t.Context(), streamSlides)
		if err != nil {
			retrieveHoldsNo(t, sampleKey, err)
			if invoked == nil {
				t.Fatalf("Stream says %v, Invoke %v", err, r)
			}
			return
		}
		last := events[len(events)-1]
		ended := slices.ContainsFunc(last.Choices, func(c api.Choice) bool { return c.FinishReason != "" && c.FinishReason != "tool_calls" })
		if !ended && !bytes.Contains(body, []byte("[DONE]")) && !bytes.Equal(last.Raw, body) {
			t.Fatalf("a success that ends with %s", last.Raw)
		}
		if invoked == nil && (r.Text() != all.Result().Text() || len(r.ToolCalls()) != len(all.Result().ToolCalls())) ||
			invoked != nil && !errors.Is(invoked, api.ErrBodyTooLarge) {
			t.Fatalf("Stream says %v, Invoke %v, %v", all.Result(), r, invoked)
		}
	})
}
