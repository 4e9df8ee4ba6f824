package netx

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

// A Host waits for its interface, follows it to another index, and uses no other.
func TestBoundHostFollowsItsInterface(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	startEcho(t)
	onLAN := capture(t, "lan")
	changed := make(changes, 16)
	out := Outbound{Interface: "vpn"}
	h := open(t, Config{Listen: []string{":0"}, Outbound: out, Changed: func(err error) { changed <- err }})
	port := h.Port()
	if port == 0 {
		t.Fatal("no port is kept")
	}
	changed.until(t, says("vpn does not exist"))
	for range 3 {
		if err := echoes(t, h); !errors.Is(err, ErrNoInterface) || ReasonOf(err) != Exhausted {
			t.Fatalf("dialled without the interface: %v", err)
		}
		if err := h.UDP()[0].WriteTo([]byte("d"), far); !errors.Is(err, ErrNoInterface) {
			t.Fatalf("sent without the interface: %v", err)
		}
		plug(t)
		changed.until(t, isUp)
		if err := echoes(t, h); err != nil {
			t.Fatal(err)
		}
		if h.Port() != port {
			t.Errorf("port %d, want %d", h.Port(), port)
		}
		unplug(t)
		changed.until(t, says("vpn does not exist"))
	}
	if err := h.SetPort(7777); err != nil || h.Port() != 7777 || h.UDP()[0].LocalAddr().Port() != 7777 {
		t.Errorf("port %d: %v", h.Port(), err)
	}
	plug(t)
	changed.until(t, isUp)
	if err := echoes(t, h); err != nil {
		t.Fatal(err)
	}
	run(t, "ip link set vpn down")
	changed.until(t, says("vpn is down"))
	if n := onLAN(); n != 0 {
		t.Errorf("%d packets on the other interface", n)
	}
}

// The sockets of OpenUDP wait for their interface, follow it to another index, and use no other.
func TestBoundUDPFollowsItsInterface(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	startEcho(t)
	onLAN := capture(t, "lan")
	changed := make(changes, 16)
	conns, err := OpenUDP(UDPConfig{Listen: []string{":7001"}, Sockets: 2, Outbound: Outbound{Interface: "vpn"}, Changed: func(err error) { changed <- err }})
	if err != nil || len(conns) < 2 {
		t.Fatal(conns, err)
	}
	changed.until(t, says("vpn does not exist"))
	c := conns[0]
	received := make(chan string, 1)
	for _, c := range conns[:2] { // the system chooses the socket by the address of the sender
		go func() {
			ms := []Datagram{{Buf: make([]byte, 100)}}
			for {
				if _, err := c.ReadBatch(ms); err != nil {
					return
				}
				select {
				case received <- string(ms[0].Buf[:ms[0].N]):
				default:
				}
			}
		}()
	}
	for i := range 3 {
		if err := c.WriteTo([]byte("d"), far); !errors.Is(err, ErrNoInterface) {
			t.Fatalf("sent without the interface: %v", err)
		}
		plug(t)
		changed.until(t, isUp)
		text := string(rune('a' + i))
		for answer := ""; answer != text; {
			if err := c.WriteTo([]byte(text), far); err != nil {
				t.Fatal(err)
			}
			select {
			case answer = <-received:
			case <-time.After(100 * time.Millisecond):
			}
		}
		if f, ok := c.(FillLeveler); !ok || f.FillLevel() > 0.5 {
			t.Error("the fill level is not that of the socket")
		}
		unplug(t)
		changed.until(t, says("vpn does not exist"))
	}
	plug(t)
	changed.until(t, isUp)
	for _, c := range conns {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := c.WriteTo([]byte("d"), far); !errors.Is(err, net.ErrClosed) {
		t.Errorf("sent after Close: %v", err)
	}
	if n := onLAN(); n != 0 {
		t.Errorf("%d packets on the other interface", n)
	}
}

// What goes around a Host stays on the interface too: names, HTTP, and connections that a hostile
// server redirects.
func TestOutboundStaysOnItsInterface(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	startEcho(t)
	run(t, `printf 'nameserver 10.8.0.1\noptions timeout:1 attempts:1\n' >/tmp/resolv && mount --bind /tmp/resolv /etc/resolv.conf`)
	onLAN := capture(t, "lan")
	out := Outbound{Interface: "vpn"}
	try := func() {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if as, err := out.LookupNetIP(ctx, "example.org"); err == nil {
			t.Errorf("resolved to %v", as)
		}
		for _, to := range []string{"10.8.0.1:80", "198.51.100.7:80", "example.org:80"} {
			if c, err := out.DialHost(ctx, "tcp", to, nil); err == nil {
				c.Close()
				t.Errorf("connected to %s", to)
			}
		}
	}
	try()
	plug(t)
	onVPN := capture(t, "vpn")
	try()
	if onVPN() == 0 {
		t.Error("nothing was sent over the interface either")
	}
	c, err := out.DialHost(t.Context(), "tcp", far.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if a := out.SourceOf(far); a != netip.MustParseAddr("10.9.0.2") {
		t.Errorf("sends from %v", a)
	}
	unplug(t)
	try()
	if n := onLAN(); n != 0 {
		t.Errorf("%d packets on the other interface", n)
	}
	// The capture works: without an Outbound the same goes over the other interface.
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if c, err := (Outbound{}).DialHost(ctx, "tcp", "198.51.100.7:80", nil); err == nil {
		c.Close()
	}
	if onLAN() == 0 {
		t.Error("the capture saw nothing")
	}
}

// A check sees every address before anything is sent to it, and loopback is not bound.
func TestDialHostChecksEveryAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	refused := errors.New("refused")
	var seen []netip.Addr
	_, err = Outbound{}.DialHost(t.Context(), "tcp", l.Addr().String(), func(a netip.Addr) error {
		seen = append(seen, a)
		return refused
	})
	if !errors.Is(err, refused) || len(seen) != 1 || seen[0] != netip.MustParseAddr("127.0.0.1") {
		t.Errorf("%v, %v", seen, err)
	}
	c, err := Outbound{Interface: "missing0"}.DialHost(t.Context(), "tcp", l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
}

func TestInterfaceNamesAreNotTruncated(t *testing.T) {
	var e *Error
	if err := (Outbound{Interface: "abcdefghijklmnop"}).Check(); !errors.As(err, &e) {
		t.Errorf("%v", err)
	}
	if err := (Outbound{Interface: "abcdefghijklmno"}).Check(); err != nil {
		t.Errorf("an interface that does not exist yet: %v", err)
	}
}

// Local service discovery joins the interface of the Outbound only.
func TestMulticastStaysOnItsInterface(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	plug(t)
	onLAN := capture(t, "lan")
	m, err := OpenMulticast(netip.MustParseAddrPort("239.192.152.143:6771"), []netip.Addr{netip.IPv4Unspecified()}, Outbound{Interface: "vpn"})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for range 3 {
		names, _, err := m.Refresh()
		if err != nil || len(names) != 1 || names[0] != "vpn" {
			t.Fatalf("joined %v: %v", names, err)
		}
		if err := m.Send([]byte("hello")); err != nil {
			t.Fatal(err)
		}
		unplug(t)
		if names, _, err := m.Refresh(); err != nil || len(names) != 0 {
			t.Fatalf("joined %v: %v", names, err)
		}
		plug(t)
	}
	if n := onLAN(); n != 0 {
		t.Errorf("%d packets on the other interface", n)
	}
}
