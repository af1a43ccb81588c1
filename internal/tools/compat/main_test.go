package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const released = "package api\n\nimport \"context\"\n\n" +
	"type Result struct{ Status string }\n\n" +
	"func (*Result) Text(context.Context) string { return \"\" }\n\n" +
	"type ClientInterface interface{ Get() }\n"

// repository makes a small module in a git repository of its own.
func repository(t *testing.T) (dir string, write func(name, content string), commit func(tag string)) {
	t.Helper()
	dir = t.TempDir()
	write = func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(args ...string) {
		t.Helper()
		if _, err := git(t.Context(), dir, args...); err != nil {
			t.Fatal(err)
		}
	}
	commit = func(tag string) {
		t.Helper()
		run("add", "--all")
		run("-c", "user.name=a", "-c", "user.email=a@example.com", "commit", "--quiet", "--allow-empty", "--message=a")
		if tag != "" {
			run("tag", tag)
		}
	}
	run("init", "--quiet")
	write("go.mod", "module mod.example/m\n\ngo 1.26.0\n")
	write("CHANGELOG.md", "# Changelog\n\n## [Unreleased]\n")
	write("api/api.go", released)
	write("api/zaitest/server.go", "package zaitest\n\nfunc NewServer() {}\n")
	return dir, write, commit
}

// TestCompat compares a module with its last tag, after changes of every kind.
func TestCompat(t *testing.T) {
	t.Parallel()
	const mention = "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- Something.\n\n"
	for _, test := range []struct {
		name      string
		files     map[string]string
		want, err string // in the output and in the error
	}{
		{name: "no change", want: "compared with v0.2.0\n"},
		{
			name:  "compatible",
			files: map[string]string{"api/api.go": released + "\ntype New int\n"},
			want:  "compatible: api: New: added",
		},
		{
			name:  "a new method of a generated interface",
			files: map[string]string{"api/api.go": strings.Replace(released, "Get()", "Get(); Put()", 1)},
			want:  "  compatible: api: ClientInterface.Put: added",
		},
		{
			name:  "incompatible",
			files: map[string]string{"api/api.go": strings.Replace(released, "Status string", "Status int", 1)},
			want:  "incompatible: api: Result.Status: changed from string to int",
			err:   "what broke:\n  api: Result.Status: changed",
		},
		{
			name: "incompatible in zaitest",
			files: map[string]string{
				"api/zaitest/server.go": "package zaitest\n\nfunc NewServer(int) {}\n",
				"CHANGELOG.md":          mention + "### Changed\n\n- `Server` and `New`.\n",
			},
			err: "api/zaitest: NewServer",
		},
		{
			name: "mentioned",
			files: map[string]string{
				"api/api.go":   strings.Replace(released, "Text(context.Context)", "Text(context.Context, int)", 1),
				"CHANGELOG.md": mention + "### Changed\n\n- Other.\n- The method\n  `Result.Text` takes a number too.\n\n## [0.2.0]\n",
			},
			want: "incompatible: api: (*Result).Text: changed",
		},
		{
			name: "mentioned as added",
			files: map[string]string{
				"api/api.go":   strings.Replace(released, "Status string", "Status int", 1),
				"CHANGELOG.md": mention + "- `Result.Status`.\n",
			},
			err: "Result.Status",
		},
		{
			name: "mentioned in an older section",
			files: map[string]string{
				"api/api.go":   strings.Replace(released, "Status string", "Status int", 1),
				"CHANGELOG.md": mention + "## [0.2.0]\n\n### Changed\n\n- `Result.Status`.\n",
			},
			err: "Result.Status",
		},
		{
			name: "mentioned in two entries",
			files: map[string]string{
				"api/api.go":   strings.Replace(released, "Status string", "Status int", 1),
				"CHANGELOG.md": mention + "### Removed\n\n- `Result`\n- `Status`\n",
			},
			err: "Result.Status",
		},
		{
			name:  "does not compile",
			files: map[string]string{"api/api.go": released + "\nvar x undefined\n"},
			err:   "does not compile",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir, write, commit := repository(t)
			write("api/api.go", "package api\n")
			commit("v0.1.0")
			write("api/api.go", released)
			commit("v0.2.0")
			commit("not-a-version")
			for name, content := range test.files {
				write(name, content)
			}
			var out bytes.Buffer
			err := compat(t.Context(), filepath.Join(dir, "api"), &out)
			if !strings.Contains(out.String(), test.want) {
				t.Errorf("it prints\n%s\nwithout %q", out.String(), test.want)
			}
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got the error %v, want one with %q", err, test.err)
			}
			if left, err := git(t.Context(), dir, "worktree", "list"); err != nil || strings.Count(left, "\n") != 1 {
				t.Errorf("the work trees afterwards are %q, %v", left, err)
			}
		})
	}
}

// TestWithoutTag: there is nothing to compare with.
func TestWithoutTag(t *testing.T) {
	t.Parallel()
	dir, _, commit := repository(t)
	step := func(dir string) {
		t.Helper()
		var out bytes.Buffer
		if err := compat(t.Context(), dir, &out); err != nil || !strings.Contains(out.String(), "there is no tag") {
			t.Errorf("it prints %q, %v", out.String(), err)
		}
	}
	step(dir) // without a commit
	commit("")
	step(dir)
	commit("latest")
	step(dir)

	archive := t.TempDir()
	if err := os.WriteFile(filepath.Join(archive, "go.mod"), []byte("module mod.example/m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	step(archive) // without git

	if err := os.WriteFile(filepath.Join(dir, ".git", "config"), []byte("[broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := compat(t.Context(), dir, &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "git rev-parse") {
		t.Errorf("a repository that git does not read: %v", err)
	}
}
