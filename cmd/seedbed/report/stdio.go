package report

import (
	"os"
	"sync/atomic"
	"time"
)

// A Stdio is stdout or stderr. It knows whether a write is blocked because nobody reads.
type Stdio struct {
	File    *os.File
	writes  atomic.Int64
	waiting atomic.Int64 // writes in progress
}

// Write implements io.Writer.
func (f *Stdio) Write(b []byte) (int, error) {
	f.waiting.Add(1)
	defer f.waiting.Add(-1)
	defer f.writes.Add(1)
	return f.File.Write(b)
}

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
