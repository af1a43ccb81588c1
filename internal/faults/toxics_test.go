package faults

import (
	"fmt"
	"strings"
	"testing"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// A toxic is one of Toxiproxy.
type toxic struct{ kind, stream, attributes string }

// toxics returns what puts Toxiproxy with these toxics between client and server.
func toxics(all ...toxic) func(t *testing.T, w *world) string {
	return func(t *testing.T, w *world) string {
		t.Helper()
		return toxiproxyTo(t, w.addr, all...)
	}
}

func toxiproxyTo(t *testing.T, upstream string, all ...toxic) string {
	t.Helper()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	proxy := toxiproxy.NewProxy(server, t.Name(), "127.0.0.1:0", upstream)
	for _, x := range all {
		text := fmt.Sprintf(`{"type":%q,"stream":%q,"toxicity":1,"attributes":{%s}}`, x.kind, x.stream, x.attributes)
		if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(text)); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	return proxy.Listen
}

// TestToxiproxy puts the toxics between the client and the server.
func TestToxiproxy(t *testing.T) {
	t.Parallel()
	const up, down = "upstream", "downstream"
	both := func(kind, attributes string) []toxic {
		return []toxic{{kind, up, attributes}, {kind, down, attributes}}
	}
	slow := func(name string, all ...toxic) fault {
		return fault{name: name, between: toxics(all...), always: harmless()}
	}
	lost := func(name, cause string, outcomes func(string) (always, once outcomes), x toxic) fault {
		f := fault{name: name, between: toxics(x)}
		f.always, f.once = outcomes(cause)
		return f
	}
	cut := fault{name: "limit_data downstream, in the body", between: toxics(toxic{"limit_data", down, `"bytes":220`})}
	cut.always, cut.once = cutAnswer()
	// On a busy machine it is closed before anything is sent, and a create knows that.
	soon := lost("timeout upstream, closed after 50 ms", "cut", lostRequest, toxic{"timeout", up, `"timeout":50`})
	soon.always, soon.once = soon.always.but("(unknown: )?cut 0/0", creates...), soon.once.but("(unknown: )?cut 0/0", creates...)
	for _, f := range []fault{
		slow("latency 40 ms upstream", toxic{"latency", up, `"latency":40`}),
		slow("latency 40 ms downstream", toxic{"latency", down, `"latency":40`}),
		slow("jitter 30 ± 30 ms, both ways", both("latency", `"latency":30,"jitter":30`)...),
		slow("bandwidth 16 KB/s upstream", toxic{"bandwidth", up, `"rate":16`}),
		slow("bandwidth 16 KB/s downstream", toxic{"bandwidth", down, `"rate":16`}),
		slow("slicer 11 ± 7 B upstream", toxic{"slicer", up, `"average_size":11,"size_variation":7,"delay":10`}),
		slow("slicer 11 ± 7 B downstream", toxic{"slicer", down, `"average_size":11,"size_variation":7,"delay":10`}),
		slow("slow_close 100 ms, both ways", both("slow_close", `"delay":100`)...),
		lost("timeout upstream", "timeout", lostRequest, toxic{"timeout", up, `"timeout":0`}),
		lost("timeout downstream", "timeout", lostAnswer, toxic{"timeout", down, `"timeout":0`}),
		soon,
		lost("reset_peer upstream", "cut", lostRequest, toxic{"reset_peer", up, `"timeout":0`}),
		lost("reset_peer downstream", "cut", lostAnswer, toxic{"reset_peer", down, `"timeout":0`}),
		lost("limit_data upstream, in the header", "cut", lostRequest, toxic{"limit_data", up, `"bytes":60`}),
		lost("limit_data downstream, in the header", "cut", lostAnswer, toxic{"limit_data", down, `"bytes":60`}),
		cut,
	} {
		f.run(t, "Toxiproxy")
	}
}
