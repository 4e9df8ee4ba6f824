package node

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/netx"
	"seedbed/internal/reachability"
	"seedbed/internal/simnet"
)

// fakePaths replaces the watcher of the machine's network.
type fakePaths struct {
	changes chan netx.Change
	now     netx.Paths
}

func newFakePaths(ip netip.Addr) *fakePaths {
	return &fakePaths{changes: make(chan netx.Change), now: pathsVia("eth0", ip)}
}

// pathsVia returns the paths of a machine with one address.
func pathsVia(iface string, ip netip.Addr) netx.Paths {
	l := netx.Local{Prefix: netip.PrefixFrom(ip, 24), Interface: iface}
	return netx.Paths{Internet: [2]netx.Local{l}, Locals: []netx.Local{l}}
}

// watch is an option that makes a node notice what change reports.
func (f *fakePaths) watch(c *Config) {
	c.WatchNetwork = func(ctx context.Context, changed func(netx.Change)) {
		for {
			select {
			case ch := <-f.changes:
				changed(ch)
			case <-ctx.Done():
				return
			}
		}
	}
}

// change reports that the machine has other paths.
func (f *fakePaths) change(after netx.Paths) {
	f.changes <- netx.Change{Before: f.now, After: after}
	f.now = after
	synctest.Wait()
}

// A download goes on within ten seconds after the address of this machine has changed, over TCP and
// over uTP, and the connections over the path before are closed.
func TestADownloadGoesOnFromAnotherAddress(t *testing.T) {
	for name, opts := range map[string][]func(*Config){"TCP": {noDHT}, "uTP": {noDHT, withUTP}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, simnet.Link{Delay: 20 * ms})
				spec, dir := folder(t, ShareOptions{PieceLength: 16 << 10}, map[string]int{"a": 2_000_000})
				a := start(t, n, 1, opts...)
				a.add(spec)
				a.host.Filter(DefaultPort, name == "uTP")
				paths := newFakePaths(addr(2))
				b := start(t, n, 2, append(opts, paths.watch, func(c *Config) { c.DownRate = 50_000 })...)
				to := t.TempDir()
				got := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: to})
				time.Sleep(10 * time.Second)
				for i := range 3 {
					before := b.host.Addr()
					after := addr(200 + i)
					b.host.Readdress(before, after)
					paths.change(pathsVia("eth0", after))
					if at := b.NetworkMoved(false); !at.Equal(time.Now()) || !b.NetworkMoved(true).IsZero() {
						t.Errorf("the network moved at %v", at)
					}
					closed := got.Snapshot()
					if closed.Connected != 0 {
						t.Errorf("%d connections right after the change", closed.Connected)
					}
					time.Sleep(10 * time.Second)
					if s := got.Snapshot(); s.Connected != 1 || s.Downloaded-closed.Downloaded < 50_000 {
						t.Errorf("after 10 s: %d connections, %d bytes more", s.Connected, s.Downloaded-closed.Downloaded)
					}
					e := b.await(NetworkChanged, time.Second)
					if e.Network.Addr != addr(200) || e.Network.Before != addr(2) || e.Network.IPv6 {
						t.Errorf("%+v", e.Network)
					}
				}
				wait(t, got.Done(), time.Minute, "the download")
				filetest.Same(t, dir, to+"/things")
			})
		})
	}
}

// What others have seen of this machine before the change says nothing about where it is now.
func TestOurAddressIsForgottenWhenThePathChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: ms})
		paths := newFakePaths(addr(1))
		a := start(t, n, 1, noDHT, paths.watch)
		for i, o := range outsiders {
			a.evidence.SeenAs(o.Addr(), netip.AddrPortFrom(netip.MustParseAddr("49.0.0.1"), 6881+uint16(i)))
		}
		if r := a.Reachability(false); r.Addr() == "" || len(r.Ports) != 3 {
			t.Fatalf("%+v", r)
		}
		paths.change(pathsVia("eth0", addr(2)))
		if r := a.Reachability(false); r.Addr() != "" || len(r.Ports) > 0 {
			t.Errorf("at %s, ports %v", r.Addr(), r.Ports)
		}
	})
}

// A dial over a path that is gone does not hold up the peer until it times out.
func TestADialGoesOnFromAnotherAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 2 * time.Second})
		spec, _ := folder(t, ShareOptions{}, small)
		start(t, n, 1, noDHT).add(spec)
		paths := newFakePaths(addr(2))
		b := start(t, n, 2, noDHT, paths.watch)
		got := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
		time.Sleep(time.Second) // the dial is under way
		b.host.Readdress(addr(2), addr(3))
		paths.change(pathsVia("eth0", addr(3)))
		time.Sleep(10 * time.Second)
		if s := got.Snapshot(); s.Connected != 1 {
			t.Errorf("%d connections after 10 s", s.Connected)
		}
	})
}

// What the node learned about its own address is given up, and found out again.
func TestTheDHTAndTheRouterAreAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		ring(t, n, 8)
		spec, _ := folder(t, ShareOptions{}, small)
		paths := newFakePaths(addr(1))
		a := start(t, n, 1, boot(100), paths.watch)
		m := new(fakeMapper)
		a.mapper = m
		shared := a.add(spec)
		wait(t, shared.Announced(), time.Minute, "the seed is announced")
		time.Sleep(time.Minute)
		if ip := a.dht.External(false); ip != addr(1) {
			t.Fatalf("external address %v", ip)
		}
		arrived := func() int { return a.Reachability(false).Transports[reachability.TCP].Arrived }
		a.evidence.SeenAs(outsiders[0].Addr(), netip.MustParseAddrPort("49.0.0.1:6881"))
		a.evidence.arrived(outsiders[1].Addr(), reachability.TCP)
		if arrived() != 1 || !a.Reachability(false).Seen.IsValid() {
			t.Fatalf("%+v", a.Reachability(false))
		}
		a.host.Readdress(addr(1), addr(300))
		paths.change(pathsVia("eth0", addr(300)))
		if m.renewed != 1 {
			t.Errorf("the router was asked %d times", m.renewed)
		}
		if ip := a.dht.External(false); ip.IsValid() {
			t.Errorf("external address %v right after the change", ip)
		}
		if arrived() != 0 || a.Reachability(false).Seen.IsValid() {
			t.Errorf("what was known about the address before is kept: %+v", a.Reachability(false))
		}
		time.Sleep(10 * time.Second)
		if ip := a.dht.External(false); ip != addr(300) {
			t.Errorf("external address %v after 10 s", ip)
		}
		// It is announced from there, so that a new peer finds it.
		b := start(t, n, 2, boot(101))
		got := b.add(Spec{Link: bare(spec), Dir: t.TempDir()})
		wait(t, got.Done(), 15*time.Second, "the download")

		// Nothing of it happens when containers start and end.
		a.evidence.arrived(outsiders[1].Addr(), reachability.TCP)
		with := pathsVia("eth0", addr(300))
		with.Locals = append(with.Locals, netx.Local{Prefix: netip.MustParsePrefix("172.17.0.1/16"), Interface: "docker0"})
		connected, next := got.Snapshot().Connected, a.paths.next()
		for _, p := range []netx.Paths{with, pathsVia("eth0", addr(300))} {
			paths.change(p)
			if m.renewed != 1 || !a.dht.External(false).IsValid() || got.Snapshot().Connected != connected || arrived() != 1 || next != a.paths.next() {
				t.Errorf("the interface of containers was taken for another path to the internet: %v", p.Locals)
			}
		}
	})
}

// A path that is gone is reported, and peers that could not be reached meanwhile are dialed as soon as it
// is back.
func TestAnOutageIsReportedAndOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{}, small)
		start(t, n, 1, noDHT).add(spec)
		home := pathsVia("eth0", addr(2))
		off := netx.Paths{Locals: home.Locals}
		paths := newFakePaths(addr(2))
		tap := newDialTap()
		tap.setOff(true)
		b := start(t, n, 2, noDHT, paths.watch, through(tap))
		paths.change(off)
		if e := b.await(NetworkChanged, time.Second); e.Network.Addr.IsValid() || e.Network.Before != addr(2) {
			t.Errorf("%+v", e.Network)
		}
		got := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
		time.Sleep(time.Hour)
		tap.setOff(false)
		paths.changes <- netx.Change{Before: home, After: home, Interrupted: [2]time.Duration{time.Hour}}
		wait(t, got.Done(), 5*time.Second, "the download after the outage")
		isBack := func(e Event) bool { return e.Kind == NetworkChanged && e.Network.Addr == addr(2) }
		if !slices.ContainsFunc(b.allEvents(), isBack) {
			t.Error("the end of the outage is not reported")
		}
	})
}

// A listening address that the machine loses is reported, and when it is back.
func TestAListeningAddressThatIsGoneIsReported(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{})
		paths := newFakePaths(addr(1))
		a := start(t, n, 1, noDHT, paths.watch)
		paths.change(pathsVia("eth0", addr(9)))
		paths.change(pathsVia("wlan0", addr(9)))
		if w := a.warnings(); strings.Count(w, at(1).String()+" is not an address of this machine any more") != 1 {
			t.Errorf("%q", w)
		}
		before := len(a.allEvents())
		paths.change(pathsVia("eth0", addr(1)))
		if es := a.allEvents()[before:]; len(es) != 2 || es[0].Kind != Listening || es[0].Addr != at(1).String() {
			t.Errorf("%+v", es)
		}
	})
}

// Connections to web seeds that a change breaks are closed, and others are not.
func TestConnectionsToWebSeedsFollowTheNetwork(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer s.Close()
	var set connSet
	out := netx.Outbound{}
	c, err := set.dialer(out.DialHost)(t.Context(), "tcp", s.Listener.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	set.closeIf(func(local, remote netip.Addr) bool { return local.Is6() })
	if len(set.conns) != 1 {
		t.Error("a connection was closed that works")
	}
	set.closeIf(func(local, remote netip.Addr) bool { return local.IsLoopback() && remote.IsLoopback() })
	if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) || len(set.conns) != 0 {
		t.Errorf("%v, %d are left", err, len(set.conns))
	}
}

// An address that can be used although it is on no interface (AnyIP) is not reported as gone, whatever else
// changes.
func TestAListeningAddressOnNoInterfaceIsNotGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{})
		paths := newFakePaths(addr(8))
		a := start(t, n, 1, noDHT, paths.watch)
		paths.change(pathsVia("eth0", addr(9)))
		if w := a.warnings(); strings.Contains(w, "any more") {
			t.Errorf("%q", w)
		}
	})
}

// A change of the network ends a pause, but not before the time that a server has asked for.
func TestAPauseEndsWhenTheNetworkChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, c := range []struct {
			least, change, want time.Duration
			hasChanged          bool
		}{
			{0, 3 * time.Second, 3 * time.Second, true},
			{5 * time.Second, 3 * time.Second, 5 * time.Second, true},
			{5 * time.Second, 7 * time.Second, 7 * time.Second, true},
			{0, time.Hour, 10 * time.Second, false},
		} {
			var p paths
			change := time.AfterFunc(c.change, p.broadcast)
			begun := time.Now()
			hasChanged, err := p.sleep(t.Context(), c.least, 10*time.Second)
			change.Stop()
			if got := time.Since(begun); got != c.want || hasChanged != c.hasChanged || err != nil {
				t.Errorf("%+v: %v after %v, %v", c, hasChanged, got, err)
			}
		}
	})
}
