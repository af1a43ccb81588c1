package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

// The first call: one look at a task that was submitted before.
func Example() {
	client, err := api.New(os.Getenv("ZAI_API_KEY"))
	if err != nil {
		log.Fatal(err)
	}
	task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: "the-async-id-of-your-task"}

	result, err := client.Retrieve(context.Background(), task)
	switch {
	case err != nil: // no answer: refused, lost, or not understood
		log.Fatal(err)
	case result.Err() != nil: // the task failed
		log.Fatal(result.Err())
	case result.Status == api.StatusPending:
		fmt.Println("not finished: ask again in a few seconds")
	default:
		fmt.Println(result.VideoURLs())
	}
}

// Retrieve looks once. The loop is yours, and so is its limit.
func ExampleClientWithResponses_Retrieve() {
	srv := zaitest.NewServer()
	defer srv.Close()
	task := api.Task{
		AgentID: api.AgentViduTemplate,
		AsyncID: srv.AddTask(zaitest.TaskScript{Pending: 2, VideoURLs: []string{"https://media.example.com/kiss.mp4"}}),
	}
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	ticker := time.NewTicker(10 * time.Millisecond) // 5 s against the real server
	defer ticker.Stop()
	for {
		result, err := client.Retrieve(ctx, task)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(result.Status)
		if result.Status.Terminal() {
			fmt.Println(result.VideoURLs(), result.Err())
			return
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			log.Fatal(context.Cause(ctx))
		}
	}
	// Output:
	// pending
	// pending
	// success
	// [https://media.example.com/kiss.mp4] <nil>
}

// Errors say what to do: a class for errors.Is, the code, and whether the failure passes.
func ExampleError() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}

	srv.Enqueue(zaitest.APIError(429, "1113", "no balance"))
	_, err = client.Retrieve(context.Background(), api.Task{AgentID: api.AgentViduTemplate, AsyncID: "some-task"})

	var failure interface{ Retryable() bool } // an *api.Error, or an *api.TaskError
	switch {
	case errors.Is(err, api.ErrUnknownOutcome):
		fmt.Println("it may be running, and billed: look before it is sent again:", err)
	case errors.Is(err, api.ErrQuota):
		fmt.Println("no balance or no package: waiting does not help")
	case errors.Is(err, api.ErrAuthentication):
		fmt.Println("the key is wrong or stale")
	case errors.As(err, &failure) && failure.Retryable():
		fmt.Println("try again later") // not before RetryAfter of an *api.Error
	case err != nil:
		fmt.Println(err)
	}
	if refused, ok := errors.AsType[*api.Error](err); ok {
		fmt.Println(refused.StatusCode, refused.Code, refused.Message, refused.Attempts)
	}
	// Output:
	// no balance or no package: waiting does not help
	// 429 1113 no balance 1
}

// A failed task is an answer, not a failed call.
func ExampleTaskError() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: srv.AddTask(zaitest.TaskScript{Code: "1301", Message: "picture refused"})}

	result, err := client.Retrieve(context.Background(), task)
	if err != nil {
		log.Fatal(err)
	}
	var failed *api.TaskError
	if errors.As(result.Err(), &failed) {
		fmt.Println(failed.Code, failed.Message)
		fmt.Println("blocked by the content policy:", errors.Is(failed, api.ErrContentBlocked))
		fmt.Println("a new submission may work:", failed.Retryable())
	}
	// Output:
	// 1301 picture refused
	// blocked by the content policy: true
	// a new submission may work: false
}

// The environment says which key and, where it is set, which server.
func ExampleNewFromEnv() {
	client, err := api.NewFromEnv(api.WithTimeout(30 * time.Second))
	if errors.Is(err, api.ErrInvalidRequest) {
		fmt.Println("set ZAI_API_KEY")
		return
	}
	_ = client
}

// A key that rotates, or a token that lives for minutes, comes from a function that is
// asked for each request.
func ExampleBearerAuthFunc() {
	srv := zaitest.NewServer()
	defer srv.Close()
	readKey := func(context.Context) (string, error) { // from a file that an operator replaces
		key, err := os.ReadFile("/run/secrets/zai")
		if errors.Is(err, os.ErrNotExist) {
			return srv.APIKey, nil
		}
		return strings.TrimSpace(string(key)), err
	}
	client, err := api.NewWithAuth(api.BearerAuthFunc(readKey), api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	result, err := client.Retrieve(context.Background(), api.Task{AgentID: api.AgentViduTemplate, AsyncID: srv.AddTask(zaitest.TaskScript{})})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Status)
	// Output: success
}

// Fields that the description does not list are added to the body; one agent of
// BigModelServer takes these in place of an async id.
func ExampleBodyFields() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	task := api.Task{AgentID: "intelligent_education_correction_polling"}
	_, err = client.Retrieve(context.Background(), task, api.BodyFields(map[string]any{
		"custom_variables": map[string]any{"trace_id": "t-1"},
	}))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(srv.Requests()[0].Body))
	// Output: {"agent_id":"intelligent_education_correction_polling","custom_variables":{"trace_id":"t-1"}}
}

// The language of the server's texts, for one call or, with WithRequestEditorFn, for all.
func ExampleAcceptLanguage() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL), api.WithRequestEditorFn(api.AcceptLanguage("zh")))
	if err != nil {
		log.Fatal(err)
	}
	task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: srv.AddTask(zaitest.TaskScript{})}
	if _, err := client.Retrieve(context.Background(), task); err != nil {
		log.Fatal(err)
	}
	fmt.Println(srv.Requests()[0].Header.Get("Accept-Language"))
	// Output: zh
}

// The raw level speaks the wire format of the description.
func ExampleClientWithResponses_RetrieveAgentResultWithResponse() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: srv.AddTask(zaitest.TaskScript{Pending: 1})}
	answer, err := client.RetrieveAgentResultWithResponse(context.Background(), &api.RetrieveAgentResultParams{}, task)
	if err != nil {
		log.Fatal(err)
	}
	if answer.JSON200 != nil {
		fmt.Println(answer.StatusCode(), answer.JSON200.Status)
	}
	// Output: 200 pending
}

// Wait polls until the task has ended, on a schedule made for tasks of seconds to
// minutes. Always give it a limit.
func ExampleClientWithResponses_Wait() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: srv.AddTask(zaitest.TaskScript{VideoURLs: []string{"https://media.example.com/kiss.mp4"}})}
	ctx := context.Background()

	result, err := client.Wait(ctx, task, api.MaxWait(10*time.Minute))
	var failed *api.TaskError
	var unfinished *api.WaitError
	switch {
	case errors.As(err, &failed):
		log.Fatalf("the task failed: %s %s", failed.Code, failed.Message)
	case errors.As(err, &unfinished):
		log.Fatalf("wait again later for %s: %v", unfinished.Task, unfinished)
	case err != nil:
		log.Fatal(err)
	}
	fmt.Println(result.VideoURLs())
	// Output: [https://media.example.com/kiss.mp4]
}

// Watch shows each state on the way.
func ExampleClientWithResponses_Watch() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: srv.AddTask(zaitest.TaskScript{Pending: 2})}

	for result, err := range client.Watch(context.Background(), task, api.Every(time.Millisecond), api.MaxWait(time.Minute)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(result.Status)
	}
	// Output:
	// pending
	// pending
	// success
}

// WaitAll waits for many tasks with few requests at once, and yields each as it ends.
func ExampleClientWithResponses_WaitAll() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	tasks := []api.Task{
		{AgentID: api.AgentViduTemplate, AsyncID: srv.AddTask(zaitest.TaskScript{})},
		{AgentID: api.AgentViduTemplate, AsyncID: srv.AddTask(zaitest.TaskScript{Code: "1301", Message: "picture refused"})},
	}

	videos, failures := 0, 0
	for task, outcome := range client.WaitAll(context.Background(), slices.Values(tasks), api.MaxWait(10*time.Minute)) {
		if outcome.Err != nil {
			failures++
			continue
		}
		fmt.Println(task == tasks[0], len(outcome.Result.VideoURLs()))
		videos++
	}
	fmt.Println(videos, failures)
	// Output:
	// true 1
	// 1 1
}

// A Task is all that another process needs: submit, store, restart, wait.
func ExampleTask() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	// One process submits and stores the task: as JSON, or as one line of text.
	submitted, err := client.Submit(ctx, api.NewVideoRequest(api.TemplateSexyMe, "https://example.com/a.jpg", ""))
	if err != nil {
		log.Fatal(err)
	}
	stored, err := json.Marshal(submitted)
	if err != nil {
		log.Fatal(err)
	}
	line := submitted.String()

	// Another process takes it up.
	var task api.Task
	if err := json.Unmarshal(stored, &task); err != nil {
		log.Fatal(err)
	}
	again, err := api.ParseTask(line)
	if err != nil {
		log.Fatal(err)
	}
	client, err = api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	result, err := client.Wait(ctx, task, api.MaxWait(10*time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Status, task == again)
	// Output: success true
}

// Download writes a result file to any writer, in one attempt.
func ExampleClientWithResponses_Download() {
	srv := zaitest.NewServer()
	defer srv.Close()
	address := srv.AddFile("kiss.mp4", []byte("a very short video"))
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}

	var video bytes.Buffer
	n, err := client.Download(context.Background(), address, &video, api.MaxBytes(100<<20))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n, video.String())
	// Output: 18 a very short video
}

// DownloadFile retries, and puts the file in place once it is complete.
func ExampleClientWithResponses_DownloadFile() {
	srv := zaitest.NewServer()
	defer srv.Close()
	address := srv.AddFile("kiss.mp4", []byte("a very short video"))
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "zai")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()

	path := filepath.Join(dir, "kiss.mp4")
	n, err := client.DownloadFile(context.Background(), address, path)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(n)
	// Output: 18
}

// The whole way: submit a video, wait for it, fetch the file.
func ExampleClientWithResponses_Submit() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "zai")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()

	request := api.NewVideoRequest(api.TemplateFrenchKiss, "https://example.com/couple.jpg", "a kiss in the rain")
	task, err := client.Submit(ctx, request)
	if errors.Is(err, api.ErrUnknownOutcome) {
		log.Fatal("the answer was lost, and the task may be running: do not send it again blindly: ", err)
	} else if err != nil {
		log.Fatal(err)
	}
	fmt.Println("keep this:", task.AgentID) // all of task.String(), before anything else can go wrong

	result, err := client.Wait(ctx, task, api.MaxWait(10*time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	for i, address := range result.VideoURLs() {
		n, err := client.DownloadFile(ctx, address, filepath.Join(dir, fmt.Sprintf("%d.mp4", i+1)))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("video", i+1, "is there:", n > 0)
	}
	// Output:
	// keep this: vidu_template_agent
	// video 1 is there: true
}

// A translation is answered at once.
func ExampleClientWithResponses_Invoke() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	srv.EnqueueTasks(zaitest.TaskScript{Text: "Bonjour le monde"})

	request := api.NewTranslationRequest("Hello world", api.LanguageFrench)
	request.CustomVariables.Strategy = api.StrategyTwoStep
	result, err := client.Invoke(context.Background(), request)
	if err != nil {
		log.Fatal(err)
	}
	if reason := result.FinishReason(); reason.Abnormal() {
		log.Fatal("incomplete: ", reason)
	}
	fmt.Println(result.Text())
	// Output: Bonjour le monde
}

// A translation as it is written, and whole at the end.
func ExampleClientWithResponses_Stream() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	srv.EnqueueTasks(zaitest.TaskScript{Text: "Bonjour le monde"})

	var all api.Accumulator
	for event, err := range client.Stream(context.Background(), api.NewTranslationRequest("Hello world", api.LanguageFrench)) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("%q\n", event.Text())
		if err := all.Add(event); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println(all.Result().Text())
	// Output:
	// "Bonjour "
	// "le "
	// "monde"
	// ""
	// Bonjour le monde
}

// A deck: its pages come in the tool calls of the stream, its PDF from the conversation.
func ExampleClientWithResponses_Conversation() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	srv.EnqueueTasks(zaitest.TaskScript{Stream: zaitest.Stream{Events: zaitest.SlidesEvents("<h1>Tides</h1>", "<h1>The moon</h1>")}})
	dir, err := os.MkdirTemp("", "zai")
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	ctx := context.Background()

	var deck api.Accumulator
	for event, err := range client.Stream(ctx, api.NewSlidesRequest("Two slides on tides")) {
		if err != nil {
			log.Fatal(err) // names the conversation of what was made, if the stream broke
		}
		if err := deck.Add(event); err != nil {
			log.Fatal(err)
		}
	}
	result := deck.Result()
	for _, call := range result.ToolCalls() {
		if len(call.Position) == 1 {
			fmt.Println("page", call.Position[0], call.Text())
		}
	}

	exports, err := client.Conversation(ctx, api.ConversationRequest{
		ConversationID:  result.ConversationID,
		CustomVariables: api.ConversationOptions{IncludePDF: true},
	})
	if err != nil {
		log.Fatal(err)
	}
	for i, address := range exports.FileURLs() { // empty while there are no exports yet: ask again later
		n, err := client.DownloadFile(ctx, address, filepath.Join(dir, fmt.Sprintf("deck%d.pdf", i+1)))
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("the PDF is there:", n > 0)
	}
	// Output:
	// page 1 <h1>Tides</h1>
	// page 2 <h1>The moon</h1>
	// the PDF is there: true
}

// A glossary is uploaded once, and named by its id in every translation.
func ExampleClientWithResponses_Upload() {
	srv := zaitest.NewServer()
	defer srv.Close()
	client, err := api.New(srv.APIKey, api.WithBaseURL(srv.URL))
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()

	file, err := client.Upload(ctx, "terms.txt", strings.NewReader("tide\tmarée"))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(file.Filename, file.Bytes)

	request := api.NewTranslationRequest("The tide is out.", api.LanguageFrench)
	request.CustomVariables.Glossary = file.ID
	result, err := client.Invoke(ctx, request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Text())
	// Output:
	// terms.txt 11
	// [fr] The tide is out.
}
