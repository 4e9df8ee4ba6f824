package node

import (
	"context"
	"errors"
	"sync"

	"seedbed/dht"
	"seedbed/internal/id"
)

// This file has the API for clients of the node, such as node/publish and node/follow. They
// use only the exported API.

// ErrClosed is the error of operations on a closed node.
var ErrClosed = errors.New("the node is closed")

// ErrNoDHT is returned for an operation that needs the DHT when Config.NoDHT is set.
var ErrNoDHT = NewFault(FaultUsage, errors.New("this needs the DHT, which is off"), "start without --no-dht")

// Context returns a context that ends when Close begins.
func (n *Node) Context() context.Context { return n.ctx }

// StateDir returns the path of the state directory. A client keeps its files in its
// own folder there.
func (n *Node) StateDir() string { return n.state.path }

// Torrent returns the torrent with that infohash, or nil if the node does not have it or has it
// only as an Archive. A hybrid has two infohashes.
func (n *Node) Torrent(infohash id.ID) *Torrent {
	if t := n.lookup(infohash); t != nil && !t.isBeingRemoved() && !t.isArchive() {
		return t
	}
	return nil
}

// closer stops a client of the node.
type closer struct{ end func() }

// OnClose registers a function that stops a client. Close calls all of these functions,
// each on its own goroutine, after Context has ended and before it stops the torrents.
// Close returns after they have returned. OnClose returns a function that removes the
// registration, or ErrClosed if the node is closed or closing.
func (n *Node) OnClose(end func()) (remove func(), err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closing {
		return nil, ErrClosed
	}
	c := &closer{end}
	n.closers[c] = struct{}{}
	return func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.closers, c)
	}, nil
}

// endClients starts stopping all clients and returns a function that waits for them.
func (n *Node) endClients() (wait func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var wg sync.WaitGroup
	for c := range n.closers {
		wg.Go(c.end)
	}
	return wg.Wait
}

// Items reads, writes and republishes items of the DHT (BEP 44), and exchanges them with peers (pushes.go).
type Items struct {
	dht    *dht.DHT
	keeper *dht.Keeper
	pushes *pushes
}

// DHT returns the node in the DHT, for lookups and its state, or ErrNoDHT.
func (n *Node) DHT() (*dht.DHT, error) {
	if n.dht == nil {
		return nil, ErrNoDHT
	}
	return n.dht, nil
}

// Items returns the node's access to the items of the DHT, or ErrNoDHT.
func (n *Node) Items() (*Items, error) {
	if n.dht == nil {
		return nil, ErrNoDHT
	}
	return &Items{n.dht, n.keeper, &n.pushes}, nil
}

// Get finds the newest item at target. If newer is set, Get ignores items whose sequence
// number is not higher. See dht.DHT.Get.
func (i *Items) Get(ctx context.Context, target id.ID, salt []byte, newer *int64) (dht.GetReport, error) {
	return i.dht.Get(ctx, target, salt, newer, nil)
}

// Put stores an item at the closest nodes. If cas is set, nodes replace only an item that
// has this sequence number. See dht.DHT.Put.
func (i *Items) Put(ctx context.Context, item dht.Item, cas *int64) (dht.PutReport, error) {
	return i.dht.Put(ctx, item, cas)
}

// Kept returns the number of items that are republished.
func (i *Items) Kept() int { return i.keeper.Len() }

// Keep republishes a signed item until stop is called. See dht.Keeper.Keep.
func (i *Items) Keep(item dht.Item, justPut bool, report func(dht.RepublishReport, error)) (stop func()) {
	return i.keeper.Keep(item, justPut, report)
}
