package netx

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/libp2p/go-reuseport"
)

// Host is a Network of real sockets.
//
// One goroutine for each listening address accepts, and hands its connections
// to whoever calls Accept; while nobody does, the system's backlog holds the
// next ones.
type Host struct {
	socks    []sockets
	udp      []*Socket
	port     uint16
	accepted chan net.Conn
	done     chan struct{}
	closing  sync.Once
	accepts  sync.WaitGroup
}

var _ Network = (*Host)(nil)

func newHost(socks []sockets, log *slog.Logger) *Host {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Host{
		socks:    socks,
		port:     addrPort(socks[0].tcp.Addr()).Port(),
		accepted: make(chan net.Conn),
		done:     make(chan struct{}),
	}
	for _, s := range socks {
		h.udp = append(h.udp, NewSocket(newUDP(s.udp)))
		h.accepts.Go(func() { acceptLoop(s.tcp, h.accepted, h.done, log) })
	}
	return h
}

// Port implements Network.
func (h *Host) Port() uint16 { return h.port }

// UDP implements Network. The sockets are closed by the Host, or one by one.
func (h *Host) UDP() []*Socket { return h.udp }

// Addrs implements Listener. An unspecified address stands for all of its family.
func (h *Host) Addrs() (as []netip.AddrPort) {
	for _, s := range h.socks {
		as = append(as, netip.AddrPortFrom(s.ip, h.port))
	}
	return as
}

// Close closes all sockets, connections apart, and waits for the goroutines.
func (h *Host) Close() error {
	h.closing.Do(func() {
		close(h.done)
		for i := range h.socks {
			h.socks[i].close()
		}
		for _, s := range h.udp {
			_ = s.Close() // its UDP socket is closed: this waits for its reader
		}
	})
	h.accepts.Wait()
	return nil
}

// Accept implements Listener.
func (h *Host) Accept(ctx context.Context) (net.Conn, error) {
	select {
	case c := <-h.accepted:
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// The pause after an Accept that failed, first and longest.
const (
	firstPause   = 5 * time.Millisecond
	longestPause = time.Second
)

// acceptLoop accepts until l is closed. Nothing else ends it: when the process
// or the machine has no file, memory or buffer left (EMFILE, ENFILE, ENOBUFS,
// ENOMEM), the connection waits in the backlog for better times.
func acceptLoop(l net.Listener, out chan<- net.Conn, done <-chan struct{}, log *slog.Logger) {
	pause := time.Duration(0)
	for {
		c, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			select {
			case out <- c:
			case <-done:
				c.Close()
			}
			continue
		case errors.Is(err, net.ErrClosed):
			return
		case isAborted(err):
			continue // it was gone before we took it
		}
		if pause == 0 {
			log.Warn("cannot take connections for the moment", "addr", l.Addr().String(), "err", err)
		}
		pause = min(max(firstPause, 2*pause), longestPause)
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-done:
			t.Stop()
		}
	}
}

// Dial implements Dialer. The connection comes from the address and port that
// we listen on, so that the peer, and whoever it tells by PEX, learns where we
// can be reached, and so that a NAT maps one port. When those two ends are
// connected already, or were a moment ago (TIME_WAIT), the system has another
// port for it.
//
// Two peers that dial each other at the same moment from their listening ports
// may get one connection, which both have dialled (RFC 9293, simultaneous open).
func (h *Host) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	s := h.source(to.Addr())
	if s == nil {
		return nil, dialError(to, ErrNoFamily)
	}
	local := netip.AddrPortFrom(s.ip, h.port)
	if local == to {
		return nil, dialError(to, ErrSelf)
	}
	d := net.Dialer{KeepAlive: -1, Control: reuseport.Control, LocalAddr: net.TCPAddrFromAddrPort(local)}
	d.SetMultipathTCP(false)
	network := target{ip: s.ip}.network("tcp")
	c, err := d.DialContext(ctx, network, to.String())
	if err != nil && (isInUse(err) || isNoSuchAddr(err)) {
		d.Control, d.LocalAddr = nil, nil
		if !s.ip.IsUnspecified() {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.ip, 0))
		}
		c, err = d.DialContext(ctx, network, to.String())
	}
	if err != nil {
		return nil, err
	}
	// From a port to itself TCP connects a socket with itself.
	if LocalAddr(c) == RemoteAddr(c) {
		c.Close()
		return nil, dialError(to, ErrSelf)
	}
	return c, nil
}

// source is the address to dial to from: one of its family, and one on loopback
// for loopback if there is a choice.
func (h *Host) source(to netip.Addr) (best *sockets) {
	for i := range h.socks {
		s := &h.socks[i]
		if s.ip.Is4() != to.Is4() {
			continue
		}
		if best == nil || s.ip.IsLoopback() == to.IsLoopback() && best.ip.IsLoopback() != to.IsLoopback() {
			best = s
		}
	}
	return best
}

func dialError(to netip.AddrPort, err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
}
