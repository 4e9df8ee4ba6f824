package qbittorrent

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"seedbed/internal/nodetest"
	"seedbed/internal/s3test"
	"seedbed/node/daemon"
	"seedbed/node/lifecycle"
)

// The paths of a torrent in an object store are there. It is not moved, its files keep their names, and it is removed without its
// objects.
func TestATorrentInAnObjectStore(t *testing.T) {
	store := s3test.New(t)
	r := newRig(t, nodetest.Store(t, store.Open("films")))
	r.login()
	files := map[string]string{"a.mkv": strings.Repeat("film", 20_000), "sub/b.srt": "subtitles"}
	for name, data := range files {
		store.Put("films/show/"+name, []byte(data))
	}
	hash, torrent := r.share("show", files)
	x, _, err := r.d.Add(t.Context(), daemon.AddRequest{Torrent: torrent, Objects: true, Seed: true})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Minute); x.Phase() != lifecycle.Seeding; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(x.Phase(), x.Snapshot().Paused)
		}
	}
	check := func(when string) {
		t.Helper()
		o := r.one(hash)
		var p map[string]any
		r.object("torrents/properties?hash="+hash, &p)
		for name, got := range map[string]any{"save_path": o["save_path"], "save_path of properties": p["save_path"]} {
			if got != "s3://bucket/films" {
				t.Errorf("%s: %s is %v", when, name, got)
			}
		}
		for _, name := range []string{"content_path", "root_path"} {
			if o[name] != "s3://bucket/films/show" {
				t.Errorf("%s: %s is %v", when, name, o[name])
			}
		}
	}
	check("at first")
	for _, c := range []struct {
		path string
		form url.Values
		says string
	}{
		{"setLocation", url.Values{"hashes": {hash}, "location": {r.dir}}, "so they cannot be moved"},
		{"setSavePath", url.Values{"id": {hash}, "path": {r.dir}}, "so they cannot be moved"},
		{"setLocation", url.Values{"hashes": {hash}, "location": {"s3://bucket/other"}}, "is not an absolute path"},
		{"renameFile", url.Values{"hash": {hash}, "oldPath": {"show/a.mkv"}, "newPath": {"show/c.mkv"}}, "so they cannot be renamed"},
		{"renameFolder", url.Values{"hash": {hash}, "oldPath": {"show"}, "newPath": {"other"}}, "so they cannot be renamed"},
	} {
		if code, body := r.post("torrents/"+c.path, c.form.Encode()); code != 409 || !strings.Contains(body, c.says) {
			t.Errorf("%s %v: %d %s", c.path, c.form, code, body)
		}
	}
	if code, body := r.post("torrents/filePrio", url.Values{"hash": {hash}, "id": {"0"}, "priority": {"0"}}.Encode()); code != 400 || !strings.Contains(body, "so they cannot be selected") {
		t.Errorf("filePrio: %d %s", code, body)
	}
	if code, body := r.post("torrents/rename", "hash="+hash+"&name=shown"); code != 200 {
		t.Errorf("the name that is shown: %d %s", code, body)
	}
	check("afterwards")
	if code, body := r.post("torrents/delete", "hashes="+hash+"&deleteFiles=true"); code != 200 {
		t.Errorf("delete: %d %s", code, body)
	}
	<-x.Ended()
	for name, data := range files {
		if string(store.Get("films/show/"+name)) != data {
			t.Errorf("the removal has changed %s", name)
		}
	}
}
