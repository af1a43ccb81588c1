package api

import (
	"encoding/json"
	"net/url"
	"strings"
)

// String is the task on one printable line, for a log, a flag or a message of a queue:
// the agent id and the async id, percent-encoded, with a slash between them. ParseTask
// reads it back.
func (t Task) String() string {
	return url.PathEscape(string(t.AgentID)) + "/" + url.PathEscape(t.AsyncID)
}

// ParseTask reads what String wrote. Its error matches ErrInvalidRequest.
func ParseTask(s string) (Task, error) {
	agent, async, ok := strings.Cut(s, "/")
	agentID, err := url.PathUnescape(agent)
	asyncID, err2 := url.PathUnescape(async)
	if !ok || err != nil || err2 != nil || strings.Contains(async, "/") {
		return Task{}, invalid("", "the text %q is not a task: want agent id, slash, async id", line(s, 100))
	}
	return Task{AgentID: AgentID(agentID), AsyncID: asyncID}, nil
}

// MarshalText is String, for flags, map keys and configuration.
func (t Task) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalText is ParseTask.
func (t *Task) UnmarshalText(text []byte) (err error) {
	*t, err = ParseTask(string(text))
	return err
}

// MarshalJSON writes the object of the wire format, with agent_id and async_id.
func (t Task) MarshalJSON() ([]byte, error) { return json.Marshal(plainTask(t)) }

// UnmarshalJSON reads the object of the wire format.
func (t *Task) UnmarshalJSON(data []byte) error { return json.Unmarshal(data, (*plainTask)(t)) }

type plainTask Task // without methods
