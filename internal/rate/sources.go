package rate

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"seedbed/internal/mono"
)

// Sources is a token bucket for each source of packets, in fixed memory: sets
// of eight, a source's set chosen by a secret hash.
//
// A bucket is one number, the moment when it will be full again (the generic
// cell rate algorithm): a bucket that is full by now is as good as none, so
// forgetting it costs nothing. A new source takes the place in its set whose
// bucket is the fullest. So a flood from many forged sources, each at its first
// packet, pushes out one another and never the ones that sent a lot, where a
// plain LRU would forget just these.
type Sources struct {
	places []Source
	secret [2]uint64
	shift  uint
	cost   mono.Time // a packet's worth; 0: no limit
	burst  mono.Time // how far in the future a bucket may be full
}

// Source is what is kept of one source. It is small, so that one is mostly in
// one line of the processor's cache.
type Source struct {
	key  uint64
	full mono.Time
	// Noted and Answered are for the caller, in seconds of its clock; both are
	// long ago at first.
	Noted, Answered int32
}

const (
	setSize = 8
	// longAgo is decades before all that a caller measures, and what comes
	// decades later does not overflow.
	longAgo = -1 << 30
)

// NewSources has room for at least places sources. perSecond is what each may
// send on the average and burst at once; a negative perSecond is no limit.
// random must be unpredictable outside of tests.
func NewSources(perSecond, burst float64, places int, random *rand.Rand) *Sources {
	bits := uint(1)
	for setSize<<bits < places {
		bits++
	}
	s := &Sources{
		places: make([]Source, setSize<<bits),
		secret: [2]uint64{random.Uint64(), random.Uint64() | 1},
		shift:  64 - bits,
	}
	if perSecond > 0 {
		cost := float64(time.Second) / perSecond
		s.cost, s.burst = mono.Time(max(1, cost)), mono.Time(max(1, burst)*cost)
	}
	return s
}

// SourceOf is what shares a bucket: an IPv4 address or an IPv6 /64, the least
// that a household has. No source is 0.
func SourceOf(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return 1<<32 | uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return max(binary.BigEndian.Uint64(b[:]), 1) // there are no hosts in ::/64
}

// Refund gives back one packet's worth that Take took. A source that is not known any
// more needs none.
func (s *Sources) Refund(now mono.Time, source uint64) {
	at := int((source^s.secret[0])*s.secret[1]>>s.shift) * setSize
	for i := at; i < at+setSize; i++ {
		if s.places[i].key == source {
			s.places[i].full = max(s.places[i].full-s.cost, now)
			return
		}
	}
}

// Take takes one packet's worth out of the source's bucket, if it is there. The
// Source is valid until the next Take.
func (s *Sources) Take(now mono.Time, source uint64) (*Source, bool) {
	at := int((source^s.secret[0])*s.secret[1]>>s.shift) * setSize
	set := s.places[at : at+setSize : at+setSize]
	var st *Source
	for i := range set {
		if set[i].key == source {
			st = &set[i]
			break
		}
	}
	if st == nil {
		st = &set[0]
		for i := range set {
			if set[i].full < st.full {
				st = &set[i]
			}
		}
		*st = Source{key: source, full: now, Noted: longAgo, Answered: longAgo}
	}
	full := max(st.full, now) + s.cost
	if s.cost > 0 && full-now > s.burst {
		return st, false
	}
	st.full = full
	return st, true
}
