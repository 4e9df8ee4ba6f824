package engine

import (
	"math/rand/v2"
	"net/netip"
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
	"seedbed/magnet/metainfo"
	"seedbed/pex"
	"seedbed/swarm/wire"
)

// Engine makes the decisions of one torrent; see the package comment. It must be used by
// one goroutine only.
type Engine struct {
	cfg Config
	now mono.Time
	rng *rand.Rand

	output
	scratch []byte // payload of the message being written

	book          book
	conns         map[Conn]*peer // by number; never ranged over
	peers         []*peer        // the same, in order of arrival
	open          int            // how many of them are not closing
	replaceable   int            // how many of them may be replaced; see replace.go
	blame         blame
	sources       []uint32 // of the current piece, by block; see appendSources
	meta          metadataPhase
	early         int // bytes of the early bitfields of all peers
	layer         layerPhase
	comparison    comparison
	content       *content // nil until EvInfo
	order         Order
	req           requester
	choker        choker
	uploader      uploader
	punch         puncher
	push          pusher
	bitfieldRates *rate.Sources // addresses whose bitfields were counted; nil while the torrent is small
	wasUseful     bool          // the current message was useful; see noise.go

	timers
	paused  bool // storage failed
	stopped bool
	broken  error // why the metadata is invalid
	v2Only  bool  // every connection uses the v2 infohash

	tally
	pexList  []pex.Peer
	partners []netip.AddrPort // see EvPartners
	ownAddr  [2]netip.AddrPort
}

// timers hold when periodic work is due.
type timers struct {
	secondAt mono.Time // upkeep; Never without connections
	pexAt    mono.Time
	wantAt   mono.Time // earliest time of the next CmdWantPeers
}

// tally holds counts and rates of the torrent.
type tally struct {
	upRate   rate.Meter
	uploaded int64
	lastSent mono.Time // when payload was last sent; 0: never
	dropped  Drops
	items    ItemCounts
}

const (
	pexEvery = 10 * time.Second
	// wantEvery is the minimum time between two CmdWantPeers.
	wantEvery = 15 * time.Second
	// enoughPeers is the number of peers, connected or waiting, from which on no more are
	// asked for.
	enoughPeers = 30
)

// validate fills in defaults and panics on invalid values.
func (c *Config) validate() {
	if c.ChunkSize == 0 {
		c.ChunkSize = 1 << 20
	}
	if c.ChunkSize%(64<<10) != 0 || c.Budget < 1 {
		panic("engine: ChunkSize must be a multiple of 64 KiB and Budget positive")
	}
	if c.HalfOpen == 0 {
		c.HalfOpen = 16
	}
	if c.MaxConns == 0 {
		c.MaxConns = 100
	}
	if c.Uploads == 0 {
		c.Uploads = 8
	}
}

// New returns an engine that knows only the infohash.
func New(cfg Config, now mono.Time) *Engine {
	cfg.validate()
	e := &Engine{
		cfg: cfg, now: now,
		rng:   rand.New(rand.NewPCG(cfg.Seed, 0x73656564)),
		conns: make(map[Conn]*peer),
		blame: newBlame(),
	}
	e.book = newBook(&e.cfg, e.rng)
	e.req = newRequester(requestAdapter{e}, cfg.ChunkSize, e.rng)
	e.req.begin(now)
	e.choker = newChoker(cfg.Uploads, e.rng)
	e.uploader.setLimit(cfg.UpLimit)
	e.punch = newPuncher(now)
	e.meta = newMetadataPhase(metainfo.NewAssembler(cfg.InfoHash, cfg.InfoHashV2))
	e.timers = timers{secondAt: mono.Never, wantAt: now}
	return e
}

// Step handles an event.
func (e *Engine) Step(now mono.Time, ev Event) {
	e.begin(now)
	switch ev := ev.(type) {
	case *EvCandidates:
		for _, c := range ev.Candidates {
			e.book.add(e.now, c)
			if c.Encrypted {
				e.book.setEncrypted(c.Addr)
			}
		}
	case *EvDialFailed:
		e.book.dialFailed(e.now, ev.Addr, ev.Fault, ev.Encrypted)
		e.askIntroducer(ev.Addr)
	case *EvPunchFailed:
		e.punch.end(ev.Addr)
	case *EvConnected:
		e.onConnected(ev)
	case *EvClosed:
		e.onClosed(ev)
	case *EvSent:
		if p := e.conns[ev.Conn]; p != nil {
			p.pexOut.Sent(e.now)
		}
	case *EvMessage:
		if p := e.conns[ev.Conn]; p != nil {
			e.onMessage(p, &ev.Msg)
		}
	case *EvInfo:
		e.onInfo(ev)
	case *EvStored:
		e.req.noteStored(ev.Slot, ev.Block)
	case *EvVerified:
		e.onVerified(ev)
	case *EvStorageFailed:
		e.paused = true // stop requesting, but keep connections
		e.req.setPaused(true)
	case *EvChunkLost:
		e.req.noteLost(ev.Slot, ev.Block)
	case *EvStorageBack:
		e.onStorageBack(ev)
	case *EvBudget:
		e.onBudget(ev)
	case *EvWanted:
		e.onWanted(ev)
	case *EvFocus:
		e.req.setFocus(ev.Pieces, ev.Rest)
	case *EvOrder:
		e.order = ev.Order
		e.applyOrder()
	case *EvExternal:
		e.book.setSelf(ev.Addr)
	case *EvReachable:
		e.onReachable()
	case *EvPartners:
		e.setPartners(ev.Addrs)
	case *EvUpLimit:
		e.uploader.setLimit(ev.BytesPerSecond)
	case *EvUploads:
		e.cfg.Uploads, e.cfg.SuperSeed = max(ev.Uploads, 1), ev.SuperSeed
		e.setSlots()
	case *EvDialBack:
		e.sendDialBack(ev)
	case *EvPublications:
		e.setPublications(ev)
	case *EvForgedItem:
		e.onForgedItem(ev)
	case *EvPorts:
		e.setPorts(ev.Ports)
	case *EvLeaves:
		if p := e.conns[ev.Conn]; p != nil {
			e.onLeaves(p, ev)
		}
	case *EvCompared:
		e.onCompared(ev)
	case *EvNetwork:
		e.onNetwork(ev)
	case *EvStop:
		e.onStop()
	default:
		panic("engine: unknown event type")
	}
	if e.secondAt == mono.Never && len(e.peers) > 0 {
		e.secondAt = e.now.Add(time.Second)
		e.choker.postponeRound(e.now)
		e.pexAt = e.now
	}
}

// StepBlock handles a block event. It is the counterpart of Step for the most frequent
// events.
func (e *Engine) StepBlock(now mono.Time, ev BlockEvent) {
	e.begin(now)
	p := e.conns[ev.Conn]
	if p == nil {
		return
	}
	switch ev.Kind {
	case BlockUploaded:
		e.onUploaded(p, ev.Block)
	case BlockUnsent:
		e.onUnsent(p, ev.Block)
	case BlockAway:
		e.onAway(p, ev.Block)
	case BlockFetching:
		e.uploader.fetch(&p.up.uploadPeer, ev.Block)
	case BlockFetched:
		e.uploader.fetched(e.now, &p.up.uploadPeer, ev.Block)
	case BlockArrived:
		p.lastIn = e.now
		p.pastBitfield = true
		e.choker.noteReceived(e.now, &p.choke, int(ev.Block.Length))
		e.req.received(&p.down, ev)
	case BlockUnwanted:
		p.lastIn = e.now
		p.pastBitfield = true
		e.onUnwanted(p, ev.Block)
	case BlockRequested:
		e.onMessage(p, &wire.Msg{Type: wire.Request, Index: ev.Block.Piece, Begin: ev.Block.Begin, Length: ev.Block.Length})
	default:
		panic("engine: unknown block event kind")
	}
}

// onMessage handles a message of p.
func (e *Engine) onMessage(p *peer, m *wire.Msg) {
	p.lastIn = e.now
	if p.closing {
		return
	}
	e.wasUseful = false
	e.handleMessage(p, m)
	e.chargeNoise(p)
}

func (e *Engine) onBudget(ev *EvBudget) {
	e.cfg.HalfOpen, e.cfg.MaxConns = ev.HalfOpen, ev.MaxConns
	e.cfg.Budget = max(ev.Budget, 0)
	if e.content != nil {
		e.req.setBudget(e.cfg.Budget)
	}
	if ev.Drop {
		e.dropExcess()
	}
	e.book.wake(e.now)
}

// onNetwork handles EvNetwork.
func (e *Engine) onNetwork(ev *EvNetwork) {
	for _, conn := range ev.Lost {
		if p := e.conns[conn]; p != nil {
			e.close(p, FaultNetwork)
		}
	}
	e.book.networkChanged(e.now)
}

func (e *Engine) onStop() {
	e.stopped = true
	for _, p := range e.peers {
		e.close(p, FaultLocal)
	}
}

// Tick does the work that is due.
func (e *Engine) Tick(now mono.Time) {
	e.begin(now)
	e.req.tick()
	e.askLate()
	if e.now < e.secondAt {
		return
	}
	e.secondAt = e.now.Add(time.Second)
	if len(e.peers) == 0 {
		e.secondAt = mono.Never
		return
	}
	e.req.measurePeers()
	e.choker.measureCredit(e.now)
	e.setSlots()
	e.choker.countStalled(e.now, e.upRate.Rate(e.now), chokeAdapter{e})
	for _, p := range e.peers {
		e.upkeep(p)
	}
	e.metaUpkeep()
	e.countReplaceable()
	e.layer.upkeep(e.now)
	e.comparisonUpkeep()
	e.endSuperSeeding()
	if e.now >= e.choker.roundAt {
		e.rechoke()
	}
	if e.now >= e.pexAt {
		e.pexAt = e.now.Add(pexEvery)
		e.sendPex()
	}
}

// Deadline returns when Tick is due next, if no event comes before.
func (e *Engine) Deadline() mono.Time {
	d := e.secondAt
	if e.stopped {
		return d
	}
	d = min(d, e.req.deadline(), e.punch.deadline(), e.push.deadline())
	if e.wantsDials() {
		d = min(d, e.book.next)
	}
	if e.isShortOfPeers() {
		d = min(d, e.wantAt)
	}
	if !e.meta.done {
		d = min(d, e.meta.due)
	}
	if c := e.content; c != nil {
		d = min(d, c.super.due)
		if len(c.fresh) > 0 {
			d = min(d, c.haveAt)
		}
	}
	return d
}

// Drain returns the commands since the last Drain. They are valid until the next Step or
// Tick.
func (e *Engine) Drain() []Command {
	o := &e.output
	if o.drained {
		return nil
	}
	if !e.stopped {
		e.pump()
	}
	o.drained = true
	return o.cmds
}

// pump does the work that is done once for a batch of events.
func (e *Engine) pump() {
	if e.content != nil {
		if e.choker.roundAt <= e.now && len(e.peers) > 0 {
			e.rechoke()
		}
		e.choker.fill(e.now, chokeAdapter{e})
		e.askComparisons()
		e.req.refillAll()
		if !e.paused {
			e.uploader.serve(e.now, uploadAdapter{e})
		}
		e.announceHaves()
		e.offer()
		e.suggestFresh()
	} else {
		e.meta.ask(e.now, metaAdapter{e})
		e.layer.ask(e.now, layerAdapter{e})
	}
	e.pushItems()
	e.dial()
	e.wantPeers()
}

func (e *Engine) wantsDials() bool {
	return !e.stopped && e.book.dialing < e.cfg.HalfOpen && e.open+e.book.dialing < e.cfg.MaxConns+e.replaceable
}

// dial dials the best addresses of the book.
func (e *Engine) dial() {
	seeding := e.content != nil && e.content.complete
	for e.wantsDials() {
		c := e.book.pick(e.now, seeding, seeding && !e.wantsNeighbours())
		if c == nil {
			return
		}
		e.book.dial(c)
		e.cmd(Command{Kind: CmdDial, Addr: c.addr, Encrypted: c.encrypted, Unproven: c.unproven})
		e.expectPunch(c)
	}
}

// isShortOfPeers reports whether the torrent has too few connections.
func (e *Engine) isShortOfPeers() bool {
	if e.stopped || e.book.private || (e.content != nil && e.content.complete) {
		return false
	}
	return e.open+e.book.dialing < min(enoughPeers, e.cfg.MaxConns)
}

// wantPeers asks for candidates when there are few connections and few addresses that can
// be dialed soon. It counts the whole book, and therefore runs at most once per
// wantEvery.
func (e *Engine) wantPeers() {
	if e.now < e.wantAt || !e.isShortOfPeers() {
		return
	}
	e.wantAt = e.now.Add(wantEvery)
	if e.open+e.book.dialing+e.book.waiting(e.now) < enoughPeers {
		e.cmd(Command{Kind: CmdWantPeers})
	}
}

// output collects commands. Consecutive messages to one connection become one CmdSend.
type output struct {
	cmds    []Command
	arena   []byte // the bytes of CmdSend
	last    int    // where the last command's bytes begin in arena
	drained bool
}

// maxArena is the largest arena that is kept for the next batch, in bytes.
const maxArena = 1 << 20

func (e *Engine) begin(now mono.Time) {
	if now > e.now {
		e.now = now
		e.req.begin(now)
	}
	if o := &e.output; o.drained {
		o.drained = false
		clear(o.cmds)
		o.cmds, o.arena = o.cmds[:0], o.arena[:0]
		if cap(o.arena) > maxArena {
			o.arena = nil
		}
	}
}

func (e *Engine) cmd(c Command) { e.cmds = append(e.cmds, c) }

// send queues a message to p.
func (e *Engine) send(p *peer, m wire.Msg) {
	if p.closing {
		return
	}
	p.lastOut = e.now
	o := &e.output
	start := len(o.arena)
	o.arena = wire.Append(o.arena, m)
	if n := len(o.cmds); n > 0 {
		if c := &o.cmds[n-1]; c.Kind == CmdSend && c.Conn == p.conn && o.last+len(c.Bytes) == start {
			c.Bytes = o.arena[o.last:len(o.arena):len(o.arena)]
			return
		}
	}
	o.last = start
	e.cmd(Command{Kind: CmdSend, Conn: p.conn, Bytes: o.arena[start:len(o.arena):len(o.arena)]})
}
