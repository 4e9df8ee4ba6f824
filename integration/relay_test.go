//go:build linux

package integration

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// An impairment is how a relay treats the packets of each direction.
type impairment struct {
	delay  time.Duration
	loss   float64 // share of the packets that are lost
	copies float64 // share of the packets that arrive twice
	late   float64 // share of the packets that arrive up to 20 ms later than those around them
	seed   uint64
}

// relay carries datagrams between the first host that sends to front and to. Both of them
// see only the relay. It ends with the test.
func relay(t testing.TB, front, to string, p impairment) {
	t.Helper()
	open := func(addr string) *net.UDPConn {
		c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
		must(t, err)
		must(t, c.SetReadBuffer(4<<20))
		t.Cleanup(func() { c.Close() })
		return c
	}
	ends := netip.MustParseAddrPort(front)
	near, far := open(front), open(netip.AddrPortFrom(ends.Addr(), ends.Port()+1).String())
	var dialing, dialed atomic.Pointer[netip.AddrPort]
	server := netip.MustParseAddrPort(to)
	dialed.Store(&server)
	go carry(near, far, &dialing, &dialed, p, rand.New(rand.NewPCG(p.seed, 1)))
	go carry(far, near, nil, &dialing, p, rand.New(rand.NewPCG(p.seed, 2)))
}

// carry sends what arrives at in to the address to. It stores the source in from unless that
// is nil.
func carry(in, out *net.UDPConn, from, to *atomic.Pointer[netip.AddrPort], p impairment, rng *rand.Rand) {
	type delayed struct {
		at time.Time
		b  []byte
	}
	send := func(b []byte) {
		if dst := to.Load(); dst != nil {
			_, _ = out.WriteToUDPAddrPort(b, *dst) // counts as lost
		}
	}
	queue := make(chan delayed, 1<<16)
	defer close(queue)
	go func() {
		for d := range queue {
			time.Sleep(time.Until(d.at))
			send(d.b)
		}
	}()
	buf := make([]byte, 64<<10)
	for {
		n, src, err := in.ReadFromUDPAddrPort(buf)
		if err != nil {
			return
		}
		if from != nil && from.Load() == nil {
			from.Store(&src)
		}
		d := delayed{time.Now().Add(p.delay), append([]byte(nil), buf[:n]...)}
		if rng.Float64() < p.loss {
			continue
		}
		if rng.Float64() < p.copies {
			queue <- d
		}
		if rng.Float64() < p.late {
			time.AfterFunc(p.delay+time.Duration(rng.Int64N(int64(20*time.Millisecond))), func() { send(d.b) })
			continue
		}
		queue <- d
	}
}
