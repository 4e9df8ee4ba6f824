// Package store holds what other nodes store at this one: the peers that announced
// themselves for an infohash (BEP 5, 33 and 51) and items (BEP 44). It also makes and
// checks the tokens that an announce or a put needs.
//
// Three limits bound memory:
//
//   - The number of infohashes. A new one replaces one that has not been announced or asked
//     for recently.
//   - The number of peers of each infohash. Further announces are refused until peers
//     expire.
//   - The number of items. A new one replaces the item that was put or asked for the
//     longest ago.
//
// Full reports in advance that an infohash or a peer does not fit. The caller then gives
// out no token (BEP 33), and the announce goes to another node. Only a node that got a
// token earlier can still replace an infohash. Each address family has its own table of
// peers, with its own limits (BEP 32: no IPv6 data is stored in the IPv4 DHT and vice
// versa).
//
// A peer is one record of 8 or 20 bytes. Peers and items expire: every method takes the
// current time, and sweeps expired ones every few minutes.
//
// Neither Store nor Tokens is safe for concurrent use. No method returns an error: a peer
// that does not fit is refused. The caller provides the random source, which must be
// unpredictable outside of tests (ChaCha8 with a seed from the system).
package store

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// The defaults of a Config are libtorrent's.
const (
	DefaultInfohashes = 2000
	DefaultPeers      = 500
	DefaultItems      = 700
)

const (
	// Lifetime is how long a peer is kept after its last announce. Clients announce every
	// 15 to 30 minutes.
	Lifetime = 45 * time.Minute
	// ItemLifetime is how long an item is kept after its last put. BEP 44:
	// without re-announcement, these items may expire in 2 hours.
	ItemLifetime = 2 * time.Hour
	// SampleInterval is how long a sample of the infohashes stays the same. BEP 51: between
	// 0 and 21600 seconds; libtorrent uses the longest too.
	SampleInterval = 6 * time.Hour
	// maxPeers is the maximum of Config.Peers. BEP 33: nodes should keep max(seeds, peers)
	// below 6000. A list of IPv6 peers has at most 3276.
	maxPeers = 5999

	// sweepEvery bounds how long expired peers use memory. It also keeps the age of every
	// record far below the maximum of its 15 bits.
	sweepEvery = 5 * time.Minute
)

// Config is fixed for the life of a Store. A zero field means its default.
type Config struct {
	Infohashes int // infohashes of each address family; 0: DefaultInfohashes
	Peers      int // peers of one infohash; 0: DefaultPeers
	Items      int // items; 0: DefaultItems

	// ManyPerIP keeps several peers of one IP address that differ in their port. BEP 33
	// wants <infohash, IP> to be unique, which keeps one host from filling a list. If all
	// peers run on one host, as in a private network, that would exclude all but one.
	ManyPerIP bool
}

// Store holds the peers of many infohashes, and items.
type Store struct {
	v4, v6 table
	items  items
	blooms *blooms // nil until a query asks for filters
	swept  mono.Time
	rnd    *rand.Rand

	// Reused by Sample: order has the numbers from 0, the others have room for as many.
	order, picked, swaps []uint16
}

// New returns an empty store. Samples are drawn with rnd.
func New(cfg Config, now mono.Time, rnd *rand.Rand) *Store {
	if cfg.Infohashes <= 0 {
		cfg.Infohashes = DefaultInfohashes
	}
	if cfg.Peers <= 0 {
		cfg.Peers = DefaultPeers
	}
	cfg.Peers = min(cfg.Peers, maxPeers)
	if cfg.Items <= 0 {
		cfg.Items = DefaultItems
	}
	s := &Store{swept: now, rnd: rnd, order: make([]uint16, cfg.Peers), picked: make([]uint16, 0, cfg.Peers), swaps: make([]uint16, 0, cfg.Peers)}
	for i := range s.order {
		s.order[i] = uint16(i)
	}
	s.v4.init(cfg, 4, rnd)
	s.v6.init(cfg, 16, rnd)
	s.items.init(cfg.Items)
	return s
}

// Announce stores peer for the infohash, or renews its time, port and seed flag. It returns
// false, and stores nothing, if the infohash has its maximum of peers.
func (s *Store) Announce(now mono.Time, infohash id.ID, peer netip.AddrPort, seed bool) bool {
	s.sweep(now)
	t := s.family(!peer.Addr().Unmap().Is4())
	room, changed := t.announce(now, &infohash, peer, seed)
	if changed {
		s.invalidate(t, &infohash)
	}
	return room
}

// Full reports whether an announce for the infohash from this address would be refused or
// replace another infohash. A peer that is already stored always fits.
func (s *Store) Full(now mono.Time, infohash id.ID, from netip.Addr) bool {
	s.sweep(now)
	return s.family(!from.Unmap().Is4()).full(now, &infohash, from)
}

// Sample appends to dst the compact form (BEP 5: 6 bytes, BEP 32: 18) of up to n peers of
// the infohash, chosen at random from those of one family. With noSeed, it adds seeds only
// if there are fewer than n other peers (BEP 33).
func (s *Store) Sample(dst []byte, now mono.Time, infohash id.ID, v6 bool, n int, noSeed bool) []byte {
	s.sweep(now)
	t := s.family(v6)
	recs := t.records(now, &infohash, true)
	if len(recs) == 0 {
		return dst
	}
	if !noSeed {
		return s.pick(dst, t, recs, n, every)
	}
	before := len(dst)
	dst = s.pick(dst, t, recs, n, leechers)
	return s.pick(dst, t, recs, n-(len(dst)-before)/t.peer, seeds)
}

// pick appends n peers of the class, or all if there are fewer. Each choice of n is equally
// likely, because it is the first part of a Fisher-Yates shuffle.
func (s *Store) pick(dst []byte, t *table, recs []byte, n int, c class) []byte {
	of := len(recs) / t.rec
	at := s.order[:of]
	if c != every {
		at = s.picked[:0]
		for i := range of {
			if t.is(c, recs[i*t.rec:]) {
				at = append(at, uint16(i))
			}
		}
	}
	if n = min(n, len(at)); n == len(at) {
		for _, i := range at {
			dst = t.appendPeer(dst, recs, i)
		}
		return dst
	}
	swaps := s.swaps[:0]
	var random uint64
	for i := range n {
		// One draw of 64 bits gives two of 32. Scaling instead of rejecting makes no peer
		// more likely than another by more than one in some millions.
		if random >>= 32; i%2 == 0 {
			random = s.rnd.Uint64()
		}
		j := i + int(uint64(uint32(random))*uint64(len(at)-i)>>32)
		at[i], at[j] = at[j], at[i]
		swaps = append(swaps, uint16(j))
		dst = t.appendPeer(dst, recs, at[i])
	}
	// Undo the shuffle, so that order is 0, 1, 2 and so on again.
	for i, j := range slices.Backward(swaps) {
		at[i], at[j] = at[j], at[i]
	}
	return dst
}

// Infohashes returns a sample of the infohashes that are stored in one family, of 20 bytes
// each, and how many are stored there (BEP 51). The sample is valid until the next call of
// the Store.
func (s *Store) Infohashes(now mono.Time, v6 bool) (sample []byte, kept int) {
	s.sweep(now)
	t := s.family(v6)
	return t.samples(now, s.rnd), t.kept
}

// Len returns how many infohashes and how many peers are stored. Some may have expired
// since the last sweep.
func (s *Store) Len() (infohashes, peers int) {
	return s.v4.kept + s.v6.kept, s.v4.peers + s.v6.peers
}

func (s *Store) family(v6 bool) *table {
	if v6 {
		return &s.v6
	}
	return &s.v4
}

// sweep removes expired peers and items if the last sweep was at least sweepEvery ago.
func (s *Store) sweep(now mono.Time) {
	idle := now.Sub(s.swept)
	if idle < sweepEvery {
		return
	}
	s.swept = now
	s.v4.sweep(now, idle)
	s.v6.sweep(now, idle)
	s.items.sweep(now)
}
