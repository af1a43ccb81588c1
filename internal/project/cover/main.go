// Command cover runs the tests of the package api and prints how much of its hand-written code they reach, file by
// file, with the lines that they do not. It exits with 1 where less than the limit is reached.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"example.com/zai/internal/project"
)

func main() {
	least := flag.Float64("least", 95, "`percent` of the statements that the tests must reach")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, ".", *least, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "cover: %v\n", err)
		os.Exit(1)
	}
}

// run tests the package api of the module that dir belongs to.
func run(ctx context.Context, dir string, least float64, out io.Writer) (err error) {
	root, err := project.Root(dir)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "cover-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	file := filepath.Join(tmp, "profile")
	test := project.Command(ctx, root, "go", "test", "-coverprofile="+file, "./api")
	if output, err := test.CombinedOutput(); err != nil {
		return fmt.Errorf("go test: %w\n%s", err, output)
	}
	profile, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return report(string(profile), least, out)
}

// block matches a line of a profile: file, first and last line, statements, and how often they ran.
var block = regexp.MustCompile(`^(\S+):(\d+)\.\d+,(\d+)\.\d+ (\d+) (\d+)$`)

// report writes what the profile says of all but generated files.
func report(profile string, least float64, out io.Writer) error {
	type count struct{ all, reached int }
	files := map[string]*count{}
	var total count
	var missed []string
	lines := bufio.NewScanner(strings.NewReader(profile))
	for lines.Scan() {
		m := block.FindStringSubmatch(lines.Text())
		if m == nil || strings.HasSuffix(m[1], ".gen.go") {
			continue
		}
		name := path.Base(m[1])
		statements, err := strconv.Atoi(m[4])
		if err != nil {
			return err
		}
		if files[name] == nil {
			files[name] = &count{}
		}
		for _, c := range []*count{files[name], &total} {
			if c.all += statements; m[5] != "0" {
				c.reached += statements
			}
		}
		if m[5] == "0" {
			missed = append(missed, fmt.Sprintf("%s:%s-%s", name, m[2], m[3]))
		}
	}
	if total.all == 0 {
		return errors.New("the profile names no hand-written code")
	}
	percent := func(c *count) float64 { return 100 * float64(c.reached) / float64(c.all) }
	names := make([]string, 0, len(files))
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintf(out, "%-16s %5.1f %% of %4d\n", name, percent(files[name]), files[name].all)
	}
	fmt.Fprintf(out, "%-16s %5.1f %% of %4d\n", "all", percent(&total), total.all)
	slices.Sort(missed)
	for _, lines := range missed {
		fmt.Fprintf(out, "  not reached: %s\n", lines)
	}
	if percent(&total) < least {
		return fmt.Errorf("the tests reach %.1f %% of the hand-written statements, at least %g %% are wanted", percent(&total), least)
	}
	return nil
}
