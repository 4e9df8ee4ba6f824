//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package storage

import (
	"errors"
	"path/filepath"
	"testing"
)

// apart are the options of two processes that have nothing in common but the folder.
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

// Of two processes that download one torrent into one folder, the second gets an error, at
// each moment of the first one's download, and goes on when the first has ended.
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

// Two that begin in the same moment find out as soon as one writes where the other does.
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

// Complete files are open to all: nobody writes to them.
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
