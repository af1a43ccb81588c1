package spec

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

const whole = `openapi: 3.0.1
info: {title: A, version: "1"}
tags: [{name: a}]
servers: [{url: "https://a.example.com"}]
security: [{key: []}]
paths:
  /a:
    parameters: [{$ref: "#/components/parameters/P"}]
    get: {responses: {"200": {$ref: "#/components/responses/R"}}}
    post: {security: [{other: []}], responses: {default: {description: d}}}
  /b/{c~d}:
    put: {responses: {default: {description: d}}}
components:
  parameters:
    P: {name: p, in: query, schema: {$ref: "#/components/schemas/Loop"}}
    Q: {name: q, in: query, schema: {type: string}}
  responses:
    R: {description: d, content: {a/b: {schema: {oneOf: [], discriminator: {mapping: {x: "#/components/schemas/Mapped~1x"}}}}}}
  schemas:
    Loop: {properties: {self: {$ref: "#/components/schemas/Loop"}, inner: {$ref: "#/components/schemas/Deep/properties/x"}}}
    Deep: {properties: {x: {type: string}}}
    Mapped/x: {type: object}
    Unused: {type: object}
  securitySchemes:
    key: {type: http, scheme: bearer}
    other: {type: http, scheme: basic}
`

// TestCut cuts one operation at a time out of a document.
func TestCut(t *testing.T) {
	t.Parallel()
	doc, err := ReadDocument("whole.yaml", []byte(whole))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := doc.Operations(), []string{"GET /a", "POST /a", "PUT /b/{c~d}"}; !slices.Equal(got, want) {
		t.Errorf("operations %q, want %q", got, want)
	}
	for operation, components := range map[string][]string{
		"GET /a": {
			"parameters/P", "responses/R", "schemas/Loop", "schemas/Deep", "schemas/Mapped/x", "securitySchemes/key",
		},
		"POST /a":      {"parameters/P", "schemas/Loop", "schemas/Deep", "securitySchemes/key", "securitySchemes/other"},
		"PUT /b/{c~d}": {"securitySchemes/key"},
	} {
		page, err := doc.Cut(operation)
		if err != nil {
			t.Error(err)
			continue
		}
		if got := page.Operations(); !slices.Equal(got, []string{operation}) {
			t.Errorf("%s: cut %q", operation, got)
		}
		var got []string
		for section, named := range children(lookup(page.Doc, "components")) {
			for name := range children(named) {
				got = append(got, section+"/"+name)
			}
		}
		if !slices.Equal(got, components) {
			t.Errorf("%s: the components %q, want %q", operation, got, components)
		}
		if lookup(page.Doc, "tags") != nil || lookup(page.Doc, "servers") == nil || lookup(page.Doc, "security") == nil {
			t.Errorf("%s: not the right keys at the top", operation)
		}
		text, err := page.Markdown("A title", map[string]string{"fetched_at": "2026-01-02"})
		if err != nil {
			t.Error(err)
			continue
		}
		back, err := ReadPage("a.md", text)
		if err != nil || !back.Equal(page) || !back.Vendored() {
			t.Errorf("%s: %v, the page\n%s", operation, err, text)
		}
		again, err := back.Cut(operation)
		if err != nil || !again.Equal(page) {
			t.Errorf("%s: cut again, it differs: %v", operation, err)
		}
	}
	for _, operation := range []string{"", "GET", "GET /c", "PUT /a", "get/a", "PARAMETERS /a", "parameters /a"} {
		if _, err := doc.Cut(operation); err == nil {
			t.Errorf("%q was cut", operation)
		}
	}
}

// TestMarkdownFence: a document that holds fences itself stands in a longer one.
func TestMarkdownFence(t *testing.T) {
	t.Parallel()
	doc, err := ReadDocument("a.yaml", []byte("openapi: 3.0.1\ninfo: {description: \"a\\n`````\\nb\"}\npaths: {/a: {get: {}}}\n"))
	if err != nil {
		t.Fatal(err)
	}
	text, err := doc.Markdown("t", nil)
	if err != nil || !strings.Contains(string(text), "\n``````yaml GET /a\n") {
		t.Errorf("%v\n%s", err, text)
	}
}

// TestReadDocumentJSON: a document says the same in JSON and in YAML.
func TestReadDocumentJSON(t *testing.T) {
	t.Parallel()
	const asJSON = `{
	"openapi": "3.0.1", "x": {"no": "no", "n": null, "t": true, "i": 12345678901234567890, "f": 1e3, "e": "", "a": [1, "1", []]},
	"paths": {"/a": {"get": {"description": "\ud83d\ude00\t\/ \u2028 line\nbreak", "responses": {"200": {}}}}}
}`
	const asYAML = `
openapi: "3.0.1"
x: {"no": "no", "n": null, t: true, i: 12345678901234567890, f: 1e3, e: "", a: [1, "1", []]}
paths:
  /a: {get: {description: "\U0001F600\t/ \u2028 line\nbreak", responses: {"200": {}}}}
`
	a, err := ReadDocument("a.json", []byte("\ufeff"+asJSON))
	if err != nil {
		t.Fatal(err)
	}
	b, err := ReadDocument("b.yml", []byte(asYAML))
	if err != nil {
		t.Fatal(err)
	}
	if at, differ := difference(a.Doc, b.Doc); differ {
		t.Errorf("they differ at %s", at)
	}
}

// TestReadDocumentRefuses lists what is no document.
func TestReadDocumentRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"a.json", `{`, "broken JSON"},
		{"a.json", ``, "broken JSON"},
		{"a.json", `{"openapi": "3", "paths": {"/a": 1}} {}`, "more than one value"},
		{"a.json", `{"openapi": "3", "openapi": "3", "paths": {"/a": 1}}`, "duplicate key"},
		{"a.json", strings.Repeat(`[`, 10000), "nested deeper"},
		{"a.json", `[]`, "not a mapping"},
		{"a.json", `{"paths": {"/a": {}}}`, "a.json: no openapi key"},
		{"a.yaml", "openapi: 3.0.1\n", "no paths"},
		{"a.yaml", "openapi: [\n", "broken YAML"},
		{"a.txt", "openapi: 3.0.1\n", "neither a page"},
		{"a.yaml", strings.Repeat("#", MaxPage+1), "larger than"},
		{"a.yaml", "openapi: \xff\n", "not UTF-8"},
		{"a.json", `{"openapi": "3", "info": {"title": "` + "caf\xe9" + `"}, "paths": {"/a": {}}}`, "not UTF-8"},
	} {
		if _, err := ReadDocument(test.name, []byte(test.text)); err == nil || !strings.Contains(err.Error(), test.want) ||
			!strings.HasPrefix(err.Error(), test.name+": ") {
			t.Errorf("%s %.40q: %v, want an error with %q", test.name, test.text, err, test.want)
		}
	}
}

// TestIsPage tells pages from documents.
func TestIsPage(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, text string
		want       bool
	}{
		{"a.md", "", true},
		{"a.yaml", "x-transcribed: facts\n", true},
		{"a.yaml", "openapi: 3.0.1\n", false},
		{"a.yaml", "[", false},
		{"a.json", `{"x-transcribed": "facts"}`, false},
	} {
		if got := IsPage(test.name, []byte(test.text)); got != test.want {
			t.Errorf("%s %q is a page: %v", test.name, test.text, got)
		}
	}
}

// TestDifferences tells texts for people from what programs read, also where a property has the name of a text.
func TestDifferences(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("long ", 40)
	const form = `info: {version: %q}
paths:
  /a:
    get:
      description: %q
      parameters: [{name: a, description: %q}]
components:
  schemas:
    description: {type: %q, title: %q}
    A:
      properties:
        description: {type: %q, description: %q}
        title: {enum: [%q], example: {description: %q}}
`
	old := []any{"1", long + "end", "b", "string", "d", "integer", "e", "f", "g"}
	list := func(n int, value string) []Difference {
		t.Helper()
		changed := slices.Clone(old)
		changed[n] = value
		got, err := Differences([]byte(fmt.Sprintf(form, old...)), []byte(fmt.Sprintf(form, changed...)))
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	for n, test := range []struct {
		at   string
		text bool
	}{
		{"/info/version", true},
		{"/paths/~1a/get/description", true},
		{"/paths/~1a/get/parameters/0/description", true},
		{"/components/schemas/description/type", false},
		{"/components/schemas/description/title", true},
		{"/components/schemas/A/properties/description/type", false},
		{"/components/schemas/A/properties/description/description", true},
		{"/components/schemas/A/properties/title/enum/0", false},
		{"/components/schemas/A/properties/title/example/description", true},
	} {
		got := list(n, long+"End")
		if len(got) != 1 || got[0].At != test.at || got[0].Text != test.text {
			t.Errorf("got %v, want one at %s, a text: %v", got, test.at, test.text)
		}
		if again := list(n, fmt.Sprint(old[n])); len(again) != 0 {
			t.Errorf("got %v where nothing changed", again)
		}
	}
	if line := list(1, long+"End")[0].String(); !strings.Contains(line, `end"`) || !strings.Contains(line, `End"`) || len(line) > 300 {
		t.Errorf("got %s", line)
	}

	got, err := Differences([]byte("a: {b: 1}\nc: [1, 2]\nd: 1\ne: [{f: 1}]\n"), []byte("a: [1]\nc: [1]\nd: '1'\ng: 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, d := range got {
		lines = append(lines, d.String())
	}
	want := []string{
		"/a: {b} became a list of 1", `/c/1: removed "2"`, `/d: "1" became "1"`, "/e: removed a list of 1", `/g: added "1"`,
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
	if _, err := Differences([]byte("["), []byte("a: 1")); err == nil {
		t.Error("broken YAML is compared")
	}
}

// TestTable compares the table of the pages, and their list in the changelog, with the files.
func TestTable(t *testing.T) {
	t.Parallel()
	for name, write := range map[string]func([]byte, []Row) ([]byte, error){
		"README.md": WriteTable, "../../CHANGELOG.md": WriteChangelog,
	} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		table, err := os.ReadFile("README.md")
		if err != nil {
			t.Fatal(err)
		}
		rows, err := Rows(os.DirFS("pages"), ReadTable(table), "a day that is not in the table")
		if err != nil {
			t.Fatal(err)
		}
		want, err := write(text, rows)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(text, want) {
			t.Errorf("%s does not match the pages: run make spec PAGE=internal/spec/pages, which gives\n%s", name, want)
		}
	}
}

// TestWriteTable replaces tables and lists, and leaves the rest alone.
func TestWriteTable(t *testing.T) {
	t.Parallel()
	rows := []Row{
		{Page: "a", Operations: []string{"GET /a", "PUT /a"}, Kind: "vendored", Source: "https://a.example.com/a|b.md", Date: "2026-01-02", SHA256: strings.Repeat("0a", 32)},
		{Page: "b", Operations: []string{"GET /b"}, Kind: "transcribed", Source: "facts\nof a day", Date: "2026-02-03", SHA256: strings.Repeat("1b", 32)},
	}
	text, err := WriteTable([]byte("x\n"+tableHead+"| old |\n| older |\ny\n"), rows)
	want := "x\n" + tableHead +
		"| `a` | `GET /a`, `PUT /a` | vendored | <https://a.example.com/a\\|b.md> | 2026-01-02 | `" + rows[0].SHA256 + "` |\n" +
		"| `b` | `GET /b` | transcribed | facts of a day | 2026-02-03 | `" + rows[1].SHA256 + "` |\ny\n"
	if err != nil || string(text) != want {
		t.Errorf("%v, got\n%s\nwant\n%s", err, text, want)
	}
	back := ReadTable(text)
	if len(back) != 2 || back[1].Page != "b" || back[1].Date != "2026-02-03" || back[0].SHA256 != rows[0].SHA256 {
		t.Errorf("read back: %+v", back)
	}
	if _, err := WriteTable([]byte("x\n"), rows); err == nil {
		t.Error("a text without a table is taken")
	}

	const list = "\nGenerated from:\n\n- page `a`, fetched 2026-01-02, SHA-256 `0a0a0a0a0a0a`\n- page `b`, transcribed 2026-02-03, SHA-256 `1b1b1b1b1b1b`\n"
	for _, test := range []struct{ old, want string }{
		{"# C\n\n## [Unreleased]\n\n### Added\n", "# C\n\n## [Unreleased]\n" + list + "\n### Added\n"},
		{"# C\n\n## [Unreleased]\n\nGenerated from:\n\n- old\n- older\n\n- x\n", "# C\n\n## [Unreleased]\n" + list + "\n- x\n"},
		{
			"# C\n\n## [Unreleased]\n\n## [1.0.0]\n\nGenerated from:\n\n- old\n",
			"# C\n\n## [Unreleased]\n" + list + "\n## [1.0.0]\n\nGenerated from:\n\n- old\n",
		},
	} {
		got, err := WriteChangelog([]byte(test.old), rows)
		if err != nil || string(got) != test.want {
			t.Errorf("%v, got\n%s\nwant\n%s", err, got, test.want)
		}
		if again, err := WriteChangelog(got, rows); err != nil || string(again) != test.want {
			t.Errorf("%v, the second time\n%s\nwant\n%s", err, again, test.want)
		}
	}
	if _, err := WriteChangelog([]byte("# C\n"), rows); err == nil {
		t.Error("a changelog without a section Unreleased is taken")
	}
}

// TestHeaderBehindAMark: an editor may have put a byte order mark before the header of a page.
func TestHeaderBehindAMark(t *testing.T) {
	t.Parallel()
	const name = "get-async-result.md"
	page, err := os.ReadFile(path.Join("pages", name))
	if err != nil {
		t.Fatal(err)
	}
	rows, err := Rows(fstest.MapFS{name: {Data: append([]byte("\ufeff"), page...)}}, nil, "today")
	if err != nil || len(rows) != 1 || rows[0].Date != "2026-01-24" || !strings.HasPrefix(rows[0].Source, "https://docs.z.ai/") {
		t.Errorf("got %+v, %v", rows, err)
	}
}
