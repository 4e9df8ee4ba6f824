package dht

import (
	"net/netip"
	"time"

	"seedbed/dht/krpc"
	"seedbed/internal/mono"
	tokens "seedbed/internal/rate"
)

// upkeepEvery is the pace of maintenance: fast enough to notice a dead node,
// slow enough to cost nothing.
const upkeepEvery = time.Second

// upkeep keeps the table of a family in order for as long as the node lives:
// it joins, and joins again while hardly anybody is known, pings who has been
// silent, refreshes what has not changed.
func (f *family) upkeep() {
	f.join()
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	backoff := upkeepEvery
	again, snapshot := f.d.now().Add(backoff), f.d.now()
	dark := false
	for {
		select {
		case <-f.d.ctx.Done():
			return
		case <-tick.C:
		}
		now := f.d.now()
		was := dark
		if dark = f.probe(); was && !dark {
			f.join() // back again: see who is still there
			continue
		}
		f.pingQuestionable(now)
		f.refresh(now)
		f.d.mu.Lock()
		n := f.table.Len()
		if n >= enough && !dark && now >= snapshot {
			f.former = f.table.Nodes()
			snapshot = now.Add(5 * time.Minute)
		}
		f.d.mu.Unlock()
		switch {
		case n >= enough && !dark:
			backoff, again = upkeepEvery, now.Add(upkeepEvery)
		case now >= again:
			// A lost network is looked for more eagerly than a small one.
			most := 15 * time.Minute
			if n == 0 || dark {
				most = time.Minute
				f.d.boot.resolve(f.d)
			}
			f.join()
			backoff = min(2*backoff, most)
			again = f.d.now().Add(backoff)
		}
	}
}

// darkAfter is how many queries in a row come to nothing where we are offline.
// Even of a table of former times one node in sixteen is alive.
const darkAfter = 16

// offline reports whether nobody answers any more. The table is then left as it
// is, for the time when they do. The caller holds d.mu.
func (f *family) offline() bool { return f.silence > darkAfter }

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

// join finds our neighbours: a lookup of our own id, then of targets far away
// to fill the other buckets.
func (f *family) join() {
	f.d.mu.Lock()
	own, lost := f.table.ID(), f.table.Len() == 0
	f.d.mu.Unlock()
	f.d.findNodes(f.d.ctx, f, own, lost)
	for range 3 {
		f.d.mu.Lock()
		n := f.table.Len()
		f.d.mu.Unlock()
		if n < enough || f.d.ctx.Err() != nil {
			return // a network so small is known whole
		}
		f.d.findNodes(f.d.ctx, f, randomID(), false)
	}
}

// refresh looks up a target in the bucket that has not changed for longest.
func (f *family) refresh(now mono.Time) {
	f.d.mu.Lock()
	target, ok := f.table.Refresh(now, randomID())
	f.d.mu.Unlock()
	if ok {
		f.d.findNodes(f.d.ctx, f, target, false)
	}
}

// pingQuestionable pings up to four silent nodes a tick.
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

// tryPing pings a node that we only heard of, within the limits. The caller
// holds d.mu.
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

// ping asks the node whether it is there. The transaction tells the table. The caller
// holds d.mu.
func (f *family) ping(addr netip.AddrPort, done func(*krpc.Message, time.Duration, error)) {
	f.enqueue(&transaction{to: addr, method: "ping", args: &noArgs, done: done})
}

var noArgs queryArgs
