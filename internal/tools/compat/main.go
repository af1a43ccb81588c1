// Command compat compares what the packages api and zaitest export with the last release, the newest tag that is an
// ancestor of the current commit. It prints the changes, and exits with 1 if one of them is incompatible and not
// mentioned in the section Unreleased of the changelog, outside of the list of what was added. Without a tag there is
// nothing to compare with: it says so and exits with 0.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"example.com/zai/internal/project"
	"example.com/zai/internal/tools/goapi"
)

// packages are what users import, by their folder.
var packages = []string{"api", "api/zaitest"}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := compat(ctx, ".", os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "compat: %v\n", err)
		os.Exit(1)
	}
}

// compat compares the project that dir belongs to, as it is in the work tree, with its last tag.
func compat(ctx context.Context, dir string, out io.Writer) (err error) {
	root, err := project.Root(dir)
	if err != nil {
		return err
	}
	tag, err := lastTag(ctx, root)
	if err != nil {
		return err
	}
	if tag == "" {
		_, err := fmt.Fprintln(out, "compat: there is no tag to compare with")
		return err
	}
	tmp, err := os.MkdirTemp("", "compat-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	tree := filepath.Join(tmp, "tree")
	if _, err := git(ctx, root, "worktree", "add", "--quiet", "--detach", tree, tag); err != nil {
		return err
	}
	defer func() {
		_, cleanup := git(context.WithoutCancel(ctx), root, "worktree", "remove", "--force", tree)
		err = errors.Join(err, cleanup)
	}()

	changelog, err := os.ReadFile(filepath.Join(root, "CHANGELOG.md"))
	if err != nil {
		return err
	}
	mentioned := broken(string(changelog))
	var missing []string
	fmt.Fprintf(out, "compat: compared with %s\n", tag)
	for _, name := range packages {
		changes, err := compare(ctx, tree, root, name)
		if err != nil {
			return err
		}
		for _, change := range changes {
			kind := "compatible"
			if !change.Compatible {
				kind = "incompatible"
				if !mentions(mentioned, change.Symbol) {
					missing = append(missing, name+": "+change.String())
				}
			}
			fmt.Fprintf(out, "  %s: %s: %s\n", kind, name, change)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("the changelog must say in the section Unreleased, under Changed or Removed, what broke:\n  %s",
			strings.Join(missing, "\n  "))
	}
	return nil
}

// lastTag returns the newest version tag that is an ancestor of the current commit, or "" where there is none, as in
// a source archive.
func lastTag(ctx context.Context, root string) (string, error) {
	if prefix, err := git(ctx, root, "rev-parse", "--show-prefix"); err != nil {
		if _, none := os.Lstat(filepath.Join(root, ".git")); none == nil {
			return "", err // A repository that git does not open, such as that of somebody else, may have tags.
		}
		return "", ctx.Err()
	} else if strings.TrimSpace(prefix) != "" {
		return "", nil
	}
	if _, err := git(ctx, root, "rev-parse", "--verify", "--quiet", "HEAD"); err != nil {
		return "", ctx.Err() // Nothing is committed yet.
	}
	tags, err := git(ctx, root, "tag", "--merged", "HEAD", "--list", "v[0-9]*")
	if err != nil || strings.TrimSpace(tags) == "" {
		return "", err
	}
	tag, err := git(ctx, root, "describe", "--tags", "--abbrev=0", "--match", "v[0-9]*")
	return strings.TrimSpace(tag), err
}

// git returns what a git command prints.
func git(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := project.Command(ctx, dir, "git", args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("git %s: %w\n%s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return string(out), nil
}

// compare lists the changes of one package between two folders with the module. A package that the old one does not
// have yet is no change.
func compare(ctx context.Context, old, changed, name string) ([]goapi.Change, error) {
	if _, err := os.Stat(filepath.Join(old, filepath.FromSlash(name))); errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var loaded [2]*goapi.Package
	for i, root := range []string{old, changed} {
		// Both get the path of the new one, in case the module has moved.
		module, err := project.ModulePath(changed)
		if err != nil {
			return nil, err
		}
		loader := &goapi.Loader{Dir: root}
		loaded[i], err = loader.Load(ctx, filepath.Join(root, filepath.FromSlash(name)), module+"/"+name)
		if err != nil {
			return nil, err
		}
		if problems := loaded[i].Problems; len(problems) > 0 {
			return nil, fmt.Errorf("%s in %s does not compile:\n%s", name, root, strings.Join(problems, "\n"))
		}
	}
	return goapi.Compare(loaded[0], loaded[1])
}

// broken returns what the section Unreleased of a changelog says, without what was added.
func broken(changelog string) string {
	_, section, _ := strings.Cut(changelog, "\n## [Unreleased]")
	section, _, _ = strings.Cut(section, "\n## ")
	parts := strings.Split(section, "\n### ")
	var text strings.Builder
	for _, part := range parts[1:] {
		if heading, rest, _ := strings.Cut(part, "\n"); strings.TrimSpace(heading) != "Added" {
			text.WriteString(rest + "\n")
		}
	}
	return text.String()
}

// mentions reports whether one entry of a list has every part of a symbol, such as Result.Choices, as a word.
func mentions(text, symbol string) bool {
	for _, entry := range strings.Split("\n"+text, "\n- ") {
		all := true
		for _, word := range regexp.MustCompile(`[\pL_][\pL\pN_]*`).FindAllString(symbol, -1) {
			all = all && regexp.MustCompile(`\b`+word+`\b`).MatchString(entry)
		}
		if all {
			return true
		}
	}
	return false
}
