package api_test

import (
	"encoding/json"
	"io"
	"math/big"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"example.com/zai/api"
)

// referenceObject is a JSON object.
type referenceObject = map[string]any

// referenceAnswer is a second decoder of answers, made from the decoding rules alone and
// in the plainest way: what it says is held against what the client says.
type referenceAnswer struct {
	sampleReading
	flat     bool
	failed   bool // an error was found
	thinking string
}

// referenceDecode reads the answer to a poll.
func referenceDecode(status int, ctype string, body []byte) sampleReading {
	text := strings.TrimLeft(string(body), "\ufeff \t\r\n")
	if referenceIsStream(ctype, text) {
		return referenceStream(status, text)
	}
	top, ok := referenceParse(text)
	if !ok {
		return referenceUnread(status)
	}
	if data, ok := top["data"].(referenceObject); ok {
		_, hasChoices := top["choices"]
		_, hasID := top["async_id"]
		_, hasWord := top["status"].(string)
		outer := referenceAnswer{}
		if outer.findError(top); !hasChoices && !hasID && !hasWord && !outer.failed {
			top = data
		}
	}
	return referenceOutcome(status, top)
}

func referenceIsStream(ctype, text string) bool { // 7.1.2
	if regexp.MustCompile(`^(data:|:|event:|id:)`).MatchString(text) {
		return true
	}
	return strings.Contains(strings.ToLower(ctype), "event-stream") && !regexp.MustCompile(`^[{<\[]`).MatchString(text)
}

func referenceParse(text string) (referenceObject, bool) {
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	var value any
	if d.Decode(&value) != nil {
		return nil, false
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, false
	}
	o, ok := value.(referenceObject)
	return o, ok
}

func referenceUnread(status int) sampleReading { // 7.1.3
	if status >= 200 && status <= 299 {
		return sampleReading{Outcome: "malformed"}
	}
	r := referenceAnswer{}
	r.Outcome, r.Message = "api_error", sampleAnyText
	r.classify(status)
	return r.sampleReading
}

func referenceOutcome(status int, top referenceObject) sampleReading { // 7.6
	r := referenceAnswer{}
	word, hasWord := top["status"].(string)
	if !hasWord {
		word, hasWord = top["task_status"].(string)
	}
	r.RawStatus = word
	if r.AsyncID, _ = top["async_id"].(string); r.AsyncID == "" {
		r.AsyncID, _ = top["asyncId"].(string)
	}
	r.collect(top)
	r.findError(top)
	ok := status >= 200 && status <= 299
	has := func(key string) bool { _, ok := top[key]; return ok } // also where it is null
	switch {
	case r.failed && ok && (hasWord || r.AsyncID != ""):
		r.Outcome, r.Status = "task_failed", api.StatusFailed
	case r.failed:
		r.Outcome = "api_error"
	case !ok:
		return referenceUnread(status)
	case hasWord:
		r.Status = referenceWord(word)
		r.Outcome = string(r.Status)
	case len(r.Videos)+len(r.Files)+len(r.Images) > 0 || r.Text != "":
		r.Outcome, r.Status = "success", api.StatusSuccess
	case r.AsyncID != "":
		r.Outcome, r.Status = "pending", api.StatusPending
	case r.Finish != "":
		r.Outcome, r.Status = "success", api.StatusSuccess
	case has("choices") || has("agent_id") || has("conversation_id") || has("id"):
		return sampleReading{Outcome: "no_status"}
	default:
		return sampleReading{Outcome: "malformed"}
	}
	if r.failed {
		r.classify(status)
	}
	return r.sampleReading
}

func referenceWord(word string) api.Status { // 7.3
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "success", "succeeded", "succeed", "completed", "complete", "finished", "done":
		return api.StatusSuccess
	case "failed", "fail", "failure", "error", "cancelled", "canceled", "expired", "timeout":
		return api.StatusFailed
	}
	return api.StatusPending
}

// referenceText is the "text of a code".
func referenceText(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		whole, _, _ := strings.Cut(v.String(), ".")
		if strings.ContainsAny(v.String(), "eE") {
			if f, err := v.Float64(); err != nil || f > 1e18 || f < -1e18 { // No code: it is kept as it came.
				return v.String()
			} else if n, _ := big.NewFloat(f).Int(nil); n != nil {
				return n.String()
			}
		}
		return whole
	}
	return ""
}

func (r *referenceAnswer) findError(top referenceObject) { // 7.4
	fail := func(code, message string, flat bool) {
		r.failed, r.Code, r.Message, r.flat = true, api.ErrorCode(code), message, flat
	}
	first := func(values ...any) string {
		for _, v := range values {
			if s := referenceText(v); s != "" {
				return s
			}
		}
		return ""
	}
	code := referenceText(top["code"])
	none := code == "" || code == "0" || code == "200"
	if e, ok := top["error"].(referenceObject); ok {
		inner := referenceText(e["code"])
		if first(e["type"], e["message"], e["msg"]) != "" || inner != "" && inner != "0" && inner != "200" {
			message := e["message"]
			if message == nil {
				message = e["msg"]
			}
			fail(first(e["code"], e["type"]), referenceText(message), false)
			return
		}
	}
	if text, _ := top["error"].(string); text != "" {
		if number, ok := top["status"].(json.Number); ok {
			code = referenceText(number)
		}
		fail(code, first(top["message"], top["msg"], text), false)
		return
	}
	word, ok := top["status"].(string)
	if !ok {
		word, ok = top["task_status"].(string)
	}
	if ok && referenceWord(word) == api.StatusFailed {
		fail(code, first(top["message"], top["msg"]), false)
		return
	}
	_, hasMessage := top["message"]
	_, hasMsg := top["msg"]
	if top["choices"] == nil && top["async_id"] == nil && top["video_result"] == nil &&
		(top["success"] == false || !none && (hasMessage || hasMsg)) {
		message := top["msg"]
		if message == nil {
			message = top["message"]
		}
		fail(code, referenceText(message), true)
	}
}

// referenceList is a list, or the list of a single value.
func referenceList(v any) []any {
	if list, ok := v.([]any); ok {
		return list
	}
	return []any{v}
}

func (r *referenceAnswer) collect(top referenceObject) { // 7.5
	add := func(list *[]string, v any) {
		if o, ok := v.(referenceObject); ok {
			for _, key := range []string{"url", "video_url", "file_url", "image_url"} {
				if s, ok := o[key].(string); ok {
					v = s
					break
				}
			}
		}
		s, _ := v.(string)
		s = strings.TrimSpace(s)
		if lower := strings.ToLower(s); (strings.HasPrefix(lower, "http://") || strings.HasPrefix(lower, "https://")) && !slices.Contains(*list, s) {
			*list = append(*list, s)
		}
	}
	blank := func(v any) bool { // The address is empty or absent.
		var found []string
		if s, ok := v.(string); ok {
			return strings.TrimSpace(s) == ""
		}
		o, ok := v.(referenceObject)
		if add(&found, v); len(found) > 0 || !ok {
			return len(found) == 0
		}
		for _, key := range []string{"url", "video_url", "file_url", "image_url"} {
			if s, ok := o[key].(string); ok {
				return strings.TrimSpace(s) == ""
			}
		}
		return true
	}
	say := func(text string, phases ...any) {
		phase := ""
		for _, p := range phases {
			if s, _ := p.(string); s != "" {
				phase = s
			}
		}
		switch phase {
		case "thinking":
			r.thinking += text
		case "tool":
		default:
			r.Text += text
		}
	}
	for _, c := range referenceList(top["choices"]) {
		choice, _ := c.(referenceObject)
		if reason, _ := choice["finish_reason"].(string); reason != "" {
			r.Finish = api.FinishReason(reason)
		}
		for _, key := range []string{"messages", "message", "delta"} {
			for _, m := range referenceList(choice[key]) {
				message, _ := m.(referenceObject)
				for _, content := range referenceList(message["content"]) {
					switch part := content.(type) {
					case string:
						if referenceIsVideo(part) {
							add(&r.Videos, part)
						} else {
							say(part, message["phase"])
						}
					case referenceObject:
						if part["type"] == "video_url" && blank(part["video_url"]) {
							add(&r.Videos, part["url"])
						}
						add(&r.Videos, part["video_url"])
						add(&r.Files, part["file_url"])
						add(&r.Images, part["image_url"])
						if text, ok := part["text"].(string); ok {
							say(text, message["phase"], part["phase"])
						}
					}
				}
			}
		}
	}
	for _, v := range referenceList(top["video_result"]) {
		video, _ := v.(referenceObject)
		add(&r.Videos, video["url"])
	}
	r.Abnormal = slices.Contains([]api.FinishReason{"sensitive", "network_error", "length", "model_context_window_exceeded"}, r.Finish)
}

func referenceIsVideo(s string) bool {
	s = strings.ToLower(strings.TrimSpace(s))
	rest, ok := strings.CutPrefix(s, "https://")
	if !ok {
		rest, ok = strings.CutPrefix(s, "http://")
	}
	if !ok || strings.ContainsAny(s, " \t\n\f\r") {
		return false
	}
	if i := strings.IndexAny(rest, "?#"); i >= 0 {
		rest = rest[:i]
	}
	host, path, ok := strings.Cut(rest, "/")
	return ok && host != "" && (strings.HasSuffix(path, ".mp4") || strings.HasSuffix(path, ".mov") || strings.HasSuffix(path, ".webm"))
}

// classify fills in the category of a failure: 8.2, then 8.1, with the exception of 7.6.
func (r *referenceAnswer) classify(status int) {
	if status >= 300 && status <= 399 {
		r.Category, r.Retryable = "unknown", false
		return
	}
	for _, row := range codesTable {
		if row.code != r.Code {
			continue
		}
		r.Category, r.Retryable = row.category, row.retryable
		if r.flat && r.Code == "500" && status == 200 {
			if r.Retryable = false; strings.Contains(r.Message, "NOT_FOUND") {
				r.Category = "not_found"
			}
		}
		return
	}
	r.Category, r.Retryable = "unknown", false
	for _, row := range codesStatuses {
		if slices.Contains(row.http, status) {
			r.Category, r.Retryable = row.category, row.retryable
			return
		}
	}
	if status >= 500 {
		r.Category, r.Retryable = "server", true
	}
}

// referenceEvents splits a stream into events, in the simplest way: 7.7.1 and 7.7.2.
func referenceEvents(text string) (events []string, done bool) {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	var data []string
	for _, line := range append(strings.Split(text, "\n"), "") {
		name, value, _ := strings.Cut(line, ":")
		if name == "data" {
			data = append(data, strings.TrimPrefix(value, " "))
		}
		if line == "" && data != nil {
			event := strings.TrimSpace(strings.Join(data, "\n"))
			if data = nil; event == "[DONE]" {
				return events, true
			}
			events = append(events, event)
		}
	}
	return events, false
}

func referenceStream(status int, text string) sampleReading { // 7.7
	lines, done := referenceEvents(text)
	var objects []referenceObject
	skipped := 0
	for _, event := range lines {
		if o, ok := referenceParse(event); ok {
			objects, skipped = append(objects, o), 0
		} else if skipped++; skipped == 3 {
			break
		}
	}
	if len(objects) == 1 && skipped < 3 {
		r := referenceOutcome(status, objects[0])
		r.RawStatus, r.AsyncID = "", ""
		return r
	}
	r := referenceAnswer{}
	var finish api.FinishReason
	for _, o := range objects {
		r.findError(o)
		for _, c := range referenceList(o["choices"]) { // One by one, because tool_calls does not count.
			r.Finish = ""
			if r.collect(referenceObject{"choices": []any{c}}); r.Finish != "" && r.Finish != "tool_calls" {
				finish = r.Finish
			}
		}
	}
	for _, o := range objects {
		r.collect(referenceObject{"video_result": o["video_result"]})
	}
	r.Finish = finish
	r.Abnormal = finish.Abnormal()
	switch {
	case status < 200 || status > 299:
		if !r.failed {
			return referenceUnread(status)
		}
		r.Outcome = "api_error"
	case r.failed:
		r.Outcome, r.Status = "task_failed", api.StatusFailed
	case skipped < 3 && (done || finish != ""):
		r.Outcome, r.Status = "success", api.StatusSuccess
		return r.sampleReading
	default:
		return sampleReading{Outcome: "malformed"}
	}
	r.classify(status)
	return r.sampleReading
}

// TestReference holds the second decoder against the expectations that were written by
// hand, so that it can be trusted with answers for which there are none.
func TestReference(t *testing.T) {
	t.Parallel()
	type known struct {
		name   string
		answer *sampleAnswer
		want   sampleReading
	}
	var all []known
	for _, s := range sampleManifestOf(t).Samples {
		if s.Operation == samplePoll {
			all = append(all, known{s.File, s.answer(t), s.Expected.reading()})
		}
	}
	for _, row := range decodeRows() {
		all = append(all, known{row.rule, row.answer(), row.want})
	}
	for _, k := range all {
		got := referenceDecode(k.answer.status, k.answer.header.Get("Content-Type"), k.answer.body)
		got.RetryAfter = k.want.RetryAfter
		if k.want.Message == sampleAnyText {
			got.Message = sampleAnyText
		}
		want := k.want.complete(t, k.answer.status)
		if diff := referenceDiff(want, got.complete(t, k.answer.status)); diff != "" {
			t.Errorf("%s: %s\nwritten (-), reference (+):\n%s", k.name, k.answer.body, diff)
		}
	}
}

// referenceDiff tells how two readings differ.
func referenceDiff(want, got sampleReading) string { return cmp.Diff(want, got, cmpopts.EquateEmpty()) }
