package s3store

import (
	"context"
	"io"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
)

// open asks the store for a part of a file.
func (s *Storage) open(ctx context.Context, sp metainfo.Span) (io.ReadCloser, error) {
	at, err := s.where(ctx)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	o := objectstore.Object{Name: at.objectOf(s.info, sp.File), Size: s.info.Files[sp.File].Length, ETag: s.etags[sp.File]}
	s.mu.Unlock()
	body, etag, err := at.store.Read(ctx, o, sp.Offset, sp.Length)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	if got := (version{etag: hashETag(etag)}); s.objects[sp.File].etag != got.etag {
		s.objects[sp.File] = got
		s.unprove(s.info.PiecesOf(sp.File))
	}
	s.mu.Unlock()
	return body, nil
}

// openOrZeros is open, but if the store has no such object, or another one, it calls lacks and returns nil: zeros are hashed in its
// place. They may be right by chance, so the caller must not take them for the object.
func (s *Storage) openOrZeros(ctx context.Context, sp metainfo.Span, lacks func()) (io.ReadCloser, error) {
	body, err := s.open(ctx, sp)
	switch objectstore.KindOf(err) {
	case objectstore.Changed, objectstore.NotFound:
		lacks()
		return nil, nil
	}
	return body, err
}

// areBad reports whether all pieces of a part of a file are bad. mu is held.
func (s *Storage) areBad(sp metainfo.Span) bool {
	from := s.info.Files[sp.File].Offset + sp.Offset
	for p := from / s.info.PieceLength; p*s.info.PieceLength < from+sp.Length; p++ {
		if !s.bad.Has(int(p)) {
			return false
		}
	}
	return true
}

// lose records that the store does not have the object of a file. mu is held.
func (s *Storage) lose(file int) {
	s.objects[file].isLost = true
	first, end := s.info.PiecesOf(file)
	for p := first; p < end; p++ {
		s.bad.Add(p)
	}
}

// isLost reports whether the store did not have an object of a piece. mu is held.
func (s *Storage) isLost(piece int) bool {
	for sp := range s.info.PieceSpans(piece) {
		if s.objects[sp.File].isLost {
			return true
		}
	}
	return false
}
