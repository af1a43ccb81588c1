package main

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"example.com/zai/internal/project"
)

// TestRenameBuilds renames a copy of this project, and builds it: to the point where every import is found, and in CI
// completely, with the modules below it.
func TestRenameBuilds(t *testing.T) {
	t.Parallel()
	root, err := project.Root(".")
	if err != nil {
		t.Fatal(err)
	}
	from, err := project.ModulePath(root)
	if err != nil {
		t.Fatal(err)
	}
	files, err := project.Files(t.Context(), root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := project.Copy(dir, root, files); err != nil {
		t.Fatal(err)
	}

	const to = "git.moved.example/team/Zai_client/v2"
	var out bytes.Buffer
	if err := rename(t.Context(), dir, to, &out); err != nil {
		t.Fatal(err)
	}
	if want := "the module is now " + to + ", was " + from; !strings.HasPrefix(out.String(), want) {
		t.Errorf("rename reports %q, want it to begin with %q", out.String(), want)
	}

	left := regexp.MustCompile(regexp.QuoteMeta(from) + `([^\w~-]|$)`)
	for _, name := range files {
		old, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.HasPrefix(name, pages):
			if !bytes.Equal(old, content) {
				t.Errorf("%s changed, which is kept as it was published", name)
			}
		case left.Match(content):
			t.Errorf("%s still says %q", name, left.Find(content))
		}
	}
	renamed, err := project.Walk(dir)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(renamed, files) {
		t.Errorf("the renamed copy has the files %q, want %q", renamed, files)
	}
	// Every import is found under the new path; whether everything also compiles, which takes long, CI tries.
	verbs := [][]string{{"list", "-deps", "-test", "./..."}}
	modules := []string{"."}
	if os.Getenv("CI") != "" {
		verbs = append(verbs, []string{"build", "./..."}, []string{"vet", "./..."})
		modules = modules[:0]
		for _, name := range files {
			if path.Base(name) == "go.mod" {
				modules = append(modules, path.Dir(name))
			}
		}
	}
	for _, module := range modules {
		for _, verb := range verbs {
			folder := filepath.Join(dir, filepath.FromSlash(module))
			if output, err := project.Command(t.Context(), folder, "go", verb...).CombinedOutput(); err != nil {
				t.Errorf("in %s after the renaming, go %s: %v\n%s", module, strings.Join(verb, " "), err, output)
			}
		}
	}
	if was, is := unformatted(t, root), unformatted(t, dir); was != is {
		t.Errorf("gofmt wants to change\n%s\nafter the renaming, before it\n%s", is, was)
	}
}

// unformatted lists the files below dir that gofmt would change.
func unformatted(t *testing.T, dir string) string {
	t.Helper()
	output, err := project.Command(t.Context(), dir, "gofmt", "-l", ".").Output()
	if err != nil {
		t.Fatalf("gofmt -l: %v", err)
	}
	return string(output)
}

// TestRenameTwice renames to the path that the module has, which changes nothing, and there and back again.
func TestRenameTwice(t *testing.T) {
	t.Parallel()
	const old, other = "old.example/mod", "another.example/mod"
	original := map[string]string{
		"go.mod":                   "module old.example/mod\n\ngo 1.26.0\n",
		"mod.go":                   "package mod\n\nimport (\n\t\"github.com/a/b\"\n\t\"old.example/mod/api\"\n)\n",
		"bin":                      "\x00old.example/mod",
		pages + "a.md":             "old.example/mod\n",
		"docs/README.md":           "Import `old.example/mod/api`.\n",
		"internal/consumer/go.mod": "module old.example/mod/internal/consumer\n\nreplace old.example/mod => ../..\n",
	}
	dir := t.TempDir()
	for name, content := range original {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(name, want string) {
		t.Helper()
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != want {
			t.Errorf("%s is\n%s\nwant\n%s", name, got, want)
		}
	}
	run := func(to, report string) {
		t.Helper()
		var out bytes.Buffer
		if err := rename(t.Context(), dir, to, &out); err != nil {
			t.Fatal(err)
		}
		if out.String() != report {
			t.Errorf("rename to %s reports %q, want %q", to, out.String(), report)
		}
	}

	run(old, "the module is old.example/mod already\n")
	run(other, "the module is now another.example/mod, was old.example/mod: 4 files changed\n")
	expect("go.mod", "module another.example/mod\n\ngo 1.26.0\n")
	expect("mod.go", "package mod\n\nimport (\n\t\"another.example/mod/api\"\n\t\"github.com/a/b\"\n)\n")
	expect("internal/consumer/go.mod",
		"module another.example/mod/internal/consumer\n\nreplace another.example/mod => ../..\n")
	run(old, "the module is now old.example/mod, was another.example/mod: 4 files changed\n")
	for name, content := range original {
		expect(name, content)
	}
	if err := rename(t.Context(), dir, "not a path", &bytes.Buffer{}); err == nil {
		t.Error("rename takes a path with spaces")
	}
	for name, content := range original {
		expect(name, content)
	}
}

// TestRequireMajor: a module whose path ends with a major version is required at one.
func TestRequireMajor(t *testing.T) {
	t.Parallel()
	const other = "\tother.example/mod v1.0.0\n"
	for _, form := range []string{"require %s\n", "require (\n\t%s\n" + other + ")\n"} {
		for module, version := range map[string]string{"a.example/mod": "v0.0.0", "a.example/mod/v2": "v2.0.0", "a.example/v10": "v10.0.0"} {
			for _, before := range []string{"v0.0.0", "v2.0.0"} {
				got := string(requireMajor(fmt.Appendf(nil, form, module+" "+before), module))
				if want := fmt.Sprintf(form, module+" "+version); got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			}
		}
	}
}

// TestReplacer pins where the path is replaced, and where it is part of another name.
func TestReplacer(t *testing.T) {
	t.Parallel()
	replace := replacer("old.example/mod", "new.example.org/x")
	for in, want := range map[string]string{
		`old.example/mod`:                          `new.example.org/x`,
		`import "old.example/mod/api"`:             `import "new.example.org/x/api"`,
		`https://pkg.go.dev/old.example/mod.`:      `https://pkg.go.dev/new.example.org/x.`,
		`git@old.example/mod.git`:                  `git@new.example.org/x.git`,
		`a old.example/mod b (old.example/mod)`:    `a new.example.org/x b (new.example.org/x)`,
		`^old\.example/mod/api$`:                   `^new\.example\.org/x/api$`,
		`"^old\\.example/mod"`:                     `"^new\\.example\\.org/x"`,
		`"go 1\nold.example/mod\told.example/mod"`: `"go 1\nnew.example.org/x\tnew.example.org/x"`,
		`-X=old.example/mod/api.version=1`:         `-X=new.example.org/x/api.version=1`,
		`old.example/module`:                       `old.example/module`,
		`old.example/mod-go`:                       `old.example/mod-go`,
		`old.example/mod~`:                         `old.example/mod~`,
		`very-old.example/mod`:                     `very-old.example/mod`,
		`www.old.example/mod`:                      `www.old.example/mod`,
		`oldXexample/mod`:                          `oldXexample/mod`,
		``:                                         ``,
	} {
		if got := string(replace([]byte(in))); got != want {
			t.Errorf("%s becomes %s, want %s", in, got, want)
		}
	}
	inside := replacer("old.example/mod", "old.example/mod/v2")
	if got, want := string(inside([]byte("old.example/mod/api"))), "old.example/mod/v2/api"; got != want {
		t.Errorf("a new path that begins with the old one gives %s, want %s", got, want)
	}
}

// TestValidate lists paths that a module can have, and paths it cannot.
func TestValidate(t *testing.T) {
	t.Parallel()
	for _, path := range []string{
		"example.org/zai", "github.com/acme/zai-go", "git.example.org/a/b_c/D.e/v2", "example.org/a/v10", "a.b/v",
	} {
		if err := validate(path); err != nil {
			t.Error(err)
		}
	}
	for _, path := range []string{
		"", " ", "zai", "example.org", "example.org/", "/example.org/zai", "example.org/zai/", "example.org//zai",
		"example.org/za i", "example.org/zai\n", "https://example.org/zai", "Example.org/zai", "localhost/zai",
		"example..org/zai", ".example.org/zai", "-example.org/zai", "example.org/../zai", "example.org/.zai",
		"example.org/zai.", "example.org/zai@v1", "example.org/zai/v1", "example.org/zai/v0", "example.org/zai/v02",
		"example.org/$(zai)", "example.org/züi", "example.org:8080/zai", `example.org\zai`,
	} {
		if validate(path) == nil {
			t.Errorf("%q passes for a module path", path)
		}
	}
}
