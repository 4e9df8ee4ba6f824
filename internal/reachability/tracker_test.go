package reachability

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"seedbed/internal/mono"
)

// host returns a public address in the network with that number.
func host(network, n byte) netip.Addr { return netip.AddrFrom4([4]byte{45, 1, network, n}) }

var ours = netip.MustParseAddrPort("45.0.0.1:6881")

const hour = mono.Time(time.Hour)

func verdictOf(t *Tracker, now mono.Time, over Transport) Verdict {
	return t.Status(now, false).Transports[over].Verdict
}

func TestOneConnectionFromOutsideProvesTCP(t *testing.T) {
	var tr Tracker
	tr.Arrived(1, host(1, 1), TCP)
	s := tr.Status(2, false)
	if s.Verdict != Reachable || s.Since != 1 || s.Transports[TCP].Arrived != 1 || s.Transports[UDP].Verdict != Unknown {
		t.Errorf("%+v", s)
	}
}

// A datagram may have come through a hole in a NAT, so one network proves nothing, with any
// number of its hosts.
func TestUDPNeedsTwoNetworks(t *testing.T) {
	var tr Tracker
	for n := range byte(100) {
		tr.Arrived(1, host(1, n), UDP)
		tr.DialedBack(1, host(1, n), UDP)
	}
	if v := verdictOf(&tr, 1, UDP); v != Unknown {
		t.Error(v)
	}
	tr.DialedBack(1, host(2, 1), UDP)
	if v := verdictOf(&tr, 1, UDP); v != Reachable {
		t.Error(v)
	}
}

func TestOneLiarDoesNotDecide(t *testing.T) {
	var tr Tracker
	for n := range byte(200) { // all in one /24
		tr.Failed(1, host(1, n), TCP, true)
	}
	if v := verdictOf(&tr, 1, TCP); v != Unknown {
		t.Errorf("one network that lies: %v", v)
	}
	tr.Failed(1, host(2, 1), TCP, false)
	s := tr.Status(1, false)
	if s.Verdict != NotReachable || s.Transports[TCP].Failed != 2 || s.Transports[TCP].Refused != 1 {
		t.Errorf("two networks: %+v", s)
	}
}

// Whoever says that it failed is outvoted by a connection that arrives, in any order.
func TestAProofOutvotesLiars(t *testing.T) {
	for order := range 3 {
		var tr Tracker
		for i := range 3 {
			if i == order {
				tr.DialedBack(mono.Time(i), host(9, 1), TCP)
			} else {
				tr.Failed(mono.Time(i), host(byte(i), 1), TCP, false)
			}
		}
		if v := verdictOf(&tr, 3, TCP); v != Reachable {
			t.Errorf("proof at %d: %v", order, v)
		}
	}
}

// What was proven before does not count when peers fail later: a mapping may be gone.
func TestLaterFailuresRefuteAProof(t *testing.T) {
	var tr Tracker
	tr.DialedBack(0, host(1, 1), TCP)
	tr.Failed(hour, host(1, 1), TCP, false)
	if v := verdictOf(&tr, hour, TCP); v != Reachable {
		t.Errorf("after one failure: %v", v)
	}
	tr.Failed(hour, host(2, 1), TCP, false)
	if v := verdictOf(&tr, hour, TCP); v != NotReachable {
		t.Errorf("after two failures: %v", v)
	}
	tr.Arrived(hour+1, host(3, 1), TCP)
	if s := tr.Status(hour+1, false); s.Verdict != Reachable || s.Since != hour+1 {
		t.Errorf("after a new proof: %+v", s)
	}
}

func TestEvidenceAges(t *testing.T) {
	var tr Tracker
	tr.Arrived(0, host(1, 1), TCP)
	if v := verdictOf(&tr, 2*hour-1, TCP); v != Reachable {
		t.Error(v)
	}
	if v := verdictOf(&tr, 2*hour, TCP); v != Unknown {
		t.Error(v)
	}
}

// Local peers see nothing of the internet.
func TestLocalEvidenceDoesNotCount(t *testing.T) {
	var tr Tracker
	for _, a := range []string{"192.168.1.2", "10.0.0.1", "127.0.0.1", "fe80::1", "fd00::1", "100.64.0.1"} {
		tr.Arrived(1, netip.MustParseAddr(a), TCP)
		tr.Failed(1, netip.MustParseAddr(a), TCP, false)
		tr.Seen(netip.MustParseAddr(a), ours)
	}
	for _, v6 := range []bool{false, true} {
		if s := tr.Status(1, v6); s != (Status{}) {
			t.Errorf("%+v", s)
		}
	}
}

func TestFamiliesAreApart(t *testing.T) {
	var tr Tracker
	tr.Arrived(1, netip.MustParseAddr("2a01:4f8::1"), TCP)
	if v4, v6 := tr.Status(1, false), tr.Status(1, true); v4.Verdict != Unknown || v6.Verdict != Reachable {
		t.Error(v4, v6)
	}
}

func TestTheAddressThatMostNetworksSee(t *testing.T) {
	var tr Tracker
	for n := range byte(50) { // one network that lies
		tr.Seen(host(1, n), netip.AddrPortFrom(host(9, n), 1))
	}
	for n := range byte(5) {
		tr.Seen(host(10+n, 1), ours)
	}
	tr.Seen(host(20, 1), netip.AddrPortFrom(ours.Addr(), 0))
	tr.Seen(host(21, 1), netip.AddrPortFrom(ours.Addr(), 4000))
	if s := tr.Status(1, false); s.Seen != ours || s.SeenBy != 7 || s.SeenOf != 8 || len(tr.SeenPorts(false)) != 2 {
		t.Errorf("%+v", s)
	}
}

// Evidence about an address that we had before is dropped, but not because of a few liars.
func TestANewAddressDropsTheEvidence(t *testing.T) {
	var tr Tracker
	see := func(from, to byte, a netip.AddrPort) (changed bool) {
		for n := from; n < to; n++ {
			changed = tr.Seen(host(n, 1), a) || changed
		}
		return changed
	}
	if see(0, 5, ours) {
		t.Error("the first address is no change")
	}
	tr.Arrived(1, host(1, 1), TCP)
	other := netip.MustParseAddrPort("46.0.0.1:6881")
	if see(50, 54, other) || verdictOf(&tr, 1, TCP) != Reachable {
		t.Error("a minority dropped the evidence")
	}
	if !see(0, 5, other) || verdictOf(&tr, 1, TCP) != Unknown {
		t.Error("the evidence about another address is kept")
	}
	tr.Arrived(1, host(1, 1), TCP)
	tr.Forget(false)
	if v := verdictOf(&tr, 1, TCP); v != Unknown || tr.Status(1, false).Seen.Addr() != other.Addr() {
		t.Error(v)
	}
	tr.Arrived(1, host(1, 1), TCP)
	tr.Moved(false)
	tr.Seen(host(9, 1), ours) // one network, after many that saw the address before
	if v := verdictOf(&tr, 1, TCP); v != Unknown || tr.Status(1, false).Seen != ours {
		t.Error(v, tr.Status(1, false).Seen)
	}
}

// After a change of our port, a NAT does not seem to use several ports. After a change of the path to
// the internet, no address of before is known.
func TestWhatOthersSawBeforeAChange(t *testing.T) {
	var tr Tracker
	for n := range byte(5) {
		tr.Seen(host(n, 1), ours)
	}
	tr.Forget(false)
	if s := tr.Status(1, false); s.Seen != netip.AddrPortFrom(ours.Addr(), 0) || s.SeenBy != 5 || len(tr.SeenPorts(false)) > 0 {
		t.Errorf("after a change of the port: %+v", s)
	}
	tr.Seen(host(0, 1), netip.AddrPortFrom(ours.Addr(), 7000))
	if p := tr.SeenPorts(false); len(p) != 1 || p[7000] != 1 {
		t.Error(p)
	}
	tr.Arrived(1, host(1, 1), TCP)
	tr.Moved(true)
	if s := tr.Status(1, false); s.SeenBy != 5 || s.Verdict != Reachable {
		t.Errorf("after a change of the path of IPv6: %+v", s)
	}
	tr.Moved(false)
	if s := tr.Status(1, false); s != (Status{}) {
		t.Errorf("after a change of the path: %+v", s)
	}
}

// Any number of networks takes the memory of a few, and the newest count.
func TestTheTrackerIsBounded(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var tr Tracker
	for i := range 100_000 {
		from := netip.AddrFrom4([4]byte{45, byte(rng.Uint32()), byte(rng.Uint32()), 1})
		tr.Failed(mono.Time(i), from, TCP, false)
		tr.Seen(from, netip.AddrPortFrom(from, uint16(i)))
	}
	f := &tr.families[0]
	if n, votes := len(f.transports[TCP].networks), len(f.votes); n != maxNetworks || votes != maxVotes {
		t.Error(n, votes)
	}
	tr.Arrived(100_000, host(1, 1), TCP)
	if v := verdictOf(&tr, 100_000, TCP); v != Reachable {
		t.Error(v)
	}
}

func TestContacts(t *testing.T) {
	var c Contacts
	a, b := host(1, 1), netip.MustParseAddr("2a01:4f8::1")
	if c.Has(0, a) {
		t.Error("it is not empty")
	}
	c.Add(mono.Time(time.Minute), a)
	c.Add(mono.Time(time.Minute), b)
	for _, at := range []time.Duration{time.Minute, 4*time.Minute - 1, 5 * time.Minute} {
		if !c.Has(mono.Time(at), a) || !c.Has(mono.Time(at), netip.MustParseAddr("2a01:4f8::2")) { // the same /64
			t.Errorf("forgotten after %v", at)
		}
	}
	if c.Has(mono.Time(10*time.Minute), a) {
		t.Error("never forgotten")
	}
	// Full of contacts at the rate of a DHT node, it still tells most others apart.
	now := mono.Time(time.Hour)
	for i := range 250 * int(contactTime/time.Second) {
		c.Add(now, netip.AddrFrom4([4]byte{46, byte(i >> 16), byte(i >> 8), byte(i)}))
	}
	wrong := 0
	for i := range 1000 {
		if c.Has(now, netip.AddrFrom4([4]byte{47, 0, byte(i >> 8), byte(i)})) {
			wrong++
		}
	}
	if wrong > 200 {
		t.Errorf("%d of 1,000 count as contacted", wrong)
	}
}
