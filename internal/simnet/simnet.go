// Package simnet is a network in memory, for tests: hosts with addresses, and TCP
// connections and UDP sockets between them, with delay, jitter, loss and a limited rate.
// It implements the interfaces of internal/netx.
//
// It starts no goroutine. A reader waits on channels and timers until the data has arrived,
// or a timer calls its callback, as the poller does for a real connection. So in a bubble of
// testing/synctest every wait is durable and time is exact. Outside of a bubble it runs in
// real time.
//
//	n := simnet.New(1, simnet.Link{Delay: 50 * time.Millisecond})
//	a, b := n.Host(addrA), n.Host(addrB)
//	l, _ := b.Listen(6881)
//	c, _ := a.Dial(ctx, netip.AddrPortFrom(addrB, 6881))
//
// The seed determines all random events. Each flow between two ports has its own random
// source, so losses do not depend on the order in which goroutines run.
//
// A dial is refused if nothing listens on the port. If the host does not exist or is
// unplugged, the dial waits until its context ends.
//
// A [Disk] is the file system of a node: it loses what was not synced, can be full and
// can fail.
package simnet

import (
	"context"
	"hash/fnv"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"seedbed/internal/await"
	"seedbed/internal/netx"
)

// Link describes how data travels from one host to another.
type Link struct {
	Delay  time.Duration // one way
	Jitter time.Duration // maximum additional delay; streams keep their order
	Loss   float64       // 0 to 1: the share of datagrams lost, or of segments sent twice and so delayed
	Rate   float64       // bytes per second that a host can send; 0 means no limit
}

// Net is a network.
type Net struct {
	seed uint64
	link Link

	mu    sync.Mutex
	hosts map[netip.Addr]*Host
	links map[[2]netip.Addr]Link
	flows map[flow]*rand.Rand
}

// flow identifies the traffic from one port to another.
type flow struct {
	proto    byte // 't' or 'u'
	from, to netip.AddrPort
}

// New returns a network whose links are all like link, until SetLink.
func New(seed uint64, link Link) *Net {
	return &Net{
		seed: seed, link: link,
		hosts: make(map[netip.Addr]*Host),
		links: make(map[[2]netip.Addr]Link),
		flows: make(map[flow]*rand.Rand),
	}
}

// Host returns the host at addrs, at most one of each family. It makes a new host if
// there is none.
func (n *Net) Host(addrs ...netip.Addr) *Host {
	n.mu.Lock()
	defer n.mu.Unlock()
	if h := n.hosts[addrs[0]]; h != nil {
		return h
	}
	h := &Host{
		net:       n,
		listeners: make(map[uint16]*listener),
		packets:   make(map[netip.AddrPort]*packetConn),
		conns:     make(map[tuple]*conn),
		filtered:  make(map[uint16]bool),
		ephemeral: 32768,
	}
	h.addrs.Store(&addrs)
	for _, a := range addrs {
		n.hosts[a] = h
	}
	return h
}

// Unread returns how many bytes of all connections are in transit or unread.
func (n *Net) Unread() (size int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range n.hosts {
		for _, c := range h.conns {
			c.mu.Lock()
			size += c.size
			c.mu.Unlock()
		}
	}
	return size
}

// SetLink changes the link between a and b in both directions.
func (n *Net) SetLink(a, b netip.Addr, l Link) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links[[2]netip.Addr{a, b}], n.links[[2]netip.Addr{b, a}] = l, l
}

func (n *Net) linkOf(from, to netip.Addr) Link {
	if l, ok := n.links[[2]netip.Addr{from, to}]; ok {
		return l
	}
	return n.link
}

// depart returns when size bytes of a flow arrive, after previous ones, and whether they
// are lost (a datagram) or had to be sent again (a segment).
func (n *Net) depart(f flow, size int) (at time.Time, lost bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.linkOf(f.from.Addr(), f.to.Addr())
	rng := n.flows[f]
	if rng == nil {
		h := fnv.New64a()
		a, _ := f.from.MarshalBinary()
		b, _ := f.to.MarshalBinary()
		h.Write([]byte{f.proto})
		h.Write(a)
		h.Write(b)
		rng = rand.New(rand.NewPCG(n.seed, h.Sum64()))
		n.flows[f] = rng
	}
	at = time.Now()
	if l.Rate > 0 {
		h := n.hosts[f.from.Addr()]
		if h != nil && h.busy.After(at) {
			at = h.busy
		}
		at = at.Add(time.Duration(float64(size) / l.Rate * float64(time.Second)))
		if h != nil { // it still has the address
			h.busy = at
		}
	}
	at = at.Add(l.Delay)
	if l.Jitter > 0 {
		at = at.Add(time.Duration(rng.Int64N(int64(l.Jitter))))
	}
	return at, l.Loss > 0 && rng.Float64() < l.Loss
}

// Host is a machine on the network. It implements netx.Dialer.
type Host struct {
	net   *Net
	addrs atomic.Pointer[[]netip.Addr] // Readdress replaces it

	// net.mu guards the fields below.
	busy      time.Time // until when its link is busy, if the rate is limited
	unplugged bool
	port      uint16 // of the first Listen; Dial uses it
	ephemeral uint16
	listeners map[uint16]*listener
	packets   map[netip.AddrPort]*packetConn
	conns     map[tuple]*conn
	filtered  map[uint16]bool
	nat       NAT
	natPort   uint16 // the last that the router has used
	mappings  []natMapping
}

// tuple identifies a connection on one host.
type tuple struct{ local, remote netip.AddrPort }

var (
	_ netx.Dialer  = (*Host)(nil)
	_ netx.Network = (*Stack)(nil)
)

// Addr returns the host's first address.
func (h *Host) Addr() netip.Addr { return (*h.addrs.Load())[0] }

// Unplug disconnects the host: from now on nothing leaves or reaches it, and no one is
// notified.
func (h *Host) Unplug() { h.setUnplugged(true) }

// Plug ends Unplug. A connection from before may miss what was lost in the meantime, which TCP would send
// again, so Plug is for a host that has lost its connections, for example because of Readdress.
func (h *Host) Plug() { h.setUnplugged(false) }

func (h *Host) setUnplugged(is bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.unplugged = is
}

// Filter makes a firewall drop attempts to connect to port, or ends this.
func (h *Host) Filter(port uint16, on bool) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	h.filtered[port] = on
}

// Crash ends everything that runs on the host, as if its process were killed: connections
// are reset and sockets closed. New ones can be opened afterwards.
func (h *Host) Crash() {
	h.net.mu.Lock()
	listeners, packets, conns := h.listeners, h.packets, h.conns
	h.listeners, h.packets, h.conns = make(map[uint16]*listener), make(map[netip.AddrPort]*packetConn), make(map[tuple]*conn)
	h.port = 0
	h.net.mu.Unlock()
	for _, l := range listeners {
		l.Close()
	}
	for _, p := range packets {
		p.Close()
	}
	for _, c := range conns {
		c.Reset()
	}
}

// ResetOne resets one of the host's connections, if it has any.
func (h *Host) ResetOne() {
	h.net.mu.Lock()
	var one *conn
	for _, c := range h.conns {
		one = c
		break
	}
	h.net.mu.Unlock()
	if one != nil {
		one.Reset()
	}
}

// Conns returns how many connections the host has open.
func (h *Host) Conns() int {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	return len(h.conns)
}

// source returns the host's address of the family of to.
func (h *Host) source(to netip.Addr) (netip.Addr, bool) {
	for _, a := range *h.addrs.Load() {
		if a.Is4() == to.Is4() {
			return a, true
		}
	}
	return netip.Addr{}, false
}

// reaches returns the host at to if packets from h reach it. net.mu is held.
func (h *Host) reaches(to netip.Addr) *Host {
	if t := h.net.hosts[to]; t != nil && !t.unplugged && !h.unplugged {
		return t
	}
	return nil
}

// Dial implements netx.Dialer. As in netx, the connection comes from the port on which
// the host listens, or from another one if these two ports are connected already.
func (h *Host) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	src, ok := h.source(to.Addr())
	if !ok {
		return nil, dialError(to, netx.ErrNoFamily)
	}
	h.net.mu.Lock()
	if h.port != 0 && to.Port() == h.port && slices.Contains(*h.addrs.Load(), to.Addr()) {
		h.net.mu.Unlock()
		return nil, dialError(to, netx.ErrSelf)
	}
	t := tuple{netip.AddrPortFrom(src, h.port), to}
	for t.local.Port() == 0 || h.conns[t] != nil {
		h.ephemeral = max(32768, h.ephemeral+1)
		t.local = netip.AddrPortFrom(src, h.ephemeral)
	}
	local := newPair(h, t)
	h.conns[t] = local // the ports are in use from now on
	link := h.net.linkOf(src, to.Addr())
	h.net.mu.Unlock()

	if err := await.Sleep(ctx, link.Delay); err != nil {
		local.forget()
		return nil, dialError(to, err)
	}
	there, err := h.arrive(local)
	if there {
		// The answer travels back.
		if e := await.Sleep(ctx, link.Delay); e != nil {
			err = e
		}
	} else {
		<-ctx.Done()
		err = ctx.Err()
	}
	if err != nil {
		local.Reset()
		return nil, dialError(to, err)
	}
	return local, nil
}

// arrive delivers the dial of c to its target. The target is missing (false), refuses, or
// has a listener, which gets the other end.
func (h *Host) arrive(c *conn) (there bool, err error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	to := h.reaches(c.t.remote.Addr())
	if to == nil || to.nat != NoNAT || to.filtered[c.t.remote.Port()] {
		return false, nil
	}
	l := to.listeners[c.t.remote.Port()]
	if l == nil {
		return true, os.NewSyscallError("connect", syscall.ECONNREFUSED)
	}
	if len(l.queue) == backlog {
		return false, nil // a full backlog does not answer
	}
	c.peer.host = to
	to.conns[c.peer.t] = c.peer
	l.queue <- c.peer
	return true, nil
}

func dialError(to netip.AddrPort, err error) error {
	return &net.OpError{Op: "dial", Net: "tcp", Addr: net.TCPAddrFromAddrPort(to), Err: err}
}

// backlog is how many connections may wait to be accepted.
const backlog = 128

type listener struct {
	host  *Host
	port  uint16
	queue chan *conn
	once  sync.Once
	done  chan struct{}
}

// Listen accepts connections to port on all addresses of the host; port 0 means any.
func (h *Host) Listen(port uint16) (netx.Listener, error) {
	l, err := h.listen(port)
	if err != nil {
		return nil, err
	}
	return l, nil
}

func (h *Host) listen(port uint16) (*listener, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	for p := uint16(20000); port == 0; p++ {
		if h.listeners[p] == nil && h.packets[netip.AddrPortFrom(h.Addr(), p)] == nil {
			port = p
		}
	}
	if h.listeners[port] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	l := &listener{host: h, port: port, queue: make(chan *conn, backlog), done: make(chan struct{})}
	h.listeners[port] = l
	if h.port == 0 {
		h.port = port
	}
	return l, nil
}

func (l *listener) Accept(ctx context.Context) (net.Conn, error) {
	select {
	case <-l.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (l *listener) Addrs() []netip.AddrPort {
	var as []netip.AddrPort
	for _, a := range *l.host.addrs.Load() {
		as = append(as, netip.AddrPortFrom(a, l.port))
	}
	return as
}

func (l *listener) Close() error {
	l.once.Do(func() {
		close(l.done)
		n := l.host.net
		n.mu.Lock()
		if l.host.listeners[l.port] == l {
			delete(l.host.listeners, l.port)
		}
		if l.host.port == l.port {
			l.host.port = 0
		}
		n.mu.Unlock()
		for {
			select {
			case c := <-l.queue:
				c.Reset()
			default:
				return
			}
		}
	})
	return nil
}

// Stack is one port of a host for TCP and UDP, like netx.Host.
type Stack struct {
	*Host
	*listener
	udp []*netx.Socket
}

// Open opens port (0 for any) for TCP and UDP on all addresses of the host.
func (h *Host) Open(port uint16) (*Stack, error) {
	l, err := h.listen(port)
	if err != nil {
		return nil, err
	}
	s := &Stack{Host: h, listener: l}
	for _, a := range *h.addrs.Load() {
		p, err := h.packetConn(netip.AddrPortFrom(a, l.port))
		if err != nil {
			s.Close()
			return nil, err
		}
		s.udp = append(s.udp, netx.NewSocket(p))
	}
	return s, nil
}

// Port implements netx.Network.
func (s *Stack) Port() uint16 { return s.listener.port }

// UDP implements netx.Network.
func (s *Stack) UDP() []*netx.Socket { return s.udp }

// Close closes the listener and the UDP sockets, but not the connections.
func (s *Stack) Close() error {
	for _, p := range s.udp {
		p.Close()
	}
	return s.listener.Close()
}
