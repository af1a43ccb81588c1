// Command bench runs the benchmarks of one package and prints them as one table: each case in the ways that are compared,
// and the ratios between them. A benchmark is named Case/…/Way, where the way is one of plain (the same by hand),
// raw (the generated code) and zai. All run in turns, several rounds of them. A value is the median of the rounds, and a
// ratio the median of the ratios within each round: what else the machine does meanwhile changes them little.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"

	"example.com/zai/internal/project"
)

func main() {
	var o options
	flag.StringVar(&o.match, "bench", ".", "run only benchmarks that match this `regexp`")
	flag.StringVar(&o.time, "benchtime", "100ms", "`duration` of each benchmark in each round, or a count as in 1x")
	flag.IntVar(&o.rounds, "rounds", 5, "`number` of rounds")
	flag.StringVar(&o.dir, "dir", "api", "`folder` of the package")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, &o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

type options struct {
	match, time, dir string
	rounds           int
}

// run builds the benchmarks once, runs them and writes the table to out.
func run(ctx context.Context, o *options, out io.Writer) (err error) {
	if o.rounds < 1 {
		return errors.New("-rounds is not positive")
	}
	tmp, err := os.MkdirTemp("", "bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	program := filepath.Join(tmp, "bench.test")
	if _, err := output(project.Command(ctx, o.dir, "go", "test", "-c", "-o", program, ".")); err != nil {
		return err
	}
	var r results
	for range o.rounds {
		round, err := output(project.Command(ctx, o.dir, program, "-test.run=^$", "-test.bench="+o.match, "-test.benchtime="+o.time, "-test.benchmem", "-test.timeout=10m"))
		if err != nil {
			return err
		}
		if err := r.add(round); err != nil {
			return err
		}
	}
	if len(r.cases) == 0 {
		return fmt.Errorf("no benchmark matches %q", o.match)
	}
	fmt.Fprintf(out, "%s, %s/%s, %d × %s; medians of %d rounds of %s\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), r.cpu, o.rounds, o.time)
	return r.print(out)
}

// output runs a command and returns what it prints. Where it fails, that is part of the error.
func output(cmd *exec.Cmd) ([]byte, error) {
	out, err := cmd.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", filepath.Base(cmd.Path), err, bytes.TrimSpace(out))
	}
	return out, nil
}

// results are the values of each case in each round, the cases in the order in which they ran.
type results struct {
	cpu    string
	cases  []string
	rounds map[string][]map[string]values // by case; then by way
}

type values struct{ ns, bytes, allocs float64 }

func (v values) time() float64   { return v.ns }
func (v values) size() float64   { return v.bytes }
func (v values) number() float64 { return v.allocs }

// line matches a result: its name without the number of processors, and its values.
var line = regexp.MustCompile(`(?m)^Benchmark(\S+?)/(plain|raw|zai)(?:-\d+)?[ \t]+\d+[ \t]+(.*)$`)

// cpu matches the line that names the processor.
var cpu = regexp.MustCompile(`(?m)^cpu: *(.*?) *$`)

// add takes in what a round printed.
func (r *results) add(round []byte) error {
	if m := cpu.FindSubmatch(round); m != nil {
		r.cpu = string(m[1])
	}
	seen := map[string]map[string]values{}
	for _, m := range line.FindAllSubmatch(round, -1) {
		name, way := string(m[1]), string(m[2])
		v, err := parse(strings.Fields(string(m[3])))
		if err != nil {
			return fmt.Errorf("%s/%s: %w", name, way, err)
		}
		if seen[name] == nil {
			seen[name] = map[string]values{}
			if r.rounds[name] == nil {
				r.cases = append(r.cases, name)
			}
		}
		seen[name][way] = v
	}
	if r.rounds == nil {
		r.rounds = map[string][]map[string]values{}
	}
	for name, ways := range seen {
		r.rounds[name] = append(r.rounds[name], ways)
	}
	return nil
}

// parse reads the pairs of a value and its unit.
func parse(fields []string) (values, error) {
	units := map[string]float64{}
	for i := 0; i+1 < len(fields); i += 2 {
		n, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return values{}, err
		}
		units[fields[i+1]] = n
	}
	return values{units["ns/op"], units["B/op"], units["allocs/op"]}, nil
}

// print writes the table.
func (r *results) print(out io.Writer) error {
	width := 0
	for _, name := range r.cases {
		width = max(width, len(name))
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "\ttime by hand\tgenerated\tzai\t/hand\t/gen\tbytes by hand\tzai\t/hand\tallocs by hand\tgen\tzai\t\n")
	for _, name := range r.cases {
		rounds := r.rounds[name]
		value := func(way string, get func(values) float64, text func(float64) string) string {
			return cell(rounds, func(round map[string]values) (float64, bool) { v, ok := round[way]; return get(v), ok }, text)
		}
		ratio := func(way string, get func(values) float64) string {
			return cell(rounds, func(round map[string]values) (float64, bool) {
				to, ok := round[way]
				zai, hasZai := round["zai"]
				return get(zai) / get(to), ok && hasZai && get(to) > 0
			}, func(x float64) string { return strconv.FormatFloat(x, 'f', 2, 64) })
		}
		fmt.Fprintln(w, strings.Join([]string{
			fmt.Sprintf("%-*s", width, name),
			value("plain", values.time, duration), value("raw", values.time, duration), value("zai", values.time, duration),
			ratio("plain", values.time), ratio("raw", values.time),
			value("plain", values.size, count), value("zai", values.size, count), ratio("plain", values.size),
			value("plain", values.number, count), value("raw", values.number, count), value("zai", values.number, count),
		}, "\t")+"\t")
	}
	return w.Flush()
}

// cell is the median of what get finds in the rounds, as text, or a dash where it finds nothing.
func cell(rounds []map[string]values, get func(map[string]values) (float64, bool), text func(float64) string) string {
	var found []float64
	for _, round := range rounds {
		if x, ok := get(round); ok {
			found = append(found, x)
		}
	}
	if len(found) == 0 {
		return "-"
	}
	slices.Sort(found)
	return text((found[(len(found)-1)/2] + found[len(found)/2]) / 2)
}

// duration is a time with three digits.
func duration(ns float64) string {
	switch {
	case ns >= 1e6:
		return strconv.FormatFloat(ns/1e6, 'g', 3, 64) + " ms"
	case ns >= 1e3:
		return strconv.FormatFloat(ns/1e3, 'g', 3, 64) + " µs"
	default:
		return strconv.FormatFloat(ns, 'g', 3, 64) + " ns"
	}
}

// count is a number, with k or M where it is large.
func count(n float64) string {
	switch {
	case n >= 1e7:
		return strconv.FormatFloat(n/1e6, 'f', 0, 64) + "M"
	case n >= 1e4:
		return strconv.FormatFloat(n/1e3, 'f', 0, 64) + "k"
	default:
		return strconv.FormatFloat(n, 'f', 0, 64)
	}
}
