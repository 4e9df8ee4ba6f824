package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
	"seedbed/internal/rate"
)

// Limits of the hole punches of all torrents together. They do not wait for their turn as
// dials do, because both sides must send at the same time. What is over a limit fails.
const (
	// punchRate is the number of hole punches a second to all hosts.
	punchRate  = 10
	punchBurst = 30
	// hostPunchRate is the number of hole punches a second to one host: an IPv4 address or an
	// IPv6 /64. Each sends it at most three packets of 20 bytes. Hosts in local networks are
	// not limited, because the peers of a test network share an address.
	hostPunchRate  = 0.05
	hostPunchBurst = 3
	// maxPunchHosts is the number of hosts that are limited separately.
	maxPunchHosts = 4096
)

// errPunchLimit is the error of a hole punch that the limits do not allow.
var errPunchLimit = errors.New("too many hole punches at this time")

// punchGate limits the hole punches of a node, so that relays cannot use it to attack a
// third party.
type punchGate struct {
	epoch time.Time
	mu    sync.Mutex
	all   rate.Bucket
	hosts *rate.Sources
}

func (g *punchGate) init() {
	g.epoch = time.Now()
	g.all = rate.NewBucket(0, punchRate, punchBurst)
	g.hosts = rate.NewSources(hostPunchRate, hostPunchBurst, maxPunchHosts, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64())))
}

// enter reports whether a hole punch to this address may begin now, and counts it.
func (g *punchGate) enter(to netip.Addr) bool {
	now := mono.From(g.epoch, time.Now())
	g.mu.Lock()
	defer g.mu.Unlock()
	// The host comes first: otherwise relays that name one host use up what is for all.
	if !addrs.IsLocal(to) {
		if _, ok := g.hosts.Take(now, rate.SourceOf(addrs.Host(to))); !ok {
			return false
		}
	}
	return g.all.Take(now, 1)
}

// puncher returns the function for swarm.Config.Punch, or nil if the node has no uTP.
func (n *Node) puncher() func(context.Context, netip.AddrPort) (net.Conn, error) {
	if !n.cfg.UTP {
		return nil
	}
	return n.punch
}

// punch connects to a peer that connects to us at the same time (BEP 55).
func (n *Node) punch(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	if n.isBlocked(to.Addr()) {
		return nil, errBlocked
	}
	if !n.budget.punches.enter(to.Addr()) {
		return nil, errPunchLimit
	}
	n.evidence.contacted(to.Addr())
	return n.transports.utp.Dial(ctx, to)
}
