package rate

import (
	"net/netip"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/internal/mono"
)

// FlowTime is for how long a home router keeps a UDP flow in mind after its last
// packet: Linux' nf_conntrack_udp_timeout. RFC 4787 wants two minutes and more,
// which routers with little memory do not give.
const FlowTime = 30 * time.Second

// Flows is the addresses that we sent something to lately: what a router on the
// way has in its table for us. The least recently used one ends first.
type Flows struct {
	open  *simplelru.LRU[netip.AddrPort, mono.Time] // nil: not limited
	limit int
}

// NewFlows allows limit flows at a time; a negative limit is none.
func NewFlows(limit int) Flows {
	if limit < 0 {
		return Flows{}
	}
	// What is opened in spite of the limit is bounded too.
	open, err := simplelru.NewLRU[netip.AddrPort, mono.Time](2*max(limit, 1), nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return Flows{open, limit}
}

// Room reports whether another flow may be opened by somebody who may use up that
// share of them.
func (f *Flows) Room(now mono.Time, share float64) bool {
	if f.open == nil {
		return true
	}
	f.expire(now)
	return float64(f.open.Len()) < share*float64(f.limit)
}

// Known reports whether there is a flow to the address, so that a packet to it
// opens none.
func (f *Flows) Known(now mono.Time, to netip.AddrPort) bool {
	if f.open == nil {
		return true
	}
	f.expire(now)
	return f.open.Contains(to)
}

// Use notes that a packet is sent there.
func (f *Flows) Use(now mono.Time, to netip.AddrPort) {
	if f.open != nil {
		f.expire(now)
		f.open.Add(to, now)
	}
}

// Next is when the flow that is next to end will have ended; mono.Never if there
// is none.
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

// Len is how many flows there are.
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
