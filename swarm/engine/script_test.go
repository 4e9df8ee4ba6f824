package engine

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

// A scripted download is one engine and peers that follow a script, in virtual time. The
// script tracks leases and slots as the shell does.

type script struct {
	t      *testing.T
	r      *rig
	rng    *rand.Rand
	queue  simQueue
	seq    uint64
	peers  map[Conn]*scriptPeer
	filled map[Slot]map[uint32]bool // by offset of the block: its payload is in the slot
	chunks map[uint32]int           // piece -> chunks stored
	tickAt mono.Time
	ended  bool
}

// behavior says how a peer answers.
type behaviour struct {
	name   string
	rate   float64       // bytes per second; 0 means it never answers
	delay  time.Duration // one way
	plain  bool          // no fast extension
	blocks int           // stops answering after this many blocks; 0 means no limit
	flap   time.Duration // chokes and unchokes alternately, each for this long
	reject bool          // rejects every request, or with flap the requests that a choke ends
	skip   int           // never answers every skip-th request
	first  bool          // answers the newest request first
	allows bool          // chokes us but allows pieces (BEP 6)
}

type scriptPeer struct {
	behaviour
	conn    Conn
	leases  map[Block]Slot // as known to the shell
	pending []Block        // as known to the peer
	busy    bool
	choking bool
	asked   int
	sent    int
	free    mono.Time
}

func newScript(t *testing.T, cfg Config, pieces int, pieceLen int64) *script {
	if cfg.Budget == 0 {
		cfg.Budget = 24
	}
	if cfg.ChunkSize == 0 {
		cfg.ChunkSize = uint32(pieceLen)
	}
	cfg.MaxConns = 1000
	return &script{t: t, r: newRig(t, cfg, pieces, pieceLen), rng: rand.New(rand.NewPCG(3, 4)), peers: map[Conn]*scriptPeer{},
		filled: map[Slot]map[uint32]bool{}, chunks: map[uint32]int{}, tickAt: mono.Never}
}

func (s *script) at(t mono.Time, do func()) {
	s.seq++
	heap.Push(&s.queue, simEvent{max(t, s.r.now), s.seq, do})
}

func (s *script) after(d time.Duration, do func()) { s.at(s.r.now.Add(d), do) }

// join connects a peer that has everything and unchokes us.
func (s *script) join(b behaviour) *scriptPeer {
	if b.delay == 0 {
		b.delay = 20 * time.Millisecond
	}
	p := &scriptPeer{behaviour: b, conn: s.r.connect(!b.plain), leases: map[Block]Slot{}}
	s.peers[p.conn] = p
	s.r.msg(p.conn, wire.Msg{Type: wire.Extended, Payload: []byte("d4:reqqi2000ee")},
		wire.Msg{Type: wire.Bitfield, Payload: full(s.r.e.content.n).AppendTo(nil)})
	if b.allows {
		for range maxAllowed {
			s.r.msg(p.conn, wire.Msg{Type: wire.AllowedFast, Index: uint32(s.rng.IntN(s.r.e.content.n))})
		}
	} else {
		s.r.msg(p.conn, wire.Msg{Type: wire.Unchoke})
	}
	if b.flap > 0 {
		s.after(time.Duration(s.rng.Int64N(int64(b.flap))), func() { s.flap(p) })
	}
	return p
}

func (s *script) flap(p *scriptPeer) {
	p.choking = !p.choking
	if p.choking {
		s.r.msg(p.conn, wire.Msg{Type: wire.Choke})
		if p.reject && !p.plain {
			for _, b := range p.pending {
				s.r.msg(p.conn, wire.Msg{Type: wire.Reject, Index: b.Piece, Begin: b.Begin, Length: b.Length})
			}
		}
		p.pending = nil
	} else {
		s.r.msg(p.conn, wire.Msg{Type: wire.Unchoke})
	}
	s.after(p.flap, func() { s.flap(p) })
}

func (s *script) do(c *Command) {
	p := s.peers[c.Conn]
	switch c.Kind {
	case CmdRequest:
		if p.choking {
			return // the request crossed the choke
		}
		if _, twice := p.leases[c.Block]; twice {
			s.t.Fatalf("%v was leased twice to %s", c.Block, p.name)
		}
		p.leases[c.Block] = c.Slot
		if s.filled[c.Slot] == nil {
			s.filled[c.Slot] = map[uint32]bool{}
		}
		if s.filled[c.Slot][c.Block.Begin] {
			s.t.Fatalf("requested %v, which has arrived", c.Block)
		}
		b := c.Block
		s.after(p.delay, func() { s.request(p, b) })
	case CmdCancel:
		delete(p.leases, c.Block)
		b := c.Block
		s.after(p.delay, func() {
			for i, x := range p.pending {
				if x == b {
					p.pending = append(p.pending[:i], p.pending[i+1:]...)
					return
				}
			}
		})
	case CmdStore:
		slot, block := c.Slot, c.Block
		delete(s.filled, slot)
		s.after(time.Millisecond, func() {
			s.r.step(&EvStored{Slot: slot, Block: block})
			s.chunks[block.Piece]++
			if whole := (s.r.e.content.info.DataSize(int(block.Piece)) + int64(s.r.e.cfg.ChunkSize) - 1) / int64(s.r.e.cfg.ChunkSize); s.chunks[block.Piece] == int(whole) {
				s.r.step(&EvVerified{Piece: block.Piece, OK: true})
			}
		})
	case CmdDropSlot:
		delete(s.filled, c.Slot)
		for _, p := range s.peers {
			for b, slot := range p.leases {
				if slot == c.Slot {
					s.t.Fatalf("slot %d was dropped while %v is leased to %s", slot, b, p.name)
				}
			}
		}
	case CmdClose:
		delete(s.peers, c.Conn)
		p.pending, p.leases = nil, map[Block]Slot{}
		conn, fault := c.Conn, c.Fault
		s.after(0, func() { s.r.step(&EvClosed{Conn: conn, Fault: fault}) })
	case CmdComplete:
		s.ended = true
	}
}

func (s *script) request(p *scriptPeer, b Block) {
	if p.choking || s.peers[p.conn] != p {
		return
	}
	p.asked++
	switch {
	case p.reject && p.flap == 0:
		s.after(p.delay, func() {
			if _, ok := p.leases[b]; ok {
				delete(p.leases, b)
				s.r.msg(p.conn, wire.Msg{Type: wire.Reject, Index: b.Piece, Begin: b.Begin, Length: b.Length})
			}
		})
	case p.rate == 0 || (p.blocks > 0 && p.sent >= p.blocks) || (p.skip > 0 && p.asked%p.skip == 0):
	default:
		p.pending = append(p.pending, b)
		s.serve(p)
	}
}

func (s *script) serve(p *scriptPeer) {
	if p.busy || len(p.pending) == 0 {
		return
	}
	b := p.pending[0]
	if p.first {
		b = p.pending[len(p.pending)-1]
		p.pending = p.pending[:len(p.pending)-1]
	} else {
		p.pending = p.pending[1:]
	}
	p.busy = true
	p.sent++
	p.free = max(p.free, s.r.now).Add(time.Duration(float64(b.Length) / p.rate * 1e9))
	s.at(p.free, func() {
		p.busy = false
		s.after(p.delay, func() { s.arrive(p, b) })
		s.serve(p)
	})
}

func (s *script) arrive(p *scriptPeer, b Block) {
	if s.peers[p.conn] != p {
		return
	}
	slot, ok := p.leases[b]
	delete(p.leases, b)
	if !ok || s.filled[slot] == nil || s.filled[slot][b.Begin] {
		s.r.block(BlockEvent{Kind: BlockUnwanted, Conn: p.conn, Block: b})
		return
	}
	s.filled[slot][b.Begin] = true
	s.r.block(BlockEvent{Kind: BlockArrived, Conn: p.conn, Block: b, Slot: slot})
}

func (s *script) drain() {
	for _, c := range s.r.drain() {
		s.do(&c)
	}
	if d := s.r.e.Deadline(); d < s.tickAt || s.tickAt <= s.r.now {
		s.tickAt = d
		if d == mono.Never {
			return
		}
		s.at(d, func() {
			if s.tickAt == d {
				s.tickAt = mono.Never
				s.r.e.Tick(s.r.now)
			}
		})
	}
}

// run continues until the download is complete and returns how long that took.
func (s *script) run(limit time.Duration) time.Duration {
	s.t.Helper()
	return s.until(limit, func() bool { return s.ended })
}

// until continues until done returns true and returns how long that took.
func (s *script) until(limit time.Duration, done func() bool) time.Duration {
	s.t.Helper()
	began := s.r.now
	for n := 0; !done(); n++ {
		s.drain()
		if len(s.queue) == 0 {
			s.t.Fatalf("no more events: %+v", s.r.e.Stats(s.r.now))
		}
		x := heap.Pop(&s.queue).(simEvent)
		if x.at.Sub(began) > limit {
			s.t.Errorf("not done after %v: %d of %d pieces", limit, s.r.e.content.nHave, s.r.e.content.n)
			return limit
		}
		s.r.now = x.at
		x.do()
		if n%1024 == 0 {
			(&simNode{s: &sim{t: s.t}, e: s.r.e}).deepCheck()
		}
	}
	return s.r.now.Sub(began)
}

// useless lists peers that withhold requested blocks and deliver little or nothing.
var useless = []behaviour{
	{name: "mute"},
	{name: "one block a minute", rate: blockSize / 60.0},
	{name: "one block, then mute", rate: 1 << 20, blocks: 1},
	{name: "forty blocks, then mute", rate: 1 << 20, blocks: 40},
	{name: "chokes and unchokes", flap: time.Second},
	{name: "chokes and unchokes, plain", flap: 700 * time.Millisecond, plain: true},
	{name: "chokes, rejects and unchokes", flap: 900 * time.Millisecond, reject: true},
	{name: "rejects", reject: true},
	{name: "answers every other request", rate: 8 << 10, skip: 2},
	{name: "answers the newest request", rate: 8 << 10, first: true},
	{name: "allows pieces and is mute", allows: true},
}

// fetch returns how long a download from these peers takes, and how many bytes were
// wasted.
func fetch(t *testing.T, cfg Config, size, pieceLen int64, limit time.Duration, peers ...behaviour) (time.Duration, int64) {
	s := newScript(t, cfg, int(size/pieceLen), pieceLen)
	for _, b := range peers {
		s.join(b)
	}
	d := s.run(limit)
	return d, s.r.e.Stats(s.r.now).Wasted
}

func repeat(b behaviour, n int) (out []behaviour) {
	for range n {
		out = append(out, b)
	}
	return out
}

func mixture(n int) (out []behaviour) {
	for i := range n {
		out = append(out, useless[i%len(useless)])
	}
	return out
}

// However many peers withhold blocks, a download from one good seed takes at most 1.5
// times as long plus five seconds. With memory for one to three pieces, it takes at most
// twice as long plus ten.
func TestBatteryUselessPeers(t *testing.T) {
	skipUnderRace(t)
	runs, worst := 0, 0.0
	counts := []int{1, 20, 60}
	if soak() {
		counts = append(counts, 200, 500)
	}
	for _, rate := range []float64{160 << 20, 4 << 20, 200 << 10} {
		seed := behaviour{name: "seed", rate: rate}
		for _, budget := range []int{24, 3, 1} {
			size := int64(min(rate*10, 64<<20))
			size -= size % (1 << 20)
			cfg := Config{Budget: budget}
			alone, _ := fetch(t, cfg, size, 256<<10, time.Hour, seed)
			limit := alone*3/2 + 5*time.Second
			if budget < 24 { // so few blocks in memory do not suffice to distinguish hundreds of peers
				limit = alone*2 + 10*time.Second
			}
			for _, n := range counts {
				for _, b := range append([]behaviour{{name: "mixture"}}, useless...) {
					name := fmt.Sprintf("%s at %.0f KiB/s, %d slots, %d peers", b.name, rate/1024, budget, n)
					t.Run(name, func(t *testing.T) {
						peers := repeat(b, n)
						if b.name == "mixture" {
							peers = mixture(n)
						}
						d, wasted := fetch(t, cfg, size, 256<<10, 10*limit, append(peers, seed)...)
						runs++
						worst = max(worst, (d - alone).Seconds())
						if d > limit {
							t.Errorf("took %v, but %v with the seed alone (%d KiB wasted)", d, alone, wasted>>10)
						}
					})
				}
			}
		}
	}
	t.Logf("battery: %d downloads from one seed with 1 to %d peers that withhold blocks: at worst %.1f s longer", runs, counts[len(counts)-1], worst)
}

// Slow peers that deliver are used fully: their rates add up, however many others are
// mute.
func TestSlowPeersDeliverTheirRates(t *testing.T) {
	for _, c := range []struct {
		peers, mute, budget int
		rate                float64
	}{
		{1, 0, 24, 5 << 10}, {1, 0, 1, 5 << 10}, {1, 50, 24, 5 << 10}, {10, 0, 24, 5 << 10}, {10, 0, 1, 5 << 10},
		{10, 100, 24, 5 << 10}, {40, 0, 24, 1 << 10}, {40, 40, 24, 2 << 10},
	} {
		size := int64(float64(c.peers)*c.rate*240) >> 18 << 18
		all := append(mixture(c.mute), repeat(behaviour{name: "slow", rate: c.rate, delay: 200 * time.Millisecond}, c.peers)...)
		d, wasted := fetch(t, Config{Budget: c.budget}, size, 256<<10, time.Hour, all...)
		ideal := time.Duration(float64(size) / (float64(c.peers) * c.rate) * 1e9)
		// In the endgame each peer may fetch a few blocks that another fetches too.
		most := int64(c.peers) * 3 * blockSize
		if limit := ideal*5/4 + time.Minute; d > limit || (c.mute == 0 && wasted > most) {
			t.Errorf("%d peers of %.0f KiB/s with %d mute ones, %d slots: %v, ideal is %v; %d of %d KiB wasted",
				c.peers, c.rate/1024, c.mute, c.budget, d, ideal, wasted>>10, size>>10)
		}
	}
}

// With one fast peer and many that are a hundred times slower, all honest, almost nothing
// is fetched twice and no peer is left idle.
func TestFastAndSlowPeersWasteLittle(t *testing.T) {
	all := append(repeat(behaviour{name: "slow", rate: 100 << 10}, 40), behaviour{name: "fast", rate: 10 << 20})
	size := int64(256 << 20)
	d, wasted := fetch(t, Config{}, size, 1<<20, time.Hour, all...)
	if ideal := time.Duration(float64(size) / (14 << 20) * 1e9); d > ideal*6/5 || wasted > size/100 {
		t.Errorf("%v, ideal is %v; %d of %d KiB wasted", d, ideal, wasted>>10, size>>10)
	}
}

// Pieces that a reader is waiting for are not left to peers that do not deliver.
func TestUselessPeersDoNotDelayAReader(t *testing.T) {
	seed := behaviour{name: "seed", rate: 4 << 20}
	for _, n := range []int{0, 20, 100} {
		s := newScript(t, Config{}, 64, 256<<10)
		for _, b := range mixture(n) {
			s.join(b)
		}
		s.join(seed)
		// The reader consumes 1 MiB per second and requests the next 4 MiB.
		began, stalled := s.r.now, time.Duration(0)
		at := uint32(0)
		for at < 60 {
			pieces := []uint32{}
			for i := at; i < min(at+16, 64); i++ {
				pieces = append(pieces, i)
			}
			s.r.focus(pieces...)
			from := s.r.now
			s.until(10*time.Minute, func() bool { return s.r.e.Has(int(at)) })
			if wait := s.r.now.Sub(from); wait > 250*time.Millisecond {
				stalled += wait
			}
			if s.r.now.Sub(from) < 250*time.Millisecond {
				end := from.Add(250 * time.Millisecond)
				s.at(end, func() {})
				s.until(10*time.Minute, func() bool { return s.r.now >= end })
			}
			at++
		}
		if stalled > 8*time.Second {
			t.Errorf("with %d useless peers the reader waited %v of %v", n, stalled, s.r.now.Sub(began))
		}
	}
}
