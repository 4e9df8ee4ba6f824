package respond

import (
	"net/netip"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// bans are the sources that put items under signatures that are not theirs.
//
// Looking at a signature is the one thing that costs us far more than the
// query cost its sender, so whoever makes us do it in vain again and again gets
// nothing for a while. Who only asks a lot is not banned: the limit drops what
// is too much, and forgets. libtorrent bans for that, and so anybody can have
// it ban a victim, in whose name he sends; here the token has proven that the
// source is what it says.
type bans struct {
	lru *simplelru.LRU[uint64, ban]
}

type ban struct {
	faults int
	last   mono.Time // of the faults
}

const (
	banAfter = 3 // false signatures; a republisher may have one that rotted
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
