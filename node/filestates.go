package node

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// FileState says what a torrent does with one of its files.
type FileState struct {
	Number   int    // as in Spec.Select
	Index    int    // in Info.Files
	Path     string // as in FilePaths
	Selected bool
	Have     int64 // verified bytes
	Priority Priority
}

// FileStates returns the states of at most limit files, beginning with the one after the file with number after,
// and the info dictionary. It returns nil while the metadata is not known. The cost is proportional to the number of files
// returned, except for the first call for a torrent that does not run: it reads the state directory.
func (t *Torrent) FileStates(after, limit int) ([]FileState, *metainfo.Info) {
	info, names := t.infoAndNames()
	if info == nil {
		return nil, nil
	}
	folder, have, spec := names.Folder(), t.verified(info), t.spec()
	after = min(after, info.Stored())
	out := make([]FileState, min(limit, info.Stored()-after))
	selected := spec.selected(info, after, len(out))
	for k := range out {
		number := after + k + 1
		i, _ := info.FileIndex(number)
		out[k] = FileState{Number: number, Index: i, Path: strings.TrimPrefix(names.Path(i), folder), Selected: selected[k],
			Have: info.BytesOf(i, have), Priority: spec.Priorities.of(number)}
	}
	return out, info
}

// FileName returns the name of one of Info.Files, without its folder, as it is on disk. It returns "" while the metadata is not known.
func (t *Torrent) FileName(index int) string {
	info, names := t.infoAndNames()
	if info == nil {
		return ""
	}
	return path.Base(names.Path(index))
}

// infoAndNames returns the info dictionary and the names that the files have, or nil while the metadata is not known.
func (t *Torrent) infoAndNames() (*metainfo.Info, storage.Names) {
	if info := t.info.Load(); info != nil {
		if r := t.run.Load(); r != nil && r.storage.Load() != nil {
			return info, r.storage.Load().Names()
		}
	}
	return t.node.lastRead.read(t)
}

// keepRead is how long what was read of a torrent that does not run is kept: a client soon asks for the next page of its files.
// For 100,000 files, reading takes a second.
const keepRead = 10 * time.Second

// lastRead is what was last read of a torrent that does not run. Only one torrent is kept, since it may have millions of files.
type lastRead struct {
	mu        sync.Mutex
	of        *Torrent
	dir       string
	info      *metainfo.Info
	names     storage.Names
	namesFile fs.FileInfo
	forget    *time.Timer
}

// read returns the info dictionary and the names of t, which does not run, or nil while the metadata is not known.
func (l *lastRead) read(t *Torrent) (*metainfo.Info, storage.Names) {
	l.mu.Lock()
	defer l.mu.Unlock()
	record, dir := t.state.resumePath(), t.spec().Dir
	file := storage.NamesFile(record) // before the names, so that a later change is noticed
	if l.of != t {
		l.of, l.info = t, nil
	}
	if l.info == nil {
		l.info, l.dir = t.Info(), ""
	}
	if l.info == nil {
		l.of = nil
		return nil, storage.Names{}
	}
	if l.dir != dir || !isSameFile(l.namesFile, file) {
		l.dir, l.namesFile, l.names = dir, file, storage.RecordedNames(l.info, dir, record)
	}
	if l.forget != nil {
		l.forget.Stop()
	}
	l.forget = time.AfterFunc(keepRead, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.of, l.info, l.names = nil, nil, storage.Names{}
	})
	return l.info, l.names
}

// isSameFile reports whether a file, which may be nil, was not replaced.
func isSameFile(a, b fs.FileInfo) bool {
	if a == nil || b == nil {
		return a == nil && b == nil
	}
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

// selected reports for count files, beginning with the one after number after, whether each is wanted. It agrees with files,
// also in that no file is wanted if a selected one does not exist.
func (s *Spec) selected(info *metainfo.Info, after, count int) []bool {
	out := make([]bool, count)
	if s.Select != nil {
		for _, n := range s.Select {
			if n < 1 || n > info.Stored() {
				return make([]bool, count)
			}
			if k := n - after - 1; k >= 0 && k < count {
				out[k] = true
			}
		}
		return out
	}
	for k := range out {
		i, _ := info.FileIndex(after + k + 1)
		out[k] = s.All || s.Link.Selects(i)
	}
	return out
}

// of returns the priority of the file with a number.
func (p *Priorities) of(number int) Priority {
	has := func(list []int) bool { _, ok := slices.BinarySearch(list, number); return ok }
	switch {
	case has(p.Low):
		return PriorityLow
	case has(p.High):
		return PriorityHigh
	case has(p.Maximum):
		return PriorityMaximum
	}
	return PriorityNormal
}
