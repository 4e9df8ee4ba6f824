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

	"seedbed/internal/addrs"
	"seedbed/internal/bitset"
	"seedbed/internal/fifo"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/magnet/metainfo"
)

// The simulation runs engines on one goroutine over virtual links, from one seed. A
// block's payload is one byte, its quality. A liar sends blocks of quality ≥ 1; a piece
// verifies if all its blocks have quality 0. Slots and leases behave like the shell's,
// and misuse of them fails the test.

type simConfig struct {
	seed      uint64
	nodes     int
	seeds     int
	liars     int
	pieces    int
	pieceLen  int64
	chunk     uint32
	budget    int
	magnet    bool          // leechers start without metadata
	churn     float64       // fraction of nodes that disconnect and return later with their data
	dropEvery time.Duration // interval between breaks of a random link
	uploads   int
	maxConns  int
	halfOpen  int
	last      int64         // bytes in the last piece; 0 means about half a piece
	delayMin  time.Duration // of a link, one way
	delayMax  time.Duration
	known     bool          // each node knows the addresses of all earlier nodes, and no others are found
	sparse    bool          // check invariants rarely, keep no transcript
	account   bool          // account for every uplink; see account
	turn      time.Duration // a node acts at most this often
	plain     bool          // no fast extension
	limit     time.Duration
	private   bool
	diskFails time.Duration  // interval between storage failures of a leecher
	super     SuperSeed      // of the seeds
	info      *metainfo.Info // if not nil, it replaces pieceLen and last
	unlimited bool           // engines do not know the limits of their uplinks
	star      bool           // leechers cannot reach one another
	shape     func(*simNode)
	until     func(*sim) bool // when the run ends, if not when all are complete
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

	elsewhere bitset.Set // pieces that leechers have, if counted; see passedOn
	firstCopy float64    // copies that the first seed had sent when elsewhere was full
	lastDone  time.Duration
	sent      int64      // bytes of blocks that the seeds sent
	wasted    int64      // useless bytes of received blocks
	received  int64      // bytes of received blocks
	owner     []*simNode // of each piece; see useFresh

	onComplete func(*simNode) // if not nil
}

// simNode is a peer: an engine, its memory and its disk.
type simNode struct {
	s         *sim
	name      int
	addr      netip.AddrPort
	id        id.ID
	e         *Engine
	up        bool
	life      int // counts restarts; events of earlier lives are ignored
	liar      bool
	seed      bool
	conns     map[Conn]*simEnd
	order     []Conn
	nextConn  Conn
	slots     map[Slot]*simSlot
	stored    map[uint32][]byte // quality of the blocks of each piece, as written
	rounds    map[uint32]uint32 // round of each piece in stored
	have      bitset.Set
	complete  bool
	banned    []netip.AddrPort
	rate      float64 // upload rate in bytes per second
	down      float64 // download rate in bytes per second; 0 means no limit
	uplink    uplink
	account   account
	freeIn    mono.Time  // when everything that is on its way to it has arrived
	wanted    bitset.Set // selected pieces; length 0 means all
	fetch     Order      // the order in which it fetches the pieces
	got       []uint32   // the pieces that it has verified, in that order
	playing   bool       // fetches only what a player needs next
	idle      bool       // a player that was paused before it began
	startAt   time.Duration
	doneAt    time.Duration
	backAt    time.Duration // when it returned, if it had disconnected
	backLeft  int64         // bytes that it lacked then
	rider     bool          // a free rider; see crowd
	leaves    bool          // leaves when it is complete
	gone      bool          // it has left
	alter     alteration    // alters what it sends; may be nil
	broken    bool          // the disk fails
	draining  bool
	drainedAt mono.Time
	tickAt    mono.Time
	wants     int
	haves     map[uint32]bool
}

type simSlot struct {
	piece   uint32
	begin   uint32
	blocks  map[uint32]byte // quality of the blocks of the piece
	storing bool
}

// simEnd is one end of a link.
type simEnd struct {
	owner    *simNode
	conn     Conn
	other    *simEnd
	delay    time.Duration
	last     mono.Time             // delivery is in order: nothing arrives before earlier data
	uploads  fifo.Queue[simUpload] // admitted, while the other side accepts no more
	requests int                   // requests on their way to this end
	parked   bool                  // the other side currently accepts no more
	hasSent  bool                  // an attacker has sent something
	open     bool
	leases   map[Block]Slot
	asked    map[Block]mono.Time // when each block was last requested
	choked   bool                // by the other side, as received
	allowed  map[uint32]bool
	has      bitset.Set
}

func (s *sim) at(t mono.Time, do func()) {
	s.seq++
	heap.Push(&s.queue, simEvent{max(t, s.now), s.seq, do})
}

func (s *sim) note(n *simNode, format string, args ...any) {
	if s.cfg.sparse {
		return
	}
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
		cfg.uploads = 8
	}
	if cfg.maxConns == 0 {
		cfg.maxConns = 30
	}
	if cfg.halfOpen == 0 {
		cfg.halfOpen = 8
	}
	if cfg.delayMax == 0 {
		cfg.delayMin, cfg.delayMax = 5*time.Millisecond, 104*time.Millisecond
	}
	if cfg.last == 0 {
		cfg.last = cfg.pieceLen/2 + 5
	}
	if cfg.limit == 0 {
		cfg.limit = 4 * time.Hour
	}
	s := &sim{t: t, cfg: cfg, rng: rand.New(rand.NewPCG(cfg.seed, 1)), log: fnv.New64a(), byIP: map[netip.AddrPort]*simNode{}}
	s.owner = make([]*simNode, cfg.pieces)
	if s.info = cfg.info; s.info == nil {
		s.info = testInfo(t, cfg.pieces, cfg.pieceLen, cfg.last, cfg.private)
	}
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
		if cfg.shape != nil {
			cfg.shape(n)
		}
	}
	for _, n := range s.nodes {
		if n.startAt == 0 {
			n.start()
		} else {
			s.at(mono.Time(n.startAt), n.start)
		}
	}
	return s
}

// upLimit returns the upload limit that the engine of n knows.
func (s *sim) upLimit(n *simNode) int64 {
	if s.cfg.unlimited {
		return 0
	}
	return int64(n.rate)
}

// start starts a node with the contents of its disk.
func (n *simNode) start() {
	s := n.s
	n.life++
	n.up, n.complete, n.broken, n.draining = true, false, false, false
	for i := range n.id {
		n.id[i] = byte(s.rng.Uint32())
	}
	n.conns, n.order, n.slots = map[Conn]*simEnd{}, nil, map[Slot]*simSlot{}
	n.haves, n.banned = map[uint32]bool{}, nil
	n.tickAt = mono.Never
	n.e = New(Config{InfoHash: s.info.Hash, PeerID: n.id, Ports: addrs.Ports{V4: n.addr.Port(), V6: n.addr.Port()}, HasDHT: true, Version: "sim",
		ChunkSize: s.cfg.chunk, Budget: s.cfg.budget, HalfOpen: s.cfg.halfOpen, MaxConns: s.cfg.maxConns, Uploads: s.cfg.uploads,
		Hints: true, Seed: s.rng.Uint64(), SuperSeed: s.cfg.super, UpLimit: s.upLimit(n)}, s.now)
	if n.life > 1 && n.doneAt == 0 {
		n.backAt, n.backLeft = time.Duration(s.now), int64(n.have.Len()-n.have.Count())*s.cfg.pieceLen
	}
	n.beginAccount()
	if !s.cfg.magnet || n.seed || n.liar || n.have.Count() > 0 {
		n.step(&EvOrder{n.fetch})
		n.step(&EvInfo{Info: s.info, Have: n.have, Wanted: n.wanted})
		n.focus()
	}
	if s.cfg.known {
		known := s.nodes[:n.name]
		if n.life > 1 {
			known = s.nodes
		}
		for _, o := range known {
			if o != n {
				n.step(&EvCandidates{Candidates: []Candidate{{Addr: o.addr, Source: FromHint}}})
			}
		}
		return
	}
	n.candidates(6)
	if s.cfg.private { // no other source of addresses
		for _, o := range s.nodes {
			n.step(&EvCandidates{Candidates: []Candidate{{Addr: o.addr, Source: FromHint}}})
		}
	}
}

func (n *simNode) candidates(k int) {
	var c []Candidate
	for range k {
		o := n.s.nodes[n.s.rng.IntN(len(n.s.nodes))]
		c = append(c, Candidate{Addr: o.addr, Source: FromHint})
	}
	n.step(&EvCandidates{Candidates: c})
}

// later calls do after d, unless the node has stopped or restarted.
func (n *simNode) later(d time.Duration, do func()) {
	life := n.life
	n.s.at(n.s.now.Add(d), func() {
		if n.up && n.life == life {
			do()
		}
	})
}

func (n *simNode) step(ev Event) {
	n.s.steps++
	n.e.Step(n.s.now, ev)
	n.soon()
}

func (n *simNode) block(ev BlockEvent) {
	n.s.steps++
	n.e.StepBlock(n.s.now, ev)
	n.soon()
}

// soon drains once for all events of this moment, or of this turn.
func (n *simNode) soon() {
	if !n.draining {
		n.draining = true
		life := n.life
		n.s.at(max(n.s.now, n.drainedAt.Add(n.s.cfg.turn)), func() {
			if n.life == life {
				n.drain()
			}
		})
	}
}

func (n *simNode) drain() {
	n.draining = false
	n.drainedAt = n.s.now
	if !n.up {
		return
	}
	defer n.look()
	if n.s.cfg.turn > 0 { // the latest event may be some time ago, and so may a deadline
		n.e.Tick(n.s.now)
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
		if d <= n.s.now {
			n.fatal("has an expired deadline after Drain: the shell would spin")
		}
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

func (n *simNode) stop() {
	n.endAccount()
	n.up = false
	for _, o := range append([]Conn(nil), n.order...) {
		n.conns[o].shut(FaultReset)
	}
	n.stored = map[uint32][]byte{}
}

// run continues until every leecher is complete, and returns the hash of the transcript.
func (s *sim) run() uint64 {
	s.t.Helper()
	if s.cfg.churn > 0 {
		for _, n := range s.nodes[s.cfg.seeds+s.cfg.liars:] {
			if s.rng.Float64() < s.cfg.churn {
				at := time.Duration(1 + s.rng.Int64N(int64(30*time.Second)))
				s.at(mono.Time(n.startAt+at), func() {
					if n.gone {
						return
					}
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
				n.step(&EvStorageFailed{})
				n.later(3*time.Second, func() {
					n.broken = false
					if i := n.have.Next(0); i >= 0 && !n.liar {
						n.have.Remove(i) // truncated
						n.complete = false
					}
					n.step(&EvStorageBack{Have: n.have.Clone()})
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
		if !n.have.Full() && s.cfg.until == nil {
			n.fatal("no more events with %d of %d pieces: %+v", n.have.Count(), s.cfg.pieces, n.e.Stats(s.now))
		}
		if n.e.content != nil {
			n.deepCheck()
		}
	}
	return s.log.Sum64()
}

func (s *sim) done() bool {
	if s.cfg.until != nil {
		return s.cfg.until(s)
	}
	for _, n := range s.nodes {
		if !n.gone && (!n.up || !n.complete) {
			return false
		}
	}
	return true
}
