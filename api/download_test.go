package api_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

const (
	downloadKey    = "download-key-id.download-key-secret"
	downloadPublic = "https://api.example.com/api" // base URLs
	downloadLocal  = "http://127.0.0.1/api"

	// What stands in the signature must not turn up anywhere.
	downloadSecret  = "s3cr3tS1gnature"
	downloadQuery   = "KeyId=demo&Expires=1999999999&Signature=" + downloadSecret + "%3D"
	downloadAddress = "https://files.example.com/a/video.mp4?" + downloadQuery
)

// downloadNet is a network in memory, on which every host answers by the same handler, without
// TLS. It keeps the bubble's time.
type downloadNet struct {
	transport http.Transport

	mu     sync.Mutex
	sent   []string // addresses without queries, as the transport got them
	served []*http.Request
}

func downloadNetwork(handler http.HandlerFunc) *downloadNet {
	n := &downloadNet{}
	dial := func(context.Context, string, string) (net.Conn, error) {
		client, server := net.Pipe()
		web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n.mu.Lock()
			n.served = append(n.served, r)
			n.mu.Unlock()
			handler(w, r)
		})}
		go func() { _ = web.Serve(&downloadListener{server}) }()
		return client, nil
	}
	n.transport.DialContext, n.transport.DialTLSContext, n.transport.MaxIdleConnsPerHost = dial, dial, -1
	return n
}

func (n *downloadNet) RoundTrip(req *http.Request) (*http.Response, error) {
	bare := *req.URL
	bare.RawQuery = ""
	n.mu.Lock()
	n.sent = append(n.sent, bare.String())
	n.mu.Unlock()
	return n.transport.RoundTrip(req)
}

func (n *downloadNet) addresses() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.sent)
}

func (n *downloadNet) requests() []*http.Request {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.served)
}

// downloadListener accepts one connection.
type downloadListener struct{ net.Conn }

func (l *downloadListener) Accept() (net.Conn, error) {
	conn := l.Conn
	l.Conn = nil
	if conn == nil {
		return nil, io.EOF
	}
	return conn, nil
}

func (l *downloadListener) Addr() net.Addr { return nil }
func (l *downloadListener) Close() error   { return nil }

// downloadDoer is a Doer that is no *http.Client.
type downloadDoer func(*http.Request) (*http.Response, error)

func (d downloadDoer) Do(req *http.Request) (*http.Response, error) { return d(req) }

// downloadLog is what a logger wrote.
type downloadLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *downloadLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *downloadLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// downloadClient returns a client that sends through doer, and whose log must hold no secret.
func downloadClient(t testing.TB, base string, doer api.HttpRequestDoer, opts ...api.ClientOption) *api.ClientWithResponses {
	t.Helper()
	log := &downloadLog{}
	logger := slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	opts = append([]api.ClientOption{api.WithBaseURL(base), api.WithHTTPClient(doer), api.WithLogger(logger)}, opts...)
	client, err := api.New(downloadKey, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { downloadHidden(t, "the log", log.String()) })
	return client
}

// downloadSetup is a client on a network in memory.
func downloadSetup(t testing.TB, base string, handler http.HandlerFunc, opts ...api.ClientOption) (*api.ClientWithResponses, *downloadNet) {
	t.Helper()
	network := downloadNetwork(handler)
	return downloadClient(t, base, &http.Client{Transport: network}, opts...), network
}

// downloadHidden reports a secret in a text.
func downloadHidden(t testing.TB, what, text string) {
	t.Helper()
	for _, secret := range []string{downloadSecret, "KeyId=demo", "download-key-secret", "passw0rd"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s holds %q: %s", what, secret, text)
		}
	}
}

// downloadError checks what holds for every error of a download, and returns it.
func downloadError(t testing.TB, err error) *api.Error {
	t.Helper()
	e, ok := err.(*api.Error) //nolint:errorlint // Nothing may be wrapped around it.
	if !ok {
		t.Fatalf("error %v (%T), want an *Error", err, err)
	}
	if e.Op != "download" || e.Body != nil {
		t.Errorf("Op %q, Body %q", e.Op, e.Body)
	}
	if text := e.Error(); strings.ContainsAny(text, "\n\r") || len(text) > 600 {
		t.Errorf("not a short line: %q", text)
	}
	downloadWalk(t, err)
	return e
}

// downloadWalk looks for secrets in everything that an error can be made to show.
func downloadWalk(t testing.TB, err error) {
	t.Helper()
	for _, verb := range []string{"%v", "%+v", "%#v", "%q"} {
		downloadHidden(t, verb, fmt.Sprintf(verb, err))
	}
	if data, jsonErr := json.Marshal(err); jsonErr == nil {
		downloadHidden(t, "JSON", string(data))
	}
	if e, ok := err.(*api.Error); ok { //nolint:errorlint // This level, and then the next.
		downloadHidden(t, "the header", fmt.Sprint(e.Header))
	}
	switch e := err.(type) { //nolint:errorlint // This level, and then the next.
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			downloadWalk(t, inner)
		}
	case interface{ Unwrap() []error }:
		for _, inner := range e.Unwrap() {
			downloadWalk(t, inner)
		}
	}
}

// downloadProgress records the calls of OnBytes.
type downloadProgress struct{ done, total []int64 }

func (p *downloadProgress) option() api.DownloadOption {
	return api.OnBytes(func(done, total int64) { p.done, p.total = append(p.done, done), append(p.total, total) })
}

// starts is how often the count began anew. Within each run it must rise.
func (p *downloadProgress) starts(t testing.TB) (n int) {
	t.Helper()
	for i, done := range p.done {
		switch {
		case done <= 0:
			t.Errorf("OnBytes(%d)", done)
		case i == 0 || done <= p.done[i-1]:
			n++
		}
	}
	return n
}

// downloadContent is n bytes, none of which looks like its neighbour.
func downloadContent(n int) []byte {
	content := make([]byte, n)
	for i := range content {
		content[i] = byte(i * 131 >> 3)
	}
	return content
}

// downloadServe serves content with its length.
func downloadServe(content []byte) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(content)))
		_, _ = w.Write(content)
	}
}

// downloadRaw writes an answer as it stands, and closes the connection.
func downloadRaw(answer string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		_, _ = io.WriteString(conn, answer)
		_ = conn.Close()
	}
}

// downloadFlush sends part of a body.
func downloadFlush(w http.ResponseWriter, part []byte) {
	_, _ = w.Write(part)
	_ = http.NewResponseController(w).Flush()
}

// downloadPause waits, or until the client goes away.
func downloadPause(r *http.Request, d time.Duration) {
	select {
	case <-time.After(d):
	case <-r.Context().Done():
	}
}

// downloadHang sends n bytes of 100, and then nothing more.
func downloadHang(n int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		downloadFlush(w, downloadContent(n))
		<-r.Context().Done()
	}
}

func TestDownload(t *testing.T) {
	t.Parallel()
	chunked := func(content []byte) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			for piece := range slices.Chunk(content, 1000) {
				downloadFlush(w, piece)
			}
		}
	}
	tests := []struct {
		name    string
		size    int
		handler func([]byte) http.HandlerFunc
		total   int64
		opts    []api.DownloadOption
	}{
		{"plain", 5000, downloadServe, 5000, nil},
		{"one byte", 1, downloadServe, 1, nil},
		{"empty", 0, downloadServe, 0, nil},
		{"large", 1<<20 + 1, downloadServe, 1<<20 + 1, nil},
		{"chunked", 5000, chunked, -1, nil},
		{"chunked and empty", 0, func([]byte) http.HandlerFunc {
			return downloadRaw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
		}, -1, nil},
		{"until the connection closes", 5000, func(content []byte) http.HandlerFunc {
			return downloadRaw("HTTP/1.0 200 OK\r\n\r\n" + string(content))
		}, -1, nil},
		{"bytes after the end", 5000, func(content []byte) http.HandlerFunc {
			return downloadRaw("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + string(content) + "and more")
		}, 5000, nil},
		{"exactly MaxBytes", 5000, downloadServe, 5000, []api.DownloadOption{api.MaxBytes(5000)}},
		{"exactly MaxBytes, chunked", 5000, chunked, -1, []api.DownloadOption{api.MaxBytes(5000)}},
		{"the last option counts", 5000, downloadServe, 5000, []api.DownloadOption{api.MaxBytes(1), api.MaxBytes(1 << 62)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			content := downloadContent(tt.size)
			client, _ := downloadSetup(t, downloadPublic, tt.handler(content), api.WithMaxBody(1)) // MaxBody is not for files.
			var got bytes.Buffer
			var progress downloadProgress
			n, err := client.Download(t.Context(), downloadAddress, &got, append(tt.opts, progress.option())...)
			if err != nil || n != int64(tt.size) || !bytes.Equal(got.Bytes(), content) {
				t.Fatalf("%d bytes and error %v, want %d", n, err, tt.size)
			}
			if want := min(tt.size, 1); progress.starts(t) != want {
				t.Errorf("progress %v, want %d runs", progress.done, want)
			}
			if tt.size > 0 && progress.done[len(progress.done)-1] != n {
				t.Errorf("progress %v does not end at %d", progress.done, n)
			}
			for _, total := range progress.total {
				if total != tt.total {
					t.Errorf("total %d, want %d", total, tt.total)
				}
			}
		})
	}
}

// TestDownloadWire compares all that is sent with the little that may be sent.
func TestDownloadWire(t *testing.T) {
	t.Parallel()
	edited := 0
	editor := func(_ context.Context, req *http.Request) error {
		edited++
		req.Header.Set("X-Edited", "yes")
		return nil
	}
	handler := func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
		if r.URL.Path == "/a/video.mp4" {
			w.Header().Set("Location", "/a/b%2Fc/%C3%A9?x=%2B&x=+&y&Signature="+downloadSecret)
			w.WriteHeader(http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "file")
	}
	client, network := downloadSetup(t, downloadPublic, handler, api.WithRequestEditorFn(editor), api.WithRequestEditorFn(api.AcceptLanguage("de")))
	if n, err := client.Download(t.Context(), downloadAddress, io.Discard); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	if edited != 0 {
		t.Errorf("a request editor ran %d times", edited)
	}
	requests := network.requests()
	if len(requests) != 2 {
		t.Fatalf("%d requests, want 2", len(requests))
	}
	for i, target := range []string{"/a/video.mp4?" + downloadQuery, "/a/b%2Fc/%C3%A9?x=%2B&x=+&y&Signature=" + downloadSecret} {
		r := requests[i]
		if r.Method != http.MethodGet || r.RequestURI != target || r.Host != "files.example.com" || r.ContentLength != 0 {
			t.Errorf("%s %s of %s with %d bytes, want %s", r.Method, r.RequestURI, r.Host, r.ContentLength, target)
		}
		agent := r.Header.Get("User-Agent")
		if !strings.HasPrefix(agent, "zai-go/") || r.Header.Get("Accept-Encoding") != "identity" || len(r.Header) != 2 {
			t.Errorf("header %v", r.Header)
		}
	}
}

// TestDownloadAddress says which addresses are asked at all.
func TestDownloadAddress(t *testing.T) {
	t.Parallel()
	const nowhere = ""
	tests := []struct {
		address string
		bases   string // for which it is asked
	}{
		{"https://files.example.com/video.mp4", downloadPublic + downloadLocal},
		{"HTTPS://FILES.example.com:8443/video.mp4", downloadPublic + downloadLocal},
		{"https://files.example.com", downloadPublic + downloadLocal},
		{"https://192.0.2.1/video.mp4", downloadPublic + downloadLocal},
		{"https://[2001:db8::1]/video.mp4", downloadPublic + downloadLocal},
		{"https://localhost.example.com/video.mp4", downloadPublic + downloadLocal},

		{"http://files.example.com/video.mp4", nowhere},
		{"http://192.0.2.1/video.mp4", nowhere},
		{"http://api.example.com/video.mp4", nowhere},
		{"http://localhost.example.com/video.mp4", nowhere},
		{"http://[2001:db8::1]/video.mp4", nowhere},
		{"ftp://files.example.com/video.mp4", nowhere},
		{"ftp://127.0.0.1/video.mp4", nowhere},
		{"file:///etc/passwd", nowhere},
		{"data:text/plain,x", nowhere},
		{"//files.example.com/video.mp4", nowhere},
		{"/video.mp4", nowhere},
		{"files.example.com/video.mp4", nowhere},
		{"https:files.example.com/video.mp4", nowhere},
		{"https:///video.mp4", nowhere},
		{"https://:443/video.mp4", nowhere}, // Dialled, this is loopback.
		{"https://127.1/video.mp4", nowhere},
		{"https://2130706433/video.mp4", nowhere},
		{"https://0x7f000001/video.mp4", nowhere},
		{"https://0x7f.0.0.1./video.mp4", nowhere},
		{"https://017700000001:8443/video.mp4", nowhere},
		{"https://0/video.mp4", nowhere},
		{"https://1.example.com/video.mp4", downloadPublic + downloadLocal},
		{"https://files.example.com:443/127.1", downloadPublic + downloadLocal},
		{"http://:80/video.mp4", nowhere},
		{"https://./video.mp4", nowhere},
		{"https://user@files.example.com/video.mp4", nowhere},
		{"https://user:passw0rd@files.example.com/video.mp4", nowhere},
		{"http://user:passw0rd@127.0.0.1/video.mp4", nowhere},
		{"https://files.example.com:port/video.mp4", nowhere},
		{"https://files.exa mple.com/video.mp4", nowhere},
		{"https://files.example.com/%zz", nowhere},
		{"https://files.example.com/\x00", nowhere},
		{" https://files.example.com/", nowhere},
		{"", nowhere},
	}
	for _, host := range []string{
		"localhost", "LocalHost", "localhost.", "files.LocalHost", "127.0.0.1", "127.1.2.3", "127.0.0.1.", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f01:203]",
		"[::1%25lo]", "0.0.0.0", "[::]", "[::ffff:0.0.0.0]",
	} {
		for _, format := range []string{"https://%s/video.mp4", "http://%s/video.mp4", "https://%s:8443/video.mp4", "http://%s:8080/video.mp4"} {
			tests = append(tests, struct{ address, bases string }{fmt.Sprintf(format, host), downloadLocal})
		}
	}
	for _, base := range []string{downloadPublic, downloadLocal, "http://localhost:8080/api", "https://[::1]/api"} {
		client, network := downloadSetup(t, base, downloadServe([]byte("file")))
		for _, tt := range tests {
			before := len(network.addresses())
			address := tt.address
			if address != "" {
				address += "?" + downloadQuery
			}
			n, err := client.Download(t.Context(), address, io.Discard)
			asked := len(network.addresses()) - before
			if strings.Contains(tt.bases, base) || base != downloadPublic && strings.Contains(tt.bases, downloadLocal) {
				if n != 4 || err != nil || asked != 1 {
					t.Errorf("base %s, %s: %d bytes, %d requests, error %v", base, tt.address, n, asked, err)
				}
				continue
			}
			if n != 0 || asked != 0 || !errors.Is(err, api.ErrInvalidRequest) {
				t.Errorf("base %s, %s: %d bytes, %d requests, error %v; want ErrInvalidRequest", base, tt.address, n, asked, err)
				continue
			}
			if e := downloadError(t, err); e.StatusCode != 0 || e.Attempts != 0 {
				t.Errorf("base %s, %s: HTTP %d after %d attempts", base, tt.address, e.StatusCode, e.Attempts)
			}
		}
	}
}

func TestDownloadRedirect(t *testing.T) {
	t.Parallel()
	const bad, many = "redirected to a bad address", "redirected more than 5 times"
	chain := func(n int) (hops []string) {
		for i := range n {
			hops = append(hops, fmt.Sprintf("https://hop%d.example.com/f", i+1))
		}
		return hops
	}
	const first = "https://files.example.com/a/video.mp4"
	tests := []struct {
		name   string
		base   string
		from   string
		hops   []string // Location after Location
		status int      // 302 if 0
		asked  []string // without the first address
		err    string   // part of the error, empty for success
	}{
		{name: "absolute", hops: []string{"https://cdn.example.com/v"}, asked: []string{"https://cdn.example.com/v"}},
		{name: "upper case", hops: []string{"HTTPS://CDN.example.com/v"}, asked: []string{"https://CDN.example.com/v"}},
		{name: "301", status: 301, hops: chain(1), asked: chain(1)},
		{name: "303", status: 303, hops: chain(1), asked: chain(1)},
		{name: "307", status: 307, hops: chain(1), asked: chain(1)},
		{name: "308", status: 308, hops: chain(1), asked: chain(1)},
		{name: "path", hops: []string{"/v"}, asked: []string{"https://files.example.com/v"}},
		{name: "relative path", hops: []string{"v"}, asked: []string{"https://files.example.com/a/v"}},
		{name: "dots", hops: []string{"../../v"}, asked: []string{"https://files.example.com/v"}},
		{name: "query", hops: []string{"?x=1"}, asked: []string{first}},
		{name: "same scheme", hops: []string{"//cdn.example.com/v"}, asked: []string{"https://cdn.example.com/v"}},
		{name: "relative to the last", hops: []string{"https://cdn.example.com/b/v", "w"}, asked: []string{"https://cdn.example.com/b/v", "https://cdn.example.com/b/w"}},
		{name: "five", hops: chain(5), asked: chain(5)},
		{name: "six", hops: chain(6), asked: chain(5), err: many},
		{name: "loop", hops: []string{first, first, first, first, first, first, first}, asked: []string{first, first, first, first, first}, err: many},
		{name: "to http", hops: []string{"http://cdn.example.com/v"}, err: bad},
		{name: "to http on the same host", hops: []string{"http://files.example.com/a/video.mp4"}, err: bad},
		{name: "to http after https", hops: []string{"https://cdn.example.com/v", "http://cdn.example.com/v"}, asked: []string{"https://cdn.example.com/v"}, err: bad},
		{name: "to localhost", hops: []string{"https://localhost/v"}, err: bad},
		{name: "to loopback over http", hops: []string{"http://127.0.0.1:8080/v"}, err: bad},
		{name: "to loopback", hops: []string{"https://127.1.2.3/v"}, err: bad},
		{name: "to loopback, IPv6", hops: []string{"https://[::1]/v"}, err: bad},
		{name: "to loopback, IPv4 in IPv6", hops: []string{"https://[::ffff:127.0.0.1]/v"}, err: bad},
		{name: "to loopback, same scheme", hops: []string{"//localhost/v"}, err: bad},
		{name: "to loopback, in short", hops: []string{"https://127.1/v"}, err: bad},
		{name: "to no host", hops: []string{"https://:443/v"}, err: bad},
		{name: "to user info", hops: []string{"https://user:passw0rd@cdn.example.com/v"}, err: bad},
		{name: "to another scheme", hops: []string{"ftp://cdn.example.com/v"}, err: bad},
		{name: "to a file", hops: []string{"file:///etc/passwd"}, err: bad},
		{name: "to a bad port", hops: []string{"https://cdn.example.com:x/v"}, err: "download:"},
		{name: "to a bad path", hops: []string{"/%zz"}, err: "download:"},
		{name: "to a bad host", hops: []string{"https://cdn%zz/v"}, err: "download:"},
		{name: "local, to http on loopback", base: downloadLocal, hops: []string{"http://127.0.0.1:8080/v"}, asked: []string{"http://127.0.0.1:8080/v"}},
		{name: "local, to https", base: downloadLocal, from: "http://localhost/v", hops: chain(1), asked: chain(1)},
		{name: "local, to http", base: downloadLocal, from: "http://localhost/v", hops: []string{"http://cdn.example.com/v"}, err: bad},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			hop := 0
			handler := func(w http.ResponseWriter, _ *http.Request) {
				if hop == len(tt.hops) {
					_, _ = io.WriteString(w, "file")
					return
				}
				location := tt.hops[hop]
				if !strings.Contains(location, "?") {
					location += "?hop=" + strconv.Itoa(hop) + "&Signature=" + downloadSecret
				}
				hop++
				w.Header().Set("Location", location)
				w.WriteHeader(cmp.Or(tt.status, http.StatusFound))
				_, _ = io.WriteString(w, "moved to "+location)
			}
			from := cmp.Or(tt.from, first)
			client, network := downloadSetup(t, cmp.Or(tt.base, downloadPublic), handler)
			var got bytes.Buffer
			n, err := client.Download(t.Context(), from+"?"+downloadQuery, &got)
			if want := append([]string{from}, tt.asked...); !slices.Equal(network.addresses(), want) {
				t.Errorf("asked %q, want %q", network.addresses(), want)
			}
			for i, r := range network.requests() {
				if len(r.Header) != 2 || r.Method != http.MethodGet || i > 0 && strings.Contains(r.RequestURI, "KeyId") {
					t.Errorf("request %d: %s %s %v", i, r.Method, r.RequestURI, r.Header) // No Referer, no Cookie.
				}
			}
			if tt.err == "" {
				if n != 4 || err != nil || got.String() != "file" {
					t.Errorf("%d bytes %q, error %v", n, &got, err)
				}
				return
			}
			if n != 0 || got.Len() != 0 || err == nil || !strings.Contains(err.Error(), tt.err) {
				t.Fatalf("%d bytes %q, error %v, want %s", n, &got, err, tt.err)
			}
			_ = downloadError(t, err)
		})
	}
}

// TestDownloadCookies has a caller's jar keep to its hosts.
func TestDownloadCookies(t *testing.T) {
	t.Parallel()
	network := downloadNetwork(func(w http.ResponseWriter, r *http.Request) {
		if r.Host == "files.example.com" {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: "1"})
			w.Header().Set("Location", "https://cdn.example.org/v")
			w.WriteHeader(http.StatusFound)
		}
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := downloadClient(t, downloadPublic, &http.Client{Transport: network, Jar: jar})
	if _, err := client.Download(t.Context(), downloadAddress, io.Discard); err != nil {
		t.Fatal(err)
	}
	for _, r := range network.requests() {
		if len(r.Header) != 2 {
			t.Errorf("%s got %v", r.Host, r.Header)
		}
	}
}

// TestDownloadBody plays bodies that are not what they should be.
func TestDownloadBody(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\n"
	endless := func(w http.ResponseWriter, _ *http.Request) {
		piece := downloadContent(1 << 12)
		for range 5000 { // 20 MB, many times what is allowed
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}
	tests := []struct {
		name    string
		handler http.HandlerFunc
		opts    []api.DownloadOption
		n       int64
		err     error
		text    string
	}{
		{"shorter than announced", downloadRaw(head + "Content-Length: 10\r\n\r\n12345"), nil, 5, io.ErrUnexpectedEOF, "after 5 of 10 bytes"},
		{"nothing of what was announced", downloadRaw(head + "Content-Length: 10\r\n\r\n"), nil, 0, io.ErrUnexpectedEOF, "after 0 of 10 bytes"},
		{"a handler that stops", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, "12345")
		}, nil, 5, io.ErrUnexpectedEOF, "after 5 of 1000 bytes"},
		{"a handler that aborts", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1000")
			downloadFlush(w, []byte("12345"))
			panic(http.ErrAbortHandler)
		}, nil, 5, io.ErrUnexpectedEOF, "after 5 of 1000 bytes"},
		{"cut between chunks", downloadRaw(head + "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n"), nil, 5, io.ErrUnexpectedEOF, "after 5 of -1 bytes"},
		{"cut in a chunk", downloadRaw(head + "Transfer-Encoding: chunked\r\n\r\n5\r\n123"), nil, 3, io.ErrUnexpectedEOF, "after 3 of -1 bytes"},
		{"broken chunks", downloadRaw(head + "Transfer-Encoding: chunked\r\n\r\n5\r\n12345\r\nxyz\r\n"), nil, 5, nil, "after 5 of -1 bytes"},
		{"too large by its length", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "1001")
			_, _ = w.Write(downloadContent(1001))
		}, []api.DownloadOption{api.MaxBytes(1000)}, 0, api.ErrBodyTooLarge, "of 1000 bytes"},
		{"too large by default", downloadRaw(head + "Content-Length: 1073741825\r\n\r\n12345"), nil, 0, api.ErrBodyTooLarge, "of 1073741824 bytes"},
		{"endless", endless, []api.DownloadOption{api.MaxBytes(1_000_001)}, 1_000_001, api.ErrBodyTooLarge, "of 1000001 bytes"},
		{"endless, MaxBytes 1", endless, []api.DownloadOption{api.MaxBytes(1)}, 1, api.ErrBodyTooLarge, "of 1 bytes"},
		{"one byte more than MaxBytes", func(w http.ResponseWriter, _ *http.Request) {
			downloadFlush(w, downloadContent(1000))
			downloadFlush(w, []byte("1"))
		}, []api.DownloadOption{api.MaxBytes(1000)}, 1000, api.ErrBodyTooLarge, "of 1000 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client, _ := downloadSetup(t, downloadPublic, tt.handler)
			var got bytes.Buffer
			var progress downloadProgress
			n, err := client.Download(t.Context(), downloadAddress, &got, append(tt.opts, progress.option())...)
			if n != tt.n || int64(got.Len()) != n {
				t.Errorf("%d bytes returned, %d written, want %d", n, got.Len(), tt.n)
			}
			if n > 0 && (progress.starts(t) != 1 || progress.done[len(progress.done)-1] != n) {
				t.Errorf("progress %v, want one run to %d", progress.done, n)
			}
			e := downloadError(t, err)
			if tt.err != nil && !errors.Is(err, tt.err) || !strings.Contains(e.Error(), tt.text) || e.StatusCode != http.StatusOK || e.Attempts != 1 {
				t.Errorf("error %v, want %v with %q", err, tt.err, tt.text)
			}
			for _, class := range []error{api.ErrInvalidRequest, api.ErrServer, api.ErrNotFound, api.ErrMalformed} {
				if errors.Is(err, class) {
					t.Errorf("%v matches %v", err, class)
				}
			}
		})
	}
}

// TestDownloadEncoded: a body that is not the bytes of the file is no file, and is not asked for
// again.
func TestDownloadEncoded(t *testing.T) {
	t.Parallel()
	for coding, whole := range map[string]bool{"": true, "identity": true, "Identity": true, "gzip": false, "br": false, "gzip, identity": false} {
		t.Run(coding, func(t *testing.T) {
			t.Parallel()
			client, network := downloadSetup(t, downloadPublic, func(w http.ResponseWriter, _ *http.Request) {
				if coding != "" {
					w.Header().Set("Content-Encoding", coding)
				}
				_, _ = w.Write([]byte("file"))
			})
			path := filepath.Join(t.TempDir(), "video.mp4")
			n, err := client.DownloadFile(t.Context(), downloadAddress, path)
			if whole {
				if n != 4 || err != nil {
					t.Error(n, err)
				}
				downloadFolder(t, path, "file")
				return
			}
			if e := downloadError(t, err); n != 0 || !errors.Is(e, api.ErrMalformed) || e.StatusCode != http.StatusOK || len(network.addresses()) != 1 {
				t.Errorf("%d bytes in %d requests, error %v", n, len(network.addresses()), err)
			}
			downloadFolder(t, path)
		})
	}
}

// TestDownloadDeclaredTooLarge has a body that must not be read.
func TestDownloadDeclaredTooLarge(t *testing.T) {
	t.Parallel()
	closed := false
	doer := downloadDoer(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, ContentLength: 11, Body: downloadBody{
			Reader: iotest.ErrReader(errors.New("a byte was read")), close: func() { closed = true },
		}}, nil
	})
	client := downloadClient(t, downloadPublic, doer)
	n, err := client.Download(t.Context(), downloadAddress, io.Discard, api.MaxBytes(10))
	if n != 0 || !errors.Is(err, api.ErrBodyTooLarge) || !closed {
		t.Errorf("%d bytes, closed %t, error %v", n, closed, err)
	}
}

// downloadBody is the body of a Doer's answer.
type downloadBody struct {
	io.Reader
	close func()
}

func (b downloadBody) Close() error {
	if b.close != nil {
		b.close()
	}
	return nil
}

// TestDownloadReader has bodies that return their bytes and errors in the ways that io.Reader
// allows.
func TestDownloadReader(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	tests := []struct {
		name   string
		body   io.Reader
		length int64
		n      int64
		err    error
	}{
		{"end with the last bytes", iotest.DataErrReader(strings.NewReader("0123456789")), 10, 10, nil},
		{"end with the last bytes, no length", iotest.DataErrReader(strings.NewReader("0123456789")), -1, 10, nil},
		{"byte for byte", iotest.OneByteReader(strings.NewReader("0123456789")), 10, 10, nil},
		{"error with the last bytes", iotest.DataErrReader(io.MultiReader(strings.NewReader("01234"), iotest.ErrReader(broken))), 10, 5, broken},
		{"error at the end", io.MultiReader(strings.NewReader("0123456789"), iotest.ErrReader(broken)), 10, 10, broken},
		{"short", strings.NewReader("01234"), 10, 5, io.ErrUnexpectedEOF},
		{"long", strings.NewReader("0123456789"), 5, 10, io.ErrUnexpectedEOF},
		{"an error that is an end and more", iotest.ErrReader(fmt.Errorf("connection lost: %w", io.EOF)), -1, 0, io.EOF},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			doer := downloadDoer(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, ContentLength: tt.length, Body: downloadBody{Reader: tt.body}}, nil
			})
			client := downloadClient(t, downloadPublic, doer)
			var got bytes.Buffer
			n, err := client.Download(t.Context(), downloadAddress, &got)
			if n != tt.n || got.String() != "0123456789"[:n] || !errors.Is(err, tt.err) {
				t.Errorf("%d bytes %q, error %v; want %d, %v", n, &got, err, tt.n, tt.err)
			}
			if tt.err != nil {
				_ = downloadError(t, err)
			}
		})
	}
}

func TestDownloadStatus(t *testing.T) {
	t.Parallel()
	tests := []struct {
		status    int
		class     error
		retryable bool
	}{
		{http.StatusNoContent, nil, false},
		{http.StatusPartialContent, nil, false},
		{http.StatusCreated, nil, false},
		{http.StatusFound, nil, false}, // without Location
		{http.StatusNotModified, nil, false},
		{http.StatusBadRequest, api.ErrInvalidRequest, false},
		{http.StatusUnauthorized, api.ErrAuthentication, false},
		{http.StatusForbidden, api.ErrPermission, false},
		{http.StatusNotFound, api.ErrNotFound, false},
		{http.StatusGone, nil, false},
		{http.StatusRequestedRangeNotSatisfiable, nil, false},
		{http.StatusTooManyRequests, api.ErrRateLimited, true},
		{http.StatusInternalServerError, api.ErrServer, true},
		{http.StatusServiceUnavailable, api.ErrServer, true},
	}
	classes := []error{
		api.ErrInvalidRequest, api.ErrAuthentication, api.ErrPermission, api.ErrNotFound, api.ErrRateLimited, api.ErrServer, api.ErrMalformed, api.ErrBodyTooLarge,
	}
	for _, tt := range tests {
		t.Run(strconv.Itoa(tt.status), func(t *testing.T) {
			t.Parallel()
			client, network := downloadSetup(t, downloadPublic, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", "7")
				w.Header().Set("X-Request-Id", "id-1")
				w.Header().Set("X-Url", "https://"+r.Host+r.RequestURI)
				w.Header().Set("X-Original-Uri", r.RequestURI)
				w.Header().Set("X-Query", r.URL.RawQuery)
				w.WriteHeader(tt.status)
				_, _ = fmt.Fprintf(w, "<Error><Code>%d</Code><Resource>%s</Resource></Error>", tt.status, r.RequestURI)
			})
			n, err := client.Download(t.Context(), downloadAddress, iotest.TruncateWriter(nil, 0))
			if n != 0 || len(network.requests()) != 1 {
				t.Errorf("%d bytes, %d requests", n, len(network.requests()))
			}
			e := downloadError(t, err)
			if e.StatusCode != tt.status || e.Retryable() != tt.retryable || e.RetryAfter != 7*time.Second || e.Attempts != 1 || e.RequestID != "id-1" {
				t.Errorf("%+v, retryable %t", e, e.Retryable())
			}
			if e.Header.Get("X-Url") != "https://files.example.com/a/video.mp4?…" || e.Header.Get("Retry-After") != "7" {
				t.Errorf("header %v", e.Header)
			}
			if text := fmt.Sprintf("HTTP %d: %s", tt.status, http.StatusText(tt.status)); !strings.Contains(err.Error(), text) {
				t.Errorf("%v, want %q", err, text)
			}
			for _, class := range classes {
				if errors.Is(err, class) != (class == tt.class) { //nolint:errorlint // The row names the sentinel itself.
					t.Errorf("%v matches %v: %t", err, class, errors.Is(err, class))
				}
			}
		})
	}
}

// TestDownloadTime has servers that are slow, in virtual time.
func TestDownloadTime(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		handler http.HandlerFunc
		opts    []api.ClientOption
		slow    time.Duration // of each write
		n       int64
		took    time.Duration
		text    string // of the error, empty for success
	}{
		{name: "no header", handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			opts: []api.ClientOption{api.WithTimeout(5 * time.Second), api.WithIdleTimeout(time.Hour)}, took: 5 * time.Second, text: "nothing came for 5s"},
		{name: "no header, by default", handler: func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
			took: time.Minute, text: "nothing came for 1m0s"},
		{name: "redirects without end", handler: func(w http.ResponseWriter, r *http.Request) {
			downloadPause(r, 2*time.Second)
			w.Header().Set("Location", r.RequestURI)
			w.WriteHeader(http.StatusFound)
		}, opts: []api.ClientOption{api.WithTimeout(5 * time.Second)}, took: 5 * time.Second, text: "nothing came for 5s"},
		{name: "a silent body", handler: downloadHang(10),
			opts: []api.ClientOption{api.WithTimeout(time.Hour), api.WithIdleTimeout(7 * time.Second)}, n: 10, took: 7 * time.Second, text: "after 10 of 100 bytes: nothing came for 7s"},
		{name: "a silent body, by default", handler: downloadHang(99), n: 99, took: 2 * time.Minute, text: "after 99 of 100 bytes: nothing came for 2m0s"},
		{name: "a header and nothing more", handler: downloadHang(0), n: 0, took: 2 * time.Minute, text: "after 0 of 100 bytes: nothing came for 2m0s"},
		{name: "slow and then silent", handler: func(w http.ResponseWriter, r *http.Request) {
			for range 10 {
				downloadPause(r, time.Minute)
				downloadFlush(w, []byte("1"))
			}
			<-r.Context().Done()
		}, opts: []api.ClientOption{api.WithTimeout(2 * time.Minute)}, n: 10, took: 12 * time.Minute, text: "nothing came for 2m0s"},
		{name: "slow but steady", handler: func(w http.ResponseWriter, r *http.Request) {
			for range 100 {
				downloadFlush(w, []byte("1"))
				downloadPause(r, 119*time.Second)
			}
		}, n: 100, took: 100 * 119 * time.Second},
		{name: "a slow writer", handler: downloadServe(downloadContent(10)), slow: time.Hour, n: 10, took: time.Hour},
		{name: "a slow writer and a silent server", handler: downloadHang(10), slow: time.Hour, n: 10, took: time.Hour + 2*time.Minute, text: "nothing came for 2m0s"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, _ := downloadSetup(t, downloadPublic, tt.handler, tt.opts...)
				start := time.Now()
				n, err := client.Download(t.Context(), downloadAddress, downloadWriter(func(p []byte) (int, error) {
					if tt.slow > 0 {
						<-time.After(tt.slow)
					}
					return len(p), nil
				}))
				if n != tt.n || time.Since(start) != tt.took {
					t.Errorf("%d bytes in %v, want %d in %v", n, time.Since(start), tt.n, tt.took)
				}
				if tt.text == "" {
					if err != nil {
						t.Error(err)
					}
					return
				}
				_ = downloadError(t, err)
				if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("error %v, want %q", err, tt.text)
				}
			})
		})
	}
}

// downloadWriter is a function that writes.
type downloadWriter func([]byte) (int, error)

func (w downloadWriter) Write(p []byte) (int, error) { return w(p) }

// TestDownloadContext ends the context at each stage, in virtual time.
func TestDownloadContext(t *testing.T) {
	t.Parallel()
	reason := errors.New("the user left")
	silent := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	tests := []struct {
		name    string
		handler http.HandlerFunc
		make    func(context.Context) (context.Context, context.CancelFunc)
		n       int64
		err     []error
		text    string
	}{
		{"ended before", silent, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			cancel(reason)
			return ctx, func() {}
		}, 0, []error{context.Canceled, reason}, "the user left"},
		{"cancelled, no header", silent, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			timer := time.AfterFunc(time.Second, func() { cancel(reason) })
			return ctx, func() { timer.Stop() }
		}, 0, []error{context.Canceled, reason}, "the user left"},
		{"cancelled, in the body", downloadHang(10), func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancelCause(ctx)
			timer := time.AfterFunc(time.Second, func() { cancel(reason) })
			return ctx, func() { timer.Stop() }
		}, 10, []error{context.Canceled, reason}, "after 10 of 100 bytes: context canceled: the user left"},
		{"deadline, no header", silent, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, time.Second)
		}, 0, []error{context.DeadlineExceeded}, "context deadline exceeded"},
		{"deadline, in the body", downloadHang(10), func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeoutCause(ctx, time.Second, reason)
		}, 10, []error{context.DeadlineExceeded, reason}, "the user left"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, network := downloadSetup(t, downloadPublic, tt.handler)
				ctx, cancel := tt.make(t.Context())
				defer cancel()
				start := time.Now()
				n, err := client.Download(ctx, downloadAddress, io.Discard)
				if took := time.Since(start); n != tt.n || took > time.Second {
					t.Errorf("%d bytes in %v, want %d", n, took, tt.n)
				}
				if tt.name == "ended before" && len(network.requests()) != 0 {
					t.Error("a request was sent")
				}
				_ = downloadError(t, err)
				for _, target := range tt.err {
					if !errors.Is(err, target) {
						t.Errorf("%v does not match %v", err, target)
					}
				}
				if !strings.Contains(err.Error(), tt.text) {
					t.Errorf("error %v, want %q", err, tt.text)
				}
			})
		})
	}
}

// TestDownloadWriter has writers that fail.
func TestDownloadWriter(t *testing.T) {
	t.Parallel()
	full := &os.PathError{Op: "write", Path: "video.mp4", Err: syscall.ENOSPC}
	tests := []struct {
		name  string
		write downloadWriter
		n     int64
		err   error
	}{
		{"nothing", func([]byte) (int, error) { return 0, full }, 0, syscall.ENOSPC},
		{"a part", func(p []byte) (int, error) { return len(p) / 2, full }, 500, full},
		{"all and an error", func(p []byte) (int, error) { return len(p), full }, 1000, full},
		{"short without an error", func(p []byte) (int, error) { return len(p) - 1, nil }, 999, io.ErrShortWrite},
		{"a closed file", func(p []byte) (int, error) { return 0, os.ErrClosed }, 0, os.ErrClosed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client, network := downloadSetup(t, downloadPublic, downloadServe(downloadContent(1000)))
			calls := 0
			n, err := client.Download(t.Context(), downloadAddress, downloadWriter(func(p []byte) (int, error) {
				calls++
				return tt.write(p)
			}), api.OnBytes(func(int64, int64) { t.Error("OnBytes was called") }))
			if n != tt.n || !errors.Is(err, tt.err) || calls != 1 || len(network.requests()) != 1 {
				t.Errorf("%d bytes in %d writes, error %v; want %d, %v", n, calls, err, tt.n, tt.err)
			}
			_ = downloadError(t, err)
		})
	}
}

func TestDownloadRefused(t *testing.T) {
	t.Parallel()
	client, network := downloadSetup(t, downloadPublic, downloadServe([]byte("file")))
	raw, err := api.NewClientWithResponses(downloadPublic, api.WithHTTPClient(&http.Client{Transport: network}))
	if err != nil {
		t.Fatal(err)
	}
	var noContext context.Context
	var noClient *api.ClientWithResponses
	path := filepath.Join(t.TempDir(), "video.mp4")
	tests := []struct {
		name   string
		client *api.ClientWithResponses
		ctx    context.Context
		opts   []api.DownloadOption
	}{
		{"nil context", client, noContext, nil},
		{"nil client", noClient, t.Context(), nil},
		{"zero client", &api.ClientWithResponses{}, t.Context(), nil},
		{"raw client", raw, t.Context(), nil},
		{"nil option", client, t.Context(), []api.DownloadOption{nil}},
		{"MaxBytes 0", client, t.Context(), []api.DownloadOption{api.MaxBytes(0)}},
		{"MaxBytes -1", client, t.Context(), []api.DownloadOption{api.MaxBytes(-1)}},
		{"OnBytes nil", client, t.Context(), []api.DownloadOption{api.OnBytes(nil)}},
		{"one of two", client, t.Context(), []api.DownloadOption{api.MaxBytes(1), api.OnBytes(nil)}},
	}
	for _, tt := range tests {
		_, err := tt.client.Download(tt.ctx, downloadAddress, io.Discard, tt.opts...)
		if e := downloadError(t, err); !errors.Is(err, api.ErrInvalidRequest) || e.StatusCode != 0 {
			t.Errorf("%s: %v", tt.name, err)
		}
		_, err = tt.client.DownloadFile(tt.ctx, downloadAddress, path, tt.opts...)
		if e := downloadError(t, err); !errors.Is(err, api.ErrInvalidRequest) || e.StatusCode != 0 {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	if _, err := client.Download(t.Context(), downloadAddress, nil); !errors.Is(err, api.ErrInvalidRequest) {
		t.Errorf("nil writer: %v", err)
	}
	if len(network.addresses()) != 0 {
		t.Errorf("%d requests were sent", len(network.addresses()))
	}
	downloadFolder(t, path)
}

// TestDownloadSecret has a transport that repeats the address in its errors.
func TestDownloadSecret(t *testing.T) {
	t.Parallel()
	reason := errors.New("no route")
	tests := []struct {
		name string
		fail func(*http.Request) error
	}{
		{"plain", func(*http.Request) error { return reason }},
		{"address in text", func(r *http.Request) error { return fmt.Errorf("GET %s: %w", r.URL, reason) }},
		{"address in quotes", func(r *http.Request) error { return fmt.Errorf("GET %q failed: %w", r.URL, reason) }},
		{"target", func(r *http.Request) error { return fmt.Errorf("GET %s: %w", r.URL.RequestURI(), reason) }},
		{"query", func(r *http.Request) error { return fmt.Errorf("%w (query %s)", reason, r.URL.RawQuery) }},
		{"url.Error", func(r *http.Request) error { return &url.Error{Op: "Get", URL: r.URL.String(), Err: reason} }},
		{"wrapped url.Error", func(r *http.Request) error {
			return fmt.Errorf("proxy: %w", &url.Error{Op: "Get", URL: r.URL.String(), Err: reason})
		}},
		{"url.Error in url.Error", func(r *http.Request) error {
			return &url.Error{Op: "Get", URL: r.URL.String(), Err: &url.Error{Op: "Get", URL: r.URL.String(), Err: reason}}
		}},
		{"joined", func(r *http.Request) error {
			return errors.Join(reason, &url.Error{Op: "Get", URL: r.URL.String(), Err: fmt.Errorf("%s: %w", r.URL, reason)})
		}},
		{"another address", func(*http.Request) error {
			return fmt.Errorf("GET https://cdn.example.com/v?%s: %w", downloadQuery, reason)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for name, doer := range map[string]api.HttpRequestDoer{
				"http.Client": &http.Client{Transport: downloadTransport(func(r *http.Request) (*http.Response, error) { return nil, tt.fail(r) })},
				"Doer":        downloadDoer(func(r *http.Request) (*http.Response, error) { return nil, tt.fail(r) }),
				"body": downloadDoer(func(r *http.Request) (*http.Response, error) {
					return &http.Response{StatusCode: http.StatusOK, ContentLength: -1, Body: downloadBody{Reader: iotest.ErrReader(tt.fail(r))}}, nil
				}),
			} {
				_, err := downloadClient(t, downloadPublic, doer).Download(t.Context(), downloadAddress, io.Discard)
				_ = downloadError(t, err)
				if !errors.Is(err, reason) || !strings.Contains(err.Error(), "no route") && !strings.Contains(err.Error(), "?…") {
					t.Errorf("%s: %v does not say why", name, err)
				}
			}
		})
	}
}

// downloadTransport is a function that sends.
type downloadTransport func(*http.Request) (*http.Response, error)

func (f downloadTransport) RoundTrip(req *http.Request) (*http.Response, error) { return f(req) }

// TestDownloadDoer has callers who bring their own way of sending.
func TestDownloadDoer(t *testing.T) {
	t.Parallel()
	// The network redirects once, to where the path says.
	handler := func(w http.ResponseWriter, r *http.Request) {
		if to := r.URL.Query().Get("to"); to != "" {
			http.Redirect(w, r, to, http.StatusFound)
			return
		}
		_, _ = io.WriteString(w, "file")
	}
	from := func(to string) string {
		return "https://files.example.com/a?Signature=" + downloadSecret + "&to=" + url.QueryEscape(to)
	}

	t.Run("http.Client", func(t *testing.T) {
		t.Parallel()
		ran := 0
		own := &http.Client{Transport: downloadNetwork(handler), CheckRedirect: func(*http.Request, []*http.Request) error {
			ran++
			return nil
		}}
		client := downloadClient(t, downloadPublic, own)
		if n, err := client.Download(t.Context(), from("https://cdn.example.com/v"), io.Discard); n != 4 || err != nil {
			t.Error(n, err)
		}
		if _, err := client.Download(t.Context(), from("http://cdn.example.com/v"), io.Discard); err == nil {
			t.Error("no error")
		}
		if ran != 0 || own.CheckRedirect(nil, nil) != nil || ran != 1 {
			t.Error("the caller's client was changed")
		}
	})
	for to, ok := range map[string]bool{
		"https://cdn.example.com/v":                  true,
		"http://cdn.example.com/v":                   false,
		"https://localhost/v":                        false,
		"http://127.0.0.1/v":                         false,
		"https://[::ffff:127.0.0.1]/v":               false,
		"https://user:passw0rd@cdn.example.com/v":    false,
		"https://cdn.example.com/v?" + downloadQuery: true,
	} {
		t.Run("following Doer to "+to[:strings.LastIndexByte(to, '/')], func(t *testing.T) {
			t.Parallel()
			network := downloadNetwork(handler)
			client := downloadClient(t, downloadPublic, downloadDoer((&http.Client{Transport: network}).Do))
			path := filepath.Join(t.TempDir(), "video.mp4")
			n, err := client.DownloadFile(t.Context(), from(to), path)
			if ok {
				if n != 4 || err != nil {
					t.Error(n, err)
				}
				downloadFolder(t, path, "file")
				return
			}
			if e := downloadError(t, err); n != 0 || !strings.Contains(e.Error(), "followed a redirect to a bad address") || e.Attempts != 1 {
				t.Error(n, err)
			}
			downloadFolder(t, path)
		})
	}
	for name, doer := range map[string]downloadDoer{
		"nothing": func(*http.Request) (*http.Response, error) { return nil, nil },
		"no body": func(*http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusOK}, nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n, err := downloadClient(t, downloadPublic, doer).Download(t.Context(), downloadAddress, io.Discard)
			if e := downloadError(t, err); n != 0 || !strings.Contains(e.Error(), "no answer and no error") {
				t.Error(n, err)
			}
		})
	}
}

// TestDownloadCloses closes every body, of redirects and refusals too.
func TestDownloadCloses(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusOK, http.StatusFound, http.StatusForbidden} {
		opened, closed := 0, 0
		doer := downloadDoer(func(*http.Request) (*http.Response, error) {
			opened++
			resp := &http.Response{StatusCode: http.StatusFound, Header: http.Header{"Location": {"/v"}}, ContentLength: -1,
				Body: downloadBody{Reader: strings.NewReader("body"), close: func() { closed++ }}}
			if opened == 3 && status != http.StatusFound {
				resp.StatusCode = status
			}
			return resp, nil
		})
		n, err := downloadClient(t, downloadPublic, doer).Download(t.Context(), downloadAddress, io.Discard)
		if (err == nil) != (status == http.StatusOK) || closed != opened || opened < 3 {
			t.Errorf("HTTP %d: %d bytes, error %v, %d of %d bodies closed", status, n, err, closed, opened)
		}
	}
}

// TestDownloadMemory needs no more memory for a large file than for a small one. It is not
// parallel, because it counts what the whole process allocates.
func TestDownloadMemory(t *testing.T) { //nolint:paralleltest // See above.
	client := downloadClient(t, downloadPublic, downloadDoer(func(req *http.Request) (*http.Response, error) {
		size, err := strconv.ParseInt(req.URL.Path[1:], 10, 64)
		return &http.Response{StatusCode: http.StatusOK, ContentLength: size, Body: downloadBody{Reader: io.LimitReader(downloadZeros{}, size)}}, err
	}))
	allocated := func(size int64) (bytes, count uint64) {
		const runs = 10
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			if n, err := client.Download(t.Context(), fmt.Sprint("https://files.example.com/", size), io.Discard, api.OnBytes(func(int64, int64) {})); n != size || err != nil {
				t.Fatal(n, err)
			}
		}
		runtime.ReadMemStats(&after)
		return (after.TotalAlloc - before.TotalAlloc) / runs, (after.Mallocs - before.Mallocs) / runs
	}
	allocated(1) // What is made once.
	smallBytes, smallCount := allocated(1 << 10)
	largeBytes, largeCount := allocated(64 << 20)
	if largeBytes > smallBytes+16<<10 || largeCount > smallCount+20 || largeBytes > 512<<10 {
		t.Errorf("64 MiB took %d bytes in %d allocations, 1 KiB took %d in %d", largeBytes, largeCount, smallBytes, smallCount)
	}
}

// downloadZeros is an endless file.
type downloadZeros struct{}

func (downloadZeros) Read(p []byte) (int, error) { return len(p), nil }

// downloadFolder checks that the folder of path holds nothing, or a file of that name with
// this content.
func downloadFolder(t testing.TB, path string, content ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(content) {
		t.Errorf("the folder holds %v", entries)
	}
	for _, want := range content {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			t.Errorf("the file holds %d bytes (%v), want %d", len(got), err, len(want))
		}
	}
}

// TestDownloadFile writes a file, over an old one and without one.
func TestDownloadFile(t *testing.T) {
	t.Parallel()
	content := downloadContent(300_000)
	folder := t.TempDir()
	plain, err := os.Create(filepath.Join(folder, "plain"))
	if err != nil {
		t.Fatal(err)
	}
	info, err := plain.Stat()
	if err = errors.Join(err, plain.Close()); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		file    string
		content []byte
		old     []string
	}{
		{"new", "video.mp4", content, nil},
		{"empty", "video.mp4", nil, nil},
		{"over an old one", "video.mp4", content, []string{"old"}},
		{"over a larger one", "video.mp4", []byte("new"), []string{string(content)}},
		{"a long name", strings.Repeat("v", 255), content, []string{"old"}},
		{"an odd name", " …\n%s*", content, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client, _ := downloadSetup(t, downloadPublic, downloadServe(tt.content))
			path := filepath.Join(t.TempDir(), tt.file)
			for _, old := range tt.old {
				if err := os.WriteFile(path, []byte(old), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			var progress downloadProgress
			n, err := client.DownloadFile(t.Context(), downloadAddress, path, progress.option(), api.OnBytes(func(done, total int64) {
				// Until the end, what was there before is there.
				if got, err := os.ReadFile(path); err == nil != (tt.old != nil) || tt.old != nil && string(got) != tt.old[0] {
					t.Errorf("after %d of %d bytes: %d bytes, %v", done, total, len(got), err)
				}
			}))
			if n != int64(len(tt.content)) || err != nil {
				t.Fatal(n, err)
			}
			downloadFolder(t, path, string(tt.content))
			if got, err := os.Stat(path); err != nil || got.Mode() != info.Mode() {
				t.Errorf("mode %v (%v), want %v, that of any new file", got.Mode(), err, info.Mode())
			}
		})
	}
}

// TestDownloadFileRelative writes into the folder of the process.
func TestDownloadFileRelative(t *testing.T) { //nolint:paralleltest // Chdir is for the whole process.
	t.Chdir(t.TempDir())
	client, _ := downloadSetup(t, downloadPublic, downloadServe([]byte("file")))
	if n, err := client.DownloadFile(t.Context(), downloadAddress, "video.mp4"); n != 4 || err != nil {
		t.Fatal(n, err)
	}
	downloadFolder(t, "video.mp4", "file")
}

// TestDownloadFileInterrupted cuts the answer after each of its bytes.
func TestDownloadFileInterrupted(t *testing.T) {
	t.Parallel()
	const content = "this is a file of some fifty bytes, as files do go"
	for name, answer := range map[string]string{
		"length":  fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(content), content),
		"chunked": fmt.Sprintf("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", 20, content[:20], len(content)-20, content[20:]),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var cut atomic.Int64
			client, _ := downloadSetup(t, downloadPublic, func(w http.ResponseWriter, r *http.Request) { downloadRaw(answer[:cut.Load()])(w, r) }, api.WithMaxAttempts(1))
			path := filepath.Join(t.TempDir(), "video.mp4")
			for i := range len(answer) {
				cut.Store(int64(i))
				var old []string
				if i == len(answer)/2 {
					if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if i >= len(answer)/2 {
					old = []string{"old"}
				}
				_, err := client.DownloadFile(t.Context(), downloadAddress, path)
				if err == nil {
					t.Fatalf("cut after %d of %d bytes: no error", i, len(answer))
				}
				_ = downloadError(t, err)
				downloadFolder(t, path, old...)
			}
			cut.Store(int64(len(answer)))
			if n, err := client.DownloadFile(t.Context(), downloadAddress, path); n != int64(len(content)) || err != nil {
				t.Error(n, err)
			}
			downloadFolder(t, path, content)
		})
	}
}

// TestDownloadFileRetry plays failures before the file, or for ever, in virtual time.
func TestDownloadFileRetry(t *testing.T) {
	t.Parallel()
	const size = 100_000
	hang, raw := zaitest.Hang(), func(status int) zaitest.Reply { return zaitest.Raw(status, nil, "<Error/>") }
	var ordinary zaitest.Reply
	tests := []struct {
		name     string
		replies  []zaitest.Reply // the last one for ever
		opts     []api.ClientOption
		attempts int
		starts   int // of the progress
		least    time.Duration
		status   int // of the error, 0 for success
	}{
		{name: "at once", replies: []zaitest.Reply{ordinary}, attempts: 1, starts: 1},
		{name: "cut", replies: []zaitest.Reply{zaitest.CutBody(40_000), ordinary}, attempts: 2, starts: 2},
		{name: "cut before the first byte", replies: []zaitest.Reply{zaitest.CutBody(0), ordinary}, attempts: 2, starts: 1},
		{name: "cut before the last byte", replies: []zaitest.Reply{zaitest.CutBody(size - 1), ordinary}, attempts: 2, starts: 2},
		{name: "cut twice", replies: []zaitest.Reply{zaitest.CutBody(90_000), zaitest.CutBody(50_000), ordinary}, attempts: 3, starts: 3},
		{name: "500", replies: []zaitest.Reply{zaitest.ServerError("500"), ordinary}, attempts: 2, starts: 1},
		{name: "502, HTML", replies: []zaitest.Reply{zaitest.HTMLError(502), ordinary}, attempts: 2, starts: 1},
		{name: "reset", replies: []zaitest.Reply{zaitest.Abort(), ordinary}, attempts: 2, starts: 1},
		{name: "no header", replies: []zaitest.Reply{hang, ordinary}, attempts: 2, starts: 1, least: time.Minute},
		{name: "silence", replies: []zaitest.Reply{zaitest.StallBody(40_000), ordinary}, attempts: 2, starts: 2, least: 2 * time.Minute},
		{name: "429", replies: []zaitest.Reply{zaitest.RateLimited("1302", "9"), ordinary}, attempts: 2, starts: 1, least: 9 * time.Second},
		{name: "404", replies: []zaitest.Reply{raw(404), ordinary}, attempts: 2, starts: 1, least: 2 * time.Second},
		{name: "404 twice", replies: []zaitest.Reply{raw(404), raw(404), ordinary}, attempts: 3, starts: 1, least: 4 * time.Second},
		{name: "a larger file that is cut, then a smaller one", replies: []zaitest.Reply{
			zaitest.Raw(200, http.Header{"Content-Length": {"400000"}}, strings.Repeat("x", 300_000)), ordinary,
		}, attempts: 2, starts: 2},
		{name: "six attempts", replies: []zaitest.Reply{raw(500), zaitest.Abort(), zaitest.CutBody(50_000), raw(404), raw(503), ordinary},
			opts: []api.ClientOption{api.WithMaxAttempts(6)}, attempts: 6, starts: 2, least: 2 * time.Second},

		{name: "404 for ever", replies: []zaitest.Reply{raw(404)}, attempts: 3, least: 4 * time.Second, status: 404},
		{name: "500 for ever", replies: []zaitest.Reply{raw(500)}, attempts: 3, status: 500},
		{name: "cut for ever", replies: []zaitest.Reply{zaitest.CutBody(40_000)}, attempts: 3, starts: 3, status: 200},
		{name: "403", replies: []zaitest.Reply{raw(403), ordinary}, attempts: 1, status: 403},
		{name: "401", replies: []zaitest.Reply{raw(401), ordinary}, attempts: 1, status: 401},
		{name: "410", replies: []zaitest.Reply{raw(410), ordinary}, attempts: 1, status: 410},
		{name: "206", replies: []zaitest.Reply{raw(206), ordinary}, attempts: 1, status: 206},
		{name: "too large", replies: []zaitest.Reply{zaitest.Raw(200, http.Header{"Content-Length": {"1073741825"}}, "x"), ordinary}, attempts: 1, status: 200},
		{name: "429 with a long Retry-After", replies: []zaitest.Reply{zaitest.RateLimited("1302", "61"), ordinary}, attempts: 1, status: 429},
		{name: "404, one attempt", replies: []zaitest.Reply{raw(404), ordinary}, opts: []api.ClientOption{api.WithMaxAttempts(1)}, attempts: 1, status: 404},
		{name: "cut, one attempt", replies: []zaitest.Reply{zaitest.CutBody(1), ordinary}, opts: []api.ClientOption{api.WithMaxAttempts(1)}, attempts: 1, starts: 1, status: 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := zaitest.NewUnstartedServer()
				defer server.Close()
				content := downloadContent(size)
				address := server.AddFile("video.mp4", content)
				server.Enqueue(tt.replies...)
				server.Always(tt.replies[len(tt.replies)-1])
				client := downloadClient(t, server.URL, &http.Client{Transport: server.Transport()}, tt.opts...)
				path := filepath.Join(t.TempDir(), "video.mp4")
				if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
					t.Fatal(err)
				}
				var progress downloadProgress
				start := time.Now()
				n, err := client.DownloadFile(t.Context(), address, path, progress.option())
				if got := len(server.Requests()); got != tt.attempts {
					t.Errorf("%d attempts, want %d", got, tt.attempts)
				}
				if got := progress.starts(t); got != tt.starts {
					t.Errorf("progress in %d runs, want %d: %v", got, tt.starts, progress.done)
				}
				// Beyond what must be waited, backoff is short.
				if took := time.Since(start); took < tt.least || took > tt.least+20*time.Second {
					t.Errorf("took %v, want %v and a little", took, tt.least)
				}
				if tt.status == 0 {
					if n != size || err != nil {
						t.Error(n, err)
					}
					downloadFolder(t, path, string(content))
					return
				}
				if e := downloadError(t, err); e.StatusCode != tt.status || e.Attempts != tt.attempts {
					t.Errorf("HTTP %d after %d attempts: %v", e.StatusCode, e.Attempts, err)
				}
				downloadFolder(t, path, "old")
			})
		})
	}
}

// TestDownloadFileReset resets a real connection in the middle of a file.
func TestDownloadFileReset(t *testing.T) {
	t.Parallel()
	server := zaitest.NewServer()
	defer server.Close()
	content := downloadContent(100_000)
	address := server.AddFile("video.mp4", content)
	server.Enqueue(func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		w.Header().Set("Content-Length", "100000")
		downloadFlush(w, content[:5000])
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			panic(err)
		}
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0)
		}
		_ = conn.Close()
	})
	client, err := api.New(server.APIKey, api.WithBaseURL(server.URL))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "video.mp4")
	if n, err := client.DownloadFile(t.Context(), address, path); n != 100_000 || err != nil || len(server.Requests()) != 2 {
		t.Errorf("%d bytes in %d requests, error %v", n, len(server.Requests()), err)
	}
	downloadFolder(t, path, string(content))
}

// TestDownloadHTTP2 plays faults on real streams under TLS.
func TestDownloadHTTP2(t *testing.T) {
	t.Parallel()
	server := zaitest.NewUnstartedServer()
	defer server.Close()
	web := httptest.NewUnstartedServer(server)
	web.EnableHTTP2 = true
	web.StartTLS()
	defer web.Close()
	server.URL = web.URL + "/api"
	content := downloadContent(100_000)
	address := server.AddFile("video.mp4", content)
	client := downloadClient(t, server.URL, web.Client())

	server.Enqueue(zaitest.CutBody(60_000))
	path := filepath.Join(t.TempDir(), "video.mp4")
	if n, err := client.DownloadFile(t.Context(), address, path); n != 100_000 || err != nil || len(server.Requests()) != 2 {
		t.Errorf("%d bytes in %d requests, error %v", n, len(server.Requests()), err)
	}
	downloadFolder(t, path, string(content))

	for name, reply := range map[string]zaitest.Reply{
		"reset": zaitest.CutBody(500),
		"end": func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
			w.Header().Set("Content-Length", "100000")
			downloadFlush(w, content[:500])
		},
	} {
		server.Enqueue(reply)
		n, err := client.Download(t.Context(), address, io.Discard)
		if e := downloadError(t, err); n != 500 || !strings.Contains(e.Error(), "after 500 of 100000 bytes") {
			t.Errorf("%s: %d bytes, error %v", name, n, err)
		}
	}
	if n, err := client.Download(t.Context(), address, io.Discard, api.MaxBytes(10)); n != 0 || !errors.Is(err, api.ErrBodyTooLarge) {
		t.Errorf("%d bytes, error %v", n, err)
	}
}

// TestDownloadFileAppears has a file that is there a moment after its address.
func TestDownloadFileAppears(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := zaitest.NewUnstartedServer()
		defer server.Close()
		client := downloadClient(t, server.URL, &http.Client{Transport: server.Transport()})
		time.AfterFunc(3*time.Second, func() { server.AddFile("late.mp4", []byte("file")) })
		path := filepath.Join(t.TempDir(), "late.mp4")
		if n, err := client.DownloadFile(t.Context(), server.FileURL("late.mp4"), path); n != 4 || err != nil {
			t.Error(n, err)
		}
		downloadFolder(t, path, "file")
	})
}

// TestDownloadFileLocal has paths that cannot be written. Nothing is asked for where that is
// seen at once, and nothing is asked for twice.
func TestDownloadFileLocal(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	write := func(name string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("file")
	locked := filepath.Join(folder, "locked")
	link, device := filepath.Join(folder, "link"), filepath.Join(folder, "device")
	if err := errors.Join(os.Mkdir(locked, 0o500), os.Symlink(folder, link), os.Symlink(os.DevNull, device)); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name    string
		path    string
		invalid bool
		may     bool // succeed, for root
	}{
		{name: "empty", path: "", invalid: true},
		{name: "a folder", path: folder, invalid: true},
		{name: "a folder, with a slash", path: folder + "/", invalid: true},
		{name: "this folder", path: ".", invalid: true},
		{name: "a link to a folder", path: link, invalid: true},
		{name: "a link to a device", path: device, invalid: true},
		{name: "a missing folder", path: filepath.Join(folder, "missing", "video.mp4")},
		{name: "a missing folder, with a slash", path: filepath.Join(folder, "missing") + "/"},
		{name: "a file for a folder", path: filepath.Join(file, "video.mp4")},
		{name: "a file, with a slash", path: file + "/"},
		{name: "a name too long", path: filepath.Join(folder, strings.Repeat("v", 256))},
		{name: "no name", path: "nul\x00"},
		{name: "a locked folder", path: filepath.Join(locked, "video.mp4"), may: os.Geteuid() == 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			client, network := downloadSetup(t, downloadPublic, downloadServe([]byte("new")))
			n, err := client.DownloadFile(t.Context(), downloadAddress, tt.path)
			if tt.may {
				if n != 3 || err != nil {
					t.Error(n, err)
				}
				return
			}
			e := downloadError(t, err)
			if errors.Is(err, api.ErrInvalidRequest) != tt.invalid || e.StatusCode != 0 || e.Retryable() {
				t.Errorf("%d bytes, error %v", n, err)
			}
			if len(network.addresses()) > 1 || tt.invalid && len(network.addresses()) > 0 {
				t.Errorf("asked %v", network.addresses())
			}
		})
	}
	t.Cleanup(func() {
		if got, err := os.ReadFile(file); string(got) != "old" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		entries, err := os.ReadDir(folder)
		if err != nil || len(entries) != 4 {
			t.Errorf("%v, %v", entries, err)
		}
	})
}

// TestDownloadFileTaken has the path become a folder in the meantime.
func TestDownloadFileTaken(t *testing.T) {
	t.Parallel()
	client, network := downloadSetup(t, downloadPublic, downloadServe([]byte("file")))
	path := filepath.Join(t.TempDir(), "video.mp4")
	_, err := client.DownloadFile(t.Context(), downloadAddress, path, api.OnBytes(func(int64, int64) {
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Error(err)
		}
	}))
	_ = downloadError(t, err)
	entries, readErr := os.ReadDir(filepath.Dir(path))
	if len(entries) != 1 || !entries[0].IsDir() || readErr != nil || len(network.addresses()) != 1 {
		t.Errorf("%v, %v, %v", entries, readErr, network.addresses())
	}
}

// TestDownloadFilePanic has a caller's function panic.
func TestDownloadFilePanic(t *testing.T) {
	t.Parallel()
	client, _ := downloadSetup(t, downloadPublic, downloadServe([]byte("file")))
	path := filepath.Join(t.TempDir(), "video.mp4")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		_, _ = client.DownloadFile(t.Context(), downloadAddress, path, api.OnBytes(func(int64, int64) { panic("the caller's") }))
	}()
	downloadFolder(t, path)
}

// TestDownloadFileContext ends the context before, during and between attempts, in virtual
// time.
func TestDownloadFileContext(t *testing.T) {
	t.Parallel()
	reason := errors.New("the user left")
	tests := []struct {
		name     string
		reply    zaitest.Reply
		after    time.Duration
		attempts int
		status   int
		text     string
	}{
		{"before", nil, -1, 0, 0, "the user left"},
		{"no header", zaitest.Hang(), time.Second, 1, 0, "the user left"},
		{"in the body", zaitest.StallBody(500), time.Second, 1, 200, "after 500 of 1000 bytes"},
		{"between attempts", zaitest.Raw(404, nil, ""), time.Second, 1, 404, "HTTP 404"},
		{"in the second attempt", zaitest.Slow(1500*time.Millisecond, zaitest.Raw(404, nil, "")), 4 * time.Second, 2, 0, "the user left"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				server := zaitest.NewUnstartedServer()
				defer server.Close()
				address := server.AddFile("video.mp4", downloadContent(1000))
				server.Always(tt.reply)
				client := downloadClient(t, server.URL, &http.Client{Transport: server.Transport()})
				ctx, cancel := context.WithCancelCause(t.Context())
				defer cancel(nil)
				if tt.after < 0 {
					cancel(reason)
				} else {
					defer time.AfterFunc(tt.after, func() { cancel(reason) }).Stop()
				}
				start := time.Now()
				path := filepath.Join(t.TempDir(), "video.mp4")
				_, err := client.DownloadFile(ctx, address, path)
				if took := time.Since(start); took != max(tt.after, 0) {
					t.Errorf("took %v, want %v", took, tt.after)
				}
				e := downloadError(t, err)
				if !errors.Is(err, context.Canceled) || !errors.Is(err, reason) || e.StatusCode != tt.status || !strings.Contains(err.Error(), tt.text) {
					t.Errorf("error %v, want %q", err, tt.text)
				}
				if got := len(server.Requests()); got != tt.attempts {
					t.Errorf("%d requests, want %d", got, tt.attempts)
				}
				downloadFolder(t, path)
			})
		})
	}
}

// TestDownloadFileDeadline has no time left for another attempt: the answer of the server is
// what the caller gets, at once.
func TestDownloadFileDeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := zaitest.NewUnstartedServer()
		defer server.Close()
		client := downloadClient(t, server.URL, &http.Client{Transport: server.Transport()})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		path := filepath.Join(t.TempDir(), "video.mp4")
		_, err := client.DownloadFile(ctx, server.FileURL("missing.mp4"), path)
		if e := downloadError(t, err); !errors.Is(err, api.ErrNotFound) || e.Attempts != 1 || time.Since(start) != 0 {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		downloadFolder(t, path)
	})
}

// TestDownloadFileConcurrent has many write the same file. One of them wins, as a whole.
func TestDownloadFileConcurrent(t *testing.T) {
	t.Parallel()
	const size = 100_000
	client, _ := downloadSetup(t, downloadPublic, func(w http.ResponseWriter, r *http.Request) {
		downloadServe(bytes.Repeat([]byte(r.URL.Query().Get("c")), size))(w, r)
	})
	path := filepath.Join(t.TempDir(), "video.mp4")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if n, err := client.DownloadFile(t.Context(), fmt.Sprintf("https://files.example.com/v?c=%d", i), path); n != size || err != nil {
				t.Error(n, err)
			}
			if got, err := os.ReadFile(path); err != nil || len(got) != size || !bytes.Equal(got, bytes.Repeat(got[:1], size)) {
				t.Errorf("%d bytes, %v", len(got), err)
			}
		})
	}
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	downloadFolder(t, path, string(got))
}

// TestDownloadLog has one record for each attempt.
func TestDownloadLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		server := zaitest.NewUnstartedServer()
		defer server.Close()
		address := server.AddFile("video.mp4", downloadContent(1000))
		server.Enqueue(zaitest.ServerError("500"), zaitest.CutBody(10))
		log := &downloadLog{}
		logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		client := downloadClient(t, server.URL, &http.Client{Transport: server.Transport()}, api.WithLogger(logger))
		if _, err := client.DownloadFile(t.Context(), address, filepath.Join(t.TempDir(), "video.mp4")); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Download(t.Context(), strings.Replace(address, "https", "http", 1), io.Discard); err == nil {
			t.Error("no error")
		}
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 4 {
			t.Fatalf("%d records, want 4:\n%s", len(lines), log)
		}
		for i, parts := range [][]string{
			{"attempt=1", "status=500", "HTTP 500"},
			{"attempt=2", "status=200", "after 10 of 1000 bytes"},
			{"attempt=3", "status=200"},
			{"attempt=1", "status=0", "http is for loopback only"},
		} {
			for _, part := range append(parts, "level=DEBUG", "operation=download") {
				if !strings.Contains(lines[i], part) {
					t.Errorf("record %d lacks %q: %s", i+1, part, lines[i])
				}
			}
			if strings.Contains(lines[i], "error=") != (i != 2) || strings.Contains(lines[i], "Signature") {
				t.Errorf("record %d: %s", i+1, lines[i])
			}
		}
	})
}
