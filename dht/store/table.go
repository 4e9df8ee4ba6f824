package store

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/dht/krpc"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// table holds the peers of one address family.
//
// Most infohashes have few peers, and an entry of the LRU alone takes several times the
// memory of these. So an entry is a shard: the lists of some infohashes in one slice. A
// hash with secret factors maps an infohash to its shard, so that an attacker cannot fill
// one on purpose. Using an infohash makes its whole shard the most recently used one. If
// there is one infohash too many, the least recently used shard drops the infohash that was
// announced the longest ago.
type table struct {
	lru     *simplelru.LRU[uint32, *shard]
	factor  [3]uint64
	peer    int // length of a compact peer
	rec     int // length of a record
	unique  int // length of the part of a record that no other record in its list has
	most    int // maximum length of a list's records
	room    int // maximum number of infohashes
	kept    int // infohashes stored
	peers   int // number of records
	scratch []byte
	sample  sample
}

// shard is a sequence of lists, the most recently announced one at the end. A list is an
// infohash, the length of its records in two bytes, and the records of its peers, the
// latest announce last.
//
// A record is address and port, both big-endian as on the wire, and two bytes that hold the
// seed flag and the second of the announce modulo 2^15. The second is unambiguous for 9
// hours, and no record gets older than Lifetime plus sweepEvery.
type shard struct{ b []byte }

const (
	perShard = 4 // average infohashes in a shard when the table is full

	stampLen = 2
	seedBit  = 1 << 15
	stampMax = seedBit - 1
	headLen  = id.Len + 2
)

// list returns the begin and the end of the records of the list that begins at i.
func (s *shard) list(i int) (begin, end int) {
	begin = i + headLen
	return begin, begin + int(binary.BigEndian.Uint16(s.b[i+id.Len:]))
}

// find returns the begin and the end of the records of the infohash.
func (s *shard) find(infohash *id.ID) (begin, end int, ok bool) {
	for i := 0; i < len(s.b); i = end {
		begin, end = s.list(i)
		if bytes.Equal(s.b[i:i+id.Len], infohash[:]) {
			return begin, end, true
		}
	}
	return 0, 0, false
}

// add appends a list.
func (s *shard) add(infohash *id.ID, recs []byte) {
	n := len(s.b) + headLen + len(recs)
	if n > cap(s.b) {
		s.b = resize(s.b, n+n/16)
	}
	s.b = append(s.b, infohash[:]...)
	s.b = binary.BigEndian.AppendUint16(s.b, uint16(len(recs)))
	s.b = append(s.b, recs...)
}

func (s *shard) remove(begin, end int) {
	s.b = s.b[:begin-headLen+copy(s.b[begin-headLen:], s.b[end:])]
}

func (t *table) init(cfg Config, addr int, rnd *rand.Rand) {
	t.peer = addr + 2
	t.rec = t.peer + stampLen
	t.unique = addr
	if cfg.ManyPerIP {
		t.unique = t.peer
	}
	t.room = cfg.Infohashes
	t.most = min(cfg.Peers*t.rec, 1<<16-t.rec)
	for i := range t.factor {
		t.factor[i] = rnd.Uint64() | 1
	}
	lru, err := simplelru.NewLRU[uint32, *shard]((cfg.Infohashes+perShard-1)/perShard, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	t.lru = lru
}

// hash returns a hash of an infohash that other nodes cannot predict.
func (t *table) hash(h *id.ID) uint64 {
	a := binary.LittleEndian.Uint64(h[:]) ^ t.factor[0]
	b := binary.LittleEndian.Uint64(h[8:]) ^ t.factor[1]
	hi, lo := bits.Mul64(a, b)
	hi, lo = bits.Mul64(hi^lo^uint64(binary.LittleEndian.Uint32(h[16:])), t.factor[2])
	return hi ^ lo
}

// key returns the key of the infohash's shard.
func (t *table) key(h *id.ID) uint32 {
	key, _ := bits.Mul64(t.hash(h), uint64((t.room+perShard-1)/perShard))
	return uint32(key)
}

// records returns the records of the infohash that have not expired, or nil if it is not
// stored. used says whether this counts as a use of the infohash.
func (t *table) records(now mono.Time, infohash *id.ID, used bool) []byte {
	key := t.key(infohash)
	s, ok := t.lru.Peek(key)
	if !ok {
		return nil
	}
	begin, end, ok := s.find(infohash)
	if !ok {
		return nil
	}
	if used {
		t.lru.Get(key)
	}
	return s.b[begin+t.expired(s.b[begin:end], now) : end]
}

// full implements Store.Full for one family.
func (t *table) full(now mono.Time, infohash *id.ID, from netip.Addr) bool {
	recs := t.records(now, infohash, false)
	if recs == nil && t.kept >= t.room {
		return true
	}
	return len(recs) >= t.most && t.find(recs, t.record(now, netip.AddrPortFrom(from, 0), false), t.peer-2) < 0
}

// maxRec is the length of the longest record of either family.
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

// expired returns the length of the records that have expired. Records are in the order of
// announces, so the expired ones are at the front.
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

// find returns the index of the record whose first n bytes are those of r, or -1.
func (t *table) find(recs []byte, r maxRec, n int) int {
	head := binary.NativeEndian.Uint32(r[:])
	for i := 0; i < len(recs); i += t.rec {
		if binary.NativeEndian.Uint32(recs[i:]) == head && bytes.Equal(recs[i:i+n], r[:n]) {
			return i
		}
	}
	return -1
}

// announce stores a peer and returns room, which says whether it fits. changed reports
// whether the set of seeds or the set of other peers has changed.
func (t *table) announce(now mono.Time, infohash *id.ID, peer netip.AddrPort, seed bool) (room, changed bool) {
	key, begin, end := t.key(infohash), 0, 0
	s, ok := t.lru.Peek(key)
	if ok {
		begin, end, ok = s.find(infohash)
	}
	if !ok && t.kept >= t.room {
		t.evict()
	}
	if s, _ = t.lru.Get(key); s == nil {
		s = new(shard)
		t.lru.Add(key, s)
	}
	recs := t.scratch[:0]
	if ok {
		recs = append(recs, s.b[begin+t.expired(s.b[begin:end], now):end]...)
		s.remove(begin, end)
		t.peers -= (end - begin) / t.rec
	} else {
		t.kept++
		t.sample.changed = true
	}
	r := t.record(now, peer, seed)
	if i := t.find(recs, r, t.unique); i >= 0 {
		room, changed = true, (recs[i+t.peer]^r[t.peer])&(seedBit>>8) != 0
		copy(recs[i:], recs[i+t.rec:])
		copy(recs[len(recs)-t.rec:], r[:t.rec])
	} else if len(recs) < t.most {
		room, changed = true, true
		recs = append(recs, r[:t.rec]...)
	}
	s.add(infohash, recs)
	t.peers += len(recs) / t.rec
	t.scratch = recs
	return room, changed
}

// evict removes the least recently announced infohash of the least recently used shard.
func (t *table) evict() {
	key, s, _ := t.lru.GetOldest()
	begin, end := s.list(0)
	s.remove(begin, end)
	t.kept--
	t.peers -= (end - begin) / t.rec
	if len(s.b) == 0 {
		t.lru.Remove(key)
	}
}

// resize returns a copy of b with a capacity of n bytes, or a little more where the
// allocator would round up anyway.
func resize(b []byte, n int) []byte {
	c := append([]byte(nil), make([]byte, n)...)
	return c[:copy(c, b)]
}

// class says which peers a sample contains.
type class uint8

const (
	every class = iota
	seeds
	leechers
)

func (t *table) is(c class, rec []byte) bool {
	return c == every || (rec[t.peer]&(seedBit>>8) != 0) == (c == seeds)
}

// appendPeer appends the ith peer.
func (t *table) appendPeer(dst, recs []byte, i uint16) []byte {
	r := recs[int(i)*t.rec:]
	if t.peer == 6 { // most are, and this is faster than copying a slice
		return append(dst, r[0], r[1], r[2], r[3], r[4], r[5])
	}
	return append(dst, r[:t.peer]...)
}

// sweep removes expired peers and empty lists. idle is the time since the last sweep.
func (t *table) sweep(now mono.Time, idle time.Duration) {
	if idle >= Lifetime+sweepEvery {
		// Every announce sweeps, so all peers are older than Lifetime. Some may be too old
		// for their 15 bits.
		t.lru.Purge()
		t.kept, t.peers, t.sample.changed = 0, 0, true
		return
	}
	for _, key := range t.lru.Keys() {
		s, _ := t.lru.Peek(key)
		old := s.b
		s.b = s.b[:0] // written in place: the write position never passes the read position
		for i := 0; i < len(old); {
			begin, end := (&shard{old}).list(i)
			infohash := id.ID(old[i : i+id.Len])
			i = end
			n := t.expired(old[begin:end], now)
			t.peers -= n / t.rec
			if begin+n == end {
				t.kept--
				t.sample.changed = true
				continue
			}
			s.add(&infohash, old[begin+n:end])
		}
		switch n := len(s.b); {
		case n == 0:
			t.lru.Remove(key)
		case cap(s.b) > n+n/4+t.rec:
			s.b = resize(s.b, n)
		}
	}
}

// sample is the sample of infohashes that BEP 51 asks for.
type sample struct {
	infohashes []byte
	at         mono.Time
	changed    bool // infohashes have been added or removed since it was drawn
}

// samples returns the current sample, and draws a new one if it is too old. If there are no
// more infohashes than a sample can hold, it has all of them, as in libtorrent.
func (t *table) samples(now mono.Time, rnd *rand.Rand) []byte {
	s := &t.sample
	fewer := len(s.infohashes) < krpc.MaxSamples*id.Len
	if s.infohashes != nil && now.Sub(s.at) < SampleInterval && !(fewer && s.changed) {
		return s.infohashes
	}
	if s.infohashes == nil {
		s.infohashes = make([]byte, 0, krpc.MaxSamples*id.Len)
	}
	s.infohashes, s.at, s.changed = s.infohashes[:0], now, false
	seen := 0
	for _, sh := range t.lru.Values() {
		for i, end := 0, 0; i < len(sh.b); i = end {
			_, end = sh.list(i)
			// Each infohash seen so far is in the sample with the same probability.
			seen++
			if seen <= krpc.MaxSamples {
				s.infohashes = append(s.infohashes, sh.b[i:i+id.Len]...)
			} else if at := rnd.IntN(seen); at < krpc.MaxSamples {
				copy(s.infohashes[at*id.Len:], sh.b[i:i+id.Len])
			}
		}
	}
	return s.infohashes
}
