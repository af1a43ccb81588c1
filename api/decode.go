package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"path"
	"strconv"
	"strings"
	"unicode"
)

// verdict is what an answer amounts to, apart from the state of the task.
type verdict int

const (
	answered  verdict = iota // Result.Status says pending, success or failed
	refused                  // HTTP status outside 2xx, or an error envelope inside 2xx; Result.Error may say why
	noStatus                 // readable, with known keys, but no state to derive
	malformed                // JSON, but not an answer
	unread                   // not JSON, or cut
)

// decode reads an answer of any agent operation in any shape that is documented or was
// observed. It never fails on content: the Result holds what could be read.
func decode(status int, contentType string, body []byte) (*Result, verdict) {
	trimmed := bytes.TrimLeft(body, blanks)
	var r *Result
	var v verdict
	if isEventStream(contentType, trimmed) {
		r, v = decodeStream(status, trimmed)
	} else {
		r, v = decodeJSON(status, trimmed, true)
	}
	r.Raw = body
	return r, v
}

// blanks may stand before an answer: a byte order mark and white space.
const blanks = "\ufeff \t\r\n"

// singles is a Result in which each content is a single part, as in all recorded answers.
type singles struct {
	plainResult
	Choices []struct {
		Choice
		Message  []single `json:"message"`
		Messages []single `json:"messages"`
		Delta    []single `json:"delta"`
	} `json:"choices"`
}

type single struct {
	Message
	Content *Part `json:"content"`
}

type plainResult Result // without methods

// read is the fast path, for the documented and the recorded shapes: the first content
// tells which to try. Like all of encoding/json it takes a key in any letter case.
func (r *Result) read(body []byte) error {
	_, content, _ := bytes.Cut(body, []byte(`content"`))
	if content = bytes.TrimLeft(content, ": \t\r\n"); len(content) == 0 || content[0] != '{' {
		return json.Unmarshal(body, (*plainResult)(r))
	}
	var s singles
	err := json.Unmarshal(body, &s)
	if *r = Result(s.plainResult); s.Choices != nil {
		r.Choices = make([]Choice, len(s.Choices))
	}
	for i, c := range s.Choices {
		c.Choice.Message, c.Choice.Messages, c.Choice.Delta = lists(c.Message), lists(c.Messages), lists(c.Delta)
		r.Choices[i] = c.Choice
	}
	return err
}

// lists makes a list of each single content.
func lists(messages []single) []Message {
	if messages == nil {
		return nil
	}
	all := make([]Message, len(messages))
	for i, m := range messages {
		if all[i] = m.Message; m.Content != nil {
			all[i].Content = []Part{*m.Content}
		}
	}
	return all
}

// UnmarshalJSON reads an answer in any shape, as the verbs do, so that the generated methods
// and programs that store answers lose nothing either.
func (r *Result) UnmarshalJSON(data []byte) error {
	if string(data) == "null" { // By convention, this changes nothing.
		return nil
	}
	if len(data) == 0 || data[0] != '{' {
		return errors.New("zai: an answer is a JSON object")
	}
	got, v := decodeJSON(http.StatusOK, data, true)
	if v == unread {
		return errCrowded
	}
	*r, r.Raw = *got, bytes.Clone(data)
	return nil
}

// decodeJSON reads one JSON object.
func decodeJSON(status int, body []byte, unwrap bool) (*Result, verdict) {
	r, top, err := parse(body, unwrap)
	if err != nil || r == nil {
		switch {
		case status/100 != 2:
			return &Result{}, refused
		case err != nil:
			return &Result{}, unread
		default:
			return &Result{}, malformed
		}
	}
	return r, r.conclude(status, top)
}

// parse reads one JSON object into a Result without judging it. The Result is nil when the
// value is not an object; the object is nil when the fast path was enough. With unwrap,
// an answer that is wrapped in data is taken out of it.
func parse(body []byte, unwrap bool) (*Result, object, error) {
	if crowded(body) {
		return nil, nil, errCrowded
	}
	r := &Result{}
	err := r.read(body)
	// A status leaves no room for data and task_status, choices or an id leave none for an
	// envelope of a refusal. A status or an id that is missing may stand under another name, and an error
	// that is missing, plain or escaped, may have been taken away by a null under its name in other letters.
	if err == nil && r.Error == nil && !bytes.Contains(body, []byte(`rror"`)) && // A search for a quote or an e, which are common, would stop at each.
		(!bytes.Contains(body, []byte(`\u00`)) || !bytes.Contains(body, []byte("null"))) && (r.Choices != nil || r.AsyncID != "") && r.Status.normalize() != StatusFailed &&
		(r.Status != "" || !bytes.Contains(body, []byte(`status"`))) &&
		(r.AsyncID != "" || !bytes.Contains(body, []byte(`"asyncId"`))) {
		r.RawStatus = string(r.Status)
		return r, nil, nil
	}
	// Not errors.As, which links 24 KiB of reflection.
	if _, mismatch := errors.AsType[*json.UnmarshalTypeError](err); err != nil && !mismatch {
		return nil, nil, err
	}
	top := asObject(body)
	if top == nil {
		return nil, nil, nil
	}
	detail := findError(top)
	_, hasChoices := top["choices"]
	_, hasID := top["async_id"]
	if data := asObject(top["data"]); unwrap && data != nil && detail == nil && !hasChoices && !hasID && !isString(top["status"]) {
		top, body = data, top["data"]
		detail = findError(top)
	}
	r = looseResult(body, top)
	r.Error = detail
	return r, top, nil
}

var errCrowded = errors.New("zai: an answer of too many values")

// crowded reports whether JSON or events hold more values than an answer does, on average one
// in 24 bytes. Each takes some hundred bytes once it is read, so that small answers would
// grow to gigabytes. The commas tell, once there are many, those within strings apart.
func crowded(body []byte) bool {
	left := max(1<<16, len(body)/24)
	if bytes.Count(body, []byte(",")) <= left {
		return false
	}
	quoted := false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case c == ',' && !quoted:
			left--
		}
	}
	return left < 0
}

// conclude fills Status and says what the answer amounts to. Top is nil when the answer
// took the fast path, which leaves no room for an error envelope.
func (r *Result) conclude(status int, top object) verdict {
	word := r.Status
	r.Status = ""
	hasWord := r.RawStatus != "" || isString(top["status"]) || isString(top["task_status"])
	if hasWord {
		r.Status = word.normalize()
	}
	switch {
	case status/100 != 2:
		r.Status = ""
		return refused
	case r.Error != nil && (hasWord || r.AsyncID != ""):
		r.Status = StatusFailed
	case r.Error != nil:
		r.Status = ""
		return refused
	case hasWord:
	case r.hasOutput():
		r.Status = StatusSuccess
	case r.AsyncID != "":
		r.Status = StatusPending
	case r.FinishReason() != "":
		r.Status = StatusSuccess
	default:
		for _, key := range [...]string{"choices", "agent_id", "conversation_id", "id"} {
			if _, ok := top[key]; ok || r.Choices != nil {
				return noStatus
			}
		}
		return malformed
	}
	return answered
}

// object is a JSON object of which only the keys are read.
type object = map[string]json.RawMessage

// findError looks for a failure in an answer; the first of four places wins. The
// message of a failure may be empty, and so may its code.
func findError(top object) *ErrorDetail {
	if e := asObject(top["error"]); e != nil {
		code, kind := codeText(e["code"]), codeText(e["type"])
		message, msg := codeText(e["message"]), codeText(e["msg"])
		if kind+message+msg != "" || code != "" && code != "0" && code != "200" {
			if code == "" {
				code = kind
			}
			if !has(e, "message") {
				message = msg
			}
			return &ErrorDetail{Code: ErrorCode(code), Message: message}
		}
	}
	code, message, msg := codeText(top["code"]), codeText(top["message"]), codeText(top["msg"])
	if text := asString(top["error"]); text != "" {
		if status := codeText(top["status"]); status != "" && !isString(top["status"]) {
			code = status
		}
		return &ErrorDetail{Code: ErrorCode(code), Message: cmp.Or(message, msg, text)}
	}
	word := top["status"]
	if !isString(word) {
		word = top["task_status"]
	}
	if Status(asString(word)).normalize() == StatusFailed {
		return &ErrorDetail{Code: ErrorCode(code), Message: cmp.Or(message, msg)}
	}
	if has(top, "choices") || has(top, "async_id") || has(top, "video_result") {
		return nil
	}
	_, hasMessage := top["message"]
	_, hasMsg := top["msg"]
	if string(top["success"]) == "false" || (hasMessage || hasMsg) && code != "" && code != "0" && code != "200" {
		if !has(top, "msg") {
			msg = message
		}
		return &ErrorDetail{Code: ErrorCode(code), Message: msg, Flat: true}
	}
	return nil
}

// looseResult reads an answer whose lists may be single objects, whose contents may be
// strings and whose addresses may be objects. What has the documented type is read by
// encoding/json, which skips what has not.
func looseResult(body []byte, top object) *Result {
	var r Result
	_ = json.Unmarshal(body, (*plainResult)(&r))
	r.RawStatus = asString(top["status"])
	if !isString(top["status"]) {
		r.RawStatus = asString(top["task_status"])
	}
	r.Status = Status(r.RawStatus)
	if r.AsyncID == "" {
		r.AsyncID = asString(top["asyncId"])
	}
	r.Choices = each(top["choices"], looseChoice)
	r.VideoResult = each(top["video_result"], func(raw json.RawMessage) []VideoResult {
		o := asObject(raw)
		if o == nil {
			return nil
		}
		var v VideoResult
		_ = json.Unmarshal(raw, &v)
		v.URL = address(o["url"])
		return []VideoResult{v}
	})
	return &r
}

func looseChoice(raw json.RawMessage) []Choice {
	o := asObject(raw)
	if o == nil {
		return nil
	}
	var c Choice
	_ = json.Unmarshal(raw, &c)
	c.Messages = each(o["messages"], looseMessage)
	c.Message = each(o["message"], looseMessage)
	c.Delta = each(o["delta"], looseMessage)
	return []Choice{c}
}

func looseMessage(raw json.RawMessage) []Message {
	o := asObject(raw)
	if o == nil {
		return nil
	}
	var m Message
	_ = json.Unmarshal(raw, &m)
	m.Content = each(o["content"], looseParts)
	return []Message{m}
}

// looseParts reads one element of a content: a string, or a part.
func looseParts(raw json.RawMessage) []Part {
	if s := asString(raw); isVideo(strings.TrimSpace(s)) {
		return []Part{{Type: PartVideoURL, VideoURL: strings.TrimSpace(s)}}
	} else if s != "" {
		return []Part{{Type: PartText, Text: s}}
	}
	o := asObject(raw)
	if o == nil {
		return nil
	}
	var p Part
	_ = json.Unmarshal(raw, &p)
	p.VideoURL, p.FileURL, p.ImageURL, p.URL = address(o["video_url"]), address(o["file_url"]), address(o["image_url"]), address(o["url"])
	return []Part{p}
}

// isVideo reports whether a text is nothing but the address of a video.
func isVideo(s string) bool {
	if !isHTTP(s) || strings.ContainsFunc(s, unicode.IsSpace) {
		return false
	}
	_, rest, _ := strings.Cut(s, "://")
	rest, _, _ = strings.Cut(rest, "#")
	rest, _, _ = strings.Cut(rest, "?")
	host, name, _ := strings.Cut(rest, "/")
	switch strings.ToLower(path.Ext(name)) {
	case ".mp4", ".mov", ".webm":
		return host != ""
	}
	return false
}

// address reads an address: a string, or an object that holds one.
func address(raw json.RawMessage) string {
	o := asObject(raw)
	for _, key := range [...]string{"url", "video_url", "file_url", "image_url"} {
		if isString(o[key]) {
			return asString(o[key])
		}
	}
	return asString(raw)
}

// each reads the elements of a list, or a single value; read returns nothing for an
// element to skip.
func each[T any](raw json.RawMessage, read func(json.RawMessage) []T) []T {
	if len(raw) == 0 || raw[0] != '[' {
		return read(raw)
	}
	var elements []json.RawMessage
	if json.Unmarshal(raw, &elements) != nil {
		return nil
	}
	list := make([]T, 0, len(elements))
	for _, e := range elements {
		list = append(list, read(e)...)
	}
	return list
}

// asObject returns the object that raw is, or nil.
func asObject(raw json.RawMessage) object {
	var o object
	if len(raw) == 0 || raw[0] != '{' || json.Unmarshal(raw, &o) != nil {
		return nil
	}
	return o
}

func isString(raw json.RawMessage) bool { return len(raw) > 0 && raw[0] == '"' }

// asString returns the string that raw is, or "".
func asString(raw json.RawMessage) string {
	var s string
	if !isString(raw) || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

// has reports whether a key is there with a value that is not null.
func has(o object, key string) bool {
	raw, ok := o[key]
	return ok && string(raw) != "null"
}

// codeText is a string as it is, a number in decimal without a fraction, and "" for
// anything else.
func codeText(raw json.RawMessage) string {
	if len(raw) == 0 || raw[0] != '-' && (raw[0] < '0' || raw[0] > '9') {
		return asString(raw)
	}
	if !strings.ContainsAny(string(raw), "eE") {
		whole, _, _ := strings.Cut(string(raw), ".")
		return whole
	}
	f, _ := strconv.ParseFloat(string(raw), 64) // Infinite when out of range.
	if math.Abs(f) > 1e18 {
		return string(raw)
	}
	return strconv.FormatInt(int64(f), 10)
}
