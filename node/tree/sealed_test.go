package tree

import (
	"bytes"
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/sealed"
	"seedbed/internal/sealedfs"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// The tree of a private publication has its real paths and sizes, and reads decrypt from any
// offset. With another secret there is no tree.
func TestOpenASealedTorrent(t *testing.T) {
	keys := sealed.NewSecret([sealed.SecretLen]byte{1}).Keys()
	dir := t.TempDir()
	film := filetest.RandomBytes("film", 200_000)
	filetest.Write(t, filepath.Join(dir, "site", "films", "a.mkv"), film)
	filetest.Write(t, filepath.Join(dir, "site", "empty"), nil)
	source := filepath.Join(dir, "site")
	made, err := node.Make(t.Context(), source, node.ShareOptions{Format: metainfo.V2})
	if err != nil {
		t.Fatal(err)
	}
	folder, err := (&sealedfs.Copy{Keys: keys, Source: source, Info: made.Info, Dir: filepath.Join(dir, "sealed")}).Update(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	spec, err := node.Share(t.Context(), folder, node.ShareOptions{Format: metainfo.V2})
	if err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(node.Config{State: t.TempDir(), Listen: "127.0.0.1:0", NoDHT: true})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := n.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	torrent, err := n.Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := OpenSealed(t.Context(), torrent, keys)
	if err != nil {
		t.Fatal(err)
	}
	if tree.Name() != "site" || tree.Len() != 2 || tree.Size() != 200_000 {
		t.Errorf("%s, %d files, %d bytes", tree.Name(), tree.Len(), tree.Size())
	}
	f, err := tree.Open(t.Context(), "films/a.mkv")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Seek(100_001, io.SeekStart); err != nil || f.Size() != 200_000 {
		t.Fatal(f.Size(), err)
	}
	if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, film[100_001:]) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if f, err = tree.Open(t.Context(), "empty"); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(f); len(got) != 0 || err != nil {
		t.Error(got, err)
	}
	if _, err := OpenSealed(t.Context(), torrent, sealed.NewSecret([sealed.SecretLen]byte{2}).Keys()); !errors.Is(err, sealedfs.ErrOtherSecret) {
		t.Errorf("with another secret: %v", err)
	}
}
