package spec

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxPage is the largest page, in bytes, that is read. The published ones are
// a few kilobytes; the bound keeps a wrong download from filling the memory.
const MaxPage = 4 << 20

const (
	// maxDepth bounds the nesting of a page, because everything that walks
	// a description does so recursively.
	maxDepth = 100

	// transcribedKey marks a page that was written by the project.
	transcribedKey = "x-transcribed"
)

// A Page is one file with one OpenAPI document: a vendored page, kept exactly
// as Z.AI published it, or a transcribed one, written by the project from
// facts for an operation whose page is not vendored yet.
type Page struct {
	// Name is the name of the file, without its folder.
	Name string

	// Source says where the facts of a transcribed page come from. It is
	// empty for a vendored page.
	Source string

	// URL is the address that the header of a vendored page gives, if any.
	URL string

	// Doc is the document's top-level mapping, without comments and without
	// the mark of a transcribed page. Its lines are lines of the file.
	Doc *yaml.Node
}

// Vendored reports whether the page is a published one.
func (p *Page) Vendored() bool { return p.Source == "" }

func (p *Page) kind() string {
	if p.Vendored() {
		return "vendored"
	}
	return "transcribed"
}

// ReadPages reads every page of the folder fsys, vendored ones first. Files
// whose name begins with a dot are passed over; any other file that is not a
// page is an error, so that no page is missed because of its name. The error
// names every file that was refused.
func ReadPages(fsys fs.FS) ([]*Page, error) {
	files, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	var pages []*Page
	var errs []error
	for _, file := range files {
		if strings.HasPrefix(file.Name(), ".") {
			continue
		}
		page, err := readFile(fsys, file.Name())
		pages, errs = append(pages, page), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	slices.SortFunc(pages, inOrder)
	return pages, nil
}

// readFile reads one page, and not more of the file than shows that it is too
// large.
func readFile(fsys fs.FS, name string) (*Page, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // Nothing was written.
	data, err := io.ReadAll(io.LimitReader(f, MaxPage+1))
	if err != nil {
		return nil, err
	}
	return ReadPage(name, data)
}

// ReadPage reads one page. The extension of name says of which kind it is: .md
// is a vendored page, Markdown that holds the document in a fenced yaml block;
// .yaml or .yml is a transcribed page, the document itself with a top-level
// key x-transcribed that says where its facts come from. An error names the
// page and, where there is one, the line in it.
func ReadPage(name string, data []byte) (*Page, error) {
	page, err := readPage(name, data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return page, nil
}

var errNotUTF8 = errors.New("not UTF-8")

func readPage(name string, data []byte) (*Page, error) {
	if len(data) > MaxPage {
		return nil, fmt.Errorf("larger than %d bytes", MaxPage)
	}
	if !utf8.Valid(data) {
		return nil, errNotUTF8
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	text := strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(string(data))

	page := &Page{Name: name}
	var err error
	switch path.Ext(name) {
	case ".md":
		page.URL = readHeader(data).URL
		page.Doc, err = findDocument(text)
	case ".yaml", ".yml":
		page.Doc, err = parse(block{text: text})
	default:
		err = errors.New("not a page: want .md, .yaml or .yml")
	}
	if err != nil {
		return nil, err
	}
	if err := checkDocument(page.Doc); err != nil {
		return nil, err
	}

	mark := lookup(page.Doc, transcribedKey)
	switch vendored := path.Ext(name) == ".md"; {
	case vendored && mark != nil:
		return nil, failure(mark, "%s in a Markdown page: only a YAML page is transcribed", transcribedKey)
	case !vendored && mark == nil:
		return nil, fmt.Errorf("no %s key: a YAML page says where its facts come from", transcribedKey)
	case !vendored:
		page.Source = strings.TrimSpace(mark.Value)
		if mark.ShortTag() != "!!str" || page.Source == "" {
			return nil, failure(mark, "%s must be text that says where the facts come from", transcribedKey)
		}
		i := slices.Index(page.Doc.Content, mark)
		page.Doc.Content = slices.Delete(page.Doc.Content, i-1, i+1)
	}
	return page, nil
}

// A block is a piece of YAML in a page, and the number of lines above it.
type block struct {
	text  string
	above int
}

// findDocument returns the one OpenAPI document of a Markdown page. Blocks of
// YAML that are something else, such as examples, may stand beside it.
func findDocument(text string) (*yaml.Node, error) {
	blocks, err := fencedYAML(text)
	if err != nil {
		return nil, err
	}
	if len(blocks) == 0 {
		return nil, errors.New("no fenced yaml block")
	}
	var found, other *yaml.Node
	for _, b := range blocks {
		doc, err := parse(b)
		switch {
		case err != nil:
			return nil, err
		case lookup(doc, "openapi") == nil:
			other = doc
		case found != nil:
			return nil, failure(doc, "a second OpenAPI document; the first is on line %d", found.Line)
		default:
			found = doc
		}
	}
	if found == nil {
		return other, nil // checkDocument says what is wrong with it.
	}
	return found, nil
}

// fence matches a line that opens or closes a fenced block: the indentation,
// the fence, the info string. A line with four spaces or more is indented code.
var fence = regexp.MustCompile("^( {0,3})(`{3,}|~{3,})[ \t]*(.*?)[ \t]*$")

// yamlInfo matches the info string of a block of YAML, which may say more.
var yamlInfo = regexp.MustCompile("^(?i:ya?ml)([ \t]|$)")

// fencedYAML returns the fenced blocks of YAML by the rules of CommonMark,
// except that it does not look into block quotes and list items, and that an
// unclosed block is an error, because half a page looks the same.
func fencedYAML(text string) ([]block, error) {
	var blocks []block
	var open []string // The match of the open fence, or nil.
	var start int     // The line after the open fence, counted from zero.
	var body strings.Builder
	for i, line := range strings.Split(text, "\n") {
		m := fence.FindStringSubmatch(line)
		switch {
		case open == nil:
			if m != nil && (m[2][0] == '~' || !strings.Contains(m[3], "`")) {
				open, start = m, i+1
				body.Reset()
			}
		case m != nil && m[3] == "" && m[2][0] == open[2][0] && len(m[2]) >= len(open[2]):
			if yamlInfo.MatchString(open[3]) {
				blocks = append(blocks, block{body.String(), start})
			}
			open = nil
		default:
			indent := len(line) - len(strings.TrimLeft(line, " "))
			body.WriteString(line[min(indent, len(open[1])):])
			body.WriteByte('\n')
		}
	}
	if open != nil {
		return nil, fmt.Errorf("line %d: the fenced block is not closed", start)
	}
	return blocks, nil
}

// parse returns the one YAML document of a block, without comments and with
// the lines of the page. It refuses what check refuses.
func parse(b block) (*yaml.Node, error) {
	r := &lineReader{b.text, b.above}
	dec := yaml.NewDecoder(r)
	var doc, next yaml.Node
	if err := dec.Decode(&doc); errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("line %d: the YAML document is empty", b.above+1)
	} else if err != nil {
		return nil, broken(err, r.line)
	}
	if err := dec.Decode(&next); err == nil {
		return nil, fmt.Errorf("line %d: a second YAML document in one block", next.Line+b.above)
	} else if !errors.Is(err, io.EOF) {
		return nil, broken(err, r.line)
	}
	root := doc.Content[0]
	return root, check(root, b.above, 0)
}

// A lineReader hands out one line at a time and counts them, because the YAML
// parser names the line on which the broken mapping or list began, which may
// be the first of the page.
type lineReader struct {
	rest string
	line int
}

func (r *lineReader) Read(p []byte) (int, error) {
	if r.rest == "" {
		return 0, io.EOF
	}
	n := strings.IndexByte(r.rest, '\n') + 1
	if n == 0 || n > len(p) {
		n = min(len(r.rest), len(p))
	}
	copy(p, r.rest[:n])
	if r.rest[n-1] == '\n' {
		r.line++
	}
	r.rest = r.rest[n:]
	return n, nil
}

var yamlPrefix = regexp.MustCompile(`^yaml: (line \d+: )?`)

// broken reports an error of the YAML parser, which had read up to line.
func broken(err error, line int) error {
	return fmt.Errorf("line %d or just above: broken YAML: %s", line, yamlPrefix.ReplaceAllString(err.Error(), ""))
}

// check refuses YAML that could mean one thing to a reviewer and another to a
// program, or grow when it is expanded: duplicate keys, keys that are not
// plain names, aliases, merge keys, explicit tags. A description needs none of
// them. It also drops comments and turns the lines into lines of the page.
func check(n *yaml.Node, above, depth int) error {
	n.Line += above
	n.HeadComment, n.LineComment, n.FootComment = "", "", ""
	switch {
	case depth > maxDepth:
		return failure(n, "nested deeper than %d levels", maxDepth)
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		return failure(n, "YAML anchors and aliases are not supported")
	case n.Style&yaml.TaggedStyle != 0:
		return failure(n, "explicit YAML tags are not supported")
	}
	n.Style = writable(n.Style, n.Value)
	var first map[string]int // The line of each key.
	if n.Kind == yaml.MappingNode {
		first = make(map[string]int)
	}
	for i, child := range n.Content {
		if err := check(child, above, depth+1); err != nil {
			return err
		}
		if first == nil {
			continue
		}
		if i%2 == 1 {
			if n.Style&yaml.FlowStyle != 0 && child.ShortTag() == "!!null" && child.Value == "" {
				return failure(child, "a key without a value in braces")
			}
			continue
		}
		if child.Kind != yaml.ScalarNode || child.ShortTag() != "!!str" && !decimal(child.Value) {
			return failure(child, "a key that is not a plain name: %.40q", child.Value)
		}
		if line, ok := first[child.Value]; ok {
			return failure(child, "duplicate key %.40q; the first is on line %d", child.Value, line)
		}
		first[child.Value] = child.Line
	}
	return nil
}

// unfoldable matches text in which the encoder loses line breaks when it folds.
var unfoldable = regexp.MustCompile("\n[ \t\u2028\u2029]|\n\n$")

// writable returns the style of a scalar, or another if the encoder cannot
// write the value in it. It also takes a leading tab for indentation.
func writable(style yaml.Style, value string) yaml.Style {
	if style&yaml.FoldedStyle != 0 && unfoldable.MatchString(value) {
		style = yaml.LiteralStyle
	}
	if style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0 && strings.HasPrefix(value, "\t") {
		style = yaml.DoubleQuotedStyle
	}
	return style
}

// decimal reports whether an unquoted key reads the same as a name, as that of
// a response does: 200, but not 0x200 or true.
func decimal(key string) bool {
	n, err := strconv.Atoi(key)
	return err == nil && strconv.Itoa(n) == key
}

// checkDocument checks that doc has the form that Merge relies on.
func checkDocument(doc *yaml.Node) error {
	if err := checkContainers("", doc); err != nil {
		return err
	}
	if lookup(doc, "openapi") == nil {
		return failure(doc, "no openapi key: not an OpenAPI document")
	}
	if paths := lookup(doc, "paths"); paths == nil || len(paths.Content) == 0 {
		return failure(doc, "no paths: the page describes no operation")
	}
	return nil
}

func checkContainers(at string, n *yaml.Node) error {
	if n.Kind != yaml.MappingNode {
		return failure(n, "%s is not a mapping", cmp.Or(at, "the document"))
	}
	for key, value := range children(n) {
		if container(at, key) {
			if err := checkContainers(pointer(at, key), value); err != nil {
				return err
			}
		}
	}
	return nil
}

// failure is an error about one node of a page.
func failure(n *yaml.Node, format string, args ...any) error {
	return fmt.Errorf("line %d: %s", n.Line, fmt.Sprintf(format, args...))
}

// children ranges over what a mapping or a sequence holds, by key or index.
func children(n *yaml.Node) iter.Seq2[string, *yaml.Node] {
	return func(yield func(string, *yaml.Node) bool) {
		if n == nil {
			return
		}
		for i, child := range n.Content {
			key := strconv.Itoa(i)
			if n.Kind == yaml.MappingNode {
				if i%2 == 0 {
					continue
				}
				key = n.Content[i-1].Value
			}
			if !yield(key, child) {
				return
			}
		}
	}
}

// lookup returns the value of a key of a mapping, or nil.
func lookup(n *yaml.Node, name string) *yaml.Node {
	if n == nil {
		return nil
	}
	for key, value := range children(n) {
		if n.Kind == yaml.MappingNode && key == name {
			return value
		}
	}
	return nil
}
