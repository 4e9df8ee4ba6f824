package engine

import (
	"time"

	"seedbed/internal/fifo"
	"seedbed/internal/mono"
)

// The order in which blocks are sent decides how soon a swarm serves itself. A peer can
// pass a piece on once it has all of it. So where the uplink is the limit, one piece is
// sent to one peer, then one to the next, instead of a little of many to all.
//
// Peers share the uplink by weight. A peer whose requests run out leaves its share to
// the others.

const (
	// minWindow and maxWindow bound the bytes of a peer that are with the shell: half a
	// second's worth at the peer's speed, so that a choke or a cancel cuts quickly. A
	// limited uplink, which waits for nobody, may have as little as minLimited.
	minWindow  = 256 << 10
	minLimited = 256 << 10
	maxWindow  = 4 << 20
	// maxHanded bounds the blocks of a window, which may be of one byte each.
	maxHanded = 1024
	// aheadTime is how much of a limited uplink's time is with the shell, and minAhead
	// is the least number of bytes.
	aheadTime = 250 * time.Millisecond
	minAhead  = 4 * blockSize
	// A block that is with the shell for heldAfter, and longer where less is sent than
	// the limit, waits for its peer and not for the uplink.
	heldAfter = 2 * aheadTime
	maxHeld   = 4 * heldAfter
	// turnLength is how long a limited uplink serves a peer that requests a long piece
	// before it turns to another.
	turnLength = time.Second
	// plainEvery: one turn in so many goes by weight alone, so that nobody starves while
	// others want what is more urgent.
	plainEvery = 32
	// maxRanked bounds how many requests of a peer are ranked for a turn.
	maxRanked = 64
)

// uploadPeer is what the uploader knows of a peer.
type uploadPeer struct {
	conn     Conn
	queue    fifo.Queue[Block]     // requests that are not with the shell
	inflight int64                 // bytes with the shell
	handed   fifo.Queue[mono.Time] // since when each of its blocks is with the shell
	piece    uint32                // what is sent of first
	at       float64               // virtual time: bytes sent, divided by weight
	refused  uint32                // the call of serve in which a block could not be sent
}

// uploadSink carries out what the uploader decides, and answers what it asks.
type uploadSink interface {
	// weight returns the share of the uplink that a peer deserves. It is positive, and 1
	// on average.
	weight(Conn) float64
	// takes returns how many bytes a second are sent to a peer.
	takes(Conn) float64
	// sent returns how many bytes a second are sent to all peers.
	sent() float64
	// urgency ranks a piece that a peer requests.
	urgency(conn Conn, piece uint32) urgency
	// maySend reports whether a block of so many bytes may be sent to a peer now.
	maySend(conn Conn, length uint32) bool
	// upload hands a block to the shell. It reports false if the piece is not there any
	// more.
	upload(Conn, Block) bool
}

// urgency ranks what is requested: by class, and within a class by cost. The least is
// sent first. In class 0 all pieces of one peer have the same cost.
type urgency struct {
	class uint8
	cost  int
}

func (u urgency) isBefore(v urgency) bool {
	if u.class != v.class {
		return u.class < v.class
	}
	return u.cost < v.cost
}

// uploader decides which requests are handed to the shell, and when. A turn costs
// O(peers × maxRanked), a block O(requests of its peer) at most.
type uploader struct {
	limit int64 // bytes a second; 0 is none
	peers []*uploadPeer
	turn  *uploadPeer // the peer that is served, if the uplink is limited
	left  int64       // bytes of that turn
	at    float64     // virtual time of the latest turn
	turns uint32
	calls uint32 // of serve
}

// setLimit sets how many bytes a second the shell lets pass; 0 is no limit.
func (u *uploader) setLimit(bytesPerSecond int64) { u.limit, u.turn = bytesPerSecond, nil }

// isLimited reports whether the shell limits what is sent.
func (u *uploader) isLimited() bool { return u.limit > 0 }

// join adds a peer, which has requested nothing.
func (u *uploader) join(conn Conn, p *uploadPeer) {
	*p = uploadPeer{conn: conn}
	u.peers = append(u.peers, p)
}

// leave forgets a peer that is gone. One that never joined is passed over.
func (u *uploader) leave(p *uploadPeer) {
	for i, q := range u.peers {
		if q != p {
			continue
		}
		u.peers = append(u.peers[:i], u.peers[i+1:]...)
		if u.turn == p {
			u.turn = nil
		}
		p.queue.Clear()
		return
	}
}

// add takes a request.
func (u *uploader) add(p *uploadPeer, b Block) {
	if p.queue.Len() == 0 {
		p.at = max(p.at, u.at) // a share that was not used is not saved
	}
	p.queue.Push(b)
}

// remove takes back a request that is not with the shell. It reports false if there
// is none.
func (u *uploader) remove(p *uploadPeer, b Block) bool {
	for i, x := range p.queue.All() {
		if x == b {
			p.queue.RemoveAt(i)
			return true
		}
	}
	return false
}

// take removes the oldest request that is not with the shell.
func (u *uploader) take(p *uploadPeer) (Block, bool) {
	if p.queue.Len() == 0 {
		return Block{}, false
	}
	return p.queue.Pop(), true
}

// awaits reports whether p waits for blocks of a piece.
func (u *uploader) awaits(p *uploadPeer, piece uint32) bool {
	return p.inflight > 0 && p.piece == piece || p.find(piece) >= 0
}

// done notes that a block is not with the shell any more: it was sent, or will not be.
func (u *uploader) done(p *uploadPeer, b Block) {
	p.inflight -= int64(b.Length)
	p.handed.Pop()
}

// serve hands requests to the shell.
func (u *uploader) serve(now mono.Time, sink uploadSink) {
	u.calls++
	if u.isLimited() {
		u.serveInTurns(now, sink)
		return
	}
	for _, p := range u.peers {
		if p.queue.Len() == 0 {
			continue
		}
		window := p.window(sink)
		if p.inflight > window/2 { // half a window at a time, so that writes are large
			continue
		}
		for p.handed.Len() < maxHanded && p.inflight < window {
			p.piece, _ = p.mostUrgent(sink)
			if u.hand(now, p, sink) == 0 {
				break
			}
		}
	}
}

// serveInTurns serves one peer after the other, as far ahead as the shell needs to keep
// the uplink busy.
func (u *uploader) serveInTurns(now mono.Time, sink uploadSink) {
	held := heldAfter
	if sent := sink.sent(); sent < float64(u.limit) {
		held = min(time.Duration(float64(heldAfter)*float64(u.limit)/max(sent, 1)), maxHeld)
	}
	ahead := max(int64(float64(u.limit)*aheadTime.Seconds()), minAhead)
	for _, p := range u.peers {
		if p.inflight > 0 && !p.isHeld(now, held) {
			ahead -= p.inflight
		}
	}
	for ahead > 0 {
		if p := u.turn; p == nil || u.left <= 0 || !u.isReady(now, p, held, sink) || p.find(p.piece) < 0 {
			if !u.nextTurn(now, held, sink) {
				return
			}
		}
		n := u.hand(now, u.turn, sink)
		if n == 0 {
			u.turn = nil
			continue
		}
		u.turn.at += float64(n) / sink.weight(u.turn.conn)
		u.left -= n
		ahead -= n
	}
}

// window returns how many bytes of p may be with the shell.
func (p *uploadPeer) window(sink uploadSink) int64 {
	return min(max(int64(sink.takes(p.conn)/2), minWindow), maxWindow)
}

// isHeld reports whether p takes blocks more slowly than the uplink sends them.
func (p *uploadPeer) isHeld(now mono.Time, after time.Duration) bool {
	return p.handed.Len() > 0 && now.Sub(*p.handed.Front()) > after
}

// find returns the place of the first request for a piece, or -1.
func (p *uploadPeer) find(piece uint32) int {
	for i, b := range p.queue.All() {
		if b.Piece == piece {
			return i
		}
	}
	return -1
}

// hand hands one block of p to the shell, of its piece first, and returns the length, or 0
// if no block may be sent.
func (u *uploader) hand(now mono.Time, p *uploadPeer, sink uploadSink) int64 {
	for p.queue.Len() > 0 {
		i := max(p.find(p.piece), 0)
		if !sink.maySend(p.conn, p.queue.At(i).Length) {
			p.refused = u.calls
			return 0
		}
		b := p.queue.RemoveAt(i)
		if sink.upload(p.conn, b) {
			p.inflight += int64(b.Length)
			p.handed.Push(now)
			return int64(b.Length)
		}
	}
	return 0
}

// isReady reports whether p requests something that may be handed over.
func (u *uploader) isReady(now mono.Time, p *uploadPeer, held time.Duration, sink uploadSink) bool {
	return p.queue.Len() > 0 && p.refused != u.calls && p.handed.Len() < maxHanded &&
		p.inflight < p.window(sink) && !p.isHeld(now, held)
}

// nextTurn chooses the peer that is served next, and a piece that it requests. It
// reports false if no peer is ready.
func (u *uploader) nextTurn(now mono.Time, held time.Duration, sink uploadSink) bool {
	u.turns++
	plain := u.turns%plainEvery == 0
	u.turn = nil
	var best urgency
	for _, p := range u.peers {
		if !u.isReady(now, p, held, sink) {
			continue
		}
		piece, x := p.mostUrgent(sink)
		p.piece = piece
		switch {
		case u.turn == nil, !plain && x.isBefore(best):
		case !plain && best.isBefore(x), u.turn.at <= p.at:
			continue
		}
		u.turn, best = p, x
	}
	if u.turn == nil {
		return false
	}
	u.at = max(u.at, u.turn.at)
	u.left = max(int64(float64(u.limit)*turnLength.Seconds()), blockSize)
	return true
}

// mostUrgent returns the most urgent piece that p requests. Of equal ones it is the one
// that was requested first.
func (p *uploadPeer) mostUrgent(sink uploadSink) (piece uint32, best urgency) {
	seen := false
	for i, b := range p.queue.All() {
		if seen && b.Piece == piece {
			continue
		}
		if i == maxRanked {
			break
		}
		if x := sink.urgency(p.conn, b.Piece); !seen || x.isBefore(best) {
			piece, best, seen = b.Piece, x, true
		}
		if best.class == 0 {
			break
		}
	}
	return piece, best
}
