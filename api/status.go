package api

import "strings"

// The enum types below are open: the constants are the values that the description
// names or that were observed, and any other string is carried through unchanged.

// Status is the state of an agent task.
type Status string

// The states that the description of async-result names.
const (
	StatusPending Status = "pending" // not finished
	StatusSuccess Status = "success" // finished; the result may still be empty or incomplete
	StatusFailed  Status = "failed"  // finished without a result
)

// Terminal reports whether s is final: a further look would give the same answer.
// A word that nobody knows is not final. Letter case and surrounding space do not matter.
func (s Status) Terminal() bool { return s.normalize() != StatusPending }

// normalize maps a status word to one of the three states. The words beside the
// published ones are those of the task API (paas/v4) and of its clients; any other word,
// also an empty one, means that the task goes on.
func (s Status) normalize() Status {
	switch strings.ToLower(strings.TrimSpace(string(s))) {
	case "success", "succeeded", "succeed", "completed", "complete", "finished", "done":
		return StatusSuccess
	case "failed", "fail", "failure", "error", "cancelled", "canceled", "expired", "timeout":
		return StatusFailed
	default:
		return StatusPending
	}
}

// FinishReason tells why the model stopped writing.
type FinishReason string

// The reasons that the description names, and one that the chat API of the same platform uses.
const (
	FinishStop                       FinishReason = "stop"
	FinishToolCalls                  FinishReason = "tool_calls"
	FinishLength                     FinishReason = "length"
	FinishSensitive                  FinishReason = "sensitive"
	FinishNetworkError               FinishReason = "network_error"
	FinishModelContextWindowExceeded FinishReason = "model_context_window_exceeded"
)

// Abnormal reports whether the answer is incomplete: cut by a limit, by the content
// filter or by a fault of the server.
func (r FinishReason) Abnormal() bool {
	switch r {
	case FinishLength, FinishSensitive, FinishNetworkError, FinishModelContextWindowExceeded:
		return true
	default:
		return false
	}
}

// Role is the author of a message.
type Role string

// The roles that the description names, and one that the sister host takes.
const (
	RoleUser      Role = "user"      // of requests
	RoleAssistant Role = "assistant" // of answers
	RoleSystem    Role = "system"    // on BigModelServer only
)

// PartType is the kind of a content part.
type PartType string

// The kinds of parts that messages hold. PartFileID is for requests on BigModelServer only.
const (
	PartVideoURL PartType = "video_url"
	PartFileURL  PartType = "file_url"
	PartImageURL PartType = "image_url"
	PartText     PartType = "text"
	PartObject   PartType = "object"
	PartFileID   PartType = "file_id"
)

// Phase is what a message of an agent is part of.
type Phase string

// The phases that slide answers carry.
const (
	PhaseThinking Phase = "thinking" // reasoning, not part of the answer
	PhaseTool     Phase = "tool"     // a tool call
	PhaseAnswer   Phase = "answer"
)

// AgentID names an agent.
type AgentID string

// The agents that api.z.ai documents.
const (
	AgentViduTemplate       AgentID = "vidu_template_agent" // special effects videos
	AgentGeneralTranslation AgentID = "general_translation" // translation
	AgentSlidesGLM          AgentID = "slides_glm_agent"    // slides and posters
)
