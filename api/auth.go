package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// BearerAuth sends apiKey as a bearer token. The editor returns an error that matches
// ErrInvalidRequest when the key is empty or no header can carry it.
func BearerAuth(apiKey string) RequestEditorFn {
	return BearerAuthFunc(func(context.Context) (string, error) { return apiKey, nil })
}

// BearerAuthFunc asks source for the key of each request, so that keys can rotate and
// short-lived tokens can be used. Source is called once for each attempt, with the context
// of the call, which alone bounds it, possibly from several goroutines. Its error ends the
// call; in a wait it is a poll that failed for a passing reason.
func BearerAuthFunc(source func(context.Context) (string, error)) RequestEditorFn {
	return func(ctx context.Context, req *http.Request) error {
		if source == nil {
			return invalid("", "the source of the API key is nil")
		}
		key, err := source(ctx)
		if err != nil {
			return fmt.Errorf("API key: %w", err)
		}
		if err := checkKey(key); err != nil {
			return invalid("", "%w", err)
		}
		req.Header["Authorization"] = []string{bearer + key}
		return nil
	}
}

const bearer = "Bearer "

// checkKey says what is wrong with a key, without showing any of it.
func checkKey(key string) error {
	if key == "" {
		return errors.New("the API key is empty")
	}
	if i := strings.IndexFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }); i >= 0 {
		return fmt.Errorf("the API key holds a space, a control or a non-ASCII character at byte %d of %d", i+1, len(key))
	}
	return nil
}

// AcceptLanguage asks for the language of the server's texts. The description allows
// only its default, en-US,en, which the verbs send; other tags, such as zh, are in use. It
// returns an error that matches ErrInvalidRequest for a tag that no header can carry.
func AcceptLanguage(tag string) RequestEditorFn {
	return func(_ context.Context, req *http.Request) error {
		if tag == "" || strings.ContainsFunc(tag, func(r rune) bool { return r < ' ' || r > '~' }) {
			return invalid("", "AcceptLanguage: the tag is empty, or holds a control or a non-ASCII character")
		}
		req.Header.Set("Accept-Language", tag)
		return nil
	}
}

// BodyFields adds top-level fields to a JSON request body, for those that the description
// does not list. A field that the body has already is replaced. It returns an error that
// matches ErrInvalidRequest when the fields cannot be encoded or the body is not a JSON object.
// Fields must not change while calls use it.
func BodyFields(fields map[string]any) RequestEditorFn {
	return func(_ context.Context, req *http.Request) error {
		body, err := bodyObject(req)
		if err != nil {
			return invalid("", "BodyFields: %w", err)
		}
		for name, value := range fields {
			if body[name], err = json.Marshal(value); err != nil {
				return invalid("", "BodyFields: %q: %w", name, err)
			}
		}
		encoded, err := json.Marshal(body)
		if err != nil {
			return invalid("", "BodyFields: %w", err)
		}
		setBody(req, encoded)
		return nil
	}
}

// setBody gives req a body that can be sent again.
func setBody(req *http.Request, body []byte) {
	req.ContentLength = int64(len(body))
	req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	req.Body, _ = req.GetBody()
}

// bodyObject reads the JSON object that req is about to send and leaves it to be sent.
func bodyObject(req *http.Request) (object, error) {
	if req.Body != nil && !strings.HasPrefix(req.Header.Get("Content-Type"), "multipart/") {
		encoded, err := io.ReadAll(req.Body) // An editor may have replaced it.
		if err := errors.Join(err, req.Body.Close()); err != nil {
			return nil, err
		}
		setBody(req, encoded)
		if o := asObject(encoded); o != nil {
			return o, nil
		}
	}
	return nil, errors.New("the request has no JSON body")
}
