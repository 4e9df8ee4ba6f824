package engine

import (
	"time"

	"seedbed/internal/fifo"
	"seedbed/internal/mono"
)

// The order in which blocks are sent determines how soon a swarm serves itself: a peer
// can pass a piece on only when it is complete. So with an upload limit, one piece goes
// to one peer, then one piece to the next, instead of a few blocks to each. Peers share
// the uplink by weight. A peer without requests leaves its share to the others.
//
// Without a known limit, the shell gets as many blocks of each peer as its connection
// takes, and TCP decides how fast each is sent.
//
// A block is with the shell from CmdUpload to BlockUploaded, BlockUnsent or BlockAway. From BlockFetching to BlockFetched
// it is not in the window, so that blocks whose data is here do not wait for those whose data is elsewhere.

const (
	// minWindow and maxWindow bound how many bytes of a peer may be with the shell. The
	// window is half a second at the peer's rate, so that a choke or cancel takes effect
	// soon.
	minWindow = 256 << 10
	maxWindow = 4 << 20
	// maxHanded bounds the number of blocks in a window, because a block may be a single
	// byte. It also bounds the number of blocks that are being fetched.
	maxHanded = 1024
	// With an upload limit, the shell holds what the uplink sends in aheadTime, and at
	// least minAhead, so that the uplink never waits for the engine.
	aheadTime = 250 * time.Millisecond
	minAhead  = 4 * blockSize
	// A block that has been with the shell for heldFactor times as long as the uplink
	// needs for all blocks there is waiting for its peer, not for the uplink. While the
	// actual rate is below the limit, that time is longer, by up to maxHeld.
	heldFactor = 2
	maxHeld    = 4
	// At least 1/aheadPart of what the shell may hold is handed over at once. So peers
	// are compared only a few times per second, however small the blocks or high the
	// limit.
	aheadPart = 4
	// turnLength bounds a turn: how long one piece is sent to one peer before the
	// uploader chooses again.
	turnLength = time.Second
	// One turn in plainEvery ignores urgency, so that no peer starves while others
	// request more urgent pieces.
	plainEvery = 32
	// maxRanked bounds how many requests of a peer are examined to choose a piece.
	maxRanked = 64
)

// uploadPeer is the uploader's state of a peer.
type uploadPeer struct {
	conn        Conn
	queue       fifo.Queue[Block]       // requests that have not been handed to the shell
	inflight    int64                   // bytes in handed
	handed      fifo.Queue[handedBlock] // blocks with the shell, oldest first, except those in fetching
	fetching    fifo.Queue[Block]       // blocks with the shell whose data is elsewhere, oldest first
	piece       uint32                  // its blocks are sent first
	virtualTime float64                 // virtual time: bytes sent to the peer, divided by its weight
	refused     uint32                  // the last call of serve in which maySend refused a block

	// Valid during one call of serve, if the uplink is limited:
	known  uint32 // number of that call
	window int64  // how many bytes may be with the shell
	ranked bool   // piece is the most urgent one, and rank its urgency
	rank   urgency
}

// handedBlock is a block that is with the shell.
type handedBlock struct {
	block Block
	since mono.Time // when it was handed over
}

// uploadSink carries out the uploader's decisions, and answers its questions.
type uploadSink interface {
	// weight returns the relative share of the uplink of a peer. It must be positive and
	// near 1 for an ordinary peer at any time, because virtual times of different moments
	// are compared.
	weight(Conn) float64
	// takes returns the rate at which a peer is being sent data, in bytes per second.
	takes(Conn) float64
	// sent returns the total upload rate in bytes per second.
	sent() float64
	// urgency ranks a piece that a peer has requested.
	urgency(conn Conn, piece uint32) urgency
	// maySend reports whether a block of that length may be sent to a peer now.
	maySend(conn Conn, length uint32) bool
	// upload hands a block to the shell. It returns false if we no longer have the piece.
	upload(Conn, Block) bool
}

// urgency ranks a requested piece: by class, then by cost. The lowest is sent first. In
// class 0 all pieces of one peer have the same cost.
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

// uploader decides which requests are handed to the shell, and when. Choosing a turn
// costs O(peers); handing over a block at most O(requests of its peer). Up to maxRanked
// requests of each peer are ranked a few times per second.
type uploader struct {
	limit       int64 // bytes per second; 0 means no limit
	waiting     int   // requests in the queues of all peers
	peers       []*uploadPeer
	turn        *uploadPeer // the peer being served, if the uplink is limited
	left        int64       // remaining bytes of its turn
	virtualTime float64     // virtual time of the peer served last; never decreases
	turns       uint32
	calls       uint32 // calls of serve
}

// setLimit sets the upload limit in bytes per second; 0 means no limit.
func (u *uploader) setLimit(bytesPerSecond int64) { u.limit, u.turn = bytesPerSecond, nil }

// isLimited reports whether there is an upload limit.
func (u *uploader) isLimited() bool { return u.limit > 0 }

// join adds a peer without requests.
func (u *uploader) join(conn Conn, p *uploadPeer) {
	*p = uploadPeer{conn: conn}
	u.peers = append(u.peers, p)
}

// leave removes a peer. A peer that never joined is ignored.
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
		p.virtualTime = max(p.virtualTime, u.virtualTime) // an unused share is not saved up
	}
	p.queue.Push(b)
	u.waiting++
}

// remove removes a request that has not been handed to the shell. It returns false if
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

// take removes the oldest request that has not been handed to the shell.
func (u *uploader) take(p *uploadPeer) (Block, bool) {
	if p.queue.Len() == 0 {
		return Block{}, false
	}
	u.waiting--
	return p.queue.Pop(), true
}

// awaits reports whether p has unanswered requests for a piece.
func (u *uploader) awaits(p *uploadPeer, piece uint32) bool {
	if p.find(piece) >= 0 {
		return true
	}
	for _, x := range p.handed.All() {
		if x.block.Piece == piece {
			return true
		}
	}
	for _, b := range p.fetching.All() {
		if b.Piece == piece {
			return true
		}
	}
	return false
}

// waitsForUs reports whether p has requests, but no data that it could take.
func (p *uploadPeer) waitsForUs() bool {
	return p.handed.Len() == 0 && (p.queue.Len() > 0 || p.fetching.Len() > 0)
}

// isWithShell reports whether the shell has blocks of p.
func (p *uploadPeer) isWithShell() bool { return p.handed.Len() > 0 || p.fetching.Len() > 0 }

// done records that a block has left the shell: it was sent, or will not be.
func (u *uploader) done(p *uploadPeer, b Block) {
	if !p.takeBack(b) && !p.endFetch(b) {
		panic("engine: unknown block done")
	}
}

// fetch records that the shell fetches the data of a block that it has.
func (u *uploader) fetch(p *uploadPeer, b Block) {
	if !p.takeBack(b) {
		panic("engine: unknown block fetched")
	}
	p.fetching.Push(b)
}

// fetched records that the shell has fetched the data of a block, and sends it.
func (u *uploader) fetched(now mono.Time, p *uploadPeer, b Block) {
	if !p.endFetch(b) {
		panic("engine: a block was not fetched")
	}
	p.handed.Push(handedBlock{b, now})
	p.inflight += int64(b.Length)
}

// takeBack removes a block from those in the window.
func (p *uploadPeer) takeBack(b Block) bool {
	for i, x := range p.handed.All() {
		if x.block == b {
			p.handed.RemoveAt(i)
			p.inflight -= int64(b.Length)
			return true
		}
	}
	return false
}

// endFetch removes a block from those that are being fetched.
func (p *uploadPeer) endFetch(b Block) bool {
	for i, x := range p.fetching.All() {
		if x == b {
			p.fetching.RemoveAt(i)
			return true
		}
	}
	return false
}

// isFull reports whether no more blocks may be with the shell, however small they are.
func (p *uploadPeer) isFull() bool { return p.handed.Len()+p.fetching.Len() >= maxHanded }

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
		if p.inflight > window/2 { // refilled by half a window at a time, so that writes are large
			continue
		}
		for !p.isFull() && p.inflight < window {
			// Choosing anew for each block is cheap only if no request can be more
			// urgent.
			if p.find(p.piece) < 0 || sink.urgency(p.conn, p.queue.Front().Piece).class == 0 {
				p.piece, _ = p.mostUrgent(sink)
			}
			if u.handOver(now, p, sink) == 0 {
				break
			}
		}
	}
}

// serveInTurns serves one peer after the other, until the shell has enough to keep the
// uplink busy for aheadTime. Blocks that wait for slow peers are not counted.
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
		n := u.handOver(now, u.turn, sink)
		u.turn.ranked = false
		if n == 0 {
			u.turn = nil
			continue
		}
		u.turn.virtualTime += float64(n) / sink.weight(u.turn.conn)
		u.left -= n
		ahead -= n
	}
}

// windowOf returns how many bytes of a peer with the given upload rate may be with the
// shell.
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

// handOver hands one requested block of p to the shell, preferably of p.piece. It returns the
// length of the block, or 0 if none may be sent.
func (u *uploader) handOver(now mono.Time, p *uploadPeer, sink uploadSink) int64 {
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
	if p.queue.Len() == 0 || p.refused == u.calls || p.isFull() || p.isHeld(now, held) {
		return false
	}
	if p.known != u.calls {
		p.known, p.ranked, p.window = u.calls, false, windowOf(sink.takes(p.conn))
	}
	return p.inflight < p.window
}

// nextTurn chooses the next peer and which of its pieces to send. The most urgent piece
// comes first; among equals, the peer with the least virtual time, which has received the
// least relative to its weight. It returns false if no peer is ready.
func (u *uploader) nextTurn(now mono.Time, held time.Duration, sink uploadSink) bool {
	u.turns++
	plain := u.turns%plainEvery == 0
	for {
		u.turn = u.first(now, held, plain, sink)
		if u.turn == nil {
			return false
		}
		// A piece that was sent to others since it was ranked is less urgent now. No
		// piece becomes more urgent.
		if p := u.turn; sink.urgency(p.conn, p.piece) == p.rank {
			break
		}
		u.turn.ranked = false
	}
	u.virtualTime = max(u.virtualTime, u.turn.virtualTime)
	u.left = max(int64(float64(u.limit)*turnLength.Seconds()), blockSize)
	return true
}

// first returns the next peer according to the current ranks, or nil if no peer is ready.
func (u *uploader) first(now mono.Time, held time.Duration, plain bool, sink uploadSink) (best *uploadPeer) {
	for _, p := range u.peers {
		if !u.isReady(now, p, held, sink) {
			if p.refused == u.calls || p.isHeld(now, held) {
				p.virtualTime = max(p.virtualTime, u.virtualTime) // as in add
			}
			continue
		}
		if !p.ranked {
			p.piece, p.rank = p.mostUrgent(sink)
			p.ranked = true
		}
		switch {
		case best == nil, !plain && p.rank.isBefore(best.rank):
		case !plain && best.rank.isBefore(p.rank), best.virtualTime <= p.virtualTime:
			continue
		}
		best = p
	}
	return best
}

// mostUrgent returns the most urgent piece that p requests; among equals, the one
// requested first.
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
