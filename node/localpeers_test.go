package node

import (
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/lsd"
	"seedbed/internal/simnet"
)

// A localNet connects the local service discovery of nodes.
type localNet struct {
	mu        sync.Mutex
	members   []*localMember
	announced map[id.ID]int
}

type localMember struct {
	net   *localNet
	group netip.AddrPort
	from  netip.AddrPort
	in    chan localDatagram
	done  chan struct{}
}

type localDatagram struct {
	from netip.AddrPort
	b    []byte
}

// on is an option that connects a node with an address to the network.
func (l *localNet) on(ip netip.Addr) func(*Config) {
	return func(c *Config) {
		c.multicast = func(group netip.AddrPort) (lsd.Transport, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			m := &localMember{net: l, group: group, from: netip.AddrPortFrom(ip, group.Port()), in: make(chan localDatagram, 1000), done: make(chan struct{})}
			l.members = append(l.members, m)
			return m, nil
		}
	}
}

func (m *localMember) Refresh() ([]string, bool, error) { return []string{"eth0"}, false, nil }

func (m *localMember) Send(b []byte) error {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	for _, to := range m.net.members {
		if to.group == m.group {
			to.in <- localDatagram{m.from, b}
		}
	}
	msg, err := lsd.Parse(b)
	if m.net.announced == nil {
		m.net.announced = map[id.ID]int{}
	}
	for _, h := range msg.Hashes {
		m.net.announced[h]++
	}
	return err
}

func (m *localMember) Read(b []byte) (int, netip.AddrPort, error) {
	select {
	case d := <-m.in:
		return copy(b, d.b), d.from, nil
	case <-m.done:
		return 0, netip.AddrPort{}, net.ErrClosed
	}
}

func (m *localMember) Close() {
	m.net.mu.Lock()
	defer m.net.mu.Unlock()
	m.net.members = slices.DeleteFunc(m.net.members, func(o *localMember) bool { return o == m })
	close(m.done)
}

// count returns how often a torrent was announced since the last call.
func (l *localNet) count(h id.ID) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.announced[h]
	delete(l.announced, h)
	return n
}

func TestPeersInTheLocalNetworkFindEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lan := simnet.New(5, simnet.Link{Delay: ms}), new(localNet)
		spec, dir := folder(t, ShareOptions{}, small)
		a := start(t, n, 1, noDHT, lan.on(addr(1)))
		b := start(t, n, 2, noDHT, lan.on(addr(2)))
		seed := a.add(spec)
		awaitComplete(t, seed)
		to := t.TempDir()
		got := b.add(Spec{Link: bare(spec), Dir: to})
		wait(t, got.Done(), time.Minute, "the download")
		filetest.Same(t, dir, to+"/things")
		if p := seed.Peers(); len(p) == 1 && p[0].Source&(FromLSD|FromIncoming) == 0 {
			t.Errorf("the source of the peer is %b", p[0].Source)
		}
		lan.count(spec.InfoHash())
		time.Sleep(time.Hour)
		if k := lan.count(spec.InfoHash()); k < 2*11 || k > 2*13 {
			t.Errorf("%d announces of two peers in an hour", k)
		}
		// A torrent that does not run is not announced.
		got.stop()
		seed.stop()
		time.Sleep(time.Hour)
		if k := lan.count(spec.InfoHash()); k != 0 {
			t.Errorf("%d announces of torrents that have stopped", k)
		}
	})
}

// BEP 27: a private torrent uses only what the user and the link name.
func TestBEP27APrivateTorrentIsNotAnnouncedInTheLocalNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lan := simnet.New(5, simnet.Link{Delay: ms}), new(localNet)
		spec, _ := folder(t, ShareOptions{Private: true}, small)
		a := start(t, n, 1, noDHT, lan.on(addr(1)))
		awaitComplete(t, a.add(spec))
		time.Sleep(time.Hour)
		if k := lan.count(spec.InfoHash()); k != 0 {
			t.Errorf("the seed has announced it %d times", k)
		}
		b := start(t, n, 2, noDHT, lan.on(addr(2)))
		got := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
		wait(t, got.Done(), time.Minute, "the download")
		lan.count(spec.InfoHash()) // until the metadata is known, it counts as public
		time.Sleep(time.Hour)
		if k := lan.count(spec.InfoHash()); k != 0 {
			t.Errorf("it was announced %d times after the metadata was known", k)
		}
		// Announces of others are ignored too.
		a.foundLocalPeer([]id.ID{spec.InfoHash()}, at(7))
		synctest.Wait()
		if s := a.lookup(spec.InfoHash()).Snapshot(); s.Known > 1 {
			t.Errorf("%d peers are known", s.Known)
		}
	})
}

func TestParkedTorrentsAreAnnouncedInTheLocalNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lan := simnet.New(5, simnet.Link{Delay: ms}), new(localNet)
		specs := many(t, parkBeyond+1)
		a := start(t, n, 1, noDHT, lan.on(addr(1)))
		for _, s := range specs {
			awaitComplete(t, a.add(s))
		}
		last := specs[parkBeyond].InfoHash()
		if parked(a) != 1 || a.lookup(last).run.Load() != nil {
			t.Fatal("the last torrent is not parked")
		}
		time.Sleep(3 * time.Minute)
		for _, s := range specs {
			if lan.count(s.InfoHash()) == 0 {
				t.Errorf("%v was not announced", s.InfoHash())
			}
		}
		// An announce wakes it, because its peer may be unable to connect to us.
		b := start(t, n, 2, noDHT, lan.on(addr(2)))
		b.add(Spec{Link: bare(specs[parkBeyond]), Dir: t.TempDir()})
		time.Sleep(5 * time.Second)
		if a.lookup(last).run.Load() == nil {
			t.Error("the torrent was not woken")
		}
	})
}

// Anyone in the local network can announce all torrents of a node, which are in its own announces.
func TestLocalAnnouncesWakeFewParkedTorrents(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lan := simnet.New(5, simnet.Link{Delay: ms}), new(localNet)
		const extra = 2 * lsdWakes
		a := start(t, n, 1, noDHT, lan.on(addr(1)))
		var hashes []id.ID
		for _, s := range many(t, parkBeyond+extra) {
			awaitComplete(t, a.add(s))
			hashes = append(hashes, s.InfoHash())
		}
		before := parked(a)
		for range 100 {
			a.foundLocalPeer(hashes, at(7))
		}
		synctest.Wait()
		if woken := before - parked(a); woken != lsdWakes {
			t.Errorf("%d of %d parked torrents were woken, want %d", woken, before, lsdWakes)
		}
		time.Sleep(10 * time.Second)
		before = parked(a)
		a.foundLocalPeer(hashes, at(7))
		synctest.Wait()
		if woken := before - parked(a); woken != 10*lsdWakeRate {
			t.Errorf("%d torrents were woken after 10 s, want %d", woken, 10*lsdWakeRate)
		}
	})
}

func TestLocalDiscoveryCanBeSwitchedOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, lan := simnet.New(5, simnet.Link{Delay: ms}), new(localNet)
		spec, _ := folder(t, ShareOptions{}, small)
		a := start(t, n, 1, noDHT, lan.on(addr(1)), func(c *Config) { c.NoLSD = true })
		awaitComplete(t, a.add(spec))
		time.Sleep(time.Hour)
		if k := lan.count(spec.InfoHash()); k != 0 || len(lan.members) != 0 {
			t.Errorf("%d announces although it is off", k)
		}
		set := a.Settings()
		set.NoLSD = false
		if err := a.Apply(set); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if k := lan.count(spec.InfoHash()); k != 1 {
			t.Errorf("%d announces after it was switched on", k)
		}
	})
}

// Nodes that listen on loopback only take no part, so the nodes of a test do not find each other.
func TestNodesOnLoopbackHaveNoLocalNetwork(t *testing.T) {
	n, err := Open(Config{State: t.TempDir(), Listen: "127.0.0.1:0", NoDHT: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context())
	if n.lsd != nil {
		t.Error("it takes part in local service discovery")
	}
}
