package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

func TestDemoShowsEachStateAndTheVideo(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := run(t.Context(), nil, true, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 6 || !strings.Contains(lines[0], "stand-in") || strings.Join(lines[2:5], " ") != "pending pending success" ||
		!strings.HasPrefix(lines[5], "http://127.0.0.1:") || !strings.Contains(lines[5], ".mp4") {
		t.Errorf("printed:\n%s", out.String())
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
		want   string
		err    error
	}{
		{script: zaitest.TaskScript{Pending: 1, FileURLs: []string{"https://media.example.com/a.pdf"}}, want: "pending\nsuccess\nhttps://media.example.com/a.pdf\n"},
		{script: zaitest.TaskScript{Text: "Bonjour", FinishReason: "length"}, want: "success\nBonjour\nthe result is incomplete: length\n"},
		{script: zaitest.TaskScript{Code: "1301", Message: "blocked"}, want: "failed\n", err: api.ErrContentBlocked},
	} {
		var out bytes.Buffer
		err := run(t.Context(), []string{"-every", "1ms", "-async-id", srv.AddTask(tt.script)}, os.Getenv("ZAI_API_KEY") != "", &out)
		if !errors.Is(err, tt.err) {
			t.Errorf("error %v, want %v", err, tt.err)
		}
		if _, states, _ := strings.Cut(out.String(), "\n"); states != tt.want {
			t.Errorf("printed %q, want %q", states, tt.want)
		}
	}
	if err := run(t.Context(), []string{"-async-id", srv.AddTask(zaitest.TaskScript{NoResult: true})}, true, &bytes.Buffer{}); err == nil {
		t.Error("a success without a result was not reported")
	}
	slow := []string{"-limit", "20ms", "-every", "1ms", "-async-id", srv.AddTask(zaitest.TaskScript{Duration: time.Hour})}
	if err := run(t.Context(), slow, true, &bytes.Buffer{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want the deadline", err)
	}
}

func TestDemoRefusesBadFlags(t *testing.T) {
	t.Setenv("ZAI_API_KEY", "")
	for _, args := range [][]string{{"x"}, {"-every", "0s"}, {"-nonsense"}, {"-async-id", "x"}} {
		if err := run(t.Context(), args, false, &bytes.Buffer{}); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
	if err := run(t.Context(), []string{"-h"}, false, &bytes.Buffer{}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-h: %v", err)
	}
}
