package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"seedbed/internal/addrs"
	"seedbed/internal/netx"
	"seedbed/internal/utpconn"
)

const (
	// dialLead is the time that TCP, or uTP if it worked last, has for itself. It is longer
	// than most round trips, so most peers get one attempt.
	dialLead = 250 * time.Millisecond
	// localDialLead is the time after which TCP in a local network counts as failed.
	localDialLead = 3 * time.Second
	// utpAfterTCP is how long uTP may take after TCP has failed, so that dead addresses do not
	// hold dials. localUTPAfterTCP is the same in a local network, where an answer comes at
	// once.
	utpAfterTCP      = 3 * time.Second
	localUTPAfterTCP = time.Second
	// maxUTPPeers is the number of peers remembered as reached over uTP.
	maxUTPPeers = 4096
)

// transports are the two ways to reach a peer.
type transports struct {
	tcp netx.Dialer
	utp *utpconn.Transport
	// overUTP holds the addresses that are dialed over uTP first, because it worked last or
	// because TCP led to no handshake.
	overUTP *lru.Cache[netip.AddrPort, struct{}]
}

// UsesUTP reports whether the node makes and accepts connections over uTP (BEP 29).
func (n *Node) UsesUTP() bool { return n.cfg.UTP }

// openTransports starts uTP on the UDP sockets. If uTP is disabled, they refuse it.
func (n *Node) openTransports() {
	cache, err := lru.New[netip.AddrPort, struct{}](maxUTPPeers)
	if err != nil {
		panic(err) // the size is positive
	}
	n.transports = transports{tcp: n.net, overUTP: cache, utp: utpconn.New(utpconn.Config{
		Sockets: n.net.UDP(), Blocked: n.isBlocked, RefuseIncoming: !n.cfg.UTP,
	})}
}

// connected is the result of a dial over one transport.
type connected struct {
	c   net.Conn
	err error
	utp bool
}

// dial connects to a peer over TCP or uTP, whichever answers first. TCP has a lead, unless
// uTP worked last. In a local network uTP is tried only if TCP has failed: there it is
// slower, and nothing needs to be spared. If both fail, the error is that of TCP, because
// routers and firewalls drop more of uTP.
func (t *transports) dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	results := make(chan connected, 2)
	pending, firstUTP, secondBegun := 0, t.overUTP.Contains(to), false
	begin := func(utp bool, limit time.Duration) {
		pending++
		go func() { results <- t.dialOver(ctx, to, utp, limit) }()
	}
	defer func() {
		cancel()
		for range pending { // it was too late
			if r := <-results; r.err == nil {
				r.c.Close()
			}
		}
	}()
	begin(firstUTP, 0)
	local, leadTime := addrs.IsLocal(to.Addr()), dialLead
	if local && !firstUTP {
		leadTime = localDialLead
	}
	lead := time.NewTimer(leadTime)
	defer lead.Stop()
	var failed error
	for {
		select {
		case <-lead.C:
			if !secondBegun {
				begin(!firstUTP, 0)
				secondBegun = true
			}
		case r := <-results:
			pending--
			if r.err == nil {
				t.remember(to, r.utp)
				return r.c, nil
			}
			if !r.utp || failed == nil {
				failed = r.err
			}
			isFinal := errors.Is(r.err, netx.ErrSelf) || errors.Is(r.err, netx.ErrNoFamily) || ctx.Err() != nil
			switch {
			case pending == 0 && (secondBegun || isFinal):
				return nil, failed
			case !secondBegun:
				limit := time.Duration(0)
				if !r.utp {
					limit = utpAfterTCP
					if local {
						limit = localUTPAfterTCP
					}
				}
				begin(!firstUTP, limit)
				secondBegun = true
			}
		}
	}
}

// dialOver dials over one transport. A limit of 0 is none.
func (t *transports) dialOver(ctx context.Context, to netip.AddrPort, utp bool, limit time.Duration) connected {
	if limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, limit)
		defer cancel()
	}
	d := t.tcp
	if utp {
		d = t.utp
	}
	c, err := d.Dial(ctx, to)
	return connected{c, err, utp}
}

// hungUp makes the next dial of a peer begin with the other transport: the peer has accepted
// a connection and has ended it before the handshake. libtorrent does so with TCP if it is set
// to uTP only.
func (t *transports) hungUp(peer netip.AddrPort) { t.remember(peer, !t.overUTP.Contains(peer)) }

// remember records which transport worked.
func (t *transports) remember(to netip.AddrPort, utp bool) {
	if utp {
		t.overUTP.Add(to, struct{}{})
	} else {
		t.overUTP.Remove(to)
	}
}
