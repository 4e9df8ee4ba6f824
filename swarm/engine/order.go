package engine

import (
	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
)

// Priority says how urgently a file is wanted. Blocks are requested from a peer in the
// order of the priority of what it has.
type Priority int8

// The priorities. The zero value is PriorityNormal.
const (
	PriorityLow     Priority = iota - 1
	PriorityNormal           // the default
	PriorityHigh             //
	PriorityMaximum          // comes with the first and last pieces of Order.FirstLast
)

// isValid reports whether p is one of the constants.
func (p Priority) isValid() bool { return p >= PriorityLow && p <= PriorityMaximum }

// Order says in which order the wanted pieces are requested. The zero Order means rarest
// first. Within a priority, the pieces are requested rarest first or in sequence.
type Order struct {
	// Files are the priorities of the files, by their index in Info.Files. Missing ones are
	// PriorityNormal.
	Files []Priority
	// FirstLast gives the first and last pieces of each wanted file PriorityMaximum: players
	// and previews need them first. See edgeOf.
	FirstLast bool
	// Sequential requests the pieces by their index, beginning at From, and after the last
	// piece those before From.
	Sequential bool
	From       uint32
}

// The classes of the picker, most urgent first. A piece that belongs to several files has
// the most urgent class of the wanted ones.
const (
	classMaximum = uint8(0)
	classNormal  = uint8(PriorityMaximum - PriorityNormal)
	nClasses     = int(PriorityMaximum-PriorityLow) + 1
)

const (
	// edgePart is the part of a file at each end that Order.FirstLast is about, as in
	// qBittorrent: one hundredth.
	edgePart = 100
	// maxEdge limits that part, in bytes: an index of a film is far smaller.
	maxEdge = 32 << 20
)

// edgeOf returns how many pieces at each end of a file Order.FirstLast is about.
func edgeOf(info *metainfo.Info, file int) int {
	size := min(info.Files[file].Length/edgePart, maxEdge)
	return int(max(1, (size+info.PieceLength-1)/info.PieceLength))
}

// classes returns the class of each piece. files are the wanted files; length 0 means all.
// It returns nil if the wanted pieces are all in one class. It costs O(files + pieces).
func (o *Order) classes(info *metainfo.Info, files bitset.Set) []uint8 {
	if !o.FirstLast && len(o.Files) == 0 {
		return nil
	}
	const unset = uint8(nClasses)
	class := make([]uint8, info.NumPieces())
	for i := range class {
		class[i] = unset
	}
	seen, several := unset, false
	for i := range info.Files {
		if f := &info.Files[i]; f.Pad || f.Length == 0 || files.Len() > 0 && !files.Has(i) {
			continue
		}
		c := classNormal
		if i < len(o.Files) && o.Files[i].isValid() {
			c = uint8(PriorityMaximum - o.Files[i])
		}
		first, end := info.PiecesOf(i)
		edge := 0
		if o.FirstLast {
			edge = edgeOf(info, i)
		}
		for p := first; p < end; p++ {
			k := c
			if p < first+edge || p >= end-edge {
				k = classMaximum
			}
			class[p] = min(class[p], k)
			several = several || seen != unset && seen != k
			seen = k
		}
	}
	if !several {
		return nil
	}
	for i := range class {
		if class[i] == unset { // not wanted
			class[i] = classNormal
		}
	}
	return class
}

// setOrder sets the order of the pieces: their classes (nil: all the same), and whether
// they are requested in sequence from a piece on. Open pieces of which no block has arrived
// are closed if more urgent ones wait.
func (r *requester) setOrder(class []uint8, sequential bool, from uint32) {
	before := r.order
	r.order = nil
	if class != nil || sequential {
		r.order = &pieceOrder{sequential: sequential, from: min(from, uint32(r.n-1))}
	}
	if r.order == nil && before == nil {
		return
	}
	r.pick.setClasses(class, nClasses)
	first, ok := r.pick.next(r.peers.full, from)
	for i := len(r.pieces.opened) - 1; i >= 0 && ok && r.order != nil; i-- {
		pc := r.pieces.opened[i]
		late := r.pick.classOf(first) < r.pick.classOf(pc.index) || sequential && r.comesBefore(first, pc.index)
		if late && pc.isUntouched() {
			r.abandon(pc)
		}
	}
	for _, p := range r.peers.all {
		p.suggested = p.suggested[:0]
		r.sortAllowed(p, false)
	}
	r.peers.freed = true
}

// pieceOrder is how the pieces are ordered if not just rarest first.
type pieceOrder struct {
	sequential bool
	from       uint32
}

// isUntouched reports whether no block of pc has arrived.
func (pc *piece) isUntouched() bool {
	for i := range pc.chunk {
		if k := &pc.chunk[i]; k.done > 0 || k.state > chunkOpen {
			return false
		}
	}
	return true
}

// isMoreUrgent reports whether piece a comes before piece b, whatever their rarity.
func (r *requester) isMoreUrgent(a, b uint32) bool {
	if x, y := r.pick.classOf(a), r.pick.classOf(b); x != y {
		return x < y
	}
	return r.order.sequential && a-r.order.from < b-r.order.from // pieces before from wrap around
}

// comesBefore reports whether piece a is to be requested before piece b: because it is more
// urgent, or else rarer.
func (r *requester) comesBefore(a, b uint32) bool {
	switch {
	case r.order == nil:
		return r.pick.isRarer(a, b)
	case r.isMoreUrgent(a, b):
		return true
	}
	return !r.order.sequential && r.pick.classOf(a) == r.pick.classOf(b) && r.pick.isRarer(a, b)
}

// nextOrdered is nextChunk while there is an order. A piece of a more urgent class is
// begun before others are continued.
func (r *requester) nextOrdered(p *requestPeer) *chunk {
	open := r.nextOpen(p)
	if !r.mayOpenChunk(p) {
		return open
	}
	index, ok := r.choose(p)
	closed := r.unfinished(p)
	if closed != nil && (!ok || !r.comesBefore(index, closed.index)) {
		index, ok = closed.index, true
	}
	if !ok || open != nil && !r.beginsFirst(p, index, open.piece) {
		return open
	}
	if !r.slots.available() && (open != nil || !r.freeSlotFor(p)) {
		return open
	}
	if closed != nil && closed.index == index {
		return r.openChunk(closed)
	}
	return r.openChunk(r.openPiece(index))
}

// beginsFirst reports whether p should begin a piece rather than continue open. Within a
// class the rules of nextChunk apply.
func (r *requester) beginsFirst(p *requestPeer, index uint32, open *piece) bool {
	if !r.comesBefore(index, open.index) {
		return false
	}
	if r.order.sequential || r.pick.classOf(index) != r.pick.classOf(open.index) {
		return true
	}
	return open.lastAsked != p && r.isServedByOther(open, p)
}

// chooseOrdered is choose while there is an order.
func (r *requester) chooseOrdered(p *requestPeer) (uint32, bool) {
	if r.order.sequential {
		return r.pick.next(p.has, r.order.from)
	}
	pick := r.pick.rarest
	if r.nHave+len(r.pieces.opened) < randomFirst {
		pick = r.pick.random
	}
	index, ok := pick(p.has)
	for n := len(p.suggested); ok && n > 0; n = len(p.suggested) {
		s := p.suggested[n-1]
		p.suggested = p.suggested[:n-1]
		if r.pick.isIdle(s) && p.has.Has(int(s)) && r.pick.classOf(s) == r.pick.classOf(index) {
			return s, true
		}
	}
	return index, ok
}

// sortAllowed sorts the pieces that may be requested from p while it chokes us: the most
// urgent ones first, and otherwise in the order in which p allowed them. Rarity does not
// count, because it changes. If onlyLast is set, all but the last one are sorted already.
func (r *requester) sortAllowed(p *requestPeer, onlyLast bool) {
	if r.order == nil {
		return
	}
	list := p.allowed
	first := 1
	if onlyLast {
		first = len(list) - 1
	}
	for i := max(first, 1); i < len(list); i++ {
		for j := i; j > 0 && r.isMoreUrgent(list[j], list[j-1]); j-- {
			list[j], list[j-1] = list[j-1], list[j]
		}
	}
}
