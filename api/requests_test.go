package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

const picture = "https://media.example.com/a.jpg"

// TestRequestJSON compares requests with what goes over the wire, byte by byte: the role
// is filled in, parts are a list, and what is not set is not there.
func TestRequestJSON(t *testing.T) {
	t.Parallel()
	text := []RequestMessage{{Content: []RequestPart{{Type: PartText, Text: "hi"}}}}
	const textJSON = `[{"content":[{"text":"hi","type":"text"}],"role":"user"}]`

	glossary := NewTranslationRequest("hi", LanguageAmericanEnglish)
	glossary.Stream = new(false)
	glossary.CustomVariables.SourceLang = LanguageAuto
	glossary.CustomVariables.Glossary = "file-1"
	glossary.CustomVariables.Strategy = StrategyCOT
	glossary.CustomVariables.StrategyConfig.COT.ReasonLang = "from"
	general := NewTranslationRequest("hi", "")
	general.CustomVariables.StrategyConfig.General.Suggestion = "formal"
	video := NewVideoRequest(TemplateBodyShake, picture, "wave")
	video.RequestID = "r-1"
	slides := NewSlidesRequest("hi")
	slides.Stream, slides.ConversationID, slides.RequestID = new(false), "c-1", "r-1"

	for _, test := range []struct {
		name    string
		request any
		want    string
	}{
		{
			"translation", NewTranslationRequest("hi", LanguageChinese),
			`{"agent_id":"general_translation","custom_variables":{"target_lang":"zh"},"messages":` + textJSON + `}`,
		},
		{
			"translation without a target", NewTranslationRequest("hi", ""),
			`{"agent_id":"general_translation","messages":` + textJSON + `}`,
		},
		{
			"translation with options", glossary,
			`{"agent_id":"general_translation","custom_variables":{"glossary":"file-1","source_lang":"auto","strategy":"cot",` +
				`"strategy_config":{"cot":{"reason_lang":"from"}},"target_lang":"en-US"},"messages":` + textJSON + `,"stream":false}`,
		},
		{
			"translation with a suggestion", general,
			`{"agent_id":"general_translation","custom_variables":{"strategy_config":{"general":{"suggestion":"formal"}}},"messages":` + textJSON + `}`,
		},
		{
			"translation that escapes", NewTranslationRequest("<\"&\n\u00a0ü", LanguageGerman),
			`{"agent_id":"general_translation","custom_variables":{"target_lang":"de"},"messages":[{"content":[{"text":"\u003c\"\u0026\n` + "\u00a0" + `ü","type":"text"}],"role":"user"}]}`,
		},
		{
			"video", NewVideoRequest(TemplateFrenchKiss, picture, ""),
			`{"agent_id":"vidu_template_agent","custom_variables":{"template":"french_kiss"},` +
				`"messages":[{"content":[{"image_url":"https://media.example.com/a.jpg","type":"image_url"}],"role":"user"}]}`,
		},
		{
			"video with a prompt and an id", video,
			`{"agent_id":"vidu_template_agent","custom_variables":{"template":"bodyshake"},` +
				`"messages":[{"content":[{"text":"wave","type":"text"},{"image_url":"https://media.example.com/a.jpg","type":"image_url"}],"role":"user"}],"request_id":"r-1"}`,
		},
		{"slides", NewSlidesRequest("hi"), `{"agent_id":"slides_glm_agent","messages":` + textJSON + `}`},
		{
			"slides without a stream", slides,
			`{"agent_id":"slides_glm_agent","conversation_id":"c-1","messages":` + textJSON + `,"request_id":"r-1","stream":false}`,
		},
		{"a pointer", &SlidesRequest{AgentID: AgentSlidesGLM, Messages: text, Stream: new(true)}, `{"agent_id":"slides_glm_agent","messages":` + textJSON + `,"stream":true}`},
		{"an empty text", NewSlidesRequest(""), `{"agent_id":"slides_glm_agent","messages":[{"content":[{"type":"text","text":""}],"role":"user"}]}`},
		{
			"a message without parts", SlidesRequest{AgentID: AgentSlidesGLM, Messages: []RequestMessage{{Role: RoleAssistant}}},
			`{"agent_id":"slides_glm_agent","messages":[{"content":[],"role":"assistant"}]}`,
		},
		{"custom", CustomRequest{AgentID: "solve", Messages: text}, `{"agent_id":"solve","messages":` + textJSON + `}`},
		{
			"custom with everything",
			CustomRequest{
				AgentID: "solve", ConversationID: "c-1", RequestID: "r-1", Stream: new(true),
				CustomVariables: map[string]any{"b": nil, "a": []int{1}},
				Messages: []RequestMessage{{Role: RoleSystem, Content: []RequestPart{
					{Type: PartText, Text: "hi"},
					{Type: PartImageURL, ImageURL: picture},
					{Type: PartFileID, FileID: "file-1"},
					{Type: PartFileURL, FileURL: picture},
				}}},
			},
			`{"agent_id":"solve","conversation_id":"c-1","custom_variables":{"a":[1],"b":null},"messages":[{"content":[` +
				`{"text":"hi","type":"text"},{"image_url":"https://media.example.com/a.jpg","type":"image_url"},` +
				`{"file_id":"file-1","type":"file_id"},{"file_url":"https://media.example.com/a.jpg","type":"file_url"}],"role":"system"}],` +
				`"request_id":"r-1","stream":true}`,
		},
		{
			"conversation", ConversationRequest{AgentID: AgentSlidesGLM, ConversationID: "c-1"},
			`{"agent_id":"slides_glm_agent","conversation_id":"c-1"}`,
		},
		{
			"conversation with pages",
			ConversationRequest{AgentID: AgentSlidesGLM, ConversationID: "c-1", CustomVariables: ConversationOptions{
				IncludePDF: true, Pages: []PageExport{{Position: 1, Width: 595.28, Height: 841.89}, {Position: 2}},
			}},
			`{"agent_id":"slides_glm_agent","conversation_id":"c-1","custom_variables":{"include_pdf":true,` +
				`"pages":[{"height":841.89,"position":1,"width":595.28},{"position":2}]}}`,
		},
	} {
		got, err := json.Marshal(test.request)
		if err != nil || string(got) != test.want {
			t.Errorf("%s: %v\n got %s\nwant %s", test.name, err, got, test.want)
		}
	}
}

// TestCheckRequest: what the description forbids is refused before a call is paid for, and
// nothing else is.
func TestCheckRequest(t *testing.T) {
	t.Parallel()
	message := func(parts ...RequestPart) []RequestMessage { return []RequestMessage{{Content: parts}} }
	words, image := RequestPart{Type: PartText, Text: "hi"}, RequestPart{Type: PartImageURL, ImageURL: picture}
	with := func(messages []RequestMessage) VideoRequest {
		return VideoRequest{Messages: messages, CustomVariables: VideoOptions{Template: TemplateSexyMe}}
	}
	at := func(address string) VideoRequest { return NewVideoRequest(TemplateSexyMe, address, "") }

	for _, test := range []struct {
		name    string
		request AgentRequest
		want    string // in the error; empty when there is none
	}{
		{"translation", NewTranslationRequest("hi", LanguageFrench), ""},
		{"without a target", NewTranslationRequest("hi", ""), ""},
		{"an unknown language", NewTranslationRequest("hi", "tlh"), ""},
		{"an unknown strategy", TranslationRequest{Messages: message(words), CustomVariables: TranslationOptions{Strategy: "x"}}, ""},
		{"text in the second message", TranslationRequest{Messages: append(message(), message(words)...)}, ""},
		{"a pointer", &TranslationRequest{Messages: message(words)}, ""},
		{"no text", NewTranslationRequest("", LanguageFrench), "no text"},
		{"white space", NewTranslationRequest(" \n", LanguageFrench), "no text"},
		{"a picture to translate", TranslationRequest{Messages: message(image)}, "no text"},
		{"a translation without a message", TranslationRequest{}, "no message"},
		{"a translation by another agent", TranslationRequest{AgentID: "other\n", Messages: message(words)}, "the agent id is other , but"},
		{"a text that is not UTF-8", NewTranslationRequest("caf\xe9", LanguageFrench), "not UTF-8"},
		{"a text without a type", TranslationRequest{Messages: message(RequestPart{Text: "hi"})}, "no type"},

		{"video", NewVideoRequest(TemplateFrenchKiss, picture, "kiss"), ""},
		{"an unknown template", NewVideoRequest("new", picture, ""), ""},
		{"plain http, a port, a query", at("HTTP://10.0.0.1:8080/a?X-Signature=1#b"), ""},
		{"the picture in the second message", with(append(message(words), message(image)...)), ""},
		{"no template", NewVideoRequest("", picture, ""), "template"},
		{"no picture", with(message(words)), "exactly one picture, not 0"},
		{"two pictures", with(message(image, image)), "exactly one picture, not 2"},
		{"two pictures in two messages", with(append(message(image), message(image)...)), "exactly one picture, not 2"},
		{"no address", at(""), "absolute http"},
		{"a relative address", at("/a.jpg"), "absolute http"},
		{"without a scheme", at("//media.example.com/a.jpg"), "absolute http"},
		{"without a host", at("https:///a.jpg"), "absolute http"},
		{"with a port alone", at("https://:443/a.jpg"), "absolute http"},
		{"opaque", at("https:media.example.com/a.jpg"), "absolute http"},
		{"another scheme", at("ftp://media.example.com/a.jpg"), "absolute http"},
		{"base64", at("data:image/png;base64,aGk="), "absolute http"},
		{"broken", at("https://media.example.com/%zz?X-Signature=secret"), "absolute http"},
		{"space around it", at(" " + picture), "absolute http"},
		{"a prompt that is not UTF-8", NewVideoRequest(TemplateSexyMe, picture, "\xff"), "not UTF-8"},
		{"a video without a message", VideoRequest{CustomVariables: VideoOptions{Template: TemplateSexyMe}}, "no message"},
		{"a video by another agent", VideoRequest{AgentID: AgentSlidesGLM, Messages: message(image)}, "the agent id is slides_glm_agent, but"},
		{"a nil video", (*VideoRequest)(nil), "nil"},

		{"slides", NewSlidesRequest("hi"), ""},
		{"slides about nothing", NewSlidesRequest(""), ""},
		{"a message without parts", SlidesRequest{Messages: message()}, ""},
		{"slides without a message", SlidesRequest{}, "no message"},
		{"slides by another agent", SlidesRequest{AgentID: AgentViduTemplate, Messages: message(words)}, "the agent id is vidu_template_agent, but"},

		{"custom", CustomRequest{AgentID: "solve", Messages: message(image, image)}, ""},
		{"custom with a part of an unknown type", &CustomRequest{AgentID: "solve", Messages: message(RequestPart{Type: "audio_url"})}, ""},
		{"custom without an agent", CustomRequest{Messages: message(words)}, "agent id is empty"},
		{"custom without a message", CustomRequest{AgentID: "solve"}, "no message"},
		{"a nil custom", (*CustomRequest)(nil), "nil"},
		{"nil", nil, "nil"},
	} {
		body, agent, err := encode(test.request, false)
		if test.want == "" {
			var sent struct {
				AgentID AgentID `json:"agent_id"`
			}
			if bad := json.Unmarshal(body, &sent); err != nil || bad != nil || agent == "" || sent.AgentID != agent {
				t.Errorf("%s: agent %q, sent %s: %v", test.name, agent, body, err)
			}
			continue
		}
		e, ok := errors.AsType[*Error](err)
		if !ok || !errors.Is(err, ErrInvalidRequest) || e.StatusCode != 0 || e.Op != "invokeAgent" {
			t.Errorf("%s: got %#v", test.name, err)
		} else if !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: got %v, want %q", test.name, err, test.want)
		}
	}
}

// TestCheckRequestLeavesTheRequest: checking changes nothing that the caller holds.
func TestCheckRequestLeavesTheRequest(t *testing.T) {
	t.Parallel()
	request := NewVideoRequest(TemplateSexyMe, picture, "dance")
	before, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := encode(&request, false); err != nil {
		t.Fatal(err)
	}
	if after, err := json.Marshal(request); err != nil || !bytes.Equal(after, before) {
		t.Errorf("%v: %s became %s", err, before, after)
	}
}
