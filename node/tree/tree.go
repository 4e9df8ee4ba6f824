// Package tree gives access to the files of one version of a publication as the publisher
// named them.
//
// A Tree lists paths, sizes and identities of the content, and opens files. Reading a file
// waits for data that is still being fetched, and returns only data that is verified. Open
// makes the Tree of a torrent whose files are plain. Other forms, whose names or contents are
// encoded in the torrent, make theirs with New.
//
// Paths have their components joined by slashes. They are safe: none is empty, absolute, or
// has a component "." or "..". They may contain every other byte but NUL.
package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"seedbed/internal/excerpt"
)

// ErrNoFile is returned for a path that is not a file of the tree.
var ErrNoFile = errors.New("there is no such file")

// A File is a file of a Tree.
type File struct {
	Path string
	Size int64 // in bytes
	// Identity identifies the content: two files with the same Identity have the same content.
	// It consists of letters, digits and hyphens. With BEP 52 it is the merkle root.
	Identity string
}

// A Reader reads a file, for one goroutine at a time. Read waits for missing data.
type Reader interface {
	io.ReadSeekCloser
	Size() int64
}

// An Opener opens the file with that index in the list that was passed to New.
type Opener func(ctx context.Context, index int) (Reader, error)

// Tree is the files of one version. Its methods may be called from any goroutine.
type Tree struct {
	name  string
	files []File  // in the order of compare
	index []int   // in the list that was passed to New
	sizes []int64 // sizes[i] is the size of files[:i]
	open  Opener
}

// New returns the tree of files in any order. name is that of the publication, for display. It
// returns an error if a path is not safe, occurs twice, or is both a file and a folder.
func New(name string, files []File, open Opener) (*Tree, error) {
	t := &Tree{name: name, open: open, index: make([]int, len(files)), files: make([]File, len(files)), sizes: make([]int64, len(files)+1)}
	for i := range files {
		if !isSafe(files[i].Path) {
			return nil, fmt.Errorf("the path %q is not safe", excerpt.Of(files[i].Path, maxShown))
		}
		t.index[i] = i
	}
	slices.SortFunc(t.index, func(a, b int) int { return compare(files[a].Path, files[b].Path) })
	for i, k := range t.index {
		t.files[i] = files[k]
		t.sizes[i+1] = t.sizes[i] + files[k].Size
		if i == 0 {
			continue
		}
		if last, path := t.files[i-1].Path, files[k].Path; path == last || strings.HasPrefix(path, last+"/") {
			return nil, fmt.Errorf("the path %q occurs twice", excerpt.Of(last, maxShown))
		}
	}
	return t, nil
}

// maxShown is how much of a path an error shows, in bytes.
const maxShown = 100

func isSafe(path string) bool {
	if strings.IndexByte(path, 0) >= 0 {
		return false
	}
	for part := range strings.SplitSeq(path, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return true
}

// compare orders paths by component, so that the files of a folder follow one another: "a/b"
// comes before "a-b".
func compare(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		switch {
		case a[i] == b[i]:
		case a[i] == '/':
			return -1
		case b[i] == '/':
			return 1
		default:
			return int(a[i]) - int(b[i])
		}
	}
	return len(a) - len(b)
}

// Name returns the name of the publication.
func (t *Tree) Name() string { return t.name }

// Len returns the number of files.
func (t *Tree) Len() int { return len(t.files) }

// Size returns the size of all files in bytes.
func (t *Tree) Size() int64 { return t.sizes[len(t.files)] }

// Files yields every file, by path.
func (t *Tree) Files() iter.Seq[File] { return slices.Values(t.files) }

// Lookup returns the file with that path.
func (t *Tree) Lookup(path string) (File, bool) {
	i, ok := t.find(path)
	if !ok {
		return File{}, false
	}
	return t.files[i], true
}

func (t *Tree) find(path string) (int, bool) {
	return slices.BinarySearchFunc(t.files, path, func(f File, path string) int { return compare(f.Path, path) })
}

// Open opens the file with that path until ctx ends. It returns ErrNoFile if there is none.
func (t *Tree) Open(ctx context.Context, path string) (Reader, error) {
	i, ok := t.find(path)
	if !ok {
		return nil, ErrNoFile
	}
	return t.open(ctx, t.index[i])
}

// An Entry is a file or a folder in a folder.
type Entry struct {
	Name     string
	IsFolder bool
	Files    int   // in the folder and those below it; 1 for a file
	Size     int64 // of these, in bytes
}

// HasFolder reports whether there is a folder with that path. "" is the top.
func (t *Tree) HasFolder(path string) bool {
	first, end := t.below(path)
	return path == "" || first < end
}

// below returns the range of the files below a folder.
func (t *Tree) below(path string) (first, end int) {
	if path == "" {
		return 0, len(t.files)
	}
	prefix := path + "/"
	first, _ = t.find(prefix)
	n, _ := slices.BinarySearchFunc(t.files[first:], prefix, func(f File, prefix string) int {
		if strings.HasPrefix(f.Path, prefix) {
			return -1
		}
		return 1
	})
	return first, first + n
}

// List yields the entries of a folder by name, folders and files among each other. It takes time
// for the entries of this folder only.
func (t *Tree) List(path string) iter.Seq[Entry] {
	return func(yield func(Entry) bool) {
		skip := len(path) + 1
		if path == "" {
			skip = 0
		}
		for i, end := t.below(path); i < end; {
			name, _, isFolder := strings.Cut(t.files[i].Path[skip:], "/")
			e := Entry{Name: name, Files: 1, Size: t.files[i].Size}
			next := i + 1
			if isFolder {
				_, next = t.below(t.files[i].Path[:skip+len(name)])
				e.IsFolder, e.Files, e.Size = true, next-i, t.sizes[next]-t.sizes[i]
			}
			if !yield(e) {
				return
			}
			i = next
		}
	}
}
