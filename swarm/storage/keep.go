package storage

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"

	"seedbed/internal/statefile"
)

// recordDir returns the name of a folder in the record.
func recordDir(dir string) string {
	if len(dir) > maxRecordDir {
		sum := sha256.Sum256([]byte(dir))
		return hex.EncodeToString(sum[:])
	}
	return dir
}

// writeRecord replaces the whole record.
func (s *Storage) writeRecord(closing bool) (err error) {
	s.mu.Lock()
	changed, noted := s.changed, s.noted
	s.changed = false
	s.mu.Unlock()
	if s.o.Record == "" || !changed && (!closing || s.o.ReadOnly) {
		return nil
	}
	defer func() {
		if err != nil {
			s.mu.Lock()
			s.changed = true
			s.mu.Unlock()
			err = wrap("write", s.o.Record, err)
		}
	}()
	journaled := s.journaled()
	r := s.snapshot(closing)
	body := r.append(nil)
	if !changed && [sha256.Size]byte(body[len(body)-sha256.Size:]) == s.sealed {
		return nil // its contents are already on disk
	}
	name := filepath.Base(s.o.Record)
	// Data that is only read persists without us. Losing or truncating its record, which
	// the checksum detects, costs only a check.
	sync := !s.o.ReadOnly
	if sync { // the parts file may be new in that directory, and the record relies on it
		if err := s.state.SyncDir("."); err != nil {
			return err
		}
	}
	if err := writeWhole(s.state, name+".new", body, sync); err != nil {
		return err
	}
	if err := s.state.Rename(name+".new", name); err != nil {
		return err
	}
	if sync {
		if err := s.state.SyncDir("."); err != nil {
			return err
		}
	}
	s.sealed = [sha256.Size]byte(body[len(body)-sha256.Size:])
	s.stepped()
	return firstOf(firstOf(s.dropNote(noted), s.dropParts(r)), s.trimJournal(journaled))
}

// snapshot returns the record of the current state.
func (s *Storage) snapshot(closing bool) *record {
	s.places.RLock()
	defer s.places.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	r := &record{hash: s.info.Hash, dir: recordDir(s.dir), synced: s.synced.Clone(), written: s.written.Clone(),
		files: make([]fileRecord, len(s.info.Files))}
	for p := range s.doubt.All() {
		if !r.synced.Has(p) {
			r.written.Add(p)
		}
	}
	for i := range r.files {
		st := &s.files[i]
		first, end := s.info.PiecesOf(i)
		if st.place == absent || st.candidate || st.place == inFinal && st.left == end-first && end > first {
			continue // not proven to be ours, so it must not be changed later
		}
		f := fileRecord{place: st.place, size: s.info.Files[i].Length}
		// As we left it, not as it is, so that later changes by others are noticed.
		if st.place == inFinal || !s.coarse {
			f.mtime = st.version.mtime
		} else if closing {
			d, name := s.where(i)
			if fi, err := d.Lstat(name); err == nil {
				f.mtime = fi.ModTime().UnixNano()
			}
		}
		r.files[i] = f
	}
	return r
}

// dropParts removes the parts file once a record that does not need it has been written.
func (s *Storage) dropParts(r *record) error {
	s.places.Lock()
	defer s.places.Unlock()
	parts := &s.files[s.parts()]
	s.mu.Lock()
	unsynced := len(s.dirty) > 0
	s.mu.Unlock()
	if parts.place == absent || unsynced {
		return nil
	}
	for i := range r.files {
		if f := &s.info.Files[i]; f.Length > 0 && !f.Pad && (r.files[i].place == absent || s.files[i].place == absent) {
			return nil
		}
	}
	s.handles.drop(handleKey{owner: s, file: s.parts()})
	d, name := s.where(s.parts())
	if err := d.Remove(name); err != nil && kindOf(err) != Vanished {
		return err
	}
	s.mu.Lock()
	parts.place, parts.id, parts.version = absent, nil, version{}
	s.mu.Unlock()
	return nil
}

func writeWhole(d Disk, name string, b []byte, sync bool) (err error) {
	f, err := d.Open(name, os.O_RDWR|os.O_CREATE|os.O_TRUNC|statefile.NonBlock, 0o666)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return cmp.Or(err, errNotRegular)
	}
	if _, err := f.WriteAt(b, 0); err != nil || !sync {
		return err
	}
	return f.Sync()
}
