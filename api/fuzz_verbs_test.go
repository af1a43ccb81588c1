package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"example.com/zai/api"
)

// FuzzVerbs plays any answer to the operations other than the poll. Each returns a value
// or an error; an answer that holds a failure is that failure, with its code; the HTTP status
// is not lost; a create is sent again only where the answer proves that nothing was made, and tells
// when its outcome is not known; and Stream and Invoke make the same of the same answer.
func FuzzVerbs(f *testing.F) {
	for _, s := range sampleManifestOf(f).Samples {
		f.Add(s.HTTPStatus, s.Headers["Content-Type"], s.answer(f).body)
	}
	client, err := api.New(sampleKey, api.WithHTTPClient(&http.Client{Transport: sampleTransport{}}))
	if err != nil {
		f.Fatal(err)
	}
	verbs := func(t *testing.T, status int, ctype string, body []byte) {
		row := decodeRow{http: 200 + int(uint(status)%400), ctype: ctype, body: string(body)}
		a := row.answer()
		ctype = a.header.Get("Content-Type")
		if fuzzOdd(ctype, strings.TrimLeft(string(body), "\ufeff \t\r\n")) || bytes.Contains(body, []byte(sampleKey)) {
			return // The key is masked, which may break an answer.
		}
		want := referenceDecode(a.status, ctype, body)
		play := func() context.Context {
			a.asked.Store(0)
			return context.WithValue(t.Context(), sampleAnswerKey{}, a)
		}
		sentOnce := func() {
			refused := a.status == http.StatusTooManyRequests && slices.Contains(nothingCreatedCodes, want.Code)
			if n := a.asked.Load(); n != 1 && !refused || n > 3 {
				t.Errorf("sent %d times: HTTP %d, code %q", n, a.status, want.Code)
			}
		}

		conversation, err := client.Conversation(play(), api.ConversationRequest{ConversationID: "c"})
		fuzzVerb(t, a, want, err, want.Outcome != "malformed", conversation != nil)

		file, err := client.Upload(play(), "a.txt", strings.NewReader("x"))
		if n := a.asked.Load(); n != 1 {
			t.Errorf("uploaded %d times", n)
		}
		fuzzVerb(t, a, want, err, want.Outcome != "malformed", file != nil)
		if file != nil && file.ID == "" {
			t.Error("a file without an id")
		}
		fuzzOutcome(t, want, err)

		request := api.NewSlidesRequest("cats")
		request.RequestID = "sent-1" // Errors name it.
		text := strings.TrimLeft(string(body), "\ufeff \t\r\n")
		if a.status <= 299 && referenceIsStream(ctype, text) {
			want = fuzzStream(text)
		}
		result, invokeErr := client.Invoke(play(), request)
		sentOnce()
		err = invokeErr
		fuzzVerb(t, a, want, err, want.Outcome != "malformed" && want.Outcome != "no_status", result != nil)
		fuzzOutcome(t, want, err)
		if result != nil && result.Text() != want.Text {
			t.Errorf("the text is %q, want %q", result.Text(), want.Text)
		}

		task, err := client.Submit(play(), request)
		sentOnce()
		if (err == nil) != (want.Outcome == "pending" && want.AsyncID != "") || err == nil && task.AsyncID != want.AsyncID {
			t.Errorf("the task is %v, %v, want %q", task, err, want.AsyncID)
		}

		var all api.Accumulator
		var last error
		for event, err := range client.Stream(play(), request) {
			if last != nil {
				t.Error("the stream went on after an error")
			}
			if last = err; err != nil {
				continue
			}
			if err := all.Add(event); err != nil {
				t.Error(err)
			}
		}
		if (last == nil) != (invokeErr == nil) || last != nil && last.Error() != invokeErr.Error() {
			t.Errorf("Stream ends with %v, Invoke with %v", last, invokeErr)
		}
		if folded := all.Result(); result != nil && (folded.Text() != result.Text() || folded.Thinking() != result.Thinking() ||
			!slices.Equal(folded.VideoURLs(), result.VideoURLs()) || !slices.Equal(folded.FileURLs(), result.FileURLs())) {
			t.Errorf("Stream gave %q %q, Invoke %q %q", folded.Text(), folded.VideoURLs(), result.Text(), result.VideoURLs())
		}
		sentOnce()
	}
	f.Fuzz(func(t *testing.T, status int, ctype string, body []byte) {
		synctest.Test(t, func(t *testing.T) { verbs(t, status, ctype, body) })
	})
}

// fuzzOdd reports whether the reference cannot tell what an answer says: a key stands in an object
// twice, or in other letter case, both of which JSON leaves open.
func fuzzOdd(ctype, text string) bool {
	texts := []string{text}
	if referenceIsStream(ctype, text) {
		texts, _ = referenceEvents(text)
	}
	return slices.ContainsFunc(texts, func(text string) bool {
		d := json.NewDecoder(strings.NewReader(text))
		odd := false
		var value func() error
		value = func() error {
			open, err := d.Token()
			if err != nil || open != json.Delim('{') && open != json.Delim('[') {
				return err
			}
			for seen := map[string]bool{}; d.More(); {
				if open == json.Delim('{') {
					key, err := d.Token()
					if err != nil {
						return err
					}
					name, _ := key.(string)
					folded := strings.ToLower(strings.ToUpper(name))
					odd = odd || seen[folded] || folded != name && slices.Contains(propertyKeys, folded)
					seen[folded] = true
				}
				if err := value(); err != nil {
					return err
				}
			}
			_, err = d.Token()
			return err
		}
		return value() == nil && odd
	})
}

// fuzzVerb checks what a verb returned. Without a failure in the answer it may be a value.
func fuzzVerb(t *testing.T, a *sampleAnswer, want sampleReading, err error, mayBe, isValue bool) {
	t.Helper()
	if strings.Contains(string(want.Code), "?") {
		return // A code that holds the query of an address loses it.
	}
	if isValue == (err != nil) {
		t.Errorf("a value: %t, and the error %v", isValue, err)
	}
	e, isError := errors.AsType[*api.Error](err)
	failed, isTask := errors.AsType[*api.TaskError](err)
	switch {
	case isTask && (want.Outcome != "task_failed" || failed.Code != want.Code || failed.StatusCode != a.status):
		t.Errorf("got %v with HTTP %d, want %s with code %q", err, failed.StatusCode, want.Outcome, want.Code)
	case isTask:
	case isError && e.StatusCode != a.status:
		t.Errorf("HTTP %d became %d", a.status, e.StatusCode)
	case isError && want.Outcome == "api_error" && (e.Code != want.Code || e.Retryable() != want.Retryable):
		t.Errorf("got %v, retryable %t, want code %q, retryable %t", err, e.Retryable(), want.Code, want.Retryable)
	case err != nil && !isError:
		t.Errorf("the error is a %T", err)
	case isValue && (!mayBe || want.Outcome == "task_failed" || want.Outcome == "api_error"):
		t.Errorf("a value, and the answer is %s: HTTP %d %q", want.Outcome, a.status, a.body)
	case want.Outcome == "task_failed":
		t.Errorf("got %v, want a *TaskError", err)
	}
}

// fuzzOutcome checks whether a create whose answer came knows what became of it.
func fuzzOutcome(t *testing.T, want sampleReading, err error) {
	t.Helper()
	if _, ok := errors.AsType[*api.Error](err); !ok {
		return
	}
	known := want.Outcome == "api_error" && want.Category != "server" && want.Category != "unknown"
	if errors.Is(err, api.ErrUnknownOutcome) == known {
		t.Errorf("ErrUnknownOutcome is %t for %s of category %q", !known, want.Outcome, want.Category)
	}
}

// fuzzStream is what Invoke makes of a stream: it ends at the first event that says failed, at
// the first reason to finish other than tool_calls and at [DONE].
func fuzzStream(text string) sampleReading {
	lines, done := referenceEvents(text)
	r := referenceAnswer{}
	skipped := 0
	for _, event := range lines {
		o, ok := referenceParse(event)
		if !ok {
			if skipped++; skipped == 3 {
				return sampleReading{Outcome: "malformed"}
			}
			continue
		}
		skipped = 0
		ends := false
		for _, c := range referenceList(o["choices"]) {
			choice, _ := c.(referenceObject)
			if reason, _ := choice["finish_reason"].(string); reason != "" && reason != "tool_calls" {
				ends = true
			}
		}
		r.collect(o)
		if r.findError(o); r.failed {
			r.Outcome, r.Status = "task_failed", api.StatusFailed
			return r.sampleReading
		}
		if ends {
			r.Outcome, r.Status = "success", api.StatusSuccess
			return r.sampleReading
		}
	}
	if !done {
		return sampleReading{Outcome: "malformed"}
	}
	r.Outcome, r.Status = "success", api.StatusSuccess
	return r.sampleReading
}
