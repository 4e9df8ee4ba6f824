package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"seedbed/internal/id"
	"seedbed/node/lifecycle"
	"seedbed/swarm"
)

// The torrents of a node, indexed by infohash. Node.mu is only held briefly.

var (
	// ErrDuplicate is returned for a torrent that this node already has.
	ErrDuplicate = errors.New("the torrent has already been added")
	// ErrUnknown is returned for an infohash of which this node has no torrent.
	ErrUnknown = errors.New("this node does not have the torrent")
)

// Add adds a torrent and starts it. It returns ErrDuplicate if this node has the torrent, and ErrLocked if
// another process runs it. A torrent that is parked at once needs no lock, so Add does not notice the other process.
func (n *Node) Add(spec Spec) (*Torrent, error) { return n.add(&spec, nil) }

// add implements Add. takeOver, if not nil, is called before the first record of a torrent of the
// session is written.
func (n *Node) add(spec *Spec, takeOver func(*Torrent, *sessionEntry) error) (*Torrent, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	if err := n.setObjects(spec); err != nil {
		return nil, err
	}
	t := n.newTorrent(spec.InfoHash(), spec)
	if err := n.reserve(t, spec.hashes()); err != nil {
		return nil, err
	}
	parkable := n.isParkable(spec)
	parked := parkable && !spec.Persistent && n.isRecorded(spec, &t.state)
	open := t.state.open
	if spec.Persistent && n.cfg.Held && spec.Torrent == nil { // a link that waits needs no folder yet
		open = t.state.openExisting
	}
	if parked {
		open = func() error { return nil }
	}
	if err := open(); err != nil {
		n.forget(t)
		t.refuse()
		return nil, fmt.Errorf("%s: %w", spec.Name(), err)
	}
	if spec.Archive {
		if err := t.state.keepTorrent(spec.Torrent); err != nil {
			n.forget(t)
			err = errors.Join(err, t.state.close())
			t.refuse()
			return nil, fmt.Errorf("%s: %w", spec.Name(), stateFault("written", err))
		}
		parked = true
	}
	if parked || t.state.lock != nil {
		saved := t.state.loadTally()
		t.control.mu.Lock()
		t.control.counts.tally = saved
		t.control.mu.Unlock()
	}
	if spec.Persistent {
		if err := t.keepOnRecord(spec, takeOver); err != nil {
			n.forget(t)
			err = errors.Join(err, t.state.close())
			t.refuse()
			return nil, fmt.Errorf("%s: %w", spec.Name(), asFault(err))
		}
	}
	parked = parked || parkable && n.isProven(spec, &t.state)
	t.emit(Event{Kind: Added, Magnet: t.Link()})
	for _, w := range spec.warnings() {
		t.emit(Event{Kind: Warning, Err: &Fault{Err: w}})
	}
	added := lifecycle.State.Added
	switch {
	case parked:
		t.startParked()
		added = lifecycle.State.AddedParked
	case spec.Persistent && n.cfg.Held:
		t.addHeld()
		added = lifecycle.State.AddedHeld
	}
	if !t.enter(added) {
		return nil, ErrClosed
	}
	return t, nil
}

// addHeld holds a torrent of the session that is being added. The caller is its worker.
func (t *Torrent) addHeld() {
	t.control.mu.Lock()
	t.control.intent.Hold = true
	t.control.mu.Unlock()
	t.strip()
}

// enter finishes adding a torrent, whose state becomes that which added returns. The caller is
// its worker, which then performs the next action. enter returns false if the torrent has left
// the node.
func (t *Torrent) enter(added func(lifecycle.State) lifecycle.State) bool {
	t.control.mu.Lock()
	t.setState(added(t.control.state))
	t.control.mu.Unlock()
	t.work()
	return !t.node.isClosing()
}

// refuse ends a torrent that cannot be added.
func (t *Torrent) refuse() {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	t.setState(t.control.state.Refused())
	t.control.rest()
	t.milestones.reach(isStopping)
	t.milestones.reach(hasEnded)
}

// reserve registers a torrent that is being added, so that its infohashes cannot be added
// twice and Close waits for it. If a torrent with the same infohash is being removed, reserve waits
// until that is done. An Archive, and one with Spec.Cache, is removed for it.
func (n *Node) reserve(t *Torrent, hashes []id.ID) error {
	for {
		other, err := n.tryReserve(t, hashes)
		if other != nil && other.givesWayTo(t) {
			_ = other.remove(false) // it has no record
		}
		if other == nil || !other.isBeingRemoved() {
			return err
		}
		select {
		case <-other.Ended():
		case <-n.ctx.Done():
			return ErrClosed
		}
	}
}

// tryReserve is reserve without waiting. With ErrDuplicate it returns the other torrent.
func (n *Node) tryReserve(t *Torrent, hashes []id.ID) (other *Torrent, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return nil, ErrClosed
	}
	for _, h := range hashes {
		if other := n.torrents[h]; other != nil {
			return other, ErrDuplicate
		}
	}
	n.register(t, hashes)
	n.order.add(t)
	n.population.Store(int32(n.order.listed()))
	return nil, nil
}

// register indexes t by its infohashes. mu is held.
func (n *Node) register(t *Torrent, hashes []id.ID) {
	for _, h := range hashes {
		if n.torrents[h] != nil {
			continue
		}
		n.torrents[h] = t
		n.keys[swarm.KeyHash(h)] = h
		if h != t.hash {
			t.other = h
		}
	}
}

// registerMore registers the infohashes that the info dictionary has and the Spec had not.
// The loop of t's swarm calls it.
func (n *Node) registerMore(t *Torrent, hashes []id.ID) {
	n.mu.Lock()
	if !n.closing {
		n.register(t, hashes)
	}
	n.mu.Unlock()
	t.run.Load().discover()
}

// infohashes returns the known infohashes of the torrent, one or two.
func (t *Torrent) infohashes() []id.ID {
	t.node.mu.Lock()
	defer t.node.mu.Unlock()
	if t.other.IsZero() {
		return []id.ID{t.hash}
	}
	return []id.ID{t.hash, t.other}
}

// forget removes a torrent from the node, unless the node is closing, and reports whether it
// did.
func (n *Node) forget(t *Torrent) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return false
	}
	for _, h := range []id.ID{t.hash, t.other} {
		if n.torrents[h] == t {
			delete(n.torrents, h)
			delete(n.keys, swarm.KeyHash(h))
		}
	}
	n.order.remove(t)
	n.population.Store(int32(n.order.listed()))
	n.reshare()
	return true
}

// Torrents returns all torrents in the order in which they were added, except those with Spec.Cache, those of
// an Archive and those that are being removed.
func (n *Node) Torrents() []*Torrent {
	return slices.DeleteFunc(n.all(), func(t *Torrent) bool { return t.isHidden() || t.Phase() == lifecycle.Adding || t.isBeingRemoved() })
}

// Active returns the torrents whose swarm runs: neither parked nor paused. They are in no
// particular order. It takes time for those alone.
func (n *Node) Active() []*Torrent {
	n.actives.mu.Lock()
	defer n.actives.mu.Unlock()
	return slices.Collect(maps.Keys(n.actives.set))
}

// actives are the torrents whose swarm runs.
type actives struct {
	mu  sync.Mutex
	set map[*Torrent]struct{}
}

// setRun stores the running swarm of t, or nil.
func (t *Torrent) setRun(r *run) {
	a := &t.node.actives
	a.mu.Lock()
	defer a.mu.Unlock()
	t.run.Store(r)
	t.node.wakeLSD()
	if r == nil {
		delete(a.set, t)
		return
	}
	if a.set == nil {
		a.set = map[*Torrent]struct{}{}
	}
	a.set[t] = struct{}{}
}

// running returns the torrents that are not leaving the node.
func (n *Node) running() []*Torrent {
	return slices.DeleteFunc(n.all(), (*Torrent).isStopping)
}

func (n *Node) all() []*Torrent {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.order.list()
}

func (n *Node) isClosing() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closing
}

// lookup returns the torrent with an infohash, or nil.
func (n *Node) lookup(ih id.ID) *Torrent {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.torrents[ih]
}

// byKeyHash returns the infohash for a hash from an encrypted handshake.
func (n *Node) byKeyHash(keyHash [20]byte) (id.ID, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ih, ok := n.keys[keyHash]
	return ih, ok
}
