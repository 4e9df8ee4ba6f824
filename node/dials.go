package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/await"
	"seedbed/internal/netx"
)

// dialGate limits the dials of all torrents together, so that the node cannot be used to
// attack a third party. At most Config.DialRate dials start in a second, and at most
// Config.HalfOpen are pending at a time. Unproven addresses (known only from the DHT or
// PEX) of one IP address are dialled one at a time, with pauses until one succeeds.
type dialGate struct {
	halfOpen chan struct{} // one value for each pending dial

	mu    sync.Mutex
	begun []time.Time // a ring of the last DialRate dials; some may be in the future
	next  int         // index of the oldest in begun
	hosts map[netip.Addr]*dialedHost
}

// dialedHost is an IP address with unproven addresses that were dialled recently.
type dialedHost struct {
	turn  chan struct{} // holds one while a dial is pending
	users int           // dials that hold or wait for turn
	fails int           // consecutive failed dials
	next  time.Time     // earliest time of the next dial
}

const (
	// unprovenPause is the pause after a failed dial to an unproven address. It
	// doubles with each consecutive failure, up to unprovenPauseMax.
	unprovenPause    = time.Second
	unprovenPauseMax = 30 * time.Second
	// unprovenWait is the time that a dial waits for its turn at such a host. Then the
	// torrent dials another address.
	unprovenWait = 3 * time.Second
	// maxDialedHosts is the number of hosts above which unused hosts whose pause is over
	// are dropped.
	maxDialedHosts = 4096
)

// errBusyHost is the error if other dials to the host take too long.
var errBusyHost = errors.New("other addresses of this host are being dialled")

func (g *dialGate) init(cfg *Config) {
	g.hosts = make(map[netip.Addr]*dialedHost)
	g.resize(cfg.HalfOpen, cfg.DialRate)
}

// resize changes the limits. Dials that wait for the old limit keep waiting for it. They do
// get their turn, because the dials that are pending end.
func (g *dialGate) resize(halfOpen, rate int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if halfOpen != cap(g.halfOpen) {
		g.halfOpen = make(chan struct{}, halfOpen)
	}
	if rate != len(g.begun) {
		// The dials of the last second still count.
		last := append(slices.Clone(g.begun[g.next:]), g.begun[:g.next]...)
		g.begun, g.next = make([]time.Time, rate), 0
		copy(g.begun[max(0, rate-len(last)):], last[max(0, len(last)-rate):])
	}
}

// enter waits until a dial may start. The caller calls leave when the dial has ended;
// connected says whether it succeeded.
func (g *dialGate) enter(ctx context.Context, to netip.Addr, unproven bool) (leave func(connected bool), err error) {
	leaveHost := func(bool) {}
	if unproven {
		if leaveHost, err = g.enterHost(ctx, to); err != nil {
			return nil, err
		}
	}
	g.mu.Lock()
	halfOpen := g.halfOpen // resize replaces it
	g.mu.Unlock()
	select {
	case halfOpen <- struct{}{}:
	case <-ctx.Done():
		leaveHost(true) // the host has not failed
		return nil, ctx.Err()
	}
	leave = func(connected bool) {
		<-halfOpen
		leaveHost(connected)
	}
	if err := await.Sleep(ctx, time.Until(g.reserve())); err != nil {
		leave(true)
		return nil, err
	}
	return leave, nil
}

// reserve reserves the next dial and returns the time at which it may start, such that at
// most DialRate dials start in any second.
func (g *dialGate) reserve() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	at := time.Now()
	if free := g.begun[g.next].Add(time.Second); free.After(at) {
		at = free
	}
	g.begun[g.next] = at
	g.next = (g.next + 1) % len(g.begun)
	return at
}

// enterHost waits until an unproven address of the host may be dialled.
func (g *dialGate) enterHost(ctx context.Context, ip netip.Addr) (leave func(connected bool), err error) {
	ip = addrs.Host(ip)
	g.mu.Lock()
	h := g.hosts[ip]
	if h == nil {
		g.forgetRested()
		h = &dialedHost{turn: make(chan struct{}, 1)}
		g.hosts[ip] = h
	}
	h.users++
	g.mu.Unlock()
	ctx, cancel := context.WithTimeoutCause(ctx, unprovenWait, errBusyHost)
	defer cancel()
	select {
	case h.turn <- struct{}{}:
	case <-ctx.Done():
		g.leaveHost(h, nil)
		return nil, context.Cause(ctx)
	}
	g.mu.Lock()
	next := h.next
	g.mu.Unlock()
	if await.Sleep(ctx, time.Until(next)) != nil {
		<-h.turn
		g.leaveHost(h, nil)
		return nil, context.Cause(ctx)
	}
	return func(connected bool) {
		g.leaveHost(h, &connected)
		<-h.turn
	}, nil
}

// leaveHost records that a dial to a host has ended. connected is nil if the dial was
// not made.
func (g *dialGate) leaveHost(h *dialedHost, connected *bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	h.users--
	switch {
	case connected == nil:
	case *connected:
		h.fails, h.next = 0, time.Time{}
	default:
		h.next = time.Now().Add(min(unprovenPause<<min(h.fails, 10), unprovenPauseMax))
		h.fails++
	}
}

// forgive forgets the failed dials, because they may be due to our own network.
func (g *dialGate) forgive() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, h := range g.hosts {
		h.fails, h.next = 0, time.Time{}
	}
}

// forgetRested drops unused hosts whose pause is over if the map is full. The caller holds
// mu.
func (g *dialGate) forgetRested() {
	if len(g.hosts) < maxDialedHosts {
		return
	}
	now := time.Now()
	for ip, h := range g.hosts {
		if h.users == 0 && now.After(h.next) {
			delete(g.hosts, ip)
		}
	}
}

// errBlocked is the error for an address on the user's blocklist, errPartner the one for that of another node of the fleet.
var (
	errBlocked = errors.New("on the blocklist")
	errPartner = errors.New("another node of the fleet, which reads the same objects")
)

// dialer dials for all torrents.
type dialer struct{ n *Node }

var _ netx.Dialer = dialer{}

// Admit waits until a torrent may dial; see swarm.Config.
func (d dialer) Admit(ctx context.Context, to netip.AddrPort, unproven bool) (leave func(connected bool), err error) {
	if d.n.isBlocked(to.Addr()) {
		return nil, errBlocked
	}
	return d.n.budget.dials.enter(ctx, to.Addr(), unproven)
}

// admit is dialer.Admit for a torrent, which does not dial redundant peers.
func (r *run) admit(ctx context.Context, to netip.AddrPort, unproven bool) (leave func(connected bool), err error) {
	if r.t.isRedundant(to) {
		return nil, errPartner
	}
	return dialer{r.t.node}.Admit(ctx, to, unproven)
}

func (d dialer) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d.n.evidence.contacted(to.Addr())
	return retry(ctx, &d.n.paths, func(ctx context.Context) (net.Conn, error) {
		if !d.n.cfg.UTP || netx.IsNamed(to.Addr()) { // the answers to datagrams would come from an address that we do not know
			return d.n.net.Dial(ctx, to)
		}
		return d.n.transports.dial(ctx, to)
	})
}

// HungUp makes the next dial of the peer begin with the other transport; see swarm.Config.
func (d dialer) HungUp(peer netip.AddrPort) {
	if d.n.cfg.UTP {
		d.n.transports.hungUp(peer)
	}
}

// isPrivateNetwork reports whether the node is in a private network: it listens only on
// private and loopback addresses, or all its bootstrap addresses are private. The limits
// that protect third parties then do not apply to private addresses.
func (n *Node) isPrivateNetwork() bool {
	if n.dht != nil && n.dht.IsPrivate() {
		return true
	}
	all := n.net.Addrs()
	for _, a := range all {
		if !addrs.IsLocal(a.Addr()) {
			return false
		}
	}
	return len(all) > 0
}
