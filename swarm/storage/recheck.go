package storage

import (
	"context"

	"seedbed/internal/bitset"
)

// Recheck is called after a failure. It checks whether the failed operation works again
// and whether the files are unchanged. All pieces of changed files are hashed again, and
// lost ones are not in the set it returns. Nothing may be written meanwhile. The error
// says what still has to be fixed. A missing file is an error too, because the disk may be
// unmounted.
func (s *Storage) Recheck(ctx context.Context) (bitset.Set, error) {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	if err := s.reopen(); err != nil {
		return bitset.Set{}, s.failed(err)
	}
	if err := s.rewrite(); err != nil {
		return bitset.Set{}, s.failed(err)
	}
	if _, err := s.CheckDoubtful(ctx, nil); err != nil {
		return bitset.Set{}, err
	}
	if err := s.retryFailed(); err != nil {
		return bitset.Set{}, s.failed(err)
	}
	s.mu.Lock()
	s.fault = nil
	s.mu.Unlock()
	return s.Have(), nil
}

// redo lists the operations that failed. They must succeed before Recheck reports that storage
// works.
// Otherwise a cause that is not visible in the files, such as a name that the file system
// rejects, would seem to be resolved and recur at once.
type redo struct {
	make   int // a file that could not be created, plus 1
	write  int // a file that could not be written, plus 1; at is the offset
	at     int64
	flush  bool
	finish bool
}

// makeForWrite is makeWritable for a write.
func (s *Storage) makeForWrite(i int) error {
	s.places.Lock()
	err := s.makeWritable(i)
	s.places.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.redo.make = i + 1
	case s.redo.make == i+1:
		s.redo.make = 0
	}
	return err
}

// redoWrite records the result of a write. A full disk is probed in another way.
func (s *Storage) redoWrite(i int, at int64, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil && kindOf(err) != Full:
		s.redo.write, s.redo.at = i+1, at
	case err == nil && s.redo.write == i+1:
		s.redo.write = 0
	}
}

// retryFailed repeats what failed.
func (s *Storage) retryFailed() error {
	s.mu.Lock()
	r := s.redo
	s.mu.Unlock()
	if r.make > 0 {
		if err := s.makeForWrite(r.make - 1); err != nil {
			return err
		}
	}
	if r.write > 0 {
		if err := s.writeByte(r.write-1, r.at); err != nil {
			return err
		}
	}
	if r.flush {
		if err := s.flush(false); err != nil {
			return err
		}
	}
	if r.finish {
		return s.Finish()
	}
	return nil
}

// writeByte rewrites one byte of a file unchanged.
func (s *Storage) writeByte(i int, at int64) error {
	s.places.RLock()
	defer s.places.RUnlock()
	if s.files[i].place != inPart {
		return nil
	}
	h, f, err := s.acquire(i)
	if err != nil {
		return wrap("write", s.path(i), err)
	}
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	s.handles.put(h)
	if err != nil { // the read will report it
		return nil
	}
	if err := s.writeFile(i, b, at); err != errLinked {
		return err
	}
	return nil
}

// reopen examines every file again.
func (s *Storage) reopen() error {
	s.places.Lock()
	defer s.places.Unlock()
	if s.closed {
		return wrap("open", s.dir, errClosed)
	}
	s.handles.dropAll(s)
	s.disk.Refresh()
	s.state.Refresh()
	if _, err := s.disk.Stat("."); err != nil {
		return wrap("open", s.dir, err)
	}
	for i := range s.files {
		if s.files[i].place == absent {
			continue
		}
		if err := s.revalidate(i); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.recount()
	fault := s.fault
	s.mu.Unlock()
	s.gone.Store(false)
	if fault != nil && fault.Kind == Full {
		return s.probe(fault)
	}
	return nil
}

// revalidate compares a file with how we left it and accepts it as it is: pieces of a changed
// file become doubtful. The caller holds places.
func (s *Storage) revalidate(i int) error {
	st := &s.files[i]
	d, name := s.where(i)
	fi, err := d.Stat(name)
	if err != nil && kindOf(err) == Vanished && i == s.parts() {
		s.distrust(i) // it is our own file: what it had is downloaded again
		s.mu.Lock()
		st.place, st.id, st.version = absent, nil, version{}
		s.mu.Unlock()
		return nil
	}
	if err != nil {
		return s.lost("find", i, 0, err)
	}
	_ = s.compareInfo("find", i, fi)
	s.note(i, fi)
	s.mu.Lock()
	foreign := st.changedByOthers
	s.mu.Unlock()
	if foreign {
		s.markDirDirty(i)
	}
	if st.place == inPart && !s.o.ReadOnly && i < s.parts() {
		return s.restoreFile(i, nil) // also proves write permission
	}
	h, _, err := s.acquire(i)
	if err == nil {
		s.handles.put(h)
	}
	return err
}

// probe determines whether there is space again: for what is missing, or at least enough
// to make progress. While there is not, the reason stays the same.
func (s *Storage) probe(full *Error) error {
	need := int64(256 << 10)
	s.mu.Lock()
	missing := int64(s.info.NumPieces()-s.synced.Count()-s.written.Count()) * s.info.PieceLength
	s.mu.Unlock()
	name := "." + s.info.Hash.String() + ".probe"
	err := writeWhole(s.disk, name, make([]byte, max(4<<10, min(need, missing))), true)
	if e := s.disk.Remove(name); e != nil && kindOf(e) != Vanished {
		err = firstOf(err, e)
	}
	switch {
	case err == nil:
		return nil
	case kindOf(err) == Full:
		return full
	}
	return wrap("write", s.dir, err)
}

// rewrite writes again what a failed sync may have lost, while it is still in memory:
// only data that is written again is synced again.
func (s *Storage) rewrite() error {
	s.mu.Lock()
	suspect := s.suspect.Clone()
	s.mu.Unlock()
	buf := make([]byte, writeSize)
	for p := range suspect.All() {
		ok, err := s.HashPiece(p, buf)
		if err != nil {
			return err
		}
		off, size := int64(p)*s.info.PieceLength, s.info.DataSize(p)
		for at := int64(0); ok && at < size; at += writeSize {
			b := buf[:min(writeSize, size-at)]
			if err := s.ReadAt(b, off+at); err != nil {
				return err
			}
			if err := s.WriteAt(b, off+at); err != nil {
				return err
			}
		}
		s.mu.Lock()
		s.suspect.Remove(p)
		if !ok && s.written.Remove(p) {
			s.changed = true
		}
		s.mu.Unlock()
	}
	return nil
}
