package storage

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"seedbed/magnet/metainfo"
)

// layout maps the bytes of a torrent to files: their names, and the position of each
// torrent offset.
type layout struct {
	info      *metainfo.Info
	suffix    string
	root      string         // name of the torrent's folder; see names.go
	names     map[int]string // files whose name differs from their path
	nameLimit int            // maximal length of a name in bytes
	// shared lists the pieces that several files share, in ascending order: only these
	// can be partly unwanted.
	shared []int32
}

func newLayout(info *metainfo.Info) layout {
	l := layout{info: info, root: info.Name, nameLimit: metainfo.MaxName, suffix: "." + info.Hash.String()[:8] + ".part"}
	last := int32(-1)
	for i := range info.Files {
		f := &info.Files[i]
		// The author of a torrent can create a name that ends in the first digits of its
		// own infohash, but not in all of them.
		if len(l.suffix) < 40 && slices.ContainsFunc(f.Path, func(c string) bool {
			return len(c) >= len(l.suffix) && strings.EqualFold(c[len(c)-len(l.suffix):], l.suffix)
		}) {
			l.suffix = "." + info.Hash.String() + ".part"
		}
		if f.Pad || f.Length == 0 {
			continue
		}
		first, end := info.PiecesOf(i)
		if int32(first) == last && (len(l.shared) == 0 || l.shared[len(l.shared)-1] != last) {
			l.shared = append(l.shared, last)
		}
		last = int32(end - 1)
	}
	return l
}

// final returns the name of a complete file.
func (l *layout) final(i int) string {
	if name, ok := l.names[i]; ok {
		return name
	}
	return l.join(l.info.Files[i].Path)
}

// literal returns the name as spelled in the torrent, or "".
func (l *layout) literal(i int) string {
	if p := l.info.Files[i].Literal(); p != nil {
		if name := l.join(p); usable(name) {
			return name
		}
	}
	return ""
}

func (l *layout) join(path []string) string {
	if !l.info.IsMulti() {
		return filepath.Join(path...)
	}
	return filepath.Join(l.root, filepath.Join(path...))
}

// nameOf returns the name of the file or folder with this path in the torrent. A folder is
// where the first of its files is that has kept its place in it.
func (l *layout) nameOf(path []string) string {
	if len(l.names) == 0 {
		return l.join(path)
	}
	for i := range l.info.Files {
		p := l.info.Files[i].Path
		if l.info.Files[i].Pad || len(p) < len(path) || !slices.Equal(p[:len(path)], path) {
			continue
		}
		name := l.final(i)
		if len(p) == len(path) {
			return name
		}
		if folder, ok := strings.CutSuffix(name, string(filepath.Separator)+filepath.Join(p[len(path):]...)); ok {
			return folder
		}
	}
	return l.join(path)
}

// part returns the name of an incomplete file.
func (l *layout) part(i int) string {
	dir, base := filepath.Split(l.final(i))
	if len(base)+len(l.suffix) > l.nameLimit {
		n := strconv.Itoa(i)
		base = base[:l.nameLimit-len(l.suffix)-len(n)-1]
		for len(base) > 0 && !utf8.ValidString(base) {
			base = base[:len(base)-1]
		}
		base += "~" + n
	}
	return dir + base + l.suffix
}

// filesOf yields the stored files that overlap piece p.
func (l *layout) filesOf(p int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for sp := range l.info.PieceSpans(p) {
			if !l.info.Files[sp.File].Pad && !yield(sp.File) {
				return
			}
		}
	}
}

// slot returns the position of a shared piece in the parts file, and whether the piece is
// shared. The position depends only on the torrent, so that the parts file needs no table
// and survives any change of the selection.
func (l *layout) slot(p int) (off int64, ok bool) {
	i, ok := slices.BinarySearch(l.shared, int32(p))
	return int64(i) * l.info.PieceLength, ok
}
