package utpconn

import (
	"context"
	crand "crypto/rand"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/internal/mono"
	"seedbed/internal/netx"
	"seedbed/internal/utp"
)

// Limits on the number of connections. Those per host do not apply to local addresses.
const (
	maxStreams         = 16 << 10
	maxPerHost         = 32
	maxHalfOpen        = 256 // incoming connections of which nothing is proved
	maxHalfOpenPerHost = 8
	maxLingering       = 256 // connections that are closed, and not all is delivered
	acceptBacklog      = 64
)

// The longest packets that are tried: 1,500 bytes, the MTU of Ethernet, without the headers
// of IP and UDP.
const (
	maxDatagram4 = 1500 - 28
	maxDatagram6 = 1500 - 48
)

// Limits of what one connection has in memory in each direction, in bytes. With many connections
// each has less, so that all of them together stay below maxBuffers, or, when there are so
// many that each has the least, below 256 MiB.
const (
	maxBuffers    = 128 << 20
	maxBufferSize = 1 << 20
	minBufferSize = 16 << 10
)

// bufferSize returns the limit for each of n connections. It is a power of two, because a
// connection whose receive window shrinks may lose packets.
func bufferSize(n int) int {
	size := maxBufferSize
	for size > minBufferSize && n*size > maxBuffers {
		size /= 2
	}
	return size
}

// ErrTooMany is the error of Dial if the limit of connections is reached.
var ErrTooMany = errors.New("too many uTP connections")

// Config configures a Transport.
type Config struct {
	// Sockets are the sockets to use, at most one of each family.
	Sockets []*netx.Socket
	// Blocked reports whether packets from an address are ignored.
	Blocked func(netip.Addr) bool
	// RefuseIncoming refuses all incoming connections, so that a peer that tries uTP first
	// switches to TCP at once instead of waiting for a timeout.
	RefuseIncoming bool
}

// key identifies a connection among the packets that arrive.
type key struct {
	remote netip.AddrPort
	id     uint16 // under which we receive
}

// Transport is a set of uTP connections. Its methods may be called concurrently.
type Transport struct {
	cfg      Config
	epoch    time.Time
	accepted chan *Stream
	done     chan struct{} // closed by Close
	timers   timers
	buffers  atomic.Int64 // bufferSize of the number of connections

	mu        sync.Mutex
	closed    bool
	streams   map[key]*Stream
	hosts     map[uint64]hostCount // by rate.SourceOf
	halfOpen  []*Stream            // the oldest first
	lingering []*Stream            // the oldest first
	gate      replyGate
	rng       *rand.Rand
	mtus      *simplelru.LRU[netip.Addr, knownMTU]
}

// hostCount is the number of connections of a host.
type hostCount struct{ streams, halfOpen int }

// New starts a Transport on the sockets of cfg.
func New(cfg Config) *Transport {
	if cfg.Blocked == nil {
		cfg.Blocked = func(netip.Addr) bool { return false }
	}
	var seed [32]byte
	_, _ = crand.Read(seed[:]) // never fails
	t := &Transport{
		cfg: cfg, epoch: time.Now(), rng: rand.New(rand.NewChaCha8(seed)),
		accepted: make(chan *Stream, acceptBacklog), done: make(chan struct{}),
		streams: make(map[key]*Stream), hosts: make(map[uint64]hostCount), mtus: newMTUs(),
	}
	t.gate = newReplyGate(t.now(), t.rng)
	t.buffers.Store(maxBufferSize)
	t.timers.start(t)
	for _, s := range cfg.Sockets {
		r := &receiver{t: t, sock: s}
		s.Handle(netx.UTP, r.handle)
	}
	return t
}

func (t *Transport) now() mono.Time { return mono.From(t.epoch, time.Now()) }

// Accept waits for an incoming connection. It fails only if ctx ends or the Transport is
// closed (net.ErrClosed).
func (t *Transport) Accept(ctx context.Context) (net.Conn, error) {
	select {
	case s := <-t.accepted:
		return s, nil
	case <-t.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// dialAgain are the times from one SYN of a dial to the next.
var dialAgain = [...]time.Duration{time.Second, 2 * time.Second}

// Dial connects to a peer. It fails with utp.ErrTimeout after nine seconds without an answer.
//
// Packets are lost, so it sends up to three SYNs, each for a connection with another id. libutp
// does not answer the same SYN twice: if it is the answer that is lost, only another id helps.
// The first connection that opens is used.
func (t *Transport) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	opened := make(chan *Stream, 1+len(dialAgain)) // each can be sent
	first, err := t.connect(to, opened)
	if err != nil {
		return nil, dialError(to, err)
	}
	tries := []*Stream{first}
	var used *Stream
	defer func() {
		for _, s := range tries {
			if s != used {
				s.Shutdown()
			}
		}
	}()
	again := time.NewTimer(dialAgain[0])
	defer again.Stop()
	for next := 1; ; next++ {
		select {
		case s := <-opened:
			if err := s.dialError(); err != nil {
				return nil, dialError(to, err)
			}
			used = s
			return s, nil
		case <-ctx.Done():
			return nil, dialError(to, ctx.Err())
		case <-again.C:
		}
		if s, err := t.connect(to, opened); err == nil { // else the earlier ones may still open
			tries = append(tries, s)
		}
		if next < len(dialAgain) {
			again.Reset(dialAgain[next])
		}
	}
}

func dialError(to netip.AddrPort, err error) error {
	return &net.OpError{Op: "dial", Net: "utp", Addr: net.UDPAddrFromAddrPort(to), Err: err}
}

// connect adds a connection and sends its SYN. opened receives it once it is open or has failed.
func (t *Transport) connect(to netip.AddrPort, opened chan<- *Stream) (*Stream, error) {
	sock := t.socket(to.Addr())
	if sock == nil {
		return nil, netx.ErrNoFamily
	}
	if sock.LocalAddr() == to {
		return nil, netx.ErrSelf
	}
	s := newStream(t, sock, to)
	s.opened = opened
	now := t.now()
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return nil, net.ErrClosed
	}
	if len(t.streams) >= maxStreams {
		t.mu.Unlock()
		return nil, ErrTooMany
	}
	for s.key.id = uint16(t.rng.Uint32()); t.streams[s.key] != nil; s.key.id++ {
	}
	s.sendID = s.key.id + 1
	s.c = utp.Connect(t.streamConfig(now, to.Addr()), s.key.id, uint16(t.rng.Uint32()), now)
	t.add(s)
	t.mu.Unlock()
	s.mu.Lock()
	s.flush(now)
	s.mu.Unlock()
	return s, nil
}

// socket returns the socket of the family of ip, or nil.
func (t *Transport) socket(ip netip.Addr) *netx.Socket {
	for _, s := range t.cfg.Sockets {
		if s.LocalAddr().Addr().Is4() == ip.Is4() {
			return s
		}
	}
	return nil
}

// streamConfig returns the configuration of a connection to a host. The caller holds mu.
func (t *Transport) streamConfig(now mono.Time, ip netip.Addr) utp.Config {
	longest := maxDatagram4
	if ip.Is6() {
		longest = maxDatagram6
	}
	size := int(t.buffers.Load())
	return utp.Config{MaxDatagram: longest, KnownMTU: t.pathMTU(now, ip), SendBuffer: size, ReceiveBuffer: size}
}

// add adds a connection. The caller holds mu.
func (t *Transport) add(s *Stream) {
	t.streams[s.key] = s
	t.buffers.Store(int64(bufferSize(len(t.streams))))
	h := t.hosts[s.host]
	h.streams++
	t.hosts[s.host] = h
}

// forget removes a connection that has ended.
func (t *Transport) forget(s *Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.streams[s.key] != s {
		return
	}
	delete(t.streams, s.key)
	t.buffers.Store(int64(bufferSize(len(t.streams))))
	t.halfOpen = t.leaveHalfOpen(s)
	t.lingering = without(t.lingering, s)
	h := t.hosts[s.host]
	if h.streams--; h.streams == 0 {
		delete(t.hosts, s.host)
	} else {
		t.hosts[s.host] = h
	}
}

// Remotes returns the addresses of the other ends of all connections. A host with several
// connections is returned for each.
func (t *Transport) Remotes() []netip.Addr {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := make([]netip.Addr, 0, len(t.streams))
	for k := range t.streams {
		list = append(list, k.remote.Addr())
	}
	return list
}

// leaveHalfOpen returns the half-open connections without s. The caller holds mu.
func (t *Transport) leaveHalfOpen(s *Stream) []*Stream {
	rest := without(t.halfOpen, s)
	if len(rest) < len(t.halfOpen) {
		h := t.hosts[s.host]
		h.halfOpen--
		t.hosts[s.host] = h
	}
	return rest
}

// establish passes an incoming connection to Accept. It reports whether there was space.
func (t *Transport) establish(s *Stream) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.halfOpen = t.leaveHalfOpen(s)
	if t.closed {
		return false
	}
	select {
	case t.accepted <- s:
		return true
	default:
		return false
	}
}

// linger records that a connection is closed and still delivers what was written. It
// returns a connection to end in its place if there are too many.
func (t *Transport) linger(s *Stream) (oldest *Stream) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.streams[s.key] != s {
		return nil
	}
	t.lingering = append(t.lingering, s)
	if len(t.lingering) <= maxLingering {
		return nil
	}
	oldest = t.lingering[0]
	t.lingering = without(t.lingering, oldest)
	return oldest
}

// without returns list without s, in the same memory.
func without(list []*Stream, s *Stream) []*Stream {
	for i := range list {
		if list[i] == s {
			copy(list[i:], list[i+1:])
			list[len(list)-1] = nil
			return list[:len(list)-1]
		}
	}
	return list
}

// Close ends all connections; the peers of open ones get a reset. It does not close the
// sockets.
func (t *Transport) Close() error {
	t.mu.Lock()
	if t.closed {
		t.mu.Unlock()
		return net.ErrClosed
	}
	t.closed = true
	all := make([]*Stream, 0, len(t.streams))
	for _, s := range t.streams {
		all = append(all, s)
	}
	t.mu.Unlock()
	close(t.done)
	for _, s := range all {
		s.reset(io.ErrClosedPipe)
	}
	t.timers.stop()
	return nil
}
