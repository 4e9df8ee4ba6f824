package storage

import (
	"errors"
	"io"
	"path/filepath"

	"seedbed/internal/bitset"
)

// Two processes that download the same torrent into the same folder would undo each other's
// work, because each would treat the writes of the other as changes by another program. So a
// torrent that is being downloaded holds a file lock on its first incomplete file. Before it
// writes to an incomplete file that existed already, it checks that no other process has
// locked that file. The lock is on the file itself, so that no additional file is needed and a
// killed process leaves nothing behind. Complete files are only read, and need no lock. Two
// torrents in one folder have different incomplete files.

// errBusy reports that another process writes the files.
var errBusy = errors.New("another process is downloading this torrent into the same folder")

// maxProbed is how many incomplete files are checked for locks when a torrent is opened.
const maxProbed = 32

// partLock is the lock on the first incomplete file. It is guarded by Storage.places.
type partLock struct {
	parts bitset.Set // files known to be incomplete
	file  int        // the locked file, if held is not nil
	held  io.Closer
}

// locker is a Disk whose files can be locked.
type locker interface {
	// TryLock locks a file until the Closer is closed. The error is errBusy if another
	// process has a lock. On systems without file locks, the Closer is nil.
	TryLock(name string) (io.Closer, error)
}

// openLock takes the lock when a torrent is opened for writing.
func (s *Storage) openLock() error {
	s.lock.parts = bitset.New(len(s.info.Files))
	if s.o.ReadOnly {
		return nil
	}
	probed := 0
	for i := range s.info.Files {
		if s.files[i].place != inPart {
			continue
		}
		s.lock.parts.Add(i)
		if probed++; probed > maxProbed {
			continue
		}
		if err := s.lockPart(i, true); err != nil {
			s.unlock()
			return err
		}
	}
	return nil
}

// lockPart records that file i is incomplete, and locks it if it is the first one. found says
// that the file existed before, so that another process may have locked it.
func (s *Storage) lockPart(i int, found bool) error {
	l := &s.lock
	if s.o.ReadOnly || l.parts.Len() == 0 { // Open is still looking for files
		return nil
	}
	l.parts.Add(i)
	first := l.held == nil || i <= l.file || !l.parts.Has(l.file)
	if !first && !found {
		return nil
	}
	if l.held != nil && i == l.file { // the name may lead to another file now
		s.unlock()
	}
	c, err := s.tryLock(i)
	if err != nil || c == nil {
		return err
	}
	if !first {
		return c.Close()
	}
	s.unlock()
	l.file, l.held = i, c
	return nil
}

// tryLock locks file i. The Closer is nil if the disk cannot lock.
func (s *Storage) tryLock(i int) (io.Closer, error) {
	d, ok := s.disk.(locker)
	if !ok {
		return nil, nil
	}
	c, err := d.TryLock(s.part(i))
	if err != nil {
		return nil, wrap("write", filepath.Join(s.dir, s.part(i)), err)
	}
	return c, nil
}

// unlockPart records that file i is complete, and moves the lock to the next incomplete file.
func (s *Storage) unlockPart(i int) {
	l := &s.lock
	if s.o.ReadOnly || l.parts.Len() == 0 {
		return
	}
	l.parts.Remove(i)
	if l.held == nil || l.file != i {
		return
	}
	next := l.parts.Next(0)
	if next < 0 {
		s.unlock()
		return
	}
	if c, err := s.tryLock(next); err == nil && c != nil {
		s.unlock()
		l.file, l.held = next, c
	} // otherwise the lock stays on the complete file
}

func (s *Storage) unlock() {
	if s.lock.held != nil {
		_ = s.lock.held.Close() // releases the lock even if it fails
		s.lock.held = nil
	}
}
