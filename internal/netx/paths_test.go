package netx

import (
	"net/netip"
	"testing"
	"time"
)

// on returns the Local with an address such as 192.168.1.2/24 on an interface.
func on(iface, prefix string) Local { return Local{netip.MustParsePrefix(prefix), iface} }

// pathsOf returns the Paths that use the first of locals for the internet.
func pathsOf(locals ...Local) Paths {
	p := newPaths([2]netip.Addr{}, locals, nil)
	for i := len(locals) - 1; i >= 0; i-- {
		p.Internet[familyOf(locals[i].Prefix.Addr())] = locals[i]
	}
	return p
}

var (
	home    = on("eth0", "192.168.1.2/24")
	office  = on("eth0", "10.1.0.5/16")
	wifi    = on("wlan0", "192.168.1.3/24")
	tunnel  = on("wg0", "10.2.0.2/32")
	lasting = on("eth0", "2001:db8:1::5/64")
	private = on("eth0", "2001:db8:1::99/64")
)

func TestConnectionsAreLostWithTheirPath(t *testing.T) {
	const far, neighbor, far6 = "45.0.0.9", "192.168.1.77", "2001:db8:2::1"
	for name, c := range map[string]struct {
		change        Change
		local, remote string
		want          bool
	}{
		"nothing has changed":             {Change{Before: pathsOf(home), After: pathsOf(home)}, "192.168.1.2", far, false},
		"the address is gone":             {Change{Before: pathsOf(home), After: pathsOf(office)}, "192.168.1.2", far, true},
		"the address is gone, uTP":        {Change{Before: pathsOf(home), After: pathsOf(office)}, "0.0.0.0", far, true},
		"the route is gone":               {Change{Before: pathsOf(home), After: newPaths([2]netip.Addr{}, []Local{home}, nil)}, "192.168.1.2", far, false},
		"the route is gone, uTP":          {Change{Before: pathsOf(home), After: newPaths([2]netip.Addr{}, []Local{home}, nil)}, "0.0.0.0", far, false},
		"the route was gone for a moment": {Change{Before: pathsOf(home), After: pathsOf(home), Interrupted: [2]time.Duration{time.Second}}, "192.168.1.2", far, false},
		"the route was gone for long":     {Change{Before: pathsOf(home), After: pathsOf(home), Interrupted: [2]time.Duration{time.Minute}}, "192.168.1.2", far, true},
		"that of the other family was":    {Change{Before: pathsOf(home), After: pathsOf(home), Interrupted: [2]time.Duration{0, time.Minute}}, "192.168.1.2", far, false},
		"a VPN takes the route":           {Change{Before: pathsOf(home), After: pathsOf(tunnel, home)}, "192.168.1.2", far, true},
		"a VPN takes the route, uTP":      {Change{Before: pathsOf(home), After: pathsOf(tunnel, home)}, "0.0.0.0", far, true},
		"a VPN, and a neighbor":           {Change{Before: pathsOf(home), After: pathsOf(tunnel, home)}, "192.168.1.2", neighbor, false},
		"a VPN, and a neighbor, uTP":      {Change{Before: pathsOf(home), After: pathsOf(tunnel, home)}, "0.0.0.0", neighbor, false},
		"a VPN ends":                      {Change{Before: pathsOf(tunnel, home), After: pathsOf(home)}, "10.2.0.2", far, true},
		"one beside the VPN stays":        {Change{Before: pathsOf(tunnel, home), After: pathsOf(home)}, "192.168.1.2", far, false},
		"another address is preferred":    {Change{Before: pathsOf(lasting, private), After: pathsOf(private, lasting)}, "2001:db8:1::5", far6, false},
		"the same, uTP":                   {Change{Before: pathsOf(lasting, private), After: pathsOf(private, lasting)}, "::", far6, true},
		"the address is on no interface":  {Change{Before: pathsOf(home), After: pathsOf(office)}, "10.5.0.1", far, false},
		"a container starts":              {Change{Before: pathsOf(home), After: pathsOf(home, on("docker0", "172.17.0.1/16"))}, "0.0.0.0", far, false},
		"another interface, one network":  {Change{Before: pathsOf(home, wifi), After: pathsOf(wifi)}, "192.168.1.2", neighbor, true},
		"a short sleep":                   {Change{Before: pathsOf(home), After: pathsOf(home), Slept: time.Minute}, "192.168.1.2", far, false},
		"a long sleep":                    {Change{Before: pathsOf(home), After: pathsOf(home), Slept: time.Hour}, "192.168.1.2", far, true},
		"loopback":                        {Change{Before: pathsOf(home), After: pathsOf(office), Slept: time.Hour}, "127.0.0.1", "127.0.0.1", false},
	} {
		if got := c.change.IsLost(netip.MustParseAddr(c.local), netip.MustParseAddr(c.remote)); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
	if (&Change{After: pathsOf(office), Slept: time.Hour}).IsLost(netip.Addr{}, netip.MustParseAddr("100::1")) {
		t.Error("a connection within this process is lost")
	}
}

// Interfaces of containers have only link-local addresses on the host.
func TestPathsIgnoreLinkLocalAddresses(t *testing.T) {
	has := func(string) bool { return true }
	source := [2]netip.Addr{home.Prefix.Addr()}
	a := newPaths(source, []Local{on("lo", "127.0.0.1/8"), home, lasting}, has)
	b := newPaths(source, []Local{lasting, on("veth1", "fe80::1/64"), home, home}, has)
	if !a.Equal(&b) || len(a.Locals) != 2 || a.Internet != [2]Local{home} {
		t.Errorf("%v, %v", a, b)
	}
	if c := newPaths(source, []Local{home}, func(string) bool { return false }); c.Internet[0] != (Local{}) || len(c.Locals) != 1 {
		t.Errorf("without a carrier: %v", c)
	}
}
