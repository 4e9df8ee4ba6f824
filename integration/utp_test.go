//go:build linux

package integration

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"

	"seedbed/internal/netx"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm"
)

// withoutTCP is a network on which every connection over TCP fails, so that only uTP is left.
type withoutTCP struct{ *netx.Host }

func (withoutTCP) Dial(context.Context, netip.AddrPort) (net.Conn, error) {
	return nil, errors.New("this test allows no connections over TCP")
}

func (n withoutTCP) Accept(ctx context.Context) (net.Conn, error) {
	for {
		c, err := n.Host.Accept(ctx)
		if err != nil {
			return nil, err
		}
		c.Close()
	}
}

// utpNode starts a node that has connections over uTP only.
func utpNode(t testing.TB, ip string, e swarm.Encryption) *node.Node {
	t.Helper()
	host, err := netx.Open(netx.Config{Listen: []string{endpoint(ip)}})
	must(t, err)
	n, err := node.Open(node.Config{State: t.TempDir(), Network: withoutTCP{host}, NoDHT: true, UTP: true, Encryption: e})
	must(t, err)
	t.Cleanup(func() { n.Close(context.Background()) })
	return n
}

// utpTransmission is transmission with uTP.
type utpTransmission struct{ transmission }

func (c utpTransmission) start(t scope, ip string, dht []string) daemon {
	t.Helper()
	return c.startWith(t, ip, dht, true)
}

// utpLibtorrent is libtorrent that dials over uTP only, and dials the peers.
type utpLibtorrent struct {
	libtorrent
	peers []string
}

func (c utpLibtorrent) start(t scope, ip string, dht []string) daemon {
	t.Helper()
	return c.with(t, ip, dht, map[string]any{"utp": true, "encryption": c.secrecy, "peers": c.peers})
}

// Other clients and seedbed transfer a torrent over uTP in either direction, with and without
// encryption. Each side is once the one that dials.
func TestUTP(t *testing.T) {
	t.Parallel()
	for i, e := range []struct {
		name   string
		theirs secrecy
		ours   swarm.Encryption
	}{{"plain", willing, swarm.NoEncryption}, {"encrypted", required, swarm.RequireEncryption}} {
		ip := func(k int) string { return fmt.Sprintf("10.2.%d.2", 200+10*i+k) }
		for k, c := range []client{utpLibtorrent{libtorrent: libtorrent{e.theirs}}, utpTransmission{transmission{e.theirs}}} {
			t.Run(e.name+"/seed/"+c.name(), func(t *testing.T) {
				t.Parallel()
				need(t, c)
				ctx := timeLimit(t)
				p := tree(t, "seeded over uTP by "+c.name()+", "+e.name, 8<<20)
				c.start(t, ip(2*k), nil).seed(ctx, p)
				link, err := magnet.Parse(p.magnet())
				must(t, err)
				dir := t.TempDir()
				got, err := utpNode(t, ip(2*k+1), e.ours).Add(node.Spec{Link: link, Dir: dir, Peers: []string{endpoint(ip(2 * k))}})
				must(t, err)
				waitFor(ctx, t, got.Done())
				p.same(t, dir, true)
			})
		}
		leech := func(name string, theirs, ours string, c client, peers ...string) {
			t.Run(e.name+"/leech/"+name, func(t *testing.T) {
				t.Parallel()
				need(t, c)
				ctx := timeLimit(t)
				p := single(t, "leeched over uTP, "+e.name+", "+name, 8<<20)
				b, err := os.ReadFile(p.torrent)
				must(t, err)
				torrent, err := metainfo.ParseTorrent(b)
				must(t, err)
				d := c.start(t, theirs, nil)
				dir := t.TempDir()
				d.leech(ctx, p.torrent, dir)
				_, err = utpNode(t, ours, e.ours).Add(node.Spec{Torrent: torrent, Dir: p.parent, Seed: true, Peers: peers})
				must(t, err)
				d.done(ctx)
				p.as(c).same(t, dir, false)
			})
		}
		leech("libtorrent that dials", ip(4), ip(5), utpLibtorrent{libtorrent{e.theirs}, []string{endpoint(ip(5))}})
		leech("transmission that is dialled", ip(6), ip(7), utpTransmission{transmission{e.theirs}}, endpoint(ip(6)))
	}
}

func waitFor(ctx context.Context, t testing.TB, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-ctx.Done():
		t.Fatal("the transfer is not complete:", ctx.Err())
	}
}

// BenchmarkBarUTP downloads 512 MiB over uTP on loopback, with hashing and writing. It may
// take a quarter of libtorrent's time, and 4 CPU seconds a GiB for both ends.
func BenchmarkBarUTP(b *testing.B) {
	need(b, libtorrent{})
	const size, limit, maxCPU = 512 << 20, 0.25, 4.0
	p := big(b, size, 1<<20)
	raw, err := os.ReadFile(p.torrent)
	must(b, err)
	torrent, err := metainfo.ParseTorrent(raw)
	must(b, err)
	run, cpu := 0, 0.0
	next := func() string { run++; return fmt.Sprintf("10.4.%d.2", run) }
	ours := func() float64 {
		ctx, from, to, dir := barTime(b), next(), next(), b.TempDir()
		x, y := utpNode(b, from, swarm.NoEncryption), utpNode(b, to, swarm.NoEncryption)
		defer x.Close(ctx)
		defer y.Close(ctx)
		seed, err := x.Add(node.Spec{Torrent: torrent, Dir: p.parent, Seed: true})
		must(b, err)
		waitFor(ctx, b, seed.Done())
		before, begun := usedCPU(), time.Now()
		got, err := y.Add(node.Spec{Torrent: torrent, Dir: dir, Peers: []string{endpoint(from)}})
		must(b, err)
		waitFor(ctx, b, got.Done())
		took := time.Since(begun).Seconds()
		cpu = (usedCPU() - before) * (1 << 30) / size
		p.same(b, dir, true)
		must(b, os.RemoveAll(dir))
		return took
	}
	theirs := func() float64 {
		ctx, from, to, dir := barTime(b), next(), next(), b.TempDir()
		seed := libtorrent{}.with(b, from, nil, map[string]any{"utp": true, "encryption": willing})
		seed.seed(ctx, p.payload)
		leech := libtorrent{}.with(b, to, nil, map[string]any{"utp": true, "encryption": willing, "peers": []string{endpoint(from)}, "poll": 0.01})
		begun := time.Now()
		leech.leech(ctx, p.torrent, dir)
		leech.done(ctx)
		took := time.Since(begun).Seconds()
		leech.stop()
		seed.stop()
		must(b, os.RemoveAll(dir))
		return took
	}
	compare(b, "s", limit, ours, theirs)
	b.ReportMetric(cpu, "cpu-s/GiB")
	if cpu > maxCPU {
		b.Errorf("%.1f CPU seconds a GiB, over the limit of %.1f", cpu, maxCPU)
	}
}
