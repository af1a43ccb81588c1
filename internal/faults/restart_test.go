package faults

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"example.com/zai/api"
	"example.com/zai/api/zaitest"
)

// A restarted server is one that stops, cutting what is under way, and starts again on the same port.
type restarted struct {
	*world
	t      *testing.T
	stop   func()
	mu     sync.Mutex
	down   bool
	stops  int
	starts int
}

func newRestarted(t *testing.T) *restarted {
	t.Helper()
	s := &restarted{world: &world{Server: zaitest.NewUnstartedServer(), maxFailures: 2}, t: t}
	s.MaxRequests = 1 << 20
	listener := listen(t, "127.0.0.1:0")
	s.addr = listener.Addr().String()
	s.URL = "http://" + s.addr + "/api"
	s.stop = s.serve(listener)
	t.Cleanup(func() {
		s.Close()
		s.stop()
	})
	return s
}

// fall stops the server, the first time it is called.
func (s *restarted) fall() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stops == 0 {
		s.stop()
		s.down, s.stops = true, 1
	}
}

// rise starts it again.
func (s *restarted) rise() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.down {
		return
	}
	var listener net.Listener
	eventually(s.t, "the port is free again", func() bool {
		var err error
		listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", s.addr)
		return err == nil
	})
	if listener == nil {
		return
	}
	s.stop = s.serve(listener)
	s.down, s.starts = false, 1
}

// TestRestart restarts the server in the middle of a wait, of the wait for many, and of a download. Nothing runs beside
// it that could be given its port.
func TestRestart(t *testing.T) {
	row := report.row("A server that restarts", "in the middle of the call")
	t.Run("Wait", func(t *testing.T) {
		s := newRestarted(t)
		d := &dialer{}
		client, transport := newClient(t, s.world, d.dial, nil)
		task := api.Task{AgentID: api.AgentViduTemplate, AsyncID: s.AddTask(zaitest.TaskScript{Pending: 3})}
		failed := 0
		labeled(t, func(ctx context.Context) {
			r, err := client.Wait(ctx, task, api.Every(time.Millisecond), api.OnPoll(func(_ *api.Result, p api.Poll) {
				switch {
				case p.N == 2:
					s.fall()
				case p.Err != nil:
					failed++
					s.rise()
				}
			}))
			if err != nil {
				t.Error(err)
				return
			}
			checkVideo(t, s.world, r)
		}, d.settle(t, s.world, transport))
		if failed != 1 || s.starts != 1 || len(s.Requests()) != 4 {
			t.Errorf("%d polls failed, the server was started again %d times and saw %d requests", failed, s.starts, len(s.Requests()))
		}
		report.set(row, "Wait", fmt.Sprintf("ok %d", len(s.Requests())))
	})

	t.Run("WaitAll", func(t *testing.T) {
		const tasks = 200
		s := newRestarted(t)
		d := &dialer{}
		client, transport := newClient(t, s.world, d.dial, nil)
		left := map[api.Task]bool{}
		for range tasks {
			left[api.Task{AgentID: api.AgentViduTemplate, AsyncID: s.AddTask(zaitest.TaskScript{Pending: 3})}] = true
		}
		all := slices.Collect(func(yield func(api.Task) bool) {
			for task := range left {
				if !yield(task) {
					return
				}
			}
		})
		var mu sync.Mutex
		answered, failed := 0, 0
		labeled(t, func(ctx context.Context) {
			for task, outcome := range client.WaitAll(ctx, slices.Values(all), api.Every(time.Millisecond), api.InFlight(16),
				api.OnPoll(func(_ *api.Result, p api.Poll) {
					mu.Lock()
					defer mu.Unlock()
					if p.Err == nil {
						answered++
					} else {
						failed++
					}
					if answered == tasks {
						s.fall()
					}
					if failed == 20 {
						s.rise()
					}
				})) {
				if outcome.Err != nil {
					t.Errorf("%v: %v", task, outcome.Err)
				} else {
					checkVideo(t, s.world, outcome.Result)
				}
				if !left[task] {
					t.Errorf("%v was yielded twice", task)
				}
				delete(left, task)
			}
		}, d.settle(t, s.world, transport))
		if len(left) != 0 || failed < 20 || s.starts != 1 {
			t.Errorf("%d tasks are left, %d polls failed, the server was started again %d times", len(left), failed, s.starts)
		}
		report.set(row, "WaitAll", fmt.Sprintf("ok %d (%d tasks, %d polls failed)", len(s.Requests()), tasks, failed))
	})

	t.Run("DownloadFile", func(t *testing.T) {
		s := newRestarted(t)
		d := &dialer{}
		client, transport := newClient(t, s.world, d.dial, nil)
		film := bytes.Repeat(content, 2048) // 16 MiB: more than the sockets hold
		address, path := s.AddFile("film.mp4", film), filepath.Join(t.TempDir(), "film.mp4")
		var n int64
		labeled(t, func(ctx context.Context) {
			var err error
			if n, err = client.DownloadFile(ctx, address, path, api.OnBytes(func(done, _ int64) {
				if done < int64(len(film)) {
					s.fall()
					s.rise()
				}
			})); err != nil {
				t.Error(err)
			}
		}, d.settle(t, s.world, transport))
		got, err := os.ReadFile(path)
		if err != nil || n != int64(len(film)) || !bytes.Equal(got, film) {
			t.Errorf("%d bytes were reported of %d, and %d are there: %v", n, len(film), len(got), err)
		}
		if requests := len(s.Requests()); requests != 2 || s.starts != 1 {
			t.Errorf("the server saw %d requests and was started again %d times", requests, s.starts)
		}
		report.set(row, "DownloadFile", fmt.Sprintf("ok %d", len(s.Requests())))
	})
}
