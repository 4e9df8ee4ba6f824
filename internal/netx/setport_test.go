package netx

import (
	"errors"
	"io"
	"net"
	"testing"
)

// A Host moves to another port: connections and handlers go on, and the old port is free.
func TestSetPort(t *testing.T) {
	h, peer := open(t, Config{Listen: []string{"127.0.0.1:0"}}), open(t, Config{Listen: []string{"127.0.0.1:0"}})
	got := make(chan string, 10)
	h.UDP()[0].Handle(KRPC, func(ms []Datagram) {
		for _, m := range ms {
			got <- string(m.Buf[:m.N])
		}
	})
	connect := func() (ours, theirs net.Conn) {
		t.Helper()
		theirs, err := peer.Dial(t.Context(), h.Addrs()[0])
		if err != nil {
			t.Fatal(err)
		}
		ours, err = h.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { ours.Close(); theirs.Close() })
		return ours, theirs
	}
	ours, theirs := connect()
	old := h.Addrs()[0]
	for range 3 {
		before := h.Port()
		if err := h.SetPort(0); err != nil {
			t.Fatal(err)
		}
		if h.Port() == before || h.Addrs()[0].Port() != h.Port() || h.UDP()[0].LocalAddr() != h.Addrs()[0] {
			t.Errorf("port %d after %d: %v %v", h.Port(), before, h.Addrs(), h.UDP()[0].LocalAddr())
		}
		if err := peer.UDP()[0].WriteTo([]byte("d new"), h.Addrs()[0]); err != nil {
			t.Error(err)
		}
		if s := <-got; s != "d new" {
			t.Error(s)
		}
		connect()
	}
	if _, err := ours.Write([]byte("on")); err != nil {
		t.Error(err)
	}
	if b, err := io.ReadFull(theirs, make([]byte, 2)); err != nil {
		t.Errorf("%d bytes, %v", b, err)
	}
	if c, err := peer.Dial(t.Context(), old); err == nil {
		c.Close()
		t.Error("the old port is open")
	}
	again := open(t, Config{Listen: []string{old.String()}})

	var taken *Error
	if err := h.SetPort(again.Port()); !errors.As(err, &taken) {
		t.Errorf("a port in use: %v", err)
	}
	if err := h.SetPort(h.Port()); err != nil {
		t.Error(err)
	}
	connect()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if err := h.SetPort(0); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after Close: %v", err)
	}
}
