package doctor

import (
	"errors"
	"net/netip"
	"testing"
	"time"

	"seedbed/internal/portmap"
)

func TestWhatIsSaidAboutMappings(t *testing.T) {
	local, gateway := netip.MustParseAddr("192.168.1.2"), netip.MustParseAddr("192.168.1.1")
	mapping := portmap.Mapping{Method: portmap.PCP, Protocol: portmap.TCP, Router: gateway, Asked: 6881,
		Internal: netip.MustParseAddrPort("192.168.1.2:6881"), External: netip.MustParseAddrPort("45.0.0.1:6881"), Lease: time.Hour}
	permanent := mapping
	permanent.Lease = 0
	for _, c := range []struct {
		target  portmap.Target
		verdict Verdict
		text    string
	}{
		{portmap.Target{Local: local, Gateway: gateway, Mappings: []portmap.Mapping{mapping}}, Fine, "mapped 6881 by PCP for 3600 s at 45.0.0.1:6881 (router 192.168.1.1)"},
		{portmap.Target{Local: local, Gateway: gateway, Mappings: []portmap.Mapping{permanent}, Advice: "x"}, Notice, "mapped 6881 by PCP without an end at 45.0.0.1:6881 (router 192.168.1.1)"},
		{portmap.Target{Local: local, Gateway: gateway, Err: errors.New("PCP: no answer"), Advice: "x"}, Notice, "no router maps the port of 192.168.1.2: PCP: no answer"},
		{portmap.Target{Local: local, Gateway: gateway}, Notice, "the router 192.168.1.1 has not answered yet"},
	} {
		if f := mappingFinding(&c.target); f.Verdict != c.verdict || f.Text != c.text || f.Advice != c.target.Advice || f.What != "IPv4" {
			t.Errorf("%+v, want %q", f, c.text)
		}
	}
}
