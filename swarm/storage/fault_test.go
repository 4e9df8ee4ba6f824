package storage

import (
	"context"
	"crypto/sha1"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"seedbed/magnet/metainfo"
)

func kind(t *testing.T, err error, want Kind) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Kind != want || e.Path == "" || e.Hint() == "" || !strings.Contains(e.Error(), e.Path) {
		t.Fatalf("%v is not of kind %d", err, want)
	}
	return e
}

func TestVanishedFileIsWaitedFor(t *testing.T) {
	f := small(t)
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Info: f.info, Record: filepath.Join(t.TempDir(), "r"), Handles: handles(t, 10)})
	f.put(t, s, 0, 1, 2)
	part := filepath.Join(dir, s.part(3))
	away := filepath.Join(t.TempDir(), "x")
	must(t, os.Rename(part, away))
	if e := kind(t, s.Flush(), Vanished); e.Path != part || e.First != 1 || e.End != 6 {
		t.Fatalf("%+v", e)
	}
	_, err := s.Recheck(t.Context())
	kind(t, err, Vanished)
	must(t, os.Rename(away, part))
	have, err := s.Recheck(t.Context())
	must(t, err)
	if have.Count() != 3 {
		t.Fatal("lost", have.Count())
	}
	must(t, s.Flush())
	// A copy in its place counts for the data it has.
	b, err := os.ReadFile(part)
	must(t, err)
	must(t, os.Remove(part))
	kind(t, s.reopen(), Vanished)
	clear(b[:40000])
	must(t, os.WriteFile(part, b, 0o644))
	have, err = s.Recheck(t.Context())
	must(t, err)
	if have.Count() != 1 || !have.Has(0) {
		t.Fatal(have.Count())
	}
	f.put(t, s, 1, 2, 3, 4, 5)
	must(t, s.Finish())
	must(t, s.Close())
	m := contents(t, dir)
	if m["T/a"]+m["T/d/b"]+m["T/d/c"] != string(f.data) {
		t.Fatal("other bytes than were written")
	}
}

func TestVanishedFolderIsNotRecreated(t *testing.T) {
	f := small(t)
	dir := filepath.Join(t.TempDir(), "mnt")
	s := open(t, Options{Dir: dir, Info: f.info, Handles: handles(t, 10)})
	f.put(t, s, 0)
	must(t, os.Rename(dir, dir+".away"))
	_, err := s.Recheck(t.Context())
	kind(t, err, Vanished)
	if _, err := os.Stat(dir); err == nil {
		t.Fatal("the folder was recreated")
	}
	must(t, os.Rename(dir+".away", dir))
	have, err := s.Recheck(t.Context())
	must(t, err)
	if !have.Has(0) {
		t.Fatal("lost")
	}
	must(t, s.Close())
}

func TestTruncatedFileLosesOnlyMissingPieces(t *testing.T) {
	f := small(t)
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Info: f.info, Handles: handles(t, 10)})
	f.put(t, s, 0, 1, 2, 3, 4, 5)
	must(t, s.Finish())
	must(t, os.Truncate(filepath.Join(dir, "T/d/c"), 30000)) // torrent offset 50100, in piece 3
	e := kind(t, s.ReadAt(make([]byte, 100), 60000), Truncated)
	if e.First != 3 || e.End != 6 {
		t.Fatalf("%+v", e)
	}
	have, err := s.Recheck(t.Context())
	must(t, err)
	for p := range 6 {
		if have.Has(p) != (p < 3) {
			t.Fatal(p, have.Has(p))
		}
	}
	f.put(t, s, 3, 4, 5)
	must(t, s.Finish())
	must(t, s.Close())
	if m := contents(t, dir); m["T/d/c"] != string(f.data[20100:]) || len(m) != 4 {
		t.Fatal(names(m))
	}
}

// A write by another program to a shared file is noticed, if not at once.
func TestFileChangedByOthersIsRechecked(t *testing.T) {
	f := small(t)
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Info: f.info, Handles: handles(t, 10)})
	f.put(t, s, 0, 1, 2, 3, 4, 5)
	must(t, s.Finish())
	read := func() error { return s.ReadAt(make([]byte, 100), 60000) }
	must(t, read())
	path := filepath.Join(dir, "T/d/c")
	b, err := os.ReadFile(path)
	must(t, err)
	b[60000-20100] ^= 1
	must(t, os.WriteFile(path, b, 0o644))
	must(t, os.Chtimes(path, time.Time{}, time.Now().Add(time.Second)))
	for _, k := range s.handles.lru.Keys() { // as if time had passed
		if h, ok := s.handles.lru.Peek(k); ok {
			h.checkedAt.Store(0)
		}
	}
	kind(t, read(), Changed)
	have, err := s.Recheck(t.Context())
	must(t, err)
	if p := int(60000 / f.info.PieceLength); have.Has(p) || have.Count() != 5 {
		t.Fatal(have.Count(), "pieces remain")
	}
	must(t, s.Close())
}

func TestNoPermission(t *testing.T) {
	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		t.Skip("permissions are not enforced here")
	}
	f := small(t)
	dir := t.TempDir()
	must(t, os.Chmod(dir, 0o500))
	s := open(t, Options{Dir: dir, Info: f.info, Handles: handles(t, 10)})
	off, b := f.piece(0)
	kind(t, s.WriteAt(b, off), Permission)
	must(t, os.Chmod(dir, 0o700))
	_, err := s.Recheck(t.Context())
	must(t, err)
	f.put(t, s, 0)
}

func TestSymbolicLinksAreNotFollowedOutside(t *testing.T) {
	f := small(t)
	dir, out := t.TempDir(), t.TempDir()
	must(t, os.Symlink(out, filepath.Join(dir, "T")))
	_, err := Open(Options{Dir: dir, Info: f.info, Handles: handles(t, 10)})
	kind(t, err, Exists)
	if m := contents(t, out); len(m) != 0 {
		t.Fatal("written outside the folder", names(m))
	}
}

// BEP 47: a symbolic link of the torrent is created on request, and leads to a place
// inside.
func TestLinksOfTheTorrentAreCreatedOnRequest(t *testing.T) {
	raw := "d5:filesld6:lengthi4e4:pathl1:d1:aeed4:attr1:l6:lengthi0e4:pathl1:e4:linke12:symlink pathl1:d1:aeee4:name1:T12:piece lengthi16384e6:pieces20:"
	sum := sha1.Sum([]byte("data"))
	info, err := metainfo.ParseInfo(append(append([]byte(raw), sum[:]...), 'e'))
	must(t, err)
	for _, asked := range []bool{false, true} {
		dir := t.TempDir()
		s := open(t, Options{Dir: dir, Info: info, Symlinks: asked, Handles: handles(t, 10)})
		must(t, s.WriteAt([]byte("data"), 0))
		s.MarkVerified(0)
		must(t, s.Finish())
		must(t, s.Finish()) // it exists already
		must(t, s.Close())
		b, err := os.ReadFile(filepath.Join(dir, "T/e/link"))
		if made := err == nil && string(b) == "data"; made != asked {
			t.Errorf("requested %v, created %v: %v", asked, made, err)
		}
		if asked {
			if to, err := os.Readlink(filepath.Join(dir, "T/e/link")); err != nil || to != "../d/a" {
				t.Error(to, err)
			}
		}
	}
	// An existing file under the link's name is kept.
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "T/e"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "T/e/link"), []byte("mine"), 0o644))
	s := open(t, Options{Dir: dir, Info: info, Symlinks: true, Handles: handles(t, 10)})
	must(t, s.WriteAt([]byte("data"), 0))
	s.MarkVerified(0)
	kind(t, s.Finish(), Exists)
}

type closer struct{ open *int }

func (c closer) Close() error { *c.open--; return nil }

func TestHandlesAreClosedWhenDescriptorsRunOut(t *testing.T) {
	h := NewHandles(100)
	open, most := 0, 5
	get := func(i int) (*handle, error) {
		return h.get(handleKey{file: i}, func() (io.Closer, error) {
			if open == most {
				return nil, syscall.EMFILE
			}
			open++
			return closer{&open}, nil
		})
	}
	for i := range 50 {
		e, err := get(i)
		must(t, err)
		h.put(e)
	}
	var held []*handle
	for i := range most {
		e, err := get(100 + i)
		must(t, err)
		held = append(held, e)
	}
	if _, err := get(200); kindOf(err) != TooManyOpen {
		t.Fatal(err)
	}
	for _, e := range held {
		h.put(e)
	}
	h.Close()
	if open != 0 {
		t.Fatal(open, "files left open")
	}
}

func TestHandlesAreBounded(t *testing.T) {
	h := NewHandles(3)
	open := 0
	for i := range 20 {
		e, err := h.get(handleKey{file: i}, func() (io.Closer, error) { open++; return closer{&open}, nil })
		must(t, err)
		h.put(e)
		if open > 3 {
			t.Fatal(open)
		}
	}
}

func TestUseFromManyGoroutines(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"a", "b", "c"}, []int64{300000, 20, 500000})
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, Info: f.info, Record: filepath.Join(t.TempDir(), "r"), Handles: handles(t, 2)})
	ctx, cancel := context.WithCancel(t.Context())
	var wg, bg sync.WaitGroup
	bg.Go(func() {
		for ctx.Err() == nil {
			if err := s.Flush(); err != nil {
				t.Error(err)
			}
			s.SetSelect([]int{0})
			_ = s.Have()
			s.SetSelect(nil)
		}
	})
	bg.Go(func() {
		for ctx.Err() == nil {
			if err := s.Finish(); err != nil {
				t.Error(err)
			}
		}
	})
	for w := range 4 {
		wg.Go(func() {
			for p := w; p < f.info.NumPieces(); p += 4 {
				f.put(t, s, p)
				if ok, err := s.HashPiece(p, make([]byte, 5000)); !ok {
					t.Error(p, err)
				}
			}
		})
	}
	wg.Wait()
	cancel()
	bg.Wait()
	must(t, s.Finish())
	must(t, s.Close())
	if m := contents(t, dir); m["T/a"]+m["T/b"]+m["T/c"] != string(f.data) || len(m) != 3 {
		t.Fatal(names(m))
	}
}

// The hint for a file that exceeds the size limit of the process does not blame the disk.
func TestALimitOnTheSizeOfFilesIsNoBadDisk(t *testing.T) {
	e := Error{Op: "write", Path: "film", Kind: IO, Err: &os.PathError{Op: "write", Path: "film", Err: syscall.EFBIG}}
	if hint := e.Hint(); !strings.Contains(hint, "ulimit -f") || strings.Contains(hint, "disk's health") {
		t.Error(hint)
	}
}
