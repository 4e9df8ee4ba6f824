package storage

import (
	"io/fs"
	"time"
)

// version shows whether others have written to a file: it is the state of the file after
// our last write.
//
// A write by others is missed only if it falls within the microseconds between the checks
// before and after one of our own writes and does not change the size.
type version struct {
	size       int64
	mtime      int64  // Unix nanoseconds
	systemTime int64  // the time that the system gave our last write; mtime may be one that we set
	links      uint64 // hard links of the file; 0 if unknown
}

// fineClock is shorter than any tick of a clock for file times. If two writes get times
// that differ by less, the system gives every write a distinct time, as Linux does from
// 6.13 on.
const fineClock = int64(500 * time.Microsecond)

func versionOf(f File) (v version, err error) {
	v.size, v.mtime, v.links, err = f.Version()
	v.systemTime = v.mtime
	return v, err
}

// differs reports whether a file has changed since we left it. The caller holds s.mu.
func (s *Storage) differs(i int, now version) bool {
	st := &s.files[i]
	timeless := s.coarse && (st.place != inFinal || st.unsettled)
	return now.size != st.version.size || now.mtime != st.version.mtime && !timeless
}

// settleTime records the time that the system gave a complete file at its sync, which is
// the last moment at which it sets one. The caller holds places.
func (s *Storage) settleTime(i int) {
	st := &s.files[i]
	if !s.coarse || st.place != inFinal {
		return
	}
	st.writing.Lock()
	defer st.writing.Unlock()
	d, name := s.where(i)
	if fi, err := d.Stat(name); err == nil && s.compareInfo("find", i, fi) == nil {
		s.note(i, fi)
		s.mu.Lock()
		st.unsettled = false
		s.mu.Unlock()
	}
}

// note records the state of a file as the one in which we left it.
func (s *Storage) note(i int, fi fs.FileInfo) {
	s.mu.Lock()
	st := &s.files[i]
	st.id = fi
	mtime := fi.ModTime().UnixNano()
	st.version = version{size: fi.Size(), mtime: mtime, systemTime: mtime}
	s.mu.Unlock()
	st.checkedAt.Store(time.Now().UnixNano())
}

// endsBefore reports whether a file, as we left it, ended at or before size.
func (s *Storage) endsBefore(i int, size int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.files[i].version.size <= size
}

// compare checks that an open file is ours and unchanged.
func (s *Storage) compare(op string, i int, f File) error {
	s.files[i].writing.Lock()
	defer s.files[i].writing.Unlock()
	fi, err := f.Stat()
	if err != nil {
		return wrap(op, s.path(i), err)
	}
	return s.compareInfo(op, i, fi)
}

// compareInfo is compare for a file's info. The caller holds st.writing.
func (s *Storage) compareInfo(op string, i int, fi fs.FileInfo) error {
	d, _ := s.where(i)
	st := &s.files[i]
	s.mu.Lock()
	id := st.id
	differs := s.differs(i, version{size: fi.Size(), mtime: fi.ModTime().UnixNano()})
	s.mu.Unlock()
	switch {
	case id == nil:
		s.note(i, fi)
		return nil
	case !d.Same(id, fi):
		return s.lost(op, i, 0, errGone)
	case differs && i < s.parts() && fi.Size() < s.info.Files[i].Length:
		return s.lost(op, i, fi.Size(), errShort)
	case differs:
		return s.lost(op, i, 0, errChanged)
	}
	st.checkedAt.Store(time.Now().UnixNano())
	return nil
}

// look returns the current version of an open file, whether it has lost its last name,
// and whether it has changed since we left it.
func (s *Storage) look(i int, f File) (now version, gone, differs bool, err error) {
	if now, err = versionOf(f); err != nil {
		return now, false, false, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return now, now.links == 0 && s.files[i].version.links > 0, s.differs(i, now), nil
}

// afterRead checks that what was just read from a file under its final name, to which we
// do not write, is what was verified.
func (s *Storage) afterRead(i int, f File) error {
	now, gone, differs, err := s.look(i, f)
	switch {
	case err != nil:
		return wrap("read", s.path(i), err)
	case gone:
		return s.lost("read", i, 0, errGone)
	case differs && i < s.parts() && now.size < s.info.Files[i].Length:
		return s.lost("read", i, now.size, errShort)
	case differs:
		return s.lost("read", i, 0, errChanged)
	}
	return nil
}

// beforeWrite checks that an open file is unchanged and has no other hard link. The
// caller holds st.writing.
func (s *Storage) beforeWrite(i int, f File) error {
	now, gone, differs, err := s.look(i, f)
	switch {
	case err != nil:
		return wrap("write", s.path(i), err)
	case gone:
		return s.lost("write", i, 0, errGone)
	case i < s.parts() && now.size < s.info.Files[i].Length:
		return s.lost("write", i, now.size, errShort)
	case differs:
		return s.lost("write", i, 0, errChanged)
	case i < s.parts() && now.links > 1:
		return errLinked
	}
	return nil
}

// afterWrite records the version of a file after our write. The caller holds st.writing.
func (s *Storage) afterWrite(i int, f File) error {
	now, err := versionOf(f)
	if err != nil {
		return wrap("write", s.path(i), err)
	}
	s.mu.Lock()
	was := s.files[i].version
	s.mu.Unlock()
	if between := now.systemTime - was.systemTime; between > 0 && between < fineClock {
		s.fine.Store(true)
	}
	if !s.fine.Load() && !s.coarse {
		// The clock may give the next write the same time, whoever makes it. So we set a
		// time in the past, far enough that the next write proves nothing.
		if err := f.SetTime(now.mtime - 2*fineClock); err == nil {
			given := now.systemTime
			if now, err = versionOf(f); err != nil {
				return wrap("write", s.path(i), err)
			}
			now.systemTime = given
		}
	}
	s.mu.Lock()
	s.files[i].version = now
	s.files[i].unsettled = s.coarse
	s.mu.Unlock()
	s.wrote.Store(true)
	if i < s.parts() && now.size < s.info.Files[i].Length {
		return s.lost("write", i, now.size, errShort)
	}
	return nil
}

// distrust records that others changed a file. Its pieces are doubtful until they are
// hashed again, including those that are verified meanwhile.
func (s *Storage) distrust(i int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.files[i].changedByOthers {
		return
	}
	s.files[i].changedByOthers = true
	for _, p := range s.piecesIn(i) {
		s.doubtPiece(p)
	}
}

// doubtPiece makes a verified piece doubtful. The caller holds s.mu.
func (s *Storage) doubtPiece(p int) {
	if !s.synced.Remove(p) && !s.written.Remove(p) {
		return
	}
	s.suspect.Remove(p)
	s.doubt.Add(p)
	s.changed = true
	for i := range s.filesOf(p) {
		s.files[i].left++
	}
}

// isDistrusted reports whether others changed a file that overlaps piece p. The caller
// holds s.mu.
func (s *Storage) isDistrusted(p int) bool {
	if _, shared := s.slot(p); shared && s.files[s.parts()].changedByOthers {
		return true
	}
	for i := range s.filesOf(p) {
		if s.files[i].changedByOthers {
			return true
		}
	}
	return false
}

// endDistrust ends the distrust of files whose pieces have all been checked. The caller holds
// s.mu.
func (s *Storage) endDistrust() {
	for i := range s.files {
		if !s.files[i].changedByOthers {
			continue
		}
		s.files[i].changedByOthers = false
		for _, p := range s.piecesIn(i) {
			if s.doubt.Has(p) {
				s.files[i].changedByOthers = true
				break
			}
		}
	}
}
