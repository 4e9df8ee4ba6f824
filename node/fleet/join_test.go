package fleet

import (
	"net/netip"
	"testing"
)

// In a large fleet too, members that were lost are tried again.
func TestLostMembersAreTried(t *testing.T) {
	var j joining
	live := func(from, to int) map[netip.AddrPort]bool {
		m := map[netip.AddrPort]bool{}
		for i := from; i < to; i++ {
			m[fleetAddr(i)] = true
		}
		return m
	}
	j.lostMembers(live(0, 200))
	tried := map[netip.AddrPort]bool{}
	for range 5 {
		for _, a := range j.lostMembers(live(10, 200)) {
			tried[a] = true
		}
	}
	if len(tried) != 10 {
		t.Errorf("%d of 10 lost members are tried: %v", len(tried), tried)
	}
	if got := j.lostMembers(live(0, 200)); len(got) != 0 {
		t.Errorf("%v are tried though all are live", got)
	}
	for i := range 10 {
		j.lostMembers(live(1000*i, 1000*i+200))
	}
	if len(j.lost) > maxMembers {
		t.Errorf("%d are remembered", len(j.lost))
	}
}

// Others cannot take all connections: those of one network are few, and some are for members.
func TestConnectionsAreLimited(t *testing.T) {
	member := netip.MustParseAddr("192.0.2.1")
	p := &transport{isMember: func(ip netip.Addr) bool { return ip == member }, open: map[netip.Prefix]int{}}
	count := func(tries int, host func(i int) string) (entered int) {
		for i := range tries {
			if p.enter(netip.MustParseAddr(host(i))) {
				entered++
			}
		}
		return entered
	}
	if n := count(100, func(i int) string { return netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)}).String() }); n != maxStreamsPerHost {
		t.Errorf("%d connections of one /64", n)
	}
	count(200, func(i int) string { return netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}).String() })
	if p.sum != maxUnknownStreams {
		t.Errorf("%d connections of others", p.sum)
	}
	if n := count(20, func(int) string { return member.String() }); n == 0 {
		t.Error("a member is refused")
	}
	p.leave(member)
	if p.open[netip.PrefixFrom(member, 32)] != maxStreamsPerHost-1 {
		t.Errorf("%d of a member after one has ended", p.open[netip.PrefixFrom(member, 32)])
	}
}
