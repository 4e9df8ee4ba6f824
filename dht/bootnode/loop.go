package bootnode

import (
	"net/netip"
	"sync"
	"time"

	"seedbed/dht/bootstrap"
	"seedbed/dht/krpc"
	"seedbed/internal/mono"
	"seedbed/internal/netx"
)

const (
	// maxPings is the maximum number of pings sent with one batch.
	maxPings = 16
	// pause is the longest time that a due ping waits while no datagrams arrive.
	pause = 200 * time.Millisecond
)

// loop serves one socket.
type loop struct {
	s      *Server
	conn   *netx.Socket
	filler netx.FillLeveler // the connection, if it implements netx.FillLeveler
	out    outbox           // used by handle

	mu    sync.Mutex
	r     *bootstrap.Responder
	ended bool
}

func newLoop(s *Server, c netx.PacketConn) *loop {
	l := &loop{
		s: s, conn: netx.NewSocket(c), out: newOutbox(netx.BatchLen + maxPings),
		r: bootstrap.NewResponder(s.shared, s.now(), c.LocalAddr().Addr().Unmap().Is6()),
	}
	l.filler, _ = c.(netx.FillLeveler)
	return l
}

// outbox holds datagrams to send, in memory that is reused.
type outbox struct {
	ms []netx.Datagram
	b  []byte
}

func newOutbox(n int) outbox {
	return outbox{ms: make([]netx.Datagram, 0, n), b: make([]byte, 0, n*krpc.MaxDatagram)}
}

// post adds a datagram. b is o.b with the datagram appended; if nothing was appended, post
// does nothing.
func (o *outbox) post(b []byte, to netip.AddrPort) {
	if begin := len(o.b); len(b) > begin {
		o.ms = append(o.ms, netx.Datagram{Buf: b[begin:len(b):len(b)], Addr: to})
		o.b = b
	}
}

func (o *outbox) reset() { o.ms, o.b = o.ms[:0], o.b[:0] }

// serve answers queries until the socket is closed.
func (l *loop) serve() {
	l.conn.Handle(netx.KRPC, l.handle)
	<-l.conn.Done()
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
}

// handle answers a batch of datagrams. The replies are sent as a batch.
func (l *loop) handle(in []netx.Datagram) {
	out := &l.out
	out.reset()
	now := l.s.now()
	l.mu.Lock()
	if l.filler != nil {
		l.r.Pressure(l.filler.FillLevel())
	}
	l.sync(now)
	for i := range in {
		from := netip.AddrPortFrom(in[i].Addr.Addr().Unmap(), in[i].Addr.Port())
		out.post(l.r.Datagram(out.b, now, from, in[i].Buf[:in[i].N]), from)
	}
	if l.r.HasVerified() {
		l.sync(now)
	}
	l.takePings(now, out)
	l.mu.Unlock()
	l.send(out)
}

// ping sends due pings and synchronises the ring while no datagrams arrive.
func (l *loop) ping() {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	out := newOutbox(maxPings)
	for {
		select {
		case <-l.s.done:
			return
		case <-tick.C:
		}
		for full := true; full; full = len(out.ms) == maxPings {
			out.reset()
			now := l.s.now()
			l.mu.Lock()
			l.sync(now)
			l.takePings(now, &out)
			l.mu.Unlock()
			l.send(&out)
		}
	}
}

// sync exchanges nodes with the other loops. The caller holds l.mu.
func (l *loop) sync(now mono.Time) {
	l.s.mu.Lock()
	l.s.shared.Sync(now, l.r)
	l.s.mu.Unlock()
}

func (l *loop) takePings(now mono.Time, out *outbox) {
	for range maxPings {
		b, to, ok := l.r.Ping(out.b, now)
		if !ok {
			return
		}
		out.post(b, to)
	}
}

func (l *loop) send(out *outbox) {
	if len(out.ms) == 0 {
		return
	}
	if sent, err := l.conn.WriteBatch(out.ms); err != nil && sent < len(out.ms) {
		l.mu.Lock()
		l.r.Unsent(len(out.ms) - sent)
		l.mu.Unlock()
	}
}
