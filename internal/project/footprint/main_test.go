package main

import (
	"fmt"
	"strings"
	"testing"
)

// TestReport: what is within the limits passes, and each of them fails by itself.
func TestReport(t *testing.T) {
	t.Parallel()
	const module = "host.example/zai"
	for _, test := range []struct {
		name            string
		size, generated int64 // of the client and of the generated call, beyond the program by hand
		modules, graph  int
		want            string // in the error
	}{
		{name: "at the limits", size: maxSize, generated: maxGenerated, modules: maxModules, graph: maxGraph},
		{name: "size", size: maxSize + 1, modules: 1, graph: 1, want: "bytes more than by hand: 266241, at most 266240"},
		{name: "generated", size: 1, generated: maxGenerated + 1, modules: 1, graph: 1, want: "bytes of the generated call: 153601, at most 153600"},
		{name: "modules", size: 1, modules: maxModules + 1, graph: 1, want: "modules compiled: 5, at most 4"},
		{name: "graph", size: 1, modules: 1, graph: maxGraph + 1, want: "modules in the graph: 151, at most 150"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			byHand := &measured{packages: []string{"fmt", "net/http"}, size: 6 << 20}
			own := &measured{packages: []string{"fmt", "net/http", module + "/api", "log/slog", "consumer.example/app/client"}, modules: []string{module}, size: byHand.size + test.size}
			for range test.modules {
				own.modules = append(own.modules, "other.example/m")
			}
			var graph strings.Builder
			for i := range test.graph {
				graph.WriteString("consumer.example/app other.example/" + strings.Repeat("m", i+1) + "@v1.0.0\n")
			}
			graph.WriteString("other.example/x@v1.0.0 other.example/m@v1.2.0\n")
			var out strings.Builder
			err := report(module, [4]*measured{byHand, {size: 6<<20 + 96<<10}, {size: byHand.size + test.generated}, own}, graph.String(), &out)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
			for _, want := range []string{"6144 KiB\n", "96 KiB more\n", fmt.Sprintf("%d KiB more (limit 150)\n", test.generated>>10), "2 more than 2: host.example/zai/api log/slog\n"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
		})
	}
}
