package project

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestMakeHelp finds every target of the Makefile in what "make help" prints, and in what plain "make" prints.
func TestMakeHelp(t *testing.T) {
	t.Parallel()
	program := "make"
	if path, err := exec.LookPath("gmake"); err == nil {
		program = path
	} else if _, err := exec.LookPath(program); err != nil && os.Getenv("CI") == "" {
		t.Skip("make is not there, and is what this test is about")
	}
	makefile := read(t, "Makefile")
	var targets []string
	for _, match := range regexp.MustCompile(`(?m)^([a-z][a-z-]*):(?:[^=]|$)`).FindAllStringSubmatch(makefile, -1) {
		targets = append(targets, match[1])
	}
	for _, target := range []string{
		"help", "generate", "check-generated", "spec", "spec-diff", "spec-fetch", "compat", "demo", "test", "lint", "bench",
		"consumer", "rename", "ci",
	} {
		if !slices.Contains(targets, target) {
			t.Errorf("the Makefile has no target %s", target)
		}
	}
	var phony []string
	for _, match := range regexp.MustCompile(`(?m)^\.PHONY:(.*)$`).FindAllStringSubmatch(makefile, -1) {
		phony = append(phony, strings.Fields(match[1])...)
	}

	help := command(t, projectRoot(t), program, "help")
	for _, target := range targets {
		if !regexp.MustCompile(`(?m)^ +` + target + ` +[A-Z].*\.$`).MatchString(help) {
			t.Errorf("make help has no line for %s:\n%s", target, help)
		}
		if !slices.Contains(phony, target) {
			t.Errorf("the target %s is not listed as .PHONY: a file of its name would hide it", target)
		}
	}
	if got := command(t, projectRoot(t), program); got != help {
		t.Errorf("make without a target prints\n%s\nwant what make help prints\n%s", got, help)
	}
}
