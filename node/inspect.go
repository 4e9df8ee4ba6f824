package node

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm"
)

const (
	// inspectDials and inspectConns limit the peers of an inspection. A few that have the metadata
	// suffice, and the budget of the node is for its torrents.
	inspectDials = 8
	inspectConns = 16
	// inspectEvery is the interval of the reports of an inspection.
	inspectEvery = 250 * time.Millisecond
)

// inspection fetches the metadata of a link from peers, without adding a torrent.
type inspection struct {
	node  *Node
	spec  Spec
	swarm *swarm.Torrent
	want  []chan struct{} // for each infohash, signals that the swarm has too few candidates; capacity 1

	lookingUp  atomic.Int32
	nextLookup atomic.Int64 // mono.Time

	outcome sync.Once
	known   chan struct{} // closed when info or broken is set
	info    *metainfo.Info
	broken  error
}

// Inspect fetches the metadata of a link from peers, until ctx ends. peers are HOST:PORT of peers to
// try, besides those in the link. The node lists no torrent for it, stores nothing, and announces
// nothing. report is called a few times a second with what the inspection has done so far, and at
// the end. The piece layers of a v2 torrent are fetched, too.
func (n *Node) Inspect(ctx context.Context, link *magnet.Link, peers []string, report func(Snapshot)) (*metainfo.Info, error) {
	if err := link.Openable(); err != nil {
		return nil, NewFault(FaultUsage, err, "")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan struct{})
	remove, err := n.OnClose(func() { <-ended }) // the swarm uses what Close frees
	if err != nil {
		return nil, err
	}
	defer remove()
	defer close(ended)
	defer context.AfterFunc(n.ctx, cancel)()

	i := &inspection{node: n, spec: Spec{Link: link, Peers: peers}, known: make(chan struct{})}
	return i.run(ctx, report)
}

func (i *inspection) run(ctx context.Context, report func(Snapshot)) (*metainfo.Info, error) {
	n := i.node
	search, stop := context.WithCancel(ctx)
	hashes := i.spec.hashes()
	for range hashes {
		i.want = append(i.want, make(chan struct{}, 1))
	}
	ready := make(chan struct{})
	i.swarm = swarm.New(swarm.Config{
		Shared: n.shared, InfoHash: i.spec.InfoHash(), InfoHashV2: i.spec.InfoHashV2(), PeerID: NewPeerID(),
		Open: func(ctx context.Context, _ *metainfo.Info, _ func(done, total int64)) (swarm.Content, error) {
			<-ctx.Done() // an inspection downloads no data
			return swarm.Content{}, errEnded
		},
		Dialer: dialer{n}, Admit: dialer{n}.Admit, HungUp: dialer{n}.HungUp, Punch: n.puncher(), Relaxed: n.isPrivateNetwork(), Hints: true, Version: n.cfg.Version,
		OnEvent:  func(e swarm.Event) { <-ready; i.onSwarm(e) },
		HalfOpen: inspectDials, MaxConns: inspectConns, Uploads: 1, Encryption: n.cfg.Encryption, Seed: rand.Uint64(), Log: n.log,
	})
	close(ready)
	for _, ip := range n.own() {
		if ip.IsValid() {
			i.swarm.SetExternal(ip)
		}
	}
	var wg sync.WaitGroup
	wg.Go(func() { i.addHints(search) })
	if n.dht != nil {
		for k, hash := range hashes {
			wg.Go(func() { i.findPeers(search, hash, i.want[k]) })
		}
	}
	err := i.wait(ctx, report)
	stop()
	report(i.snapshot())
	_ = i.swarm.Stop(context.Background()) // nothing was written
	wg.Wait()
	if err != nil {
		return nil, err
	}
	return i.info, nil
}

// wait waits for the metadata.
func (i *inspection) wait(ctx context.Context, report func(Snapshot)) error {
	tick := time.NewTicker(inspectEvery)
	defer tick.Stop()
	for {
		select {
		case <-i.known:
			if i.broken != nil {
				return fmt.Errorf("the metadata is not a valid torrent: %w", i.broken)
			}
			return nil
		case <-tick.C:
			report(i.snapshot())
		case <-ctx.Done():
			if i.node.ctx.Err() != nil {
				return ErrClosed
			}
			return ctx.Err()
		}
	}
}

func (i *inspection) onSwarm(e swarm.Event) {
	switch e.Kind {
	case swarm.MetadataKnown, swarm.Broken:
		i.outcome.Do(func() {
			i.info, i.broken = e.Info, e.Err
			close(i.known)
		})
	case swarm.WantPeers:
		for _, w := range i.want {
			nudge(w)
		}
	}
}

// snapshot returns what the inspection has done so far, with the reason why it has no metadata.
func (i *inspection) snapshot() Snapshot {
	v := i.swarm.Snapshot()
	s := Snapshot{Stats: v.Stats, State: phaseOf(&v)}
	s.Reason = reason(&s, func() Lookup {
		return i.node.lookupState(i.lookingUp.Load() > 0, mono.Time(i.nextLookup.Load()))
	})
	return s
}

// addHints passes the peers of the link and the user to the swarm. One that cannot be resolved is
// left out, because an inspection takes less time than the next attempt would.
func (i *inspection) addHints(ctx context.Context) {
	hints := slices.Concat(i.spec.Peers, i.spec.Link.Peers)
	var wg sync.WaitGroup
	for _, h := range hints[:min(len(hints), maxHints)] {
		wg.Go(func() {
			if cs, err := i.node.resolveHint(ctx, h); err == nil {
				i.swarm.AddCandidates(cs)
			}
		})
	}
	wg.Wait()
}

// findPeers asks the DHT for peers at the pace of a torrent that needs them.
func (i *inspection) findPeers(ctx context.Context, hash id.ID, want chan struct{}) {
	n := i.node
	var p pace
	for {
		p.began = n.now()
		var o outcome
		i.lookingUp.Add(1)
		_, err := n.dht.Lookup(ctx, hash, func(from netip.AddrPort, peers []netip.AddrPort) {
			others := n.excludeSelf(peers)
			o.found += len(others)
			i.swarm.AddCandidates(candidatesFrom(from, others))
		})
		i.lookingUp.Add(-1)
		if err != nil && (ctx.Err() != nil || errors.Is(err, context.Canceled)) {
			return
		}
		p.done(n.now(), o)
		for {
			i.nextLookup.Store(int64(p.next))
			timer := time.NewTimer(max(p.next.Sub(n.now()), 0))
			select {
			case <-timer.C:
			case <-want:
				p.lacking(n.now())
				timer.Stop()
				continue
			case <-ctx.Done():
				timer.Stop()
				return
			}
			break
		}
	}
}
