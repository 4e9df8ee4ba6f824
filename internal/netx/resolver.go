package netx

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
)

// upstreamFile lists the name servers that systemd-resolved asks.
const upstreamFile = "/run/systemd/resolve/resolv.conf"

// resolver returns the resolver that sends its queries over the interface. The resolver of the
// C library and that of a local program would use any interface, so Go's is used.
func (o Outbound) resolver() *net.Resolver {
	if o.Interface == "" {
		return net.DefaultResolver
	}
	return &net.Resolver{PreferGo: true, Dial: o.dialNameServer}
}

// dialNameServer connects to a name server of /etc/resolv.conf. A server on loopback is a program on
// this machine, whose own queries could take any interface; the servers behind it are asked
// in its place if they are known.
func (o Outbound) dialNameServer(ctx context.Context, network, address string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return nil, err
	}
	servers := []netip.AddrPort{to}
	if to.Addr().Unmap().IsLoopback() {
		if servers = upstreams(upstreamFile); len(servers) == 0 {
			return nil, fmt.Errorf("the name server %s is a program on this machine, which may not use the interface %s; "+
				"name servers of that network belong in /etc/resolv.conf", to.Addr(), o.Interface)
		}
	}
	d := net.Dialer{Control: o.control(nil)}
	for _, s := range servers {
		var c net.Conn
		if c, err = d.DialContext(ctx, network, s.String()); err == nil {
			return c, nil
		}
	}
	return nil, err
}

// maxUpstreams is the maximum number of name servers, as in the C library.
const maxUpstreams = 3

// upstreams returns the name servers of a file in the format of resolv.conf that are not on
// loopback.
func upstreams(path string) (servers []netip.AddrPort) {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, 64<<10))
	for lines.Scan() && len(servers) < maxUpstreams {
		words := strings.Fields(lines.Text())
		if len(words) < 2 || words[0] != "nameserver" {
			continue
		}
		if ip, err := netip.ParseAddr(words[1]); err == nil && !ip.Unmap().IsLoopback() {
			servers = append(servers, netip.AddrPortFrom(ip, 53))
		}
	}
	return servers
}
