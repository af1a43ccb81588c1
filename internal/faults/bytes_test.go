package faults

import "testing"

// nobody is an address at which nothing listens: a port that no other test can be given.
const nobody = "127.0.0.1:1"

// TestRelay breaks connections in the request and in the answer, in every manner.
func TestRelay(t *testing.T) {
	t.Parallel()
	const title = "Connections that break"
	manners := []struct {
		how  manner
		name string
	}{{reset, "reset"}, {closed, "closed"}, {halfDone, "half-closed"}, {silent, "silence"}}
	for _, m := range manners {
		cause := "cut"
		if m.how == silent {
			cause = "timeout"
		}
		f := func(place string, upstream bool, at func([]byte) int, always, once outcomes) {
			fault{
				name: m.name + " " + place, between: broken(breakage{upstream, at, m.how}),
				always: always, once: once,
			}.run(t, title)
		}
		always, once := lostRequest(cause)
		if m.how == halfDone {
			// The server hears that no more will come, and says that this is no request.
			always = always.but("HTTP 400 0", reads...).but("HTTP 400 0", "Wait", "WaitAll", "Download").but("HTTP 400 0/0", creates...)
			once = nil
		}
		f("at the first byte of the request", true, after(1), always, once)
		f("in the header of the request", true, after(70), always, once)
		always, once = lostRequest(cause)
		// What is downloaded is asked for without a body.
		f("in the body of the request", true, inBody(10), always.but("ok 1", "Download", "DownloadFile"), once.but("ok 1", "Download", "DownloadFile"))

		always, once = lostAnswer(cause)
		f("before the answer", false, after(1), always, once)
		f("in the header of the answer", false, after(50), always, once)
		if m.how != silent {
			always, once = cutAnswer()
		}
		f("in the body of the answer", false, inBody(20), always, once)
	}
	tooLate := fault{name: "the request gets through after the client has given up", between: broken(breakage{true, after(0), late})}
	tooLate.always, tooLate.once = lostAnswer("timeout")
	tooLate.run(t, title)

	dribble := func(upstream bool) func(t *testing.T, w *world) string {
		return broken(breakage{upstream: upstream, how: dribbling})
	}
	fault{name: "the request comes byte by byte", between: dribble(true), always: harmless()}.run(t, title)
	fault{name: "the answer comes byte by byte", between: dribble(false), always: harmless()}.run(t, title)

	refused := fault{name: "nobody listens", between: func(*testing.T, *world) string { return nobody }}
	refused.always, refused.once = notSent("refused")
	refused.run(t, title)
}
