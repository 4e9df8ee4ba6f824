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

// A torrent that is complete and has no peers is parked: it has no swarm, goroutine or
// descriptor, and no metadata in memory. It stays announced in the DHT. It wakes when a peer
// connects, or when the DHT returns peers, because these may be unable to connect to us.
//
// Up to parkBeyond torrents, parking has no benefit. Above that, torrents that are added as
// complete, and whose resume record proves it, are parked from the start.
const (
	parkBeyond = 64
	// parkAfter is how long a torrent without a connection runs before it is parked.
	parkAfter = time.Minute
)

// summary holds what is known of a torrent whose metadata is not in memory.
type summary struct {
	hashes             []id.ID // infohashes that the metadata must have
	name, link         string
	size, wanted, have int64
	pieces, havePieces int
}

func summarize(info *metainfo.Info, s *engine.Stats) *summary {
	return &summary{hashes: hashesOf(info), name: info.Name, link: LinkOf(info), size: info.Payload(), wanted: s.Wanted, have: s.HaveWanted,
		pieces: info.NumPieces(), havePieces: s.HavePieces}
}

// stats returns the counts of a torrent that does not run.
func (r *summary) stats() engine.Stats {
	return engine.Stats{Metadata: true, Complete: r.have == r.wanted, Size: r.size, Wanted: r.wanted, Have: r.have, HaveWanted: r.have,
		Pieces: r.pieces, HavePieces: r.havePieces}
}

// isParkable reports whether a torrent may be parked from the start, before any file
// is read.
func (n *Node) isParkable(spec *Spec) bool {
	return spec.Seed && !spec.Paused && spec.Torrent != nil && len(spec.Peers) == 0 && spec.Select == nil && spec.ReadAhead == 0 &&
		n.population.Load() > parkBeyond
}

// checkAtOnce is how many unproven bytes are hashed before a torrent is added, so that it can
// be parked. If there are more, the torrent runs, hashes them and reports its progress.
const checkAtOnce = 4 << 20

// isProven reports whether all the data is verified: by the record, or by hashing if
// little is unproven.
func (n *Node) isProven(spec *Spec, st *torrentState) bool {
	s, err := storage.Open(storage.Options{
		Dir: spec.Dir, Info: spec.Torrent.Info, ReadOnly: true, Record: st.resumePath(), Handles: n.handles, Steps: &n.steps, Verified: spec.Verified,
		OpenDisk: n.cfg.openDisk,
	})
	if err != nil {
		return false // starting the torrent reports the error
	}
	if s.NeedsCheck() && spec.Torrent.Info.Length <= checkAtOnce {
		_, err = s.CheckDoubtful(n.ctx, nil)
	}
	whole := err == nil && !s.NeedsCheck() && s.Have().Count() == spec.Torrent.Info.NumPieces()
	return s.Close() == nil && whole && st.keepTorrent(spec.Torrent) == nil
}

// startParked reports the start events of a torrent that is proven complete, and keeps it
// announced. The caller is its worker, so that wake waits until it returns.
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

// reportParked reports the start events of a parked torrent, with the metadata if that is in
// memory.
func (t *Torrent) reportParked() {
	t.emit(Event{Kind: Metadata, Info: t.info.Load()})
	t.emit(Event{Kind: Complete})
	t.emit(Event{Kind: Seeding, Addr: t.node.Addrs()[0].String(), Magnet: t.Link()})
	t.reach(t.milestones.named)
	t.reach(t.milestones.done)
}

// strip drops what the state directory also has, and releases the lock there.
func (t *Torrent) strip() {
	if err := t.state.close(); err != nil {
		t.node.log.Warn("the lock of a parked torrent was not freed", "torrent", t.Name(), "err", err)
	}
	t.control.mu.Lock()
	t.control.spec.Torrent, t.control.spec.Verified = nil, false
	t.control.mu.Unlock()
	t.info.Store(nil)
}

// parkIdle parks the torrents that had no peers recently. It does not wait for them.
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

// isIdle reports whether a run may be parked: it has been complete and without a connection
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

// parkSwarm stops the swarm of a torrent without peers. It returns false, and the torrent
// keeps running, if the torrent could not be woken again.
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
