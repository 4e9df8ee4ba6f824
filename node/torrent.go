package node

import (
	"cmp"
	"sync/atomic"

	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
	"seedbed/swarm/engine"
)

// Torrent is a torrent of a node. Its methods may be called from any goroutine.
//
// One worker at a time decides what it does (worker.go). While its swarm runs it has a run
// (run.go); while it is parked it has neither a run nor a goroutine (park.go). A parked
// torrent takes about 950 bytes: this struct 464, its summary and its session entry 160,
// the indexes of the node and the change log 300.
type Torrent struct {
	node       *Node
	hash       id.ID
	state      torrentState
	player     atomic.Pointer[player] // nil if no file was ever read and Spec.ReadAhead is not set
	control    control
	milestones milestones

	run     atomic.Pointer[run]
	info    atomic.Pointer[metainfo.Info] // nil while it is not known, and while the torrent is parked
	summary atomic.Pointer[summary]       // nil unless the torrent has stopped or been parked
	last    atomic.Pointer[engine.Stats]  // of the last run; nil if parked

	complete atomic.Bool // no wanted piece is known to be missing
	private  atomic.Bool // neither DHT nor PEX may be used (BEP 27)

	idleSince atomic.Int64 // Unix nanoseconds: when it last uploaded or began to seed; 0: it does not seed

	slot     int       // in Node.order; guarded by Node.mu
	other    id.ID     // the second infohash of a hybrid; zero if there is none or it is not known; guarded by Node.mu
	withdraw [2]func() // stops announcing hash and other; nil if not announced; see announce
}

// newTorrent returns a torrent whose phase is Adding. The caller is its worker, and must
// not modify spec afterwards.
func (n *Node) newTorrent(hash id.ID, spec *Spec) *Torrent {
	t := &Torrent{node: n, hash: hash, state: torrentState{dir: n.state, hash: hash}}
	t.control.init(spec)
	t.complete.Store(spec.Seed)
	t.control.upRate, t.control.downRate = spec.UpRate, spec.DownRate
	if spec.Archive {
		t.milestones.reach(isArchive)
	}
	if spec.ReadAhead > 0 {
		t.player.Store(newPlayer(t, spec.ReadAhead, spec.Cache))
	}
	return t
}

// InfoHash returns the infohash that the torrent was added by.
func (t *Torrent) InfoHash() id.ID { return t.hash }

// Info returns the info dictionary, or nil while it is not known. For a parked torrent, Info
// reads it from the state directory.
func (t *Torrent) Info() *metainfo.Info {
	if i := t.info.Load(); i != nil || t.run.Load() != nil {
		return i
	}
	sum := t.summary.Load()
	if sum == nil {
		return nil
	}
	if saved := t.state.loadTorrent(sum.hashes()); saved != nil {
		return saved.Info
	}
	return nil
}

// Name returns the name that Rename gave to the torrent; otherwise the torrent's own name, or
// that in the link while the metadata is not known.
func (t *Torrent) Name() string {
	spec := t.spec()
	if n := spec.Naming; n != nil && n.Name != "" {
		return n.Name
	}
	if i := t.info.Load(); i != nil {
		return i.Name
	}
	if sum := t.summary.Load(); sum != nil {
		return sum.name
	}
	if spec.Link == nil && spec.Torrent == nil {
		return t.hash.String()
	}
	return spec.Name()
}

// Link returns the magnet link that opens the torrent.
func (t *Torrent) Link() string {
	var l magnet.Link
	spec, info, sum := t.spec(), t.info.Load(), t.summary.Load()
	if spec.Link != nil {
		l = *spec.Link
	}
	if info == nil && spec.Torrent != nil { // the swarm has not started
		info = spec.Torrent.Info
	}
	switch {
	case info != nil:
		describe(&l, info)
	case sum != nil: // without reading the metadata
		sum.describe(&l)
	}
	return l.String()
}

// LinkOf returns the magnet link of a torrent, without trackers, peers and web seeds.
func LinkOf(i *metainfo.Info) string {
	var l magnet.Link
	describe(&l, i)
	return l.String()
}

// describe adds the name, the size and the infohashes of a torrent to a link.
func describe(l *magnet.Link, i *metainfo.Info) {
	l.Name, l.Length = i.Name, i.Payload()
	if i.HasV1() {
		l.InfoHash, l.HasInfoHash = i.Hash, true
	}
	l.V2, l.HasV2 = i.HashV2, i.HasV2()
}

// Done returns a channel that is closed when every wanted piece is verified and under its
// final name; with Spec.MetadataOnly, when the .torrent file is written.
func (t *Torrent) Done() <-chan struct{} { return t.milestones.wait(isDone) }

// WasComplete reports whether Done is closed.
func (t *Torrent) WasComplete() bool { return t.milestones.has(isDone) }

// Ended returns a channel that is closed when the torrent has stopped, everything is saved
// and the torrent has left the node.
func (t *Torrent) Ended() <-chan struct{} { return t.milestones.wait(hasEnded) }

// Named returns a channel that is closed when the metadata is known.
func (t *Torrent) Named() <-chan struct{} { return t.milestones.wait(isNamed) }

// Announced returns a channel that is closed when a DHT node has accepted our first announce.
func (t *Torrent) Announced() <-chan struct{} { return t.milestones.wait(isAnnounced) }

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

// IsComplete reports whether every wanted piece is verified or, while the torrent does not run,
// was verified when it last ran.
func (t *Torrent) IsComplete() bool {
	if t.complete.Load() {
		return true
	}
	sum := t.summary.Load()
	return sum != nil && sum.have == sum.wanted && (t.run.Load() == nil || t.Phase() == lifecycle.Checking)
}

// HasMetadata reports whether the info dictionary is known, in memory or in the state directory.
func (t *Torrent) HasMetadata() bool { return t.info.Load() != nil || t.summary.Load() != nil }

// Phase returns what the torrent is doing. A torrent that Pause is stopping is Paused already, and
// one that is held is Queued, even while it stops or fetches its metadata.
func (t *Torrent) Phase() lifecycle.Phase {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	return t.control.shown(t.control.state.Phase)
}

// shown returns the phase to show of a torrent that is in phase p. mu is held.
func (c *control) shown(p lifecycle.Phase) lifecycle.Phase {
	if c.intent.Want == lifecycle.Pause && (c.state.Running || p == lifecycle.Queued || p == lifecycle.Parked) {
		return lifecycle.Paused
	}
	if c.intent.Hold && c.state.Running {
		return lifecycle.Queued
	}
	return p
}

// Snapshot returns the state of the torrent at this moment.
func (t *Torrent) Snapshot() Snapshot {
	if r := t.run.Load(); r != nil {
		return r.snapshot()
	}
	s := Snapshot{State: t.Phase()}
	last, sum := t.last.Load(), t.summary.Load()
	switch {
	case s.State == lifecycle.Parked && sum != nil:
		s.State, s.Stats = lifecycle.Seeding, sum.stats()
	case last != nil && (last.Pieces > 0 || sum == nil): // not of a run that has found no files
		s.Stats = *last
	case sum != nil:
		s.Stats = sum.stats()
	}
	t.control.mu.Lock()
	s.Paused, s.Checked, s.ToCheck = t.control.failure, t.control.checked, t.control.toCheck
	t.control.mu.Unlock()
	return s
}

// learn records the info dictionary, which came from peers or was known from the start.
func (t *Torrent) learn(info *metainfo.Info) {
	t.setInfo(info)
	if p := t.player.Load(); p != nil {
		p.begin(info)
	}
	t.node.registerMore(t, hashesOf(info))
	t.node.pushes.refresh([]id.ID{t.hash}) // a publication may have named it by the other infohash
	t.node.reshare()
	if !t.milestones.has(isNamed) {
		if !t.spec().MetadataOnly { // otherwise it is reported when the file is written
			t.emit(Event{Kind: Metadata, Info: info})
		}
		t.milestones.reach(isNamed)
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

// completed reports that the torrent is complete: the first time, and again after pieces
// were lost.
func (t *Torrent) completed() {
	t.noteComplete(true)
	was := t.complete.Swap(true)
	if !was {
		t.node.reshare()
		t.updateSeedFlag()
	}
	if was && t.milestones.has(isDone) {
		return
	}
	t.reportComplete()
	t.milestones.reach(isDone)
	t.emit(Event{Kind: Seeding, Addr: t.node.firstAddr(), Magnet: t.Link()})
}

// reportComplete reports that all wanted pieces are there.
func (t *Torrent) reportComplete() {
	e := Event{Kind: Complete}
	if spec := t.spec(); spec.Objects && !spec.Upload {
		e.Path = spec.store
	}
	t.emit(e)
}

// setComplete records whether all wanted pieces are there.
func (t *Torrent) setComplete(complete bool) {
	if !complete {
		t.noteComplete(false)
	}
	if t.complete.Swap(complete) != complete {
		t.updateSeedFlag()
		t.node.reshare()
	}
}

// accepted records that a number of DHT nodes accepted an announce.
func (t *Torrent) accepted(nodes int) {
	if nodes > 0 && !t.milestones.has(isAnnounced) {
		t.milestones.reach(isAnnounced)
	}
}
