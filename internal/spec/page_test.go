package spec

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"go.yaml.in/yaml/v3"
)

// minimal is the smallest document that is a page.
const minimal = "openapi: 3.0.1\npaths:\n  /v1/a:\n    post: {}\n"

// fenced puts a document into a Markdown page.
func fenced(doc string) string {
	return "# Title\n\n> Text.\n\n````yaml POST /v1/a\n" + strings.TrimSuffix(doc, "\n") + "\n````"
}

func TestReadPageMarkdown(t *testing.T) {
	tests := map[string]string{
		"three backticks":                 "```yaml\n" + minimal + "```\n",
		"five backticks":                  "`````yaml\n" + minimal + "`````\n",
		"tildes":                          "~~~yaml\n" + minimal + "~~~\n",
		"backtick in the info of a tilde": "~~~yaml a`b\n" + minimal + "~~~\n",
		"info string says more":           "````yaml POST /v1/agents/async-result\n" + minimal + "````\n",
		"space before the info string":    "``` \t yaml\n" + minimal + "```\n",
		"tab after the language":          "```yaml\tPOST\n" + minimal + "```\n",
		"capital YML":                     "```YML\n" + minimal + "```\n",
		"closing fence ends the file":     "````yaml\n" + minimal + "````",
		"closing fence is longer":         "```yaml\n" + minimal + "`````\n",
		"closing fence with spaces":       "```yaml\n" + minimal + "   ``` \t\n",
		"closing fence is less indented":  "  ```yaml\n" + strings.ReplaceAll("\n"+minimal, "\n", "\n  ") + "\n```\n",
		"indented by three":               "   ```yaml\n" + strings.ReplaceAll("\n"+minimal, "\n", "\n   ") + "\n   ```\n",
		"indented less inside":            "   ```yaml\n " + minimal[:15] + strings.ReplaceAll(minimal[15:], "\n  ", "\n     ") + "   ```\n",
		"CRLF":                            strings.ReplaceAll(fenced(minimal), "\n", "\r\n"),
		"CR":                              strings.ReplaceAll(fenced(minimal), "\n", "\r"),
		"byte order mark":                 "\ufeff" + "```yaml\n" + minimal + "```\n",
		"front matter":                    "---\ntitle: T\n---\n" + fenced(minimal),
		"other block before":              "```json\n{}\n```\n" + fenced(minimal),
		"other block shows a fence":       "````md\n```yaml\n" + minimal + "```\n````\n" + fenced(minimal),
		"tilde block shows a fence":       "~~~\n```yaml\n~~~\n" + fenced(minimal),
		"language only begins with yaml":  "```yamlish\n: [\n```\n" + fenced(minimal),
		"backtick in the info string":     "```yaml `x`\n" + fenced(minimal),
		"two backticks":                   "``yaml\n" + fenced(minimal),
		"indented code":                   "    ```yaml\n\t```yaml\n" + fenced(minimal),
		"example in YAML beside it":       "```yaml\nagent_id: x\n```\n" + fenced(minimal) + "\n```yaml\n- a\n```\n",
		"shorter fence inside":            "````yaml\n" + minimal + "x-text: |\n  a\n  ```\n  b\n````\n",
		"other fence inside":              "```yaml\n" + minimal + "x-text: |\n  ~~~\n```\n",
		"fence with info inside":          "```yaml\n" + minimal + "x-text: |\n  ```yaml\n```\n",
		"fence as indented code inside":   "```yaml\n" + minimal + "x-text: |\n    ```\n```\n",
		"document marker":                 "```yaml\n---\n" + minimal + "...\n```\n",
		"comments":                        "```yaml\n# a\n" + minimal + "# b\n```\n",
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			page, err := ReadPage("a.md", []byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if !page.Vendored() || page.Name != "a.md" {
				t.Errorf("got page %q, vendored %t", page.Name, page.Vendored())
			}
			if post := at(page.Doc, "paths", "/v1/a", "post"); post == nil {
				t.Error("the operation is missing")
			}
		})
	}
}

// at returns the node under the keys, or nil.
func at(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		if n = lookup(n, key); n == nil {
			return nil
		}
	}
	return n
}

func TestReadPageTranscribed(t *testing.T) {
	for _, name := range []string{"a.yaml", "a.yml"} {
		for _, text := range []string{
			"x-transcribed: facts, section 3\n" + minimal,
			minimal + "x-transcribed: \"facts, section 3\"\n",
			"\ufeffx-transcribed: >-\r\n  facts,\r\n  section 3\r\n" + minimal,
			`{"x-transcribed": "facts, section 3", "openapi": "3.0.1", "paths": {"/v1/a": {"post": {}}}}`,
		} {
			page, err := ReadPage(name, []byte(text))
			if err != nil {
				t.Errorf("%s: %q: %v", name, text, err)
				continue
			}
			if page.Vendored() || page.Source != "facts, section 3" {
				t.Errorf("%q: vendored %t, source %q", text, page.Vendored(), page.Source)
			}
			if lookup(page.Doc, "x-transcribed") != nil {
				t.Errorf("%q: the mark is in the document", text)
			}
			if at(page.Doc, "paths", "/v1/a", "post") == nil {
				t.Errorf("%q: the operation is missing", text)
			}
		}
	}
}

func TestReadPageErrors(t *testing.T) {
	tests := []struct {
		name string
		file string // A vendored page named a.md if empty.
		text string
		want string
	}{
		{"empty page", "", "", "a.md: no fenced yaml block"},
		{"no fence", "", "# Title\n\n" + minimal, "a.md: no fenced yaml block"},
		{"other language", "", "```json\n{}\n```\n", "a.md: no fenced yaml block"},
		{"no language", "", "```\n" + minimal + "```\n", "a.md: no fenced yaml block"},
		{"fence in a block quote", "", "> ```yaml\n> a: 1\n> ```\n", "a.md: no fenced yaml block"},
		{"unclosed", "", "# T\n\n```yaml\n" + minimal, "a.md: line 3: the fenced block is not closed"},
		{"closed by a shorter fence", "", "````yaml\n" + minimal + "```\n", "a.md: line 1: the fenced block is not closed"},
		{"closed by the other fence", "", "```yaml\n" + minimal + "~~~\n", "a.md: line 1: the fenced block is not closed"},
		{"closed by an indented fence", "", "```yaml\n" + minimal + "    ```\n", "a.md: line 1: the fenced block is not closed"},
		{"closed by a fence with info", "", "```yaml\n" + minimal + "``` x\n", "a.md: line 1: the fenced block is not closed"},
		{"other block unclosed", "", fenced(minimal) + "\n```\n", "a.md: line 11: the fenced block is not closed"},
		{"two documents", "", fenced(minimal) + "\n\n" + fenced(minimal), "a.md: line 17: a second OpenAPI document; the first is on line 6"},
		{"two documents in a block", "", fenced(minimal + "---\n" + minimal), "a.md: line 10: a second YAML document"},
		{"broken second document", "", fenced(minimal + "---\n'"), "broken YAML"},
		{"broken late in the second document", "", fenced(minimal + "---\na: 1\nb: [\n"), "broken YAML"},
		{"empty block", "", "\n```yaml\n```\n", "a.md: line 3: the YAML document is empty"},
		{"comment only", "", "\n```yaml\n# nothing\n```\n", "the YAML document is empty"},
		{"broken mapping", "", fenced(minimal + "info: {a: 1\n"), "a.md: line 10 or just above: broken YAML: did not find"},
		{"broken indentation", "", fenced(minimal + "  x: 1\n y: 1\nz: 1\n"), "a.md: line 11 or just above: broken YAML: "},
		{"broken quotes", "", fenced("openapi: '3\n" + minimal), "broken YAML: "},
		{"tab", "", fenced("a:\n\tb: 1\n"), "a.md: line 7 or just above: broken YAML: found character that cannot start any token"},
		{"control character", "", fenced(minimal + "x: \x01\n"), "a.md: line 10 or just above: broken YAML: control characters"},
		{"not UTF-8", "", fenced(minimal + "x: \xff\n"), "a.md: not UTF-8"},
		{"UTF-16", "", "\xff\xfea\x00", "a.md: not UTF-8"},
		{"too large", "", strings.Repeat(" ", MaxPage+1), "a.md: larger than 4194304 bytes"},
		{"list", "", fenced("- a\n"), "a.md: line 6: the document is not a mapping"},
		{"list with the key", "", fenced("- openapi\n- paths\n"), "a.md: line 6: the document is not a mapping"},
		{"text", "", fenced("openapi\n"), "a.md: line 6: the document is not a mapping"},
		{"no openapi key", "", fenced("swagger: '2.0'\npaths: {/a: {}}\n"), "a.md: line 6: no openapi key"},
		{"no paths", "", fenced("openapi: 3.0.1\n"), "a.md: line 6: no paths"},
		{"empty paths", "", fenced("openapi: 3.0.1\npaths: {}\n"), "a.md: line 6: no paths"},
		{"null paths", "", fenced("openapi: 3.0.1\npaths:\n"), "a.md: line 7: /paths is not a mapping"},
		{"null path", "", fenced("openapi: 3.0.1\npaths:\n  /v1/a:\n"), "a.md: line 8: /paths/~1v1~1a is not a mapping"},
		{"list of components", "", fenced(minimal + "components: []\n"), "a.md: line 10: /components is not a mapping"},
		{"list of schemas", "", fenced(minimal + "components:\n  schemas: []\n"), "a.md: line 11: /components/schemas is not a mapping"},
		{"duplicate key", "", fenced(minimal + "openapi: 3.1.0\n"), `a.md: line 10: duplicate key "openapi"; the first is on line 6`},
		{"duplicate key deep", "", fenced(minimal + "x: [{a: 1, b: 1, 'a': 1}]\n"), `a.md: line 10: duplicate key "a"`},
		{"duplicate as JSON", "", fenced(minimal + "x: {'200': 1, 200: 1}\n"), `a.md: line 10: duplicate key "200"`},
		{"octal key", "", fenced(minimal + "x: {010: 1}\n"), `a.md: line 10: a key that is not a plain name: "010"`},
		{"boolean key", "", fenced(minimal + "x: {true: 1}\n"), "not a plain name"},
		{"null key", "", fenced(minimal + "x: {~: 1}\n"), "not a plain name"},
		{"list as key", "", fenced(minimal + "x: {[a]: 1}\n"), "not a plain name"},
		{"merge key", "", fenced(minimal + "x: {<<: {a: 1}}\n"), "not a plain name"},
		{"key alone in braces", "", fenced(minimal + "x: {a}\n"), "a.md: line 10: a key without a value in braces"},
		{"anchor", "", fenced(minimal + "x: &a 1\n"), "a.md: line 10: YAML anchors and aliases"},
		{"alias", "", fenced(minimal + "x: &a 1\ny: *a\n"), "a.md: line 10: YAML anchors and aliases"},
		{"unknown alias", "", fenced(minimal + "y: *a\n"), "broken YAML: unknown anchor 'a'"},
		{"alias bomb", "", fenced(minimal + bomb()), "a.md: line 10: YAML anchors and aliases"},
		{"tag", "", fenced(minimal + "x: !!str 1\n"), "a.md: line 10: explicit YAML tags"},
		{"own tag", "", fenced(minimal + "x: !secret a\n"), "a.md: line 10: explicit YAML tags"},
		{"deep", "", fenced(minimal + "x: " + strings.Repeat("[", 101) + strings.Repeat("]", 101)), "a.md: line 10: nested deeper than 100 levels"},
		{"very deep", "", fenced(minimal + "x: " + strings.Repeat("[", MaxPage/2)), "broken YAML: exceeded max depth"},
		{"marked Markdown", "", fenced("x-transcribed: facts\n" + minimal), "a.md: line 6: x-transcribed in a Markdown page"},
		{"unmarked YAML", "b.yaml", minimal, "b.yaml: no x-transcribed key"},
		{"empty mark", "b.yml", "x-transcribed: ' '\n" + minimal, "b.yml: line 1: x-transcribed must be text"},
		{"boolean mark", "b.yml", "x-transcribed: true\n" + minimal, "b.yml: line 1: x-transcribed must be text"},
		{"list as mark", "b.yml", minimal + "x-transcribed: [a]\n", "b.yml: line 5: x-transcribed must be text"},
		{"empty YAML", "b.yaml", "", "b.yaml: line 1: the YAML document is empty"},
		{"Markdown as YAML", "b.yaml", fenced(minimal), "b.yaml: "},
		{"other kind of file", "b.json", "{}", "b.json: not a page"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := tt.file
			if file == "" {
				file = "a.md"
			}
			page, err := ReadPage(file, []byte(tt.text))
			if err == nil {
				t.Fatalf("no error; got %s", page.Name)
			}
			if !strings.HasPrefix(err.Error(), file+": ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error  %q\nwant within %q", err, tt.want)
			}
		})
	}
}

// bomb returns a few lines that stand for a thousand million values.
func bomb() string {
	var b strings.Builder
	b.WriteString("x0: &x0 [a, a, a, a, a, a, a, a, a, a]\n")
	for i := range 9 {
		fmt.Fprintf(&b, "x%d: &x%d [%s*x%d]\n", i+1, i+1, strings.Repeat(fmt.Sprintf("*x%d, ", i), 9), i)
	}
	return b.String()
}

// TestReadPageLines checks that the lines of a document are lines of the page,
// because errors of later steps name them.
func TestReadPageLines(t *testing.T) {
	page, err := ReadPage("a.md", []byte(fenced(minimal)))
	if err != nil {
		t.Fatal(err)
	}
	if line := at(page.Doc, "paths", "/v1/a", "post").Line; line != 9 {
		t.Errorf("the operation is on line %d, want 9", line)
	}
}

// listing is a folder that lists its files in a given order.
type listing struct {
	fstest.MapFS
	names []string
}

func (l listing) ReadDir(dir string) ([]fs.DirEntry, error) {
	entries, err := l.MapFS.ReadDir(dir)
	slices.SortFunc(entries, func(a, b fs.DirEntry) int {
		return slices.Index(l.names, a.Name()) - slices.Index(l.names, b.Name())
	})
	return entries, err
}

func TestReadPages(t *testing.T) {
	transcribed := &fstest.MapFile{Data: []byte("x-transcribed: facts\n" + minimal)}
	vendored := &fstest.MapFile{Data: []byte(fenced(minimal))}
	folder := fstest.MapFS{
		"b.md": vendored, "a.yaml": transcribed, "c.md": vendored, "b.yml": transcribed,
		".DS_Store": {Data: []byte("x")},
	}
	want := []string{"b.md", "c.md", "a.yaml", "b.yml"}
	for _, order := range [][]string{
		{"a.yaml", "b.md", "b.yml", "c.md"},
		{"c.md", "b.yml", "b.md", "a.yaml"},
		{"b.md", "a.yaml", "c.md", "b.yml"},
	} {
		pages, err := ReadPages(listing{folder, order})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, page := range pages {
			got = append(got, page.Name)
		}
		if !slices.Equal(got, want) {
			t.Errorf("listed as %v: got %v, want %v", order, got, want)
		}
	}
}

func TestReadPagesErrors(t *testing.T) {
	large := make([]byte, MaxPage+1)
	folder := fstest.MapFS{
		"a.md":        {Data: []byte(fenced(minimal))},
		"bad.md":      {Data: []byte("nothing")},
		"large.yaml":  {Data: large},
		"page.md.txt": {Data: []byte(fenced(minimal))},
		"more/b.md":   {Data: []byte(fenced(minimal))},
	}
	_, err := ReadPages(folder)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"bad.md: no fenced yaml block", "large.yaml: larger than", "page.md.txt: not a page", "more"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
	if _, err := ReadPages(missing{}); err == nil {
		t.Error("no error for a folder that cannot be read")
	}
}

// missing is a folder that is not there.
type missing struct{}

func (missing) Open(name string) (fs.File, error) {
	return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
}
