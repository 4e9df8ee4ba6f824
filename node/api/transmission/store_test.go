package transmission

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/internal/nodetest"
	"seedbed/internal/s3test"
	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
	"seedbed/node/lifecycle"
)

// A torrent in an object store has its download folder there. It is neither moved nor used in a folder, its files keep their names,
// and it is removed without its objects. Nobody knows the space of the store.
func TestATorrentInAnObjectStore(t *testing.T) {
	store := s3test.New(t)
	cacheDir := t.TempDir()
	r := newRig(t, func(c *node.Config) { c.Objects = nodetest.Objects(t, store.Open("films"), cacheDir) })
	film := []byte(strings.Repeat("film", 20_000))
	store.Put("films/show/a.mkv", film)
	store.Put("films/show/b.srt", []byte("subtitles"))
	r.write("show/a.mkv", string(film))
	r.write("show/b.srt", "subtitles")
	torrent := r.torrentOf("show")
	x, _, err := r.d.Add(t.Context(), daemon.AddRequest{Torrent: torrent, Objects: true, Seed: true})
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(2 * time.Minute); x.Phase() != lifecycle.Seeding; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal(x.Phase(), x.Snapshot().Paused)
		}
	}
	call := func(method, arguments string) (result string, got map[string]any) {
		t.Helper()
		var a struct {
			Result    string
			Arguments map[string]any
		}
		b := r.post(token.Admin, fmt.Sprintf(`{"method":%q,"arguments":{%s}}`, method, arguments)).Body.Bytes()
		if err := json.Unmarshal(b, &a); err != nil {
			t.Fatalf("%s: %v", b, err)
		}
		return a.Result, a.Arguments
	}
	dir := func() any {
		t.Helper()
		_, got := call("torrent-get", `"ids":[1],"fields":["downloadDir"]`)
		return got["torrents"].([]any)[0].(map[string]any)["downloadDir"]
	}
	if at := dir(); at != "s3://bucket/films" {
		t.Errorf("it is in %v", at)
	}
	for _, path := range []string{"s3://bucket/films", "s3://bucket/films/"} {
		result, got := call("free-space", fmt.Sprintf(`"path":%q`, path))
		if result != "success" || got["path"] != path || got["size-bytes"] != -1.0 || got["total_size"] != -1.0 {
			t.Errorf("the space in %s: %s %v", path, result, got)
		}
	}
	if result, _ := call("free-space", `"path":"s3://bucket/other"`); result == "success" {
		t.Error("it knows about another store")
	}
	if result, got := call("session-get", `"fields":["download-dir-free-space"]`); result != "success" || got["download-dir-free-space"].(float64) <= 0 {
		t.Errorf("the space for other torrents: %s %v", result, got)
	}
	data := filepath.Join(r.dir, "data") // has the files
	for _, c := range []struct{ method, arguments, says string }{
		{"torrent-set-location", fmt.Sprintf(`"ids":[1],"move":true,"location":%q`, data), "are objects in s3://bucket/films, so they cannot be moved"},
		{"torrent-set-location", fmt.Sprintf(`"ids":[1],"location":%q`, data), "are objects in s3://bucket/films, so they cannot be used in a folder"},
		{"torrent-set", `"ids":[1],"files-unwanted":[1]`, "are objects in s3://bucket/films, so they cannot be selected"},
		{"torrent-rename-path", `"ids":[1],"path":"show/a.mkv","name":"c.mkv"`, "Invalid argument"},
	} {
		if result, _ := call(c.method, c.arguments); !strings.Contains(result, c.says) {
			t.Errorf("%s %s: %s", c.method, c.arguments, result)
		}
	}
	if at := dir(); at != "s3://bucket/films" {
		t.Errorf("it is in %v afterwards", at)
	}
	before, err := os.ReadDir(cacheDir)
	if err != nil {
		t.Fatal(err)
	}
	if result, _ := call("torrent-remove", `"ids":[1],"delete-local-data":true`); result != "success" {
		t.Error(result)
	}
	<-x.Ended()
	if !bytes.Equal(store.Get("films/show/a.mkv"), film) || store.Get("films/show/b.srt") == nil {
		t.Error("the removal has changed the store")
	}
	if after, err := os.ReadDir(cacheDir); err != nil || len(after) != len(before) {
		t.Errorf("the cache has %v instead of %v, %v", after, before, err)
	}
	if b, err := os.ReadFile(filepath.Join(data, "show", "a.mkv")); !bytes.Equal(b, film) {
		t.Errorf("the removal has changed a file of a folder: %v", err)
	}
}
