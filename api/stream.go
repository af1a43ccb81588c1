package api

import (
	"bytes"
	"iter"
	"strings"
)

// isEventStream reports whether a body is an event stream. The body decides, because
// the server sends streams under other content types and JSON under that of streams.
func isEventStream(contentType string, body []byte) bool {
	for _, prefix := range [...]string{"data:", ":", "event:", "id:"} {
		if bytes.HasPrefix(body, []byte(prefix)) {
			return true
		}
	}
	return strings.Contains(strings.ToLower(contentType), "event-stream") &&
		(len(body) == 0 || strings.IndexByte("{<[", body[0]) < 0)
}

// events returns the data of each event of a stream. Lines end in CRLF, LF or CR; only
// the field data counts; the end of the body ends the last event.
func events(body []byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var data []byte
		var open bool
		for len(body) > 0 {
			line := body
			if i := bytes.IndexAny(body, "\r\n"); i >= 0 {
				line = body[:i:i]
				if bytes.HasPrefix(body[i:], []byte("\r\n")) {
					i++
				}
				body = body[i+1:]
			} else {
				body = nil
			}
			name, value, _ := bytes.Cut(line, []byte(":"))
			switch {
			case len(line) == 0 && open:
				if !yield(data) {
					return
				}
				data, open = nil, false
			case string(name) == "data" && open:
				data = append(append(data, '\n'), bytes.TrimPrefix(value, []byte(" "))...)
			case string(name) == "data":
				data, open = bytes.TrimPrefix(value, []byte(" ")), true
			}
		}
		if open {
			yield(data)
		}
	}
}
