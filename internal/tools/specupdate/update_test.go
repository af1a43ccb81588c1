package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"example.com/zai/internal/project"
)

// copyProject copies the project to a temporary folder, without the files that nothing here looks at.
func copyProject(t *testing.T) string {
	t.Helper()
	root := projectRoot(t)
	dir := filepath.Join(t.TempDir(), "project")
	if err := project.Copy(dir, root, needed(t, root)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// update runs the command in the project at root, and returns what it prints.
func update(t *testing.T, root string, wantCode int, args ...string) string {
	t.Helper()
	return updateBy(t, quick(t), root, wantCode, args...)
}

// updateBy is update with an updater of another kind.
func updateBy(t *testing.T, updaterOf func(string) *updater, root string, wantCode int, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if code := run(t.Context(), root, updaterOf, args, &stdout, &stderr); code != wantCode {
		t.Errorf("%q: exit code %d, want %d\n%s%s", args, code, wantCode, &stdout, &stderr)
	}
	return stdout.String() + stderr.String()
}

// write writes a file to a temporary folder, and returns its name.
func write(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t *testing.T, root, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// TestNewField takes in a page with one new optional field, by the real commands: the field is in the Go type and in
// the report, and nothing else has changed.
func TestNewField(t *testing.T) {
	t.Parallel()
	root := copyProject(t)
	m := named(t, "result: new optional field")
	page := write(t, result, m.mutate(t, root))
	before := snapshot(t, root)

	dry := update(t, root, exitCompatible, "-n", page)
	if snapshot(t, root) != before {
		t.Error("a report alone has changed the project")
	}
	report := updateBy(t, newUpdater, root, exitCompatible, page)
	if report != dry {
		t.Errorf("the report is\n%s\nafter one of\n%s", report, dry)
	}
	if !strings.HasSuffix(report, "exit 2: changed compatibly\n") {
		t.Errorf("the report ends with %q", report[len(report)-40:])
	}
	var lines []string
	after := strings.Split(snapshot(t, root), "\n")
	old := strings.Split(before, "\n")
	for _, line := range after {
		if !slices.Contains(old, line) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	want := []string{"Progress", "progress", "How far the task is", "get-async-result"}
	for _, line := range lines {
		if !slices.ContainsFunc(want, func(w string) bool { return strings.Contains(line, w) }) {
			t.Errorf("a line that has nothing to do with the field: %s", line)
		}
	}
	for _, w := range want {
		if !slices.ContainsFunc(lines, func(line string) bool { return strings.Contains(line, w) }) {
			t.Errorf("no new line has %q", w)
		}
	}
	if update(t, root, exitSame, page); t.Failed() {
		t.Log("the second time should change nothing")
	}
}

// TestWholeDocument takes operations out of one document, in YAML and in JSON.
func TestWholeDocument(t *testing.T) {
	t.Parallel()
	root := copyProject(t)
	text := readFile(t, root, "openapi.yaml")
	// A description in the answer of one operation, and an operation that is not here.
	text = strings.Replace(text, "description: Task ID from async response.", "description: Id of the task.", 1)
	text = strings.Replace(text, "paths:\n", "paths:\n  /paas/v4/tokenizer:\n    post:\n      description: Counts tokens.\n"+
		"      responses:\n        '200':\n          description: The count.\n          content:\n            application/json:\n"+
		"              schema:\n                $ref: '#/components/schemas/TokenCount'\n", 1)
	text = strings.Replace(text, "  schemas:\n", "  schemas:\n    TokenCount:\n      type: object\n      properties:\n"+
		"        tokens:\n          type: integer\n          description: Number of tokens.\n    NotUsed:\n      type: object\n", 1)
	var value any
	if err := yaml.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	asJSON, err := json.MarshalIndent(value, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{"all.yaml": []byte(text), "all.json": asJSON} {
		root := copyProject(t)
		same := update(t, root, exitSame, "-n", filepath.Join(root, "openapi.yaml"))
		if !strings.Contains(same, "nothing changed") {
			t.Errorf("the description that is here: %s", same)
		}
		report := update(t, root, exitCompatible, "-n", write(t, name, content))
		for _, want := range []string{
			"`get-async-result.md`: replaced (POST /v1/agents/async-result), cut from the document " + name,
			`"Task ID from async response." became "Id of the task."`, name + " describes 1 other operations",
		} {
			if !strings.Contains(report, want) {
				t.Errorf("%s: the report does not say %q:\n%s", name, want, report)
			}
		}
		if strings.Contains(report, "agent.yaml`") || strings.Contains(report, "file-upload") {
			t.Errorf("%s: other pages were replaced:\n%s", name, report)
		}

		named := update(t, root, exitCompatible, "-op", " post /paas/v4/tokenizer,", write(t, name, content))
		page := readFile(t, root, pagesFolder+"/post-paas-v4-tokenizer.md")
		if !strings.Contains(page, "tokens:") || strings.Contains(page, "NotUsed") || !strings.Contains(page, "bearerAuth:") {
			t.Errorf("%s: the page is\n%s", name, page)
		}
		for _, want := range []string{"`post-paas-v4-tokenizer.md`: added", "`TokenCount`: added", "has no operationId"} {
			if !strings.Contains(named, want) {
				t.Errorf("%s: the report does not say %q:\n%s", name, want, named)
			}
		}
		if table := readFile(t, root, "internal/spec/README.md"); !strings.Contains(table, "`post-paas-v4-tokenizer` | `POST /paas/v4/tokenizer` | vendored") {
			t.Errorf("%s: the table is\n%s", name, table)
		}
	}

	file := write(t, "all.yaml", []byte(text))
	if report := update(t, root, exitCannot, "-op", "/no/such", file); !strings.Contains(report, "does not describe /no/such") {
		t.Error(report)
	}
	other := write(t, "other.yaml", []byte("openapi: 3.0.1\ninfo: {title: a, version: '1'}\npaths: {/other: {get: {responses: {'200': {description: a}}}}}\n"))
	if report := update(t, root, exitCannot, other); !strings.Contains(report, "name the wanted ones") {
		t.Error(report)
	}
}

// TestWanted: an operation that is here does not go missing in silence, and what is named is taken wherever it is
// described, and nothing else.
func TestWanted(t *testing.T) {
	t.Parallel()
	root := copyProject(t)
	text := readFile(t, root, "openapi.yaml")
	moved := write(t, "moved.yaml", []byte(strings.Replace(text, "  /paas/v4/files:\n", "  /paas/v5/files:\n", 1)))
	here := filepath.Join(root, filepath.FromSlash(pagesFolder))
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{moved}, exitBreaking, "### Operations that are gone\n\n- `POST /paas/v4/files` is not in moved.yaml"},
		{[]string{moved, filepath.Join(here, upload)}, exitSame, "moved.yaml describes 1 other operations"},
		{[]string{"-op", "/v1/agents", moved}, exitSame, "moved.yaml describes 3 other operations"},
		{[]string{"-op", "/paas/v5/files,/v1/agents", moved, here}, exitCannot, "are both for POST /v1/agents\n"},
		{[]string{"-op", "/paas/v5/files,/paas/v4/files", moved, here}, exitCompatible, "`NewPostPaasV5FilesRequestWithBody`: added"},
		{[]string{"-op", "/v1/agents", here}, exitSame, "agent-conversation.yaml describes 1 other operations"},
		{[]string{"-op", "/no/such", here}, exitCannot, "does not describe /no/such"},
	} {
		if report := update(t, root, test.code, append([]string{"-n"}, test.args...)...); !strings.Contains(report, test.want) {
			t.Errorf("%q: the report does not say %q:\n%s", test.args, test.want, report)
		}
	}
}

// TestVendoredTakesThePlace: a published page removes the transcribed one of its operation, whatever its name, and no
// transcribed page takes the place of a published one.
func TestVendoredTakesThePlace(t *testing.T) {
	t.Parallel()
	root := copyProject(t)
	text := readFile(t, root, pagesFolder+"/"+upload)
	_, document, _ := strings.Cut(text, "x-transcribed:")
	_, document, _ = strings.Cut(document, "\n")
	page := write(t, "anything.md", []byte("---\nurl: https://docs.example.com/upload.md\nfetched_at: 2026-05-04T03:02:01Z\n---\n\n"+
		"# Upload\n\n````yaml POST /paas/v4/files\n"+document+"````\n"))
	report := update(t, root, exitCompatible, page)
	for _, want := range []string{"`file-upload.yaml`: removed: file-upload.md takes its place", "`file-upload.md`: replaced"} {
		if !strings.Contains(report, want) {
			t.Errorf("the report does not say %q:\n%s", want, report)
		}
	}
	if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(pagesFolder), upload)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the transcribed page: %v", err)
	}
	if got := readFile(t, root, "internal/spec/README.md"); !strings.Contains(got, "| vendored | <https://docs.example.com/upload.md> | 2026-05-04 |") {
		t.Errorf("the table is\n%s", got)
	}
	if got := readFile(t, root, "CHANGELOG.md"); !strings.Contains(got, "- page `file-upload`, fetched 2026-05-04, SHA-256 `") {
		t.Errorf("the changelog is\n%.900s", got)
	}
	if report := update(t, root, exitCannot, write(t, upload, []byte(text))); !strings.Contains(report, "is a published one") {
		t.Error(report)
	}
}

// TestPageOfAnotherName: a page from the same source takes the place of the old one, even if its operation has moved.
func TestPageOfAnotherName(t *testing.T) {
	t.Parallel()
	root := copyProject(t)
	for _, name := range []string{result, agent} {
		page := strings.Replace(readFile(t, root, pagesFolder+"/"+name), "    post:", "    put:", 1)
		report := update(t, root, exitCannot, "-n", write(t, "other"+filepath.Ext(name), []byte(page)))
		for _, want := range []string{"- `" + name + "`: replaced (PUT ", "api removed without deprecation"} {
			if !strings.Contains(report, want) {
				t.Errorf("%s: the report does not say %q:\n%s", name, want, report)
			}
		}
	}
}

// TestNoPageIsMissed: a folder within a folder is refused, and so is a page cut from a document whose name another
// page has.
func TestNoPageIsMissed(t *testing.T) {
	t.Parallel()
	root := copyProject(t)
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "more"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, upload), []byte(readFile(t, root, pagesFolder+"/"+upload)), 0o600); err != nil {
		t.Fatal(err)
	}
	if report := update(t, root, exitCannot, "-n", dir); !strings.Contains(report, "holds the folder more") {
		t.Error(report)
	}
	other := write(t, "other.yaml", []byte("openapi: 3.0.1\ninfo: {title: a, version: '1'}\npaths: {/async-result: {get: {responses: {'200': {description: a}}}}}\n"))
	if report := update(t, root, exitCannot, "-n", "-op", "GET /async-result", other); !strings.Contains(report, "would take the name of the page get-async-result.md, which describes POST /v1/agents/async-result") {
		t.Error(report)
	}
}

// TestUnfit: what generated code should not hold is in the notes of the report.
func TestUnfit(t *testing.T) {
	t.Parallel()
	const named = "type T struct {\n\tA string `json:\"a,omitempty\"`\n\tb.C\n\tD []map[string]int `form:\"d\" json:\"d\"`\n"
	if notes := unfit([]byte(named)); notes != nil {
		t.Errorf("got %q", notes)
	}
	notes := unfit([]byte(named + "\tstring `json:\"错误信息,omitempty\"`\n\t*[]x.Y `form:\"_\" json:\"_\"`\n}\n\tif q, err := runtime.StyleParamWithOptions(\n"))
	if len(notes) != 3 || !strings.Contains(notes[0], "`错误信息`") || !strings.Contains(notes[1], "`_`") || !strings.Contains(notes[2], "footprint") {
		t.Errorf("got %q", notes)
	}
}

// TestSeveralPages takes in a folder, of which all is taken or nothing.
func TestSeveralPages(t *testing.T) {
	t.Parallel()
	root := copyProject(t)
	dir := t.TempDir()
	put := func(name, old, changed string) {
		t.Helper()
		text := strings.Replace(readFile(t, root, pagesFolder+"/"+name), old, changed, 1)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	put(conversation, "format: int32", "format: int64")
	before := snapshot(t, root)
	if report := update(t, root, exitCannot, dir); !strings.Contains(report, "differ at /components/schemas/Error/properties/code/format") {
		t.Error(report)
	}
	put(agent, "format: int32", "format: int64")
	if report := update(t, root, exitCannot, dir); !strings.Contains(report, "agent-conversation.yaml and file-upload.yaml differ") {
		t.Error(report)
	}
	put(upload, "format: int32", "format: int64")
	if snapshot(t, root) != before {
		t.Error("a refusal has changed the project")
	}
	put("get-async-result.md", "paths:\n", "paths: [\n")
	if report := update(t, root, exitCannot, dir); !strings.Contains(report, "broken YAML") || snapshot(t, root) != before {
		t.Error(report)
	}
	put("get-async-result.md", "", "")
	// The oasdiff of a wider integer in an answer is breaking, and the Go type changes too.
	if report := update(t, root, exitBreaking, dir); !strings.Contains(report, "`FlatError.Code`: changed from int32 to int64") {
		t.Error(report)
	}
	twice := write(t, "get-async-result.md", []byte(readFile(t, root, pagesFolder+"/get-async-result.md")))
	if report := update(t, root, exitCannot, twice, dir); !strings.Contains(report, "are both for POST /v1/agents/async-result") {
		t.Error(report)
	}
}

// TestUncompiled: what the hand-written code does not compile with is refused, unless it is wanted.
func TestUncompiled(t *testing.T) {
	t.Parallel()
	root := copyProject(t)
	m := named(t, "result: retype a request property")
	page := write(t, result, m.mutate(t, root))
	before := snapshot(t, root)
	if updateBy(t, newUpdater, root, exitCannot, page); snapshot(t, root) != before {
		t.Error("a refusal has changed the project")
	}
	// What only the compiler finds, as in a test, is refused as well.
	m = named(t, "result: new optional field")
	u := quick(t)(root)
	u.check = func(context.Context, string) error { return errors.New("vet: a_test.go:1:1: undefined: A") }
	var out bytes.Buffer
	code, err := u.run(t.Context(), false, []string{write(t, result, m.mutate(t, root))}, nil, &out)
	if code != exitCannot || err != nil || !strings.Contains(out.String(), "a_test.go:1:1") || snapshot(t, root) != before {
		t.Errorf("exit code %d, %v\n%s", code, err, &out)
	}
	report := update(t, root, exitBreaking, "-uncompiled", page)
	if !strings.Contains(report, "task.go") || !strings.Contains(readFile(t, root, "api/openapi.gen.go"), "AsyncID int") {
		t.Error(report)
	}
}

// TestSameOperation: two pages for one operation are refused, even if they say the same.
func TestSameOperation(t *testing.T) {
	t.Parallel()
	root := copyProject(t)
	text := strings.NewReplacer("url: ", "address: ", "  /v1/agents/async-result:\n", "  /v1/agents/cancel:\n").
		Replace(readFile(t, root, pagesFolder+"/"+result))
	report := update(t, root, exitCannot, "-n", write(t, "a.md", []byte(text)), write(t, "b.md", []byte(text)))
	if !strings.Contains(report, "are both for POST /v1/agents/cancel") {
		t.Error(report)
	}
}

// TestUsage lists calls that ask for nothing.
func TestUsage(t *testing.T) {
	t.Parallel()
	root := projectRoot(t)
	for _, args := range [][]string{nil, {""}, {"-x"}, {filepath.Join(root, "no such file")}, {t.TempDir()}, {write(t, "a.txt", nil)}} {
		if report := update(t, root, exitCannot, args...); report == "" {
			t.Errorf("%q: nothing is said", args)
		}
	}
	dir := filepath.Join(t.TempDir(), "with space")
	if err := os.Mkdir(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	if got := paths([]string{dir, "a b"}); !slices.Equal(got, []string{dir, "a", "b"}) {
		t.Errorf("got %q", got)
	}
}

// TestReplace: where one file cannot be replaced, all are as they were.
func TestReplace(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for name, content := range map[string]string{"a": "old", "gone": "old", "folder/inside": "old"} {
		if err := put(filepath.Join(root, name), []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	changes := []replacement{
		{"a", []byte("old"), []byte("new")},
		{"gone", []byte("old"), nil},
		{"added/b", nil, []byte("new")},
	}
	before := snapshot(t, root)
	// A file cannot take the place of a folder with files in it.
	for _, broken := range []replacement{{"folder", nil, []byte("new")}, {"a/b", nil, []byte("new")}} {
		if err := replace(root, append(slices.Clone(changes), broken)); err == nil {
			t.Errorf("%s was replaced", broken.name)
		}
		if after := snapshot(t, root); after != before {
			t.Errorf("%s: the files are\n%s\nwant\n%s", broken.name, after, before)
		}
	}
	other := append(slices.Clone(changes), replacement{"folder/inside", []byte("older"), []byte("new")})
	if err := replace(root, other); err == nil || !strings.Contains(err.Error(), "somebody else") || snapshot(t, root) != before {
		t.Errorf("a file that has changed: %v", err)
	}
	if err := replace(root, changes); err != nil {
		t.Fatal(err)
	}
	if got, want := snapshot(t, root), "--- a\nnew--- added/b\nnew--- folder/inside\nold"; got != want {
		t.Errorf("the files are\n%s\nwant\n%s", got, want)
	}
}

// TestInterrupted: an interrupt before the files are replaced leaves them as they were.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	root := copyProject(t)
	before := snapshot(t, root)
	ctx, cancel := context.WithCancel(t.Context())
	u := newUpdater(root)
	u.generate = func(context.Context, string) error { cancel(); return nil }
	m := named(t, "result: new optional field")
	code, err := u.run(ctx, false, []string{write(t, result, m.mutate(t, root))}, nil, &bytes.Buffer{})
	if code != exitCannot || !errors.Is(err, context.Canceled) || snapshot(t, root) != before {
		t.Errorf("exit code %d, %v", code, err)
	}
}

// TestEditedMeanwhile: what somebody edits while the code is generated is not taken back.
func TestEditedMeanwhile(t *testing.T) {
	t.Parallel()
	m := named(t, "result: new optional field")
	for name, want := range map[string]int{"README.md": exitCompatible, "openapi.yaml": exitCannot} {
		root := copyProject(t)
		page := write(t, result, m.mutate(t, root))
		u := quick(t)(root)
		generate, edited := u.generate, readFile(t, root, name)+"# An edit.\n"
		u.generate = func(ctx context.Context, dir string) error {
			return errors.Join(put(filepath.Join(root, name), []byte(edited)), generate(ctx, dir))
		}
		var out bytes.Buffer
		code, err := u.run(t.Context(), false, []string{page}, nil, &out)
		if code != want || (err != nil) != (want == exitCannot) || strings.Contains(out.String(), "- README.md") {
			t.Errorf("%s: exit code %d, %v\n%s", name, code, err, &out)
		}
		if got := readFile(t, root, name); got != edited {
			t.Errorf("%s ends with %q", name, got[len(got)-40:])
		}
		if taken := strings.Contains(readFile(t, root, pagesFolder+"/"+result), "progress:"); taken != (want == exitCompatible) {
			t.Errorf("%s: the page was taken in: %v", name, taken)
		}
	}
}

// TestNoReport: nothing is replaced if the report cannot be written.
func TestNoReport(t *testing.T) {
	t.Parallel()
	root := copyProject(t)
	before := snapshot(t, root)
	m := named(t, "result: new optional field")
	page := write(t, result, m.mutate(t, root))
	reader, writer := io.Pipe()
	if err := reader.Close(); err != nil {
		t.Fatal(err)
	}
	code, err := quick(t)(root).run(t.Context(), false, []string{page}, nil, writer)
	if code != exitCannot || !errors.Is(err, io.ErrClosedPipe) || snapshot(t, root) != before {
		t.Errorf("exit code %d, %v", code, err)
	}
}

// TestFetch downloads the pages from a server of its own.
func TestFetch(t *testing.T) {
	t.Parallel()
	root := copyProject(t)
	published := readFile(t, root, pagesFolder+"/get-async-result.md")
	_, body, _ := strings.Cut(published, "\n---\n")
	found := true
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !found && strings.HasSuffix(r.URL.Path, "agent.md") {
			http.NotFound(w, r)
			return
		}
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(srv.Close)
	// The vendored page says where it is from; this one is from the server.
	page := strings.Replace(published, "https://docs.z.ai/api-reference/agents/get-async-result.md", srv.URL+"/result.md", 1)
	if err := put(filepath.Join(root, filepath.FromSlash(pagesFolder), result), []byte(page)); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Join(t.TempDir(), "pages")
	if got := update(t, root, exitSame, "fetch", "-o", folder, "-from", srv.URL+"/"); strings.TrimSpace(got) != folder {
		t.Errorf("fetch prints %q", got)
	}
	names, err := project.Walk(folder)
	if err != nil || !slices.Equal(names, []string{"agent-conversation.md", "agent.md", "file-upload.md", "get-async-result.md"}) {
		t.Errorf("%q, %v", names, err)
	}
	if got := readFile(t, folder, result); !strings.Contains(got, "\nfetched_at: 2") || !strings.HasSuffix(got, body) {
		t.Errorf("the page is\n%.400s", got)
	}
	// A page that was cut from a document is published nowhere.
	cut := filepath.Join(root, filepath.FromSlash(pagesFolder), "get-a.md")
	if err := put(cut, []byte("---\nsource: cut from all.yaml\n---\n\n````yaml GET /a\nopenapi: 3.0.1\npaths: {/a: {get: {responses: {'200': {description: a}}}}}\n````\n")); err != nil {
		t.Fatal(err)
	}
	again := filepath.Join(t.TempDir(), "pages")
	if got := update(t, root, exitSame, "fetch", "-o", again, "-from", srv.URL+"/"); !strings.Contains(got, "passed over: get-a, which was cut from all.yaml") {
		t.Error(got)
	}
	if fetched, err := project.Walk(again); err != nil || !slices.Equal(fetched, names) {
		t.Errorf("%q, %v", fetched, err)
	}
	if err := os.Remove(cut); err != nil {
		t.Fatal(err)
	}
	// Fetched again and unchanged, a page is the one that is here.
	if got := update(t, root, exitCompatible, "-n", filepath.Join(folder, result)); strings.Contains(got, "### Pages") {
		t.Error(got)
	}
	if got := update(t, root, exitCannot, "fetch", "-o", folder, "-from", srv.URL+"/"); !strings.Contains(got, "not empty") {
		t.Error(got)
	}
	found = false
	if got := update(t, root, exitCannot, "fetch", "-o", filepath.Join(t.TempDir(), "new"), "-from", srv.URL+"/"); !strings.Contains(got, "agent.md: HTTP status 404 Not Found (a guess") {
		t.Error(got)
	}
}
