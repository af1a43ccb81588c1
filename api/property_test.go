package api_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"example.com/zai/api"
)

// propertyTB is a rapid.T for helpers that want a testing.TB.
type propertyTB struct {
	testing.TB
	t *rapid.T
}

func (p propertyTB) Helper()                   { p.t.Helper() }
func (p propertyTB) Error(args ...any)         { p.t.Helper(); p.t.Error(args...) }
func (p propertyTB) Errorf(s string, a ...any) { p.t.Helper(); p.t.Errorf(s, a...) }
func (p propertyTB) Fatal(args ...any)         { p.t.Helper(); p.t.Fatal(args...) }
func (p propertyTB) Fatalf(s string, a ...any) { p.t.Helper(); p.t.Fatalf(s, a...) }

// propertyKeys are the keys that the decoding rules know, and some that look like them.
var propertyKeys = strings.Fields(`agent_id asyncId async_id choices code content conversation_id data delta error file_url finish_reason id
	image_url message messages msg object output phase request_id status success task_status text tool_name type url video_result video_url usage
	cover_image_url total_tokens unknown`)

// propertyValues are values that stand in answers, and values that do not belong there.
var propertyValues = func() (values []any) {
	for _, text := range strings.Split(`null|true|false|0|1|-1|200|200.0|2e2|404|500|1113|1302|1.13e3|1e400|""|"0"|"200"|"1113"|"1302"|"500"|"404 NOT_FOUND"|
		"success"|"failed"|"pending"|" FAILED "|"Succeeded"|"PROCESSING"|"stop"|"length"|"tool_calls"|"sensitive"|"thinking"|"tool"|"answer"|
		"video_url"|"text"|"https://media.example.com/a.mp4?Signature=s"|"https://media.example.com/p.png"|" HTTP://media.example.com/b.MOV "|"ftp://x/a.mp4"|
		"bonjour"|"\u0000\u001b[31m\r\n"|"\ud800"|[]|{}|[null]|[[]]|[{}]|{"url":"https://media.example.com/c.mp4"}|{"code":"1113","message":"m"}|{"code":"0"}|
		{"message":null,"msg":"n"}|{"status":"failed"}|{"content":"x"}|{"text":"y","phase":"thinking"}|{"finish_reason":"stop"}`, "|") {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			panic(err)
		}
		values = append(values, v)
	}
	return values
}()

// propertySlot is a place in a JSON value.
type propertySlot struct {
	value any
	set   func(any)
	drop  func()
	keyed func(key string, value any) // sets a neighbor; nil in a list
}

// propertySlots returns every place of a value, the whole included.
func propertySlots(value any, set func(any)) (slots []propertySlot) {
	slots = append(slots, propertySlot{value: value, set: set, drop: func() { set(nil) }})
	switch v := value.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(v)) {
			inner := propertySlots(v[key], func(x any) { v[key] = x })
			inner[0].drop = func() { delete(v, key) }
			inner[0].keyed = func(key string, x any) { v[key] = x }
			slots = append(slots, inner...)
		}
	case []any:
		for i := range v {
			inner := propertySlots(v[i], func(x any) { v[i] = x })
			inner[0].drop = func() { set(slices.Delete(slices.Clone(v), i, i+1)) }
			slots = append(slots, inner...)
		}
	}
	return slots
}

// propertyMutate changes one place of a value.
func propertyMutate(t *rapid.T, root any) any {
	slots := propertySlots(root, func(x any) { root = x })
	slot := rapid.SampledFrom(slots).Draw(t, "slot")
	value := propertyClone(rapid.SampledFrom(propertyValues).Draw(t, "value"))
	key := rapid.SampledFrom(propertyKeys).Draw(t, "key")
	switch op := rapid.SampledFrom([]string{"replace", "drop", "null", "wrap", "nest", "rename", "copy", "repeat", "first", "move", "add", "case"}).Draw(t, "op"); op {
	case "replace":
		slot.set(value)
	case "drop":
		slot.drop()
	case "null":
		slot.set(nil)
	case "wrap":
		slot.set([]any{slot.value})
	case "nest":
		slot.set(map[string]any{key: slot.value})
	case "rename", "copy":
		if slot.keyed != nil {
			if op == "rename" {
				slot.drop()
			}
			slot.keyed(key, propertyClone(slot.value))
		}
	case "repeat":
		slot.set([]any{slot.value, value, propertyClone(slot.value)})
	case "first":
		if list, ok := slot.value.([]any); ok && len(list) > 0 {
			slot.set(list[0])
		}
	case "move":
		slot.set(propertyClone(rapid.SampledFrom(slots).Draw(t, "from").value))
	case "add":
		if o, ok := slot.value.(map[string]any); ok {
			o[key] = value
		}
	case "case":
		if s, ok := slot.value.(string); ok {
			slot.set(" " + strings.ToUpper(s) + "\n")
		}
	}
	return root
}

// propertyClone copies a value, so that a change to it does not reach another place.
func propertyClone(value any) any {
	switch v := value.(type) {
	case map[string]any:
		c := make(map[string]any, len(v))
		for key, x := range v {
			c[key] = propertyClone(x)
		}
		return c
	case []any:
		c := make([]any, len(v))
		for i, x := range v {
			c[i] = propertyClone(x)
		}
		return c
	}
	return value
}

// propertyWriter writes JSON with the keys of an object in any order, and sometimes a key twice.
type propertyWriter struct {
	bytes.Buffer
	order *rand.Rand
	twice bool // whether it has
}

func (w *propertyWriter) write(value any) {
	space := func() { w.WriteString([]string{"", "", "", " ", "\n"}[w.order.IntN(5)]) }
	list := func(open, end byte, n int, element func(int)) {
		w.WriteByte(open)
		for i := range n {
			if i > 0 {
				w.WriteByte(',')
			}
			space()
			element(i)
			space()
		}
		w.WriteByte(end)
	}
	switch v := value.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		w.order.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
		list('{', '}', len(keys), func(i int) {
			if w.order.IntN(200) == 0 { // The last one of two counts, says the reference; JSON does not say.
				w.twice = true
				w.WriteString(strconv.Quote(keys[i]) + ":")
				w.write(propertyValues[w.order.IntN(len(propertyValues))])
				w.WriteString(", ")
			}
			w.WriteString(strconv.Quote(keys[i]))
			space()
			w.WriteByte(':')
			space()
			w.write(v[keys[i]])
		})
	case []any:
		list('[', ']', len(v), func(i int) { w.write(v[i]) })
	default:
		encoded, err := json.Marshal(v)
		if err != nil {
			panic(err)
		}
		w.Write(encoded)
	}
}

// propertyAnswer is an answer made from a recorded one. It tells whether a key stands in it twice.
func propertyAnswer(t *rapid.T, samples []*sampleAnswer) (a *sampleAnswer, twice bool) {
	from := rapid.SampledFrom(samples).Draw(t, "sample")
	a = &sampleAnswer{status: from.status, header: from.header.Clone(), body: from.body}
	a.header.Del("Retry-After")
	order := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0))
	mutate := func(text string) (string, bool) {
		var root any
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		if d.Decode(&root) != nil {
			return text, false
		}
		for range rapid.IntRange(0, 4).Draw(t, "mutations") {
			root = propertyMutate(t, root)
		}
		w := propertyWriter{order: order}
		w.write(root)
		twice = twice || w.twice
		return w.String(), true
	}
	if whole, ok := mutate(string(a.body)); ok {
		a.body = []byte(whole)
		if rapid.IntRange(0, 9).Draw(t, "as event") == 0 {
			a.body = []byte("data: " + strings.ReplaceAll(whole, "\n", " ") + "\n\n")
		}
	} else if referenceIsStream("", string(a.body)) {
		events, done := referenceEvents(string(a.body))
		var b strings.Builder
		for range rapid.IntRange(0, 2).Draw(t, "changed events") {
			i := rapid.IntRange(0, len(events)-1).Draw(t, "event")
			events[i], _ = mutate(events[i])
		}
		for _, event := range events {
			b.WriteString("data: " + strings.ReplaceAll(event, "\n", " ") + "\n\n")
		}
		if done {
			b.WriteString("data: [DONE]\n\n")
		}
		a.body = []byte(b.String())
	}
	switch rapid.IntRange(0, 11).Draw(t, "bytes") {
	case 0:
		a.body = a.body[:rapid.IntRange(0, len(a.body)).Draw(t, "cut")]
	case 1:
		a.body = append([]byte("\ufeff \r\n"), a.body...)
	case 2:
		a.body = append(slices.Clip(a.body), rapid.SampledFrom([]string{" \n", "x", "{}", "\x00"}).Draw(t, "tail")...)
	case 3:
		if i := rapid.IntRange(0, len(a.body)).Draw(t, "at"); i < len(a.body) {
			a.body = slices.Clone(a.body)
			if b := rapid.Byte().Draw(t, "byte"); b != a.body[i]^0x20 { // The client takes keys in any letter case.
				a.body[i] = b
			}
		}
	}
	if rapid.IntRange(0, 2).Draw(t, "other status") == 0 {
		a.status = rapid.SampledFrom([]int{200, 201, 204, 299, 301, 307, 400, 401, 404, 405, 429, 434, 500, 501, 502, 529, 599}).Draw(t, "status")
	}
	if rapid.IntRange(0, 4).Draw(t, "other type") == 0 {
		a.header.Set("Content-Type", rapid.SampledFrom([]string{"", "text/html", "text/event-stream", "application/json"}).Draw(t, "type"))
	}
	return a, twice
}

// propertyCheck checks a property n times, where -rapid.checks does not say how often. Rapid
// checks it a hundred times and takes the number from nowhere else.
func propertyCheck(t *testing.T, n int, property func(*rapid.T)) {
	t.Helper()
	if f := flag.Lookup("rapid.checks"); f.Value.String() == f.DefValue {
		for range n / 100 {
			rapid.Check(t, property)
		}
		return
	}
	rapid.Check(t, property)
}

// propertyRetrieve is what holds for the answer to a poll, however it was changed: the
// client reads what the rules say, and what they call a failure is none of its successes.
func propertyRetrieve(f testing.TB) func(*rapid.T) {
	client, samples := sampleClient(f), propertySamples(f)
	return func(rt *rapid.T) {
		t := propertyTB{t: rt}
		a, twice := propertyAnswer(rt, samples)
		want := referenceDecode(a.status, a.header.Get("Content-Type"), a.body)
		r, err := samplePlay(rt.Context(), client, a)
		if e, ok := errors.AsType[*api.Error](err); ok && (e.StatusCode != a.status || len(e.Body) > 4<<10) {
			t.Errorf("HTTP %d became HTTP %d, with %d bytes of it", a.status, e.StatusCode, len(e.Body))
		}
		if query := strings.Contains(string(want.Code)+want.Message, "?"); !twice && !query { // No error holds the query of an address.
			want.check(t, a, r, err)
		} else if got := sampleRead(t, a, r, err); want.Outcome != got.Outcome && slices.Contains([]string{"task_failed", "api_error"}, want.Outcome) {
			t.Errorf("%s became %s: HTTP %d, %s", want.Outcome, got.Outcome, a.status, a.body)
		}
	}
}

func propertySamples(t testing.TB) (samples []*sampleAnswer) {
	t.Helper()
	for _, s := range sampleManifestOf(t).Samples {
		samples = append(samples, s.answer(t))
	}
	return samples
}

// TestPropertyRetrieve decodes changed answers.
func TestPropertyRetrieve(t *testing.T) {
	t.Parallel()
	propertyCheck(t, 500, propertyRetrieve(t))
}

// FuzzMutation is TestPropertyRetrieve, led by coverage.
func FuzzMutation(f *testing.F) {
	for seed := range byte(20) {
		choices := make([]byte, 1<<10)
		_, _ = rand.NewChaCha8([32]byte{seed}).Read(choices)
		f.Add(choices)
	}
	check := rapid.MakeFuzz(propertyRetrieve(f))
	f.Fuzz(func(t *testing.T, choices []byte) {
		defer func() {
			if t.Skipped() {
				t.Errorf("%d bytes of choices were too few to reach the check", len(choices))
			}
		}()
		check(t, append(slices.Clip(choices), make([]byte, 4<<10)...)) // Zeros, of which each is the first choice.
	})
}

// TestPropertyBound: whatever the answer, one longer than WithMaxBody is ErrBodyTooLarge, with an
// excerpt that is no longer, and any other is read as if there were no bound.
func TestPropertyBound(t *testing.T) {
	t.Parallel()
	free, samples := sampleClient(t), propertySamples(t)
	propertyCheck(t, 300, func(rt *rapid.T) {
		a, _ := propertyAnswer(rt, samples)
		bound := rapid.Int64Range(1, int64(len(a.body))+2).Draw(rt, "bound")
		client, err := api.New(sampleKey, api.WithHTTPClient(&http.Client{Transport: sampleTransport{}}), api.WithMaxAttempts(1), api.WithMaxBody(bound))
		if err != nil {
			rt.Fatal(err)
		}
		r, err := samplePlay(rt.Context(), client, a)
		if int64(len(a.body)) > bound {
			if e, ok := errors.AsType[*api.Error](err); !ok || r != nil || !errors.Is(err, api.ErrBodyTooLarge) || int64(len(e.Body)) > bound+int64(strings.Count(string(a.body), "?"))*int64(len("…")) {
				rt.Errorf("%d bytes with a bound of %d: %v, %v", len(a.body), bound, r, err)
			}
			return
		}
		want, wantErr := samplePlay(rt.Context(), free, a)
		if diff := cmp.Diff(want, r); diff != "" || (err == nil) != (wantErr == nil) || err != nil && err.Error() != wantErr.Error() {
			rt.Errorf("within the bound: %v, want %v\n%s", err, wantErr, diff)
		}
	})
}
