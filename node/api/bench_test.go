package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"seedbed/node"
	"seedbed/node/daemon"
)

// magnets are torrents without metadata.
const magnets = 10_000

func hashOf(i int) string { return fmt.Sprintf("%040x", i+1) }

// fill adds paused torrents without metadata.
func (r *rig) fill(t testing.TB, n int) {
	t.Helper()
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := w; i < n; i += 8 {
				if _, _, err := r.d.Add(t.Context(), daemon.AddRequest{Link: hashOf(i), Paused: true}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// BenchmarkAddMagnets adds 10,000 magnets over REST, one after the other and by 64 clients at
// once.
func BenchmarkAddMagnets(b *testing.B) {
	for _, clients := range []int{1, 64} {
		b.Run(fmt.Sprint(clients), func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				r := newRig(b)
				b.StartTimer()
				var wg sync.WaitGroup
				for w := range clients {
					wg.Go(func() {
						for i := w; i < magnets; i += clients {
							if code := r.do("POST", "/v1/torrents", object{"link": hashOf(i)}, nil); code != http.StatusCreated {
								b.Errorf("%d", code)
							}
						}
					})
				}
				wg.Wait()
				b.StopTimer()
				b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/10000")
			}
		})
	}
}

// BenchmarkNoChanges asks for the changes of 10,000 torrents when nothing has changed, and for the
// list of all of them in comparison.
func BenchmarkNoChanges(b *testing.B) {
	r := newRig(b)
	r.fill(b, magnets)
	for name, path := range map[string]string{"changes": fmt.Sprintf("/v1/changes?since=%d", r.d.Node().Cursor()), "list": "/v1/torrents?limit=10000"} {
		b.Run(name, func(b *testing.B) {
			size := 0
			for b.Loop() {
				w := httptest.NewRecorder()
				q := httptest.NewRequest("GET", "http://localhost"+path, nil)
				q.Header.Set("Authorization", "Bearer "+r.token)
				r.Config.Handler.ServeHTTP(w, q)
				if w.Code != http.StatusOK {
					b.Fatal(w.Body)
				}
				size = w.Body.Len()
			}
			b.ReportMetric(float64(size), "B/answer")
		})
	}
}

// BenchmarkChangeToEvent measures the time from an event of a torrent to its arrival at a client of
// the event stream, with 1,000 torrents.
func BenchmarkChangeToEvent(b *testing.B) {
	r := newRig(b)
	r.fill(b, 1000)
	next, end := r.stream(fmt.Sprint(r.d.Node().Cursor()))
	defer end()
	next()
	hash := r.d.Node().Torrents()[0].InfoHash()
	for b.Loop() {
		r.d.Node().Emit(node.Event{Kind: node.Recovered, InfoHash: hash})
		for {
			if _, event, data := next(); event == "changes" && data["changed"] != nil {
				break
			}
		}
	}
}
