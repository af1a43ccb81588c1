// Command footprint shows what a program takes on when it imports the package api, next to the same program written by
// hand on net/http and encoding/json: packages, modules, the size of the stripped binary, and the modules that the go
// command sees. It exits with 1 where that is more than the limits.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"example.com/zai/internal/project"
)

// The limits, about a tenth above what was measured. The size was to be 150 KiB: the generated call keeps to that, and what
// makes it safe comes on top.
const (
	maxModules   = 4         // compiled, this one aside: runtime, its two, of which one is in use, and x/time
	maxGraph     = 150       // seen by the go command; none of the others is downloaded
	maxGenerated = 150 << 10 // bytes of the generated call beyond the program by hand
	maxSize      = 260 << 10 // bytes of the client beyond that
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, ".", os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "footprint: %v\n", err)
		os.Exit(1)
	}
}

// plain is one call by hand.
const plain = `package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

func main() {
	body, err := json.Marshal(map[string]string{"agent_id": "vidu_template_agent", "async_id": "1"})
	if err != nil {
		panic(err)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "https://api.z.ai/api/v1/agents/async-result", bytes.NewReader(body))
	if err != nil {
		panic(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		panic(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(err)
	}
	var r struct {
		Status string
	}
	fmt.Println(json.Unmarshal(data, &r), r)
}
`

// client is the same call with the package api.
const client = `package main

import (
	"context"
	"fmt"

	"MODULE/api"
)

func main() {
	c, err := api.New("id.secret")
	if err != nil {
		panic(err)
	}
	fmt.Println(c.Retrieve(context.Background(), api.Task{AgentID: api.AgentViduTemplate, AsyncID: "1"}))
}
`

// generated is the same call with the generated code alone, which decodes into the Result of the package.
const generated = `package main

import (
	"context"
	"fmt"

	"MODULE/api"
)

func main() {
	c, err := api.NewClientWithResponses(api.DefaultServer, api.WithRequestEditorFn(api.BearerAuth("id.secret")))
	if err != nil {
		panic(err)
	}
	fmt.Println(c.RetrieveAgentResultWithResponse(context.Background(), nil, api.Task{AgentID: api.AgentViduTemplate, AsyncID: "1"}))
}
`

// run measures the module that dir belongs to and writes a table to out.
func run(ctx context.Context, dir string, out io.Writer) (err error) {
	root, err := project.Root(dir)
	if err != nil {
		return err
	}
	tmp, err := os.MkdirTemp("", "footprint-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	module, err := consumer(ctx, root, tmp)
	if err != nil {
		return err
	}
	var all [4]*measured
	for i, name := range [...]string{"plain", "slog", "generated", "client"} {
		if all[i], err = measure(ctx, tmp, "./"+name); err != nil {
			return err
		}
	}
	graph, err := output(ctx, tmp, "mod", "graph")
	if err != nil {
		return err
	}
	return report(module, all, graph, out)
}

// report writes the table of the four programs, by hand, with a log, with the generated call and with the client, and of
// what the go command sees. What is beyond the limits is its error.
func report(module string, all [4]*measured, graph string, out io.Writer) (err error) {
	byHand, own := all[0], all[3]
	modules := slices.DeleteFunc(own.modules, func(m string) bool { return m == module })
	var added []string
	for _, p := range own.packages {
		if !slices.Contains(byHand.packages, p) && !strings.HasSuffix(p, "/client") {
			added = append(added, p)
		}
	}
	seen := map[string]bool{}
	for edge := range strings.Lines(graph) {
		if _, needs, ok := strings.Cut(strings.TrimSpace(edge), " "); ok {
			path, _, _ := strings.Cut(needs, "@")
			seen[path] = true
		}
	}
	more, generated := own.size-byHand.size, all[2].size-byHand.size
	fmt.Fprintf(out, "%s, %s/%s, stripped, without cgo\n\n", runtime.Version(), runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(out, "binary by hand       %6d KiB\n", byHand.size>>10)
	fmt.Fprintf(out, "  and one log/slog   %6d KiB, %d KiB more\n", all[1].size>>10, (all[1].size-byHand.size)>>10)
	fmt.Fprintf(out, "  generated call     %6d KiB, %d KiB more (limit %d)\n", all[2].size>>10, generated>>10, maxGenerated>>10)
	fmt.Fprintf(out, "binary with api      %6d KiB, %d KiB more (limit %d)\n", own.size>>10, more>>10, maxSize>>10)
	fmt.Fprintf(out, "packages             %6d more than %d: %s\n", len(added), len(byHand.packages), strings.Join(added, " "))
	fmt.Fprintf(out, "modules compiled     %6d (limit %d): %s\n", len(modules), maxModules, strings.Join(modules, " "))
	fmt.Fprintf(out, "modules in the graph %6d (limit %d)\n", len(seen), maxGraph)
	for _, limit := range []struct {
		name      string
		got, most int64
	}{{"bytes more than by hand", more, maxSize}, {"bytes of the generated call", generated, maxGenerated}, {"modules compiled", int64(len(modules)), maxModules}, {"modules in the graph", int64(len(seen)), maxGraph}} {
		if limit.got > limit.most {
			err = errors.Join(err, fmt.Errorf("%s: %d, at most %d allowed", limit.name, limit.got, limit.most))
		}
	}
	return err
}

// consumer writes a module with the programs to dir, and returns the path of the module at root. It requires what that
// requires, so that the go command need not look for anything.
func consumer(ctx context.Context, root, dir string) (string, error) {
	module, err := output(ctx, root, "list", "-m")
	if err != nil {
		return "", err
	}
	module = strings.TrimSpace(module)
	sum, err := os.ReadFile(filepath.Join(root, "go.sum"))
	if err != nil {
		return "", err
	}
	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return "", err
	}
	logged := strings.Replace(plain, "import (", "import (\n\"log/slog\"", 1)
	logged = strings.Replace(logged, "fmt.Println", "slog.Debug(\"zai\", \"status\", resp.StatusCode)\nfmt.Println", 1)
	for name, content := range map[string]string{
		"go.mod":            string(mod),
		"go.sum":            string(sum),
		"plain/main.go":     plain,
		"slog/main.go":      logged,
		"generated/main.go": strings.ReplaceAll(generated, "MODULE", module),
		"client/main.go":    strings.ReplaceAll(client, "MODULE", module),
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return "", err
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			return "", err
		}
	}
	_, err = output(ctx, dir, "mod", "edit", "-module=consumer.example/app", "-require="+module+"@"+project.Version(module), "-replace="+module+"="+root)
	return module, err
}

// measured is what one program takes.
type measured struct {
	packages, modules []string
	size              int64
}

// measure builds the program in the folder name of the module in dir.
func measure(ctx context.Context, dir, name string) (*measured, error) {
	var m measured
	packages, err := output(ctx, dir, "list", "-deps", "-f", "{{.ImportPath}}", name)
	if err != nil {
		return nil, err
	}
	modules, err := output(ctx, dir, "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}{{end}}{{end}}", name)
	if err != nil {
		return nil, err
	}
	m.packages, m.modules = strings.Fields(packages), strings.Fields(modules)
	slices.Sort(m.modules)
	m.modules = slices.Compact(m.modules)
	binary := filepath.Join(dir, filepath.Base(name)+".out")
	if _, err := output(ctx, dir, "build", "-trimpath", "-ldflags=-s -w", "-o", binary, name); err != nil {
		return nil, err
	}
	info, err := os.Stat(binary)
	if err != nil {
		return nil, err
	}
	m.size = info.Size()
	return &m, nil
}

// output runs the go command without cgo and returns what it prints. Where it fails, that is part of the error.
func output(ctx context.Context, dir string, args ...string) (string, error) {
	cmd := project.Command(ctx, dir, "go", args...)
	cmd.Env = append(cmd.Env, "CGO_ENABLED=0")
	out, err := cmd.Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		err = fmt.Errorf("%w\n%s", err, strings.TrimSpace(string(exit.Stderr)))
	}
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}
