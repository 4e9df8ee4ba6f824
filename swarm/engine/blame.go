package engine

import (
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/mono"
	"seedbed/magnet/metainfo"
)

const (
	// maxSuspects pieces have evidence kept of them; of the oldest it is given up.
	maxSuspects = 64
	// maxAttempts bad copies of a piece are remembered.
	maxAttempts = 3
	// maxOffenders addresses are remembered that sent bad data.
	maxOffenders = 4096
	// maxBan is how far a ban, doubled at each offence, grows.
	maxBan = 48 * time.Hour
	// The last source of a piece is not banned while it sends few bad ones: so many,
	// and one in goodPerBad of those that are right. What it sent wrong is asked of it
	// again after restFirst, doubled each time.
	fewBad     = 3
	goodPerBad = 8
	restFirst  = 10 * time.Second
	restMax    = 10 * time.Minute
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
	good int // pieces that were right and began with a block of it
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

// offenders counts the offences of addresses; the oldest one is forgotten first.
type offenders struct {
	count map[netip.AddrPort]int
	keys  []netip.AddrPort
	next  int // of keys, the oldest
}

// add returns how many offences of key there were, this one included.
func (o *offenders) add(key netip.AddrPort) int {
	if o.count == nil {
		o.count = make(map[netip.AddrPort]int)
	}
	if _, known := o.count[key]; !known {
		if len(o.keys) < maxOffenders {
			o.keys = append(o.keys, key)
		} else {
			delete(o.count, o.keys[o.next])
			o.keys[o.next] = key
			o.next = (o.next + 1) % maxOffenders
		}
	}
	o.count[key]++
	return o.count[key]
}

// suspect is the evidence about a piece whose hash failed while several had
// given to it: who gave which block, with which checksum.
type suspect struct {
	attempts []attempt
	who      []uint32  // origins of their blocks
	again    mono.Time // none of these is asked before
}

type attempt struct {
	from   []uint32
	sums   []uint64
	leaves []metainfo.Root // with a v2 side
}

// blame judges a piece that came out wrong. Who gave all of it sent bad data, and
// is banned unless nobody else is known to deliver that piece. If several did, the
// evidence is kept and the piece fetched from one peer alone; the good copy will
// tell the liars from the others, if the leaves of BEP 52 have not told before.
func (e *Engine) blame(pc *piece, sums []uint64, leaves []metainfo.Root) {
	c := e.content
	first := pc.block[0].from
	sole := true
	for i := range pc.block {
		sole = sole && pc.block[i].from == first
	}
	rest := time.Duration(0)
	if sole {
		if rest = e.convict(first, pc.index); rest == 0 {
			return
		}
	}
	s := c.suspects[pc.index]
	if s == nil {
		if len(c.accused) == maxSuspects {
			e.dismiss(c.accused[0])
		}
		s = new(suspect)
		c.suspects[pc.index] = s
		c.accused = append(c.accused, pc.index)
	}
	s.again = e.now.Add(rest)
	if len(s.attempts) == maxAttempts {
		return
	}
	a := attempt{from: make([]uint32, len(pc.block))}
	for i := range pc.block {
		a.from[i] = pc.block[i].from
		e.origins.hold(a.from[i])
		if !slices.Contains(s.who, a.from[i]) {
			s.who = append(s.who, a.from[i])
		}
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

// convict judges the origin that gave all of a bad piece. It bans it, or returns
// after how long it may be asked for that piece again.
func (e *Engine) convict(o uint32, index uint32) time.Duration {
	x := &e.origins.list[o]
	if !x.key.IsValid() || !e.isLastSource(o, index) {
		e.banOrigin(o)
		return 0
	}
	bad := e.offenders.count[x.key] + 1
	if bad > fewBad+x.good/goodPerBad {
		e.banOrigin(o)
		return 0
	}
	e.offenders.add(x.key)
	return min(restFirst<<min(bad-1, 10), restMax)
}

// isLastSource reports whether nobody but o has delivered anything and has the
// piece.
func (e *Engine) isLastSource(o uint32, index uint32) bool {
	for _, p := range e.peers {
		if !p.closing && p.origin != o && p.down.hasDelivered() && p.has.Has(int(index)) {
			return false
		}
	}
	return true
}

// acquit ends the case of a piece of which a good copy has come: whose blocks
// differed from it is a liar, and nobody else is. Who corrected its own block is
// none.
func (e *Engine) acquit(pc *piece, sums []uint64) {
	e.origins.list[pc.block[0].from].good++
	s := e.content.suspects[pc.index]
	if s == nil {
		return
	}
	if len(sums) == len(pc.block) {
		for _, a := range s.attempts {
			for i := range a.sums {
				if a.sums[i] != sums[i] && a.from[i] != pc.block[i].from {
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
	if e.now < s.again {
		return false
	}
	for _, q := range e.peers {
		if q != p && e.serves(q) && q.has.Has(int(index)) && !s.names(q.origin) {
			return false
		}
	}
	return true
}

func (s *suspect) names(o uint32) bool { return slices.Contains(s.who, o) }

// banOrigin closes every connection of a liar and keeps it out for banFor, and for
// twice as long each time.
func (e *Engine) banOrigin(o uint32) {
	key := e.origins.list[o].key
	if !key.IsValid() {
		return
	}
	if e.book.isBanned(e.now, key) {
		return
	}
	e.book.ban(e.now, key, e.now.Add(min(banFor<<min(e.offenders.add(key)-1, 10), maxBan)))
	e.cmd(Command{Kind: CmdBan, Addr: key})
	for _, p := range e.peers {
		if !p.closing && p.origin == o {
			e.close(p, FaultBanned)
		}
	}
}
