package dht

import (
	"net/netip"
	"time"

	"seedbed/dht/krpc"
	"seedbed/internal/mono"
	tokens "seedbed/internal/rate"
)

// upkeepEvery is the interval of maintenance. It is short enough to notice dead nodes, and
// long enough to take almost no processor time.
const upkeepEvery = time.Second

// upkeep maintains the table of a family until the node closes: it joins the DHT, joins again
// while few nodes are known, pings nodes that have been silent, and refreshes buckets that
// have not changed.
func (f *family) upkeep() {
	f.join()
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	backoff := upkeepEvery
	again, snapshot := f.d.now().Add(backoff), f.d.now()
	offline := false
	for {
		select {
		case <-f.d.ctx.Done():
			return
		case <-f.rejoin:
			f.join()
			backoff, again = upkeepEvery, f.d.now().Add(upkeepEvery)
			continue
		case <-tick.C:
		}
		now := f.d.now()
		was := offline
		if offline = f.probe(); was && !offline {
			f.join() // online again: find out which nodes are still alive
			continue
		}
		if !offline { // pings and refreshes that get lost would delay the next ones, when the network is back
			f.pingQuestionable(now)
			f.refresh(now)
		}
		f.d.mu.Lock()
		n := f.table.Len()
		if n >= minNodes && !offline && now >= snapshot {
			f.former = f.table.Nodes()
			snapshot = now.Add(5 * time.Minute)
		}
		f.d.mu.Unlock()
		switch {
		case n >= minNodes && !offline:
			backoff, again = upkeepEvery, now.Add(upkeepEvery)
		case now >= again:
			// Without any node, or offline, we try more often than in a small network.
			most := 15 * time.Minute
			if n == 0 || offline {
				most = time.Minute
				f.d.boot.resolve(f.d)
			}
			f.join()
			backoff = min(2*backoff, most)
			again = f.d.now().Add(backoff)
		}
	}
}

// offlineAfter is the number of failed queries in a row after which we are offline. Even in
// an outdated table, one node in sixteen is still alive.
const offlineAfter = 16

// offline reports whether we are offline, because no node answers any more. The table then
// stays unchanged until one does. The caller holds d.mu.
func (f *family) offline() bool { return f.failedInRow > offlineAfter }

// probe reports whether we are offline, and pings a few nodes if so.
func (f *family) probe() bool {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if !f.offline() {
		return false
	}
	for _, n := range f.table.Closest(nil, randomID(), 2, nil) {
		f.ping(n.Addr, nil)
	}
	return true
}

// join finds our neighbours with a lookup of our own id, and fills the other buckets with
// lookups of random targets.
func (f *family) join() {
	f.d.mu.Lock()
	own, lost := f.table.ID(), f.table.Len() == 0
	f.d.mu.Unlock()
	f.d.findNodes(f.d.ctx, f, own, lost)
	for range 3 {
		f.d.mu.Lock()
		n := f.table.Len()
		f.d.mu.Unlock()
		if n < minNodes || f.d.ctx.Err() != nil {
			return // in such a small network we know all nodes already
		}
		f.d.findNodes(f.d.ctx, f, randomID(), false)
	}
}

// refresh looks up a target in the bucket that has not changed for the longest time.
func (f *family) refresh(now mono.Time) {
	f.d.mu.Lock()
	target, ok := f.table.Refresh(now, randomID())
	f.d.mu.Unlock()
	if ok {
		f.d.findNodes(f.d.ctx, f, target, false)
	}
}

// pingQuestionable pings up to four questionable nodes.
func (f *family) pingQuestionable(now mono.Time) {
	for range 4 {
		f.d.mu.Lock()
		n, ok := f.table.Questionable(now)
		ok = ok && f.roomFor(now, n.Addr, 1)
		if ok {
			f.table.Pinged(now, n.Addr)
			f.ping(n.Addr, nil)
		}
		f.d.mu.Unlock()
		if !ok {
			return
		}
	}
}

// tryPing pings a node that others returned or that asked us, if the limits allow it. The
// caller holds d.mu.
func (f *family) tryPing(now mono.Time, addr netip.AddrPort, budget *tokens.Bucket) {
	if _, dup := f.pinging[addr]; dup || len(f.pinging) >= maxPinging || !f.roomFor(now, addr, pingShare) || !budget.Take(now, 1) {
		return
	}
	f.pinging[addr] = struct{}{}
	f.ping(addr, func(*krpc.Message, time.Duration, error) {
		f.d.mu.Lock()
		delete(f.pinging, addr)
		f.d.mu.Unlock()
	})
}

// ping pings a node. The transaction updates the table. The caller holds d.mu.
func (f *family) ping(addr netip.AddrPort, done func(*krpc.Message, time.Duration, error)) {
	f.enqueue(&transaction{to: addr, method: "ping", args: &noArgs, done: done})
}

var noArgs queryArgs
