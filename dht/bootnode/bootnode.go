// Package bootnode runs a public DHT bootstrap node. It does the network and file I/O;
// package dht/bootstrap makes all decisions.
//
// A Server uses sockets that the caller opened. A Node is a Server that opens its own
// sockets and saves its ring of verified nodes in a state directory.
//
// Each socket has a loop: it reads a batch, answers it in place and sends the replies as a
// batch. A loop has its own limits and candidates. The loops share only the rings of
// verified nodes, and synchronise them once a batch. So several sockets on one port
// (netx.OpenUDP) can use all processors.
//
//	socket ── loop: Responder ──┐
//	socket ── loop: Responder ──┼── Shared: rings, ids (mu)
//	socket ── loop: Responder ──┘
//
// A second goroutine for each loop sends due pings while no datagrams arrive. All methods
// may be called from any goroutine.
package bootnode

import (
	crand "crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"time"

	"seedbed/dht/bootstrap"
	"seedbed/dht/krpc"
	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/internal/netx"
)

// Config of a server. Only Conns is required.
type Config struct {
	// Conns are the sockets, any number of both families. Close closes them.
	Conns []netx.PacketConn

	// Saved is the state of an earlier run. Its nodes count as verified if it was saved
	// less than 15 minutes ago.
	Saved bootstrap.State

	// Private turns off the rules for the public internet. It is implied if all sockets
	// listen on private or loopback addresses.
	Private bool

	// SecureOnly, VerifyAfter, MaxNodes, Rate and Burst are passed to bootstrap.Config.
	// PingRate is the maximum number of pings a second of all sockets together, 500 by
	// default.
	SecureOnly  bool
	VerifyAfter time.Duration
	MaxNodes    int
	Rate, Burst float64
	PingRate    float64

	// Logger receives log messages; nil discards them.
	Logger *slog.Logger
}

// freshFor is the age up to which the nodes of a saved ring count as verified.
const freshFor = 15 * time.Minute

// candidates and sources are limits for all sockets together.
const (
	candidates = 1 << 18
	sources    = 1 << 17
)

func (c *Config) validate() error {
	switch {
	case len(c.Conns) == 0:
		return errors.New("bootnode: Config has no Conns")
	case c.VerifyAfter < 0:
		return fmt.Errorf("bootnode: VerifyAfter is %v, which is negative", c.VerifyAfter)
	case c.VerifyAfter > 24*time.Hour:
		return fmt.Errorf("bootnode: VerifyAfter is %v, more than 24 hours, after which few nodes are still running", c.VerifyAfter)
	}
	if c.PingRate == 0 {
		c.PingRate = 500
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Server is a running bootstrap node.
type Server struct {
	log   *slog.Logger
	epoch time.Time
	loops []*loop

	mu     sync.Mutex // guards shared; acquired after loop.mu
	shared *bootstrap.Shared

	done    chan struct{}
	closing sync.Once
	wg      sync.WaitGroup
}

// New starts a server on the sockets.
func New(cfg Config) (*Server, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	s := &Server{log: cfg.Logger, epoch: time.Now(), done: make(chan struct{})}
	var seed [32]byte
	crand.Read(seed[:])
	pure := bootstrap.Config{
		Relaxed: true, SecureOnly: cfg.SecureOnly, VerifyAfter: cfg.VerifyAfter,
		MaxNodes: cfg.MaxNodes, Rate: cfg.Rate, Burst: cfg.Burst,
		Candidates: max(1024, candidates/len(cfg.Conns)), Sources: max(1024, sources/len(cfg.Conns)),
		PingRate: max(1, cfg.PingRate/float64(len(cfg.Conns))),
		Rand:     rand.New(rand.NewChaCha8(seed)),
	}
	for _, c := range cfg.Conns {
		ip := c.LocalAddr().Addr().Unmap()
		pure.V4, pure.V6 = pure.V4 || ip.Is4(), pure.V6 || ip.Is6()
		pure.Relaxed = pure.Relaxed && addrs.IsLocal(ip)
	}
	pure.Relaxed = pure.Relaxed || cfg.Private
	age := time.Since(cfg.Saved.Saved)
	cfg.Saved.Fresh = age >= 0 && age < freshFor
	s.shared = bootstrap.NewShared(pure, s.now(), cfg.Saved)
	for _, c := range cfg.Conns {
		ip := c.LocalAddr().Addr().Unmap()
		if !ip.IsUnspecified() && (pure.Relaxed || addrs.IsPublic(ip)) {
			s.shared.SetExternal(ip)
		}
	}
	for _, c := range cfg.Conns {
		s.loops = append(s.loops, newLoop(s, c))
	}
	for _, l := range s.loops {
		s.wg.Go(l.serve)
		s.wg.Go(l.ping)
	}
	return s, nil
}

func (s *Server) now() mono.Time { return mono.From(s.epoch, time.Now()) }

// Close ends the server and closes its sockets.
func (s *Server) Close() error {
	var errs []error
	s.closing.Do(func() {
		close(s.done)
		for _, l := range s.loops {
			if err := l.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
				errs = append(errs, err)
			}
		}
	})
	s.wg.Wait()
	return errors.Join(errs...)
}

// State returns the state to save for the next run.
func (s *Server) State() bootstrap.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.shared.State(time.Now())
}

// Stats is a snapshot for monitoring.
type Stats struct {
	V4, V6  FamilyStats
	Waiting int // nodes that are waiting to be pinged
	Running int // loops
	Loops   int // all loops; fewer are Running if a socket failed
	bootstrap.Counts
}

// FamilyStats describes the ring of one address family.
type FamilyStats struct {
	Has      bool // the server has sockets of this family
	ID       id.ID
	External netip.Addr // our address as other nodes report it; zero until enough of them agree
	Nodes    int        // verified nodes
	Size     int        // the current maximum of nodes
}

// Stats returns the current state of the server.
func (s *Server) Stats() (st Stats) {
	st.Loops = len(s.loops)
	for _, l := range s.loops {
		l.mu.Lock()
		c := l.r.Counts()
		strays := l.conn.Strays()
		c.In += strays
		c.Dropped[bootstrap.Malformed] += strays
		st.Counts.Add(&c)
		st.Waiting += l.r.Waiting()
		if !l.ended {
			st.Running++
		}
		l.mu.Unlock()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for v6, f := range map[bool]*FamilyStats{false: &st.V4, true: &st.V6} {
		if r := s.shared.Ring(v6); r != nil {
			*f = FamilyStats{Has: true, ID: s.shared.ID(v6), External: s.shared.External(v6), Nodes: r.Len(), Size: r.Size()}
		}
	}
	return st
}

// Kinds returns the names of the query kinds, in the order of Counts.Queries.
func Kinds() (names [bootstrap.NumKinds]string) {
	for k := range names {
		names[k] = krpc.Kind(k).String()
	}
	return names
}
