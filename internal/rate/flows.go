package rate

import (
	"net/netip"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/internal/mono"
)

// FlowTime is how long a home router remembers a UDP flow after its last packet: Linux'
// nf_conntrack_udp_timeout. RFC 4787 requires two minutes or more, which routers with
// little memory do not provide.
const FlowTime = 30 * time.Second

// Flows is the set of addresses to which we recently sent packets. Each occupies an entry in
// the connection table of the router. The least recently used one expires first.
type Flows struct {
	open  *simplelru.LRU[netip.AddrPort, mono.Time] // nil if not limited
	limit int
}

// NewFlows allows limit flows at a time. A negative limit means no limit.
func NewFlows(limit int) Flows {
	if limit < 0 {
		return Flows{}
	}
	// Flows that are opened despite the limit are bounded too.
	open, err := simplelru.NewLRU[netip.AddrPort, mono.Time](2*max(limit, 1), nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return Flows{open, limit}
}

// Allows reports whether another flow may be opened by a caller that may use this share (0 to
// 1) of the flows.
func (f *Flows) Allows(now mono.Time, share float64) bool {
	if f.open == nil {
		return true
	}
	f.expire(now)
	return float64(f.open.Len()) < share*float64(f.limit)
}

// Known reports whether there is a flow to the address, so that a packet to it opens no
// new one.
func (f *Flows) Known(now mono.Time, to netip.AddrPort) bool {
	if f.open == nil {
		return true
	}
	f.expire(now)
	return f.open.Contains(to)
}

// Use records that a packet is sent to the address.
func (f *Flows) Use(now mono.Time, to netip.AddrPort) {
	if f.open != nil {
		f.expire(now)
		f.open.Add(to, now)
	}
}

// Next returns when the next flow expires, or mono.Never if no flow is open.
func (f *Flows) Next() mono.Time {
	if f.open == nil {
		return mono.Never
	}
	_, used, ok := f.open.GetOldest()
	if !ok {
		return mono.Never
	}
	return used.Add(FlowTime)
}

// Len returns the number of flows.
func (f *Flows) Len() int {
	if f.open == nil {
		return 0
	}
	return f.open.Len()
}

func (f *Flows) expire(now mono.Time) {
	for f.Next() <= now {
		f.open.RemoveOldest()
	}
}
