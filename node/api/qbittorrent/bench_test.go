package qbittorrent

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
)

// fill adds magnet links that are stopped.
func (r *rig) fill(n int) {
	r.t.Helper()
	for at := 0; at < n; at += 500 {
		var links strings.Builder
		for i := at; i < min(at+500, n); i++ {
			fmt.Fprintf(&links, "magnet:?xt=urn:btih:%040x%%26dn=a-torrent-with-a-name-%d%%0A", i+1, i)
		}
		if code, body := r.post("torrents/add", "stopped=true&tags=one,two&urls="+links.String()); code != 200 || body != "Ok." {
			r.t.Fatalf("%d %s", code, body)
		}
	}
	for len(r.d.Node().Torrents()) < n { // the answer does not wait for all
		r.get("torrents/count")
	}
	r.settle()
}

// ask measures a request.
func (r *rig) ask(b *testing.B, path string) {
	b.ReportAllocs()
	size := 0
	for b.Loop() {
		req := httptest.NewRequest("GET", "http://127.0.0.1:8009"+Path+path, nil)
		req.AddCookie(r.sid)
		w := httptest.NewRecorder()
		r.h.ServeHTTP(w, req)
		size = w.Body.Len()
	}
	b.ReportMetric(float64(size), "B/answer")
}

func BenchmarkInfo500(b *testing.B) {
	r := newRig(b)
	r.login()
	r.fill(500)
	r.ask(b, "torrents/info")
}

// Nothing has changed.
func BenchmarkMaindataIdle10000(b *testing.B) {
	r := newRig(b)
	r.login()
	r.fill(10000)
	f := follow(r)
	f.poll()
	f.poll()
	r.ask(b, fmt.Sprintf("sync/maindata?rid=%d", f.rid))
}

func BenchmarkMaindataFull10000(b *testing.B) {
	r := newRig(b)
	r.login()
	r.fill(10000)
	r.ask(b, "sync/maindata")
}
