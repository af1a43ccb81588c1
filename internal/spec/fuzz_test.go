package spec

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

// FuzzMerge reads and merges two Markdown pages and a YAML page. Whatever they
// say, nothing panics, the result is bounded by the input, and a document that
// comes out is complete, deterministic, and a page that merges to itself.
func FuzzMerge(f *testing.F) {
	published, err := os.ReadFile("pages/get-async-result.md")
	if err != nil {
		f.Fatal(err)
	}
	marked := "x-transcribed: facts\n" + minimal
	f.Add(string(published), fenced(minimal), marked)
	f.Add(fenced(minimal), fenced(minimal), marked)
	f.Add(fenced(minimal+"security: []\n"), fenced(minimal), marked+"components: {schemas: {A: {}}}\n")
	f.Add("~~~yml\r\n"+minimal+"~~~", "```yaml\n[", "x-transcribed: |\n  a\n"+minimal+"x: >-\n  a\n   b\n\n  c\n")
	f.Add(fenced(minimal+bomb()), fenced(minimal+"? [a]\n: 1\n"), marked+"x: !!str 1\n")
	f.Add(fenced(minimal+"x: {<<: {a: 1}, 'b': \"\\n\\t\", c: |2\n   d\n}"), "```yaml\n```", marked+"# c\nx: # d\n  - e # f\n\n# g\n")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		var pages []*Page
		for name, text := range map[string]string{"a.md": a, "b.md": b, "c.yaml": c} {
			page, err := ReadPage(name, []byte(text))
			if err == nil {
				pages = append(pages, page)
			} else if !strings.HasPrefix(err.Error(), name+": ") {
				t.Errorf("an error that does not name the page: %v", err)
			}
		}
		doc, _, err := Merge(pages)
		if err != nil {
			if strings.Contains(err.Error(), "read") {
				t.Errorf("not every document can be written: %v", err)
			}
			return
		}
		// A line can be indented by two spaces for each level.
		if limit := (2*maxDepth + 10) * (len(a) + len(b) + len(c)); len(doc) > limit {
			t.Errorf("%d bytes, from %d", len(doc), len(a)+len(b)+len(c))
		}
		again, _, err := Merge(pages)
		if err != nil || !bytes.Equal(again, doc) {
			t.Errorf("merging again: %v, got\n%s\nwant\n%s", err, again, doc)
		}
		merged, err := ReadPage("c.yaml", append([]byte("x-transcribed: facts\n"), doc...))
		if err != nil {
			t.Fatalf("%v in\n%s", err, doc)
		}
		twice, _, err := Merge([]*Page{merged})
		if err != nil || body(twice) != body(doc) {
			t.Errorf("merging the result: %v, got\n%s\nwant\n%s", err, twice, doc)
		}
	})
}
