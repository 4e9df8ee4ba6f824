//go:build linux

package integration

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/node/api"
	"seedbed/node/view"
)

// The addresses of the NAT laboratory, as peers on its internet see them.
const (
	homeA = "45.0.0.1:6881"
	homeB = "45.0.0.2:6881"
	third = "45.0.0.100:6881"
)

// slow is what the third peer downloads, in bytes a second: it does not get the torrent while a
// test runs, so that what home B has comes from home A. Less would delay the messages to it.
const slow = 128 << 10

// daemon starts a daemon on a host of the laboratory, whose port no router maps. dir is the folder
// of its torrents.
func (l *natLab) daemon(ctx context.Context, host, listen, dir string, args ...string) *service {
	l.t.Helper()
	args = append(args, "--port-map", "off", "--listen", listen)
	return serveAs(l.t, ctx, l.on(host, seedbed), "", filepath.Join(shortDir(l.t), "s"), dir, args...)
}

// add adds a torrent to a daemon.
func (s *service) add(ctx context.Context, b api.AddBody) {
	s.t.Helper()
	_, _, err := s.rest.Add(ctx, b)
	must(s.t, err)
}

// connection returns the connection of a daemon to the peer at addr, or nil.
func (s *service) connection(ctx context.Context, p *payload, addr string) *view.Connection {
	s.t.Helper()
	list, err := s.rest.Peers(ctx, p.infohash)
	must(s.t, err)
	for i := range list {
		if list[i].Addr == addr {
			return &list[i]
		}
	}
	return nil
}

// hasAll reports whether a daemon has a torrent completely.
func (s *service) hasAll(ctx context.Context, p *payload) bool {
	s.t.Helper()
	o, err := s.rest.Torrent(ctx, p.infohash)
	must(s.t, err)
	return o.State == "seeding"
}

// seeds returns what makes a daemon share a payload and dial a peer.
func (p *payload) seeds(t testing.TB, peer string, upLimit int64) api.AddBody {
	t.Helper()
	b, err := os.ReadFile(p.torrent)
	must(t, err)
	return api.AddBody{Torrent: b, Seed: true, Peers: []string{peer}, UpLimit: upLimit}
}

// punchLab is two homes behind routers that keep ports, and two peers on the internet that know
// each other and home A.
type punchLab struct {
	*natLab
	p *payload
	a *service
}

func newPunchLab(ctx context.Context, t testing.TB) *punchLab {
	t.Helper()
	l := &punchLab{natLab: newNATLab(t), p: single(t, "between two homes", 4<<20)}
	const second = "45.0.0.101:6881"
	for _, listen := range []string{third, second} {
		l.daemon(ctx, "internet", listen, t.TempDir()).add(ctx, api.AddBody{Link: l.p.magnet(), DownLimit: slow, Peers: []string{third}})
	}
	l.a = l.daemon(ctx, "homeA", ":6881", l.p.parent)
	l.a.add(ctx, l.p.seeds(t, third, 512<<10))
	// Home A has heard of the second peer by PEX then, and does not hear of home B for a minute.
	poll(ctx, t, "home A to be connected to both peers", func() bool {
		return l.a.connection(ctx, l.p, third) != nil && l.a.connection(ctx, l.p, second) != nil
	})
	return l
}

// openB opens the torrent in home B. It returns when both homes are connected to each other. If PEX
// names each to the other at the same moment, their dials punch the holes already.
func (l *punchLab) openB(ctx context.Context, dir string) *service {
	l.t.Helper()
	b := l.daemon(ctx, "homeB", ":6881", dir)
	b.add(ctx, api.AddBody{Link: l.p.magnet(), Peers: []string{third}})
	poll(ctx, l.t, "the homes to be connected over uTP", func() bool {
		x, y := l.a.connection(ctx, l.p, homeB), b.connection(ctx, l.p, homeA)
		return x != nil && y != nil && x.Transport == "utp" && y.Transport == "utp"
	})
	return b
}

// Home B comes last. One of the two peers on the internet connects it to home A, and it gets the
// torrent from there, over uTP.
func TestHolePunchBetweenTwoHomes(t *testing.T) {
	ctx := timeLimit(t)
	l := newPunchLab(ctx, t)
	dir := t.TempDir()
	b := l.openB(ctx, dir)
	poll(ctx, t, "the download", func() bool { return b.hasAll(ctx, l.p) })
	l.p.same(t, dir, true)
}

// BenchmarkBarHolepunch measures the time from the start of the daemon in home B until it is
// connected to home A. It may take 5 seconds.
func BenchmarkBarHolepunch(b *testing.B) {
	const limit = 5.0
	ctx := barTime(b)
	for range b.N { // -benchtime 1x
		l := newPunchLab(ctx, b)
		begun := time.Now()
		l.openB(ctx, b.TempDir())
		took := time.Since(begun).Seconds()
		b.ReportMetric(took, "s")
		if took > limit {
			b.Errorf("connected after %.1f s, over the limit of %.1f s", took, limit)
		}
	}
}

// libtorrent is once the home that leeches, and once the third peer.
func TestHolePunchWithLibtorrent(t *testing.T) {
	need(t, libtorrent{})
	t.Run("home", func(t *testing.T) {
		ctx := timeLimit(t)
		l := newNATLab(t)
		p := single(t, "for libtorrent behind a router", 3<<20)
		l.daemon(ctx, "internet", third, t.TempDir()).add(ctx, api.AddBody{Link: p.magnet(), DownLimit: slow})
		a := l.daemon(ctx, "homeA", ":6881", p.parent)
		a.add(ctx, p.seeds(t, third, 0))
		b := libtorrent{}.with(t, "192.168.2.2", nil, map[string]any{"utp": true, "peers": []string{third}})
		b.within = l.on("homeB")
		dir := t.TempDir()
		b.leech(ctx, p.magnet(), dir)
		b.done(ctx)
		p.as(libtorrent{}).same(t, dir, false)
	})
	t.Run("third", func(t *testing.T) {
		ctx := timeLimit(t)
		l := newNATLab(t)
		p := single(t, "with libtorrent between the homes", 3<<20)
		c := libtorrent{}.with(t, "45.0.0.100", nil, map[string]any{"down": slow})
		c.within = l.on("internet")
		c.leech(ctx, p.magnet(), t.TempDir())
		c.event(ctx, "start")
		a := l.daemon(ctx, "homeA", ":6881", p.parent)
		a.add(ctx, p.seeds(t, third, 0))
		dir := t.TempDir()
		b := l.daemon(ctx, "homeB", ":6881", dir)
		b.add(ctx, api.AddBody{Link: p.magnet(), Peers: []string{third}})
		poll(ctx, t, "the download", func() bool { return b.hasAll(ctx, p) })
		p.same(t, dir, true)
	})
}

// If the router of home B uses another port for each destination, the homes are not connected.
// Nothing else suffers: home B gets the torrent from the third peer.
func TestHolePunchFailsBehindASymmetricNAT(t *testing.T) {
	ctx := timeLimit(t)
	l := newNATLab(t, "NAT_B=symmetric")
	p := single(t, "past a symmetric NAT", 300<<10)
	l.daemon(ctx, "internet", third, t.TempDir()).add(ctx, api.AddBody{Link: p.magnet(), DownLimit: 30 << 10})
	a := l.daemon(ctx, "homeA", ":6881", p.parent)
	a.add(ctx, p.seeds(t, third, 0))
	dir := t.TempDir()
	b := l.daemon(ctx, "homeB", ":6881", dir)
	b.add(ctx, api.AddBody{Link: p.magnet(), Peers: []string{third}})
	poll(ctx, t, "the download", func() bool {
		list, err := a.rest.Peers(ctx, p.infohash)
		must(t, err)
		for _, c := range list {
			if c.Addr != third {
				t.Fatalf("home A is connected to %s", c.Addr)
			}
		}
		return b.hasAll(ctx, p)
	})
	p.same(t, dir, true)
}

// The whole chain: a magnet link that was made in home A is opened in home B. There is nothing else
// but a bootstrap node, and a third peer that has opened the link too.
func TestMagnetFromHomeToHome(t *testing.T) {
	needCommands(t, "curl")
	ctx := timeLimit(t)
	l := newNATLab(t)
	const bootstrap, metrics, third = "46.0.0.1:6881", "46.0.0.1:9881", "47.0.0.1:6881"
	start(t, "bootstrap node", nil, l.on("internet", seedbed, "bootstrap", "--listen", bootstrap, "--metrics", metrics, "--state", t.TempDir())...)
	p := tree(t, "from home to home", 12<<20)
	c := l.daemon(ctx, "internet", third, t.TempDir(), "--bootstrap", bootstrap)
	poll(ctx, t, "the bootstrap node to know the third peer", func() bool {
		return strings.Contains(l.output("internet", "curl", "-sS", "http://"+metrics+"/healthz"), ", 1 nodes verified")
	})
	behind := []string{"--bootstrap", bootstrap, "--port-map", "off", "--listen", ":6881"}
	a := runAs(t, l.on("homeA", seedbed), "", append([]string{"seed", filepath.Join(p.parent, p.name)}, behind...)...)
	link := a.wait(ctx, "seeding").Magnet
	p.infohash = a.first("seeding").Infohash
	if strings.Contains(link, "x.pe") {
		t.Errorf("the link names a peer: %s", link)
	}
	c.add(ctx, api.AddBody{Link: link, DownLimit: slow})
	poll(ctx, t, "home A to be connected to the third peer", func() bool { return c.connection(ctx, p, homeA) != nil })
	dir := t.TempDir()
	b := runAs(t, l.on("homeB", seedbed), "", append([]string{"get", link, "-d", dir}, behind...)...)
	b.ends(ctx, 0)
	p.same(t, dir, true)
	if c.hasAll(ctx, p) {
		t.Error("the third peer is complete: home B may have everything from there")
	}
}
