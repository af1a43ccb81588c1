package api_test

import (
	"errors"
	"fmt"
	"net/http"
	"runtime/debug"
	"strings"
	"testing"

	"example.com/zai/api"
)

// matrixStatus is an HTTP status and the category that it stands for when no code decides.
type matrixStatus struct {
	code     int
	category string
}

var matrixStatuses = []matrixStatus{
	{200, ""}, {201, ""}, {204, ""}, {206, ""}, {299, ""},
	{301, "unknown"}, {302, "unknown"}, {304, "unknown"}, {307, "unknown"}, {308, "unknown"},
	{400, "invalid_request"}, {401, "auth"}, {403, "permission"}, {404, "not_found"}, {405, "blocked"}, {408, "server"},
	{413, "invalid_request"}, {422, "invalid_request"}, {425, "server"}, {429, "rate_limit"}, {434, "permission"}, {435, "invalid_request"},
	{500, "server"}, {501, "unknown"}, {502, "server"}, {503, "server"}, {504, "server"}, {505, "unknown"}, {529, "overload"}, {599, "server"},
}

var matrixTypes = []string{
	decodeNoType, "application/json", "application/json; charset=UTF-8", "application/problem+json", "text/plain", "text/html",
	decodeEventType, "application/octet-stream", "!nonsense;;=/",
}

// matrixBody is a body with what it amounts to inside a 2xx answer, and the code and the
// category of the error that it holds. The content type makes no difference to any of them.
type matrixBody struct {
	name     string
	body     string
	outcome  string // empty: whatever is not a failure taken for something else
	code     string
	category string
	videos   bool
	slow     bool // played in a few cells only
}

var matrixBodies = []matrixBody{
	{name: "empty", outcome: "malformed"},
	{name: "null", body: `null`, outcome: "malformed"},
	{name: "empty object", body: `{}`, outcome: "malformed"},
	{name: "empty list", body: `[]`, outcome: "malformed"},
	{name: "true", body: `true`, outcome: "malformed"},
	{name: "number", body: `200`, outcome: "malformed"},
	{name: "string", body: `"success"`, outcome: "malformed"},
	{name: "pending", body: `{"status":"pending","agent_id":"vidu_template_agent","async_id":"task-1"}`, outcome: "pending"},
	{name: "success, documented", body: decodeDocumented, outcome: "success", videos: true},
	{name: "success, messages", body: `{"status":"SUCCESS","choices":[{"messages":{"content":{"video_url":{"url":"` + decodeVideo + `"}}}}]}`, outcome: "success", videos: true},
	{name: "success without anything", body: `{"status":"success"}`, outcome: "success"},
	{name: "failed with a code", body: `{"status":"failed","async_id":"task-1","error":{"code":"1301","message":"m"}}`, outcome: "task_failed", code: "1301", category: "content"},
	{name: "failed without a code", body: `{"status":"failed","async_id":"task-1"}`, outcome: "task_failed"},
	{name: "success with an error", body: `{"status":"success","error":{"code":1302,"message":"m"}}`, outcome: "task_failed", code: "1302", category: "rate_limit"},
	{name: "nested error", body: `{"error":{"code":"1113","message":"m"}}`, outcome: "api_error", code: "1113", category: "quota"},
	{name: "flat error", body: `{"code":1001,"msg":"m","success":false}`, outcome: "api_error", code: "1001", category: "auth"},
	{name: "spring error", body: `{"timestamp":"2026-01-01T00:00:00.000+00:00","status":404,"error":"Not Found","path":"/v1"}`, outcome: "api_error", code: "404", category: "not_found"},
	{name: "HTML", body: "<!doctype html>\r\n<html><head><title>405</title></head><body>blocked</body></html>\r\n", outcome: "malformed"},
	{name: "cut JSON", body: decodeDocumented[:len(decodeDocumented)/2], outcome: "malformed"},
	{name: "one event", body: "data: " + decodeDocumented + "\n\n", outcome: "success", videos: true},
	{name: "one event of an error", body: "data: {\"status\":\"failed\",\"error\":{\"code\":\"1113\",\"message\":\"m\"}}\n\n", outcome: "task_failed", code: "1113", category: "quota"},
	{name: "cut event", body: "data: " + decodeDocumented[:len(decodeDocumented)/2], outcome: "malformed"},
	{name: "binary", body: "\x00\x01\x1f\x8b\x08\xff\xfe\x00PNG\r\n\x1a\n", outcome: "malformed"},
	{name: "invalid UTF-8", body: "{\"status\":\"pend\xffing\",\"error\":{\"code\":\"\xc3\x28\",\"message\":\"\xff\xfe\"}}"},
	{name: "deep lists", body: strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), outcome: "malformed"},
	{name: "deep objects", body: strings.Repeat(`{"a":`, 10_000) + `1` + strings.Repeat("}", 10_000), outcome: "malformed", slow: true},
	{name: "deep and cut", body: strings.Repeat(`{"choices":[`, 5_000), outcome: "malformed", slow: true},
	{name: "deep inside a failure", body: `{"status":"failed","choices":` + strings.Repeat("[", 9_990) + strings.Repeat("]", 9_990) + `,"error":{"code":"1113"}}`, outcome: "task_failed", code: "1113", category: "quota", slow: true},
}

// TestMatrix plays every status with every content type and every body. No cell loses the
// HTTP status, panics, gives neither a Result nor an error, or takes a failure for a success.
func TestMatrix(t *testing.T) {
	t.Parallel()
	client := sampleClient(t)
	for _, status := range matrixStatuses {
		t.Run(fmt.Sprint(status.code), func(t *testing.T) {
			t.Parallel()
			for i := range matrixBodies {
				body := &matrixBodies[i]
				reported := ""
				for _, ctype := range matrixTypes {
					if body.slow && (ctype != "application/json" || status.code%100 != 0) {
						continue
					}
					problem := matrixCell(t, client, status, ctype, body)
					if problem != "" && problem != reported { // The same under each type is said once.
						t.Errorf("HTTP %d, %s, %s: %s", status.code, ctype, body.name, problem)
						reported = problem
					}
				}
			}
		})
	}
}

// matrixCell plays one cell and returns what is wrong with it.
func matrixCell(t *testing.T, client *api.ClientWithResponses, status matrixStatus, ctype string, body *matrixBody) (problem string) {
	defer func() {
		if p := recover(); p != nil {
			problem = fmt.Sprintf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	row := decodeRow{http: status.code, ctype: ctype, body: body.body}
	a := row.answer()
	if status.code >= 300 && status.code <= 399 {
		a.header.Set("Location", "https://elsewhere.example.com/v1/agents/async-result")
	}
	r, err := samplePlay(t.Context(), client, a)
	if n := a.asked.Load(); n != 1 {
		return fmt.Sprintf("%d requests, want 1", n)
	}
	if (r == nil) == (err == nil) {
		return fmt.Sprintf("Result %v and error %v, want one of them", r, err)
	}
	if err != nil {
		return matrixError(status, body, err)
	}
	if status.category != "" {
		return fmt.Sprintf("%v for a status that is no answer", r)
	}
	failure := r.Err()
	switch {
	case r.Status != api.StatusPending && r.Status != api.StatusSuccess && r.Status != api.StatusFailed:
		return fmt.Sprintf("Status is %q", r.Status)
	case (failure != nil) != (r.Status == api.StatusFailed):
		return fmt.Sprintf("Status is %q, Err() is %v", r.Status, failure)
	case body.outcome == "":
		if r.Status == api.StatusSuccess {
			return "success"
		}
		return ""
	case failure != nil:
		if body.outcome != "task_failed" {
			return fmt.Sprintf("failed (%v), want %s", failure, body.outcome)
		}
		return matrixClass(failure, body.code, body.category)
	case string(r.Status) != body.outcome:
		return fmt.Sprintf("%s, want %s", r.Status, body.outcome)
	case body.videos != (len(r.VideoURLs()) == 1 && r.VideoURLs()[0] == decodeVideo):
		return fmt.Sprintf("videos %q", r.VideoURLs())
	}
	return ""
}

// matrixError judges the error of a cell.
func matrixError(status matrixStatus, body *matrixBody, err error) string {
	e, ok := errors.AsType[*api.Error](err)
	switch {
	case !ok:
		return fmt.Sprintf("the error is a %T: %v", err, err)
	case e.StatusCode != status.code:
		return fmt.Sprintf("StatusCode is %d", e.StatusCode)
	case body.outcome == "":
		return ""
	case status.category == "" && body.outcome == "malformed":
		if !errors.Is(err, api.ErrMalformed) || e.Retryable() {
			return fmt.Sprintf("not ErrMalformed, or retryable: %v", err)
		}
		return ""
	case status.category == "" && body.outcome != "api_error":
		return fmt.Sprintf("want %s: %v", body.outcome, err)
	case status.code >= 300 && status.code <= 399:
		if matches := sampleMatches(err); matches != "" || e.Retryable() {
			return fmt.Sprintf("a redirect matches %q, Retryable %t: %v", matches, e.Retryable(), err)
		}
		return ""
	case body.code != "":
		return matrixClass(err, body.code, body.category)
	default:
		return matrixClass(err, "", status.category)
	}
}

// matrixClass compares code, class and retryability of a failure.
func matrixClass(err error, code, category string) string {
	var got api.ErrorCode
	var retryable bool
	if e, ok := errors.AsType[*api.Error](err); ok {
		got, retryable = e.Code, e.Retryable()
	} else if e, ok := errors.AsType[*api.TaskError](err); ok {
		got, retryable = e.Code, e.Retryable()
	}
	want := decodeRefused(code, "", category)
	if matches := sampleMatches(err); string(got) != code || matches != codesSentinel(category) || retryable != want.Retryable {
		return fmt.Sprintf("code %q, class %q, retryable %t, want code %q, category %q: %v", got, matches, retryable, code, category, err)
	}
	return ""
}

// TestMatrixStatuses makes sure that the statuses without a body get the category of the list.
func TestMatrixStatuses(t *testing.T) {
	t.Parallel()
	for _, s := range matrixStatuses {
		err := &api.Error{StatusCode: s.code, Message: http.StatusText(s.code)}
		if problem := matrixClass(err, "", s.category); problem != "" {
			t.Errorf("HTTP %d: %s", s.code, problem)
		}
	}
}
