//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly || windows

package storage

import (
	"errors"
	"path/filepath"
	"testing"
)

// apart returns the options of two processes that share only the download folder.
func apart(t *testing.T, f fixture) (a, b Options) {
	dir := t.TempDir()
	a = Options{Dir: dir, Info: f.info, Record: filepath.Join(t.TempDir(), "resume"), Handles: handles(t, 20)}
	b = Options{Dir: dir, Info: f.info, Record: filepath.Join(t.TempDir(), "resume"), Handles: handles(t, 20)}
	return a, b
}

func isBusy(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.Kind == Busy && e.Hint() != ""
}

// If two processes download the same torrent into the same folder, the second gets an error
// at any time during the first one's download, and can continue when the first has ended.
func TestASecondWriterIsRefused(t *testing.T) {
	f := small(t)
	a, b := apart(t, f)
	s := open(t, a)
	for p := range f.info.NumPieces() {
		f.put(t, s, p)
		if p+1 == f.info.NumPieces() {
			break
		}
		if p%2 == 1 {
			must(t, s.Flush())
		}
		if second, err := Open(b); !isBusy(err) {
			t.Fatalf("after piece %d: %v, %v", p, second, err)
		}
		ro := b
		ro.ReadOnly = true
		must(t, open(t, ro).Close()) // who only reads is not kept from it
	}
	must(t, s.Close())
	second := open(t, b)
	must(t, second.Close())
}

// Two processes that start at the same moment notice it as soon as both write to one file.
func TestOfTwoThatBeginTogetherOneIsRefused(t *testing.T) {
	f := small(t)
	a, b := apart(t, f)
	first, second := open(t, a), open(t, b)
	f.put(t, first, 0)
	off, data := f.piece(0)
	if err := second.WriteAt(data, off); !isBusy(err) {
		t.Errorf("both write: %v", err)
	}
	must(t, first.Close())
	must(t, second.WriteAt(data, off))
	must(t, second.Close())
}

// Several processes may open complete files, because none of them writes to the files.
func TestCompleteFilesAreNotLocked(t *testing.T) {
	f := small(t)
	a, b := apart(t, f)
	s := open(t, a)
	for p := range f.info.NumPieces() {
		f.put(t, s, p)
	}
	must(t, s.Finish())
	second := open(t, b)
	have, err := second.CheckDoubtful(t.Context(), nil)
	must(t, err)
	if have.Count() != f.info.NumPieces() {
		t.Errorf("%d pieces", have.Count())
	}
	must(t, second.Close())
	must(t, s.Close())
}
