package report

import (
	"errors"
	"io"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// A Stdio is stdout or stderr. It knows whether a write is blocked because nobody reads, and
// whether a write has failed.
type Stdio struct {
	File    *os.File
	writes  atomic.Int64
	waiting atomic.Int64 // writes in progress
	failed  atomic.Pointer[error]
}

// Write implements io.Writer.
func (f *Stdio) Write(b []byte) (int, error) {
	f.waiting.Add(1)
	defer f.waiting.Add(-1)
	defer f.writes.Add(1)
	return f.write(b)
}

// write writes to the file and records the first error.
func (f *Stdio) write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	if err != nil && !f.isHungUp(err) {
		f.failed.CompareAndSwap(nil, &err)
	}
	return n, err
}

// isHungUp reports whether err means that the terminal was closed. The output has not failed
// then, and the command gets a signal for it.
func (f *Stdio) isHungUp(err error) bool {
	if !errors.Is(err, syscall.EIO) {
		return false
	}
	fi, e := f.File.Stat()
	return e == nil && fi.Mode()&os.ModeCharDevice != 0
}

// Err returns the first error of a write, or nil.
func (f *Stdio) Err() error {
	if err := f.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// Unwatched returns a writer to the same file for a Feed or a Lane, which themselves handle
// that nobody reads: Stuck does not see its writes.
func (f *Stdio) Unwatched() io.Writer { return unwatched{f} }

type unwatched struct{ f *Stdio }

func (u unwatched) Write(b []byte) (int, error) { return u.f.write(b) }

// Stuck returns true when a write has made no progress for Unread, or false if done is
// closed first.
func (f *Stdio) Stuck(done <-chan struct{}) bool {
	for before := int64(-1); ; {
		now := f.writes.Load()
		if f.waiting.Load() > 0 && now == before {
			return true
		}
		if before = now; f.waiting.Load() == 0 {
			before = -1
		}
		select {
		case <-done:
			return false
		case <-time.After(Unread):
		}
	}
}
