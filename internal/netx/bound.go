package netx

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
)

// A Host that is bound to an interface opens its sockets when the interface appears, closes them
// when it disappears, and opens them again when it comes back with another index: a
// socket stays bound to the index that the interface had when the socket was bound.

// openBound is Open for a Host with an interface.
func openBound(cfg Config, ts []target, port uint16) (*Host, error) {
	var err error
	if len(cfg.Listen) == 0 || port == 0 {
		port, err = reservePort(ts, port)
		if errors.Is(err, errTaken) {
			port, err = reservePort(ts, 0)
		}
	}
	if err != nil {
		return nil, err
	}
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Host{log: log, out: cfg.Outbound, dscp: cfg.DSCP, accepted: make(chan net.Conn), done: make(chan struct{})}
	var socks []sockets
	for _, t := range ts {
		socks = append(socks, sockets{ip: t.ip})
		h.udp = append(h.udp, NewSocket(newAbsent(netip.AddrPortFrom(t.ip, port))))
	}
	h.listen(socks, port)
	f := &follower{name: cfg.Outbound.Interface, done: h.done, lock: &h.moving, occupy: h.occupy, vacate: h.leaveInterface, changed: cfg.Changed, log: log}
	if err := f.check(); err != nil && !errors.Is(err, ErrNoInterface) {
		h.Close()
		return nil, err
	}
	h.accepts.Go(f.run)
	return h, nil
}

// reservePort returns port if it is free, or any free one for port 0. Nothing listens on another interface
// while ours is missing, so the port is bound on loopback for a moment only.
func reservePort(ts []target, port uint16) (uint16, error) {
	local := make([]target, len(ts))
	for i, t := range ts {
		local[i] = target{ip: netip.AddrFrom4([4]byte{127, 0, 0, 1}), optional: true}
		if t.ip.Is6() {
			local[i].ip = netip.IPv6Loopback()
		}
	}
	socks, err := bindAll(Outbound{}, local, port, lingerTime)
	if err != nil {
		return 0, err
	}
	port = addrPort(socks[0].tcp.Addr()).Port()
	for i := range socks {
		socks[i].close()
	}
	return port, nil
}

// isAbsent reports whether there are no sockets because the interface is missing.
func (at *listening) isAbsent() bool { return at.socks[0].udp == nil }

func (at *listening) targets() []target {
	ts := make([]target, len(at.socks))
	for i, s := range at.socks {
		ts[i] = target{ip: s.ip}
	}
	return ts
}

// vacate closes the sockets until the next occupy, which uses the port. h.moving is held.
func (h *Host) vacate(ts []target, port uint16) {
	old := h.at.Load()
	socks := make([]sockets, len(ts))
	for i, t := range ts {
		socks[i].ip = t.ip
	}
	h.listen(socks, port)
	for i, s := range h.udp {
		if err := s.replace(newAbsent(netip.AddrPortFrom(ts[i].ip, port))); err != nil {
			h.log.Debug("a socket of the interface was not closed", "err", err)
		}
		if l := old.socks[i].tcp; l != nil {
			l.Close()
		}
	}
}

// leaveInterface closes the sockets, if there are any, because the interface is missing. h.moving is held.
func (h *Host) leaveInterface() {
	if at := h.at.Load(); !at.isAbsent() {
		h.vacate(at.targets(), at.port)
	}
}

// occupy opens the sockets on the interface, in place of those of an earlier index. h.moving is
// held.
func (h *Host) occupy() error {
	at := h.at.Load()
	ts := at.targets()
	if !at.isAbsent() {
		h.vacate(ts, at.port)
	}
	socks, err := bindAll(h.out, ts, at.port, lingerTime)
	if err != nil {
		return err
	}
	h.listen(socks, at.port)
	for i, s := range h.udp {
		_ = s.replace(h.newUDP(socks[i].udp)) // an absent socket closes without an error
	}
	return nil
}
