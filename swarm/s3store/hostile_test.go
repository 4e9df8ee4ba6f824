package s3store

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// FuzzCacheFile opens a cache that has a file of any name, and reads the blocks that it takes for its own.
func FuzzCacheFile(f *testing.F) {
	for _, name := range []string{"0.1", "00.1", "0.01", "+0.1", "0.1.new", "0.", ".1", "0.1.2", "4294967296.1", "1.4294967295", "x.new", ".new", "0.1.new.new"} {
		f.Add(name, uint16(100))
	}
	f.Add("0.1", uint16(0))
	f.Fuzz(func(t *testing.T, name string, size uint16) {
		if strings.ContainsAny(name, "/\x00") || name == "" || name == "." || name == ".." || len(name) > 200 {
			return
		}
		dir, hash := t.TempDir(), id.ID{1}
		folder := filepath.Join(dir, folderOf(hash))
		if err := os.MkdirAll(folder, 0o700); err != nil {
			t.Fatal(err)
		}
		data := bytes.Repeat([]byte{1}, int(size))
		if err := os.WriteFile(filepath.Join(folder, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := OpenCache(dir, MinCache, storage.NewHandles(0))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		blocks, bytes := c.Size()
		if bytes != int64(blocks)*int64(size) || c.TorrentSize(hash) != bytes {
			t.Errorf("%d blocks, %d bytes, %d of the torrent", blocks, bytes, c.TorrentSize(hash))
		}
		block, _, isBlock := parseName(name)
		if isTaken := isBlock && size > 0; isTaken != (blocks == 1) {
			t.Errorf("%q: %d blocks", name, blocks)
		}
		if blocks == 1 {
			if err := c.readAt(blockKey{0, block}, make([]byte, size), 0); err != nil {
				t.Errorf("%q: %v", name, err)
			}
		}
		_, err = os.Stat(filepath.Join(folder, name))
		isOurs := isBlock
		if !isOurs {
			_, _, isOurs = parseName(strings.TrimSuffix(name, newSuffix))
		}
		if isKept := err == nil; isKept != (blocks == 1 || !isOurs) {
			t.Errorf("%q is kept: %v", name, isKept)
		}
	})
}

// What others have put into the folder of a cache is left alone, and keeps nobody from using the cache.
func TestACacheWithWhatIsNotItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLab(t, metainfo.V1, 20<<20)
		l.open()
		l.check("first")
		synctest.Wait()
		whole := l.blockFile(0)
		l.close()
		elsewhere, folder := t.TempDir(), filepath.Dir(whole)
		path := func(hash id.ID) string { return filepath.Join(l.dir, folderOf(hash)) }
		for _, err := range []error{
			os.MkdirAll(filepath.Join(l.dir, "02"), 0o700), os.MkdirAll(filepath.Join(l.dir, "04"), 0o700),
			os.WriteFile(filepath.Join(elsewhere, "7.7.new"), []byte("mine"), 0o600),
			os.WriteFile(filepath.Join(elsewhere, "7.7"), []byte("mine"), 0o600),
			os.WriteFile(path(id.ID{2}), []byte("a file in place of a folder"), 0o600),
			os.Symlink(elsewhere, path(id.ID{2, 1})),
			os.Symlink(elsewhere, filepath.Join(l.dir, "03")),
			os.MkdirAll(filepath.Join(l.dir, "04", id.ID{5}.String(), "0.1"), 0o700), // the folder of another prefix
			os.Symlink(filepath.Join(elsewhere, "7.7"), filepath.Join(folder, "9.9")),
			os.WriteFile(filepath.Join(folder, "notes.new"), []byte("mine"), 0o600),
			os.WriteFile(filepath.Join(folder, "0"+filepath.Base(whole)), []byte("almost the name of a block"), 0o600),
			os.WriteFile(filepath.Join(folder, "1000.1"), nil, 0o600),
			os.Truncate(filepath.Join(folder, "1000.1"), largestBlock+1),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
		l.open()
		defer l.close()
		before := l.gets()
		l.check("again")
		if n := l.gets() - before; n > 0 {
			t.Errorf("%d requests for what was in the cache", n)
		}
		if blocks, size := l.cache.Size(); blocks != 3 || size != 20<<20 || l.cache.TorrentSize(id.ID{1}) != size || l.cache.TorrentSize(id.ID{9}) != 0 {
			t.Errorf("%d blocks, %d bytes", blocks, size)
		}
		for _, name := range []string{filepath.Join(elsewhere, "7.7.new"), filepath.Join(elsewhere, "7.7"), path(id.ID{2}), filepath.Join(folder, "notes.new")} {
			if _, err := os.Stat(name); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Stat(filepath.Join(folder, "1000.1")); err == nil {
			t.Error("a file that is larger than a block can be is kept")
		}
		l.cache.drop(l.key(0))
		if size := l.cache.TorrentSize(id.ID{1}); size != 20<<20-BlockSize {
			t.Errorf("%d bytes without one block", size)
		}
	})
}

// FuzzUploadLog checks that a log with any content remembers what is written to it.
func FuzzUploadLog(f *testing.F) {
	for _, s := range []string{"done 3 \"4d\"\n", "open 3 \"id\"\ndone 4 \"1", "done -1 \"1\"\nsame 99999999999999999999 \"\"\n", "done 3 \"", strings.Repeat("\x00", 100_000), "stray 1 \"\"\n\nlost 3 \"\"", "stray 0 \"\"", "open 1 \"\\x00\\n\"\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "uploads"), content, 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := openUploadLog(dir)
		if err != nil {
			t.Fatal(err)
		}
		const id = "an \"id\" \n\xff"
		if err := l.finished(3, 77); err != nil {
			t.Fatal(err)
		}
		if err := l.began(4, id); err != nil {
			t.Fatal(err)
		}
		was := fmt.Sprint(l.open, l.done, l.strays, l.same)
		if err := l.close(); err != nil {
			t.Fatal(err)
		}
		if l, err = openUploadLog(dir); err != nil {
			t.Fatal(err)
		}
		defer l.close()
		if now := fmt.Sprint(l.open, l.done, l.strays, l.same); now != was || l.uploaded(3) != 77 || l.openUpload(4) != id {
			t.Errorf("%.300s became %.300s", was, now)
		}
	})
}
