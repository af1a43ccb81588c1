package project

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestSecurityTable finds every test that the threat table names, and a test in every row.
func TestSecurityTable(t *testing.T) {
	t.Parallel()
	var tests strings.Builder
	for _, pattern := range []string{"api/*_test.go", "internal/*/*_test.go"} {
		files, err := filepath.Glob(filepath.Join(projectRoot(t), filepath.FromSlash(pattern)))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			tests.Write(content)
		}
	}
	name := regexp.MustCompile("`((?:Test|Fuzz|Example)[A-Za-z_]*)`")
	rows := 0
	for line := range strings.Lines(read(t, "SECURITY.md")) {
		cells := strings.Split(line, "|")
		if len(cells) != 6 || strings.HasPrefix(cells[1], "---") || strings.TrimSpace(cells[1]) == "Threat" {
			if strings.HasPrefix(line, "|") && len(cells) != 6 {
				t.Errorf("a row of %d cells: %s", len(cells)-2, line)
			}
			continue
		}
		rows++
		named := name.FindAllStringSubmatch(cells[4], -1)
		if len(named) == 0 {
			t.Errorf("no test for the threat%s", cells[1])
		}
		for _, match := range named {
			if !strings.Contains(tests.String(), "\nfunc "+match[1]+"(") {
				t.Errorf("the test %s, for the threat%s, does not exist", match[1], cells[1])
			}
		}
	}
	if rows < 10 {
		t.Errorf("the table has %d rows", rows)
	}
}

// TestPinned finds an exact version wherever something is fetched: actions by commit, tools
// by version, and a checksum for every required module.
func TestPinned(t *testing.T) {
	t.Parallel()
	workflows, err := filepath.Glob(filepath.Join(projectRoot(t), ".github", "workflows", "*"))
	if err != nil || len(workflows) == 0 {
		t.Fatal("no workflows", err)
	}
	commit := regexp.MustCompile(`^\s*(?:- )?uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+\s*$`)
	for _, path := range workflows {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		if !regexp.MustCompile(`(?m)^permissions:\n {2}contents: read$|^permissions: \{\}$`).Match(content) {
			t.Errorf("%s does not begin with the least permissions", name)
		}
		for line := range strings.Lines(string(content)) {
			if strings.Contains(line, "uses:") && !commit.MatchString(line) {
				t.Errorf("%s: not pinned to a commit, with its version behind: %s", name, line)
			}
			if regexp.MustCompile(`curl|wget|go install|npm|pip`).MatchString(line) {
				t.Errorf("%s fetches what nobody pins: %s", name, line)
			}
			if strings.Contains(line, "pull_request_target") {
				t.Errorf("%s gives secrets to strangers: %s", name, line)
			}
		}
	}
	makefile := read(t, "Makefile")
	for _, match := range regexp.MustCompile(`@(\S+)`).FindAllStringSubmatch(makefile, -1) {
		if version := match[1]; strings.HasPrefix(version, "latest") || strings.HasPrefix(version, "master") || strings.HasPrefix(version, "main") {
			t.Errorf("the Makefile runs a tool at %s", version)
		}
	}
	for _, match := range regexp.MustCompile(`(?m)^(\w+_VERSION) *\S?= *(.*)$`).FindAllStringSubmatch(makefile, -1) {
		if !regexp.MustCompile(`^v\d+\.\d+\.\d+$`).MatchString(match[2]) {
			t.Errorf("%s is %s, want an exact version", match[1], match[2])
		}
	}
	sums := read(t, "go.sum")
	for _, require := range goMod(t).Require {
		if !strings.Contains(sums, require.Path+" "+require.Version+"/go.mod h1:") {
			t.Errorf("go.sum holds nothing of %s %s", require.Path, require.Version)
		}
	}
}
