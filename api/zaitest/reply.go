package zaitest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// A Reply answers one request. It is given the ordinary answer, and writes that or something
// else; a nil Reply is the ordinary answer itself. A test can write its own. Like every handler
// it may panic with [http.ErrAbortHandler] to break the connection; one that waits must listen
// to the context of the request, which ends with the client or the server.
type Reply func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc)

func (reply Reply) give(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
	if reply == nil {
		ordinary(w, r)
		return
	}
	reply(w, r, ordinary)
}

// Raw replies with what it is given. Without a Content-Type in header, the answer has none.
// Content-Length is the length of body unless header says otherwise; if it says more, the
// connection breaks after body.
func Raw(status int, header http.Header, body string) Reply {
	header = header.Clone()
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header()["Content-Type"] = nil // or net/http would guess one
		for name, values := range header {
			w.Header()[http.CanonicalHeaderKey(name)] = values
		}
		write(w, status, body)
	}
}

// APIError refuses the request with the documented error object: an HTTP status, a business
// code and a text.
func APIError(status int, code, message string) Reply {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		writeJSON(w, agentJSON, status, object{"error": object{"code": code, "message": message}})
	}
}

// FlatError refuses the request with a code and a text at the top level of the answer, as the gateway was
// recorded to do with HTTP 200: 500 and "404 NOT_FOUND" for a wrong path.
func FlatError(status, code int, message string) Reply {
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		writeJSON(w, agentJSON, status, object{"code": code, "msg": message, "success": false})
	}
}

// Failed refuses the request of an agent as the API does, with HTTP 200: the answer says that
// it failed, with a code, such as 1113 or 1301, and a text.
func Failed(code, message string) Reply {
	return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		var in struct {
			AgentID string `json:"agent_id"`
		}
		_ = json.NewDecoder(r.Body).Decode(&in)
		writeJSON(w, agentJSON, http.StatusOK, object{
			"id": w.Header().Get("X-Log-Id"), "status": failed, "agent_id": in.AgentID, "error": object{"code": code, "message": message},
		})
	}
}

// RateLimited refuses the request with HTTP 429. The code tells what 429 means: 1302 is too
// many at once, 1305 an overloaded model, 1113 an empty balance. A retryAfter that is not
// empty, seconds or a date, is sent as Retry-After.
func RateLimited(code, retryAfter string) Reply {
	reply := APIError(http.StatusTooManyRequests, code, "too much is asked for")
	if retryAfter == "" {
		return reply
	}
	return WithHeader("Retry-After", retryAfter, reply)
}

// ServerError refuses the request with HTTP 500 and a code, such as 1234.
func ServerError(code string) Reply {
	return APIError(http.StatusInternalServerError, code, "something broke inside")
}

// HTMLError refuses the request with the page that a gateway shows, such as 502 or 504.
func HTMLError(status int) Reply {
	title := fmt.Sprint(status, " ", http.StatusText(status))
	return Raw(status, http.Header{"Content-Type": {"text/html"}}, "<html>\r\n<head><title>"+title+"</title></head>\r\n"+
		"<body>\r\n<center><h1>"+title+"</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n")
}

// TruncatedJSON replies with HTTP 200 and a success that breaks off in the middle, though its
// Content-Length is right.
func TruncatedJSON() Reply {
	return Raw(http.StatusOK, http.Header{"Content-Type": {agentJSON}},
		`{"status":"success","agent_id":"vidu_template_agent","choices":[{"index":0,"mess`)
}

// CutBody announces the ordinary answer, sends the first n bytes of its body, and breaks the
// connection. An answer of no more than n bytes arrives whole.
func CutBody(n int) Reply {
	return func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
		ordinary(&cutWriter{w, n, func() { panic(http.ErrAbortHandler) }}, r)
	}
}

// StallBody announces the ordinary answer, sends the first n bytes of its body, and then
// nothing more, until the client goes away or the server is closed. An answer of no more than n
// bytes arrives whole.
func StallBody(n int) Reply {
	return func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
		ordinary(&cutWriter{w, n, func() { Hang()(w, r, nil) }}, r)
	}
}

// Abort breaks the connection without an answer. On a connection that had answers before,
// net/http's client sends the request once more by itself, if it is one that may be repeated.
func Abort() Reply {
	return func(http.ResponseWriter, *http.Request, http.HandlerFunc) {
		panic(http.ErrAbortHandler)
	}
}

// Hang never answers. It ends when the client goes away or the server is closed.
func Hang() Reply {
	return func(_ http.ResponseWriter, r *http.Request, _ http.HandlerFunc) {
		if _, err := io.Copy(io.Discard, r.Body); err == nil { // only then is it noticed that the client goes away
			<-r.Context().Done()
		}
		panic(http.ErrAbortHandler)
	}
}

// Lose has the request carried out, whether a task is made or a file is taken, loses its
// answer, and gives the reply in its place, which must be one that does without the ordinary
// answer. CutBody needs no Lose: it has the request carried out by itself.
//
//	srv.Enqueue(zaitest.HTMLError(502))               // nothing was made
//	srv.Enqueue(zaitest.Lose(zaitest.HTMLError(502))) // a task was made, and nobody is told
func Lose(reply Reply) Reply {
	return func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
		ordinary(lostWriter{w.Header().Clone()}, r)
		reply(w, r, nil)
	}
}

// A lostWriter forgets what is written.
type lostWriter struct{ header http.Header }

func (l lostWriter) Header() http.Header         { return l.header }
func (l lostWriter) WriteHeader(int)             {}
func (l lostWriter) Write(p []byte) (int, error) { return len(p), nil }

// Slow waits for d, or until the client goes away, and then gives the reply, which may be nil.
func Slow(d time.Duration, reply Reply) Reply {
	return func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
		content, err := io.ReadAll(r.Body) // only then is it noticed that the client goes away
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		r.Body = io.NopCloser(bytes.NewReader(content))
		select {
		case <-time.After(d):
			reply.give(w, r, ordinary)
		case <-r.Context().Done():
			panic(http.ErrAbortHandler)
		}
	}
}

// WithHeader gives the reply, which may be nil, and sets a header of it, unless the reply sets that itself.
func WithHeader(name, value string, reply Reply) Reply {
	return func(w http.ResponseWriter, r *http.Request, ordinary http.HandlerFunc) {
		w.Header().Set(name, value)
		reply.give(w, r, ordinary)
	}
}

// A cutWriter passes left bytes on, and then calls end, which does not return.
type cutWriter struct {
	http.ResponseWriter
	left int
	end  func()
}

func (c *cutWriter) Write(p []byte) (int, error) {
	if len(p) <= c.left {
		c.left -= len(p)
		return c.ResponseWriter.Write(p)
	}
	_, err := c.ResponseWriter.Write(p[:max(c.left, 0)])
	if err == nil {
		err = http.NewResponseController(c.ResponseWriter).Flush()
	}
	if err != nil {
		return 0, err
	}
	c.end()
	return 0, http.ErrAbortHandler
}

// Unwrap is for http.ResponseController.
func (c *cutWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// write sends a whole body. What goes wrong is the client's to see.
func write(w http.ResponseWriter, status int, body string) {
	if body != "" && w.Header().Get("Content-Length") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body)
}

// An object is one of JSON.
type object = map[string]any

func writeJSON(w http.ResponseWriter, contentType string, status int, body object) {
	w.Header().Set("Content-Type", contentType)
	write(w, status, encode(body))
}

// encode leaves the & of an address as it is, as the API does.
func encode(body object) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(body); err != nil {
		panic(err) // there is nothing in it that JSON lacks
	}
	return strings.TrimSuffix(b.String(), "\n")
}
