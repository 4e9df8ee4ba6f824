package node

import (
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/blocklist"
	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/reachability"
	"seedbed/internal/simnet"
	"seedbed/internal/utpconn"
	"seedbed/swarm"
	"seedbed/swarm/wire"
)

// dials counts the dial backs of a node.
type dials struct {
	host  *simnet.Host
	count atomic.Int32
	port  uint16
	mu    sync.Mutex
}

func (d *dials) open() (netx.Network, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.count.Add(1)
	d.port++
	return d.host.Open(50000 + d.port)
}

var outsiders = []netip.AddrPort{netip.MustParseAddrPort("46.0.0.1:6881"), netip.MustParseAddrPort("47.0.0.1:6881"), netip.MustParseAddrPort("48.0.0.1:6881")}

var asker = netip.MustParseAddrPort("45.0.0.1:6881")

// seedOutside starts nodes on the internet that seed spec and dial back.
func seedOutside(t *testing.T, n *simnet.Net, spec Spec, opts ...func(*Config)) (list []*rig, counts []*dials) {
	for _, a := range outsiders {
		d := &dials{host: n.Host(a.Addr())}
		r := startAt(t, n, a, append([]func(*Config){noDHT, withUTP, func(c *Config) { c.otherPort = d.open }}, opts...)...)
		r.add(spec)
		list, counts = append(list, r), append(counts, d)
	}
	return list, counts
}

func linkTo(spec Spec) Spec {
	return Spec{Link: withPeers(spec, outsiders[0].String(), outsiders[1].String(), outsiders[2].String())}
}

// A node that can be reached learns it from peers that dial back, over TCP and uTP. Those that it
// has dialed know it from that.
func TestPeersDialBack(t *testing.T) {
	for _, e := range []swarm.Encryption{swarm.PreferPlain, swarm.RequireEncryption} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(51, simnet.Link{Delay: 20 * ms})
			spec, _ := folder(t, ShareOptions{}, small)
			encryption := func(c *Config) { c.Encryption = e }
			outside, counts := seedOutside(t, n, spec, encryption)
			a := startAt(t, n, asker, noDHT, withUTP, encryption, func(c *Config) { c.DownRate = 60 }) // it stays connected
			l := linkTo(spec)
			l.Dir = t.TempDir()
			a.add(l)
			a.await(ReachabilityChanged, time.Minute)
			time.Sleep(time.Minute)
			r := a.Reachability(false)
			for over, s := range r.Transports {
				if s.Verdict != reachability.Reachable || s.DialedBack != 3 || s.Arrived != 0 {
					t.Errorf("%d: %+v", over, s)
				}
			}
			if r.Seen.Addr() != asker.Addr() || r.SeenBy != 3 {
				t.Errorf("seen at %v by %d", r.Seen, r.SeenBy)
			}
			if want := "reachable from outside: 45.0.0.1:6881, seen by 3 nodes, dialled back by 3 peers"; r.Text() != want || r.Advice() != "" {
				t.Errorf("%q, %q", r.Text(), r.Advice())
			}
			for i, o := range outside {
				if s := o.Reachability(false).Transports[reachability.TCP]; s.Verdict != reachability.Reachable || s.Arrived < 1 {
					t.Errorf("outsider %d: %+v", i, s)
				}
			}
			time.Sleep(3 * time.Hour)
			for i, d := range counts {
				if c := d.count.Load(); c < 3 || c > 4 { // every hour
					t.Errorf("outsider %d dialed %d times", i, c)
				}
			}
		})
	}
}

// Nothing listens on the port that is announced.
func TestPeersReportThatAPortIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(52, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{}, small)
		seedOutside(t, n, spec)
		a := startAt(t, n, asker, noDHT, withUTP, func(c *Config) { c.AnnouncePort = 9999 })
		l := linkTo(spec)
		l.Dir = t.TempDir()
		a.add(l)
		if e := a.await(ReachabilityChanged, time.Minute); e.Reachability.Verdict != reachability.NotReachable {
			t.Errorf("%+v", e.Reachability)
		}
		time.Sleep(time.Minute)
		r := a.Reachability(false)
		if want := "not reachable from outside: 3 peers could not connect to 45.0.0.1:9999 (refused)"; r.Text() != want || r.Advice() == "" {
			t.Errorf("%q, %q", r.Text(), r.Advice())
		}
	})
}

func TestDialBackCanBeDisabled(t *testing.T) {
	for _, who := range []string{"the asker", "the asked"} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(53, simnet.Link{Delay: 20 * ms})
			spec, _ := folder(t, ShareOptions{}, small)
			off := func(c *Config) { c.NoDialBack = true }
			no := func(*Config) {}
			asks, answers := off, no
			if who == "the asked" {
				asks, answers = no, off
			}
			_, counts := seedOutside(t, n, spec, answers)
			a := startAt(t, n, asker, noDHT, withUTP, asks)
			l := linkTo(spec)
			l.Dir = t.TempDir()
			a.add(l)
			time.Sleep(time.Hour)
			for _, d := range counts {
				if d.count.Load() != 0 {
					t.Errorf("%s has disabled it, and there was a dial", who)
				}
			}
			if v := a.Reachability(false).Verdict; v != reachability.Unknown {
				t.Errorf("%s: %v", who, v)
			}
		})
	}
}

// Whatever an asker names, only its own address is dialed, at an unprivileged port, and rarely.
func TestDialBacksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(54, simnet.Link{Delay: 20 * ms})
		a := startAt(t, n, asker, noDHT)
		var list blocklist.List
		if err := list.Read(strings.NewReader("48.0.0.1")); err != nil {
			t.Fatal(err)
		}
		change(t, a.Node, func(s *Settings) { s.Blocklist = &list })
		d := &a.dialBacks
		ip := netip.MustParseAddr
		for what, c := range map[string]struct {
			ip   string
			port uint16
		}{
			"a privileged port":       {"46.0.0.1", 1023},
			"a port of 0":             {"46.0.0.1", 0},
			"a private address":       {"192.168.1.2", 6881},
			"a link-local address":    {"169.254.1.1", 6881},
			"a loopback address":      {"127.0.0.1", 6881},
			"a documentation address": {"192.0.2.1", 6881},
			"our own address":         {"45.0.0.1", 6881},
			"a blocked address":       {"48.0.0.1", 6881},
		} {
			if d.admit(ip(c.ip), c.port) {
				t.Errorf("%s is dialed", what)
			}
		}
		if !d.admit(ip("46.0.0.1"), 1024) {
			t.Fatal("an honest peer is not dialed")
		}
		d.leave()
		time.Sleep(dialBackPause - time.Second)
		if d.admit(ip("46.0.0.99"), 6881) {
			t.Error("a network is dialed again too early")
		}
		time.Sleep(time.Second)
		if !d.admit(ip("46.0.0.99"), 6881) {
			t.Error("a network is not dialed again")
		}
		d.leave()
		// Ten thousand hosts of as many networks ask for an hour.
		admitted := 0
		for i := range 36_000 {
			if d.admit(netip.AddrFrom4([4]byte{50, byte(i >> 8), byte(i), 1}), 6881) {
				admitted++
				d.leave()
			}
			time.Sleep(100 * ms)
		}
		if admitted < 50*dialBackRate || admitted > 61*dialBackRate+dialBackBurst {
			t.Errorf("%d dials in an hour", admitted)
		}
		time.Sleep(time.Hour)
		running := 0
		for i := range 20 {
			if d.admit(netip.AddrFrom4([4]byte{51, 0, byte(i), 1}), 6881) {
				running++
			}
		}
		if running != maxDialBacks {
			t.Errorf("%d dials at a time", running)
		}
	})
}

// What peers report counts only if they were asked, and only failures; and a connection counts only
// with the token, from the network that has it.
func TestLiarsProveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(55, simnet.Link{Delay: 20 * ms})
		a := startAt(t, n, asker, noDHT)
		e := &a.evidence
		token := newToken()
		report := func(from netip.AddrPort, token id.ID, outcome wire.DialBackOutcome) {
			e.answered(from, &wire.DialBackMsg{Type: wire.DialBackResult, Transports: wire.DialBackTCP, Outcome: outcome, Token: token})
		}
		for i, o := range outsiders {
			report(o, token, wire.DialBackTimedOut)
			report(o, id.ID{byte(i)}, wire.DialBackConnected)
		}
		e.pending[token] = question{to: outsiders[0], at: a.now()}
		report(outsiders[1], token, wire.DialBackTimedOut)
		report(outsiders[0], token, wire.DialBackConnected)
		if s := a.Reachability(false).Transports[reachability.TCP]; s != (reachability.TransportStatus{}) {
			t.Errorf("%+v", s)
		}
		comes := func(token id.ID, from netip.AddrPort, over reachability.Transport) bool {
			return e.dialedBack(token, from.Addr(), over)
		}
		if comes(token, outsiders[1], reachability.TCP) || comes(id.ID{}, outsiders[0], reachability.TCP) || !comes(token, outsiders[0], reachability.TCP) {
			t.Error("the token is bound to another network")
		}
		if comes(token, outsiders[0], reachability.TCP) || !comes(token, outsiders[0], reachability.UDP) || comes(token, outsiders[0], reachability.UDP) {
			t.Error("the token is valid for more than one connection over each transport")
		}
		again := newToken()
		e.mu.Lock()
		e.pending[again] = question{to: outsiders[0], at: a.now()}
		e.mu.Unlock()
		time.Sleep(3 * time.Minute)
		if comes(again, outsiders[0], reachability.TCP) {
			t.Error("the token is valid for ever")
		}
	})
}

// A peer that cannot try one of the two transports may still connect over the other one.
func TestPeerTriesOneTransportOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAt(t, simnet.New(58, simnet.Link{Delay: 20 * ms}), asker, noDHT, withUTP)
		e, from := &a.evidence, outsiders[0]
		for over, connects := range map[wire.DialBackTransports]bool{wire.DialBackUTP: true, wire.DialBackTCP | wire.DialBackUTP: false} {
			token := newToken()
			e.mu.Lock()
			e.pending[token] = question{to: from, at: a.now()}
			e.mu.Unlock()
			e.answered(from, &wire.DialBackMsg{Type: wire.DialBackResult, Transports: over, Outcome: wire.DialBackNotTried, Token: token})
			if got := e.dialedBack(token, from.Addr(), reachability.TCP); got != connects {
				t.Errorf("not tried %b: a connection over TCP counts: %v", over, got)
			}
		}
	})
}

// Connections prove nothing if we have sent something to the address before, or if it is our own.
func TestOnlyWhatNobodyAskedForIsAnArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(56, simnet.Link{Delay: 20 * ms})
		a := startAt(t, n, asker, noDHT)
		e := &a.evidence
		arrivals := func() int { return a.Reachability(false).Transports[reachability.TCP].Arrived }
		e.SeenAs(outsiders[2].Addr(), netip.AddrPortFrom(netip.MustParseAddr("49.0.0.1"), 6881))
		e.contacted(outsiders[0].Addr())
		for _, from := range []netip.Addr{outsiders[0].Addr(), netip.MustParseAddr("49.0.0.1"), netip.MustParseAddr("192.168.1.2")} {
			e.arrived(from, reachability.TCP)
			time.Sleep(2 * time.Second)
		}
		if got := arrivals(); got != 0 {
			t.Errorf("%d arrivals", got)
		}
		e.arrived(outsiders[1].Addr(), reachability.TCP)
		if got := arrivals(); got != 1 {
			t.Errorf("%d arrivals", got)
		}
		if err := a.SetPort(7000); err == nil {
			t.Error("the simulated network has changed its port")
		}
		e.forget()
		if got := arrivals(); got != 0 {
			t.Errorf("%d arrivals at the port before", got)
		}
	})
}

// A node that we have contacted once, and that asks us again and again, comes through the hole that our answers
// keep open.
func TestAnswersKeepANodeContacted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAt(t, simnet.New(60, simnet.Link{Delay: 20 * ms}), asker, noDHT)
		a.evidence.Asked(outsiders[0].Addr())
		arrived := func() int { return a.Reachability(false).Transports[reachability.UDP].Arrived }
		for range 30 {
			time.Sleep(2 * time.Minute)
			a.evidence.Queried(outsiders[0].Addr())
		}
		if n := arrived(); n != 0 {
			t.Errorf("%d arrivals", n)
		}
		time.Sleep(20 * time.Minute) // no NAT remembers it
		a.evidence.Queried(outsiders[0].Addr())
		if n := arrived(); n != 1 {
			t.Errorf("%d arrivals after a pause", n)
		}
	})
}

// Machines of the local network have public IPv6 addresses too. That they connect to us proves nothing,
// and they are not asked to.
func TestNeighborsWithPublicAddressesProveNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := startAt(t, simnet.New(59, simnet.Link{Delay: 20 * ms}), asker, noDHT)
		e, ours, near := &a.evidence, netip.MustParseAddrPort("[2a01:4f8:1:2::1]:6881"), netip.MustParseAddrPort("[2a01:4f8:1:2::9]:6881")
		e.SeenAs(outsiders[0].Addr(), ours)
		e.arrived(near.Addr(), reachability.TCP)
		time.Sleep(2 * arrivalEvery)
		if v := a.Reachability(true).Verdict; v != reachability.Unknown {
			t.Errorf("after a connection of a neighbor: %v", v)
		}
		e.mu.Lock()
		isNear, isFar := e.isNear(a.now(), near.Addr()), !e.isNear(a.now(), netip.MustParseAddr("2a02::1"))
		e.mu.Unlock()
		if !isNear || !isFar {
			t.Errorf("a neighbor: %v, an outsider: %v", isNear, isFar)
		}
		e.arrived(netip.MustParseAddr("2a02::1"), reachability.TCP)
		if v := a.Reachability(true).Verdict; v != reachability.Reachable {
			t.Errorf("after a connection of an outsider: %v", v)
		}
	})
}

// As long as a connection over uTP lasts, NATs let in what comes from the port of its other end, which is
// that of a DHT node too.
func TestQueriesOfPeersConnectedOverUTPAreNoArrivals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(57, simnet.Link{Delay: 20 * ms})
		a := startAt(t, n, asker, noDHT, withUTP)
		for _, o := range outsiders[:2] {
			network, err := n.Host(o.Addr()).Open(o.Port())
			if err != nil {
				t.Fatal(err)
			}
			defer network.Close()
			utp := utpconn.New(utpconn.Config{Sockets: network.UDP()})
			defer utp.Close()
			c, err := a.transports.utp.Dial(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
		}
		time.Sleep(time.Hour)
		for _, o := range outsiders[:2] {
			a.evidence.Queried(o.Addr())
			time.Sleep(2 * arrivalEvery)
		}
		if s := a.Reachability(false).Transports[reachability.UDP]; s.Arrived != 0 {
			t.Errorf("%+v", s)
		}
		a.evidence.Queried(outsiders[2].Addr())
		if s := a.Reachability(false).Transports[reachability.UDP]; s.Arrived != 1 {
			t.Errorf("of an address without a connection: %+v", s)
		}
	})
}
