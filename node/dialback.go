package node

import (
	"context"
	crand "crypto/rand"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/rate"
	"seedbed/internal/reachability"
	"seedbed/internal/utpconn"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// Limits on what peers can make us dial. docs/dialback.md states them.
const (
	// minDialBackPort is the lowest port that is dialed: services that are worth an attack have
	// lower ones.
	minDialBackPort = 1024
	// dialBackPause is the time between two dials to one network, and maxDialedBack the number of
	// networks that are remembered for it.
	dialBackPause = 3 * time.Minute
	maxDialedBack = 1024
	// dialBackRate is the number of requests in a minute that are served, after a burst of
	// dialBackBurst, and maxDialBacks how many at a time.
	dialBackRate  = 10
	dialBackBurst = 5
	maxDialBacks  = 4
	// dialBackTime is how long a dial and its handshake may take.
	dialBackTime = 8 * time.Second
)

// dialBacks dials peers that want to know whether they can be reached.
type dialBacks struct {
	n *Node

	mu      sync.Mutex
	last    *lru.Cache[netip.Prefix, time.Time] // when a network was last dialed
	bucket  rate.Bucket
	running int
}

func (d *dialBacks) init(n *Node) {
	last, err := lru.New[netip.Prefix, time.Time](maxDialedBack)
	if err != nil {
		panic(err) // the size is positive
	}
	d.n, d.last, d.bucket = n, last, rate.NewBucket(n.now(), dialBackRate/60., dialBackBurst)
}

// newToken returns a random token.
func newToken() (t id.ID) {
	_, _ = crand.Read(t[:]) // never fails
	return t
}

// request serves the request of a peer to dial it back. It dials only the address from which the peer is
// connected, so that nobody can direct our connections at others.
func (d *dialBacks) request(r *run, conn engine.Conn, from netip.AddrPort, m wire.DialBackMsg) {
	if !d.admit(from.Addr(), m.Port) {
		m.Type, m.Outcome = wire.DialBackResult, wire.DialBackNotTried
		r.swarm.SendDialBack(conn, m)
		return
	}
	to := netip.AddrPortFrom(from.Addr(), m.Port)
	d.n.wg.Go(func() {
		defer d.leave()
		ctx, cancel := context.WithTimeout(d.n.ctx, dialBackTime)
		defer cancel()
		d.dial(ctx, to, m, func(over wire.DialBackTransports, outcome wire.DialBackOutcome) {
			r.swarm.SendDialBack(conn, wire.DialBackMsg{Type: wire.DialBackResult, Transports: over, Outcome: outcome, Token: m.Token})
		})
	})
}

// admit reports whether a peer may be dialed now, and counts it.
func (d *dialBacks) admit(ip netip.Addr, port uint16) bool {
	n := d.n
	if !n.evidence.mayAsk() || port < minDialBackPort || !addrs.IsPublic(ip) || n.isBlocked(ip) || n.isOwn(ip) {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	network, now := reachability.Network(ip), time.Now()
	if last, ok := d.last.Peek(network); ok && now.Sub(last) < dialBackPause || d.running == maxDialBacks || !d.bucket.Take(n.now(), 1) {
		return false
	}
	d.last.Add(network, now)
	d.running++
	return true
}

func (d *dialBacks) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.running--
}

// dial connects to a peer over each transport that it wants, at the same time. It uses another port than
// the one that we listen on: a NAT of the peer lets in what comes from there, because the peer is
// connected to it.
func (d *dialBacks) dial(ctx context.Context, to netip.AddrPort, m wire.DialBackMsg, report func(wire.DialBackTransports, wire.DialBackOutcome)) {
	network, err := d.n.otherPort(to.Addr().Is6())
	if err != nil {
		report(m.Transports, wire.DialBackNotTried)
		return
	}
	defer network.Close()
	utp := utpconn.New(utpconn.Config{Sockets: network.UDP(), RefuseIncoming: true})
	defer utp.Close()
	var wg sync.WaitGroup
	for over, dialer := range map[wire.DialBackTransports]netx.Dialer{wire.DialBackTCP: network, wire.DialBackUTP: utp} {
		if m.Transports&over != 0 {
			wg.Go(func() { report(over, showToken(ctx, dialer, to, m.Token)) })
		}
	}
	wg.Wait()
}

// showToken connects to a peer and exchanges handshakes with the token in place of the infohash.
func showToken(ctx context.Context, by netx.Dialer, to netip.AddrPort, token id.ID) wire.DialBackOutcome {
	c, err := by.Dial(ctx, to)
	if err == nil {
		stop := context.AfterFunc(ctx, func() { c.Close() })
		err = exchangeTokens(c, token)
		stop()
		c.Close()
		if err != nil {
			return wire.DialBackTimedOut
		}
		return wire.DialBackConnected
	}
	switch reason := netx.ReasonOf(err); {
	case ctx.Err() != nil, errors.Is(err, context.DeadlineExceeded):
		return wire.DialBackTimedOut
	case reason == netx.Refused:
		return wire.DialBackRefused
	case reason == netx.Exhausted, reason == netx.Self, reason == netx.Stopped:
		return wire.DialBackNotTried
	}
	return wire.DialBackTimedOut
}

func exchangeTokens(c net.Conn, token id.ID) error {
	if _, err := c.Write(wire.AppendHandshake(nil, wire.Reserved{}, token, NewPeerID())); err != nil {
		return err
	}
	var b [wire.HandshakeLen]byte
	if _, err := io.ReadFull(c, b[:]); err != nil {
		return err
	}
	_, got, _, err := wire.ParseHandshake(b[:])
	if err == nil && got != token {
		err = errors.New("another token")
	}
	return err
}

// takeDialBack handles an incoming connection if it is one that we have asked for, and reports
// whether it is. The first part of its handshake was read.
func (n *Node) takeDialBack(c net.Conn, token id.ID) bool {
	if !n.evidence.dialedBack(token, netx.RemoteAddr(c).Addr(), transportOf(c)) {
		return false
	}
	defer c.Close()
	if c.SetDeadline(time.Now().Add(dialBackTime)) != nil {
		return true
	}
	if _, err := io.CopyN(io.Discard, c, id.Len); err != nil { // its peer id
		return true
	}
	if _, err := c.Write(wire.AppendHandshake(nil, wire.Reserved{}, token, n.peerID)); err == nil {
		_, _ = c.Read(make([]byte, 1)) // until it closes, so that our answer arrives
	}
	return true
}

// otherPort opens a network on a free port and the address of a family that we listen on.
func (n *Node) otherPort(v6 bool) (netx.Network, error) {
	if n.cfg.otherPort != nil {
		return n.cfg.otherPort()
	}
	as := n.net.Addrs()
	i := slices.IndexFunc(as, func(a netip.AddrPort) bool { return a.Addr().Is6() == v6 })
	if i < 0 || n.cfg.Network != nil {
		return nil, netx.ErrNoFamily
	}
	return netx.OpenNetwork(netx.Config{Listen: []string{netip.AddrPortFrom(as[i].Addr(), 0).String()}, Outbound: n.cfg.Outbound, DSCP: n.cfg.DSCP, Logger: n.log})
}
