package respond

import (
	"net/netip"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// bans counts the false signatures of each source.
//
// Verifying a signature is the only work that costs us far more than the query costs its
// sender, so a source of several false signatures gets no answers for banFor. A source that
// asks too often is not banned: the rate limit drops the excess. libtorrent bans such
// sources, so that an attacker can get a victim banned by forging its address. Here the
// token has proved that the address is genuine.
type bans struct {
	lru *simplelru.LRU[uint64, ban]
}

type ban struct {
	faults int
	last   mono.Time // time of the last one
}

const (
	banAfter = 3 // false signatures; a node that republishes items may have a damaged one
	banFor   = 10 * time.Minute
	maxBans  = 1024
)

func newBans() bans {
	lru, err := simplelru.NewLRU[uint64, ban](maxBans, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return bans{lru}
}

// banned reports whether the source is banned.
func (b *bans) banned(now mono.Time, source uint64) bool {
	if b.lru.Len() == 0 {
		return false
	}
	f, ok := b.lru.Peek(source)
	return ok && f.faults >= banAfter && now.Sub(f.last) < banFor
}

// fault counts a false signature of a source that has proven its address.
func (b *bans) fault(now mono.Time, a netip.Addr) {
	src := rate.SourceOf(a)
	f, _ := b.lru.Get(src)
	if now.Sub(f.last) >= banFor {
		f.faults = 0
	}
	b.lru.Add(src, ban{f.faults + 1, now})
}
