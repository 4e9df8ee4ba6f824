package rate

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"

	"seedbed/internal/mono"
)

func host(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(n >> 8), byte(n)}), 1)
}

// The naive implementation keeps the time of the last packet to each address.
func TestFlowsAgainstNaiveTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := rapid.IntRange(1, 8).Draw(t, "limit")
		f := NewFlows(limit)
		twin := map[netip.AddrPort]mono.Time{}
		open := func(now mono.Time) (n int, next mono.Time) {
			next = mono.Never
			for _, used := range twin {
				if end := used.Add(FlowTime); now < end {
					n++
					next = min(next, end)
				}
			}
			return n, next
		}
		now := mono.Time(0)
		for range rapid.IntRange(1, 200).Draw(t, "packets") {
			now += second * mono.Time(rapid.IntRange(0, 12).Draw(t, "wait"))
			to := host(rapid.IntRange(0, 15).Draw(t, "to"))
			n, next := open(now)
			used, ever := twin[to]
			if known := ever && now < used.Add(FlowTime); f.Known(now, to) != known {
				t.Fatalf("%v at %v: known %v", to, now, !known)
			}
			if got := f.Allows(now, 1); got != (n < limit) {
				t.Fatalf("%d of %d flows are open, and Allows returns %v", n, limit, got)
			}
			if got := f.Allows(now, 0.5); got != (2*n < limit) {
				t.Fatalf("%d of %d flows are open, and Allows for half of them returns %v", n, limit, got)
			}
			if f.Len() != n || f.Next() != next {
				t.Fatalf("%d flows, the first ends at %v; want %d and %v", f.Len(), f.Next(), n, next)
			}
			if f.Allows(now, 1) || f.Known(now, to) {
				f.Use(now, to)
				twin[to] = now
			}
		}
	})
}

func TestFlowsAreBoundedWhateverIsSent(t *testing.T) {
	f := NewFlows(10)
	for i := range 1000 {
		f.Use(0, host(i))
	}
	if f.Len() > 20 {
		t.Error(f.Len(), "flows are kept")
	}
	unlimited := NewFlows(-1)
	for i := range 1000 {
		unlimited.Use(0, host(i))
	}
	if !unlimited.Allows(0, 0.1) || unlimited.Next() != mono.Never {
		t.Error("a negative limit limits")
	}
}
