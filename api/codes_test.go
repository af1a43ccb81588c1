package api_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"example.com/zai/api"
)

// codesRow is a business code with the HTTP statuses that it comes with.
type codesRow struct {
	code      api.ErrorCode
	http      []int
	category  string
	retryable bool
}

// codesTable is the published table of business codes, and the codes seen in answers that
// look like HTTP statuses.
var codesTable = []codesRow{
	{"400", []int{200, 400}, "invalid_request", false},
	{"413", []int{200, 413}, "invalid_request", false},
	{"422", []int{200, 422}, "invalid_request", false},
	{"435", []int{200, 435}, "invalid_request", false},
	{"401", []int{200, 401}, "auth", false},
	{"403", []int{403}, "permission", false},
	{"434", []int{434}, "permission", false},
	{"404", []int{200, 404}, "not_found", false},
	{"429", []int{429}, "rate_limit", true},
	{"500", []int{200, 500}, "server", true},
	{"502", []int{200, 502}, "server", true},
	{"503", []int{200, 503}, "server", true},
	{"504", []int{200, 504}, "server", true},
	{"-1", []int{200, 500}, "server", true},
	{"529", []int{529}, "overload", true},
	{"1000", []int{401}, "auth", false},
	{"1001", []int{401, 200}, "auth", false},
	{"1002", []int{401}, "auth", false},
	{"1003", []int{401}, "auth", false},
	{"1004", []int{401}, "auth", false},
	{"1005", []int{401}, "auth", false},
	{"1100", nil, "account", false},
	{"1110", nil, "account", false},
	{"1111", nil, "account", false},
	{"1112", nil, "account", false},
	{"1113", []int{429, 200}, "quota", false},
	{"1120", nil, "server", true},
	{"1121", []int{429}, "account", false},
	{"1200", []int{500}, "server", true},
	{"1210", []int{400}, "invalid_request", false},
	{"1211", []int{400}, "invalid_request", false},
	{"1212", []int{400}, "invalid_request", false},
	{"1213", []int{400}, "invalid_request", false},
	{"1214", []int{400}, "invalid_request", false},
	{"1215", []int{400}, "invalid_request", false},
	{"1220", []int{403}, "permission", false},
	{"1221", []int{400}, "not_found", false},
	{"1222", []int{400}, "not_found", false},
	{"1230", []int{500}, "server", true},
	{"1231", nil, "invalid_request", false},
	{"1234", []int{500}, "server", true},
	{"1261", []int{400}, "invalid_request", false},
	{"1300", nil, "content", false},
	{"1301", []int{400, 200}, "content", false},
	{"1302", []int{429}, "rate_limit", true},
	{"1303", []int{429}, "rate_limit", true},
	{"1304", []int{429}, "quota", false},
	{"1305", []int{429}, "overload", true},
	{"1308", []int{429}, "quota", false},
	{"1309", []int{429}, "quota", false},
	{"1310", []int{429}, "quota", false},
	{"1311", []int{429}, "quota", false},
	{"1312", []int{429}, "overload", true},
	{"1313", []int{429}, "quota", false},
	{"1314", []int{429}, "quota", false},
	{"1315", []int{429}, "quota", false},
	{"1316", []int{429}, "quota", false},
	{"1317", []int{429}, "quota", false},
	{"1318", []int{429}, "quota", false},
	{"1319", []int{429}, "quota", false},
	{"1320", []int{429}, "quota", false},
	{"1321", []int{429}, "quota", false},
}

// codesStatuses are HTTP statuses with what they stand for when no code decides.
var codesStatuses = []struct {
	http      []int
	category  string
	retryable bool
}{
	{[]int{0, 100, 101, 200, 201, 202, 204, 206, 299, 300, 301, 302, 303, 304, 307, 308}, "unknown", false},
	{[]int{400, 413, 422, 435}, "invalid_request", false},
	{[]int{401}, "auth", false},
	{[]int{403, 434}, "permission", false},
	{[]int{404}, "not_found", false},
	{[]int{405}, "blocked", false},
	{[]int{408, 425}, "server", true},
	{[]int{429}, "rate_limit", true},
	{[]int{402, 406, 407, 409, 410, 411, 412, 414, 415, 416, 417, 418, 421, 423, 424, 426, 428, 431, 433, 436, 444, 451, 499}, "unknown", false},
	{[]int{500, 502, 503, 504}, "server", true},
	{[]int{501, 505}, "unknown", false},
	{[]int{529}, "overload", true},
	{[]int{506, 507, 508, 510, 511, 520, 521, 522, 523, 524, 525, 526, 527, 528, 530, 598, 599}, "server", true},
}

// codesUnknown are codes of no table. Some of them mean something as an HTTP status, and
// nothing as a code.
var codesUnknown = []api.ErrorCode{
	"", "0", "1", "200", "402", "405", "408", "409", "425", "501", "505", "599", "999", "1006", "1099", "1114", "1122", "1201", "1216", "1223",
	"1232", "1262", "1299", "1306", "1307", "1322", "1400", "9999", "01113", " 1113", "1113.0", "-2", "overloaded_error", "RATE_LIMITED",
}

// codesAll are the codes of the table, and those of none.
func codesAll() []api.ErrorCode {
	all := slices.Clone(codesUnknown)
	for _, row := range codesTable {
		all = append(all, row.code)
	}
	return all
}

// codesSentinel names the sentinel of a category; unknown and no category have none.
func codesSentinel(category string) string {
	for _, s := range sampleSentinels {
		if s.category != "" && s.category == category {
			return s.name
		}
	}
	return ""
}

// codesCheck compares the class of a failure, bare and wrapped, with what is wanted.
func codesCheck(t *testing.T, err interface {
	error
	Retryable() bool
}, want string, retryable bool,
) {
	t.Helper()
	if got := err.Retryable(); got != retryable {
		t.Errorf("%v: Retryable is %t", err, got)
	}
	for _, e := range []error{err, fmt.Errorf("outer: %w", err), errors.Join(io.EOF, fmt.Errorf("%w: %w", io.ErrUnexpectedEOF, err))} {
		if got := sampleMatches(e); got != want {
			t.Errorf("%v: matches %q, want %q", e, got, want)
		}
		if errors.Is(e, nil) || errors.Is(e, errors.ErrUnsupported) {
			t.Errorf("%v: matches what is no sentinel", e)
		}
	}
}

// TestCodes checks every known code: it decides, whatever HTTP status it comes with
// (redirects aside, which are never answers).
func TestCodes(t *testing.T) {
	t.Parallel()
	seen := make(map[api.ErrorCode]bool)
	for _, row := range codesTable {
		if seen[row.code] {
			t.Errorf("code %s stands in the table twice", row.code)
		}
		seen[row.code] = true
		want := codesSentinel(row.category)
		if want == "" {
			t.Fatalf("code %s: no sentinel for category %q", row.code, row.category)
		}
		if row.code == "1231" {
			want = "ErrConflict ErrInvalidRequest"
		}
		for _, http := range append([]int{0, 200, 400, 401, 404, 405, 429, 500, 501, 529}, row.http...) {
			codesCheck(t, &api.Error{StatusCode: http, Code: row.code, Message: "m"}, want, row.retryable)
		}
		for _, http := range []int{300, 307, 399} {
			codesCheck(t, &api.Error{StatusCode: http, Code: row.code, Message: "m"}, "", false)
		}
		codesCheck(t, &api.TaskError{Code: row.code, Message: "m"}, want, row.retryable)
	}
}

// TestCodesUnknown checks that the HTTP status decides where the code is not known. A failed
// task has no HTTP status of its own.
func TestCodesUnknown(t *testing.T) {
	t.Parallel()
	for _, code := range codesUnknown {
		for _, row := range codesStatuses {
			for _, http := range row.http {
				codesCheck(t, &api.Error{StatusCode: http, Code: code, Message: "m"}, codesSentinel(row.category), row.retryable)
			}
		}
		codesCheck(t, &api.TaskError{Code: code, Message: "m"}, "", false)
	}
}

// TestCodesCause checks that a cause is matched beside the class and does not change it.
func TestCodesCause(t *testing.T) {
	t.Parallel()
	err := &api.Error{StatusCode: 429, Code: "1113", Err: fmt.Errorf("%w: %w", api.ErrBodyTooLarge, io.ErrUnexpectedEOF)}
	codesCheck(t, err, "ErrBodyTooLarge ErrQuota", false)
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v does not match its cause", err)
	}
}

// TestErrorTexts checks that the text of an error gives all that the error holds, on one line.
func TestErrorTexts(t *testing.T) {
	t.Parallel()
	task := api.Task{AgentID: "a", AsyncID: "x"}
	for want, err := range map[string]error{
		"zai": &api.Error{},
		"zai: op: HTTP 429 code 1302: slow: EOF (request id r)": &api.Error{Op: "op", StatusCode: 429, Code: "1302", Message: "slow", RequestID: "r", Err: io.EOF},
		"zai: HTTP 502: Bad Gateway text/html":                  &api.Error{StatusCode: 502, Message: "Bad Gateway\ntext/html"},
		"zai: task a/x failed code 1301: no (request id r)":     &api.TaskError{Task: task, Code: "1301", Message: "no", RequestID: "r"},
		"zai: a failed code 1301":                               &api.TaskError{Task: api.Task{AgentID: "a"}, Code: "1301"}, // There is no task.
		"zai: op: HTTP 200: the outcome is unknown: stream ended early (request id r) (sent with request id c) (conversation id v)": &api.Error{
			Op: "op", StatusCode: 200, RequestID: "r", CallerRequestID: "c", ConversationID: "v", Err: fmt.Errorf("%w: %w", api.ErrUnknownOutcome, api.ErrInterrupted),
		},
		"zai: op: HTTP 401 code 1000": &api.Error{Op: "op", StatusCode: 401, Code: "1000", CallerRequestID: "c"}, // Of no use.
	} {
		if got := err.Error(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
