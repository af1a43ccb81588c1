// Specmerge merges the pages on which the API is published into one OpenAPI
// description. It prints on standard error where a vendored page overruled a
// transcribed one.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"example.com/zai/internal/spec"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stderr))
}

// run is main with the arguments and standard error passed in, and returns the
// exit code.
func run(args []string, stderr io.Writer) int {
	flags := flag.NewFlagSet("specmerge", flag.ContinueOnError)
	flags.SetOutput(stderr)
	pages := flags.String("pages", "internal/spec/pages", "read the pages in `folder`")
	out := flags.String("o", "openapi.yaml", "write the description to `file`")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "specmerge: unexpected argument %q\n", flags.Arg(0))
		return 2
	}
	if err := merge(*pages, *out, stderr); err != nil {
		fmt.Fprintf(stderr, "specmerge: %v\n", err)
		return 1
	}
	return 0
}

func merge(folder, out string, stderr io.Writer) error {
	pages, err := spec.ReadPages(os.DirFS(folder))
	if err != nil {
		return err
	}
	doc, notes, err := spec.Merge(pages)
	if err != nil {
		return err
	}
	for _, note := range notes {
		fmt.Fprintf(stderr, "specmerge: %s\n", note)
	}
	_, err = spec.WriteFile(out, doc)
	return err
}
