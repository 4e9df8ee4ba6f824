package netx

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"seedbed/internal/sockstest"
)

func openProxy(t *testing.T, s *sockstest.Server) *ProxyHost {
	t.Helper()
	h, err := OpenProxy(Config{Outbound: Outbound{Proxy: s.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// The proxy receives the name of a peer, not an address, and the port of each dial.
func TestTheProxyConnectsToNamedPeers(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := sockstest.Start(t, &sockstest.Server{Hosts: map[string]netip.Addr{"peer.example": netip.MustParseAddr("127.0.0.1")}})
	h := openProxy(t, s)
	port := addrPort(l.Addr()).Port()
	at, err := h.Named("Peer.example", port)
	if err != nil || !IsNamed(at.Addr()) || at.Port() != port {
		t.Fatalf("%v, %v", at, err)
	}
	c, err := h.Dial(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if RemoteAddr(c) != at {
		t.Errorf("connected to %v, want %v", RemoteAddr(c), at)
	}
	if want := fmt.Sprintf("peer.example:%d", port); !slices.Contains(s.Dialled(), want) {
		t.Errorf("the proxy dialled %v, want %s", s.Dialled(), want)
	}
	if again, _ := h.Named("peer.EXAMPLE", port); again != at {
		t.Errorf("%v for the same name, %v before", again, at)
	}
	if other, _ := h.Named("other.example", port); other == at {
		t.Errorf("%v for two names", at)
	}
}

// An address that stands for no name is not sent to the proxy.
func TestUnknownNamesAreNotDialled(t *testing.T) {
	s := sockstest.Start(t, &sockstest.Server{})
	h := openProxy(t, s)
	if _, err := h.Dial(t.Context(), netip.MustParseAddrPort("[100:0:0:1::1]:6881")); !errors.Is(err, errForgotten) {
		t.Errorf("%v", err)
	}
	for _, name := range []string{"localhost", "nas.local", "127.1", "printer", "", strings.Repeat("a.", 200) + "example"} {
		if a, err := h.Named(name, 6881); err == nil {
			t.Errorf("%q is accepted as %v", name, a)
		}
	}
	if d := s.Dialled(); len(d) > 0 {
		t.Errorf("the proxy dialled %v", d)
	}
}

// However many names links have, no more than maxNamed are kept, and these are the latest.
func TestNamesAreBounded(t *testing.T) {
	n := newNames()
	var all []netip.Addr
	for i := range 2 * maxNamed {
		all = append(all, n.add(fmt.Sprintf("%d.example", i)))
	}
	if n.hosts.Len() != maxNamed {
		t.Errorf("%d names are kept", n.hosts.Len())
	}
	for i, ip := range all {
		if _, ok := n.of(ip); ok != (i >= maxNamed) {
			t.Fatalf("name %d is known: %v", i, ok)
		}
	}
}
