package table

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// wants is a naive implementation of Wants.
func (t *Table) wants(addr netip.AddrPort, node id.ID) bool {
	if _, known := t.byAddr[addr]; known || node == t.own || !addrs.IsUsable(addr, t.relaxed) || !t.admits(addr.Addr()) {
		return false
	}
	b, i := t.bucketOf(node)
	if at := find(b.live, node); at >= 0 {
		return b.live[at].Fails > 0
	}
	if len(b.live) < capacity(i) {
		return true
	}
	w := worst(b.live)
	return b.live[w].Fails > 0 || !b.live[w].Secure && Secure(node, addr.Addr())
}

func TestWantsAgainstNaiveTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tab := New(Config{ID: id.ID{0: 0x80}})
		now := mono.Time(1)
		// The bucket of the nodes that share three bits with us has 16 places.
		node := func() (netip.AddrPort, id.ID) {
			n := byte(rapid.IntRange(0, 40).Draw(t, "node"))
			a := netip.AddrPortFrom(netip.AddrFrom4([4]byte{20, n, 1, 1}), 6881)
			x := id.ID{0: 0x90, 1: n}
			if rapid.Bool().Draw(t, "secure") {
				x = SecureID(x, a.Addr())
			}
			return a, x
		}
		for range rapid.IntRange(0, 200).Draw(t, "steps") {
			now += mono.Time(time.Second)
			switch a, x := node(); rapid.IntRange(0, 9).Draw(t, "what") {
			case 0, 1:
				tab.Failed(now, a)
			case 2:
				tab.Rebase(now, id.ID{0: byte(rapid.IntRange(0, 1).Draw(t, "own")) << 7})
			default:
				tab.Replied(now, a, x, time.Millisecond)
			}
			if a, x := node(); tab.Wants(a, x) != tab.wants(a, x) {
				t.Fatalf("%v %v: %v", a, x, !tab.wants(a, x))
			}
		}
	})
}
