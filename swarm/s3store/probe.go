package s3store

import (
	"context"
	"io"

	"seedbed/internal/bitset"
	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
)

// An object with bad pieces that is replaced may be right now, or is another wrong one. Its pieces are not offered again
// before one of them was read: otherwise each of them would be offered, asked for, fetched and found to be wrong.

// maxProbes is how many pieces are read for that in one survey. The other objects are taken to be right until they are read.
const maxProbes = 16

// probe reads a piece of each of these files, whose objects have other versions than before. If it is right, the pieces of the
// file are good, except for those of missing. Otherwise they stay bad until the object is replaced again.
func (s *Storage) probe(ctx context.Context, at place, known map[string]objectstore.Object, replaced []int, missing bitset.Set) {
	good, bad := bitset.New(s.info.NumPieces()), missing
	var again []int
	for n, file := range replaced {
		piece, isAlone := s.probeOf(file)
		right, err := true, error(nil)
		if n < maxProbes {
			right, err = s.isRight(ctx, at, known, piece)
		}
		set := good
		if !right {
			set = bad
			if err != nil || !isAlone { // the next survey tries again
				again = append(again, file)
			}
		}
		for p, end := s.info.PiecesOf(file); p < end; p++ {
			set.Add(p)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad.RemoveAll(good)
	s.bad.AddAll(bad)
	for _, file := range again {
		s.objects[file] = version{}
	}
}

// probeOf returns the first piece of a file that has no bytes of other files, or its first one. Padding does not count as another file.
func (s *Storage) probeOf(file int) (piece int, isAlone bool) {
	first, end := s.info.PiecesOf(file)
	for p := first; p < end; p++ {
		isAlone = true
		for sp := range s.info.PieceSpans(p) {
			isAlone = isAlone && (sp.File == file || s.info.Files[sp.File].Pad)
		}
		if isAlone {
			return p, true
		}
	}
	return first, false
}

// isRight reads a piece of the objects that were listed, and reports whether its hash is right. An error means that it could not be
// read.
func (s *Storage) isRight(ctx context.Context, at place, known map[string]objectstore.Object, piece int) (bool, error) {
	if err := s.shared.begin(ctx); err != nil {
		return false, err
	}
	defer s.shared.end()
	ctx, cancel := context.WithCancel(ctx)
	src := newSource(s.info, int64(piece)*s.info.PieceLength, s.info.PieceSize(piece), func(sp metainfo.Span) (io.ReadCloser, error) {
		o, found := known[at.objectOf(s.info, sp.File)]
		if !found {
			return nil, nil
		}
		body, _, err := at.store.Read(ctx, o, sp.Offset, sp.Length)
		return body, err
	})
	defer src.close()
	defer cancel()
	buffer := s.shared.buffers.Get().(*[]byte)
	defer s.shared.buffers.Put(buffer)
	digest, err := hashPiece(src, s.info.NewPieceHash(piece), s.info, piece, *buffer, func([]byte, int64) error { return nil })
	return err == nil && digest == s.info.Digest(piece), err
}
