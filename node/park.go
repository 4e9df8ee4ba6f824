package node

import (
	"fmt"
	"time"

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

// isParkable reports whether a torrent may be parked from the start, before any file
// is read.
func (n *Node) isParkable(spec *Spec) bool {
	return spec.Seed && !spec.Paused && spec.Torrent != nil && len(spec.Peers) == 0 && spec.Select == nil && spec.ReadAhead == 0 &&
		n.population.Load() > parkBeyond
}

// checkAtOnce is how many unproven bytes are hashed before a torrent is added, so that it can
// be parked. If there are more, the torrent runs, hashes them and reports its progress.
const checkAtOnce = 4 << 20

// isRecorded reports whether the state directory proves that all the data is verified, and has the metadata. Such a torrent
// can be parked without the lock of its folder, because it reads only files that are replaced as a whole, and writes none.
func (n *Node) isRecorded(spec *Spec, st *torrentState) bool {
	return (spec.Objects || storage.IsProven(n.proofOptions(spec, st))) && st.hasTorrent(spec.Torrent)
}

func (n *Node) proofOptions(spec *Spec, st *torrentState) storage.Options {
	return storage.Options{
		Dir: spec.Dir, Info: spec.Torrent.Info, ReadOnly: true, Record: st.resumePath(), Handles: n.handles, Steps: &n.steps, Verified: spec.Verified,
		OpenDisk: n.cfg.openDisk,
	}
}

// isProven reports whether all the data is verified: by the record, or by hashing if
// little is unproven. The folder of the torrent is open.
func (n *Node) isProven(spec *Spec, st *torrentState) bool {
	o := n.proofOptions(spec, st)
	if spec.Objects || storage.IsProven(o) { // objects are verified when they are read
		return st.keepTorrent(spec.Torrent) == nil
	}
	s, err := storage.Open(o)
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
	if t.isArchive() {
		spec := t.spec()
		m := spec.summary()
		m.have = m.wanted
		t.summary.Store(m)
	} else {
		t.summary.Store(summarize(info, &engine.Stats{Wanted: info.Length, HaveWanted: info.Length, HavePieces: info.NumPieces()}))
	}
	t.private.Store(info.Private)
	t.info.Store(info)
	t.noteComplete(true)
	t.saveParked()
	t.reportParked()
	t.strip()
	t.announceParked()
}

// reportParked reports the start events of a parked torrent, with the metadata if that is in
// memory.
func (t *Torrent) reportParked() {
	t.emit(Event{Kind: Metadata, Info: t.info.Load()})
	t.reportComplete()
	t.emit(Event{Kind: Seeding, Addr: t.node.firstAddr(), Magnet: t.Link()})
	t.milestones.reach(isNamed)
	t.milestones.reach(isDone)
}

// strip drops what the state directory also has, and releases the lock there.
func (t *Torrent) strip() {
	if err := t.state.close(); err != nil {
		t.node.log.Warn("the lock of a torrent was not freed", "torrent", t.Name(), "err", err)
	}
	if t.summary.Load() != nil {
		t.dropMetadata()
	}
}

// parkIdle parks the torrents that had no peers recently. It does not wait for them.
func (n *Node) parkIdle(now time.Time) {
	many := n.population.Load() > parkBeyond
	for _, t := range n.running() {
		if !many && !t.isArchive() {
			continue
		}
		if r := t.run.Load(); r != nil && r.isIdle(now) {
			t.request(func(i *lifecycle.Intent) { i.Park = true })
		}
	}
}

// isIdle reports whether a run may be parked: it has been complete and without a connection
// for parkAfter.
func (r *run) isIdle(now time.Time) bool {
	v := r.swarm.Snapshot()
	if !r.t.complete.Load() || r.t.isRead() || r.unparkable.Load() || v.State != swarm.Seeding || v.Connected > 0 || v.Dialing > 0 || v.Err != nil {
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
		t.emit(Event{Kind: Warning, Err: fmt.Errorf("%s: %w", t.Name(), asSavingFault(err))})
	}
	t.summary.Store(summarize(info, &r.final))
	t.setRun(nil)
	t.last.Store(nil)
	t.saveParked()
	t.strip()
	return true
}
