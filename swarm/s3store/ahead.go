package s3store

// maxAhead is how many blocks are read ahead of a reader. Other readers of the torrent have the rest of its fetches.
const maxAhead = fetchesOfOne / 2

// reading is a block that somebody reads.
type reading struct {
	mark  int // its number, plus 1
	ahead int // how many blocks after it are fetched, if it is read after the one before
}

// readAhead fetches the blocks after one that is wanted, if the one before was wanted recently. It is one block, and twice as many each
// time that such a reader has to wait for a block: the store takes long to answer. mu is held.
func (s *Storage) readAhead(block int, waits bool) {
	next := reading{mark: block + 1, ahead: 1}
	follows := false
	for _, r := range s.recent {
		if r.mark == next.mark { // it was noticed before
			return
		}
		if r.mark == block && block > 0 {
			follows = true
			next.ahead = max(next.ahead, r.ahead)
		}
	}
	if follows && waits {
		next.ahead = min(2*next.ahead, maxAhead)
	}
	s.recent[s.next] = next
	s.next = (s.next + 1) % recentBlocks
	if !follows || s.isSparse() || s.shared.Cache.isLimited() {
		return
	}
	for after := block + 1; after <= block+next.ahead && after < s.numBlocks() && s.running < fetchesOfOne; after++ {
		if in, _ := s.isCached(after); !in && s.fetches[after] == nil && !s.isRefused(after) && !s.hasBad(s.pieces(after)) &&
			!s.hasSmallFiles(after) {
			s.want(after)
		}
	}
}

// giveUp ends the fetches that are chosen, and reports whether there were any. choose is called with mu held.
func (s *Storage) giveUp(choose func(*fetch) bool) bool {
	s.mu.Lock()
	var chosen []*fetch
	for _, f := range s.fetches {
		if choose(f) {
			f.givenUp = true
			chosen = append(chosen, f)
		}
	}
	s.mu.Unlock()
	for _, f := range chosen {
		f.stop()
		<-f.done
	}
	return len(chosen) > 0
}

// makeRoom makes room for a block of this size because the disk is full. What is read ahead gives way to what somebody waits for. The
// error is errUnwanted if the block itself is ahead, or full if there was nothing to remove.
func (f *fetch) makeRoom(size int64, full error) error {
	s := f.s
	s.mu.Lock()
	isAhead := f.isAhead
	s.mu.Unlock()
	if isAhead {
		s.shared.Cache.makeRoom(size, 0)
		return errUnwanted
	}
	gaveUp := s.giveUp(func(other *fetch) bool { return other.isAhead })
	if !s.shared.Cache.makeRoom(size, 2) && !gaveUp {
		return full
	}
	return nil
}
