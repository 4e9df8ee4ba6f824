package netx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
)

// Outbound decides how the process reaches other machines: over every network interface, over
// one only, or through a SOCKS5 proxy. Every socket that leaves the machine is opened through
// it, so that none goes another way. The zero Outbound uses every interface.
//
// With an interface, nothing is sent or received over another one. While the interface is
// missing, every operation fails with an error that wraps ErrNoInterface; there is no other way out.
//
// With a proxy, nothing is sent to another machine than the proxy. It resolves all names but its own.
//
// Loopback addresses are an exception: sockets for them are not bound and do not use the proxy,
// because what is sent to loopback does not leave the machine. Name servers on loopback are not part of the exception.
type Outbound struct {
	// Interface is the name of the network interface, such as wg0; "" means every one.
	Interface string
	// Proxy is the HOST:PORT of a SOCKS5 proxy (RFC 1928); "" means none. Username and Password
	// are for the proxy (RFC 1929), each of at most 255 bytes; an empty Username means none.
	Proxy              string
	Username, Password string
}

// IsZero reports whether o uses every interface. Only then may a connection go through the HTTP
// proxy of the environment.
func (o Outbound) IsZero() bool { return o == Outbound{} }

// ErrNoInterface is wrapped by the *Error of an operation whose interface is missing or down.
var ErrNoInterface = errors.New("the network interface cannot be used at the moment")

func missingInterface(name string) *Error {
	return &Error{Addr: "the network interface " + name, Reason: "does not exist",
		Hint: "connect the VPN or correct --bind-interface; seedbed waits for the interface and uses no other", Err: ErrNoInterface}
}

func downInterface(name string) *Error {
	return &Error{Addr: "the network interface " + name, Reason: "is down",
		Hint: "connect the VPN; seedbed waits for the interface and uses no other", Err: ErrNoInterface}
}

// maxInterfaceName is IFNAMSIZ-1. The kernel would truncate a longer name, to that of another
// interface perhaps.
const maxInterfaceName = 15

// Check reports whether this process may bind sockets to the interface. An interface that is
// missing is not an error. The error is an *Error.
func (o Outbound) Check() error {
	if o.Interface == "" {
		return nil
	}
	if len(o.Interface) > maxInterfaceName {
		return &Error{Addr: "the network interface " + strconv.Quote(o.Interface), Reason: fmt.Sprintf("has a name of more than %d bytes", maxInterfaceName), Hint: "correct --bind-interface"}
	}
	lc := net.ListenConfig{Control: o.control(nil)}
	c, err := lc.ListenPacket(context.Background(), "udp4", "0.0.0.0:0")
	if err == nil {
		c.Close()
		return nil
	}
	var unusable *Error
	if errors.As(err, &unusable) && !errors.Is(err, ErrNoInterface) {
		return unusable
	}
	return nil
}

// controlFunc is the type of net.Dialer.Control and net.ListenConfig.Control.
type controlFunc = func(network, address string, c syscall.RawConn) error

// control returns a function that binds a new socket to the interface, after it has called
// next, which may be nil.
func (o Outbound) control(next controlFunc) controlFunc {
	if o.Interface == "" {
		return next
	}
	return func(network, address string, c syscall.RawConn) error {
		if next != nil {
			if err := next(network, address, c); err != nil {
				return err
			}
		}
		return o.bind(network, c)
	}
}

// Control returns a function for net.Dialer.Control or net.ListenConfig.Control that binds sockets to
// the interface, or nil. It is for packages that open their own sockets to the local network.
func (o Outbound) Control() func(network, address string, c syscall.RawConn) error {
	return o.control(nil)
}

// bind binds a socket to the interface.
func (o Outbound) bind(network string, c syscall.RawConn) error {
	var bound error
	if err := c.Control(func(fd uintptr) { bound = bindToInterface(fd, network, o.Interface) }); err != nil {
		return err
	}
	e := &Error{Addr: "the network interface " + o.Interface, Err: bound}
	switch {
	case bound == nil:
		return nil
	case isNoDevice(bound):
		return missingInterface(o.Interface)
	case errors.Is(bound, errors.ErrUnsupported):
		e.Reason = "cannot be chosen on this system"
		e.Hint = "--bind-interface works on Linux and macOS; here, use --listen with the address of the interface and a firewall rule"
	case errors.Is(bound, syscall.EPERM), errors.Is(bound, syscall.EACCES):
		e.Reason = "cannot be bound to: this user lacks the privilege"
		e.Hint = "Linux before 5.7 requires CAP_NET_RAW: run setcap cap_net_raw+ep on the program, or set AmbientCapabilities=CAP_NET_RAW in its systemd unit"
	default:
		e.Reason = fmt.Sprintf("cannot be bound to: %v", bound)
		e.Hint = "check the name of the interface"
	}
	return e
}

// bindExceptLoopback is control for dialers that may reach loopback too. check, which may be
// nil, is called with each address before anything is sent to it.
func (o Outbound) bindExceptLoopback(check func(netip.Addr) error) controlFunc {
	return func(network, address string, c syscall.RawConn) error {
		to, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		ip := to.Addr().Unmap().WithZone("")
		if check != nil {
			if err := check(ip); err != nil {
				return err
			}
		}
		if o.Interface == "" || ip.IsLoopback() {
			return nil
		}
		return o.bind(network, c)
	}
}

// DialHost connects to HOST:PORT over TCP, for HTTP clients. If check is not nil, it is called
// with every address that the name resolves to, before anything is sent to the address; its error is returned.
//
// A proxy resolves names, so check sees only numeric addresses then; with a check, names that
// are local by form (localhost, printer, nas.local) are refused.
func (o Outbound) DialHost(ctx context.Context, network, hostPort string, check func(netip.Addr) error) (net.Conn, error) {
	if o.Proxy != "" {
		return o.dialHostByProxy(ctx, hostPort, check)
	}
	d := net.Dialer{Resolver: o.resolver(), Control: o.bindExceptLoopback(check)}
	return d.DialContext(ctx, network, hostPort)
}

// LookupNetIP returns the addresses of a host. With a proxy, only numeric hosts have any, and
// the error for others wraps ErrProxyNames.
func (o Outbound) LookupNetIP(ctx context.Context, host string) ([]netip.Addr, error) {
	if o.Proxy != "" {
		if ip, err := netip.ParseAddr(host); err == nil {
			return []netip.Addr{ip.Unmap()}, nil
		}
		return nil, fmt.Errorf("%s: %w", host, ErrProxyNames)
	}
	return o.resolver().LookupNetIP(ctx, "ip", host)
}

// LookupTXT returns the texts of the TXT records of a name, each with its strings joined. It asks the
// resolver of the system. With a proxy, the error is ErrProxyNames.
func (o Outbound) LookupTXT(ctx context.Context, name string) ([]string, error) {
	if o.Proxy != "" {
		return nil, ErrProxyNames
	}
	return o.resolver().LookupTXT(ctx, strings.TrimSuffix(name, ".")+".") // absolute: no search domains are tried
}

// SourceOf returns the address from which this machine sends to another, or the zero Addr if
// there is no route. It sends nothing: connecting a UDP socket only looks up the route. It says
// nothing about a proxy.
func (o Outbound) SourceOf(to netip.AddrPort) netip.Addr {
	d := net.Dialer{Control: o.control(nil)}
	c, err := d.Dial("udp", to.String())
	if err != nil {
		return netip.Addr{}
	}
	defer c.Close()
	return addrPort(c.LocalAddr()).Addr()
}

// Addresses returns the addresses of the interface. The error is an *Error that wraps
// ErrNoInterface.
func (o Outbound) Addresses() (as []netip.Addr, err error) {
	i, err := net.InterfaceByName(o.Interface)
	if err != nil {
		return nil, missingInterface(o.Interface)
	}
	if i.Flags&net.FlagUp == 0 {
		return nil, downInterface(o.Interface)
	}
	all, err := i.Addrs()
	if err != nil {
		return nil, missingInterface(o.Interface)
	}
	for _, a := range all {
		if p, ok := a.(*net.IPNet); ok {
			ip, _ := netip.AddrFromSlice(p.IP)
			as = append(as, ip.Unmap())
		}
	}
	return as, nil
}
