package stream

import (
	"errors"
	"net/netip"
	"sync"
)

var (
	// ErrTooMany is returned by Serve if a gate has no free place.
	ErrTooMany = errors.New("too many files are being read")
	// ErrTooManyOfClient is returned by Serve if the client or its account holds as many places of a
	// gate as it may.
	ErrTooManyOfClient = errors.New("this client reads too many files at the same time")
)

// A Client is who reads a file, for the limits of a Gate.
type Client struct {
	Account string       // all clients with one token share an account
	Net     netip.Prefix // the network of the client; not valid if the account is one client
}

// A Gate limits how many files are served at a time, in all and to each client.
//
// An account may hold half of the places that no other account holds, and a client half of those that
// its account may hold. So neither can keep the others waiting, and the first is not limited to a
// small share for the sake of others that never come.
type Gate struct {
	max int

	mu       sync.Mutex
	served   int
	open     int
	accounts map[string]int // places of accounts that hold any
	clients  map[Client]int // places of clients that hold any
}

// NewGate returns a gate with that many places.
func NewGate(places int) *Gate {
	return &Gate{max: places, accounts: map[string]int{}, clients: map[Client]int{}}
}

// Requests returns the number of requests so far that were let in, and the number of those that are
// open now.
func (g *Gate) Requests() (served, open int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.served, g.open
}

// enter takes a place for a client until leave. Its errors are ErrTooMany and ErrTooManyOfClient.
func (g *Gate) enter(c Client) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	free, account := g.max-g.open, g.accounts[c.Account]
	if free == 0 {
		return ErrTooMany
	}
	// The account may take (free-account)/2 more, rounded up.
	if account >= free || c.Net.IsValid() && g.clients[c] >= (free-account+1)/2 {
		return ErrTooManyOfClient
	}
	g.served++
	g.open++
	g.accounts[c.Account]++
	g.clients[c]++
	return nil
}

// leave frees a place that enter has taken.
func (g *Gate) leave(c Client) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open--
	release(g.accounts, c.Account)
	release(g.clients, c)
}

func release[K comparable](held map[K]int, k K) {
	if held[k]--; held[k] == 0 {
		delete(held, k)
	}
}
