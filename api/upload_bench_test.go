package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"testing"

	"example.com/zai/api"
)

// BenchmarkUpload compares Upload with a multipart form that is piped by hand into plain net/http and
// into the generated method: the same file, server and transport.
func BenchmarkUpload(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"id":"file-1","object":"file","filename":"a.pdf","purpose":"agent"}`)
	}))
	defer server.Close()
	doer := server.Client()
	client, err := api.New(downloadKey, api.WithBaseURL(server.URL), api.WithHTTPClient(doer))
	if err != nil {
		b.Fatal(err)
	}
	raw, err := api.NewClientWithResponses(server.URL, api.WithHTTPClient(doer), api.WithRequestEditorFn(api.BearerAuth(downloadKey)))
	if err != nil {
		b.Fatal(err)
	}
	for _, size := range []int{1 << 10, 1 << 20, 64 << 20} {
		content := downloadContent(size)
		for _, way := range []struct {
			name string
			send func(context.Context) (id string, err error)
		}{
			{"plain", func(ctx context.Context) (string, error) {
				form, contentType := benchForm(content)
				return benchUpload(ctx, doer, server.URL, form, contentType)
			}},
			{"raw", func(ctx context.Context) (string, error) {
				form, contentType := benchForm(content)
				r, err := raw.UploadFileWithBodyWithResponse(ctx, contentType, form)
				if err != nil || r.JSON200 == nil {
					return "", errors.Join(errors.New("no file"), err)
				}
				return r.JSON200.ID, nil
			}},
			{"zai", func(ctx context.Context) (string, error) {
				file, err := client.Upload(ctx, "a.pdf", newBenchFile(content))
				if err != nil {
					return "", err
				}
				return file.ID, nil
			}},
		} {
			b.Run(fmt.Sprintf("%dkB/%s", size>>10, way.name), func(b *testing.B) {
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					if id, err := way.send(b.Context()); id != "file-1" || err != nil {
						b.Fatal(id, err)
					}
				}
			})
		}
	}
}

// newBenchFile is a content of which nothing is known but how to read it.
func newBenchFile(content []byte) io.Reader { return struct{ io.Reader }{bytes.NewReader(content)} }

// benchForm writes a form while it is read.
func benchForm(content []byte) (io.Reader, string) {
	r, w := io.Pipe()
	form := multipart.NewWriter(w)
	go func() {
		err := form.WriteField("purpose", "agent")
		part, err2 := form.CreateFormFile("file", "a.pdf")
		if err = errors.Join(err, err2); err == nil {
			_, err = io.Copy(part, newBenchFile(content))
			err = errors.Join(err, form.Close())
		}
		_ = w.CloseWithError(err)
	}()
	return r, form.FormDataContentType()
}

// benchUpload sends a form by hand.
func benchUpload(ctx context.Context, doer *http.Client, base string, form io.Reader, contentType string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/paas/v4/files", form)
	if err != nil {
		return "", err
	}
	req.Header.Set("Authorization", "Bearer "+downloadKey)
	req.Header.Set("Content-Type", contentType)
	resp, err := doer.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	var file struct {
		ID string `json:"id"`
	}
	err = json.Unmarshal(data, &file)
	return file.ID, err
}
