package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"example.com/zai/internal/project"
	"example.com/zai/internal/spec"
	"example.com/zai/internal/tools/goapi"
)

// An updater takes pages into the project.
type updater struct {
	root  string // of the project
	today string // the day on which pages without a date are taken in

	// uncompiled takes pages in although the packages do not compile with them: for whoever is about to change the
	// hand-written code.
	uncompiled bool

	// generate makes the generated files in a copy of the project, and check compiles it.
	generate, check func(ctx context.Context, dir string) error

	loader *goapi.Loader
}

// newUpdater returns an updater of the project at root.
func newUpdater(root string) *updater {
	return &updater{
		root:     root,
		today:    time.Now().UTC().Format(time.DateOnly),
		generate: func(ctx context.Context, dir string) error { return goCommand(ctx, dir, "generate", "./...") },
		check:    func(ctx context.Context, dir string) error { return goCommand(ctx, dir, "vet", "./...") },
		loader:   &goapi.Loader{Dir: root},
	}
}

// goCommand runs the go command in dir; its error holds what the command printed.
func goCommand(ctx context.Context, dir string, args ...string) error {
	cmd := project.Command(ctx, dir, "go", args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 5 * time.Second // for what does not listen
	output, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), cmp.Or(ctx.Err(), err), bytes.TrimSpace(output))
	}
	return nil
}

// A replacement is one file of the project that changes; old or changed is nil where there is no such file.
type replacement struct {
	name         string
	old, changed []byte
}

// prepare works out, in a copy of the project in tmp, what the given pages change. The project is only read. The error
// is nil if the pages could be read, also where the report says why they cannot be taken in.
func (u *updater) prepare(ctx context.Context, tmp string, paths, operations []string) (*report, []replacement, error) {
	files, err := project.Files(ctx, u.root)
	if err != nil {
		return nil, nil, err
	}
	if err := project.Copy(tmp, u.root, files); err != nil {
		return nil, nil, err
	}
	// What the copy was made from, and not what the project is by then: edits made in the meantime stay.
	before, err := contents(tmp)
	if err != nil {
		return nil, nil, err
	}
	in := func(name string) string { return filepath.Join(tmp, filepath.FromSlash(name)) }
	pages := os.DirFS(in(pagesFolder))
	old, err := spec.ReadPages(pages)
	if err != nil {
		return nil, nil, fmt.Errorf("the pages that are here: %w", err)
	}
	var here []string
	for _, page := range old {
		here = append(here, page.Operations()...)
	}
	r := &report{}
	given, err := readGiven(r, paths, operations, here)
	if err != nil {
		return nil, nil, err
	}
	if r.edits, err = plan(old, pages, given, u.today); err != nil {
		return nil, nil, err
	}
	for _, e := range r.edits {
		err := os.Remove(in(pagesFolder + "/" + e.name))
		if e.content != nil {
			err = os.WriteFile(in(pagesFolder+"/"+e.name), e.content, 0o644)
		}
		if err != nil {
			return nil, nil, err
		}
	}
	if err := u.describe(ctx, in, r); err != nil {
		return nil, nil, err
	}
	if err := u.build(ctx, tmp, r); err != nil {
		return nil, nil, err
	}
	if err := u.record(in); err != nil {
		return nil, nil, err
	}
	after, err := contents(tmp)
	if err != nil {
		return nil, nil, err
	}
	changes := changed(before, after)
	if len(changes) > 0 && len(r.refusals) == 0 {
		if err := u.check(ctx, tmp); ctx.Err() != nil {
			return nil, nil, ctx.Err()
		} else if err != nil {
			r.uncompiled(err.Error(), u.uncompiled)
		}
	}
	for _, change := range changes {
		r.files = append(r.files, change.name)
	}
	return r, changes, nil
}

// describe merges the pages of the copy, and reports what that changes in the description and what it means for the
// overlay and for the constants.
func (u *updater) describe(ctx context.Context, in func(string) string, r *report) error {
	pages, err := spec.ReadPages(os.DirFS(in(pagesFolder)))
	if err != nil {
		return err
	}
	merged, notes, err := spec.Merge(pages)
	if err != nil {
		return err
	}
	for _, note := range notes {
		r.notes = append(r.notes, note.String())
	}
	old, err := os.ReadFile(in("openapi.yaml"))
	if err != nil {
		return err
	}
	if r.findings, r.places, err = describe(ctx, old, merged); err != nil {
		return err
	}
	if _, err := spec.WriteFile(in("openapi.yaml"), merged); err != nil {
		return err
	}

	const overlayFile = "internal/spec/overlay.yaml"
	before, err := applyOverlay(in(overlayFile), old)
	if err != nil {
		return err
	}
	after, err := applyOverlay(in(overlayFile), merged)
	if err != nil {
		return err
	}
	r.dead, r.idle, r.named = after.dead, newIdle(before, after), after.names
	for _, operation := range after.unnamed {
		r.notes = append(r.notes, operation+" has no operationId: name it in the overlay, before its Go names are used")
	}
	if len(r.dead) > 0 {
		r.refusals = append(r.refusals, "the overlay does not fit: change `"+overlayFile+"` first, where the actions below do not apply")
	}

	constants, _, err := spec.Constants(in("api"))
	if err != nil {
		return err
	}
	values, err := spec.NamedValues(merged)
	if err != nil {
		return err
	}
	was, err := spec.NamedValues(old)
	if err != nil {
		return err
	}
	r.values = spec.WithoutConstant(values, constants)
	known := spec.WithoutText(was, constants)
	for _, line := range spec.WithoutText(values, constants) {
		if !slices.Contains(known, line) {
			r.values = append(r.values, line)
		}
	}
	return nil
}

var strict = regexp.MustCompile(`(?m)^(\s*strict:)\s*true\s*$`)

// build generates the code in the copy, and reports what that changes in the exported API. Where actions of the
// overlay do not apply, it generates without them, to show what the change means.
func (u *updater) build(ctx context.Context, tmp string, r *report) error {
	config := filepath.Join(tmp, "oapi-codegen.yaml")
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	if len(r.dead) > 0 {
		if err := os.WriteFile(config, strict.ReplaceAll(text, []byte("$1 false")), 0o644); err != nil {
			return err
		}
	}
	err = u.generate(ctx, tmp)
	if err := errors.Join(ctx.Err(), os.WriteFile(config, text, 0o644)); err != nil {
		return err
	}
	if err != nil {
		r.refusals = append(r.refusals, "the code cannot be generated")
		r.problems = append(r.problems, err.Error())
		return nil
	}

	code, err := os.ReadFile(filepath.Join(tmp, "api", "openapi.gen.go"))
	if err != nil {
		return err
	}
	r.notes = append(r.notes, unfit(code)...)
	module, err := project.ModulePath(u.root)
	if err != nil {
		return err
	}
	old, err := u.loader.Load(ctx, filepath.Join(u.root, "api"), module+"/api")
	if err != nil {
		return err
	}
	changed, err := u.loader.Load(ctx, filepath.Join(tmp, "api"), module+"/api")
	if err != nil {
		r.refusals = append(r.refusals, "the generated code cannot be read")
		r.problems = append(r.problems, err.Error())
		return nil
	}
	if r.api, err = goapi.Compare(old, changed); err != nil {
		r.problems = append(r.problems, err.Error())
	}
	names := changed.TypeNames()
	for _, name := range old.TypeNames() {
		if !slices.Contains(names, name) {
			r.lostTypes = append(r.lostTypes, name)
		}
	}
	if len(changed.Problems) > 0 {
		r.uncompiled(strings.Join(changed.Problems, "\n"), u.uncompiled)
	}
	return nil
}

// withoutName matches a field that the generator gave no name, because its key has no letter that begins a Go name.
var withoutName = regexp.MustCompile("(?m)^\t[\\w.*\\[\\]]+ `[^`]*json:\"([^\",]+)")

// unfit says what in generated code compiles, and is not what anybody wants.
func unfit(code []byte) (notes []string) {
	for _, match := range withoutName.FindAllSubmatch(code, -1) {
		notes = append(notes, fmt.Sprintf("the property %#q has no Go name, and its value is lost: give it an x-go-name in the overlay", match[1]))
	}
	if bytes.Contains(code, []byte("runtime.Style")) {
		notes = append(notes, "a parameter is formatted by reflection, which `make footprint` will refuse: describe it in the overlay as it describes Accept-Language")
	}
	return notes
}

// record writes the table of the pages and their list in the changelog.
func (u *updater) record(in func(string) string) error {
	const table, changelog = "internal/spec/README.md", "CHANGELOG.md"
	text, err := os.ReadFile(in(table))
	if err != nil {
		return err
	}
	rows, err := spec.Rows(os.DirFS(in(pagesFolder)), spec.ReadTable(text), u.today)
	if err != nil {
		return err
	}
	if text, err = spec.WriteTable(text, rows); err != nil {
		return fmt.Errorf("%s: %w", table, err)
	}
	if _, err := spec.WriteFile(in(table), text); err != nil {
		return err
	}
	if text, err = os.ReadFile(in(changelog)); err != nil {
		return err
	}
	if text, err = spec.WriteChangelog(text, rows); err != nil {
		return err
	}
	_, err = spec.WriteFile(in(changelog), text)
	return err
}

// contents returns the files below dir.
func contents(dir string) (map[string][]byte, error) {
	names, err := project.Walk(dir)
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte, len(names))
	for _, name := range names {
		if files[name], err = readIfThere(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// changed lists what differs between two versions of the same files.
func changed(before, after map[string][]byte) []replacement {
	all := maps.Clone(before)
	maps.Copy(all, after)
	var changes []replacement
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if !same(before[name], after[name]) {
			changes = append(changes, replacement{name, before[name], after[name]})
		}
	}
	return changes
}

// same reports whether two contents are equal, of which one may be nil, where there is no file.
func same(a, b []byte) bool { return (a == nil) == (b == nil) && bytes.Equal(a, b) }

// readIfThere returns the content of a file, which is not nil, or nil if there is no such file.
func readIfThere(name string) ([]byte, error) {
	content, err := os.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case content == nil:
		content = []byte{}
	}
	return content, err
}

// replace makes all changes in the project at root, or none: where one fails, it takes back those that were made. Each
// file has its old content or the new, never a part.
func replace(root string, changes []replacement) (err error) {
	at := func(c replacement) string { return filepath.Join(root, filepath.FromSlash(c.name)) }
	for _, c := range changes {
		now, err := readIfThere(at(c))
		if err != nil {
			return err
		}
		if !same(now, c.old) {
			return fmt.Errorf("%s was changed by somebody else in the meantime", c.name)
		}
	}
	var done []replacement
	defer func() {
		if err == nil {
			return
		}
		for _, c := range slices.Backward(done) {
			if undo := put(at(c), c.old); undo != nil {
				err = errors.Join(err, fmt.Errorf("%s could not be put back: %w", c.name, undo))
			}
		}
	}()
	for _, c := range changes {
		if err := put(at(c), c.changed); err != nil {
			return err
		}
		done = append(done, c)
	}
	return nil
}

// put makes content the content of the named file, or removes it if content is nil.
func put(name string, content []byte) error {
	if content == nil {
		return os.Remove(name)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	_, err := spec.WriteFile(name, content)
	return err
}
