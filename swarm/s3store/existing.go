package s3store

import (
	"context"
	"io"
	"sync"

	"seedbed/internal/await"
	"seedbed/internal/bitset"
	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
)

// What the store has already is not downloaded from peers. It is hashed once, and then read from the store.

// findExisting finds out which pieces the store has, besides those that are here, and hashes them. It calls progress, which may be
// nil, with numbers of bytes. What cannot be read now is downloaded.
func (w *Writer) findExisting(ctx context.Context, local bitset.Set, progress func(done, total int64)) error {
	s := w.remote
	if err := s.survey(ctx); err != nil {
		if objectstore.KindOf(err) == objectstore.Unavailable { // what was hashed before is taken to be there
			err = nil
		}
		return err
	}
	s.restoreProven(w.log)
	pieces := s.unproven(local)
	var total, done int64
	for p := range pieces.All() {
		total += w.o.Info.DataSize(p)
	}
	for attempt := range 2 { // a fault on the way may have changed what was wrong once
		if pieces.Count() == 0 {
			break
		}
		if attempt > 0 {
			if err := await.Sleep(ctx, doubtTime); err != nil {
				return err
			}
		}
		wrong := bitset.New(pieces.Len())
		err := w.hashExisting(ctx, pieces, func(p int, right bool) {
			if !right {
				wrong.Add(p)
			}
			if done = min(total, done+w.o.Info.DataSize(p)); progress != nil {
				progress(done, total)
			}
		})
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil { // the store does not work, or lists what it does not let us read
			return nil
		}
		pieces = wrong
	}
	s.mu.Lock()
	s.bad.AddAll(pieces)
	s.mu.Unlock()
	return s.recordProven(w.log)
}

// hashExisting hashes pieces in the store. It calls done for each of them, never concurrently.
func (w *Writer) hashExisting(ctx context.Context, pieces bitset.Set, done func(p int, right bool)) error {
	s := w.remote
	var mu sync.Mutex
	lost := bitset.New(len(w.o.Info.Files)) // files whose objects cannot be read
	h := hasher{info: w.o.Info, newHash: w.o.Info.NewPieceHash, places: w.o.Shared.places,
		open: func(ctx context.Context, sp metainfo.Span) (io.ReadCloser, error) {
			return s.openOrZeros(ctx, sp, func() {
				mu.Lock()
				lost.Add(sp.File)
				mu.Unlock()
			})
		},
		done: func(p int, d metainfo.Digest) {
			s.compared.Add(w.o.Info.DataSize(p))
			right := d == w.o.Info.Digest(p)
			mu.Lock()
			defer mu.Unlock()
			for sp := range w.o.Info.PieceSpans(p) { // the file may be zeros
				right = right && !lost.Has(sp.File)
			}
			if right {
				s.mu.Lock()
				s.proven.Add(p)
				s.mu.Unlock()
			}
			done(p, right)
		}}
	return h.run(ctx, pieces)
}

// unproven returns the pieces of listed objects that are neither hashed nor here.
func (s *Storage) unproven(local bitset.Set) bitset.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	pieces := s.info.Wanted(nil).Clone()
	pieces.RemoveAll(local)
	pieces.RemoveAll(s.proven)
	pieces.RemoveAll(s.bad)
	return pieces
}

// restoreProven marks the pieces as hashed whose objects an earlier run has hashed and that have not changed since.
func (s *Storage) restoreProven(log *uploadLog) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prove(func(file int) bool { return s.objects[file].etag != 0 && log.hashed(file) == s.objects[file].etag })
}

// prove marks the pieces as hashed whose files are all hashed. mu is held.
func (s *Storage) prove(isHashed func(file int) bool) {
	files := bitset.New(len(s.info.Files))
	for i := range s.info.Files {
		if f := &s.info.Files[i]; f.IsRegular() && f.Length > 0 && isHashed(i) {
			files.Add(i)
		}
	}
	for file := range files.All() {
		first, end := s.info.PiecesOf(file)
		for p := first; p < end; p++ {
			all := true
			for sp := range s.info.PieceSpans(p) {
				all = all && (files.Has(sp.File) || s.info.Files[sp.File].Pad)
			}
			if all {
				s.proven.Add(p)
			}
		}
	}
}

// recordProven records the objects that were hashed, as far as others that share pieces with them exist.
func (s *Storage) recordProven(log *uploadLog) error {
	for file := range s.info.Files {
		f := &s.info.Files[file]
		if !f.IsRegular() || f.Length == 0 {
			continue
		}
		s.mu.Lock()
		etag := s.objects[file].etag
		isHashed := etag != 0 && s.isHashed(file)
		s.mu.Unlock()
		if isHashed && log.hashed(file) != etag {
			if err := log.noteHashed(file, etag); err != nil {
				return err
			}
		}
	}
	return nil
}

// isHashed reports whether the pieces of a file are hashed, except for those that lack another file. mu is held.
func (s *Storage) isHashed(file int) bool {
	some := false
	first, end := s.info.PiecesOf(file)
	for p := first; p < end; p++ {
		if s.proven.Has(p) {
			some = true
			continue
		}
		lacks := false
		for sp := range s.info.PieceSpans(p) {
			lacks = lacks || !s.info.Files[sp.File].Pad && s.objects[sp.File].etag == 0
		}
		if !lacks {
			return false
		}
	}
	return some
}
