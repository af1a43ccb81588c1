package zaitest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

// report stands for code of your own, which uses the client and is to be tested.
func report(ctx context.Context, client *api.ClientWithResponses, task api.Task) string {
	result, err := client.Retrieve(ctx, task)
	switch {
	case errors.Is(err, api.ErrQuota):
		return "top up the account"
	case err != nil:
		return "try again later"
	case result.Err() != nil:
		return "make another one"
	case !result.Status.Terminal():
		return "not yet"
	}
	return fmt.Sprint("watch ", result.VideoURLs()[0])
}

// The server plays what the code is to be tested against.
func Example() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()

	task := api.Task{AgentID: api.AgentViduTemplate}
	task.AsyncID = srv.AddTask(zaitest.TaskScript{
		Pending:   1,
		VideoURLs: []string{"https://media.example.com/a.mp4"},
		Shape:     zaitest.ShapeMessages,
	})
	fmt.Println(report(ctx, client, task))
	fmt.Println(report(ctx, client, task))

	task.AsyncID = srv.AddTask(zaitest.TaskScript{Code: "1301", Message: "the picture is not suitable"})
	fmt.Println(report(ctx, client, task))

	srv.Enqueue(zaitest.RateLimited("1113", ""))
	fmt.Println(report(ctx, client, task))

	fmt.Println(len(srv.Requests()), "requests")
	// Output:
	// not yet
	// watch https://media.example.com/a.mp4
	// make another one
	// top up the account
	// 4 requests
}

// Requests to agents go by the scripts that wait for them, and Runs tells what came of them.
func ExampleServer_EnqueueTasks() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	srv.EnqueueTasks(
		zaitest.TaskScript{Text: "Bonjour"},
		zaitest.TaskScript{Code: "1113", Message: "top up"},
	)
	for range 3 {
		hello := api.NewTranslationRequest("Hello", api.LanguageFrench)
		resp, err := client.InvokeAgent(context.Background(), nil, hello)
		if err != nil {
			fmt.Println(err)
			return
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		for _, word := range []string{"Bonjour", "1113", "[fr] Hello"} {
			if err == nil && strings.Contains(string(body), word) {
				fmt.Println(word)
			}
		}
	}
	fmt.Println(len(srv.Runs()), "translations")
	// Output:
	// Bonjour
	// 1113
	// [fr] Hello
	// 2 translations
}

// A task is made, but its maker is not told.
func ExampleLose() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	srv.Enqueue(zaitest.Lose(zaitest.HTMLError(502)))
	video := api.NewVideoRequest(api.TemplateBodyShake, "https://media.example.com/a.jpg", "")
	video.RequestID = "r-1"
	answer, err := client.InvokeAgentWithResponse(context.Background(), nil, video)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(answer.Status(), "and", len(srv.Runs()), "task, by request", srv.Runs()[0].RequestID)
	// Output:
	// 502 Bad Gateway and 1 task, by request r-1
}

// A deck that is written page by page, and breaks off on the second.
func ExampleSlidesEvents() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	events := zaitest.SlidesEvents("<p>One</p>", "<p>Two</p>")
	second := slices.IndexFunc(events, func(e zaitest.Event) bool { return e.Tool != nil && slices.Equal(e.Tool.Position, []int{2}) })
	events = append(events[:second+1], zaitest.Event{FinishReason: "sensitive", Code: "1301", Message: "no"})
	srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Events: events}})

	resp, err := client.InvokeAgent(context.Background(), nil, api.NewSlidesRequest("Tides"))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(strings.Count(string(body), "add_slide"), "pieces,", strings.Count(string(body), `"code":"1301"`), "error")
	// Output:
	// 3 pieces, 1 error
}

// Whatever the shape of an answer, the client finds the video.
func ExampleShapes() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, shape := range zaitest.Shapes() {
		id := srv.AddTask(zaitest.TaskScript{Shape: shape})
		result, err := client.Retrieve(context.Background(), api.Task{AgentID: api.AgentViduTemplate, AsyncID: id})
		if err != nil || len(result.VideoURLs()) != 1 {
			fmt.Println(shape, "is not understood:", err)
		}
	}
	// Output:
}
