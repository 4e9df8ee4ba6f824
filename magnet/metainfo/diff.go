package metainfo

import (
	"cmp"
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
)

// String returns the name of the kind, as it is written in JSON.
func (k ChangeKind) String() string {
	return [...]string{"added", "removed", "changed", "unknown"}[k]
}

// FileChange is a file that differs between two torrents.
type FileChange struct {
	Kind     ChangeKind
	Path     string // in the torrent, with slashes
	Old, New int64  // size in bytes; 0 if the torrent does not have it
}

// Diff returns the files that differ between two versions of a torrent, sorted by path, and the number
// of those that are the same. It compares the hashes of files where both have them (v2), and otherwise
// those of the pieces. Padding and folders are left out.
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
			changes = append(changes, FileChange{kind, path, before.Files[k].Length, f.Length})
		} else {
			same++
		}
	}
	for path, k := range byPath {
		changes = append(changes, FileChange{Kind: FileRemoved, Path: path, Old: before.Files[k].Length})
	}
	slices.SortFunc(changes, func(a, b FileChange) int { return cmp.Compare(a.Path, b.Path) })
	return changes, same
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
