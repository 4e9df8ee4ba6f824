package swarm

import (
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/internal/addrs"
)

// What is fetched from elsewhere costs money, and a peer that asks for a block of a piece makes us fetch the piece. So a peer that
// makes us fetch much more than it takes gets only what is here. This is counted by address, for all torrents, so that a peer does
// not get rid of its account by connecting again.

const (
	// fetchedFree and fetchedFactor limit what the peers of an address make us fetch, in bytes: fetchedFree or 4 pieces, and
	// fetchedFactor times what was sent to them. A peer may take as little as one block of every piece of 1 MiB, because it has the
	// others from other peers.
	fetchedFree   = 64 << 20
	fetchedFactor = 64
	// maxAccounts is how many addresses have accounts. An account that is not used for accountTime is forgotten.
	maxAccounts = 4096
	accountTime = time.Hour
)

// fetchAccounts are the accounts of a node, by the network of a peer. The zero value has none.
type fetchAccounts struct {
	mu   sync.Mutex
	list *simplelru.LRU[netip.Prefix, *fetchAccount]
}

// fetchAccount counts what the peers of an address have cost. It may be used concurrently.
type fetchAccount struct {
	fetched atomic.Int64 // bytes of pieces that were not here when a peer asked for them
	sent    atomic.Int64 // bytes that were sent to the peers
	used    time.Time    // guarded by fetchAccounts.mu
}

// of returns the account of an address.
func (l *fetchAccounts) of(ip netip.Addr) *fetchAccount {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.list == nil {
		l.list, _ = simplelru.NewLRU[netip.Prefix, *fetchAccount](maxAccounts, nil) // fails only for sizes below 1
	}
	of, now := addrs.ClientNet(ip), time.Now()
	a, ok := l.list.Get(of)
	if !ok || now.Sub(a.used) > accountTime {
		a = new(fetchAccount)
		l.list.Add(of, a)
	}
	a.used = now
	return a
}

// mayFetch reports whether one more piece may be fetched for the address.
func (a *fetchAccount) mayFetch(pieceLength int64) bool {
	return a.fetched.Load() <= max(fetchedFree, 4*pieceLength)+fetchedFactor*a.sent.Load()
}
