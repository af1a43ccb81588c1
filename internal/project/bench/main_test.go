package main

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestTable reads three rounds, takes the medians and prints a row for each case.
func TestTable(t *testing.T) {
	t.Parallel()
	var r results
	for _, round := range []string{
		`goos: linux
cpu: Example CPU
BenchmarkDecode/documented/2kB/plain-2   3724   2000 ns/op   33.94 MB/s   3887 B/op   81 allocs/op
BenchmarkDecode/documented/2kB/raw-2     3724   2500 ns/op   33.94 MB/s   3900 B/op   81 allocs/op
BenchmarkDecode/documented/2kB/zai-2     3724   2600 ns/op   33.94 MB/s   12000 B/op   82 allocs/op
BenchmarkDownload/64MiB/plain            1      30000000 ns/op   20000000 B/op   100 allocs/op
BenchmarkOther-2                         1      30000000 ns/op
PASS
`,
		`BenchmarkDecode/documented/2kB/plain-2   3724   2000 ns/op   33.94 MB/s   3887 B/op   81 allocs/op
BenchmarkDecode/documented/2kB/zai-2     3724   2200 ns/op   33.94 MB/s   12001 B/op   82 allocs/op
`,
		`BenchmarkDecode/documented/2kB/plain-2   3724   20000 ns/op   33.94 MB/s   3887 B/op   81 allocs/op
BenchmarkDecode/documented/2kB/raw-2     3724   25000 ns/op   33.94 MB/s   3900 B/op   81 allocs/op
BenchmarkDecode/documented/2kB/zai-2     3724   21000 ns/op   33.94 MB/s   12000 B/op   83 allocs/op
`,
	} {
		if err := r.add([]byte(round)); err != nil {
			t.Fatal(err)
		}
	}
	if r.cpu != "Example CPU" {
		t.Errorf("the processor is %q", r.cpu)
	}
	var table strings.Builder
	if err := r.print(&table); err != nil {
		t.Fatal(err)
	}
	var rows [][]string
	for row := range strings.Lines(table.String()) {
		rows = append(rows, strings.Fields(row))
	}
	want := [][]string{
		strings.Fields("Decode/documented/2kB 2 µs 13.8 µs 2.6 µs 1.10 0.94 3887 12k 3.09 81 81 82"),
		strings.Fields("Download/64MiB 30 ms - - - - 20M - - 100 - -"),
	}
	if diff := cmp.Diff(want, rows[1:]); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
}

// TestRun finds that what goes wrong is an error and says what.
func TestRun(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		options
		want string
	}{
		{"nothing matches", options{match: "^BenchmarkOfNothing$", time: "1x", dir: ".", rounds: 1}, "no benchmark matches"},
		{"no rounds", options{match: ".", time: "1x", dir: "."}, "-rounds"},
		{"bad regexp", options{match: "(", time: "1x", dir: ".", rounds: 1}, "regexp"},
		{"no package", options{match: ".", time: "1x", dir: "testdata", rounds: 1}, "testdata"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var out strings.Builder
			err := run(t.Context(), &test.options, &out)
			if err == nil || !strings.Contains(err.Error(), test.want) || out.Len() > 0 {
				t.Errorf("got %v and %q, want an error with %q", err, out.String(), test.want)
			}
		})
	}
}
