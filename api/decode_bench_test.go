package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// handwritten is what a caller would write for one shape of answer, with content as the
// description has it ([]handwrittenPart) or as recorded answers have it (handwrittenPart).
type handwritten[C any] struct {
	Status  string `json:"status"`
	AgentID string `json:"agent_id"`
	AsyncID string `json:"async_id"`
	Choices []struct {
		Index        int                     `json:"index"`
		FinishReason string                  `json:"finish_reason"`
		Message      []handwrittenMessage[C] `json:"message"`
		Messages     []handwrittenMessage[C] `json:"messages"`
	} `json:"choices"`
	Usage *struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
		TotalTokens      int `json:"total_tokens"`
	} `json:"usage"`
}

type handwrittenMessage[C any] struct {
	Role    string `json:"role"`
	Phase   string `json:"phase"`
	Content C      `json:"content"`
}

type handwrittenPart struct {
	Type     string `json:"type"`
	Text     string `json:"text"`
	VideoURL string `json:"video_url"`
	TagCN    string `json:"tag_cn"`
	TagEN    string `json:"tag_en"`
}

// answerOf returns an answer of about size bytes with as many choices as fit.
func answerOf(size int, message string) []byte {
	const open = `{"status":"success","agent_id":"vidu_template_agent","async_id":"dmlkdS1kZW1vLTAwMDE=","choices":[`
	var b bytes.Buffer
	b.WriteString(open)
	for n := 0; n == 0 || b.Len()+len(message) < size; n++ {
		if n > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"index":%d,"finish_reason":"stop",`+message+`}`, n, n)
	}
	b.WriteString("]}")
	return b.Bytes()
}

// The messages of answerOf, in the shape of the description and in those of recorded answers.
const (
	documentedMessage = `"message":[{"role":"assistant","content":[{"type":"video_url","tag_cn":"视频","tag_en":"video",` +
		`"video_url":"https://media.example.com/out/%d.mp4?Expires=1999999999&Signature=abc"}]}]`
	observedMessage = `"messages":[{"role":"assistant","content":{"type":"video_url",` +
		`"video_url":"https://media.example.com/out/%d.mp4?Expires=1999999999&Signature=abc"}}]`
)

// decodeSizes are the sizes of the answers that are decoded.
var decodeSizes = []struct {
	name string
	size int
}{{"200B", 200}, {"2kB", 2e3}, {"20kB", 20e3}, {"200kB", 200e3}, {"2MB", 2e6}, {"10MB", 10e6}}

// BenchmarkDecode compares the decoding of answers with encoding/json into a plain struct
// and into the generated one. Recorded answers hold messages in which content is an object,
// which the generated struct cannot take.
func BenchmarkDecode(b *testing.B) {
	benchmarkDecode[[]handwrittenPart](b, "documented/pending", []byte(`{"status":"pending","agent_id":"vidu_template_agent","async_id":"dmlkdS1kZW1vLTAwMDE="}`))
	for _, s := range decodeSizes {
		body := answerOf(s.size, documentedMessage)
		if s.size < 300 {
			body = fmt.Appendf(nil, `{"status":"success","agent_id":"vidu_template_agent","async_id":"1","choices":[{"index":0,`+documentedMessage+`}]}`, 1)
		}
		benchmarkDecode[[]handwrittenPart](b, "documented/"+s.name, body)
	}
	benchmarkDecode[[]handwrittenPart](b, "one-text/10MB", fmt.Appendf(nil, `{"status":"success","agent_id":"general_translation","choices":[{"index":0,"message":[{"role":"assistant","content":[{"type":"text","text":%q}]}]}]}`,
		strings.Repeat("All work and no play. ", 10_000_000/22)))
	for _, s := range decodeSizes {
		benchmarkDecode[handwrittenPart](b, "observed/"+s.name, answerOf(s.size, observedMessage))
	}
}

func benchmarkDecode[C any](b *testing.B, name string, body []byte) {
	for _, variant := range []struct {
		name string
		run  func() error
	}{
		{"plain", func() error { return json.Unmarshal(body, new(handwritten[C])) }},
		{"raw", func() error { return json.Unmarshal(body, new(Result)) }},
		{"zai", func() error {
			if r, v := decode(200, "application/json", body); v != answered || r.Status == "" {
				return errors.New("not read")
			}
			return nil
		}},
	} {
		if variant.name == "raw" && variant.run() != nil {
			continue // not a shape that the generated struct can take
		}
		b.Run(name+"/"+variant.name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := variant.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStream compares the reading of a stream of 1000 events with a Scanner and
// encoding/json into a plain struct: split, decode, add to a text.
func BenchmarkStream(b *testing.B) {
	const count = 1000
	for _, shape := range []struct {
		name, message string
		plain         func([]byte) (string, error)
	}{
		{"documented", `"message":[{"role":"assistant","phase":"answer","content":[{"type":"text","text":"word %d "}]}]`, textOf[[]handwrittenPart]},
		{"observed", `"messages":[{"role":"assistant","phase":"answer","content":{"type":"text","text":"word %d "}}]`, textOf[handwrittenPart]},
	} {
		var stream bytes.Buffer
		for n := range count {
			fmt.Fprintf(&stream, `data: {"conversation_id":"c1","agent_id":"slides_glm_agent","choices":[{"index":0,`+shape.message+"}]}\n\n", n)
		}
		run := func(name string, read func(io.Reader) (string, error)) {
			b.Run(shape.name+"/1000-events/"+name, func(b *testing.B) {
				b.SetBytes(int64(stream.Len()))
				b.ReportAllocs()
				for b.Loop() {
					if text, err := read(bytes.NewReader(stream.Bytes())); err != nil || !strings.HasSuffix(text, "word 999 ") {
						b.Fatalf("%.20q, %v", text, err)
					}
				}
			})
		}
		run("plain", func(r io.Reader) (string, error) {
			var all strings.Builder
			lines := bufio.NewScanner(r)
			for lines.Scan() {
				if data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: ")); ok {
					text, err := shape.plain(data)
					if err != nil {
						return "", err
					}
					all.WriteString(text)
				}
			}
			return all.String(), lines.Err()
		})
		run("zai", func(r io.Reader) (string, error) {
			events := eventReader{r: bufio.NewReader(r), max: defaultMaxBody}
			var all Accumulator
			for {
				data, err := events.next()
				if errors.Is(err, io.EOF) {
					return all.Result().Text(), nil
				}
				if err != nil {
					return "", err
				}
				event, _, err := parse(data, false)
				if err != nil || event == nil {
					return "", fmt.Errorf("not read: %w", err)
				}
				if err := all.Add(event); err != nil {
					return "", err
				}
			}
		})
	}
}

// textOf reads the text of one event.
func textOf[C []handwrittenPart | handwrittenPart](data []byte) (string, error) {
	var e handwritten[C]
	if err := json.Unmarshal(data, &e); err != nil {
		return "", err
	}
	var text string
	for _, c := range e.Choices {
		for _, list := range [...][]handwrittenMessage[C]{c.Message, c.Messages} {
			for _, m := range list {
				switch content := any(m.Content).(type) {
				case []handwrittenPart:
					for _, p := range content {
						text += p.Text
					}
				case handwrittenPart:
					text += content.Text
				}
			}
		}
	}
	return text, nil
}
