package engine

import (
	"math/rand/v2"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
	"seedbed/magnet/metainfo"
)

// requestSink carries out the requester's decisions, and knows which origins sent bad
// blocks. Its methods do not change the requester.
type requestSink interface {
	// request requests a block from a peer. Its payload goes into a slot at offset.
	request(conn Conn, slot Slot, offset uint32, b Block)
	// cancel withdraws a request. rejected says that the peer has announced that it will
	// not send the block.
	cancel(conn Conn, b Block, rejected bool)
	// store hands over a slot after all blocks of b have arrived. All parts of one copy
	// of a piece have the same round. The blocks of the piece in kept are on the disk already.
	store(slot Slot, b Block, round uint32, kept bitset.Set)
	// dropSlot discards the contents of a slot.
	dropSlot(slot Slot)

	// hold and release count the kept blocks of an origin.
	hold(origin uint32)
	release(origin uint32)
	// isSuspect reports whether a copy of the piece was bad and the sender is not yet
	// known.
	isSuspect(piece uint32) bool
	// hasContributed reports whether an origin contributed to a bad copy of the piece.
	hasContributed(origin, piece uint32) bool
	// isResting reports whether the piece is currently not requested from an origin.
	isResting(origin, piece uint32) bool
}

// requester decides which blocks to request from which peer, and when to request them
// from another one. Its parts are the picker (which piece to begin next), the slots (the
// memory budget), the focus (what a reader is waiting for), and the standing of each peer
// (what it has delivered).
//
// Every needed piece is either idle (in the picker) or open. A block of an open chunk is
// in exactly one of three states: free, requested from one or several peers, or done.
type requester struct {
	sink requestSink
	now  mono.Time // time of the current call; see begin
	rng  *rand.Rand

	info      *metainfo.Info // nil until start
	n         int            // pieces
	chunkSize uint32
	paused    bool // nothing is requested or stored

	need  bitset.Set // wanted but not verified
	nNeed int
	nHave int // verified pieces

	padding  bitset.Set // pieces that contain only padding (BEP 47); length 0 if there are none
	nPadding int

	keep        keeper
	pick        *picker
	order       *pieceOrder // nil: rarest first, all pieces in one class
	slots       slots
	focus       focus
	pieces      pieceBook
	outstanding requestBook
	peers       peerList
	intake      intake
}

// peerList holds the peers in order of arrival, and totals over all of them.
type peerList struct {
	all   []*requestPeer
	full  bitset.Set // every piece; shared by all peers that have everything
	none  bitset.Set // no piece; shared by all peers that have nothing yet
	seeds int        // peers counted as having everything; the picker does not count them

	freed     bool                   // a slot, block or piece became free: all peers may look for work again
	recheckAt mono.Time              // when all look again; see scheduleRecheck
	first     int                    // index of the peer that is served first
	turns     [nTurns][]*requestPeer // used by refillAll

	endgameAt mono.Time     // when the endgame began; Never outside the endgame
	askable   int           // peers from which more than one block can be requested
	downTotal float64       // bytes per second of all peers
	bestGap   time.Duration // time per block of the fastest peer; 0 means unknown
}

// intake counts received payload.
type intake struct {
	rate      rate.Meter
	bytes     int64
	last      mono.Time // when the last of them arrived; 0: never
	wasted    int64
	kept      int64 // bytes of verified pieces that were on the disk before
	hashFails int
}

func newRequester(sink requestSink, chunkSize uint32, rng *rand.Rand) requester {
	return requester{sink: sink, rng: rng, chunkSize: chunkSize,
		peers: peerList{recheckAt: mono.Never, endgameAt: mono.Never}}
}

// begin sets the time for the calls that follow.
func (r *requester) begin(now mono.Time) { r.now = now }

// start sets the torrent's geometry. No piece is needed until setNeed is called.
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

// setBudget sets the number of slots.
func (r *requester) setBudget(slots int) {
	r.slots.resize(slots)
	r.peers.freed = true
}

// setPaused stops all requests while storage fails, or resumes them.
func (r *requester) setPaused(paused bool) { r.paused = paused }

// setNeed sets which pieces are verified and which are wanted.
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
		if r.pieces.open[uint32(i)] == nil && !r.keep.holds(uint32(i)) {
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

// availability returns how many copies of the torrent the peers have together: complete
// copies, plus the available fraction of one more.
func (r *requester) availability() float64 {
	if r.n == 0 {
		return 0
	}
	return float64(r.peers.seeds) + r.pick.copies()
}

// needsPieces reports whether a wanted piece is not yet verified.
func (r *requester) needsPieces() bool { return r.nNeed > 0 }

// isScarce reports whether no peer is a seed and no peer has some piece.
func (r *requester) isScarce() bool { return r.peers.seeds == 0 && r.pick.missing > 0 }

// gotPiece records that a piece has been verified.
func (r *requester) gotPiece(index uint32) {
	i := int(index)
	r.nHave++
	r.pick.take(index)
	r.intake.kept += r.keep.done(index, r.info.DataSize(i))
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

// tick does the work that is due.
func (r *requester) tick() {
	if r.now >= r.peers.recheckAt {
		r.peers.recheckAt = mono.Never
		r.peers.freed = true
	}
}

// deadline returns when tick is due next.
func (r *requester) deadline() mono.Time { return r.peers.recheckAt }
