package addrs

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// registry lists the IANA special-purpose registries for IPv4 and IPv6 (as of 2025), the
// ranges that the address space registries reserve, and neighboring ranges that are not
// special.
var registry = []struct {
	prefix string
	scope  Scope
}{
	// IPv4 special-purpose ranges.
	{"0.0.0.0/8", Never}, {"0.0.0.0/32", Never}, {"10.0.0.0/8", Private}, {"100.64.0.0/10", Private},
	{"127.0.0.0/8", Loopback}, {"169.254.0.0/16", LinkLocal}, {"172.16.0.0/12", Private},
	{"192.0.0.0/24", Special}, {"192.0.0.0/29", Special}, {"192.0.0.8/32", Special}, {"192.0.0.9/32", Special},
	{"192.0.0.10/32", Special}, {"192.0.0.170/32", Special}, {"192.0.0.171/32", Special}, {"192.0.2.0/24", Special},
	{"192.31.196.0/24", Public}, {"192.52.193.0/24", Public}, {"192.88.99.0/24", Special}, {"192.168.0.0/16", Private},
	{"192.175.48.0/24", Public}, {"198.18.0.0/15", Special}, {"198.51.100.0/24", Special}, {"203.0.113.0/24", Special},
	{"240.0.0.0/4", Never}, {"255.255.255.255/32", Never},
	{"224.0.0.0/4", Never}, // multicast
	// Their IPv4 neighbors.
	{"1.0.0.0/8", Public}, {"11.0.0.0/8", Public}, {"100.0.0.0/10", Public}, {"100.128.0.0/9", Public}, {"126.0.0.0/8", Public},
	{"128.0.0.0/8", Public}, {"169.253.0.0/16", Public}, {"169.255.0.0/16", Public}, {"172.0.0.0/12", Public}, {"172.32.0.0/11", Public},
	{"192.0.1.0/24", Public}, {"192.0.3.0/24", Public}, {"192.167.0.0/16", Public}, {"192.169.0.0/16", Public},
	{"198.16.0.0/15", Public}, {"198.20.0.0/14", Public}, {"198.51.101.0/24", Public}, {"203.0.112.0/24", Public}, {"203.0.114.0/24", Public},
	{"223.0.0.0/8", Public},
	// IPv6 special-purpose ranges.
	{"::1/128", Loopback}, {"::/128", Never}, {"::ffff:0:0/104", Never}, {"::ffff:10.0.0.0/104", Private}, {"::ffff:8.0.0.0/104", Public},
	{"64:ff9b::808:0/112", Public}, {"64:ff9b::a00:0/104", Never}, {"64:ff9b::7f00:0/104", Never}, {"64:ff9b:1::/48", Special},
	{"100::/64", Never}, {"100:0:0:1::/64", Never}, {"2001::/23", Special}, {"2001::/32", Special}, {"2001:1::1/128", Special},
	{"2001:1::2/128", Special}, {"2001:1::3/128", Special}, {"2001:2::/48", Special}, {"2001:3::/32", Special},
	{"2001:4:112::/48", Special}, {"2001:10::/28", Special}, {"2001:20::/28", Special}, {"2001:30::/28", Special},
	{"2001:db8::/32", Special}, {"2002::/16", Special}, {"2620:4f:8000::/48", Public}, {"3fff::/20", Special}, {"5f00::/16", Never},
	{"fc00::/7", Private}, {"fe80::/10", LinkLocal},
	// IPv6 address space, reserved or deprecated.
	{"::7f00:0/104", Never}, {"::808:0/112", Never}, {"::ffff:0:0:0/96", Never}, {"fec0::/10", Private}, {"ff00::/8", Never},
	{"200::/7", Special}, {"400::/6", Special}, {"800::/5", Special}, {"1000::/4", Special}, {"4000::/4", Special}, {"8000::/2", Special}, {"fe00::/9", Special},
	// Their IPv6 neighbors.
	{"2001:200::/23", Public}, {"2001:470::/32", Public}, {"2001:db7::/32", Public}, {"2001:db9::/32", Public}, {"2003::/18", Public},
	{"2606:4700::/32", Public}, {"2a00::/12", Public}, {"3ffe::/16", Public}, {"2000::/16", Public},
}

// within returns the first and last address of a prefix and some in between.
func within(p netip.Prefix) (ips []netip.Addr) {
	rng := rand.New(rand.NewPCG(1, 2))
	for k := range 50 {
		b := p.Addr().AsSlice()
		for bit := p.Bits(); bit < len(b)*8; bit++ {
			if k == 1 || k > 1 && rng.IntN(2) == 0 {
				b[bit/8] |= 0x80 >> (bit % 8)
			}
		}
		ip, _ := netip.AddrFromSlice(b)
		ips = append(ips, ip)
	}
	return ips
}

func TestScopesAreThoseOfTheRegistries(t *testing.T) {
	for _, r := range registry {
		for _, ip := range within(netip.MustParsePrefix(r.prefix)) {
			if got := ScopeOf(ip); got != r.scope {
				t.Errorf("%v of %s is %v, want %v", ip, r.prefix, got, r.scope)
				break
			}
		}
	}
	if ScopeOf(netip.Addr{}) != Never || ScopeOf(netip.MustParseAddr("fe80::1%eth0")) != LinkLocal || ScopeOf(netip.MustParseAddr("fd00::1%eth0")) != Private {
		t.Error("no address, or one with a zone")
	}
}

// naive is ScopeOf without its shortcuts, using the functions of netip where they exist.
func naive(ip netip.Addr) Scope {
	ip = ip.Unmap()
	for _, b := range append(special4[:len(special4):len(special4)], special6...) {
		if b.prefix.Contains(ip) {
			return b.scope
		}
	}
	switch {
	case nat64.Contains(ip):
		if b := ip.As16(); naive(netip.AddrFrom4([4]byte(b[12:]))) == Public {
			return Public
		}
		return Never
	case ip.Is4() || ip.As16()[0]&0xe0 == 0x20:
		return Public
	}
	return Special
}

var anyIP = rapid.Custom(func(t *rapid.T) netip.Addr {
	list := special4
	if rapid.Bool().Draw(t, "v6") {
		list = special6
	}
	p := rapid.SampledFrom(list).Draw(t, "prefix").prefix
	b := p.Addr().AsSlice()
	for i := rapid.IntRange(0, len(b)-1).Draw(t, "from"); i < len(b); i++ {
		b[i] = rapid.Byte().Draw(t, "byte")
	}
	ip, _ := netip.AddrFromSlice(b)
	return ip
})

func TestPredicatesAgreeWithTheScope(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ip := anyIP.Draw(t, "ip")
		s := ScopeOf(ip)
		if s != naive(ip) {
			t.Fatalf("%v is %v, naive result %v", ip, s, naive(ip))
		}
		a := netip.AddrPortFrom(ip, 1)
		if ip.Is4In6() {
			if IsUsable(a, true) {
				t.Fatalf("%v is usable", a)
			}
			a = netip.AddrPortFrom(ip.Unmap(), 1)
		}
		switch {
		case IsPublic(ip) != (s == Public), IsUsable(a, false) != IsPublic(ip), IsUsable(a, true) != (s != Never),
			IsLocal(ip) && IsPublic(ip), IsUsable(netip.AddrPortFrom(ip, 0), true):
			t.Fatalf("%v, %v: public %v, local %v, usable %v and relaxed %v", ip, s, IsPublic(ip), IsLocal(ip), IsUsable(a, false), IsUsable(a, true))
		}
		// The results agree with netip.
		u := ip.Unmap()
		if u.IsLoopback() != (s == Loopback) || u.IsLinkLocalUnicast() != (s == LinkLocal) || u.IsPrivate() && s != Private ||
			(u.IsMulticast() || u.IsUnspecified()) && s != Never {
			t.Fatalf("%v is %v", ip, s)
		}
	})
}

// A DHT node has no port below 1024, except in a private network.
func TestIsNode(t *testing.T) {
	for _, c := range []struct {
		a               string
		strict, relaxed bool
	}{
		{"8.8.8.8:1024", true, true}, {"8.8.8.8:6881", true, true}, {"[2606:4700::1111]:6881", true, true},
		{"8.8.8.8:1023", false, false}, {"8.8.8.8:53", false, false}, {"8.8.8.8:0", false, false}, {"[2606:4700::1111]:123", false, false},
		{"10.0.0.1:53", false, true}, {"127.0.0.1:1", false, true}, {"10.0.0.1:6881", false, true}, {"192.0.2.1:53", false, false},
	} {
		a := netip.MustParseAddrPort(c.a)
		if IsNode(a, false) != c.strict || IsNode(a, true) != c.relaxed {
			t.Errorf("%s: %v, relaxed %v", c.a, IsNode(a, false), IsNode(a, true))
		}
	}
}

func TestHost(t *testing.T) {
	for in, want := range map[string]string{
		"1.2.3.4": "1.2.3.4", "::ffff:1.2.3.4": "1.2.3.4", "64:ff9b::102:304": "1.2.3.4", "2a00::1": "2a00::1", "fe80::1%eth0": "fe80::1",
		"64:ff9b:1::102:304": "64:ff9b:1::102:304",
	} {
		if got := Host(netip.MustParseAddr(in)); got.String() != want {
			t.Errorf("Host(%s) is %v, want %s", in, got, want)
		}
	}
}

func TestClientNet(t *testing.T) {
	for ip, want := range map[string]string{
		"192.0.2.1": "192.0.2.1/32", "::ffff:192.0.2.1": "192.0.2.1/32", "64:ff9b::192.0.2.1": "192.0.2.1/32",
		"2001:db8:0:1:2::3": "2001:db8:0:1::/64", "fe80::1%eth0": "fe80::/64",
		"127.0.0.1": "127.0.0.0/8", "127.9.9.9": "127.0.0.0/8", "::1": "127.0.0.0/8",
	} {
		if got := ClientNet(netip.MustParseAddr(ip)); got.String() != want {
			t.Errorf("%s: %v, want %s", ip, got, want)
		}
	}
}

func TestCompactForm(t *testing.T) {
	for _, tt := range []struct{ addr, compact string }{
		{"1.2.3.4:6881", "\x01\x02\x03\x04\x1a\xe1"},
		{"[2001:db8::1]:80", "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x50"},
	} {
		a := netip.MustParseAddrPort(tt.addr)
		if b := Append([]byte("x"), a); string(b) != "x"+tt.compact {
			t.Errorf("%v is written as %x", a, b)
		}
		if got := Parse([]byte(tt.compact)); got != a {
			t.Errorf("%x is read as %v", tt.compact, got)
		}
	}
	mapped := netip.MustParseAddrPort("[::ffff:1.2.3.4]:6881")
	if b := Append(nil, mapped); string(b) != "\x01\x02\x03\x04\x1a\xe1" {
		t.Errorf("a mapped address is written as %x", b)
	}
	ip := mapped.Addr().As16()
	if a := Parse(append(ip[:], 0x1a, 0xe1)); a != netip.MustParseAddrPort("1.2.3.4:6881") {
		t.Errorf("a mapped address is read as %v", a)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("\x01\x02\x03\x04\x1a\xe1"))
	f.Add(make([]byte, 18))
	f.Add([]byte("four"))
	f.Fuzz(func(t *testing.T, b []byte) {
		a := Parse(b)
		if a.IsValid() != (len(b) == Len4 || len(b) == Len6) {
			t.Fatalf("%x is read as %v", b, a)
		}
		if ip := ParseIP(b); ip.IsValid() != (len(b) == 4 || len(b) == 16) {
			t.Fatalf("%x is read as %v", b, ip)
		}
		if !a.IsValid() {
			return
		}
		if c := Append(nil, a); !bytes.Equal(c, b) && len(c) == len(b) || Parse(c) != a {
			t.Fatalf("%x became %x", b, c)
		}
	})
}
