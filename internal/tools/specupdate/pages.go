package main

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"example.com/zai/internal/spec"
)

// pagesFolder is where the pages are kept, below the root of the project.
const pagesFolder = "internal/spec/pages"

// cutFrom begins the source of a page that was cut from a whole document.
const cutFrom = "cut from "

// An edit replaces, adds or removes one page.
type edit struct {
	name    string // in the folder of pages
	content []byte // nil to remove it
	why     string
}

// A given page is one that was handed in.
type given struct {
	page    *spec.Page
	content []byte
	from    string // the file it was in
	cut     bool   // from a whole document
}

// readGiven reads the named files and folders. If operations are wanted it takes those, otherwise all pages and, of
// documents, the operations in here. The report gets what it passed over, and which of those here are missing.
func readGiven(r *report, paths, wanted, here []string) ([]given, error) {
	files, err := filesOf(paths)
	if err != nil {
		return nil, err
	}
	var pages []given
	var described, whole []string
	var errs []error
	for _, name := range files {
		content, err := readBounded(name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		base := filepath.Base(name)
		isPage := spec.IsPage(base, content)
		read := spec.ReadDocument
		if isPage {
			read = spec.ReadPage
		}
		page, err := read(base, content)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		operations := page.Operations()
		described = append(described, operations...)
		if !isPage && len(operations) > 1 {
			whole = append(whole, base)
		}
		taken := slices.DeleteFunc(slices.Clone(operations), func(operation string) bool {
			if len(wanted) > 0 {
				return !names(wanted, operation)
			}
			return !isPage && !slices.Contains(here, operation)
		})
		switch {
		case !isPage:
			for _, operation := range taken {
				cut, err := page.Cut(operation)
				if err != nil {
					errs = append(errs, err)
					continue
				}
				pages = append(pages, given{page: cut, from: name, cut: true})
			}
		case len(taken) > 0:
			taken = operations // A page is taken as it is.
			pages = append(pages, given{page, content, name, false})
		}
		if left := len(operations) - len(taken); left > 0 {
			r.notes = append(r.notes, fmt.Sprintf("%s describes %d other operations, which were not asked for", base, left))
		}
	}
	for _, w := range wanted {
		if !slices.ContainsFunc(described, func(operation string) bool { return names([]string{w}, operation) }) {
			errs = append(errs, fmt.Errorf("what was given does not describe %s", w))
		}
	}
	if len(errs) == 0 && len(pages) == 0 {
		errs = append(errs, errors.New("none of the operations that are here is described in what was given: name the wanted ones with OPS (-op)"))
	}
	for _, operation := range here {
		if len(whole) > 0 && len(wanted) == 0 && !slices.Contains(described, operation) {
			r.missing = append(r.missing, fmt.Sprintf("`%s` is not in %s: its page stays until somebody removes it; "+
				"with OPS only the named operations are looked at", operation, strings.Join(whole, ", ")))
		}
	}
	return pages, errors.Join(errs...)
}

// filesOf returns the named files, and those in the named folders.
func filesOf(paths []string) ([]string, error) {
	var files []string
	for _, name := range paths {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, name)
			continue
		}
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, err
		}
		before := len(files)
		for _, entry := range entries {
			switch {
			case strings.HasPrefix(entry.Name(), "."):
			case entry.IsDir():
				return nil, fmt.Errorf("%s holds the folder %s: name each folder, so that no page is missed", name, entry.Name())
			default:
				files = append(files, filepath.Join(name, entry.Name()))
			}
		}
		if len(files) == before {
			return nil, fmt.Errorf("%s holds no pages", name)
		}
	}
	return files, nil
}

// readBounded reads a file, and not more of it than shows that it is too large for a page.
func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // Nothing was written.
	return io.ReadAll(io.LimitReader(f, spec.MaxPage+1))
}

// names reports whether one of the wanted words names an operation: "POST /v1/agents" or "/v1/agents".
func names(wanted []string, operation string) bool {
	_, at, _ := strings.Cut(operation, " ")
	return slices.ContainsFunc(wanted, func(w string) bool {
		method, rest, ok := strings.Cut(w, " ")
		if !ok {
			return w == at
		}
		return strings.ToUpper(method)+" "+strings.TrimSpace(rest) == operation
	})
}

func countIn(list, in []string) int {
	n := 0
	for _, item := range list {
		if slices.Contains(in, item) {
			n++
		}
	}
	return n
}

// plan works out which pages to replace, add and remove.
func plan(old []*spec.Page, dir fs.FS, pages []given, date string) ([]edit, error) {
	var edits []edit
	takenBy := map[string]string{} // the given file that is for a page or an operation
	take := func(name, by string) error {
		if first, ok := takenBy[name]; ok {
			return fmt.Errorf("%s and %s are both for %s", first, by, name)
		}
		takenBy[name] = by
		return nil
	}
	for _, g := range pages {
		replaced, err := replacedBy(old, g)
		if err != nil {
			return nil, err
		}
		name := g.page.Name
		if g.cut {
			name = nameOf(g.page.Operations()[0])
		}
		if len(replaced) > 0 {
			name = replaced[0].Name
		} else if i := slices.IndexFunc(old, func(p *spec.Page) bool { return stem(p.Name) == stem(name) }); i >= 0 {
			return nil, fmt.Errorf("%s would take the name of the page %s, which describes %s", g.from, old[i].Name, strings.Join(old[i].Operations(), ", "))
		}
		extension := ".md"
		if !g.page.Vendored() {
			extension = ".yaml"
		}
		name = strings.TrimSuffix(name, path.Ext(name)) + extension
		for _, of := range append(g.page.Operations(), "the page "+strings.TrimSuffix(name, extension)) {
			if err := take(of, g.from); err != nil {
				return nil, err
			}
		}
		same, err := unchanged(replaced, dir, g)
		if err != nil {
			return nil, err
		}
		if same {
			continue
		}
		content := g.content
		if g.cut {
			content, err = g.page.Markdown(g.page.Operations()[0], map[string]string{
				"title": g.page.Operations()[0], "source": cutFrom + filepath.Base(g.from), "fetched_at": date,
			})
			if err != nil {
				return nil, err
			}
		}
		why := fmt.Sprintf("added (%s)", strings.Join(g.page.Operations(), ", "))
		if len(replaced) > 0 {
			why = fmt.Sprintf("replaced (%s)", strings.Join(g.page.Operations(), ", "))
		}
		if g.cut {
			why += ", cut from the document " + filepath.Base(g.from)
		}
		for _, page := range replaced {
			if page.Name != name {
				edits = append(edits, edit{name: page.Name, why: "removed: " + name + " takes its place"})
			}
		}
		edits = append(edits, edit{name, content, why})
	}
	return edits, nil
}

// replacedBy returns the old pages whose place a given one takes: those of its operations, and the one of its name or
// from the same source, which it may describe in other words.
func replacedBy(old []*spec.Page, g given) ([]*spec.Page, error) {
	var replaced []*spec.Page
	operations := g.page.Operations()
	for _, page := range old {
		shared := countIn(page.Operations(), operations)
		sameName := !g.cut && (stem(page.Name) == stem(g.page.Name) || page.URL != "" && page.URL == g.page.URL ||
			page.Source != "" && page.Source == g.page.Source)
		if shared > 0 && shared < len(page.Operations()) && !sameName {
			return nil, fmt.Errorf("%s describes only %d of the %d operations of the page %s, which it cannot replace",
				g.from, shared, len(page.Operations()), page.Name)
		}
		if shared > 0 || sameName {
			if page.Vendored() && !g.page.Vendored() {
				return nil, fmt.Errorf("%s is transcribed, and the page %s, whose place it would take, is a published one", g.from, page.Name)
			}
			replaced = append(replaced, page)
		}
	}
	// A page that keeps its name and one that shares operations: the one with the name comes first.
	slices.SortStableFunc(replaced, func(a, b *spec.Page) int {
		return cmp.Compare(btoi(stem(b.Name) == stem(g.page.Name)), btoi(stem(a.Name) == stem(g.page.Name)))
	})
	return replaced, nil
}

func stem(name string) string { return strings.TrimSuffix(name, path.Ext(name)) }

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// frontMatter matches the header that whoever downloaded a page wrote above it.
var frontMatter = regexp.MustCompile(`\A---\r?\n(?s:.*?)\r?\n---\r?\n`)

// unchanged reports whether a given page says what the page says that it would replace. Published pages may differ in
// their header, which whoever downloaded them wrote, and in a final line break; a page cut from a document may differ
// in everything but what it says about the API.
func unchanged(replaced []*spec.Page, dir fs.FS, g given) (bool, error) {
	if len(replaced) != 1 {
		return false, nil
	}
	old := replaced[0]
	if g.cut {
		if len(old.Operations()) != 1 {
			return false, nil
		}
		cut, err := old.Cut(old.Operations()[0])
		return err == nil && cut.Equal(g.page), err
	}
	content, err := fs.ReadFile(dir, old.Name)
	if err != nil {
		return false, err
	}
	if old.Vendored() != g.page.Vendored() || !old.Vendored() {
		return bytes.Equal(content, g.content), nil
	}
	body := func(page []byte) []byte {
		page = bytes.ReplaceAll(bytes.TrimPrefix(page, []byte("\ufeff")), []byte("\r\n"), []byte("\n"))
		return bytes.TrimSpace(frontMatter.ReplaceAll(page, nil))
	}
	return bytes.Equal(body(content), body(g.content)), nil
}

var notInName = regexp.MustCompile(`[^A-Za-z0-9]+`)

// nameOf makes the name of a page for an operation.
func nameOf(operation string) string {
	return strings.ToLower(strings.Trim(notInName.ReplaceAllString(operation, "-"), "-")) + ".md"
}
