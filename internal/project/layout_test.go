package project

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// topLevel is everything that may stand at the top of the repository, files whose name begins with a dot aside.
var topLevel = map[string]bool{ // whether it must be there
	"CHANGELOG.md":      true,
	"LICENSE":           true,
	"Makefile":          true,
	"README.md":         true,
	"SECURITY.md":       true,
	"api":               true,
	"gen.go":            true,
	"go.mod":            true,
	"go.sum":            true,
	"internal":          true,
	"oapi-codegen.yaml": true,
	"openapi.yaml":      true,
}

// TestTopLevel holds the top of the repository to the fixed list.
func TestTopLevel(t *testing.T) {
	t.Parallel()
	files, err := Files(t.Context(), projectRoot(t))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, file := range files {
		name, _, _ := strings.Cut(file, "/")
		if _, allowed := topLevel[name]; !allowed && !found[name] && !strings.HasPrefix(name, ".") {
			t.Errorf("%s does not belong at the top level", name)
		}
		found[name] = true
	}
	for name, must := range topLevel {
		if must && !found[name] {
			t.Errorf("%s is missing", name)
		}
	}
}

// TestChangelog finds the revision of every vendored page in the changelog: the day it was fetched and the beginning of
// its checksum, because the version number inside the pages never changes.
func TestChangelog(t *testing.T) {
	t.Parallel()
	changelog := read(t, "CHANGELOG.md")
	pages, err := filepath.Glob(filepath.Join(projectRoot(t), "internal", "spec", "pages", "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	fetched := regexp.MustCompile(`(?m)^fetched_at: *"?(\d{4}-\d{2}-\d{2})`)
	var named []string
	for _, path := range pages {
		page, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		header, _, _ := bytes.Cut(page, []byte("\n---\n"))
		day := fetched.FindSubmatch(header)
		if day == nil {
			continue // not a published page
		}
		name := strings.TrimSuffix(filepath.Base(path), ".md")
		named = append(named, name)
		sum := sha256.Sum256(page)
		digits := hex.EncodeToString(sum[:])[:12]
		// Older sections name older revisions: the first mention is the one of this tree.
		mention := regexp.MustCompile("(?m)^.*`" + regexp.QuoteMeta(name) + "`.*$").FindString(changelog)
		if !strings.Contains(mention, string(day[1])) || !strings.Contains(mention, digits) {
			t.Errorf("the changelog says %q of the page %s, want `%s` with the date %s and the checksum %s on one line",
				mention, filepath.Base(path), name, day[1], digits)
		}
	}
	if !slices.Contains(named, "get-async-result") {
		t.Errorf("the vendored pages are %q, want get-async-result among them", named)
	}
}
