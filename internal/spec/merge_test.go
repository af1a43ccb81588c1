package spec

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// files are the texts of pages by name: the document alone, which readAll puts
// into a Markdown page or marks as transcribed.
type files map[string]string

func readAll(t *testing.T, files files) []*Page {
	t.Helper()
	pages := make([]*Page, 0, len(files))
	for name, doc := range files { // In any order: Merge sorts.
		text := fenced(doc)
		if filepath.Ext(name) != ".md" {
			text = "x-transcribed: facts\n" + doc
		}
		page, err := ReadPage(name, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, page)
	}
	return pages
}

func TestMerge(t *testing.T) {
	tests := []struct {
		name  string
		files files
		want  string   // The document below its heading.
		notes []string // Parts of the notes.
		errs  []string // Parts of the error; with them there is no document.
	}{
		{
			name:  "one page",
			files: files{"a.md": "openapi: 3.0.1\npaths:\n  /a:\n    post: {x: [1, 'b']} # c\n"},
			want:  "openapi: 3.0.1\npaths:\n  /a:\n    post: {x: [1, 'b']}\n",
		},
		{
			name: "vendored first, each kind by name, in the order of appearance",
			files: files{
				"a.yaml": "openapi: 3.0.1\nx-t: 1\npaths:\n  /t: {post: {}}\n",
				"b.md":   "openapi: 3.0.1\npaths:\n  /b: {post: {}}\ntags: []\ncomponents:\n  schemas: {Z: {}, B: {}}\n",
				"c.md":   "paths:\n  /c: {post: {}}\ncomponents:\n  parameters: {P: {}}\n  schemas: {C: {}, Z: {}}\nopenapi: 3.0.1\n",
				"b.yml":  "openapi: 3.0.1\npaths:\n  /s: {post: {}}\n",
			},
			want: `openapi: 3.0.1
paths:
  /b:
    post: {}
  /c:
    post: {}
  /t:
    post: {}
  /s:
    post: {}
tags: []
components:
  schemas:
    Z: {}
    B: {}
    C: {}
  parameters:
    P: {}
x-t: 1
`,
		},
		{
			name: "two operations of one path",
			files: files{
				"a.md": "openapi: 3.0.1\npaths:\n  /a:\n    summary: s\n    post: {a: 1}\n",
				"b.md": "openapi: 3.0.1\npaths:\n  /a:\n    get: {b: 1}\n    summary: s\n",
			},
			want: "openapi: 3.0.1\npaths:\n  /a:\n    summary: s\n    post: {a: 1}\n    get: {b: 1}\n",
		},
		{
			name: "same content in another form",
			files: files{
				"a.md": "openapi: 3.0.1\npaths: {/a: {}}\ncomponents:\n  schemas:\n    S:\n      type: object\n      enum: [a, b]\n      '200': 1\n      description: >-\n        a\n        b\n",
				"b.md": "openapi: '3.0.1'\npaths: {/a: {}}\ncomponents:\n  schemas:\n    # Another comment.\n    S: {description: \"a b\", 200: 1, enum: ['a', \"b\"], type: object}\n",
			},
			want: "openapi: 3.0.1\npaths:\n  /a: {}\ncomponents:\n  schemas:\n    S:\n      type: object\n      enum: [a, b]\n      '200': 1\n      description: >-\n        a b\n",
		},
		{
			name: "extensions beside containers are parts",
			files: files{
				"a.md": "openapi: 3.0.1\npaths:\n  x-p: [1]\n  /a: {}\ncomponents:\n  x-c: 1\n",
				"b.md": "openapi: 3.0.1\npaths:\n  x-p: [1]\n  /b: {}\ncomponents:\n  x-c: 1\n  x-d: 2\n",
			},
			want: "openapi: 3.0.1\npaths:\n  x-p: [1]\n  /a: {}\n  /b: {}\ncomponents:\n  x-c: 1\n  x-d: 2\n",
		},
		{
			name: "a vendored page overrules",
			files: files{
				"a.yaml": "openapi: 3.0.1\ninfo: {title: t, version: 1}\npaths:\n  /a:\n    post: {b: 1}\n  /b:\n    post: {c: 1}\ncomponents:\n  schemas:\n    S: {type: object, properties: {a/b: {enum: [x, y]}}}\n    T: {}\n",
				"z.md":   "openapi: 3.0.1\ninfo: {title: v, version: 1}\npaths:\n  /a:\n    post: {a: 1}\ncomponents:\n  schemas:\n    S: {type: object, properties: {a/b: {enum: [x, z]}}}\n",
			},
			want: "openapi: 3.0.1\ninfo: {title: v, version: 1}\npaths:\n  /a:\n    post: {a: 1}\n  /b:\n    post: {c: 1}\ncomponents:\n  schemas:\n    S: {type: object, properties: {a/b: {enum: [x, z]}}}\n    T: {}\n",
			notes: []string{
				"/info: kept what z.md (vendored) says, not a.yaml (transcribed): they differ at /info/title",
				"/paths/~1a/post: kept what z.md (vendored) says, not a.yaml (transcribed): they differ at /paths/~1a/post/a",
				"/components/schemas/S: kept what z.md (vendored) says, not a.yaml (transcribed): they differ at /components/schemas/S/properties/a~1b/enum/1",
			},
		},
		{
			name: "a vendored page overrules several",
			files: files{
				"a.yaml": "openapi: 3.0.1\npaths: {/a: {post: 1}}\n",
				"b.yaml": "openapi: 3.0.1\npaths: {/a: {post: 2}}\n",
				"c.md":   "openapi: 3.0.1\npaths: {/a: {post: 3}}\n",
			},
			want:  "openapi: 3.0.1\npaths:\n  /a:\n    post: 3\n",
			notes: []string{"not a.yaml", "not b.yaml"},
		},
		{
			name: "vendored pages differ",
			files: files{
				"a.md":   "openapi: 3.0.1\npaths: {/a: {post: {}}}\ncomponents: {schemas: {S: {type: object}, T: {a: 1}}}\n",
				"b.md":   "openapi: 3.0.1\npaths: {/b: {post: {}}}\ncomponents: {schemas: {S: {type: string}, T: {a: 1, b: 1}}}\n",
				"c.yaml": "openapi: 3.0.1\npaths: {/c: {post: {}}}\n",
			},
			errs: []string{
				"/components/schemas/S: a.md and b.md differ at /components/schemas/S/type",
				"/components/schemas/T: a.md and b.md differ at /components/schemas/T/b",
			},
		},
		{
			name: "transcribed pages differ",
			files: files{
				"a.yaml": "openapi: 3.0.1\npaths: {/a: {post: {x: [1]}}}\n",
				"b.yml":  "openapi: 3.0.1\npaths: {/a: {post: {x: [1, 2]}}}\n",
				"c.md":   "openapi: 3.0.1\npaths: {/c: {post: {}}}\n",
			},
			errs: []string{"/paths/~1a/post: a.yaml and b.yml differ at /paths/~1a/post/x/1"},
		},
		{
			name: "a tag is content",
			files: files{
				"a.md": "openapi: 3.0.1\npaths: {/a: {post: {x: 1}}}\n",
				"b.md": "openapi: 3.0.1\npaths: {/a: {post: {x: '1'}}}\n",
			},
			errs: []string{"a.md and b.md differ at /paths/~1a/post/x"},
		},
		{
			name: "the order of a list is content",
			files: files{
				"a.md": "openapi: 3.0.1\npaths: {/a: {}}\ntags: [a, b]\n",
				"b.md": "openapi: 3.0.1\npaths: {/b: {}}\ntags: [b, a]\n",
			},
			errs: []string{"/tags: a.md and b.md differ at /tags/0"},
		},
		{
			name: "a list is no mapping",
			files: files{
				"a.md": "openapi: 3.0.1\npaths: {/a: {}}\nx-a: [1]\n",
				"b.md": "openapi: 3.0.1\npaths: {/b: {}}\nx-a: {0: 1}\n",
			},
			errs: []string{"/x-a: a.md and b.md differ at /x-a"},
		},
		{
			name: "another version",
			files: files{
				"a.md": "openapi: 3.0.1\npaths: {/a: {}}\n",
				"b.md": "openapi: 3.1.0\npaths: {/b: {}}\n",
			},
			errs: []string{"/openapi: a.md and b.md differ"},
		},
		{
			name: "inherited keys that the second page lacks",
			files: files{
				"a.md": "openapi: 3.0.1\nservers: [{url: /a}]\nsecurity: []\npaths: {/a: {parameters: [], servers: [], post: {}}}\n",
				"b.md": "openapi: 3.0.1\npaths: {/a: {get: {}}}\n",
			},
			errs: []string{
				"/servers: a.md and b.md differ", "/security: a.md and b.md differ",
				"/paths/~1a/parameters: a.md and b.md differ", "/paths/~1a/servers: a.md and b.md differ",
			},
		},
		{
			name: "inherited keys that the first page lacks",
			files: files{
				"a.md": "openapi: 3.0.1\npaths: {/a: {get: {}}}\n",
				"b.md": "openapi: 3.0.1\nservers: [{url: /a}]\nsecurity: []\npaths: {/a: {$ref: x, post: {}}}\n",
			},
			errs: []string{
				"/servers: a.md and b.md differ", "/security: a.md and b.md differ", "/paths/~1a/$ref: a.md and b.md differ",
			},
		},
		{
			name: "inherited keys of another path or a component",
			files: files{
				"a.md": "openapi: 3.0.1\npaths: {/a: {parameters: [], get: {}}}\ncomponents: {parameters: {A: {}}}\n",
				"b.md": "openapi: 3.0.1\npaths: {/b: {servers: [], get: {}}}\ncomponents: {parameters: {servers: {}}}\n",
			},
			want: "openapi: 3.0.1\npaths:\n  /a:\n    parameters: []\n    get: {}\n  /b:\n    servers: []\n    get: {}\ncomponents:\n  parameters:\n    A: {}\n    servers: {}\n",
		},
		{
			name: "a vendored page overrules inherited keys",
			files: files{
				"a.md":   "openapi: 3.0.1\nservers: [{url: /a}]\npaths: {/a: {get: {}}}\n",
				"b.yaml": "openapi: 3.0.1\nsecurity: [{k: []}]\npaths: {/b: {get: {}}}\n",
			},
			want: "openapi: 3.0.1\nservers: [{url: /a}]\npaths:\n  /a:\n    get: {}\n  /b:\n    get: {}\n",
			notes: []string{
				"/security: kept what a.md (vendored) says, not b.yaml (transcribed): they differ at /security",
				"/servers: kept what a.md (vendored) says, not b.yaml (transcribed): they differ at /servers",
			},
		},
		{
			name:  "scalars keep their style and tag",
			files: files{"a.md": "openapi: 3.0.1\npaths: {/a: {}}\nx-a:\n  plain: 1.50\n  single: '1'\n  double: \"é\\t\"\n  literal: |+\n    a\n     b\n\n  folded: >-\n    a\n    b\n\n    c\n  date: 2026-01-24\n  none: ~\n  'key': yes\n"},
			want:  "openapi: 3.0.1\npaths:\n  /a: {}\nx-a:\n  plain: 1.50\n  single: '1'\n  double: \"é\\t\"\n  literal: |+\n    a\n     b\n\n  folded: >-\n    a b\n\n    c\n  date: 2026-01-24\n  none: ~\n  'key': yes\n",
		},
		{
			name: "no pages",
			errs: []string{"no pages to merge"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			doc, notes, err := Merge(readAll(t, tt.files))
			if tt.errs != nil {
				if err == nil {
					t.Fatalf("no error; got\n%s", doc)
				}
				for _, want := range tt.errs {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("the error does not say %q:\n%v", want, err)
					}
				}
				if got := strings.Count(err.Error(), "\n") + 1; got != len(tt.errs) {
					t.Errorf("got %d errors, want %d:\n%v", got, len(tt.errs), err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := body(doc); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
			if len(notes) != len(tt.notes) {
				t.Fatalf("got notes %v, want %d", notes, len(tt.notes))
			}
			for i, want := range tt.notes {
				if !strings.Contains(notes[i].String(), want) {
					t.Errorf("got note  %q\nwant within %q", notes[i], want)
				}
			}
		})
	}
}

// body returns a merged document without its heading.
func body(doc []byte) string {
	text := string(doc)
	for strings.HasPrefix(text, "#") {
		_, text, _ = strings.Cut(text, "\n")
	}
	return text
}

func TestMergeHeading(t *testing.T) {
	doc, _, err := Merge(readAll(t, files{"b.md": minimal, "a.yaml": minimal, "a b.md": minimal}))
	if err != nil {
		t.Fatal(err)
	}
	want := `# Code generated by internal/spec/specmerge from these pages; DO NOT EDIT.
#   a b.md (vendored)
#   b.md (vendored)
#   a.yaml (transcribed)
`
	if !strings.HasPrefix(string(doc), want) {
		t.Errorf("got\n%s\nwant at the start\n%s", doc, want)
	}
}

// TestMergeNames checks that a name cannot stand for two pages, or get into
// the document.
func TestMergeNames(t *testing.T) {
	pages := append(readAll(t, files{"a.md": minimal}), readAll(t, files{"a.md": minimal})...)
	if _, _, err := Merge(pages); err == nil || !strings.Contains(err.Error(), "two pages are named a.md") {
		t.Errorf("two pages of one name: got error %v", err)
	}
	for _, name := range []string{"a\nx-a: 1\n#.md", "a\u2028x-a: 1\n#.md", "a\x00.md"} {
		if doc, _, err := Merge(readAll(t, files{name: minimal})); err == nil {
			t.Errorf("%q: no error; got\n%s", name, doc)
		}
	}
}

func TestMergeIsDeterministic(t *testing.T) {
	set := files{
		"a.md":   minimal + "components: {schemas: {A: {a: 1}, B: {}}}\n",
		"b.md":   minimal + "components: {schemas: {B: {}, C: {}}, parameters: {P: {}}}\n",
		"c.yaml": minimal + "components: {schemas: {A: {a: 2}, D: {}}}\nx-a: 1\n",
		"d.yaml": minimal + "components: {schemas: {D: {}, A: {a: 3}}}\nx-b: 1\n",
	}
	pages := readAll(t, set)
	want, wantNotes, err := Merge(pages)
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		before := slices.Clone(pages)
		got, notes, err := Merge(pages)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) || !slices.Equal(notes, wantNotes) {
			t.Fatalf("got\n%s%v\nwant\n%s%v", got, notes, want, wantNotes)
		}
		if !slices.Equal(pages, before) {
			t.Fatal("Merge changed the order of its argument")
		}
		pages = readAll(t, set) // A new order, and pages that were not merged before.
	}
}

// TestMergeIsIdempotent checks that a merged document, taken as a page, gives
// itself.
func TestMergeIsIdempotent(t *testing.T) {
	published, err := ReadPages(os.DirFS("pages"))
	if err != nil {
		t.Fatal(err)
	}
	for _, pages := range [][]*Page{published, readAll(t, files{"a.md": minimal, "b.yaml": minimal + "x-a: |\n  a\n   b\n"})} {
		once, _, err := Merge(pages)
		if err != nil {
			t.Fatal(err)
		}
		twice, _, err := Merge(readAll(t, files{"merged.md": string(once)}))
		if err != nil {
			t.Fatal(err)
		}
		if body(twice) != body(once) {
			t.Errorf("got\n%s\nwant\n%s", body(twice), body(once))
		}
	}
}

// TestMergeWritesEveryScalar checks that text of any form survives, whatever
// its style was: Merge refuses what it cannot read back.
func TestMergeWritesEveryScalar(t *testing.T) {
	pieces := []string{"a", " ", "\n", "\t", "\n\n", "#", ": ", "- ", "\u2028", "'", `"`}
	texts := []string{""}
	for i := 0; i < len(texts) && len(texts) < 1500; i++ {
		for _, piece := range pieces {
			texts = append(texts, texts[i]+piece)
		}
	}
	page := readAll(t, files{"a.md": minimal})[0]
	list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq"}
	page.Doc.Content = append(page.Doc.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: "x-list"}, list)
	for _, text := range texts {
		for _, style := range []yaml.Style{0, yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle, yaml.LiteralStyle, yaml.FoldedStyle} {
			list.Content = append(list.Content, &yaml.Node{
				Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Style: writable(style, text),
			})
		}
	}
	if _, _, err := Merge([]*Page{page}); err != nil {
		t.Error(err)
	}
}

func TestWriteFile(t *testing.T) {
	folder := t.TempDir()
	name := filepath.Join(folder, "out.yaml")
	for _, step := range []struct {
		content string
		changed bool
	}{{"a", true}, {"a", false}, {"longer", true}, {"b", true}, {"b", false}} {
		before, _ := os.Stat(name)
		changed, err := WriteFile(name, []byte(step.content))
		if err != nil {
			t.Fatal(err)
		}
		if changed != step.changed {
			t.Errorf("writing %q: changed is %t", step.content, changed)
		}
		got, err := os.ReadFile(name)
		if err != nil || string(got) != step.content {
			t.Errorf("got %q, %v; want %q", got, err, step.content)
		}
		after, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if before != nil && os.SameFile(before, after) == step.changed {
			t.Errorf("writing %q: the file was replaced: %t", step.content, !step.changed)
		}
		if after.Mode().Perm() != 0o644 {
			t.Errorf("the file has mode %v", after.Mode())
		}
	}
	if err := os.Mkdir(filepath.Join(folder, "dir"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{filepath.Join(folder, "dir"), filepath.Join(folder, "missing", "out.yaml")} {
		if changed, err := WriteFile(bad, []byte("x")); err == nil || changed {
			t.Errorf("%s: changed is %t, error %v", bad, changed, err)
		}
	}
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 2 {
		t.Errorf("temporary files are left: %v", entries)
	}
}
