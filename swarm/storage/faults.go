package storage

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// FileFault describes what is wrong with one wanted file.
type FileFault struct {
	File  int    // index in Info.Files
	Name  string // relative to the download folder
	Size  int64  // existing bytes; -1 if the file does not exist
	Want  int64  // size according to the torrent
	Wrong int    // pieces that are not verified
	Of    int    // pieces that overlap the file
	// Instead is why a missing file was not found, if its name or that of a folder above it
	// exists with another type or another case: "T/a is a folder, ...".
	Instead string
}

// AffectsData reports whether the file's bytes are not those of the torrent. A missing file
// of zero bytes does not affect them, nor does one whose bytes are in the parts file.
func (f FileFault) AffectsData() bool { return f.Wrong > 0 || f.Size > f.Want }

// String returns a sentence without a full stop.
func (f FileFault) String() string {
	switch {
	case f.Instead != "":
		return f.Instead
	case f.Size < 0:
		return f.Name + " is missing"
	case f.Size > f.Want:
		return f.Name + " " + (&tooLongError{over: f.Size - f.Want}).Error()
	case f.Size < f.Want:
		return fmt.Sprintf("%s has %d of %d bytes", f.Name, f.Size, f.Want)
	case f.Of == 1:
		return f.Name + ": its only piece is wrong"
	case f.Wrong == 1:
		return fmt.Sprintf("%s: 1 of %d pieces is wrong", f.Name, f.Of)
	}
	return fmt.Sprintf("%s: %d of %d pieces are wrong", f.Name, f.Wrong, f.Of)
}

// Faults lists, in the order of the torrent, the wanted files that are missing, incomplete
// or too long according to the last check. A file whose bad pieces are all shared with a
// file that is certainly bad is omitted.
func (s *Storage) Faults() []FileFault {
	s.places.RLock()
	defer s.places.RUnlock()
	list := s.badFiles()
	folded := foldedNames{s.disk, map[string]map[string]string{}}
	for i := range list {
		f := &list[i]
		if f.Size >= 0 {
			continue
		}
		if k := s.inTheWay(f.Name); k != nil {
			f.Instead = k.name + " " + k.Error()
		} else if other := folded.find(f.Name); other != "" {
			f.Instead = fmt.Sprintf("%s is missing; the name of %s differs in case", f.Name, other)
		}
	}
	return list
}

// foldedNames finds names that differ only in case.
type foldedNames struct {
	disk    Disk
	folders map[string]map[string]string // names in a folder, by their lower case
}

// find returns the first name on the path to a missing file that exists only in another
// case, or "".
func (n *foldedNames) find(name string) string {
	for at := range prefixes(name) {
		if _, err := n.disk.Lstat(at); err == nil {
			continue
		}
		dir, base := filepath.Split(at)
		dir = filepath.Clean(dir)
		names, ok := n.folders[dir]
		if !ok {
			list, _ := n.disk.Names(dir)
			names = make(map[string]string, len(list))
			for _, name := range list {
				names[strings.ToLower(name)] = name
			}
			n.folders[dir] = names
		}
		if other := names[strings.ToLower(base)]; other != "" && other != base {
			return filepath.Join(dir, other)
		}
		return ""
	}
	return ""
}

// badFiles lists the files for Faults. The caller holds places.
func (s *Storage) badFiles() (list []FileFault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	have := s.have()
	sure := make([]bool, len(s.info.Files))
	for i := range s.info.Files {
		f, st := &s.info.Files[i], &s.files[i]
		if !f.IsRegular() || !st.wanted {
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
		if b.Wrong > 0 || b.Size > b.Want || b.Size < 0 {
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
