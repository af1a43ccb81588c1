package project

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestReadmeSnippetsAreExamples: every Go snippet of the README stands, line by line, in
// an Example, so that it compiles.
func TestReadmeSnippetsAreExamples(t *testing.T) {
	t.Parallel()
	root := "../.."
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	var examples strings.Builder
	for _, dir := range []string{"api", "api/zaitest"} {
		names, err := filepath.Glob(filepath.Join(root, dir, "*example*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			examples.WriteString(withoutIndent(string(data)))
		}
	}
	snippets := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(string(readme), -1)
	if len(snippets) == 0 {
		t.Fatal("the README has no Go snippets")
	}
	for _, snippet := range snippets {
		if !strings.Contains(examples.String(), withoutIndent(snippet[1])) {
			t.Errorf("this snippet stands in no Example:\n%s", snippet[1])
		}
	}
}

// withoutIndent takes the indentation off every line.
func withoutIndent(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimSpace(line)
	}
	return strings.Join(lines, "\n")
}
