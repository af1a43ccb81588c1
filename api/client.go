package api

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path"
	"reflect"
	"runtime/debug"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// BigModelServer is the sister host in mainland China. It takes the same key and serves
// more agents than DefaultServer.
const BigModelServer = "https://open.bigmodel.cn/api"

// Defaults of the options below.
const (
	defaultTimeout     = 60 * time.Second
	defaultMaxBody     = 16 << 20
	defaultMaxAttempts = 3
)

// New returns a client of DefaultServer that sends apiKey (of the form id.secret, from
// https://z.ai/manage-apikey/apikey-list) with every request. The client is safe for
// concurrent use, and so are all its methods; make one and share it, because it owns its
// connections.
//
// The order of the options of this package does not matter. New returns an error that matches
// ErrInvalidRequest for an empty key, for a key that no header can carry, for an option
// out of range, and for a base URL that is not plain and absolute: https (http only on
// loopback), without user info, query and fragment. WithBaseURL takes what stands before the paths
// of the API, such as DefaultServer; the suffix /paas/v4 or /coding/paas/v4 that the official
// SDKs expect there is taken off. An option may put a Doer of its own around the Client that
// it finds, which is that of the options before it.
func New(apiKey string, opts ...ClientOption) (*ClientWithResponses, error) {
	if err := checkKey(apiKey); err != nil {
		return nil, invalid("", "%w", err)
	}
	return NewWithAuth(BearerAuth(apiKey), opts...)
}

// NewWithAuth is New with an editor that authenticates each request, such as
// BearerAuthFunc. Auth should set the Authorization header: the client masks what stands
// there wherever the server echoes it.
func NewWithAuth(auth RequestEditorFn, opts ...ClientOption) (*ClientWithResponses, error) {
	if auth == nil {
		return nil, invalid("", "the auth editor is nil")
	}
	g := &guard{timeout: defaultTimeout, idleTimeout: defaultIdleTimeout, maxBody: defaultMaxBody, maxAttempts: defaultMaxAttempts, userAgent: []string{userAgent()}}
	c := &Client{Server: DefaultServer, RequestEditors: []RequestEditorFn{auth}}
	transport := defaultTransport()
	_, g.traced = transport.(*http.Transport)
	d := &draft{guard: g, next: roundTrip(transport)}
	for _, opt := range opts {
		if opt == nil {
			return nil, invalid("", "an option is nil")
		}
		c.Client = d // What an option puts in its place may send through it.
		err := opt(c)
		if parse, ok := err.(*url.Error); ok { //nolint:errorlint // That of WithBaseURL, which repeats the URL.
			err = fmt.Errorf("base URL: %w", parse.Err)
		}
		if err == nil && c.Client != HttpRequestDoer(d) {
			g.traced = false
			d, err = d.with(c.Client)
		}
		if err != nil {
			return nil, invalid("", "%w", err)
		}
	}
	c.Client, g.next = g, d.next
	for _, editor := range c.RequestEditors {
		if editor == nil {
			return nil, invalid("", "a request editor is nil")
		}
	}
	base, err := baseURL(c.Server)
	if err != nil {
		return nil, invalid("", "base URL: %w", err)
	}
	c.Server = base.String() + "/"
	retrieve, err := NewRetrieveAgentResultRequestWithBody(c.Server, nil, "application/json", nil)
	conversation, err2 := NewGetAgentConversationRequestWithBody(c.Server, nil, "application/json", nil)
	if err := cmp.Or(err, err2); err != nil {
		return nil, invalid("", "base URL: %w", withoutURL(err))
	}
	g.templates = map[string]*http.Request{opRetrieve: retrieve, opConversation: conversation}
	g.origin = base
	return &ClientWithResponses{ClientInterface: c}, nil
}

// NewFromEnv is New with the key of the environment variable ZAI_API_KEY and, where it
// is set, the base URL of ZAI_BASE_URL. Options win over the environment, which must be valid
// all the same.
func NewFromEnv(opts ...ClientOption) (*ClientWithResponses, error) {
	key := os.Getenv("ZAI_API_KEY")
	if key == "" {
		return nil, invalid("", "the environment variable ZAI_API_KEY is not set, or empty")
	}
	if base := os.Getenv("ZAI_BASE_URL"); base != "" {
		opts = append([]ClientOption{WithBaseURL(base)}, opts...)
	}
	return New(key, opts...)
}

// WithTimeout bounds one attempt, from connecting to the last byte of the body read; of a stream
// or a file, until it begins; of an upload, without the time it takes to send the file. What request
// editors take comes before. The default is 60 s. The context bounds the whole call, all attempts included.
func WithTimeout(d time.Duration) ClientOption {
	return withGuard("WithTimeout", d > 0, func(g *guard) { g.timeout = d })
}

// WithMaxBody bounds the bytes of one answer, after decompression; of one event of a stream;
// and of what Invoke folds a stream into. The default is 16 MiB. More is an error that
// matches ErrBodyTooLarge. Since small values take more memory once decoded than on the wire, an answer of more
// than 65,536 of them that take fewer than 24 bytes on average matches ErrMalformed.
func WithMaxBody(n int64) ClientOption {
	return withGuard("WithMaxBody", n > 0, func(g *guard) { g.maxBody = min(n, math.MaxInt64>>1) }) // There is arithmetic to come.
}

// WithMaxAttempts bounds the requests that one call makes, the first included. The default is 3; 1
// means no retries. Retrieve, Conversation and DownloadFile are reads and are retried; Invoke,
// Submit and Stream only after an answer that proves that nothing was created; Upload never.
func WithMaxAttempts(n int) ClientOption {
	return withGuard("WithMaxAttempts", n > 0, func(g *guard) { g.maxAttempts = n })
}

// WithLogger logs each attempt at level debug: operation, HTTP status, duration, attempt
// and request id, never a key, a body or the query of a URL. A nil logger, the default,
// logs nothing.
func WithLogger(logger *slog.Logger) ClientOption {
	return withGuard("WithLogger", true, func(g *guard) {
		if g.logger = nil; logger != nil {
			g.logger = logger
		}
	})
}

// withGuard makes an option of this package, which works only while New makes a client.
func withGuard(name string, valid bool, set func(*guard)) ClientOption {
	return func(c *Client) error {
		d, ok := c.Client.(*draft)
		if !ok {
			return fmt.Errorf("%s needs New, NewWithAuth or NewFromEnv", name)
		}
		if !valid {
			return fmt.Errorf("%s: the value is not positive", name)
		}
		set(d.guard)
		return nil
	}
}

// baseURL checks the base URL and takes off a trailing slash and the suffix that the
// official SDKs want. Its errors do not repeat the URL, which may hold a password.
func baseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil {
		return nil, withoutURL(err)
	}
	p := strings.TrimRight(u.Path, "/")
	if trimmed, ok := strings.CutSuffix(p, "/paas/v4"); ok {
		p = strings.TrimRight(strings.TrimSuffix(trimmed, "/coding"), "/")
	}
	switch {
	case u.User != nil:
		return nil, errors.New("it holds user info")
	case u.RawQuery != "" || u.ForceQuery:
		return nil, errors.New("it holds a query")
	case strings.Contains(s, "#"):
		return nil, errors.New("it holds a fragment")
	case u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || !utf8.ValidString(u.Host):
		return nil, errors.New("it is not an absolute https URL")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return nil, errors.New("http is for loopback only: use https")
	case u.RawPath != "" || path.Clean("/"+p) != "/"+strings.TrimPrefix(p, "/"):
		return nil, errors.New("its path is not plain")
	}
	return &url.URL{Scheme: u.Scheme, Host: strings.TrimSuffix(u.Host, ":"), Path: p}, nil
}

// withoutURL takes the URL out of an error of net/url or net/http.
func withoutURL(err error) error {
	if outer, ok := errors.AsType[*url.Error](err); ok {
		return outer.Err
	}
	return err
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return strings.EqualFold(host, "localhost") || err == nil && addr.Unmap().IsLoopback()
}

// defaultTransport is that of net/http with room for many waiting tasks on one host, and
// with a tighter bound for headers. Without pings, an HTTP/2 connection that has gone silent would
// be given to each new request, and time out each of them, until the operating system notices.
func defaultTransport() http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport
	}
	t = t.Clone()
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 1000, 1000
	t.MaxResponseHeaderBytes = 1 << 20
	t.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second}
	return t
}

// userAgent is zai-go/ and the version of this module in the program's build.
var userAgent = sync.OnceValue(func() string {
	version := "devel"
	if info, ok := debug.ReadBuildInfo(); ok {
		module := strings.TrimSuffix(reflect.TypeFor[Client]().PkgPath(), "/api")
		for _, m := range append(info.Deps, &info.Main) {
			if m.Path == module && m.Version != "" {
				version = strings.Trim(m.Version, "()")
			}
		}
	}
	return "zai-go/" + version
})
