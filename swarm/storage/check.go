package storage

import (
	"context"
	"crypto/sha1"
	"path/filepath"
	"slices"
	"sync"

	"seedbed/internal/bitset"
	"seedbed/internal/piecehash"
	"seedbed/magnet/metainfo"
)

// Check hashes all existing data, on all cores, and returns the correct pieces; Have
// agrees with it from then on. The error ErrExists means that a file under a final name
// turned out not to belong to this torrent.
func (s *Storage) Check(ctx context.Context, progress func(done, total int64)) (bitset.Set, error) {
	all := bitset.New(s.info.NumPieces())
	all.Fill()
	return s.check(ctx, all, progress)
}

// CheckDoubtful checks only the doubtful pieces. It returns the same set as Have.
func (s *Storage) CheckDoubtful(ctx context.Context, progress func(done, total int64)) (bitset.Set, error) {
	return s.check(ctx, s.Doubtful(), progress)
}

// CheckPieces checks some pieces. It returns the same set as Have.
func (s *Storage) CheckPieces(ctx context.Context, pieces bitset.Set, progress func(done, total int64)) (bitset.Set, error) {
	return s.check(ctx, pieces.Clone(), progress)
}

// HashPiece reports whether piece p is on the disk and correct. buf is used for reading;
// it may have any length except 0.
func (s *Storage) HashPiece(p int, buf []byte) (bool, error) {
	s.places.RLock()
	defer s.places.RUnlock()
	if s.closed {
		return false, wrap("read", s.dir, errClosed)
	}
	ok, err := s.hashPiece(p, buf)
	return ok, s.failed(err)
}

func (s *Storage) hashPiece(p int, buf []byte) (bool, error) {
	h := s.info.NewPieceHash(p)
	off, size := int64(p)*s.info.PieceLength, s.info.DataSize(p)
	for size > 0 {
		b := buf[:min(int64(len(buf)), size)]
		if err := s.read(b, off); err != nil {
			return false, err
		}
		_, _ = h.Write(b)
		off, size = off+int64(len(b)), size-int64(len(b))
	}
	return h.Digest() == s.info.Digest(p), nil
}

func (s *Storage) check(ctx context.Context, set bitset.Set, progress func(done, total int64)) (bitset.Set, error) {
	var mu sync.Mutex
	good := bitset.New(set.Len())
	empty := bitset.New(set.Len()) // not all of the piece is there, or it is a hole
	var total int64
	for p := range set.All() {
		if s.info.IsPadding(p) {
			set.Remove(p)
			continue
		}
		total += s.info.DataSize(p)
	}
	zeros := sync.OnceValue(func() [20]byte { return zeroSum(s.info.PieceLength) })
	job := piecehash.Job{
		Pieces: set.All(), Total: total, Size: s.info.DataSize,
		Offset: func(p int) int64 { return int64(p) * s.info.PieceLength },
		Read:   s.checkRead, Advise: s.advise, Progress: progress,
		Known: func(p int) (sum metainfo.Digest, skip, ok bool) {
			s.places.RLock()
			there, hole := s.isPresent(p)
			s.places.RUnlock()
			if !there || hole {
				mu.Lock()
				empty.Add(p)
				mu.Unlock()
			}
			switch {
			case !there:
				return sum, true, true
			case !hole || !s.info.IsPlain(p):
				return sum, false, false
			}
			if n := s.info.PieceSize(p); n < s.info.PieceLength {
				return metainfo.Digest{V1: zeroSum(n)}, false, true
			}
			return metainfo.Digest{V1: zeros()}, false, true
		},
		Done: func(p int, sum metainfo.Digest, skip bool) {
			mu.Lock()
			defer mu.Unlock()
			switch {
			case skip:
				empty.Add(p)
			case sum == s.info.Digest(p):
				good.Add(p)
			}
		},
		Absent: func(err error) bool { kind := kindOf(err); return kind == Vanished || kind == Truncated },
	}
	if s.info.HasV2() || slices.ContainsFunc(s.info.Files, func(f metainfo.File) bool { return f.Pad }) {
		job.Begin = s.info.NewPieceHash
	}
	if err := job.Run(ctx); err != nil {
		return bitset.Set{}, s.failed(err)
	}
	if err := s.applyCheck(set, good); err != nil {
		return bitset.Set{}, s.failed(err)
	}
	s.noteOutdated(set, good, empty)
	return s.Have(), nil
}

// noteOutdated records which pieces of set hold other data than they should.
func (s *Storage) noteOutdated(set, good, empty bitset.Set) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.outdated.RemoveAll(set)
	for p := range set.All() {
		if !good.Has(p) && !empty.Has(p) {
			s.outdated.Add(p)
		}
	}
}

// Outdated returns the pieces that were complete on the disk when they were checked and had another hash:
// of an earlier version of a file, or damaged. Blocks in them may be right.
func (s *Storage) Outdated() bitset.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.outdated.Clone()
}

// checkRead is ReadAt, except that a failure does not have to be recovered from.
func (s *Storage) checkRead(b []byte, off int64) error {
	s.places.RLock()
	defer s.places.RUnlock()
	if s.closed {
		return wrap("read", s.dir, errClosed)
	}
	return s.read(b, off)
}

// zeroSum returns the SHA-1 of n zero bytes.
func zeroSum(n int64) [20]byte {
	h := sha1.New()
	b := make([]byte, min(n, piecehash.ReadSize))
	for ; n > 0; n -= int64(len(b)) {
		b = b[:min(n, int64(len(b)))]
		_, _ = h.Write(b)
	}
	return [20]byte(h.Sum(nil))
}

// isPresent reports whether every byte of a piece has a place, and if so, whether all of them
// are holes in sparse files. The caller holds places.
func (s *Storage) isPresent(p int) (there, hole bool) {
	hole = true
	for sp := range s.info.PieceSpans(p) {
		i := sp.File
		if s.info.Files[i].Pad {
			continue
		}
		if s.files[i].place == absent {
			if _, ok := s.slot(p); !ok || s.files[s.parts()].place == absent {
				return false, false
			}
			hole = false
			continue
		}
		if !hole {
			continue
		}
		h, fh, err := s.acquire(i)
		if err != nil {
			return true, false // the read will report the error
		}
		end := sp.Offset + sp.Length
		at, err := fh.NextData(sp.Offset)
		hole = err == nil && at >= end
		if hole {
			fi, err := fh.Stat()
			hole = err == nil && fi.Size() >= end
		}
		s.handles.put(h)
	}
	return true, hole
}

// advise tells the disk that a range of the torrent will be read soon.
func (s *Storage) advise(off, n int64) {
	s.places.RLock()
	defer s.places.RUnlock()
	for sp := range s.info.Spans(off, n) {
		if s.info.Files[sp.File].Pad || s.files[sp.File].place == absent {
			continue
		}
		h, fh, err := s.acquire(sp.File)
		if err != nil {
			return // the read will report the error
		}
		fh.WillRead(sp.Offset, sp.Length)
		s.handles.put(h)
	}
}

// applyCheck applies the result of checking set: pieces in good are verified, the others are
// not. A file under its final name belongs to the torrent if it has a good piece.
func (s *Storage) applyCheck(set, good bitset.Set) error {
	s.places.Lock()
	defer s.places.Unlock()
	err := s.dropChanged(set)
	s.mu.Lock()
	for p := range set.All() {
		s.doubt.Remove(p)
		switch {
		case !good.Has(p):
			s.synced.Remove(p)
			s.written.Remove(p)
			s.suspect.Remove(p)
		case !s.synced.Has(p):
			s.written.Add(p)
		}
	}
	s.changed = true
	s.mu.Unlock()
	for i := range s.info.Files {
		st := &s.files[i]
		if st.candidate {
			err = firstOf(err, s.decideOwnership(i))
		}
		if st.place == inFinal && !st.candidate && !s.o.ReadOnly && st.id != nil && st.version.size != s.info.Files[i].Length {
			err = firstOf(err, s.makeWritable(i)) // it is ours, but damaged
		}
	}
	s.mu.Lock()
	s.endDistrust()
	s.recount()
	s.mu.Unlock()
	s.markAllDirty()
	return err
}

// dropChanged removes from set the pieces of files that changed while they were hashed.
// They stay doubtful. The caller holds places.
func (s *Storage) dropChanged(set bitset.Set) (first error) {
	for i := range s.files {
		pieces := s.piecesIn(i)
		if s.files[i].place == absent || !slices.ContainsFunc(pieces, set.Has) {
			continue
		}
		if _, err := s.identify(i); err != nil {
			first = firstOf(first, err)
			s.mu.Lock()
			for _, p := range pieces {
				if set.Remove(p) {
					s.doubtPiece(p)
					s.changed = s.doubt.Add(p) || s.changed
				}
			}
			s.mu.Unlock()
		}
	}
	return first
}

// decideOwnership decides whether a file under its final name belongs to the torrent. With Options.Own it
// does: blocks in it may be right although no piece is.
func (s *Storage) decideOwnership(i int) error {
	st := &s.files[i]
	own := false // a piece that lies entirely in this file decides it
	s.mu.Lock()
	doubtful, right := false, false
	for p, end := s.info.PiecesOf(i); p < end && !doubtful && !right; p++ {
		doubtful, right = s.doubt.Has(p), s.synced.Has(p) || s.written.Has(p)
		if _, shared := s.slot(p); !shared {
			own = true
		}
	}
	s.mu.Unlock()
	switch {
	case doubtful:
		return nil
	case right, s.o.Own:
		st.candidate = false
		return nil
	}
	if st.id != nil && st.version.size == 0 {
		st.candidate = false
		return nil
	}
	if own && !s.o.Overwrite {
		return wrap("write", filepath.Join(s.dir, s.final(i)), ErrExists)
	}
	// Finish decides: the existing file will be compared or replaced.
	s.disown(i)
	return s.usePartsInstead(i)
}

// usePartsInstead checks whether the parts file has the data that a file of others, which was
// left alone, does not have.
func (s *Storage) usePartsInstead(i int) error {
	if s.files[s.parts()].place == absent {
		return nil
	}
	first, end := s.info.PiecesOf(i)
	for _, p := range []int{first, end - 1} {
		if there, _ := s.isPresent(p); !there {
			continue
		}
		ok, err := s.hashPiece(p, make([]byte, piecehash.ReadSize))
		if err != nil && kindOf(err) != Truncated && kindOf(err) != Vanished {
			return err
		}
		if ok {
			s.mu.Lock()
			if !s.synced.Has(p) {
				s.written.Add(p)
			}
			s.mu.Unlock()
		}
	}
	return nil
}

// markAllDirty marks all files with verified pieces as dirty, so that the next flush syncs
// them.
func (s *Storage) markAllDirty() {
	s.mu.Lock()
	var list []int
	for i := range s.files {
		if st := &s.files[i]; st.place != absent && !st.candidate {
			list = append(list, i)
		}
	}
	s.mu.Unlock()
	for _, i := range list {
		s.markDirty(i)
	}
}
