package project

import (
	"regexp"
	"strings"
	"testing"
)

// TestReadmeSnippetsAreExamples: every Go snippet of the README stands, line by line, in
// an Example, so that it compiles.
func TestReadmeSnippetsAreExamples(t *testing.T) {
	t.Parallel()
	examples := withoutIndent(readAll(t, "api/*example*_test.go", "api/zaitest/*example*_test.go"))
	snippets := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(snippets) == 0 {
		t.Fatal("the README has no Go snippets")
	}
	for _, snippet := range snippets {
		if !strings.Contains(examples, withoutIndent(snippet[1])) {
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
