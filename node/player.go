package node

import (
	"cmp"
	"slices"
	"sync"

	"seedbed/magnet/metainfo"
	"seedbed/swarm"
)

// A player decides what to fetch of a torrent whose files are played: only what comes
// next for each reader, the nearest first. When a reader stops reading, because its
// player is paused, it keeps the data ahead of it and fetches no more.
type player struct {
	t     *Torrent
	ahead int64 // bytes

	mu      sync.Mutex
	swarm   *swarm.Torrent // of the last run
	info    *metainfo.Info
	readers []*FileReader // in the order of their last read
	rest    []window      // what to keep available while there is no reader
	told    []uint32
	pieces  chan struct{} // closed when a piece may have arrived
}

// window is a range of pieces, [first, end).
type window struct{ first, end uint32 }

func newPlayer(t *Torrent, ahead int64) *player {
	return &player{t: t, ahead: ahead, told: []uint32{}, pieces: make(chan struct{})}
}

// attach sets what a swarm that has just started fetches.
func (p *player) attach(s *swarm.Torrent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.swarm = s
	s.SetFocus(p.told)
}

// begin requests the start of the largest file, where every player starts, and
// its end, where many containers have their index.
func (p *player) begin(info *metainfo.Info) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.info = info
	files := p.t.Files()
	if len(files) == 0 {
		return
	}
	f := slices.MaxFunc(files, func(a, b int) int { return cmp.Compare(info.Files[a].Length, info.Files[b].Length) })
	if first, end := info.PiecesOf(f); first < end {
		p.rest = []window{p.from(f, 0), {uint32(end - 1), uint32(end)}}
	}
	p.update()
}

// from returns the window of a reader at pos of a file.
func (p *player) from(file int, pos int64) window {
	f := &p.info.Files[file]
	last := min(pos+p.ahead, f.Length) - 1
	if last < pos {
		return window{}
	}
	return window{uint32((f.Offset + pos) / p.info.PieceLength), uint32((f.Offset+last)/p.info.PieceLength) + 1}
}

// update sets what the swarm fetches, if that has changed.
func (p *player) update() {
	var all []window
	for _, r := range p.readers {
		all = append(all, r.window)
	}
	if len(all) == 0 {
		all = p.rest
	}
	slices.Reverse(all) // the latest reader comes first
	if order := interleave(all); !slices.Equal(order, p.told) {
		p.told = order
		p.swarm.SetFocus(order)
	}
}

// interleave returns the pieces of all windows: the first piece of each window, then
// the second of each, and so on.
func interleave(ws []window) []uint32 {
	order := []uint32{}
	for i, more := uint32(0), true; more; i++ {
		more = false
		for _, w := range ws {
			piece := w.first + i
			if piece >= w.end {
				continue
			}
			more = true
			if !slices.Contains(order, piece) {
				order = append(order, piece)
			}
		}
	}
	return order
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

// left removes r. The window of the last reader is kept, because players disconnect and
// come back to the same position.
func (p *player) left(r *FileReader) {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := slices.Index(p.readers, r)
	if i < 0 {
		return
	}
	p.readers = slices.Delete(p.readers, i, i+1)
	p.rest = []window{r.window}
	p.update()
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
