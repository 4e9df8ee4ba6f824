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

// UDPConfig is what OpenUDP is asked for.
type UDPConfig struct {
	// Listen are the addresses to hold, as Config.Listen has them; but each may
	// have a port of its own.
	Listen []string
	// DefaultPort replaces DefaultPort when it is not 0.
	DefaultPort uint16
	// Sockets is how many sockets each address gets, where the system can
	// spread datagrams over several (Linux). All from one IPv4 address or IPv6
	// /64 arrive at the same one. 0 is one for each processor.
	Sockets int
	// Logger is told of what is less than ideal; nil for nobody.
	Logger *slog.Logger
}

// The buffers of a socket that serves the public.
const sharedReadBuffer = 4 << 20

// OpenUDP takes UDP sockets alone, for a server with a loop for each. The
// sockets of one address follow one another.
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
	for _, spec := range listen {
		targets, port, err := parse(spec)
		if err != nil {
			return conns, err
		}
		var absent error
		got := len(conns)
		for _, t := range targets {
			cs, err := openGroup(t, port, cfg.Sockets, cfg.Logger)
			conns = append(conns, cs...)
			if err == nil {
				port = cs[0].LocalAddr().Port() // of both families, if any was free
				continue
			}
			if !t.optional || isInUse(err) {
				return conns, explain(t, port, err)
			}
			absent = explain(t, port, err)
		}
		if len(conns) == got {
			return conns, absent
		}
	}
	return conns, nil
}

// openGroup holds one address with n sockets. Sockets that share a port do so
// with whatever other process of this user asks for the same, so the address is
// bound alone first: then it is free, or the other is told.
func openGroup(t target, port uint16, n int, log *slog.Logger) (conns []PacketConn, err error) {
	ctx := context.Background()
	addr := func() string { return netip.AddrPortFrom(t.ip, port).String() }
	alone, err := new(net.ListenConfig).ListenPacket(ctx, t.network("udp"), addr())
	if err != nil {
		return nil, err
	}
	if n == 1 {
		return []PacketConn{newShared(alone.(*net.UDPConn))}, nil
	}
	port = addrPort(alone.LocalAddr()).Port()
	alone.Close()
	group := net.ListenConfig{Control: reuseport.Control}
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
		log.Warn("the system spreads datagrams by address and port, so that a source's limit holds for each of its ports", "addr", addr(), "err", err)
	}
	return conns, nil
}

func newShared(c *net.UDPConn) PacketConn {
	u := newUDP(c)
	c.SetReadBuffer(sharedReadBuffer)
	return u
}
