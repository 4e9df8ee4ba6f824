package engine

import (
	"time"

	"seedbed/internal/mono"
)

// requestBook counts requests, and keeps released ones for reuse.
type requestBook struct {
	firm       int      // requests of peers that are not weak
	weakChunks int      // chunks with requests of weak peers
	spare      *request // head of a list
	nSpare     int
}

// request is one outstanding request: a block requested from a peer. It is in two lists:
// the peer's, in the order of the requests, and the block's. A request is found, added and
// removed in O(1), plus a step for each other request of the same block.
type request struct {
	peer       *requestPeer
	chunk      *chunk
	block      uint32 // of the piece
	at         mono.Time
	prev, next *request // of the same peer
	other      *request // of the same block
}

// requestList holds a peer's requests, oldest first.
type requestList struct {
	oldest, newest *request
	n              int
}

func (q *requestList) push(l *request) {
	l.prev, l.next = q.newest, nil
	if q.newest == nil {
		q.oldest = l
	} else {
		q.newest.next = l
	}
	q.newest = l
	q.n++
}

func (q *requestList) remove(l *request) {
	if l.prev == nil {
		q.oldest = l.next
	} else {
		l.prev.next = l.next
	}
	if l.next == nil {
		q.newest = l.prev
	} else {
		l.next.prev = l.prev
	}
	q.n--
}

// maxSpareRequests is how many requests are kept for reuse.
const maxSpareRequests = 4 * maxDepth

// grant requests block b of k from p and records the request.
func (r *requester) grant(p *requestPeer, k *chunk, b uint32) {
	l := r.outstanding.spare
	if l != nil {
		r.outstanding.spare = l.next
		r.outstanding.nSpare--
	} else {
		l = new(request)
	}
	s := &k.piece.block[b]
	*l = request{peer: p, chunk: k, block: b, at: r.now, other: s.held}
	s.held = l
	p.outstanding.push(l)
	k.out++
	r.countRequest(p, k, 1)
	want := k.piece.blockOf(b)
	r.sink.request(p.conn, k.slot, want.Begin-k.begin, want)
}

// drop removes l from both lists. l must not be used afterwards.
func (r *requester) drop(l *request) {
	p, k := l.peer, l.chunk
	at := &k.piece.block[l.block].held
	for *at != l {
		at = &(*at).other
	}
	*at = l.other
	p.outstanding.remove(l)
	k.out--
	r.countRequest(p, k, -1)
	*l = request{}
	if r.outstanding.nSpare < maxSpareRequests {
		l.next, r.outstanding.spare = r.outstanding.spare, l
		r.outstanding.nSpare++
	}
}

// countRequest adds n to the requests of p in k. Those of weak peers are counted by chunk,
// all others in total.
func (r *requester) countRequest(p *requestPeer, k *chunk, n int) {
	if !p.weak {
		r.outstanding.firm += n
		return
	}
	before := k.weak
	k.weak += n
	switch {
	case before == 0:
		r.outstanding.weakChunks++
	case k.weak == 0:
		r.outstanding.weakChunks--
		r.peers.freed = true
	}
}

// requestOf returns p's request of block b, or nil.
func (pc *piece) requestOf(p *requestPeer, b uint32) *request {
	for l := pc.block[b].held; l != nil; l = l.other {
		if l.peer == p {
			return l
		}
	}
	return nil
}

// find returns p's request of b, or nil.
func (r *requester) find(p *requestPeer, b Block) *request {
	if b.Begin%blockSize != 0 {
		return nil
	}
	pc := r.pieces.open[b.Piece]
	if pc == nil || int(b.Begin/blockSize) >= len(pc.block) || pc.blockOf(b.Begin/blockSize) != b {
		return nil
	}
	return pc.requestOf(p, b.Begin/blockSize)
}

// crossTime is how long after a cancel its answer, or the block, may still arrive.
const crossTime = time.Minute

// cancels counts recently canceled requests (of the last one to two crossTime) that the
// peer has not answered yet.
type cancels struct {
	recent, before int
	since          mono.Time // of recent
}

func (c *cancels) roll(now mono.Time) {
	if d := now.Sub(c.since); d >= crossTime {
		c.before, c.recent, c.since = c.recent, 0, now
		if d >= 2*crossTime {
			c.before = 0
		}
	}
}

func (c *cancels) add(now mono.Time) {
	c.roll(now)
	c.recent++
}

// take reports whether a message can be the answer to a cancel. If so, that cancel is no
// longer counted.
func (c *cancels) take(now mono.Time) bool {
	c.roll(now)
	switch {
	case c.before > 0:
		c.before--
	case c.recent > 0:
		c.recent--
	default:
		return false
	}
	return true
}

// giveBack removes l and frees its block for other peers.
func (r *requester) giveBack(l *request) {
	k, b := l.chunk, l.block
	r.drop(l)
	if s := &k.piece.block[b]; s.held == nil && !s.done {
		k.free++
		k.next = min(k.next, b)
		r.updateRequestable(k)
		r.peers.freed = true
	}
}

// cancel withdraws l. rejected says that the peer has announced that it will not send the
// block.
func (r *requester) cancel(l *request, rejected bool) {
	p, b := l.peer, l.chunk.piece.blockOf(l.block)
	r.giveBack(l)
	r.sendCancel(p, b, rejected)
}

// sendCancel tells p that the request of b has been withdrawn, unless p is closing.
func (r *requester) sendCancel(p *requestPeer, b Block, rejected bool) {
	if !p.closing {
		p.cancelled.add(r.now)
		r.sink.cancel(p.conn, b, rejected)
	}
}

// forfeit withdraws l and counts it as a failure of its peer to deliver.
func (r *requester) forfeit(l *request, rejected bool) {
	p, at := l.peer, l.at
	r.cancel(l, rejected)
	if !p.closing {
		p.strike(r.now, at, rejected)
		r.updateWeak(p)
	}
}

// cancelChunk withdraws all requests of k.
func (r *requester) cancelChunk(k *chunk) {
	for b := k.first; k.out > 0; b++ {
		for l := k.piece.block[b].held; l != nil; l = k.piece.block[b].held {
			r.cancel(l, false)
		}
	}
}

// cancelOthers withdraws the requests of a block that arrived from another peer.
func (r *requester) cancelOthers(s *block) {
	for s.held != nil {
		r.forfeit(s.held, false)
	}
}

// release withdraws all requests of p.
func (r *requester) release(p *requestPeer, rejected bool) {
	for p.outstanding.oldest != nil {
		r.forfeit(p.outstanding.oldest, rejected)
	}
}
