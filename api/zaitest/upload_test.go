package zaitest_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"example.com/zai/api/zaitest"
)

// A part is one of a form: a file if it has a file name.
type part struct {
	field, file string
	content     io.Reader
}

func purpose(value string) part { return part{"purpose", "", strings.NewReader(value)} }

// zeros reads as n bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// upload sends a form that is made as it is read.
func upload(client *http.Client, srv *zaitest.Server, parts ...part) answer {
	body, w := io.Pipe()
	form := multipart.NewWriter(w)
	go func() {
		var err error
		for _, part := range parts {
			var to io.Writer
			if part.file == "" {
				to, err = form.CreateFormField(part.field)
			} else {
				to, err = form.CreateFormFile(part.field, part.file)
			}
			if err == nil {
				_, err = io.Copy(to, part.content)
			}
			if err != nil {
				break
			}
		}
		w.CloseWithError(errors.Join(err, form.Close()))
	}()
	req := postRequest(context.Background(), srv, files, "")
	req.Body, req.GetBody, req.ContentLength = body, nil, -1
	req.Header.Set("Content-Type", form.FormDataContentType())
	return do(client, req)
}

func TestUpload(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		srv.MaxContent = 3
		for i, content := range []string{"", "ab", "abcdef"} {
			file := part{"file", "a b;\"ü.xlsx", strings.NewReader(content)}
			parts := []part{purpose("agent"), file}
			if i == 1 {
				parts = []part{file, purpose("agent")}
			}
			got := upload(client, srv, parts...)
			all := srv.Uploads()
			if len(all) != i+1 {
				t.Fatalf("%d uploads, %+v", len(all), got)
			}
			u := all[i]
			wantJSON(t, content, got.body, fmt.Sprintf(`{"id":%q,"object":"file","bytes":%d,"filename":"a b;\"ü.xlsx","purpose":"agent","created_at":%v}`,
				u.ID, len(content), value(t, got.body, "created_at")))
			if u.Name != "a b;\"ü.xlsx" || u.Size != int64(len(content)) || string(u.Content) != content[:min(3, len(content))] || u.Purpose != "agent" ||
				u.ContentType != "application/octet-stream" || u.SHA256 != sha256.Sum256([]byte(content)) || i > 0 && u.ID == all[i-1].ID {
				t.Errorf("%+v", u)
			}
		}
		if body := string(srv.Requests()[2].Body); !strings.Contains(body, "abcdef") {
			t.Errorf("%q", body)
		}
	})
}

func TestBadUploads(t *testing.T) {
	file := func() part { return part{"file", "a.txt", strings.NewReader("x")} }
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		for name, parts := range map[string][]part{
			"nothing":        {},
			"no file":        {purpose("agent")},
			"no purpose":     {file()},
			"two files":      {purpose("agent"), file(), file()},
			"two purposes":   {purpose("agent"), purpose("agent"), file()},
			"something else": {purpose("agent"), file(), {"more", "", strings.NewReader("x")}},
			"other purpose":  {purpose("batch"), file()},
			"other name":     {purpose("agent"), {"content", "a.txt", strings.NewReader("x")}},
			"a field":        {purpose("agent"), {"file", "", strings.NewReader("x")}},
			"no end":         {purpose("agent"), file(), {"more", "", brokenReader{}}},
		} {
			got := upload(client, srv, parts...)
			if name == "no end" {
				if got.err == nil {
					t.Errorf("%s: %+v", name, got)
				}
				continue
			}
			if got.status != http.StatusBadRequest || value(t, got.body, "error", "code") != "1214" {
				t.Errorf("%s: %+v", name, got)
			}
		}
		if got := post(client, srv, files, `{"purpose":"agent"}`); got.status != http.StatusBadRequest {
			t.Error(got)
		}
		if got := srv.Uploads(); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrNoProgress }

// A large file is taken, in much less memory.
func TestLargeUpload(t *testing.T) {
	const size = 32 << 20
	srv := zaitest.NewServer()
	defer srv.Close()
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if got := upload(client, srv, purpose("agent"), part{"file", "a.pdf", zeros(size)}); got.status != http.StatusOK {
		t.Fatal(got)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > size/2 {
		t.Errorf("%d bytes were allocated", got)
	}
	if u := srv.Uploads()[0]; u.Size != size || len(u.Content) != 1<<20 {
		t.Errorf("%d bytes, %d kept", u.Size, len(u.Content))
	}
}

func TestMaxFile(t *testing.T) {
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		if srv.MaxFile != 100<<20 {
			t.Errorf("MaxFile is %d", srv.MaxFile)
		}
		srv.MaxFile = 3 << 20
		for size, status := range map[int64]int{srv.MaxFile: 200, srv.MaxFile + 1: 435, 2 * srv.MaxFile: 435} {
			before := len(srv.Uploads())
			got := upload(client, srv, purpose("agent"), part{"file", "a.pdf", zeros(size)})
			code, _ := value(t, got.body, "error", "code").(string)
			if got.status != status || (code == "435") != (status == 435) || (len(srv.Uploads()) > before) != (status == 200) {
				t.Errorf("%d bytes: %+v", size, got)
			}
		}
	})
}

// A reply to an upload is read, though the client is still sending.
func TestUploadFaults(t *testing.T) {
	const size = 4 << 20
	both(t, func(t *testing.T, srv *zaitest.Server, client *http.Client) {
		for _, test := range []struct {
			reply        zaitest.Reply
			status, made int
		}{
			{zaitest.HTMLError(413), 413, 0},
			{zaitest.Abort(), 0, 0},
			{zaitest.Lose(zaitest.HTMLError(502)), 502, 1},
			{zaitest.Lose(zaitest.Abort()), 0, 1},
			{zaitest.CutBody(3), 200, 1},
		} {
			before := len(srv.Uploads())
			srv.Enqueue(test.reply)
			got := upload(client, srv, purpose("agent"), part{"file", "a.pdf", zeros(size)})
			if n := len(srv.Uploads()) - before; got.status != test.status || n != test.made || (got.err == nil) != (got.status > 200) {
				t.Errorf("%d taken, %+v", n, got)
			}
		}
		srv.Enqueue(zaitest.Hang())
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		req := postRequest(ctx, srv, files, strings.Repeat("x", 2<<20))
		if got := do(client, req); !errors.Is(got.err, context.DeadlineExceeded) {
			t.Error(got)
		}
	})
}
