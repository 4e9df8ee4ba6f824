package dht

import (
	"math/rand/v2"
	"net/netip"

	"seedbed/dht/krpc"
	"seedbed/dht/respond"
	"seedbed/dht/store"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// answers answers the queries of other nodes from the tables of both families, and from the
// peers and items that others stored here. d.mu guards it.
type answers struct {
	*respond.Responder
	store   *store.Store
	waiting chan waiting
}

func newAnswers(d *DHT, random *rand.Rand) answers {
	now, private := d.now(), false
	cfg := respond.Config{Tokens: store.NewTokens(now, random), Rand: random, EnforceID: d.cfg.EnforceID}
	for _, f := range d.families {
		private = private || f.relaxed
		if f.v6 {
			cfg.Table6 = f.table
		} else {
			cfg.Table4 = f.table
		}
	}
	if private {
		cfg.Rate = -1 // all nodes on one machine share an address
	}
	keep := d.cfg.Store
	keep.ManyPerIP = keep.ManyPerIP || private
	a := answers{store: store.New(keep, now, random), waiting: make(chan waiting, maxWaiting)}
	cfg.Store = a.store
	a.Responder = respond.New(cfg)
	for range verifiers {
		d.spawn(func() { d.verify(a.waiting) })
	}
	return a
}

// maxStored is the maximum number of peers announced to us that one of our own lookups
// returns.
const maxStored = 200

// stored returns the peers of an infohash that were announced to us.
func (f *family) stored(infohash id.ID) (peers []netip.AddrPort) {
	size := krpc.PeerLen4
	if f.v6 {
		size = krpc.PeerLen6
	}
	f.d.mu.Lock()
	b := f.d.answers.store.Sample(nil, f.d.now(), infohash, f.v6, maxStored, false)
	f.d.mu.Unlock()
	for ; len(b) >= size; b = b[size:] {
		peers = append(peers, addrs.Parse(b[:size]))
	}
	return peers
}

// storeOwnAnnounce stores our own announce in our store if we know our address, because in
// a small network we are one of the closest nodes.
func (f *family) storeOwnAnnounce(now mono.Time, infohash id.ID, port uint16, seed bool) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if ip := f.self(); ip.IsValid() {
		f.d.answers.store.Announce(now, infohash, netip.AddrPortFrom(ip, port), seed)
	}
}

// storeOwnItem stores our own item in our store, because in a small network we are one of
// the closest nodes.
func (d *DHT) storeOwnItem(item Item) {
	if d.cfg.ReadOnly {
		return
	}
	it := store.Item{V: item.Value, Mutable: item.Mutable, K: item.Key, Sig: item.Sig, Seq: item.Seq}
	target := item.Target()
	d.mu.Lock()
	defer d.mu.Unlock()
	switch now := d.now(); d.answers.store.CheckPut(now, target, &it, nil) {
	case store.Fresh:
		d.answers.store.Put(now, target, it)
	case store.Known:
		d.answers.store.Renew(now, target)
	}
}

// ownItem returns the item at target in our own store.
func (d *DHT) ownItem(target id.ID, salt []byte) (Item, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	it := d.answers.store.Item(d.now(), target)
	if it == nil {
		return Item{}, false
	}
	i := Item{Value: it.V, Mutable: it.Mutable, Key: it.K, Sig: it.Sig, Seq: it.Seq}
	if it.Mutable {
		i.Salt = salt
	}
	return i, true
}

// self returns our address: the one that we listen on, or the external one. The caller holds
// d.mu.
func (f *family) self() netip.Addr {
	if ip := f.conn.LocalAddr().Addr().Unmap(); !ip.IsUnspecified() {
		return ip
	}
	return f.external
}
