package faults

import (
	"testing"

	"example.com/zai/api"
)

// TestIdleConnections breaks a connection that the client has kept from an earlier request. What net/http does about
// that by itself must hold for reads only. The client has one attempt, so that none of its own hides what net/http does.
func TestIdleConnections(t *testing.T) {
	t.Parallel()
	const title = "Connections kept from an earlier request"
	// Net/http sends a read once more on a new connection, without the client's doing.
	replayed := harmless().but("unknown: cut 0/0", creates...)
	// A poll whose answer was lost counts at the server, and so the one after it is told the end.
	twice := harmless().but("ok 2", reads...).but("ok 2", "Download").but("unknown: cut 1/1", creates...)
	for _, test := range []struct {
		name     string
		breakage *breakage // nil: the server hangs up while the connection is idle
		want     outcomes
	}{
		{"closed by the server while idle", nil, harmless()},
		{"reset at the next request", &breakage{true, after(1), reset}, replayed},
		{"closed at the next request", &breakage{true, after(1), closed}, replayed},
		{"half-closed before the next answer", &breakage{false, after(0), halfDone}, twice},
		{"reset before the next answer", &breakage{false, after(0), reset}, twice},
	} {
		row := report.row(title, test.name)
		for _, v := range verbs {
			t.Run(test.name+"/"+v.name, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t, nil)
				w.maxFailures = 1
				r := newRelay(t, w.addr, func(conn int) *breakage {
					if conn > 0 {
						return nil
					}
					return test.breakage
				})
				r.spared.Store(true)
				d := &dialer{path: r.addr}
				client, transport := newClient(t, w, d.dial, nil, api.WithTimeout(ample), api.WithIdleTimeout(ample), api.WithMaxAttempts(1))
				warmUp(t, w, client)
				r.spared.Store(false)
				if test.breakage == nil {
					r.hangUp()
					eventually(t, "the client has closed the idle connection", func() bool { return d.open.Load() == 0 })
				}
				got := outcome(t, v, w, d.settle(t, w, transport), client)
				report.set(row, v.name, got)
				test.want.check(t, v, got)
			})
		}
	}
}
