package engine

import (
	"time"

	"seedbed/internal/fifo"
	"seedbed/internal/mono"
)

// The order in which blocks are sent decides how soon a swarm serves itself: a peer can
// pass a piece on only when it has all of it. So where the uplink has a limit, one piece
// goes to one peer, then one piece to the next, instead of a few blocks to each. Peers
// share the uplink by weight. A peer without requests leaves its share to the others.
//
// Without a known limit, the shell has as many blocks of each peer as the connection
// takes, and TCP decides how fast each of them is sent.
//
// A block is with the shell from CmdUpload to BlockUploaded or BlockUnsent.

const (
	// minWindow and maxWindow bound how many bytes of a peer may be with the shell: half
	// a second's worth at the peer's speed, so that a choke or a cancel takes effect soon.
	minWindow = 256 << 10
	maxWindow = 4 << 20
	// maxHanded bounds the number of blocks in a window: each may be of one byte.
	maxHanded = 1024
	// The shell has as many bytes as a limited uplink sends in aheadTime, and at least
	// minAhead, so that the uplink never waits for the engine.
	aheadTime = 250 * time.Millisecond
	minAhead  = 4 * blockSize
	// A block that has been with the shell for heldFactor times as long as the uplink needs
	// for all that is with the shell waits for its peer and not for the uplink. While less
	// is sent than the limit, the time is longer, up to maxHeld times as long.
	heldFactor = 2
	maxHeld    = 4
	// At least an aheadPart of what the shell may have is handed over at a time: peers are
	// compared a few times a second, however small the blocks are or high the limit.
	aheadPart = 4
	// turnLength bounds a turn: so long a limited uplink sends one piece to one peer
	// before it chooses again.
	turnLength = time.Second
	// One turn in plainEvery goes by weight alone, so that no peer starves while others
	// request more urgent pieces.
	plainEvery = 32
	// maxRanked bounds how many requests of a peer are examined to choose a piece.
	maxRanked = 64
)

// uploadPeer is what the uploader knows of a peer.
type uploadPeer struct {
	conn     Conn
	queue    fifo.Queue[Block]       // requests that were not handed to the shell yet
	inflight int64                   // bytes with the shell
	handed   fifo.Queue[handedBlock] // its blocks with the shell, the oldest first
	piece    uint32                  // whose blocks are sent first
	at       float64                 // virtual time: bytes sent to it, divided by its weight
	refused  uint32                  // the latest call of serve in which maySend refused a block

	// Of the present call of serve, if the uplink is limited:
	known  uint32 // the call
	window int64  // how many bytes may be with the shell at most
	ranked bool   // piece was the most urgent one, and rank was its urgency
	rank   urgency
}

// handedBlock is a block that is with the shell.
type handedBlock struct {
	block Block
	since mono.Time // when it was handed over
}

// uploadSink carries out what the uploader decides, and answers what it asks.
type uploadSink interface {
	// weight returns the share of the uplink that a peer deserves, relative to others. It
	// is positive and near 1 for an ordinary peer at any time, as virtual times of
	// different moments are compared.
	weight(Conn) float64
	// takes returns how many bytes a second are being sent to a peer.
	takes(Conn) float64
	// sent returns how many bytes a second are being sent to all peers.
	sent() float64
	// urgency ranks a piece that a peer requests.
	urgency(conn Conn, piece uint32) urgency
	// maySend reports whether a block of so many bytes may be sent to a peer now.
	maySend(conn Conn, length uint32) bool
	// upload hands a block to the shell. It reports false if we no longer have the piece.
	upload(Conn, Block) bool
}

// urgency ranks a piece that a peer requests: by class, and within a class by cost. The
// lowest is sent first. In class 0 all pieces of one peer have the same cost.
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

// uploader decides which requests are handed to the shell, and when. Choosing a turn costs
// O(peers), handing over a block O(requests of its peer) at most. Up to maxRanked requests
// of each peer are ranked a few times a second.
type uploader struct {
	limit   int64 // bytes a second; 0 is none
	waiting int   // requests in the queues of all peers
	peers   []*uploadPeer
	turn    *uploadPeer // the peer that is being served, if the uplink is limited
	left    int64       // bytes that are left of its turn
	at      float64     // virtual time of the peer of the latest turn; never decreases
	turns   uint32
	calls   uint32 // of serve
}

// setLimit sets how many bytes a second the shell sends at most; 0 is no limit.
func (u *uploader) setLimit(bytesPerSecond int64) { u.limit, u.turn = bytesPerSecond, nil }

// isLimited reports whether the shell limits what is sent.
func (u *uploader) isLimited() bool { return u.limit > 0 }

// join adds a peer, which has requested nothing.
func (u *uploader) join(conn Conn, p *uploadPeer) {
	*p = uploadPeer{conn: conn}
	u.peers = append(u.peers, p)
}

// leave forgets a peer that is gone. It ignores one that never joined.
func (u *uploader) leave(p *uploadPeer) {
	for i, q := range u.peers {
		if q != p {
			continue
		}
		u.peers = append(u.peers[:i], u.peers[i+1:]...)
		if u.turn == p {
			u.turn = nil
		}
		u.waiting -= p.queue.Len()
		p.queue.Clear()
		return
	}
}

// add queues a request.
func (u *uploader) add(p *uploadPeer, b Block) {
	if p.queue.Len() == 0 {
		p.at = max(p.at, u.at) // a share that it did not use is not saved up
	}
	p.queue.Push(b)
	u.waiting++
}

// remove removes a request that was not handed to the shell yet. It reports false if
// there is none.
func (u *uploader) remove(p *uploadPeer, b Block) bool {
	for i, x := range p.queue.All() {
		if x == b {
			p.queue.RemoveAt(i)
			u.waiting--
			return true
		}
	}
	return false
}

// take removes the oldest request that was not handed to the shell yet.
func (u *uploader) take(p *uploadPeer) (Block, bool) {
	if p.queue.Len() == 0 {
		return Block{}, false
	}
	u.waiting--
	return p.queue.Pop(), true
}

// awaits reports whether p waits for blocks of a piece.
func (u *uploader) awaits(p *uploadPeer, piece uint32) bool {
	if p.find(piece) >= 0 {
		return true
	}
	for _, x := range p.handed.All() {
		if x.block.Piece == piece {
			return true
		}
	}
	return false
}

// waitsForTurn reports whether p requests blocks, and none of them is with the shell.
func (p *uploadPeer) waitsForTurn() bool { return p.queue.Len() > 0 && p.handed.Len() == 0 }

// done records that a block is no longer with the shell: it was sent, or will not be.
func (u *uploader) done(p *uploadPeer, b Block) {
	for i, x := range p.handed.All() {
		if x.block == b {
			p.handed.RemoveAt(i)
			p.inflight -= int64(b.Length)
			return
		}
	}
	panic("engine: a block came back that was not with the shell")
}

// serve hands requests to the shell.
func (u *uploader) serve(now mono.Time, sink uploadSink) {
	if u.waiting == 0 {
		return
	}
	u.calls++
	if u.isLimited() {
		u.serveInTurns(now, sink)
		return
	}
	for _, p := range u.peers {
		if p.queue.Len() == 0 {
			continue
		}
		window := windowOf(sink.takes(p.conn))
		if p.inflight > window/2 { // it is refilled by half a window at a time, so that writes are large
			continue
		}
		for p.handed.Len() < maxHanded && p.inflight < window {
			// Only if no more urgent request is possible is it cheap to choose for each block.
			if p.find(p.piece) < 0 || sink.urgency(p.conn, p.queue.Front().Piece).class == 0 {
				p.piece, _ = p.mostUrgent(sink)
			}
			if u.hand(now, p, sink) == 0 {
				break
			}
		}
	}
}

// serveInTurns serves one peer after the other, until the shell has enough to keep the
// uplink busy for aheadTime. Blocks that wait for slow peers do not count as enough.
func (u *uploader) serveInTurns(now mono.Time, sink uploadSink) {
	whole := max(int64(float64(u.limit)*aheadTime.Seconds()), minAhead)
	slower := min(max(float64(u.limit)/max(sink.sent(), 1), 1), maxHeld)
	held := time.Duration(heldFactor * slower * float64(whole) / float64(u.limit) * float64(time.Second))
	ahead := whole
	for _, p := range u.peers {
		if p.inflight > 0 && !p.isHeld(now, held) {
			ahead -= p.inflight
		}
	}
	if ahead < whole/aheadPart {
		return
	}
	for ahead > 0 {
		if p := u.turn; p == nil || u.left <= 0 || !u.isReady(now, p, held, sink) || p.find(p.piece) < 0 {
			if !u.nextTurn(now, held, sink) {
				return
			}
		}
		n := u.hand(now, u.turn, sink)
		u.turn.ranked = false
		if n == 0 {
			u.turn = nil
			continue
		}
		u.turn.at += float64(n) / sink.weight(u.turn.conn)
		u.left -= n
		ahead -= n
	}
}

// windowOf returns how many bytes of a peer that takes so many a second may be with the
// shell at most.
func windowOf(rate float64) int64 { return min(max(int64(rate/2), minWindow), maxWindow) }

// isHeld reports whether p accepts blocks more slowly than the uplink could send them:
// its oldest block has been with the shell for longer than after.
func (p *uploadPeer) isHeld(now mono.Time, after time.Duration) bool {
	return p.handed.Len() > 0 && now.Sub(p.handed.Front().since) > after
}

// find returns the index of the first request for a piece, or -1.
func (p *uploadPeer) find(piece uint32) int {
	for i, b := range p.queue.All() {
		if b.Piece == piece {
			return i
		}
	}
	return -1
}

// hand hands one requested block of p to the shell, of p.piece if there is one. It returns
// the length of the block, or 0 if none may be sent.
func (u *uploader) hand(now mono.Time, p *uploadPeer, sink uploadSink) int64 {
	for p.queue.Len() > 0 {
		i := max(p.find(p.piece), 0)
		if !sink.maySend(p.conn, p.queue.At(i).Length) {
			p.refused = u.calls
			return 0
		}
		b := p.queue.RemoveAt(i)
		u.waiting--
		if sink.upload(p.conn, b) {
			p.inflight += int64(b.Length)
			p.handed.Push(handedBlock{b, now})
			return int64(b.Length)
		}
	}
	return 0
}

// isReady reports whether p has requests that may be handed to the shell.
func (u *uploader) isReady(now mono.Time, p *uploadPeer, held time.Duration, sink uploadSink) bool {
	if p.queue.Len() == 0 || p.refused == u.calls || p.handed.Len() >= maxHanded || p.isHeld(now, held) {
		return false
	}
	if p.known != u.calls {
		p.known, p.ranked, p.window = u.calls, false, windowOf(sink.takes(p.conn))
	}
	return p.inflight < p.window
}

// nextTurn chooses the peer to serve next and which of its pieces to send. The most urgent
// piece comes first; of equally urgent ones that of the peer with the least virtual time,
// which received the least for its weight. It reports false if no peer is ready.
func (u *uploader) nextTurn(now mono.Time, held time.Duration, sink uploadSink) bool {
	u.turns++
	plain := u.turns%plainEvery == 0
	for {
		u.turn = u.first(now, held, plain, sink)
		if u.turn == nil {
			return false
		}
		// A piece that others were sent since it was ranked is less urgent now. No piece
		// has become more urgent.
		if p := u.turn; sink.urgency(p.conn, p.piece) == p.rank {
			break
		}
		u.turn.ranked = false
	}
	u.at = max(u.at, u.turn.at)
	u.left = max(int64(float64(u.limit)*turnLength.Seconds()), blockSize)
	return true
}

// first returns the peer that comes next by what is known of the ranks, or nil if no peer
// is ready.
func (u *uploader) first(now mono.Time, held time.Duration, plain bool, sink uploadSink) (best *uploadPeer) {
	for _, p := range u.peers {
		if !u.isReady(now, p, held, sink) {
			if p.refused == u.calls || p.isHeld(now, held) {
				p.at = max(p.at, u.at) // as in add
			}
			continue
		}
		if !p.ranked {
			p.piece, p.rank = p.mostUrgent(sink)
			p.ranked = true
		}
		switch {
		case best == nil, !plain && p.rank.isBefore(best.rank):
		case !plain && best.rank.isBefore(p.rank), best.at <= p.at:
			continue
		}
		best = p
	}
	return best
}

// mostUrgent returns the most urgent piece that p requests; of equally urgent ones the one
// that was requested first.
func (p *uploadPeer) mostUrgent(sink uploadSink) (piece uint32, best urgency) {
	seen := false
	for i, b := range p.queue.All() {
		if i == maxRanked {
			break
		}
		if seen && b.Piece == piece {
			continue
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
