package api

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// TestParseFast finds that the fast path takes the documented and the recorded shapes, and
// reads in them what the tolerant path reads.
func TestParseFast(t *testing.T) {
	t.Parallel()
	const part = `{"type":"video_url","video_url":"https://media.example.com/1.mp4"}`
	for _, test := range []struct {
		name, body string
		tolerant   bool // takes the tolerant path
	}{
		{name: "documented", body: string(answerOf(2e3, documentedMessage))},
		{name: "observed", body: string(answerOf(2e3, observedMessage))},
		{name: "pending", body: `{"status":"pending","agent_id":"a","async_id":"1"}`},
		{name: "choices null", body: `{"status":"pending","async_id":"1","choices":null}`},
		{name: "error null", body: `{"status":"pending","async_id":"1","error":null}`, tolerant: true},
		{name: "choices empty", body: `{"status":"pending","choices":[],"content":{}}`},
		{name: "space", body: "{\"choices\" : [ {\"messages\" : [ {\"role\":\"assistant\",\"phase\":\"thinking\", \"content\"\t:\r\n " + part + "} ] } ] }"},
		{name: "every key", body: `{"choices":[{"delta":[{"content":` + part + `}],"message":[{"content":` + part + `}],"messages":[{"content":` + part + `}]}]}`},
		{name: "content null after a part", body: `{"choices":[{"messages":[{"content":` + part + `},{"role":"assistant","content":null},{"role":"assistant"}]}]}`},
		{name: "content empty", body: `{"choices":[{"messages":[{"content":{}}]}]}`},
		{name: "part, then list", body: `{"choices":[{"messages":[{"content":` + part + `},{"content":[` + part + `]}]}]}`, tolerant: true},
		{name: "list, then part", body: `{"choices":[{"messages":[{"content":[` + part + `]},{"content":` + part + `}]}]}`, tolerant: true},
		{name: "messages an object", body: `{"choices":[{"messages":{"content":` + part + `}}]}`, tolerant: true},
		{name: "choices an object", body: `{"choices":{"messages":[{"content":` + part + `}]}}`, tolerant: true},
		{name: "address an object", body: `{"choices":[{"messages":[{"content":{"video_url":{"url":"https://media.example.com/1.mp4"}}}]}]}`, tolerant: true},
		{name: "content a string", body: `{"choices":[{"messages":[{"content":"bonjour"}]}]}`, tolerant: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r, top, err := parse([]byte(test.body), true)
			if err != nil || (top != nil) != test.tolerant {
				t.Fatalf("tolerant path: %t (%v), want %t", top != nil, err, test.tolerant)
			}
			want := looseResult([]byte(test.body), asObject([]byte(test.body)))
			if diff := cmp.Diff(want, r, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("tolerant path (-), fast path (+):\n%s", diff)
			}
		})
	}
}

// TestManyURLs collects a fifth of the addresses that fit in an answer. In quadratic time it
// would take half a minute.
func TestManyURLs(t *testing.T) {
	t.Parallel()
	const count = 100_000
	parts := make([]Part, 2*count)
	for i := range parts {
		parts[i].VideoURL = "http://a/" + strconv.Itoa(i%count)
	}
	r := Result{Choices: []Choice{{Message: []Message{{Content: parts}}}}}
	urls := r.VideoURLs()
	if len(urls) != count || urls[0] != "http://a/0" || urls[count-1] != "http://a/99999" {
		t.Errorf("%d addresses, want %d in order", len(urls), count)
	}
}

// TestDecodeAllocations holds decoding to the allocations of encoding/json into a struct
// written by hand, at every size, and to twice as many for recorded answers.
func TestDecodeAllocations(t *testing.T) {
	for _, s := range decodeSizes[:3] {
		documented, observed := answerOf(s.size, documentedMessage), answerOf(s.size, observedMessage)
		plain, own := decodeAllocations[[]handwrittenPart](t, documented)
		if own > plain+1 {
			t.Errorf("documented, %s: %v allocations, want at most one more than %v", s.name, own, plain)
		}
		plain, own = decodeAllocations[handwrittenPart](t, observed)
		if own > 2*plain {
			t.Errorf("observed, %s: %v allocations, want at most twice %v", s.name, own, plain)
		}
	}
}

func decodeAllocations[C any](t *testing.T, body []byte) (plain, own float64) {
	t.Helper()
	plain = testing.AllocsPerRun(5, func() {
		if err := json.Unmarshal(body, new(handwritten[C])); err != nil {
			t.Fatal(err)
		}
	})
	return plain, testing.AllocsPerRun(5, func() {
		if _, v := decode(200, "application/json", body); v != answered {
			t.Fatal("not read")
		}
	})
}
