package dht

import (
	"context"
	"net/netip"
	"time"

	akrpc "github.com/anacrolix/dht/v2/krpc"

	"seedbed/internal/mono"
)

// upkeepEvery is the pace of maintenance: fast enough to notice a dead node,
// slow enough to cost nothing.
const upkeepEvery = time.Second

// upkeep keeps the table of a family in order for as long as the node lives:
// it joins, pings who has been silent, refreshes what has not changed.
func (f *family) upkeep() {
	f.join(true)
	tick := time.NewTicker(upkeepEvery)
	defer tick.Stop()
	backoff, rejoin := 2*time.Second, f.d.now().Add(2*time.Second)
	for {
		select {
		case <-f.d.ctx.Done():
			return
		case <-tick.C:
		}
		now := f.d.now()
		f.sweep(now)
		f.mu.Lock()
		n := f.table.Len()
		f.mu.Unlock()
		if n == 0 {
			if now >= rejoin {
				backoff = min(2*backoff, time.Minute)
				f.join(false)
				rejoin = f.d.now().Add(backoff)
			}
			continue
		}
		backoff, rejoin = 2*time.Second, now
		f.pingQuestionable(now)
		f.refresh(now)
	}
}

// join finds our neighbours: a lookup of our own id, then of targets far away
// to fill the other buckets.
func (f *family) join(first bool) {
	if !first {
		f.d.boot.resolve(f.d)
	}
	f.mu.Lock()
	own := f.table.ID()
	f.mu.Unlock()
	f.d.findNodes(f.d.ctx, f, own)
	for range 3 {
		f.mu.Lock()
		n := f.table.Len()
		f.mu.Unlock()
		if n < 8 || f.d.ctx.Err() != nil {
			return // a network so small is known whole
		}
		f.d.findNodes(f.d.ctx, f, randomID())
	}
}

// refresh looks up a target in the bucket that has not changed for longest.
func (f *family) refresh(now mono.Time) {
	f.mu.Lock()
	target, ok := f.table.Refresh(now, randomID())
	f.mu.Unlock()
	if ok {
		f.d.findNodes(f.d.ctx, f, target)
	}
}

// pingQuestionable pings up to four silent nodes a tick.
func (f *family) pingQuestionable(now mono.Time) {
	for range 4 {
		f.mu.Lock()
		n, ok := f.table.Questionable(now)
		if ok {
			f.table.Pinged(now, n.Addr)
		}
		f.mu.Unlock()
		if !ok {
			return
		}
		f.d.spawn(func() { f.ping(n.Addr) })
	}
}

// sweep forgets the queries that were not answered, at their nodes' cost.
func (f *family) sweep(now mono.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, p := range f.pending {
		if now.Sub(p.sent) >= hardTimeout {
			delete(f.pending, key)
			f.table.Failed(now, p.addr)
			f.counts.Timeouts++
		}
	}
	keep := f.retired[:0]
	for _, r := range f.retired {
		if now < r.until {
			keep = append(keep, r)
		} else {
			r.engine.close()
		}
	}
	f.retired = keep
}

// wanted pings a node that asked us something and would find a place in the
// table. The caller holds f.mu.
func (f *family) wanted(now mono.Time, addr netip.AddrPort) {
	if _, dup := f.pinging[addr]; dup || len(f.pinging) >= maxPinging || !f.pings.Take(now, 1) {
		return
	}
	f.pinging[addr] = struct{}{}
	if !f.d.spawn(func() { f.ping(addr) }) {
		delete(f.pinging, addr)
	}
}

// tryPing pings a node that we were told of, within the limits.
func (f *family) tryPing(addr netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.wanted(f.d.now(), addr)
}

// ping asks the node whether it is there; the read loop tells the table.
func (f *family) ping(addr netip.AddrPort) {
	ctx, cancel := context.WithTimeout(f.d.ctx, 2*hardTimeout)
	defer cancel()
	_, _ = f.query(ctx, addr, "ping", akrpc.MsgArgs{}) // silence is counted by sweep
	f.mu.Lock()
	delete(f.pinging, addr)
	f.mu.Unlock()
}
