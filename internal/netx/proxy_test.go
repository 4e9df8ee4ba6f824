package netx

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"seedbed/internal/sockstest"
)

func through(s *sockstest.Server) Outbound {
	return Outbound{Proxy: s.Addr(), Username: s.User, Password: s.Password}
}

// startPeer starts a peer that echoes over TCP and UDP at the same port.
func startPeer(t *testing.T) netip.AddrPort {
	t.Helper()
	h := open(t, Config{Listen: []string{"127.0.0.1:0"}})
	go func() {
		for {
			c, err := h.Accept(t.Context())
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(c, c); c.Close() }()
		}
	}()
	u := h.UDP()[0]
	u.Handle(KRPC, func(ms []Datagram) {
		for _, m := range ms {
			_ = u.WriteTo(m.Buf[:m.N], m.Addr)
		}
	})
	return h.Addrs()[0]
}

func openProxied(t *testing.T, cfg Config) *ProxyHost {
	t.Helper()
	h, err := OpenProxy(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// relayedTo returns a channel of what arrives at the IPv4 socket.
func relayedTo(h *ProxyHost) chan Datagram {
	got := make(chan Datagram, 1000)
	h.UDP()[0].Handle(KRPC, func(ms []Datagram) {
		for _, m := range ms {
			m.Buf = bytes.Clone(m.Buf[:m.N])
			got <- m
		}
	})
	return got
}

// exchange sends a datagram until it comes back. It waits for the association.
func exchange(t *testing.T, h *ProxyHost, got chan Datagram, to netip.AddrPort, text string) {
	t.Helper()
	for range 500 {
		_ = h.UDP()[0].WriteTo([]byte(text), to)
		select {
		case m := <-got:
			if string(m.Buf) == text {
				if m.Addr != to {
					t.Errorf("from %v, want %v", m.Addr, to)
				}
				return
			}
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("%q did not come back", text)
}

func TestProxyConnects(t *testing.T) {
	peer := startPeer(t)
	s := sockstest.Start(t, &sockstest.Server{User: "me", Password: "secret"})
	h := openProxied(t, Config{Outbound: through(s)})
	c, err := h.Dial(t.Context(), peer)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if RemoteAddr(c) != peer {
		t.Errorf("the remote address is %v, want that of the peer, %v", RemoteAddr(c), peer)
	}
	b := make([]byte, 4)
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, b); err != nil || string(b) != "ping" {
		t.Fatalf("%q, %v", b, err)
	}
	if got := s.Dialled(); !slices.Equal(got, []string{peer.String()}) {
		t.Errorf("the proxy dialled %v", got)
	}
	if h.Port() != 0 || len(h.Addrs()) != 0 {
		t.Errorf("it listens on %v", h.Addrs())
	}
}

// What the proxy says about a peer is about the peer; what goes wrong with the proxy is not.
func TestProxyErrors(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone := addrPort(closed.Addr())
	closed.Close()
	s := sockstest.Start(t, &sockstest.Server{User: "me", Password: "secret"})
	wrong, none := through(s), through(s)
	wrong.Password, none.Username = "other", ""
	for name, c := range map[string]struct {
		out  Outbound
		why  Reason
		text string
	}{
		"the peer refuses":  {through(s), Refused, "connection refused"},
		"a wrong password":  {wrong, Exhausted, "refused the user name or the password"},
		"no password":       {none, Exhausted, "requires a user name"},
		"no proxy":          {Outbound{Proxy: gone.String()}, Exhausted, "cannot be reached"},
		"not a SOCKS5 host": {Outbound{Proxy: startPeer(t).String()}, Exhausted, "does not speak SOCKS5"},
	} {
		h := openProxied(t, Config{Outbound: c.out})
		_, err := h.Dial(t.Context(), gone)
		if err == nil || ReasonOf(err) != c.why || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v (reason %v)", name, err, ReasonOf(err))
		}
		if errors.Is(err, ErrNoProxy) == (c.why == Refused) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := s.Dialled(); len(got) != 1 {
		t.Errorf("the proxy dialled %v", got)
	}
}

func TestProxyRelaysDatagrams(t *testing.T) {
	for _, zero := range []bool{false, true} {
		peer := startPeer(t)
		s := sockstest.Start(t, &sockstest.Server{ZeroAddr: zero})
		h := openProxied(t, Config{Outbound: through(s)})
		got := relayedTo(h)
		exchange(t, h, got, peer, "d1")
		for range 1000 {
			select {
			case <-got:
				continue
			case <-time.After(50 * time.Millisecond):
			}
			break
		}
		// A batch, of which one datagram has segments.
		ms := []Datagram{{Buf: []byte("d2"), Addr: peer}, {Buf: []byte("d3d4d"), Segment: 2, Addr: peer}}
		if n, err := h.UDP()[0].WriteBatch(ms); n != 2 || err != nil {
			t.Errorf("%d sent: %v", n, err)
		}
		var texts []string
		for range 4 {
			texts = append(texts, string((<-got).Buf))
		}
		if slices.Sort(texts); !slices.Equal(texts, []string{"d", "d2", "d3", "d4"}) {
			t.Errorf("%q", texts)
		}
	}
}

// When the proxy ends the association, another is requested, and datagrams flow again.
func TestProxyAssociatesAgain(t *testing.T) {
	peer := startPeer(t)
	s := sockstest.Start(t, &sockstest.Server{})
	changed := make(chan error, 16)
	h := openProxied(t, Config{Outbound: through(s), Changed: func(err error) { changed <- err }})
	got := relayedTo(h)
	exchange(t, h, got, peer, "d1")
	before := s.Associations()
	s.Drop()
	exchange(t, h, got, peer, "d2")
	if n := s.Associations(); n <= before {
		t.Errorf("%d associations, %d before", n, before)
	}
}

// After a change of the network, an association is replaced if the connection to the proxy is lost, although the
// proxy does not end it.
func TestAssociationsFollowTheNetwork(t *testing.T) {
	peer := startPeer(t)
	s := sockstest.Start(t, &sockstest.Server{})
	h := openProxied(t, Config{Outbound: through(s)})
	h.AwaitRelay(t.Context())
	got := relayedTo(h)
	exchange(t, h, got, peer, "d1")
	first := h.relays[0].await()
	h.NetworkChanged(func(local, remote netip.Addr) bool { return local.Is6() || remote.Is6() })
	exchange(t, h, got, peer, "d2")
	if h.relays[0].await() != first {
		t.Error("an association was replaced that works")
	}
	h.NetworkChanged(func(local, remote netip.Addr) bool { return local.IsLoopback() && remote.IsLoopback() })
	_, _ = io.Copy(io.Discard, first.control) // until it is closed
	for h.relays[0].await() == first {
		time.Sleep(time.Millisecond)
	}
	exchange(t, h, got, peer, "d3")
}

// After a change of the network, a request that the proxy does not answer is made again at once.
func TestRequestsForAssociationsFollowTheNetwork(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := openProxied(t, Config{Outbound: Outbound{Proxy: l.Addr().String()}, Changed: func(err error) { t.Errorf("reported: %v", err) }})
	for range 3 {
		for range h.relays {
			c, err := l.Accept()
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		h.NetworkChanged(func(local, remote netip.Addr) bool { return false })
	}
	h.Close() // before the connections end, which would be reported
}

// Without UDP, nothing is sent around the proxy, and the error says what to do.
func TestProxyWithoutUDP(t *testing.T) {
	peer := startPeer(t)
	s := sockstest.Start(t, &sockstest.Server{NoUDP: true})
	changed := make(chan error, 16)
	h := openProxied(t, Config{Outbound: through(s), Changed: func(err error) { changed <- err }})
	err := <-changed
	var e *Error
	if !errors.As(err, &e) || !errors.Is(err, ErrNoRelay) || !strings.Contains(e.Hint, "UDP ASSOCIATE") {
		t.Fatalf("%v", err)
	}
	relayedTo(h)
	if err := h.UDP()[0].WriteTo([]byte("d"), peer); !errors.Is(err, ErrNoRelay) {
		t.Errorf("%v", err)
	}
	ms := []Datagram{{Buf: []byte("d"), Addr: peer}}
	if n, err := h.UDP()[0].WriteBatch(ms); n != 0 || err == nil || ms[0].Err == nil {
		t.Errorf("%d sent: %v", n, err)
	}
	if c, err := h.Dial(t.Context(), peer); err != nil {
		t.Errorf("TCP works: %v", err)
	} else {
		c.Close()
	}
}

// Names are resolved by the proxy, inside the datagram.
func TestProxyResolvesNamesInDatagrams(t *testing.T) {
	peer := startPeer(t)
	s := sockstest.Start(t, &sockstest.Server{Hosts: map[string]netip.Addr{"boot.example": peer.Addr()}})
	h := openProxied(t, Config{Outbound: through(s)})
	got := relayedTo(h)
	ip, err := h.Ask(t.Context(), "boot.example", peer.Port(), []byte("d8:question"), func(b []byte) bool { return string(b) == "d8:question" })
	if err != nil || ip != peer.Addr() {
		t.Fatalf("%v, %v", ip, err)
	}
	if relayed := s.Relayed(); !slices.Contains(relayed, "boot.example") {
		t.Errorf("the proxy relayed to %v", relayed)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.Ask(ctx, "gone.example", 1, []byte("d"), func([]byte) bool { return false }); err == nil {
		t.Error("a name that does not exist was resolved")
	}
	exchange(t, h, got, peer, "d1") // the handler does not get answers, but the rest
	if _, err := through(s).LookupNetIP(t.Context(), "boot.example"); !errors.Is(err, ErrProxyNames) {
		t.Errorf("resolved here: %v", err)
	}
}

// Datagrams that do not come from the proxy are dropped, and fragments.
func TestProxyDropsWhatIsNotRelayed(t *testing.T) {
	r := newRelay(Outbound{}, 0, netip.IPv4Unspecified(), nil)
	good := []byte("\x00\x00\x00\x01\xc0\x00\x02\x07\x1a\xe1d1")
	for name, c := range map[string]struct {
		b    []byte
		want bool
	}{
		"relayed":      {good, true},
		"a fragment":   {append([]byte{0, 0, 1}, good[3:]...), false},
		"not a header": {[]byte("d1:y"), false},
		"IPv6":         {append([]byte("\x00\x00\x00\x04"), make([]byte, 20)...), false},
		"empty":        {nil, false},
	} {
		m := Datagram{Buf: append(bytes.Clone(c.b), 0), N: len(c.b)}
		if r.unwrap(&m) != c.want || c.want && (string(m.Buf[:m.N]) != "d1" || m.Addr.String() != "192.0.2.7:6881") {
			t.Errorf("%s: %q from %v", name, m.Buf[:m.N], m.Addr)
		}
	}
	if m := (Datagram{Buf: good, N: len(good)}); r.unwrap(&m) {
		t.Error("a datagram was kept that fills the buffer, and may be truncated")
	}
}

func TestDialHostByProxy(t *testing.T) {
	peer := startPeer(t)
	s := sockstest.Start(t, &sockstest.Server{Hosts: map[string]netip.Addr{"mirror.example": peer.Addr()}})
	forbidden := errors.New("forbidden")
	check := func(ip netip.Addr) error {
		if ip.IsPrivate() {
			return forbidden
		}
		return nil
	}
	c, err := through(s).DialHost(t.Context(), "tcp", fmt.Sprintf("mirror.example:%d", peer.Port()), check)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	for _, host := range []string{"10.0.0.1:80", "printer:80", "nas.local:80", "NAS.Local.:80", "localhost.localdomain:80", "127.1:80", "0x7f.0.0.0x1:80", "127.0.0.1.:80"} {
		if _, err := through(s).DialHost(t.Context(), "tcp", host, check); !errors.Is(err, forbidden) && !errors.Is(err, errLocalName) {
			t.Errorf("%s: %v", host, err)
		}
	}
	if c, err := through(s).DialHost(t.Context(), "tcp", peer.String(), nil); err != nil { // loopback
		t.Error(err)
	} else {
		c.Close()
	}
	if got := s.Dialled(); !slices.Equal(got, []string{fmt.Sprintf("mirror.example:%d", peer.Port())}) {
		t.Errorf("the proxy dialled %v", got)
	}
}

func TestProxyDoesNotListen(t *testing.T) {
	_, err := OpenProxy(Config{Listen: []string{":0"}, Outbound: Outbound{Proxy: "127.0.0.1:1"}})
	var e *Error
	if !errors.As(err, &e) || e.Hint == "" {
		t.Errorf("%v", err)
	}
}
