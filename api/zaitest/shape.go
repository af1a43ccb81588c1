package zaitest

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// A Shape is a way of writing an answer about a task. They all say the same, as far as they
// can: where one cannot, it tells. Some were seen in answers of the API, some stand in
// descriptions that contradict the published one, and some belong to other APIs of the same
// platform.
type Shape string

// ShapeDocumented is the published shape, and what the zero Shape means.
const ShapeDocumented Shape = "documented"

// Shapes of what a successful task comes to. Where content is an object, each part has a
// message of its own.
const (
	ShapeMessages              Shape = "messages"                // choices[].messages, an array
	ShapeMessagesObject        Shape = "messages_object"         // choices[].messages, an object
	ShapeMessagesContentObject Shape = "messages_content_object" // choices[].messages, an array, content an object
	ShapeMessageObject         Shape = "message_object"          // choices[].message, an object
	ShapeDelta                 Shape = "delta"                   // choices[].delta, an object
	ShapeContentObject         Shape = "content_object"          // choices[].message, an array, content an object
	ShapeContentString         Shape = "content_string"          // a video or text is a bare string, and all of content if alone
	ShapeURLObject             Shape = "url_object"              // an address is an object with url and cover_image_url
	ShapeURLKey                Shape = "url_key"                 // a part of type video_url has its address under url
	ShapeChoicesObject         Shape = "choices_object"          // choices is an object
)

// Shapes of any answer.
const (
	ShapeChoicesNull   Shape = "choices_null"   // choices is null where there are none
	ShapeChoicesEmpty  Shape = "choices_empty"  // choices is [] where there are none
	ShapeStatusOnly    Shape = "status_only"    // no agent_id and no async_id
	ShapeCamelCaseID   Shape = "camel_case_id"  // asyncId
	ShapeUnknownFields Shape = "unknown_fields" // fields that are not described, on every level
	ShapeErrorNull     Shape = "error_null"     // error is null where there is none
	ShapeErrorEmpty    Shape = "error_empty"    // error is {} where there is none
	ShapePlatformWords Shape = "platform_words" // PROCESSING, SUCCESS, FAIL
	ShapeTaskAPI       Shape = "task_api"       // task_status and video_result: no ids, files, text or error
	ShapeData          Shape = "data"           // all of it inside of data
	ShapeEventStream   Shape = "event_stream"   // a stream of one server-sent event
	ShapePlainText     Shape = "plain_text"     // Content-Type text/plain
	ShapeNoContentType Shape = "no_content_type"
	ShapeByteOrderMark Shape = "byte_order_mark"
)

// Shapes of what went wrong with a failed task.
const (
	ShapeErrorString    Shape = "error_string"     // error is the message: no code
	ShapeErrorNumber    Shape = "error_number"     // error.code is a number, if it looks like one
	ShapeErrorFlat      Shape = "error_flat"       // code and msg beside the status
	ShapeErrorInSuccess Shape = "error_in_success" // error beside a status that says success
)

// Shapes of a stream. ShapeDocumented and those of messages are shapes of its texts, those of
// what a whole answer looks like (plain text, no content type, byte order mark) hold for it
// too, and the rest change nothing.
const (
	ShapeDone             Shape = "done"                // [DONE] comes after the last event
	ShapeNoDone           Shape = "no_done"             // and here it does not
	ShapeCRLF             Shape = "crlf"                // lines end in CR LF
	ShapeCR               Shape = "cr"                  // lines end in CR
	ShapeEventFields      Shape = "event_fields"        // comments, and fields event, id and retry
	ShapeMultiLine        Shape = "multi_line"          // an event is several lines of data
	ShapeNoFinalBlankLine Shape = "no_final_blank_line" // the last event ends with the body
	ShapeEventsAsJSON     Shape = "events_as_json"      // Content-Type application/json
	ShapeNullEvent        Shape = "null_event"          // an event comes first whose choices are null
	ShapeCorruptEvent     Shape = "corrupt_event"       // an event comes second that is not JSON
)

// StreamShapes returns the shapes of a stream that say the same, as it was recorded, in other
// ways.
func StreamShapes() []Shape {
	return append([]Shape{
		ShapeDone, ShapeNoDone, ShapeCRLF, ShapeCR, ShapeEventFields, ShapeMultiLine, ShapeNoFinalBlankLine,
		ShapeEventsAsJSON, ShapeNullEvent, ShapeCorruptEvent,
		ShapePlainText, ShapeNoContentType, ShapeByteOrderMark,
	}, messageShapes...)
}

// The shapes of a message with a text.
var messageShapes = []Shape{
	ShapeDocumented, ShapeMessages, ShapeMessagesObject, ShapeMessagesContentObject, ShapeMessageObject, ShapeDelta,
	ShapeContentObject, ShapeContentString,
}

// Shapes returns those of an answer that is not a stream, the documented one first.
func Shapes() []Shape {
	return []Shape{
		ShapeDocumented,
		ShapeMessages, ShapeMessagesObject, ShapeMessagesContentObject, ShapeMessageObject, ShapeDelta,
		ShapeContentObject, ShapeContentString, ShapeURLObject, ShapeURLKey, ShapeChoicesObject,
		ShapeChoicesNull, ShapeChoicesEmpty, ShapeStatusOnly, ShapeCamelCaseID, ShapeUnknownFields, ShapeErrorNull,
		ShapeErrorEmpty, ShapePlatformWords, ShapeTaskAPI, ShapeData,
		ShapeEventStream, ShapePlainText, ShapeNoContentType, ShapeByteOrderMark,
		ShapeErrorString, ShapeErrorNumber, ShapeErrorFlat, ShapeErrorInSuccess,
	}
}

func (s Shape) in(shapes ...Shape) bool { return slices.Contains(shapes, s) }

// write answers with what the task is now.
func (t *task) write(w http.ResponseWriter, status, defaultVideo string) {
	text, header := encode(t.body(status, defaultVideo)), http.Header{"Content-Type": {agentJSON}}
	t.setContentType(header)
	switch t.Shape {
	case ShapeEventStream:
		text = "data: " + text + "\n\n"
	case ShapeByteOrderMark:
		text = "\ufeff" + text
	}
	Raw(http.StatusOK, header, text)(w, nil, nil)
}

// setContentType changes the header to what the shape says.
func (t *task) setContentType(header http.Header) {
	media := map[Shape][]string{
		ShapeEventStream: {"text/event-stream"}, ShapePlainText: {"text/plain"}, ShapeNoContentType: nil, ShapeEventsAsJSON: {agentJSON},
	}
	if values, ok := media[t.Shape]; ok {
		header["Content-Type"] = values
	}
}

func (t *task) body(status, defaultVideo string) object {
	m := object{"status": t.word(status), "agent_id": t.AgentID}
	maps.Copy(m, t.ids)
	videos := t.VideoURLs
	if len(t.VideoURLs)+len(t.FileURLs)+len(t.ImageURLs)+len(t.Text) == 0 {
		videos = []string{defaultVideo}
	}
	choices := []any{}
	if status == success {
		if !t.NoResult {
			choices = append(choices, t.choice(videos))
		}
		m["choices"] = choices
		if t.usage != nil {
			m["usage"] = t.usage
		}
	}
	if t.deck {
		delete(m, "status")
		if status != failed && len(choices) == 0 {
			m["choices"] = []any{object{"message": []any{}}} // nothing was exported yet
		}
	}
	broken := status == failed && t.Code+t.Message != ""
	if broken {
		m["error"] = object{"code": t.Code, "message": t.Message}
	}

	switch shape := t.Shape; {
	case shape == ShapeChoicesObject && len(choices) > 0:
		m["choices"] = choices[0]
	case shape == ShapeChoicesNull && len(choices) == 0:
		m["choices"] = nil
	case shape == ShapeChoicesEmpty:
		m["choices"] = choices
	case shape == ShapeStatusOnly:
		delete(m, "agent_id")
		delete(m, "async_id")
	case shape == ShapeCamelCaseID && m["async_id"] != nil:
		m["asyncId"] = m["async_id"]
		delete(m, "async_id")
	case shape == ShapeUnknownFields:
		m["id"], m["request_id"], m["conversation_id"], m["created"] = "i-1", "r-1", "c-1", 1767225600
		m["usage"] = object{"total_tokens": 0, "total_calls": 1}
	case shape == ShapeErrorNull && !broken:
		m["error"] = nil
	case shape == ShapeErrorEmpty && !broken:
		m["error"] = object{}
	case shape == ShapeTaskAPI:
		m = object{"model": "zaitest", "request_id": "r-1", "task_status": m["status"]}
		if len(choices) > 0 {
			m["video_result"] = t.addresses(videos)
		}
	case shape == ShapeData:
		m = object{"data": m}
	case shape == ShapeErrorString && broken:
		m["error"] = t.Message
	case shape == ShapeErrorNumber && broken:
		m["error"] = object{"code": number(t.Code), "message": t.Message}
	case shape == ShapeErrorFlat && broken:
		delete(m, "error")
		m["code"], m["msg"] = number(t.Code), t.Message
	case shape == ShapeErrorInSuccess && broken:
		m["status"] = success
	}
	return m
}

// choice is the one that a result has.
func (t *task) choice(videos []string) object {
	unknown := t.Shape == ShapeUnknownFields
	var parts []any
	add := func(kind string, values ...any) {
		for _, value := range values {
			var part any = object{"type": kind, kind: value}
			switch {
			case unknown:
				part = object{"type": kind, kind: value, "tag_cn": "结果", "tag_en": "Result"}
			case t.Shape == ShapeURLKey && kind == "video_url":
				part = object{"type": kind, "url": value}
			case t.Shape == ShapeContentString && (kind == "video_url" || kind == "text"):
				part = value
			}
			parts = append(parts, part)
		}
	}
	add("video_url", t.addresses(videos)...)
	add("file_url", t.addresses(t.FileURLs)...)
	add("image_url", t.addresses(t.ImageURLs)...)
	if t.Text != "" {
		add("text", t.Text)
	}

	phase := ""
	if unknown {
		phase = "answer"
	}
	choice := t.Shape.choice(parts, phase)
	if !t.deck {
		choice["index"], choice["finish_reason"] = 0, t.FinishReason
	}
	return choice
}

// choice is one that holds a message of these parts.
func (s Shape) choice(parts []any, phase string) object {
	var messages []any
	say := func(content any) {
		message := object{"role": "assistant", "content": content}
		if phase != "" {
			message["phase"] = phase
		}
		messages = append(messages, message)
	}
	switch {
	case s.in(ShapeContentObject, ShapeMessagesContentObject):
		for _, part := range parts {
			say(part)
		}
	case s.in(ShapeMessagesObject, ShapeContentString) && len(parts) == 1:
		say(parts[0])
	default:
		say(parts)
	}

	key, value := "message", any(messages)
	if s.in(ShapeMessages, ShapeMessagesObject, ShapeMessagesContentObject) {
		key = "messages"
	}
	if s == ShapeDelta {
		key = "delta"
	}
	if s.in(ShapeMessagesObject, ShapeMessageObject, ShapeDelta) {
		value = messages[0]
	}
	return object{key: value}
}

// addresses is urls as they stand in the answer.
func (t *task) addresses(urls []string) []any {
	var list []any
	for _, url := range urls {
		if t.Shape.in(ShapeURLObject, ShapeTaskAPI) {
			list = append(list, object{"url": url, "cover_image_url": "https://zaitest.invalid/cover.jpg"})
		} else {
			list = append(list, url)
		}
	}
	return list
}

// number is a code as a number, if it can be one.
func number(code string) any {
	if n, err := strconv.Atoi(code); err == nil {
		return n
	}
	return code
}
