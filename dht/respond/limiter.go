package respond

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"seedbed/internal/mono"
)

// limiter is a token bucket for each source, in fixed memory: sets of ways
// slots, a source's set chosen by a secret hash.
//
// A bucket is one number, the moment when it will be full again (the generic
// cell rate algorithm): a bucket that is full by now is as good as none, so
// forgetting it costs nothing. A new source takes the slot of its set whose
// bucket is the fullest. So a flood from many forged sources, each at its
// first query, pushes out one another and never the ones that asked a lot,
// where a plain LRU would forget just these.
type limiter struct {
	slots  []slot
	key    [2]uint64
	cost   mono.Time // a query's worth; 0: no limit
	behind mono.Time // how far in the future a bucket may be full: the burst
}

type slot struct {
	source uint64
	full   mono.Time
}

const (
	ways    = 8
	setBits = 11 // 16,384 sources in 256 KiB
)

func newLimiter(rate, burst float64, rnd *rand.Rand) limiter {
	if rate < 0 {
		return limiter{}
	}
	cost := mono.Time(float64(time.Second) / rate)
	return limiter{
		slots:  make([]slot, ways<<setBits),
		key:    [2]uint64{rnd.Uint64(), rnd.Uint64() | 1},
		cost:   max(1, cost),
		behind: mono.Time(max(1, burst) * float64(cost)),
	}
}

// source is what shares a bucket: an IPv4 address or an IPv6 /64, the least
// that a household has. Addresses below ::/31, which IPv4 takes the place of,
// are nobody's.
func source(a netip.Addr) uint64 {
	if a.Is4() {
		b := a.As4()
		return 1<<32 | uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:])
}

// allow takes a query's worth out of the bucket of a, if it is there.
func (l *limiter) allow(now mono.Time, a netip.Addr) bool {
	if l.cost == 0 {
		return true
	}
	src := source(a)
	at := int((src^l.key[0])*l.key[1]>>(64-setBits)) * ways
	set := l.slots[at : at+ways]
	s := &set[0]
	for i := range set {
		if set[i].source == src {
			s = &set[i]
			break
		}
		if set[i].full < s.full {
			s = &set[i]
		}
	}
	if s.source != src {
		*s = slot{source: src, full: now}
	}
	full := max(s.full, now) + l.cost
	if full-now > l.behind {
		return false
	}
	s.full = full
	return true
}
