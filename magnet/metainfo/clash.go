package metainfo

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// resolveClashes gives new names to files that would be stored under a path
// that another file or a directory has, as some file systems see it.
func resolveClashes(files []File, sys system) error {
	t := newTree(len(files))
	for k := range files {
		if !files[k].Pad {
			t.dir(files[k].Path)
		}
	}
	// Every file that can have its own name has it before others get new ones.
	var late []int
	for k := range files {
		if !files[k].Pad && !t.file(files[k].Path) {
			late = append(late, k)
		}
	}
	tries := 0
	for _, k := range late {
		f := &files[k]
		path := slices.Clone(f.Path)
		last := len(path) - 1
		base, ext := splitExt(path[last])
		for n := 1; ; n++ {
			if tries++; tries > maxClashes {
				return &Error{Field: "files[" + strconv.Itoa(k) + "].path", Part: joined(f.Path),
					Reason: fmt.Sprintf("is one of very many names that are taken (more than %d)", maxClashes)}
			}
			// As libtorrent does it, so that its data is found.
			path[last] = base + "." + strconv.Itoa(n) + ext
			if len(path[last]) > MaxName {
				path[last] = shorten(path[last])
			}
			if t.file(path) {
				if f.Literal == nil {
					f.Literal = sys.literal(f.Path, path)
				}
				f.Path = path
				break
			}
		}
	}
	return nil
}

// splitExt splits a name before its last dot, if that leaves a base.
func splitExt(s string) (base, ext string) {
	if dot := strings.LastIndexByte(s, '.'); dot > 0 {
		return s[:dot], s[dot:]
	}
	return s, ""
}

// tree is the directories and files of a torrent by folded names.
type tree struct {
	nodes  map[edge]int32 // to a directory's number; 0 is a file
	dirs   int32          // directories but the root
	prev   []string       // the directory that dir saw last, and its number
	prevN  int32
	folder cases.Caser // not for several goroutines, so each tree has its own
}

type edge struct {
	dir  int32 // the root is 1
	name string
}

func newTree(size int) *tree {
	return &tree{nodes: make(map[edge]int32, size), folder: cases.Fold()}
}

// dir enters the directories above path and returns the number of the nearest.
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

// file enters a file; false means that its path is taken.
func (t *tree) file(path []string) bool {
	e := edge{t.dir(path), t.fold(path[len(path)-1])}
	if _, taken := t.nodes[e]; taken {
		return false
	}
	t.nodes[e] = 0
	return true
}

// fold maps names that some file system holds to be equal to one string:
// Unicode's canonical caseless matching (D145), and without the invisible
// characters that HFS+ ignores.
func (t *tree) fold(s string) string {
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
	return norm.NFD.String(t.folder.String(norm.NFD.String(s)))
}
