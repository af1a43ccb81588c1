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

// ParseTask reads what String wrote, and nothing else: a line end or a blank that came along
// would be a task that the server does not know. Its error matches ErrInvalidRequest.
func ParseTask(s string) (Task, error) {
	agent, async, _ := strings.Cut(s, "/")
	agentID, err := url.PathUnescape(agent)
	asyncID, err2 := url.PathUnescape(async)
	t := Task{AgentID: AgentID(agentID), AsyncID: asyncID}
	if err != nil || err2 != nil || t.String() != s {
		return Task{}, invalid("", "the text %q is not a task: want agent id, slash, async id", line(s, 100))
	}
	return t, nil
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

// UnmarshalJSON reads the object of the wire format, and the text of String, which is what
// the key of a map is.
func (t *Task) UnmarshalJSON(data []byte) error {
	if isString(data) {
		return t.UnmarshalText([]byte(asString(data)))
	}
	return json.Unmarshal(data, (*plainTask)(t))
}

type plainTask Task // without methods
