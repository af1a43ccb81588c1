// Command consumer is a program that uses the client as its users do: from a module of its own, with tracing around
// the HTTP client, against the stand-in server. That it compiles and runs shows that a change did not break them.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "consumer: %v\n", err)
		os.Exit(1)
	}
}

// A service is what a user's program holds.
type service struct {
	srv    *zaitest.Server
	client *api.ClientWithResponses
	spans  *tracetest.SpanRecorder
	dir    string
}

// uses is what users do with the client, each for itself.
var uses = []struct {
	name string
	do   func(s *service, ctx context.Context) error
}{
	{"retrieve", (*service).retrieve},
	{"wait", (*service).wait},
	{"wait for many", (*service).waitAll},
	{"download", (*service).download},
	{"refused", (*service).refused},
	{"raw method", (*service).raw},
	{"invoke", (*service).invoke},
	{"submit", (*service).submit},
	{"stream", (*service).stream},
	{"conversation", (*service).conversation},
	{"upload", (*service).upload},
}

// retrieve looks at a task once.
func (s *service) retrieve(ctx context.Context) error {
	task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: s.srv.AddTask(zaitest.TaskScript{Pending: 1})}
	result, err := s.client.Retrieve(ctx, task)
	if err != nil {
		return err
	}
	if result.Status != api.StatusPending || result.Task() != task {
		return fmt.Errorf("the result is %+v", result)
	}
	return nil
}

// wait waits for a task that another process may have stored as text.
func (s *service) wait(ctx context.Context) error {
	stored := api.Task{AgentID: api.AgentViduTemplate, AsyncID: s.srv.AddTask(zaitest.TaskScript{Pending: 1})}.String()
	task, err := api.ParseTask(stored)
	if err != nil {
		return err
	}
	result, err := s.client.Wait(ctx, task, api.MaxWait(time.Minute), api.Every(time.Millisecond))
	if err != nil {
		return err
	}
	if len(result.VideoURLs()) == 0 {
		return errors.New("the result has no video")
	}
	return nil
}

// waitAll waits for several tasks, one of which fails.
func (s *service) waitAll(ctx context.Context) error {
	tasks := []api.Task{
		{AgentID: api.AgentViduTemplate, AsyncID: s.srv.AddTask(zaitest.TaskScript{})},
		{AgentID: api.AgentViduTemplate, AsyncID: s.srv.AddTask(zaitest.TaskScript{Fail: true})},
	}
	var done, failed int
	for _, outcome := range s.client.WaitAll(ctx, slices.Values(tasks), api.MaxWait(time.Minute), api.Every(time.Millisecond)) {
		var taskError *api.TaskError
		switch {
		case outcome.Err == nil:
			done++
		case errors.As(outcome.Err, &taskError):
			failed++
		default:
			return outcome.Err
		}
	}
	if done != 1 || failed != 1 {
		return fmt.Errorf("%d tasks are done and %d failed", done, failed)
	}
	return nil
}

// download fetches a result file.
func (s *service) download(ctx context.Context) error {
	content := []byte("a video")
	path := filepath.Join(s.dir, "video.mp4")
	n, err := s.client.DownloadFile(ctx, s.srv.AddFile("video.mp4", content), path)
	if err != nil {
		return err
	}
	written, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if n != int64(len(content)) || !bytes.Equal(written, content) {
		return fmt.Errorf("%d bytes: %q", n, written)
	}
	return nil
}

// refused tells an empty balance from other refusals.
func (s *service) refused(ctx context.Context) error {
	s.srv.Enqueue(zaitest.APIError(http.StatusTooManyRequests, "1113", "no balance"))
	_, err := s.client.Retrieve(ctx, api.Task{AgentID: api.AgentViduTemplate, AsyncID: "x"})
	var refused *api.Error
	if !errors.Is(err, api.ErrQuota) || !errors.As(err, &refused) || refused.Retryable() {
		return fmt.Errorf("got %w", err)
	}
	return nil
}

// raw calls a generated method, below the layer.
func (s *service) raw(ctx context.Context) error {
	task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: s.srv.AddTask(zaitest.TaskScript{Pending: 1})}
	answer, err := s.client.RetrieveAgentResultWithResponse(ctx, nil, task)
	if err != nil {
		return err
	}
	if answer.JSON200 == nil || answer.JSON200.AsyncID != task.AsyncID {
		return fmt.Errorf("got %s", answer.Body)
	}
	return nil
}

// invoke has a text translated.
func (s *service) invoke(ctx context.Context) error {
	result, err := s.client.Invoke(ctx, api.NewTranslationRequest("Hello", api.LanguageFrench))
	if err != nil {
		return err
	}
	if result.Text() == "" {
		return errors.New("the translation is empty")
	}
	return nil
}

// submit starts a video and waits for it.
func (s *service) submit(ctx context.Context) error {
	task, err := s.client.Submit(ctx, api.NewVideoRequest(api.TemplateBodyShake, "https://media.example.com/a.jpg", "wave"))
	if err != nil {
		return err
	}
	_, err = s.client.Wait(ctx, task, api.MaxWait(time.Minute), api.Every(time.Millisecond))
	return err
}

// stream folds a deck of slides as it comes.
func (s *service) stream(ctx context.Context) error {
	var all api.Accumulator
	for chunk, err := range s.client.Stream(ctx, api.NewSlidesRequest("Tides")) {
		if err != nil {
			return err
		}
		if err := all.Add(chunk); err != nil {
			return err
		}
	}
	if all.Result().Status != api.StatusSuccess {
		return fmt.Errorf("the deck is %s", all.Result().Status)
	}
	return nil
}

// conversation asks for the files of a deck.
func (s *service) conversation(ctx context.Context) error {
	id := s.srv.AddConversation(zaitest.TaskScript{})
	_, err := s.client.Conversation(ctx, api.ConversationRequest{AgentID: api.AgentSlidesGLM, ConversationID: id})
	return err
}

// upload sends a file.
func (s *service) upload(ctx context.Context) error {
	file, err := s.client.Upload(ctx, "terms.xlsx", strings.NewReader("content"))
	if err != nil {
		return err
	}
	if file.ID == "" {
		return errors.New("the file has no id")
	}
	return nil
}

// run does everything, each use with a server and a client of its own.
func run(ctx context.Context, out io.Writer) error {
	for _, use := range uses {
		spans, err := once(ctx, use.do)
		if err != nil {
			return fmt.Errorf("%s: %w", use.name, err)
		}
		fmt.Fprintf(out, "%s: %d requests traced\n", use.name, spans)
	}
	return nil
}

// once does one thing, and returns how many requests were traced.
func once(ctx context.Context, do func(*service, context.Context) error) (spans int, err error) {
	dir, err := os.MkdirTemp("", "zai-consumer-")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	s := &service{srv: zaitest.NewServer(), spans: tracetest.NewSpanRecorder(), dir: dir}
	defer s.srv.Close()
	provider := trace.NewTracerProvider(trace.WithSpanProcessor(s.spans))
	transport := otelhttp.NewTransport(http.DefaultTransport, otelhttp.WithTracerProvider(provider))
	s.client, err = api.New(s.srv.APIKey, api.WithBaseURL(s.srv.URL), api.WithHTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		return 0, err
	}
	if err := do(s, ctx); err != nil {
		return 0, err
	}
	for _, span := range s.spans.Ended() {
		for _, attribute := range span.Attributes() {
			if strings.Contains(attribute.Value.String(), s.srv.APIKey) {
				return 0, fmt.Errorf("the span attribute %s holds the key", attribute.Key)
			}
		}
	}
	if want := len(s.srv.Requests()); len(s.spans.Ended()) < want {
		return 0, fmt.Errorf("%d requests, of which %d were traced", want, len(s.spans.Ended()))
	}
	return len(s.spans.Ended()), nil
}
