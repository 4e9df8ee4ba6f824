package utpconn

import (
	"net/netip"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/internal/addrs"
	"seedbed/internal/mono"
)

const (
	maxKnownMTUs = 4096
	// mtuLifetime is how long the length of packets to a host is remembered. Paths change,
	// for example when a VPN starts.
	mtuLifetime = 30 * time.Minute
)

// knownMTU is the length of the longest packet that reached a host.
type knownMTU struct {
	size int
	at   mono.Time
}

func newMTUs() *simplelru.LRU[netip.Addr, knownMTU] {
	l, err := simplelru.NewLRU[netip.Addr, knownMTU](maxKnownMTUs, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return l
}

// pathMTU returns what is known of the path to a host in bytes of UDP payload, or 0. The
// caller holds mu.
func (t *Transport) pathMTU(now mono.Time, ip netip.Addr) int {
	known, ok := t.mtus.Get(addrs.Host(ip))
	if !ok || now.Sub(known.at) > mtuLifetime {
		return 0
	}
	return known.size
}

// rememberMTU records the result of a connection's path MTU discovery.
func (t *Transport) rememberMTU(now mono.Time, ip netip.Addr, size int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mtus.Add(addrs.Host(ip), knownMTU{size, now})
}

// ForgetPaths forgets what is known of the paths to all hosts, because this machine now reaches
// them by another one.
func (t *Transport) ForgetPaths() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mtus.Purge()
}
