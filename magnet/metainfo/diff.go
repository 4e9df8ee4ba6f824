package metainfo

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// ChangeKind says how a file differs between two torrents.
type ChangeKind uint8

const (
	FileAdded   ChangeKind = iota // only the new torrent has it
	FileRemoved                   // only the old torrent has it
	FileChanged                   // its size or its content differs
	FileUnknown                   // the size is the same, and the hashes do not say whether the content is
	FileRenamed                   // its path differs; in both torrents v2 says that its content is the same
)

// String returns the name of the kind, as it is written in JSON.
func (k ChangeKind) String() string {
	return [...]string{"added", "removed", "changed", "unknown", "renamed"}[k]
}

// FileChange is a file that differs between two torrents.
type FileChange struct {
	Kind     ChangeKind
	Path     string // in the torrent, with slashes
	From     string // the path in the old torrent if it was renamed, or ""
	Old, New int64  // size in bytes; 0 if the torrent does not have it
}

// Diff returns the files that differ between two versions of a torrent, sorted by path, and the number
// of those that are the same. It compares the hashes of files where both have them (v2), and otherwise
// those of the pieces. If the content of a file is in the old torrent under a path that the new one does
// not have, the file was renamed. Padding and folders are left out.
func Diff(before, after *Info) (changes []FileChange, same int) {
	byPath := map[string]int{}
	for i := range before.Files {
		if f := &before.Files[i]; !f.Pad && !f.Folder {
			byPath[strings.Join(f.Path, "/")] = i
		}
	}
	if !before.IsMulti() && !after.IsMulti() { // the name of the torrent is that of its only file
		byPath = map[string]int{strings.Join(after.Files[0].Path, "/"): 0}
	}
	for i := range after.Files {
		f := &after.Files[i]
		if f.Pad || f.Folder {
			continue
		}
		path := strings.Join(f.Path, "/")
		k, ok := byPath[path]
		if !ok {
			changes = append(changes, FileChange{Kind: FileAdded, Path: path, New: f.Length})
			continue
		}
		delete(byPath, path)
		if kind, differs := compareFiles(before, after, k, i); differs {
			changes = append(changes, FileChange{Kind: kind, Path: path, Old: before.Files[k].Length, New: f.Length})
		} else {
			same++
		}
	}
	removed := slices.Sorted(maps.Keys(byPath))
	if before.HasV2() && after.HasV2() {
		removed = findRenamed(changes, before, after, byPath, removed)
	}
	for _, path := range removed {
		changes = append(changes, FileChange{Kind: FileRemoved, Path: path, Old: before.Files[byPath[path]].Length})
	}
	slices.SortFunc(changes, func(a, b FileChange) int { return cmp.Compare(a.Path, b.Path) })
	return changes, same
}

// findRenamed makes added files that have the content of a removed one renamed files, and returns the
// other removed paths. byPath has the index of each of them.
func findRenamed(changes []FileChange, before, after *Info, byPath map[string]int, removed []string) []string {
	added := map[Root][]int{} // indices in changes
	roots := map[string]Root{}
	for i := range after.Files {
		f := &after.Files[i]
		roots[strings.Join(f.Path, "/")] = f.Root
	}
	for i := range changes {
		if c := &changes[i]; c.Kind == FileAdded && c.New > 0 {
			r := roots[c.Path]
			added[r] = append(added[r], i)
		}
	}
	return slices.DeleteFunc(removed, func(path string) bool {
		f := &before.Files[byPath[path]]
		list := added[f.Root]
		if f.Length == 0 || len(list) == 0 {
			return false
		}
		added[f.Root] = list[1:]
		c := &changes[list[0]]
		c.Kind, c.From, c.Old = FileRenamed, path, f.Length
		return true
	})
}

// FetchSize returns how many bytes of the new torrent are not in pieces that the old one has as well:
// in files that are the same, wherever they are, and at the same place in files with the same path. Of
// the other pieces, a client may still have blocks.
func FetchSize(before, after *Info) (n int64) {
	if before.LacksLayers() || after.LacksLayers() {
		return after.Payload()
	}
	byPath, byRoot := map[string]int{}, map[Root]bool{}
	for i := range before.Files {
		if f := &before.Files[i]; f.IsRegular() {
			byPath[strings.Join(f.Path, "/")] = i
			byRoot[f.Root] = before.HasV2()
		}
	}
	for i := range after.Files {
		f := &after.Files[i]
		if !f.IsRegular() || f.Length == 0 || after.HasV2() && byRoot[f.Root] {
			continue
		}
		path := strings.Join(f.Path, "/")
		k, ok := byPath[path]
		if !before.IsMulti() && !after.IsMulti() {
			k, ok = 0, true
		}
		size, was := after.PieceLength, &before.Files[k]
		if !ok || before.PieceLength != size || was.Offset%size != f.Offset%size || before.HasV1() != after.HasV1() {
			n += f.Length
			continue
		}
		old, _ := before.PiecesOf(k)
		first, end := after.PiecesOf(i)
		for p := first; p < end; p++ {
			q := old + p - first
			from, to := max(f.Offset, int64(p)*size), min(f.Offset+f.Length, int64(p+1)*size)
			if q >= before.NumPieces() || before.PieceSize(q) != after.PieceSize(p) || !samePiece(before, after, q, p) {
				n += to - from
			}
		}
	}
	return n
}

// samePiece reports whether the hashes say that piece q of one torrent is piece p of another.
func samePiece(before, after *Info, q, p int) bool {
	if before.HasV1() && after.HasV1() {
		return before.PieceHash(q) == after.PieceHash(p)
	}
	a, known := before.pieceRoot(q)
	b, also := after.pieceRoot(p)
	return known && also && a == b
}

// compareFiles reports whether a file of one torrent differs from one of another, given their indices.
func compareFiles(before, after *Info, k, i int) (kind ChangeKind, differs bool) {
	a, b := &before.Files[k], &after.Files[i]
	switch {
	case a.Length != b.Length || !slices.Equal(a.Symlink, b.Symlink) || (a.Symlink == nil) != (b.Symlink == nil):
		return FileChanged, true
	case a.Length == 0:
		return 0, false
	case before.HasV2() && after.HasV2():
		return FileChanged, a.Root != b.Root
	case !before.HasV1() || !after.HasV1() || before.PieceLength != after.PieceLength || a.Offset%before.PieceLength != b.Offset%before.PieceLength:
		return FileUnknown, true
	}
	return comparePieces(before, after, a, b)
}

// comparePieces compares two files of one size, whose pieces begin at the same places in them. The
// first and the last piece may also have data of other files.
func comparePieces(before, after *Info, a, b *File) (kind ChangeKind, differs bool) {
	size := before.PieceLength
	shift := b.Offset/size - a.Offset/size
	for p := a.Offset / size; p*size < a.Offset+a.Length; p++ {
		if before.PieceHash(int(p)) == after.PieceHash(int(p+shift)) {
			continue
		}
		if p*size >= a.Offset && (p+1)*size <= a.Offset+a.Length { // all of the piece is in the file
			return FileChanged, true
		}
		kind, differs = FileUnknown, true
	}
	return kind, differs
}
