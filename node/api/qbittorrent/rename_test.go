package qbittorrent

import (
	"net/url"
	"os"
	"path/filepath"
	"testing"
)

// A torrent is renamed without its files; its files and folders are renamed, also to another folder,
// and what cannot be done is answered as qBittorrent does.
func TestRename(t *testing.T) {
	r := newRig(t)
	r.login()
	hash := r.seed("show", map[string]string{"a.txt": "first", "sub/b.txt": "second"}, map[string]string{"rename": "My show"})
	if x := r.one(hash); x["name"] != "My show" || x["content_path"] != filepath.Join(r.dir, "show") {
		t.Error(x["name"], x["content_path"])
	}
	for _, c := range []struct {
		path, form string
		code       int
		text       string
	}{
		{"rename", "name= +Film%0Atwo", 200, ""},
		{"rename", "name=+", 409, "Incorrect torrent name"},
		{"rename", "", 400, ""},
		{"renameFile", "oldPath=show/a.txt&newPath=show/c.txt", 200, ""},
		{"renameFile", "oldPath=show/a.txt&newPath=show/d.txt", 409, "No such file: 'show/a.txt'."},
		{"renameFile", "oldPath=show/c.txt&newPath=show/sub/b.txt", 409, "The file already exists: 'show/sub/b.txt'."},
		{"renameFile", "oldPath=show/c.txt&newPath=/etc/x", 409, "Absolute path isn't allowed: '/etc/x'."},
		{"renameFile", "oldPath=show/c.txt&newPath=../x", 409, ""},
		{"renameFile", "oldPath=show/c.txt&newPath=", 409, "The new path is invalid: ''."},
		{"renameFile", "oldPath=show/c.txt", 400, ""},
		{"renameFile", "oldPath=show/c.txt&newPath=show/new/deep/c.txt", 200, ""},
		{"renameFolder", "oldPath=show/nosuch&newPath=show/x", 409, "No such folder: 'show/nosuch'."},
		{"renameFolder", "oldPath=show/new&newPath=show/sub", 409, "The folder already exists: 'show/sub'."},
		{"renameFolder", "oldPath=show/new&newPath=show/other", 200, ""},
		{"renameFolder", "oldPath=show&newPath=Shown", 200, ""},
	} {
		if code, body := r.post("torrents/"+c.path, "hash="+hash+"&"+c.form); code != c.code || c.text != "" && body != c.text {
			t.Errorf("%s %s: %d %s", c.path, c.form, code, body)
		}
	}
	if code, _ := r.post("torrents/renameFile", url.Values{"hash": {magnet}, "oldPath": {"a"}, "newPath": {"b"}}.Encode()); code != 404 {
		t.Error("an unknown torrent:", code)
	}
	x := r.one(hash)
	if x["name"] != "Film two" || x["content_path"] != filepath.Join(r.dir, "Shown") {
		t.Error(x["name"], x["content_path"])
	}
	var files []struct{ Name string }
	r.object("torrents/files?hash="+hash, &files)
	for i, want := range map[int]string{0: "Shown/other/deep/c.txt", 1: "Shown/sub/b.txt"} {
		if len(files) != 2 || files[i].Name != want {
			t.Errorf("%v has no %s", files, want)
			continue
		}
		if _, err := os.Stat(filepath.Join(r.dir, want)); err != nil {
			t.Error(err)
		}
	}
	// Nothing of others is replaced.
	if err := os.WriteFile(filepath.Join(r.dir, "Shown", "foreign"), []byte("x"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, body := r.post("torrents/renameFile", "hash="+hash+"&oldPath=Shown/sub/b.txt&newPath=Shown/foreign"); code != 409 {
		t.Errorf("onto a foreign file: %d %s", code, body)
	}
	if b, err := os.ReadFile(filepath.Join(r.dir, "Shown", "foreign")); string(b) != "x" {
		t.Error(string(b), err)
	}
}
