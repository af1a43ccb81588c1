package spec

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// enumOf binds the properties that have named values to the Go types of their values.
var enumOf = map[string]string{
	"agent_id":      "AgentID",
	"status":        "Status",
	"finish_reason": "FinishReason",
	"role":          "Role",
	"type":          "PartType",
	"phase":         "Phase",
	"source_lang":   "Language",
	"target_lang":   "Language",
	"strategy":      "Strategy",
	"template":      "Template",
}

// plain lists the properties that have named values and no enum type, with the reason.
var plain = map[string]string{
	"purpose":     "one value, which the client sets itself",
	"reason_lang": "two words that no program looks at",
	"stream":      "a boolean",
	"tool_name":   "tool calls are carried through as they were received",
}

// notInText lists the constants that no text of the description names, with their source.
var notInText = map[string]string{
	"FinishReason model_context_window_exceeded": "docs.z.ai, page of POST /paas/v4/chat/completions",
	"Language zh":      "official Python SDK, example of a translation",
	"PartType file_id": "docs.bigmodel.cn OpenAPI, requests of POST /v1/agents",
	"Role system":      "docs.bigmodel.cn OpenAPI, requests of POST /v1/agents",
}

// A NamedValue is a value that the description names for a property: in an enum, or in its text.
type NamedValue struct {
	Property, Value string
}

// NamedValues lists the values that a description names, sorted, each once.
func NamedValues(description []byte) ([]NamedValue, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(description, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) == 0 {
		return nil, errors.New("the description is empty")
	}
	named := map[NamedValue]bool{}
	properties(doc.Content[0], func(name string, n *yaml.Node) {
		values(doc.Content[0], n, map[string]bool{}, func(value string) { named[NamedValue{name, value}] = true })
	})
	return slices.SortedFunc(maps.Keys(named), func(a, b NamedValue) int {
		return strings.Compare(a.Property+" "+a.Value, b.Property+" "+b.Value)
	}), nil
}

// WithoutConstant returns a line for each value that no constant of package api stands for.
func WithoutConstant(values []NamedValue, constants map[string]bool) []string {
	var lines []string
	for _, v := range values {
		enum, ok := enumOf[v.Property]
		if _, isPlain := plain[v.Property]; !ok && !isPlain {
			lines = append(lines, fmt.Sprintf("the property %q has the value %q: neither bound to an enum type nor listed without one",
				v.Property, v.Value))
		}
		line := fmt.Sprintf("the description names %s %s, and package api has no constant for it", enum, v.Value)
		if ok && !constants[enum+" "+v.Value] && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}

// WithoutText returns a line for each constant that the description does not name and that is not listed with another
// source, and for what is listed and need not be.
func WithoutText(values []NamedValue, constants map[string]bool) []string {
	named := map[string]bool{}
	for _, v := range values {
		named[enumOf[v.Property]+" "+v.Value] = true
	}
	var lines []string
	for _, value := range slices.Sorted(maps.Keys(constants)) {
		_, listed := notInText[value]
		if named[value] == listed {
			lines = append(lines, fmt.Sprintf("constant %s: named in the description %v, listed with another source %v",
				value, named[value], listed))
		}
	}
	for _, value := range slices.Sorted(maps.Keys(notInText)) {
		if !constants[value] {
			lines = append(lines, value+" is listed and is no constant")
		}
	}
	return lines
}

// quoted matches a value in a text: in backticks, or in quotes, straight or typographic.
var quoted = regexp.MustCompile("(?:[`‘“\"]|\\B')([A-Za-z0-9_-]+)[`’”\"']")

// properties calls visit for the schema of every property.
func properties(n *yaml.Node, visit func(name string, schema *yaml.Node)) {
	for key, child := range children(n) {
		if n.Kind == yaml.MappingNode && key == "properties" {
			for name, schema := range children(child) {
				visit(name, schema)
			}
		}
		properties(child, visit)
	}
}

// values calls visit for every value that a schema of the document root names: itself, for its items, in its variants,
// or in the component that it refers to, unless that one was seen already.
func values(root, n *yaml.Node, seen map[string]bool, visit func(value string)) {
	var schema struct {
		Ref         string `yaml:"$ref"`
		Description string
		Enum        []string
	}
	if n.Decode(&schema) != nil {
		return
	}
	for _, value := range schema.Enum {
		visit(value)
	}
	for _, value := range quoted.FindAllStringSubmatch(schema.Description, -1) {
		visit(value[1])
	}
	if name, ok := strings.CutPrefix(schema.Ref, "#/components/schemas/"); ok && !seen[name] {
		seen[name] = true
		if target := lookup(lookup(lookup(root, "components"), "schemas"), name); target != nil {
			values(root, target, seen, visit)
		}
	}
	if items := lookup(n, "items"); items != nil {
		values(root, items, seen, visit)
	}
	for _, key := range []string{"allOf", "anyOf", "oneOf"} {
		for _, variant := range children(lookup(n, key)) {
			values(root, variant, seen, visit)
		}
	}
}

// Constants returns the constants of the hand-written open enums of the package in dir, as "type value", and the
// names of the constants in generated files. Error codes have a table of their own.
func Constants(dir string) (constants map[string]bool, generated []string, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, nil, err
	}
	if len(files) == 0 {
		return nil, nil, fmt.Errorf("no Go files in %s: %w", dir, os.ErrNotExist)
	}
	constants = map[string]bool{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, nil, err
		}
		for _, decl := range file.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.CONST {
				continue
			}
			for _, spec := range gen.Specs {
				constant, ok := spec.(*ast.ValueSpec)
				if ok && strings.HasSuffix(name, ".gen.go") {
					generated = append(generated, constant.Names[0].Name)
				}
				if !ok || constant.Type == nil {
					continue
				}
				enum, ok := constant.Type.(*ast.Ident)
				if !ok || enum.Name == "ErrorCode" {
					continue
				}
				for _, expr := range constant.Values {
					literal, ok := expr.(*ast.BasicLit)
					if !ok || literal.Kind != token.STRING {
						continue
					}
					value, err := strconv.Unquote(literal.Value)
					if err != nil {
						return nil, nil, err
					}
					constants[enum.Name+" "+value] = true
				}
			}
		}
	}
	return constants, generated, nil
}
