package option

import (
	"net/netip"
	"testing"
)

// However the address of a machine is written, it is the one that the machine connects from.
func TestNetworksMatchTheirAddresses(t *testing.T) {
	for text, addr := range map[string]string{"10.0.0.1": "10.0.0.1", "::ffff:10.0.0.1": "10.0.0.1", "10.0.0.0/8": "10.9.9.9", "fd00::1": "fd00::1", "fd00::/64": "fd00::2"} {
		if p, err := ParseNetwork(text); err != nil || !p.Contains(netip.MustParseAddr(addr)) {
			t.Errorf("%s does not match %s: %v, %v", text, addr, p, err)
		}
	}
	for _, bad := range []string{"", "proxy.example.org", "10.0.0.1:80", "10.0.0.0/33"} {
		if p, err := ParseNetwork(bad); err == nil {
			t.Errorf("%q: %v", bad, p)
		}
	}
}
