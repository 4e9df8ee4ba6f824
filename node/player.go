package node

import (
	"cmp"
	"slices"
	"sync"

	"seedbed/magnet/metainfo"
)

// defaultReadAhead is how far ahead of a reader a torrent downloads before everything else, in
// bytes, unless Spec.ReadAhead says otherwise.
const defaultReadAhead = 16 << 20

// player decides which pieces of a torrent to fetch first, because its files are being read: the
// next ones for each reader, nearest first. With Spec.ReadAhead it fetches no others: if a reader
// stops reading, for example because the user has paused, only its read-ahead is fetched.
type player struct {
	t     *Torrent
	ahead int64 // bytes
	only  bool  // no other pieces are fetched
	cache bool  // Spec.Cache

	mu      sync.Mutex
	opened  int           // readers that are not closed
	readers []*FileReader // in the order of their last read
	rest    []window      // windows to fetch while there is no reader, if nothing else is fetched
	focus   []uint32      // the pieces last passed to the swarm; nil: no focus
	pieces  chan struct{} // closed when a piece may have arrived

	stored storedData
}

// window is a range of pieces, [first, end).
type window struct{ first, end uint32 }

// newPlayer returns the player of a torrent. ahead is Spec.ReadAhead, and cache Spec.Cache.
func newPlayer(t *Torrent, ahead int64, cache bool) *player {
	p := &player{t: t, ahead: cmp.Or(ahead, defaultReadAhead), only: ahead > 0, cache: cache, pieces: make(chan struct{})}
	if p.only {
		p.focus = []uint32{}
	}
	return p
}

// attach passes the pieces to fetch to the swarm of a run that has just started.
func (p *player) attach(r *run) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pass(r)
}

func (p *player) pass(r *run) { r.swarm.SetFocus(p.focus, !p.only) }

// begin requests the first pieces of the largest file, where a player starts, and its last
// piece, where many containers have their index.
func (p *player) begin(info *metainfo.Info) {
	if !p.only || p.cache {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	files := p.t.Files()
	if len(files) == 0 {
		return
	}
	f := slices.MaxFunc(files, func(a, b int) int { return cmp.Compare(info.Files[a].Length, info.Files[b].Length) })
	if first, end := info.PiecesOf(f); first < end {
		p.rest = []window{p.from(info, f, 0), {uint32(end - 1), uint32(end)}}
	}
	p.update()
}

// from returns the window of a reader at position pos of a file.
func (p *player) from(info *metainfo.Info, file int, pos int64) window {
	f := &info.Files[file]
	last := min(pos+p.ahead, f.Length) - 1
	if last < pos {
		return window{}
	}
	return window{uint32((f.Offset + pos) / info.PieceLength), uint32((f.Offset+last)/info.PieceLength) + 1}
}

// update passes the pieces to fetch to the swarm if they have changed. mu is held.
func (p *player) update() {
	var order []uint32
	if p.only || len(p.readers) > 0 {
		var all []window
		for _, r := range p.readers {
			all = append(all, r.window)
		}
		if len(all) == 0 {
			all = p.rest
		}
		slices.Reverse(all) // the latest reader comes first
		order = interleave(all)
	}
	if slices.Equal(order, p.focus) && (order == nil) == (p.focus == nil) {
		return
	}
	p.focus = order
	if r := p.t.run.Load(); r != nil {
		p.pass(r)
	}
}

// interleave returns the pieces of all windows: the first piece of each window, then
// the second of each, and so on.
func interleave(ws []window) []uint32 {
	order := []uint32{}
	seen := map[uint32]struct{}{} // a gateway may have hundreds of readers
	for i, more := uint32(0), true; more; i++ {
		more = false
		for _, w := range ws {
			piece := w.first + i
			if piece >= w.end {
				continue
			}
			more = true
			if _, dup := seen[piece]; !dup {
				seen[piece] = struct{}{}
				order = append(order, piece)
			}
		}
	}
	return order
}

// open counts a reader.
func (p *player) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.opened++
}

// isRead reports whether a reader is open, or only what readers need is fetched.
func (p *player) isRead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.only || p.opened > 0
}

// moved records the position of r.
func (p *player) moved(r *FileReader, w window) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r.window == w {
		return
	}
	r.window = w
	if !slices.Contains(p.readers, r) {
		p.readers = append(p.readers, r)
	}
	p.update()
}

// left removes r. If r was the last reader and nothing else is fetched, its window is still
// fetched, because players reconnect and continue at the same position.
func (p *player) left(r *FileReader) {
	p.mu.Lock()
	p.opened--
	last := p.opened == 0
	if i := slices.Index(p.readers, r); i >= 0 {
		p.readers = slices.Delete(p.readers, i, i+1)
		if p.only {
			p.rest = []window{r.window}
		}
		p.update()
	}
	p.mu.Unlock()
	if last {
		p.stored.close(p.t)
	}
}

// changed wakes all goroutines that wait for a piece.
func (p *player) changed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.pieces)
	p.pieces = make(chan struct{})
}

// next returns a channel that is closed when a piece may have arrived.
func (p *player) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.pieces
}

// IsCache reports whether the torrent was added with Spec.Cache.
func (t *Torrent) IsCache() bool {
	p := t.player.Load()
	return p != nil && p.cache
}

// isRead reports whether the torrent must keep running for its readers.
func (t *Torrent) isRead() bool {
	p := t.player.Load()
	return p != nil && p.isRead()
}

// wakeReaders wakes the readers of the torrent, if there are any.
func (t *Torrent) wakeReaders() {
	if p := t.player.Load(); p != nil {
		p.changed()
	}
}

// noteAction tells the readers of the torrent that its worker has done something.
func (t *Torrent) noteAction() {
	if p := t.player.Load(); p != nil {
		p.stored.outdated.Store(true)
		p.changed()
	}
}
