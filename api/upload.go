package api

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"path"
	"strings"
	"unicode"
)

const (
	opUpload  = "uploadFile"
	maxUpload = 100 << 20 // docs.z.ai, page of POST /paas/v4/files
)

// Upload sends a file for use by an agent (POST /paas/v4/files), such as the glossary of a
// translation, and returns it with its ID. The server keeps it for 180 days, and takes pdf,
// doc, xlsx, ppt, txt, jpg and png of at most 100 MB (read as MiB here); a larger one is
// refused with ErrInvalidRequest and ErrBodyTooLarge, before anything is sent where content tells
// its size (Len or Seek) and otherwise in the middle.
//
// Content is read as it is sent, and not after Upload has returned, unless a Read is under way
// that blocks when the context or the call ends. A panic of its Read is an error. Of
// filename only the last element is sent. WithIdleTimeout bounds each Read of content and the
// time the connection takes what was read; WithTimeout the answer after that. An upload is
// never repeated; ErrUnknownOutcome says that the server may have the file.
func (c *ClientWithResponses) Upload(ctx context.Context, filename string, content io.Reader, editors ...RequestEditorFn) (*File, error) {
	g, err := c.guard(ctx, opUpload, editors)
	if err != nil {
		return nil, err
	}
	f, err := newForm(filename, content)
	if err != nil {
		return nil, invalid(opUpload, "%w", err)
	}
	x := g.create(ctx, opUpload, 1)
	editors = append([]RequestEditorFn{f.announce}, editors...)
	r, e := x.answer(c.UploadFileWithBody(ctx, f.contentType, f, append(editors, x.once)...)) //nolint:bodyclose // answer closes it.
	if e != nil {
		return nil, e
	}
	if err := r.Err(); err != nil {
		return nil, err
	}
	var file File
	raw := json.RawMessage(bytes.TrimLeft(r.Raw, blanks))
	if top := asObject(raw); !has(top, "id") && has(top, "data") {
		raw = top["data"]
	}
	_ = json.Unmarshal(raw, &file) // What has another type is left out.
	if file.ID = cmp.Or(file.ID, r.ID); file.ID == "" {
		return nil, x.blame(&Error{Op: opUpload, StatusCode: r.StatusCode, RequestID: r.RequestID, Attempts: 1,
			Err: fmt.Errorf("%w: the answer holds no file id", ErrMalformed)})
	}
	return &file, nil
}

// form is the body of an upload: the file between the head and the tail of a multipart form.
type form struct {
	io.Reader
	size        int64 // -1 when it is not known
	contentType string
}

func newForm(filename string, content io.Reader) (*form, error) {
	if isNil(content) {
		return nil, errors.New("the content is nil")
	}
	name := filename[strings.LastIndexAny(filename, `/\`)+1:]
	if name == "" || name == "." || name == ".." || strings.ContainsFunc(name, unicode.IsControl) {
		return nil, fmt.Errorf("%.100q is no name of a file", filename)
	}
	size, err := sizeOf(content)
	if err != nil {
		return nil, fmt.Errorf("the content cannot be read: %w", err)
	}
	if size > maxUpload {
		return nil, errUploadTooLarge
	}
	var frame bytes.Buffer
	w := multipart.NewWriter(&frame)
	part := textproto.MIMEHeader{
		"Content-Disposition": {multipart.FileContentDisposition("file", name)},
		"Content-Type":        {cmp.Or(mediaTypes[strings.ToLower(path.Ext(name))], "application/octet-stream")},
	}
	err = w.WriteField("purpose", "agent")
	_, err2 := w.CreatePart(part)
	head := frame.Len()
	if err := errors.Join(err, err2, w.Close()); err != nil {
		return nil, err
	}
	if size >= 0 {
		size += int64(frame.Len())
	}
	file := &limited{r: content, left: maxUpload}
	whole := io.MultiReader(bytes.NewReader(frame.Bytes()[:head]), file, bytes.NewReader(frame.Bytes()[head:]))
	return &form{Reader: whole, size: size, contentType: w.FormDataContentType()}, nil
}

// announce is the editor that says how long the form is.
func (f *form) announce(_ context.Context, req *http.Request) error {
	req.ContentLength = f.size
	return nil
}

// limited reads at most left bytes, and fails when there are more, or when there is nothing time and
// again.
type limited struct {
	r    io.Reader
	left int64
}

func (l *limited) Read(p []byte) (int, error) {
	for range 100 { // as often as bufio tries
		n, err := l.r.Read(p)
		if l.left -= int64(n); l.left < 0 {
			return 0, fmt.Errorf("%w: %w", ErrInvalidRequest, errUploadTooLarge)
		}
		if n != 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

var errUploadTooLarge = fmt.Errorf("%w of 100 MB", ErrBodyTooLarge)

// sizeOf returns how much a reader has to give, -1 when it does not tell.
func sizeOf(content io.Reader) (int64, error) {
	if c, ok := content.(interface{ Len() int }); ok {
		return int64(c.Len()), nil
	}
	if f, ok := content.(fs.File); ok {
		if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
			return -1, err
		}
	}
	c, ok := content.(io.Seeker)
	if !ok {
		return -1, nil
	}
	at, err := c.Seek(0, io.SeekCurrent)
	if err != nil {
		return -1, nil //nolint:nilerr // It can be read all the same.
	}
	end, err := c.Seek(0, io.SeekEnd)
	if _, err := c.Seek(at, io.SeekStart); err != nil {
		return -1, err
	}
	if err != nil {
		return -1, nil //nolint:nilerr // As above.
	}
	return max(end-at, 0), nil
}

// mediaTypes are those of the files that the API takes.
var mediaTypes = map[string]string{
	".pdf":  "application/pdf",
	".doc":  "application/msword",
	".docx": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".xls":  "application/vnd.ms-excel",
	".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".ppt":  "application/vnd.ms-powerpoint",
	".pptx": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	".txt":  "text/plain",
	".jpg":  "image/jpeg",
	".jpeg": "image/jpeg",
	".png":  "image/png",
}
