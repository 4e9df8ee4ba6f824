package lsd

import (
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
)

// A segment is a local network of fake transports.
type segment struct {
	mu      sync.Mutex
	members []*port
	broken  error // of Open
	names   []string
	sent    int
}

// A port is a transport of one host in a segment.
type port struct {
	on    *segment
	group netip.AddrPort
	addr  netip.AddrPort
	in    chan datagram
	done  chan struct{}
	named int // interfaces at the last Refresh
}

type datagram struct {
	from netip.AddrPort
	b    []byte
}

func (s *segment) open(group netip.AddrPort, host byte) (Transport, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.broken != nil {
		return nil, s.broken
	}
	ip := netip.AddrFrom4([4]byte{192, 168, 0, host})
	if group == Group6 {
		ip = netip.AddrFrom16([16]byte{0: 0xfd, 15: host})
	}
	p := &port{on: s, group: group, addr: netip.AddrPortFrom(ip, group.Port()), in: make(chan datagram, 1000), done: make(chan struct{})}
	s.members = append(s.members, p)
	return p, nil
}

func (p *port) Refresh() ([]string, bool, error) {
	p.on.mu.Lock()
	defer p.on.mu.Unlock()
	isNew := len(p.on.names) > p.named
	p.named = len(p.on.names)
	return p.on.names, isNew, nil
}

// Send also returns the datagram to its sender, as the system does.
func (p *port) Send(b []byte) error {
	p.on.mu.Lock()
	defer p.on.mu.Unlock()
	for _, m := range p.on.members {
		if m.group == p.group {
			m.in <- datagram{p.addr, b}
		}
	}
	p.on.sent++
	return nil
}

func (p *port) Read(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-p.in:
		return copy(b, d.b), d.from, nil
	case <-p.done:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (p *port) Close() {
	p.on.mu.Lock()
	defer p.on.mu.Unlock()
	p.on.members = slices.DeleteFunc(p.on.members, func(q *port) bool { return q == p })
	close(p.done)
}

// A host is a node in a segment.
type host struct {
	*Service
	mu       sync.Mutex
	torrents []id.ID
	isOff    bool
	asked    int      // how often the torrents were read
	found    []string // addresses of peers, and the last byte of the infohash
}

func (s *segment) host(t *testing.T, n byte, torrents []id.ID) *host {
	h := &host{torrents: torrents}
	h.Service = Start(Config{
		Groups:  []netip.AddrPort{Group4, Group6},
		Open:    func(group netip.AddrPort) (Transport, error) { return s.open(group, n) },
		Enabled: func() bool { h.mu.Lock(); defer h.mu.Unlock(); return !h.isOff },
		Port:    func() uint16 { return 7000 + uint16(n) },
		Torrents: func() []id.ID {
			h.mu.Lock()
			defer h.mu.Unlock()
			h.asked++
			return slices.Clone(h.torrents)
		},
		Found: func(hashes []id.ID, peer netip.AddrPort) {
			h.mu.Lock()
			defer h.mu.Unlock()
			for _, hash := range hashes {
				h.found = append(h.found, peer.String()+" "+hash.String()[38:])
			}
		},
		Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(h.Close)
	return h
}

// set changes the torrents and whether the host takes part.
func (h *host) set(torrents []id.ID, isOff bool) {
	h.mu.Lock()
	h.torrents, h.isOff = torrents, isOff
	h.mu.Unlock()
	h.Wake()
}

// take returns what was found since the last call, sorted.
func (h *host) take() (found []string) {
	synctest.Wait()
	h.mu.Lock()
	defer h.mu.Unlock()
	found, h.found = h.found, nil
	slices.Sort(found)
	return found
}

func TestPeersFindEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := &segment{names: []string{"eth0"}}
		a := lan.host(t, 1, nil)
		synctest.Wait()
		b := lan.host(t, 2, hashes(1))
		time.Sleep(10 * time.Second)
		if got, want := a.take(), []string{"192.168.0.2:7002 00", "[fd00::2]:7002 00"}; !slices.Equal(got, want) {
			t.Errorf("the first found %v, want %v", got, want)
		}
		a.set(hashes(2), false)
		time.Sleep(2 * settle)
		if got, want := b.take(), []string{"192.168.0.1:7001 00", "192.168.0.1:7001 01", "[fd00::1]:7001 00", "[fd00::1]:7001 01"}; !slices.Equal(got, want) {
			t.Errorf("the second found %v, want %v", got, want)
		}
		if got := a.take(); got != nil {
			t.Errorf("the first found %v, though nobody else announced anything", got)
		}
	})
}

// A network that appears is joined within a minute, and gets all announces.
func TestJoinsNetworksThatAppear(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := &segment{broken: errors.New("address in use")}
		a, b := lan.host(t, 1, hashes(1)), lan.host(t, 2, hashes(1))
		time.Sleep(10 * time.Minute)
		lan.mu.Lock()
		lan.broken = nil
		lan.mu.Unlock()
		time.Sleep(10 * time.Minute)
		if lan.sent != 0 {
			t.Errorf("%d messages were sent without an interface", lan.sent)
		}
		for i := range 2 {
			lan.mu.Lock()
			lan.names = append(lan.names, "eth0")
			lan.mu.Unlock()
			time.Sleep(refreshInterval + time.Millisecond)
			if len(a.take()) == 0 || len(b.take()) == 0 {
				t.Errorf("the peers have not found each other on interface %d", i)
			}
			time.Sleep(90 * time.Second) // the second announce is due after a minute, others after 5
			a.take()
			b.take()
		}
	})
}

func TestSettingAppliesWhileRunning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := &segment{names: []string{"eth0"}}
		a, b := lan.host(t, 1, hashes(1)), lan.host(t, 2, nil)
		time.Sleep(time.Minute)
		b.take()
		a.set(hashes(2), true)
		time.Sleep(2 * settle)
		b.set(hashes(1), false)
		time.Sleep(20 * time.Minute)
		if len(b.take()) != 0 || len(a.take()) != 0 || len(lan.members) != 2 {
			t.Error("it takes part although it is off")
		}
		a.set(hashes(2), false)
		time.Sleep(2 * time.Second)
		if len(b.take()) == 0 {
			t.Error("nothing was announced after it was switched on")
		}
	})
}

// A Service that is woken all the time still announces.
func TestManyWakesDoNotDelayAnnounces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := &segment{names: []string{"eth0"}}
		a, b := lan.host(t, 1, nil), lan.host(t, 2, nil)
		time.Sleep(70 * time.Second) // not when interfaces are looked for
		for range 100 {
			a.set(hashes(1), false)
			time.Sleep(settle / 4)
		}
		if len(b.take()) == 0 {
			t.Error("nothing was announced")
		}
	})
}

// To read very many torrents takes long, so they are not read when nothing can be announced.
func TestManyWakesDoNotReadTorrentsInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lan := &segment{names: []string{"eth0"}}
		a := lan.host(t, 1, hashes(2000))
		for range 600 {
			a.Wake()
			time.Sleep(settle)
		}
		a.take()
		if messages := lan.sent / 2; a.asked > messages+1 {
			t.Errorf("the torrents were read %d times for %d messages", a.asked, messages)
		}
	})
}
