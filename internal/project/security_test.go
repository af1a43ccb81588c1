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
	tests := readAll(t, "api/*_test.go", "internal/*/*_test.go")
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
			if !strings.Contains(tests, "\nfunc "+match[1]+"(") {
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
			if regexp.MustCompile(`curl|wget|go install|go run|go tool|@latest|npm|pip`).MatchString(line) {
				t.Errorf("%s fetches what nobody pins: %s", name, line)
			}
			if strings.Contains(line, "pull_request_target") {
				t.Errorf("%s gives secrets to strangers: %s", name, line)
			}
		}
	}
	makefile := read(t, "Makefile")
	for name, text := range map[string]string{"the Makefile": makefile, ".ci/run": read(t, ".ci/run"), "gen.go": read(t, "gen.go")} {
		for _, match := range regexp.MustCompile(`[\w-]+\.[a-z]+/[\w./-]+@([^\s'"]+)`).FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile(`^(?:v\d+\.\d+\.\d+|\$\(\w+_VERSION\))$`).MatchString(match[1]) {
				t.Errorf("%s names a tool at %s", name, match[1])
			}
		}
	}
	for _, match := range regexp.MustCompile(`(?m)^(\w+_VERSION) *\S?= *(.*)$`).FindAllStringSubmatch(makefile, -1) {
		if !regexp.MustCompile(`^v\d+\.\d+\.\d+$`).MatchString(match[2]) {
			t.Errorf("%s is %s, want an exact version", match[1], match[2])
		}
	}
	modules := regexp.MustCompile(`(?m)^MODULES := (.*)$`).FindStringSubmatch(makefile)
	if modules == nil {
		t.Fatal("the Makefile lists no modules")
	}
	for _, module := range append(strings.Fields(modules[1]), ".") {
		sums := read(t, filepath.Join(module, "go.sum"))
		for _, require := range goMod(t, module).Require {
			if require.Version != Version(require.Path) && !strings.Contains(sums, require.Path+" "+require.Version+"/go.mod h1:") {
				t.Errorf("go.sum of %s holds nothing of %s %s", module, require.Path, require.Version)
			}
		}
	}
}

// TestFuzzTargets finds kept inputs of each fuzz target, no inputs of a target that is gone, and how long each runs.
func TestFuzzTargets(t *testing.T) {
	t.Parallel()
	for name, run := range map[string]string{"Makefile": "$(MAKE) fuzz FUZZTIME=5s\n", filepath.Join(".github", "workflows", "nightly.yml"): "run: make fuzz FUZZTIME=30s\n"} {
		if !strings.Contains(read(t, name), run) {
			t.Errorf("%s does not run %q", name, run)
		}
	}
	targets := map[string]bool{}
	for _, dir := range []string{"api", "internal/spec"} {
		for _, match := range regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`).FindAllStringSubmatch(readAll(t, dir+"/*_test.go"), -1) {
			targets[filepath.Join(filepath.FromSlash(dir), "testdata", "fuzz", match[1])] = true
		}
	}
	kept, err := filepath.Glob(filepath.Join(projectRoot(t), "*", "testdata", "fuzz", "*"))
	more, err2 := filepath.Glob(filepath.Join(projectRoot(t), "*", "*", "testdata", "fuzz", "*"))
	if kept = append(kept, more...); err != nil || err2 != nil || len(targets) < 9 || len(kept) != len(targets) {
		t.Errorf("%d fuzz targets, and inputs of %d", len(targets), len(kept))
	}
	for _, dir := range kept {
		name, err := filepath.Rel(projectRoot(t), dir)
		inputs, err2 := os.ReadDir(dir)
		if err != nil || err2 != nil || !targets[name] || len(inputs) < 5 {
			t.Errorf("%s holds %d inputs, of a target: %t", name, len(inputs), targets[name])
		}
	}
}
