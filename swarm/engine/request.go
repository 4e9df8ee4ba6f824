package engine

import (
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
	"seedbed/swarm/wire"
)

// These constants determine how many blocks are requested from a peer in advance.
const (
	// queueTime is how many seconds of a peer's rate are kept requested. It is far longer
	// than any round trip, so that the rate is limited by the peer and not by us.
	queueTime = 3 * time.Second
	// firstDepth is how many blocks are requested from a peer of unknown speed.
	firstDepth = 16
	// longQueue is how many seconds of a slow peer's rate are kept requested, up to
	// longDepth blocks. A peer that serves its peers one after the other sends a complete
	// piece at a time. Requests that would take too long are moved by steal.
	longQueue = 20 * time.Second
	longDepth = 32
	// minDepth keeps even a very slow peer from idling between blocks.
	minDepth = 2
	// maxDepth bounds the requests that we track for a peer, whatever reqq it claims.
	maxDepth = 2000
	// snubAfter is how long a peer may send no block before its blocks are requested
	// again, from it or from others.
	snubAfter = 60 * time.Second
	// rejectAfter is how long after a choke a peer with the fast extension has to answer
	// every request (BEP 6).
	rejectAfter = 10 * time.Second
)

// requestPeer is the requester's state of a peer.
type requestPeer struct {
	conn    Conn
	origin  uint32     // identifies the peer when its payload is bad
	closing bool       // nothing more is requested, but earlier requests may still be answered
	reqq    int        // how many requests the peer queues; 0 means unknown
	has     bitset.Set // pieces; length 0 until the number of pieces is known
	nHas    int
	// nPadding is how many of those contain only padding.
	nPadding int
	shares   bool // has is the shared empty set
	counted  bool // as a seed; otherwise the picker counts each of its pieces
	want     int  // pieces that it has and we need

	choked      bool // the peer chokes us
	interested  bool // we sent interested
	slowStart   bool // depth still grows with each block
	exhausted   bool // nothing to request was found; refill waits until something changes
	index       int  // index in peerList.all, as of the last refillAll
	outstanding requestList
	cancelled   cancels
	depth       int
	steady      rate.Decay // bytes; see steadyRate
	firstAt     mono.Time  // when the first block arrived
	second      int64      // bytes in the current second
	before      int64      // bytes in the previous second
	chokedAt    mono.Time
	pause       mono.Time // nothing is requested until then
	rejects     int       // in a row
	allowed     []uint32  // pieces that may be requested while choked (BEP 6)
	suggested   []uint32

	standing
	weak bool // by its standing, or because it chokes us or is closing; see updateWeak
}

func (p *requestPeer) out() int { return p.outstanding.n }

// limit returns how many blocks may be outstanding at p.
func (r *requester) limit(p *requestPeer) int {
	if p.isDoubtful() {
		if p.out() > 0 || r.now < p.retry {
			return 0
		}
		return 1
	}
	reqq := p.reqq
	if reqq == 0 {
		reqq = wire.DefaultReqq
	}
	depth := p.depth
	if depth < longDepth {
		long := int(p.steadyRate(r) * longQueue.Seconds() / blockSize)
		depth = max(depth, min(long, longDepth))
	}
	n := min(depth, reqq, maxDepth)
	if !p.hasDelivered() {
		n = min(n, firstDepth)
	}
	// No peer may occupy all the memory: each gets a share by its speed, and at least
	// half of an equal share.
	if r.peers.askable > 1 {
		pool := r.slots.budget * int(max(1, min(int64(r.chunkSize), r.info.PieceLength)/blockSize))
		share := pool / (2 * r.peers.askable)
		if r.peers.downTotal > 0 {
			share = max(share, int(float64(pool)*p.rate.Rate(r.now)/r.peers.downTotal))
		}
		n = min(n, share)
	}
	return max(n, minDepth)
}

// measure sets the depth of p from what it delivered. It is called once per second.
func (r *requester) measure(p *requestPeer) {
	flow := max(p.rate.Rate(r.now), float64(p.second))
	keep := queueTime
	if r.isFocused() {
		keep = focusTime
	}
	want := int(flow * keep.Seconds() / blockSize)
	if p.slowStart && p.before > 0 && float64(p.second) < 1.25*float64(p.before) {
		p.slowStart = false
	}
	idle := p.out() == 0 && p.second == 0 // then its rate says nothing about its speed
	if !p.slowStart && !idle {
		p.depth = min(max(want, minDepth), maxDepth)
	}
	p.before, p.second = p.second, 0
}

// mayRequest reports whether blocks may be requested from p now.
func (r *requester) mayRequest(p *requestPeer) bool {
	return !p.closing && p.want > 0 && p.interested && !r.paused &&
		(!p.choked || len(p.allowed) > 0)
}

// refillAll requests blocks from all peers. Peers with no outstanding request come first,
// so that each gets a part of the memory. Weak peers come last, so that they do not
// occupy what others could fetch.
func (r *requester) refillAll() {
	freed := r.peers.freed
	r.peers.freed = false
	n, first := len(r.peers.all), r.peers.first
	if first >= n {
		first = 0
	}
	r.peers.askable = 0
	for i := range n {
		at := first + i
		if at >= n {
			at -= n
		}
		p := r.peers.all[at]
		p.exhausted, p.index = p.exhausted && !freed, at
		if !r.mayRequest(p) {
			continue
		}
		if r.isAskable(p) {
			r.peers.askable++
		}
		turn := turnFirm
		switch {
		case p.exhausted || r.now < p.pause:
			continue
		case p.weak:
			turn = turnWeak
		case p.out() == 0:
			turn = turnIdle
		}
		r.peers.turns[turn] = append(r.peers.turns[turn], p)
	}
	for turn, list := range r.peers.turns {
		for _, p := range list {
			r.refill(p)
			if freed && turn == turnIdle && p.out() > 0 {
				r.peers.first = p.index + 1 // offer what becomes free next to the others first
			}
		}
		clear(list)
		r.peers.turns[turn] = list[:0]
	}
}

// The order in which refillAll serves the peers.
const (
	turnIdle = iota // delivers, and has no outstanding request
	turnFirm
	turnWeak
	nTurns
)

// refill requests blocks from p up to its depth. It waits until a quarter of the queue
// has been served, so that one segment carries several requests.
func (r *requester) refill(p *requestPeer) {
	limit := r.limit(p)
	out := p.out()
	if out >= limit || (limit >= 8 && out > limit-limit/4) {
		return
	}
	if r.focus.on {
		r.duplicateFocus(p, limit, urgentPieces)
	}
	class := classMaximum
	for p.out() < limit {
		k := r.nextChunk(p)
		if k == nil {
			break
		}
		if c := r.pick.classOf(k.piece.index); c > class { // p has got all requests of more urgent ones
			r.duplicateUrgent(p, limit, c)
			class = c
		}
		r.requestFrom(p, k, limit)
	}
	if p.out() > out || p.choked {
		return
	}
	switch {
	case r.steal(p, limit), r.takeOver(p, limit), r.focus.on && r.duplicateFocus(p, limit, maxFocus):
	case out == 0 && !r.focus.isOnly() && r.endgame(p, min(limit, endgameDepth)):
	case out == 0 && r.probe(p):
	default:
		p.exhausted = true
		if out == 0 && !p.isDoubtful() && r.outstanding.firm+r.outstanding.weakChunks > 0 {
			r.scheduleRecheck()
		}
	}
}

// requestFrom requests free blocks of k from p, up to limit.
func (r *requester) requestFrom(p *requestPeer, k *chunk, limit int) {
	pc := k.piece
	pc.lastAsked = p
	end := k.first + k.blocks
	for b := k.next; b < end && k.free > 0 && p.out() < limit; b++ {
		if s := &pc.block[b]; s.done || s.held != nil {
			continue
		}
		k.free--
		k.next = b + 1
		r.grant(p, k, b)
	}
	r.updateRequestable(k)
}

// canFetch reports whether blocks of pc may be requested from p.
func (r *requester) canFetch(p *requestPeer, pc *piece) bool {
	if !p.has.Has(int(pc.index)) || !r.need.Has(int(pc.index)) {
		return false
	}
	return !pc.parole || r.canFetchAlone(p, pc)
}

// isServing reports whether q is expected to deliver soon.
func (r *requester) isServing(q *requestPeer) bool {
	return r.mayRequest(q) && !q.choked && !q.isDoubtful() && r.now >= q.pause
}

// nextChunk returns an open chunk with a free block for p, or nil. p continues with the
// piece it was asked for last. Otherwise the rarest open piece comes first, so that
// pieces that were begun are finished, unless another peer can continue it and p has a
// rarer one.
func (r *requester) nextChunk(p *requestPeer) *chunk {
	if p.choked {
		return r.nextFast(p)
	}
	if r.focus.on {
		if k := r.nextFocused(p); k != nil || r.focus.isOnly() {
			return k
		}
	}
	if r.order != nil {
		return r.nextOrdered(p)
	}
	open := r.nextOpen(p)
	if open != nil && (open.piece.lastAsked == p || r.pick.nobodyHas(open.piece.index)) {
		return open
	}
	if !r.mayOpenChunk(p) || !r.slots.available() {
		if open != nil || !r.freeSlotFor(p) {
			return open
		}
	}
	if open == nil {
		if pc := r.unfinished(p); pc != nil {
			return r.openChunk(pc)
		}
	}
	index, ok := r.choose(p)
	if !ok || open != nil && (!r.pick.isRarer(index, open.piece.index) || !r.isServedByOther(open.piece, p)) {
		return open
	}
	return r.openChunk(r.openPiece(index))
}

// nextOpen returns the open chunk with a free block that p should continue with, or nil:
// one of the piece that p was asked for last, or of the rarest piece. Of equally rare
// ones, it returns the chunk that was opened first.
func (r *requester) nextOpen(p *requestPeer) (best *chunk) {
	for _, k := range r.pieces.requestable {
		if !r.canFetch(p, k.piece) || !r.mayUseChunk(p, k) {
			continue
		}
		switch {
		case k.piece.lastAsked == p && r.order == nil:
			return k
		case best == nil, r.comesBefore(k.piece.index, best.piece.index):
			best = k
		case k.piece.lastAsked == p && !r.order.sequential && !r.comesBefore(best.piece.index, k.piece.index):
			best = k
		}
	}
	return best
}

// isServedByOther reports whether a peer other than p has pc and serves us.
func (r *requester) isServedByOther(pc *piece, p *requestPeer) bool {
	for _, q := range r.peers.all {
		if q != p && r.isServing(q) && r.canFetch(q, pc) {
			return true
		}
	}
	return false
}

// unfinished returns the first open piece, or the most urgent one if there is an order,
// that has a chunk without a slot and may be requested from p, or nil.
func (r *requester) unfinished(p *requestPeer) (best *piece) {
	if r.pieces.closed == 0 {
		return nil
	}
	for _, pc := range r.pieces.opened {
		if pc.closed == 0 || best != nil && !r.comesBefore(pc.index, best.index) || !r.canFetch(p, pc) {
			continue
		}
		if best = pc; r.order == nil {
			return pc
		}
	}
	return best
}

// choose returns the idle piece that p should begin.
func (r *requester) choose(p *requestPeer) (uint32, bool) {
	if r.order != nil {
		return r.chooseOrdered(p)
	}
	for len(p.suggested) > 0 { // BEP 6: a suggested piece is in the peer's cache
		n := len(p.suggested) - 1
		s := p.suggested[n]
		p.suggested = p.suggested[:n]
		if r.pick.isIdle(s) && p.has.Has(int(s)) {
			return s, true
		}
	}
	if r.nHave+len(r.pieces.opened) < randomFirst {
		return r.pick.random(p.has)
	}
	return r.pick.rarest(p.has)
}

// nextFast is nextChunk for a peer that chokes us. Only the pieces that it allows may be
// requested (BEP 6).
func (r *requester) nextFast(p *requestPeer) *chunk {
	for _, index := range p.allowed {
		if !r.need.Has(int(index)) || !p.has.Has(int(index)) || (r.focus.isOnly() && !r.focus.has(index)) {
			continue
		}
		pc := r.pieces.open[index]
		if pc == nil {
			if r.pick.isIdle(index) && r.slots.available() && r.mayOpenChunk(p) {
				return r.openChunk(r.openPiece(index))
			}
			continue
		}
		if !r.canFetch(p, pc) {
			continue
		}
		for i := range pc.chunk {
			if k := &pc.chunk[i]; k.requestable && r.mayUseChunk(p, k) {
				return k
			}
		}
		if pc.closed > 0 && r.slots.available() && r.mayOpenChunk(p) {
			return r.openChunk(pc)
		}
	}
	return nil
}

// received handles BlockArrived.
func (r *requester) received(p *requestPeer, ev BlockEvent) {
	n := int(ev.Block.Length)
	p.rate.Add(r.now, n)
	r.intake.rate.Add(r.now, n)
	r.intake.bytes += int64(n)
	r.intake.last = r.now
	p.second += int64(n)
	if p.rate.Total() == int64(n) {
		p.firstAt = r.now
	}
	p.steady.Add(r.now, steadyTime, float64(n))
	if p.slowStart && p.depth < maxDepth {
		p.depth++
	}
	b := ev.Block.Begin / blockSize
	var k *chunk
	late := false
	if l := r.find(p, ev.Block); l != nil {
		k = l.chunk
		p.noteBlock(r.now, l.at)
		p.rejects = 0
		r.updateWeak(p)
		r.drop(l)
	} else if k = r.openChunkOf(ev); k != nil {
		late = true // it arrived after our cancel, but its place is still free
	} else {
		p.cancelled.take(r.now)
		r.intake.wasted += int64(n)
		return
	}
	s := &k.piece.block[b]
	if s.done {
		panic("engine: block received twice in one slot")
	}
	s.done, s.from = true, p.origin
	r.sink.hold(p.origin)
	k.done++
	p.exhausted = false
	if s.held != nil {
		r.cancelOthers(s)
	} else if late {
		k.free--
	}
	r.updateRequestable(k)
	if k.done == k.blocks && !r.paused {
		r.store(k)
	}
}

// openChunkOf returns the open chunk that holds a block without a request, or nil.
func (r *requester) openChunkOf(ev BlockEvent) *chunk {
	pc := r.pieces.open[ev.Block.Piece]
	b := ev.Block.Begin / blockSize
	if pc == nil || int(b) >= len(pc.block) {
		return nil
	}
	k := pc.chunkOf(b)
	if k.state != chunkOpen || k.slot != ev.Slot || pc.block[b].done {
		return nil
	}
	return k
}

// unwanted handles BlockUnwanted: a block without a use, which settles a request to p if
// there was one. It reports whether the block had been requested from p.
func (r *requester) unwanted(p *requestPeer, b Block) bool {
	n := int(b.Length)
	r.intake.rate.Add(r.now, n)
	r.intake.bytes += int64(n)
	r.intake.last = r.now
	r.intake.wasted += int64(n)
	if l := r.find(p, b); l != nil { // another peer was faster
		r.cancel(l, true)
		p.cancelled.take(r.now)
		return true
	}
	return p.cancelled.take(r.now)
}
