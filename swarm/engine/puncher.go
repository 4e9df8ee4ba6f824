package engine

import (
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// Limits of hole punching (BEP 55). A relay makes us send packets to an address that it
// names, and a peer that asks us to be its relay makes us and another peer send messages.
// Where a limit is exceeded, the message is ignored. Rates are a second.
const (
	// maxPunches is how many hole punches are in progress.
	maxPunches = 16
	// punchTime is how long the attempt of the other side is expected. It is longer than uTP
	// takes to give up.
	punchTime = 15 * time.Second
	// dialFirst is how long a dial has for itself before a relay is asked. Peers that can be
	// dialed answer within that time. libtorrent does not tell them from others: it never
	// sets the flag of BEP 11 for that.
	dialFirst = time.Second
	// What one relay may make us start without our request, and all relays.
	unaskedRate, unaskedBurst           = 0.5, 10
	unaskedTotalRate, unaskedTotalBurst = 2.0, 20
	// What we request from one relay. It is less than what other clients allow.
	requestRate, requestBurst = 0.5, 10
	// maxRequests is how many requests are remembered, each for requestTime.
	maxRequests = 64
	requestTime = 20 * time.Second
	// maxLate is how many dials are watched to request a hole punch.
	maxLate = 64
	// As a relay: what one peer may request, how often one peer is told to connect, and both
	// for all peers.
	relayRate, relayBurst           = 1.0, 20
	targetRate, targetBurst         = 1.0, 20
	relayTotalRate, relayTotalBurst = 20.0, 100
)

// puncher limits hole punches, and knows which are in progress.
type puncher struct {
	pending  []punch
	requests []punchRequest
	late     []lateDial // the earliest first
	unasked  rate.Bucket
	relays   rate.Bucket
	counts   PunchCounts
}

// punch is a hole punch in progress.
type punch struct {
	addr  netip.AddrPort
	until mono.Time
}

// punchRequest is a rendezvous message that we have sent to a relay.
type punchRequest struct {
	relay Conn
	addr  netip.AddrPort
	until mono.Time
}

// lateDial is a dial after which a hole punch is requested, unless it succeeds before.
type lateDial struct {
	addr netip.AddrPort
	at   mono.Time
}

// punchPeer holds the limits of one peer.
type punchPeer struct {
	requests, unasked, relays, target rate.Bucket
}

func newPuncher(now mono.Time) puncher {
	return puncher{
		unasked: rate.NewBucket(now, unaskedTotalRate, unaskedTotalBurst),
		relays:  rate.NewBucket(now, relayTotalRate, relayTotalBurst),
	}
}

// join prepares the limits of a new peer.
func (u *puncher) join(now mono.Time, p *punchPeer) {
	p.requests = rate.NewBucket(now, requestRate, requestBurst)
	p.unasked = rate.NewBucket(now, unaskedRate, unaskedBurst)
	p.relays = rate.NewBucket(now, relayRate, relayBurst)
	p.target = rate.NewBucket(now, targetRate, targetBurst)
}

// watchDial makes takeLate return addr after dialFirst.
func (u *puncher) watchDial(now mono.Time, addr netip.AddrPort) {
	if len(u.late) < maxLate && !slices.ContainsFunc(u.late, func(d lateDial) bool { return d.addr == addr }) {
		u.late = append(u.late, lateDial{addr, now.Add(dialFirst)})
	}
}

// takeLate returns the address of a watched dial whose time is over, once.
func (u *puncher) takeLate(now mono.Time) (addr netip.AddrPort, ok bool) {
	if u.deadline() > now {
		return netip.AddrPort{}, false
	}
	addr = u.late[0].addr
	u.late = slices.Delete(u.late, 0, 1)
	return addr, true
}

// deadline returns when takeLate has something to return.
func (u *puncher) deadline() mono.Time {
	if len(u.late) == 0 {
		return mono.Never
	}
	return u.late[0].at
}

// request reports whether p may be asked for a hole punch to addr, and records the request.
func (u *puncher) request(now mono.Time, p *punchPeer, relay Conn, addr netip.AddrPort) bool {
	u.requests = slices.DeleteFunc(u.requests, func(r punchRequest) bool { return r.until <= now })
	if len(u.requests) >= maxRequests || !p.requests.Take(now, 1) {
		return false
	}
	u.requests = append(u.requests, punchRequest{relay, addr, now.Add(requestTime)})
	return true
}

// refused ends the request to a relay for addr, and reports whether there was one.
func (u *puncher) refused(now mono.Time, relay Conn, addr netip.AddrPort) bool {
	n := len(u.requests)
	u.requests = slices.DeleteFunc(u.requests, func(r punchRequest) bool {
		return r.relay == relay && r.addr == addr && r.until > now
	})
	return len(u.requests) < n
}

// begin reports whether a hole punch to addr, of which a relay has told us, may begin, and
// records it. Limits apply unless it answers a request for the host of addr: the port may
// differ, because a relay names the one that it sees. A request is answered once.
func (u *puncher) begin(now mono.Time, p *punchPeer, relay Conn, addr netip.AddrPort) bool {
	u.pending = slices.DeleteFunc(u.pending, func(h punch) bool { return h.until <= now })
	if len(u.pending) >= maxPunches || u.isPending(now, addr) {
		return false
	}
	request := slices.IndexFunc(u.requests, func(r punchRequest) bool {
		return r.relay == relay && r.addr.Addr() == addr.Addr() && r.until > now
	})
	if request >= 0 {
		u.requests = slices.Delete(u.requests, request, request+1)
	} else if !p.unasked.Take(now, 1) || !u.unasked.Take(now, 1) {
		return false
	}
	u.pending = append(u.pending, punch{addr, now.Add(punchTime)})
	u.counts.Begun++
	return true
}

// isPending reports whether a hole punch to addr is in progress.
func (u *puncher) isPending(now mono.Time, addr netip.AddrPort) bool {
	return slices.ContainsFunc(u.pending, func(h punch) bool { return h.addr == addr && h.until > now })
}

// end ends the hole punch to addr.
func (u *puncher) end(addr netip.AddrPort) {
	u.pending = slices.DeleteFunc(u.pending, func(h punch) bool { return h.addr == addr })
}

// mayRelay reports whether we may act on a rendezvous message of p.
func (u *puncher) mayRelay(now mono.Time, p *punchPeer) bool {
	return p.relays.Take(now, 1) && u.relays.Take(now, 1)
}

// relay reports whether the peer that another one asks for may be told to connect to it, and counts it.
func (u *puncher) relay(now mono.Time, target *punchPeer) bool {
	if !target.target.Take(now, 1) {
		return false
	}
	u.counts.Relayed++
	return true
}

// connected counts a connection that a hole punch has made.
func (u *puncher) connected() { u.counts.Connected++ }
