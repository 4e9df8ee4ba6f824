package node

import (
	crand "crypto/rand"
	"math/rand/v2"
	"net/netip"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
	"seedbed/internal/netx"
	"seedbed/internal/rate"
	"seedbed/internal/utp"
)

// Limits of the replies to uTP SYNs. The source of a datagram can be forged. So a host
// whose address is forged receives at most synRate packets of 20 bytes a second from us,
// and no reply is larger than the packet that caused it.
const (
	synRate    = 4 // replies a second to one IPv4 address or IPv6 /64
	synBurst   = 16
	synSources = 4096 // maximum number of sources that are limited separately
	synTotal   = 500  // replies a second to all addresses
)

// synRefuser replies to incoming uTP connections with ST_RESET (BEP 29), on one
// socket. We accept connections over TCP only, and a peer that tries uTP first then switches
// to TCP at once instead of waiting for a timeout.
type synRefuser struct {
	conn    *netx.Socket
	epoch   time.Time
	blocked func(netip.Addr) bool
	sources *rate.Sources
	total   rate.Bucket
	rng     *rand.Rand
	out     []netx.Datagram
	replies []byte
}

// refuseSYNs makes conn refuse incoming uTP connections.
func (n *Node) refuseSYNs(conn *netx.Socket) {
	var seed [32]byte
	crand.Read(seed[:])
	rng := rand.New(rand.NewChaCha8(seed))
	r := &synRefuser{
		conn: conn, epoch: n.epoch, blocked: n.isBlocked, rng: rng,
		sources: rate.NewSources(synRate, synBurst, synSources, rng),
		total:   rate.NewBucket(n.now(), synTotal, synTotal),
		out:     make([]netx.Datagram, 0, netx.BatchLen), replies: make([]byte, 0, netx.BatchLen*utp.HeaderLen),
	}
	conn.Handle(netx.UTP, r.handle)
}

// handle replies to a batch. It replies only to a SYN, never to a reset, so that two
// nodes never reply to each other without end.
func (r *synRefuser) handle(in []netx.Datagram) {
	now := time.Now()
	since := mono.From(r.epoch, now)
	r.out, r.replies = r.out[:0], r.replies[:0]
	for i := range in {
		h, _, err := utp.Parse(in[i].Buf[:in[i].N])
		if err != nil || h.Type != utp.Syn || !r.mayAnswer(since, in[i].Addr) {
			continue
		}
		reset := utp.Refuse(h, uint32(now.UnixMicro()), uint16(r.rng.Uint32()))
		begin := len(r.replies)
		r.replies = reset.Append(r.replies)
		r.out = append(r.out, netx.Datagram{Buf: r.replies[begin:], Addr: in[i].Addr})
	}
	if len(r.out) > 0 {
		_, _ = r.conn.WriteBatch(r.out) // a send error counts as packet loss
	}
}

// mayAnswer reports whether to reply to a SYN from this address, and counts it. No peer
// sends from a port below 1024: such a source is forged to make us send packets to a DNS or
// NTP server.
func (r *synRefuser) mayAnswer(now mono.Time, from netip.AddrPort) bool {
	ip := from.Addr().Unmap()
	if from.Port() < 1024 || !addrs.IsUsable(netip.AddrPortFrom(ip, from.Port()), true) || r.blocked(ip) {
		return false
	}
	if !addrs.IsLocal(ip) { // the peers of a test network share an address
		if _, ok := r.sources.Take(now, rate.SourceOf(ip)); !ok {
			return false
		}
	}
	return r.total.Take(now, 1)
}
