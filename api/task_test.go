package api_test

import (
	"encoding"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"example.com/zai/api"
)

var (
	_ encoding.TextMarshaler   = api.Task{}
	_ encoding.TextUnmarshaler = (*api.Task)(nil)
	_ json.Marshaler           = api.Task{}
	_ json.Unmarshaler         = (*api.Task)(nil)
	_ fmt.Stringer             = api.Task{}
)

// waitTasks are tasks and their texts.
var waitTasks = []struct {
	task api.Task
	text string
	json string
}{
	{api.Task{}, "/", `{}`},
	{api.Task{AgentID: api.AgentViduTemplate, AsyncID: "task-1"}, "vidu_template_agent/task-1", `{"agent_id":"vidu_template_agent","async_id":"task-1"}`},
	{api.Task{AgentID: api.AgentViduTemplate, AsyncID: "emFp+/+/MDAwMQ=="}, "vidu_template_agent/emFp+%2F+%2FMDAwMQ==", `{"agent_id":"vidu_template_agent","async_id":"emFp+/+/MDAwMQ=="}`},
	{api.Task{AgentID: "correction", AsyncID: ""}, "correction/", `{"agent_id":"correction"}`},
	{api.Task{AgentID: "", AsyncID: "task-1"}, "/task-1", `{"async_id":"task-1"}`},
	{api.Task{AgentID: "a/b", AsyncID: "c/d"}, "a%2Fb/c%2Fd", `{"agent_id":"a/b","async_id":"c/d"}`},
	{api.Task{AgentID: "a b", AsyncID: "\tc\n"}, "a%20b/%09c%0A", `{"agent_id":"a b","async_id":"\tc\n"}`},
	{api.Task{AgentID: "a%2Fb", AsyncID: "%"}, "a%252Fb/%25", `{"agent_id":"a%2Fb","async_id":"%"}`},
	{api.Task{AgentID: "a?b#c", AsyncID: `"'\<&>;,`}, "a%3Fb%23c/%22%27%5C%3C&%3E%3B%2C", `{"agent_id":"a?b#c","async_id":"\"'\\\u003c\u0026\u003e;,"}`},
	{api.Task{AgentID: "智能体", AsyncID: "é\u202e\u2028\x00"}, "%E6%99%BA%E8%83%BD%E4%BD%93/%C3%A9%E2%80%AE%E2%80%A8%00", `{"agent_id":"智能体","async_id":"é` + "\u202e" + `\u2028\u0000"}`},
	{api.Task{AgentID: "\xff", AsyncID: "\xc3\x28"}, "%FF/%C3%28", ``}, // JSON holds no bytes that are not UTF-8.
}

// TestTaskText: a task is one printable line and back.
func TestTaskText(t *testing.T) {
	t.Parallel()
	for _, tt := range waitTasks {
		if got := tt.task.String(); got != tt.text {
			t.Errorf("%#v is %q, want %q", tt.task, got, tt.text)
		}
		waitTaskText(t, tt.task)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		waitTaskText(t, api.Task{AgentID: api.AgentID(waitRandomText(random)), AsyncID: waitRandomText(random)})
	}
}

// waitRandomText returns up to a dozen characters, and sometimes bytes that are none.
func waitRandomText(random *rand.Rand) string {
	var b strings.Builder
	for range random.IntN(12) {
		switch random.IntN(4) {
		case 0:
			b.WriteByte(byte(random.IntN(256)))
		case 1:
			b.WriteRune(rune(random.IntN(utf8.MaxRune)))
		default:
			b.WriteByte("/%+= a~.:"[random.IntN(9)])
		}
	}
	return b.String()
}

// waitTaskText checks that a task survives as text.
func waitTaskText(t *testing.T, task api.Task) {
	t.Helper()
	text := task.String()
	for _, r := range text {
		if r >= utf8.RuneSelf || !strconv.IsPrint(r) || r == ' ' {
			t.Errorf("%#v is %q, which holds %q", task, text, r)
		}
	}
	if again, err := api.ParseTask(text); err != nil || again != task {
		t.Errorf("%#v is %q, and that is %#v, %v", task, text, again, err)
	}
	marshaled, err := task.MarshalText()
	if err != nil || string(marshaled) != text {
		t.Errorf("MarshalText says %q, %v, String %q", marshaled, err, text)
	}
	again := api.Task{AgentID: "old", AsyncID: "old"}
	if err := again.UnmarshalText(marshaled); err != nil || again != task {
		t.Errorf("UnmarshalText gives %#v, %v, want %#v", again, err, task)
	}
	if s := fmt.Sprintf("%v|%s|%+v|%v", task, task, &task, []api.Task{task}); s != text+"|"+text+"|"+text+"|["+text+"]" {
		t.Errorf("printed as %s", s)
	}
}

// TestTaskJSON: a task is the object of the wire format and back.
func TestTaskJSON(t *testing.T) {
	t.Parallel()
	for _, tt := range waitTasks {
		if tt.json == "" {
			continue
		}
		encoded, err := json.Marshal(tt.task)
		if err != nil || string(encoded) != tt.json {
			t.Errorf("%#v is %s, %v, want %s", tt.task, encoded, err, tt.json)
		}
		var again api.Task
		if err := json.Unmarshal(encoded, &again); err != nil || again != tt.task {
			t.Errorf("%s is %#v, %v, want %#v", encoded, again, err, tt.task)
		}
	}
	type message struct {
		Task  api.Task         `json:"task"`
		Ptr   *api.Task        `json:"ptr,omitempty"`
		Count map[api.Task]int `json:"count,omitempty"`
	}
	task := waitTasks[2].task
	encoded, err := json.Marshal(message{Task: task, Ptr: &task, Count: map[api.Task]int{task: 3}})
	want := `{"task":` + waitTasks[2].json + `,"ptr":` + waitTasks[2].json + `,"count":{"` + waitTasks[2].text + `":3}}`
	if err != nil || string(encoded) != want {
		t.Errorf("%s, %v, want %s", encoded, err, want)
	}
	var again message
	if err := json.Unmarshal(encoded, &again); err != nil || again.Task != task || *again.Ptr != task || again.Count[task] != 3 {
		t.Errorf("%+v, %v", again, err)
	}
	for text, want := range map[string]api.Task{
		`{"agent_id":"a","async_id":"b","status":"pending","extra":[1]}`: {AgentID: "a", AsyncID: "b"},
		"{\n\"async_id\" : \"b\" }":                                      {AsyncID: "b"},
		`null`:                                                           {},
		`"a/b"`:                                                          {AgentID: "a", AsyncID: "b"},
	} {
		var task api.Task
		if err := json.Unmarshal([]byte(text), &task); err != nil || task != want {
			t.Errorf("%s is %#v, %v", text, task, err)
		}
	}
	for _, text := range []string{`"a b"`, `""`, `["a","b"]`, `{"async_id":1}`, `{"async_id":`, `7`} {
		if err := json.Unmarshal([]byte(text), &task); err == nil {
			t.Errorf("%s is taken for a task", text)
		}
	}
}

// TestTaskMalformed: what String does not write is refused, and the refusal is one short line.
func TestTaskMalformed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"", "vidu_template_agent", "a b/c", "a/b c", "a/b\n", "\ta/b", " a/b", "a/b ", "a/b\r\n", "a/b/c", "a//b", "/a/", "a/b%", "a/b%2", "a/%zz", "%/a",
		"a%2Fb", "a/%2f", "a/%41", "a/b\x00", "a/\xff", "a/é", "智/a", `{"agent_id":"a","async_id":"b"}`, "a/b?c", "a/b#c", strings.Repeat("a", 1<<16), "\x1b[31ma/b c",
	} {
		task, err := api.ParseTask(text)
		if task != (api.Task{}) || !errors.Is(err, api.ErrInvalidRequest) {
			t.Errorf("%.40q is %#v, %v", text, task, err)
			continue
		}
		if said := err.Error(); len(said) > 400 || strings.IndexFunc(said, func(r rune) bool { return !strconv.IsPrint(r) }) >= 0 {
			t.Errorf("%.40q is refused with %q", text, said)
		}
		kept := waitTasks[1].task
		if err := kept.UnmarshalText([]byte(text)); !errors.Is(err, api.ErrInvalidRequest) {
			t.Errorf("UnmarshalText takes %.40q: %v", text, err)
		}
	}
}

// TestTaskFlag: a task is a command line flag.
func TestTaskFlag(t *testing.T) {
	t.Parallel()
	var task, other api.Task
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.TextVar(&task, "task", api.Task{}, "the task")
	flags.TextVar(&other, "other", waitTasks[1].task, "another task")
	if err := flags.Parse([]string{"-task", waitTasks[2].text}); err != nil {
		t.Fatal(err)
	}
	if task != waitTasks[2].task || other != waitTasks[1].task || flags.Lookup("task").Value.String() != waitTasks[2].text {
		t.Errorf("%v and %v", task, other)
	}
	if err := flags.Parse([]string{"-task", "nonsense"}); err == nil {
		t.Error("nonsense is taken for a task")
	}
}

// TestTaskLog: a task is one line of a log, in text and in JSON.
func TestTaskLog(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	task := api.Task{AgentID: "a b", AsyncID: "c\nd"}
	slog.New(slog.NewTextHandler(&b, nil)).InfoContext(t.Context(), "wait", "task", task)
	if !strings.HasSuffix(b.String(), " task=a%20b/c%0Ad\n") {
		t.Errorf("logged %q", b.String())
	}
	b.Reset()
	slog.New(slog.NewJSONHandler(&b, nil)).InfoContext(t.Context(), "wait", "task", task)
	if !strings.HasSuffix(b.String(), `"task":{"agent_id":"a b","async_id":"c\nd"}}`+"\n") {
		t.Errorf("logged %q", b.String())
	}
}

// TestTaskComparable: equal tasks are equal, and so are the keys of a map.
func TestTaskComparable(t *testing.T) {
	t.Parallel()
	seen := map[api.Task]bool{}
	for range 2 {
		for _, tt := range waitTasks {
			again, err := api.ParseTask(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			seen[again] = true
		}
	}
	if len(seen) != len(waitTasks) {
		t.Errorf("%d keys for %d tasks", len(seen), len(waitTasks))
	}
}

// FuzzParseTask: a text is refused, or it is what the task that it stands for writes.
func FuzzParseTask(f *testing.F) {
	for _, tt := range waitTasks {
		f.Add(tt.text, string(tt.task.AgentID), tt.task.AsyncID)
	}
	f.Add("a/b\n", "a", "%2F/")
	f.Fuzz(func(t *testing.T, text, agentID, asyncID string) {
		task, err := api.ParseTask(text)
		switch {
		case err != nil && (!errors.Is(err, api.ErrInvalidRequest) || task != api.Task{}):
			t.Errorf("%q is %#v, %v", text, task, err)
		case err == nil && task.String() != text:
			t.Errorf("%q is %#v, which writes %q", text, task, task.String())
		}
		waitTaskText(t, api.Task{AgentID: api.AgentID(agentID), AsyncID: asyncID})
		if utf8.ValidString(agentID) && utf8.ValidString(asyncID) {
			task := api.Task{AgentID: api.AgentID(agentID), AsyncID: asyncID}
			encoded, err := json.Marshal(task)
			var again api.Task
			if err != nil || json.Unmarshal(encoded, &again) != nil || again != task {
				t.Errorf("%#v is %s, %v, and that is %#v", task, encoded, err, again)
			}
		}
	})
}
