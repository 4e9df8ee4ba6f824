package node

import (
	"cmp"
	"sync/atomic"
	"time"

	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
	"seedbed/swarm/engine"
)

// Torrent is a torrent of a node. Its methods may be called from any goroutine.
//
// One worker at a time decides what it does (control.go). While its swarm runs it has a run
// (run.go); while it is parked it has neither a run nor a goroutine (park.go).
type Torrent struct {
	node       *Node
	hash       id.ID
	label      string // its name until the metadata is known
	state      *torrentState
	player     *player // nil unless Spec.ReadAhead is set
	control    control
	milestones milestones

	run     atomic.Pointer[run]
	info    atomic.Pointer[metainfo.Info] // nil while it is not known, and while the torrent is parked
	summary atomic.Pointer[summary]       // what is known while info is nil
	last    atomic.Pointer[engine.Stats]  // of the last run; nil while running or parked

	whole   atomic.Bool // nothing is missing, as far as is known
	private atomic.Bool // neither DHT nor PEX may be used (BEP 27)

	uploaded     atomic.Int64 // bytes, by earlier runs
	savedTally   tally        // as last saved; owned by the run's loop
	seedingSince atomic.Int64 // Unix nanoseconds; 0: not yet

	hashes      []id.ID      // of its swarms; guarded by Node.mu
	discoveries []*discovery // one for each of hashes; guarded by Node.mu
}

// milestones are states that a torrent reaches once. Each is closed under control.mu.
type milestones struct {
	named     chan struct{} // the metadata is known
	done      chan struct{} // it was complete for the first time
	announced chan struct{} // a DHT node has accepted an announce
	stopping  chan struct{} // it is leaving the node
	ended     chan struct{} // it has left the node and everything is saved
}

// newTorrent returns a torrent whose phase is Adding. The caller is its worker.
func (n *Node) newTorrent(spec Spec) *Torrent {
	t := &Torrent{node: n, hash: spec.InfoHash(), label: spec.Name(), state: n.state.torrent(spec.InfoHash())}
	t.milestones = milestones{make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{}), make(chan struct{})}
	t.control.init(spec)
	t.whole.Store(spec.Seed)
	t.control.upRate, t.control.downRate = spec.UpRate, spec.DownRate
	if spec.ReadAhead > 0 {
		t.player = newPlayer(t, spec.ReadAhead)
	}
	return t
}

// reach closes the channel of a milestone and reports whether it was open.
func (t *Torrent) reach(c chan struct{}) bool {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	return closeOnce(c)
}

func closeOnce(c chan struct{}) bool {
	if isClosed(c) {
		return false
	}
	close(c)
	return true
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// InfoHash returns the infohash that the torrent was added by.
func (t *Torrent) InfoHash() id.ID { return t.hash }

// Info returns the info dictionary, or nil while it is not known. For a parked torrent, Info
// reads it from the state directory.
func (t *Torrent) Info() *metainfo.Info {
	if i := t.info.Load(); i != nil || t.run.Load() != nil {
		return i
	}
	rest := t.summary.Load()
	if rest == nil {
		return nil
	}
	if saved := t.state.loadTorrent(rest.hashes); saved != nil {
		return saved.Info
	}
	return nil
}

// Name returns the torrent's name, or the name in the link while the metadata is not
// known.
func (t *Torrent) Name() string {
	if i := t.info.Load(); i != nil {
		return i.Name
	}
	if rest := t.summary.Load(); rest != nil {
		return rest.name
	}
	return t.label
}

// Link returns the magnet link that opens the torrent.
func (t *Torrent) Link() string {
	var l magnet.Link
	spec, info := t.spec(), t.Info()
	if spec.Link != nil {
		l = *spec.Link
	} else if rest := t.summary.Load(); rest != nil && rest.link != "" && t.info.Load() == nil {
		return rest.link // does not read the metadata
	}
	if info == nil && spec.Torrent != nil { // the swarm has not started
		info = spec.Torrent.Info
	}
	if info != nil {
		describe(&l, info)
	}
	return l.String()
}

// LinkOf returns the bare magnet link of a torrent.
func LinkOf(i *metainfo.Info) string {
	var l magnet.Link
	describe(&l, i)
	return l.String()
}

// describe adds what the metadata says to a link.
func describe(l *magnet.Link, i *metainfo.Info) {
	l.Name, l.Length = i.Name, i.Payload()
	if i.HasV1() {
		l.InfoHash, l.HasInfoHash = i.Hash, true
	}
	l.V2, l.HasV2 = i.HashV2, i.HasV2()
}

// Done returns a channel that is closed when every wanted piece is verified and under its
// final name; with Spec.MetadataOnly, when the .torrent file is written.
func (t *Torrent) Done() <-chan struct{} { return t.milestones.done }

// Ended returns a channel that is closed when the torrent has stopped, everything is saved
// and the torrent has left the node.
func (t *Torrent) Ended() <-chan struct{} { return t.milestones.ended }

// Named returns a channel that is closed when the metadata is known.
func (t *Torrent) Named() <-chan struct{} { return t.milestones.named }

// Announced returns a channel that is closed when a DHT node has accepted our first announce.
func (t *Torrent) Announced() <-chan struct{} { return t.milestones.announced }

// SetRates limits what the torrent sends and receives, in bytes a second, within the limits
// for all torrents; 0 means the limits for each torrent in Settings.
func (t *Torrent) SetRates(up, down int64) {
	t.control.mu.Lock()
	t.control.upRate, t.control.downRate = max(up, 0), max(down, 0)
	t.control.mu.Unlock()
	t.applySettings(t.node.settings.Load())
}

// rates returns the limits of the torrent: its own, or those in s for each torrent.
func (t *Torrent) rates(s *Settings) (up, down int64) {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	return cmp.Or(t.control.upRate, s.TorrentUpRate), cmp.Or(t.control.downRate, s.TorrentDownRate)
}

// Phase returns what the torrent is doing.
func (t *Torrent) Phase() lifecycle.Phase {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	return t.control.state.Phase
}

// Snapshot returns the state of the torrent at this moment.
func (t *Torrent) Snapshot() Snapshot {
	if r := t.run.Load(); r != nil {
		return r.snapshot()
	}
	s := Snapshot{State: t.Phase()}
	last, rest := t.last.Load(), t.summary.Load()
	switch {
	case s.State == lifecycle.Parked && rest != nil:
		s.State, s.Stats = lifecycle.Seeding, rest.stats()
	case last != nil:
		s.Stats = *last
	case rest != nil:
		s.Stats = rest.stats()
	}
	t.control.mu.Lock()
	s.Paused, s.Checked, s.ToCheck = t.control.failure, t.control.checked, t.control.toCheck
	t.control.mu.Unlock()
	return s
}

// Uploaded returns the bytes of payload sent to peers, over all runs.
func (t *Torrent) Uploaded() int64 {
	before := t.uploaded.Load()
	if r := t.run.Load(); r != nil {
		return before + r.swarm.Snapshot().Uploaded
	}
	return before
}

// learn records the info dictionary, which came from peers or was known from the start.
func (t *Torrent) learn(info *metainfo.Info) {
	t.setInfo(info)
	if t.player != nil {
		t.player.begin(info)
	}
	t.node.registerMore(t, hashesOf(info))
	t.node.reshare()
	if !isClosed(t.milestones.named) {
		if !t.spec().MetadataOnly { // otherwise it is reported when the file is written
			t.emit(Event{Kind: Metadata, Info: info})
		}
		t.reach(t.milestones.named)
	}
}

func (t *Torrent) setInfo(info *metainfo.Info) {
	t.info.Store(info)
	if info.Private {
		t.private.Store(true)
		if r := t.run.Load(); r != nil {
			r.endLookups()
		}
	}
}

// completed reports the first completion, and each later one after pieces were lost.
func (t *Torrent) completed() {
	was := t.whole.Swap(true)
	if !was {
		t.node.reshare()
		t.tellSeeds()
	}
	if was && isClosed(t.milestones.done) {
		return
	}
	t.seedingSince.CompareAndSwap(0, time.Now().UnixNano())
	t.emit(Event{Kind: Complete})
	t.reach(t.milestones.done)
	t.emit(Event{Kind: Seeding, Addr: t.node.Addrs()[0].String(), Magnet: t.Link()})
}

// setWhole records whether anything is missing.
func (t *Torrent) setWhole(whole bool) {
	if t.whole.Swap(whole) != whole {
		t.tellSeeds()
		t.node.reshare()
	}
}

// accepted records an announce that this many nodes accepted.
func (t *Torrent) accepted(nodes int) {
	if nodes > 0 && !isClosed(t.milestones.announced) {
		t.reach(t.milestones.announced)
	}
}
