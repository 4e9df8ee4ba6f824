package announce

import (
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

type state uint8

const (
	idle     state = iota // it waits for the walk
	urgent                // it is in Scheduler.fresh
	visiting              // it is in Scheduler.active
	waiting               // its visit failed: it is in Scheduler.retry
)

// record is the state of one infohash: 88 bytes.
type record struct {
	key       id.ID
	seeds     seeds
	port      uint16
	fails     uint8 // failed visits in a row
	state     state
	announced bool
	seed      bool
	visited   mono.Time // when its last visit began
	since     mono.Time // its last announce, or when it was added
	prev      uint32    // in Scheduler.ages; the record's own number if it is not there
	next      uint32    // in Scheduler.ages, or the next free record
}

// seeds holds the addresses of the closest nodes that an infohash was announced to, at most
// six IPv4 or two IPv6 addresses. The next visit starts there.
type seeds struct {
	b    [36]byte
	n    uint8 // addresses
	size uint8 // bytes of each
}

const maxSeeds = 6

// set stores as many of the addresses as fit. All are of one family.
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

// addrs appends the stored addresses to dst.
func (s *seeds) addrs(dst []netip.AddrPort) []netip.AddrPort {
	for i := range int(s.n) {
		dst = append(dst, addrs.Parse(s.b[i*int(s.size):(i+1)*int(s.size)]))
	}
	return dst
}

const (
	pageSize = 1024 // 88 KiB, a size that the allocator does not round up
	none     = ^uint32(0)
)

// slab holds the records in pages. A record is identified by a small number, and growing
// copies nothing.
type slab struct {
	pages []*[pageSize]record
	used  uint32 // records that were ever in use
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
