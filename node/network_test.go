package node

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
)

func TestIsPrivateNetwork(t *testing.T) {
	names := map[string][]netip.Addr{
		"nas.lan":        {netip.MustParseAddr("192.168.1.5"), netip.MustParseAddr("fd00::5")},
		"router.example": {netip.MustParseAddr("8.8.8.8")},
		"both.example":   {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("8.8.8.8")},
	}
	resolve := func(_ context.Context, host string) ([]netip.Addr, error) {
		if as := names[host]; as != nil {
			return as, nil
		}
		return nil, errors.New("no such host")
	}
	for _, c := range []struct {
		hosts []string
		want  bool
	}{
		{nil, false},
		{[]string{"192.168.1.5:6881"}, true},
		{[]string{"8.8.8.8:6881"}, false},
		{[]string{"nas.lan:6881"}, true},
		{[]string{"nas.lan:6881", "10.1.1.1:6881"}, true},
		{[]string{"nas.lan:6881", "gone.lan:6881"}, true},
		{[]string{"10.1.1.1:6881", "gone.lan:6881"}, true},
		{[]string{"gone.lan:6881"}, false},
		{[]string{"router.example:6881"}, false},
		{[]string{"router.example:6881", "10.1.1.1:6881"}, false},
		{[]string{"nas.lan:6881", "8.8.8.8:6881"}, false},
		{[]string{"both.example:6881"}, false},
		{PublicBootstrap, false},
	} {
		if got := IsPrivateNetwork(t.Context(), c.hosts, resolve); got != c.want {
			t.Errorf("%q: %v", c.hosts, got)
		}
	}
}

// A node with a public address, whose bootstrap host name is in the local network, finds
// the nodes there.
func TestAHostNameOfAPrivateNetworkIsEnough(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(5, simnet.Link{Delay: ms})
		ring(t, n, 8)
		a := startAt(t, n, publicAt(1, 1), resolver(map[string]netip.Addr{"nas.lan": addr(100)}), func(c *Config) { c.Bootstrap = []string{"nas.lan:6881"} })
		time.Sleep(time.Minute)
		if k := a.DHTNodes(); k < 2 {
			t.Errorf("%d nodes known", k)
		}
	})
}

// Without a network, a torrent reports within seconds what failed.
func TestNoNetworkIsReported(t *testing.T) {
	for name, c := range map[string]struct {
		hosts []string
		want  LookupKind
	}{
		"no DNS":    {[]string{"broken.example:6881"}, LookupNoDNS},
		"no answer": {[]string{"10.9.9.9:6881"}, LookupNoAnswer},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(6, simnet.Link{Delay: ms})
				spec, _ := folder(t, ShareOptions{}, small)
				r := start(t, n, 1, resolver(nil), func(c2 *Config) { c2.Bootstrap = c.hosts })
				tor := r.add(Spec{Link: withPeers(spec), Dir: t.TempDir()})
				time.Sleep(joinTimeout + time.Second)
				if l := tor.Snapshot().Reason.Lookup; l.Kind != c.want {
					t.Errorf("%v, want %v", l.Kind, c.want)
				}
			})
		})
	}
}

// Once we are announced, the DHT returns our own address too. A node that listens on all
// addresses knows those of its interfaces and does not count itself as a peer.
func TestANodeThatListensOnAllAddressesKnowsItself(t *testing.T) {
	n, err := Open(Config{State: t.TempDir(), Listen: ":0", Bootstrap: []string{}, PortMap: PortMapOff, Settings: Settings{NoLSD: true}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context())
	port := n.net.Port()
	ip := netip.MustParseAddr("127.0.0.1")
	other := netip.AddrPortFrom(ip, port^1)
	got := n.excludeSelf([]netip.AddrPort{netip.AddrPortFrom(ip, port), other})
	if len(got) != 1 || got[0] != other {
		t.Errorf("%v are peers; our port is %d", got, port)
	}
}
