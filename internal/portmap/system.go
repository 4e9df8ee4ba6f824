package portmap

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"syscall"

	"golang.org/x/net/ipv4"

	"seedbed/internal/netx"
	"seedbed/internal/portmap/pcp"
)

// system is what a Mapper needs of the machine. Every socket of the package is opened by it.
type system interface {
	// links returns the interfaces that have a default route or an address.
	links() ([]link, error)
	// source returns the address from which this machine sends to another, or the zero Addr.
	source(to netip.Addr) netip.Addr
	dialUDP(local, to netip.AddrPort) (net.Conn, error)
	dialTCP(ctx context.Context, local netip.Addr, to netip.AddrPort) (net.Conn, error)
	// listenSearch opens a UDP socket for a search of UPnP devices from an IPv4 address.
	listenSearch(local netip.Addr) (net.PacketConn, error)
	// listenAnnouncements opens a UDP socket for what routers send to all hosts on an interface. It
	// may also receive from elsewhere.
	listenAnnouncements(iface string, v6 bool) (net.PacketConn, error)
}

// machine is the system that Start uses.
type machine struct {
	control func(network, address string, c syscall.RawConn) error // Config.Control
}

func (m machine) dialUDP(local, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(local), Control: m.control}
	return d.Dial("udp", to.String())
}

func (m machine) dialTCP(ctx context.Context, local netip.Addr, to netip.AddrPort) (net.Conn, error) {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(local, 0)), KeepAlive: -1, Control: m.control}
	return d.DialContext(ctx, "tcp", to.String())
}

// searchTTL is the time to live of a search. UDA 1.1, 1.3.2, has 2 as the default, and we want no
// answers from beyond the local network.
const searchTTL = 2

func (m machine) listenSearch(local netip.Addr) (net.PacketConn, error) {
	lc := net.ListenConfig{Control: m.control}
	c, err := lc.ListenPacket(context.Background(), "udp4", netip.AddrPortFrom(local, 0).String())
	if err != nil {
		return nil, err
	}
	if err := ipv4.NewPacketConn(c).SetMulticastTTL(searchTTL); err != nil {
		c.Close()
		return nil, err
	}
	if all, err := net.Interfaces(); err == nil {
		for _, i := range all {
			if slices.Contains(prefixes(&i), local) {
				_ = ipv4.NewPacketConn(c).SetMulticastInterface(&i) // the bound address decides otherwise
			}
		}
	}
	return c, nil
}

// allHosts4 and allHosts6 are where routers send announcements: RFC 6886, 3.2.1, and RFC 6887, 14.1.1.
// Every host belongs to these groups, so listening there makes the machine send no reports.
var (
	allHosts4 = netip.AddrPortFrom(netip.AddrFrom4([4]byte{224, 0, 0, 1}), pcp.ClientPort)
	allHosts6 = netip.AddrPortFrom(netip.IPv6LinkLocalAllNodes(), pcp.ClientPort)
)

func (m machine) listenAnnouncements(iface string, v6 bool) (net.PacketConn, error) {
	group := allHosts4
	if v6 {
		group = allHosts6
	}
	return netx.ListenGroup(group, iface, m.control)
}

// prefixes returns the addresses of an interface.
func prefixes(i *net.Interface) (list []netip.Addr) {
	for _, p := range interfacePrefixes(i) {
		list = append(list, p.Addr())
	}
	return list
}

func interfacePrefixes(i *net.Interface) (list []netip.Prefix) {
	all, err := i.Addrs()
	if err != nil {
		return nil // the interface has just gone
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				bits, _ := n.Mask.Size()
				list = append(list, netip.PrefixFrom(ip.Unmap(), bits))
			}
		}
	}
	return list
}

// source asks the system for a route. It sends nothing: connecting a UDP socket only looks it up.
func (m machine) source(to netip.Addr) netip.Addr {
	d := net.Dialer{Control: m.control}
	c, err := d.Dial("udp", netip.AddrPortFrom(to, 9).String())
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return c.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap().WithZone("")
}

// gateway is the router of a default route.
type gateway struct {
	index  int // of the interface
	addr   netip.Addr
	metric uint32
}

// public6 is a public IPv6 address to which the system chooses the source address that peers see.
var public6 = netip.MustParseAddr("2001:4860:4860::8888")

func (m machine) links() ([]link, error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	gateways, err := defaultGateways()
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(gateways, func(a, b gateway) int { return int(int64(a.metric) - int64(b.metric)) })
	preferred := m.source(public6)
	var links []link
	for i := range all {
		nic := &all[i]
		if nic.Flags&net.FlagUp == 0 || nic.Flags&net.FlagLoopback != 0 {
			continue
		}
		l := link{name: nic.Name, metric: 1<<32 - 1}
		for _, p := range interfacePrefixes(nic) {
			switch {
			case p.Addr().Is4():
				l.v4 = append(l.v4, p)
			case p.Addr() == preferred:
				l.v6 = slices.Insert(l.v6, 0, p.Addr())
			default:
				l.v6 = append(l.v6, p.Addr())
			}
		}
		for _, g := range gateways {
			switch {
			case g.index != nic.Index:
				continue
			case g.addr.Is4() && !l.gw4.IsValid():
				l.gw4 = g.addr
			case g.addr.Is6() && !l.gw6.IsValid():
				l.gw6 = g.addr
				if g.addr.IsLinkLocalUnicast() {
					l.gw6 = g.addr.WithZone(nic.Name)
				}
			}
			l.metric = min(l.metric, g.metric)
		}
		links = append(links, l)
	}
	return links, nil
}
