package node_test

import (
	"os"
	"path/filepath"
	"testing"

	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// Both infohashes are known with the metadata, without it those of the link.
func TestHashesAreThoseOfTheTorrent(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	made, err := node.Make(t.Context(), file, node.ShareOptions{Format: metainfo.Hybrid})
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(node.Config{State: filepath.Join(dir, "state"), NoDHT: true, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context())
	spec, err := node.MadeSpec(file, made)
	if err != nil {
		t.Fatal(err)
	}
	x, err := n.Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	if v1, v2 := x.Hashes(); v1 != made.Info.Hash || v2 != made.Info.HashV2 || x.IsPrivate() {
		t.Errorf("%v %v", v1, v2)
	}
	if files, length := x.Layout(); files != 1 || length != made.Info.PieceLength {
		t.Errorf("%d files, pieces of %d", files, length)
	}
}

// What a record keeps of a torrent suffices without its metadata.
func TestLayoutIsKeptWithoutTheMetadata(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("content"), 0o644); err != nil {
		t.Fatal(err)
	}
	made, err := node.Make(t.Context(), file, node.ShareOptions{Format: metainfo.V1})
	if err != nil {
		t.Fatal(err)
	}
	open := func() *node.Node {
		n, err := node.Open(node.Config{State: filepath.Join(dir, "state"), NoDHT: true, Listen: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	n := open()
	x, err := n.Add(node.Spec{Torrent: &metainfo.Torrent{Info: made.Info}, Dir: dir, Persistent: true})
	if err != nil {
		t.Fatal(err)
	}
	<-x.Done()
	if err := x.Pause(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	n = open()
	defer n.Close(t.Context())
	if err := n.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if files, length := n.Torrents()[0].Layout(); files != 1 || length != made.Info.PieceLength {
		t.Errorf("%d files, pieces of %d", files, length)
	}
}
