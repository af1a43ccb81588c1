package api_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"example.com/zai/api"
)

// BenchmarkDownload compares Download with io.Copy from plain net/http: the same file, server
// and transport, and a writer that has nothing but Write.
func BenchmarkDownload(b *testing.B) {
	const size = 64 << 20
	piece := downloadContent(1 << 20)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		for range size / len(piece) {
			if _, err := w.Write(piece); err != nil {
				return
			}
		}
	}))
	defer server.Close()
	doer := server.Client()
	client, err := api.New(downloadKey, api.WithBaseURL(server.URL), api.WithHTTPClient(doer))
	if err != nil {
		b.Fatal(err)
	}
	sink := downloadWriter(func(p []byte) (int, error) { return len(p), nil })

	for _, bench := range []struct {
		name string
		get  func() (int64, error)
	}{
		{"plain", func() (int64, error) {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, server.URL, http.NoBody)
			if err != nil {
				return 0, err
			}
			resp, err := doer.Do(req)
			if err != nil {
				return 0, err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return 0, fmt.Errorf("HTTP %d", resp.StatusCode)
			}
			return io.Copy(sink, resp.Body)
		}},
		{"zai", func() (int64, error) {
			return client.Download(b.Context(), server.URL, sink, api.OnBytes(func(int64, int64) {}))
		}},
	} {
		b.Run("64MiB/"+bench.name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				if n, err := bench.get(); n != size || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
}
