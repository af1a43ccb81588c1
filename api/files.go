package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"time"
)

const (
	defaultIdleTimeout = 2 * time.Minute
	defaultMaxBytes    = 1 << 30
	maxRedirects       = 5
	opDownload         = "download"
)

// WithIdleTimeout bounds the time between two reads of a file. The default is 2 minutes.
// Until the header has come, WithTimeout holds.
func WithIdleTimeout(d time.Duration) ClientOption {
	return withGuard("WithIdleTimeout", d > 0, func(g *guard) { g.idleTimeout = d })
}

// DownloadOption changes how Download and DownloadFile work.
type DownloadOption func(*download) error

type download struct {
	maxBytes int64
	onBytes  func(done, total int64)
}

// MaxBytes bounds the size of the file. The default is 1 GiB. A larger file is an error
// that matches ErrBodyTooLarge, at once when the server says how large it is.
func MaxBytes(n int64) DownloadOption {
	return func(d *download) error {
		if n <= 0 {
			return invalid(opDownload, "MaxBytes: %d is not positive", n)
		}
		d.maxBytes = n
		return nil
	}
}

// OnBytes calls progress after each piece with the bytes written so far and the size of
// the file, -1 when it is not known. A repeated attempt of DownloadFile starts from 0.
func OnBytes(progress func(done, total int64)) DownloadOption {
	return func(d *download) error {
		if progress == nil {
			return invalid(opDownload, "OnBytes: the function is nil")
		}
		d.onBytes = progress
		return nil
	}
}

// Download writes the file at address, one of those that a Result names, to w, in one
// attempt, and returns the number of bytes written.
//
// The request carries nothing of the client but its User-Agent: no key, because that
// would break the signature of the address and give the key away. The address must be https,
// and so must everything it redirects to, at most five times; loopback addresses are
// refused unless the client's own base URL is one. A file that ends early is an error that
// matches io.ErrUnexpectedEOF; what came before it has been written to w. No error
// repeats the query of an address.
func (c *ClientWithResponses) Download(ctx context.Context, address string, w io.Writer, opts ...DownloadOption) (int64, error) {
	g, d, err := c.download(ctx, opts)
	if err != nil {
		return 0, err
	}
	n, e := g.download(ctx, 1, d, address, w)
	if e != nil {
		return n, e
	}
	return n, nil
}

// DownloadFile is Download into a file: a temporary one in the same folder, which is
// synced and takes the name path once it is complete, so that a broken download never looks
// whole. It starts again from zero after a passing failure and, because fresh addresses
// may be answered so, after HTTP 404, within WithMaxAttempts.
func (c *ClientWithResponses) DownloadFile(ctx context.Context, address, path string, opts ...DownloadOption) (_ int64, err error) {
	g, d, err := c.download(ctx, opts)
	if err != nil {
		return 0, err
	}
	if info, err := os.Stat(path); path == "" || err == nil && info.IsDir() {
		return 0, invalid(opDownload, "the path %q is no file", path)
	}
	temporary := path + "." + strconv.FormatUint(rand.Uint64(), 36) + ".part"
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666) //nolint:gosec // The umask decides, as for any file.
	if err != nil {
		return 0, &Error{Op: opDownload, Err: err}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreClosed(file.Close()), os.Remove(temporary))
		}
	}()
	n, err := retry(ctx, g, func(attempt int) (int64, *Error) {
		if _, err := file.Seek(0, io.SeekStart); err != nil {
			return 0, &Error{Op: opDownload, Err: err}
		}
		if err := file.Truncate(0); err != nil {
			return 0, &Error{Op: opDownload, Err: err}
		}
		return g.download(ctx, attempt, d, address, file)
	})
	if err != nil {
		return n, err
	}
	for _, step := range [...]func() error{file.Sync, file.Close, func() error { return os.Rename(temporary, path) }} {
		if err := step(); err != nil {
			return n, &Error{Op: opDownload, Err: err}
		}
	}
	return n, nil
}

// ignoreClosed drops the error of closing a file twice.
func ignoreClosed(err error) error {
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return err
}

func (c *ClientWithResponses) download(ctx context.Context, opts []DownloadOption) (*guard, *download, error) {
	g, err := c.guard(ctx, opDownload, nil)
	if err != nil {
		return nil, nil, err
	}
	d := &download{maxBytes: defaultMaxBytes}
	for _, opt := range opts {
		if opt == nil {
			return nil, nil, invalid(opDownload, "an option is nil")
		}
		if err := opt(d); err != nil {
			return nil, nil, err
		}
	}
	return g, d, nil
}

// download makes one attempt.
func (g *guard) download(caller context.Context, attempt int, d *download, address string, w io.Writer) (n int64, e *Error) {
	start, status := time.Now(), 0
	defer func() {
		if e == nil {
			g.log(caller, opDownload, attempt, start, &Result{StatusCode: status}, nil)
			return
		}
		e.Op, e.StatusCode = opDownload, status
		g.log(caller, opDownload, attempt, start, nil, e)
	}()
	ctx, cancel := context.WithCancel(caller)
	defer cancel()
	idle := time.AfterFunc(g.timeout, cancel)
	defer idle.Stop()
	failed := func(err error, again bool) *Error {
		if caller.Err() == nil && ctx.Err() != nil {
			err = fmt.Errorf("nothing came for %v: %w", time.Since(start).Round(time.Millisecond), context.DeadlineExceeded)
		} else {
			err = g.cause(caller, caller, err, "")
		}
		return &Error{Err: err, Attempts: 1, again: again}
	}

	resp, e := g.fetch(ctx, address, failed)
	if e != nil {
		return 0, e
	}
	defer func() { _ = resp.Body.Close() }()
	status = resp.StatusCode
	if status != http.StatusOK {
		// The body is left out: that of an object store repeats the signature.
		e := &Error{StatusCode: status, Message: http.StatusText(status), Attempts: 1, Header: redactHeader(resp.Header),
			RetryAfter: retryAfter(resp.Header.Get("Retry-After"))}
		if e.again = e.Retryable() || status == http.StatusNotFound; status == http.StatusNotFound {
			e.pause = 2 * time.Second
		}
		return 0, e
	}
	tooLarge := &Error{Err: fmt.Errorf("%w of %d bytes", ErrBodyTooLarge, d.maxBytes), Attempts: 1}
	if resp.ContentLength > d.maxBytes {
		return 0, tooLarge
	}
	buf := make([]byte, 128<<10)
	for {
		idle.Reset(g.idleTimeout)
		m, readErr := resp.Body.Read(buf)
		idle.Stop() // The time that w takes is not the server's.
		excess := n+int64(m) > d.maxBytes
		m = int(min(int64(m), d.maxBytes-n))
		if m > 0 {
			written, err := w.Write(buf[:m])
			if n += int64(written); err == nil && written < m {
				err = io.ErrShortWrite
			}
			if err != nil {
				return n, &Error{Err: err, Attempts: 1}
			}
			if d.onBytes != nil {
				d.onBytes(n, resp.ContentLength)
			}
		}
		switch {
		case excess:
			return n, tooLarge
		case readErr == nil:
		case errors.Is(readErr, io.EOF) && (resp.ContentLength < 0 || n == resp.ContentLength):
			return n, nil
		default:
			if errors.Is(readErr, io.EOF) {
				readErr = io.ErrUnexpectedEOF
			}
			return n, failed(fmt.Errorf("the file ended after %d of %d bytes: %w", n, resp.ContentLength, readErr), true)
		}
	}
}

// fetch asks for a file and follows redirects.
func (g *guard) fetch(ctx context.Context, address string, failed func(error, bool) *Error) (*http.Response, *Error) {
	u, err := url.Parse(address)
	for hop := 0; ; hop++ {
		if err == nil {
			err = g.checkFile(u)
		}
		var req *http.Request
		if err == nil {
			req, err = http.NewRequestWithContext(ctx, http.MethodGet, u.String(), http.NoBody)
		}
		switch {
		case err != nil && hop > 0:
			return nil, failed(fmt.Errorf("redirected to a bad address: %w", withoutURL(err)), false)
		case err != nil:
			return nil, invalid(opDownload, "address: %w", withoutURL(err))
		}
		// Without compression, Content-Length is the length of the file.
		req.Header = http.Header{"User-Agent": g.userAgent, "Accept-Encoding": {"identity"}}
		resp, doErr := g.next.Do(req)
		switch {
		case doErr != nil:
			return nil, failed(doErr, true)
		case resp == nil || resp.Body == nil:
			return nil, failed(errNoAnswer, false)
		case resp.Request != nil && g.checkFile(resp.Request.URL) != nil:
			return nil, failed(errors.Join(errors.New("the HTTP client followed a redirect to a bad address"), resp.Body.Close()), false)
		}
		location := resp.Header.Get("Location")
		if resp.StatusCode < 300 || resp.StatusCode > 399 || location == "" {
			return resp, nil
		}
		if err := resp.Body.Close(); err != nil || hop == maxRedirects {
			return nil, failed(errors.Join(fmt.Errorf("redirected more than %d times", maxRedirects), err), false)
		}
		u, err = u.Parse(location)
	}
}

// checkFile refuses an address to which no request must be made.
func (g *guard) checkFile(u *url.URL) error {
	switch {
	case u.Host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("not an absolute https URL")
	case u.User != nil:
		return errors.New("it holds user info")
	case isLoopback(u.Hostname()) && !isLoopback(g.origin.Hostname()):
		return errors.New("loopback is only for clients whose base URL is on loopback")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return errors.New("http is for loopback only")
	default:
		return nil
	}
}
