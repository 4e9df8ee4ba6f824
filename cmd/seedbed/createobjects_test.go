package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/webseed"
)

// The torrent of objects is that of the same files on a disk. A store of this machine is not its web seed, although everybody can read it.
func TestCreateOfObjects(t *testing.T) {
	store, dir := s3test.New(t), t.TempDir()
	var isPublic atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !isPublic.Load() && r.Header.Get("Authorization") == "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		store.ServeHTTP(w, r)
	}))
	defer server.Close()
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret",
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": filepath.Join(dir, "none"), "AWS_SHARED_CREDENTIALS_FILE": filepath.Join(dir, "none")} {
		t.Setenv(name, value)
	}
	for _, name := range []string{"a", "b/c d"} {
		path := filepath.Join(dir, "film", name)
		data := bytes.Repeat([]byte(name), 100_000)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			t.Fatal(err)
		}
		store.Put("data/film/"+name, data)
	}
	store.Put("data/film/.hidden", []byte("x"))
	seedbed := func(args ...string) (exit.Code, string) {
		t.Helper()
		said, err := os.Create(filepath.Join(dir, "said"))
		if err != nil {
			t.Fatal(err)
		}
		defer said.Close()
		code := run(t.Context(), args, said, said)
		b, err := os.ReadFile(said.Name())
		if err != nil {
			t.Fatal(err)
		}
		return code, string(b)
	}
	read := func(path string) *metainfo.Torrent {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		torrent, err := metainfo.ParseTorrent(b)
		if err != nil {
			t.Fatal(err)
		}
		return torrent
	}
	local, remote := filepath.Join(dir, "local.torrent"), filepath.Join(dir, "remote.torrent")
	if code, said := seedbed("create", filepath.Join(dir, "film"), "-o", local, "--hybrid"); code != exit.OK {
		t.Fatal(said)
	}
	code, said := seedbed("create", "s3://bucket/data/film", "-o", remote, "--hybrid", "--comment", "hello")
	got, want := read(remote), read(local)
	if code != exit.OK || !bytes.Equal(got.Info.Raw, want.Info.Raw) || got.Comment != "hello" || len(got.WebSeeds) > 0 || !strings.Contains(said, "skipped s3://bucket/data/film/.hidden: it is hidden") {
		t.Errorf("exit %d, web seeds %q:\n%s", code, got.WebSeeds, said)
	}
	if code, said := seedbed("create", "s3://bucket/data/film", "-o", remote); code != exit.Exists {
		t.Errorf("over a file: exit %d:\n%s", code, said)
	}
	isPublic.Store(true)
	for _, c := range []struct {
		args   []string
		isSaid bool
	}{{[]string{"data/film"}, true}, {[]string{"data/film/a"}, true}, {[]string{""}, true}, {[]string{"data/film", "--web-seed", "none"}, false}} {
		code, said = seedbed(append([]string{"create", "s3://bucket/" + c.args[0], "-o", remote, "--overwrite"}, c.args[1:]...)...)
		if seeds := read(remote).WebSeeds; code != exit.OK || len(seeds) > 0 || strings.Contains(said, "the address of the store is private") != c.isSaid {
			t.Errorf("public at %s, which nobody else reaches: exit %d, web seeds %q:\n%s", server.URL, code, seeds, said)
		}
	}
	for i, f := range got.Info.Files {
		if f.Pad {
			continue
		}
		r, err := http.Get(webseed.FileURL(server.URL+"/bucket/data/", got.Info, i))
		if err != nil || r.StatusCode != http.StatusOK || r.ContentLength != f.Length {
			t.Errorf("%v: %v %v", f.Path, r, err)
		}
		r.Body.Close()
	}
	for _, c := range []struct {
		code exit.Code
		args []string
		says string
	}{
		{exit.NotFound, []string{"s3://bucket/none"}, "share s3://bucket/none: it holds no data; check the name"},
		{exit.NotFound, []string{"s3://nobucket/film"}, "The specified bucket does not exist"},
		{exit.Usage, []string{"s3://b"}, "is not the name of a bucket"},
		{exit.Usage, []string{"s3://bucket/data/film", "--links", "keep"}, "--links is for files on a disk"},
		{exit.Usage, []string{"s3://bucket/data/film", "--web-seed", "none", "--web-seed", "http://x/"}, "allows no other"},
	} {
		code, said := seedbed(append([]string{"create", "-o", filepath.Join(dir, "other.torrent")}, c.args...)...)
		if code != c.code || !strings.Contains(said, c.says) {
			t.Errorf("%q: exit %d:\n%s", c.args, code, said)
		}
	}
	server.Close()
	code, said = seedbed("create", "s3://bucket/data/film", "-o", filepath.Join(dir, "other.torrent"))
	if code != exit.Network || !strings.Contains(said, "check --store-endpoint (or AWS_ENDPOINT_URL)") {
		t.Errorf("no store: exit %d:\n%s", code, said)
	}
}
