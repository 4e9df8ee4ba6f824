package engine

import (
	"container/heap"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// The simulation: engines on one goroutine over virtual links, from one seed.
// A block's payload is one byte, its quality: a liar sends blocks of quality 1,
// and a piece verifies when all its blocks are of quality 0. Slots and leases
// behave as the shell's do, and misuse of them fails the test.

type simConfig struct {
	seed      uint64
	nodes     int
	seeds     int
	liars     int
	pieces    int
	pieceLen  int64
	chunk     uint32
	budget    int
	magnet    bool          // leechers begin without metadata
	churn     float64       // share of nodes that vanish, and come back later with what they had
	dropEvery time.Duration // a random link breaks so often
	uploads   int
	plain     bool // no fast extension
	limit     time.Duration
	private   bool
	diskFails time.Duration // a leecher's storage fails so often
	reliable  bool
}

type simEvent struct {
	at  mono.Time
	seq uint64
	do  func()
}

type simQueue []simEvent

func (q simQueue) Len() int { return len(q) }
func (q simQueue) Less(i, j int) bool {
	if q[i].at != q[j].at {
		return q[i].at < q[j].at
	}
	return q[i].seq < q[j].seq
}
func (q simQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *simQueue) Push(x any)   { *q = append(*q, x.(simEvent)) }
func (q *simQueue) Pop() any {
	o := *q
	x := o[len(o)-1]
	*q = o[:len(o)-1]
	return x
}

type sim struct {
	t     *testing.T
	cfg   simConfig
	rng   *rand.Rand
	now   mono.Time
	seq   uint64
	queue simQueue
	nodes []*simNode
	byIP  map[netip.AddrPort]*simNode
	info  *metainfo.Info
	log   interface {
		Write([]byte) (int, error)
		Sum64() uint64
	}
	steps int
}

// simNode is one peer: an engine, its memory and its disk.
type simNode struct {
	s        *sim
	name     int
	addr     netip.AddrPort
	id       id.ID
	e        *Engine
	up       bool
	life     int // counts restarts: events of an earlier life are void
	liar     bool
	seed     bool
	conns    map[Conn]*simEnd
	order    []Conn
	nextConn Conn
	slots    map[Slot]*simSlot
	stored   map[uint32][]byte // piece -> quality of its blocks, as written
	rounds   map[uint32]uint32 // piece -> the round in which
	have     bitset.Set
	complete bool
	banned   []netip.AddrPort
	rate     float64   // bytes a second out
	free     mono.Time // when the uplink is free again
	broken   bool      // the disk is
	draining bool
	tickAt   mono.Time
	wants    int
	haves    map[uint32]bool
	served   int
}

type simSlot struct {
	piece   uint32
	begin   uint32
	blocks  map[uint32]byte // block of the piece -> quality
	storing bool
}

// simEnd is one end of a link.
type simEnd struct {
	owner   *simNode
	conn    Conn
	other   *simEnd
	delay   time.Duration
	last    mono.Time // in-order delivery: nothing arrives before what was sent earlier
	open    bool
	leases  map[Block]Slot
	choked  bool // by the other side, as its wire said
	allowed map[uint32]bool
	has     bitset.Set
}

func (s *sim) at(t mono.Time, do func()) {
	s.seq++
	heap.Push(&s.queue, simEvent{max(t, s.now), s.seq, do})
}

func (s *sim) note(n *simNode, format string, args ...any) {
	fmt.Fprintf(s.log, "%d %d ", s.now, n.name)
	fmt.Fprintf(s.log, format, args...)
	s.log.Write([]byte{'\n'})
}

func testInfo(t testing.TB, pieces int, pieceLen int64, last int64, private bool) *metainfo.Info {
	length := int64(pieces-1)*pieceLen + last
	hashes := make([]byte, 20*pieces)
	for i := range pieces {
		h := sha1.Sum(binary.BigEndian.AppendUint32(nil, uint32(i)))
		copy(hashes[20*i:], h[:])
	}
	info, err := metainfo.Build(metainfo.Plan{Name: "sample", PieceLength: pieceLen, Private: private,
		Files: []metainfo.PlanFile{{Path: []string{"sample"}, Length: length}}}, hashes)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func newSim(t *testing.T, cfg simConfig) *sim {
	if cfg.pieceLen == 0 {
		cfg.pieceLen = 64 << 10
	}
	if cfg.chunk == 0 {
		cfg.chunk = 64 << 10
	}
	if cfg.budget == 0 {
		cfg.budget = 8
	}
	if cfg.uploads == 0 {
		cfg.uploads = 4
	}
	if cfg.limit == 0 {
		cfg.limit = 4 * time.Hour
	}
	s := &sim{t: t, cfg: cfg, rng: rand.New(rand.NewPCG(cfg.seed, 1)), log: fnv.New64a(), byIP: map[netip.AddrPort]*simNode{}}
	s.info = testInfo(t, cfg.pieces, cfg.pieceLen, cfg.pieceLen/2+5, cfg.private)
	for i := range cfg.nodes {
		n := &simNode{s: s, name: i, seed: i < cfg.seeds}
		n.liar = i >= cfg.seeds && i < cfg.seeds+cfg.liars
		n.addr = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i + 1)}), 6881)
		n.rate = float64(200<<10) * (1 + 9*s.rng.Float64())
		s.byIP[n.addr] = n
		s.nodes = append(s.nodes, n)
		n.have = bitset.New(cfg.pieces)
		n.stored, n.rounds = map[uint32][]byte{}, map[uint32]uint32{}
		if n.seed || n.liar {
			n.have.Fill()
		}
	}
	for _, n := range s.nodes {
		n.start()
	}
	return s
}

// start brings a node up, with what its disk holds.
func (n *simNode) start() {
	s := n.s
	n.life++
	n.up, n.complete, n.broken = true, false, false
	for i := range n.id {
		n.id[i] = byte(s.rng.Uint32())
	}
	n.conns, n.order, n.slots = map[Conn]*simEnd{}, nil, map[Slot]*simSlot{}
	n.haves, n.banned = map[uint32]bool{}, nil
	n.tickAt = mono.Never
	n.e = New(Config{InfoHash: s.info.Hash, PeerID: n.id, ListenPort: n.addr.Port(), DHTPort: 1, Version: "sim",
		ChunkSize: s.cfg.chunk, Budget: s.cfg.budget, HalfOpen: 8, MaxConns: 30, Uploads: s.cfg.uploads,
		Hints: true, Seed: s.rng.Uint64()}, s.now)
	if !s.cfg.magnet || n.seed || n.liar || n.have.Count() > 0 {
		n.step(&Event{Kind: EvInfo, Info: s.info, Have: n.have})
	}
	n.candidates(6)
	if s.cfg.private { // nobody else will tell
		for _, o := range s.nodes {
			n.step(&Event{Kind: EvCandidates, Candidates: []Candidate{{o.addr, FromHint}}})
		}
	}
}

func (n *simNode) candidates(k int) {
	var c []Candidate
	for range k {
		o := n.s.nodes[n.s.rng.IntN(len(n.s.nodes))]
		c = append(c, Candidate{o.addr, FromHint})
	}
	n.step(&Event{Kind: EvCandidates, Candidates: c})
}

// later does something in this life of the node.
func (n *simNode) later(d time.Duration, do func()) {
	life := n.life
	n.s.at(n.s.now.Add(d), func() {
		if n.up && n.life == life {
			do()
		}
	})
}

func (n *simNode) step(ev *Event) {
	n.s.steps++
	n.e.Step(n.s.now, ev)
	n.soon()
}

// soon drains once for all that happens at this moment.
func (n *simNode) soon() {
	if !n.draining {
		n.draining = true
		life := n.life
		n.s.at(n.s.now, func() {
			if n.life == life {
				n.drain()
			}
		})
	}
}

func (n *simNode) drain() {
	n.draining = false
	if !n.up {
		return
	}
	cmds := n.e.Drain()
	for i := range cmds {
		n.do(&cmds[i])
	}
	n.check()
	if d := n.e.Deadline(); d != mono.Never && d < n.tickAt || n.tickAt <= n.s.now {
		if d == mono.Never {
			n.tickAt = mono.Never
			return
		}
		d = max(d, n.s.now+1)
		n.tickAt = d
		life := n.life
		n.s.at(d, func() {
			if n.up && n.life == life && n.tickAt == d {
				n.tickAt = mono.Never
				n.e.Tick(n.s.now)
				n.drain()
			}
		})
	}
}

func (n *simNode) fatal(format string, args ...any) {
	n.s.t.Helper()
	n.s.t.Fatalf("seed %d, at %v, node %d: %s", n.s.cfg.seed, time.Duration(n.s.now), n.name, fmt.Sprintf(format, args...))
}

func (n *simNode) do(c *Command) {
	s := n.s
	s.note(n, "%d %d %d %d %v %d %v %x", c.Kind, c.Conn, int32(c.Slot), c.Offset, c.Block, c.Fault, c.Addr, c.Bytes)
	end := n.conns[c.Conn]
	switch c.Kind {
	case CmdDial:
		n.dial(c.Addr)
	case CmdClose:
		if end != nil {
			end.shut(c.Fault)
		}
	case CmdSend:
		if end != nil { // else it went in the same batch of events
			end.send(c.Bytes)
		}
	case CmdRequest:
		n.request(end, c)
	case CmdCancel:
		if end == nil {
			return
		}
		if _, ok := end.leases[c.Block]; ok {
			delete(end.leases, c.Block)
			if !c.Quiet {
				end.send(wire.Append(nil, wire.Msg{Type: wire.Cancel, Index: c.Block.Piece, Begin: c.Block.Begin, Length: c.Block.Length}))
			}
		}
	case CmdUpload:
		if !n.have.Has(int(c.Block.Piece)) {
			n.fatal("uploads piece %d that it has not verified", c.Block.Piece)
		}
		if end == nil {
			n.fatal("uploads to a connection that is gone")
		}
		n.upload(end, c.Block)
	case CmdStore:
		n.store(c)
	case CmdDropSlot:
		if sl := n.slots[c.Slot]; sl == nil || sl.storing {
			n.fatal("drops slot %d that it does not hold", c.Slot)
		}
		for _, o := range n.order {
			for b, sl := range n.conns[o].leases {
				if sl == c.Slot {
					n.fatal("drops slot %d while block %v is leased", c.Slot, b)
				}
			}
		}
		delete(n.slots, c.Slot)
	case CmdMetadata:
		if c.Info == nil || c.Info.Hash != s.info.Hash {
			n.fatal("metadata is wrong")
		}
		info := c.Info
		n.later(50*time.Millisecond, func() { n.step(&Event{Kind: EvInfo, Info: info, Have: n.have}) })
	case CmdHave:
		if !n.have.Has(int(c.Block.Piece)) {
			n.fatal("has piece %d that is not verified", c.Block.Piece)
		}
		if n.haves[c.Block.Piece] && s.cfg.diskFails == 0 {
			n.fatal("says have %d twice", c.Block.Piece)
		}
		n.haves[c.Block.Piece] = true
	case CmdComplete:
		if !n.have.Full() {
			n.fatal("is complete with %d pieces", n.have.Count())
		}
		n.complete = true
	case CmdWantPeers:
		n.wants++
		n.later(100*time.Millisecond, func() { n.candidates(4) })
	case CmdBan:
		n.banned = append(n.banned, c.Addr)
	}
}

func (n *simNode) dial(to netip.AddrPort) {
	s := n.s
	if o := s.byIP[netip.AddrPortFrom(to.Addr(), 6881)]; o != nil {
		for _, b := range n.banned {
			if b.Addr() == to.Addr() {
				n.fatal("dials %v, which it banned", to)
			}
		}
	}
	delay := time.Duration(5+s.rng.IntN(100)) * time.Millisecond
	o := s.byIP[to]
	n.later(2*delay, func() {
		if o == nil || !o.up {
			n.step(&Event{Kind: EvDialFailed, Addr: to, Fault: FaultRefused})
			return
		}
		a := &simEnd{owner: n, delay: delay}
		b := &simEnd{owner: o, delay: delay}
		a.other, b.other = b, a
		from := netip.AddrPortFrom(n.addr.Addr(), uint16(40000+s.rng.IntN(20000)))
		a.attach(to, o.id, false)
		b.attach(from, n.id, true)
	})
}

func (x *simEnd) attach(addr netip.AddrPort, peer id.ID, incoming bool) {
	n := x.owner
	n.nextConn++
	x.conn = n.nextConn
	x.open, x.choked = true, true
	x.leases = map[Block]Slot{}
	x.allowed = map[uint32]bool{}
	x.has = bitset.New(n.s.cfg.pieces)
	n.conns[x.conn] = x
	n.order = append(n.order, x.conn)
	var r wire.Reserved
	r.SetExtended()
	r.SetDHT()
	if !n.s.cfg.plain {
		r.SetFast()
	}
	n.step(&Event{Kind: EvConnected, Conn: x.conn, Addr: addr, Incoming: incoming, PeerID: peer, Reserved: r})
}

// shut ends a link from this side; the other hears of it a delay later.
func (x *simEnd) shut(f Fault) {
	if !x.open {
		return
	}
	x.open = false
	n := x.owner
	n.later(0, func() { n.closed(x, f) })
	o := x.other
	if o.open {
		life := o.owner.life
		n.s.at(max(n.s.now.Add(x.delay), x.last), func() {
			if o.open && o.owner.up && o.owner.life == life {
				o.open = false
				o.owner.closed(o, FaultReset)
			}
		})
	}
}

func (n *simNode) closed(x *simEnd, f Fault) {
	if n.conns[x.conn] != x {
		return
	}
	delete(n.conns, x.conn)
	for i, c := range n.order {
		if c == x.conn {
			n.order = append(n.order[:i], n.order[i+1:]...)
			break
		}
	}
	n.step(&Event{Kind: EvClosed, Conn: x.conn, Fault: f})
}

// arrive has do happen at the other end when size bytes sent now have come.
func (x *simEnd) arrive(size int, do func(o *simEnd)) {
	n, o := x.owner, x.other
	s := n.s
	if !x.open {
		return
	}
	n.free = max(n.free, s.now).Add(time.Duration(float64(size) / n.rate * 1e9))
	x.last = max(x.last, n.free.Add(x.delay))
	life := o.owner.life
	s.at(x.last, func() {
		if o.open && o.owner.up && o.owner.life == life {
			do(o)
		}
	})
}

// send carries whole messages.
func (x *simEnd) send(b []byte) {
	b = append([]byte(nil), b...)
	x.arrive(len(b), func(o *simEnd) {
		for len(b) > 0 && o.open {
			size := int(binary.BigEndian.Uint32(b))
			m, err := wire.Parse(b[4 : 4+size])
			if err != nil {
				x.owner.fatal("sends what does not parse: %v", err)
			}
			b = b[4+size:]
			if m.Type == wire.Bitfield || m.Type == wire.Extended {
				m.Payload = append([]byte(nil), m.Payload...)
			}
			o.hear(m)
		}
	})
}

// hear keeps what the wire said for the invariants, and passes the message on.
func (x *simEnd) hear(m wire.Msg) {
	switch m.Type {
	case wire.Choke:
		x.choked = true
	case wire.Unchoke:
		x.choked = false
	case wire.AllowedFast:
		x.allowed[m.Index] = true
	case wire.HaveAll:
		x.has.Fill()
	case wire.Bitfield:
		x.has, _ = bitset.Parse(m.Payload, x.has.Len())
	case wire.Have:
		x.has.Add(int(m.Index))
	case wire.Extended:
		if m.Ext == wire.ExtDontHave {
			p, _ := wire.ParseDontHave(m.Payload)
			x.has.Remove(int(p))
		}
	}
	x.owner.step(&Event{Kind: EvMessage, Conn: x.conn, Msg: m})
}

func (n *simNode) request(x *simEnd, c *Command) {
	if x == nil {
		n.fatal("requests of a connection that is gone")
	}
	if x.open {
		if !x.has.Has(int(c.Block.Piece)) {
			n.fatal("requests piece %d that conn %d lacks", c.Block.Piece, c.Conn)
		}
		if x.choked && !x.allowed[c.Block.Piece] {
			n.fatal("requests while it is choked")
		}
	}
	if n.broken {
		n.fatal("requests while its disk is broken")
	}
	if n.have.Has(int(c.Block.Piece)) {
		n.fatal("requests piece %d that it has", c.Block.Piece)
	}
	if _, dup := x.leases[c.Block]; dup {
		n.fatal("leases %v twice on one connection", c.Block)
	}
	sl := n.slots[c.Slot]
	begin := c.Block.Begin - c.Offset
	if sl == nil {
		if int(c.Slot) >= n.s.cfg.budget {
			n.fatal("uses slot %d of a budget of %d", c.Slot, n.s.cfg.budget)
		}
		sl = &simSlot{piece: c.Block.Piece, begin: begin, blocks: map[uint32]byte{}}
		n.slots[c.Slot] = sl
	}
	if sl.piece != c.Block.Piece || sl.begin != begin || sl.storing {
		n.fatal("leases %v in slot %d, which holds another chunk", c.Block, c.Slot)
	}
	if _, done := sl.blocks[c.Block.Begin/blockSize]; done {
		n.fatal("leases %v, which it has", c.Block)
	}
	if !n.e.content.inEndgame() {
		for _, o := range n.order {
			if y := n.conns[o]; y.open {
				if _, dup := y.leases[c.Block]; dup {
					n.fatal("leases %v twice outside the endgame", c.Block)
				}
			}
		}
	}
	x.leases[c.Block] = c.Slot
	x.send(wire.Append(nil, wire.Msg{Type: wire.Request, Index: c.Block.Piece, Begin: c.Block.Begin, Length: c.Block.Length}))
}

func (n *simNode) upload(x *simEnd, b Block) {
	quality := byte(0)
	if n.liar && n.s.rng.IntN(3) == 0 {
		quality = 1 + byte(n.s.rng.IntN(200))
	}
	n.served++
	x.arrive(int(b.Length), func(o *simEnd) {
		m := o.owner
		slot, ok := o.leases[b]
		if !ok {
			m.step(&Event{Kind: EvUnwanted, Conn: o.conn, Block: b})
			return
		}
		delete(o.leases, b)
		sl := m.slots[slot]
		if sl == nil || sl.piece != b.Piece {
			m.fatal("block %v lands in slot %d, which is not its own", b, slot)
		}
		if _, done := sl.blocks[b.Begin/blockSize]; done {
			m.step(&Event{Kind: EvUnwanted, Conn: o.conn, Block: b})
			return
		}
		sl.blocks[b.Begin/blockSize] = quality
		m.step(&Event{Kind: EvBlock, Conn: o.conn, Block: b, Slot: slot})
	})
	if x.open {
		n.later(n.free.Sub(n.s.now), func() {
			if n.conns[x.conn] == x {
				n.step(&Event{Kind: EvUploaded, Conn: x.conn, Block: b})
			}
		})
	}
}

func (n *simNode) store(c *Command) {
	sl := n.slots[c.Slot]
	if sl == nil || sl.storing || sl.piece != c.Block.Piece || sl.begin != c.Block.Begin {
		n.fatal("stores slot %d, which holds something else", c.Slot)
	}
	if want := (int(c.Block.Length) + blockSize - 1) / blockSize; len(sl.blocks) != want {
		n.fatal("stores a chunk of %d blocks with %d", want, len(sl.blocks))
	}
	sl.storing = true
	slot, block, wantSums, round := c.Slot, c.Block, c.WantSums, c.Round
	n.later(time.Duration(1+n.s.rng.IntN(20))*time.Millisecond, func() {
		delete(n.slots, slot)
		if n.broken {
			n.step(&Event{Kind: EvStorageFailed, Slot: slot, Block: block})
			return
		}
		piece := block.Piece
		blocks := n.s.info.NumBlocks(int(piece))
		q := n.stored[piece]
		if q == nil || n.rounds[piece] != round {
			n.rounds[piece] = round
			q = make([]byte, blocks)
			for i := range q {
				q[i] = 255 // not there
			}
			n.stored[piece] = q
		}
		for b, v := range sl.blocks {
			q[b] = v
		}
		verify := func() {
			ok := true
			sums := make([]uint64, blocks)
			for i, v := range q {
				if v == 255 {
					return
				}
				ok = ok && v == 0
				sums[i] = uint64(v)
			}
			delete(n.stored, piece)
			if ok {
				n.have.Add(int(piece))
				if !wantSums {
					sums = nil
				}
			}
			n.step(&Event{Kind: EvVerified, Block: Block{Piece: piece}, OK: ok, Sums: sums})
		}
		stored := func() { n.step(&Event{Kind: EvStored, Slot: slot, Block: block}) }
		if n.s.rng.IntN(2) == 0 { // the order of the two is the shell's affair
			stored()
			verify()
		} else {
			verify()
			stored()
		}
	})
}

// check is made after every drain: the books agree with the memory.
func (n *simNode) check() {
	c := n.e.content
	if c == nil {
		return
	}
	if c.slots.inUse != len(n.slots) && !n.slotsLag() {
		n.fatal("has %d slots out, the shell %d", c.slots.inUse, len(n.slots))
	}
	if n.s.steps%64 != 0 {
		return
	}
	n.deepCheck()
}

// slotsLag: a slot whose first request was never made is known to the engine alone.
func (n *simNode) slotsLag() bool {
	for _, pc := range n.e.content.opened {
		for i := range pc.chunk {
			if k := &pc.chunk[i]; k.state == chunkOpen && n.slots[k.slot] == nil {
				return true
			}
		}
	}
	return false
}

func (n *simNode) deepCheck() {
	c := n.e.content
	// Availability is what the peers have.
	for i := range c.n {
		want := 0
		for _, p := range n.e.peers {
			if !p.closing && !p.counted && p.has.Len() == c.n && p.has.Has(i) {
				want++
			}
		}
		if int(c.pick.avail[i]) != want {
			n.fatal("piece %d: availability %d, not %d", i, c.pick.avail[i], want)
		}
		_, open := c.open[uint32(i)]
		if idle := c.pick.pos[i] >= 0; idle != (c.need.Has(i) && !open) {
			n.fatal("piece %d: idle %v, needed %v, open %v", i, idle, c.need.Has(i), open)
		}
	}
	leases := map[Block]int{}
	for _, p := range n.e.peers {
		for _, l := range p.down.queue[p.down.head:] {
			leases[l.chunk.piece.blockOf(l.block)]++
		}
		if !p.closing && p.has.Len() == c.n && p.want != c.need.CountAnd(p.has) {
			n.fatal("conn %d: want %d, not %d", p.conn, p.want, c.need.CountAnd(p.has))
		}
	}
	held := 0
	for _, pc := range c.opened {
		closed, stored := 0, 0
		for i := range pc.chunk {
			k := &pc.chunk[i]
			free, done := uint32(0), uint32(0)
			for b := k.first; b < k.first+k.blocks; b++ {
				x := &pc.block[b]
				if x.done {
					done++
				} else if x.leases == 0 {
					free++
					if b < k.next {
						n.fatal("piece %d: block %d is free before next %d", pc.index, b, k.next)
					}
				}
				if got := leases[pc.blockOf(b)]; got != int(x.leases) {
					n.fatal("block %v: %d leases, not %d", pc.blockOf(b), x.leases, got)
				}
				delete(leases, pc.blockOf(b))
			}
			if free != k.free || done != k.done {
				n.fatal("piece %d chunk %d: free %d done %d, not %d %d", pc.index, i, k.free, k.done, free, done)
			}
			switch k.state {
			case chunkClosed:
				closed++
			case chunkStored:
				stored++
			default:
				held++
			}
			if k.needy != (k.state == chunkOpen && k.free > 0) {
				n.fatal("piece %d chunk %d is needy: %v", pc.index, i, k.needy)
			}
		}
		if closed != pc.closed || stored != pc.stored {
			n.fatal("piece %d: closed %d stored %d, not %d %d", pc.index, pc.closed, pc.stored, closed, stored)
		}
	}
	if len(leases) > 0 {
		n.fatal("leases of blocks that are not open: %v", leases)
	}
	if held > c.slots.inUse {
		n.fatal("%d chunks hold %d slots", held, c.slots.inUse)
	}
}

func (n *simNode) stop() {
	n.up = false
	for _, o := range append([]Conn(nil), n.order...) {
		n.conns[o].shut(FaultReset)
	}
	n.stored = map[uint32][]byte{}
}

// run goes on until every leecher is complete, and returns the transcript's hash.
func (s *sim) run() uint64 {
	s.t.Helper()
	if s.cfg.churn > 0 {
		for _, n := range s.nodes[s.cfg.seeds+s.cfg.liars:] {
			if s.rng.Float64() < s.cfg.churn {
				s.at(mono.Time(1+s.rng.Int64N(int64(30*time.Second))), func() {
					n.stop()
					s.at(s.now.Add(time.Duration(s.rng.Int64N(int64(40*time.Second)))), n.start)
				})
			}
		}
	}
	if s.cfg.dropEvery > 0 {
		var cut func()
		cut = func() {
			if n := s.nodes[s.rng.IntN(len(s.nodes))]; n.up && len(n.order) > 0 {
				n.conns[n.order[s.rng.IntN(len(n.order))]].shut(FaultReset)
			}
			s.at(s.now.Add(s.cfg.dropEvery), cut)
		}
		s.at(s.now.Add(s.cfg.dropEvery), cut)
	}
	if s.cfg.diskFails > 0 {
		var fail func()
		fail = func() {
			if n := s.nodes[s.cfg.seeds+s.rng.IntN(len(s.nodes)-s.cfg.seeds)]; n.up && !n.broken && n.e.content != nil {
				n.broken = true
				n.step(&Event{Kind: EvStorageFailed, Slot: NoSlot})
				n.later(3*time.Second, func() {
					n.broken = false
					if i := n.have.Next(0); i >= 0 && !n.liar {
						n.have.Remove(i) // truncated
						n.complete = false
					}
					n.step(&Event{Kind: EvStorageBack, Have: n.have.Clone()})
				})
			}
			if s.now < mono.Time(20*time.Second) {
				s.at(s.now.Add(s.cfg.diskFails), fail)
			}
		}
		s.at(s.now.Add(s.cfg.diskFails), fail)
	}
	for len(s.queue) > 0 {
		x := heap.Pop(&s.queue).(simEvent)
		s.now = x.at
		if s.now > mono.Time(s.cfg.limit) {
			for _, n := range s.nodes {
				if n.up && !n.complete {
					s.t.Logf("node %d: %+v", n.name, n.e.Stats(s.now))
				}
			}
			s.t.Fatalf("seed %d: not complete after %v", s.cfg.seed, s.cfg.limit)
		}
		x.do()
		if s.done() {
			break
		}
	}
	for _, n := range s.nodes {
		if !n.have.Full() {
			n.fatal("the swarm came to rest with %d of %d pieces: %+v", n.have.Count(), s.cfg.pieces, n.e.Stats(s.now))
		}
		if n.e.content != nil {
			n.deepCheck()
		}
	}
	return s.log.Sum64()
}

func (s *sim) done() bool {
	for _, n := range s.nodes {
		if !n.up || !n.complete {
			return false
		}
	}
	return true
}
