package swarm

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/bitset"
	"seedbed/internal/buf"
	"seedbed/internal/mono"
	"seedbed/internal/shaper"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// Torrent is a running torrent, from New to Stop. Its methods may be called from any
// goroutine.
type Torrent struct {
	cfg    Config
	epoch  time.Time
	ctx    context.Context // ends when Stop is called
	cancel context.CancelFunc
	done   chan struct{} // closed when everything has ended
	inbox  inbox
	tasks  sync.WaitGroup // goroutines other than the loop and connections

	up, down *shaper.Flow
	reading  chan struct{} // has an element for each of readsAtOnce reads for uploads

	nextConn    atomic.Uint32
	handshakes  *PendingHandshakes // incoming handshakes in progress
	swarmHashes atomic.Pointer[[]swarmHash]
	maxFrame    atomic.Int64
	stopping    atomic.Bool

	// engMu allows Snapshot to read the engine between turns of the loop.
	engMu sync.Mutex
	eng   *engine.Engine

	// The following fields are used only by the loop.
	conns     map[engine.Conn]*conn
	outputs   []*output     // of this turn
	unused    []*output     // to be reused
	uploading *output       // the output that got the latest upload
	timed     []*conn       // connections with an unsent Timed message
	slots     []*buf.Buffer // buffer of each slot; nil before its first lease
	stopped   bool          // EvStop was stepped
	ending    bool          // shutdown has begun
	first     bool          // FirstPiece was sent
	ended     bool
	counted   Traffic // what the counters of Shared include

	countedPunches engine.PunchCounts // the same of hole punches
	countedItems   engine.ItemCounts  // and of pushed items

	// Set by the loop before the first command that needs them, then constant.
	info    *metainfo.Info
	content Content
	remote  remote

	closeErr error // set before done is closed

	storeMu  sync.Mutex
	jobs     int // store jobs given to the workers and not done
	jobsIdle sync.Cond
	partials map[uint32]*partial
	resumed  []engine.Block // chunks that storage had at the start

	storage *storageSession
}

// New starts a torrent.
func New(cfg Config) *Torrent {
	if cfg.Shared == nil || cfg.Dialer == nil || cfg.Open == nil {
		panic("swarm: a torrent needs Shared, Dialer and Open")
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Admit == nil {
		cfg.Admit = func(context.Context, netip.AddrPort, bool) (func(bool), error) { return func(bool) {}, nil }
	}
	if cfg.OnEvent == nil {
		cfg.OnEvent = func(Event) {}
	}
	t := &Torrent{
		cfg: cfg, epoch: time.Now(), done: make(chan struct{}), handshakes: NewPendingHandshakes(maxHandshakes, maxHandshakesPerHost),
		conns: make(map[engine.Conn]*conn), partials: make(map[uint32]*partial),
		reading: make(chan struct{}, readsAtOnce),
	}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	hashes := swarmHashesOf(&t.cfg)
	t.swarmHashes.Store(&hashes)
	t.up, t.down = cfg.Shared.up.NewFlow(), cfg.Shared.down.NewFlow()
	t.up.SetRate(cfg.UpRate)
	t.down.SetRate(cfg.DownRate)
	t.inbox.init()
	t.jobsIdle.L = &t.storeMu
	t.remote.t = t
	t.storage = newStorageSession(t.ctx, t, func(ctx context.Context, progress func(done, total int64)) (Content, error) {
		return t.cfg.Open(ctx, t.info, progress)
	})
	t.storage.failures = &cfg.Shared.counters.storageFailures
	t.maxFrame.Store(wire.MaxFrame)
	cfg.Shared.join(t) // before the limit is read, so that no change is missed
	t.eng = engine.New(engine.Config{
		InfoHash: cfg.InfoHash, InfoHashV2: cfg.InfoHashV2, PeerID: cfg.PeerID, Ports: cfg.Ports, HasDHT: cfg.HasDHT, DialBack: cfg.DialBack,
		Version: cfg.Version, ChunkSize: uint32(cfg.Shared.ChunkSize()), Budget: max(1, cfg.Budget),
		HalfOpen: cfg.HalfOpen, MaxConns: cfg.MaxConns, Uploads: cfg.Uploads, SuperSeed: cfg.SuperSeed, UpLimit: t.up.Limit(), Hints: cfg.Hints, Seed: cfg.Seed, Relaxed: cfg.Relaxed,
		Holepunch: cfg.Punch != nil, Private: cfg.Info != nil && cfg.Info.Private,
	}, 0)
	go t.loop()
	if cfg.Info != nil {
		t.inbox.post(item{fn: func() { t.metadata(cfg.Info) }})
	}
	return t
}

// AddCandidates adds addresses that may be peers.
func (t *Torrent) AddCandidates(cs []engine.Candidate) {
	if len(cs) > 0 {
		t.inbox.post(item{ev: &engine.EvCandidates{Candidates: slices.Clone(cs)}})
	}
}

// SetWanted replaces the set of wanted pieces, which has one bit per piece, and the set
// of files whose bytes count as wanted. An empty files means all.
func (t *Torrent) SetWanted(pieces, files bitset.Set) {
	t.inbox.post(item{ev: &engine.EvWanted{Wanted: pieces.Clone(), Files: files.Clone()}})
}

// SetFocus makes these pieces come first, most urgent first. Without rest no other pieces are
// downloaded, so that an empty list means none. Nil removes the focus.
func (t *Torrent) SetFocus(pieces []uint32, rest bool) {
	t.inbox.post(item{ev: &engine.EvFocus{Pieces: slices.Clone(pieces), Rest: rest}})
}

// SetOrder sets the order in which pieces are requested. read returns it. It is called on
// the loop, so that the last of several concurrent changes wins, and must return soon.
func (t *Torrent) SetOrder(read func() engine.Order) {
	t.inbox.post(item{fn: func() {
		ev := &engine.EvOrder{Order: read()}
		t.engMu.Lock()
		t.eng.Step(t.now(), ev)
		t.engMu.Unlock()
	}})
}

// SetLimits sets the limits on buffers, simultaneous dials and connections. Without
// buffers nothing is downloaded. If drop is set, connections beyond maxConns are closed.
func (t *Torrent) SetLimits(budget, halfOpen, maxConns int, drop bool) {
	t.inbox.post(item{ev: &engine.EvBudget{Budget: max(0, budget), HalfOpen: halfOpen, MaxConns: maxConns, Drop: drop}})
}

// SetRates limits what the torrent sends and receives, in bytes per second, in addition
// to the limits of all torrents; 0 means no limit of its own.
func (t *Torrent) SetRates(up, down int64) {
	t.up.SetRate(up)
	t.down.SetRate(down)
	t.limitChanged()
}

// SetUploads sets the number of regular upload slots, and when the torrent super-seeds.
func (t *Torrent) SetUploads(slots int, super engine.SuperSeed) {
	t.inbox.post(item{ev: &engine.EvUploads{Uploads: slots, SuperSeed: super}})
}

// SetPorts changes the ports that peers are told.
func (t *Torrent) SetPorts(ports addrs.Ports) { t.inbox.post(item{ev: &engine.EvPorts{Ports: ports}}) }

// SendDialBack sends a message about dialing back to a peer, if the connection is still open.
func (t *Torrent) SendDialBack(to engine.Conn, m wire.DialBackMsg) {
	t.inbox.post(item{ev: &engine.EvDialBack{Conn: to, Msg: m}})
}

// SetPublications sets the publications of which the torrent is a version, with their newest items. Those that
// peers lack are sent to them. read returns them. It is called on the loop, so that the last of several
// concurrent changes wins, and must return soon.
func (t *Torrent) SetPublications(read func() []engine.Publication) {
	t.inbox.post(item{fn: func() {
		ev := &engine.EvPublications{Publications: read()}
		t.engMu.Lock()
		t.eng.Step(t.now(), ev)
		t.engMu.Unlock()
	}})
}

// RejectItem reports that the item of an Item event is not signed by its key. Its sender is banned.
func (t *Torrent) RejectItem(from engine.Conn) {
	t.inbox.post(item{ev: &engine.EvForgedItem{Conn: from}})
}

// limitChanged passes the upload limit to the engine. The limit is read on the loop, so
// that the last of several concurrent changes wins whatever the order of the calls.
func (t *Torrent) limitChanged() {
	t.inbox.post(item{fn: func() {
		ev := &engine.EvUpLimit{BytesPerSecond: t.up.Limit()}
		t.engMu.Lock()
		t.eng.Step(t.now(), ev)
		t.engMu.Unlock()
	}})
}

// SetExternal sets our external address of one family, which is not dialed.
func (t *Torrent) SetExternal(addr netip.Addr) {
	t.inbox.post(item{ev: &engine.EvExternal{Addr: addr}})
}

// SetPartners sets the addresses of other seeds that have what we have, of which peers are told: at most engine.MaxPartners.
func (t *Torrent) SetPartners(addrs []netip.AddrPort) {
	t.inbox.post(item{ev: &engine.EvPartners{Addrs: addrs}})
}

// Stop closes every connection, waits for the workers, and flushes and closes the
// storage. If ctx ends first, it returns ctx's error at once and shutdown continues in
// the background.
func (t *Torrent) Stop(ctx context.Context) error {
	if !t.stopping.Swap(true) {
		t.inbox.post(item{ev: &engine.EvStop{}, fn: func() { t.stopped = true }})
		t.cancel()
	}
	select {
	case <-t.done:
		return t.closeErr
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Done returns a channel that is closed when the torrent has stopped completely.
func (t *Torrent) Done() <-chan struct{} { return t.done }

func (t *Torrent) now() mono.Time { return mono.From(t.epoch, time.Now()) }

// loop is the torrent's main loop.
func (t *Torrent) loop() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	var spare []item
	for !t.ended {
		t.engMu.Lock()
		at := t.eng.Deadline()
		t.engMu.Unlock()
		if at == mono.Never {
			timer.Stop()
		} else {
			timer.Reset(at.Sub(t.now()))
		}
		select {
		case <-t.inbox.notify:
		case <-timer.C:
		}
		items := t.inbox.swap(spare)
		t.turn(items)
		clear(items)
		spare = items[:0]
		if cap(spare) > inboxSize {
			spare = nil
		}
	}
	t.cfg.Shared.leave(t)
	t.inbox.close()
	for _, it := range t.inbox.swap(nil) {
		t.discardItem(&it)
	}
	close(t.done)
}

// turn steps the items through the engine and executes its commands. The work per turn is
// bounded by the inbox.
func (t *Torrent) turn(items []item) {
	now := t.now()
	for i := range items {
		it := &items[i]
		if it.conn != nil {
			t.register(it)
		}
		switch {
		case it.block.Kind != 0:
			t.checkSlot(it)
			if it.block.Kind == engine.BlockUploaded {
				t.remote.uploaded(it.block.Conn, it.block.Block)
			}
			t.engMu.Lock()
			t.eng.StepBlock(now, it.block)
			t.engMu.Unlock()
		case it.ev != nil:
			t.engMu.Lock()
			t.eng.Step(now, it.ev)
			t.engMu.Unlock()
		}
		if it.buffer != nil {
			it.buffer.Release()
		}
		if it.fn != nil {
			it.fn()
		}
	}
	t.engMu.Lock()
	if now >= t.eng.Deadline() {
		t.eng.Tick(now)
	}
	cmds := t.eng.Drain()
	t.countTraffic()
	t.engMu.Unlock()
	for i := range cmds {
		t.do(&cmds[i])
	}
	t.flushOutputs()
	t.reportSent()
	if t.stopped {
		t.tryEnd()
	}
}

// reportSent tells the engine which Timed messages have been written. It runs every turn;
// while there are connections, there is a turn at least every second.
func (t *Torrent) reportSent() {
	waiting := t.timed[:0]
	for _, c := range t.timed {
		if t.conns[c.id] == nil {
			continue
		}
		if c.Unsent() {
			waiting = append(waiting, c)
		} else {
			t.inbox.post(item{ev: &engine.EvSent{Conn: c.id}})
		}
	}
	clear(t.timed[len(waiting):])
	t.timed = waiting
}

// register updates the map of connections.
func (t *Torrent) register(it *item) {
	switch it.ev.(type) {
	case *engine.EvConnected:
		t.conns[it.conn.id] = it.conn
		if t.stopped {
			it.conn.Close(engine.FaultLocal)
		}
	case *engine.EvClosed:
		delete(t.conns, it.conn.id)
		t.remote.closed(it.conn.id)
	}
}

// checkSlot changes a block event to BlockUnwanted if its slot was freed, and perhaps reused,
// while the payload arrived: the payload is not in that slot.
func (t *Torrent) checkSlot(it *item) {
	if it.block.Kind == engine.BlockArrived && t.slots[it.block.Slot] != it.buffer {
		it.block.Kind = engine.BlockUnwanted
	}
}

// discardItem releases the resources of an item that arrived after the end.
func (t *Torrent) discardItem(it *item) {
	if it.buffer != nil {
		it.buffer.Release()
	}
	if it.conn != nil {
		it.conn.Close(engine.FaultLocal)
	}
}

func (t *Torrent) emit(ev Event) { t.cfg.OnEvent(ev) }

// tryEnd starts the shutdown when nothing is in progress any more.
func (t *Torrent) tryEnd() {
	t.storeMu.Lock()
	idle := t.jobs == 0
	t.storeMu.Unlock()
	if !idle || len(t.conns) > 0 || t.ending {
		return
	}
	t.ending = true
	for s, c := range t.slots {
		if c != nil {
			c.Release()
			t.slots[s] = nil
		}
	}
	go func() {
		t.tasks.Wait()
		t.up.Close()
		t.down.Close()
		t.closeErr = t.storage.close()
		t.inbox.post(item{fn: func() { t.ended = true }})
	}()
}
