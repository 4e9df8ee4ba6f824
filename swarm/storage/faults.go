package storage

import (
	"fmt"
	"slices"
)

// FileFault describes what is wrong with one wanted file.
type FileFault struct {
	File  int    // index in Info.Files
	Name  string // relative to the download folder
	Size  int64  // existing bytes; -1 if the file does not exist
	Want  int64  // size according to the torrent
	Wrong int    // pieces that are not verified
	Of    int    // pieces that overlap the file
}

// String returns a sentence without a full stop.
func (f FileFault) String() string {
	switch {
	case f.Size < 0:
		return f.Name + " is missing"
	case f.Size > f.Want:
		return f.Name + " " + (&tooLongError{over: f.Size - f.Want}).Error()
	case f.Size < f.Want:
		return fmt.Sprintf("%s has %d of %d bytes", f.Name, f.Size, f.Want)
	case f.Wrong == 1:
		return fmt.Sprintf("%s: 1 of %d pieces is wrong", f.Name, f.Of)
	}
	return fmt.Sprintf("%s: %d of %d pieces are wrong", f.Name, f.Wrong, f.Of)
}

// Faults lists, in the order of the torrent, the wanted files that are incomplete or too
// long according to the last check. A file whose bad pieces are all shared with a file
// that is certainly bad is omitted.
func (s *Storage) Faults() (list []FileFault) {
	s.places.RLock()
	defer s.places.RUnlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.have()
	sure := make([]bool, len(s.info.Files))
	for i := range s.info.Files {
		f, st := &s.info.Files[i], &s.files[i]
		if f.Pad || f.Length == 0 || !st.wanted {
			continue
		}
		first, end := s.info.PiecesOf(i)
		b := FileFault{File: i, Name: s.final(i), Size: -1, Want: f.Length, Of: end - first}
		if st.place != absent {
			_, b.Name = s.where(i)
			b.Size = st.version.size
		}
		sure[i] = b.Size != b.Want
		for p := first; p < end; p++ {
			if !have.Has(p) {
				b.Wrong++
				_, shared := s.slot(p)
				sure[i] = sure[i] || !shared
			}
		}
		if b.Wrong > 0 || b.Size > b.Want {
			list = append(list, b)
		}
	}
	return slices.DeleteFunc(list, func(b FileFault) bool {
		if sure[b.File] {
			return false
		}
		for p, end := s.info.PiecesOf(b.File); p < end; p++ {
			if !have.Has(p) && !s.anyFileOf(p, sure) {
				return false
			}
		}
		return true
	})
}

// anyFileOf reports whether a file in piece p is marked.
func (l *layout) anyFileOf(p int, marked []bool) bool {
	for i := range l.filesOf(p) {
		if marked[i] {
			return true
		}
	}
	return false
}
