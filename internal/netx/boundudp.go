package netx

import (
	"errors"
	"net/netip"
	"sync"
)

// boundUDP are the sockets of OpenUDP on an interface. Like those of a Host, they exist while the interface does.
type boundUDP struct {
	cfg    UDPConfig
	groups []udpGroup
	done   chan struct{} // closed with the last socket

	mu     sync.Mutex // held while the sockets change
	open   int        // PacketConns that are not closed
	isHere bool       // there are sockets
}

// udpGroup are the sockets of one address.
type udpGroup struct {
	target
	port  uint16
	conns []*boundConn
}

// boundConn is a PacketConn whose socket follows an interface.
type boundConn struct {
	*Socket
	of     *boundUDP
	closed bool // guarded by of.mu
}

// use replaces the socket. of.mu is held.
func (c *boundConn) use(s PacketConn) {
	if c.closed {
		s.Close()
		return
	}
	_ = c.replace(s) // an absent socket closes without an error, and that of a missing interface does not matter
}

// FillLevel implements FillLeveler.
func (c *boundConn) FillLevel() float64 {
	if f, ok := (*c.conn.Load()).(FillLeveler); ok {
		return f.FillLevel()
	}
	return 0
}

// Close implements PacketConn.
func (c *boundConn) Close() error {
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	if c.closed {
		return nil
	}
	c.closed = true
	if c.of.open--; c.of.open == 0 {
		close(c.of.done)
	}
	return c.Socket.Close()
}

// openBoundUDP is OpenUDP on an interface.
func openBoundUDP(cfg UDPConfig, listen []string) (conns []PacketConn, err error) {
	if err := cfg.Outbound.Check(); err != nil {
		return nil, err
	}
	b := &boundUDP{cfg: cfg, done: make(chan struct{})}
	for _, spec := range listen {
		targets, port, err := parse(cfg.Outbound, spec)
		if err == nil && port == 0 {
			port, err = reservePort(targets, 0)
		}
		if err != nil {
			return nil, err
		}
		for _, t := range targets {
			g := udpGroup{target: t, port: port}
			for range cfg.Sockets {
				c := &boundConn{Socket: NewSocket(newAbsent(netip.AddrPortFrom(t.ip, port))), of: b}
				g.conns, conns = append(g.conns, c), append(conns, c)
			}
			b.groups = append(b.groups, g)
		}
	}
	b.open = len(conns)
	f := &follower{name: cfg.Outbound.Interface, done: b.done, lock: &b.mu, occupy: b.occupy, vacate: b.vacate, changed: cfg.Changed, log: cfg.Logger}
	if err := f.check(); err != nil && !errors.Is(err, ErrNoInterface) {
		for _, c := range conns {
			c.Close()
		}
		return nil, err
	}
	go f.run()
	return conns, nil
}

// vacate closes the sockets until the next occupy. b.mu is held.
func (b *boundUDP) vacate() {
	if !b.isHere {
		return
	}
	b.isHere = false
	for _, g := range b.groups {
		for _, c := range g.conns {
			c.use(newAbsent(netip.AddrPortFrom(g.ip, g.port)))
		}
	}
}

// occupy opens the sockets on the interface, in place of those of an earlier index. b.mu is held.
func (b *boundUDP) occupy() error {
	b.vacate()
	b.isHere = true
	var absent error
	opened := 0
	for _, g := range b.groups {
		socks, err := openGroup(b.cfg.Outbound, g.target, g.port, len(g.conns), b.cfg.Logger)
		switch {
		case err == nil:
			opened++
			for i, s := range socks {
				g.conns[i].use(s)
			}
		case !g.optional || isInUse(err):
			b.vacate()
			return listenError(g.target, g.port, err)
		default:
			absent = listenError(g.target, g.port, err)
		}
	}
	if opened == 0 {
		b.vacate()
		return absent
	}
	return nil
}
