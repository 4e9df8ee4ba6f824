package engine

import (
	"cmp"
	"net/netip"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

// PeerInfo describes a connected peer, for people. Sizes are in bytes, rates in bytes per second,
// both of payload.
type PeerInfo struct {
	Addr   netip.AddrPort // the remote end of the connection
	Listen netip.AddrPort // where the peer can be dialed; invalid if that is not known
	ID     id.ID
	// Client is the name and version that the peer sent (BEP 10 v), or those of its peer id. It
	// is printable and at most 100 bytes long, and may be "".
	Client string
	Source Source // how its address was learned

	Incoming  bool // it dialed us
	Encrypted bool // the handshake was encrypted
	UTP       bool // connected over uTP (BEP 29)
	Punched   bool // connected by a hole punch (BEP 55)
	V2        bool // it uses the v2 infohash (BEP 52)

	Interested     bool // we are interested in it
	Choked         bool // it chokes us
	PeerInterested bool // it is interested in us
	PeerChoked     bool // we choke it
	Optimistic     bool // it has the upload slot that does not depend on what it sends us
	Snubbed        bool // it does not answer our requests
	Seed           bool // it has every piece

	Progress   float64 // part of the pieces that it has, 0 to 1
	DownRate   float64
	UpRate     float64
	Downloaded int64 // over this connection
	Uploaded   int64
	Connected  time.Duration // how long the connection has lasted
}

// Peers describes the connected peers at time now, in the order of their connections.
func (e *Engine) Peers(now mono.Time) []PeerInfo {
	out := make([]PeerInfo, 0, e.open)
	for _, p := range e.peers {
		if p.closing {
			continue
		}
		out = append(out, e.describe(now, p))
	}
	return out
}

func (e *Engine) describe(now mono.Time, p *peer) PeerInfo {
	i := PeerInfo{
		Addr: p.addr, Listen: p.listen, ID: p.id, Client: cmp.Or(p.ext.Version, wire.ClientName(p.id)),
		Incoming: p.incoming, Encrypted: p.encrypted, UTP: p.utp, Punched: p.punched, V2: p.v2,
		Interested: p.down.interested, Choked: p.down.choked, PeerInterested: p.choke.interested, PeerChoked: !p.choke.unchoked,
		Optimistic: p.choke.optimistic, Snubbed: p.down.snubbed,
		DownRate: p.down.rate.Rate(now), UpRate: p.choke.rate.Rate(now), Downloaded: p.down.rate.Total(), Uploaded: p.choke.total,
		Connected: now.Sub(p.since),
	}
	if c := e.book.find(p.listen); c != nil {
		i.Source = c.source
	}
	if p.incoming {
		i.Source |= FromIncoming
	}
	if c := e.content; c != nil {
		i.Seed = c.n > 0 && e.req.isSeed(&p.down)
		if data := c.n - e.req.nPadding; data > 0 {
			i.Progress = float64(p.down.nHas-p.down.nPadding) / float64(data)
		}
	}
	return i
}

// Pieces returns which pieces are verified, which have been begun, and how many connected peers
// have each. The sets have length 0 and peers is nil until EvInfo.
func (e *Engine) Pieces() (have, begun bitset.Set, peers []int) {
	c := e.content
	if c == nil {
		return have, begun, nil
	}
	begun = bitset.New(c.n)
	for _, p := range e.req.pieces.opened {
		begun.Add(int(p.index))
	}
	peers = make([]int, c.n)
	for i, a := range e.req.pick.avail {
		peers[i] = e.req.peers.seeds + int(a)
	}
	return c.have.Clone(), begun, peers
}

// Have returns which pieces are verified. The set has length 0 until EvInfo.
func (e *Engine) Have() bitset.Set {
	if e.content == nil {
		return bitset.Set{}
	}
	return e.content.have.Clone()
}
