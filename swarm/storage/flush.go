package storage

import (
	"io/fs"
	"path/filepath"
	"slices"
)

// Flush makes all written data durable, gives complete files their final names, and then
// writes the record. Pieces marked meanwhile are left to the next Flush.
func (s *Storage) Flush() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	return s.flush(false)
}

// flush implements Flush. With closing it also records the times of incomplete files,
// which will not change any more.
func (s *Storage) flush(closing bool) error {
	err := s.save(closing)
	s.mu.Lock()
	s.redo.flush = err != nil
	s.mu.Unlock()
	return err
}

func (s *Storage) save(closing bool) error {
	if s.gone.Load() {
		if closing { // what is not synced is hashed again when the data is back
			return s.writeRecord(closing)
		}
		return s.failed(wrap("find", s.dir, errGone))
	}
	s.disk.Refresh() // the folder may have been renamed
	if err := s.createFromParts(); err != nil {
		return s.failed(err)
	}
	s.mu.Lock()
	s.moved.Clear()
	pending := s.written.Clone()
	for p := range s.suspect.All() {
		pending.Remove(p)
	}
	s.mu.Unlock()
	if err := s.syncFiles(); err != nil {
		return s.failed(err)
	}
	s.renaming.Lock()
	err := s.finish()
	s.renaming.Unlock()
	if e := s.syncDirs(); e != nil {
		return s.failed(e)
	}
	s.unwatchSync()
	s.mu.Lock()
	for p := range pending.All() {
		if s.written.Has(p) && !s.suspect.Has(p) && !s.moved.Has(p) {
			s.written.Remove(p)
			s.synced.Add(p)
			s.changed = true
		}
	}
	s.mu.Unlock()
	if closing {
		s.handles.dropAll(s) // some systems write the times then
	}
	if e := s.writeRecord(closing); e != nil {
		return s.failed(e)
	}
	return s.failed(err)
}

// createFromParts creates those complete files whose data is still in the parts file, so that they
// are synced before the record refers to them and the parts file may be removed.
func (s *Storage) createFromParts() error {
	if s.o.ReadOnly {
		return nil
	}
	s.mu.Lock()
	whole := slices.Clone(s.finishable)
	s.mu.Unlock()
	s.places.Lock()
	defer s.places.Unlock()
	for _, i := range whole {
		if st := &s.files[i]; st.place == absent && st.wanted {
			if err := s.makeWritable(i); err != nil {
				return err
			}
		}
	}
	return nil
}

// syncFile syncs a file after checking that its name still leads to it: syncing a deleted
// file would succeed too.
func (s *Storage) syncFile(i int) error {
	s.places.RLock()
	defer func() { s.places.RUnlock() }()
	if s.files[i].place == absent {
		return nil
	}
	h, f, err := s.acquire(i)
	if err != nil {
		return wrap("sync", s.path(i), err)
	}
	defer s.handles.put(h)
	if _, err := s.identify(i); err != nil {
		return err
	}
	// Syncing takes time, so let files change their places meanwhile.
	s.places.RUnlock()
	err = f.Sync()
	s.places.RLock()
	if err != nil {
		s.suspectFile(i)
		// By its final name, because its name may change during the sync.
		path := s.path(i)
		if i < s.parts() {
			path = filepath.Join(s.dir, s.final(i))
		}
		return wrap("sync", path, err)
	}
	s.settleTime(i)
	return nil
}

// suspectFile records that a sync of a file failed. Data that the disk did not accept may
// now count as clean, so that a later successful sync proves nothing.
func (s *Storage) suspectFile(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.piecesIn(i) {
		if s.written.Has(p) {
			s.suspect.Add(p)
		}
	}
}

// piecesIn returns the pieces that have bytes in a file; for the parts file, all pieces that
// may have bytes there.
func (s *Storage) piecesIn(i int) (list []int) {
	if i == s.parts() {
		for _, p := range s.shared {
			list = append(list, int(p))
		}
		return list
	}
	for p, end := s.info.PiecesOf(i); p < end; p++ {
		list = append(list, p)
	}
	return list
}

// identify checks that a file's name still leads to the file and that no other program
// wrote to it, and returns the file's info.
func (s *Storage) identify(i int) (fs.FileInfo, error) {
	s.files[i].writing.Lock()
	defer s.files[i].writing.Unlock()
	d, name := s.where(i)
	fi, err := d.Stat(name)
	if err != nil {
		return nil, s.lost("find", i, 0, err)
	}
	return fi, s.compareInfo("find", i, fi)
}
