package faults

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"example.com/zai/api"
)

// TestEveryByte breaks the connection at every byte of a typical request and of a typical answer, and at every ninth
// of the others. Whatever is cut off, nothing half is taken for an answer, and nothing that was made goes unmentioned.
func TestEveryByte(t *testing.T) {
	t.Parallel()
	for _, v := range verbs {
		stride := 9
		switch v.name {
		case "Wait", "WaitAll":
			continue // which make the same request as Retrieve
		case "Retrieve", "Submit":
			stride = 1
		}
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			request, answer := sizes(t, v)
			// The server takes half a second to say good-bye to a request that is cut: several are under way at once.
			const lanes = 16
			for lane := range lanes {
				t.Run(fmt.Sprint("lane", lane), func(t *testing.T) {
					t.Parallel()
					labeled(t, func(ctx context.Context) {
						for n := lane * stride; n < request; n += lanes * stride {
							if n > 0 { // or there is nothing yet to break
								sweep(ctx, t, v, breakage{true, after(n), manner(n % 2)}, n, request)
							}
						}
						for n := lane * stride; n < answer; n += lanes * stride {
							sweep(ctx, t, v, breakage{false, after(n), manner(n % 2)}, n, answer)
						}
					}, func() {})
				})
			}
		})
	}
}

// sizes measures a request and its answer.
func sizes(t *testing.T, v verb) (request, answer int) {
	t.Helper()
	w := newWorld(t, nil)
	var up, down int
	count := func(n *int) func([]byte) int {
		return func(seen []byte) int {
			*n = len(seen)
			return -1
		}
	}
	run := func(b breakage) {
		r := newRelay(t, w.addr, func(int) *breakage { return &b })
		client, transport := newClient(t, w, (&dialer{path: r.addr}).dial, nil)
		if err := v.prepare(t, w)(t.Context(), client); err != nil {
			t.Fatal(err)
		}
		transport.CloseIdleConnections()
		r.conns.Wait() // and with them what was counted
	}
	run(breakage{true, count(&up), silent})
	w = newWorld(t, nil) // the calls expect to be the first
	run(breakage{false, count(&down), silent})
	return up, down
}

// sweep makes one call whose request or answer ends after n of its bytes.
func sweep(ctx context.Context, t *testing.T, v verb, b breakage, n, size int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(ctx, ample)
	t.Cleanup(cancel) // After it is looked for what is left.
	t.Run(fmt.Sprint(n), func(t *testing.T) { sweepOne(ctx, t, v, b, n, size) })
}

func sweepOne(ctx context.Context, t *testing.T, v verb, b breakage, n, size int) {
	t.Helper()
	w := newWorld(t, nil)
	r := newRelay(t, w.addr, func(int) *breakage { return &b })
	d := &dialer{path: r.addr}
	client, transport := newClient(t, w, d.dial, nil, api.WithTimeout(ample), api.WithIdleTimeout(ample), api.WithMaxAttempts(1))
	err := v.prepare(t, w)(ctx, client)
	d.settle(t, w, transport)()

	made, unknown := w.made(), errors.Is(err, api.ErrUnknownOutcome)
	place := fmt.Sprintf("after %d of %d bytes (upstream %v)", n, size, b.upstream)
	var e *api.Error
	switch {
	case err == nil && v.name == "Stream" && !b.upstream && n > size-64:
		// The last event was there, and the end of the body is none of the client's business.
	case err == nil && !b.upstream && n >= size:
		// All of it came.
	case err == nil:
		t.Errorf("%s: a success", place)
	case !errors.As(err, &e):
		t.Errorf("%s: %v is no *api.Error", place, err)
	case strings.HasPrefix(cause(err), "other") || cause(err) == "timeout":
		t.Errorf("%s: %v", place, err)
	case made > 1, v.creates != unknown, b.upstream && made != 0:
		t.Errorf("%s: %d made, and the error is %v", place, made, err)
	case e.Attempts != 1 || len(w.Requests()) > 1:
		t.Errorf("%s: %d attempts, %d requests", place, e.Attempts, len(w.Requests()))
	}
}
