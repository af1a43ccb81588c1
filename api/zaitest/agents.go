package zaitest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	viduAgent        = "vidu_template_agent"
	translationAgent = "general_translation"
	slidesAgent      = "slides_glm_agent"
)

// A Run is a request to an agent that the server carried out: what would be paid for. A request
// that was refused is none; one whose answer was lost is.
type Run struct {
	AgentID        string
	RequestID      string // that the caller gave, if any
	AsyncID        string // of the task that was made, if any
	ConversationID string // of the deck, if any
}

// Runs returns all runs, oldest first.
func (s *Server) Runs() []Run {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.runs)
}

// EnqueueTasks has the next requests to agents go by these scripts, one each: a script that
// names an agent waits for a request to that one, any other is for the next request there is.
// Once none is left, requests go by DefaultTask. It panics if a shape is neither one of
// [Shapes] nor of [StreamShapes].
//
// The agent vidu_template_agent makes a task, whose polls the script is then about; with
// [ShapeStatusOnly] the answer tells no async_id. The agent general_translation answers with
// Text, by default the text of the request behind the target language: [fr] Hello. It does so
// at once, or in a stream if that was asked for. The agent slides_glm_agent answers with a
// stream, whatever was asked for, and makes a conversation whose pages are the slides of the
// stream. Any other agent answers with Text, by default the text of the request: at once, in a
// stream if that was asked for or the script has Events, or by a task if the script has Pending
// or Duration.
//
// What is answered at once and fails by its script is refused, as [Failed] does it, also where
// a stream was asked for. A request whose request_id is that of a stream still being answered,
// or of a task that no poll was told the end of, is refused with code 1231.
func (s *Server) EnqueueTasks(scripts ...TaskScript) {
	for _, script := range scripts {
		newTask(script, "") // which checks it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scripts = append(s.scripts, scripts...)
}

func (s *Server) nextScript(agentID string) TaskScript {
	mine := func(script TaskScript) bool { return script.AgentID == "" || script.AgentID == agentID }
	if i := slices.IndexFunc(s.scripts, mine); i >= 0 {
		script := s.scripts[i]
		s.scripts = slices.Delete(s.scripts, i, i+1)
		return script
	}
	if mine(s.DefaultTask) {
		return s.DefaultTask
	}
	return TaskScript{}
}

// An invocation is a request to an agent.
type invocation struct {
	AgentID        string `json:"agent_id"`
	RequestID      string `json:"request_id"`
	ConversationID string `json:"conversation_id"`
	Stream         bool   `json:"stream"`
	Messages       []struct {
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	CustomVariables struct {
		Template   any `json:"template"` // other agents may have their own
		TargetLang any `json:"target_lang"`
	} `json:"custom_variables"`

	text string // of all messages
}

// check says what is wrong with the request.
func (in *invocation) check() (code, message string) {
	if in.AgentID == "" || len(in.Messages) == 0 {
		return "1213", "agent_id or messages was not received"
	}
	var pictures []string
	for _, m := range in.Messages {
		var content []struct {
			Type     string `json:"type"`
			Text     any    `json:"text"`
			ImageURL any    `json:"image_url"`
		}
		if json.Unmarshal(m.Content, &content) != nil || content == nil {
			return "1211", "content has to be an array"
		}
		for _, part := range content {
			text, isText := part.Text.(string)
			address, isAddress := part.ImageURL.(string)
			switch {
			case part.Type == "text" && isText:
				in.text += text
			case part.Type == "image_url" && isAddress:
				pictures = append(pictures, address)
			case part.Type == "" || part.Type == "text" || part.Type == "image_url":
				return "1214", "a part of content is not valid"
			}
		}
	}
	switch in.AgentID {
	case translationAgent:
		if in.text == "" {
			return "1213", "text was not received"
		}
	case viduAgent:
		if template, _ := in.CustomVariables.Template.(string); template == "" {
			return "1213", "template was not received"
		}
		if len(pictures) != 1 {
			return "1213", fmt.Sprintf("%d pictures were received, not one", len(pictures))
		}
		if u, err := url.Parse(pictures[0]); err != nil || u.Host == "" || !strings.HasPrefix(u.Scheme, "http") {
			return "1214", "image_url is not acceptable"
		}
	}
	return "", ""
}

func (s *Server) invoke(w http.ResponseWriter, r *http.Request) {
	var in invocation
	if !decode(w, r, &in) {
		return
	}
	if code, message := in.check(); code != "" {
		APIError(http.StatusBadRequest, code, message)(w, r, nil)
		return
	}
	s.start(&in, w.Header().Get("X-Log-Id"))(w, r, nil)
}

// start makes what the request asks for, and returns the answer.
func (s *Server) start(in *invocation, logID string) Reply {
	s.mu.Lock()
	defer s.mu.Unlock()
	deck := s.decks[in.ConversationID]
	video, slides := in.AgentID == viduAgent, in.AgentID == slidesAgent
	if t := s.latest[in.RequestID]; t != nil && (t.active || t.ids["async_id"] != nil && !t.told) {
		return APIError(http.StatusBadRequest, "1231", "request "+in.RequestID+" already exists")
	}
	if slides && in.ConversationID != "" && deck == nil {
		return APIError(http.StatusBadRequest, "1214", "there is no such conversation")
	}

	script := s.nextScript(in.AgentID)
	stream := slides || !video && (in.Stream || script.Stream.Events != nil)
	async := !stream && !script.Inline && (video || script.Pending > 0 || script.Duration > 0)
	t := newTask(script, in.AgentID)
	t.ids = object{"id": logID}
	if !async && t.failing() {
		return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) { t.write(w, failed, "") }
	}
	run, status := Run{AgentID: in.AgentID, RequestID: in.RequestID}, success
	if !video {
		t.answer(in, stream && script.Shape == "")
	}
	if slides {
		if deck == nil {
			deck = s.addDeck(newTask(script, slidesAgent))
		}
		deck.active = true
		run.ConversationID, _ = deck.ids["conversation_id"].(string)
		t.ids["conversation_id"] = run.ConversationID
	}
	if async {
		status, run.AsyncID = pending, s.addTask(t)
	}
	if in.RequestID != "" {
		s.latest[in.RequestID] = t
	}
	s.runs = append(s.runs, run)
	if t.active = stream; stream {
		return func(w http.ResponseWriter, r *http.Request, _ http.HandlerFunc) { s.stream(w, r, t, deck) }
	}
	return func(w http.ResponseWriter, _ *http.Request, _ http.HandlerFunc) {
		t.write(w, status, s.FileURL(defaultFile))
	}
}

// answer fills in what an agent says that answers with a text, and how.
func (t *task) answer(in *invocation, recorded bool) {
	text := in.text
	if t.AgentID == translationAgent {
		target, _ := in.CustomVariables.TargetLang.(string)
		text = "[" + cmp.Or(target, "zh-CN") + "] " + text
	}
	if len(t.VideoURLs)+len(t.FileURLs)+len(t.ImageURLs) == 0 && !t.NoResult {
		t.Text = cmp.Or(t.Text, text)
	}
	asked, told := utf8.RuneCountInString(in.text), utf8.RuneCountInString(t.Text)
	t.usage = object{"prompt_tokens": asked, "completion_tokens": told, "total_tokens": asked + told, "total_calls": 1}
	switch {
	case recorded:
		t.Shape = ShapeMessagesContentObject
	case t.Shape == ShapeDocumented && t.AgentID == translationAgent:
		t.Shape = ShapeMessagesObject // which is how the answer of this agent is documented
	}
}

// AddConversation adds a conversation with the agent of slides, and returns its id. Its script
// is about the files of the deck, by default two pages and a PDF that the server itself has.
func (s *Server) AddConversation(script TaskScript) (conversationID string) {
	d := newTask(script, slidesAgent)
	d.pages = 2
	s.mu.Lock()
	defer s.mu.Unlock()
	conversationID, _ = s.addDeck(d).ids["conversation_id"].(string)
	return conversationID
}

func pageFile(n int) string { return fmt.Sprintf("page-%d.png", n+1) }

func (s *Server) addDeck(d *task) *task {
	id := fmt.Sprintf("%d-zaitest%04d", d.added.Unix(), len(s.decks)+1)
	d.deck, d.ids = true, object{"conversation_id": id}
	s.decks[id] = d
	return d
}

func (s *Server) conversation(w http.ResponseWriter, r *http.Request) {
	var in struct {
		AgentID         string `json:"agent_id"`
		ConversationID  string `json:"conversation_id"`
		CustomVariables struct {
			IncludePDF bool `json:"include_pdf"`
			Pages      []struct {
				Position float64 `json:"position"`
			} `json:"pages"`
		} `json:"custom_variables"`
	}
	if !decode(w, r, &in) {
		return
	}
	s.mu.Lock()
	d := s.decks[in.ConversationID]
	if d == nil || d.AgentID != in.AgentID {
		s.mu.Unlock()
		writeJSON(w, agentJSON, http.StatusOK, object{
			"conversation_id": in.ConversationID, "agent_id": in.AgentID,
			"error": object{"code": "1214", "message": "this agent has no such conversation"},
		})
		return
	}
	reply := d.nextReply()
	s.mu.Unlock()
	reply.give(w, r, func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		status, deck := d.nextStatus(), *d
		if len(d.FileURLs)+len(d.ImageURLs) == 0 {
			deck.FileURLs = []string{s.FileURL(defaultDeck)}
			for n := range d.pages {
				deck.ImageURLs = append(deck.ImageURLs, s.FileURL(pageFile(n)))
			}
		}
		s.mu.Unlock()
		if !in.CustomVariables.IncludePDF {
			deck.FileURLs = nil
		}
		if pages := in.CustomVariables.Pages; pages != nil {
			all := deck.ImageURLs
			deck.ImageURLs = nil
			for _, page := range pages {
				if n := int(page.Position); n >= 1 && n <= len(all) {
					deck.ImageURLs = append(deck.ImageURLs, all[n-1])
				}
			}
		}
		deck.NoResult = deck.NoResult || len(deck.FileURLs)+len(deck.ImageURLs) == 0
		deck.write(w, status, "")
	})
}
