package api_test

import (
	"bytes"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/internal/filetest"
	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/daemon/token"
)

// share makes a torrent of files in the daemon's folder and adds it, complete. It returns the id.
func (r *rig) share(name string, files map[string][]byte) string {
	r.t.Helper()
	dir := filepath.Join(r.d.Dir(), name)
	for path, data := range files {
		path = filepath.Join(dir, filepath.FromSlash(path))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			r.t.Fatal(err)
		}
		filetest.Write(r.t, path, data)
	}
	spec, err := node.Share(r.t.Context(), dir, node.ShareOptions{PieceLength: 16 << 10})
	if err != nil {
		r.t.Fatal(err)
	}
	var made object
	body := object{"torrent": spec.Torrent.Append(nil), "dir": r.d.Dir(), "seed": true}
	if code := r.do("POST", "/v1/torrents", body, &made); code != 201 {
		r.t.Fatalf("%d %v", code, made)
	}
	return made["infohash"].(string)
}

// get requests a path with headers given as pairs, as a client with the admin token.
func (r *rig) get(method, path string, headers ...string) (*http.Response, []byte) {
	r.t.Helper()
	return r.getAs(r.token, method, path, headers...)
}

// getAs is get with another token, or none if it is "".
func (r *rig) getAs(token, method, path string, headers ...string) (*http.Response, []byte) {
	r.t.Helper()
	return r.send(token, method, path, nil, headers...)
}

// The data of a file is served whole and in ranges, with headers that a player understands and that
// keep a page in a torrent from acting as a page of the daemon.
func TestContentIsServedInRanges(t *testing.T) {
	r := newRig(t)
	film := filetest.RandomBytes("film", 100_000)
	id := r.share("x", map[string][]byte{"a film.mkv": film, "page.html": []byte("<script>alert(1)</script>"), "ü.mp3": []byte("sound")})
	path := "/v1/torrents/" + id + "/files/1/content"
	resp, body := r.get("GET", path)
	etag := resp.Header.Get("ETag")
	if resp.StatusCode != 200 || !bytes.Equal(body, film) || etag == "" {
		t.Fatalf("%s, %d bytes, %v", resp.Status, len(body), resp.Header)
	}
	for name, want := range map[string]string{"Content-Type": "video/x-matroska", "Accept-Ranges": "bytes", "X-Content-Type-Options": "nosniff",
		"Content-Disposition": `inline; filename="a film.mkv"`, "Content-Length": "100000", "Cross-Origin-Resource-Policy": "same-origin"} {
		if got := resp.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	if !strings.Contains(resp.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Error(resp.Header)
	}
	for _, c := range []struct {
		method  string
		headers []string
		code    int
		body    []byte
	}{
		{"HEAD", nil, 200, nil},
		{"HEAD", []string{"Range", "bytes=0-9"}, 206, nil},
		{"GET", []string{"Range", "bytes=10-19"}, 206, film[10:20]},
		{"GET", []string{"Range", "bytes=16380-16390"}, 206, film[16380:16391]},
		{"GET", []string{"Range", "bytes=-5"}, 206, film[99_995:]},
		{"GET", []string{"Range", "bytes=99999-"}, 206, film[99_999:]},
		{"GET", []string{"Range", "bytes=100000-"}, 416, nil},
		{"GET", []string{"Range", "bytes=-0"}, 416, nil},
		{"GET", []string{"Range", "bytes=9-3"}, 416, nil},
		{"GET", []string{"Range", "bytes=0-99999999999999999999"}, 416, nil},
		{"GET", []string{"Range", "pieces=0-1"}, 200, film},
		{"GET", []string{"Range", "bytes=0-9", "If-Range", etag}, 206, film[:10]},
		{"GET", []string{"Range", "bytes=0-9", "If-Range", `"another"`}, 200, film},
		{"GET", []string{"If-None-Match", etag}, 304, nil},
		{"GET", []string{"Range", "bytes=" + strings.Repeat("0-0,", 5000)}, 200, film},
	} {
		resp, body := r.get(c.method, path, c.headers...)
		if resp.StatusCode != c.code || c.body != nil && !bytes.Equal(body, c.body) {
			t.Errorf("%s %v: %s, %d bytes", c.method, c.headers, resp.Status, len(body))
		}
	}
	if resp, body := r.get("GET", path, "Range", "bytes=0-1,5-6"); resp.StatusCode != 206 || !strings.HasPrefix(resp.Header.Get("Content-Type"), "multipart/byteranges") || !bytes.Contains(body, film[5:7]) {
		t.Errorf("two ranges: %s %v", resp.Status, resp.Header)
	}
	if resp, _ := r.get("GET", "/v1/torrents/"+id+"/files/2/content"); resp.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("a page is served as %v", resp.Header)
	}
	if resp, _ := r.get("GET", "/v1/torrents/"+id+"/files/3/content?download=true"); resp.Header.Get("Content-Disposition") != "attachment; filename*=utf-8''"+url.PathEscape("ü.mp3") {
		t.Errorf("a name that is not ASCII: %v", resp.Header)
	}
	if code := r.do("POST", "/v1/torrents/"+id+"/rename?wait=30", object{"path": "a film.mkv", "name": "another.mp4"}, nil); code != 200 {
		t.Fatal(code)
	}
	if resp, _ := r.get("GET", path+"?download=true"); resp.Header.Get("Content-Disposition") != "attachment; filename=another.mp4" || resp.Header.Get("Content-Type") != "video/mp4" {
		t.Errorf("a file that was renamed: %v", resp.Header)
	}
	var l api.StreamLink
	if code := r.do("POST", strings.TrimSuffix(path, "content")+"link", nil, &l); code != 200 || !strings.HasSuffix(l.Path, "/another.mp4") {
		t.Errorf("its link: %d %q", code, l.Path)
	}
}

// A token whose client reads many files leaves places for other tokens. Links that were made with it
// count as the token.
func TestReadersOfOneTokenLeavePlaces(t *testing.T) {
	r := newRig(t)
	id := r.share("x", map[string][]byte{"a.mkv": filetest.RandomBytes("a", 32<<20)})
	path := "/v1/torrents/" + id + "/files/1/content"
	var link api.StreamLink
	if code := r.do("POST", "/v1/torrents/"+id+"/files/1/link", nil, &link); code != 200 {
		t.Fatal(code)
	}
	greedy := &http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{}).DialContext}}
	open := func() int {
		req, err := http.NewRequestWithContext(t.Context(), "GET", r.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+r.token)
		resp, err := greedy.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { resp.Body.Close() })
		return resp.StatusCode
	}
	n := 0
	for ; n < 100 && open() == 200; n++ {
	}
	if n != 16 {
		t.Errorf("it opens %d readers", n)
	}
	for name, get := range map[string]func() (*http.Response, []byte){
		"the token": func() (*http.Response, []byte) { return r.get("GET", path, "Range", "bytes=0-0") },
		"its link":  func() (*http.Response, []byte) { return r.getAs("", "GET", link.Path, "Range", "bytes=0-0") },
	} {
		if resp, body := get(); resp.StatusCode != 429 || resp.Header.Get("Retry-After") == "" || !bytes.Contains(body, []byte("hint")) {
			t.Errorf("%s: %s %s", name, resp.Status, body)
		}
	}
	if resp, _ := r.getAs(r.newToken(token.Read), "GET", path, "Range", "bytes=0-0"); resp.StatusCode != 206 {
		t.Errorf("another token: %s", resp.Status)
	}
}

// Requests for what cannot be read get a problem with advice, and never a part of a file.
func TestContentThatCannotBeRead(t *testing.T) {
	r := newRig(t)
	id := r.share("x", map[string][]byte{"a.mkv": filetest.RandomBytes("a", 1000)})
	var p struct{ Detail, Hint string }
	for path, want := range map[string]int{
		"/v1/torrents/" + id + "/files/2/content": 404, "/v1/torrents/" + id + "/files/0/content": 404, "/v1/torrents/" + id + "/files/-1/content": 404,
		"/v1/torrents/" + id + "/files/x/content": 404, "/v1/torrents/" + id + "/files/99999999999999999999/content": 404, "/v1/torrents/nosuch/files/1/content": 404,
	} {
		if code := r.do("GET", path, nil, &p); code != want || p.Detail == "" {
			t.Errorf("%s: %d %+v", path, code, p)
		}
	}
	magnet := strings.Repeat("ab", 20)
	if code := r.do("POST", "/v1/torrents", object{"link": magnet, "paused": true}, nil); code != 201 {
		t.Fatal(code)
	}
	if code := r.do("GET", "/v1/torrents/"+magnet+"/files/1/content", nil, &p); code != 409 || !strings.Contains(p.Detail, "metadata") {
		t.Errorf("a magnet: %d %+v", code, p)
	}
}
