package simnet

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/netx"
)

// sources returns a channel with the source of each datagram that arrives.
func sources(p netx.PacketConn) <-chan netip.AddrPort {
	got := make(chan netip.AddrPort, 10)
	go func() {
		for {
			ms := []netx.Datagram{{Buf: make([]byte, 100)}}
			if _, err := p.ReadBatch(ms); err != nil {
				return
			}
			got <- ms[0].Addr
		}
	}()
	return got
}

// next returns the next source, or the zero address if nothing arrives for a second.
func next(got <-chan netip.AddrPort) netip.AddrPort {
	select {
	case a := <-got:
		return a
	case <-time.After(time.Second):
		return netip.AddrPort{}
	}
}

// A router lets in what answers. If both hosts send at the same time, each lets in the other,
// unless one of the routers changes the port.
func TestNATLetsInWhatAnswers(t *testing.T) {
	for kind, punched := range map[NAT]bool{NoNAT: true, PreservingNAT: true, SymmetricNAT: false} {
		synctest.Test(t, func(t *testing.T) {
			n := New(1, Link{Delay: 10 * time.Millisecond})
			host := func(i byte) *Host { return n.Host(netip.AddrFrom4([4]byte{45, 0, 0, i})) }
			x, y, out := host(1), host(2), host(3)
			x.SetNAT(PreservingNAT)
			y.SetNAT(kind)
			a, _ := x.PacketConn(1000)
			b, _ := y.PacketConn(1000)
			c, _ := out.PacketConn(1000)
			defer a.Close()
			defer b.Close()
			defer c.Close()
			atA, atC := sources(a), sources(c)
			c.WriteTo([]byte("unasked"), a.LocalAddr())
			if from := next(atA); from.IsValid() {
				t.Error("an unasked datagram came from", from)
			}
			b.WriteTo([]byte("hello"), c.LocalAddr())
			seen := next(atC)
			if (seen == b.LocalAddr()) != (kind != SymmetricNAT) {
				t.Error("an outsider sees", seen)
			}
			a.WriteTo([]byte("punch"), b.LocalAddr())
			b.WriteTo([]byte("punch"), a.LocalAddr())
			if from := next(atA); from.IsValid() != punched {
				t.Errorf("router %d: a datagram from %v", kind, from)
			}
		})
	}
}
