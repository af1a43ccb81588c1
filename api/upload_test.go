package api_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

const uploadMax = 100 << 20

// uploadSeen is what a server saw of an upload.
type uploadSeen struct {
	header   http.Header
	method   string
	path     string
	length   int64
	chunked  bool
	parts    []string // name, file name, type and content of each
	requests atomic.Int32
}

func (s *uploadSeen) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.requests.Add(1)
	s.header, s.method, s.path, s.length, s.chunked, s.parts = r.Header, r.Method, r.URL.Path, r.ContentLength, slices.Equal(r.TransferEncoding, []string{"chunked"}), nil
	form, err := r.MultipartReader()
	for err == nil {
		var part *multipart.Part
		if part, err = form.NextPart(); err != nil {
			break
		}
		_, params, _ := mime.ParseMediaType(part.Header.Get("Content-Disposition"))
		content, _ := io.ReadAll(part)
		s.parts = append(s.parts, fmt.Sprintf("%s|%s|%s|%s", params["name"], params["filename"], part.Header.Get("Content-Type"), content))
	}
	if !errors.Is(err, io.EOF) {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprint(w, `{"id":"f-1","object":"file","bytes":7,"filename":"terms.xlsx","purpose":"agent","created_at":1700000000}`)
}

// TestUploadOnTheWire: a form of one purpose and one file, named and typed, with its length where
// the content tells its size.
func TestUploadOnTheWire(t *testing.T) {
	t.Parallel()
	var seen uploadSeen
	client := retrieveServer(t, seen.ServeHTTP)
	file, err := client.Upload(t.Context(), "terms.xlsx", strings.NewReader("content"))
	if want := (api.File{ID: "f-1", Object: "file", Bytes: 7, Filename: "terms.xlsx", Purpose: "agent", CreatedAt: 1700000000}); err != nil || *file != want {
		t.Fatalf("got %+v, %v", file, err)
	}
	if seen.method != http.MethodPost || seen.path != "/paas/v4/files" {
		t.Errorf("%s %s", seen.method, seen.path)
	}
	if media, params, err := mime.ParseMediaType(seen.header.Get("Content-Type")); err != nil || media != "multipart/form-data" || params["boundary"] == "" {
		t.Errorf("Content-Type is %q", seen.header.Get("Content-Type"))
	}
	for name := range seen.header {
		if !slices.Contains([]string{"Authorization", "Content-Type", "User-Agent", "Accept-Encoding", "Content-Length"}, name) {
			t.Errorf("header %s: %q was sent", name, seen.header[name])
		}
	}
	if seen.header.Get("Authorization") != "Bearer "+retrieveKey || !strings.HasPrefix(seen.header.Get("User-Agent"), "zai-go/") {
		t.Errorf("the header is %v", seen.header)
	}
	if _, err := client.Upload(t.Context(), "a.txt", strings.NewReader(""), api.AcceptLanguage("zh")); err != nil || seen.header.Get("Accept-Language") != "zh" {
		t.Errorf("Accept-Language %q, %v", seen.header.Get("Accept-Language"), err)
	}

	const sheet = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
	for name, want := range map[string]string{
		"terms.xlsx":               "terms.xlsx|" + sheet,
		"TERMS.XLSX":               "TERMS.XLSX|" + sheet,
		"/home/me/terms.pdf":       "terms.pdf|application/pdf",
		`C:\me\terms.doc`:          "terms.doc|application/msword",
		"../../etc/a.txt":          "a.txt|text/plain",
		"a.ppt":                    "a.ppt|application/vnd.ms-powerpoint",
		"a.jpg":                    "a.jpg|image/jpeg",
		"a.jpeg":                   "a.jpeg|image/jpeg",
		"a.png":                    "a.png|image/png",
		"a.tar.gz":                 "a.tar.gz|application/octet-stream",
		"README":                   "README|application/octet-stream",
		".txt":                     ".txt|text/plain",
		`say "hi"; name=x.txt`:     `say "hi"; name=x.txt|text/plain`,
		"Übersicht 术语 – café.txt":  "Übersicht 术语 – café.txt|text/plain",
		"100%25 %22 +.txt":         "100%25 %22 +.txt|text/plain",
		strings.Repeat("n", 1000):  strings.Repeat("n", 1000) + "|application/octet-stream",
		"no\u00a0break\u2028line.": "no\u00a0break\u2028line.|application/octet-stream",
	} {
		_, err := client.Upload(t.Context(), name, strings.NewReader("content"))
		if parts := []string{"purpose|||agent", "file|" + want + "|content"}; err != nil || !slices.Equal(seen.parts, parts) {
			t.Errorf("%q: sent %q, want %q: %v", name, seen.parts, parts, err)
		}
	}

	path := filepath.Join(t.TempDir(), "a.txt")
	if err := os.WriteFile(path, []byte("--content"), 0o600); err != nil {
		t.Fatal(err)
	}
	onDisk, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = onDisk.Close() }()
	if _, err := onDisk.Seek(2, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	begun := bytes.NewReader([]byte("--content"))
	if _, err := begun.Seek(2, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	section := io.NewSectionReader(strings.NewReader("--content--"), 0, 9)
	if _, err := section.Seek(2, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = r.Close() }()
	_, err = w.WriteString("content")
	if err := errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		content io.Reader
		known   bool
	}{
		"bytes.Reader":          {begun, true},
		"strings.Reader":        {strings.NewReader("content"), true},
		"bytes.Buffer":          {bytes.NewBufferString("content"), true},
		"os.File":               {onDisk, true},
		"io.SectionReader":      {section, true},
		"io.Reader":             {io.MultiReader(strings.NewReader("con"), strings.NewReader("tent")), false},
		"pipe":                  {r, false},
		"a Seeker without end":  {uploadSeeker{strings.NewReader("content")}, false},
		"bytes, one by one":     {iotest.OneByteReader(strings.NewReader("content")), false},
		"EOF with the last":     {iotest.DataErrReader(strings.NewReader("content")), false},
		"nothing, now and then": {iotest.HalfReader(&uploadStutter{r: strings.NewReader("content")}), false},
	} {
		_, err := client.Upload(t.Context(), "a.txt", test.content)
		if err != nil || test.known != (seen.length > 0) || test.known == seen.chunked || len(seen.parts) != 2 || seen.parts[1] != "file|a.txt|text/plain|content" {
			t.Errorf("%s: length %d, chunked %v, sent %q: %v", name, seen.length, seen.chunked, seen.parts, err)
		}
	}
}

// uploadSeeker can be read, and does not know where it ends.
type uploadSeeker struct{ *strings.Reader }

func (s uploadSeeker) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekEnd {
		return 0, errors.New("the end is not known")
	}
	return s.Reader.Seek(offset, whence)
}
func (uploadSeeker) Len(int) {} // which is not the one that tells the size

// uploadStutter gives nothing every other time.
type uploadStutter struct {
	r io.Reader
	n int
}

func (s *uploadStutter) Read(p []byte) (int, error) {
	if s.n++; s.n%2 == 1 {
		return 0, nil
	}
	return s.r.Read(p)
}

// TestUploadRefusesBeforeSending: what cannot be a file is not sent.
func TestUploadRefusesBeforeSending(t *testing.T) {
	t.Parallel()
	client, err := api.New(sampleKey, api.WithHTTPClient(optionsNever(t)))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := api.NewClientWithResponses(api.DefaultServer, api.WithHTTPClient(optionsNever(t)))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	closed, err := os.Create(filepath.Join(dir.Name(), "a.txt"))
	if err := errors.Join(err, dir.Close(), closed.Close()); err != nil {
		t.Fatal(err)
	}
	upload := func(c *api.ClientWithResponses, ctx context.Context, name string, content io.Reader, editors ...api.RequestEditorFn) error {
		_, err := c.Upload(ctx, name, content, editors...)
		return err
	}
	ctx, text := t.Context(), strings.NewReader("content")
	for _, name := range []string{"", "/", "a/", `a\`, ".", "..", "a/..", "a\r\nX: 1.txt", "a\x00.txt", "a\x7f", "a\u0085.txt", "\t"} {
		optionsRefused(t, upload(client, ctx, name, text), "is no name of a file")
	}
	optionsRefused(t, upload(client, ctx, "a.txt", nil), "content is nil")
	optionsRefused(t, upload(client, ctx, "a.txt", (*bytes.Buffer)(nil)), "content is nil")
	optionsRefused(t, upload(client, ctx, "a.txt", (*strings.Reader)(nil)), "content is nil")
	optionsRefused(t, upload(client, ctx, "a.txt", (*os.File)(nil)), "content is nil")
	optionsRefused(t, upload(client, ctx, "a.txt", closed), "cannot be read")
	optionsRefused(t, upload(client, nil, "a.txt", text), "context is nil")
	optionsRefused(t, upload(client, ctx, "a.txt", text, nil), "editor is nil")
	optionsRefused(t, upload(client, ctx, "a.txt", text, api.BodyFields(map[string]any{"a": 1})), "no JSON body")
	optionsRefused(t, upload(nil, ctx, "a.txt", text), "client is nil")
	optionsRefused(t, upload(raw, ctx, "a.txt", text), "not made by New")
	tooLarge := upload(client, ctx, "a.txt", io.NewSectionReader(uploadZeros{}, 0, uploadMax+1))
	optionsRefused(t, tooLarge, "100 MB")
	if !errors.Is(tooLarge, api.ErrBodyTooLarge) || errors.Is(tooLarge, api.ErrUnknownOutcome) {
		t.Errorf("got %v", tooLarge)
	}
	if text.Len() != len("content") {
		t.Error("the content was read")
	}
}

// uploadZeros is a file of any size.
type uploadZeros struct{}

func (uploadZeros) ReadAt(p []byte, _ int64) (int, error) { return uploadZeros{}.Read(p) }

func (uploadZeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestUploadHoldsNoFile uploads files of the largest size, and watches the heap. The server keeps
// nothing.
func TestUploadHoldsNoFile(t *testing.T) {
	var got atomic.Int64
	client := retrieveServer(t, func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		got.Store(n)
		fmt.Fprint(w, `{"id":"f-1"}`)
	})
	for name, content := range map[string]io.Reader{
		"size known":     io.NewSectionReader(uploadZeros{}, 0, uploadMax),
		"size not known": io.LimitReader(uploadZeros{}, uploadMax),
	} {
		var before runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		stop, peak := make(chan struct{}), make(chan uint64)
		go func() {
			var highest uint64
			for tick := time.NewTicker(time.Millisecond); ; {
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				highest = max(highest, m.HeapAlloc)
				select {
				case <-tick.C:
				case <-stop:
					tick.Stop()
					peak <- highest
					return
				}
			}
		}()
		_, err := client.Upload(t.Context(), "a.pdf", content)
		close(stop)
		highest := <-peak
		if err != nil || got.Load() <= uploadMax || got.Load() > uploadMax+1000 {
			t.Errorf("%s: %d bytes arrived: %v", name, got.Load(), err)
		}
		if rise := int64(highest) - int64(before.HeapAlloc); rise > 8<<20 {
			t.Errorf("%s: the heap rose by %d KiB", name, rise>>10)
		}
	}
}

// TestUploadTooLargeInTheMiddle: a file that turns out too large is not taken.
func TestUploadTooLargeInTheMiddle(t *testing.T) {
	t.Parallel()
	var sent int64
	client, err := api.New(sampleKey, api.WithHTTPClient(retrieveDoerFunc(func(req *http.Request) (*http.Response, error) {
		var err error
		if sent, err = io.Copy(io.Discard, req.Body); err != nil {
			return nil, err
		}
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(`{"id":"f-1"}`))}, nil
	})))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.Upload(t.Context(), "a.pdf", io.LimitReader(uploadZeros{}, uploadMax+1))
	if !errors.Is(err, api.ErrBodyTooLarge) || !errors.Is(err, api.ErrInvalidRequest) || errors.Is(err, api.ErrUnknownOutcome) || sent < uploadMax/2 || sent > uploadMax+1000 {
		t.Errorf("got %v after %d bytes", err, sent)
	}
}

// uploadReader gives pieces of text, and does something before each Read. It is not safe for
// concurrent use, so that the race detector tells when it is read after the call.
type uploadReader struct {
	left   int
	before func(left int) (int, error)
	reads  int
}

var uploadPiece = strings.Repeat("content\n", 512)

func (r *uploadReader) Read(p []byte) (int, error) {
	r.reads++
	if r.before != nil {
		if n, err := r.before(r.left); n != 0 || err != nil {
			return n, err
		}
	}
	if r.left == 0 {
		return 0, io.EOF
	}
	r.left--
	return copy(p, uploadPiece), nil
}

// TestUploadLosesNoError: an error that comes with the last bytes, and only once, is no end of the
// file: what came before it is not a file that was sent.
func TestUploadLosesNoError(t *testing.T) {
	t.Parallel()
	gone := errors.New("the disk is gone")
	var got atomic.Int32
	client := retrieveServer(t, func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			panic(http.ErrAbortHandler)
		}
		got.Add(1)
		fmt.Fprint(w, `{"id":"f-1"}`)
	})
	content := &uploadReader{}
	content.before = func(int) (int, error) {
		if content.reads == 1 {
			return 4, gone
		}
		return 0, io.EOF
	}
	if file, err := client.Upload(t.Context(), "a.txt", content); file != nil || !errors.Is(err, gone) || got.Load() != 0 {
		t.Errorf("got %+v, %v", file, err)
	}
}

// TestUploadCloses: net/http's promise to close the body once holds for the generated method too.
func TestUploadCloses(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(*http.Request) (*http.Response, error){
		"read and closed": func(req *http.Request) (*http.Response, error) {
			if got, err := io.ReadAll(req.Body); string(got) != "a form" || err != nil {
				return nil, fmt.Errorf("%q, %w", got, err)
			}
			return &http.Response{StatusCode: http.StatusOK, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(`{"id":"f-1"}`)), Request: req}, req.Body.Close()
		},
		"closed unread": func(req *http.Request) (*http.Response, error) {
			return nil, errors.Join(errors.New("no"), req.Body.Close())
		},
	} {
		client, err := api.New(retrieveKey, api.WithHTTPClient(retrieveDoerFunc(send)))
		if err != nil {
			t.Fatal(err)
		}
		content := &uploadCloser{Reader: strings.NewReader("a form")}
		r, err := client.UploadFileWithBodyWithResponse(t.Context(), "multipart/form-data; boundary=b", content)
		if answered := name == "read and closed"; (err == nil) != answered || content.closed.Load() != 1 || answered && (r.JSON200 == nil || r.JSON200.ID != "f-1") {
			t.Errorf("%s: %v, closed %d times", name, err, content.closed.Load())
		}
	}
}

type uploadCloser struct {
	io.Reader
	closed atomic.Int32
}

func (c *uploadCloser) Close() error { c.closed.Add(1); return nil }

// TestUploadReaders: content that fails, panics, lies or blocks, and when the call ends then. All of
// it is in virtual time, and leaves nothing behind.
func TestUploadReaders(t *testing.T) {
	t.Parallel()
	lost, gone := errors.New("the disk is gone"), errors.New("the user went home")
	at := func(n int, do func() (int, error)) func(int) (int, error) {
		return func(left int) (int, error) {
			if left == n {
				return do()
			}
			return 0, nil
		}
	}
	slow := func(d time.Duration) func(int) (int, error) {
		return func(int) (int, error) { time.Sleep(d); return 0, nil } //nolint:forbidigo // In a bubble.
	}
	for name, test := range map[string]struct {
		left   int
		before func(int) (int, error)
		takes  time.Duration
		ends   time.Duration // of the context
		class  error
		text   string
	}{
		"fails at once":                  {before: at(5, func() (int, error) { return 0, lost }), left: 5, class: lost},
		"fails later":                    {before: at(2, func() (int, error) { return 0, lost }), left: 5, class: lost},
		"panics":                         {before: at(2, func() (int, error) { panic("out of range") }), left: 5, text: "the content panicked: out of range"},
		"panics at once":                 {before: at(5, func() (int, error) { panic(lost) }), left: 5, text: "the content panicked: the disk is gone"},
		"claims too much":                {before: at(2, func() (int, error) { return 1 << 20, nil }), left: 5, text: "panicked"},
		"claims less than 0":             {before: at(2, func() (int, error) { return -1, nil }), left: 5, text: "panicked"},
		"slower than WithTimeout in all": {before: slow(50 * time.Second), left: 10, takes: 550 * time.Second},
		"slower than WithIdleTimeout":    {before: slow(3 * time.Minute), left: 2, takes: 2 * time.Minute, class: context.DeadlineExceeded},
		"the context ends in a Read":     {before: slow(time.Hour), left: 2, ends: 7 * time.Second, takes: 7 * time.Second, class: gone},
		"the context ends between":       {before: slow(time.Second), left: 100, ends: 7500 * time.Millisecond, takes: 7500 * time.Millisecond, class: gone},
	} {
		for _, http2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", name, http2), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var requests atomic.Int32
					client := createServer(t, http2, false, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						requests.Add(1)
						if _, err := io.Copy(io.Discard, r.Body); err != nil {
							panic(http.ErrAbortHandler)
						}
						fmt.Fprint(w, `{"id":"f-1"}`)
					}))
					ctx := t.Context()
					if test.ends > 0 {
						var cancel context.CancelFunc
						ctx, cancel = context.WithTimeoutCause(ctx, test.ends, gone)
						defer cancel()
					}
					content := &uploadReader{left: test.left, before: test.before}
					start := time.Now()
					file, err := client.Upload(ctx, "a.txt", content)
					if took := time.Since(start); took != test.takes {
						t.Errorf("took %v, want %v", took, test.takes)
					}
					if test.class == nil && test.text == "" {
						if err != nil || file.ID != "f-1" || requests.Load() != 1 {
							t.Errorf("got %+v, %v after %d requests", file, err, requests.Load())
						}
						return
					}
					if e, ok := errors.AsType[*api.Error](err); !ok || file != nil || test.class != nil && !errors.Is(err, test.class) || !strings.Contains(err.Error(), test.text) || e.StatusCode != 0 || requests.Load() > 1 {
						t.Errorf("got %+v, %v after %d requests", file, err, requests.Load())
					}
					synctest.Wait()
					reads := content.reads
					time.Sleep(5 * time.Hour) //nolint:forbidigo // In a bubble.
					synctest.Wait()
					if content.reads != reads {
						t.Errorf("%d reads in the call, %d after it", reads, content.reads-reads)
					}
				})
			})
		}
	}
}

type uploadNothing struct{}

func (uploadNothing) Read([]byte) (int, error) { return 0, nil }

// TestUploadOfNothing: content that never says more does not keep the call for ever.
func TestUploadOfNothing(t *testing.T) {
	t.Parallel()
	_, client := invokeStand(t)
	file, err := client.Upload(t.Context(), "a.txt", uploadNothing{})
	if file != nil || !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("got %+v, %v", file, err)
	}
}

// TestUploadAnsweredEarly: a server that refuses a file before it has read all of it is heard, and the
// content is left alone after the call.
func TestUploadAnsweredEarly(t *testing.T) {
	t.Parallel()
	for _, http2 := range []bool{false, true} {
		client := createServer(t, http2, true, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadFull(r.Body, make([]byte, 100<<10))
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}))
		for range 5 {
			content := &uploadReader{left: 1 << 20}
			_, err := client.Upload(t.Context(), "a.txt", content)
			reads := content.reads // A race, if content were read now.
			e, ok := errors.AsType[*api.Error](err)
			if !ok || e.StatusCode != http.StatusRequestEntityTooLarge || !errors.Is(err, api.ErrInvalidRequest) || errors.Is(err, api.ErrUnknownOutcome) || e.Attempts != 1 || reads == 0 || content.left == 0 {
				t.Errorf("HTTP/2 %v: got %v after %d reads", http2, err, reads)
			}
		}
	}
}

// TestUploadBehindABlockedReader: an early answer is not held up for long by a Read that blocks, and
// once that ends there is no other.
func TestUploadBehindABlockedReader(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := createServer(t, false, false, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.ReadFull(r.Body, make([]byte, 200))
			time.Sleep(time.Second) //nolint:forbidigo // In a bubble: content is being read by now.
			w.Header().Set("Connection", "close")
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}))
		content := &uploadReader{left: 10, before: func(int) (int, error) { time.Sleep(time.Hour); return 0, nil }} //nolint:forbidigo // In a bubble.
		start := time.Now()
		_, err := client.Upload(t.Context(), "a.txt", content)
		if e, ok := errors.AsType[*api.Error](err); !ok || e.StatusCode != http.StatusRequestEntityTooLarge || time.Since(start) > 3*time.Second {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
		time.Sleep(5 * time.Hour) //nolint:forbidigo // In a bubble.
		synctest.Wait()
		if content.reads != 1 {
			t.Errorf("%d reads", content.reads)
		}
	})
}

// TestUploadIdle: a server that takes nothing is waited for as long as WithIdleTimeout allows, and one
// that does not answer as long as WithTimeout does.
func TestUploadIdle(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		reads bool // the server, before it falls silent
		takes time.Duration
	}{
		"takes nothing":   {false, 40 * time.Second},
		"does not answer": {true, 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				done := make(chan struct{})
				defer close(done)
				client := createServer(t, false, false, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
					if test.reads {
						_, _ = io.Copy(io.Discard, r.Body)
					}
					<-done
				}), api.WithTimeout(20*time.Second), api.WithIdleTimeout(40*time.Second))
				start := time.Now()
				_, err := client.Upload(t.Context(), "a.txt", io.LimitReader(uploadZeros{}, 1<<20))
				if took := time.Since(start); took != test.takes || !errors.Is(err, context.DeadlineExceeded) || !errors.Is(err, api.ErrUnknownOutcome) {
					t.Errorf("got %v after %v, want %v", err, took, test.takes)
				}
			})
		})
	}
}

// TestUploadAnswers: what makes a File, and what does not.
func TestUploadAnswers(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]struct {
		file    api.File
		class   error
		unknown bool
	}{
		`{"id":"f-1"}`: {file: api.File{ID: "f-1"}},
		`{"id":"f-1","bytes":"7","filename":"a.txt"}`:                              {file: api.File{ID: "f-1", Filename: "a.txt"}},
		`{"id":"f-1","bytes":7,"data":{"id":"f-2"}}`:                               {file: api.File{ID: "f-1", Bytes: 7}},
		"\ufeff {\"id\":\"f-1\",\"bytes\":7}":                                      {file: api.File{ID: "f-1", Bytes: 7}},
		`{"code":200,"msg":"ok","data":{"id":"f-1","bytes":7,"filename":"a.txt"}}`: {file: api.File{ID: "f-1", Bytes: 7, Filename: "a.txt"}},
		`{"object":"file"}`: {class: api.ErrMalformed, unknown: true},
		`{"id":""}`:         {class: api.ErrMalformed, unknown: true},
		`{}`:                {class: api.ErrMalformed, unknown: true},
		`[]`:                {class: api.ErrMalformed, unknown: true},
		`{"error":{"code":"1214","message":"no"}}`:                  {class: api.ErrInvalidRequest},
		`{"code":1113,"msg":"no money"}`:                            {class: api.ErrQuota},
		`{"status":"failed","error":{"code":"1301","message":"x"}}`: {class: api.ErrContentBlocked},
	} {
		client := retrieveServer(t, createRaw(http.StatusOK, "application/json", body))
		file, err := client.Upload(t.Context(), "a.txt", strings.NewReader("content"))
		if want.class == nil {
			if err != nil || *file != want.file {
				t.Errorf("%s: got %+v, %v", body, file, err)
			}
		} else if file != nil || !errors.Is(err, want.class) || errors.Is(err, api.ErrUnknownOutcome) != want.unknown {
			t.Errorf("%s: got %+v, %v", body, file, err)
		}
	}
}

// TestUploadLeavesNothing: the stand-in has each file once, and no goroutine is left.
func TestUploadLeavesNothing(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	srv := zaitest.NewServer()
	defer srv.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL), api.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	srv.Enqueue(zaitest.Lose(zaitest.HTMLError(http.StatusBadGateway)), nil, zaitest.RateLimited("1302", ""))
	for i, want := range []error{api.ErrUnknownOutcome, nil, api.ErrRateLimited} {
		if _, err := client.Upload(t.Context(), "terms.xlsx", strings.NewReader("content")); !errors.Is(err, want) {
			t.Errorf("upload %d: got %v, want %v", i+1, err, want)
		}
	}
	if uploads := srv.Uploads(); len(uploads) != 2 || len(srv.Requests()) != 3 || string(uploads[1].Content) != "content" || uploads[1].Name != "terms.xlsx" || uploads[1].Purpose != "agent" {
		t.Errorf("%d requests, uploads %+v", len(srv.Requests()), uploads)
	}
}

// TestUploadGoexit: t.FailNow in a content ends the goroutine that reads it, and the upload.
func TestUploadGoexit(t *testing.T) {
	t.Parallel()
	var saw createSaw
	client := retrieveServer(t, saw.serve(createRaw(http.StatusOK, "application/json", `{"id":"f-1"}`)))
	content := &uploadReader{left: 1, before: func(int) (int, error) {
		runtime.Goexit()
		return 0, nil
	}}
	_, err := client.Upload(t.Context(), "a.txt", content)
	if e, ok := errors.AsType[*api.Error](err); !ok || e.StatusCode != 0 || content.reads != 1 || !strings.Contains(err.Error(), "goroutine") {
		t.Errorf("%v after %d reads", err, content.reads)
	}
}
