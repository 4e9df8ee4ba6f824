package netx

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"seedbed/internal/traffic"
)

// Protocol identifies the protocol of a datagram.
type Protocol uint8

// The protocols that share the port.
const (
	KRPC Protocol = iota // the DHT (BEP 5)
	UTP                  // connections over UDP (BEP 29)
	numProtocols
)

// ProtocolOf determines the protocol of a datagram from its first byte, and for uTP also
// from its length. ok is false if it is neither. A datagram of MaxDatagram bytes was perhaps
// truncated. A uTP packet whose rest is missing would be acknowledged as if all of it had
// arrived, and the stream would lose bytes.
func ProtocolOf(b []byte) (p Protocol, ok bool) {
	switch {
	case len(b) == 0:
		return 0, false
	case b[0] == 'd': // BEP 5: messages are bencoded dictionaries
		return KRPC, true
	case b[0]&0x0f == 1 && b[0]>>4 <= 4 && len(b) >= 20 && len(b) < MaxDatagram: // BEP 29: version 1, types 0 to 4, a header of 20 bytes
		return UTP, true
	}
	return 0, false
}

// Sizes of a Socket's batches.
const (
	// BatchLen is the maximum number of datagrams in one call of a handler.
	BatchLen = 64
	// MaxDatagram is how many bytes of a datagram are read; a longer one is truncated.
	// KRPC and uTP messages fit an Ethernet frame.
	MaxDatagram = 2 << 10
	// coalescedBatch is how many buffers are read at once if each may hold several
	// datagrams. Only the pages that are ever filled take memory.
	coalescedBatch = 16
)

// Socket is a PacketConn that passes its datagrams to the handler of their protocol. One
// goroutine reads them in batches; it starts with the first handler. A caller that
// registers a handler must not call ReadBatch.
type Socket struct {
	conn     atomic.Pointer[PacketConn] // replace changes it
	handlers [numProtocols]atomic.Pointer[func([]Datagram)]
	parts    [numProtocols][]Datagram // of one batch, used by dispatch only
	strays   atomic.Uint64
	meter    traffic.Meter
	reading  sync.Once
	done     chan struct{}
}

// NewSocket returns a Socket that reads from conn and closes it.
func NewSocket(conn PacketConn) *Socket {
	s := &Socket{done: make(chan struct{})}
	s.conn.Store(&conn)
	return s
}

// ReadBatch implements PacketConn.
func (s *Socket) ReadBatch(ms []Datagram) (int, error) {
	for {
		conn := s.conn.Load()
		n, err := (*conn).ReadBatch(ms)
		if err == nil || conn == s.conn.Load() {
			s.meter.Received(received(ms[:n]))
			return n, err
		}
	}
}

// WriteBatch implements PacketConn.
func (s *Socket) WriteBatch(ms []Datagram) (int, error) {
	n, err := (*s.conn.Load()).WriteBatch(ms)
	bytes := 0
	for i := range ms {
		if ms[i].Err == nil {
			bytes += len(ms[i].Buf)
		}
	}
	s.meter.Sent(bytes)
	return n, err
}

// WriteTo implements PacketConn.
func (s *Socket) WriteTo(b []byte, to netip.AddrPort) error {
	err := (*s.conn.Load()).WriteTo(b, to)
	if err == nil {
		s.meter.Sent(len(b))
	}
	return err
}

// LocalAddr implements PacketConn.
func (s *Socket) LocalAddr() netip.AddrPort { return (*s.conn.Load()).LocalAddr() }

// replace makes the Socket use conn from now on and closes the PacketConn before it. The
// datagrams that this one has not read are lost.
func (s *Socket) replace(conn PacketConn) error { return (*s.conn.Swap(&conn)).Close() }

// Handle registers h as the handler of a protocol. h receives the datagrams of one batch
// in the order of arrival. It must not keep their memory after it returns. Nothing is
// read while h runs.
func (s *Socket) Handle(p Protocol, h func(ms []Datagram)) {
	s.handlers[p].Store(&h)
	s.reading.Do(func() { go s.read() })
}

// Strays returns how many datagrams were dropped because they are of no known protocol,
// or of one without a handler.
func (s *Socket) Strays() uint64 { return s.strays.Load() }

// Traffic returns the bytes of UDP payload since the start.
func (s *Socket) Traffic() traffic.Bytes { return s.meter.Bytes() }

// received returns the bytes of datagrams that were read.
func received(ms []Datagram) (n int) {
	for i := range ms {
		n += ms[i].N
	}
	return n
}

// Done returns a channel that is closed when no handler will be called any more.
func (s *Socket) Done() <-chan struct{} { return s.done }

// Close closes the PacketConn and waits for the handlers.
func (s *Socket) Close() error {
	err := (*s.conn.Load()).Close()
	s.reading.Do(func() { close(s.done) })
	<-s.done
	return err
}

// read dispatches datagrams until the PacketConn is closed.
func (s *Socket) read() {
	defer close(s.done)
	var (
		conn *PacketConn // the one for which ms was made
		utp  bool        // ms was made for uTP
		ms   []Datagram
	)
	for {
		if c, u := s.conn.Load(), s.handlers[UTP].Load() != nil; c != conn || u != utp {
			conn, utp = c, u
			ms = readBuffers(*conn, utp)
		}
		n, err := s.ReadBatch(ms)
		if err != nil {
			return
		}
		s.dispatch(ms[:n])
	}
}

// readBuffers returns the buffers for a batch. For uTP, which sends bursts to one address,
// the system coalesces datagrams if it can.
func readBuffers(conn PacketConn, utp bool) []Datagram {
	n, size := BatchLen, MaxDatagram
	if c, ok := conn.(Coalescer); ok && utp && c.Coalesce() {
		n, size = coalescedBatch, CoalescedLen
	}
	ms, all := make([]Datagram, n), make([]byte, n*size)
	for i := range ms {
		ms[i].Buf = all[i*size : (i+1)*size : (i+1)*size]
	}
	return ms
}

// dispatch passes the datagrams of one batch to their handlers.
func (s *Socket) dispatch(ms []Datagram) {
	for i := range ms {
		m := &ms[i]
		if m.Segment > 0 {
			s.split(m)
			continue
		}
		m.N = min(m.N, MaxDatagram)
		s.collect(m)
	}
	for p := range s.parts {
		s.deliver(Protocol(p))
	}
}

// split collects the segments of m.
func (s *Socket) split(m *Datagram) {
	for rest := m.Buf[:m.N]; len(rest) > 0; {
		n := min(m.Segment, len(rest))
		s.collect(&Datagram{Buf: rest[:n:n], N: min(n, MaxDatagram), Addr: m.Addr})
		rest = rest[n:]
	}
}

// collect adds a datagram to the next batch of its handler.
func (s *Socket) collect(m *Datagram) {
	p, ok := ProtocolOf(m.Buf[:m.N])
	if !ok {
		s.strays.Add(1)
		return
	}
	if s.parts[p] = append(s.parts[p], *m); len(s.parts[p]) == BatchLen {
		s.deliver(p)
	}
}

// deliver calls the handler of p with what was collected.
func (s *Socket) deliver(p Protocol) {
	part := s.parts[p]
	if len(part) == 0 {
		return
	}
	s.parts[p] = part[:0]
	if h := s.handlers[p].Load(); h != nil {
		(*h)(part)
	} else {
		s.strays.Add(uint64(len(part)))
	}
}
