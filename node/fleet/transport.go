package fleet

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/hashicorp/memberlist"

	"seedbed/internal/addrs"
	"seedbed/internal/netx"
)

// Limits on what comes in before it is known to be from a member.
const (
	// maxStreams is the number of connections at a time, and maxStreamsPerHost that from one IPv4 address or IPv6 network of
	// 64 bits. Those that exceed maxUnknownStreams must be from the address of a member.
	maxStreams        = 64
	maxUnknownStreams = 48
	maxStreamsPerHost = 16
	// maxStream is how many bytes are read from a connection: twice the state of maxMembers members.
	maxStream = 512 << 10
	// maxPacket is how many bytes of a packet are read; memberlist sends up to 1,400.
	maxPacket = 2 << 10
	// packetBatch is the number of packets that are read at once.
	packetBatch = 16
)

// transport connects memberlist with the sockets.
type transport struct {
	net        netx.Network
	advertised func() netip.AddrPort
	isMember   func(netip.Addr) bool
	packets    chan *memberlist.Packet
	streams    chan net.Conn
	ctx        context.Context
	cancel     context.CancelFunc
	wg         sync.WaitGroup
	log        *slog.Logger

	mu   sync.Mutex
	open map[netip.Prefix]int // connections that came in, by the network of the host
	sum  int
}

var _ memberlist.NodeAwareTransport = lasting{}

// lasting is a transport that stays open when a memberlist ends, so that the next one can use it.
type lasting struct{ *transport }

// Shutdown implements memberlist.Transport.
func (lasting) Shutdown() error { return nil }

// newTransport starts to read from a network. advertised returns the address that other members are told. isMember reports
// whether a member has an address.
func newTransport(network netx.Network, advertised func() netip.AddrPort, isMember func(netip.Addr) bool, log *slog.Logger) *transport {
	t := &transport{net: network, advertised: advertised, isMember: isMember, packets: make(chan *memberlist.Packet), streams: make(chan net.Conn), open: map[netip.Prefix]int{}, log: log}
	t.ctx, t.cancel = context.WithCancel(context.Background())
	for _, s := range network.UDP() {
		t.wg.Go(func() { t.readPackets(s) })
	}
	t.wg.Go(t.accept)
	return t
}

func (t *transport) readPackets(s *netx.Socket) {
	ms, all := make([]netx.Datagram, packetBatch), make([]byte, packetBatch*maxPacket)
	for i := range ms {
		ms[i].Buf = all[i*maxPacket : (i+1)*maxPacket]
	}
	for {
		n, err := s.ReadBatch(ms)
		if err != nil {
			return
		}
		now := time.Now()
		for _, m := range ms[:n] {
			if m.N == 0 || m.N == maxPacket {
				continue
			}
			p := &memberlist.Packet{Buf: append([]byte(nil), m.Buf[:m.N]...), From: net.UDPAddrFromAddrPort(m.Addr), Timestamp: now}
			select {
			case t.packets <- p:
			case <-t.ctx.Done():
				return
			}
		}
	}
}

func (t *transport) accept() {
	for {
		c, err := t.net.Accept(t.ctx)
		if err != nil {
			return
		}
		host := netx.RemoteAddr(c).Addr()
		if !t.enter(host) {
			c.Close()
			continue
		}
		select {
		case t.streams <- t.stream(c, maxStream, func() { t.leave(host) }):
		case <-t.ctx.Done():
			c.Close()
			return
		}
	}
}

// enter counts a connection that has come in, or returns false if there are too many.
func (t *transport) enter(host netip.Addr) bool {
	limit := maxUnknownStreams
	if t.isMember(host) {
		limit = maxStreams
	}
	from := addrs.ClientNet(host)
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sum >= limit || t.open[from] >= maxStreamsPerHost {
		return false
	}
	t.sum++
	t.open[from]++
	return true
}

func (t *transport) leave(host netip.Addr) {
	from := addrs.ClientNet(host)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sum--
	if t.open[from]--; t.open[from] == 0 {
		delete(t.open, from)
	}
}

// stream is a connection that ends with the transport. No more than left bytes can be read from it.
type stream struct {
	net.Conn
	left int
	end  func()
}

func (t *transport) stream(c net.Conn, limit int, end func()) *stream {
	stop := context.AfterFunc(t.ctx, func() { c.Close() })
	return &stream{Conn: c, left: limit, end: sync.OnceFunc(func() { stop(); end() })}
}

// Read implements net.Conn.
func (s *stream) Read(b []byte) (int, error) {
	if s.left == 0 {
		return 0, io.ErrUnexpectedEOF
	}
	n, err := s.Conn.Read(b[:min(len(b), s.left)])
	s.left -= n
	return n, err
}

// Close implements net.Conn.
func (s *stream) Close() error {
	s.end()
	return s.Conn.Close()
}

// FinalAdvertiseAddr implements memberlist.Transport.
func (t *transport) FinalAdvertiseAddr(string, int) (net.IP, int, error) {
	a := t.advertised()
	return a.Addr().AsSlice(), int(a.Port()), nil
}

// WriteTo implements memberlist.Transport.
func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return time.Time{}, err
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	for _, s := range t.net.UDP() {
		if s.LocalAddr().Addr().Is4() == to.Addr().Is4() {
			return time.Now(), s.WriteTo(b, to)
		}
	}
	return time.Time{}, netx.ErrNoFamily
}

// WriteToAddress implements memberlist.NodeAwareTransport.
func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	return t.WriteTo(b, a.Addr)
}

// PacketCh implements memberlist.Transport.
func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }

// StreamCh implements memberlist.Transport.
func (t *transport) StreamCh() <-chan net.Conn { return t.streams }

// DialTimeout implements memberlist.Transport.
func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	c, err := t.net.Dial(ctx, to)
	if err != nil {
		return nil, err
	}
	return t.stream(c, maxStream, func() {}), nil
}

// DialAddressTimeout implements memberlist.NodeAwareTransport.
func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	return t.DialTimeout(a.Addr, timeout)
}

// Shutdown closes the sockets and all connections.
func (t *transport) Shutdown() error {
	t.cancel()
	err := t.net.Close()
	t.wg.Wait()
	return err
}
