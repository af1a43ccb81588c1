package api

import (
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"
)

// AgentRequest is a request to an agent: a TranslationRequest, VideoRequest, SlidesRequest
// or CustomRequest. They are values; a pointer to one is taken too, unless it is nil.
type AgentRequest interface {
	// prepare says why the request is not worth a call; what the description allows passes. It
	// fills in the agent id and, where the agent takes one, a request id. Where stream is set, it
	// asks for a stream.
	prepare(stream bool) (AgentRequest, AgentID, error)
}

// NewTranslationRequest asks for a translation of text. Without a target the server takes
// LanguageSimplifiedChinese. Further options are fields of CustomVariables.
func NewTranslationRequest(text string, target Language) TranslationRequest {
	return TranslationRequest{
		AgentID:         AgentGeneralTranslation,
		Messages:        userMessage(RequestPart{Type: PartText, Text: text}),
		CustomVariables: TranslationOptions{TargetLang: target},
	}
}

// NewVideoRequest asks for a video that applies an effect to the picture at imageURL, an
// http or https address that the server can reach. The prompt may be empty.
func NewVideoRequest(template Template, imageURL, prompt string) VideoRequest {
	parts := []RequestPart{{Type: PartText, Text: prompt}, {Type: PartImageURL, ImageURL: imageURL}}
	if prompt == "" {
		parts = parts[1:]
	}
	return VideoRequest{
		AgentID:         AgentViduTemplate,
		Messages:        userMessage(parts...),
		CustomVariables: VideoOptions{Template: template},
	}
}

// NewSlidesRequest asks for slides or a poster. With a ConversationID it works on the deck
// of that conversation.
func NewSlidesRequest(prompt string) SlidesRequest {
	return SlidesRequest{AgentID: AgentSlidesGLM, Messages: userMessage(RequestPart{Type: PartText, Text: prompt})}
}

func userMessage(parts ...RequestPart) []RequestMessage {
	return []RequestMessage{{Role: RoleUser, Content: parts}}
}

// CustomRequest is a request to any agent, for those that only BigModelServer has. Fields
// that are left empty are not sent.
type CustomRequest struct {
	// AgentID names the agent.
	AgentID AgentID `json:"agent_id"`
	// ConversationID continues a conversation.
	ConversationID string `json:"conversation_id,omitempty"`
	// CustomVariables are the options of the agent.
	CustomVariables map[string]any `json:"custom_variables,omitempty"`
	// Messages are what the agent is to work on.
	Messages []RequestMessage `json:"messages"`
	// RequestID is the caller's own id of the request, different for each. None is made up,
	// because it is not known which agents take one.
	RequestID string `json:"request_id,omitempty"`
	// Stream tells whether the answer comes as a stream of events; nil leaves it to the agent.
	Stream *bool `json:"stream,omitempty"`
}

// encode prepares r, which must not be nil, and writes it as JSON.
func encode(r AgentRequest, stream bool) (body []byte, agent AgentID, err error) {
	if isNil(r) {
		return nil, "", invalid(opInvoke, "the request is nil")
	}
	if r, agent, err = r.prepare(stream); err == nil {
		body, err = json.Marshal(r)
	}
	if err != nil {
		return nil, "", invalid(opInvoke, "%w", err)
	}
	return body, agent, nil
}

// isNil reports whether v is nil, or a pointer or func that is.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || (r.Kind() == reflect.Pointer || r.Kind() == reflect.Func) && r.IsNil()
}

func (r TranslationRequest) prepare(stream bool) (AgentRequest, AgentID, error) {
	parts, err := checkParts(r.AgentID, AgentGeneralTranslation, r.Messages)
	isText := func(p RequestPart) bool { return p.Type == PartText && strings.TrimSpace(p.Text) != "" }
	if err == nil && !slices.ContainsFunc(parts, isText) {
		err = errors.New("there is no text to translate")
	}
	r.AgentID, r.Stream = AgentGeneralTranslation, orStream(r.Stream, stream)
	return r, r.AgentID, err
}

func (r VideoRequest) prepare(stream bool) (AgentRequest, AgentID, error) {
	parts, err := checkParts(r.AgentID, AgentViduTemplate, r.Messages)
	if err != nil {
		return nil, "", err
	}
	pictures := slices.DeleteFunc(parts, func(p RequestPart) bool { return p.Type != PartImageURL })
	if len(pictures) != 1 {
		return nil, "", fmt.Errorf("a video takes exactly one picture, not %d", len(pictures))
	}
	// The address may hold a signature and stays out of the error.
	if u, err := url.Parse(pictures[0].ImageURL); err != nil || u.Hostname() == "" || !isHTTP(pictures[0].ImageURL) {
		return nil, "", errors.New("the address of the picture is not an absolute http or https URL")
	}
	if r.CustomVariables.Template == "" {
		return nil, "", errors.New("a video takes a template")
	}
	if stream {
		return nil, "", errors.New("vidu_template_agent does not stream: use Submit")
	}
	r.AgentID, r.RequestID = AgentViduTemplate, cmp.Or(r.RequestID, rand.Text())
	return r, r.AgentID, nil
}

func (r SlidesRequest) prepare(stream bool) (AgentRequest, AgentID, error) {
	_, err := checkParts(r.AgentID, AgentSlidesGLM, r.Messages)
	r.AgentID, r.RequestID, r.Stream = AgentSlidesGLM, cmp.Or(r.RequestID, rand.Text()), orStream(r.Stream, stream)
	return r, r.AgentID, err
}

func (r CustomRequest) prepare(stream bool) (AgentRequest, AgentID, error) {
	_, err := checkParts(r.AgentID, "", r.Messages)
	r.Stream = orStream(r.Stream, stream)
	return r, r.AgentID, err
}

// checkParts checks what every request must have: an agent, its own one if there is such,
// a message, and parts that say of which kind they are. It returns a list of the parts.
func checkParts(agent, own AgentID, messages []RequestMessage) (parts []RequestPart, err error) {
	switch {
	case agent == "" && own == "":
		return nil, errors.New("the agent id is empty")
	case agent != "" && own != "" && agent != own:
		return nil, fmt.Errorf("the agent id is %s, but this is a request for %s", line(string(agent), 64), own)
	case len(messages) == 0:
		return nil, errors.New("there is no message")
	}
	for _, m := range messages {
		parts = append(parts, m.Content...)
	}
	for _, p := range parts {
		if p.Type == "" {
			return nil, errors.New("a part of a message has no type")
		} else if !utf8.ValidString(p.Text) {
			return nil, errors.New("a text is not UTF-8, and JSON cannot carry it unchanged")
		}
	}
	return parts, nil
}

// orStream is what a request says about streaming, and true where the verb is Stream.
func orStream(said *bool, stream bool) *bool {
	if stream {
		return new(true)
	}
	return said
}

// MarshalJSON fills in the role, and writes the parts as a list even where there are none.
func (m RequestMessage) MarshalJSON() ([]byte, error) {
	type plain RequestMessage
	whole := plain(m)
	whole.Role = cmp.Or(m.Role, RoleUser)
	if m.Content == nil {
		whole.Content = []RequestPart{}
	}
	return json.Marshal(whole)
}

// MarshalJSON writes the text of a text part even where it is empty, as the API demands.
func (p RequestPart) MarshalJSON() ([]byte, error) {
	type plain RequestPart
	if p.Type != PartText || p.Text != "" {
		return json.Marshal(plain(p))
	}
	return json.Marshal(struct {
		plain
		Text string `json:"text"`
	}{plain: plain(p)})
}

// Template is the effect of an effects video.
type Template string

// The effects that the description lists.
const (
	TemplateFrenchKiss Template = "french_kiss" // wants a picture of two people
	TemplateBodyShake  Template = "bodyshake"   // wants a picture of one person
	TemplateSexyMe     Template = "sexy_me"     // wants a picture of one person
)

// Strategy is a way of translating.
type Strategy string

// The strategies that the description names.
const (
	StrategyGeneral    Strategy = "general" // with StrategyConfig.General
	StrategyParaphrase Strategy = "paraphrase"
	StrategyTwoStep    Strategy = "two_step"
	StrategyThreeStep  Strategy = "three_step"
	StrategyReflection Strategy = "reflection"
	StrategyCOT        Strategy = "cot" // chain of thought, with StrategyConfig.COT
)
