// Demo follows an agent task from pending to success and prints the addresses of its
// videos. Without a key it makes the task on a stand-in server of its own; with
// ZAI_API_KEY set and a task named by -async-id it asks the real one.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"time"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Getenv("ZAI_API_KEY") != "", os.Stdout)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// run plays the demo against the stand-in server, or against the real one when there is
// a key and a task to ask for.
func run(ctx context.Context, args []string, haveKey bool, out io.Writer) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	agentID := flags.String("agent-id", string(api.AgentViduTemplate), "agent that made the task")
	asyncID := flags.String("async-id", "", "task to ask the real server for; needs ZAI_API_KEY")
	every := flags.Duration("every", 5*time.Second, "time between two looks at the real server")
	limit := flags.Duration("limit", 10*time.Minute, "how long to look at the most")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *every <= 0 {
		flags.Usage()
		return errors.New("-every must be positive, and there are no arguments beside the flags")
	}
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()

	task := api.Task{AgentID: api.AgentID(*agentID), AsyncID: *asyncID}
	if *asyncID != "" {
		client, err := api.NewFromEnv()
		if err != nil {
			return err
		}
		return follow(ctx, client, task, *every, out)
	}
	if haveKey {
		fmt.Fprintln(out, "ZAI_API_KEY is set, but no task is given with -async-id: asking the stand-in server.")
	}
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		return err
	}
	task = api.Task{AgentID: api.AgentViduTemplate, AsyncID: srv.AddTask(zaitest.TaskScript{Pending: 2})}
	return follow(ctx, client, task, 300*time.Millisecond, out)
}

// follow looks at the task until it has ended, and prints each state.
func follow(ctx context.Context, client *api.ClientWithResponses, task api.Task, every time.Duration, out io.Writer) error {
	fmt.Fprintf(out, "task %s of %s\n", task.AsyncID, task.AgentID)
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		result, err := client.Retrieve(ctx, task)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, result.Status)
		if err := result.Err(); err != nil {
			return err
		}
		if result.Status.Terminal() {
			return show(result, out)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("the task has not ended: %w", context.Cause(ctx))
		}
	}
}

// show prints what a finished task came to.
func show(result *api.Result, out io.Writer) error {
	urls := append(append(result.VideoURLs(), result.FileURLs()...), result.ImageURLs()...)
	for _, url := range urls {
		fmt.Fprintln(out, url)
	}
	if text := result.Text(); text != "" {
		fmt.Fprintln(out, text)
	} else if len(urls) == 0 {
		return errors.New("the task succeeded without a result")
	}
	if reason := result.FinishReason(); reason.Abnormal() {
		fmt.Fprintf(out, "the result is incomplete: %s\n", reason)
	}
	return nil
}
