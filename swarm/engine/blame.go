package engine

import (
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/mono"
	"seedbed/magnet/metainfo"
)

// blame determines who sent bad data. It assigns a number to each address that payload
// comes from (origin), counts the offences of each address (offenders), and keeps
// evidence about bad pieces with several senders (suspects).
//
//	bad piece ──addBadCopy──▶ from one origin: a ban, or a new request later
//	                    └──▶ from several: evidence ──resolveByCopy, resolveByLeaves──▶ bans
//
// It does not know connections; a blameSink carries out its decisions.
type blame struct {
	origins
	offenders
	suspects     map[uint32]*suspect // by piece; never ranged over
	suspectOrder []uint32            // the keys of suspects, oldest first
}

func newBlame() blame {
	return blame{origins: newOrigins(), suspects: make(map[uint32]*suspect)}
}

// blameSink carries out the decisions of blame, and answers its questions.
type blameSink interface {
	// hasOtherSource reports whether an origin other than o has delivered payload and has
	// the piece.
	hasOtherSource(o, piece uint32) bool
	isBanned(key netip.AddrPort) bool
	// banOrigin bans the address of an origin for d, and closes its connections.
	banOrigin(o uint32, key netip.AddrPort, d time.Duration)
}

const (
	// maxSuspects bounds the pieces with evidence; the oldest is dropped.
	maxSuspects = 64
	// maxAttempts bounds the bad copies that are remembered for a piece.
	maxAttempts = 3
	// maxOffenders bounds the addresses whose offences are counted.
	maxOffenders = 4096
	// A ban lasts firstBan, doubled with each offence up to maxBan.
	firstBan = 2 * time.Hour
	maxBan   = 48 * time.Hour
	// The only source of a piece is not banned while it sends few bad pieces: up to
	// fewBad, plus one for every goodPerBad good ones. Instead, the piece is requested
	// from it again after restFirst, doubled with each offence up to restMax.
	fewBad     = 3
	goodPerBad = 8
	restFirst  = 10 * time.Second
	restMax    = 10 * time.Minute
)

// origins assigns numbers to the addresses that payload came from, for as long as a
// connection or block refers to one. Blocks are attributed to addresses instead of
// connections, because bans apply to addresses.
type origins struct {
	list  []origin // element 0 stands for no peer and has no count
	free  []uint32
	index map[netip.AddrPort]uint32
}

type origin struct {
	key  netip.AddrPort // as returned by banKey
	refs int
	good int // good pieces whose first block came from it
}

func newOrigins() origins {
	return origins{list: make([]origin, 1), index: make(map[netip.AddrPort]uint32)}
}

// of returns the number of key, and adds a reference to it.
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
		panic("engine: origin released too often")
	}
}

// offenders counts the offences of addresses; the oldest address is forgotten first.
type offenders struct {
	count map[netip.AddrPort]int
	keys  []netip.AddrPort
	next  int // index of the oldest key
}

// countOffence counts an offence of key and returns their number.
func (o *offenders) countOffence(key netip.AddrPort) int {
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

// suspect is the evidence about a bad piece with several senders: who sent which block,
// and its checksum.
type suspect struct {
	attempts  []attempt
	senders   []uint32  // origins of the blocks
	notBefore mono.Time // the piece is not requested from these before
}

type attempt struct {
	from   []uint32
	sums   []uint64
	leaves []metainfo.Root // if the torrent has v2 hashes
}

// isSuspect reports whether there is evidence about a piece. Such a piece must be
// requested from one peer at a time; see canFetchAlone.
func (b *blame) isSuspect(piece uint32) bool { return b.suspects[piece] != nil }

// addBadCopy handles a copy of a piece that failed verification; from is the origin of each
// block. An origin that sent all of it is banned, unless no other peer is known to deliver
// that piece. If several origins sent it, addBadCopy keeps the evidence. The piece is then
// requested from a single peer, and a good copy will show which blocks were bad, unless the
// leaves of BEP 52 show it before. addBadCopy reports whether the leaves would show it.
func (b *blame) addBadCopy(now mono.Time, piece uint32, from []uint32, sums []uint64, leaves []metainfo.Root, sink blameSink) bool {
	sole := true
	for _, o := range from {
		sole = sole && o == from[0]
	}
	rest := time.Duration(0)
	if sole {
		if rest = b.judgeSoleSender(from[0], piece, sink); rest == 0 {
			return false
		}
	}
	s := b.suspects[piece]
	if s == nil {
		if len(b.suspectOrder) == maxSuspects {
			b.dropEvidence(b.suspectOrder[0])
		}
		s = new(suspect)
		b.suspects[piece] = s
		b.suspectOrder = append(b.suspectOrder, piece)
	}
	s.notBefore = now.Add(rest)
	if len(s.attempts) == maxAttempts {
		return false
	}
	a := attempt{from: slices.Clone(from)}
	for _, o := range from {
		b.hold(o)
		if !slices.Contains(s.senders, o) {
			s.senders = append(s.senders, o)
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

// judgeSoleSender handles the origin that sent all of a bad piece. It bans the origin and
// returns 0, or returns after which time the piece may be requested from it again.
func (b *blame) judgeSoleSender(o, piece uint32, sink blameSink) time.Duration {
	x := &b.list[o]
	if !x.key.IsValid() {
		return 0
	}
	bad := b.count[x.key] + 1
	if sink.hasOtherSource(o, piece) || bad > fewBad+x.good/goodPerBad {
		b.punish(o, sink)
		return 0
	}
	b.countOffence(x.key)
	return min(restFirst<<min(bad-1, 10), restMax)
}

// credit counts a good piece whose first block came from o.
func (b *blame) credit(o uint32) { b.list[o].good++ }

// resolveByCopy drops the evidence about a piece after a good copy has arrived, whose blocks
// came from the given origins. It bans the origins whose blocks differ from the good copy. An
// origin that has corrected its own block is not banned.
func (b *blame) resolveByCopy(piece uint32, from []uint32, sums []uint64, sink blameSink) {
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
	b.dropEvidence(piece)
}

// resolveByLeaves bans the senders of blocks whose hashes differ from leaves, the verified
// leaves of the piece. If there are any, it drops the evidence and returns true.
func (b *blame) resolveByLeaves(piece uint32, leaves []metainfo.Root, sink blameSink) bool {
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
	b.dropEvidence(piece)
	return true
}

// dropEvidence drops the evidence about a piece.
func (b *blame) dropEvidence(piece uint32) {
	s := b.suspects[piece]
	for _, a := range s.attempts {
		for _, o := range a.from {
			b.release(o)
		}
	}
	delete(b.suspects, piece)
	i := slices.Index(b.suspectOrder, piece)
	b.suspectOrder = slices.Delete(b.suspectOrder, i, i+1)
}

// hasContributed reports whether an origin contributed to a bad copy of a piece.
func (b *blame) hasContributed(o, piece uint32) bool {
	s := b.suspects[piece]
	return s != nil && slices.Contains(s.senders, o)
}

// isResting reports whether a piece is currently not requested from an origin, because it
// contributed to a bad copy.
func (b *blame) isResting(now mono.Time, o, piece uint32) bool {
	s := b.suspects[piece]
	return s != nil && now < s.notBefore && slices.Contains(s.senders, o)
}

// punish bans an origin for firstBan, doubled with each offence.
func (b *blame) punish(o uint32, sink blameSink) {
	key := b.list[o].key
	if !key.IsValid() || sink.isBanned(key) {
		return
	}
	sink.banOrigin(o, key, min(firstBan<<min(b.countOffence(key)-1, 10), maxBan))
}
