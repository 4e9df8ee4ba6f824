package s3store

import (
	"errors"
	"slices"

	"seedbed/swarm/storage"
)

const (
	// fetchedFree and fetchedFactor say when a torrent has read too much from the store for what was read of it: more
	// than fetchedFree bytes, and fetchedFactor times what was read. Then only pieces are fetched that somebody wants.
	fetchedFree   = 64 << 20
	fetchedFactor = 2
)

// Fetch reports whether ReadAt can read the range without the store, or will return why it cannot be read. Otherwise
// the range is fetched, and ready is called once, on another goroutine: with nil when it is worth asking again, or with
// the reason why the range cannot be fetched now, which is storage.ErrAway if the store does not work for a while. If wanted returns
// false when the fetch is about to begin, nothing is fetched. With a nil ready nothing is fetched at all.
func (s *Storage) Fetch(off, n int64, ready func(error), wanted func() bool) bool {
	switch {
	case s.fetch(off, n, waiter{ready, wanted, 0}):
		s.shared.hits.Add(1)
		return true
	case ready != nil:
		s.shared.misses.Add(1)
	}
	return false
}

func (s *Storage) fetch(off, n int64, w waiter) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true
	}
	for p := int(off / s.info.PieceLength); int64(p)*s.info.PieceLength < off+n; p++ {
		begin := int64(p) * s.info.PieceLength
		end := min(off+n, begin+s.info.PieceLength)
		if s.isLocal(p, end) {
			continue
		}
		if w.ready == nil {
			return false
		}
		unit := s.unitToFetch(p)
		from, _ := s.bounds(unit)
		w.end = end - from
		if s.fetches[unit] == nil && (s.isRefused(unit) || !s.shared.away.mayAsk()) {
			go w.ready(storage.ErrAway)
			return false
		}
		s.want(unit).wait(w)
		s.readAhead(s.blockOf(p), true)
		return false
	}
	s.readAhead(s.blockOf(int(off/s.info.PieceLength)), false)
	return true
}

// isLocal reports whether a piece up to an offset in the torrent can be read, or never will. mu is held.
func (s *Storage) isLocal(piece int, end int64) bool {
	fetching := false
	for _, unit := range [2]int{s.blockOf(piece), s.unitOf(piece)} {
		if f := s.fetches[unit]; f != nil {
			if begin, _ := s.bounds(unit); end <= begin+f.verified {
				return true
			}
			fetching = true
		} else if in, partial := s.isCached(unit); in && (!partial || s.wrong[unit] != nil) {
			return true
		}
	}
	return !fetching && s.bad.Has(piece)
}

// unitToFetch returns what is fetched for a piece that is not here: its block, unless the blocks that were fetched until now had
// much that nobody wanted, or the piece would have to wait for many small files. mu is held.
func (s *Storage) unitToFetch(piece int) int {
	block := s.blockOf(piece)
	if s.fetches[block] != nil || !s.isSparse() && !s.hasSmallFiles(block) {
		return block
	}
	return s.unitOf(piece)
}

// isSparse reports whether much was fetched that nobody wanted. mu is held.
func (s *Storage) isSparse() bool {
	return s.Usage.Read.Load()-s.compared.Load() > fetchedFree+fetchedFactor*s.served
}

// hasBad reports whether one of the pieces from first up to, and without, end is bad. mu is held.
func (s *Storage) hasBad(first, end int) bool {
	p := s.bad.Next(first)
	return p >= 0 && p < end
}

// ReadAt reads a range that Fetch has reported to be there. Otherwise the error is storage.ErrNotLocal. If the store does not have
// the bytes of the torrent, it is a *storage.Error of kind Changed.
func (s *Storage) ReadAt(b []byte, off int64) error {
	for len(b) > 0 {
		piece := int(off / s.info.PieceLength)
		n := min(int64(len(b)), int64(piece+1)*s.info.PieceLength-off)
		if err := s.readPiece(piece, b[:n], off); err != nil {
			return err
		}
		b, off = b[n:], off+n
	}
	return nil
}

// readPiece reads a part of a piece.
func (s *Storage) readPiece(piece int, b []byte, off int64) error {
	for _, unit := range [2]int{s.blockOf(piece), s.unitOf(piece)} {
		if ok, err := s.readUnit(unit, piece, b, off); ok || err != nil {
			return err
		}
	}
	s.mu.Lock()
	bad := s.bad.Has(piece)
	s.mu.Unlock()
	if bad {
		return s.changed(off, int64(len(b)))
	}
	return storage.ErrNotLocal
}

// readUnit reads a part of a piece from a unit, and reports whether it was there.
func (s *Storage) readUnit(unit, piece int, b []byte, off int64) (ok bool, err error) {
	begin, _ := s.bounds(unit)
	at, n := off-begin, int64(len(b))
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return false, s.fail("read", s.info.Name, errClosed)
	}
	if f := s.fetches[unit]; f != nil && at+n <= f.verified && !f.inCache {
		if slices.Contains(f.wrong, piece) {
			s.mu.Unlock()
			return false, s.changed(off, n)
		}
		f.readers.Add(1)
		s.served += n
		s.mu.Unlock()
		defer f.readers.Done()
		_, err := f.file.ReadAt(b, at)
		return err == nil, err
	}
	in, partial := s.isCached(unit)
	in = in && (!partial || s.wrong[unit] != nil && !slices.Contains(s.wrong[unit], piece))
	s.mu.Unlock()
	if !in {
		return false, nil
	}
	err = s.shared.Cache.readAt(s.key(unit), b, at)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil:
		s.served += n
		delete(s.damaged, unit)
	case errors.Is(err, errDamaged):
		s.damaged[unit] = min(max(2*s.damaged[unit], retryFirst), retryLongest)
	}
	return err == nil, nil
}
