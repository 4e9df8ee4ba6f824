package netx

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"

	"seedbed/internal/socks5"
)

// relay is a PacketConn whose datagrams a SOCKS5 proxy relays. An association lives as long
// as the TCP connection that has asked for it (RFC 1928, section 7), so relay asks again
// when that ends.
type relay struct {
	out     Outbound
	dscp    DSCP
	local   netip.AddrPort // the unspecified address of the family
	changed func(error)
	log     *slog.Logger

	mu     sync.Mutex
	ready  sync.Cond // mu; session or closed has changed
	at     *session  // nil without an association
	err    error     // why there is none
	closed bool
	again  context.CancelFunc // ends the request for an association, and the pause after it

	asked     chan struct{} // closed when the first request for an association has ended
	firstDone sync.Once

	writing sync.Mutex // guards out buffers
	batch   []Datagram
	from    []int // indexes of the caller's datagrams in batch
	bytes   []byte
}

// session is one association.
type session struct {
	control *net.TCPConn // the connection that has asked for it
	conn    PacketConn
	proxy   netip.AddrPort // where the proxy receives and sends our datagrams
}

func (s *session) close() {
	s.control.Close()
	s.conn.Close()
}

const (
	// associateWithin limits a request for an association.
	associateWithin = 20 * time.Second
	// The pause after a failed request grows from the first to the last. A proxy that relays no
	// datagrams is asked at the last.
	firstRetry = time.Second
	lastRetry  = time.Minute
)

func newRelay(out Outbound, dscp DSCP, any netip.Addr, log *slog.Logger) *relay {
	r := &relay{out: out, dscp: dscp, local: netip.AddrPortFrom(any, 0), log: log, changed: func(error) {}, asked: make(chan struct{})}
	r.ready.L = &r.mu
	r.err = out.proxyError(errors.New("no association yet"))
	return r
}

// run keeps an association until done is closed.
func (r *relay) run(done <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-done
		cancel()
	}()
	pause, last := firstRetry, ""
	report := func(err error) {
		text := ""
		if err != nil {
			text = err.Error()
		}
		if text != last {
			last = text
			r.changed(err)
		}
	}
	for ctx.Err() == nil {
		attempt, again := context.WithCancel(ctx)
		r.mu.Lock()
		r.again = again
		r.mu.Unlock()
		if err := r.associated(attempt, report); err == nil {
			pause = firstRetry
		} else if errors.Is(err, ErrNoRelay) {
			pause = lastRetry
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, lastRetry)
		case <-attempt.Done():
			pause = firstRetry
		}
		again()
	}
}

// associated asks for an association, and returns when it has ended, or why there was none.
func (r *relay) associated(ctx context.Context, report func(error)) error {
	s, err := r.out.associate(ctx, r.dscp)
	if ctx.Err() != nil {
		if err == nil {
			s.close()
		}
		return ctx.Err()
	}
	r.set(s, err)
	report(err)
	if err != nil {
		r.log.Debug("no association", "proxy", r.out.Proxy, "err", err)
		return err
	}
	stop := context.AfterFunc(ctx, func() { s.control.Close() })
	_, _ = io.CopyN(io.Discard, s.control, 1) // it ends with the association: nothing is sent on it
	stop()
	r.set(nil, r.out.proxyError(errors.New("it ended the association")))
	s.close()
	r.log.Debug("the association has ended; asking for another", "proxy", r.out.Proxy)
	return nil
}

// renew ends the association if the connection to the proxy is lost. If there is none, it is asked for at once.
func (r *relay) renew(isLost func(local, remote netip.Addr) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.at != nil:
		if c := r.at.control; isLost(LocalAddr(c).Addr(), RemoteAddr(c).Addr()) {
			c.Close()
		}
	case r.again != nil:
		r.again()
	}
}

// associate asks the proxy for an association. The error is an *Error that wraps ErrNoProxy, and
// ErrNoRelay if the proxy relays no datagrams. dscp marks the datagrams to the proxy.
func (o Outbound) associate(ctx context.Context, dscp DSCP) (*session, error) {
	ctx, cancel := context.WithTimeout(ctx, associateWithin)
	defer cancel()
	// We do not know from which address the proxy will see our datagrams: RFC 1928 has zeros for that.
	control, bound, err := o.request(ctx, socks5.Associate, socks5.Addr{IP: netip.IPv4Unspecified()})
	var refused *socks5.ReplyError
	if errors.As(err, &refused) {
		return nil, &Error{Addr: "the proxy " + o.Proxy, Reason: "relays no datagrams (" + err.Error() + "), so the DHT is silent",
			Hint: "use a proxy with UDP ASSOCIATE, such as Dante, or name peers with --peer; nothing is sent around the proxy",
			Err:  errors.Join(ErrNoProxy, ErrNoRelay, err)}
	}
	if err != nil {
		var own *Error
		if !errors.As(err, &own) {
			err = o.proxyError(err)
		}
		return nil, err
	}
	// Nothing is sent on the connection, so without keepalives the end of a proxy that loses its power
	// would never be noticed.
	_ = control.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: 30 * time.Second, Interval: 10 * time.Second, Count: 3})
	proxy := RemoteAddr(control).Addr()
	if ip := bound.Addr(); ip.IsValid() && !ip.IsUnspecified() { // 0.0.0.0 means the address of the proxy
		proxy = ip
	}
	s := &session{control: control, proxy: netip.AddrPortFrom(proxy.WithZone(""), bound.Port())}
	lc := net.ListenConfig{}
	if !proxy.IsLoopback() {
		lc.Control = Outbound{Interface: o.Interface}.control(nil)
	}
	network, any := "udp4", "0.0.0.0:0"
	if proxy.Is6() {
		network, any = "udp6", "[::]:0"
	}
	pc, err := lc.ListenPacket(ctx, network, any)
	if err != nil {
		control.Close()
		return nil, o.proxyError(err)
	}
	udp := pc.(*net.UDPConn)
	dscp.mark(udp)
	s.conn = newUDP(udp)
	return s, nil
}

// CheckProxy asks the proxy for an association, which it ends. The error is an *Error that wraps
// ErrNoProxy, and ErrNoRelay if the proxy relays no datagrams.
func (o Outbound) CheckProxy(ctx context.Context) error {
	s, err := o.associate(ctx, 0)
	if err != nil {
		return err
	}
	s.close()
	return nil
}

// set changes the association.
func (r *relay) set(s *session, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at, r.err = s, err; r.closed && s != nil {
		s.conn.Close()
	}
	r.ready.Broadcast()
	r.firstDone.Do(func() { close(r.asked) })
}

// session returns the association, or why there is none.
func (r *relay) session() (*session, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.closed:
		return nil, net.ErrClosed
	case r.at == nil:
		return nil, r.err
	}
	return r.at, nil
}

// await waits for an association. It returns nil once the relay is closed.
func (r *relay) await() *session {
	r.mu.Lock()
	defer r.mu.Unlock()
	for r.at == nil && !r.closed {
		r.ready.Wait()
	}
	if r.closed {
		return nil
	}
	return r.at
}

// ReadBatch implements PacketConn. Whatever is not relayed by the proxy is dropped, and so are
// fragments.
func (r *relay) ReadBatch(ms []Datagram) (int, error) {
	for {
		s := r.await()
		if s == nil {
			return 0, net.ErrClosed
		}
		n, err := s.conn.ReadBatch(ms)
		if err != nil { // the association has ended
			r.mu.Lock()
			if r.at == s {
				r.at, r.err = nil, err
			}
			r.mu.Unlock()
			continue
		}
		kept := 0
		for i := range ms[:n] {
			if m := &ms[i]; m.Addr == s.proxy && r.unwrap(m) {
				ms[kept], ms[i] = ms[i], ms[kept] // every buffer stays the caller's
				kept++
			}
		}
		if kept > 0 {
			return kept, nil
		}
	}
}

// unwrap removes the header of a datagram. It returns false if the datagram is to be dropped, also
// because it fills the buffer: its rest is perhaps missing, and without the header ProtocolOf could
// not know that.
func (r *relay) unwrap(m *Datagram) bool {
	if m.N == len(m.Buf) {
		return false
	}
	from, payload, err := socks5.ParseHeader(m.Buf[:m.N])
	if err != nil || from.Addr().Is4() != r.local.Addr().Is4() {
		return false
	}
	m.Addr = from
	m.N = copy(m.Buf, payload)
	return true
}

// WriteBatch implements PacketConn. Segments are separate datagrams here, because each needs a
// header.
func (r *relay) WriteBatch(ms []Datagram) (sent int, err error) {
	s, err := r.session()
	if err != nil {
		for i := range ms {
			ms[i].Err = err
		}
		return 0, err
	}
	r.writing.Lock()
	defer r.writing.Unlock()
	r.batch, r.from, r.bytes = r.batch[:0], r.from[:0], r.bytes[:0]
	for i := range ms {
		ms[i].Err = nil
		rest, step := ms[i].Buf, ms[i].Segment
		for first := true; first || len(rest) > 0; first = false {
			n := len(rest)
			if step > 0 {
				n = min(n, step)
			}
			begin := len(r.bytes)
			r.bytes = append(socks5.AppendHeader(r.bytes, socks5.AddrOf(ms[i].Addr)), rest[:n]...)
			r.batch = append(r.batch, Datagram{N: begin, Addr: s.proxy})
			r.from = append(r.from, i)
			rest = rest[n:]
		}
	}
	for i := range r.batch { // now that bytes does not move any more
		end := len(r.bytes)
		if i+1 < len(r.batch) {
			end = r.batch[i+1].N
		}
		r.batch[i].Buf = r.bytes[r.batch[i].N:end:end]
	}
	_, _ = s.conn.WriteBatch(r.batch)
	for i := range r.batch {
		m, e := &ms[r.from[i]], r.batch[i].Err
		if isFirst := i == 0 || r.from[i-1] != r.from[i]; isFirst || e == nil {
			m.Err = e
		}
	}
	for i := range ms {
		if ms[i].Err == nil {
			sent++
		} else if err == nil {
			err = ms[i].Err
		}
	}
	return sent, err
}

// WriteTo implements PacketConn.
func (r *relay) WriteTo(b []byte, to netip.AddrPort) error {
	ms := [1]Datagram{{Buf: b, Addr: to}}
	_, err := r.WriteBatch(ms[:])
	return err
}

// LocalAddr implements PacketConn. The port is 0: others cannot send to it.
func (r *relay) LocalAddr() netip.AddrPort { return r.local }

// Close implements PacketConn.
func (r *relay) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	if r.at != nil {
		r.at.conn.Close()
	}
	r.ready.Broadcast()
	return nil
}
