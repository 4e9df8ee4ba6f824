package storage

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"math"
	"path/filepath"
	"syscall"

	"seedbed/internal/bitset"
	"seedbed/internal/statefile"
)

// survey finds the files of the torrent, using the record if there is one, and sorts the
// pieces into synced and doubt. Without a record, it uses the claim if there is one.
func (s *Storage) survey(c *Claim) error {
	rec, err := s.loadRecord("")
	var bad *RecordError
	if errors.As(err, &bad) {
		s.recErr = bad
	} else if err != nil {
		return err
	}
	if s.recorded = rec != nil; !s.recorded && c != nil {
		if rec, err = s.claimed(c); err != nil {
			return err
		}
	}
	note, err := s.loadRecord(finishSuffix)
	if err != nil && !errors.As(err, &bad) {
		return err
	}
	partsSize := int64(0)
	if d, name := s.where(s.parts()); true {
		switch fi, err := d.Lstat(name); {
		case err == nil && fi.Mode().IsRegular():
			s.files[s.parts()].place = inPart
			s.note(s.parts(), fi)
			partsSize = fi.Size()
		case err != nil && kindOf(err) != Vanished:
			return s.lost("open", s.parts(), 0, err)
		}
	}
	var recorded bitset.Set
	if rec != nil {
		s.synced, s.doubt = rec.synced, rec.written
		recorded = rec.synced.Clone()
		recorded.AddAll(rec.written)
	} else {
		s.changed = true
	}
	if err := s.chooseNames(rec != nil); err != nil {
		return err
	}
	bare, err := s.isAbsent()
	if err != nil {
		return err
	}
	all := true
	for i := range s.info.Files {
		if !s.info.Files[i].IsRegular() {
			continue
		}
		var known fileRecord
		if rec != nil {
			known = rec.files[i]
		}
		ours := note != nil && note.files[i].place == inFinal
		trust := nothing
		if !bare {
			if trust, err = s.find(i, known, recorded, ours); err != nil {
				return err
			}
		}
		if s.files[i].place != known.place {
			s.changed = true
		}
		s.hasFiles = s.hasFiles || s.files[i].place != absent
		if trust == checked {
			s.markDirDirty(i) // it may not have been synced
		}
		all = all && trust == proven
		size := partsSize
		if known.place != absent {
			size = 0 // the file that had the bytes no longer exists
		}
		s.applyTrust(i, trust, size)
	}
	if s.o.Verified && all {
		s.doubt.Clear()
		s.written.Fill()
		for p := range s.synced.All() {
			s.written.Remove(p)
		}
		s.markAllDirty()
	}
	for p := range s.doubt.All() {
		if s.synced.Has(p) {
			s.doubt.Remove(p)
		}
	}
	s.recount()
	return nil
}

// isAbsent reports whether not even the torrent's folder exists. That avoids looking for each
// of perhaps a million files.
func (s *Storage) isAbsent() (bool, error) {
	if !s.info.IsMulti() || s.o.ReadOnly || len(s.names) > 0 { // a file may have a name in another folder
		return false, nil
	}
	_, err := s.disk.Lstat(s.root)
	var n syscall.Errno
	if err != nil && kindOf(err) != Vanished && !(errors.As(err, &n) && isBadName(n)) {
		return false, wrap("open", filepath.Join(s.dir, s.root), err)
	}
	return err != nil, nil
}

// trust says how far the pieces of a file can be trusted.
type trust uint8

const (
	proven  trust = iota // as the record says
	checked              // must be hashed
	nothing              // no data exists
)

// find determines where a file is. If a file of others has its name, find returns
// ErrExists, or leaves it alone if it may be overwritten later.
func (s *Storage) find(i int, known fileRecord, recorded bitset.Set, ours bool) (trust, error) {
	st := &s.files[i]
	size := s.info.Files[i].Length
	look := func(name string) (fs.FileInfo, error) {
		stat := s.disk.Lstat
		if s.o.ReadOnly {
			stat = s.disk.Stat
		}
		fi, err := stat(name)
		if errors.Is(err, syscall.ENOTDIR) && !s.o.ReadOnly {
			if k := s.inTheWay(name); k != nil {
				return nil, wrap("open", filepath.Join(s.dir, k.name), k)
			}
		}
		var n syscall.Errno
		if err != nil && kindOf(err) == Vanished || errors.As(err, &n) && isBadName(n) || err != nil && s.o.ReadOnly && kindOf(err) == Exists {
			return nil, nil
		}
		if err != nil {
			if link := s.linkOnTheWay(name); escapes(err) && link != nil {
				return nil, link
			}
			return nil, wrap("open", filepath.Join(s.dir, name), err)
		}
		return fi, nil
	}
	if !st.wanted && known.place == absent && !s.o.ReadOnly {
		return nothing, nil // whatever exists there is not used
	}
	final, err := look(s.final(i))
	if err != nil {
		return nothing, err
	}
	var part fs.FileInfo
	if final == nil || known.place != inFinal {
		if part, err = look(s.part(i)); err != nil {
			return nothing, err
		}
	}
	if part != nil && !part.Mode().IsRegular() {
		part = nil
	}
	if s.o.ReadOnly && final == nil && part == nil {
		if name := s.literal(i); name != "" {
			if final, err = look(name); err != nil {
				return nothing, err
			}
			if final != nil {
				st.other = name
			}
		}
	}
	switch {
	case final != nil && part != nil && known.place != inFinal && (known.place == inPart || !s.o.ReadOnly):
		// An existing file under the final name is compared at the end.
	case final != nil:
		t, err := s.findFinal(i, known, ours, final)
		if err != nil || st.place == inFinal {
			return t, err
		}
	}
	if part == nil {
		return nothing, nil
	}
	st.place = inPart
	s.note(i, part)
	if known.place == inPart && part.Size() == size && (known.mtime == 0 || known.mtime == part.ModTime().UnixNano()) {
		return proven, nil
	}
	if !s.o.ReadOnly {
		// The record does not know a newer file: what the record lists is in the parts
		// file, if that was synced; the rest was written later.
		var adopt func(int) bool
		if recorded.Len() > 0 && known.place == absent {
			adopt = recorded.Has
		}
		if err := s.restoreFile(i, adopt); err != nil {
			return nothing, err
		}
	}
	return s.justHashed(part, size), nil
}

// restoreFile restores the size of a file that was truncated, and adopts the given pieces.
func (s *Storage) restoreFile(i int, adopt func(p int) bool) error {
	d, name := s.where(i)
	return s.create(i, d, name, 0o666, s.info.Files[i].Length, adopt)
}

func (s *Storage) justHashed(fi fs.FileInfo, size int64) trust {
	if s.o.Verified && fi.Size() == size {
		return proven
	}
	return checked
}

// findFinal examines a file under its final name. It is ours if it is as the record says,
// if Finish noted that it was about to rename it, or if any of its pieces is correct,
// which a check will show.
func (s *Storage) findFinal(i int, known fileRecord, ours bool, fi fs.FileInfo) (trust, error) {
	st := &s.files[i]
	size := s.info.Files[i].Length
	owned := ours || known.place != absent || s.o.Own
	switch {
	case fi.Mode()&fs.ModeSymlink != 0 && !s.o.Overwrite:
		return nothing, s.linkOnTheWay(s.final(i))
	case fi.Mode().IsRegular() && fi.Size() > size && !s.o.ReadOnly && !s.o.Overwrite:
		return nothing, wrap("write", filepath.Join(s.dir, s.final(i)), &tooLongError{over: fi.Size() - size, size: size})
	case fi.IsDir() && !s.o.ReadOnly: // no file can replace it
		k := &wrongKindError{s.final(i), fi.Mode(), false}
		return nothing, wrap("write", filepath.Join(s.dir, k.name), k)
	case !fi.Mode().IsRegular(),
		!s.o.ReadOnly && fi.Size() != size && !owned:
		if s.o.Overwrite || s.o.ReadOnly {
			return nothing, nil
		}
		return nothing, wrap("write", filepath.Join(s.dir, s.final(i)), ErrExists)
	}
	st.place = inFinal
	s.note(i, fi)
	if known.place == inFinal && fi.Size() == size && known.mtime == st.version.mtime {
		return proven, nil
	}
	st.candidate = size > 0 && !s.o.ReadOnly && !ours
	return s.justHashed(fi, size), nil
}

// disown records that the file under a final name is not ours.
func (s *Storage) disown(i int) {
	st := &s.files[i]
	s.handles.drop(handleKey{owner: s, file: i})
	s.mu.Lock()
	st.place, st.candidate, st.id, st.version = absent, false, nil, version{}
	s.mu.Unlock()
}

// applyTrust applies a trust to the pieces of a file.
func (s *Storage) applyTrust(i int, t trust, partsSize int64) {
	if s.info.Files[i].Length == 0 || t == proven {
		return
	}
	for p, end := s.info.PiecesOf(i); p < end; p++ {
		switch {
		case t == nothing:
			// The parts file may have it, if it is long enough.
			if slot, ok := s.slot(p); !ok || slot+s.endIn(i, p) > partsSize {
				s.synced.Remove(p)
				s.doubt.Remove(p)
			}
		default:
			s.synced.Remove(p)
			s.doubt.Add(p)
		}
	}
}

// endIn returns the end of the file within piece p.
func (s *Storage) endIn(i, p int) int64 {
	f := &s.info.Files[i]
	return min(f.Offset+f.Length-int64(p)*s.info.PieceLength, s.info.PieceSize(p))
}

// loadRecord returns the resume record, or nil if there is none. One that names another folder is
// a *RecordError.
func (s *Storage) loadRecord(suffix string) (*record, error) {
	r, err := s.readRecord(suffix)
	if r != nil && r.dir != recordDir(s.dir) {
		return nil, &RecordError{"is about another folder"}
	}
	return r, err
}

// readRecord is loadRecord for a record that may name any folder.
func (s *Storage) readRecord(suffix string) (*record, error) {
	if s.o.Record == "" {
		return nil, nil
	}
	f, err := s.state.Open(filepath.Base(s.o.Record)+suffix, statefile.NonBlock, 0)
	if kindOf(err) == Vanished {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("read", s.o.Record, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, wrap("read", s.o.Record, err)
	}
	if !fi.Mode().IsRegular() {
		return nil, &RecordError{"is not a regular file"}
	}
	if fi.Size() > math.MaxInt32 || fi.Size() > int64(recordSize(s.info, "")+maxRecordDir) {
		return nil, &RecordError{"has the wrong length"}
	}
	b := make([]byte, fi.Size())
	if n, err := f.ReadAt(b, 0); n < len(b) {
		return nil, wrap("read", s.o.Record, err)
	}
	r, err := parseRecord(b, s.info.Hash, s.info.NumPieces(), len(s.info.Files))
	if err == nil && suffix == "" && r.dir == recordDir(s.dir) {
		s.sealed = [sha256.Size]byte(b[len(b)-sha256.Size:])
	}
	return r, err
}
