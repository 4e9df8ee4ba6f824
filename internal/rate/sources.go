package rate

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"seedbed/internal/mono"
)

// Sources is a token bucket for each source of packets, in fixed memory: sets of eight
// buckets, where a secret hash of the source chooses the set.
//
// A bucket is one number, the moment when it will be full again (the generic cell rate
// algorithm). A bucket that is full by now carries no information, so it can be forgotten. A
// new source replaces the source in its set whose bucket is fullest. So in a flood from
// many forged sources that send one packet each, these replace each other and not the
// sources that sent many. A plain LRU would forget the latter.
type Sources struct {
	places []Source
	secret [2]uint64
	shift  uint
	cost   mono.Time // what one packet costs; 0 means no limit
	burst  mono.Time // how far in the future a bucket may become full
}

// Source is the state of one source. It is small, so that it usually lies in one cache
// line.
type Source struct {
	key  uint64
	full mono.Time
	// Noted and Answered are for the caller, in seconds of its clock. Both are initially
	// far in the past.
	Noted, Answered int32
}

const (
	setSize = 8
	// longAgo is decades before every time that a caller measures. Times decades later do
	// not overflow.
	longAgo = -1 << 30
)

// NewSources returns a Sources with at least the given number of places. Each source may
// send perSecond packets on average and burst at once. A negative perSecond means no
// limit. random must be unpredictable except in tests.
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

// SourceOf returns the key of the bucket of an address: its IPv4 address or IPv6 /64, the
// smallest prefix that a household has. It is never 0.
func SourceOf(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return 1<<32 | uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return max(binary.BigEndian.Uint64(b[:]), 1) // no host is in ::/64
}

// Refund returns one packet's worth of tokens that Take took. It does nothing if the
// source has been forgotten.
func (s *Sources) Refund(now mono.Time, source uint64) {
	at := int((source^s.secret[0])*s.secret[1]>>s.shift) * setSize
	for i := at; i < at+setSize; i++ {
		if s.places[i].key == source {
			s.places[i].full = max(s.places[i].full-s.cost, now)
			return
		}
	}
}

// Take takes one packet's worth of tokens from the source's bucket and returns true if
// they are available. The Source is valid until the next Take.
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
