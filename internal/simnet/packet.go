package simnet

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"seedbed/internal/netx"
)

// queueLen is how many unread datagrams a socket holds; further ones are lost.
const queueLen = 4096

// packetConn is a UDP socket. It implements netx.PacketConn.
type packetConn struct {
	host  *Host
	local atomic.Pointer[netip.AddrPort] // Readdress replaces it

	mu      sync.Mutex
	changed chan struct{} // closed on any change if someone waits
	queue   []datagram    // in order of arrival
	closed  bool
}

type datagram struct {
	at   time.Time
	from netip.AddrPort
	to   netip.AddrPort // as the sender sees it
	b    []byte
}

// PacketConn opens a UDP socket at port (0 for any) of the host's first address.
func (h *Host) PacketConn(port uint16) (netx.PacketConn, error) {
	return h.packetConn(netip.AddrPortFrom(h.Addr(), port))
}

func (h *Host) packetConn(local netip.AddrPort) (netx.PacketConn, error) {
	h.net.mu.Lock()
	defer h.net.mu.Unlock()
	for p := uint16(40000); local.Port() == 0; p++ {
		if a := netip.AddrPortFrom(local.Addr(), p); h.packets[a] == nil {
			local = a
		}
	}
	if h.packets[local] != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	p := &packetConn{host: h}
	p.local.Store(&local)
	h.packets[local] = p
	return p, nil
}

func (p *packetConn) LocalAddr() netip.AddrPort { return *p.local.Load() }

func (p *packetConn) change() {
	if p.changed != nil {
		close(p.changed)
		p.changed = nil
	}
}

func (p *packetConn) ReadBatch(ms []netx.Datagram) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		if p.closed {
			return 0, net.ErrClosed
		}
		n, taken := p.take(ms)
		p.queue = slices.Delete(p.queue, 0, taken)
		if n > 0 || len(ms) == 0 {
			return n, nil
		}
		p.wait()
	}
}

// take copies the datagrams that have arrived to ms, as many as fit. It returns how many it has
// copied, and how many it has taken from the queue.
func (p *packetConn) take(ms []netx.Datagram) (n, taken int) {
	now := time.Now()
	p.host.net.mu.Lock()
	defer p.host.net.mu.Unlock()
	for n < len(ms) && taken < len(p.queue) && !p.queue[taken].at.After(now) {
		d := &p.queue[taken]
		taken++
		if p.host.letsIn(d.from, d.to) {
			ms[n].N = copy(ms[n].Buf, d.b)
			ms[n].Addr, ms[n].Segment = d.from, 0
			n++
		}
	}
	return n, taken
}

// wait releases the lock until something changes or the next datagram arrives.
func (p *packetConn) wait() {
	if p.changed == nil {
		p.changed = make(chan struct{})
	}
	ch, late := p.changed, (<-chan time.Time)(nil)
	if len(p.queue) > 0 {
		t := time.NewTimer(time.Until(p.queue[0].at))
		defer t.Stop()
		late = t.C
	}
	p.mu.Unlock()
	defer p.mu.Lock()
	select {
	case <-ch:
	case <-late:
	}
}

func (p *packetConn) WriteTo(b []byte, to netip.AddrPort) error {
	local := p.LocalAddr()
	p.mu.Lock()
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return net.ErrClosed
	}
	if len(b) > 65507 {
		return os.NewSyscallError("sendto", syscall.EMSGSIZE)
	}
	if to.Addr().Is4() != local.Addr().Is4() {
		return os.NewSyscallError("sendto", syscall.ENETUNREACH)
	}
	at, lost := p.host.net.depart(flow{'u', local, to}, len(b))
	n := p.host.net
	n.mu.Lock()
	from := p.host.leave(local, to)
	var q *packetConn
	if h := p.host.reaches(to.Addr()); h != nil {
		q = h.packets[h.behind(to)]
	}
	n.mu.Unlock()
	if q != nil && !lost {
		q.push(datagram{at, from, to, slices.Clone(b)})
	}
	return nil
}

func (p *packetConn) push(d datagram) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || len(p.queue) == queueLen {
		return
	}
	i := len(p.queue)
	for i > 0 && p.queue[i-1].at.After(d.at) {
		i--
	}
	p.queue = slices.Insert(p.queue, i, d)
	p.change()
}

func (p *packetConn) WriteBatch(ms []netx.Datagram) (n int, err error) {
	for i := range ms {
		if ms[i].Err = p.writeSegments(&ms[i]); ms[i].Err == nil {
			n++
		} else if err == nil {
			err = ms[i].Err
		}
	}
	return n, err
}

// writeSegments sends one datagram, or each of its segments.
func (p *packetConn) writeSegments(m *netx.Datagram) error {
	if m.Segment <= 0 {
		return p.WriteTo(m.Buf, m.Addr)
	}
	for b := range slices.Chunk(m.Buf, m.Segment) {
		if err := p.WriteTo(b, m.Addr); err != nil {
			return err
		}
	}
	return nil
}

func (p *packetConn) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return net.ErrClosed
	}
	p.closed, p.queue = true, nil
	p.change()
	n := p.host.net
	n.mu.Lock()
	defer n.mu.Unlock()
	if local := p.LocalAddr(); p.host.packets[local] == p {
		delete(p.host.packets, local)
	}
	return nil
}

var _ netx.PacketConn = (*packetConn)(nil)
