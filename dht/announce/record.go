package announce

import (
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

type state uint8

const (
	idle     state = iota // the walk will come by
	urgent                // in Scheduler.fresh
	visiting              // in Scheduler.active
	waiting               // its visit failed: in Scheduler.retry
)

// record is all that is kept of an infohash: 88 bytes.
type record struct {
	key       id.ID
	seeds     seeds
	port      uint16
	fails     uint8 // fruitless visits in a row
	state     state
	announced bool
	seed      bool
	visited   mono.Time // when its last visit began
	since     mono.Time // its last announce, else when it was added
	prev      uint32    // in Scheduler.ages; itself when it is not there
	next      uint32    // also the next free record
}

// seeds are some nodes that an infohash was announced to, closest first: six
// IPv4 addresses or two of IPv6.
type seeds struct {
	b    [36]byte
	n    uint8 // addresses
	size uint8 // bytes of each
}

const maxSeeds = 6

// set keeps as many of the addresses, all of one family, as fit.
func (s *seeds) set(list []netip.AddrPort) {
	s.n = 0
	b := s.b[:0]
	for _, a := range list {
		s.size = uint8(a.Addr().BitLen()/8 + 2)
		if len(b)+int(s.size) > len(s.b) {
			return
		}
		b = addrs.Append(b, a)
		s.n++
	}
}

// addrs appends the addresses to dst.
func (s *seeds) addrs(dst []netip.AddrPort) []netip.AddrPort {
	for i := range int(s.n) {
		dst = append(dst, addrs.Parse(s.b[i*int(s.size):(i+1)*int(s.size)]))
	}
	return dst
}

const (
	pageSize = 1024 // 88 KiB: the allocator wastes nothing of it
	none     = ^uint32(0)
)

// slab holds the records in pages, so that they have small numbers for names
// and that growing copies nothing.
type slab struct {
	pages []*[pageSize]record
	used  uint32 // of all pages, those that ever held a record
	free  uint32 // 1 + the first free record
}

func (s *slab) at(i uint32) *record { return &s.pages[i/pageSize][i%pageSize] }

func (s *slab) alloc() uint32 {
	if s.free > 0 {
		i := s.free - 1
		s.free = s.at(i).next
		return i
	}
	if s.used == uint32(len(s.pages))*pageSize {
		s.pages = append(s.pages, new([pageSize]record))
	}
	s.used++
	return s.used - 1
}

func (s *slab) release(i uint32) {
	*s.at(i) = record{next: s.free}
	s.free = i + 1
}
