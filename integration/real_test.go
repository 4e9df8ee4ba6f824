//go:build linux

package integration

import (
	"fmt"
	"testing"
	"time"
)

// Each real client is the only seed of a magnet link that seedbed opens, the leecher of
// one that only seedbed seeds, and a member of a swarm of all. They find one another only
// through the DHT.
func TestRealClients(t *testing.T) {
	need(t)
	t.Parallel()
	dht, entries := private4.join(t), private4.entries(t)
	for i, c := range others {
		t.Run("seed/"+c.name(), func(t *testing.T) {
			t.Parallel()
			need(t, c)
			ctx, began := timeLimit(t), time.Now()
			p := tree(t, "only "+c.name()+" seeds", 12<<20)
			ip := fmt.Sprintf("10.2.%d.1", i+1)
			d := c.start(t, ip, dht)
			d.seed(ctx, p)
			t.Logf("seeding after %v", time.Since(began))
			// The seed is not announced yet, on purpose: seedbed repeats its lookup.
			dir := t.TempDir()
			o := run(t, fmt.Sprintf("10.3.%d.1", i+1), entered(entries, "get", p.magnet(), "-d", dir)...)
			if r, ok := d.(*rtorrentDaemon); ok {
				poll(ctx, t, "seedbed to open it", func() bool { return r.load() && o.hasEnded() })
			}
			o.ends(ctx, 0)
			t.Logf("opened after %v", time.Since(began))
			p.same(t, dir, true)
			o.sequence(t, p, "listening", "added", "metadata", "first_piece", "complete")
		})
		t.Run("leech/"+c.name(), func(t *testing.T) {
			t.Parallel()
			need(t, c)
			ctx, began := timeLimit(t), time.Now()
			p := tree(t, "only seedbed seeds "+c.name(), 12<<20)
			ip := fmt.Sprintf("10.2.%d.1", i+11)
			d := c.start(t, fmt.Sprintf("10.3.%d.1", i+11), dht)
			o := run(t, ip, entered(entries, "seed", p.torrent, "-d", p.parent)...)
			o.wait(ctx, "ready")
			// Clients whose first lookup finds nothing wait long before the next one.
			announced(ctx, t, dht, p.infohash, ip)
			if r, ok := d.(*rtorrentDaemon); ok {
				r.peer = endpoint(ip)
			}
			t.Logf("announced after %v", time.Since(began))
			dir := t.TempDir()
			d.leech(ctx, p.magnet(), dir)
			d.done(ctx)
			t.Logf("complete after %v", time.Since(began))
			p.as(c).same(t, dir, false)
			o.cmd.Process.Signal(interrupt)
			o.ends(ctx, 0) // it only seeds now
		})
	}
	t.Run("mixed", func(t *testing.T) {
		t.Parallel()
		need(t, others...)
		ctx := timeLimit(t)
		p := tree(t, "all together", 24<<20)
		var daemons []daemon
		for i, c := range others {
			daemons = append(daemons, c.start(t, fmt.Sprintf("10.3.%d.1", i+21), dht))
		}
		o := run(t, "10.2.21.1", entered(entries, "seed", p.torrent, "-d", p.parent)...)
		o.wait(ctx, "ready")
		announced(ctx, t, dht, p.infohash, "10.2.21.1")
		dirs := make([]string, len(daemons))
		for i, d := range daemons {
			if r, ok := d.(*rtorrentDaemon); ok {
				r.peer = endpoint("10.2.21.1") // its single announce may be lost, and then no one dials it
			}
			dirs[i] = t.TempDir()
			d.leech(ctx, p.magnet(), dirs[i])
		}
		for i := range 2 {
			dir := t.TempDir()
			o := run(t, fmt.Sprintf("10.3.%d.1", i+31), entered(entries, "get", p.magnet(), "-d", dir, "--seed")...)
			o.wait(ctx, "complete")
			o.wait(ctx, "seeding")
			p.same(t, dir, true)
		}
		for i, d := range daemons {
			d.done(ctx)
			p.as(others[i]).same(t, dirs[i], false)
		}
	})
}

// IPv6 peers are found in a separate DHT (BEP 32).
func TestIPv6(t *testing.T) {
	need(t, libtorrent{})
	t.Parallel()
	dht := private6.join(t)
	entries := private6.entries(t)
	t.Run("seed", func(t *testing.T) {
		t.Parallel()
		ctx := timeLimit(t)
		p := tree(t, "seeded over IPv6", 8<<20)
		libtorrent{}.start(t, "fd00:2:1::1", dht[:3]).seed(ctx, p)
		dir := t.TempDir()
		o := run(t, "fd00:3:1::1", entered(entries, "get", p.magnet(), "-d", dir)...)
		o.ends(ctx, 0)
		p.same(t, dir, true)
	})
	t.Run("leech", func(t *testing.T) {
		t.Parallel()
		ctx := timeLimit(t)
		p := tree(t, "leeched over IPv6", 8<<20)
		o := run(t, "fd00:2:2::1", entered(entries, "seed", p.torrent, "-d", p.parent)...)
		o.wait(ctx, "ready")
		announced(ctx, t, dht, p.infohash, "fd00:2:2::1")
		l := libtorrent{}.start(t, "fd00:3:2::1", dht[:3])
		dir := t.TempDir()
		l.leech(ctx, p.magnet(), dir)
		l.done(ctx)
		p.same(t, dir, false)
	})
}
