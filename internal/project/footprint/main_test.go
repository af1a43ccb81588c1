package main

import (
	"strings"
	"testing"
)

// TestRun finds the client among what is measured, beyond the program by hand.
func TestRun(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("links two programs")
	}
	var out strings.Builder
	if err := run(t.Context(), ".", &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"KiB more", "one log/slog", "generated call", "/api\n", "github.com/oapi-codegen/runtime", "modules in the graph"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}
