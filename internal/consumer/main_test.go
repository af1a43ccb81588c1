package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"example.com/zai/internal/project"
)

// TestUses does everything that a user does.
func TestUses(t *testing.T) {
	t.Parallel()
	for _, use := range uses {
		t.Run(use.name, func(t *testing.T) {
			t.Parallel()
			spans, err := once(t.Context(), use.do)
			if err != nil {
				t.Fatal(err)
			}
			if spans == 0 {
				t.Error("no request was traced")
			}
		})
	}
}

// TestRun plays the whole program.
func TestRun(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	if got := strings.Count(out.String(), "requests traced\n"); got != len(uses) {
		t.Errorf("got\n%s", out.String())
	}
}

// TestModules makes a module that imports the client and nothing else, has the go command write its requirements, and
// holds them, and what is compiled, to the list.
func TestModules(t *testing.T) {
	t.Parallel()
	root, err := project.Root("../..")
	if err != nil {
		t.Fatal(err)
	}
	client, err := project.ModulePath(root)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":  "module consumer.example/app\n\ngo 1.26.0\n\nreplace " + client + " => " + root + "\n",
		"main.go": "package main\n\nimport _ \"" + client + "/api\"\n\nfunc main() {}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	command(t, dir, "go", "mod", "tidy")

	var mod struct {
		Require []struct{ Path string }
	}
	if err := json.Unmarshal([]byte(command(t, dir, "go", "mod", "edit", "-json")), &mod); err != nil {
		t.Fatal(err)
	}
	allowed := append([]string{client}, project.Importers...)
	for _, require := range mod.Require {
		if !slices.Contains(allowed, require.Path) {
			t.Errorf("a module that uses the client requires %s, which is not on the list", require.Path)
		}
	}
	compiled := strings.Fields(command(t, dir, "go", "list", "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", "."))
	if !slices.Contains(compiled, "github.com/oapi-codegen/runtime") {
		t.Errorf("a program that uses the client compiles only %q", compiled)
	}
	for _, path := range compiled {
		if path != "consumer.example/app" && !slices.Contains(allowed, path) {
			t.Errorf("a program that uses the client compiles %s, which is not on the list", path)
		}
	}
}

// command returns what a command prints that runs in dir.
func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := project.Command(t.Context(), dir, name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}
