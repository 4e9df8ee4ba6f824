//go:build darwin || dragonfly || freebsd || netbsd || openbsd

package portmap

import (
	"net/netip"
	"syscall"

	"golang.org/x/net/route"
)

// defaultGateways reads the routing table.
func defaultGateways() (list []gateway, err error) {
	b, err := route.FetchRIB(syscall.AF_UNSPEC, route.RIBTypeRoute, 0)
	if err != nil {
		return nil, err
	}
	messages, err := route.ParseRIB(route.RIBTypeRoute, b)
	if err != nil {
		return nil, err
	}
	const wanted = syscall.RTF_UP | syscall.RTF_GATEWAY
	for _, m := range messages {
		r, ok := m.(*route.RouteMessage)
		if !ok || r.Flags&wanted != wanted || len(r.Addrs) <= syscall.RTAX_NETMASK {
			continue
		}
		to, gw := addrOf(r.Addrs[syscall.RTAX_DST]), addrOf(r.Addrs[syscall.RTAX_GATEWAY])
		mask := addrOf(r.Addrs[syscall.RTAX_NETMASK])
		if to.IsUnspecified() && gw.IsValid() && (!mask.IsValid() || mask.IsUnspecified()) {
			// The system has one default route for each interface and family, in order.
			list = append(list, gateway{r.Index, gw, uint32(len(list))})
		}
	}
	return list, nil
}

func addrOf(a route.Addr) netip.Addr {
	switch a := a.(type) {
	case *route.Inet4Addr:
		return netip.AddrFrom4(a.IP)
	case *route.Inet6Addr:
		return netip.AddrFrom16(a.IP)
	}
	return netip.Addr{}
}
