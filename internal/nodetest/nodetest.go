// Package nodetest runs whole nodes on the in-memory network, for tests of packages that
// use the node's exported API.
//
// Node number n has the address 10.n>>8.n.1. Start opens a node without contacts, Boot gives
// it DHT bootstrap nodes, and Ring starts a private DHT. Everything ends with the test. The
// package is for tests with fake time (testing/synctest).
package nodetest

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// Addr returns the address of node num.
func Addr(num int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(num >> 8), byte(num), 1}) }

// AddrPort returns the address and port of node num.
func AddrPort(num int) netip.AddrPort { return netip.AddrPortFrom(Addr(num), node.DefaultPort) }

// Node is a node on a host of the simulated network. It records its events.
type Node struct {
	*node.Node
	Host  *simnet.Host
	State string // its state directory

	t    testing.TB
	once sync.Once

	mu     sync.Mutex
	sub    *node.Subscription
	events []node.Event // received from sub so far
}

// Start opens node num, which ends with the test.
func Start(t testing.TB, n *simnet.Net, num int, opts ...func(*node.Config)) *Node {
	t.Helper()
	r := &Node{t: t, Host: n.Host(Addr(num))}
	cfg := node.Config{State: t.TempDir(), Bootstrap: []string{}}
	for _, o := range opts {
		o(&cfg)
	}
	r.State = cfg.State
	var err error
	if cfg.Network, err = r.Host.Open(node.DefaultPort); err != nil {
		t.Fatal(err)
	}
	if r.Node, err = node.Open(cfg); err != nil {
		t.Fatal(err)
	}
	r.sub = r.Subscribe()
	t.Cleanup(r.Close)
	return r
}

// Close closes the node. It may be called more than once.
func (r *Node) Close() {
	r.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.Node.Close(ctx); err != nil {
			r.t.Error("closing:", err)
		}
	})
}

// Boot is an option of Start that sets the bootstrap nodes.
func Boot(nums ...int) func(*node.Config) {
	return func(c *node.Config) {
		for _, n := range nums {
			c.Bootstrap = append(c.Bootstrap, AddrPort(n).String())
		}
	}
}

// State is an option of Start that sets the state directory.
func State(dir string) func(*node.Config) { return func(c *node.Config) { c.State = dir } }

// Ring starts a private DHT of the nodes 100, 101, ...
func Ring(t testing.TB, n *simnet.Net, size int) {
	for i := range size {
		Start(t, n, 100+i, Boot(100+i/2))
	}
	time.Sleep(30 * time.Second)
}

// Events returns the events of a kind up to now.
func (r *Node) Events(k node.EventKind) (found []node.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, r.sub.Take()...)
	for _, e := range r.events {
		if e.Kind == k {
			found = append(found, e)
		}
	}
	return found
}

// Await waits for the first event of a kind.
func (r *Node) Await(k node.EventKind, limit time.Duration) node.Event {
	r.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		if found := r.Events(k); len(found) > 0 {
			return found[0]
		}
		if time.Now().After(end) {
			r.t.Fatalf("no event of kind %d within %v", k, limit)
		}
	}
}

// Warnings returns all warnings up to now in one string.
func (r *Node) Warnings() string {
	var all []string
	for _, e := range r.Events(node.Warning) {
		all = append(all, e.Err.Error())
	}
	return strings.Join(all, "\n")
}

// Wait waits for a channel to be closed.
func Wait(t testing.TB, c <-chan struct{}, limit time.Duration, what string) {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
		t.Fatalf("not within %v: %s", limit, what)
	}
}

// Until waits until a condition holds.
func Until(t testing.TB, limit time.Duration, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %v: %s", limit, what)
		}
	}
}

// Site creates a folder of files with random content.
func Site(t testing.TB, files int) string {
	dir := filepath.Join(t.TempDir(), "site")
	for i := range files {
		filetest.Write(t, filepath.Join(dir, fmt.Sprint("d", i%3), fmt.Sprint("page ", i)), filetest.RandomBytes(fmt.Sprint(i), 20_000+i))
	}
	return dir
}
