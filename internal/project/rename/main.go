// Command rename moves the module to another path: in go.mod, imports, documentation, generated code and every
// configuration file. It is called with the new path as its only argument.
package main

import (
	"bytes"
	"context"
	"fmt"
	"go/format"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"example.com/zai/internal/project"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: make rename MODULE=host/path")
		os.Exit(2)
	}
	root, err := project.Root(".")
	if err == nil {
		err = rename(context.Background(), root, os.Args[1], os.Stdout)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "rename: %v\n", err)
		os.Exit(1)
	}
}

// pages is where the published pages are kept byte for byte.
const pages = "internal/spec/pages/"

// rename moves the module at root to the path to, and writes to out what it did. It works out every change before it
// makes the first one.
func rename(ctx context.Context, root, to string, out io.Writer) error {
	if err := validate(to); err != nil {
		return err
	}
	from, err := project.ModulePath(root)
	if err != nil {
		return err
	}
	if from == to {
		_, err := fmt.Fprintf(out, "the module is %s already\n", to)
		return err
	}
	files, err := project.Files(ctx, root)
	if err != nil {
		return err
	}
	type change struct {
		path    string
		content []byte
		perm    fs.FileMode
	}
	var changes []change
	replace := replacer(from, to)
	for _, name := range files {
		file := filepath.Join(root, filepath.FromSlash(name))
		info, err := os.Lstat(file)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() || strings.HasPrefix(name, pages) {
			continue
		}
		old, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		content := replace(old)
		if bytes.Equal(old, content) || bytes.IndexByte(old, 0) >= 0 {
			continue
		}
		if path.Base(name) == "go.mod" {
			content = requireMajor(content, to)
		}
		if strings.HasSuffix(name, ".go") {
			// The new path may sort elsewhere among the imports.
			if formatted, err := format.Source(content); err == nil {
				content = formatted
			}
		}
		changes = append(changes, change{file, content, info.Mode().Perm()})
	}
	for _, c := range changes {
		if err := os.WriteFile(c.path, c.content, c.perm); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintf(out, "the module is now %s, was %s: %d files changed\n", to, from, len(changes))
	return err
}

var (
	validHost = regexp.MustCompile(`^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$`)
	validElem = regexp.MustCompile(`^[A-Za-z0-9_~-]([A-Za-z0-9._~-]*[A-Za-z0-9_~-])?$`)
	badMajor  = regexp.MustCompile(`^v[01]$|^v0\d+$`)
)

// validate says what is wrong with a module path, by the rules of the go command for a module that others import.
func validate(path string) error {
	host, rest, _ := strings.Cut(path, "/")
	elems := strings.Split(rest, "/")
	switch {
	case path == "":
		return fmt.Errorf("no module path given: make rename MODULE=host/path")
	case strings.ContainsAny(path, " \t\r\n"):
		return fmt.Errorf("module path %q contains white space", path)
	case strings.Contains(path, "://"):
		return fmt.Errorf("module path %q is a URL: leave out what stands before the host", path)
	case !validHost.MatchString(host) || !strings.Contains(host, ".") || strings.Contains(host, ".."):
		return fmt.Errorf("module path %q does not begin with a host name in lower case, such as example.org", path)
	case rest == "":
		return fmt.Errorf("module path %q has nothing after the host", path)
	}
	for _, elem := range elems {
		if !validElem.MatchString(elem) {
			return fmt.Errorf("module path %q has the element %q, which no import path may have", path, elem)
		}
	}
	if last := elems[len(elems)-1]; badMajor.MatchString(last) {
		return fmt.Errorf("module path %q ends with %s: a major version starts with v2", path, last)
	}
	return nil
}

// requireMajor gives the requirement of a module, which the modules below it replace by its folder, a version that suits
// its path.
func requireMajor(goMod []byte, module string) []byte {
	require := regexp.MustCompile(`(?m)^((?:require)?\s+` + regexp.QuoteMeta(module) + `) v\d+\.0\.0\b`)
	return require.ReplaceAll(goMod, []byte("${1} "+project.Version(module)))
}

// replacer returns a function that replaces the module path from by to where it stands for itself or begins a longer
// path, but not where it is only part of another name. Dots that a regular expression escapes stay escaped.
func replacer(from, to string) func([]byte) []byte {
	pattern := regexp.MustCompile(strings.ReplaceAll(regexp.QuoteMeta(from), `\.`, `(\\*)\.`))
	return func(text []byte) []byte {
		var out []byte
		last := 0
		for _, m := range pattern.FindAllSubmatchIndex(text, -1) {
			if inName(text, m[0], m[1]) {
				continue
			}
			escape := ""
			if len(m) > 2 {
				escape = string(text[m[2]:m[3]])
			}
			out = append(out, text[last:m[0]]...)
			out = append(out, strings.ReplaceAll(to, ".", escape+".")...)
			last = m[1]
		}
		return append(out, text[last:]...)
	}
}

// inName reports whether text[start:end] is only part of a longer host name or path element.
func inName(text []byte, start, end int) bool {
	if end < len(text) && (nameByte(text[end]) || text[end] == '~') {
		return true
	}
	if start == 0 {
		return false
	}
	before := text[start-1]
	if start > 1 && text[start-2] == '\\' && (before == 'n' || before == 't') {
		return false // an escaped line break or tab, as in a Go string
	}
	return nameByte(before) || before == '.'
}

// nameByte reports whether c may stand in the middle of a host name or path element.
func nameByte(c byte) bool {
	return c == '-' || c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}
