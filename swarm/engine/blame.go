package engine

import (
	"net/netip"
	"slices"

	"seedbed/magnet/metainfo"
)

const (
	// maxSuspects pieces have evidence kept of them; of the oldest it is given up.
	maxSuspects = 64
	// maxAttempts bad copies of a piece are remembered.
	maxAttempts = 3
)

// origins numbers the addresses that payload came from, for as long as a
// connection or a block refers to one. Blocks are blamed on addresses, not on
// connections, since a ban is on the address.
type origins struct {
	list  []origin // 0 is nobody, of whom no count is kept
	free  []uint32
	index map[netip.AddrPort]uint32
}

type origin struct {
	key  netip.AddrPort // as banKey makes it
	refs int
}

func newOrigins() origins {
	return origins{list: make([]origin, 1), index: make(map[netip.AddrPort]uint32)}
}

// of is the number of key, held once more.
func (o *origins) of(key netip.AddrPort) uint32 {
	i, ok := o.index[key]
	if !ok {
		if n := len(o.free); n > 0 {
			i, o.free = o.free[n-1], o.free[:n-1]
		} else {
			i = uint32(len(o.list))
			o.list = append(o.list, origin{})
		}
		o.list[i] = origin{key: key}
		o.index[key] = i
	}
	o.list[i].refs++
	return i
}

func (o *origins) hold(i uint32) { o.list[i].refs++ }

func (o *origins) release(i uint32) {
	if i == 0 {
		return
	}
	x := &o.list[i]
	if x.refs--; x.refs == 0 {
		delete(o.index, x.key)
		o.free = append(o.free, i)
	} else if x.refs < 0 {
		panic("engine: an origin was released too often")
	}
}

// suspect is the evidence about a piece whose hash failed while several had
// given to it: who gave which block, with which checksum.
type suspect struct {
	attempts []attempt
}

type attempt struct {
	from   []uint32
	sums   []uint64
	leaves []metainfo.Root // with a v2 side
}

// blame judges a piece that came out wrong. Who gave all of it is the liar. If
// several did, the evidence is kept and the piece fetched from one peer alone;
// the good copy will tell the liars from the others, if the leaves of BEP 52 have not
// told before.
func (e *Engine) blame(pc *piece, sums []uint64, leaves []metainfo.Root) {
	c := e.content
	first := pc.block[0].from
	sole := true
	for i := range pc.block {
		sole = sole && pc.block[i].from == first
	}
	if sole {
		e.banOrigin(first)
		if len(sums) != len(pc.block) {
			return
		}
	}
	s := c.suspects[pc.index]
	if s == nil {
		if sole {
			return
		}
		if len(c.accused) == maxSuspects {
			e.dismiss(c.accused[0])
		}
		s = new(suspect)
		c.suspects[pc.index] = s
		c.accused = append(c.accused, pc.index)
	}
	if len(s.attempts) == maxAttempts || sole {
		return
	}
	a := attempt{from: make([]uint32, len(pc.block))}
	for i := range pc.block {
		a.from[i] = pc.block[i].from
		e.origins.hold(a.from[i])
	}
	if len(sums) == len(pc.block) {
		a.sums = slices.Clone(sums)
	}
	if len(leaves) == len(pc.block) {
		a.leaves = leaves
	}
	s.attempts = append(s.attempts, a)
	if a.leaves != nil {
		e.askLeaves(pc.index)
	}
}

// acquit ends the case of a piece of which a good copy has come: whose blocks
// differed from it is a liar, and nobody else is.
func (e *Engine) acquit(pc *piece, sums []uint64) {
	s := e.content.suspects[pc.index]
	if s == nil {
		return
	}
	if len(sums) == len(pc.block) {
		for _, a := range s.attempts {
			for i := range a.sums {
				if a.sums[i] != sums[i] {
					e.banOrigin(a.from[i])
				}
			}
		}
	}
	e.dismiss(pc.index)
}

// dismiss drops the evidence about a piece.
func (e *Engine) dismiss(index uint32) {
	c := e.content
	s := c.suspects[index]
	for _, a := range s.attempts {
		for _, o := range a.from {
			e.origins.release(o)
		}
	}
	delete(c.suspects, index)
	i := slices.Index(c.accused, index)
	c.accused = slices.Delete(c.accused, i, i+1)
}

// trusted reports whether a piece on parole may be given to p alone: to one
// that had no part in the bad copies, if there is such a peer.
func (e *Engine) trusted(p *peer, index uint32) bool {
	s := e.content.suspects[index]
	if s == nil || !s.names(p.origin) {
		return true
	}
	for _, q := range e.peers {
		if q != p && e.serves(q) && q.has.Has(int(index)) && !s.names(q.origin) {
			return false
		}
	}
	return true
}

func (s *suspect) names(o uint32) bool {
	for _, a := range s.attempts {
		if slices.Contains(a.from, o) {
			return true
		}
	}
	return false
}

// banOrigin closes every connection of a liar and keeps it out from now on.
func (e *Engine) banOrigin(o uint32) {
	key := e.origins.list[o].key
	if !key.IsValid() {
		return
	}
	if !e.book.ban(e.now, key, e.now.Add(banFor)) {
		return
	}
	e.cmd(Command{Kind: CmdBan, Addr: key})
	for _, p := range e.peers {
		if !p.closing && p.origin == o {
			e.close(p, FaultBanned)
		}
	}
}
