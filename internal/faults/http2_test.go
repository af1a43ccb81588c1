package faults

import (
	"bytes"
	"crypto/tls"
	"io"
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

	"example.com/zai/api"
)

// An ending is what an HTTP/2 server does with a request. It returns false to end the connection.
type ending func(x *exchange) bool

// An exchange is one request of an HTTP/2 connection.
type exchange struct {
	conn    *http2Conn
	stream  uint32
	request *http.Request
	body    bytes.Buffer
}

// refuse counts the request as one that the server has not taken.
func (x *exchange) refuse() { x.conn.world.refused.Add(1) }

// serve hands the request to the stand-in server, and returns its answer.
func (x *exchange) serve() *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	x.conn.world.ServeHTTP(answer, x.request)
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

// An http2Conn is the server's side of a connection. It answers one request at a time.
type http2Conn struct {
	world   *world
	conn    *tls.Conn
	framer  *http2.Framer
	leaving bool   // GOAWAY was sent
	last    uint32 // and said that later streams are left out
}

// goAway says which stream is the last that the server has taken.
func (c *http2Conn) goAway(last uint32, code http2.ErrCode) {
	c.leaving, c.last = true, last
	_ = c.framer.WriteGoAway(last, code, nil)
}

// leave ends the server's side: the client may still be sending.
func (c *http2Conn) leave() bool {
	_ = c.conn.CloseWrite()
	return true
}

// serve answers requests until one of them, or the client, ends the connection.
func (c *http2Conn) serve(end ending) {
	conn := c.conn
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	c.framer = http2.NewFramer(conn, conn)
	c.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = c.framer.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
	streams := map[uint32]*exchange{}
	for {
		frame, err := c.framer.ReadFrame()
		if err != nil {
			return
		}
		stream, ended := frame.Header().StreamID, false
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = c.framer.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !frame.IsAck() {
				_ = c.framer.WritePing(true, frame.Data)
			}
		case *http2.RSTStreamFrame:
			delete(streams, stream)
		case *http2.MetaHeadersFrame:
			streams[stream] = &exchange{conn: c, stream: stream, request: requestOf(frame)}
			ended = frame.StreamEnded()
		case *http2.DataFrame:
			if x := streams[stream]; x != nil {
				x.body.Write(frame.Data())
				ended = frame.StreamEnded()
			}
		}
		if !ended || c.leaving && stream > c.last {
			continue
		}
		x := streams[stream]
		x.request.Body = io.NopCloser(&x.body)
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
					(&http2Conn{conn: conn.(*tls.Conn), world: w}).serve(ends)
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
		f := fault{server: server, client: client}
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
		x.conn.goAway(x.stream, http2.ErrCodeNo)
		return x.conn.leave()
	}, harmless(), nil)
	run("GOAWAY before the answer, which comes", func(x *exchange) bool {
		a := x.serve()
		x.conn.goAway(x.stream, http2.ErrCodeNo)
		x.answer(a, -1)
		return x.conn.leave()
	}, harmless(), nil)

	// The server says that it has not taken the request: net/http sends a read again. It could do so with a create, too,
	// but not only after a refusal.
	once := harmless().but("unknown: cut 0/0", creates...).with(", 1 refused")
	// It does so at most seven times, with pauses that grow to half a minute, until the time of the attempt has run out.
	always := outcomes{"Wait": "timeout 0, ([2-9]|1[0-6])", "WaitAll": "timeout 0, [1-9][0-9]?", "Download": "timeout 0, [1-8]"}.
		but("timeout 0, ([3-9]|1[0-9]|2[0-4])", reads...).but("unknown: cut 0/0, 1", creates...).with(" refused")
	run("RST_STREAM with REFUSED_STREAM", func(x *exchange) bool {
		x.refuse()
		return reset(http2.ErrCodeRefusedStream)(x)
	}, always, once)
	// On a new connection each time it does so without a pause, and only time ends it: as often as the server is fast.
	always = outcomes{}.but("timeout 0, [1-9][0-9]*", reads...).but("timeout 0, [1-9][0-9]*", "Wait", "WaitAll", "Download").
		but("unknown: cut 0/0, 1", creates...).with(" refused")
	run("GOAWAY that leaves the request out", func(x *exchange) bool {
		x.refuse()
		<-time.After(50 * time.Millisecond) // or all of the processor goes into handshakes
		x.conn.goAway(0, http2.ErrCodeNo)
		return x.conn.leave()
	}, always, once)

	always, once = lostAnswer("cut")
	run("RST_STREAM with INTERNAL_ERROR before the answer", func(x *exchange) bool {
		x.serve()
		return reset(http2.ErrCodeInternal)(x)
	}, always, once)
	// The end of a connection takes with it the requests that wait on it, unseen.
	always = always.but("cut [2-6]", "WaitAll")
	run("GOAWAY with INTERNAL_ERROR before the answer", func(x *exchange) bool {
		x.serve()
		x.conn.goAway(x.stream, http2.ErrCodeInternal)
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
	always = always.but("(malformed|cut|cut[+]malformed) [2-6]", "WaitAll")
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

// TestHTTP2Silence has a kept connection go silent, as behind a router that has forgotten it. The client's own transport
// notices within the limit of time of one attempt, and takes a new connection.
func TestHTTP2Silence(t *testing.T) {
	server, trusting := certified(t, "127.0.0.1", time.Now().Add(24*time.Hour))
	server.NextProtos = []string{"h2"}
	want := harmless().but("unknown: cut 0/0", creates...)
	row := report.row("HTTP/2, the client's own transport", "a kept connection goes silent")
	type prepared struct {
		verb
		*world
		*dialer
		*relay
		client *api.ClientWithResponses
	}
	var all []prepared
	for _, v := range verbs {
		if v.name != "Retrieve" && v.name != "Wait" && v.name != "Submit" && v.name != "Stream" {
			continue
		}
		p := prepared{verb: v, world: newWorld(t, server)}
		p.relay = newRelay(t, p.world.addr, func(conn int) *breakage {
			if conn > 0 {
				return nil
			}
			return &breakage{true, after(1), silent}
		})
		p.spared.Store(true)
		p.dialer = &dialer{path: p.relay.addr}
		p.client = newOwnClient(t, p.world, p.dialer, trusting)
		all = append(all, p)
	}
	t.Parallel() // and not before, because the transport of net/http was exchanged
	for _, p := range all {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			warmUp(t, p.world, p.client)
			p.spared.Store(false)
			got := outcome(t, p.verb, p.world, p.world.conns.drop, p.client)
			report.set(row, p.name, got)
			want.check(t, p.verb, got)
			if n := p.dialed.Load(); n > 2 {
				t.Errorf("the client made %d connections", n)
			}
		})
	}
}

// newOwnClient returns a client with the transport that it makes for itself, which is a copy of that of net/http.
func newOwnClient(t *testing.T, w *world, d *dialer, config *tls.Config) *api.ClientWithResponses {
	t.Helper()
	original := http.DefaultTransport
	defer func() { http.DefaultTransport = original }()
	http.DefaultTransport = &http.Transport{DialContext: d.dial, TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true}
	client, err := api.New(w.APIKey, api.WithBaseURL(w.URL))
	if err != nil {
		t.Fatal(err)
	}
	return client
}
