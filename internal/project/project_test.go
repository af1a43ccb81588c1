package project

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// projectRoot returns the folder of this project.
func projectRoot(t *testing.T) string {
	t.Helper()
	root, err := Root(".")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// read returns the content of a file of this project.
func read(t *testing.T, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(projectRoot(t), filepath.FromSlash(name)))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// command returns what a command that runs in dir prints on standard output.
func command(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := Command(t.Context(), dir, name, args...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return string(out)
}

// module is what the tests want to know of a go.mod, as "go mod edit -json" writes it.
type module struct {
	Module struct {
		Path string `json:"Path"`
	} `json:"Module"`
	Go        string `json:"Go"`
	Toolchain string `json:"Toolchain"`
	Require   []struct {
		Path     string `json:"Path"`
		Version  string `json:"Version"`
		Indirect bool   `json:"Indirect"`
	} `json:"Require"`
	Exclude []any `json:"Exclude"`
	Replace []any `json:"Replace"`
	Tool    []struct {
		Path string `json:"Path"`
	} `json:"Tool"`
}

// readAll returns the contents of the files of this project that match the patterns, one after the other.
func readAll(t *testing.T, patterns ...string) string {
	t.Helper()
	var all strings.Builder
	for _, pattern := range patterns {
		names, err := filepath.Glob(filepath.Join(projectRoot(t), filepath.FromSlash(pattern)))
		if err != nil || len(names) == 0 {
			t.Fatalf("%s matches nothing: %v", pattern, err)
		}
		for _, name := range names {
			content, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			all.Write(content)
		}
	}
	return all.String()
}

// goMod returns the go.mod of the module in a folder of the project.
func goMod(t *testing.T, dir string) module {
	t.Helper()
	var m module
	if err := json.Unmarshal([]byte(command(t, filepath.Join(projectRoot(t), dir), "go", "mod", "edit", "-json")), &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestFiles lists the files of a small git repository, and of the same folder without git.
func TestFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(names ...string) {
		for _, name := range names {
			path := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(name), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	expect := func(folder string, want ...string) {
		t.Helper()
		got, err := Files(t.Context(), folder)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("the files are %q, want %q", got, want)
		}
	}
	write("b", "a/ä \"1\"\n", "gone", "sub/c")
	if err := os.WriteFile(filepath.Join(dir, ".gitignore"), []byte("*.tmp\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(dir, ".gitignore", "a/ä \"1\"\n", "b", "gone", "sub/c")

	if _, err := exec.LookPath("git"); err != nil && os.Getenv("CI") == "" {
		t.Skip("git is not there, and is what the rest is about")
	}
	command(t, dir, "git", "init", "--quiet")
	command(t, dir, "git", "add", "--all")
	if err := os.Remove(filepath.Join(dir, "gone")); err != nil {
		t.Fatal(err)
	}
	write("new", "x.tmp", "sub/y.tmp")
	expect(dir, ".gitignore", "a/ä \"1\"\n", "b", "new", "sub/c")
	// A folder inside somebody else's repository is no work tree of its own.
	expect(filepath.Join(dir, "sub"), "c", "y.tmp")

	files, err := Files(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	if err := Copy(to, dir, files); err != nil {
		t.Fatal(err)
	}
	expect(to, files...)
}
