package storage

import (
	"errors"
	"io"
	"path/filepath"

	"seedbed/internal/bitset"
)

// Two processes that write the same files would undo each other's work: each takes the other
// for somebody who changes them. So a torrent that is being downloaded holds a lock of the
// system on one of its own files, the first that is incomplete, and looks whether another
// process holds one before it writes to incomplete files that it finds. The lock is on the
// file itself, wherever it is: no other file is needed, and a process that is killed leaves
// none. Complete files are only read, and need no lock. Two torrents in one folder have
// different incomplete files.

// errBusy is why files are not written that another process writes.
var errBusy = errors.New("another process is downloading this torrent into the same folder")

// maxProbed incomplete files are tried when a torrent is opened.
const maxProbed = 32

// partLock is the lock on the first incomplete file. It is guarded by Storage.places.
type partLock struct {
	parts bitset.Set // files that are incomplete, as far as they were seen
	file  int        // that is locked, if held is not nil
	held  io.Closer
}

// locker is a Disk whose files can be locked.
type locker interface {
	// TryLock locks a file until the Closer is closed. errBusy says that another process
	// has a lock; systems that cannot lock return nil.
	TryLock(name string) (io.Closer, error)
}

// openLock takes the lock of a torrent that is opened for writing.
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

// lockPart notes that file i is incomplete, and locks it if it is the first. found says that
// it was there before, so that another process may have it.
func (s *Storage) lockPart(i int, found bool) error {
	l := &s.lock
	if s.o.ReadOnly || l.parts.Len() == 0 { // while Open still looks for files
		return nil
	}
	l.parts.Add(i)
	first := l.held == nil || i <= l.file || !l.parts.Has(l.file)
	if !first && !found {
		return nil
	}
	if l.held != nil && i == l.file { // it may be another file by now
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

// unlockPart notes that file i is complete, and moves the lock to the next one that is not.
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
	} // or else the lock stays on the file that is complete now
}

func (s *Storage) unlock() {
	if s.lock.held != nil {
		_ = s.lock.held.Close() // which frees the lock in any case
		s.lock.held = nil
	}
}
