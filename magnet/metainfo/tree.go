package metainfo

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"

	"seedbed/internal/bencode"
)

// leaf is a file of a file tree (BEP 52).
type leaf struct {
	path                          []string // as spelled in the torrent
	length, attr, symlink, pieces bencode.Value
}

// walkTree calls do for each file of a file tree, in order.
func walkTree(v bencode.Value, path []string, do func(leaf) *Error) *Error {
	bad := func(reason string) *Error { return &Error{Field: "file tree", Part: joined(path), Reason: reason} }
	if v.Kind() != bencode.Dict {
		return bad("is not a dictionary")
	}
	if len(path) > MaxDepth {
		return bad(fmt.Sprintf("is more than %d directories deep", MaxDepth))
	}
	file, entries := false, 0
	var before []byte
	for key, val := range v.Dict() {
		if entries > 0 && bytes.Compare(before, key) >= 0 {
			return bad("has names that are not in order") // clients would differ in the order of the files
		}
		before = key
		entries++
		if len(key) > 0 {
			if file {
				return bad("is a file and a directory") // BEP 52: "it must not have any sibling entries"
			}
			if err := walkTree(val, append(path[:len(path):len(path)], string(key)), do); err != nil {
				return err
			}
			continue
		}
		file = true
		if len(path) == 0 {
			return bad("is a file itself")
		}
		if val.Kind() != bencode.Dict {
			return bad("is not described by a dictionary")
		}
		l := leaf{path: path}
		for key, val := range val.Dict() {
			switch string(key) {
			case "attr":
				l.attr = val
			case "length":
				l.length = val
			case "pieces root":
				l.pieces = val
			case "symlink path":
				l.symlink = val
			}
		}
		if err := do(l); err != nil {
			return err
		}
	}
	if entries == 0 {
		return bad("is an empty directory")
	}
	return nil
}

// root parses the merkle root of a file.
func (l *leaf) root(length int64) (r Root, bad string) {
	b, ok := l.pieces.Bytes()
	switch {
	case length == 0:
		return r, "" // BEP 52: it has none
	case l.pieces == nil:
		return r, "is missing"
	case !ok || len(b) != len(r):
		return r, fmt.Sprintf("is not a string of %d bytes", len(r))
	}
	return Root(b), ""
}

// readTree parses the files of a v2-only torrent. Each starts a new piece (BEP 52: "each
// non-empty file is aligned to a piece boundary"); the space between them is padding, as
// with hybrids.
func (i *Info) readTree(v bencode.Value) error {
	name, single := "", 0
	err := walkTree(v, nil, func(l leaf) *Error {
		attrs, _ := l.attr.Bytes()
		if len(i.Files) >= MaxFiles {
			return &Error{Field: "file tree", Reason: fmt.Sprintf("has more than %d files", MaxFiles)}
		}
		file := File{Executable: bytes.IndexByte(attrs, 'x') >= 0}
		file.treePath(l.path)
		if isSymlink(attrs, l.symlink) {
			file.Symlink, l.length = linkTarget(l.symlink), noBytes
		}
		if rest := i.Length % i.PieceLength; rest != 0 {
			if n, _ := l.length.Int(); n > 0 {
				gap := i.PieceLength - rest
				i.Files = append(i.Files, File{Path: []string{".pad", strconv.FormatInt(gap, 10)}, Offset: i.Length, Length: gap, Pad: true})
				i.Length += gap
			}
		}
		if e := i.add(file, l.length); e != nil {
			e.Field, e.Part = "length", joined(l.path)
			return e
		}
		f := &i.Files[len(i.Files)-1]
		var bad string
		if f.Root, bad = l.root(f.Length); bad != "" {
			return &Error{Field: "pieces root", Part: joined(l.path), Reason: bad}
		}
		single++
		if len(l.path) == 1 {
			name = f.Path[0]
		}
		return nil
	})
	if err != nil {
		return err
	}
	if single == 1 && name == i.Name { // {name: {"": ...}} is a single file
		return nil
	}
	i.multi = true
	return nil
}

// treePath sets the paths of a file from those of a file tree.
func (f *File) treePath(raw []string) {
	same := true
	for _, c := range raw {
		safe := component(c)
		same = same && safe == c
		if safe != "" {
			f.Path = append(f.Path, safe)
		}
	}
	if !f.fitPath() || !same {
		f.Spelled = slices.Clone(raw)
	}
}

// matchTree compares the v2 files of a hybrid with the v1 files and takes the roots. BEP
// 52: "they must validate that the content (file names, order, piece alignment) is
// identical".
func (i *Info) matchTree(v bencode.Value, name string) error {
	k := 0
	differ := func(part []string) *Error {
		return &Error{Field: "file tree", Part: joined(part), Reason: "differs between the v1 and the v2 side"}
	}
	err := walkTree(v, nil, func(l leaf) *Error {
		for k < len(i.Files) && i.Files[k].Pad {
			k++
		}
		n, bad := integer(l.length)
		if k < len(i.Files) && i.Files[k].Symlink != nil {
			n, bad = 0, ""
		}
		if k == len(i.Files) || bad != "" || i.Files[k].Length != n {
			return differ(l.path)
		}
		f := &i.Files[k]
		if n > 0 && f.Offset%i.PieceLength != 0 {
			return differ(l.path)
		}
		if !i.multi && (len(l.path) != 1 || l.path[0] != name) {
			return differ(l.path)
		}
		if i.multi {
			if i.raw[k] != joined(l.path) {
				return differ(l.path)
			}
		}
		if f.Root, bad = l.root(n); bad != "" {
			return &Error{Field: "pieces root", Part: joined(l.path), Reason: bad}
		}
		k++
		return nil
	})
	i.raw = nil
	if err != nil {
		return err
	}
	for ; k < len(i.Files); k++ {
		if !i.Files[k].Pad {
			return differ(i.Files[k].Path)
		}
	}
	return nil
}
