// Package project looks after the repository itself: which files it consists of, whether generated files are in step
// with their sources, and how its module path moves. Its tests hold what the layout, go.mod, the changelog and the
// Makefile promise. It needs nothing beyond the standard library, the go command and, where there is one, git.
package project

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Importers lists the modules that a program may compile because it imports the package api.
var Importers = []string{
	"github.com/apapsch/go-jsonmerge/v2", // needed by runtime for parameters with a style, of which no page has one
	"github.com/google/uuid",             // needed by runtime
	"github.com/oapi-codegen/runtime",
	"golang.org/x/time",
}

// Root returns the folder of the go.mod that governs dir: dir itself or the nearest folder above it.
func Root(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for d := dir; ; d = filepath.Dir(d) {
		if info, err := os.Stat(filepath.Join(d, "go.mod")); err == nil && info.Mode().IsRegular() {
			return d, nil
		}
		if d == filepath.Dir(d) {
			return "", fmt.Errorf("no go.mod in %s or above", dir)
		}
	}
}

// moduleLine matches the module directive of a go.mod.
var moduleLine = regexp.MustCompile(`(?m)^module\s+"?([^\s"]+)"?`)

// ModulePath returns the path of the module at root.
func ModulePath(root string) (string, error) {
	content, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	match := moduleLine.FindSubmatch(content)
	if match == nil {
		return "", fmt.Errorf("go.mod in %s names no module", root)
	}
	return string(match[1]), nil
}

var majorElem = regexp.MustCompile(`/v([2-9]|[1-9]\d+)$`)

// Version returns the version at which a module is required that is replaced by its folder: v0.0.0, or that of the
// major version in its path.
func Version(module string) string {
	if match := majorElem.FindStringSubmatch(module); match != nil {
		return "v" + match[1] + ".0.0"
	}
	return "v0.0.0"
}

// Files lists the files of the project at root as they are in the work tree, uncommitted edits included: what git
// tracks or would add, without what it ignores. The names are sorted, relative to root, with slashes. Where root is
// not the top of a git work tree, as in an unpacked source archive, every file below root counts.
func Files(ctx context.Context, root string) ([]string, error) {
	if !gitTop(ctx, root) {
		return Walk(root)
	}
	out, err := Command(ctx, root, "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	names := strings.Split(strings.TrimRight(string(out), "\x00"), "\x00")
	slices.Sort(names)
	names = slices.Compact(names) // a file in a merge conflict is listed once for each side
	var files []string
	for _, name := range names {
		// A tracked file may be gone from the work tree, and a folder is a repository of its own.
		if info, err := os.Lstat(filepath.Join(root, filepath.FromSlash(name))); err == nil && !info.IsDir() {
			files = append(files, name)
		}
	}
	return files, nil
}

// gitTop reports whether root is the top folder of a git work tree.
func gitTop(ctx context.Context, root string) bool {
	prefix, err := Command(ctx, root, "git", "rev-parse", "--show-prefix").Output()
	return err == nil && strings.TrimSpace(string(prefix)) == ""
}

// Walk lists every file below root, in the form of Files, leaving out what git keeps for itself.
func Walk(root string) ([]string, error) {
	var files []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.Name() == ".git" && path != root:
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		case d.IsDir():
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		files = append(files, filepath.ToSlash(name))
		return nil
	})
	slices.Sort(files)
	return files, err
}

// Copy copies the named files from the folder src to the folder dst, with their permissions; a symbolic link is copied
// as a link.
func Copy(dst, src string, files []string) error {
	for _, name := range files {
		from := filepath.Join(src, filepath.FromSlash(name))
		to := filepath.Join(dst, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		info, err := os.Lstat(from)
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			target, err := os.Readlink(from)
			if err != nil {
				return err
			}
			if err := os.Symlink(target, to); err != nil {
				return err
			}
			continue
		}
		content, err := os.ReadFile(from)
		if err != nil {
			return err
		}
		if err := os.WriteFile(to, content, info.Mode().Perm()); err != nil {
			return err
		}
	}
	return nil
}

// Command prepares a command that runs in dir. It does not inherit what a surrounding git hook, make or Go workspace
// has put into the environment, so that it sees dir and nothing else.
func Command(ctx context.Context, dir, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = slices.DeleteFunc(cmd.Environ(), func(entry string) bool {
		key, _, _ := strings.Cut(entry, "=")
		switch key {
		case "GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "GOWORK":
			return true
		}
		return false
	})
	cmd.Env = append(cmd.Env, "GOWORK=off")
	return cmd
}
