package spec

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// methods are the keys of a path that hold an operation.
var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

// Operations lists what the page describes, as "POST /v1/agents", in the order of the page.
func (p *Page) Operations() []string {
	var operations []string
	for at, item := range children(lookup(p.Doc, "paths")) {
		for method := range children(item) {
			if slices.Contains(methods, method) {
				operations = append(operations, strings.ToUpper(method)+" "+at)
			}
		}
	}
	return operations
}

// IsPage reports whether the file is a page, by its extension or by the mark of a transcribed page. What is none
// may be a whole document.
func IsPage(name string, data []byte) bool {
	switch path.Ext(name) {
	case ".md":
		return true
	case ".yaml", ".yml":
		doc, err := parse(block{text: string(data)})
		return err == nil && lookup(doc, transcribedKey) != nil
	}
	return false
}

// ReadDocument reads a whole OpenAPI document, with any number of operations, in YAML or JSON. It is not a page: cut
// pages out of it with Cut. An error names the document and, for YAML, the line in it.
func ReadDocument(name string, data []byte) (*Page, error) {
	doc, err := readDocument(name, data)
	if err != nil && path.Ext(name) == ".json" {
		return nil, fmt.Errorf("%s: %s", name, lineOfYAML.ReplaceAllString(err.Error(), ""))
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return doc, nil
}

// lineOfYAML matches the line in an error, which is not one of the JSON document.
var lineOfYAML = regexp.MustCompile(`^line \d+: `)

func readDocument(name string, data []byte) (*Page, error) {
	if len(data) > MaxPage {
		return nil, fmt.Errorf("larger than %d bytes", MaxPage)
	}
	if !utf8.Valid(data) {
		return nil, errNotUTF8
	}
	text := string(bytes.TrimPrefix(data, []byte("\ufeff")))
	switch path.Ext(name) {
	case ".yaml", ".yml":
		text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text)
	case ".json":
		converted, err := jsonToYAML(text)
		if err != nil {
			return nil, err
		}
		text = converted
	default:
		return nil, errors.New("neither a page (.md) nor an OpenAPI document (.yaml, .yml, .json)")
	}
	root, err := parse(block{text: text})
	if err != nil {
		return nil, err
	}
	return &Page{Name: name, Doc: root}, checkDocument(root)
}

// jsonToYAML writes a JSON document as YAML, with its keys in their order. What YAML alone could take for JSON, such
// as tabs and escaped surrogates, differs between the two.
func jsonToYAML(text string) (string, error) {
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	root, err := jsonNode(dec, 0)
	if err != nil {
		return "", fmt.Errorf("broken JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return "", errors.New("broken JSON: more than one value")
	}
	var buf strings.Builder
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	err = errors.Join(enc.Encode(root), enc.Close())
	return buf.String(), err
}

// jsonNode reads the next JSON value.
func jsonNode(dec *json.Decoder, depth int) (*yaml.Node, error) {
	token, err := dec.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	n := &yaml.Node{Kind: yaml.ScalarNode}
	switch value := token.(type) {
	case json.Delim:
		n.Kind = yaml.MappingNode
		if value == '[' {
			n.Kind = yaml.SequenceNode
		}
		for dec.More() {
			if n.Kind == yaml.MappingNode {
				key, err := jsonNode(dec, depth+1)
				if err != nil {
					return nil, err
				}
				n.Content = append(n.Content, key)
			}
			child, err := jsonNode(dec, depth+1)
			if err != nil {
				return nil, err
			}
			n.Content = append(n.Content, child)
		}
		_, err = dec.Token()
		return n, err
	case json.Number:
		n.Value = value.String()
		n.Tag = "!!int"
		if strings.ContainsAny(n.Value, ".eE") {
			n.Tag = "!!float"
		}
	case nil:
		n.Tag, n.Value = "!!null", "null"
	default:
		err = n.Encode(value)
	}
	return n, err
}

// Cut returns a page with one operation of p, given as "POST /v1/agents", and with everything that it refers to: the
// form in which the API is published. The page shares nodes with p.
func (p *Page) Cut(operation string) (*Page, error) {
	method, at, _ := strings.Cut(operation, " ")
	method = strings.ToLower(method)
	item := lookup(lookup(p.Doc, "paths"), at)
	if !slices.Contains(methods, method) || lookup(item, method) == nil {
		return nil, fmt.Errorf("%s: no operation %s", p.Name, operation)
	}

	cut := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for key, value := range children(item) {
		if key == method || !slices.Contains(methods, key) {
			add(cut, key, value)
		}
	}
	doc := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for key, value := range children(p.Doc) {
		switch key {
		case "components", "tags", "webhooks", transcribedKey:
		case "paths":
			paths := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
			add(paths, at, cut)
			add(doc, key, paths)
		default:
			add(doc, key, value)
		}
	}

	// What is referred to, until nothing new is.
	wanted := map[string]bool{}
	for grown := []*yaml.Node{doc}; len(grown) > 0; {
		next := grown[0]
		grown = grown[1:]
		references(next, func(section, name string) {
			if target := lookup(lookup(lookup(p.Doc, "components"), section), name); target != nil && !wanted[section+"/"+name] {
				wanted[section+"/"+name] = true
				grown = append(grown, target)
			}
		})
	}
	components := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for section, named := range children(lookup(p.Doc, "components")) {
		kept := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
		for name, component := range children(named) {
			if wanted[section+"/"+name] {
				add(kept, name, component)
			}
		}
		if len(kept.Content) > 0 {
			add(components, section, kept)
		}
	}
	if len(components.Content) > 0 {
		add(doc, "components", components)
	}
	return &Page{Name: p.Name, Source: p.Source, Doc: doc}, nil
}

// add appends a key to a mapping.
func add(mapping *yaml.Node, key string, value *yaml.Node) {
	mapping.Content = append(mapping.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, value)
}

// references calls visit for every component that something below n refers to: by $ref, as the target of a
// discriminator, or as a security scheme.
func references(n *yaml.Node, visit func(section, name string)) {
	for key, child := range children(n) {
		switch {
		case child.Kind == yaml.ScalarNode:
			if rest, ok := strings.CutPrefix(child.Value, "#/components/"); ok {
				section, name, _ := strings.Cut(rest, "/")
				name, _, _ = strings.Cut(name, "/")
				visit(section, strings.NewReplacer("~1", "/", "~0", "~").Replace(name))
			}
		case key == "security" && child.Kind == yaml.SequenceNode:
			for _, requirement := range child.Content {
				for scheme := range children(requirement) {
					visit("securitySchemes", scheme)
				}
			}
		}
		references(child, visit)
	}
}

// Equal reports whether two pages say the same about the API: style and the order of keys make no difference, nor
// what stands outside of the OpenAPI document.
func (p *Page) Equal(other *Page) bool {
	_, differ := difference(p.Doc, other.Doc)
	return !differ
}

// Markdown returns the page in the form in which the API is published, under a header that says where it comes from.
func (p *Page) Markdown(title string, header map[string]string) ([]byte, error) {
	var doc, front bytes.Buffer
	enc := yaml.NewEncoder(&doc)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(p.Doc), enc.Close()); err != nil {
		return nil, err
	}
	if err := yaml.NewEncoder(&front).Encode(header); err != nil {
		return nil, err
	}
	fence := "````"
	for strings.Contains(doc.String(), fence) {
		fence += "`"
	}
	text := fmt.Sprintf("---\n%s---\n\n# %s\n\n## OpenAPI\n\n%syaml %s\n%s%s\n",
		front.String(), title, fence, strings.Join(p.Operations(), ", "), doc.String(), fence)
	back, err := ReadPage("cut.md", []byte(text))
	if err != nil || !back.Equal(p) {
		return nil, cmp.Or(err, fmt.Errorf("%s: the page reads back differently", p.Name))
	}
	return []byte(text), nil
}

// A Difference is one place at which two documents differ.
type Difference struct {
	// At is the JSON pointer of the place.
	At string

	// Old and New are the values there, shortened; one of them is empty where
	// the place is in one document only.
	Old, New string

	// Text reports whether it is only text for people, such as a description.
	Text bool
}

// String returns the difference as one line for a report.
func (d Difference) String() string {
	switch {
	case d.Old == "":
		return d.At + ": added " + d.New
	case d.New == "":
		return d.At + ": removed " + d.Old
	}
	return fmt.Sprintf("%s: %s became %s", d.At, d.Old, d.New)
}

// Differences lists every place at which two OpenAPI documents in YAML differ, in the order of the old one; what is
// only in one of them counts as one place, whatever stands below it.
func Differences(old, changed []byte) ([]Difference, error) {
	a, errA := parse(block{text: string(old)})
	b, errB := parse(block{text: string(changed)})
	if err := errors.Join(errA, errB); err != nil {
		return nil, err
	}
	var list []Difference
	differences(a, b, "", inObject, &list)
	return list, nil
}

// The part of a document that differences is in decides what its keys are.
const (
	inObject = iota // keys are words of OpenAPI
	inNames         // keys are names that the API gives
	inText          // everything is for people
)

// textKeys hold text for people; nameKeys hold objects under names.
var (
	textKeys = []string{
		"description", "summary", "title", "example", "examples", "externalDocs", "tags", "info", "termsOfService",
	}
	nameKeys = []string{
		"paths", "properties", "patternProperties", "responses", "content", "headers", "encoding", "schemas",
		"parameters", "requestBodies", "securitySchemes", "links", "callbacks", "mapping", "variables",
	}
)

// below returns what the keys are of what stands under a key.
func below(in int, key string) int {
	switch {
	case in == inText, in == inObject && slices.Contains(textKeys, key):
		return inText
	case in == inObject && slices.Contains(nameKeys, key):
		return inNames
	}
	return inObject
}

func differences(a, b *yaml.Node, at string, in int, list *[]Difference) {
	if _, differ := difference(a, b); !differ {
		return
	}
	report := func(at string, in int, a, b *yaml.Node) {
		from := 0
		if a != nil && b != nil && a.Kind == yaml.ScalarNode && b.Kind == yaml.ScalarNode {
			from = commonPrefix(a.Value, b.Value)
		}
		*list = append(*list, Difference{At: at, Old: short(a, from), New: short(b, from), Text: in == inText})
	}
	switch {
	case a.Kind != b.Kind || a.Kind == yaml.ScalarNode:
		report(at, in, a, b)
	case a.Kind == yaml.SequenceNode:
		in = below(in, "")
		for i := range max(len(a.Content), len(b.Content)) {
			here := fmt.Sprintf("%s/%d", at, i)
			switch {
			case i >= len(a.Content):
				report(here, in, nil, b.Content[i])
			case i >= len(b.Content):
				report(here, in, a.Content[i], nil)
			default:
				differences(a.Content[i], b.Content[i], here, in, list)
			}
		}
	default:
		for key, child := range children(a) {
			if other := lookup(b, key); other != nil {
				differences(child, other, pointer(at, key), below(in, key), list)
			} else {
				report(pointer(at, key), below(in, key), child, nil)
			}
		}
		for key, child := range children(b) {
			if lookup(a, key) == nil {
				report(pointer(at, key), below(in, key), nil, child)
			}
		}
	}
}

// commonPrefix returns how many characters two texts begin with that are the same.
func commonPrefix(a, b string) int {
	x, y := []rune(a), []rune(b)
	n := 0
	for n < min(len(x), len(y)) && x[n] == y[n] {
		n++
	}
	return n
}

// short returns a node in one short line. Of a long text it shows what stands around the character with the number from.
func short(n *yaml.Node, from int) string {
	const most = 80
	switch {
	case n == nil:
		return ""
	case n.Kind == yaml.MappingNode:
		var keys []string
		for key := range children(n) {
			keys = append(keys, key)
		}
		return fmt.Sprintf("{%.*s}", most, strings.Join(keys, ", "))
	case n.Kind == yaml.SequenceNode:
		return fmt.Sprintf("a list of %d", len(n.Content))
	}
	text := []rune(n.Value)
	if len(text) <= most {
		return strconv.Quote(n.Value)
	}
	start := min(max(0, from-most/4), len(text)-most)
	piece := string(text[start : start+most])
	if start > 0 {
		piece = "…" + piece
	}
	if start+most < len(text) {
		piece += "…"
	}
	return strconv.Quote(piece)
}
