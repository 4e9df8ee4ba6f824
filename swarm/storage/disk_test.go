package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
)

// A cached directory is used only while its name leads to it.
func TestReplacedDirectoryIsNotUsed(t *testing.T) {
	top := t.TempDir()
	h := handles(t, 10)
	d, err := openDisk(top, false, h)
	must(t, err)
	make := func(name string) error {
		f, err := d.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
		if err != nil {
			return err
		}
		return f.Close()
	}
	must(t, d.MkdirAll("a/b"))
	must(t, make("a/b/one"))
	// Removed: the name is looked up again from the root.
	must(t, os.RemoveAll(filepath.Join(top, "a")))
	if err := make("a/b/two"); !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	must(t, d.MkdirAll("a/b"))
	must(t, make("a/b/two"))
	// Moved away, and replaced by another: noticed at the next check, or after Refresh.
	if runtime.GOOS == "windows" {
		return // open directories cannot be moved on this system
	}
	must(t, os.Rename(filepath.Join(top, "a"), filepath.Join(top, "away")))
	must(t, os.MkdirAll(filepath.Join(top, "a", "b"), 0o755))
	d.Refresh()
	must(t, make("a/b/three"))
	must(t, d.Rename("a/b/three", "a/b/four"))
	if _, err := os.Lstat(filepath.Join(top, "a", "b", "four")); err != nil {
		t.Fatal(err)
	}
	must(t, os.Rename(filepath.Join(top, "a"), filepath.Join(top, "away2")))
	must(t, os.MkdirAll(filepath.Join(top, "a", "b"), 0o755))
	hd, err := d.(rootDisk).openDir("a/b")
	must(t, err)
	hd.checkedAt.Add(-int64(dirCheckEvery)) // as if a second had passed
	h.put(hd)
	must(t, make("a/b/five"))
	if _, err := os.Lstat(filepath.Join(top, "a", "b", "five")); err != nil {
		t.Fatal(err)
	}
}

// A symbolic link may lead out of its directory if it stays in the folder.
func TestLinksWithinTheFolderAreFollowed(t *testing.T) {
	top := t.TempDir()
	d, err := openDisk(top, false, handles(t, 10))
	must(t, err)
	must(t, d.MkdirAll("a/b"))
	must(t, os.WriteFile(filepath.Join(top, "data"), []byte("12345"), 0o644))
	if err := os.Symlink("../../data", filepath.Join(top, "a", "b", "in")); err != nil {
		t.Skip(err)
	}
	must(t, os.Symlink("../../../data", filepath.Join(top, "a", "b", "out")))
	fi, err := d.Stat("a/b/in")
	must(t, err)
	f, err := d.Open("a/b/in", os.O_RDONLY, 0)
	must(t, err)
	must(t, f.Close())
	if fi.Size() != 5 {
		t.Fatal(fi.Size())
	}
	if _, err := d.Open("a/b/out", os.O_RDONLY, 0); !escapes(err) {
		t.Fatal(err)
	}
}
