package netx

import (
	"net"
	"net/netip"
	"testing"
	"time"
)

// What is sent to all hosts arrives at every program that listens at the port, with its source.
func TestListenGroupSharesThePort(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	all := netip.MustParseAddrPort("224.0.0.1:5350")
	control := Outbound{Interface: "lan"}.Control() // of one of them
	var conns []net.PacketConn
	for range 2 {
		c, err := ListenGroup(all, "lan", control)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		conns, control = append(conns, c), nil
	}
	d := net.Dialer{LocalAddr: &net.UDPAddr{IP: net.IPv4(10, 8, 0, 2)}}
	out, err := d.Dial("udp4", all.String())
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	if _, err := out.Write([]byte("started")); err != nil {
		t.Fatal(err)
	}
	for _, c := range conns {
		for got := ""; got != "started"; {
			b := make([]byte, 100)
			if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Fatal(err)
			}
			n, from, err := c.ReadFrom(b)
			if err != nil {
				t.Fatal(err)
			}
			if got = string(b[:n]); got == "started" && addrPort(from).Addr() != netip.MustParseAddr("10.8.0.2") {
				t.Errorf("from %v", from)
			}
		}
	}
	if c, err := ListenGroup(all, "vpn", nil); err == nil {
		c.Close()
		t.Error("the interface does not exist")
	}
}
