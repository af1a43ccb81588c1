package project

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// direct lists the modules that go.mod may require directly, with the reason. Linters and other checkers are not among
// them: the Makefile runs those at a version of its own.
var direct = map[string]string{
	"github.com/oapi-codegen/runtime":         "what the generated client calls",
	"golang.org/x/time":                       "the limiter for the rate of requests",
	"github.com/getkin/kin-openapi":           "validation against the description, in tests and internal only",
	"go.yaml.in/yaml/v3":                      "reading and merging the published pages, in internal only",
	"github.com/oapi-codegen/oapi-codegen/v2": "the generator, a tool",
	"github.com/google/go-cmp":                "tests: comparing values",
	"go.uber.org/goleak":                      "tests: goroutines left behind",
	"pgregory.net/rapid":                      "tests: properties",
}

// TestGoMod holds go.mod to what importers are promised: the older of the two supported Go versions, and few
// requirements, each for a reason.
func TestGoMod(t *testing.T) {
	t.Parallel()
	m := goMod(t, ".")
	if m.Go != "1.26.0" || m.Toolchain != "" {
		t.Errorf("go.mod says go %s and toolchain %q, want go 1.26.0 and no toolchain", m.Go, m.Toolchain)
	}
	const generator = "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"
	if len(m.Tool) != 1 || m.Tool[0].Path != generator {
		t.Errorf("go.mod has the tools %v, want %s alone", m.Tool, generator)
	}
	if len(m.Replace) > 0 || len(m.Exclude) > 0 {
		t.Errorf("go.mod replaces %v and excludes %v, which importers do not see", m.Replace, m.Exclude)
	}
	versions := map[string]string{}
	for _, require := range m.Require {
		versions[require.Path] = require.Version
		if _, ok := direct[require.Path]; !ok && !require.Indirect {
			t.Errorf("go.mod requires %s, which is not on the list of direct requirements", require.Path)
		}
	}
	// Ours is the least version that an importer can have, and kin-openapi breaks its API between versions.
	if got, want := versions["github.com/getkin/kin-openapi"], "v0.142.0"; got != want {
		t.Errorf("go.mod requires kin-openapi %s, want %s", got, want)
	}
}

// TestImporters builds the import graph of a module that imports this one, and holds the modules in it to the list.
func TestImporters(t *testing.T) {
	t.Parallel()
	m := goMod(t, ".")
	dir := t.TempDir()

	// The consumer requires what this module requires, so that the go command need not look for anything.
	var mod strings.Builder
	fmt.Fprintf(&mod, "module consumer.example/app\n\ngo %s\n\nrequire %s %s\n", m.Go, m.Module.Path, Version(m.Module.Path))
	for _, require := range m.Require {
		fmt.Fprintf(&mod, "require %s %s // indirect\n", require.Path, require.Version)
	}
	fmt.Fprintf(&mod, "replace %s => %q\n", m.Module.Path, projectRoot(t))
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", mod.String())
	write("go.sum", read(t, "go.sum"))

	for _, test := range []struct {
		name, imports string
		must, may     []string
	}{
		{name: "client", imports: m.Module.Path + "/api", must: []string{"github.com/oapi-codegen/runtime"}, may: Importers},
		{name: "zaitest", imports: m.Module.Path + "/api/zaitest"},
		{name: "description", imports: m.Module.Path},
	} {
		write(test.name+"/main.go", fmt.Sprintf("package main\n\nimport _ %q\n\nfunc main() {}\n", test.imports))
		list := command(t, dir, "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "./"+test.name)
		modules := strings.Fields(list)
		slices.Sort(modules)
		modules = slices.Compact(modules)
		must := append([]string{"consumer.example/app", m.Module.Path}, test.must...)
		for _, path := range must {
			if !slices.Contains(modules, path) {
				t.Errorf("importing %s compiles the modules %q, want %s among them", test.imports, modules, path)
			}
		}
		for _, path := range modules {
			if !slices.Contains(must, path) && !slices.Contains(test.may, path) {
				t.Errorf("importing %s compiles the module %s, which is not on the list", test.imports, path)
			}
		}
	}
}
