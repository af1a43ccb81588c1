// Command specupdate takes newly published pages of the API into the project: it replaces them, regenerates, and
// prints a report in Markdown on what that changes. It changes all of the files that have to change, or none.
//
//	specupdate [-n] [-op OPERATION,...] [-uncompiled] PAGE...
//	specupdate fetch [-o FOLDER]
//
// A page is a Markdown file with an OpenAPI document in a fenced yaml block, as in internal/spec/pages, a transcribed
// one in YAML, or a whole OpenAPI document in YAML or JSON, of which the operations are taken that are here already. With
// -op, as in -op "POST /v1/agents,/paas/v4/files", the named operations are taken and no others. A folder stands for all
// files in it. Everything is read from files; only fetch uses the network: it downloads the pages to a folder and prints
// its name.
//
// The exit code is 0 if nothing changed, 1 if the pages cannot be taken in, 2 if they change the API compatibly and 3
// if they break it. With -n nothing is replaced, whatever the code says. The command is run by make spec, make
// spec-diff and make spec-fetch; make itself turns every code but 0 into 2.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"example.com/zai/internal/project"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	code := run(ctx, ".", newUpdater, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main for the project that dir belongs to.
func run(ctx context.Context, dir string, updaterOf func(root string) *updater, args []string, stdout, stderr io.Writer) int {
	root, err := project.Root(dir)
	if err != nil {
		fmt.Fprintf(stderr, "specupdate: %v\n", err)
		return exitCannot
	}
	if len(args) > 0 && args[0] == "fetch" {
		return runFetch(ctx, root, args[1:], stdout, stderr)
	}
	u := updaterOf(root)
	flags := flag.NewFlagSet("specupdate", flag.ContinueOnError)
	flags.SetOutput(stderr)
	dry := flags.Bool("n", false, "only report: replace nothing")
	operations := flags.String("op", "", "take these `operations` and no others, separated by commas")
	flags.BoolVar(&u.uncompiled, "uncompiled", false, "take the pages in even if the code does not compile with them")
	if err := flags.Parse(args); err != nil {
		return exitCannot
	}
	code, err := u.run(ctx, *dry, paths(flags.Args()), split(*operations), stdout)
	if err != nil {
		fmt.Fprintf(stderr, "specupdate: refused, and nothing was replaced: %v\n", err)
	}
	fmt.Fprintf(stderr, "exit %d: %s\n", code, verdict(code))
	return code
}

// run writes the report, and takes the pages in, unless dry. Nothing is replaced without a report.
func (u *updater) run(ctx context.Context, dry bool, paths, operations []string, out io.Writer) (int, error) {
	if len(paths) == 0 {
		return exitCannot, errors.New("no page given, as in: make spec PAGE=path-or-folder")
	}
	tmp, err := os.MkdirTemp("", "specupdate-")
	if err != nil {
		return exitCannot, err
	}
	defer os.RemoveAll(tmp) //nolint:errcheck // A copy that stays behind changes nothing.
	r, changes, err := u.prepare(ctx, tmp, paths, operations)
	if err != nil {
		return exitCannot, err
	}
	if err := r.write(out); err != nil {
		return exitCannot, err
	}
	code := r.code()
	if !dry && code != exitCannot {
		if err := replace(u.root, changes); err != nil {
			return exitCannot, err
		}
	}
	return code, nil
}

// paths returns the arguments, or what they hold where white space separates several paths and no file is named so.
func paths(args []string) []string {
	var paths []string
	for _, arg := range args {
		if _, err := os.Stat(arg); err == nil {
			paths = append(paths, arg)
		} else {
			paths = append(paths, strings.Fields(arg)...)
		}
	}
	return paths
}

// split returns the words between commas.
func split(text string) []string {
	var words []string
	for word := range strings.SplitSeq(text, ",") {
		if word = strings.TrimSpace(word); word != "" {
			words = append(words, word)
		}
	}
	return words
}
