package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oasdiff/oasdiff/checker"
	"github.com/oasdiff/oasdiff/diff"
	"github.com/oasdiff/oasdiff/load"

	"example.com/zai/internal/spec"
)

// A finding is one change of the description, as the report lists it.
type finding struct {
	severity string // breaking, warning or info
	text     string
	lost     bool // a response property is gone
}

// aServer matches the place of a server, of the API, of a path or of an operation; anotherServer that of one after the
// first one of the API.
var (
	aServer       = regexp.MustCompile(`^(/paths/[^/]+(/[a-z]+)?)?/servers(/|$)`)
	anotherServer = regexp.MustCompile(`^/servers/[1-9]\d*$`)
)

// describe compares two descriptions: what oasdiff says of the change, and every place at which they differ.
func describe(ctx context.Context, old, changed []byte) ([]finding, []spec.Difference, error) {
	a, err := openapi3.NewLoader().LoadFromData(old)
	if err != nil {
		return nil, nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	b, err := openapi3.NewLoader().LoadFromData(changed)
	if err != nil {
		return nil, nil, fmt.Errorf("the new description: %w", err)
	}
	if err := b.Validate(ctx); err != nil {
		return nil, nil, fmt.Errorf("the new description is not valid: %w", err)
	}
	places, err := spec.Differences(old, changed)
	if err != nil {
		return nil, nil, err
	}

	report, sources, err := diff.GetWithOperationsSourcesMap(diff.NewConfig(),
		&load.SpecInfo{Spec: a, Url: "old"}, &load.SpecInfo{Spec: b, Url: "new"})
	if err != nil {
		return nil, nil, fmt.Errorf("oasdiff: %w", err)
	}
	changes := checker.CheckBackwardCompatibilityUntilLevel(checker.NewConfig(checker.GetAllChecks()), report, sources, checker.INFO)
	words := checker.NewDefaultLocalizer()
	var findings []finding
	for _, change := range changes {
		if change.GetId() == "api-version-not-bumped" {
			continue // The version inside the pages never changes.
		}
		f := finding{severity: "info", text: change.GetUncolorizedText(words)}
		if operation := strings.TrimSpace(change.GetOperation() + " " + change.GetPath()); operation != "" {
			f.text = operation + ": " + f.text
		}
		f.text += " [" + change.GetId() + "]"
		switch change.GetLevel() {
		case checker.ERR:
			f.severity = "breaking"
		case checker.WARN:
			f.severity = "warning"
		}
		// oasdiff takes the loss of an optional property for information: a server may always have left it out. A
		// client that reads it breaks all the same, and in Go the field is gone.
		if strings.HasPrefix(change.GetId(), "response-") && strings.Contains(change.GetId(), "property-removed") {
			f.lost, f.severity = true, "breaking"
		}
		findings = append(findings, f)
	}
	// oasdiff takes servers for a matter of deployment. The client has the first one built in.
	for _, place := range places {
		if !place.Text && aServer.MatchString(place.At) {
			f := finding{severity: "breaking", text: "server changed: " + place.String()}
			if place.Old == "" && anotherServer.MatchString(place.At) {
				f.severity = "info"
			}
			findings = append(findings, f)
		}
	}
	return findings, places, nil
}
