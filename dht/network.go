package dht

import (
	"container/heap"
	"net/netip"

	"seedbed/dht/table"
	"seedbed/internal/addrs"
	tokens "seedbed/internal/rate"
)

// NetworkChanged says that the packets of one address family now reach the internet by another
// path, or again. Our external address and what is known of silent nodes then no longer
// hold, so the node joins again. ours is the address from which this machine sends. If it is
// public, it is our external address until other nodes say otherwise; else they have to say it.
func (d *DHT) NetworkChanged(v6 bool, ours netip.Addr) {
	for _, f := range d.families {
		if f.v6 == v6 {
			f.networkChanged(ours.Unmap())
		}
	}
}

func (f *family) networkChanged(ours netip.Addr) {
	d := f.d
	d.mu.Lock()
	now := d.now()
	f.votes, f.external = table.Votes{}, netip.Addr{}
	f.failedInRow, f.back = 0, now // what was sent before does not count against nodes
	d.asked = tokens.NewSources(silentRate, silentBurst, silentSources, d.random)
	if !f.relaxed && addrs.IsPublic(ours) && ours.Is6() == f.v6 {
		f.settle(now, ours)
	}
	d.mu.Unlock()
	d.boot.resolve(d) // names may have other addresses in another network
	nudge(f.rejoin)
}

// Renew announces all torrents again of which peers know an address that we no longer have, as
// fast as the rate allows.
func (a *Announcer) Renew(v6 bool) {
	for _, l := range a.legs {
		if l.f.v6 == v6 {
			l.mu.Lock()
			l.s.Renew()
			l.mu.Unlock()
			l.wake()
		}
	}
}

// Retry puts the items at once whose last round failed. Call it when the network is
// available again.
func (k *Keeper) Retry() {
	now := k.d.now()
	k.mu.Lock()
	k.retried = now
	for _, list := range k.items {
		if c := list[len(list)-1]; c.tries > 0 && c.index >= 0 {
			c.tries, c.due = 0, now
			heap.Fix(&k.queue, c.index)
		}
	}
	k.mu.Unlock()
	nudge(k.wakeup)
}
