package node

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/swarm"
	"seedbed/swarm/engine"
	"seedbed/swarm/storage"
)

// A torrent that is whole and that nobody asks for is parked: it has neither swarm
// nor goroutine nor descriptor nor metadata in memory, stays announced in the DHT,
// and wakes when somebody connects to it, or when the DHT tells of peers who may
// not be able to.
//
// Up to parkBeyond torrents there is nothing to gain. From then on those that are
// given as whole, and whose record proves it, are parked from the beginning.
const (
	parkBeyond = 64
	// parkAfter without a connection a torrent is parked.
	parkAfter = time.Minute
)

// resting is what a torrent has while it is parked, or always.
type resting struct {
	hash   id.ID                   // what the torrent is known by
	hashes atomic.Pointer[[]id.ID] // to know the metadata again
	name   atomic.Pointer[string]
	size   atomic.Int64
	wanted atomic.Int64
	pieces atomic.Int32
	idle   atomic.Int64 // Unix nanoseconds since when it has had no connection; 0: it has
	never  atomic.Bool
}

// remember keeps what is told of the torrent when its metadata is gone.
func (r *resting) remember(info *metainfo.Info, wanted int64) {
	hashes := hashesOf(info)
	r.hashes.Store(&hashes)
	r.name.Store(&info.Name)
	r.size.Store(info.Payload())
	r.wanted.Store(wanted)
	r.pieces.Store(int32(info.NumPieces()))
}

// snapshot is that of a torrent which is whole and does nothing.
func (r *resting) snapshot() Snapshot {
	size, wanted, pieces := r.size.Load(), r.wanted.Load(), int(r.pieces.Load())
	return Snapshot{State: SeedingState, Stats: engine.Stats{
		Metadata: true, Complete: true, Size: size, Wanted: wanted, Have: wanted, HaveWanted: wanted, Pieces: pieces, HavePieces: pieces,
	}}
}

// parkable reports whether a torrent may rest from the beginning, before anything
// is looked at.
func (n *Node) parkable(spec *Spec) bool {
	return spec.Seed && spec.Torrent != nil && len(spec.Peers) == 0 && spec.Select == nil && spec.ReadAhead == 0 &&
		n.population.Load() >= parkBeyond
}

// checkAtOnce bytes that the record does not prove are hashed before a torrent is
// taken on, so that it may rest; more are hashed by a torrent that runs, and tells
// how far it is.
const checkAtOnce = 4 << 20

// proven reports whether all the data is there: by the record, or by hashing if it
// is little.
func (n *Node) proven(spec *Spec, st *torrentState) bool {
	s, err := storage.Open(storage.Options{
		Dir: spec.Dir, Info: spec.Torrent.Info, ReadOnly: true, Record: st.resumePath(), Handles: n.handles, Steps: &n.steps, Verified: spec.Verified,
	})
	if err != nil {
		return false // the ordinary way tells why
	}
	if s.NeedsCheck() && spec.Torrent.Info.Length <= checkAtOnce {
		_, err = s.CheckDoubtful(n.ctx, nil)
	}
	whole := err == nil && !s.NeedsCheck() && s.Have().Count() == spec.Torrent.Info.NumPieces()
	return s.Close() == nil && whole && st.keepTorrent(spec.Torrent) == nil
}

// parked is a torrent that is proven whole, at rest.
func (n *Node) parked(spec Spec, st *torrentState) *Torrent {
	info := spec.Torrent.Info
	t := n.newTorrent(spec, st)
	t.rest.remember(info, info.Length)
	if info.Private {
		t.endLookups()
	}
	t.info.Store(info)
	t.seeding.Store(time.Now().UnixNano())
	return t
}

// tellParked tells of a torrent at rest what it would have told itself.
func (t *Torrent) tellParked() {
	t.emit(Event{Kind: Metadata, Info: t.Info()})
	t.emit(Event{Kind: Complete})
	t.emit(Event{Kind: Seeding, Addr: t.node.Addrs()[0].String(), Magnet: t.Link()})
	close(t.named)
	t.doneOnce.Do(func() { close(t.done) })
	t.runMu.Lock()
	defer t.runMu.Unlock()
	if t.live.Load() == nil { // nobody has come meanwhile
		t.strip()
	}
}

// strip lets go of what the state directory has, and of the lock there.
func (t *Torrent) strip() {
	if err := t.state.close(); err != nil {
		t.node.log.Warn("the lock of a torrent at rest was not freed", "torrent", t.Name(), "err", err)
	}
	t.spec.Torrent, t.spec.Verified = nil, false
	t.info.Store(nil)
	t.seen.Store(nil)
	t.known = nil
}

// parkIdle parks the torrents that nobody has asked for lately.
func (n *Node) parkIdle(now time.Time) {
	if n.population.Load() <= parkBeyond {
		return
	}
	for _, t := range n.running() {
		if t.restless(now) {
			continue
		}
		t.park()
		if n.ctx.Err() != nil {
			return
		}
	}
}

// restless reports whether a torrent is not to be parked, and notes since when it
// could be.
func (t *Torrent) restless(now time.Time) bool {
	s := t.live.Load()
	if s == nil {
		return true
	}
	v := s.Snapshot()
	if !t.whole.Load() || t.player != nil || t.rest.never.Load() || v.State != swarm.Seeding || v.Connected > 0 || v.Dialing > 0 || v.Err != nil {
		t.rest.idle.Store(0)
		return true
	}
	t.rest.idle.CompareAndSwap(0, now.UnixNano())
	return now.UnixNano()-t.rest.idle.Load() < int64(parkAfter)
}

// park ends the run of a torrent that nobody asks for.
func (t *Torrent) park() {
	t.runMu.Lock()
	defer t.runMu.Unlock()
	s := t.live.Load()
	info := t.info.Load()
	if s == nil || info == nil || t.ctx.Err() != nil {
		return
	}
	kept := t.spec.Torrent
	if kept == nil {
		kept = &metainfo.Torrent{Info: info}
	}
	if err := t.state.keepTorrent(kept); err != nil {
		t.rest.never.Store(true) // it could not be woken
		return
	}
	v := s.Snapshot()
	t.before.Add(v.Uploaded)
	t.rest.remember(info, v.Wanted)
	t.live.Store(nil)
	t.endRun()
	if err := s.Stop(context.Background()); err != nil {
		t.node.log.Warn("a torrent at rest was not saved", "torrent", t.Name(), "err", err)
	}
	t.wg.Wait()
	t.strip()
}

// wake is the swarm of a torrent, which is started if it was parked; nil if the
// torrent stops.
func (t *Torrent) wake() *swarm.Torrent {
	if s := t.live.Load(); s != nil {
		return s
	}
	s := t.restart()
	if s != nil {
		t.node.reshare()
	}
	return s
}

func (t *Torrent) restart() *swarm.Torrent {
	t.runMu.Lock()
	defer t.runMu.Unlock()
	if s := t.live.Load(); s != nil || t.ctx.Err() != nil {
		return s
	}
	if !t.state.take() {
		t.node.log.Debug("another process runs a torrent that rests here", "torrent", t.Name())
		return nil
	}
	saved := t.state.loadTorrent(*t.rest.hashes.Load())
	if saved == nil {
		go t.fail(&Fault{Err: fmt.Errorf("the metadata of %s is gone from the state directory", t.Name()), hint: "add the torrent again"})
		return nil
	}
	t.spec.Torrent = saved
	t.rest.idle.Store(0)
	t.node.mu.Lock()
	t.share = share{}
	t.node.mu.Unlock()
	t.start(saved.Info, true)
	return t.live.Load()
}
