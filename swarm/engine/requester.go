package engine

import (
	"math/rand/v2"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
	"seedbed/magnet/metainfo"
)

// requestSink carries out what the requester decides, and knows which origins sent
// bad blocks. A call of it does not change the requester.
type requestSink interface {
	// request asks a peer for a block, which goes into a slot at offset.
	request(conn Conn, slot Slot, offset uint32, b Block)
	// cancel takes a request back. told says that the peer announced that it will
	// not send the block.
	cancel(conn Conn, b Block, told bool)
	// store hands over a slot whose blocks b have all arrived. round counts how often
	// pieces were begun: the parts of one copy of a piece have the same.
	store(slot Slot, b Block, round uint32)
	// dropSlot discards what a slot holds.
	dropSlot(slot Slot)

	// hold and release count the blocks of an origin that are kept.
	hold(origin uint32)
	release(origin uint32)
	// isSuspect reports whether a copy of the piece was bad, and nobody is blamed yet.
	isSuspect(piece uint32) bool
	// isNamed reports whether an origin had a part in a bad copy of the piece.
	isNamed(origin, piece uint32) bool
	// isResting reports whether an origin is not asked for the piece for now.
	isResting(origin, piece uint32) bool
}

// requester decides which blocks are asked of which peer, and when they are asked of
// another. Its parts are the picker (which piece is begun next), the slots (the
// budget of memory), the focus (what a reader waits for), and a standing for each
// peer (what it delivered).
//
// Every needed piece is either idle (with the picker) or open. A block of an open
// chunk is exactly one of: free, on order at one or several peers, or done.
type requester struct {
	sink requestSink
	now  mono.Time // of the present call; see begin
	rng  *rand.Rand

	info      *metainfo.Info // nil until opened
	n         int            // pieces
	chunkSize uint32
	paused    bool // nothing is asked for, nor stored

	need  bitset.Set // wanted and not verified
	nNeed int
	nHave int // verified pieces

	padding  bitset.Set // pieces of nothing but padding (BEP 47); length 0 if there are none
	nPadding int

	pick   *picker
	slots  slots
	focus  focus
	pieces pieceBook
	leases leaseBook
	peers  peerList
	intake intake
}

// peerList holds the peers in the order they came, and what all of them deliver.
type peerList struct {
	all   []*requestPeer
	full  bitset.Set // every piece; shared by all peers that have everything
	none  bitset.Set // no piece; shared by all peers that have nothing yet
	seeds int        // peers counted as having everything, apart from the picker

	freed  bool                   // a slot, a block or a piece became free: all may look again
	lookAt mono.Time              // when all look again; see lookAgain
	first  int                    // who is asked first
	turns  [nTurns][]*requestPeer // of refillAll

	endgameAt mono.Time     // when the endgame began; Never outside of it
	askable   int           // peers that can be asked for more than one block
	downTotal float64       // bytes a second of all of them
	bestGap   time.Duration // how long the best of them takes for a block; 0 is unknown
}

// intake counts what arrived.
type intake struct {
	rate      rate.Meter
	bytes     int64
	wasted    int64
	hashFails int
}

func newRequester(sink requestSink, chunkSize uint32, rng *rand.Rand) requester {
	return requester{sink: sink, rng: rng, chunkSize: chunkSize,
		peers: peerList{lookAt: mono.Never, endgameAt: mono.Never}}
}

// begin sets the time of the calls that follow.
func (r *requester) begin(now mono.Time) { r.now = now }

// start takes up a torrent: nothing is needed before the first setNeed.
func (r *requester) start(info *metainfo.Info) {
	r.info, r.n = info, info.NumPieces()
	r.need = bitset.New(r.n)
	r.peers.full, r.peers.none = bitset.New(r.n), bitset.New(r.n)
	r.peers.full.Fill()
	data := info.Wanted(nil)
	if r.nPadding = r.n - data.Count(); r.nPadding > 0 {
		r.padding = r.peers.full.Clone()
		r.padding.RemoveAll(data)
	}
	r.pick = newPicker(r.n, r.rng)
	r.pieces.open = make(map[uint32]*piece)
}

// isStarted reports whether the torrent's geometry is known.
func (r *requester) isStarted() bool { return r.info != nil }

// setBudget sets how many slots there are.
func (r *requester) setBudget(slots int) {
	r.slots.resize(slots)
	r.peers.freed = true
}

// setPaused stops all requests while storage fails, or lets them go on.
func (r *requester) setPaused(paused bool) { r.paused = paused }

// setNeed takes over which pieces are verified and which are wanted.
func (r *requester) setNeed(have, wanted bitset.Set) {
	r.nHave, r.nNeed = 0, 0
	for i := range r.n {
		has := have.Has(i)
		if has {
			r.nHave++
		}
		if wanted.Has(i) && !has {
			r.nNeed++
			r.need.Add(i)
		} else {
			r.need.Remove(i)
			r.pick.take(uint32(i))
		}
	}
	for i := len(r.pieces.opened) - 1; i >= 0; i-- {
		if pc := r.pieces.opened[i]; !r.need.Has(int(pc.index)) {
			r.abandon(pc)
		}
	}
	for i := r.need.Next(0); i >= 0; i = r.need.Next(i + 1) {
		if r.pieces.open[uint32(i)] == nil {
			r.pick.put(uint32(i))
		}
	}
	for _, p := range r.peers.all {
		if p.has.Len() == r.n {
			p.want = r.need.CountAnd(p.has)
		}
	}
	r.peers.freed = true
}

// availability returns how many copies of the torrent the peers hold together: the
// whole copies, and of the next one the part that is there.
func (r *requester) availability() float64 {
	if r.n == 0 {
		return 0
	}
	return float64(r.peers.seeds) + r.pick.copies()
}

// needsPieces reports whether a wanted piece is not verified.
func (r *requester) needsPieces() bool { return r.nNeed > 0 }

// isScarce reports whether no peer is a seed, and some piece is at no peer.
func (r *requester) isScarce() bool { return r.peers.seeds == 0 && r.pick.missing > 0 }

// gotPiece notes that a piece is verified that was not before.
func (r *requester) gotPiece(index uint32) {
	i := int(index)
	r.nHave++
	r.pick.take(index)
	if !r.need.Remove(i) {
		return
	}
	r.nNeed--
	for _, p := range r.peers.all {
		if p.has.Len() == r.n && p.has.Has(i) {
			p.want--
		}
	}
}

// tick does what is due by now.
func (r *requester) tick() {
	if r.now >= r.peers.lookAt {
		r.peers.lookAt = mono.Never
		r.peers.freed = true
	}
}

// deadline returns when tick is due next.
func (r *requester) deadline() mono.Time { return r.peers.lookAt }
