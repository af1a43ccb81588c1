package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"example.com/zai/api"
)

// FuzzRetrieve plays any answer: Retrieve never panics, never returns neither a Result nor
// an error, keeps the HTTP status, and never takes an error object for a success.
func FuzzRetrieve(f *testing.F) {
	for _, s := range sampleManifestOf(f).Samples {
		f.Add(s.HTTPStatus, s.Headers["Content-Type"], s.answer(f).body)
	}
	for _, b := range matrixBodies {
		f.Add(200, "application/json", []byte(b.body))
	}
	for _, row := range decodeRows() {
		a := row.answer()
		f.Add(a.status, a.header.Get("Content-Type"), a.body)
	}
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
