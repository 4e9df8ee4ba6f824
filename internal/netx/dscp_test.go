package netx

import (
	"net"
	"runtime"
	"testing"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

func TestDSCPNames(t *testing.T) {
	for text, want := range map[string]DSCP{"default": 0, "0": 0, "le": 1, "1": 1, "46": 46, "63": 63} {
		if d, err := ParseDSCP(text); err != nil || d != want {
			t.Errorf("%s: %v, %v", text, d, err)
		}
	}
	for _, text := range []string{"", "64", "-1", "LE", "ef", "256"} {
		if d, err := ParseDSCP(text); err == nil {
			t.Errorf("%q is %v", text, d)
		}
	}
	for d := DSCP(0); d <= maxDSCP; d++ {
		if again, err := ParseDSCP(d.String()); err != nil || again != d {
			t.Errorf("%v: %v, %v", d, again, err)
		}
	}
}

// trafficClass returns the TOS or traffic class byte of a socket.
func trafficClass(t *testing.T, c net.Conn) (class int) {
	t.Helper()
	var err error
	if addrPort(c.LocalAddr()).Addr().Is4() {
		class, err = ipv4.NewConn(c).TOS()
	} else {
		class, err = ipv6.NewConn(c).TrafficClass()
	}
	if err != nil {
		t.Fatal(err)
	}
	return class
}

func TestAllSocketsAreMarked(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the system decides")
	}
	for _, ip := range []string{"127.0.0.1", "::1"} {
		if ip == "::1" && !hasIPv6() {
			continue
		}
		marked, err := Open(Config{Listen: []string{net.JoinHostPort(ip, "0")}, DSCP: LowerEffort})
		if err != nil {
			t.Fatal(err)
		}
		defer marked.Close()
		plain, err := Open(Config{Listen: []string{net.JoinHostPort(ip, "0")}})
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Close()
		if err := marked.SetPort(0); err != nil { // another port counts too
			t.Fatal(err)
		}
		const want = 1 << 2
		udp := (*marked.UDP()[0].conn.Load()).(*udpConn)
		if got := trafficClass(t, udp.c); got != want {
			t.Errorf("%s: UDP has %d", ip, got)
		}
		for _, from := range []*Host{marked, plain} {
			to := map[*Host]*Host{marked: plain, plain: marked}[from]
			out, err := from.Dial(t.Context(), to.Addrs()[0])
			if err != nil {
				t.Fatal(err)
			}
			defer out.Close()
			in, err := to.Accept(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			ours, theirs := out, in
			if from == plain {
				ours, theirs = in, out
			}
			if a, b := trafficClass(t, ours), trafficClass(t, theirs); a != want || b != 0 {
				t.Errorf("%s: the marked end has %d, the other %d", ip, a, b)
			}
		}
	}
}
