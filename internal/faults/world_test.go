package faults

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

// ample is a limit of time that no healthy exchange comes near, whatever else the machine does.
const ample = 30 * time.Second

// A world is a stand-in server that counts its connections.
type world struct {
	*zaitest.Server
	addr        string // host and port that it listens on
	conns       connections
	refused     atomic.Int64 // requests that were turned away before the stand-in saw them
	maxFailures int          // of the waits
}

// newWorld starts a server without faults. With a configuration it speaks TLS.
func newWorld(t *testing.T, config *tls.Config) *world {
	t.Helper()
	w := &world{Server: zaitest.NewUnstartedServer(), maxFailures: 2}
	w.MaxRequests = 1 << 20
	listener := listen(t, "127.0.0.1:0")
	w.addr = listener.Addr().String()
	w.URL = "http://" + w.addr + "/api"
	if config != nil {
		listener = tls.NewListener(listener, config)
		w.URL = "https://" + w.addr + "/api"
	}
	stop := w.serve(listener)
	t.Cleanup(func() {
		w.Close()
		stop()
	})
	return w
}

// serve answers what comes from the listener, until stop, which cuts what is under way.
func (w *world) serve(listener net.Listener) (stop func()) {
	server := &http.Server{Handler: w, ConnState: w.conns.state, ErrorLog: discard}
	done := make(chan struct{})
	go func() {
		pprof.SetGoroutineLabels(context.Background()) // It is none of the client's, also where a callback starts it.
		defer close(done)
		_ = server.Serve(listener)
	}()
	return func() {
		_ = server.Close()
		<-done
	}
}

// made is the number of things that creates have made: runs of agents and files.
func (w *world) made() int { return len(w.Runs()) + len(w.Uploads()) }

// listen returns a listener on loopback.
func listen(t *testing.T, addr string) net.Listener {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// connections counts the open connections of a server.
type connections struct {
	mu   sync.Mutex
	open map[net.Conn]bool
}

func (c *connections) state(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[net.Conn]bool{}
	}
	switch state {
	case http.StateNew:
		c.open[conn] = true
	case http.StateClosed, http.StateHijacked:
		delete(c.open, conn)
	}
}

// drop closes what is still open.
func (c *connections) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.open {
		_ = conn.Close()
	}
}

func (c *connections) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.open)
}

// A dialer connects to a path in place of the server: with each connection, or with the first one only.
type dialer struct {
	path   string // address; empty is the server itself
	first  bool
	dialed atomic.Int64
	open   atomic.Int64
}

func (d *dialer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	n := d.dialed.Add(1)
	if d.path != "" && (!d.first || n == 1) {
		addr = d.path
	}
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	d.open.Add(1)
	return &countedConn{Conn: conn, closed: sync.OnceFunc(func() { d.open.Add(-1) })}, nil
}

// A countedConn tells when it is closed.
type countedConn struct {
	net.Conn
	closed func()
}

func (c *countedConn) Close() error {
	defer c.closed()
	return c.Conn.Close()
}

// newClient returns a client whose connections the dialer makes, and the transport, whose idle connections the
// caller closes.
func newClient(t *testing.T, w *world, dial func(context.Context, string, string) (net.Conn, error), config *tls.Config,
	opts ...api.ClientOption,
) (*api.ClientWithResponses, *http.Transport) {
	t.Helper()
	transport := &http.Transport{
		DialContext: dial, TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: 100, TLSHandshakeTimeout: ample,
	}
	opts = append([]api.ClientOption{api.WithBaseURL(w.URL), api.WithHTTPClient(&http.Client{Transport: transport})}, opts...)
	client, err := api.New(w.APIKey, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return client, transport
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(ample)
	defer deadline.Stop()
	for pause := time.Millisecond; !holds(); pause = min(2*pause, 50*time.Millisecond) {
		select {
		case <-time.After(pause):
		case <-deadline.C:
			t.Errorf("after %v it still does not hold that %s", ample, what)
			return
		}
	}
}

// labeled runs f, and waits until no goroutine that f has started is left: goroutines inherit the label.
func labeled(t *testing.T, f func(ctx context.Context), settle func()) {
	t.Helper()
	name := t.Name()
	pprof.Do(t.Context(), pprof.Labels("cell", name), f)
	settle()
	label := fmt.Sprintf("%q:%q", "cell", name)
	var left string
	eventually(t, "no goroutine of the client is left", func() bool {
		left = goroutines.since(time.Now())
		return !strings.Contains(left, label)
	})
	for group := range strings.SplitSeq(left, "\n\n") {
		if strings.Contains(group, label) {
			t.Log(group)
		}
	}
}

// goroutines is the goroutine profile, with labels. It is dear, so that the cells share it.
var goroutines census

type census struct {
	mu      sync.Mutex
	taken   time.Time
	profile string
}

// since returns a profile that was taken after a time.
func (c *census) since(when time.Time) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.taken.After(when) {
		return c.profile
	}
	<-time.After(time.Until(c.taken.Add(200 * time.Millisecond)))
	c.taken = time.Now()
	var b strings.Builder
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		panic(err)
	}
	c.profile = b.String()
	return c.profile
}
