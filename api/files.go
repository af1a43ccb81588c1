package api

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	defaultIdleTimeout = 2 * time.Minute
	defaultMaxBytes    = 1 << 30
	maxRedirects       = 5
	opDownload         = "download"
)

// WithIdleTimeout bounds the time between two reads of a stream or of a file, and for an
// upload the time that each piece takes. The default is 2 minutes. WithTimeout holds until the
// header of a stream or a file has come, and for the answer to an upload.
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
	return option(opDownload, "MaxBytes: the number is not positive", n > 0, func(d *download) { d.maxBytes = n })
}

// OnBytes calls progress after each piece with the bytes written so far and the size of
// the file, -1 when it is not known. A repeated attempt of DownloadFile starts from 0.
func OnBytes(progress func(done, total int64)) DownloadOption {
	return option(opDownload, "OnBytes: the function is nil", progress != nil, func(d *download) { d.onBytes = progress })
}

// Download writes the file at address, one of those that a Result names, to w, in one
// attempt, and returns the number of bytes written.
//
// The request carries nothing of the client but its User-Agent: no key, because that
// would break the signature of the address and give the key away. The address must be https,
// and so must everything it redirects to, at most five times; loopback addresses are
// refused unless the client's own base URL is one. A file that ends early is an error that
// says how much came, and matches io.ErrUnexpectedEOF or what broke the connection; what
// came has been written to w. A compressed file, which was not asked for, matches
// ErrMalformed. No error repeats the query of an address.
func (c *ClientWithResponses) Download(ctx context.Context, address string, w io.Writer, opts ...DownloadOption) (int64, error) {
	g, d, err := c.download(ctx, opts)
	if err != nil {
		return 0, err
	}
	if w == nil {
		return 0, invalid(opDownload, "the writer is nil")
	}
	n, e := g.download(ctx, 1, d, address, w)
	if e != nil {
		return n, e
	}
	return n, nil
}

// DownloadFile is Download into a file: a temporary one in the same folder, which is
// synced and takes the name path once it is complete, so that a broken download never looks
// whole. It replaces a file, or a link, that is there, with the permissions of a new file. It
// starts again from zero after a passing failure and, because fresh addresses
// may be answered so, after HTTP 404, within WithMaxAttempts.
func (c *ClientWithResponses) DownloadFile(ctx context.Context, address, path string, opts ...DownloadOption) (int64, error) {
	g, d, err := c.download(ctx, opts)
	if err != nil {
		return 0, err
	}
	if info, err := os.Stat(path); path == "" || err == nil && !info.Mode().IsRegular() {
		return 0, invalid(opDownload, "the path %q is no file", path)
	}
	temporary := filepath.Join(filepath.Dir(path), ".zai-"+strconv.FormatUint(rand.Uint64(), 36)+".part")
	file, err := os.OpenFile(temporary, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666) //nolint:gosec // The umask decides, as for any file.
	if err != nil {
		return 0, &Error{Op: opDownload, Err: err}
	}
	defer func() { _, _ = file.Close(), os.Remove(temporary) }() // Both fail when all went well.
	n, err := retry(ctx, g, func(attempt int) (int64, *Error) {
		_, err := file.Seek(0, io.SeekStart)
		if err = cmp.Or(err, file.Truncate(0)); err != nil {
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
	start, status, id := time.Now(), 0, ""
	defer func() {
		r := &Result{StatusCode: status, RequestID: id}
		if e != nil {
			r, e.Op, e.StatusCode = nil, opDownload, status
		}
		g.log(caller, opDownload, attempt, start, r, e)
	}()
	ctx, cancel := context.WithCancel(caller)
	defer cancel()
	f := &fetch{guard: g, caller: caller, ctx: ctx, patience: g.timeout}
	idle := time.AfterFunc(f.patience, cancel)
	defer idle.Stop()

	resp, e := f.get(address)
	if e != nil {
		return 0, e
	}
	defer func() { _ = resp.Body.Close() }()
	id = requestID(resp.Header, &Result{})
	if status = resp.StatusCode; status != http.StatusOK {
		return 0, f.refused(resp)
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return 0, f.failed(fmt.Errorf("%w: Content-Encoding %q was not asked for", ErrMalformed, line(coding, 32)), false)
	}
	tooLarge := &Error{Err: fmt.Errorf("%w of %d bytes", ErrBodyTooLarge, d.maxBytes), Attempts: 1}
	if resp.ContentLength > d.maxBytes {
		return 0, tooLarge
	}
	f.patience = g.idleTimeout
	buf := make([]byte, 128<<10)
	for {
		idle.Reset(f.patience)
		m, err := resp.Body.Read(buf)
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
		case err == nil:
		case err == io.EOF && (resp.ContentLength < 0 || n == resp.ContentLength):
			return n, nil
		default:
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			e := f.failed(err, true)
			e.Err = fmt.Errorf("the file ended after %d of %d bytes: %w", n, resp.ContentLength, e.Err)
			return n, e
		}
	}
}

// fetch is one attempt to get a file.
type fetch struct {
	*guard
	caller, ctx context.Context // of the call, and of this attempt
	patience    time.Duration   // ctx ends when nothing came for so long
	query       string          // of the address asked last: a signature, perhaps
}

// get asks for a file and follows redirects.
func (f *fetch) get(address string) (*http.Response, *Error) {
	u, err := url.Parse(address)
	for hop := 0; ; hop++ {
		if err == nil {
			err = f.check(u)
		}
		var req *http.Request
		if err == nil {
			req, err = http.NewRequestWithContext(f.ctx, http.MethodGet, u.String(), http.NoBody)
		}
		switch {
		case err != nil && hop > 0:
			return nil, f.failed(fmt.Errorf("redirected to a bad address: %w", withoutURL(err)), false)
		case err != nil:
			return nil, invalid(opDownload, "address: %w", withoutURL(err))
		}
		f.query = u.RawQuery
		// Without compression, Content-Length is the length of the file.
		req.Header = http.Header{"User-Agent": f.userAgent, "Accept-Encoding": {"identity"}}
		resp, doErr := f.next.Do(req)
		switch {
		case doErr != nil:
			return nil, f.failed(doErr, true)
		case resp == nil || resp.Body == nil:
			return nil, f.failed(errNoAnswer, false)
		case resp.Request != nil && (resp.Request.URL == nil || f.check(resp.Request.URL) != nil):
			return nil, f.failed(errors.Join(errors.New("the HTTP client followed a redirect to a bad address"), resp.Body.Close()), false)
		}
		location := resp.Header.Get("Location")
		if resp.StatusCode/100 != 3 || location == "" {
			return resp, nil
		}
		_ = resp.Body.Close()
		if hop == maxRedirects {
			return nil, f.failed(fmt.Errorf("redirected more than %d times", maxRedirects), false)
		}
		u, err = u.Parse(location)
	}
}

// check refuses an address to which no request must be made. Dialling 0.0.0.0 reaches
// loopback too. Net/http maps names that are not ASCII to others, full-width digits to digits
// for one, and some resolvers take a name that ends in a number for an address.
func (f *fetch) check(u *url.URL) error {
	host := strings.ToLower(strings.TrimSuffix(u.Hostname(), "."))
	addr, err := netip.ParseAddr(host)
	local := isLoopback(host) || addr.Unmap().IsUnspecified() || strings.HasSuffix(host, ".localhost")
	label := host[strings.LastIndexByte(host, '.')+1:]
	switch {
	case host == "" || u.Scheme != "https" && u.Scheme != "http":
		return errors.New("not an absolute https URL")
	case err != nil && (strings.Trim(label, "0123456789") == "" || strings.HasPrefix(label, "0x")),
		strings.ContainsFunc(host, func(r rune) bool { return r > '~' }):
		return errors.New("its host is neither a plain name nor a plain address")
	case u.User != nil:
		return errors.New("it holds user info")
	case local && !isLoopback(f.origin.Hostname()):
		return errors.New("loopback is only for clients whose base URL is on loopback")
	case u.Scheme == "http" && !local:
		return errors.New("http is for loopback only")
	default:
		return nil
	}
}

// refused is an answer that is not the file. Its body is left out: that of an object
// store repeats the signature.
func (f *fetch) refused(resp *http.Response) *Error {
	header := resp.Header.Clone()
	for _, values := range header {
		for i, v := range values {
			values[i] = f.hide(v)
		}
	}
	e := &Error{StatusCode: resp.StatusCode, Message: http.StatusText(resp.StatusCode), RequestID: cmp.Or(header.Get("X-Log-Id"), header.Get("X-Request-Id")),
		RetryAfter: retryAfter(resp.Header.Get("Retry-After")), Attempts: 1, Header: header}
	if e.again = e.Retryable(); resp.StatusCode == http.StatusNotFound {
		e.again, e.pause = true, 2*time.Second
	}
	return e
}

// failed is an exchange that broke: by the caller's context, by silence, or as err says.
func (f *fetch) failed(err error, again bool) *Error {
	if f.caller.Err() == nil && f.ctx.Err() != nil {
		err = fmt.Errorf("nothing came for %v: %w", f.patience, context.DeadlineExceeded)
	}
	err = f.cause(f.caller, f.caller, err, "")
	if text := f.hide(err.Error()); text != err.Error() {
		err = &maskedError{text: text, err: err}
	}
	return &Error{Err: err, Attempts: 1, again: again && f.caller.Err() == nil}
}

// hide takes queries out of a text, of relative addresses too.
func (f *fetch) hide(text string) string {
	return mask(redactAny(text), f.query)
}
