package zaitest

import (
	"cmp"
	"math"
	"time"
)

// Forever is a number of polls that no test gets to: a task whose [TaskScript].Pending it is
// never ends.
const Forever = math.MaxInt

// What a task can be.
const (
	pending = "pending"
	success = "success"
	failed  = "failed"
)

// A TaskScript says what comes of a request to an agent: how its task goes, or what it answers
// at once. The zero value of a task is one of vidu_template_agent that has ended in success
// when it is first asked about, with one video that the server itself has; how the other agents
// answer stands at [Server.EnqueueTasks].
type TaskScript struct {
	// AgentID is the agent whose task it is. Empty means vidu_template_agent in
	// [Server.AddTask], the agent of slides in [Server.AddConversation], and elsewhere the
	// agent that is asked.
	AgentID string

	// A task is pending for the first Pending polls that get an ordinary answer, and for
	// Duration after it was added, whichever ends later. A deck has no files for so long.
	Pending  int
	Duration time.Duration

	// VideoURLs, FileURLs, ImageURLs and Text are what a task that succeeds comes to. If there
	// is nothing in any of them, it comes to one video, unless NoResult is set. Of a deck,
	// ImageURLs are the pages, and FileURLs what include_pdf adds.
	VideoURLs, FileURLs, ImageURLs []string
	Text                           string
	NoResult                       bool

	// FinishReason is that of the result. Empty means stop.
	FinishReason string

	// Inline has the result of the task in the answer to the request that makes it. An Inline
	// task that fails is a refusal: nothing was made.
	Inline bool

	// Stream is the stream that a request is answered with, if it is.
	Stream Stream

	// Fail has the task end in failure, and so does a Code or a Message that is not empty. With
	// both of them empty the answer says that the task failed, but not why.
	Fail          bool
	Code, Message string

	// Shape is the way its answers are written. Empty means [ShapeDocumented].
	Shape Shape

	// StatusWords takes the place of the words for its states. An empty word stays what it is.
	StatusWords StatusWords

	// Replies are given to its polls, or to the requests for the conversation, the first to the
	// first, until none is left. A nil one is the ordinary answer.
	Replies []Reply
}

// StatusWords are words for what a task can be; pending, success and failed are the documented
// ones.
type StatusWords struct {
	Pending, Success, Failed string
}

// A task runs a script. The server's mutex guards it.
type task struct {
	TaskScript
	ids    object // that its answers carry
	usage  object // that a result carries, if any
	deck   bool   // a conversation
	pages  int    // of the deck
	active bool   // a request is being answered
	told   bool   // a poll was told how it ended
	added  time.Time
	polls  int // that got an ordinary answer
}

func newTask(script TaskScript, agentID string) *task {
	script.AgentID = cmp.Or(script.AgentID, agentID)
	script.FinishReason = cmp.Or(script.FinishReason, "stop")
	script.Shape = cmp.Or(script.Shape, ShapeDocumented)
	if !script.Shape.in(append(Shapes(), StreamShapes()...)...) {
		panic("zaitest: there is no shape " + string(script.Shape))
	}
	return &task{TaskScript: script, added: time.Now()}
}

func (t *task) nextReply() (reply Reply) {
	if len(t.Replies) > 0 {
		reply, t.Replies = t.Replies[0], t.Replies[1:]
	}
	return reply
}

func (t *task) nextStatus() string {
	t.polls++
	switch {
	case t.active || t.polls <= t.Pending || time.Since(t.added) < t.Duration:
		return pending
	case t.failing():
		t.told = true
		return failed
	default:
		t.told = true
		return success
	}
}

func (t *task) failing() bool { return t.Fail || t.Code != "" || t.Message != "" }

func (t *task) word(status string) string {
	words := map[string]struct{ own, platform string }{
		pending: {t.StatusWords.Pending, "PROCESSING"},
		success: {t.StatusWords.Success, "SUCCESS"},
		failed:  {t.StatusWords.Failed, "FAIL"},
	}[status]
	if t.Shape.in(ShapePlatformWords, ShapeTaskAPI) {
		status = words.platform
	}
	return cmp.Or(words.own, status)
}
