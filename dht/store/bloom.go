package store

import (
	"crypto/sha1"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Bloom is BEP 33's filter of IP addresses: 2048 bits, of which each address
// sets two.
type Bloom [256]byte

// Insert adds an IPv4 or IPv6 address of 4 or 16 bytes.
func (b *Bloom) Insert(ip []byte) {
	// BEP 33: index1 = hash[0] | hash[1] << 8, index2 = hash[2] | hash[3] << 8,
	// both modulo 2048.
	h := sha1.Sum(ip)
	b[int(h[1]&7)<<5|int(h[0])>>3] |= 1 << (h[0] & 7)
	b[int(h[3]&7)<<5|int(h[2])>>3] |= 1 << (h[2] & 7)
}

// blooms caches some filters, because a filter needs a hash of each peer while asking for
// one costs the sender almost nothing.
type blooms [16]bloom

type bloom struct {
	infohash     id.ID
	v6           bool
	until        mono.Time // until when it is used: some peers may have expired by then
	peers, seeds Bloom
}

// bloomFor is how long a filter may contain peers that have expired.
const bloomFor = mono.Time(sweepEvery / 5)

// Blooms returns the filters of the seeds and of the other peers of the infohash in one
// family (BEP 33: all stored seeds, all stored peers), or nil if there are none. They are
// valid until the next call of the Store.
func (s *Store) Blooms(now mono.Time, infohash id.ID, v6 bool) (peers, seeds []byte) {
	s.sweep(now)
	t := s.family(v6)
	recs := t.records(now, &infohash, true)
	if len(recs) == 0 {
		return nil, nil
	}
	if s.blooms == nil {
		s.blooms = new(blooms)
	}
	b := s.bloom(t, &infohash)
	if b.until <= now || b.infohash != infohash || b.v6 != v6 {
		*b = bloom{infohash: infohash, v6: v6, until: now + bloomFor}
		for ; len(recs) > 0; recs = recs[t.rec:] {
			// Port numbers are not allowed in the filters.
			if ip := recs[:t.peer-2]; t.is(leechers, recs) {
				b.peers.Insert(ip)
			} else {
				b.seeds.Insert(ip)
			}
		}
	}
	return b.peers[:], b.seeds[:]
}

// bloom returns the cache entry for an infohash. It may hold the filters of another one.
func (s *Store) bloom(t *table, infohash *id.ID) *bloom {
	return &s.blooms[t.hash(infohash)%uint64(len(s.blooms))]
}

// invalidate drops the cached filters of an infohash whose peers have changed.
func (s *Store) invalidate(t *table, infohash *id.ID) {
	if s.blooms == nil {
		return
	}
	if b := s.bloom(t, infohash); b.infohash == *infohash {
		b.until = 0
	}
}
