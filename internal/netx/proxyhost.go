package netx

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"sync"

	"seedbed/internal/socks5"
)

// ProxyHost is a Network behind a SOCKS5 proxy. Connections are made by the proxy (CONNECT), and
// datagrams are relayed by it (UDP ASSOCIATE), one association for each address family. Nothing
// listens: an open port would receive around the proxy.
type ProxyHost struct {
	out     Outbound
	dscp    DSCP
	udp     []*Socket
	names   names
	relays  []*relay
	done    chan struct{}
	closing sync.Once
	running sync.WaitGroup
}

var _ Network = (*ProxyHost)(nil)

// OpenProxy opens the Network behind the proxy of cfg.Outbound. It does not wait for the proxy;
// cfg.Changed reports whether it relays datagrams. cfg.Listen must be empty.
func OpenProxy(cfg Config) (*ProxyHost, error) {
	if err := cfg.Outbound.Check(); err != nil {
		return nil, err
	}
	if len(cfg.Listen) > 0 {
		return nil, &Error{Addr: cfg.Listen[0], Reason: "would receive connections around the proxy", Hint: "leave out --listen or --proxy"}
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &ProxyHost{out: cfg.Outbound, names: newNames(), dscp: cfg.DSCP, done: make(chan struct{})}
	for i, any := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		r := newRelay(h.out, h.dscp, any, log)
		if i == 0 && cfg.Changed != nil { // both have the same fate
			r.changed = cfg.Changed
		}
		h.udp, h.relays = append(h.udp, NewSocket(r)), append(h.relays, r)
		h.running.Go(func() { r.run(h.done) })
	}
	return h, nil
}

// Dial implements Dialer. It also connects to the addresses of Named.
func (h *ProxyHost) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	peer := socks5.AddrOf(to)
	if IsNamed(to.Addr()) {
		host, ok := h.names.of(to.Addr())
		if !ok {
			return nil, dialError(to, errForgotten)
		}
		peer = socks5.Addr{Name: host, Port: to.Port()}
	}
	c, _, err := h.out.request(ctx, socks5.Connect, peer)
	if err != nil {
		return nil, dialError(to, err)
	}
	h.dscp.mark(c)
	return &Proxied{c, to}, nil
}

// AwaitRelay waits until the first requests for associations have ended, with or without success, or ctx ends.
// Before that, no datagram can be sent, and a program that asks once would fail.
func (h *ProxyHost) AwaitRelay(ctx context.Context) {
	for _, r := range h.relays {
		select {
		case <-r.asked:
		case <-h.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// NetworkChanged replaces the associations whose connection to the proxy is lost because this machine's network
// has changed: nothing is sent on them, so their end would be noticed after a minute only.
func (h *ProxyHost) NetworkChanged(isLost func(local, remote netip.Addr) bool) {
	for _, r := range h.relays {
		r.renew(isLost)
	}
}

// Accept implements Listener. No connection ever comes in.
func (h *ProxyHost) Accept(ctx context.Context) (net.Conn, error) {
	select {
	case <-h.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Addrs implements Listener. There are none.
func (h *ProxyHost) Addrs() []netip.AddrPort { return nil }

// Port implements Network. It is 0, because nothing listens.
func (h *ProxyHost) Port() uint16 { return 0 }

// UDP implements Network.
func (h *ProxyHost) UDP() []*Socket { return h.udp }

// Close implements Listener.
func (h *ProxyHost) Close() error {
	h.closing.Do(func() {
		close(h.done)
		for _, s := range h.udp {
			_ = s.Close()
		}
	})
	h.running.Wait()
	return nil
}

// OpenNetwork opens the Network for cfg: a ProxyHost if there is a proxy, otherwise a Host.
func OpenNetwork(cfg Config) (Network, error) {
	if cfg.Outbound.Proxy != "" {
		return orNil(OpenProxy(cfg))
	}
	return orNil(Open(cfg))
}

// orNil returns no Network, instead of one that has a nil pointer, if there is an error.
func orNil[T Network](n T, err error) (Network, error) {
	if err != nil {
		return nil, err
	}
	return n, nil
}
