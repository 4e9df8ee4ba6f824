package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/cmd/seedbed/exit"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// A v2-only .torrent file without piece layers is opened like its link: the layers are
// requested from peers.
func TestATorrentFileWithoutPieceLayersIsDownloaded(t *testing.T) {
	dir := t.TempDir()
	n, err := node.Open(node.Config{State: filepath.Join(dir, "seed"), Listen: "127.0.0.1:0", NoDHT: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	data := []byte(strings.Repeat("film", 50_000))
	film := filepath.Join(dir, "film")
	if err := os.WriteFile(film, data, 0o644); err != nil {
		t.Fatal(err)
	}
	spec, err := node.Share(t.Context(), film, node.ShareOptions{Format: metainfo.V2})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Add(spec); err != nil {
		t.Fatal(err)
	}
	whole := spec.Torrent.Append(nil)
	at := bytes.Index(whole, []byte("12:piece layers"))
	if at < 0 {
		t.Fatal("the torrent has no piece layers")
	}
	torrent := filepath.Join(dir, "film.torrent")
	if err := os.WriteFile(torrent, append(whole[:at:at], 'e'), 0o644); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seedbed := func(args ...string) (exit.Code, string) {
		said, err := os.Create(filepath.Join(dir, "said"))
		if err != nil {
			t.Fatal(err)
		}
		defer said.Close()
		code := run(ctx, append(args, "--state", filepath.Join(dir, "state")), said, said)
		b, err := os.ReadFile(said.Name())
		if err != nil {
			t.Fatal(err)
		}
		return code, string(b)
	}
	if code, said := seedbed("show", torrent); code != exit.OK || !strings.Contains(said, "1    200 kB  film") || !strings.Contains(said, "piece layers") {
		t.Errorf("show: exit %d:\n%s", code, said)
	}
	if code, said := seedbed("seed", torrent, "-d", dir, "--no-dht", "--listen", "127.0.0.1:0"); code != exit.Torrent || !strings.Contains(said, "--metadata-only") {
		t.Errorf("seed: exit %d:\n%s", code, said)
	}
	if code, said := seedbed("get", torrent, "-d", out, "--no-dht", "--listen", "127.0.0.1:0", "--peer", n.Addrs()[0].String()); code != exit.OK || !strings.Contains(said, "requested from peers") {
		t.Errorf("get: exit %d:\n%s", code, said)
	}
	if b, err := os.ReadFile(filepath.Join(out, "film")); err != nil || !bytes.Equal(b, data) {
		t.Errorf("%d bytes came, %v", len(b), err)
	}
	// Now the layers are known.
	if code, said := seedbed("check", torrent, "-d", out); code != exit.OK {
		t.Errorf("check: exit %d:\n%s", code, said)
	}
}
