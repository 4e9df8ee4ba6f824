package lsd

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	mrand "math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Transport sends and receives the datagrams of one group; netx.Multicast implements it.
type Transport interface {
	// Refresh joins the group on interfaces that have appeared. It returns the names of all
	// that are joined, and whether any is new.
	Refresh() (names []string, isNew bool, err error)
	// Send sends a datagram over each joined interface.
	Send(b []byte) error
	// Read waits for a datagram from the local network and returns its length and source. It
	// fails only after Close.
	Read(b []byte) (int, netip.AddrPort, error)
	Close()
}

// Config configures a Service. All fields are required.
type Config struct {
	// Groups are the groups to take part in: Group4, Group6 or both.
	Groups []netip.AddrPort
	// Open opens the transport of a group. It is called again after an error.
	Open func(group netip.AddrPort) (Transport, error)
	// Enabled reports whether to announce and receive at all.
	Enabled func() bool
	// Port returns the port on which other peers can connect to us.
	Port func() uint16
	// Torrents returns the infohashes to announce: of torrents that run, none of them private.
	Torrents func() []id.ID
	// Found is called with each peer that announces torrents, also those that are not ours. No
	// infohash is there twice. It must not block.
	Found func(hashes []id.ID, peer netip.AddrPort)
	Log   *slog.Logger
}

const (
	// refreshInterval is how often interfaces are looked for.
	refreshInterval = time.Minute
	// settle is how long after Wake the torrents are read, so that many that are added together
	// are read once.
	settle = time.Second
)

// Service announces torrents and reports the announces of other peers, until Close.
type Service struct {
	cfg    Config
	cookie string
	wake   chan struct{} // capacity 1
	look   chan struct{} // signals run to look for interfaces; capacity 1
	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup

	epoch    time.Time
	schedule *schedule // owned by run
	members  []*member // owned by run; one for each group

	receiving sync.Mutex
	intake    *intake
}

// A member is our membership in one group.
type member struct {
	group     netip.AddrPort
	transport Transport // nil while it cannot be opened
	names     []string
	err       error
}

// isJoined reports whether the group is joined on any interface.
func (m *member) isJoined() bool { return len(m.names) > 0 }

// Start starts a Service.
func Start(cfg Config) *Service {
	var seed [32]byte
	_, _ = rand.Read(seed[:]) // never fails
	rng := mrand.New(mrand.NewChaCha8(seed))
	s := &Service{
		cfg: cfg, cookie: fmt.Sprintf("%08x", rng.Uint32()), wake: make(chan struct{}, 1), look: make(chan struct{}, 1),
		epoch: time.Now(), schedule: newSchedule(0, rng),
	}
	for _, g := range cfg.Groups {
		s.members = append(s.members, &member{group: g})
	}
	s.intake = newIntake(0, s.cookie, mrand.New(mrand.NewPCG(rng.Uint64(), rng.Uint64())))
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.wg.Go(s.run)
	return s
}

// Wake makes the Service call Config.Enabled and Config.Torrents soon, because they may have
// changed.
func (s *Service) Wake() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Refresh makes the Service look for interfaces at once, because the network has changed. On a new
// one it announces all torrents, also those that another network has just received.
func (s *Service) Refresh() {
	select {
	case s.look <- struct{}{}:
	default:
	}
}

// Close ends the Service and waits until it calls none of the functions of its Config any more.
func (s *Service) Close() {
	s.cancel()
	s.wg.Wait()
}

func (s *Service) now() mono.Time { return mono.From(s.epoch, time.Now()) }

// run announces the torrents until Close.
func (s *Service) run() {
	defer s.leave()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var next, refresh mono.Time
	isElsewhere := false
	for {
		select {
		case <-s.ctx.Done():
			return
		case <-s.wake:
			next = min(next, s.now().Add(settle))
		case <-s.look:
			isElsewhere = true
			next, refresh = s.now(), s.now()
		case <-timer.C:
			now := s.now()
			if !s.cfg.Enabled() {
				s.leave()
				refresh, next = now, now.Add(refreshInterval)
				break
			}
			if now >= refresh {
				s.refresh(now, isElsewhere)
				isElsewhere = false
				refresh = now.Add(refreshInterval)
			}
			next = min(refresh, s.announceDue(now))
		}
		timer.Reset(next.Sub(s.now()))
	}
}

// announceDue announces the torrents that are due and returns when the next are.
func (s *Service) announceDue(now mono.Time) mono.Time {
	if !slices.ContainsFunc(s.members, (*member).isJoined) {
		return mono.Never
	}
	// The torrents are read only if a message may be sent, because there may be very many.
	if wait := s.schedule.wait(now); wait > 0 {
		return now.Add(wait)
	}
	s.schedule.set(now, s.cfg.Torrents())
	for hashes := s.schedule.next(now); hashes != nil; hashes = s.schedule.next(now) {
		s.announce(hashes)
	}
	return s.schedule.deadline(now)
}

// refresh joins the groups on all interfaces. isElsewhere says that a new one probably belongs to
// another network.
func (s *Service) refresh(now mono.Time, isElsewhere bool) {
	isFresh := false
	for _, m := range s.members {
		isNew, err := s.refreshMember(m)
		isFresh = isFresh || isNew
		if err != nil && (m.err == nil || m.err.Error() != err.Error()) {
			s.cfg.Log.Debug("local service discovery does not work everywhere", "err", err)
		}
		m.err = err
	}
	switch {
	case isFresh && isElsewhere:
		s.schedule.restart(now)
	case isFresh:
		s.schedule.hasten(now)
	}
}

func (s *Service) refreshMember(m *member) (isNew bool, err error) {
	if m.transport == nil {
		t, err := s.cfg.Open(m.group)
		if err != nil {
			return false, err
		}
		m.transport = t
		s.wg.Go(func() { s.receive(t) })
	}
	m.names, isNew, err = m.transport.Refresh()
	return isNew, err
}

// leave closes the transports.
func (s *Service) leave() {
	for _, m := range s.members {
		if m.transport != nil {
			m.transport.Close()
		}
		m.transport, m.names, m.err = nil, nil, nil
	}
}

// announce sends one message to each group.
func (s *Service) announce(hashes []id.ID) {
	port := s.cfg.Port()
	for _, m := range s.members {
		if !m.isJoined() {
			continue
		}
		b := Append(make([]byte, 0, maxSent), m.group, Message{Port: port, Hashes: hashes, Cookie: s.cookie})
		if err := m.transport.Send(b); err != nil {
			s.cfg.Log.Debug("a local announce was not sent everywhere", "err", err)
		}
	}
}

// receive reports the peers whose announces arrive.
func (s *Service) receive(t Transport) {
	b := make([]byte, MaxReceived+1) // a longer message fills it
	for {
		n, from, err := t.Read(b)
		if err != nil {
			return
		}
		if m, ok := s.accept(from, b[:n]); ok {
			s.cfg.Found(m.Hashes, netip.AddrPortFrom(from.Addr(), m.Port))
		}
	}
}

func (s *Service) accept(from netip.AddrPort, b []byte) (Message, bool) {
	s.receiving.Lock()
	defer s.receiving.Unlock()
	return s.intake.accept(s.now(), from, b)
}
