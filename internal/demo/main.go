// Demo submits an effects video to a stand-in server of its own, shows each look at the task, and
// downloads the video; then it translates a sentence, and shows it as it is written. With
// ZAI_API_KEY set and a task named by -async-id it waits for that task of the real server instead.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
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
	limit := flags.Duration("limit", 10*time.Minute, "how long to wait at the most")
	dir := flags.String("dir", "", "folder for the files; a new temporary one by default")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		flags.Usage()
		return errors.New("there are no arguments beside the flags")
	}
	opts := []api.WaitOption{api.MaxWait(*limit), api.OnPoll(func(r *api.Result, p api.Poll) { progress(out, r, p) })}
	if *asyncID != "" {
		client, err := api.NewFromEnv()
		if err != nil {
			return err
		}
		return video(ctx, client, api.Task{AgentID: api.AgentID(*agentID), AsyncID: *asyncID}, opts, *dir, out)
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
	srv.EnqueueTasks(zaitest.TaskScript{Pending: 2}, zaitest.TaskScript{
		Text: "Le baiser sous la pluie est prêt.", Stream: zaitest.Stream{Interval: 100 * time.Millisecond},
	})
	task, err := client.Submit(ctx, api.NewVideoRequest(api.TemplateFrenchKiss, "https://example.com/couple.jpg", "a kiss in the rain"))
	if err != nil {
		return err
	}
	if err := video(ctx, client, task, append(opts, api.Every(300*time.Millisecond)), *dir, out); err != nil {
		return err
	}
	return translate(ctx, client, "The kiss in the rain is ready.", out)
}

// video waits for a task and downloads what it came to.
func video(ctx context.Context, client *api.ClientWithResponses, task api.Task, opts []api.WaitOption, dir string, out io.Writer) error {
	fmt.Fprintln(out, "task", task)
	result, err := client.Wait(ctx, task, opts...)
	if err != nil {
		return err
	}
	return save(ctx, client, result, dir, out)
}

// translate prints a translation as it is written.
func translate(ctx context.Context, client *api.ClientWithResponses, text string, out io.Writer) error {
	fmt.Fprintf(out, "%s\n  ", text)
	for event, err := range client.Stream(ctx, api.NewTranslationRequest(text, api.LanguageFrench)) {
		if err != nil {
			return err
		}
		fmt.Fprint(out, event.Text())
	}
	fmt.Fprintln(out)
	return nil
}

// progress prints one look at the task.
func progress(out io.Writer, r *api.Result, p api.Poll) {
	switch {
	case r == nil:
		fmt.Fprintf(out, "%6.1fs  %v\n", p.Elapsed.Seconds(), p.Err)
	case p.Next > 0:
		fmt.Fprintf(out, "%6.1fs  %s, next look in %.1fs\n", p.Elapsed.Seconds(), r.Status, p.Next.Seconds())
	default:
		fmt.Fprintf(out, "%6.1fs  %s\n", p.Elapsed.Seconds(), r.Status)
	}
}

// save downloads the files of a finished task, and prints where they are.
func save(ctx context.Context, client *api.ClientWithResponses, result *api.Result, dir string, out io.Writer) (err error) {
	if text := result.Text(); text != "" {
		fmt.Fprintln(out, text)
	}
	if reason := result.FinishReason(); reason.Abnormal() {
		fmt.Fprintf(out, "the result is incomplete: %s\n", reason)
	}
	addresses := slices.Concat(result.VideoURLs(), result.FileURLs(), result.ImageURLs())
	if dir == "" && len(addresses) > 0 {
		if dir, err = os.MkdirTemp("", "zai-demo-"); err != nil {
			return err
		}
	}
	for i, address := range addresses {
		u, err := url.Parse(address)
		if err != nil {
			return fmt.Errorf("address %d of the result is not a URL", i+1)
		}
		fmt.Fprintln(out, address) // The result itself; a log would leave out the query, which is a signature.
		// The server names the kind of the file, and nothing else of where it goes.
		name := filepath.Join(dir, strconv.Itoa(i+1)+filepath.Ext(filepath.Base(u.Path)))
		n, err := client.DownloadFile(ctx, address, name)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%d bytes in %s\n", n, name)
	}
	return nil
}
