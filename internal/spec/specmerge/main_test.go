package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	vendored    = "```yaml\nopenapi: 3.0.1\npaths: {/a: {post: {a: 1}}}\n```\n"
	transcribed = "x-transcribed: facts\nopenapi: 3.0.1\npaths: {/a: {post: {a: 2}}}\n"
)

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestRun(t *testing.T) {
	pages, out := t.TempDir(), filepath.Join(t.TempDir(), "openapi.yaml")
	args := []string{"-pages", pages, "-o", out}
	step := func(wantCode int, wantStderr string) string {
		t.Helper()
		var stderr bytes.Buffer
		if code := run(args, &stderr); code != wantCode {
			t.Errorf("got exit code %d, want %d: %s", code, wantCode, &stderr)
		}
		if !strings.Contains(stderr.String(), wantStderr) || wantStderr == "" && stderr.Len() > 0 {
			t.Errorf("got %q on standard error, want %q", &stderr, wantStderr)
		}
		text, _ := os.ReadFile(out)
		return string(text)
	}

	step(1, "specmerge: no pages to merge")
	write(t, filepath.Join(pages, "a.md"), vendored)
	first := step(0, "")
	if !strings.Contains(first, "post: {a: 1}") {
		t.Errorf("got\n%s", first)
	}
	before, err := os.Stat(out)
	if err != nil {
		t.Fatal(err)
	}
	step(0, "")
	if after, err := os.Stat(out); err != nil || !os.SameFile(before, after) {
		t.Errorf("a second run wrote the file again: %v", err)
	}

	write(t, filepath.Join(pages, "b.yaml"), transcribed)
	second := step(0, "/paths/~1a/post: kept what a.md (vendored) says, not b.yaml (transcribed)")
	if !strings.Contains(second, "post: {a: 1}") {
		t.Errorf("got\n%s", second)
	}

	write(t, filepath.Join(pages, "c.md"), strings.ReplaceAll(vendored, "a: 1", "a: 3"))
	if got := step(1, "/paths/~1a/post: a.md and c.md differ"); got != second {
		t.Errorf("a refused run changed the file:\n%s", got)
	}
	write(t, filepath.Join(pages, "c.md"), "half a page")
	if got := step(1, "specmerge: c.md: no fenced yaml block"); got != second {
		t.Errorf("a refused run changed the file:\n%s", got)
	}
}

func TestRunUsage(t *testing.T) {
	for _, args := range [][]string{{"-x"}, {"page.md"}} {
		var stderr bytes.Buffer
		if code := run(args, &stderr); code != 2 || stderr.Len() == 0 {
			t.Errorf("%v: exit code %d, %q on standard error", args, code, &stderr)
		}
	}
	var stderr bytes.Buffer
	if code := run([]string{"-pages", filepath.Join(t.TempDir(), "missing")}, &stderr); code != 1 {
		t.Errorf("a folder that is not there: exit code %d", code)
	}
}
