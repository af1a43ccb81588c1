// Command checkgen tells whether the generated files are in step with what they are generated from. It copies the
// project to a temporary folder, runs "go generate ./..." there and compares the copy with the work tree, which it
// never changes. It prints the differences, and exits with 0 where there are none, 1 where there are some and 2 where
// the check itself could not be done.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"example.com/zai/internal/project"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	changes, err := check(ctx, ".", os.Stdout)
	stop()
	switch {
	case err != nil:
		fmt.Fprintf(os.Stderr, "check-generated: %v\n", err)
		os.Exit(2)
	case len(changes) > 0:
		fmt.Fprintf(os.Stderr, "\ncheck-generated: not in step with their sources (run `make generate`):\n")
		for _, change := range changes {
			fmt.Fprintf(os.Stderr, "  %s\n", change)
		}
		os.Exit(1)
	}
	fmt.Println("check-generated: the generated files are in step with their sources")
}

// check compares the project that dir belongs to with what regenerating it gives. It writes the differences to out as a
// patch from the work tree to the regenerated files, and returns one line for each file that differs.
func check(ctx context.Context, dir string, out io.Writer) (changes []string, err error) {
	root, err := project.Root(dir)
	if err != nil {
		return nil, err
	}
	files, err := project.Files(ctx, root)
	if err != nil {
		return nil, err
	}
	tmp, err := os.MkdirTemp("", "check-generated-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	before, after := filepath.Join(tmp, "tree"), filepath.Join(tmp, "regenerated")
	for _, to := range []string{before, after} {
		if err := project.Copy(to, root, files); err != nil {
			return nil, err
		}
	}
	if err := removeGenerated(after, files); err != nil {
		return nil, err
	}
	cmd := project.Command(ctx, after, "go", "generate", "./...")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second // for generators that do not listen
	if output, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("go generate ./...: %w\n%s", err, bytes.TrimSpace(output))
	}
	changes, err = compare(before, after)
	if err != nil || len(changes) == 0 {
		return nil, err
	}
	return changes, patch(ctx, tmp, out)
}

// generatedGo matches the line by which Go recognizes generated code.
var generatedGo = regexp.MustCompile(`(?m)^// Code generated .* DO NOT EDIT\.\r?$`)

// removeGenerated removes the generated Go files, so that one which nothing generates any more is missing afterwards
// instead of staying as it was.
func removeGenerated(root string, files []string) error {
	for _, name := range files {
		if !strings.HasSuffix(name, ".go") || slices.Contains(strings.Split(name, "/"), "testdata") {
			continue
		}
		path := filepath.Join(root, filepath.FromSlash(name))
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		header, _, _ := bytes.Cut(content, []byte("\npackage "))
		if !generatedGo.Match(header) {
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// compare returns a line for each file that is in one of two folders only, or differs between them.
func compare(before, after string) ([]string, error) {
	old, err := project.Walk(before)
	if err != nil {
		return nil, err
	}
	regenerated, err := project.Walk(after)
	if err != nil {
		return nil, err
	}
	names := slices.Concat(old, regenerated)
	slices.Sort(names)
	var changes []string
	for _, name := range slices.Compact(names) {
		a, errA := os.ReadFile(filepath.Join(before, filepath.FromSlash(name)))
		b, errB := os.ReadFile(filepath.Join(after, filepath.FromSlash(name)))
		switch {
		case errors.Is(errA, fs.ErrNotExist) && errB == nil:
			changes = append(changes, name+": missing (or ignored by git)")
		case errors.Is(errB, fs.ErrNotExist) && errA == nil:
			changes = append(changes, name+": not generated any more")
		case errA != nil || errB != nil:
			return nil, errors.Join(errA, errB)
		case !bytes.Equal(a, b):
			changes = append(changes, name+": out of date")
		}
	}
	return changes, nil
}

// patch writes the differences between the folders tree and regenerated in dir. Without git the names of the files,
// which the caller has, must do.
func patch(ctx context.Context, dir string, out io.Writer) error {
	cmd := project.Command(ctx, dir, "git", "diff", "--no-index", "--no-color", "--no-ext-diff", "--no-textconv",
		"--src-prefix=", "--dst-prefix=", "tree", "regenerated")
	cmd.Stdout = out
	var exit *exec.ExitError
	switch err := cmd.Run(); {
	case errors.As(err, &exit) && exit.ExitCode() == 1, errors.Is(err, exec.ErrNotFound):
		return ctx.Err()
	default:
		return err
	}
}
