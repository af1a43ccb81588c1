// Package goapi compares what two versions of a Go package export.
package goapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/exp/apidiff"

	"example.com/zai/internal/project"
)

// A Package is a type-checked Go package.
type Package struct {
	Types *types.Package

	// Problems lists why the package does not compile, at most ten reasons. Types holds what could be checked
	// nevertheless.
	Problems []string
}

// A Loader type-checks packages of one module. What they import is compiled by the go command, once, and kept.
type Loader struct {
	// Dir is a folder of the module.
	Dir string

	mu      sync.Mutex
	exports map[string]string // file with the export data of an import path
}

// Load type-checks the Go files of dir, tests left out, as the package with the given import path. The folder may be a
// copy of the one in the module.
func (l *Loader) Load(ctx context.Context, dir, path string) (*Package, error) {
	files, err := build.Default.ImportDir(dir, 0)
	if err != nil {
		return nil, err
	}
	fset := token.NewFileSet()
	var parsed []*ast.File
	imports := map[string]bool{}
	for _, name := range files.GoFiles {
		file, err := parser.ParseFile(fset, filepath.Join(dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return nil, err
			}
			imports[imported] = true
		}
		parsed = append(parsed, file)
	}
	lookup, err := l.compiled(ctx, slices.Sorted(maps.Keys(imports)))
	if err != nil {
		return nil, err
	}
	const most = 10
	p := &Package{}
	config := types.Config{
		Importer: importer.ForCompiler(fset, "gc", lookup),
		Error: func(err error) {
			if text := strings.ReplaceAll(err.Error(), dir+string(filepath.Separator), ""); len(p.Problems) < most {
				p.Problems = append(p.Problems, text)
			}
		},
	}
	p.Types, err = config.Check(path, fset, parsed, nil)
	if err != nil && len(p.Problems) == 0 {
		return nil, err
	}
	return p, nil
}

// compiled returns a function that opens the export data of the given packages and of what they import.
func (l *Loader) compiled(ctx context.Context, paths []string) (importer.Lookup, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	missing := slices.DeleteFunc(slices.Clone(paths), func(path string) bool {
		return path == "unsafe" || l.exports[path] != ""
	})
	if len(missing) > 0 {
		args := append([]string{"list", "-e", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", "--"}, missing...)
		cmd := project.Command(ctx, l.Dir, "go", args...)
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list -export: %w\n%s", err, bytes.TrimSpace(stderr.Bytes()))
		}
		exports := maps.Clone(l.exports)
		if exports == nil {
			exports = map[string]string{}
		}
		for line := range strings.Lines(string(out)) {
			path, file, _ := strings.Cut(strings.TrimSpace(line), "\t")
			exports[path] = file
		}
		l.exports = exports
	}
	exports := l.exports
	return func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("%s cannot be imported", path)
		}
		return os.Open(exports[path])
	}, nil
}

// TypeNames lists the exported types that the package declares, sorted.
func (p *Package) TypeNames() []string {
	var names []string
	for _, name := range p.Types.Scope().Names() {
		if _, ok := p.Types.Scope().Lookup(name).(*types.TypeName); ok && ast.IsExported(name) {
			names = append(names, name)
		}
	}
	return names
}

// A Change is a change of what a package exports.
type Change struct {
	// Symbol is what changed, such as Result.Choices; Message says how.
	Symbol, Message string

	// Compatible reports whether programs that use the old package compile with the new one, by the rules of apidiff.
	Compatible bool
}

// String returns the change as one line for a report.
func (c Change) String() string { return c.Symbol + ": " + c.Message }

// grows reports whether a symbol is a method of the generated interfaces, which gain methods with each operation. They
// are there to be called: that a program implements them is not promised to go on compiling.
func grows(symbol string) bool {
	return strings.HasPrefix(symbol, "ClientInterface.") || strings.HasPrefix(symbol, "ClientWithResponsesInterface.")
}

// Compare lists the changes from old to changed, incompatible ones first.
func Compare(old, changed *Package) (changes []Change, err error) {
	defer func() {
		// Packages that do not compile hold types that apidiff does not expect.
		if reason := recover(); reason != nil {
			err = errors.Join(err, fmt.Errorf("the exported API cannot be compared: %v", reason))
		}
	}()
	for _, change := range apidiff.Changes(old.Types, changed.Types).Changes {
		symbol, message, _ := strings.Cut(change.Message, ": ")
		c := Change{symbol, message, change.Compatible || message == "added" && grows(symbol)}
		if !slices.Contains(changes, c) {
			changes = append(changes, c)
		}
	}
	slices.SortStableFunc(changes, func(a, b Change) int {
		switch {
		case a.Compatible == b.Compatible:
			return strings.Compare(a.Symbol, b.Symbol)
		case b.Compatible:
			return -1
		}
		return 1
	})
	return changes, nil
}
