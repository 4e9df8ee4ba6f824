package netx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/libp2p/go-reuseport"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"seedbed/internal/addrs"
)

// Multicast sends datagrams to one multicast group and receives them from it, over every
// interface of this machine that connects it to a local network. Other programs may use the
// same group and port.
//
// One goroutine may call Refresh and Send, and another one Read.
type Multicast struct {
	group  netip.AddrPort
	listen []netip.Addr
	out    Outbound
	in     *groupConn
	links  []*link // joined; owned by the caller of Refresh
	joined atomic.Pointer[[]lan]
}

// maxLANs is the maximum number of interfaces that a Multicast uses. Linux allows a socket 20
// memberships by default.
const maxLANs = 16

// A lan is an interface that connects this machine to a local network.
type lan struct {
	index    int
	name     string
	source   netip.Addr     // send from this address; unspecified: the system chooses one
	prefixes []netip.Prefix // its addresses of the family of the group
}

// A link is a lan whose group we have joined, and the socket that sends over it.
type link struct {
	lan
	out *groupConn
}

// OpenMulticast opens a socket for the datagrams of a group. It joins no interface before
// Refresh. listen are the addresses at which this machine can be reached, as in
// [Listener.Addrs]: only their interfaces are used. An unspecified address stands for all of
// its family. If out has an interface, no other one is joined.
func OpenMulticast(group netip.AddrPort, listen []netip.Addr, out Outbound) (*Multicast, error) {
	lc := net.ListenConfig{Control: reuseport.Control}
	local := netip.AddrPortFrom(target{ip: group.Addr()}.unspecified(), group.Port())
	c, err := listenGroup(&lc, local)
	if err != nil {
		return nil, fmt.Errorf("cannot receive from the multicast group %s: %w", group, err)
	}
	c.tellDestinations()
	m := &Multicast{group: group, listen: listen, out: out, in: c}
	m.joined.Store(new([]lan))
	return m, nil
}

// unspecified returns the unspecified address of the family.
func (t target) unspecified() netip.Addr {
	if t.ip.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}

// Refresh joins the group on interfaces that have appeared and leaves those that have
// disappeared. It returns the names of all that are joined, and whether any is new.
func (m *Multicast) Refresh() (names []string, isNew bool, err error) {
	all, err := net.Interfaces()
	if err != nil {
		return nil, false, fmt.Errorf("cannot list the network interfaces: %w", err)
	}
	var wanted []lan
	for _, i := range all {
		if m.out.Interface != "" && i.Name != m.out.Interface {
			continue
		}
		if l, ok := lanOf(&i, interfacePrefixes(&i), m.group.Addr(), m.listen); ok && len(wanted) < maxLANs {
			wanted = append(wanted, l)
		}
	}
	kept := m.links[:0]
	for _, l := range m.links {
		if slices.ContainsFunc(wanted, l.equal) {
			kept = append(kept, l)
		} else {
			_ = m.in.leave(l.index, m.group.Addr()) // it fails if the interface is gone
			l.out.Close()
		}
	}
	clear(m.links[len(kept):])
	m.links = kept
	var errs []error
	for _, w := range wanted {
		if slices.ContainsFunc(m.links, func(l *link) bool { return l.equal(w) }) {
			continue
		}
		l, err := m.join(w)
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot join the multicast group %s on %s: %w", m.group.Addr(), w.name, err))
			continue
		}
		m.links, isNew = append(m.links, l), true
	}
	joined := make([]lan, len(m.links))
	for i, l := range m.links {
		joined[i], names = l.lan, append(names, l.name)
	}
	m.joined.Store(&joined)
	return names, isNew, errors.Join(errs...)
}

func (l *lan) equal(m lan) bool {
	return l.index == m.index && l.name == m.name && l.source == m.source && slices.Equal(l.prefixes, m.prefixes)
}

// join joins the group on an interface and opens a socket that sends over it.
func (m *Multicast) join(l lan) (*link, error) {
	out, err := listenGroup(&net.ListenConfig{Control: m.out.control(nil)}, netip.AddrPortFrom(l.source, 0))
	if err == nil {
		err = errors.Join(out.sendOver(l.index), m.in.join(l.index, m.group.Addr()))
		if err != nil {
			out.Close()
		}
	}
	if err != nil {
		return nil, err
	}
	return &link{l, out}, nil
}

// Send sends a datagram to the group over each joined interface. It reaches the local network
// only, and other programs on this machine. If it cannot be sent over one, it is still sent over
// the others.
func (m *Multicast) Send(b []byte) error {
	var errs []error
	to := net.UDPAddrFromAddrPort(m.group)
	for _, l := range m.links {
		if _, err := l.out.WriteTo(b, to); err != nil {
			errs = append(errs, fmt.Errorf("cannot send over %s: %w", l.name, err))
		}
	}
	return errors.Join(errs...)
}

// Read waits for a datagram to the group from a neighbor and returns its length and source.
// It fails only if the socket is closed (net.ErrClosed).
//
// A neighbor has an address of the network of a joined interface, or a private address. Others are
// ignored: a datagram from outside the local network was not sent by a peer there. So are
// IPv6 link-local addresses, to which nobody can connect without knowing the interface.
func (m *Multicast) Read(b []byte) (int, netip.AddrPort, error) {
	for {
		n, at, from, err := m.in.read(b)
		switch {
		case errors.Is(err, net.ErrClosed):
			return 0, netip.AddrPort{}, net.ErrClosed
		case err != nil:
			time.Sleep(firstPause) // the machine lacks some resource
		case at.dst.IsValid() && at.dst != m.group.Addr():
		case isNeighbor(*m.joined.Load(), at.index, from.Addr()):
			return n, from, nil
		}
	}
}

// Close closes all sockets. Refresh and Send must not run.
func (m *Multicast) Close() {
	for _, l := range m.links {
		l.out.Close()
	}
	m.links = nil
	m.in.Close()
}

// isNeighbor reports whether a datagram from an address may come from the local network. index is
// that of the interface by which it arrived, or 0 if that is not known.
func isNeighbor(joined []lan, index int, from netip.Addr) bool {
	scope := addrs.ScopeOf(from)
	if scope == addrs.Never || scope == addrs.Loopback || scope == addrs.LinkLocal && from.Is6() {
		return false
	}
	for i := range joined {
		if l := &joined[i]; index == 0 || l.index == index {
			if scope == addrs.Private || slices.ContainsFunc(l.prefixes, func(p netip.Prefix) bool { return p.Contains(from) }) {
				return true
			}
		}
	}
	return false
}

// lanOf returns the local network of an interface with these addresses. ok is false if the
// interface has none for the group's family:
//
//   - The interface must be up and support multicast. Loopback does not, and tunnels to one
//     other machine (point to point, as a VPN has) are no local network.
//   - It must have an address at which peers can connect to us, because others learn it from the
//     source of what we send. For IPv6 this is not a link-local address.
func lanOf(i *net.Interface, prefixes []netip.Prefix, group netip.Addr, listen []netip.Addr) (l lan, ok bool) {
	const need, not = net.FlagUp | net.FlagMulticast, net.FlagLoopback | net.FlagPointToPoint
	if i.Flags&need != need || i.Flags&not != 0 {
		return lan{}, false
	}
	l = lan{index: i.Index, name: i.Name}
	for _, p := range prefixes {
		ip := p.Addr()
		if ip.Is4() != group.Is4() || ip.Is6() && ip.IsLinkLocalUnicast() {
			continue
		}
		l.prefixes = append(l.prefixes, p)
		for _, a := range listen {
			switch {
			case a == ip && !l.source.IsValid():
				l.source = a
			case a.IsUnspecified() && a.Is4() == ip.Is4():
				l.source = a
			}
		}
	}
	return l, l.source.IsValid()
}

// interfacePrefixes returns the addresses of an interface, none if it has just disappeared.
func interfacePrefixes(i *net.Interface) (list []netip.Prefix) {
	all, _ := i.Addrs()
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok {
			ip, _ := netip.AddrFromSlice(n.IP)
			ones, _ := n.Mask.Size()
			list = append(list, netip.PrefixFrom(ip.Unmap(), ones))
		}
	}
	return list
}

// groupConn is a UDP socket of one family with the options of multicast.
type groupConn struct {
	*net.UDPConn
	four *ipv4.PacketConn // one of these is nil
	six  *ipv6.PacketConn
}

func listenGroup(lc *net.ListenConfig, local netip.AddrPort) (*groupConn, error) {
	pc, err := lc.ListenPacket(context.Background(), target{ip: local.Addr()}.network("udp"), local.String())
	if err != nil {
		return nil, err
	}
	g := &groupConn{UDPConn: pc.(*net.UDPConn)}
	if local.Addr().Is4() {
		g.four = ipv4.NewPacketConn(pc)
	} else {
		g.six = ipv6.NewPacketConn(pc)
	}
	return g, nil
}

// ListenGroup opens a socket that receives what is sent to a multicast group over one interface. Other
// programs may use the same port. control may be nil; it is called as [net.ListenConfig.Control] is. The
// socket also receives what is sent to the port otherwise, so the caller must check the sources.
func ListenGroup(group netip.AddrPort, iface string, control func(network, address string, c syscall.RawConn) error) (net.PacketConn, error) {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, fmt.Errorf("cannot find the network interface %s: %w", iface, err)
	}
	lc := net.ListenConfig{Control: func(network, address string, c syscall.RawConn) error {
		err := reuseport.Control(network, address, c)
		if err == nil && control != nil {
			err = control(network, address, c)
		}
		return err
	}}
	g, err := listenGroup(&lc, netip.AddrPortFrom(target{ip: group.Addr()}.unspecified(), group.Port()))
	if err != nil {
		return nil, fmt.Errorf("cannot receive from the multicast group %s: %w", group, err)
	}
	if err := g.join(i.Index, group.Addr()); err != nil {
		g.Close()
		return nil, fmt.Errorf("cannot join the multicast group %s on %s: %w", group.Addr(), iface, err)
	}
	return g, nil
}

// tellDestinations makes read return where a datagram arrived. Windows does not say it.
func (g *groupConn) tellDestinations() {
	if g.four != nil {
		_ = g.four.SetControlMessage(ipv4.FlagDst|ipv4.FlagInterface, true)
	} else {
		_ = g.six.SetControlMessage(ipv6.FlagDst|ipv6.FlagInterface, true)
	}
}

// sendOver sends multicast datagrams over an interface from now on. They pass no router, and other
// programs on this machine receive them too.
func (g *groupConn) sendOver(index int) error {
	i := &net.Interface{Index: index}
	if g.four != nil {
		return errors.Join(g.four.SetMulticastInterface(i), g.four.SetMulticastTTL(1), g.four.SetMulticastLoopback(true))
	}
	return errors.Join(g.six.SetMulticastInterface(i), g.six.SetMulticastHopLimit(1), g.six.SetMulticastLoopback(true))
}

func (g *groupConn) join(index int, group netip.Addr) error {
	i, to := &net.Interface{Index: index}, &net.UDPAddr{IP: group.AsSlice()}
	if g.four != nil {
		return g.four.JoinGroup(i, to)
	}
	return g.six.JoinGroup(i, to)
}

func (g *groupConn) leave(index int, group netip.Addr) error {
	i, to := &net.Interface{Index: index}, &net.UDPAddr{IP: group.AsSlice()}
	if g.four != nil {
		return g.four.LeaveGroup(i, to)
	}
	return g.six.LeaveGroup(i, to)
}

// arrival says where a datagram arrived: the destination address and the index of the
// interface. Both are zero if the system does not say it.
type arrival struct {
	dst   netip.Addr
	index int
}

// read waits for a datagram.
func (g *groupConn) read(b []byte) (n int, at arrival, from netip.AddrPort, err error) {
	var src net.Addr
	var dst net.IP
	if g.four != nil {
		var cm *ipv4.ControlMessage
		if n, cm, src, err = g.four.ReadFrom(b); cm != nil {
			dst, at.index = cm.Dst, cm.IfIndex
		}
	} else {
		var cm *ipv6.ControlMessage
		if n, cm, src, err = g.six.ReadFrom(b); cm != nil {
			dst, at.index = cm.Dst, cm.IfIndex
		}
	}
	if err != nil {
		return 0, at, from, err
	}
	if ip, ok := netip.AddrFromSlice(dst); ok {
		at.dst = ip.Unmap()
	}
	from = addrPort(src)
	return n, at, netip.AddrPortFrom(from.Addr().WithZone(""), from.Port()), nil
}
