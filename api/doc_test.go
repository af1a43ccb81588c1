package api_test

import (
	"go/ast"
	"go/doc"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// parsePackage returns the documentation of the hand-written files of a package, and the
// names of the Examples in its tests.
func parsePackage(t *testing.T, dir, importPath string) (*doc.Package, map[string]bool) {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(names) == 0 {
		t.Fatal("no files in ", dir, err)
	}
	fset := token.NewFileSet()
	var files []*ast.File
	examples := map[string]bool{}
	for _, name := range names {
		if strings.HasSuffix(name, ".gen.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "_test.go") {
			for _, example := range doc.Examples(file) {
				examples[example.Name] = true
			}
			continue
		}
		files = append(files, file)
	}
	pkg, err := doc.NewFromFiles(fset, files, importPath)
	if err != nil {
		t.Fatal(err)
	}
	return pkg, examples
}

// TestEveryVerbHasAnExample lists the verbs: the exported hand-written methods of the client.
func TestEveryVerbHasAnExample(t *testing.T) {
	t.Parallel()
	// The type is generated, so that its hand-written methods do not show in the documentation of these files.
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	_, examples := parsePackage(t, ".", "api")
	verbs := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".gen.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			method, ok := decl.(*ast.FuncDecl)
			if !ok || method.Recv == nil || !method.Name.IsExported() {
				continue
			}
			receiver := method.Recv.List[0].Type
			if star, ok := receiver.(*ast.StarExpr); ok {
				receiver = star.X
			}
			typeName := receiver.(*ast.Ident).Name
			if ast.IsExported(typeName) && strings.TrimSpace(method.Doc.Text()) == "" {
				t.Errorf("%s: method %s of %s is not documented", name, method.Name, typeName)
			}
			if typeName != "ClientWithResponses" {
				continue
			}
			verbs++
			if !examples["ClientWithResponses_"+method.Name.Name] {
				t.Errorf("verb %s has no Example", method.Name)
			}
		}
	}
	if verbs == 0 {
		t.Error("no verbs were found")
	}
}

// TestEveryExportedNameIsDocumented covers package api, without what is generated, and zaitest.
func TestEveryExportedNameIsDocumented(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{".", "zaitest"} {
		pkg, _ := parsePackage(t, dir, dir)
		if len(pkg.Doc) < 200 {
			t.Errorf("%s: the package comment is no overview: %q", dir, pkg.Doc)
		}
		check := func(name, text string) {
			if ast.IsExported(name) && strings.TrimSpace(text) == "" {
				t.Errorf("%s: %s is not documented", dir, name)
			}
		}
		values := func(list []*doc.Value) {
			for _, v := range list {
				for _, spec := range v.Decl.Specs {
					s := spec.(*ast.ValueSpec)
					check(s.Names[0].Name, v.Doc+s.Doc.Text()+s.Comment.Text())
				}
			}
		}
		values(pkg.Consts)
		values(pkg.Vars)
		for _, f := range pkg.Funcs {
			check(f.Name, f.Doc)
		}
		for _, typ := range pkg.Types {
			check(typ.Name, typ.Doc)
			values(typ.Consts)
			values(typ.Vars)
			for _, f := range append(typ.Funcs, typ.Methods...) {
				check(f.Name, f.Doc)
			}
		}
	}
}
