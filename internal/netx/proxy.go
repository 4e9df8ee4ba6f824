package netx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"seedbed/internal/socks5"
)

var (
	// ErrNoProxy is wrapped by the *Error of an operation whose proxy cannot be used: it cannot be
	// reached, or it refuses us.
	ErrNoProxy = errors.New("the proxy cannot be used at the moment")
	// ErrProxyNames is returned for a name that only the proxy could resolve.
	ErrProxyNames = errors.New("with a proxy, names are not resolved here; use a numeric address")
	// ErrNoRelay is wrapped, beside ErrNoProxy, by the *Error of a proxy that relays no datagrams.
	ErrNoRelay = errors.New("the proxy relays no datagrams")
)

// MaxProxySecret is the maximum length of Outbound.Username and of Outbound.Password, in bytes.
const MaxProxySecret = socks5.MaxSecret

// errLocalName is returned for a name that could be a machine of the user's network.
var errLocalName = errors.New("the name is local by its form, and a proxy would resolve it in its own network")

// proxyError returns the *Error for a proxy that cannot be used.
func (o Outbound) proxyError(err error) *Error {
	e := &Error{Addr: "the proxy " + o.Proxy, Err: fmt.Errorf("%w: %w", ErrNoProxy, err),
		Reason: fmt.Sprintf("cannot be reached: %v", err), Hint: "check that it runs and that --proxy names it; nothing is sent around it"}
	switch {
	case errors.Is(err, socks5.ErrAuth):
		e.Reason, e.Hint = "refused the user name or the password", "correct the file of --proxy-auth-file; nothing is sent around the proxy"
	case errors.Is(err, socks5.ErrMethod):
		e.Reason, e.Hint = "requires a user name and a password, or others than were given", "give a file that has USER:PASSWORD with --proxy-auth-file"
	case errors.Is(err, socks5.ErrProtocol):
		e.Reason, e.Hint = "does not speak SOCKS5", "give the address of a SOCKS5 proxy with --proxy"
	}
	return e
}

// request connects to the proxy and makes one request. The error is an *Error that wraps ErrNoProxy,
// or a *socks5.ReplyError if the proxy could not do what was asked.
func (o Outbound) request(ctx context.Context, cmd socks5.Command, to socks5.Addr) (c *net.TCPConn, bound netip.AddrPort, err error) {
	near := Outbound{Interface: o.Interface}
	d := net.Dialer{KeepAlive: -1, Resolver: near.resolver(), Control: near.bindExceptLoopback(nil)}
	d.SetMultipathTCP(false)
	nc, err := d.DialContext(ctx, "tcp", o.Proxy)
	if errors.Is(err, ErrNoInterface) {
		return nil, bound, err
	}
	if err != nil {
		return nil, bound, o.proxyError(err)
	}
	stop := context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	bound, err = socks5.Handshake(nc, o.Username, o.Password, cmd, to)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	var refused *socks5.ReplyError
	switch {
	case err == nil:
		return nc.(*net.TCPConn), bound, nil
	case ctx.Err() != nil:
		err = ctx.Err() // a peer that does not answer looks like this too
	case !errors.As(err, &refused):
		err = o.proxyError(err)
	}
	nc.Close()
	return nil, bound, err
}

// Proxied is a TCP connection through the proxy. Its remote address is that of the peer.
type Proxied struct {
	*net.TCPConn
	remote netip.AddrPort
}

// RemoteAddr implements net.Conn.
func (p *Proxied) RemoteAddr() net.Addr { return net.TCPAddrFromAddrPort(p.remote) }

// Socket returns the connection to the proxy, which carries the bytes of the peer.
func (p *Proxied) Socket() *net.TCPConn { return p.TCPConn }

// dialHostByProxy is DialHost with a proxy.
func (o Outbound) dialHostByProxy(ctx context.Context, hostPort string, check func(netip.Addr) error) (net.Conn, error) {
	host, service, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, err
	}
	if host == "localhost" {
		host = "127.0.0.1"
	}
	to := socks5.Addr{Name: host, Port: uint16(port)}
	remote := netip.AddrPortFrom(netip.IPv4Unspecified(), uint16(port)) // only the proxy knows
	if ip, err := netip.ParseAddr(host); err == nil {
		remote = netip.AddrPortFrom(ip.Unmap().WithZone(""), uint16(port))
		if remote.Addr().IsLoopback() {
			return Outbound{}.DialHost(ctx, "tcp", remote.String(), check)
		}
		if check != nil {
			if err := check(remote.Addr()); err != nil {
				return nil, err
			}
		}
		to = socks5.AddrOf(remote)
	} else if check != nil && isLocalName(host) {
		return nil, fmt.Errorf("%s: %w", host, errLocalName)
	}
	c, _, err := o.request(ctx, socks5.Connect, to)
	if err != nil {
		return nil, err
	}
	return &Proxied{c, remote}, nil
}

// isLocalName reports whether a host name is one of a local network by its form, or an address in
// an old notation: a proxy that resolves names with inet_aton(3) reads 127.1 and 0x7f.0.0.1 as
// loopback. No top-level domain begins with a digit.
func isLocalName(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	last := host[strings.LastIndexByte(host, '.')+1:]
	if last == host || last == "" || last[0] >= '0' && last[0] <= '9' {
		return true
	}
	for _, suffix := range []string{".local", ".localhost", ".localdomain", ".lan", ".home", ".internal", ".home.arpa"} {
		if strings.HasSuffix(host, suffix) {
			return true
		}
	}
	return false
}
