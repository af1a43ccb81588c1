package zaitest

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
)

// Transport returns a transport that reaches the server in memory, whether or not it listens,
// with a connection of its own for each request. Requests to another host than that of URL
// fail, as if it did not exist.
//
// When the body of the answer was read to its end or closed, or the request's context ended, no
// goroutine is left.
func (s *Server) Transport() http.RoundTripper {
	return &http.Transport{
		DialContext:         s.dial,
		DialTLSContext:      s.dial, // no TLS in memory
		MaxIdleConnsPerHost: -1,
	}
}

func (s *Server) dial(_ context.Context, _, addr string) (net.Conn, error) {
	base, err := url.Parse(s.URL)
	if err != nil {
		return nil, err
	}
	port := cmp.Or(base.Port(), map[string]string{"http": "80", "https": "443"}[base.Scheme])
	if addr != net.JoinHostPort(base.Hostname(), port) {
		return nil, &net.DNSError{Err: "no such host", Name: addr, IsNotFound: true}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, errors.New("zaitest: the server is closed")
	}
	client, server := net.Pipe()
	s.conns[server] = true
	web := &http.Server{Handler: s, ConnState: func(conn net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.conns, conn)
		}
	}}
	go func() { _ = web.Serve(&oneConn{server}) }()
	return client, nil
}

// A oneConn is a listener that accepts one connection.
type oneConn struct{ net.Conn }

func (l *oneConn) Accept() (net.Conn, error) {
	conn := l.Conn
	l.Conn = nil
	if conn == nil {
		return nil, io.EOF
	}
	return conn, nil
}

func (l *oneConn) Addr() net.Addr { return nil }
func (l *oneConn) Close() error   { return nil }
