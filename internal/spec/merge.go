// Package spec makes one OpenAPI description from the pages on which Z.AI
// publishes its API, one operation to a page. ReadPages reads a folder of
// pages, Merge puts them together, and WriteFile stores the result.
//
// The pages are the only input, and what they say is not edited here:
// corrections, and names for Go, belong in the overlay.
package spec

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// A Note says that a vendored page overruled a transcribed one: both describe
// the same part of the API, and differ.
type Note struct {
	// At is the JSON pointer of the part.
	At string

	// Difference is the JSON pointer of the first difference.
	Difference string

	// Kept and Dropped are the names of the vendored and the transcribed page.
	Kept, Dropped string
}

// String returns the note as one line for a report.
func (n Note) String() string {
	return fmt.Sprintf("%s: kept what %s (vendored) says, not %s (transcribed): they differ at %s",
		n.At, n.Kept, n.Dropped, n.Difference)
}

// Merge puts pages together into one OpenAPI document, in YAML, and returns
// it with notes on what was overruled. Vendored pages come first, then
// transcribed ones, each sorted by name, so the order of the argument does not
// matter. Everything stands where it first appears. Scalars keep their value
// and tag, and their style unless the encoder cannot write the value in it;
// comments are dropped.
//
// A part is a top-level key such as info, an operation or another key of a
// path, or a named component. Pages that say the same about a part give one
// copy; style and the order of keys make no difference. Where they differ, a
// vendored page overrules transcribed ones, with a Note, and two pages of the
// same kind are an error that names both and the part.
//
// To say nothing is to differ for those parts that apply to the operations
// beside them: the document's servers and security, and the parameters,
// servers and $ref of a path. Otherwise one page could change what the
// operation of another means.
func Merge(pages []*Page) ([]byte, []Note, error) {
	if len(pages) == 0 {
		return nil, nil, errors.New("no pages to merge")
	}
	pages = slices.Clone(pages)
	slices.SortFunc(pages, inOrder)

	var m merger
	for i, page := range pages {
		if i > 0 && page.Name == pages[i-1].Name {
			return nil, nil, fmt.Errorf("two pages are named %s", page.Name)
		}
		m.root = m.add(m.root, page, page.Doc, "")
	}
	if err := errors.Join(m.errs...); err != nil {
		return nil, nil, err
	}
	doc, err := encode(pages, m.root.node)
	return doc, m.notes, err
}

// inOrder compares two pages: vendored before transcribed, then by name.
func inOrder(a, b *Page) int {
	return cmp.Or(-cmp.Compare(a.kind(), b.kind()), cmp.Compare(a.Name, b.Name))
}

// A merger builds the merged document.
type merger struct {
	root  *part
	notes []Note
	errs  []error
}

// A part is a piece of the merged document with the page that it comes from.
// The parts of a container are found by their key.
type part struct {
	page  *Page
	node  *yaml.Node
	parts map[string]*part
}

// add merges src, which stands in page at the JSON pointer at, into the
// container have, or into a new one if have is nil, and returns the container.
func (m *merger) add(have *part, page *Page, src *yaml.Node, at string) *part {
	isNew := have == nil
	if isNew {
		node := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		have = &part{page, node, make(map[string]*part)}
	}
	for i := 0; i < len(src.Content); i += 2 {
		name, value := src.Content[i].Value, src.Content[i+1]
		old := have.parts[name]
		switch {
		case container(at, name):
			have.parts[name] = m.add(old, page, value, pointer(at, name))
		case old != nil:
			if rest, differ := difference(old.node, value); differ {
				m.clash(pointer(at, name), rest, old.page, page)
			}
		case !isNew && inherited(at, name):
			m.clash(pointer(at, name), "", have.page, page)
			continue
		default:
			have.parts[name] = &part{page: page, node: value}
		}
		if old == nil {
			have.node.Content = append(have.node.Content, src.Content[i], have.parts[name].node)
		}
	}
	for name := range children(have.node) {
		if inherited(at, name) && lookup(src, name) == nil {
			m.clash(pointer(at, name), "", have.page, page)
		}
	}
	return have
}

// clash records that two pages differ at the part at, first at its part rest.
// The kept page is never a transcribed one if the other is vendored, because
// vendored pages come first.
func (m *merger) clash(at, rest string, kept, other *Page) {
	if kept.Vendored() && !other.Vendored() {
		m.notes = append(m.notes, Note{at, at + rest, kept.Name, other.Name})
		return
	}
	m.errs = append(m.errs, fmt.Errorf("%s: %s and %s differ at %s", at, kept.Name, other.Name, at+rest))
}

// container reports whether the key of the mapping at is merged entry by
// entry; everything else is kept or dropped as a whole.
func container(at, key string) bool {
	switch at {
	case "":
		return key == "paths" || key == "components"
	case "/paths", "/components":
		return !strings.HasPrefix(key, "x-")
	}
	return false
}

// inherited reports whether the key of the container at changes the meaning of
// what stands beside it.
func inherited(at, key string) bool {
	if at == "" {
		return key == "servers" || key == "security"
	}
	return strings.HasPrefix(at, "/paths/") && (key == "servers" || key == "parameters" || key == "$ref")
}

// pointer returns the JSON pointer of a key or index of what stands at.
func pointer(at, key string) string {
	return at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// difference reports whether two nodes differ in anything but style, and the
// JSON pointer of the first difference.
func difference(a, b *yaml.Node) (at string, differ bool) {
	if a.Kind != b.Kind || a.ShortTag() != b.ShortTag() || a.Value != b.Value {
		return "", true
	}
	if a.Kind == yaml.SequenceNode {
		for i := range min(len(a.Content), len(b.Content)) {
			if rest, differ := difference(a.Content[i], b.Content[i]); differ {
				return fmt.Sprintf("/%d%s", i, rest), true
			}
		}
		return fmt.Sprintf("/%d", min(len(a.Content), len(b.Content))), len(a.Content) != len(b.Content)
	}
	others := maps.Collect(children(b))
	for key, child := range children(a) {
		other, ok := others[key]
		if !ok {
			return pointer("", key), true
		}
		if rest, differ := difference(child, other); differ {
			return pointer("", key) + rest, true
		}
		delete(others, key)
	}
	for key := range children(b) {
		if others[key] != nil {
			return pointer("", key), true
		}
	}
	return "", false
}

// encode returns the document as YAML under a heading that names the pages. It
// reads the result back, so that nothing the encoder cannot write is lost in
// silence.
func encode(pages []*Page, root *yaml.Node) ([]byte, error) {
	var buf bytes.Buffer
	buf.WriteString("# Code generated by internal/spec/specmerge from these pages; DO NOT EDIT.\n")
	for _, page := range pages {
		fmt.Fprintf(&buf, "#   %s (%s)\n", page.Name, page.kind())
	}
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(root), enc.Close()); err != nil {
		return nil, err
	}
	back, err := parse(block{text: buf.String()})
	if err != nil {
		return nil, fmt.Errorf("the merged document cannot be read back: %w", err)
	}
	if at, differ := difference(root, back); differ {
		return nil, fmt.Errorf("%s: the merged document reads back differently", at)
	}
	return buf.Bytes(), nil
}

// WriteFile makes data the content of the named file and reports whether that
// changed anything. The file has its old content or the new, never a part, and
// is not touched if it has the content already.
func WriteFile(name string, data []byte) (changed bool, err error) {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, data) {
		return false, nil
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return false, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(data)
	if err := errors.Join(err, f.Chmod(0o644), f.Close()); err != nil {
		return false, err
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return false, err
	}
	return true, nil
}
