package netx

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"

	"github.com/libp2p/go-reuseport"
)

// UDPConfig configures OpenUDP.
type UDPConfig struct {
	// Listen is the list of addresses, as in Config.Listen, except that each may have its
	// own port.
	Listen []string
	// DefaultPort replaces the constant DefaultPort unless it is 0.
	DefaultPort uint16
	// Sockets is the number of sockets for each address if the system can spread
	// datagrams over several (Linux). All datagrams from one IPv4 address or IPv6 /64
	// arrive at the same socket. 0 means one for each processor.
	Sockets int
	// Outbound may bind the sockets to a network interface. While the interface is missing, nothing is received,
	// and sending fails with an error that wraps ErrNoInterface. Changed is as in Config. There can be no proxy.
	Outbound Outbound
	Changed  func(error)
	// Logger receives warnings; it may be nil.
	Logger *slog.Logger
}

// sharedReadBuffer is the size of the receive buffer of each socket, for a public server.
const sharedReadBuffer = 4 << 20

// OpenUDP opens UDP sockets only, for a server with one loop per socket. The sockets of
// one address are adjacent in the result.
func OpenUDP(cfg UDPConfig) (conns []PacketConn, err error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Sockets == 0 {
		cfg.Sockets = runtime.GOMAXPROCS(0)
	}
	if !canSpread {
		cfg.Sockets = 1
	}
	defer func() {
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
			conns = nil
		}
	}()
	listen := cfg.Listen
	if len(listen) == 0 {
		port := cfg.DefaultPort
		if port == 0 {
			port = DefaultPort
		}
		listen = []string{fmt.Sprintf(":%d", port)}
	}
	if cfg.Outbound.Interface != "" {
		return openBoundUDP(cfg, listen)
	}
	for _, spec := range listen {
		targets, port, err := parse(Outbound{}, spec)
		if err != nil {
			return conns, err
		}
		var absent error
		got := len(conns)
		for _, t := range targets {
			cs, err := openGroup(Outbound{}, t, port, cfg.Sockets, cfg.Logger)
			conns = append(conns, cs...)
			if err == nil {
				port = cs[0].LocalAddr().Port() // of both families, if any free port was requested
				continue
			}
			if !t.optional || isInUse(err) {
				return conns, listenError(t, port, err)
			}
			absent = listenError(t, port, err)
		}
		if len(conns) == got {
			return conns, absent
		}
	}
	return conns, nil
}

// openGroup opens n sockets on one address. Any other process of this user can join a
// shared port, so the address is first bound exclusively to detect that it is in use.
func openGroup(out Outbound, t target, port uint16, n int, log *slog.Logger) (conns []PacketConn, err error) {
	ctx := context.Background()
	addr := func() string { return netip.AddrPortFrom(t.ip, port).String() }
	single := net.ListenConfig{Control: out.control(nil)}
	alone, err := single.ListenPacket(ctx, t.network("udp"), addr())
	if err != nil {
		return nil, err
	}
	if n == 1 {
		return []PacketConn{newShared(alone.(*net.UDPConn))}, nil
	}
	port = addrPort(alone.LocalAddr()).Port()
	alone.Close()
	group := net.ListenConfig{Control: out.control(reuseport.Control)}
	var first *net.UDPConn
	for range n {
		pc, err := group.ListenPacket(ctx, t.network("udp"), addr())
		if err != nil {
			for _, c := range conns {
				c.Close()
			}
			return nil, err
		}
		c := pc.(*net.UDPConn)
		if first == nil {
			first = c
		}
		conns = append(conns, newShared(c))
	}
	if err := spread(first, t.ip.Is6(), n); err != nil {
		log.Warn("cannot attach the filter that assigns datagrams to sockets by address; the rate limit of a source applies to each of its ports", "addr", addr(), "err", err)
	}
	return conns, nil
}

func newShared(c *net.UDPConn) PacketConn {
	u := newUDP(c)
	c.SetReadBuffer(sharedReadBuffer)
	return u
}
