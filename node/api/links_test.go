package api_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"seedbed/internal/filetest"
	"seedbed/node/api"
	"seedbed/node/daemon/token"
)

// A link lets a player without a token read one file and nothing else. It ends with the token with
// which it was made.
func TestALinkIsForOneFile(t *testing.T) {
	r := newRig(t)
	film := filetest.RandomBytes("film", 50_000)
	id := r.share("x", map[string][]byte{"a film.mkv": film, "b.mkv": filetest.RandomBytes("b", 1000)})
	text, made, err := r.d.Tokens().New("", token.Read)
	if err != nil {
		t.Fatal(err)
	}
	var l api.StreamLink
	if code := r.as(text, "POST", "/v1/torrents/"+id+"/files/1/link", nil, &l); code != 200 || l.URL != r.URL+l.Path || !strings.HasSuffix(l.Path, "/1/a%20film.mkv") {
		t.Fatalf("%d %+v", code, l)
	}
	if at, err := time.Parse(time.RFC3339, l.Expires); err != nil || at.Before(time.Now().Add(11*time.Hour)) || at.After(time.Now().Add(13*time.Hour)) {
		t.Errorf("it expires at %s", l.Expires)
	}
	resp, body := r.getAs("", "GET", l.Path, "Range", "bytes=5-9")
	if resp.StatusCode != 206 || !bytes.Equal(body, film[5:10]) || resp.Header.Get("Content-Type") != "video/x-matroska" || resp.Close {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	if resp, _ := r.getAs("", "HEAD", l.Path); resp.StatusCode != 200 || resp.ContentLength != int64(len(film)) {
		t.Errorf("HEAD: %s", resp.Status)
	}
	ticket := strings.Split(l.Path, "/")[3]
	raw, err := base64.RawURLEncoding.DecodeString(ticket)
	if err != nil {
		t.Fatal(err)
	}
	refused := map[string]string{
		"another file":   api.StreamPath + ticket + "/2/b.mkv",
		"the playlist":   api.StreamPath + ticket + "/playlist.m3u8",
		"no ticket":      api.StreamPath + "x/1",
		"a short ticket": api.StreamPath + ticket[:len(ticket)-1] + "/1",
		"a long ticket":  api.StreamPath + ticket + "A/1",
	}
	for i := range raw { // one bit of each byte
		forged := bytes.Clone(raw)
		forged[i] ^= 1 << (i % 8)
		refused[fmt.Sprint("byte ", i)] = api.StreamPath + base64.RawURLEncoding.EncodeToString(forged) + "/1"
	}
	for name, path := range refused {
		if resp, _ := r.getAs("", "GET", path); resp.StatusCode != 403 {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
	for _, path := range []string{"/v1/torrents", "/v1/torrents/" + id + "/files/1/content", "/v1/torrents/" + id + "/playlist.m3u8"} {
		if resp, _ := r.getAs("", "GET", path); resp.StatusCode != 401 {
			t.Errorf("%s: %s", path, resp.Status)
		}
	}
	if _, err := r.d.Tokens().Revoke(made.ID); err != nil {
		t.Fatal(err)
	}
	if resp, _ := r.getAs("", "GET", l.Path); resp.StatusCode != 403 {
		t.Errorf("after its token was revoked: %s", resp.Status)
	}
}

// A link ends when it expires, with its torrent, and with the process.
func TestALinkEnds(t *testing.T) {
	r := newRig(t)
	id := r.share("x", map[string][]byte{"a.mkv": filetest.RandomBytes("a", 1000)})
	var short, long api.StreamLink
	r.do("POST", "/v1/torrents/"+id+"/files/1/link?seconds=1", nil, &short)
	r.do("POST", "/v1/torrents/"+id+"/files/1/link", nil, &long)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if resp, _ := r.getAs("", "GET", short.Path); resp.StatusCode == 403 {
			break
		} else if time.Now().After(deadline) {
			t.Fatal("it does not expire")
		}
	}
	if resp, _ := r.getAs("", "GET", long.Path); resp.StatusCode != 200 {
		t.Errorf("a longer one: %s", resp.Status)
	}
	again := httptest.NewServer(api.New(api.Config{Daemon: r.d, Hint: func(error) string { return "" }}))
	defer again.Close()
	if resp, err := http.Get(again.URL + long.Path); err != nil || resp.StatusCode != 403 {
		t.Errorf("in another process: %v, %v", resp.Status, err)
	}
	if code := r.do("DELETE", "/v1/torrents/"+id+"?wait=60", nil, nil); code != 204 {
		t.Fatal(code)
	}
	if resp, _ := r.getAs("", "GET", long.Path); resp.StatusCode != 404 {
		t.Errorf("after its torrent was removed: %s", resp.Status)
	}
	for _, query := range []string{"0", "-1", "604801", "x"} {
		if code := r.do("POST", "/v1/torrents/"+id+"/link?seconds="+query, nil, nil); code != 422 {
			t.Errorf("%s seconds: %d", query, code)
		}
	}
}

// The playlist has the films of a torrent, at URLs that a player can open: below the base path at
// which it was asked for, and over TLS if a proxy says so.
func TestPlaylistsHaveLinks(t *testing.T) {
	r := newRig(t)
	film := filetest.RandomBytes("film", 5000)
	id := r.share("x", map[string][]byte{"a.mkv": film, "b.txt": []byte("text"), "c d.mp3": []byte("sound")})
	var l api.StreamLink
	if code := r.do("POST", "/v1/torrents/"+id+"/link", nil, &l); code != 200 || !strings.HasSuffix(l.Path, "/playlist.m3u8") {
		t.Fatalf("%d %+v", code, l)
	}
	_, shared := r.getAs("", "GET", l.Path)
	_, own := r.get("GET", "/v1/torrents/"+id+"/playlist.m3u8")
	for _, list := range [][]byte{shared, own} {
		lines := strings.Split(strings.TrimSpace(string(list)), "\n")
		if len(lines) != 5 || lines[0] != "#EXTM3U" || lines[1] != "#EXTINF:-1,a.mkv" || !strings.HasSuffix(lines[4], "/3/c%20d.mp3") {
			t.Fatalf("%q", lines)
		}
		path, ok := strings.CutPrefix(lines[2], r.URL)
		if resp, body := r.getAs("", "GET", path); !ok || resp.StatusCode != 200 || !bytes.Equal(body, film) {
			t.Errorf("%s: %s", lines[2], resp.Status)
		}
	}
	below := httptest.NewServer(http.StripPrefix("/seed", r.Config.Handler))
	defer below.Close()
	req, err := http.NewRequestWithContext(t.Context(), "GET", below.URL+"/seed/v1/torrents/"+id+"/playlist.m3u8", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	req.Header.Set("X-Forwarded-Proto", "https")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if want := "https://" + strings.TrimPrefix(below.URL, "http://") + "/seed" + api.StreamPath; err != nil || !bytes.Contains(b, []byte("\n"+want)) {
		t.Errorf("%s, %v", b, err)
	}
}

// A torrent that is removed while a file is read ends the answer, which the client notices, and frees
// the place of the reader.
func TestARemovedTorrentEndsItsReaders(t *testing.T) {
	r := newRig(t)
	film := filetest.RandomBytes("film", 32<<20)
	id := r.share("x", map[string][]byte{"a.mkv": film})
	req, err := http.NewRequestWithContext(t.Context(), "GET", r.URL+"/v1/torrents/"+id+"/files/1/content", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+r.token)
	resp, err := (&http.Client{Transport: &http.Transport{DialContext: (&net.Dialer{}).DialContext, ReadBufferSize: 4096}}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if code := r.do("DELETE", "/v1/torrents/"+id+"?wait=60", nil, nil); code != 204 {
		t.Fatal(code)
	}
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("the answer ends after %d of %d bytes without an error", n, len(film))
	}
}
