package metainfo

import (
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// resolveClashes gives new paths to files whose path another file or a directory has,
// according to the rules of a file system.
func resolveClashes(files []File, r NameRules) {
	t := newTree(len(files), r.Fold)
	for k := range files {
		switch f := &files[k]; {
		case f.Pad:
		case f.Folder:
			t.dir(append(f.Path[:len(f.Path):len(f.Path)], ""))
		default:
			t.dir(f.Path)
		}
	}
	// First add every file that can keep its name, then give new names to the others.
	var clashing []int
	for k := range files {
		if f := &files[k]; !f.Pad && !f.Folder && !t.file(f.Path) {
			clashing = append(clashing, k)
		}
	}
	tried := map[edge]int{} // numbers in use, by the name that is numbered
	for _, k := range clashing {
		f := &files[k]
		path := slices.Clone(f.Path)
		last := len(path) - 1
		base, ext := splitExt(path[last])
		clash := edge{t.dir(path), t.fold(path[last])}
		for {
			tried[clash]++
			// The same numbering as libtorrent's, so that its data is found.
			path[last] = base + "." + strconv.Itoa(tried[clash]) + ext
			if limit := r.limit(); len(path[last]) > limit {
				path[last] = shortenTo(path[last], limit)
			}
			if t.file(path) {
				break
			}
		}
		if f.Spelled == nil {
			f.Spelled = f.Path
		}
		f.Path = path
	}
}

// splitExt splits a name at its last dot, if that leaves a base.
func splitExt(s string) (base, ext string) {
	if dot := strings.LastIndexByte(s, '.'); dot > 0 {
		return s[:dot], s[dot:]
	}
	return s, ""
}

// tree holds the directories and files of a torrent by name, folded if caser is set.
type tree struct {
	nodes map[edge]int32 // number of a directory; 0 for a file
	dirs  int32          // directories except the root
	prev  []string       // the directory that dir saw last; prevN is its number
	prevN int32
	caser *cases.Caser // folds names; nil if the tree does not. Not safe for concurrent use
}

type edge struct {
	dir  int32 // the root is 1
	name string
}

func newTree(size int, fold bool) *tree {
	t := &tree{nodes: make(map[edge]int32, size)}
	if fold {
		c := cases.Fold()
		t.caser = &c
	}
	return t
}

// dir adds the directories above path and returns the number of the innermost.
func (t *tree) dir(path []string) int32 {
	dirs := path[:len(path)-1]
	if t.prevN != 0 && slices.Equal(dirs, t.prev) {
		return t.prevN
	}
	at := int32(1)
	for _, s := range dirs {
		e := edge{at, t.fold(s)}
		n, ok := t.nodes[e]
		if !ok {
			t.dirs++
			n = t.dirs + 1
			t.nodes[e] = n
		}
		at = n
	}
	t.prev, t.prevN = dirs, at
	return at
}

// file adds a file. It returns false if its path is taken.
func (t *tree) file(path []string) bool {
	e := edge{t.dir(path), t.fold(path[len(path)-1])}
	if _, taken := t.nodes[e]; taken {
		return false
	}
	t.nodes[e] = 0
	return true
}

// FoldName maps names that some file system considers equal to the same string.
func FoldName(s string) string {
	c := cases.Fold()
	return (&tree{caser: &c}).fold(s)
}

// fold maps names that some file system considers equal to the same string: Unicode's
// canonical caseless matching (D145), without the invisible characters that HFS+ ignores.
func (t *tree) fold(s string) string {
	if t.caser == nil {
		return s
	}
	ascii, lower := true, true
	for _, c := range []byte(s) {
		ascii = ascii && c < 0x80
		lower = lower && (c < 'A' || c > 'Z')
	}
	switch {
	case ascii && lower:
		return s
	case ascii:
		return strings.ToLower(s)
	}
	s = strings.Map(func(r rune) rune {
		if 0x200b <= r && r <= 0x200f || 0x206a <= r && r <= 0x206f || r == 0xfeff {
			return -1
		}
		return r
	}, s)
	return norm.NFD.String(t.caser.String(norm.NFD.String(s)))
}
