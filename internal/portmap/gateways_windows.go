package portmap

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/windows"
)

const includeGateways = 0x80 // GAA_FLAG_INCLUDE_GATEWAYS

// defaultGateways asks the system for the adapters and their gateways.
func defaultGateways() (list []gateway, err error) {
	size := uint32(15_000) // as the documentation of GetAdaptersAddresses recommends
	for range 4 {
		b := make([]byte, size)
		first := (*windows.IpAdapterAddresses)(unsafe.Pointer(&b[0]))
		err = windows.GetAdaptersAddresses(windows.AF_UNSPEC, includeGateways, 0, first, &size)
		if err == windows.ERROR_BUFFER_OVERFLOW {
			continue
		}
		if err != nil {
			return nil, err
		}
		for a := first; a != nil; a = a.Next {
			for g := a.FirstGatewayAddress; g != nil; g = g.Next {
				addr, ok := netip.AddrFromSlice(g.Address.IP())
				switch addr = addr.Unmap(); {
				case !ok:
				case addr.Is4():
					list = append(list, gateway{int(a.IfIndex), addr, a.Ipv4Metric})
				default:
					list = append(list, gateway{int(a.Ipv6IfIndex), addr, a.Ipv6Metric})
				}
			}
		}
		return list, nil
	}
	return nil, err
}
