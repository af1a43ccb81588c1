package spec

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	// What the generated code imports for a parameter with a style. No page has one, but the next may, and the module
	// should build after make generate; the modules that import it then want make tidy.
	_ "github.com/oapi-codegen/runtime"
	"go.yaml.in/yaml/v3"
)

const openapiFile = "../../openapi.yaml"

// TestOpenAPIIsCurrent checks that openapi.yaml is what the pages give.
func TestOpenAPIIsCurrent(t *testing.T) {
	pages, err := ReadPages(os.DirFS("pages"))
	if err != nil {
		t.Fatal(err)
	}
	want, _, err := Merge(pages)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(openapiFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("openapi.yaml is not what internal/spec/pages gives: run make generate")
	}
}

// publishedBlock finds the document of a page. It is simpler than ReadPage, and
// on purpose not the same code.
var publishedBlock = regexp.MustCompile("(?s)\n`{3,}yaml[^\n]*\n(.*?\n)`{3,}(?:\n|$)")

// TestOpenAPIEqualsPages compares openapi.yaml with the pages node by node:
// what a vendored page says stands there at the same place, with the same
// value and tag, and nothing stands there that no page says.
func TestOpenAPIEqualsPages(t *testing.T) {
	data, err := os.ReadFile(openapiFile)
	if err != nil {
		t.Fatal(err)
	}
	merged := flatten(t, data)
	said := make(map[string]bool)

	names, err := filepath.Glob("pages/*")
	if err != nil || len(names) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		vendored := filepath.Ext(name) == ".md"
		if vendored {
			blocks := publishedBlock.FindAllSubmatch(data, -1)
			if len(blocks) != 1 {
				t.Fatalf("%s: %d documents", name, len(blocks))
			}
			data = blocks[0][1]
		}
		nodes := flatten(t, data)
		for at, node := range nodes {
			if vendored && merged[at] != node {
				t.Errorf("%s: %s is %s, in openapi.yaml %s", name, at, node, merged[at])
			}
			said[at+" "+node] = true
		}
	}
	for at, node := range merged {
		if !said[at+" "+node] {
			t.Errorf("openapi.yaml: %s is %s, which no page says", at, node)
		}
	}
}

// flatten returns the nodes of a document by JSON pointer: a scalar with tag
// and value, anything else with its tag.
func flatten(t *testing.T, data []byte) map[string]string {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		t.Fatal(err)
	}
	nodes := make(map[string]string)
	var walk func(at string, n *yaml.Node)
	walk = func(at string, n *yaml.Node) {
		nodes[at] = n.ShortTag()
		switch n.Kind {
		case yaml.ScalarNode:
			nodes[at] = fmt.Sprintf("%s %q", n.ShortTag(), n.Value)
		case yaml.SequenceNode:
			for i, item := range n.Content {
				walk(fmt.Sprintf("%s/%d", at, i), item)
			}
		case yaml.MappingNode:
			for i := 0; i < len(n.Content); i += 2 {
				key := strings.ReplaceAll(strings.ReplaceAll(n.Content[i].Value, "~", "~0"), "/", "~1")
				walk(at+"/"+key, n.Content[i+1])
			}
		default:
			t.Fatalf("%s: a node of kind %d", at, n.Kind)
		}
	}
	walk("", doc.Content[0])
	return nodes
}
