package stream

import (
	"context"
	"net/http"
	"path"

	"seedbed/node"
	"seedbed/node/tree"
)

// File is a file of a Source.
type File struct {
	Number int    // from 1
	Path   string // with slashes
	Size   int64  // in bytes
}

// Source has the files that a Server serves. Its methods may be called from any goroutine.
type Source interface {
	// Name returns the name to show.
	Name() string
	// Files returns the files to list. isKnown is false until the metadata is known.
	Files() (files []File, isKnown bool)
	// Open opens the file with that number until ctx ends, and sets the headers that describe it.
	// It returns node.ErrNoFile if there is none.
	Open(ctx context.Context, number int, h http.Header) (Content, error)
}

// OfTorrent returns the source of the selected files of a torrent.
func OfTorrent(t *node.Torrent) Source { return torrentSource{t} }

type torrentSource struct{ *node.Torrent }

// Files implements Source.
func (s torrentSource) Files() (files []File, isKnown bool) {
	info, paths := s.Info(), s.FilePaths()
	if info == nil {
		return nil, false
	}
	for _, i := range s.Torrent.Files() {
		if i < len(paths) { // otherwise it was removed
			files = append(files, File{info.FileNumber(i), paths[i], info.Files[i].Length})
		}
	}
	return files, true
}

// Open implements Source.
func (s torrentSource) Open(ctx context.Context, number int, h http.Header) (Content, error) {
	info := s.Info()
	if info == nil {
		return nil, node.ErrNoMetadata
	}
	index, ok := info.FileIndex(number)
	if !ok {
		return nil, node.ErrNoFile
	}
	return openFile(ctx, s.Torrent, index, false, h)
}

// OfTree returns the source of the files of a private publication. They are numbered by their paths.
func OfTree(t *tree.Tree) Source {
	s := treeSource{Tree: t}
	for f := range t.Files() {
		s.files = append(s.files, f)
		s.listed = append(s.listed, File{len(s.files), f.Path, f.Size})
	}
	return s
}

type treeSource struct {
	*tree.Tree
	files  []tree.File
	listed []File
}

// Files implements Source.
func (s treeSource) Files() (files []File, isKnown bool) { return s.listed, true }

// Open implements Source.
func (s treeSource) Open(ctx context.Context, number int, h http.Header) (Content, error) {
	if number < 1 || number > len(s.files) {
		return nil, node.ErrNoFile
	}
	f := s.files[number-1]
	c, err := s.Tree.Open(ctx, f.Path)
	if err != nil {
		return nil, err
	}
	describe(h, path.Base(f.Path), f.Identity, false)
	return c, nil
}
