//go:build linux

package integration

import (
	"strings"
	"testing"
)

// The DHT is off, and the leecher knows one peer, which has no data. It can learn about the
// seed only by PEX from that peer.
func TestPEXReceived(t *testing.T) {
	need(t, libtorrent{})
	t.Parallel()
	ctx := timeLimit(t)
	p := tree(t, "seed known by PEX", 8<<20)
	libtorrent{}.start(t, "10.2.41.1", nil).seed(ctx, p)
	// At this rate a piece takes two minutes; a PEX message arrives within one.
	middle := libtorrent{}.with(t, "10.3.41.1", nil, map[string]any{"peers": []string{"10.2.41.1:6881"}, "down": 2 << 10})
	middle.leech(ctx, p.magnet(), t.TempDir())
	middle.event(ctx, "metadata")
	dir := t.TempDir()
	o := run(t, "10.3.42.1", offline("get", p.magnet(), "-d", dir, "--peer", "10.3.41.1:6881")...)
	o.ends(ctx, 0)
	p.same(t, dir, true)
}

// The reverse: a leecher and a seed learn of each other only through seedbed.
func TestPEXSent(t *testing.T) {
	need(t, libtorrent{})
	t.Parallel()
	ctx := timeLimit(t)
	p := tree(t, "seed announced by seedbed", 8<<20)
	// This takes more than three minutes, so that seedbed does not complete and disconnect before the
	// leecher has started and received a PEX message, which comes within one.
	libtorrent{}.with(t, "10.2.43.1", nil, map[string]any{"up": 40 << 10}).seed(ctx, p)
	o := run(t, "10.3.43.1", offline("get", p.magnet(), "-d", t.TempDir(), "--seed", "--peer", "10.2.43.1:6881")...)
	o.wait(ctx, "first_piece")
	l := libtorrent{}.with(t, "10.3.44.1", nil, map[string]any{"peers": []string{"10.3.43.1:6881"}})
	dir := t.TempDir()
	l.leech(ctx, p.magnet(), dir)
	l.until(ctx, "the seed through PEX", func() bool {
		for addr := range l.peers { // either of the two may have dialed
			if strings.HasPrefix(addr, "10.2.43.1:") {
				return true
			}
		}
		return false
	})
}

// A private torrent (BEP 27) is neither in the DHT nor in PEX. A public one that the same
// process shares shows that there was time for PEX.
func TestPrivateTorrentsAreNotAnnounced(t *testing.T) {
	need(t, libtorrent{})
	t.Parallel()
	ctx := timeLimit(t)
	dht, entries := private4.join(t), private4.entries(t)
	secret, open := newPayload(t, "secret", piece, true, map[string]int{"": 2 << 20}), single(t, "open", 2<<20)
	secret.write(t, open.parent)
	o := run(t, "10.2.45.1", entered(entries, "seed", secret.torrent, open.torrent, "-d", open.parent)...)
	o.wait(ctx, "ready")
	announced(ctx, t, dht, open.infohash, "10.2.45.1")
	if n := countKnowing(t, dht, secret.infohash, "10.2.45.1"); n > 0 {
		t.Errorf("%d DHT nodes know a seed of a private torrent", n)
	}
}
