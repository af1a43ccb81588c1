package faults

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// An ending is what an HTTP/2 server does with a request. It returns false to end the connection.
type ending func(x *exchange) bool

// An exchange is one request of an HTTP/2 connection.
type exchange struct {
	conn    *http2Conn
	stream  uint32
	request *http.Request
}

// serve hands the request to the stand-in server, and returns its answer.
func (x *exchange) serve() *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	x.conn.handler.ServeHTTP(answer, x.request)
	return answer
}

// answer writes an answer, and of its body as much as is wanted; -1 is all of it.
func (x *exchange) answer(a *httptest.ResponseRecorder, n int) {
	var block bytes.Buffer
	fields := hpack.NewEncoder(&block)
	_ = fields.WriteField(hpack.HeaderField{Name: ":status", Value: strconv.Itoa(a.Code)})
	for name, values := range a.Header() {
		for _, value := range values {
			_ = fields.WriteField(hpack.HeaderField{Name: strings.ToLower(name), Value: value})
		}
	}
	body := a.Body.Bytes()
	if n >= 0 {
		body = body[:min(n, len(body))]
	}
	f := x.conn.framer
	_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: x.stream, BlockFragment: block.Bytes(), EndHeaders: true})
	_ = f.WriteData(x.stream, n < 0, body) // no more than a client lets a stream have at first
}

// An http2Conn is the server's side of a connection that takes one request at a time.
type http2Conn struct {
	handler http.Handler
	framer  *http2.Framer
}

// serve answers requests until one of them, or the client, ends the connection.
func (c *http2Conn) serve(conn net.Conn, end ending) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	c.framer = http2.NewFramer(conn, conn)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = c.framer.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
	var x *exchange
	var body bytes.Buffer
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return
		}
		ended := false
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = c.framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = c.framer.WritePing(true, frame.Data)
			}
		case *http2.MetaHeadersFrame:
			x = &exchange{conn: c, stream: frame.StreamID, request: requestOf(frame)}
			body.Reset()
			ended = frame.StreamEnded()
		case *http2.DataFrame:
			body.Write(frame.Data())
			ended = frame.StreamEnded()
		}
		if !ended {
			continue
		}
		x.request.Body = io.NopCloser(bytes.NewReader(bytes.Clone(body.Bytes())))
		if !end(x) {
			return
		}
	}
}

func requestOf(frame *http2.MetaHeadersFrame) *http.Request {
	r := &http.Request{
		Method: frame.PseudoValue("method"), Host: frame.PseudoValue("authority"), RequestURI: frame.PseudoValue("path"),
		Proto: "HTTP/2.0", ProtoMajor: 2, Header: http.Header{},
	}
	r.URL, _ = url.ParseRequestURI(r.RequestURI)
	for _, field := range frame.RegularFields() {
		r.Header.Add(field.Name, field.Value)
	}
	return r
}

// http2Between returns what puts an HTTP/2 server in front of the stand-in. It ends all requests, or the first one,
// as it is told, and answers the others.
func http2Between(config *tls.Config, first bool, end ending) func(t *testing.T, w *world) string {
	return func(t *testing.T, w *world) string {
		t.Helper()
		listener := tls.NewListener(listen(t, "127.0.0.1:0"), config)
		var requests atomic.Int64
		ends := func(x *exchange) bool {
			if requests.Add(1) > 1 && first {
				x.answer(x.serve(), -1)
				return true
			}
			return end(x)
		}
		var group sync.WaitGroup
		group.Go(func() {
			for {
				conn, err := listener.Accept()
				if err != nil {
					return
				}
				w.conns.state(conn, http.StateNew)
				group.Go(func() {
					defer w.conns.state(conn, http.StateClosed)
					defer func() { _ = conn.Close() }()
					(&http2Conn{handler: w}).serve(conn, ends)
				})
			}
		})
		t.Cleanup(func() {
			_ = listener.Close()
			w.conns.drop()
			group.Wait()
		})
		return listener.Addr().String()
	}
}

// TestHTTP2 refuses, resets and cuts requests as HTTP/2 lets a server do.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	server, client := certified(t, "127.0.0.1", time.Now().Add(24*time.Hour))
	server.NextProtos = []string{"h2"}

	run := func(name string, end ending, always, once outcomes) {
		f := fault{server: server, client: client, silent: strings.HasPrefix(name, "silence")}
		if f.name, f.always = name, always; always != nil {
			f.between = http2Between(server, false, end)
			f.run(t, "HTTP/2")
		}
		if f.name, f.always = name+", once", once; once != nil {
			f.between = http2Between(server, true, end)
			f.run(t, "HTTP/2")
		}
	}
	reset := func(code http2.ErrCode) func(x *exchange) bool {
		return func(x *exchange) bool {
			_ = x.conn.framer.WriteRSTStream(x.stream, code)
			return true
		}
	}
	goAway := func(last uint32, code http2.ErrCode, x *exchange) bool {
		_ = x.conn.framer.WriteGoAway(last, code, nil)
		return true
	}

	run("all is well", func(x *exchange) bool {
		x.answer(x.serve(), -1)
		return true
	}, harmless(), nil)
	run("RST_STREAM with NO_ERROR after the answer", func(x *exchange) bool {
		x.answer(x.serve(), -1)
		return reset(http2.ErrCodeNo)(x)
	}, harmless(), nil)
	run("GOAWAY after each answer", func(x *exchange) bool {
		x.answer(x.serve(), -1)
		return goAway(x.stream, http2.ErrCodeNo, x)
	}, harmless(), nil)
	run("GOAWAY before the answer, which comes", func(x *exchange) bool {
		a := x.serve()
		goAway(x.stream, http2.ErrCodeNo, x)
		x.answer(a, -1)
		return true
	}, harmless(), nil)

	// The server says that it has not taken the request: net/http sends it again, also a create, where it still has it.
	refused := harmless().but("unknown: cut 0/0", "Upload")
	run("GOAWAY that leaves the request out", func(x *exchange) bool {
		return goAway(0, http2.ErrCodeNo, x)
	}, nil, refused)
	run("RST_STREAM with REFUSED_STREAM", reset(http2.ErrCodeRefusedStream), nil, refused)

	always, once := lostAnswer("cut")
	run("RST_STREAM with INTERNAL_ERROR before the answer", func(x *exchange) bool {
		x.serve()
		return reset(http2.ErrCodeInternal)(x)
	}, always, once)
	// The end of a connection takes with it the requests that wait on it, unseen.
	always, once = always.but("cut [2-6]", "WaitAll"), once.but("ok [56]", "WaitAll")
	run("GOAWAY with INTERNAL_ERROR before the answer", func(x *exchange) bool {
		x.serve()
		goAway(x.stream, http2.ErrCodeInternal, x)
		return false
	}, always, once)
	run("connection closed before the answer", func(x *exchange) bool {
		x.serve()
		return false
	}, always, once)

	always, once = cutAnswer()
	run("RST_STREAM with INTERNAL_ERROR in the body", func(x *exchange) bool {
		x.answer(x.serve(), 20)
		return reset(http2.ErrCodeInternal)(x)
	}, always, once)
	always, once = always.but("(malformed|cut) [2-6]", "WaitAll"), once.but("ok [56]", "WaitAll")
	run("connection closed in the body", func(x *exchange) bool {
		x.answer(x.serve(), 20)
		return false
	}, always, once)

	always, once = lostAnswer("timeout")
	run("silence before the answer", func(x *exchange) bool {
		x.serve()
		return true
	}, always, once)
	run("silence in the body", func(x *exchange) bool {
		x.answer(x.serve(), 20)
		return true
	}, always, once)
}
