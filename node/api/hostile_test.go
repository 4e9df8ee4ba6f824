package api_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"seedbed/magnet/metainfo"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
)

// A body of many values, valid or not, costs neither much memory nor a long answer.
func TestBodiesOfManyValuesAreRefused(t *testing.T) {
	r := newRig(t)
	post := func(body string) (int, int) {
		resp, b := r.send(r.token, "POST", "/v1/torrents", strings.NewReader(body))
		return resp.StatusCode, len(b)
	}
	list := func(n int) string { return `{"labels":[1` + strings.Repeat(",1", n) + `]}` }
	for name, c := range map[string]struct {
		body string
		code int
	}{
		"many":       {list(1<<20 + 1), 413},
		"fewer":      {list(1000), 422},
		"long value": {`"` + strings.Repeat("x", 1<<20) + `"`, 422},
		"deep":       {strings.Repeat("[", 1<<20), 400},
	} {
		if code, size := post(c.body); code != c.code || size > 20<<10 {
			t.Errorf("%s: %d with %d bytes", name, code, size)
		}
	}
}

// Overwriting deletes what is there, as removing does.
func TestOnlyAnAdminOverwrites(t *testing.T) {
	r := newRig(t)
	adder := r.newToken(token.Add)
	body := object{"link": strings.Repeat("ab", 20), "overwrite": true, "paused": true}
	if code := r.as(adder, "POST", "/v1/torrents", body, nil); code != 403 {
		t.Errorf("add: %d", code)
	}
	if code := r.do("POST", "/v1/torrents", body, nil); code != 201 {
		t.Errorf("admin: %d", code)
	}
}

// timed is a writer that notes the deadline for reading.
type timed struct {
	*httptest.ResponseRecorder
	deadline time.Time
}

func (w *timed) SetReadDeadline(at time.Time) error {
	w.deadline = at
	return nil
}

// The library would give up after 5 s.
func TestABodyMayTakeMinutes(t *testing.T) {
	r := newRig(t)
	began := time.Now()
	for _, path := range []string{"/v1/torrents", "/v1/import", "/v1/publications"} {
		req := httptest.NewRequestWithContext(t.Context(), "POST", "http://localhost"+path, strings.NewReader("{}"))
		req.Header.Set("Authorization", "Bearer "+r.token)
		w := &timed{ResponseRecorder: httptest.NewRecorder()}
		r.Config.Handler.ServeHTTP(w, req)
		if w.deadline.Sub(began) < time.Minute {
			t.Errorf("%s: %v", path, w.deadline.Sub(began))
		}
	}
}

// Odd requests, many at a time, are answered as what they are: none is an error of the daemon.
func TestOddRequestsAreNoErrorsOfTheDaemon(t *testing.T) {
	rigs := withDHT(t, 2)
	r := rigs[0]
	shared, _ := r.seeds(t, metainfo.V1)
	long := strings.Repeat("x", 70_000)
	target := strings.Repeat("ab", 20)
	requests := []struct {
		method, path string
		body         any
	}{
		{"POST", "/v1/inspect", object{"link": "magnet:?xt=urn:btih:" + target + "&dn=" + long + "&tr=" + long, "within_s": 0.1}},
		{"POST", "/v1/inspect", object{"link": "magnet:?xs=urn:btpk:" + strings.Repeat("cd", 32) + "&s=" + strings.Repeat("00", 64), "within_s": 0.1}},
		{"POST", "/v1/inspect", object{"link": "magnet:?xt=urn:btih:" + target + "&x.pe=127.0.0.1:1&x.pe=%5B::1%5D:1&so=0-4294967295", "peers": []string{"", "x", "127.0.0.1:0", "[::]:1"}, "within_s": 0.1}},
		{"POST", "/v1/inspect", object{"torrent": shared.Append(nil)}},
		{"POST", "/v1/inspect", object{"torrent": []byte("d4:infod6:lengthi-1eee")}},
		{"POST", "/v1/inspect", object{"link": target, "within_s": -1}},
		{"POST", "/v1/torrents", object{"inspection": 1, "select": []int{0, 1 << 30}, "paused": true}},
		{"POST", "/v1/torrents", object{"inspection": -1}},
		{"GET", "/v1/jobs/1/files?after=1000000000000&limit=1", nil},
		{"GET", "/v1/jobs/-1/files", nil},
		{"GET", "/v1/jobs", nil},
		{"DELETE", "/v1/jobs/2", nil},
		{"GET", "/v1/torrents/1/files?after=9223372036854775807", nil},
		{"GET", "/v1/torrents/1/pieces?buckets=4096", nil},
		{"GET", "/v1/torrents/1/pieces?buckets=4097", nil},
		{"GET", "/v1/torrents/1/pieces?buckets=-1", nil},
		{"GET", "/v1/torrents/1/activity", nil},
		{"GET", "/v1/torrents/" + target + "/log", nil},
		{"GET", "/v1/dht/trace?target=" + target + "&nodes=%00", nil},
		{"GET", "/v1/dht/trace?target=" + strings.Repeat("0", 40) + "&nodes=true", nil},
		{"GET", "/v1/dht/trace?target=" + strings.Repeat("z", 40), nil},
		{"GET", "/v1/dht/trace?target=magnet:%3Fxs=urn:btpk:" + strings.Repeat("cd", 32), nil},
		{"POST", "/v1/dht/put", object{"text": strings.Repeat("x", 1000)}},
		{"POST", "/v1/dht/put", object{"bencoded": []byte("i-0e")}},
		{"POST", "/v1/dht/put", object{"bencoded": []byte(strings.Repeat("l", 500) + strings.Repeat("e", 500))}},
		{"POST", "/v1/dht/put", object{"text": "x", "key": "../../etc/passwd"}},
		{"POST", "/v1/dht/put", object{"text": "x", "key": strings.Repeat("k", 64), "seq": int64(1)<<62 + 1}},
		{"GET", "/v1/publications/" + target + "/diff?from=1&to=2", nil},
		{"GET", "/v1/follows/%2e%2e/versions", nil},
		{"GET", "/v1/follows/" + target + "/diff?from=9223372036854775807&to=9223372036854775808", nil},
		{"GET", "/v1/qr", nil},
		{"GET", "/v1/qr?text=" + strings.Repeat("x", 1201), nil},
		{"GET", "/v1/qr?text=%00%ff%3Csvg%3E", nil},
		{"GET", "/v1/settings", nil},
		{"GET", "/v1/dht", nil},
	}
	var wg sync.WaitGroup
	for round := range 3 {
		for _, q := range requests {
			wg.Go(func() {
				var body io.Reader
				if q.body != nil {
					b, err := json.Marshal(q.body)
					if err != nil {
						t.Error(err)
						return
					}
					body = bytes.NewReader(b)
				}
				resp, b := r.send(r.token, q.method, q.path, body)
				if resp.StatusCode >= 500 || len(b) > 1<<20 {
					t.Errorf("round %d: %s %.80s: %s with %d bytes: %.300s", round, q.method, q.path, resp.Status, len(b), b)
				}
			})
		}
		wg.Wait()
	}
	// Every inspection ends, and gives its place back.
	eventually(t, func() bool {
		jobs, _ := r.d.Jobs(0)
		for _, j := range jobs {
			if !j.State().Ended {
				return false
			}
		}
		return true
	})
	var j view.Job
	if code := r.do("POST", "/v1/inspect", object{"torrent": shared.Append(nil)}, &j); code != 202 || r.ended(&j).Status != "done" {
		t.Errorf("afterwards: %d %+v", code, j)
	}
}

// A playlist takes work in proportion to the files, also of a torrent that does not run: its metadata is on disk, and is read once.
func TestThePlaylistOfManyFilesIsCheap(t *testing.T) {
	r := newRig(t)
	const count = 2000
	files := bytes.NewBufferString("d4:infod5:filesl")
	for i := range count {
		name := fmt.Sprintf("%04d.mkv", i)
		fmt.Fprintf(files, "d6:lengthi1e4:pathl%d:%see", len(name), name)
	}
	files.WriteString("e4:name1:x12:piece lengthi16384e6:pieces20:" + strings.Repeat("x", 20) + "ee")
	var made object
	if code := r.do("POST", "/v1/torrents", object{"torrent": files.Bytes(), "paused": true}, &made); code != 201 {
		t.Fatal(code, made)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, b := r.get("GET", "/v1/torrents/1/playlist.m3u8")
	runtime.ReadMemStats(&after)
	if n := bytes.Count(b, []byte("#EXTINF")); n != count {
		t.Errorf("%d files in the playlist", n)
	}
	if took := after.TotalAlloc - before.TotalAlloc; took > 50<<20 {
		t.Errorf("%d bytes were allocated", took)
	}
}
