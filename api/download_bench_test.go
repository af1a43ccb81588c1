package api_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"example.com/zai/api"
)

// BenchmarkDownload compares Download with io.Copy from plain net/http: the same file, server
// and transport, and a writer that has nothing but Write.
func BenchmarkDownload(b *testing.B) {
	const size = 256 << 20
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

	copied := func() (n int64, err error) {
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
	}
	downloaded := func() (int64, error) {
		return client.Download(b.Context(), server.URL, sink, api.OnBytes(func(int64, int64) {}))
	}
	timed := func(b *testing.B, get func() (int64, error)) time.Duration {
		start := time.Now()
		if n, err := get(); n != size || err != nil {
			b.Fatal(n, err)
		}
		return time.Since(start)
	}

	for _, bench := range []struct {
		name string
		get  func() (int64, error)
	}{{"io.Copy", copied}, {"Download", downloaded}} {
		b.Run(bench.name, func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				timed(b, bench.get)
			}
		})
	}
	// In turns, and by the fastest of each, so that what else the machine does counts little.
	b.Run("ratio", func(b *testing.B) {
		plain, own := time.Hour, time.Hour
		for b.Loop() {
			plain, own = min(plain, timed(b, copied)), min(own, timed(b, downloaded))
		}
		b.ReportMetric(plain.Seconds()/own.Seconds(), "ratio")
		b.ReportMetric(size/1e6/plain.Seconds(), "io.Copy-MB/s")
		b.ReportMetric(size/1e6/own.Seconds(), "Download-MB/s")
	})
}
