package engine

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
	"seedbed/magnet/metainfo"
)

// requestOrder is a request that was sent to a peer.
type requestOrder struct {
	conn  Conn
	slot  Slot
	block Block
}

// heldSlot is the test's state of a slot in use.
type heldSlot struct {
	piece, begin uint32
	filled       map[uint32]bool // blocks that arrived, by offset
}

// pendingStore is a chunk handed over to storage.
type pendingStore struct {
	slot  Slot
	block Block
}

// storedCopy is what storage has of a piece: the chunks of one round.
type storedCopy struct {
	round   uint32
	chunks  map[uint32]bool // by offset
	doubted bool            // it must be fetched again, in another round
}

// requestWorld is a requester whose peers, storage and blame are simulated by the test.
// It keeps its own state, derived only from the calls of the sink.
type requestWorld struct {
	t      rapid.TB
	rng    *rand.Rand
	r      requester
	info   *metainfo.Info
	chunk  uint32
	have   bitset.Set
	wanted bitset.Set
	peers  []*requestPeer
	n      Conn

	orders   []requestOrder
	landing  []requestOrder // requests of peers that are being closed
	slots    map[Slot]*heldSlot
	most     int // slots that may be in use
	stores   []pendingStore
	copies   map[uint32]*storedCopy
	held     map[uint32]int // kept blocks by origin
	suspects map[uint32]bool
	named    map[[2]uint32]bool
	resting  map[[2]uint32]bool
}

func newRequestWorld(t rapid.TB, info *metainfo.Info, chunk uint32, budget int) *requestWorld {
	w := &requestWorld{
		t: t, rng: rand.New(rand.NewPCG(1, 2)), info: info, chunk: chunk,
		have: bitset.New(info.NumPieces()), wanted: full(info.NumPieces()),
		slots: map[Slot]*heldSlot{}, copies: map[uint32]*storedCopy{}, held: map[uint32]int{},
		suspects: map[uint32]bool{}, named: map[[2]uint32]bool{}, resting: map[[2]uint32]bool{},
	}
	w.r = newRequester(w, chunk, w.rng)
	w.r.begin(1)
	w.r.start(info)
	w.setBudget(budget)
	w.setNeed()
	return w
}

func (w *requestWorld) setBudget(n int) {
	w.most = max(n, len(w.slots))
	w.r.setBudget(n)
}

func (w *requestWorld) setNeed() {
	w.r.setNeed(w.have, w.wanted)
	w.updateInterests()
}

func (w *requestWorld) updateInterests() {
	for _, p := range w.peers {
		if !p.closing {
			w.r.updateInterest(p)
		}
	}
}

func (w *requestWorld) peer(conn Conn) *requestPeer {
	if i := slices.IndexFunc(w.peers, func(p *requestPeer) bool { return p.conn == conn }); i >= 0 {
		return w.peers[i]
	}
	return nil
}

// request implements requestSink. It checks that the block is missing, that the peer has
// it, and that the slot holds only that chunk.
func (w *requestWorld) request(conn Conn, slot Slot, offset uint32, b Block) {
	o := requestOrder{conn, slot, b}
	p := w.peer(conn)
	switch {
	case p == nil || p.closing:
		w.t.Fatalf("%+v: the peer has left", o)
	case w.r.paused:
		w.t.Fatalf("%+v: requested while storage fails", o)
	case !p.has.Has(int(b.Piece)) || w.have.Has(int(b.Piece)) || !w.wanted.Has(int(b.Piece)):
		w.t.Fatalf("%+v: the peer lacks the piece, or it is not needed", o)
	case p.choked && !slices.Contains(p.allowed, b.Piece):
		w.t.Fatalf("%+v: the peer chokes us", o)
	case slices.ContainsFunc(w.orders, func(x requestOrder) bool { return x.conn == conn && x.block == b }):
		w.t.Fatalf("%+v: already requested", o)
	}
	begin := b.Begin / w.chunk * w.chunk
	s := w.slots[slot]
	if s == nil {
		if s = (&heldSlot{b.Piece, begin, map[uint32]bool{}}); len(w.slots) >= w.most {
			w.t.Fatalf("%+v: %d slots are already in use", o, len(w.slots))
		}
		for k, x := range w.slots {
			if x.piece == b.Piece && x.begin == begin {
				w.t.Fatalf("%+v: slot %d holds the same chunk", o, k)
			}
		}
		w.slots[slot] = s
	}
	if s.piece != b.Piece || s.begin != begin || offset != b.Begin-begin || s.filled[b.Begin] {
		w.t.Fatalf("%+v at %d: the slot is %+v", o, offset, s)
	}
	w.orders = append(w.orders, o)
}

func (w *requestWorld) cancel(conn Conn, b Block, rejected bool) {
	i := slices.IndexFunc(w.orders, func(o requestOrder) bool { return o.conn == conn && o.block == b })
	if i >= 0 {
		w.orders = slices.Delete(w.orders, i, i+1)
	} else if !rejected {
		w.t.Fatalf("cancelled %v of peer %d, which was not requested", b, conn)
	}
}

func (w *requestWorld) store(slot Slot, b Block, round uint32, _ bitset.Set) {
	s := w.slots[slot]
	if s == nil || s.piece != b.Piece || s.begin != b.Begin || len(s.filled) != int((b.Length+blockSize-1)/blockSize) || w.r.paused {
		w.t.Fatalf("invalid store of %v from slot %d: %+v", b, slot, s)
	}
	w.stores = append(w.stores, pendingStore{slot, b})
	if c := w.copies[b.Piece]; c == nil || c.round != round {
		w.copies[b.Piece] = &storedCopy{round: round, chunks: map[uint32]bool{}}
	}
	c := w.copies[b.Piece]
	if c.doubted {
		w.t.Fatalf("stored %v in the round of a discarded copy", b)
	}
	c.chunks[b.Begin] = true
}

func (w *requestWorld) dropSlot(slot Slot) {
	for _, o := range w.orders {
		if o.slot == slot {
			w.t.Fatalf("slot %d was dropped with request %+v outstanding", slot, o)
		}
	}
	delete(w.slots, slot) // a slot without any request is unknown here
}

func (w *requestWorld) hold(origin uint32) { w.held[origin]++ }

func (w *requestWorld) release(origin uint32) { w.held[origin]-- }

func (w *requestWorld) isSuspect(piece uint32) bool { return w.suspects[piece] }

func (w *requestWorld) hasContributed(origin, piece uint32) bool {
	return w.named[[2]uint32{origin, piece}]
}

func (w *requestWorld) isResting(origin, piece uint32) bool {
	return w.resting[[2]uint32{origin, piece}]
}

// join adds a peer that has the given pieces.
func (w *requestWorld) join(reqq int, has bitset.Set) *requestPeer {
	w.n++
	p := new(requestPeer)
	w.r.join(w.n, p)
	w.r.setOrigin(p, uint32(w.n%5)+1)
	w.r.setReqq(p, reqq)
	w.r.hasNothing(p)
	w.r.hasPieces(p, has)
	w.peers = append(w.peers, p)
	w.r.updateInterest(p)
	return p
}

// arrive makes the peer of a request deliver it. late says that it was canceled before.
func (w *requestWorld) arrive(o requestOrder, late bool) {
	p, s := w.peer(o.conn), w.slots[o.slot]
	if !late {
		i := slices.Index(w.orders, o)
		w.orders = slices.Delete(w.orders, i, i+1)
	}
	begin := o.block.Begin / w.chunk * w.chunk
	if s == nil || s.piece != o.block.Piece || s.begin != begin || s.filled[o.block.Begin] {
		w.r.unwanted(p, o.block)
		return
	}
	s.filled[o.block.Begin] = true
	w.r.received(p, BlockEvent{Kind: BlockArrived, Conn: o.conn, Block: o.block, Slot: o.slot})
}

// finishStore makes storage answer a store.
func (w *requestWorld) finishStore(i int, ok bool) {
	s := w.stores[i]
	w.stores = slices.Delete(w.stores, i, i+1)
	delete(w.slots, s.slot)
	if ok {
		w.r.noteStored(s.slot, s.block)
	} else {
		delete(w.copies[s.block.Piece].chunks, s.block.Begin)
		w.r.noteLost(s.slot, s.block)
	}
}

// whole returns the pieces that may be verified.
func (w *requestWorld) whole() (list []uint32) {
	for i := range uint32(w.info.NumPieces()) {
		if !w.have.Has(int(i)) && w.r.isWhole(i) {
			list = append(list, i)
		}
	}
	return list
}

func (w *requestWorld) verify(piece uint32, ok bool) {
	sources := w.r.appendSources(nil, piece)
	size := w.info.DataSize(int(piece))
	if n := (size + int64(w.chunk) - 1) / int64(w.chunk); len(w.copies[piece].chunks) != int(n) {
		w.t.Fatalf("piece %d is complete, but storage has %d chunks of %d in one round", piece, len(w.copies[piece].chunks), n)
	}
	if len(sources) != w.info.NumBlocks(int(piece)) {
		w.t.Fatalf("piece %d has %d blocks, not %d", piece, len(sources), w.info.NumBlocks(int(piece)))
	}
	if ok {
		delete(w.suspects, piece)
		w.have.Add(int(piece))
		w.r.gotPiece(piece)
		w.updateInterests()
		w.r.finish(piece)
		return
	}
	w.suspects[piece] = true
	w.copies[piece].doubted = true
	for _, o := range sources {
		w.named[[2]uint32{o, piece}] = true
		w.resting[[2]uint32{o, piece}] = w.rng.IntN(2) == 0
	}
	w.r.refetch(piece)
}

// close closes the connection of p. Until it leaves, blocks may still arrive.
func (w *requestWorld) close(p *requestPeer) {
	w.r.close(p)
	w.orders = slices.DeleteFunc(w.orders, func(o requestOrder) bool {
		if o.conn == p.conn {
			w.landing = append(w.landing, o)
		}
		return o.conn == p.conn
	})
}

// distrust ends a storage failure.
func (w *requestWorld) distrust() {
	for _, c := range w.copies {
		c.doubted = true
	}
	w.r.setPaused(false)
	w.r.distrust()
}

func (w *requestWorld) leave(p *requestPeer) {
	w.close(p)
	w.r.leave(p)
	w.landing = slices.DeleteFunc(w.landing, func(o requestOrder) bool { return o.conn == p.conn })
	w.peers = slices.DeleteFunc(w.peers, func(q *requestPeer) bool { return q == p })
}

// tick advances the time, and does the once-per-second work if due.
func (w *requestWorld) tick(d time.Duration) {
	w.r.begin(w.r.now.Add(d))
	w.r.tick()
	if d < time.Second {
		return
	}
	w.r.measurePeers()
	for _, p := range w.peers {
		if !p.closing {
			w.r.measure(p)
			w.r.checkOverdue(p)
		}
	}
}

// check compares the state of the requester with that of the test.
func (w *requestWorld) check() {
	checkRequester(&w.r, w.t.Fatalf)
	out := map[requestOrder]bool{}
	held := map[uint32]int{}
	for _, p := range w.r.peers.all {
		if p.closing {
			continue
		}
		for l := p.outstanding.oldest; l != nil; l = l.next {
			out[requestOrder{p.conn, l.chunk.slot, l.chunk.piece.blockOf(l.block)}] = true
		}
		if reqq := max(p.reqq, minDepth); p.reqq > 0 && p.outstanding.n > reqq+maxDuplicates {
			w.t.Fatalf("%d requests at a peer that queues %d", p.outstanding.n, reqq)
		}
	}
	for _, o := range w.orders {
		if !out[o] {
			w.t.Fatalf("%+v is not outstanding", o)
		}
	}
	if len(out) != len(w.orders) {
		w.t.Fatalf("%d requests are outstanding, not %d", len(out), len(w.orders))
	}
	for _, pc := range w.r.pieces.opened {
		for b := range pc.block {
			x := &pc.block[b]
			k := pc.chunkOf(uint32(b))
			if x.done {
				held[x.from]++
			}
			if x.done && x.held != nil {
				w.t.Fatalf("block %d of piece %d is both done and requested", b, pc.index)
			}
			if s := w.slots[k.slot]; k.state == chunkOpen && (s != nil && s.filled[uint32(b)*blockSize]) != x.done {
				w.t.Fatalf("block %d of piece %d: done %v, in the slot %+v", b, pc.index, x.done, s)
			}
		}
	}
	for origin, n := range w.held {
		if held[origin] != n {
			w.t.Fatalf("%d blocks of origin %d are held, not %d", n, origin, held[origin])
		}
	}
	if w.r.slots.inUse < len(w.slots) {
		w.t.Fatalf("%d slots are counted as used, but %d are", w.r.slots.inUse, len(w.slots))
	}
}

// settle lets one good peer deliver everything missing, storage succeed and every piece
// verify, until nothing is needed.
func (w *requestWorld) settle() {
	if w.r.paused {
		w.distrust()
	}
	w.r.setFocus(nil, false)
	clear(w.named)
	clear(w.resting)
	if w.r.slots.budget == 0 {
		w.setBudget(1)
	}
	w.setNeed()
	w.r.noteUnchoke(w.join(0, full(w.info.NumPieces())))
	good := w.n
	for began := w.r.now; w.r.nNeed > 0 || len(w.stores) > 0; {
		if w.r.now.Sub(began) > 10*time.Minute {
			w.t.Fatalf("%d pieces are still needed after %v", w.r.nNeed, w.r.now.Sub(began))
		}
		w.r.refillAll()
		for _, o := range slices.Clone(w.orders) {
			if o.conn == good && slices.Contains(w.orders, o) {
				w.arrive(o, false)
			}
		}
		for len(w.stores) > 0 {
			w.finishStore(0, true)
		}
		for _, piece := range w.whole() {
			w.verify(piece, true)
		}
		w.tick(time.Second)
		w.check()
	}
	if len(w.r.pieces.opened) > 0 || len(w.slots) > 0 || w.r.slots.inUse > 0 {
		w.t.Fatalf("%d pieces are open and %d slots in use although nothing is needed", len(w.r.pieces.opened), w.r.slots.inUse)
	}
}

// Whatever peers, storage and users do, each block of a needed piece is either free,
// requested or done, the budget is respected, and one good peer completes the download.
func TestRequesterStaysConsistent(t *testing.T) {
	shapes := []struct {
		info  *metainfo.Info
		chunk uint32
	}{
		{testInfo(t, 12, 96<<10, 50_000, false), 64 << 10},
		{testInfo(t, 24, 32<<10, 1, false), 64 << 10},
		{testInfo(t, 5, 256<<10, 70_000, false), 64 << 10},
		{testInfo(t, 9, 128<<10, 128<<10, false), 1 << 20},
	}
	rapid.Check(t, func(t *rapid.T) {
		shape := rapid.SampledFrom(shapes).Draw(t, "shape")
		pieces := shape.info.NumPieces()
		w := newRequestWorld(t, shape.info, shape.chunk, rapid.IntRange(1, 8).Draw(t, "budget"))
		set := rapid.Custom(func(t *rapid.T) bitset.Set {
			s := bitset.New(pieces)
			for i := range pieces {
				if rapid.Bool().Draw(t, "has") {
					s.Add(i)
				}
			}
			return s
		})
		piece := rapid.Uint32Range(0, uint32(pieces)-1)
		anyPeer := func() *requestPeer {
			live := slices.DeleteFunc(slices.Clone(w.peers), func(p *requestPeer) bool { return p.closing })
			if len(live) == 0 {
				return w.join(0, full(pieces))
			}
			return rapid.SampledFrom(live).Draw(t, "peer")
		}
		actions := map[string]func(){
			"join": func() {
				has := full(pieces)
				if rapid.Bool().Draw(t, "partial") {
					has = set.Draw(t, "pieces")
				}
				p := w.join(rapid.SampledFrom([]int{0, 1, 3, 250}).Draw(t, "reqq"), has)
				if rapid.Bool().Draw(t, "unchokes") {
					w.r.noteUnchoke(p)
				}
			},
			"refill": func() { w.r.refillAll() },
			"deliver": func() {
				for range rapid.IntRange(1, 12).Draw(t, "blocks") {
					if len(w.orders) > 0 {
						w.arrive(w.orders[0], false)
					}
				}
			},
			"deliver any": func() {
				if len(w.orders) > 0 {
					w.arrive(rapid.SampledFrom(w.orders).Draw(t, "order"), false)
				}
			},
			"deliver after a cancel": func() {
				if len(w.orders) > 0 {
					o := rapid.SampledFrom(w.orders).Draw(t, "order")
					w.r.cancel(w.r.find(w.peer(o.conn), o.block), false)
					w.arrive(o, true)
				}
			},
			"deliver while closing": func() {
				if len(w.landing) > 0 {
					o := w.landing[0]
					w.landing = w.landing[1:]
					w.arrive(o, true)
				}
			},
			"deliver without a request": func() {
				p := anyPeer()
				crossed := p.cancelled.recent + p.cancelled.before
				if ok := w.r.unwanted(p, Block{piece.Draw(t, "piece"), 0, 2}); ok && crossed == 0 {
					t.Fatal("the block was taken for the answer to a cancelled request")
				}
			},
			"reject": func() {
				if len(w.orders) == 0 {
					return
				}
				o := rapid.SampledFrom(w.orders).Draw(t, "order")
				w.orders = slices.DeleteFunc(w.orders, func(x requestOrder) bool { return x == o })
				if known, _ := w.r.noteReject(w.peer(o.conn), o.block); !known {
					t.Fatalf("the reject of %+v was not recognised", o)
				}
			},
			"choke": func() {
				p := anyPeer()
				w.r.noteChoke(p)
				if rapid.Bool().Draw(t, "without the fast extension") {
					w.r.release(p, true)
					if p.out() > 0 {
						t.Fatal("requests are still outstanding")
					}
				}
			},
			"unchoke": func() { w.r.noteUnchoke(anyPeer()) },
			"allow":   func() { w.r.noteAllowed(anyPeer(), piece.Draw(t, "piece")) },
			"suggest": func() { w.r.noteSuggest(anyPeer(), piece.Draw(t, "piece")) },
			"have": func() {
				p, i := anyPeer(), piece.Draw(t, "piece")
				if !p.has.Has(int(i)) {
					w.r.addPiece(p, i)
					w.r.updateInterest(p)
				}
			},
			"have more": func() {
				p, more := anyPeer(), set.Draw(t, "pieces")
				more.RemoveAll(p.has)
				w.r.addPieces(p, more, more.Count())
				w.r.updateInterest(p)
			},
			"have no more": func() {
				p, i := anyPeer(), piece.Draw(t, "piece")
				if p.has.Has(int(i)) {
					w.r.removePiece(p, i)
					w.r.updateInterest(p)
				}
			},
			"order": func() {
				var class []uint8
				if rapid.Bool().Draw(t, "classes") {
					class = rapid.SliceOfN(rapid.Uint8Range(0, uint8(nClasses-1)), pieces, pieces).Draw(t, "class")
				}
				w.r.setOrder(class, rapid.Bool().Draw(t, "sequential"), piece.Draw(t, "from"))
			},
			"close": func() { w.close(anyPeer()) },
			"leave": func() {
				if len(w.peers) > 0 {
					w.leave(rapid.SampledFrom(w.peers).Draw(t, "peer"))
				}
			},
			"serve": func() { // an honest peer and storage for a while
				w.r.refillAll()
				for range rapid.IntRange(1, 40).Draw(t, "blocks") {
					if len(w.orders) > 0 {
						w.arrive(w.orders[0], false)
					}
				}
				for range rapid.IntRange(0, len(w.stores)).Draw(t, "stores") {
					w.finishStore(0, true)
				}
			},
			"store": func() {
				if len(w.stores) > 0 {
					w.finishStore(rapid.IntRange(0, len(w.stores)-1).Draw(t, "store"), rapid.IntRange(0, 5).Draw(t, "luck") > 0)
				}
			},
			"verify": func() {
				if list := w.whole(); len(list) > 0 {
					w.verify(rapid.SampledFrom(list).Draw(t, "piece"), rapid.IntRange(0, 2).Draw(t, "luck") > 0)
				}
			},
			"end parole": func() {
				i := piece.Draw(t, "piece")
				delete(w.suspects, i)
				w.r.endParole(i)
			},
			"storage fails": func() { w.r.setPaused(true) },
			"storage is back": func() {
				if i := piece.Draw(t, "lost"); w.have.Has(int(i)) {
					w.have.Remove(int(i))
				}
				w.distrust()
				w.setNeed()
			},
			"want": func() {
				w.wanted = set.Draw(t, "wanted")
				w.setNeed()
			},
			"focus": func() {
				w.r.setFocus(rapid.SliceOfN(piece, 1, 4).Draw(t, "focus"), rapid.Bool().Draw(t, "rest"))
			},
			"no focus": func() { w.r.setFocus(nil, false) },
			"budget":   func() { w.setBudget(rapid.IntRange(0, 8).Draw(t, "budget")) },
			"time": func() {
				w.tick(time.Duration(rapid.SampledFrom([]int{1, 300, 1000, 3000, 70_000}).Draw(t, "ms")) * time.Millisecond)
			},
		}
		// Most actions are disruptive, so the constructive ones are more frequent.
		names := slices.Sorted(maps.Keys(actions))
		for range 8 {
			names = append(names, "serve", "serve", "refill", "verify", "unchoke", "focus", "no focus")
		}
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), 300, 800).Draw(t, "actions") {
			actions[name]()
			w.check()
			if d := w.r.deadline(); d != mono.Never && d > w.r.now.Add(recheckEvery) {
				t.Fatalf("the next recheck is at %v, now is %v", d, w.r.now)
			}
		}
		w.settle()
	})
}
