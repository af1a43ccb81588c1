package faults

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

var discard = log.New(io.Discard, "", 0)

// content is what is downloaded and uploaded.
var content = bytes.Repeat([]byte("0123456789abcdef"), 512)

// A mixture is how a WaitAll ended whose tasks did not all end in the same way.
type mixture struct {
	ends []string // words
	err  error    // all errors
}

func (m *mixture) Error() string { return strings.Join(m.ends, "+") }
func (m *mixture) Unwrap() error { return m.err }

// waited is the number of tasks that the cells of WaitAll wait for.
const waited = 3

// A verb is one call of the client, in a cell of a table: it finds or makes what the call is about, and returns a
// function that makes the call and checks what it gives. An answer that is no error must be whole.
type verb struct {
	name    string
	creates bool
	prepare func(t *testing.T, w *world) func(ctx context.Context, c *api.ClientWithResponses) error
}

var verbs = []verb{
	{name: "Retrieve", prepare: func(t *testing.T, w *world) func(context.Context, *api.ClientWithResponses) error {
		task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: w.AddTask(zaitest.TaskScript{})}
		return func(ctx context.Context, c *api.ClientWithResponses) error {
			r, err := c.Retrieve(ctx, task)
			if err == nil {
				checkVideo(t, w, r)
			} else if r != nil {
				t.Errorf("a Result came with the error %v", err)
			}
			return err
		}
	}},
	{name: "Wait", prepare: func(t *testing.T, w *world) func(context.Context, *api.ClientWithResponses) error {
		task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: w.AddTask(zaitest.TaskScript{Pending: 1})}
		return func(ctx context.Context, c *api.ClientWithResponses) error {
			r, err := c.Wait(ctx, task, api.Every(time.Millisecond), api.MaxFailures(w.maxFailures))
			if err == nil {
				checkVideo(t, w, r)
			}
			return err
		}
	}},
	{name: "WaitAll", prepare: func(t *testing.T, w *world) func(context.Context, *api.ClientWithResponses) error {
		left := map[api.Task]bool{}
		var tasks []api.Task
		for range waited {
			task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: w.AddTask(zaitest.TaskScript{Pending: 1})}
			left[task], tasks = true, append(tasks, task)
		}
		return func(ctx context.Context, c *api.ClientWithResponses) error {
			var all []error
			ends := map[string]bool{}
			for task, outcome := range c.WaitAll(ctx, slices.Values(tasks), api.Every(time.Millisecond), api.MaxFailures(w.maxFailures)) {
				if !left[task] {
					t.Errorf("task %v was yielded twice, or was never asked for", task)
				}
				delete(left, task)
				ends[word(outcome.Err)] = true
				if outcome.Err != nil {
					all = append(all, outcome.Err)
					continue
				}
				checkVideo(t, w, outcome.Result)
			}
			if len(left) > 0 {
				t.Errorf("never yielded: %v", left)
			}
			if len(ends) > 1 {
				return &mixture{slices.Sorted(maps.Keys(ends)), errors.Join(all...)}
			}
			return errors.Join(all...)
		}
	}},
	{name: "Conversation", prepare: func(t *testing.T, w *world) func(context.Context, *api.ClientWithResponses) error {
		request := api.ConversationRequest{
			ConversationID:  w.AddConversation(zaitest.TaskScript{}),
			CustomVariables: api.ConversationOptions{IncludePDF: true},
		}
		return func(ctx context.Context, c *api.ClientWithResponses) error {
			r, err := c.Conversation(ctx, request)
			if err == nil && (!slices.Equal(r.FileURLs(), []string{w.FileURL("deck.pdf")}) || len(r.ImageURLs()) != 2) {
				t.Errorf("the conversation has the files %q and images %q", r.FileURLs(), r.ImageURLs())
			}
			return err
		}
	}},
	{name: "Download", prepare: func(t *testing.T, w *world) func(context.Context, *api.ClientWithResponses) error {
		address := w.AddFile("film.mp4", content)
		return func(ctx context.Context, c *api.ClientWithResponses) error {
			var got bytes.Buffer
			n, err := c.Download(ctx, address, &got)
			if n != int64(got.Len()) || !bytes.HasPrefix(content, got.Bytes()) || err == nil && got.Len() != len(content) {
				t.Errorf("%d bytes were reported, %d written of %d, with the error %v", n, got.Len(), len(content), err)
			}
			return err
		}
	}},
	{name: "DownloadFile", prepare: func(t *testing.T, w *world) func(context.Context, *api.ClientWithResponses) error {
		address := w.AddFile("film.mp4", content)
		path := filepath.Join(t.TempDir(), "film.mp4")
		return func(ctx context.Context, c *api.ClientWithResponses) error {
			_, err := c.DownloadFile(ctx, address, path)
			files, dirErr := os.ReadDir(filepath.Dir(path))
			got, _ := os.ReadFile(path)
			switch {
			case dirErr != nil:
				t.Error(dirErr)
			case err == nil && (len(files) != 1 || !bytes.Equal(got, content)):
				t.Errorf("the folder holds %v, and %d bytes of the file", files, len(got))
			case err != nil && len(files) != 0:
				t.Errorf("after %v the folder holds %v", err, files)
			}
			return err
		}
	}},
	{name: "Invoke", creates: true, prepare: func(t *testing.T, _ *world) func(context.Context, *api.ClientWithResponses) error {
		return func(ctx context.Context, c *api.ClientWithResponses) error {
			r, err := c.Invoke(ctx, api.NewTranslationRequest("Hello", api.LanguageFrench))
			if err == nil && r.Text() != "[fr] Hello" {
				t.Errorf("the translation is %q", r.Text())
			}
			return err
		}
	}},
	{name: "Submit", creates: true, prepare: func(t *testing.T, w *world) func(context.Context, *api.ClientWithResponses) error {
		return func(ctx context.Context, c *api.ClientWithResponses) error {
			request := api.NewVideoRequest(api.TemplateFrenchKiss, "https://example.com/couple.jpg", "a kiss")
			request.RequestID = "fault-of-submit"
			task, err := c.Submit(ctx, request)
			if err == nil && (len(w.Runs()) != 1 || w.Runs()[0].AsyncID != task.AsyncID) {
				t.Errorf("the task is %v, the server has %v", task, w.Runs())
			}
			if e, ok := errors.AsType[*api.Error](err); ok && e.CallerRequestID != request.RequestID {
				t.Errorf("the error names the request id %q", e.CallerRequestID)
			}
			return err
		}
	}},
	{name: "Stream", creates: true, prepare: func(t *testing.T, _ *world) func(context.Context, *api.ClientWithResponses) error {
		return func(ctx context.Context, c *api.ClientWithResponses) error {
			var deck api.Accumulator
			var ended error
			for event, err := range c.Stream(ctx, api.NewSlidesRequest("two slides on tides")) {
				if ended != nil {
					t.Errorf("after the error %v came another event", ended)
				}
				if ended = err; err != nil {
					continue
				}
				if err := deck.Add(event); err != nil {
					t.Error(err)
				}
			}
			r := deck.Result()
			if ended == nil && (r.Text() != "Deck ready" || r.Status != api.StatusSuccess || len(r.ToolCalls()) != 3) {
				t.Errorf("the stream ended with the text %q, status %q and %d tool calls", r.Text(), r.Status, len(r.ToolCalls()))
			}
			return ended
		}
	}},
	{name: "Upload", creates: true, prepare: func(t *testing.T, w *world) func(context.Context, *api.ClientWithResponses) error {
		return func(ctx context.Context, c *api.ClientWithResponses) error {
			file, err := c.Upload(ctx, "glossary.txt", bytes.NewReader(content))
			if err == nil && (len(w.Uploads()) != 1 || w.Uploads()[0].ID != file.ID) {
				t.Errorf("the file is %v, the server has %d", file, len(w.Uploads()))
			}
			for _, upload := range w.Uploads() {
				if upload.SHA256 != sha256.Sum256(content) {
					t.Errorf("the server took a file of %d bytes that is not the one that was sent", upload.Size)
				}
			}
			return err
		}
	}},
}

func checkVideo(t *testing.T, w *world, r *api.Result) {
	t.Helper()
	if want := []string{w.FileURL("video.mp4")}; r == nil || r.Status != api.StatusSuccess || !slices.Equal(r.VideoURLs(), want) {
		t.Errorf("the result is %+v, want the video %q", r, want)
	}
}

// word tells in one word how a call ended.
func word(err error) string {
	if err == nil {
		return "ok"
	}
	name := cause(err)
	if errors.Is(err, api.ErrUnknownOutcome) {
		name = "unknown: " + name
	}
	return name
}

func cause(err error) string {
	var hostname x509.HostnameError
	var authority x509.UnknownAuthorityError
	var certificate x509.CertificateInvalidError
	var record tls.RecordHeaderError
	var refused *api.Error
	var mixed *mixture
	switch {
	case errors.As(err, &mixed):
		return mixed.Error()
	case errors.As(err, &refused) && refused.StatusCode >= 300:
		return fmt.Sprint("HTTP ", refused.StatusCode)
	case errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.As(err, &hostname):
		return "wrong name"
	case errors.As(err, &authority):
		return "untrusted"
	case errors.As(err, &certificate) && certificate.Reason == x509.Expired:
		return "expired"
	case errors.As(err, &record) || strings.Contains(err.Error(), "HTTP response to HTTPS client"):
		return "no TLS"
	case errors.Is(err, api.ErrInterrupted):
		return "interrupted"
	case errors.Is(err, api.ErrMalformed):
		return "malformed"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, net.ErrClosed), cutText.MatchString(err.Error()):
		return "cut"
	default:
		return "other: " + err.Error()
	}
}

// cutText matches what net/http says of an exchange that the server broke off where it has no exported error: a header
// that ends in the middle, a connection that ended before its request, and all of HTTP/2.
var cutText = regexp.MustCompile(`transport connection broken: malformed (HTTP|MIME)|server closed idle connection|` +
	`stream error: stream ID \d+; [A-Z_]+|server sent GOAWAY and closed the connection|cannot retry err|refused or reset the HTTP/2 stream|client connection (lost|force closed)`)
