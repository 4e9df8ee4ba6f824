package netx

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(namespaceEnv) != "" { // one test in a process of its own; name lookups there end with their timeout
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// namespaceEnv has the name of the test that runs in a network namespace; see inNamespace.
const namespaceEnv = "NETX_NAMESPACE"

func open(t *testing.T, cfg Config) *Host {
	t.Helper()
	h, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

func TestOpenUsesOnePortForAll(t *testing.T) {
	h := open(t, Config{Listen: []string{":0"}})
	if h.Port() == 0 {
		t.Fatal("no port")
	}
	want := []netip.AddrPort{netip.AddrPortFrom(netip.IPv4Unspecified(), h.Port())}
	if hasIPv6() {
		want = append(want, netip.AddrPortFrom(netip.IPv6Unspecified(), h.Port()))
	}
	if got := h.Addrs(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
	if len(h.UDP()) != len(want) {
		t.Errorf("%d UDP sockets", len(h.UDP()))
	}
	for i, c := range h.UDP() {
		if c.LocalAddr() != want[i] {
			t.Errorf("UDP on %v, want %v", c.LocalAddr(), want[i])
		}
	}
}

func TestOpenGivenAddresses(t *testing.T) {
	h := open(t, Config{Listen: []string{"127.0.0.1:0"}})
	if got := fmt.Sprint(h.Addrs()); got != fmt.Sprintf("[127.0.0.1:%d]", h.Port()) {
		t.Error(got)
	}
	h = open(t, Config{Listen: []string{"localhost:0"}})
	if a := h.Addrs()[0].Addr(); !a.IsLoopback() {
		t.Error(a)
	}
	if hasIPv6() {
		h = open(t, Config{Listen: []string{"127.0.0.1:0", "[::1]:0"}})
		if got := fmt.Sprint(h.Addrs()); got != fmt.Sprintf("[127.0.0.1:%d [::1]:%[1]d]", h.Port()) {
			t.Error(got)
		}
	}
}

// holders occupy a port in each way in which another program may.
var holders = map[string]func(t *testing.T, port uint16){
	"another seedbed": func(t *testing.T, port uint16) {
		open(t, Config{Listen: []string{fmt.Sprintf("127.0.0.1:%d", port)}})
	},
	"a TCP listener": func(t *testing.T, port uint16) {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
	},
	"a UDP socket": func(t *testing.T, port uint16) {
		c, err := net.ListenPacket("udp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
	},
}

// freePort returns a port that was free for TCP and UDP a moment ago.
func freePort(t *testing.T) uint16 {
	t.Helper()
	h, err := Open(Config{Listen: []string{":0"}})
	if err != nil {
		t.Fatal(err)
	}
	h.Close()
	return h.Port()
}

func TestGivenPortInUseIsAnError(t *testing.T) {
	for name, hold := range holders {
		t.Run(name, func(t *testing.T) {
			port := freePort(t)
			hold(t, port)
			for _, host := range []string{"127.0.0.1", ""} {
				spec := fmt.Sprintf("%s:%d", host, port)
				h, err := Open(Config{Listen: []string{spec}})
				if err == nil {
					h.Close()
					t.Fatalf("%s could be opened", spec)
				}
				var e *Error
				if !errors.As(err, &e) || !strings.Contains(err.Error(), fmt.Sprintf(":%d is in use", port)) || !strings.Contains(err.Error(), "another port") {
					t.Errorf("%s: %v", spec, err)
				}
			}
		})
	}
}

func TestDefaultPortInUseIsReplaced(t *testing.T) {
	for name, hold := range holders {
		t.Run(name, func(t *testing.T) {
			port := freePort(t)
			hold(t, port)
			h := open(t, Config{DefaultPort: port})
			if h.Port() == port || h.Port() == 0 {
				t.Errorf("port %d, taken %d", h.Port(), port)
			}
			for _, a := range h.Addrs() {
				if a.Port() != h.Port() {
					t.Errorf("%v beside port %d", a, h.Port())
				}
			}
		})
	}
	t.Run("nobody", func(t *testing.T) {
		port := freePort(t)
		if h := open(t, Config{DefaultPort: port}); h.Port() != port {
			t.Errorf("port %d, and %d was free", h.Port(), port)
		}
	})
}

func TestOpenAgainAtOnce(t *testing.T) {
	port := freePort(t)
	for range 3 {
		h := open(t, Config{Listen: []string{fmt.Sprintf(":%d", port)}})
		c, err := h.Dial(t.Context(), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), listenerPort(t)))
		if err != nil {
			t.Fatal(err)
		}
		c.Close() // leaves the port in TIME_WAIT, which must not keep us from using it
		h.Close()
	}
}

// listenerPort returns the port of a listener that accepts connections and keeps them.
func listenerPort(t *testing.T) uint16 {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return addrPort(l.Addr()).Port()
}

func TestListenErrorsAreSentences(t *testing.T) {
	for spec, want := range map[string]string{
		"6881":                 "is not an address to listen on; write HOST:PORT",
		"":                     "is not an address to listen on; write HOST:PORT",
		"::1:6881":             "is not an address to listen on; write HOST:PORT",
		":http-ish":            `has the port "http-ish", which is not a number from 0 to 65535`,
		"1.2.3.4:65536":        `has the port "65536", which is not a number from 0 to 65535`,
		"no.such.invalid:6881": `"no.such.invalid" cannot be resolved; check the name`,
		"192.0.2.77:0":         "192.0.2.77:0 is not an address of this machine; use one of its addresses",
	} {
		h, err := Open(Config{Listen: []string{spec}})
		if err == nil {
			h.Close()
			t.Errorf("%q could be opened", spec)
			continue
		}
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", spec, err)
		}
	}
	_, err := Open(Config{Listen: []string{"127.0.0.1:7001", "[::1]:7002"}})
	if err == nil || !strings.Contains(err.Error(), "has a different port than 127.0.0.1:7001") {
		t.Error(err)
	}
}

// With SO_REUSEPORT alone, all of these binds would succeed.
func TestOnlyOneOfManyProcessesGetsThePort(t *testing.T) {
	port := freePort(t)
	start, results := make(chan struct{}), make(chan *Host)
	const many = 16
	for range many {
		go func() {
			<-start
			h, err := Open(Config{Listen: []string{fmt.Sprintf(":%d", port)}})
			if err != nil && !errors.Is(err, errTaken) {
				t.Error(err)
			}
			results <- h
		}()
	}
	close(start)
	winners := 0
	for range many {
		if h := <-results; h != nil {
			winners++
			defer h.Close()
		}
	}
	if winners != 1 {
		t.Errorf("%d have the port", winners)
	}
}

func TestFamilyThatTheMachineLacks(t *testing.T) {
	here, gone := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("2001:db8::77")
	socks, err := bindPort(Outbound{}, []target{{here, true}, {gone, true}}, 0)
	if err != nil || len(socks) != 1 || socks[0].ip != here {
		t.Fatal(socks, err)
	}
	socks[0].close()
	if _, err := bindPort(Outbound{}, []target{{here, true}, {gone, false}}, 0); err == nil {
		t.Error("an address that was requested explicitly was omitted")
	}
	if _, err := bindPort(Outbound{}, []target{{gone, true}}, 0); err == nil {
		t.Error("a Host without addresses")
	}
}
