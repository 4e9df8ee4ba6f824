package node

import (
	"errors"
	"fmt"
	"slices"

	"seedbed/internal/id"
	"seedbed/node/lifecycle"
	"seedbed/swarm"
)

// The torrents of a node, indexed by infohash. Node.mu is only held briefly.

var (
	// ErrDuplicate is returned for a torrent that this node already has.
	ErrDuplicate = errors.New("this torrent was added before")
	// ErrUnknown is returned for an infohash that belongs to no torrent of this node.
	ErrUnknown = errors.New("this node has no such torrent")
)

// Add adds a torrent and starts it. It returns ErrLocked if another process runs the torrent,
// and ErrDuplicate if this node does.
func (n *Node) Add(spec Spec) (*Torrent, error) {
	if err := spec.validate(); err != nil {
		return nil, err
	}
	t := n.newTorrent(spec)
	if err := n.reserve(t, spec.hashes()); err != nil {
		return nil, err
	}
	if err := t.state.open(); err != nil {
		n.forget(t)
		t.refuse()
		return nil, fmt.Errorf("%s: %w", spec.Name(), err)
	}
	if spec.Persistent {
		if err := t.keepOnRecord(&spec); err != nil {
			n.forget(t)
			err = errors.Join(err, t.state.close())
			t.refuse()
			return nil, fmt.Errorf("%s: %w", spec.Name(), asFault(err))
		}
	}
	parked := n.isParkable(&spec) && n.isProven(&spec, t.state)
	t.emit(Event{Kind: Added, Magnet: t.Link()})
	for _, w := range spec.warnings() {
		t.emit(Event{Kind: Warning, Err: &Fault{Err: w}})
	}
	if parked {
		t.startParked()
	}
	if !t.enter(parked) {
		return nil, ErrClosed
	}
	return t, nil
}

// enter finishes adding a torrent. The caller is its worker, which then performs the next
// action. enter returns false if the torrent has left the node.
func (t *Torrent) enter(parked bool) bool {
	t.control.mu.Lock()
	t.control.state = t.control.state.Added(parked)
	t.control.mu.Unlock()
	t.work()
	return !t.node.isClosing()
}

// refuse ends a torrent that could not be added.
func (t *Torrent) refuse() {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	t.control.state = t.control.state.Refused()
	t.control.working = false
	close(t.control.rested)
	closeOnce(t.milestones.stopping)
	closeOnce(t.milestones.ended)
}

// reserve registers a torrent that is being added, so that its infohashes cannot be added
// twice and Close waits for it.
func (n *Node) reserve(t *Torrent, hashes []id.ID) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return ErrClosed
	}
	for _, h := range hashes {
		if n.torrents[h] != nil {
			return ErrDuplicate
		}
	}
	n.register(t, hashes)
	n.order = append(n.order, t)
	n.population.Store(int32(len(n.order)))
	return nil
}

// register indexes t by its infohashes and returns the discoveries of those that are
// new. mu is held.
func (n *Node) register(t *Torrent, hashes []id.ID) (fresh []*discovery) {
	for _, h := range hashes {
		if n.torrents[h] != nil {
			continue
		}
		n.torrents[h] = t
		n.keys[swarm.KeyHash(h)] = h
		t.hashes = append(t.hashes, h)
		if d := t.newDiscovery(h); d != nil {
			fresh = append(fresh, d)
		}
	}
	t.discoveries = append(t.discoveries, fresh...)
	return fresh
}

// registerMore adds the infohashes that are known only from the info dictionary. The loop of
// t's swarm calls it.
func (n *Node) registerMore(t *Torrent, hashes []id.ID) {
	n.mu.Lock()
	var fresh []*discovery
	if !n.closing {
		fresh = n.register(t, hashes)
	}
	n.mu.Unlock()
	r := t.run.Load()
	for _, d := range fresh {
		r.wg.Go(func() { d.keep(r) })
	}
}

// forget removes a torrent from the node, unless the node is closing, and reports whether it
// did.
func (n *Node) forget(t *Torrent) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return false
	}
	for _, h := range t.hashes {
		delete(n.torrents, h)
		delete(n.keys, swarm.KeyHash(h))
	}
	if i := slices.Index(n.order, t); i >= 0 {
		n.order = slices.Concat(n.order[:i], n.order[i+1:]) // the old slice may still be read
	}
	n.population.Store(int32(len(n.order)))
	n.share()
	return true
}

// Torrents returns all torrents in the order in which they were added.
func (n *Node) Torrents() []*Torrent {
	return slices.DeleteFunc(n.all(), func(t *Torrent) bool { return t.Phase() == lifecycle.Adding })
}

// running returns the torrents that are not leaving the node.
func (n *Node) running() []*Torrent {
	return slices.DeleteFunc(n.all(), (*Torrent).isStopping)
}

func (n *Node) all() []*Torrent {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.order)
}

func (n *Node) isClosing() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.closing
}

// lookup returns the torrent with that infohash.
func (n *Node) lookup(ih id.ID) *Torrent {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.torrents[ih]
}

// ofKeyHash returns the infohash for a hash from an encrypted handshake.
func (n *Node) ofKeyHash(keyHash [20]byte) (id.ID, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	ih, ok := n.keys[keyHash]
	return ih, ok
}
