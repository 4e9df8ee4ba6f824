package dht

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"seedbed/internal/netx"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newNode(t testing.TB, cfg Config) *DHT {
	t.Helper()
	d, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close() })
	return d
}

// found collects the peers of a lookup.
type found struct {
	mu    sync.Mutex
	peers []netip.AddrPort
	first time.Duration
	begun time.Time
	any   chan struct{}
}

func newFound() *found { return &found{begun: time.Now(), any: make(chan struct{})} }

func (f *found) add(_ netip.AddrPort, ps []netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.peers) == 0 {
		f.first = time.Since(f.begun)
		close(f.any)
	}
	for _, p := range ps {
		if !slices.Contains(f.peers, p) {
			f.peers = append(f.peers, p)
		}
	}
}

// loopback returns the UDP sockets of a port of this machine.
func loopback(t testing.TB, listen string) []*netx.Socket {
	t.Helper()
	h, err := netx.Open(netx.Config{Listen: []string{listen}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h.UDP()
}

func TestAnnounceOnOneFindOnAnother(t *testing.T) {
	for _, local := range []string{"127.0.0.1:0", "[::1]:0"} {
		t.Run(local, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var nodes []*DHT
			var boot []string
			for range 16 {
				conns := loopback(t, local)
				nodes = append(nodes, newNode(t, Config{Conns: conns, Bootstrap: boot}))
				if boot == nil {
					boot = []string{conns[0].LocalAddr().String()}
				}
			}
			for _, n := range nodes[1:] {
				<-n.Ready()
			}
			infohash := randomID()
			as, err := nodes[3].Announce(ctx, infohash, onPort(7777), false, func(netip.AddrPort, []netip.AddrPort) {})
			if err != nil || as.Accepted == 0 || as.Accepted != as.Sent {
				t.Fatalf("announce: %+v, %v", as, err)
			}
			t.Logf("announce %+v", as)
			// A node that has just started finds the peer through its
			// bootstrap node, without waiting for a full table.
			f := newFound()
			conns := loopback(t, local)
			late := newNode(t, Config{Conns: conns, Bootstrap: boot})
			ls, err := late.Lookup(ctx, infohash, f.add)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("lookup %+v; first peer after %v: %v", ls, f.first, f.peers)
			want := netip.AddrPortFrom(conns[0].LocalAddr().Addr(), 7777)
			if len(f.peers) != 1 || f.peers[0] != want {
				t.Fatalf("found %v, want %v", f.peers, want)
			}
			s := late.Stats()
			if s.Lookups != 0 || s.Asked != 0 || s.Made != 1 {
				t.Errorf("stats after the lookup: %+v", s)
			}
		})
	}
}
