package netx

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
)

func openUDP(t testing.TB, cfg UDPConfig) []PacketConn {
	t.Helper()
	conns, err := OpenUDP(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, c := range conns {
			c.Close()
		}
	})
	return conns
}

func TestSeveralSocketsOnOnePort(t *testing.T) {
	if !canSpread {
		t.Skip("this system gives all datagrams to one socket")
	}
	conns := openUDP(t, UDPConfig{Listen: []string{"127.0.0.1:0"}, Sockets: 3})
	if len(conns) != 3 || conns[0].LocalAddr() != conns[2].LocalAddr() {
		t.Fatal(conns)
	}
	// 64 addresses with 8 ports each. All datagrams of an address arrive at one socket.
	const addrs, ports = 64, 8
	for a := range addrs {
		for range ports {
			c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 3, byte(a+1))}, net.UDPAddrFromAddrPort(conns[0].LocalAddr()))
			if err != nil {
				t.Skip("this machine has one loopback address:", err)
			}
			c.Write([]byte("de"))
			c.Close()
		}
	}
	type arrival struct {
		socket int
		from   netip.Addr
	}
	in := make(chan arrival)
	for i, c := range conns {
		go func() {
			ms := batch(16, 100)
			for {
				n, err := c.ReadBatch(ms)
				if err != nil {
					return
				}
				for _, m := range ms[:n] {
					in <- arrival{i, m.Addr.Addr()}
				}
			}
		}()
	}
	at := map[netip.Addr]int{}
	load := map[int]int{}
	for range addrs * ports {
		a := <-in
		if s, ok := at[a.from]; ok && s != a.socket {
			t.Fatalf("%v arrives at sockets %d and %d", a.from, s, a.socket)
		}
		at[a.from] = a.socket
		load[a.socket]++
	}
	if len(load) != 3 {
		t.Fatal("not spread:", load)
	}
}

func TestAPortIsNotSharedWithOtherProcesses(t *testing.T) {
	for _, n := range []int{1, 2} {
		conns := openUDP(t, UDPConfig{Listen: []string{"127.0.0.1:0"}, Sockets: n})
		_, err := OpenUDP(UDPConfig{Listen: []string{conns[0].LocalAddr().String()}, Sockets: n})
		var e *Error
		if !errors.As(err, &e) || !errors.Is(err, errTaken) {
			t.Errorf("%d sockets: %v", n, err)
		}
	}
}

func TestUDPPortsMayDiffer(t *testing.T) {
	conns := openUDP(t, UDPConfig{Listen: []string{"127.0.0.1:0", "127.0.0.1:0"}, Sockets: 1})
	if len(conns) != 2 || conns[0].LocalAddr() == conns[1].LocalAddr() {
		t.Fatal(conns)
	}
	for _, bad := range []string{"nowhere", "127.0.0.1:x", "192.0.2.1:0"} {
		if _, err := OpenUDP(UDPConfig{Listen: []string{"127.0.0.1:0", bad}}); err == nil {
			t.Error(bad)
		}
	}
}

func TestFillLevel(t *testing.T) {
	if !canSpread {
		t.Skip("not known on this system")
	}
	conns := openUDP(t, UDPConfig{Listen: []string{"127.0.0.1:0", "127.0.0.1:0"}, Sockets: 1})
	f := conns[0].(FillLeveler)
	if x := f.FillLevel(); x != 0 {
		t.Fatal(x)
	}
	for i := range 200 {
		conns[1].WriteTo(fmt.Appendf(nil, "d%de", i), conns[0].LocalAddr())
	}
	full := f.FillLevel()
	if full <= 0 || full > 1 {
		t.Fatal(full)
	}
	ms := batch(128, 100)
	for n := 0; n < 200; {
		k, err := conns[0].ReadBatch(ms)
		if err != nil {
			t.Fatal(err)
		}
		n += k
	}
	if x := f.FillLevel(); x >= full {
		t.Fatal("still", x)
	}
	if n := testing.AllocsPerRun(100, func() { f.FillLevel() }); n != 0 {
		t.Error(n, "allocations")
	}
}
