package zaitest_test

import (
	"context"
	"errors"
	"fmt"

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
