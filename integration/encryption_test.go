//go:build linux

package integration

import (
	"fmt"
	"testing"
)

// Encrypted connections transfer a torrent in either direction, whichever side requires
// them.
func TestEncryption(t *testing.T) {
	need(t)
	t.Parallel()
	dht, entries := private4.join(t), private4.entries(t)
	clients := func(s secrecy) []client { return []client{transmission{s}, aria2{s}, libtorrent{s}} }
	for i, side := range []struct {
		name   string
		theirs secrecy
		ours   string
	}{
		{"required by them", required, "prefer"},
		{"required by us", willing, "require"},
	} {
		for k, c := range clients(side.theirs) {
			host := 10*i + k
			t.Run(side.name+"/seed/"+c.name(), func(t *testing.T) {
				t.Parallel()
				need(t, c)
				ctx := timeLimit(t)
				p := tree(t, "seeded by "+c.name()+", "+side.name, 4<<20)
				ip := fmt.Sprintf("10.2.%d.1", 200+host)
				c.start(t, ip, nil).seed(ctx, p)
				dir := t.TempDir()
				run(t, fmt.Sprintf("10.3.%d.1", 200+host), offline("get", p.magnet(), "-d", dir, "--encryption", side.ours, "--peer", endpoint(ip))...).ends(ctx, 0)
				p.same(t, dir, true)
			})
			t.Run(side.name+"/leech/"+c.name(), func(t *testing.T) {
				t.Parallel()
				need(t, c)
				ctx := timeLimit(t)
				p := tree(t, "leeched by "+c.name()+", "+side.name, 4<<20)
				ip := fmt.Sprintf("10.2.%d.1", 220+host)
				run(t, ip, entered(entries, "seed", p.torrent, "-d", p.parent, "--encryption", side.ours)...).wait(ctx, "ready")
				announced(ctx, t, dht, p.infohash, ip)
				d := c.start(t, fmt.Sprintf("10.3.%d.1", 220+host), dht)
				dir := t.TempDir()
				d.leech(ctx, p.magnet(), dir)
				d.done(ctx)
				p.as(c).same(t, dir, false)
			})
		}
	}
	t.Run("refused", func(t *testing.T) {
		t.Parallel()
		c := libtorrent{required}
		need(t, c)
		ctx := timeLimit(t)
		p := tree(t, "not for everybody", 1<<20)
		c.start(t, "10.2.240.1", nil).seed(ctx, p)
		run(t, "10.3.240.1", offline("get", p.magnet(), "-d", t.TempDir(), "--encryption", "off", "--peer", endpoint("10.2.240.1"), "--timeout", "5s")...).ends(ctx, 2)
	})
}
