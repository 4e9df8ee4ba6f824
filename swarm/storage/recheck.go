package storage

import (
	"context"

	"seedbed/internal/bitset"
)

// Recheck is asked after a failure. It looks whether what failed is mended and
// whether the files are still as they were left; all pieces of files that changed are
// hashed again, and what is lost falls out of the set that it returns. Nothing must be
// written meanwhile. The error
// says what still has to be mended: a file that vanished is waited for, since
// a disk that is not mounted looks the same.
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
	if err := s.doAgain(); err != nil {
		return bitset.Set{}, s.failed(err)
	}
	s.mu.Lock()
	s.fault = nil
	s.mu.Unlock()
	return s.Have(), nil
}

// A redo is what failed and has to work before Recheck says that storage works. Else a
// cause that a look at the files does not show, such as a name that the file system
// refuses, would count as gone and come back at once.
type redo struct {
	make   int // a file that could not be made, plus 1
	write  int // a file that could not be written, plus 1, and where
	at     int64
	flush  bool
	finish bool
}

// make is makeWritable for a write.
func (s *Storage) make(i int) error {
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

// redoWrite notes how a write ended. A full disk is probed in another way.
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

// doAgain does what failed.
func (s *Storage) doAgain() error {
	s.mu.Lock()
	r := s.redo
	s.mu.Unlock()
	if r.make > 0 {
		if err := s.make(r.make - 1); err != nil {
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

// writeByte writes one byte of a file as it is.
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
	if err != nil { // reading tells
		return nil
	}
	if err := s.writeFile(i, b, at); err != errLinked {
		return err
	}
	return nil
}

// reopen looks at every file anew.
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
		if err := s.relook(i); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.recount()
	fault := s.fault
	s.mu.Unlock()
	if fault != nil && fault.Kind == Full {
		return s.probe(fault)
	}
	return nil
}

// relook compares a file with how we left it and takes it as it is: what changed is
// doubtful. places is held.
func (s *Storage) relook(i int) error {
	st := &s.files[i]
	d, name := s.where(i)
	fi, err := d.Stat(name)
	if err != nil && kindOf(err) == Vanished && i == s.parts() {
		s.distrust(i) // it is our own: what it had is fetched again
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
	foreign := st.foreign
	s.mu.Unlock()
	if foreign {
		s.noteDir(i)
	}
	if st.place == inPart && !s.o.ReadOnly && i < s.parts() {
		return s.mend(i, nil) // proves the right to write, too
	}
	h, _, err := s.acquire(i)
	if err == nil {
		s.handles.put(h)
	}
	return err
}

// probe finds out whether there is room again, for what is missing or at least
// enough to be worth going on. While there is not, the reason stays the same.
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

// rewrite writes again what a failed sync may have lost, while memory still has
// it: only what is written anew is synced anew.
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
