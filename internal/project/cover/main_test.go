package main

import (
	"strings"
	"testing"
)

// TestReport counts statements, leaves generated files out and names what was not reached.
func TestReport(t *testing.T) {
	t.Parallel()
	const profile = `mode: set
example.com/zai/api/auth.go:10.2,12.3 3 1
example.com/zai/api/auth.go:13.2,14.3 1 0
example.com/zai/api/task.go:1.2,9.3 6 7
example.com/zai/api/openapi.gen.go:1.2,9.3 600 0
`
	for _, test := range []struct {
		name, profile string
		least         float64
		fails         string
	}{
		{"enough", profile, 90, ""},
		{"too little", profile, 90.1, "90.0 %"},
		{"generated code only", "mode: set\nexample.com/zai/api/openapi.gen.go:1.2,9.3 600 1\n", 0, "no hand-written code"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			err := report(test.profile, test.least, &out)
			if (err == nil) != (test.fails == "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("got %v, want an error with %q", err, test.fails)
			}
			if test.profile != profile {
				return
			}
			const want = "auth.go           75.0 % of    4\ntask.go          100.0 % of    6\nall               90.0 % of   10\n  not reached: auth.go:13-14\n"
			if out.String() != want {
				t.Errorf("got\n%s\nwant\n%s", out.String(), want)
			}
		})
	}
}
