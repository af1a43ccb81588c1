package faults

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
)

// A breakage is where a relay breaks a connection, and how.
type breakage struct {
	upstream bool // it is the requests that break, not the answers
	// at returns how many of the bytes seen so far in this direction get through, or -1 while nothing breaks.
	at  func(seen []byte) int
	how manner
}

// A manner is how a connection breaks.
type manner int

const (
	reset     manner = iota // RST, to both sides
	closed                  // FIN, to both sides
	halfDone                // FIN in the direction that breaks; the other one stays open
	silent                  // nothing more in that direction, and no end either
	late                    // nothing more until that side has given up, and then all of it
	dribbling               // it does not break: each byte comes for itself
)

// after breaks after n bytes.
func after(n int) func([]byte) int {
	return func(seen []byte) int {
		if len(seen) < n {
			return -1
		}
		return n
	}
}

// inBody breaks after n bytes of the body, of the first message of the connection.
func inBody(n int) func([]byte) int {
	return func(seen []byte) int {
		header := bytes.Index(seen, []byte("\r\n\r\n"))
		if header < 0 || len(seen) < header+4+n {
			return -1
		}
		return header + 4 + n
	}
}

// A relay passes connections on to a server and breaks them. It is TCP all the way: what breaks is in none of the
// libraries that the client or the server use.
type relay struct {
	addr     string
	upstream string
	breakage func(conn int) *breakage // of the n-th connection, from 0; nil is none
	spared   atomic.Bool              // until it is not: no breakage
	conns    sync.WaitGroup

	mu   sync.Mutex
	open map[*net.TCPConn]bool // nil once the relay is closed
}

// broken returns what puts a relay with this breakage between client and server.
func broken(b breakage) func(t *testing.T, w *world) string {
	return func(t *testing.T, w *world) string {
		t.Helper()
		return newRelay(t, w.addr, func(int) *breakage { return &b }).addr
	}
}

func newRelay(t *testing.T, upstream string, breakage func(conn int) *breakage) *relay {
	t.Helper()
	listener := listen(t, "127.0.0.1:0")
	r := &relay{addr: listener.Addr().String(), upstream: upstream, breakage: breakage, open: map[*net.TCPConn]bool{}}
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for n := 0; ; n++ {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			client := conn.(*net.TCPConn)
			r.conns.Go(func() { r.relay(n, client) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		accepting.Wait()
		r.drop()
		r.conns.Wait()
	})
	return r
}

// keep has the relay close a connection with itself.
func (r *relay) keep(conn *net.TCPConn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.open == nil {
		_ = conn.Close()
		return
	}
	r.open[conn] = true
}

func (r *relay) forget(conn *net.TCPConn) {
	_ = conn.Close()
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, conn)
}

func (r *relay) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.open {
		_ = conn.Close()
	}
	r.open = nil
}

// hangUp ends all connections with a FIN, as a server does that is tired of idle ones.
func (r *relay) hangUp() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for conn := range r.open {
		_ = conn.CloseWrite()
	}
}

// relay carries one connection.
func (r *relay) relay(n int, client *net.TCPConn) {
	r.keep(client)
	defer r.forget(client)
	conn, err := net.Dial("tcp", r.upstream)
	if err != nil {
		return
	}
	server := conn.(*net.TCPConn)
	r.keep(server)
	defer r.forget(server)
	b := r.breakage(n)
	var both sync.WaitGroup
	both.Go(func() { r.pump(server, client, b, true) })
	both.Go(func() { r.pump(client, server, b, false) })
	both.Wait()
}

// pump carries one direction of a connection, up to where it breaks.
func (r *relay) pump(to, from *net.TCPConn, b *breakage, upstream bool) {
	var seen []byte
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		part := buf[:n]
		if b != nil && b.upstream == upstream && !r.spared.Load() {
			if b.how == dribbling {
				for i := range part {
					_, _ = to.Write(part[i : i+1])
				}
				part = nil
			} else if seen = append(seen, part...); b.at(seen) >= 0 {
				through := max(n-(len(seen)-b.at(seen)), 0)
				_, _ = to.Write(part[:through])
				b.how.end(to, from, part[through:])
				return
			}
		}
		if len(part) > 0 {
			if _, err := to.Write(part); err != nil {
				_ = from.Close()
				return
			}
		}
		switch {
		case errors.Is(err, io.EOF):
			_ = to.CloseWrite()
			return
		case err != nil:
			_ = to.Close()
			return
		}
	}
}

// end breaks a direction, in which some bytes were read and are held back.
func (m manner) end(to, from *net.TCPConn, held []byte) {
	switch m {
	case reset:
		_, _ = to.SetLinger(0), from.SetLinger(0)
		_, _ = to.Close(), from.Close()
	case closed:
		_, _ = to.Close(), from.Close()
	case halfDone:
		_ = to.CloseWrite()
		_, _ = io.Copy(io.Discard, from)
	case silent:
		_, _ = io.Copy(io.Discard, from) // until that side closes
		_ = to.CloseWrite()
	case late:
		rest, _ := io.ReadAll(from)
		_, _ = to.Write(append(held, rest...))
		_ = to.CloseWrite()
	}
}
