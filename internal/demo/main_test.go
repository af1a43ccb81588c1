package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

func TestDemoPlaysTheWholeWay(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var out bytes.Buffer
	if err := run(t.Context(), []string{"-dir", dir}, true, &out); err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`(?s)stand-in server\.
task vidu_template_agent/.*
 +0\.0s  pending, next look in 0\.3s
 +0\.\ds  pending, next look in 0\.3s
 +\d\.\ds  success
http://127\.0\.0\.1:\d+/files/[^?]*\.mp4\?[^\n]*Signature=[^\n]+
\d+ bytes in .*1\.mp4
The kiss in the rain is ready\.
  Le baiser sous la pluie est prêt\.
$`)
	if !want.MatchString(out.String()) {
		t.Errorf("printed:\n%s", out.String())
	}
	if info, err := os.Stat(filepath.Join(dir, "1.mp4")); err != nil || info.Size() == 0 {
		t.Errorf("the video: %v, %v", info, err)
	}
}

// TestDemoAsksTheServerOfTheEnvironment: with a key and a task, the server that the
// environment names is asked, here a stand-in under the guise of the real one.
func TestDemoAsksTheServerOfTheEnvironment(t *testing.T) {
	srv := zaitest.NewServer()
	defer srv.Close()
	t.Setenv("ZAI_API_KEY", srv.APIKey)
	t.Setenv("ZAI_BASE_URL", srv.URL)
	for _, tt := range []struct {
		script zaitest.TaskScript
		want   []string
		err    error
	}{
		{script: zaitest.TaskScript{AgentID: "doc_translation_agent", FileURLs: []string{srv.AddFile("../a.pdf", []byte("text"))}}, want: []string{"success", "a.pdf?", "4 bytes in ", "1.pdf"}},
		{script: zaitest.TaskScript{AgentID: "doc_translation_agent", Text: "Bonjour", FinishReason: "length"}, want: []string{"Bonjour", "the result is incomplete: length"}},
		{script: zaitest.TaskScript{Code: "1301", Message: "blocked"}, want: []string{"failed"}, err: api.ErrContentBlocked},
		{script: zaitest.TaskScript{NoResult: true}, want: []string{"success"}, err: api.ErrNoResult},
		{script: zaitest.TaskScript{Duration: time.Hour}, want: []string{"pending"}, err: context.DeadlineExceeded},
		{script: zaitest.TaskScript{Replies: []zaitest.Reply{zaitest.APIError(401, "1004", "refused")}}, want: []string{"1004"}, err: api.ErrAuthentication},
	} {
		var out bytes.Buffer
		agent := string(api.AgentViduTemplate)
		if tt.script.AgentID != "" {
			agent = tt.script.AgentID
		}
		err := run(t.Context(), []string{"-agent-id", agent, "-limit", "50ms", "-dir", t.TempDir(), "-async-id", srv.AddTask(tt.script)}, os.Getenv("ZAI_API_KEY") != "", &out)
		if !errors.Is(err, tt.err) {
			t.Errorf("error %v, want %v", err, tt.err)
		}
		for _, want := range tt.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("printed %q, want %q in it", out.String(), want)
			}
		}
	}
}

func TestDemoRefusesBadFlags(t *testing.T) {
	t.Setenv("ZAI_API_KEY", "")
	for _, args := range [][]string{{"x"}, {"-limit", "0s"}, {"-nonsense"}, {"-async-id", "x"}} {
		if err := run(t.Context(), args, false, &bytes.Buffer{}); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
	if err := run(t.Context(), []string{"-h"}, false, &bytes.Buffer{}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}
