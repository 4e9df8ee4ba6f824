package engine

import (
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/mono"
	"seedbed/magnet/metainfo"
)

// A blame decides who sent what came out wrong. It numbers the addresses that
// payload comes from (origins), counts what each did wrong (offenders), and keeps
// the evidence about bad pieces to which several had given (suspects).
//
//	bad piece ──judge──▶ from one origin: banned, or asked again later
//	                └──▶ from several: evidence ──acquit, testify──▶ bans
//
// It knows no connections: what it finds goes to a blameSink.
type blame struct {
	origins
	offenders
	suspects map[uint32]*suspect // by piece; never ranged over
	accused  []uint32            // the keys of suspects, oldest first
}

func newBlame() blame {
	return blame{origins: newOrigins(), suspects: make(map[uint32]*suspect)}
}

// A blameSink carries out what a blame finds, and answers what it asks.
type blameSink interface {
	// hasOtherSource reports whether an origin but o has delivered payload and has
	// the piece.
	hasOtherSource(o, piece uint32) bool
	isBanned(key netip.AddrPort) bool
	// banOrigin keeps the addresses of an origin out for so long, and closes their
	// connections.
	banOrigin(o uint32, key netip.AddrPort, d time.Duration)
}

const (
	// maxSuspects pieces have evidence kept of them; of the oldest it is given up.
	maxSuspects = 64
	// maxAttempts bad copies of a piece are remembered.
	maxAttempts = 3
	// maxOffenders addresses are remembered that sent bad data.
	maxOffenders = 4096
	// A ban lasts firstBan, and twice as long at each offence, up to maxBan.
	firstBan = 2 * time.Hour
	maxBan   = 48 * time.Hour
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

// offend returns how many offences of key there were, this one included.
func (o *offenders) offend(key netip.AddrPort) int {
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

// isSuspect reports whether there is evidence about a piece. It must be asked of
// one peer at a time, as mayAsk says.
func (b *blame) isSuspect(piece uint32) bool { return b.suspects[piece] != nil }

// judge judges a piece that came out wrong; from is the origin of each block. Who
// gave all of it sent bad data, and is banned unless nobody else is known to deliver
// that piece. If several did, the evidence is kept and the piece fetched from one
// peer alone; the good copy will tell the liars from the others, if the leaves of
// BEP 52 have not told before. It reports whether these would tell.
func (b *blame) judge(now mono.Time, piece uint32, from []uint32, sums []uint64, leaves []metainfo.Root, sink blameSink) bool {
	sole := true
	for _, o := range from {
		sole = sole && o == from[0]
	}
	rest := time.Duration(0)
	if sole {
		if rest = b.convict(from[0], piece, sink); rest == 0 {
			return false
		}
	}
	s := b.suspects[piece]
	if s == nil {
		if len(b.accused) == maxSuspects {
			b.dismiss(b.accused[0])
		}
		s = new(suspect)
		b.suspects[piece] = s
		b.accused = append(b.accused, piece)
	}
	s.again = now.Add(rest)
	if len(s.attempts) == maxAttempts {
		return false
	}
	a := attempt{from: slices.Clone(from)}
	for _, o := range from {
		b.hold(o)
		if !slices.Contains(s.who, o) {
			s.who = append(s.who, o)
		}
	}
	if len(sums) == len(from) {
		a.sums = slices.Clone(sums)
	}
	if len(leaves) == len(from) {
		a.leaves = leaves
	}
	s.attempts = append(s.attempts, a)
	return a.leaves != nil
}

// convict judges the origin that gave all of a bad piece. It bans it, or returns
// after how long it may be asked for that piece again.
func (b *blame) convict(o, piece uint32, sink blameSink) time.Duration {
	x := &b.list[o]
	if !x.key.IsValid() {
		return 0
	}
	bad := b.count[x.key] + 1
	if sink.hasOtherSource(o, piece) || bad > fewBad+x.good/goodPerBad {
		b.punish(o, sink)
		return 0
	}
	b.offend(x.key)
	return min(restFirst<<min(bad-1, 10), restMax)
}

// credit notes a piece that is right and began with a block of o.
func (b *blame) credit(o uint32) { b.list[o].good++ }

// acquit ends the case of a piece of which a good copy has come, from these
// origins: whose blocks differed from it is a liar, and nobody else is. Who
// corrected its own block is none.
func (b *blame) acquit(piece uint32, from []uint32, sums []uint64, sink blameSink) {
	s := b.suspects[piece]
	if s == nil {
		return
	}
	if len(sums) == len(from) {
		for _, a := range s.attempts {
			for i := range a.sums {
				if a.sums[i] != sums[i] && a.from[i] != from[i] {
					b.punish(a.from[i], sink)
				}
			}
		}
	}
	b.dismiss(piece)
}

// testify ends the case of a piece whose leaves are known to be these, if they tell
// a liar. It reports whether they do.
func (b *blame) testify(piece uint32, leaves []metainfo.Root, sink blameSink) bool {
	s := b.suspects[piece]
	if s == nil {
		return false
	}
	var liars []uint32
	for _, a := range s.attempts {
		for i, leaf := range a.leaves {
			if leaf != leaves[i] {
				liars = append(liars, a.from[i])
			}
		}
	}
	if len(liars) == 0 {
		return false
	}
	for _, o := range liars {
		b.punish(o, sink)
	}
	b.dismiss(piece)
	return true
}

// dismiss drops the evidence about a piece.
func (b *blame) dismiss(piece uint32) {
	s := b.suspects[piece]
	for _, a := range s.attempts {
		for _, o := range a.from {
			b.release(o)
		}
	}
	delete(b.suspects, piece)
	i := slices.Index(b.accused, piece)
	b.accused = slices.Delete(b.accused, i, i+1)
}

// isNamed reports whether an origin had part in a bad copy of a piece.
func (b *blame) isNamed(o, piece uint32) bool {
	s := b.suspects[piece]
	return s != nil && slices.Contains(s.who, o)
}

// isResting reports whether an origin is not asked for a piece yet, for it had part
// in a bad copy.
func (b *blame) isResting(now mono.Time, o, piece uint32) bool {
	s := b.suspects[piece]
	return s != nil && now < s.again && slices.Contains(s.who, o)
}

// punish bans an origin for firstBan, and for twice as long at each offence.
func (b *blame) punish(o uint32, sink blameSink) {
	key := b.list[o].key
	if !key.IsValid() || sink.isBanned(key) {
		return
	}
	sink.banOrigin(o, key, min(firstBan<<min(b.offend(key)-1, 10), maxBan))
}
