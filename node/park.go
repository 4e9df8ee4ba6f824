package node

import (
	"fmt"
	"time"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
	"seedbed/swarm"
	"seedbed/swarm/engine"
	"seedbed/swarm/storage"
)

// A torrent that is complete and that nobody asks for is parked: it has neither swarm nor
// goroutine nor descriptor nor metadata in memory, stays announced in the DHT, and wakes
// when a peer connects, or when the DHT tells of peers that may not be able to.
//
// Up to parkBeyond torrents there is nothing to gain. From then on those that are given as
// complete, and whose record proves it, are parked from the beginning.
const (
	parkBeyond = 64
	// parkAfter without a connection a torrent is parked.
	parkAfter = time.Minute
)

// summary is what is known of a torrent whose metadata is not in memory.
type summary struct {
	hashes             []id.ID // all that the metadata must have
	name, link         string
	size, wanted, have int64
	pieces, havePieces int
}

func summarize(info *metainfo.Info, s *engine.Stats) *summary {
	return &summary{hashes: hashesOf(info), name: info.Name, link: LinkOf(info), size: info.Payload(), wanted: s.Wanted, have: s.HaveWanted,
		pieces: info.NumPieces(), havePieces: s.HavePieces}
}

// stats returns the counts of a torrent that does nothing.
func (r *summary) stats() engine.Stats {
	return engine.Stats{Metadata: true, Complete: r.have == r.wanted, Size: r.size, Wanted: r.wanted, Have: r.have, HaveWanted: r.have,
		Pieces: r.pieces, HavePieces: r.havePieces}
}

// isParkable reports whether a torrent may be parked from the beginning, before anything
// is read.
func (n *Node) isParkable(spec *Spec) bool {
	return spec.Seed && !spec.Paused && spec.Torrent != nil && len(spec.Peers) == 0 && spec.Select == nil && spec.ReadAhead == 0 &&
		n.population.Load() > parkBeyond
}

// checkAtOnce bytes that the record does not prove are hashed before a torrent is added, so
// that it may be parked; more are hashed by a torrent that runs, and reports its progress.
const checkAtOnce = 4 << 20

// isProven reports whether all the data is there: by the record, or by hashing if it
// is little.
func (n *Node) isProven(spec *Spec, st *torrentState) bool {
	s, err := storage.Open(storage.Options{
		Dir: spec.Dir, Info: spec.Torrent.Info, ReadOnly: true, Record: st.resumePath(), Handles: n.handles, Steps: &n.steps, Verified: spec.Verified,
		OpenDisk: n.cfg.openDisk,
	})
	if err != nil {
		return false // the ordinary way reports why
	}
	if s.NeedsCheck() && spec.Torrent.Info.Length <= checkAtOnce {
		_, err = s.CheckDoubtful(n.ctx, nil)
	}
	whole := err == nil && !s.NeedsCheck() && s.Have().Count() == spec.Torrent.Info.NumPieces()
	return s.Close() == nil && whole && st.keepTorrent(spec.Torrent) == nil
}

// startParked makes a torrent that is proven complete report what others report when they
// start, and keeps it announced. The caller is its worker: who wakes it waits until then.
func (t *Torrent) startParked() {
	info := t.spec().Torrent.Info
	t.summary.Store(summarize(info, &engine.Stats{Wanted: info.Length, HaveWanted: info.Length, HavePieces: info.NumPieces()}))
	t.private.Store(info.Private)
	t.info.Store(info)
	t.seedingSince.Store(time.Now().UnixNano())
	t.saveSummary()
	t.reportParked()
	t.strip()
	t.announceParked()
}

// reportParked reports of a parked torrent what others report when they start. The metadata
// goes with it if it is in memory.
func (t *Torrent) reportParked() {
	t.emit(Event{Kind: Metadata, Info: t.info.Load()})
	t.emit(Event{Kind: Complete})
	t.emit(Event{Kind: Seeding, Addr: t.node.Addrs()[0].String(), Magnet: t.Link()})
	t.reach(t.milestones.named)
	t.reach(t.milestones.done)
}

// strip drops what the state directory has too, and the lock there.
func (t *Torrent) strip() {
	if err := t.state.close(); err != nil {
		t.node.log.Warn("the lock of a parked torrent was not freed", "torrent", t.Name(), "err", err)
	}
	t.control.mu.Lock()
	t.control.spec.Torrent, t.control.spec.Verified = nil, false
	t.control.mu.Unlock()
	t.info.Store(nil)
}

// parkIdle parks the torrents that no peer has asked for lately. It waits for none of them.
func (n *Node) parkIdle(now time.Time) {
	if n.population.Load() <= parkBeyond {
		return
	}
	for _, t := range n.running() {
		if r := t.run.Load(); r != nil && r.isIdle(now) {
			t.request(func(i *lifecycle.Intent) { i.Park = true })
		}
	}
}

// isIdle reports whether a run may be parked: it has been complete, without a connection,
// for parkAfter.
func (r *run) isIdle(now time.Time) bool {
	v := r.swarm.Snapshot()
	if !r.t.whole.Load() || r.t.player != nil || r.unparkable.Load() || v.State != swarm.Seeding || v.Connected > 0 || v.Dialing > 0 || v.Err != nil {
		r.idleSince = time.Time{}
		return false
	}
	r.t.observe(lifecycle.Seeding)
	if r.idleSince.IsZero() {
		r.idleSince = now
	}
	return now.Sub(r.idleSince) >= parkAfter
}

// parkSwarm stops the swarm of a torrent that nobody asks for. It returns false if the
// torrent could not be woken again, and so goes on.
func (t *Torrent) parkSwarm() bool {
	r, info := t.run.Load(), t.info.Load()
	if err := t.state.keepTorrent(torrentFile(&r.spec, info)); err != nil {
		r.unparkable.Store(true)
		return false
	}
	if err := r.stop(); err != nil {
		t.emit(Event{Kind: Warning, Err: fmt.Errorf("%s: %w", t.Name(), savingFault(err))})
	}
	t.summary.Store(summarize(info, &r.final))
	t.run.Store(nil)
	t.last.Store(nil)
	t.saveSummary()
	t.strip()
	return true
}
