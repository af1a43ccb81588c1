// Package zai holds the description of the Z.AI API from which package api, the client
// that programs import, is generated.
//
// The pages in internal/spec/pages are merged into openapi.yaml, and oapi-codegen makes
// api/openapi.gen.go of it, with the Go names and corrections of internal/spec/overlay.yaml.
// Run go generate, or make generate, after a page has changed.
package zai

import _ "embed"

//go:generate go run ./internal/spec/specmerge -pages internal/spec/pages -o openapi.yaml
//go:generate go tool oapi-codegen -config oapi-codegen.yaml openapi.yaml

//go:embed openapi.yaml
var spec []byte

// Spec returns the OpenAPI description in YAML, as Z.AI publishes it: without the names
// and corrections that the Go client adds. The caller owns the returned slice.
func Spec() []byte { return append([]byte(nil), spec...) }
