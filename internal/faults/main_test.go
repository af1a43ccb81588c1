package faults

import (
	"bufio"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// Flags of this package, as in: make faults ARGS='-seed 7 -tasks 20000'.
var (
	flagSeed  = flag.Uint64("seed", 1, "seed of the soak")
	flagTasks = flag.Int("tasks", 2000, "number of tasks of the soak that succeed")
)

// parallel is the number of cells under way at once: they wait more than they work.
const parallel = "32"

func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		if err := flag.Set("test.parallel", parallel); err != nil {
			panic(err)
		}
	}
	zerolog.SetGlobalLevel(zerolog.Disabled) // Toxiproxy talks about each connection.

	done := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() { stalls.watch(done) })
	code := m.Run()
	close(done)
	watch.Wait()
	report.print(os.Stdout)
	// A link of Toxiproxy that was cut holds on to its goroutines for ever; the client has no part in it.
	err := goleak.Find(
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*ToxicStub).Run"),
	)
	if code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "goroutines were left behind:", err)
		code = 1
	}
	os.Exit(code)
}

// report is what the tests print at the end.
var report tables

// tables collects rows by the title of their table. It is safe for concurrent use.
type tables struct {
	mu     sync.Mutex
	titles []string
	rows   map[string][]*tableRow
}

// A tableRow is what came of one fault, by verb.
type tableRow struct {
	name  string
	cells map[string]string
}

// row begins a row of a table; the rows stand in the order in which they began.
func (t *tables) row(title, name string) *tableRow {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.rows == nil {
		t.rows = map[string][]*tableRow{}
	}
	if !slices.Contains(t.titles, title) {
		t.titles = append(t.titles, title)
	}
	r := &tableRow{name: name, cells: map[string]string{}}
	t.rows[title] = append(t.rows[title], r)
	return r
}

func (t *tables) set(r *tableRow, column, text string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.cells[column] = text
}

// print writes the tables in Markdown, and on which machine they were made.
func (t *tables) print(w io.Writer) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.titles) == 0 {
		return
	}
	fmt.Fprintf(w, "\n%s, %s/%s, %d x %s\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), processor())
	fmt.Fprint(w, "\nEach entry is the outcome, the number of requests that the server saw and, for a create, of what it made.\n")
	for _, title := range t.titles {
		var columns []string
		for _, v := range verbs {
			if slices.ContainsFunc(t.rows[title], func(r *tableRow) bool { return r.cells[v.name] != "" }) {
				columns = append(columns, v.name)
			}
		}
		fmt.Fprintf(w, "\n| %s | %s |\n|%s\n", title, strings.Join(columns, " | "), strings.Repeat("---|", len(columns)+1))
		for _, r := range t.rows[title] {
			fmt.Fprintf(w, "| %s |", r.name)
			for _, column := range columns {
				fmt.Fprintf(w, " %s |", r.cells[column])
			}
			fmt.Fprintln(w)
		}
	}
}

// processor is the name of the processor, where the system tells.
func processor() string {
	file, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return "processor"
	}
	defer func() { _ = file.Close() }()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if name, value, ok := strings.Cut(lines.Text(), ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return "processor"
}
