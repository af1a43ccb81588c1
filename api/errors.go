package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// What a failure is, for errors.Is. The classes, up to ErrServer, match *Error and *TaskError
// alike: the business code decides, and the HTTP status where the code is unknown or missing.
// The others say what was wrong with an answer, and match *Error.
var (
	ErrAuthentication error = sentinel("authentication failed")          // the key or token is missing, wrong or stale
	ErrAccount        error = sentinel("account not usable")             // the account is inactive, locked or unknown
	ErrPermission     error = sentinel("permission denied")              // the account may not use this API
	ErrQuota          error = sentinel("quota or balance used up")       // money, package or plan; waiting a moment does not help
	ErrRateLimited    error = sentinel("rate limited")                   // too many requests; slow down
	ErrOverloaded     error = sentinel("server overloaded")              // the platform is busy; try later
	ErrInvalidRequest error = sentinel("invalid request")                // the request is wrong; StatusCode 0: refused before it was sent, or an upload while it was
	ErrConflict       error = sentinel("request id already running")     // code 1231: an earlier call got through
	ErrNotFound       error = sentinel("not found")                      // the object, the API or the path does not exist
	ErrContentBlocked error = sentinel("content blocked")                // refused by the content policy
	ErrBlocked        error = sentinel("blocked by a firewall")          // HTTP 405 from the firewall in front of the API
	ErrServer         error = sentinel("server error")                   // the server failed; a later call may work
	ErrBodyTooLarge   error = sentinel("body larger than the limit")     // see WithMaxBody
	ErrMalformed      error = sentinel("answer could not be understood") // an HTTP status came, but no usable answer
	ErrInterrupted    error = sentinel("stream ended early")             // the events stopped before the answer was complete
	ErrNoTask         error = sentinel("no task to wait for")            // Submit was answered with something other than a task
)

// ErrUnknownOutcome is a create whose answer was lost: the server may have taken the request,
// and may bill it. Sending it again may pay twice. No error matches it when nothing was written to
// the connection, nor when the server refused the request with a class other than ErrServer.
var ErrUnknownOutcome error = sentinel("the outcome is unknown")

// ErrorCode is a business code of the API: mostly four digits, and inside agent answers
// also numbers that look like HTTP statuses. New codes keep coming; an unknown one is
// carried through and classified by the HTTP status.
type ErrorCode string

// The business codes that programs most often act on. The whole list stands on the error
// code pages of docs.z.ai and docs.bigmodel.cn; the classes above cover all of it.
const (
	CodeInsufficientBalance ErrorCode = "1113" // ErrQuota; comes with HTTP 429, from agents with 200
	CodeDuplicateRequestID  ErrorCode = "1231" // ErrConflict
	CodePromptTooLong       ErrorCode = "1261" // ErrInvalidRequest
	CodeUnsafeContent       ErrorCode = "1301" // ErrContentBlocked
	CodeConcurrencyLimit    ErrorCode = "1302" // ErrRateLimited
	CodeFrequencyLimit      ErrorCode = "1303" // ErrRateLimited
	CodePlatformBusy        ErrorCode = "1305" // ErrOverloaded
	CodeWindowLimit         ErrorCode = "1308" // ErrQuota; the text names the reset in Beijing time, without an offset
	CodeModelBusy           ErrorCode = "1312" // ErrOverloaded
)

// class returns the class of a code, nil for an unknown one, and whether a failure of
// that class is transient.
func (c ErrorCode) class() (class error, retryable bool) {
	switch c {
	case "1000", "1001", "1002", "1003", "1004", "1005", "401":
		return ErrAuthentication, false
	case "1100", "1110", "1111", "1112", "1121":
		return ErrAccount, false
	case "1220", "403", "434":
		return ErrPermission, false
	case CodeInsufficientBalance, "1304", CodeWindowLimit, "1309", "1310", "1311", "1313", "1314", "1315",
		"1316", "1317", "1318", "1319", "1320", "1321":
		return ErrQuota, false
	case CodeConcurrencyLimit, CodeFrequencyLimit, "429":
		return ErrRateLimited, true
	case CodePlatformBusy, CodeModelBusy, "529":
		return ErrOverloaded, true
	case "1210", "1211", "1212", "1213", "1214", "1215", CodeDuplicateRequestID, CodePromptTooLong, "400", "413", "422", "435":
		return ErrInvalidRequest, false
	case "1221", "1222", "404":
		return ErrNotFound, false
	case "1300", CodeUnsafeContent:
		return ErrContentBlocked, false
	case "1120", "1200", "1230", "1234", "500", "502", "503", "504", "-1":
		return ErrServer, true
	default:
		return nil, false
	}
}

// classify returns the class of a failure, nil when it is unknown, and whether it is
// transient: from the code, and from the HTTP status when the code is unknown. A flat
// code 500 inside HTTP 200 stands for mistakes of the caller, such as a wrong path, and is
// never transient.
func classify(status int, code ErrorCode, message string, flat bool) (class error, retryable bool) {
	if status/100 == 3 { // Whoever redirects, it is not the API.
		return nil, false
	}
	class, retryable = code.class()
	if class == nil { // An HTTP status means what it means as a code.
		class, retryable = ErrorCode(strconv.Itoa(status)).class()
	} else if flat && code == "500" && status == http.StatusOK {
		if strings.Contains(message, "NOT_FOUND") {
			class = ErrNotFound
		}
		return class, false
	}
	switch {
	case class != nil:
		return class, retryable
	case status == http.StatusMethodNotAllowed:
		return ErrBlocked, false
	case status == http.StatusNotImplemented, status == http.StatusHTTPVersionNotSupported:
		return nil, false
	case status == http.StatusRequestTimeout, status == http.StatusTooEarly, status >= http.StatusInternalServerError:
		return ErrServer, true
	}
	return nil, false
}

// Error is a call that did not give an answer: refused before it was sent, lost on the
// way, refused by the server, or answered by something that is not an answer. No field
// holds the API key, and none but Result the query of a URL.
type Error struct {
	// Op is the operation id of the description, such as retrieveAgentResult.
	Op string
	// StatusCode is the HTTP status; 0 when none came.
	StatusCode int
	// Code is the business code; empty when the server gave none.
	Code ErrorCode
	// Message is the text of the server, or the client's own where the body was not JSON.
	// Branch on Code and class, never on the text: its language varies.
	Message string
	// RequestID is the server's id of the request, for its support: the header X-Log-Id,
	// else x-request-id, else request_id or id of the body.
	RequestID string
	// CallerRequestID is the request_id that was sent, where the agent takes one.
	CallerRequestID string
	// RetryAfter is how long the server asks to wait; 0 when it does not say.
	RetryAfter time.Duration
	// ConversationID is the conversation of a stream that broke: the deck can be fetched by it.
	ConversationID string
	// Events is the number of events of a stream that came before it broke.
	Events int
	// Skipped is the number of corrupt events between the last of those and the break.
	Skipped int
	// Result is the answer to a Submit that made no task; otherwise nil. It is left out of
	// JSON because it may hold signed URLs.
	Result *Result `json:"-"`
	// Attempts is the number of attempts made. One that failed early may not have reached the server.
	Attempts int
	// Header is the header of the answer; nil when none came.
	Header http.Header
	// Body is the start of the answer, at most 4 KiB, for people to read: printable ASCII that was escaped
	// is written as it is.
	Body []byte
	// Err is the cause: of the transport, of the context, or a sentinel of this package.
	Err error

	flat  bool          // see ErrorDetail.Flat
	again bool          // a read may be repeated after this
	pause time.Duration // and not sooner than this
}

// Error gives the operation, the HTTP status, the code, the text and the ids on one short line.
func (e *Error) Error() string {
	text := "zai"
	if e.Op != "" {
		text += ": " + e.Op
	}
	if e.StatusCode != 0 {
		text += ": HTTP " + strconv.Itoa(e.StatusCode)
	}
	text += describe(e.Code, e.Message, "")
	if e.Err != nil {
		text += ": " + line(e.Err.Error(), 300)
	}
	text += describe("", "", e.RequestID)
	if e.CallerRequestID != "" && errors.Is(e.Err, ErrUnknownOutcome) {
		text += " (sent with request id " + line(e.CallerRequestID, 64) + ")"
	}
	if e.ConversationID != "" {
		text += " (conversation id " + line(e.ConversationID, 64) + ")"
	}
	return text
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is the class of e.
func (e *Error) Is(target error) bool {
	class, _ := classify(e.StatusCode, e.Code, e.Message, e.flat)
	return isClass(target, class, e.Code)
}

// Retryable reports whether the failure is transient: the same request may succeed later. The
// class decides. Where no answer came, Retryable is true for a read that the connection or
// WithTimeout ended, and false for a create. ErrMalformed is not Retryable; reads have been
// repeated after it where that may help. Retryable does not say that repeating a create is safe:
// look for ErrUnknownOutcome first, because a lost answer may hide a task that was accepted and
// is billed.
func (e *Error) Retryable() bool {
	_, retryable := classify(e.StatusCode, e.Code, e.Message, e.flat)
	return retryable || e.again && e.StatusCode == 0
}

// TaskError is a task that the server reports as failed. Asking again for the same task
// is useless.
type TaskError struct {
	// Task is the task that failed.
	Task Task
	// Result is the whole answer. It is left out of JSON because it may hold signed URLs.
	Result *Result `json:"-"`
	// StatusCode is the HTTP status of the answer, mostly 200.
	StatusCode int
	// Code is the business code; empty when the server gave none.
	Code ErrorCode
	// Message is the text of the server; empty when it gave none.
	Message string
	// RequestID is the server's id of the request.
	RequestID string
}

// Error gives the task, the code and the text on one short line.
func (e *TaskError) Error() string {
	text := "zai: " + line(string(e.Task.AgentID), 64)
	if e.Task.AsyncID != "" {
		text = "zai: task " + line(e.Task.String(), 200)
	}
	return text + " failed" + describe(e.Code, e.Message, e.RequestID)
}

// Is reports whether target is the class of e.
func (e *TaskError) Is(target error) bool {
	class, _ := e.classify()
	return isClass(target, class, e.Code)
}

// Retryable reports whether the class of the failure is transient, so that a new
// submission may succeed. The failed task itself stays failed.
func (e *TaskError) Retryable() bool {
	_, retryable := e.classify()
	return retryable
}

func (e *TaskError) classify() (class error, retryable bool) {
	flat := e.Result != nil && e.Result.Error != nil && e.Result.Error.Flat
	return classify(e.StatusCode, e.Code, e.Message, flat)
}

// describe is the common tail of error texts; what is empty is left out.
func describe(code ErrorCode, message, requestID string) (text string) {
	if code != "" {
		text += " code " + line(string(code), 32)
	}
	if message != "" {
		text += ": " + line(message, 200)
	}
	if requestID != "" {
		text += " (request id " + line(requestID, 64) + ")"
	}
	return text
}

func isClass(target, class error, code ErrorCode) bool {
	return target == class || target == ErrConflict && class != nil && code == CodeDuplicateRequestID //nolint:errorlint // This is the comparison of errors.Is.
}

// invalid is a request that is refused before anything is sent.
func invalid(op, format string, args ...any) *Error {
	return &Error{Op: op, Err: fmt.Errorf("%w: %w", ErrInvalidRequest, fmt.Errorf(format, args...))}
}

// sentinel is an error of this package that programs compare with.
type sentinel string

func (s sentinel) Error() string { return string(s) }

// ours is an error that this package made for one call, and that says nothing of another.
type ours interface {
	error
	ours()
}

func (sentinel) ours()   {}
func (*Error) ours()     {}
func (*TaskError) ours() {}
func (*WaitError) ours() {}

// causeError is the cause of a context, or the failure of a request editor, that holds an error of another
// call, which is none of this one: it is shown and can be compared, but what it is does not show through.
type causeError struct{ err error }

func (e *causeError) Error() string { return e.err.Error() }

func (e *causeError) Is(target error) bool {
	_, is := target.(sentinel)
	return !is && errors.Is(e.err, target)
}
