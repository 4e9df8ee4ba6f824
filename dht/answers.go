package dht

import (
	"math/rand/v2"
	"net/netip"

	"seedbed/dht/krpc"
	"seedbed/dht/store"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

type answers struct {
	f      *family
	own    id.ID
	store  *store.Store
	tokens *store.Tokens
	rnd    *rand.Rand
}

func newAnswers(f *family, own id.ID) *answers {
	now := f.d.now()
	return &answers{f: f, own: own, store: store.New(store.Config{ManyPerIP: f.relaxed}, now), tokens: store.NewTokens(now, f.random), rnd: f.random}
}

func (a *answers) setID(own id.ID) { a.own = own }

func (a *answers) answer(out []byte, now mono.Time, from netip.AddrPort, q *krpc.Query) []byte {
	r := krpc.Reply{To: from, T: q.T, ID: a.own}
	if q.Bad != "" {
		return krpc.AppendError(out, from, q.T, 203, q.Bad)
	}
	switch q.Kind {
	case krpc.AnnouncePeer:
		if !a.tokens.Valid(now, q.Token, from.Addr(), q.Target) {
			return krpc.AppendError(out, from, q.T, 203, "bad token")
		}
		port := q.Port
		if q.ImpliedPort {
			port = from.Port()
		}
		a.store.Announce(now, q.Target, netip.AddrPortFrom(from.Addr(), port), q.Seed)
	case krpc.GetPeers:
		r.Token = a.tokens.Append(nil, now, from.Addr(), q.Target)
		r.Values = a.store.Sample(nil, now, q.Target, a.f.v6, 50, q.NoSeed, a.rnd)
		fallthrough
	case krpc.FindNode:
		for _, f := range a.f.d.families {
			if f != a.f {
				continue
			}
			if f.v6 {
				r.Nodes6 = f.table.AppendClosest(nil, now, q.Target, 8)
			} else {
				r.Nodes = f.table.AppendClosest(nil, now, q.Target, 8)
			}
		}
	}
	return r.Append(out)
}

func (a *answers) stored(target id.ID, now mono.Time) (peers []netip.AddrPort) {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	size := 6
	if a.f.v6 {
		size = 18
	}
	b := a.store.Sample(nil, now, target, a.f.v6, 100, false, a.rnd)
	for ; len(b) >= size; b = b[size:] {
		ip, _ := netip.AddrFromSlice(b[:size-2])
		peers = append(peers, netip.AddrPortFrom(ip, uint16(b[size-2])<<8|uint16(b[size-1])))
	}
	return peers
}

func (a *answers) announceSelf(target id.ID, port uint16, now mono.Time) {
	a.f.mu.Lock()
	defer a.f.mu.Unlock()
	ip := a.f.external
	if l := a.f.conn.LocalAddr().Addr(); !l.IsUnspecified() {
		ip = l
	}
	if ip.IsValid() {
		a.store.Announce(now, target, netip.AddrPortFrom(ip, port), false)
	}
}
