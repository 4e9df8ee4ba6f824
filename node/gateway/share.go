package gateway

import (
	"net"
	"net/netip"
	"sync"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"

	"seedbed/internal/addrs"
)

// A share limits how many of something there are at a time. A client may have half of those that no
// other client has, so that none can keep the others waiting.
type share struct {
	max int

	mu   sync.Mutex
	open int
	of   map[netip.Prefix]int // of clients that have any
}

func newShare(most int) *share { return &share{max: most, of: map[netip.Prefix]int{}} }

// take takes one for a client until give. Without a valid client, only the number of all is limited.
func (s *share) take(client netip.Prefix) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	free := s.max - s.open
	if free <= 0 || client.IsValid() && s.of[client] >= free {
		return false
	}
	s.open++
	s.of[client]++
	return true
}

// give gives back what take has taken.
func (s *share) give(client netip.Prefix) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.open--
	if s.of[client]--; s.of[client] == 0 {
		delete(s.of, client)
	}
}

// taken returns how many are taken.
func (s *share) taken() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// maxClients is the number of clients that are told apart. One that is forgotten begins with a full burst.
const maxClients = 8192

// buckets limit how often each client does something.
type buckets struct {
	perSecond rate.Limit
	burst     int

	mu  sync.Mutex
	all *simplelru.LRU[netip.Prefix, *rate.Limiter]
}

func newBuckets(perSecond rate.Limit, burst int) *buckets {
	b := &buckets{perSecond: perSecond, burst: burst}
	b.all, _ = simplelru.NewLRU[netip.Prefix, *rate.Limiter](maxClients, nil) // the size is valid
	return b
}

// allow reports whether a client may do it once more now.
func (b *buckets) allow(client netip.Prefix) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	l, ok := b.all.Get(client)
	if !ok {
		l = rate.NewLimiter(b.perSecond, b.burst)
		b.all.Add(client, l)
	}
	return l.Allow()
}

// sharedListener closes connections of clients that have too many.
type sharedListener struct {
	net.Listener
	share   *share
	isProxy func(netip.Addr) bool // a proxy has the connections of many clients
}

// Accept implements net.Listener.
func (l *sharedListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		var client netip.Prefix
		if from, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil && !l.isProxy(addrs.Host(from.Addr())) {
			client = addrs.ClientNet(from.Addr())
		}
		if l.share.take(client) {
			return &sharedConn{Conn: c, give: sync.OnceFunc(func() { l.share.give(client) })}, nil
		}
		_ = c.Close() // the client notices
	}
}

type sharedConn struct {
	net.Conn
	give func()
}

// Close implements net.Conn.
func (c *sharedConn) Close() error {
	defer c.give()
	return c.Conn.Close()
}
