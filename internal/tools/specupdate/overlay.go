package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/speakeasy-api/openapi/overlay"
	"github.com/speakeasy-api/openapi/overlay/loader"
	"gopkg.in/yaml.v3"
)

// An overlaid is what became of the overlay on a description.
type overlaid struct {
	dead  []string        // actions that do not apply, with the reason
	idle  map[string]bool // actions that change nothing, or whose change lands beside a $ref
	names map[string]bool // Go types that the overlay names

	// unnamed lists the operations that have no operationId afterwards, as "POST /v1/agents".
	unnamed []string
}

// applyOverlay applies the actions of an overlay one by one, as the generator does, but goes on after the first that
// does not apply.
func applyOverlay(file string, description []byte) (*overlaid, error) {
	all, err := loader.LoadOverlay(file)
	if err != nil {
		return nil, fmt.Errorf("the overlay: %w", err)
	}
	// The generator applies the overlay to the document as its parser writes it.
	doc, err := openapi3.NewLoader().LoadFromData(description)
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	var root yaml.Node
	enc := yaml.NewEncoder(&buf)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		return nil, err
	}
	if err := yaml.Unmarshal(buf.Bytes(), &root); err != nil {
		return nil, err
	}
	result := &overlaid{idle: map[string]bool{}, names: map[string]bool{}}
	for _, action := range all.Actions {
		one := *all
		one.Actions = []overlay.Action{action}
		line := "`" + action.Target + "` (" + strings.Join(strings.Fields(action.Description), " ") + ")"
		if beside := besideRef(&one, &root, action); beside {
			result.idle[line+": what it says now stands beside a `$ref`, where it may be lost"] = true
		}
		warnings, err := one.ApplyToStrict(&root)
		if err != nil {
			reason, _, _ := strings.Cut(err.Error(), ",")
			result.dead = append(result.dead, line+": "+strings.TrimPrefix(reason, "error applying overlay (strict): "))
		}
		for _, warning := range warnings {
			if strings.HasSuffix(warning, "does nothing") && err == nil {
				result.idle[line+": changes nothing any more"] = true
			}
		}
		typeNames(&action.Update, result.names)
	}
	var applied struct {
		Paths map[string]map[string]yaml.Node
	}
	if err := root.Decode(&applied); err != nil {
		return nil, err
	}
	for at, item := range applied.Paths {
		for method, node := range item {
			var operation struct {
				Responses   map[string]yaml.Node
				OperationID string `yaml:"operationId"`
			}
			if node.Decode(&operation) == nil && len(operation.Responses) > 0 && operation.OperationID == "" {
				result.unnamed = append(result.unnamed, strings.ToUpper(method)+" "+at)
			}
		}
	}
	slices.Sort(result.unnamed)
	return result, nil
}

// besideRef reports whether an action updates an object that is a reference.
func besideRef(o *overlay.Overlay, root *yaml.Node, action overlay.Action) bool {
	if action.Remove || action.Update.Kind != yaml.MappingNode {
		return false
	}
	path, err := o.NewPath(action.Target, nil)
	if err != nil {
		return false
	}
	has := func(n *yaml.Node) bool {
		for i := 0; n.Kind == yaml.MappingNode && i < len(n.Content); i += 2 {
			if n.Content[i].Value == "$ref" {
				return true
			}
		}
		return false
	}
	return !has(&action.Update) && slices.ContainsFunc(path.Query(root), has)
}

// typeNames collects the names of types that an update gives.
func typeNames(n *yaml.Node, names map[string]bool) {
	for i, child := range n.Content {
		if n.Kind == yaml.MappingNode && i%2 == 1 && n.Content[i-1].Value == "x-go-type-name" {
			names[child.Value] = true
		}
		typeNames(child, names)
	}
}

// newIdle lists the actions that had an effect on the old description and have none on the new one.
func newIdle(old, changed *overlaid) []string {
	var lines []string
	for _, line := range slices.Sorted(maps.Keys(changed.idle)) {
		if !old.idle[line] {
			lines = append(lines, line)
		}
	}
	return lines
}
