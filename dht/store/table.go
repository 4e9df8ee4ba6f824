package store

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// table is the peers of one address family.
//
// What an entry of the LRU costs is most of the memory, for most infohashes
// have few peers. A key of 8 bytes saves a quarter of it: a hash of the
// infohash, with secret factors so that nobody can choose two infohashes that
// meet. If two do meet, the later takes the place of the earlier.
type table struct {
	lru    *simplelru.LRU[uint64, list]
	factor [3]uint64
	peer   int // length of a compact peer
	rec    int // length of a record
	unique int // length of the part of a record that is unique in its list
	most   int // length of the longest list's records
	peers  int // records in all
}

// list is an infohash and behind it the records of its peers, the latest
// announce last. A record is address and port, both big-endian as on the wire,
// and two bytes that hold the seed flag and the second of the announce modulo
// 2^15. That is unambiguous for 9 hours, and no record grows older than
// Lifetime and sweepEvery.
type list []byte

const (
	stampLen = 2
	seedBit  = 1 << 15
	stampMax = seedBit - 1
)

func (l list) of(infohash id.ID) bool { return bytes.Equal(l[:id.Len], infohash[:]) }
func (l list) records() []byte        { return l[id.Len:] }

func (t *table) init(cfg Config, addr int, rnd *rand.Rand) {
	t.peer = addr + 2
	t.rec = t.peer + stampLen
	t.unique = addr
	if cfg.ManyPerIP {
		t.unique = t.peer
	}
	t.most = cfg.Peers * t.rec
	for i := range t.factor {
		t.factor[i] = rnd.Uint64() | 1
	}
	lru, err := simplelru.NewLRU(cfg.Infohashes, func(_ uint64, l list) { t.peers -= len(l.records()) / t.rec })
	if err != nil {
		panic(err) // the size is positive
	}
	t.lru = lru
}

func (t *table) key(h id.ID) uint64 {
	a := binary.LittleEndian.Uint64(h[:]) ^ t.factor[0]
	b := binary.LittleEndian.Uint64(h[8:]) ^ t.factor[1]
	hi, lo := bits.Mul64(a, b)
	hi, lo = bits.Mul64(hi^lo^uint64(binary.LittleEndian.Uint32(h[16:])), t.factor[2])
	return hi ^ lo
}

// peek is the list of the infohash, without making it more recently used.
func (t *table) peek(infohash id.ID) (uint64, list, bool) {
	key := t.key(infohash)
	l, ok := t.lru.Peek(key)
	return key, l, ok && l.of(infohash)
}

// maxRec is room for a record of either family.
type maxRec [16 + 2 + stampLen]byte

func (t *table) record(now mono.Time, p netip.AddrPort, seed bool) (r maxRec) {
	b := append(r[:0], p.Addr().Unmap().AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, p.Port())
	flags := stamp(now)
	if seed {
		flags |= seedBit
	}
	binary.BigEndian.AppendUint16(b, flags)
	return r
}

func stamp(now mono.Time) uint16 { return uint16(now/mono.Time(time.Second)) & stampMax }

// expired is the length of the records that are past their lifetime. They are
// in the order of announces, so it is those at the front.
func (t *table) expired(recs []byte, now mono.Time) int {
	s, i := stamp(now), 0
	for ; i < len(recs); i += t.rec {
		age := (s - binary.BigEndian.Uint16(recs[i+t.peer:])) & stampMax
		if time.Duration(age)*time.Second < Lifetime {
			break
		}
	}
	return i
}

// find is the index of the record that agrees with r in its first n bytes, or -1.
func (t *table) find(recs []byte, r maxRec, n int) int {
	head := binary.NativeEndian.Uint32(r[:])
	for i := 0; i < len(recs); i += t.rec {
		if binary.NativeEndian.Uint32(recs[i:]) == head && bytes.Equal(recs[i:i+n], r[:n]) {
			return i
		}
	}
	return -1
}

func (t *table) announce(now mono.Time, infohash id.ID, peer netip.AddrPort, seed bool) bool {
	key, l, ok := t.peek(infohash)
	if !ok {
		t.lru.Remove(key)
		l = resize(infohash[:], id.Len+t.rec)
	}
	before := len(l)
	if n := t.expired(l.records(), now); n > 0 {
		l = l[:id.Len+copy(l.records(), l.records()[n:])]
	}
	r := t.record(now, peer, seed)
	recs, room := l.records(), true
	if i := t.find(recs, r, t.unique); i >= 0 {
		copy(recs[i:], recs[i+t.rec:])
		copy(recs[len(recs)-t.rec:], r[:t.rec])
	} else if room = len(recs) < t.most; room {
		if len(l)+t.rec > cap(l) {
			// Most lists are short and stay so: they grow by little.
			n := len(recs)/t.rec + 1
			l = resize(l, id.Len+(n+n/8)*t.rec)
		}
		l = append(l, r[:t.rec]...)
	}
	t.peers += (len(l) - before) / t.rec
	t.lru.Add(key, l)
	return room
}

// resize is a copy of b with a capacity of n bytes, or a little more where the
// allocator would give them away for nothing.
func resize(b []byte, n int) []byte {
	c := append([]byte(nil), make([]byte, n)...)
	return c[:copy(c, b)]
}

// class says which peers a sample is of.
type class uint8

const (
	every class = iota
	seeds
	leechers
)

func (t *table) is(c class, rec []byte) bool {
	return c == every || (rec[t.peer]&(seedBit>>8) != 0) == (c == seeds)
}

// sweep forgets expired peers and empty lists. idle is the time since the last
// sweep.
func (t *table) sweep(now mono.Time, idle time.Duration) {
	if idle >= Lifetime+sweepEvery {
		// Every announce sweeps, so all are older than Lifetime, and some
		// perhaps too old for their stamps to tell.
		t.lru.Purge()
		return
	}
	// From the least to the most recently used: to touch all in this order
	// leaves the order as it is.
	for _, key := range t.lru.Keys() {
		l, _ := t.lru.Peek(key)
		recs := l.records()
		n := t.expired(recs, now)
		if n == len(recs) {
			t.lru.Remove(key)
			continue
		}
		if n > 0 {
			t.peers -= n / t.rec
			l = l[:id.Len+copy(recs, recs[n:])]
		}
		if cap(l) > len(l)+len(l)/4+t.rec {
			l = resize(l, len(l))
		}
		t.lru.Add(key, l)
	}
}
