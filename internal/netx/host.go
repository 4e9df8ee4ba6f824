package netx

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-reuseport"
)

// Host is a Network of real sockets.
//
// One goroutine per listening address accepts connections and passes them to the callers
// of Accept. While nobody calls Accept, connections wait in the system's backlog.
type Host struct {
	log      *slog.Logger
	out      Outbound
	dscp     DSCP
	moving   sync.Mutex                // held while the sockets change
	at       atomic.Pointer[listening] // SetPort replaces it
	udp      []*Socket
	accepted chan net.Conn
	done     chan struct{}
	closing  sync.Once
	accepts  sync.WaitGroup
}

// listening is where a Host listens. It is never changed.
type listening struct {
	socks []sockets
	port  uint16
}

var _ Network = (*Host)(nil)

func newHost(socks []sockets, cfg *Config) *Host {
	log := cfg.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	h := &Host{log: log, dscp: cfg.DSCP, accepted: make(chan net.Conn), done: make(chan struct{})}
	for _, s := range socks {
		h.udp = append(h.udp, NewSocket(h.newUDP(s.udp)))
	}
	h.listen(socks, addrPort(socks[0].tcp.Addr()).Port())
	return h
}

func (h *Host) newUDP(c *net.UDPConn) PacketConn {
	forbidFragments(c)
	h.dscp.mark(c)
	return newUDP(c)
}

// listen accepts connections at socks from now on.
func (h *Host) listen(socks []sockets, port uint16) {
	h.at.Store(&listening{socks, port})
	for _, s := range socks {
		if s.tcp != nil {
			h.accepts.Go(func() { acceptLoop(s.tcp, h.accepted, h.done, h.log) })
		}
	}
}

// Port implements Network.
func (h *Host) Port() uint16 { return h.at.Load().port }

// SetPort makes the Host listen on another port of the same addresses; 0 means any free one.
// Connections and the Sockets that UDP returns stay open. If the port cannot be used, the error is
// an *Error and nothing changes.
func (h *Host) SetPort(port uint16) error {
	h.moving.Lock()
	defer h.moving.Unlock()
	old := h.at.Load()
	select {
	case <-h.done:
		return net.ErrClosed
	default:
	}
	if port == old.port {
		return nil
	}
	targets := old.targets()
	if old.isAbsent() {
		if port == 0 {
			var err error
			if port, err = reservePort(targets, 0); err != nil {
				return err
			}
		}
		h.vacate(targets, port)
		return nil
	}
	socks, err := bindAll(h.out, targets, port, lingerTime)
	if err != nil {
		return err
	}
	h.listen(socks, addrPort(socks[0].tcp.Addr()).Port())
	for i, s := range h.udp {
		if err := s.replace(h.newUDP(socks[i].udp)); err != nil {
			h.log.Debug("the socket of the old port was not closed", "err", err)
		}
		old.socks[i].tcp.Close()
	}
	return nil
}

// UDP implements Network. Close closes the sockets; the caller may also close them
// earlier.
func (h *Host) UDP() []*Socket { return h.udp }

// Addrs implements Listener. An unspecified address stands for all addresses of its
// family.
func (h *Host) Addrs() (as []netip.AddrPort) {
	at := h.at.Load()
	for _, s := range at.socks {
		as = append(as, netip.AddrPortFrom(s.ip, at.port))
	}
	return as
}

// Close closes all sockets except connections, and waits for the goroutines.
func (h *Host) Close() error {
	h.closing.Do(func() {
		h.moving.Lock()
		defer h.moving.Unlock()
		close(h.done)
		at := h.at.Load()
		for i := range at.socks {
			at.socks[i].close()
		}
		for _, s := range h.udp {
			_ = s.Close() // Close waits for the reader of this socket
		}
	})
	h.accepts.Wait()
	return nil
}

// Accept implements Listener.
func (h *Host) Accept(ctx context.Context) (net.Conn, error) {
	select {
	case c := <-h.accepted:
		h.dscp.mark(c)
		return c, nil
	case <-h.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Shortest and longest pause after a failed Accept.
const (
	firstPause   = 5 * time.Millisecond
	longestPause = time.Second
)

// acceptLoop accepts connections until l is closed. If the process or the machine has run
// out of files, memory or buffers (EMFILE, ENFILE, ENOBUFS, ENOMEM), the connections wait
// in the backlog.
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
			continue // the peer closed it before we accepted it
		}
		if pause == 0 {
			log.Warn("cannot accept connections at the moment", "addr", l.Addr().String(), "err", err)
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

// Dial implements Dialer. The connection comes from the address and port on which we
// listen. The peer therefore learns where we can be reached, and sends that address to
// others by PEX; a NAT maps only one port. If these two ends are connected already, or
// were recently (TIME_WAIT), the system chooses another port.
//
// If two peers dial each other simultaneously from their listening ports, the result may
// be one connection that both have dialed (RFC 9293, simultaneous open).
func (h *Host) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	at := h.at.Load()
	s := at.source(to.Addr())
	if s == nil {
		return nil, dialError(to, ErrNoFamily)
	}
	local := netip.AddrPortFrom(s.ip, at.port)
	if local == to {
		return nil, dialError(to, ErrSelf)
	}
	if at.isAbsent() {
		return nil, dialError(to, missingInterface(h.out.Interface))
	}
	d := net.Dialer{KeepAlive: -1, Control: h.out.control(reuseport.Control), LocalAddr: net.TCPAddrFromAddrPort(local)}
	d.SetMultipathTCP(false)
	network := target{ip: s.ip}.network("tcp")
	c, err := d.DialContext(ctx, network, to.String())
	if err != nil && (isInUse(err) || isNoSuchAddr(err)) {
		d.Control, d.LocalAddr = h.out.control(nil), nil
		if !s.ip.IsUnspecified() {
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(s.ip, 0))
		}
		c, err = d.DialContext(ctx, network, to.String())
	}
	if err != nil {
		return nil, err
	}
	// A TCP socket that dials its own port connects to itself.
	if LocalAddr(c) == RemoteAddr(c) {
		c.Close()
		return nil, dialError(to, ErrSelf)
	}
	h.dscp.mark(c)
	return c, nil
}

// source returns the address from which to dial to: one of the same family, and for
// loopback preferably a loopback address.
func (at *listening) source(to netip.Addr) (best *sockets) {
	for i := range at.socks {
		s := &at.socks[i]
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
