package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"example.com/zai/api"
)

const (
	decodeVideo  = "https://media.example.com/out/a1.mp4?Expires=1999999999&Signature=abc%2Bdef%3D"
	decodeVideo2 = "https://media.example.com/out/a2.mp4"
	decodeFile   = "https://media.example.com/out/d1.pdf?Signature=f"
	decodeImage  = "https://media.example.com/out/p1.png?Signature=p"

	decodeJSONType  = "application/json;charset=UTF-8"
	decodeEventType = "text/event-stream"
	decodeNoType    = "(none)"
)

// decodeRow is one answer and what the decoding rules make of it. The rule begins with the
// number of the rule that decides.
type decodeRow struct {
	rule  string
	http  int    // 200 when 0
	ctype string // decodeJSONType when empty
	body  string
	want  sampleReading
	also  func(*testing.T, *api.Result) // what a sampleReading does not hold
}

// TestDecode reads answers that are made from the decoding rules, through Retrieve.
func TestDecode(t *testing.T) {
	t.Parallel()
	client := sampleClient(t)
	rows := decodeRows()
	names := make(map[string]bool)
	for _, row := range rows {
		if names[row.rule] {
			t.Errorf("two rows are named %q", row.rule)
		}
		names[row.rule] = true
		t.Run(row.rule, func(t *testing.T) {
			t.Parallel()
			a := row.answer()
			r, err := samplePlay(t.Context(), client, a)
			row.want.check(t, a, r, err)
			if row.also != nil && r != nil {
				row.also(t, r)
			}
		})
	}
}

// answer is the answer that the row plays.
func (row *decodeRow) answer() *sampleAnswer {
	a := &sampleAnswer{status: http.StatusOK, header: http.Header{"Content-Type": {decodeJSONType}}, body: []byte(row.body)}
	if row.http != 0 {
		a.status = row.http
	}
	switch row.ctype {
	case "":
	case decodeNoType:
		a.header.Del("Content-Type")
	default:
		a.header.Set("Content-Type", row.ctype)
	}
	return a
}

func decodeRows() []decodeRow {
	var rows []decodeRow
	for _, some := range [][]decodeRow{
		decodeReaderRows(), decodeUnwrapRows(), decodeWordRows(), decodeErrorRows(), decodeFlatRows(), decodeCodeRows(),
		decodeMessageRows(), decodeContentRows(), decodeAddressRows(), decodeFinishRows(), decodeUnknownRows(),
		decodeOutcomeRows(), decodeStreamRows(),
	} {
		rows = append(rows, some...)
	}
	return rows
}

// The expectations, named after the outcomes. Raw is the status word as it came.

func decodePending(raw string) sampleReading {
	return sampleReading{Outcome: "pending", Status: api.StatusPending, RawStatus: raw}
}

func decodeSuccess(raw string, videos ...string) sampleReading {
	return sampleReading{Outcome: "success", Status: api.StatusSuccess, RawStatus: raw, Videos: videos}
}

// decodeText is a success with an answer text, under the word that decodeSay uses.
func decodeText(text string, videos ...string) sampleReading {
	w := decodeSuccess("success", videos...)
	w.Text = text
	return w
}

func decodeFailed(raw, code, message, category string) sampleReading {
	w := decodeRefused(code, message, category)
	w.Outcome, w.Status, w.RawStatus = "task_failed", api.StatusFailed, raw
	return w
}

func decodeRefused(code, message, category string) sampleReading {
	return sampleReading{
		Outcome: "api_error", Code: api.ErrorCode(code), Message: message, Category: category,
		Retryable: category == "server" || category == "rate_limit" || category == "overload",
	}
}

var (
	decodeMalformed = sampleReading{Outcome: "malformed"}
	decodeNoStatus  = sampleReading{Outcome: "no_status"}
)

// id is w with an async id of the answer.
func (w sampleReading) id(id string) sampleReading { w.AsyncID = id; return w }

// finish is w with a finish_reason.
func (w sampleReading) finish(reason api.FinishReason) sampleReading { w.Finish = reason; return w }

// final is w with a failure that is not transient although its class is.
func (w sampleReading) final() sampleReading { w.Retryable = false; return w }

// decodeSay is a finished task whose only message has this content.
func decodeSay(content string) string {
	return `{"status":"success","choices":[{"message":[{"role":"assistant","content":` + content + `}]}]}`
}

// decodeChoices is a finished task with these choices.
func decodeChoices(choices string) string { return `{"status":"success","choices":` + choices + `}` }

// decodeVideoPart is the documented part that holds an address.
func decodeVideoPart(url string) string { return `{"type":"video_url","video_url":"` + url + `"}` }

// decodeDocumented is the documented answer of a finished task.
const decodeDocumented = `{"status":"success","agent_id":"vidu_template_agent","async_id":"task-1","choices":[{"index":0,"finish_reason":"stop",` +
	`"message":[{"role":"assistant","content":[{"type":"video_url","video_url":"` + decodeVideo + `"}]}]}]}`

// decodeReaderRows are about 7.1: which reader.
func decodeReaderRows() []decodeRow {
	done := decodeSuccess("success", decodeVideo).id("task-1").finish(api.FinishStop)
	stream := done.id("")
	stream.RawStatus = ""
	const bom = "\ufeff"
	event := "data: " + decodeDocumented + "\n\n"
	return []decodeRow{
		{rule: "7.1.1 byte order mark", body: bom + decodeDocumented, want: done},
		{rule: "7.1.1 spaces tabs CR and LF in front", body: " \t\r\n\n " + decodeDocumented, want: done},
		{rule: "7.1.1 byte order mark then space", body: bom + " \r\n" + decodeDocumented, want: done},
		{rule: "7.1.1 space then byte order mark", body: " \n" + bom + decodeDocumented, want: done},
		{rule: "7.1.1 byte order mark before events", ctype: decodeEventType, body: bom + event, want: stream},
		{rule: "7.1.1 blank lines before events", body: "\r\n\r\n" + event, want: stream},
		{rule: "7.1.1 space behind the object", body: decodeDocumented + " \r\n\t", want: done},
		{rule: "7.1.2 data: under a JSON type", body: event, want: stream},
		{rule: "7.1.2 data: under no type", ctype: decodeNoType, body: event, want: stream},
		{rule: "7.1.2 data: under text/plain", ctype: "text/plain", body: event, want: stream},
		{rule: "7.1.2 comment in front", body: ": ping\n" + event, want: stream},
		{rule: "7.1.2 event: in front", body: "event: message\n" + event, want: stream},
		{rule: "7.1.2 id: in front", body: "id: 7\n" + event, want: stream},
		{rule: "7.1.2 retry: in front under event-stream", ctype: decodeEventType + ";charset=UTF-8", body: "retry: 10\n" + event, want: stream},
		{rule: "7.1.2 retry: in front under a JSON type", body: "retry: 10\n" + event, want: decodeMalformed},
		{rule: "7.1.2 JSON under event-stream", ctype: decodeEventType, body: decodeDocumented, want: done},
		{rule: "7.1.2 JSON behind space under event-stream", ctype: decodeEventType, body: "\n " + decodeDocumented, want: done},
		{rule: "7.1.2 HTML under event-stream", ctype: decodeEventType, body: "<html>busy</html>", want: decodeMalformed},
		{rule: "7.1.2 list under event-stream", ctype: decodeEventType, body: "[1]", want: decodeMalformed},
		{rule: "7.1.2 nothing under event-stream", ctype: decodeEventType, want: decodeMalformed},
		{rule: "7.1.3 JSON under text/plain", ctype: "text/plain", body: decodeDocumented, want: done},
		{rule: "7.1.3 JSON under text/html", ctype: "text/html", body: decodeDocumented, want: done},
		{rule: "7.1.3 JSON under no type", ctype: decodeNoType, body: decodeDocumented, want: done},
		{rule: "7.1.3 JSON under octet-stream", ctype: "application/octet-stream", body: decodeDocumented, want: done},
		{rule: "7.1.3 empty body", want: decodeMalformed},
		{rule: "7.1.3 only a byte order mark", body: bom, want: decodeMalformed},
		{rule: "7.1.3 only space", body: " \r\n\t ", want: decodeMalformed},
		{rule: "7.1.3 null", body: "null", want: decodeMalformed},
		{rule: "7.1.3 true", body: "true", want: decodeMalformed},
		{rule: "7.1.3 number", body: "404", want: decodeMalformed},
		{rule: "7.1.3 string", body: `"success"`, want: decodeMalformed},
		{rule: "7.1.3 empty list", body: "[]", want: decodeMalformed},
		{rule: "7.1.3 list that holds the answer", body: "[" + decodeDocumented + "]", want: decodeMalformed},
		{rule: "7.1.3 HTML", ctype: "text/html", body: "<html><body>ok</body></html>", want: decodeMalformed},
		{rule: "7.1.3 plain text", ctype: "text/plain", body: "Authentication Failed", want: decodeMalformed},
		{rule: "7.1.3 cut", body: decodeDocumented[:len(decodeDocumented)-1], want: decodeMalformed},
		{rule: "7.1.3 cut behind the status", body: `{"status":"success",`, want: decodeMalformed},
		{rule: "7.1.3 text behind the object", body: decodeDocumented + "x", want: decodeMalformed},
		{rule: "7.1.3 two objects", body: decodeDocumented + "\n" + decodeDocumented, want: decodeMalformed},
		{rule: "7.1.3 empty body, HTTP 204", http: 204, want: decodeMalformed},
		{rule: "7.1.3 empty body, HTTP 401", http: 401, want: decodeRefused("", sampleAnyText, "auth")},
		{rule: "7.1.3 plain text, HTTP 403", http: 403, ctype: "text/plain", body: "Forbidden", want: decodeRefused("", sampleAnyText, "permission")},
		{rule: "7.1.3 null, HTTP 404", http: 404, body: "null", want: decodeRefused("", sampleAnyText, "not_found")},
		{rule: "7.1.3 list, HTTP 429", http: 429, body: `[{"code":"1113"}]`, want: decodeRefused("", sampleAnyText, "rate_limit")},
		{rule: "7.1.3 cut, HTTP 500", http: 500, body: `{"error":{"code":"1113","mess`, want: decodeRefused("", sampleAnyText, "server")},
		{rule: "7.1.3 HTML, HTTP 504", http: 504, ctype: "text/html", body: "<html>504</html>", want: decodeRefused("", sampleAnyText, "server")},
		{rule: "7.1.3 HTML under event-stream, HTTP 405", http: 405, ctype: decodeEventType, body: "<html>405</html>", want: decodeRefused("", sampleAnyText, "blocked")},
		{rule: "7.1.3 empty body, HTTP 402", http: 402, want: decodeRefused("", sampleAnyText, "unknown")},
	}
}

// decodeUnwrapRows are about 7.2: the wrapper, the raw status and the id.
func decodeUnwrapRows() []decodeRow {
	wrap := func(more string) string { return `{` + more + `"data":` + decodeDocumented + `}` }
	done := decodeSuccess("success", decodeVideo).id("task-1").finish(api.FinishStop)
	return []decodeRow{
		{rule: "7.2.1 data alone", body: wrap(""), want: done},
		{rule: "7.2.1 code 200 and msg beside data", body: wrap(`"code":200,"msg":"ok","success":true,`), want: done},
		{rule: "7.2.1 code 0 as text beside data", body: wrap(`"code":"0","message":"ok",`), want: done},
		{rule: "7.2.1 numeric status beside data", body: wrap(`"status":200,`), want: done},
		{rule: "7.2.1 null status beside data", body: wrap(`"status":null,`), want: done},
		{rule: "7.2.1 task_status beside data does not forbid", body: wrap(`"task_status":"PROCESSING",`), want: done},
		{rule: "7.2.1 asyncId beside data does not forbid", body: wrap(`"asyncId":"outer",`), want: done},
		{rule: "7.2.1 id and request_id beside data do not forbid", body: wrap(`"id":"x","request_id":"y",`), want: done},
		{rule: "7.2.1 empty error beside data does not forbid", body: wrap(`"error":{},`), want: done},
		{rule: "7.2.1 null error beside data does not forbid", body: wrap(`"error":null,`), want: done},
		{rule: "7.2.1 wrapped pending", body: `{"data":{"status":"pending","async_id":"task-1"}}`, want: decodePending("pending").id("task-1")},
		{rule: "7.2.1 wrapped failure", body: `{"code":200,"data":{"status":"failed","error":{"code":"1301","message":"unsafe"}}}`, want: decodeFailed("failed", "1301", "unsafe", "content")},
		{rule: "7.2.1 wrapped flat error", body: `{"data":{"code":401,"msg":"stale"}}`, want: decodeRefused("401", "stale", "auth")},
		{rule: "7.2.1 wrapped task API", body: `{"data":{"task_status":"SUCCESS","video_result":[{"url":"` + decodeVideo + `"}]}}`, want: decodeSuccess("SUCCESS", decodeVideo)},
		{rule: "7.2.1 data is unwrapped once", body: `{"data":{"data":{"status":"success"}}}`, want: decodeMalformed},
		{rule: "7.2.1 empty data", body: `{"data":{}}`, want: decodeMalformed},
		{rule: "7.2.1 what stands beside data is lost", body: `{"id":"x","agent_id":"y","data":{}}`, want: decodeMalformed},
		{rule: "7.2.1 data as list", body: `{"data":[` + decodeDocumented + `]}`, want: decodeMalformed},
		{rule: "7.2.1 data as string", body: `{"data":"success"}`, want: decodeMalformed},
		{rule: "7.2.1 data as null beside a status", body: `{"status":"pending","data":null}`, want: decodePending("pending")},
		{rule: "7.2.1 choices forbid", body: wrap(`"choices":[],`), want: decodeNoStatus},
		{rule: "7.2.1 null choices forbid", body: wrap(`"choices":null,`), want: decodeNoStatus},
		{rule: "7.2.1 async_id forbids", body: wrap(`"async_id":"outer",`), want: decodePending("").id("outer")},
		{rule: "7.2.1 null async_id forbids", body: wrap(`"async_id":null,`), want: decodeMalformed},
		{rule: "7.2.1 status word forbids", body: wrap(`"status":"pending",`), want: decodePending("pending")},
		{rule: "7.2.1 empty status word forbids", body: wrap(`"status":"",`), want: decodePending("")},
		{rule: "7.2.1 status success forbids", body: wrap(`"status":"success",`), want: decodeSuccess("success")},
		{rule: "7.2.1 nested error forbids", body: wrap(`"error":{"code":"1113","message":"empty"},`), want: decodeRefused("1113", "empty", "quota")},
		{rule: "7.2.1 error text forbids", body: wrap(`"error":"broken",`), want: decodeRefused("", "broken", "unknown")},
		{rule: "7.2.1 failed task_status forbids", body: wrap(`"task_status":"FAIL",`), want: decodeFailed("FAIL", "", "", "unknown")},
		{rule: "7.2.1 flat error forbids", body: wrap(`"code":1113,"msg":"empty",`), want: decodeRefused("1113", "empty", "quota")},
		{rule: "7.2.1 success false forbids", body: wrap(`"success":false,`), want: decodeRefused("", "", "unknown")},
		{rule: "7.2.1 code without a text does not forbid", body: wrap(`"code":500,`), want: done},

		{rule: "7.2.2 status before task_status", body: `{"status":"pending","task_status":"SUCCESS"}`, want: decodePending("pending")},
		{rule: "7.2.2 task_status alone", body: `{"task_status":"PROCESSING"}`, want: decodePending("PROCESSING")},
		{rule: "7.2.2 numeric status is none", body: `{"status":200,"async_id":"task-1"}`, want: decodePending("").id("task-1")},
		{rule: "7.2.2 numeric status, then task_status", body: `{"status":1,"task_status":"SUCCESS"}`, want: decodeSuccess("SUCCESS")},
		{rule: "7.2.2 null status, then task_status", body: `{"status":null,"task_status":"FAIL"}`, want: decodeFailed("FAIL", "", "", "unknown")},
		{rule: "7.2.2 boolean status, then task_status", body: `{"status":true,"task_status":"PROCESSING"}`, want: decodePending("PROCESSING")},
		{rule: "7.2.2 object status, then task_status", body: `{"status":{"word":"failed"},"task_status":"SUCCESS"}`, want: decodeSuccess("SUCCESS")},
		{rule: "7.2.2 empty status counts before task_status", body: `{"status":"","task_status":"SUCCESS"}`, want: decodePending("")},
		{rule: "7.2.2 numeric task_status is none", body: `{"task_status":2,"id":"x"}`, want: decodeNoStatus},
		{rule: "7.2.2 list status is none", body: `{"status":["success"],"id":"x"}`, want: decodeNoStatus},

		{rule: "7.2.3 async_id", body: `{"status":"pending","async_id":"a/b+c=="}`, want: decodePending("pending").id("a/b+c==")},
		{rule: "7.2.3 asyncId", body: `{"status":"pending","asyncId":"camel"}`, want: decodePending("pending").id("camel")},
		{rule: "7.2.3 async_id before asyncId", body: `{"status":"pending","asyncId":"camel","async_id":"snake"}`, want: decodePending("pending").id("snake")},
		{rule: "7.2.3 empty async_id, then asyncId", body: `{"status":"pending","async_id":"","asyncId":"camel"}`, want: decodePending("pending").id("camel")},
		{rule: "7.2.3 null async_id, then asyncId", body: `{"status":"pending","async_id":null,"asyncId":"camel"}`, want: decodePending("pending").id("camel")},
		{rule: "7.2.3 empty ids are absent", body: `{"async_id":"","asyncId":""}`, want: decodeMalformed},
		{rule: "7.2.3 async_id is kept as it is", body: `{"status":"pending","async_id":" =x "}`, want: decodePending("pending").id(" =x ")},
		{
			rule: "7.2.3 conversation_id", body: `{"status":"pending","conversation_id":"c-1"}`, want: decodePending("pending"),
			also: func(t *testing.T, r *api.Result) {
				if r.ConversationID != "c-1" {
					t.Errorf("ConversationID is %q", r.ConversationID)
				}
			},
		},
		{
			rule: "7.2.3 agent_id of the answer", body: `{"status":"pending","agent_id":"another_agent"}`, want: decodePending("pending"),
			also: func(t *testing.T, r *api.Result) {
				if r.AgentID != "another_agent" {
					t.Errorf("AgentID is %q", r.AgentID)
				}
			},
		},
		{
			rule: "7.2.3 agent_id of the request", body: `{"status":"pending"}`, want: decodePending("pending"),
			also: func(t *testing.T, r *api.Result) {
				if r.AgentID != api.AgentViduTemplate {
					t.Errorf("AgentID is %q", r.AgentID)
				}
			},
		},
	}
}

// decodeWordRows are about 7.3: the normalised status.
func decodeWordRows() []decodeRow {
	var rows []decodeRow
	words := map[string][]string{
		"success": {"success", "succeeded", "succeed", "completed", "complete", "finished", "done"},
		"failed":  {"failed", "fail", "failure", "error", "cancelled", "canceled", "expired", "timeout"},
		"pending": {
			"", "   ", "pending", "processing", "queued", "running", "submitted", "created", "unknown", "in_progress",
			"success!", "not failed", "success,failed", "time out", "timed_out", "succes", "ok", "200", "null", "成功", "完成",
		},
	}
	for outcome, list := range words {
		for _, word := range list {
			forms := []string{word, strings.ToUpper(word), " " + word + " ", "\t" + word + "\r\n"}
			if first, size := utf8.DecodeRuneInString(word); size > 0 {
				forms = append(forms, string(unicode.ToUpper(first))+word[size:])
			}
			seen := make(map[string]bool)
			for _, form := range forms {
				if seen[form] {
					continue
				}
				seen[form] = true
				for _, key := range [...]string{"status", "task_status"} {
					encoded, err := json.Marshal(map[string]string{key: form, "async_id": "task-1"})
					if err != nil {
						panic(err)
					}
					row := decodeRow{rule: fmt.Sprintf("7.3 %s: %s %q", outcome, key, form), body: string(encoded)}
					switch outcome {
					case "success":
						row.want = decodeSuccess(form)
					case "failed":
						row.want = decodeFailed(form, "", "", "unknown")
					default:
						row.want = decodePending(form)
					}
					row.want.AsyncID = "task-1"
					rows = append(rows, row)
				}
			}
		}
	}
	return append(
		rows,
		decodeRow{rule: "7.3 any other word, although a video is there", body: `{"status":"rendering","choices":[{"message":[{"content":[` + decodeVideoPart(decodeVideo) + `]}]}]}`, want: decodeSet(decodePending("rendering"), decodeVideo)},
		decodeRow{rule: "7.3 the word of a choice does not count", body: `{"status":"pending","choices":[{"status":"success"}]}`, want: decodePending("pending")},
		decodeRow{rule: "7.3 escaped word", body: `{"status":"\u0053uccess"}`, want: decodeSuccess("Success")},
	)
}

// decodeSet is w with videos.
func decodeSet(w sampleReading, videos ...string) sampleReading { w.Videos = videos; return w }

// decodeErrorRows are about 7.4, steps 1 to 3.
func decodeErrorRows() []decodeRow {
	return []decodeRow{
		{rule: "7.4.1 code and message", body: `{"error":{"code":"1301","message":"unsafe"}}`, want: decodeRefused("1301", "unsafe", "content")},
		{rule: "7.4.1 code alone", body: `{"error":{"code":"1113"}}`, want: decodeRefused("1113", "", "quota")},
		{rule: "7.4.1 numeric code alone", body: `{"error":{"code":1113}}`, want: decodeRefused("1113", "", "quota")},
		{rule: "7.4.1 message alone", body: `{"error":{"message":"broken"}}`, want: decodeRefused("", "broken", "unknown")},
		{rule: "7.4.1 msg alone", body: `{"error":{"msg":"broken"}}`, want: decodeRefused("", "broken", "unknown")},
		{rule: "7.4.1 type alone", body: `{"error":{"type":"1302"}}`, want: decodeRefused("1302", "", "rate_limit")},
		{rule: "7.4.1 numeric type alone", body: `{"error":{"type":1302}}`, want: decodeRefused("1302", "", "rate_limit")},
		{rule: "7.4.1 code before type", body: `{"error":{"type":"1302","code":"1113","message":"m"}}`, want: decodeRefused("1113", "m", "quota")},
		{rule: "7.4.1 empty code, then type", body: `{"error":{"type":"1302","code":"","message":"m"}}`, want: decodeRefused("1302", "m", "rate_limit")},
		{rule: "7.4.1 null code, then type", body: `{"error":{"type":"overloaded_error","code":null,"message":"m"}}`, want: decodeRefused("overloaded_error", "m", "unknown")},
		{rule: "7.4.1 boolean code, then type", body: `{"error":{"type":"1302","code":true,"message":"m"}}`, want: decodeRefused("1302", "m", "rate_limit")},
		{rule: "7.4.1 message before msg", body: `{"error":{"code":"1200","msg":"b","message":"a"}}`, want: decodeRefused("1200", "a", "server")},
		{rule: "7.4.1 empty message is not null", body: `{"error":{"code":"1200","msg":"b","message":""}}`, want: decodeRefused("1200", "", "server")},
		{rule: "7.4.1 null message, then msg", body: `{"error":{"code":"1200","msg":"b","message":null}}`, want: decodeRefused("1200", "b", "server")},
		{rule: "7.4.1 no message, then msg", body: `{"error":{"code":"1200","msg":"b"}}`, want: decodeRefused("1200", "b", "server")},
		{rule: "7.4.1 null texts", body: `{"error":{"code":"1200","msg":null,"message":null}}`, want: decodeRefused("1200", "", "server")},
		{rule: "7.4.1 code 0 with a message", body: `{"error":{"code":0,"message":"broken"}}`, want: decodeRefused("0", "broken", "unknown")},
		{rule: "7.4.1 code 200 with a msg", body: `{"error":{"code":"200","msg":"broken"}}`, want: decodeRefused("200", "broken", "unknown")},
		{rule: "7.4.1 code 200 with a type", body: `{"error":{"code":200,"type":"t"}}`, want: decodeRefused("200", "", "unknown")},
		{rule: "7.4.1 wins over success", body: `{"status":"success","error":{"code":"1234","message":"m"}}`, want: decodeFailed("success", "1234", "m", "server")},
		{rule: "7.4.1 wins over a null in other letters", body: `{"status":"success","async_id":"1","choices":[],"error":{"code":"1302","message":"m"},"ERROR":null}`, want: decodeFailed("success", "1302", "m", "rate_limit").id("1")},
		{rule: "7.4.1 escaped, wins over a null in other letters", body: `{"status":"success","async_id":"1","choices":[],"\u0065rror":{"code":"1302","message":"m"},"ERROR":null}`, want: decodeFailed("success", "1302", "m", "rate_limit").id("1")},
		{rule: "7.4.1 wins over pending", body: `{"status":"pending","async_id":"task-1","error":{"code":"1113","message":"m"}}`, want: decodeFailed("pending", "1113", "m", "quota").id("task-1")},
		{rule: "7.4.1 wins over an unknown word", body: `{"status":"weird","error":{"message":"m"}}`, want: decodeFailed("weird", "", "m", "unknown")},
		{rule: "7.4.1 wins over an empty word", body: `{"status":"","error":{"message":"m"}}`, want: decodeFailed("", "", "m", "unknown")},
		{rule: "7.4.1 wins over a video", body: `{"status":"success","error":{"code":"1301"},"choices":[{"message":[{"content":[` + decodeVideoPart(decodeVideo) + `]}]}]}`, want: decodeSet(decodeFailed("success", "1301", "", "content"), decodeVideo)},
		{rule: "7.4.1 before a flat error", body: `{"code":401,"msg":"flat","error":{"code":"1113","message":"nested"}}`, want: decodeRefused("1113", "nested", "quota")},
		{rule: "7.4.1 before the top level of a failed task", body: `{"status":"failed","code":401,"msg":"flat","error":{"code":"1113","message":"nested"}}`, want: decodeFailed("failed", "1113", "nested", "quota")},
		{rule: "7.4.1 unknown keys beside", body: `{"error":{"code":"1214","message":"m","param":"x","details":[1]}}`, want: decodeRefused("1214", "m", "invalid_request")},
		{rule: "7.4.1 with choices", body: `{"choices":[],"error":{"code":"1200","message":"m"}}`, want: decodeRefused("1200", "m", "server")},

		{rule: "7.4 null error", body: `{"status":"success","error":null}`, want: decodeSuccess("success")},
		{rule: "7.4 empty error object", body: `{"status":"success","error":{}}`, want: decodeSuccess("success")},
		{rule: "7.4 empty error text", body: `{"status":"success","error":""}`, want: decodeSuccess("success")},
		{rule: "7.4 error of null fields", body: `{"status":"success","error":{"code":null,"message":null,"msg":null,"type":null}}`, want: decodeSuccess("success")},
		{rule: "7.4 error of empty texts", body: `{"status":"success","error":{"code":"","message":"","msg":"","type":""}}`, want: decodeSuccess("success")},
		{rule: "7.4.1 code 0 alone", body: `{"status":"success","error":{"code":0}}`, want: decodeSuccess("success")},
		{rule: "7.4.1 code 0 as text alone", body: `{"status":"success","error":{"code":"0"}}`, want: decodeSuccess("success")},
		{rule: "7.4.1 code 200 alone", body: `{"status":"success","error":{"code":200}}`, want: decodeSuccess("success")},
		{rule: "7.4.1 code 200 as text with empty texts", body: `{"status":"success","error":{"code":"200","message":"","msg":null,"type":""}}`, want: decodeSuccess("success")},
		{rule: "7.4.1 boolean code alone", body: `{"status":"pending","error":{"code":true}}`, want: decodePending("pending")},
		{rule: "7.4.1 list and object as fields", body: `{"status":"pending","error":{"code":[],"message":{}}}`, want: decodePending("pending")},
		{rule: "7.4.1 only unknown keys", body: `{"status":"success","error":{"details":"x"}}`, want: decodeSuccess("success")},
		{rule: "7.4 error as list", body: `{"status":"success","error":[{"code":"1113","message":"m"}]}`, want: decodeSuccess("success")},
		{rule: "7.4 error as number", body: `{"status":"success","error":500}`, want: decodeSuccess("success")},
		{rule: "7.4 error as boolean", body: `{"status":"pending","error":true}`, want: decodePending("pending")},
		{rule: "7.4 empty error object of a failed task", body: `{"status":"failed","error":{}}`, want: decodeFailed("failed", "", "", "unknown")},
		{rule: "7.4 null error of a failed task", body: `{"status":"failed","error":null,"code":1301,"msg":"unsafe"}`, want: decodeFailed("failed", "1301", "unsafe", "content")},
		{rule: "7.4 empty error object before a flat error", body: `{"error":{},"code":1113,"msg":"empty"}`, want: decodeRefused("1113", "empty", "quota")},
		{rule: "7.4 the error of a choice does not count", body: `{"status":"success","choices":[{"error":{"code":"1113","message":"m"}}]}`, want: decodeSuccess("success")},

		{rule: "7.4.2 text alone", body: `{"error":"broken"}`, want: decodeRefused("", "broken", "unknown")},
		{rule: "7.4.2 numeric status is the code", body: `{"status":404,"error":"Not Found","path":"/x"}`, want: decodeRefused("404", "Not Found", "not_found")},
		{rule: "7.4.2 numeric status with a fraction", body: `{"status":404.0,"error":"Not Found"}`, want: decodeRefused("404", "Not Found", "not_found")},
		{rule: "7.4.2 numeric status before code", body: `{"status":500,"code":1113,"error":"broken"}`, want: decodeRefused("500", "broken", "server")},
		{rule: "7.4.2 status 0 is a number", body: `{"status":0,"code":1113,"error":"broken"}`, want: decodeRefused("0", "broken", "unknown")},
		{rule: "7.4.2 status word, then code", body: `{"status":"failed","code":1301,"error":"unsafe"}`, want: decodeFailed("failed", "1301", "unsafe", "content")},
		{rule: "7.4.2 no status, then code", body: `{"code":"1302","error":"slow down"}`, want: decodeRefused("1302", "slow down", "rate_limit")},
		{rule: "7.4.2 null status, then code", body: `{"status":null,"code":"1302","error":"slow down"}`, want: decodeRefused("1302", "slow down", "rate_limit")},
		{rule: "7.4.2 status of digits is a word", body: `{"status":"404","code":"1302","error":"x"}`, want: decodeFailed("404", "1302", "x", "rate_limit")},
		{rule: "7.4.2 message first", body: `{"error":"c","msg":"b","message":"a"}`, want: decodeRefused("", "a", "unknown")},
		{rule: "7.4.2 empty message, then msg", body: `{"error":"c","msg":"b","message":""}`, want: decodeRefused("", "b", "unknown")},
		{rule: "7.4.2 null message, empty msg, then the text", body: `{"error":"c","msg":"","message":null}`, want: decodeRefused("", "c", "unknown")},
		{rule: "7.4.2 wins over success", body: `{"status":"success","error":"broken"}`, want: decodeFailed("success", "", "broken", "unknown")},
		{rule: "7.4.2 before a flat error", body: `{"success":false,"code":401,"error":"broken"}`, want: decodeRefused("401", "broken", "auth")},
		{rule: "7.4.2 gateway, HTTP 503", http: 503, body: `{"timestamp":1,"status":503,"error":"Service Unavailable","message":"","path":"/x"}`, want: decodeRefused("503", "Service Unavailable", "server")},
		{rule: "7.4.2 gateway, HTTP 405", http: 405, body: `{"timestamp":1,"status":405,"error":"Method Not Allowed"}`, want: decodeRefused("405", "Method Not Allowed", "blocked")},

		{rule: "7.4.3 word alone", body: `{"status":"failed"}`, want: decodeFailed("failed", "", "", "unknown")},
		{rule: "7.4.3 code and message", body: `{"status":"failed","code":"1301","message":"unsafe"}`, want: decodeFailed("failed", "1301", "unsafe", "content")},
		{rule: "7.4.3 numeric code and msg", body: `{"status":"FAIL","code":1234,"msg":"net"}`, want: decodeFailed("FAIL", "1234", "net", "server")},
		{rule: "7.4.3 message before msg", body: `{"status":"failed","message":"a","msg":"b"}`, want: decodeFailed("failed", "", "a", "unknown")},
		{rule: "7.4.3 empty message, then msg", body: `{"status":"failed","message":"","msg":"b"}`, want: decodeFailed("failed", "", "b", "unknown")},
		{rule: "7.4.3 before a flat error", body: `{"status":"failed","success":false,"code":1113,"message":"a","msg":"b"}`, want: decodeFailed("failed", "1113", "a", "quota")},
		{rule: "7.4.3 with choices", body: `{"status":"error","code":1200,"choices":[{"finish_reason":"stop"}]}`, want: decodeFailed("error", "1200", "", "server").finish(api.FinishStop)},
		{rule: "7.4.3 with async_id", body: `{"status":"expired","async_id":"task-1","msg":"too old"}`, want: decodeFailed("expired", "", "too old", "unknown").id("task-1")},
		{rule: "7.4.3 task_status", body: `{"task_status":"FAIL","code":"1230","message":"step"}`, want: decodeFailed("FAIL", "1230", "step", "server")},
		{rule: "7.4.3 code 0 of a failed task", body: `{"status":"failed","code":0,"msg":"x"}`, want: decodeFailed("failed", "0", "x", "unknown")},
		{rule: "7.4.3 partial text of a failed task", body: `{"status":"failed","choices":[{"message":[{"content":"half"}]}]}`, want: func() sampleReading {
			w := decodeFailed("failed", "", "", "unknown")
			w.Text = "half"
			return w
		}()},
	}
}

// decodeFlatRows are about 7.4, step 4.
func decodeFlatRows() []decodeRow {
	return []decodeRow{
		{rule: "7.4.4 code and message", body: `{"code":401,"message":"stale"}`, want: decodeRefused("401", "stale", "auth")},
		{rule: "7.4.4 code and msg", body: `{"code":"1113","msg":"empty"}`, want: decodeRefused("1113", "empty", "quota")},
		{rule: "7.4.4 msg before message", body: `{"code":1200,"msg":"a","message":"b"}`, want: decodeRefused("1200", "a", "server")},
		{rule: "7.4.4 empty msg is not null", body: `{"code":1200,"msg":"","message":"b"}`, want: decodeRefused("1200", "", "server")},
		{rule: "7.4.4 null msg, then message", body: `{"code":1200,"msg":null,"message":"b"}`, want: decodeRefused("1200", "b", "server")},
		{rule: "7.4.4 null msg is present", body: `{"code":1200,"msg":null}`, want: decodeRefused("1200", "", "server")},
		{rule: "7.4.4 null message is present", body: `{"code":1200,"message":null}`, want: decodeRefused("1200", "", "server")},
		{rule: "7.4.4 code without a text", body: `{"code":1200}`, want: decodeMalformed},
		{rule: "7.4.4 text without a code", body: `{"msg":"x","message":"y"}`, want: decodeMalformed},
		{rule: "7.4.4 code 0", body: `{"code":0,"msg":"ok"}`, want: decodeMalformed},
		{rule: "7.4.4 code 0 as text", body: `{"code":"0","message":"ok"}`, want: decodeMalformed},
		{rule: "7.4.4 code 200", body: `{"code":200,"msg":"ok"}`, want: decodeMalformed},
		{rule: "7.4.4 code 200 as text", body: `{"code":"200","message":"ok"}`, want: decodeMalformed},
		{rule: "7.4.4 code 200.0", body: `{"code":200.0,"message":"ok"}`, want: decodeMalformed},
		{rule: "7.4.4 code 2e2", body: `{"code":2e2,"message":"ok"}`, want: decodeMalformed},
		{rule: "7.4.4 empty code", body: `{"code":"","msg":"x"}`, want: decodeMalformed},
		{rule: "7.4.4 null code", body: `{"code":null,"msg":"x"}`, want: decodeMalformed},
		{rule: "7.4.4 boolean code", body: `{"code":true,"msg":"x"}`, want: decodeMalformed},
		{rule: "7.4.4 list code", body: `{"code":[1113],"msg":"x"}`, want: decodeMalformed},
		{rule: "7.4.4 success false alone", body: `{"success":false}`, want: decodeRefused("", "", "unknown")},
		{rule: "7.4.4 success false with a text", body: `{"success":false,"message":"no"}`, want: decodeRefused("", "no", "unknown")},
		{rule: "7.4.4 success false with code 200", body: `{"success":false,"code":200,"msg":"no"}`, want: decodeRefused("200", "no", "unknown")},
		{rule: "7.4.4 success false with a code alone", body: `{"success":false,"code":1001}`, want: decodeRefused("1001", "", "auth")},
		{rule: "7.4.4 success false as text", body: `{"success":"false","msg":"no"}`, want: decodeMalformed},
		{rule: "7.4.4 success 0", body: `{"success":0,"msg":"no"}`, want: decodeMalformed},
		{rule: "7.4.4 success null", body: `{"success":null,"msg":"no"}`, want: decodeMalformed},
		{rule: "7.4.4 success true with an error code", body: `{"success":true,"code":1113,"msg":"empty"}`, want: decodeRefused("1113", "empty", "quota")},

		{rule: "7.4.4 choices forbid", body: `{"code":1113,"msg":"x","choices":[]}`, want: decodeNoStatus},
		{rule: "7.4.4 choices with a video forbid", body: `{"code":1113,"msg":"x","choices":[{"message":[{"content":[` + decodeVideoPart(decodeVideo) + `]}]}]}`, want: decodeSuccess("", decodeVideo)},
		{rule: "7.4.4 null choices do not forbid", body: `{"code":1113,"msg":"x","choices":null}`, want: decodeRefused("1113", "x", "quota")},
		{rule: "7.4.4 async_id forbids", body: `{"code":1113,"msg":"x","async_id":"task-1"}`, want: decodePending("").id("task-1")},
		{rule: "7.4.4 empty async_id forbids", body: `{"code":1113,"msg":"x","async_id":""}`, want: decodeMalformed},
		{rule: "7.4.4 null async_id does not forbid", body: `{"code":1113,"msg":"x","async_id":null}`, want: decodeRefused("1113", "x", "quota")},
		{rule: "7.4.4 video_result forbids", body: `{"code":1113,"msg":"x","video_result":[{"url":"` + decodeVideo + `"}]}`, want: decodeSuccess("", decodeVideo)},
		{rule: "7.4.4 empty video_result forbids", body: `{"code":1113,"msg":"x","video_result":[]}`, want: decodeMalformed},
		{rule: "7.4.4 null video_result does not forbid", body: `{"code":1113,"msg":"x","video_result":null}`, want: decodeRefused("1113", "x", "quota")},
		{rule: "7.4.4 all three null do not forbid", body: `{"code":1113,"msg":"x","choices":null,"async_id":null,"video_result":null}`, want: decodeRefused("1113", "x", "quota")},
		{rule: "7.4.4 success false with choices", body: `{"status":"success","success":false,"choices":[]}`, want: decodeSuccess("success")},
		{rule: "7.4.4 success false with null choices", body: `{"success":false,"choices":null}`, want: decodeRefused("", "", "unknown")},
		{rule: "7.4.4 success false with async_id", body: `{"status":"pending","success":false,"async_id":"task-1"}`, want: decodePending("pending").id("task-1")},
		{rule: "7.4.4 success false with video_result", body: `{"success":false,"video_result":{"url":"` + decodeVideo + `"}}`, want: decodeSuccess("", decodeVideo)},
		{rule: "7.4.4 agent_id and id do not forbid", body: `{"code":1113,"msg":"x","agent_id":"a","id":"b"}`, want: decodeRefused("1113", "x", "quota")},
		{rule: "7.4.4 a pending word does not forbid", body: `{"status":"pending","code":1113,"msg":"x"}`, want: decodeFailed("pending", "1113", "x", "quota")},
		{rule: "7.4.4 a success word does not forbid", body: `{"status":"success","code":"1301","message":"x"}`, want: decodeFailed("success", "1301", "x", "content")},
		{rule: "7.4.4 asyncId does not forbid", body: `{"asyncId":"camel","code":1301,"msg":"x"}`, want: decodeFailed("", "1301", "x", "content").id("camel")},
		{rule: "7.4.4 HTTP 404", http: 404, body: `{"code":404,"message":"no such task"}`, want: decodeRefused("404", "no such task", "not_found")},
		{rule: "7.4.4 HTTP 400, an unknown code", http: 400, body: `{"code":77,"msg":"x"}`, want: decodeRefused("77", "x", "invalid_request")},
	}
}

// decodeCodeRows are about the text of a code.
func decodeCodeRows() []decodeRow {
	var rows []decodeRow
	for _, c := range []struct{ raw, text, category string }{
		{`"1113"`, "1113", "quota"},
		{`1113`, "1113", "quota"},
		{`1113.0`, "1113", "quota"},
		{`401.0`, "401", "auth"},
		{`401.00`, "401", "auth"},
		{`1e3`, "1000", "auth"},
		{`1E+3`, "1000", "auth"},
		{`1.113e3`, "1113", "quota"},
		{`42.9e1`, "429", "rate_limit"},
		{`11130e-1`, "1113", "quota"},
		{`-1`, "-1", "server"},
		{`-1.0`, "-1", "server"},
		{`"-1"`, "-1", "server"},
		{`"01113"`, "01113", "unknown"},
		{`" 1113 "`, " 1113 ", "unknown"},
		{`"1113.0"`, "1113.0", "unknown"},
		{`"1e3"`, "1e3", "unknown"},
		{`"RATE"`, "RATE", "unknown"},
		{`"\u0031\u0031\u0031\u0033"`, "1113", "quota"},
		{`12345678901234567890`, "12345678901234567890", "unknown"},
		{`1e18`, "1000000000000000000", "unknown"},
		{`1e19`, "1e19", "unknown"},
		{`-1E400`, "-1E400", "unknown"},
		{`9999`, "9999", "unknown"},
		{`true`, "", "unknown"},
		{`false`, "", "unknown"},
		{`null`, "", "unknown"},
		{`[1113]`, "", "unknown"},
		{`{"code":1113}`, "", "unknown"},
		{`""`, "", "unknown"},
	} {
		rows = append(
			rows,
			decodeRow{rule: "7.4 nested code " + c.raw, body: `{"error":{"code":` + c.raw + `,"message":"m"}}`, want: decodeRefused(c.text, "m", c.category)},
			decodeRow{rule: "7.4 code of an error text " + c.raw, body: `{"code":` + c.raw + `,"error":"m"}`, want: decodeRefused(c.text, "m", c.category)},
			decodeRow{rule: "7.4 code of a failed task " + c.raw, body: `{"status":"failed","code":` + c.raw + `,"msg":"m"}`, want: decodeFailed("failed", c.text, "m", c.category)},
			decodeRow{rule: "7.4 flat code " + c.raw, body: `{"success":false,"code":` + c.raw + `,"msg":"m"}`, want: decodeRefused(c.text, "m", c.category)},
		)
	}
	return rows
}

// decodeMessageRows are about 7.5.2: the keys of the messages, and choices.
func decodeMessageRows() []decodeRow {
	var rows []decodeRow
	say := func(text string) string {
		return `{"role":"assistant","content":[{"type":"text","text":"` + text + `"}]}`
	}
	for _, key := range []string{"messages", "message", "delta"} {
		for _, c := range []struct{ name, value, text string }{
			{"list", `[` + say("a") + `,` + say("b") + `]`, "ab"},
			{"object", say("a"), "a"},
			{"empty list", `[]`, ""},
			{"empty object", `{}`, ""},
			{"null", `null`, ""},
			{"string", `"a"`, ""},
			{"number", `7`, ""},
			{"boolean", `true`, ""},
			{"mixed list", `[null,"x",7,` + say("a") + `,[],` + say("b") + `,{}]`, "ab"},
			{"list in a list", `[[` + say("a") + `]]`, ""},
			{"message of odd types", `{"role":7,"phase":null,"index":"0","content":[{"text":"a"}]}`, "a"},
		} {
			rows = append(rows, decodeRow{rule: "7.5.2 " + key + " as " + c.name, body: decodeChoices(`[{"index":0,"` + key + `":` + c.value + `}]`), want: decodeText(c.text)})
		}
	}
	video := `[{"content":[` + decodeVideoPart(decodeVideo) + `,{"type":"text","text":"t"}]}]`
	return append(rows, []decodeRow{
		{rule: "7.5.2 messages, message, delta in that order", body: decodeChoices(`[{"delta":` + say("c") + `,"message":` + say("b") + `,"messages":` + say("a") + `}]`), want: decodeText("abc")},
		{rule: "7.5.2 null messages beside message", body: decodeChoices(`[{"messages":null,"message":` + video + `}]`), want: decodeText("t", decodeVideo)},
		{rule: "7.8 message and messages: addresses once, text twice", body: decodeChoices(`[{"messages":` + video + `,"message":` + video + `}]`), want: decodeText("tt", decodeVideo)},
		{rule: "7.5 choices as an object", body: decodeChoices(`{"finish_reason":"stop","message":` + video + `}`), want: decodeText("t", decodeVideo).finish(api.FinishStop)},
		{rule: "7.5 null and odd choices", body: decodeChoices(`[null,"x",7,[],{"message":` + video + `},{}]`), want: decodeText("t", decodeVideo)},
		{rule: "7.5 null choices", body: decodeChoices(`null`), want: decodeSuccess("success")},
		{rule: "7.5 empty choices", body: decodeChoices(`[]`), want: decodeSuccess("success")},
		{rule: "7.5 choices as a string", body: decodeChoices(`"` + decodeVideo + `"`), want: decodeSuccess("success")},
		{rule: "7.5 choices as a number", body: decodeChoices(`3`), want: decodeSuccess("success")},
		{rule: "7.5 choices in a list of lists", body: decodeChoices(`[[{"message":` + video + `}]]`), want: decodeSuccess("success")},
		{rule: "7.5 several choices in order", body: decodeChoices(`[{"index":1,"message":` + say("a") + `},{"index":0,"messages":` + say("b") + `}]`), want: decodeText("ab")},
		{rule: "7.5 index as text", body: decodeChoices(`[{"index":"0","message":` + video + `}]`), want: decodeText("t", decodeVideo)},
		{rule: "7.5 null message without a status", body: `{"choices":[{"message":null}]}`, want: decodeNoStatus},
	}...)
}

// decodeContentRows are about 7.5.3: contents, texts and phases.
func decodeContentRows() []decodeRow {
	rows := []decodeRow{
		{rule: "7.5.3 content as a string", body: decodeSay(`"hello"`), want: decodeText("hello")},
		{rule: "7.5.3 content as an empty string", body: decodeSay(`""`), want: decodeText("")},
		{rule: "7.5.3 content as an object", body: decodeSay(`{"type":"text","text":"hello"}`), want: decodeText("hello")},
		{rule: "7.5.3 content as a list", body: decodeSay(`[{"type":"text","text":"hel"},{"type":"text","text":"lo"}]`), want: decodeText("hello")},
		{rule: "7.5.3 content as a list of strings", body: decodeSay(`["hel","lo"]`), want: decodeText("hello")},
		{rule: "7.5.3 content as a mixed list", body: decodeSay(`["a",null,{"text":"b"},7,[],true,"c",{"video_url":"` + decodeVideo + `"}]`), want: decodeText("abc", decodeVideo)},
		{rule: "7.5.3 content as a list of null", body: decodeSay(`[null,null]`), want: decodeText("")},
		{rule: "7.5.3 content as null", body: decodeSay(`null`), want: decodeText("")},
		{rule: "7.5.3 content as a number", body: decodeSay(`5`), want: decodeText("")},
		{rule: "7.5.3 content as true", body: decodeSay(`true`), want: decodeText("")},
		{rule: "7.5.3 content as an empty object", body: decodeSay(`{}`), want: decodeText("")},
		{rule: "7.5.3 content missing", body: decodeChoices(`[{"message":[{"role":"assistant"}]}]`), want: decodeText("")},
		{rule: "7.5.3 text keeps its space", body: decodeSay(`[" a\n"," b "]`), want: decodeText(" a\n b ")},
		{rule: "7.5.3 text as a number", body: decodeSay(`[{"type":"text","text":5},{"type":"text","text":"a"}]`), want: decodeText("a")},
		{rule: "7.5.3 text as null", body: decodeSay(`[{"type":"text","text":null},{"type":"text","text":"a"}]`), want: decodeText("a")},
		{rule: "7.5.3 text of a part without a type", body: decodeSay(`[{"text":"a"}]`), want: decodeText("a")},
		{rule: "7.5.3 text of a part of another type", body: decodeSay(`[{"type":"video_url","video_url":"` + decodeVideo + `","text":"a"}]`), want: decodeText("a", decodeVideo)},
		{rule: "7.5.3 text of a part that is an address", body: decodeSay(`[{"type":"text","text":"` + decodeVideo + `"}]`), want: decodeText(decodeVideo)},
		{rule: "7.5.3 fields of odd types", body: decodeSay(`[{"type":5,"tag_cn":7,"tag_en":[],"phase":1,"video_url":"` + decodeVideo + `","text":"a"}]`), want: decodeText("a", decodeVideo)},
		{
			rule: "7.5.3 object stays raw", body: decodeSay(`[{"type":"object","object":{"tool_name":"search","output":[ 1 ]},"tag_en":"Search"}]`), want: decodeText(""),
			also: func(t *testing.T, r *api.Result) {
				part := r.Choices[0].Message[0].Content[0]
				if got := string(part.Object); got != `{"tool_name":"search","output":[ 1 ]}` || part.Type != api.PartObject || part.TagEN != "Search" {
					t.Errorf("the part is %+v with the object %s", part, got)
				}
			},
		},
	}
	for _, c := range []struct {
		name, content string
		video         string
	}{
		{"mp4", "https://media.example.com/a.mp4", "https://media.example.com/a.mp4"},
		{"mp4 with a query", decodeVideo, decodeVideo},
		{"mp4 over http", "http://media.example.com/a.mp4", "http://media.example.com/a.mp4"},
		{"mov", "https://media.example.com/x/y/a.mov?x=1", "https://media.example.com/x/y/a.mov?x=1"},
		{"webm", "https://media.example.com/a.webm", "https://media.example.com/a.webm"},
		{"scheme in upper case", "HTTPS://media.example.com/a.mp4", "HTTPS://media.example.com/a.mp4"},
		{"ending in upper case", "https://media.example.com/a.MOV", "https://media.example.com/a.MOV"},
		{"space around", " \t" + decodeVideo + "\n ", decodeVideo},
		{"port and escapes", "https://media.example.com:8443/a%20b.mp4", "https://media.example.com:8443/a%20b.mp4"},
		{"space inside", "https://media.example.com/a b.mp4", ""},
		{"words in front", "see https://media.example.com/a.mp4", ""},
		{"words behind", "https://media.example.com/a.mp4 is ready", ""},
		{"space in the query", "https://media.example.com/a.mp4?x=a b", ""},
		{"two addresses", decodeVideo2 + "\n" + decodeVideo2, ""},
		{"another ending", "https://media.example.com/a.mkv", ""},
		{"no ending", "https://media.example.com/a", ""},
		{"ending only in the query", "https://media.example.com/a?file=b.mp4", ""},
		{"slash behind the ending", "https://media.example.com/a.mp4/", ""},
		{"letters behind the ending", "https://media.example.com/a.mp4x", ""},
		{"ending of the host, no path", "https://media.example.mp4", ""},
		{"another scheme", "ftp://media.example.com/a.mp4", ""},
		{"no scheme", "media.example.com/a.mp4", ""},
		{"a picture", decodeImage, ""},
	} {
		encoded, err := json.Marshal(c.content)
		if err != nil {
			panic(err)
		}
		want := decodeText(c.content)
		if c.video != "" {
			want = decodeText("", c.video)
		}
		rows = append(
			rows,
			decodeRow{rule: "7.5.3 string content: " + c.name, body: decodeSay(string(encoded)), want: want},
			decodeRow{rule: "7.5.3 string in a list: " + c.name, body: decodeSay(`[` + string(encoded) + `]`), want: want},
		)
	}
	for _, c := range []struct{ name, message, part, text string }{
		{"none", ``, ``, "a"},
		{"answer", `"phase":"answer",`, ``, "a"},
		{"thinking", `"phase":"thinking",`, ``, ""},
		{"tool", `"phase":"tool",`, ``, ""},
		{"any other", `"phase":"draft",`, ``, "a"},
		{"null", `"phase":null,`, ``, "a"},
		{"number", `"phase":3,`, ``, "a"},
		{"thinking of the part", ``, `"phase":"thinking",`, ""},
		{"tool of the part over answer", `"phase":"answer",`, `"phase":"tool",`, ""},
		{"answer of the part over thinking", `"phase":"thinking",`, `"phase":"answer",`, "a"},
		{"answer of the part over tool", `"phase":"tool",`, `"phase":"answer",`, "a"},
		{"null of the part", `"phase":"thinking",`, `"phase":null,`, ""},
	} {
		rows = append(rows, decodeRow{
			rule: "7.5 phase " + c.name,
			body: decodeChoices(`[{"message":[{` + c.message + `"content":[{` + c.part + `"text":"a","file_url":"` + decodeFile + `"}]}]}]`),
			want: func() sampleReading { w := decodeText(c.text); w.Files = []string{decodeFile}; return w }(),
		})
	}
	return append(rows, []decodeRow{
		{rule: "7.5 phase of string content", body: decodeChoices(`[{"messages":[{"phase":"thinking","content":"hm"},{"phase":"answer","content":"yes"}]}]`), want: decodeText("yes")},
		{rule: "7.5 address in string content of the thinking", body: decodeChoices(`[{"messages":[{"phase":"thinking","content":"` + decodeVideo + `"}]}]`), want: decodeText("", decodeVideo)},
		{rule: "7.5 phase of a choice does not count", body: decodeChoices(`[{"phase":"thinking","message":[{"content":"yes"}]}]`), want: decodeText("yes")},
		{rule: "7.5 only thinking is no answer", body: `{"choices":[{"messages":[{"phase":"thinking","content":"hm"}]}]}`, want: decodeNoStatus},
	}...)
}

// decodeAddressRows are about the addresses of 7.5.3 and 7.5.4.
func decodeAddressRows() []decodeRow {
	set := func(videos, files, images []string) sampleReading {
		w := decodeSuccess("success", videos...)
		w.Files, w.Images = files, images
		return w
	}
	var rows []decodeRow
	for _, key := range []string{"video_url", "file_url", "image_url"} {
		one := func(urls ...string) sampleReading {
			switch key {
			case "video_url":
				return set(urls, nil, nil)
			case "file_url":
				return set(nil, urls, nil)
			default:
				return set(nil, nil, urls)
			}
		}
		const u, v = "https://media.example.com/x1?sig=1", "https://media.example.com/x2"
		for _, c := range []struct {
			name, value string
			want        []string
		}{
			{"a string", `"` + u + `"`, []string{u}},
			{"a string with space around", `" ` + u + `\r\n"`, []string{u}},
			{"an object with url", `{"url":"` + u + `"}`, []string{u}},
			{"an object with video_url", `{"video_url":"` + u + `"}`, []string{u}},
			{"an object with file_url", `{"file_url":"` + u + `"}`, []string{u}},
			{"an object with image_url", `{"image_url":"` + u + `"}`, []string{u}},
			{"an object with all four", `{"image_url":"https://i.example.com","file_url":"https://f.example.com","video_url":"https://v.example.com","url":"` + u + `"}`, []string{u}},
			{"an object whose url is null", `{"url":null,"video_url":5,"file_url":"` + u + `","image_url":"` + v + `"}`, []string{u}},
			{"an object whose first string is empty", `{"url":"","video_url":"` + u + `"}`, nil},
			{"an object with space around", `{"url":" ` + u + ` "}`, []string{u}},
			{"an object with a cover only", `{"cover_image_url":"` + u + `"}`, nil},
			{"an object in an object", `{"url":{"url":"` + u + `"}}`, nil},
			{"an empty object", `{}`, nil},
			{"an empty string", `""`, nil},
			{"null", `null`, nil},
			{"a number", `5`, nil},
			{"a list", `["` + u + `"]`, nil},
			{"http in upper case", `"HTTP://media.example.com/A"`, []string{"HTTP://media.example.com/A"}},
			{"https in mixed case", `"hTTpS://media.example.com/A"`, []string{"hTTpS://media.example.com/A"}},
			{"ftp", `"ftp://media.example.com/a.mp4"`, nil},
			{"data", `"data:image/png;base64,AAAA"`, nil},
			{"relative", `"/out/a.mp4"`, nil},
			{"without a scheme", `"//media.example.com/a.mp4"`, nil},
			{"https without slashes", `"https:media.example.com"`, nil},
			{"a word that starts with http", `"httpx://media.example.com"`, nil},
			{"an address that comes second", `"see https://media.example.com"`, nil},
		} {
			rows = append(rows, decodeRow{rule: "7.5 " + key + " is " + c.name, body: decodeSay(`[{"type":"` + key + `","` + key + `":` + c.value + `}]`), want: one(c.want...)})
		}
		rows = append(
			rows,
			decodeRow{rule: "7.5 " + key + " twice", body: decodeSay(`[{"` + key + `":"` + v + `"},{"` + key + `":"` + u + `"},{"` + key + `":{"url":" ` + v + ` "}}]`), want: one(v, u)},
			decodeRow{rule: "7.5 " + key + " of a part without a type", body: decodeSay(`{"` + key + `":"` + u + `"}`), want: one(u)},
			decodeRow{rule: "7.5 " + key + " of a part of type text", body: decodeSay(`{"type":"text","` + key + `":"` + u + `"}`), want: one(u)},
			decodeRow{rule: "7.5 " + key + " in the thinking", body: decodeChoices(`[{"messages":{"phase":"thinking","content":{"` + key + `":"` + u + `"}}}]`), want: one(u)},
		)
	}
	return append(rows, []decodeRow{
		{rule: "7.5.3 url of a video part", body: decodeSay(`{"type":"video_url","url":"` + decodeVideo + `"}`), want: decodeSuccess("success", decodeVideo)},
		{rule: "7.5.3 url of a video part as an object", body: decodeSay(`{"type":"video_url","url":{"url":"` + decodeVideo + `"}}`), want: decodeSuccess("success", decodeVideo)},
		{rule: "7.5.3 url beside an empty video_url", body: decodeSay(`[{"type":"video_url","video_url":"","url":"` + decodeVideo + `"}]`), want: decodeSuccess("success", decodeVideo)},
		{rule: "7.5.3 url beside a null video_url", body: decodeSay(`[{"type":"video_url","video_url":null,"url":"` + decodeVideo + `"}]`), want: decodeSuccess("success", decodeVideo)},
		{rule: "7.5.3 url beside a video_url", body: decodeSay(`[{"type":"video_url","video_url":"` + decodeVideo + `","url":"` + decodeVideo2 + `"}]`), want: decodeSuccess("success", decodeVideo)},
		{rule: "7.5.3 url of a part of another type", body: decodeSay(`[{"type":"file_url","url":"` + decodeFile + `"},{"type":"image_url","url":"` + decodeImage + `"},{"type":"text","url":"` + decodeVideo + `"},{"url":"` + decodeVideo + `"}]`), want: decodeSuccess("success")},
		{rule: "7.5.3 all addresses in one part", body: decodeSay(`[{"video_url":"` + decodeVideo + `","file_url":"` + decodeFile + `","image_url":"` + decodeImage + `"}]`), want: set([]string{decodeVideo}, []string{decodeFile}, []string{decodeImage})},
		{rule: "7.5.3 the same address in two lists", body: decodeSay(`[{"video_url":"` + decodeVideo + `"},{"file_url":"` + decodeVideo + `"}]`), want: set([]string{decodeVideo}, []string{decodeVideo}, nil)},
		{rule: "7.5.3 extras of a video are no result", body: decodeSay(`[{"type":"video_url","video_url":{"url":"` + decodeVideo + `","cover_image_url":"` + decodeImage + `"},"cover_image_url":"` + decodeImage + `"}]`), want: decodeSuccess("success", decodeVideo)},
		{rule: "7.5.3 order over choices and keys", body: decodeChoices(`[{"message":[{"content":[` + decodeVideoPart(decodeVideo2) + `]}],"messages":{"content":"` + decodeVideo + `"}},{"delta":{"content":` + decodeVideoPart("https://media.example.com/3.mp4") + `}}]`), want: decodeSuccess("success", decodeVideo, decodeVideo2, "https://media.example.com/3.mp4")},

		{rule: "7.5.4 video_result as a list", body: `{"task_status":"SUCCESS","video_result":[{"url":"` + decodeVideo + `","cover_image_url":"` + decodeImage + `"},{"url":"` + decodeVideo2 + `"}]}`, want: decodeSuccess("SUCCESS", decodeVideo, decodeVideo2)},
		{rule: "7.5.4 video_result as an object", body: `{"task_status":"SUCCESS","video_result":{"url":"` + decodeVideo + `"}}`, want: decodeSuccess("SUCCESS", decodeVideo)},
		{rule: "7.5.4 null and odd elements", body: `{"task_status":"SUCCESS","video_result":[null,"` + decodeVideo2 + `",5,[],{},{"url":null},{"url":"` + decodeVideo + `"}]}`, want: decodeSuccess("SUCCESS", decodeVideo)},
		{rule: "7.5.4 url as an object", body: `{"status":"success","video_result":[{"url":{"url":" ` + decodeVideo + ` "}}]}`, want: decodeSuccess("success", decodeVideo)},
		{rule: "7.5.4 repeats", body: `{"status":"success","video_result":[{"url":"` + decodeVideo + `"},{"url":"` + decodeVideo + `"}]}`, want: decodeSuccess("success", decodeVideo)},
		{rule: "7.5.4 behind the choices", body: `{"video_result":[{"url":"` + decodeVideo2 + `"},{"url":"` + decodeVideo + `"}],"status":"success","choices":[{"message":{"content":` + decodeVideoPart(decodeVideo) + `}}]}`, want: decodeSuccess("success", decodeVideo, decodeVideo2)},
		{rule: "7.5.4 an address that is none", body: `{"status":"success","video_result":[{"url":"/a.mp4"},{"cover_image_url":"` + decodeImage + `"}]}`, want: decodeSuccess("success")},
		{rule: "7.5.4 video_result as null", body: `{"status":"success","video_result":null}`, want: decodeSuccess("success")},
		{rule: "7.5.4 video_result as a string", body: `{"status":"success","video_result":"` + decodeVideo + `"}`, want: decodeSuccess("success")},
	}...)
}

// decodeFinishRows are about 7.5.1 and abnormal_finish.
func decodeFinishRows() []decodeRow {
	abnormal := func(w sampleReading, reason api.FinishReason) sampleReading {
		w.Finish, w.Abnormal = reason, true
		return w
	}
	rows := []decodeRow{
		{rule: "7.5.1 the last one counts", body: decodeChoices(`[{"finish_reason":"length"},{"finish_reason":"stop"}]`), want: decodeText("").finish("stop")},
		{rule: "7.5.1 an empty one does not replace", body: decodeChoices(`[{"finish_reason":"stop"},{"finish_reason":""}]`), want: decodeText("").finish("stop")},
		{rule: "7.5.1 null does not replace", body: decodeChoices(`[{"finish_reason":"stop"},{"finish_reason":null}]`), want: decodeText("").finish("stop")},
		{rule: "7.5.1 a missing one does not replace", body: decodeChoices(`[{"finish_reason":"stop"},{"index":1}]`), want: decodeText("").finish("stop")},
		{rule: "7.5.1 a number is skipped", body: decodeChoices(`[{"finish_reason":"stop"},{"finish_reason":3}]`), want: decodeText("").finish("stop")},
		{rule: "7.5.1 tool_calls counts in JSON", body: decodeChoices(`[{"finish_reason":"stop"},{"finish_reason":"tool_calls"}]`), want: decodeText("").finish("tool_calls")},
		{rule: "7.5.1 top-level finish_reason is unknown", body: `{"status":"success","finish_reason":"stop"}`, want: decodeText("")},
	}
	for _, reason := range []api.FinishReason{"sensitive", "network_error", "length", "model_context_window_exceeded"} {
		rows = append(rows, decodeRow{rule: "7.5 abnormal " + string(reason), body: decodeChoices(`[{"finish_reason":"` + string(reason) + `"}]`), want: abnormal(decodeText(""), reason)})
	}
	for _, reason := range []api.FinishReason{"stop", "tool_calls", "error", "eos", "LENGTH", " length"} {
		rows = append(rows, decodeRow{rule: fmt.Sprintf("7.5 not abnormal %q", reason), body: decodeChoices(`[{"finish_reason":"` + string(reason) + `"}]`), want: decodeText("").finish(reason)})
	}
	return rows
}

// decodeUnknownRows are about what is not known: it is ignored. The names of keys are exact.
func decodeUnknownRows() []decodeRow {
	return []decodeRow{
		{rule: "7 unknown keys at every level", body: `{"x":{"status":"failed"},"status":"success","created":1,"choices":[{"y":[null],"message":[{"z":{},"content":[{"type":"video_url","video_url":"` + decodeVideo + `","w":[[1]]}]}]}]}`, want: decodeSuccess("success", decodeVideo)},
		{rule: "7 key in another case does not hide an error", body: `{"status":"success","error":{"code":"1301","message":"unsafe"},"Error":null}`, want: decodeFailed("success", "1301", "unsafe", "content")},
		{rule: "7 key in another case is no error", body: `{"status":"success","Error":{"code":"1301","message":"unsafe"}}`, want: decodeSuccess("success")},
		{rule: "7 usage of odd types", body: `{"status":"success","usage":"none","choices":[{"message":{"content":"a"}}]}`, want: decodeText("a")},
		{
			rule: "7 usage with only a total", body: `{"status":"success","usage":{"total_tokens":321}}`, want: decodeSuccess("success"),
			also: func(t *testing.T, r *api.Result) {
				if diff := cmp.Diff(&api.Usage{TotalTokens: 321}, r.Usage); diff != "" {
					t.Error(diff)
				}
			},
		},
		{rule: "7 id as a number", body: `{"id":5,"status":"pending"}`, want: decodePending("pending")},
		{rule: "7 agent_id and async_id of odd types", body: `{"agent_id":5,"async_id":{"x":1},"status":"pending"}`, want: decodePending("pending")},
	}
}

// decodeOutcomeRows are about 7.6 and 7.8: the outcome of a JSON body.
func decodeOutcomeRows() []decodeRow {
	return []decodeRow{
		{rule: "7.6.1 the code decides", http: 500, body: `{"error":{"code":"1113","message":"m"}}`, want: decodeRefused("1113", "m", "quota")},
		{rule: "7.6.1 an unknown code, then HTTP", http: 503, body: `{"error":{"code":"9999","message":"m"}}`, want: decodeRefused("9999", "m", "server")},
		{rule: "7.6.1 no code, then HTTP", http: 429, body: `{"error":{"message":"m"}}`, want: decodeRefused("", "m", "rate_limit")},
		{rule: "7.6.1 an unknown code in HTTP 200", body: `{"error":{"code":"9999","message":"m"}}`, want: decodeRefused("9999", "m", "unknown")},
		{rule: "7.6.1 an unknown code of a failed task", body: `{"status":"failed","error":{"code":"9999","message":"m"}}`, want: decodeFailed("failed", "9999", "m", "unknown")},

		{rule: "7.6.2 flat 500 in HTTP 200", body: `{"code":500,"msg":"boom"}`, want: decodeRefused("500", "boom", "server").final()},
		{rule: "7.6.2 flat 500 as text in HTTP 200", body: `{"code":"500","message":"boom"}`, want: decodeRefused("500", "boom", "server").final()},
		{rule: "7.6.2 flat 500 with NOT_FOUND", body: `{"code":500,"msg":"404 NOT_FOUND","success":false}`, want: decodeRefused("500", "404 NOT_FOUND", "not_found")},
		{rule: "7.6.2 flat 500 with NOT_FOUND in message", body: `{"code":500,"message":"NOT_FOUND: no route"}`, want: decodeRefused("500", "NOT_FOUND: no route", "not_found")},
		{rule: "7.6.2 flat 500 with not_found", body: `{"code":500,"msg":"not_found"}`, want: decodeRefused("500", "not_found", "server").final()},
		{rule: "7.6.2 flat 500 in HTTP 500", http: 500, body: `{"code":500,"msg":"boom"}`, want: decodeRefused("500", "boom", "server")},
		{rule: "7.6.2 flat 500 with NOT_FOUND in HTTP 404", http: 404, body: `{"code":500,"msg":"404 NOT_FOUND"}`, want: decodeRefused("500", "404 NOT_FOUND", "server")},
		{rule: "7.6.2 flat 500 in HTTP 201", http: 201, body: `{"code":500,"msg":"boom"}`, want: decodeRefused("500", "boom", "server")},
		{rule: "7.6.2 flat 502 in HTTP 200", body: `{"code":502,"msg":"404 NOT_FOUND"}`, want: decodeRefused("502", "404 NOT_FOUND", "server")},
		{rule: "7.6.2 flat 1200 in HTTP 200", body: `{"code":1200,"msg":"NOT_FOUND"}`, want: decodeRefused("1200", "NOT_FOUND", "server")},
		{rule: "7.6.2 flat 500 beside a word", body: `{"status":"pending","code":500,"msg":"boom"}`, want: decodeFailed("pending", "500", "boom", "server").final()},
		{rule: "7.6.2 flat 500 with NOT_FOUND beside asyncId", body: `{"asyncId":"camel","code":500,"msg":"NOT_FOUND"}`, want: decodeFailed("", "500", "NOT_FOUND", "not_found").id("camel")},
		{rule: "7.6.2 flat 500 beside a word in HTTP 201", http: 201, body: `{"status":"pending","code":500,"msg":"boom"}`, want: decodeFailed("pending", "500", "boom", "server")},
		{rule: "7.8 nested 500 in HTTP 200", body: `{"error":{"code":"500","message":"NOT_FOUND"}}`, want: decodeRefused("500", "NOT_FOUND", "server")},
		{rule: "7.8 nested 500 of a failed task", body: `{"status":"failed","error":{"code":500,"message":"NOT_FOUND"}}`, want: decodeFailed("failed", "500", "NOT_FOUND", "server")},
		{rule: "7.6.2 a failed word is not flat", body: `{"status":"failed","code":500,"msg":"NOT_FOUND"}`, want: decodeFailed("failed", "500", "NOT_FOUND", "server")},
		{rule: "7.6.2 an error text is not flat", body: `{"status":500,"error":"NOT_FOUND"}`, want: decodeRefused("500", "NOT_FOUND", "server")},

		{rule: "7.6.3 failed task, HTTP 400", http: 400, body: `{"status":"failed","async_id":"task-1","error":{"code":"1301","message":"m"}}`, want: decodeRefused("1301", "m", "content")},
		{rule: "7.6.3 failed word without a text, HTTP 500", http: 500, body: `{"status":"failed","async_id":"task-1"}`, want: decodeRefused("", "", "server")},
		{rule: "7.6.3 success false without a text, HTTP 403", http: 403, body: `{"success":false}`, want: decodeRefused("", "", "permission")},
		{rule: "7.6.3 request id in use, HTTP 400", http: 400, body: `{"error":{"code":"1231","message":"running"}}`, want: decodeRefused("1231", "running", "invalid_request")},

		{rule: "7.6.4 error with a word", body: `{"status":"whatever","error":{"code":"1113"}}`, want: decodeFailed("whatever", "1113", "", "quota")},
		{rule: "7.6.4 error with task_status", body: `{"task_status":"PROCESSING","error":{"code":"1113"}}`, want: decodeFailed("PROCESSING", "1113", "", "quota")},
		{rule: "7.6.4 error with async_id", body: `{"async_id":"task-1","error":{"code":"1113"}}`, want: decodeFailed("", "1113", "", "quota").id("task-1")},
		{rule: "7.6.4 error with asyncId", body: `{"asyncId":"camel","error":{"code":"1113"}}`, want: decodeFailed("", "1113", "", "quota").id("camel")},
		{rule: "7.6.4 error with an empty async_id", body: `{"async_id":"","error":{"code":"1113"}}`, want: decodeRefused("1113", "", "quota")},
		{rule: "7.6.4 error with a numeric status", body: `{"status":200,"error":{"code":"1113"}}`, want: decodeRefused("1113", "", "quota")},
		{rule: "7.6.4 error with agent_id and choices", body: `{"agent_id":"a","id":"b","choices":[],"error":{"code":"1113"}}`, want: decodeRefused("1113", "", "quota")},
		{rule: "7.6.4 request id in use", body: `{"status":"failed","error":{"code":"1231","message":"running"}}`, want: decodeFailed("failed", "1231", "running", "invalid_request")},
		{rule: "7.6.4 error, HTTP 299", http: 299, body: `{"status":"failed","error":{"code":"1301","message":"m"}}`, want: decodeFailed("failed", "1301", "m", "content")},

		{rule: "7.6 without an error 1: success body, HTTP 500", http: 500, body: decodeDocumented, want: decodeRefused("", sampleAnyText, "server")},
		{rule: "7.6 without an error 1: pending body, HTTP 404", http: 404, body: `{"status":"pending","async_id":"task-1"}`, want: decodeRefused("", sampleAnyText, "not_found")},
		{rule: "7.6 without an error 1: empty object, HTTP 401", http: 401, body: `{}`, want: decodeRefused("", sampleAnyText, "auth")},
		{rule: "7.6 without an error 1: success body, HTTP 302", http: 302, body: decodeDocumented, want: decodeRefused("", sampleAnyText, "unknown")},
		{rule: "7.6 without an error 1: success body, HTTP 501", http: 501, body: decodeDocumented, want: decodeRefused("", sampleAnyText, "unknown")},
		{rule: "7.8 flat code without a text, HTTP 401", http: 401, body: `{"code":1113}`, want: decodeRefused("", sampleAnyText, "auth")},
		{rule: "7.8 flat code without a text, HTTP 502", http: 502, body: `{"code":"1113"}`, want: decodeRefused("", sampleAnyText, "server")},

		{rule: "7.6 without an error 2: success with nothing", body: `{"status":"success"}`, want: decodeSuccess("success")},
		{rule: "7.6 without an error 2: success, HTTP 201", http: 201, body: decodeDocumented, want: decodeSuccess("success", decodeVideo).id("task-1").finish("stop")},
		{rule: "7.6 without an error 2: success, HTTP 299", http: 299, body: decodeDocumented, want: decodeSuccess("success", decodeVideo).id("task-1").finish("stop")},
		{rule: "7.6 without an error 2: pending, HTTP 202", http: 202, body: `{"status":"pending"}`, want: decodePending("pending")},
		{rule: "7.6 without an error 2: an empty word goes before a video", body: `{"status":"","video_result":[{"url":"` + decodeVideo + `"}]}`, want: decodeSet(decodePending(""), decodeVideo)},
		{rule: "7.6 without an error 3: video", body: `{"async_id":"task-1","choices":[{"message":{"content":` + decodeVideoPart(decodeVideo) + `}}]}`, want: decodeSuccess("", decodeVideo).id("task-1")},
		{rule: "7.6 without an error 3: video_result", body: `{"video_result":[{"url":"` + decodeVideo + `"}]}`, want: decodeSuccess("", decodeVideo)},
		{rule: "7.6 without an error 3: file", body: `{"choices":[{"message":{"content":{"file_url":"` + decodeFile + `"}}}]}`, want: func() sampleReading { w := decodeSuccess(""); w.Files = []string{decodeFile}; return w }()},
		{rule: "7.6 without an error 3: image", body: `{"choices":[{"message":{"content":{"image_url":"` + decodeImage + `"}}}]}`, want: func() sampleReading { w := decodeSuccess(""); w.Images = []string{decodeImage}; return w }()},
		{rule: "7.6 without an error 3: text", body: `{"choices":[{"message":{"content":"a"}}]}`, want: func() sampleReading { w := decodeSuccess(""); w.Text = "a"; return w }()},
		{rule: "7.6 without an error 3: numeric status and a video", body: `{"status":1,"choices":[{"message":{"content":` + decodeVideoPart(decodeVideo) + `}}]}`, want: decodeSuccess("", decodeVideo)},
		{rule: "7.6 without an error 4: async_id", body: `{"async_id":"task-1"}`, want: decodePending("").id("task-1")},
		{rule: "7.6 without an error 4: asyncId", body: `{"asyncId":"camel","choices":[]}`, want: decodePending("").id("camel")},
		{rule: "7.6 without an error 4: async_id goes before finish_reason", body: `{"async_id":"task-1","choices":[{"finish_reason":"stop"}]}`, want: decodePending("").id("task-1").finish("stop")},
		{rule: "7.6 without an error 4: thinking is no output", body: `{"async_id":"task-1","choices":[{"message":{"phase":"thinking","content":"hm"}}]}`, want: decodePending("").id("task-1")},
		{rule: "7.6 without an error 5: finish_reason", body: `{"choices":[{"finish_reason":"stop"}]}`, want: decodeSuccess("").finish("stop")},
		{rule: "7.6 without an error 5: tool_calls", body: `{"choices":[{"finish_reason":"tool_calls"}]}`, want: decodeSuccess("").finish("tool_calls")},
		// An uploaded file is an answer without a state of the task, so it is none to a poll.
		{rule: "7.6 without an error 6: a file has no status", body: `{"object":"file","id":"file-1"}`, want: decodeNoStatus},
		{rule: "7.6 without an error 7: choices", body: `{"choices":[]}`, want: decodeNoStatus},
		{rule: "7.6 without an error 7: null choices", body: `{"choices":null}`, want: decodeNoStatus},
		{rule: "7.6 without an error 7: agent_id", body: `{"agent_id":"a"}`, want: decodeNoStatus},
		{rule: "7.6 without an error 7: conversation_id", body: `{"conversation_id":"c"}`, want: decodeNoStatus},
		{rule: "7.6 without an error 7: id", body: `{"id":"x"}`, want: decodeNoStatus},
		{rule: "7.6 without an error 7: empty and null keys", body: `{"id":"","agent_id":null}`, want: decodeNoStatus},
		{rule: "7.6 without an error 7: a null key alone", body: `{"conversation_id":null}`, want: decodeNoStatus},
		{rule: "7.6 without an error 8: empty object", body: `{}`, want: decodeMalformed},
		{rule: "7.6 without an error 8: unknown keys", body: `{"request_id":"x","usage":{},"created":1}`, want: decodeMalformed},
		{rule: "7.6 without an error 8: numeric status", body: `{"status":200}`, want: decodeMalformed},
	}
}

// decodeEvents is a stream of these events.
func decodeEvents(events ...string) string {
	var s strings.Builder
	for _, e := range events {
		s.WriteString("data: " + e + "\n\n")
	}
	return s.String()
}

// decodeStreamRows are about 7.7 and 7.8: event streams that answer a poll.
func decodeStreamRows() []decodeRow {
	say := func(text string) string {
		return `{"id":"s","choices":[{"index":0,"messages":[{"role":"assistant","phase":"answer","content":{"type":"text","text":"` + text + `"}}]}]}`
	}
	const stop, mark, done = `{"choices":[{"finish_reason":"stop"}],"usage":{"total_tokens":9}}`, `{"choices":[{"finish_reason":"tool_calls"}]}`, `[DONE]`
	text := func(s string, videos ...string) sampleReading {
		w := decodeSuccess("", videos...)
		w.Text = s
		return w
	}
	failed := func(s, code, message, category string) sampleReading {
		w := decodeFailed("", code, message, category)
		w.Text = s
		return w
	}
	one := text("", decodeVideo).finish("stop")
	rows := []decodeRow{
		{rule: "7.7 one event", body: decodeEvents(decodeDocumented), want: one},
		{rule: "7.7 one event and [DONE]", body: decodeEvents(decodeDocumented, done), want: one},
		{rule: "7.7 one event and a broken one", body: decodeEvents(decodeDocumented, `{"id":data: {`), want: one},
		{rule: "7.7 one pending event", body: decodeEvents(`{"status":"pending","async_id":"task-1"}`), want: decodePending("")},
		{rule: "7.7 one pending event and [DONE]", body: decodeEvents(`{"status":"pending","async_id":"task-1"}`, done), want: decodePending("")},
		{rule: "7.7 one failed event", body: decodeEvents(`{"status":"failed","error":{"code":"1113","message":"m"}}`), want: failed("", "1113", "m", "quota")},
		{rule: "7.7 one event of a refusal", body: decodeEvents(`{"error":{"code":"1113","message":"m"}}`), want: decodeRefused("1113", "m", "quota")},
		{rule: "7.7 one event of a flat refusal", body: decodeEvents(`{"code":500,"msg":"404 NOT_FOUND","success":false}`), want: decodeRefused("500", "404 NOT_FOUND", "not_found")},
		{rule: "7.7 one event without a state", body: decodeEvents(`{"id":"x","choices":null}`), want: decodeNoStatus},
		{rule: "7.7 one empty event", body: decodeEvents(`{}`), want: decodeMalformed},
		{rule: "7.7 one event is not unwrapped", body: decodeEvents(`{"data":` + decodeDocumented + `}`), want: decodeMalformed},
		{rule: "7.7 one event of tool_calls is read as JSON", body: decodeEvents(mark), want: text("").finish("tool_calls")},
		{rule: "7.7 one event of text is read as JSON", body: decodeEvents(say("a")), want: text("a")},

		{rule: "7.7.1 no blank line at the end", body: "data: " + decodeDocumented, want: one},
		{rule: "7.7.1 one LF at the end", body: "data: " + decodeDocumented + "\n", want: one},
		{rule: "7.7.1 no space behind the colon", body: "data:" + decodeDocumented + "\n\n", want: one},
		{rule: "7.7.1 two spaces behind the colon", body: "data:  " + decodeDocumented + "\n\n", want: one},
		{rule: "7.7.1 CRLF", body: strings.ReplaceAll(decodeEvents(say("a"), say("b"), stop, done), "\n", "\r\n"), want: text("ab").finish("stop")},
		{rule: "7.7.1 CR", body: strings.ReplaceAll(decodeEvents(say("a"), say("b"), stop, done), "\n", "\r"), want: text("ab").finish("stop")},
		{rule: "7.7.1 mixed line ends", body: "data: " + say("a") + "\r\n\ndata: " + say("b") + "\r\rdata: " + stop + "\n\r\n", want: text("ab").finish("stop")},
		{rule: "7.7.1 data in several lines", body: "data: {\"choices\":[{\ndata: \"finish_reason\":\ndata:\"stop\",\"message\":{\"content\":\"a\"}}]}\n\n", want: text("a").finish("stop")},
		{rule: "7.7.1 a line end inside a text is no JSON", body: "data: {\"status\":\"succ\ndata: ess\"}\n\n", want: decodeMalformed},
		{rule: "7.7.1 comments", body: ": ping\n\n: ping\n\n:\n\n: ping\n\n" + decodeEvents(say("a")) + ": ping\n\n" + decodeEvents(say("b"), stop), want: text("ab").finish("stop")},
		{rule: "7.7.1 comment inside an event", body: "data: {\"status\":\n: ping\ndata: \"success\"}\n\n", want: text("")},
		{rule: "7.7.1 other fields", body: "event: message\nid: 1\nretry: 5\ndata: " + say("a") + "\nfoo: bar\nfoo\n\nevent: end\ndata: " + stop + "\n\n", want: text("a").finish("stop")},
		{rule: "7.7.1 fields without data are no event", body: "event: ping\n\nevent: ping\n\nevent: ping\n\nevent: ping\n\n" + decodeEvents(say("a"), stop), want: text("a").finish("stop")},
		{rule: "7.7.1 blank lines between events", body: "data: " + say("a") + "\n\n\n\n\ndata: " + stop + "\n\n", want: text("a").finish("stop")},
		{rule: "7.7.1 data with a space in front is no data", body: decodeEvents(say("a")) + " data: " + say("b") + "\n\n" + decodeEvents(stop), want: text("a").finish("stop")},
		{rule: "7.7.1 DATA is no data", body: decodeEvents(say("a")) + "DATA: " + say("b") + "\n\n" + decodeEvents(stop), want: text("a").finish("stop")},

		{rule: "7.7.2 [DONE] without a reason", body: decodeEvents(say("a"), say("b"), done), want: text("ab")},
		{rule: "7.7.2 [DONE] with space", body: "data: " + say("a") + "\n\ndata: " + say("b") + "\n\ndata:  [DONE] \n\n", want: text("ab")},
		{rule: "7.7.2 [DONE] at the end of the body", body: decodeEvents(say("a"), say("b")) + "data: [DONE]", want: text("ab")},
		{rule: "7.7.2 [DONE] alone", body: decodeEvents(done), want: text("")},
		{rule: "7.7.2 text behind [DONE]", body: decodeEvents(say("a"), say("b"), done, say("c")), want: text("ab")},
		{rule: "7.7.2 error behind [DONE]", body: decodeEvents(say("a"), stop, done, `{"error":{"code":"1301"}}`), want: text("a").finish("stop")},
		{rule: "7.7.2 one event before [DONE], one behind", body: decodeEvents(`{"status":"pending"}`, done, stop), want: decodePending("")},

		{rule: "7.7.3 one broken event", body: decodeEvents(say("a"), `{"id":data: {`, say("b"), stop), want: text("ab").finish("stop")},
		{rule: "7.7.3 two broken events in a row", body: decodeEvents(say("a"), `{"id":`, `{`, say("b"), stop), want: text("ab").finish("stop")},
		{rule: "7.7.3 three broken events in a row", body: decodeEvents(say("a"), `{"id":`, `{`, `}`, say("b"), stop), want: decodeMalformed},
		{rule: "7.7.3 three broken events in a row before [DONE]", body: decodeEvents(say("a"), `{"id":`, `{`, `}`, done), want: decodeMalformed},
		{rule: "7.7.3 three broken events behind the end", body: decodeEvents(say("a"), stop, `{`, `{`, `{`), want: decodeMalformed},
		{rule: "7.7.3 three broken events behind one event", body: decodeEvents(decodeDocumented, `{`, `{`, `{`), want: decodeMalformed},
		{rule: "7.7.3 three broken events in front", body: decodeEvents(`{`, `{`, `{`, decodeDocumented), want: decodeMalformed},
		{rule: "7.7.3 two broken events twice", body: decodeEvents(say("a"), `{`, `{`, say("b"), `{`, `{`, stop), want: text("ab").finish("stop")},
		{rule: "7.7.3 only broken events", body: decodeEvents(`{`, `{`), want: decodeMalformed},
		{rule: "7.7.3 null, list and number are broken", body: decodeEvents(say("a"), `null`, `[1]`, `3`, stop), want: decodeMalformed},
		{rule: "7.7.3 text is broken", body: decodeEvents(say("a"), `hello`, `"hello"`, say("b"), stop), want: text("ab").finish("stop")},
		{rule: "7.7.3 comments do not end a row of broken events", body: "data: " + say("a") + "\n\ndata: {\n\n: ping\n\ndata: {\n\n: ping\n\ndata: {\n\n" + decodeEvents(stop), want: decodeMalformed},

		{
			rule: "7.7.4 latest conversation and usage", want: text("a").finish("stop"),
			body: decodeEvents(`{"conversation_id":"c-1","usage":{"total_tokens":3}}`, say("a"), `{"conversation_id":"c-2"}`, stop),
			also: func(t *testing.T, r *api.Result) {
				if r.ConversationID != "c-2" || r.Usage == nil || r.Usage.TotalTokens != 9 {
					t.Errorf("conversation %q, usage %+v", r.ConversationID, r.Usage)
				}
			},
		},
		{rule: "7.7.4 phases over events", body: decodeEvents(`{"choices":[{"messages":[{"phase":"thinking","content":{"text":"hm"}}]}]}`, say("a"), `{"choices":[{"messages":{"phase":"tool","content":[{"type":"object","object":{"tool_name":"search"},"text":"x"}]}}]}`, say("b"), stop), want: text("ab").finish("stop")},
		{rule: "7.7.4 addresses over events", body: decodeEvents(decodeDocumented, `{"choices":[{"messages":{"content":"`+decodeVideo2+`"}}]}`, decodeDocumented), want: text("", decodeVideo, decodeVideo2).finish("stop")},
		{rule: "7.7.4 message, messages and delta over events", body: decodeEvents(`{"choices":[{"delta":{"content":"a"}}]}`, `{"choices":{"message":[{"content":["b"]}]}}`, say("c"), stop), want: text("abc").finish("stop")},
		{rule: "7.7.4 null choices in an event", body: decodeEvents(say("a"), `{"choices":null}`, say("b"), `{}`, stop), want: text("ab").finish("stop")},
		{rule: "7.7.4 error midway, text stays", body: decodeEvents(say("a"), `{"error":{"code":"1301","message":"unsafe"}}`, say("b"), stop), want: failed("ab", "1301", "unsafe", "content").finish("stop")},
		{rule: "7.7.4 the last error counts", body: decodeEvents(say("a"), `{"error":{"code":"1301","message":"m"}}`, `{"status":"failed","error":{"code":"1113","message":"n"}}`), want: failed("a", "1113", "n", "quota")},
		{rule: "7.7.4 failed word in an event", body: decodeEvents(say("a"), `{"status":"failed"}`), want: failed("a", "", "", "unknown")},
		{rule: "7.7.4 flat error in an event", body: decodeEvents(say("a"), `{"code":1302,"msg":"slow"}`), want: failed("a", "1302", "slow", "rate_limit")},
		{rule: "7.7.4 error text in an event", body: decodeEvents(say("a"), `{"status":404,"error":"Not Found"}`), want: failed("a", "404", "Not Found", "not_found")},
		{rule: "7.7.4 error object of nothing in an event", body: decodeEvents(say("a"), `{"error":{},"choices":[{"finish_reason":"stop"}]}`), want: text("a").finish("stop")},

		{rule: "7.7.5 tool_calls marks are not the end", body: decodeEvents(say("a"), mark, mark, say("b"), mark, stop), want: text("ab").finish("stop")},
		{rule: "7.7.5 tool_calls behind stop", body: decodeEvents(say("a"), stop, mark), want: text("a").finish("stop")},
		{rule: "7.7.5 only tool_calls marks", body: decodeEvents(say("a"), mark, mark), want: decodeMalformed},
		{rule: "7.7.5 tool_calls marks and [DONE]", body: decodeEvents(say("a"), mark, done), want: text("a")},
		{rule: "7.7.5 the last reason counts", body: decodeEvents(say("a"), `{"choices":[{"finish_reason":"length"}]}`, stop), want: text("a").finish("stop")},
		{rule: "7.7.5 abnormal reason", body: decodeEvents(say("a"), `{"choices":[{"finish_reason":"sensitive"}]}`), want: func() sampleReading {
			w := text("a").finish("sensitive")
			w.Abnormal = true
			return w
		}()},

		{rule: "7.7.6 cut stream", body: decodeEvents(say("a"), say("b")), want: decodeMalformed},
		{rule: "7.7.6 stream cut inside an event", body: decodeEvents(say("a"), say("b")) + `data: {"choices":[{"finish_rea`, want: decodeMalformed},
		{rule: "7.7.6 a success word is no end", body: decodeEvents(`{"status":"pending"}`, `{"status":"success"}`), want: decodeMalformed},
		{rule: "7.7.6 error of a cut stream", body: decodeEvents(say("a"), `{"error":{"code":"1234","message":"net"}}`), want: failed("a", "1234", "net", "server")},

		{rule: "7.7 no raw_status and no async_id", body: decodeEvents(`{"status":"success","async_id":"task-1","asyncId":"task-2"}`, decodeDocumented, done), want: one},
		{rule: "7.7 asyncId of one event", body: decodeEvents(`{"status":"success","asyncId":"task-2"}`), want: text("")},
		{rule: "7.7 data inside an event is not unwrapped", body: decodeEvents(`{"data":`+say("a")+`}`, `{"data":`+stop+`}`), want: decodeMalformed},
		{rule: "7.7 an error inside data is not found", body: decodeEvents(say("a"), `{"data":{"error":{"code":"1301"}}}`, stop), want: text("a").finish("stop")},

		{rule: "7.8 error of one event, HTTP 429", http: 429, body: decodeEvents(`{"error":{"code":"1113","message":"m"}}`), want: decodeRefused("1113", "m", "quota")},
		{rule: "7.8 error of several events, HTTP 400", http: 400, body: decodeEvents(say("a"), `{"error":{"code":"1301","message":"m"}}`), want: decodeRefused("1301", "m", "content")},
		{rule: "7.8 one event without an error, HTTP 503", http: 503, body: decodeEvents(decodeDocumented), want: decodeRefused("", sampleAnyText, "server")},
		{rule: "7.8 several events without an error, HTTP 401", http: 401, body: decodeEvents(say("a"), stop, done), want: decodeRefused("", sampleAnyText, "auth")},
		{rule: "7.8 broken events, HTTP 500", http: 500, body: decodeEvents(`{`, `{`, `{`), want: decodeRefused("", sampleAnyText, "server")},
		{rule: "7.8 no events, HTTP 403", http: 403, body: ": ping\n\n", want: decodeRefused("", sampleAnyText, "permission")},
	}
	for i := range rows {
		rows[i].ctype = decodeEventType
	}
	return rows
}

// TestDecodeErrorBody makes sure that an *Error carries the start of the answer, at most 4 KiB.
func TestDecodeErrorBody(t *testing.T) {
	t.Parallel()
	client := sampleClient(t)
	for _, body := range []string{"", "x", `{"code":401,"msg":"stale"}`, strings.Repeat("x", 4095), strings.Repeat("x", 4096), strings.Repeat("x", 100_000)} {
		for _, status := range []int{200, 302, 500} {
			row := decodeRow{http: status, body: body}
			_, err := samplePlay(t.Context(), client, row.answer())
			e, ok := errors.AsType[*api.Error](err)
			if !ok {
				t.Fatalf("HTTP %d, %d bytes: %v", status, len(body), err)
			}
			if want := body[:min(len(body), 4096)]; string(e.Body) != want {
				t.Errorf("HTTP %d: %d bytes of a body of %d, want %d", status, len(e.Body), len(body), len(want))
			}
		}
	}
}
