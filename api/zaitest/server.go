// Package zaitest is a stand-in for the Z.AI API, for the tests of programs that use package
// api.
//
// A [Server] listens on the loopback interface, like one of net/http/httptest. It accepts one
// API key, plays tasks by script, misbehaves when told to, serves small files, and keeps the
// requests that it got:
//
//	srv := zaitest.NewServer()
//	defer srv.Close()
//	id := srv.AddTask(zaitest.TaskScript{Pending: 2})           // pending, pending, success
//	srv.Enqueue(zaitest.RateLimited("1302", "1"))               // but the very next request is refused
//	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
//
// It plays the whole agents family: a request to an agent starts a task, is answered with a
// text, or is streamed, by the script that waits for it ([Server.EnqueueTasks]) or by itself;
// conversations have files, and uploads are kept. [Server.Runs] tells what was made, and how
// often:
//
//	srv.EnqueueTasks(zaitest.TaskScript{Text: "Bonjour"}, zaitest.TaskScript{Code: "1113"})
//	srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Interval: time.Second}})
//
// What it answers has the published shape. The API is known to say the same in other ways, and
// each of them is a [Shape] that a task can take on; a test of one's own decoder ranges over
// [Shapes] and [StreamShapes]. Streams are not published: they are as they were recorded.
//
// A [Reply] stands in for an ordinary answer: one of the faults below, or a function of the
// test's own. It is given to the next request ([Server.Enqueue]), to all of them
// ([Server.Always]), or to the polls of one task ([TaskScript].Replies). Only CutBody,
// StallBody, Slow, WithHeader and Lose have the ordinary answer made; with any other nothing
// comes of the request.
//
// # Virtual time
//
// Sockets do not go well with testing/synctest. A server of [NewUnstartedServer] has none:
// [Server.Transport] hands requests to it in memory. Used within a bubble it keeps the bubble's
// time, so that a task of ten minutes ([TaskScript].Duration) takes a test no time at all:
//
//	srv := zaitest.NewUnstartedServer()
//	defer srv.Close()
//	memory := &http.Client{Transport: srv.Transport()}
//	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL), api.WithHTTPClient(memory))
package zaitest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	maxBody  = 1 << 20   // of a request
	maxDrain = 256 << 20 // of an upload that is answered early

	agentJSON   = "application/json;charset=UTF-8" // what the agents family answers with
	eventStream = "text/event-stream;charset=UTF-8"

	// The query of a result's address. The escapes are there to break a client that takes the
	// address apart.
	signature   = "abc+def="
	signedQuery = "KeyId=demo&Expires=1999999999&Signature=abc%2Bdef%3D"

	defaultFile = "video.mp4"
	defaultDeck = "deck.pdf"

	png = "\x89PNG\r\n\x1a\n" // its first bytes
)

// A Server stands in for the API. Its methods are safe for concurrent use; its fields are set
// before its first request.
//
// A Server is an [http.Handler], so a test can put it behind a listener of its own (with TLS
// and HTTP/2, say), and then sets URL to where it listens.
type Server struct {
	// URL is the base URL to give to the client. It ends in /api.
	URL string

	// APIKey is the key that the server accepts.
	APIKey string

	// MaxRequests is how many requests [Server.Requests] remembers; the oldest are forgotten
	// first. It is 1000 at first.
	MaxRequests int

	// MaxFile is how many bytes a file may have that is uploaded. It is 100 MiB at first, as
	// with the API.
	MaxFile int64

	// MaxContent is how many bytes of each upload [Server.Uploads] remembers. It is a MiB at
	// first.
	MaxContent int64

	// DefaultTask is the script of requests to agents for which none is enqueued.
	DefaultTask TaskScript

	ctx      context.Context // ends with Close
	close    context.CancelFunc
	listener *httptest.Server // nil if unstarted

	mu       sync.Mutex
	conns    map[net.Conn]bool // in memory
	tasks    map[string]*task  // by async id
	decks    map[string]*task  // by conversation id
	latest   map[string]*task  // by request id
	scripts  []TaskScript
	runs     []Run
	uploads  []Upload
	files    map[string][]byte
	queue    []Reply
	always   Reply
	requests []Request
	served   int
}

// A Request is what the server saw of one request.
type Request struct {
	Method string
	Path   string // from the root: /api/v1/agents/async-result
	Query  string // as it came, without the question mark
	Header http.Header
	Body   []byte // its first MiB
	Time   time.Time
}

// NewServer returns a server that listens on the loopback interface, and panics if it cannot
// listen. The caller closes it.
func NewServer() *Server {
	s := NewUnstartedServer()
	s.listener = httptest.NewServer(s)
	s.URL = s.listener.URL + "/api"
	return s
}

// NewUnstartedServer returns a server that has no listener. It is reached through
// [Server.Transport], under a URL whose host does not exist.
func NewUnstartedServer() *Server {
	s := &Server{
		URL:         "https://zaitest.invalid/api",
		APIKey:      "zaitest-key-id.zaitest-key-secret",
		MaxRequests: 1000,
		MaxFile:     100 << 20,
		MaxContent:  1 << 20,
		conns:       make(map[net.Conn]bool),
		tasks:       make(map[string]*task),
		decks:       make(map[string]*task),
		latest:      make(map[string]*task),
		files:       make(map[string][]byte),
	}
	s.ctx, s.close = context.WithCancel(context.Background())
	s.ctx.Done() // made on demand, it would belong to the synctest bubble of the first request

	// An MP4 file of two boxes, a header and a kilobyte of nothing.
	header := "\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom"
	s.files[defaultFile] = append([]byte(header+"\x00\x00\x04\x00free"), make([]byte, 1016)...)
	s.files[defaultDeck] = []byte("%PDF-1.4\n%%EOF\n")
	s.files["page-1.png"], s.files["page-2.png"] = []byte(png), []byte(png)
	return s
}

// Close shuts the server down. Requests under way are cut off, and later ones fail.
func (s *Server) Close() {
	s.mu.Lock()
	s.close()
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	if s.listener != nil {
		s.listener.CloseClientConnections() // a client that does not read would hold up the next line
		s.listener.Close()
	}
}

// Enqueue has the next requests answered with these replies, one each, whatever they ask for
// and whatever their key is. Of an upload, up to 1 MiB is read first. A nil Reply lets a request
// through to its ordinary answer. Replies that wait already come first.
func (s *Server) Enqueue(replies ...Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue = append(s.queue, replies...)
}

// Always has every request answered with this reply, once no enqueued one is left. Nil ends
// that.
func (s *Server) Always(reply Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.always = reply
}

// Requests returns the requests that the server got, oldest first: files and refused ones too,
// and no more than MaxRequests of them. What the requests hold is not to be changed.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// AddFile has the server serve content under name, in place of what was there, and returns the
// address of the file.
func (s *Server) AddFile(name string, content []byte) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[name] = bytes.Clone(content)
	return s.FileURL(name)
}

// FileURL returns the address of a file, which may be yet to come: till then the server answers
// 404. Like that of an object store, the address is signed by its query, and a request that
// carries an Authorization header is refused.
func (s *Server) FileURL(name string) string {
	return strings.TrimSuffix(s.URL, "/api") + "/files/" + url.PathEscape(name) + "?" + signedQuery
}

// AddTask adds a task that follows script, and returns its id. It panics if the script's shape
// is none of [Shapes].
func (s *Server) AddTask(script TaskScript) (asyncID string) {
	t := newTask(script, viduAgent)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addTask(t)
}

func (s *Server) addTask(t *task) (asyncID string) {
	// Real ids look like base64 text. These hold everything that makes base64 fragile.
	id := base64.StdEncoding.EncodeToString(fmt.Appendf(nil, "zai\xfb\xff\xbf%04d", len(s.tasks)+1))
	t.ids = object{"async_id": id}
	s.tasks[id] = t
	return id
}

// ServeHTTP answers a request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.ctx.Err() != nil {
		panic(http.ErrAbortHandler)
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()

	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		panic(http.ErrAbortHandler) // the client is gone
	}
	rest := r.Body
	r = r.WithContext(ctx)
	r.Body = io.NopCloser(io.MultiReader(bytes.NewReader(body), rest))

	reply, logID := s.record(r, body)
	w.Header().Set("X-Log-Id", logID)
	isUpload := r.URL.Path == "/api"+uploadPath
	if !isUpload {
		if more, _ := rest.Read(make([]byte, 1)); more > 0 {
			reply = HTMLError(http.StatusRequestEntityTooLarge)
		}
	}
	reply.give(w, r, s.route)
	if isUpload {
		_, _ = io.CopyN(io.Discard, rest, maxDrain) // a client that is still sending may not read the answer
	}
}

// record keeps the request, and returns the reply that was asked for, if any, and an id for the
// answer.
func (s *Server) record(r *http.Request, body []byte) (reply Reply, logID string) {
	now := time.Now()
	request := Request{r.Method, r.URL.Path, r.URL.RawQuery, r.Header.Clone(), body, now}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests = append(s.requests, request)
	if extra := len(s.requests) - max(s.MaxRequests, 0); extra > 0 {
		clear(s.requests[:extra])
		s.requests = s.requests[extra:]
	}
	reply = s.always
	if len(s.queue) > 0 {
		reply, s.queue = s.queue[0], s.queue[1:]
	}
	s.served++
	return reply, fmt.Sprintf("%s%08d", now.Format("20060102150405"), s.served)
}

// An operation is one of the description.
type operation struct {
	method string
	serve  func(*Server, http.ResponseWriter, *http.Request)
}

var operations = map[string]operation{ // by path
	"/v1/agents":              {http.MethodPost, (*Server).invoke},
	"/v1/agents/async-result": {http.MethodPost, (*Server).asyncResult},
	"/v1/agents/conversation": {http.MethodPost, (*Server).conversation},
	uploadPath:                {http.MethodPost, (*Server).upload},
}

func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	if name, ok := strings.CutPrefix(r.URL.Path, "/files/"); ok {
		s.serveFile(w, r, name)
		return
	}
	path, _ := strings.CutPrefix(r.URL.Path, "/api")
	op, ok := operations[path]
	switch {
	case !ok || path == r.URL.Path:
		noRoute(w, path, http.StatusNotFound)
	case r.Method != op.method:
		w.Header().Set("Allow", op.method)
		noRoute(w, path, http.StatusMethodNotAllowed)
	default:
		if code, message := s.refuse(r); code != "" {
			APIError(http.StatusUnauthorized, code, message)(w, r, nil)
			return
		}
		op.serve(s, w, r)
	}
}

// refuse looks at the credential, and says what is wrong with it.
func (s *Server) refuse(r *http.Request) (code, message string) {
	header := r.Header.Get("Authorization")
	key, bearer := strings.CutPrefix(header, "Bearer ")
	switch {
	case header == "":
		return "1001", "no Authorization header"
	case !bearer || !strings.Contains(key, "."):
		return "1002", "the Authorization header does not hold a key"
	case key != s.APIKey:
		return "1004", "the key is not accepted"
	}
	return "", ""
}

// noRoute is how the gateway refuses: its error is a string, and its status a number.
func noRoute(w http.ResponseWriter, path string, status int) {
	writeJSON(w, "application/json", status, object{
		"timestamp": time.Now().UTC().Format("2006-01-02T15:04:05.000-07:00"),
		"status":    status,
		"error":     http.StatusText(status),
		"path":      path,
	})
}

// decode reads a request, and refuses it if it is not what v is.
func decode(w http.ResponseWriter, r *http.Request, v any) bool {
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body)) // for a Reply of the task
	if media != "application/json" || json.Unmarshal(body, v) != nil {
		APIError(http.StatusBadRequest, "1210", "the request is not the JSON object that was expected")(w, r, nil)
		return false
	}
	return true
}

func (s *Server) asyncResult(w http.ResponseWriter, r *http.Request) {
	var in struct {
		AgentID string `json:"agent_id"`
		AsyncID string `json:"async_id"`
	}
	if !decode(w, r, &in) {
		return
	}
	s.mu.Lock()
	t := s.tasks[in.AsyncID]
	if t == nil || t.AgentID != in.AgentID {
		s.mu.Unlock()
		writeJSON(w, agentJSON, http.StatusOK, object{
			"status":   "failed",
			"agent_id": in.AgentID,
			"async_id": in.AsyncID,
			"error":    object{"code": "400", "message": "this agent has no such task"},
		})
		return
	}
	reply := t.nextReply()
	s.mu.Unlock()
	reply.give(w, r, func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		status := t.nextStatus()
		s.mu.Unlock()
		t.write(w, status, s.FileURL(defaultFile))
	})
}

// The types that an object store knows by the end of a name, whatever the machine of the test
// knows.
var mediaTypes = map[string]string{
	".mp4": "video/mp4", ".mov": "video/quicktime", ".webm": "video/webm",
	".png": "image/png", ".jpg": "image/jpeg", ".pdf": "application/pdf",
	".html": "text/html", ".txt": "text/plain",
}

func (s *Server) serveFile(w http.ResponseWriter, r *http.Request, name string) {
	s.mu.Lock()
	content, ok := s.files[name]
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/xml")
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		write(w, http.StatusMethodNotAllowed, "<Error><Code>MethodNotAllowed</Code></Error>")
	case r.Header.Get("Authorization") != "":
		write(w, http.StatusBadRequest, "<Error><Code>InvalidArgument</Code><Message>two credentials</Message></Error>")
	case r.URL.Query().Get("Signature") != signature:
		write(w, http.StatusForbidden, "<Error><Code>SignatureDoesNotMatch</Code></Error>")
	case !ok:
		write(w, http.StatusNotFound, "<Error><Code>NoSuchKey</Code></Error>")
	default:
		media := mediaTypes[path.Ext(name)]
		if media == "" {
			media = "application/octet-stream"
		}
		w.Header().Set("Content-Type", media)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(content))
	}
}
