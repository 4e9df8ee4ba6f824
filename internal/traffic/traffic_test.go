package traffic

import (
	"net"
	"net/netip"
	"testing"
)

// A metered connection counts what passes, and each family has a value of its own.
func TestConnCountsBytes(t *testing.T) {
	var meters ByFamily[Meter]
	a, b := net.Pipe()
	c := meters.Of(netip.MustParseAddr("fd00::1")).Conn(a)
	go func() {
		buf := make([]byte, 5)
		_, _ = b.Read(buf)
		_, _ = b.Write(buf[:3])
	}()
	if _, err := c.Write([]byte("12345")); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Read(make([]byte, 9)); n != 3 || err != nil {
		t.Fatal(n, err)
	}
	meters.Of(netip.MustParseAddr("::ffff:10.0.0.1")).Received(1)
	if v4, v6 := meters.V4.Bytes(), meters.V6.Bytes(); v6 != (Bytes{In: 3, Out: 5}) || v4 != (Bytes{In: 1}) {
		t.Errorf("IPv4 %+v, IPv6 %+v", v4, v6)
	}
}
