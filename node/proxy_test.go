package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"seedbed/internal/netx"
	"seedbed/internal/sockstest"
)

// seedOnLoopback returns a node that seeds a torrent, its address and the torrent's link.
func seedOnLoopback(t *testing.T) (addr netip.AddrPort, spec Spec) {
	t.Helper()
	n, err := Open(Config{State: t.TempDir(), Listen: "127.0.0.1:0", Bootstrap: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { n.Close(t.Context()) })
	made, _ := folder(t, ShareOptions{}, small)
	tor, err := n.Add(made)
	if err != nil {
		t.Fatal(err)
	}
	<-tor.Done()
	return n.Addrs()[0], made
}

// A node behind a proxy finds a peer in the DHT and downloads from it, and reaches both through the
// proxy only.
func TestANodeBehindAProxy(t *testing.T) {
	addr, made := seedOnLoopback(t)
	s := sockstest.Start(t, &sockstest.Server{User: "me", Password: "secret"})
	n, err := Open(Config{State: t.TempDir(), Bootstrap: []string{addr.String()},
		Outbound: netx.Outbound{Proxy: s.Addr(), Username: "me", Password: "secret"}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context())
	if len(n.Addrs()) != 0 {
		t.Errorf("it listens on %v", n.Addrs())
	}
	tor, err := n.Add(Spec{Link: withPeers(made), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-tor.Done():
	case <-tor.Ended():
		t.Fatal("it ended")
	}
	if !slices.Contains(s.Dialled(), addr.String()) || !slices.Contains(s.Relayed(), addr.String()) {
		t.Errorf("the proxy dialled %v and relayed to %v", s.Dialled(), s.Relayed())
	}
}

// The names of bootstrap hosts are resolved by the proxy.
func TestBootstrapNamesBehindAProxy(t *testing.T) {
	addr, _ := seedOnLoopback(t)
	s := sockstest.Start(t, &sockstest.Server{Hosts: map[string]netip.Addr{"boot.example": addr.Addr()}})
	n, err := Open(Config{State: t.TempDir(), Bootstrap: []string{fmt.Sprintf("boot.example:%d", addr.Port())}, Outbound: netx.Outbound{Proxy: s.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context())
	as, err := BootstrapResolver(n.net, n.cfg.resolve)(t.Context(), "boot.example", addr.Port())
	if err != nil || len(as) != 1 || as[0] != addr.Addr() {
		t.Errorf("%v, %v", as, err)
	}
	if _, err := n.cfg.resolve(t.Context(), "boot.example"); !errors.Is(err, netx.ErrProxyNames) {
		t.Errorf("resolved here: %v", err)
	}
}

// When the resolver has returned an address, datagrams can be sent to it, so that a command that asks once does not
// fail because the association is not there yet.
func TestBootstrapHostsCanBeAskedOnceTheyAreResolved(t *testing.T) {
	addr, _ := seedOnLoopback(t)
	s := sockstest.Start(t, &sockstest.Server{})
	for range 20 {
		h, err := netx.OpenProxy(netx.Config{Outbound: netx.Outbound{Proxy: s.Addr()}})
		if err != nil {
			t.Fatal(err)
		}
		numeric := func(context.Context, string) ([]netip.Addr, error) { return []netip.Addr{addr.Addr()}, nil }
		if _, err := BootstrapResolver(h, numeric)(t.Context(), addr.Addr().String(), addr.Port()); err != nil {
			t.Fatal(err)
		}
		if err := h.UDP()[0].WriteTo([]byte("d"), addr); err != nil {
			t.Fatal(err)
		}
		h.Close()
	}
}

// A peer that a link gives by name is connected to by the proxy, even if it relays no datagrams. The name is
// neither kept for the next run, when there may be no proxy, nor resolved here.
func TestNamedPeersBehindAProxy(t *testing.T) {
	addr, made := seedOnLoopback(t)
	s := sockstest.Start(t, &sockstest.Server{NoUDP: true, Hosts: map[string]netip.Addr{"peer.example": addr.Addr()}})
	state := t.TempDir()
	n, err := Open(Config{State: state, NoDHT: true, UTP: true, Outbound: netx.Outbound{Proxy: s.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context())
	peer := fmt.Sprintf("peer.example:%d", addr.Port())
	link := withPeers(made)
	link.Peers = []string{peer, "nas.local:6881"}
	warnings := n.Subscribe(Warning)
	defer warnings.Close()
	tor, err := n.Add(Spec{Link: link, Dir: t.TempDir(), Persistent: true})
	if err != nil {
		t.Fatal(err)
	}
	select {
	case <-tor.Done():
	case <-tor.Ended():
		t.Fatal("it ended")
	}
	if got := s.Dialled(); !slices.Contains(got, peer) || slices.Contains(got, "nas.local:6881") {
		t.Errorf("the proxy dialled %v", got)
	}
	for {
		<-warnings.Ready()
		if slices.ContainsFunc(warnings.Take(), func(e Event) bool { return strings.Contains(e.Err.Error(), "nas.local") }) {
			break
		}
	}
	n.Close(t.Context())
	if err := fs.WalkDir(os.DirFS(state), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(filepath.Join(state, path))
		if bytes.Contains(b, []byte("[100:")) {
			t.Errorf("%s has %q", path, b)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

// With a proxy that relays no datagrams or refuses the password, the node says so.
func TestAProxyThatCannotBeUsedIsReported(t *testing.T) {
	addr, made := seedOnLoopback(t)
	for name, c := range map[string]struct {
		server *sockstest.Server
		text   string
		want   LookupKind
	}{
		"no UDP":           {&sockstest.Server{NoUDP: true}, "relays no datagrams", LookupNoRelay},
		"a wrong password": {&sockstest.Server{User: "me", Password: "secret"}, "refused the user name or the password", LookupNoProxy},
	} {
		s := sockstest.Start(t, c.server)
		n, err := Open(Config{State: t.TempDir(), Bootstrap: []string{addr.String()}, Outbound: netx.Outbound{Proxy: s.Addr(), Username: "me", Password: "other"}})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close(t.Context())
		warnings := n.Subscribe(Warning)
		defer warnings.Close()
		<-warnings.Ready()
		var f *Fault
		if e := warnings.Take()[0]; !errors.As(e.Err, &f) || !strings.Contains(e.Err.Error(), c.text) || f.Hint() == "" {
			t.Errorf("%s: %v", name, e.Err)
		}
		tor, err := n.Add(Spec{Link: withPeers(made), Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		if l := tor.Snapshot().Reason.Lookup.Kind; l != c.want {
			t.Errorf("%s: %v, want %v", name, l, c.want)
		}
		if got := s.Dialled(); len(got) > 0 {
			t.Errorf("%s: the proxy dialled %v", name, got)
		}
	}
}

// A proxy over a path that is gone does not answer. After a change of the network it is asked over the new one at
// once.
func TestTheProxyIsAskedAgainAfterANetworkChange(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	paths := newFakePaths(addr(1))
	cfg := Config{State: t.TempDir(), NoDHT: true, UTP: true, Outbound: netx.Outbound{Proxy: l.Addr().String()}}
	paths.watch(&cfg)
	n, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context())
	for i := range 2 {
		for range 2 { // an association for each family
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		if i == 0 {
			paths.changes <- netx.Change{Before: pathsVia("eth0", addr(1)), After: pathsVia("eth0", addr(2))}
		}
	}
}
