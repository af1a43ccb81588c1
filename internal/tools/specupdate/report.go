package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"example.com/zai/internal/spec"
	"example.com/zai/internal/tools/goapi"
)

// The exit codes of the command.
const (
	exitSame       = 0
	exitCannot     = 1
	exitCompatible = 2
	exitBreaking   = 3
)

// A report says what the given pages change.
type report struct {
	edits     []edit
	missing   []string          // operations that are here and no longer described
	notes     []string          // on what was passed over or overruled
	findings  []finding         // by oasdiff
	places    []spec.Difference // every place
	api       []goapi.Change
	lostTypes []string        // exported types that are gone
	named     map[string]bool // types that the overlay names
	dead      []string        // actions of the overlay that do not apply
	idle      []string        // actions of the overlay that have lost their effect
	values    []string        // values without constant, and the other way round
	problems  []string        // what the generator and the compiler say
	refusals  []string        // why the pages are not taken in
	files     []string        // that change
}

// uncompiled notes that the packages do not compile, and refuses the pages unless they are wanted nevertheless.
func (r *report) uncompiled(problem string, wanted bool) {
	const refusal = "the code does not compile with it: take it in all the same with UNCOMPILED=1, and change the hand-written code"
	r.problems = append(r.problems, problem)
	if !wanted && !slices.Contains(r.refusals, refusal) {
		r.refusals = append(r.refusals, refusal)
	}
}

// breaking reports whether the change breaks programs that use the client, or the client itself. What oasdiff warns of
// counts: a request property that the server no longer knows is one.
func (r *report) breaking() bool {
	return len(r.missing) > 0 || len(r.lostTypes) > 0 ||
		slices.ContainsFunc(r.findings, func(f finding) bool { return f.severity != "info" }) ||
		slices.ContainsFunc(r.api, func(c goapi.Change) bool { return !c.Compatible })
}

// code returns the exit code.
func (r *report) code() int {
	switch {
	case len(r.refusals) > 0:
		return exitCannot
	case len(r.files) == 0 && len(r.missing) == 0:
		return exitSame
	case r.breaking():
		return exitBreaking
	}
	return exitCompatible
}

// verdict says in a few words what an exit code means.
func verdict(code int) string {
	return map[int]string{
		exitSame: "nothing changed", exitCannot: "refused", exitCompatible: "changed compatibly", exitBreaking: "changed, breaking",
	}[code]
}

// write writes the report in Markdown.
func (r *report) write(w io.Writer) error {
	var out strings.Builder
	fmt.Fprintf(&out, "## API description: %s\n", verdict(r.code()))
	if len(r.refusals) > 0 {
		kind := "compatible, as far as it can be told"
		if r.breaking() {
			kind = "breaking"
		}
		fmt.Fprintf(&out, "\nNothing is replaced. The change itself is %s.\n\n", kind)
		list(&out, r.refusals, 0)
	}

	var texts, places []string
	for _, place := range r.places {
		line := "`" + strings.ReplaceAll(place.String(), "`", "'") + "`"
		if place.Text {
			texts = append(texts, line)
		} else {
			places = append(places, line)
		}
	}
	var edits, lost, findings, breaks, additions, types []string
	for _, e := range r.edits {
		edits = append(edits, "`"+e.name+"`: "+e.why)
	}
	for _, f := range r.findings {
		if f.lost {
			lost = append(lost, f.text)
		} else {
			findings = append(findings, f.severity+": "+f.text)
		}
	}
	for _, change := range r.api {
		if change.Compatible {
			additions = append(additions, "`"+change.Symbol+"`: "+change.Message)
		} else {
			breaks = append(breaks, "`"+change.Symbol+"`: "+change.Message)
		}
	}
	for _, name := range r.lostTypes {
		line := "`" + name + "`"
		if r.named[name] {
			line += ": the overlay names it, and the name no longer takes effect (a shape that moved to a `$ref`, or is gone)"
		}
		types = append(types, line)
	}
	section(&out, "Pages", edits, 0)
	section(&out, "Operations that are gone", r.missing, 0)
	section(&out, "Response properties that are gone", lost, 0)
	section(&out, "Changes of the API (oasdiff)", findings, 0)
	section(&out, "Exported Go API: incompatible (apidiff)", breaks, 0)
	section(&out, "Exported Go API: compatible (apidiff)", additions, 0)
	section(&out, "Go types that have lost their name", types, 0)
	section(&out, "Overlay actions that do not apply", r.dead, 0)
	section(&out, "Overlay actions that have lost their effect", r.idle, 0)
	section(&out, "Values and constants", r.values, 0)
	section(&out, "Notes", r.notes, 0)
	for _, problem := range r.problems {
		fmt.Fprintf(&out, "\n### The generator and the compiler say\n\n```\n%s\n```\n", strings.TrimSpace(problem))
	}
	section(&out, "Every place that changed", places, 0)
	section(&out, "Texts that changed", texts, 40)
	if r.code() != exitCannot {
		section(&out, "Files", r.files, 0)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// section writes a list under a heading, unless it is empty.
func section(out *strings.Builder, heading string, lines []string, most int) {
	if len(lines) > 0 {
		fmt.Fprintf(out, "\n### %s\n\n", heading)
		list(out, lines, most)
	}
}

// list writes lines as a list, at most so many of them, or all if most is 0.
func list(out *strings.Builder, lines []string, most int) {
	for i, line := range lines {
		if most > 0 && i == most {
			fmt.Fprintf(out, "- and %d more\n", len(lines)-most)
			return
		}
		fmt.Fprintf(out, "- %s\n", line)
	}
}
