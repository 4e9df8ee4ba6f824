//go:build linux

package integration

import (
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

//go:embed peers/create_torrent.py
var createScript string

// recreate replaces the torrent of p by a v2 or hybrid torrent that libtorrent makes. It
// returns the v1 and the v2 infohash.
func (p *payload) recreate(t *testing.T, kind string) (v1, v2 string) {
	t.Helper()
	script := filepath.Join(t.TempDir(), "create_torrent.py")
	must(t, os.WriteFile(script, []byte(createScript), 0o644))
	out, err := exec.CommandContext(timeLimit(t), systemPython, script, filepath.Join(p.parent, p.name), p.torrent, fmt.Sprint(p.piece), kind).CombinedOutput()
	if err != nil {
		t.Fatalf("create_torrent.py: %v: %s", err, out)
	}
	hashes := strings.Fields(string(out))
	p.infohash = hashes[0]
	if kind == "v2" {
		p.infohash = hashes[1][:40]
	}
	return hashes[0], hashes[1]
}

// v2 and hybrid torrents are transferred in both directions between seedbed and libtorrent,
// starting from a magnet link only; a hybrid by either of its infohashes.
func TestV2(t *testing.T) {
	need(t, libtorrent{})
	// Not parallel to the other tests, because of its twelve pairs of clients: see
	// TestBatteryKills.
	dht, entries := private4.join(t), private4.entries(t)
	for i, c := range []struct{ kind, link string }{{"v2", "btmh"}, {"hybrid", "btmh"}, {"hybrid", "btih"}} {
		for k, shape := range []string{"tree", "single"} {
			host := 150 + 2*i + k + 10
			name := c.kind + " by " + c.link + ", " + shape
			prepare := func(t *testing.T, who string) (p *payload, link string) {
				if shape == "tree" {
					p = tree(t, who+", "+name, 12<<20)
				} else {
					p = single(t, who+", "+name, 12<<20)
				}
				v1, v2 := p.recreate(t, c.kind)
				link = "magnet:?xt=urn:btmh:1220" + v2
				if c.link == "btih" {
					link = "magnet:?xt=urn:btih:" + v1
				} else if p.infohash == v1 {
					p.infohash = v2[:40]
				}
				return p, link
			}
			t.Run("seed/"+name, func(t *testing.T) {
				t.Parallel()
				ctx := timeLimit(t)
				p, link := prepare(t, "libtorrent seeds")
				libtorrent{}.start(t, fmt.Sprintf("10.2.%d.2", host), dht).seed(ctx, p)
				dir := t.TempDir()
				o := run(t, fmt.Sprintf("10.3.%d.2", host), entered(entries, "get", link, "-d", dir)...)
				o.ends(ctx, 0)
				p.same(t, dir, true)
			})
			t.Run("leech/"+name, func(t *testing.T) {
				t.Parallel()
				ctx := timeLimit(t)
				p, link := prepare(t, "seedbed seeds")
				ip := fmt.Sprintf("10.2.%d.3", host)
				run(t, ip, entered(entries, "seed", p.torrent, "-d", p.parent)...).wait(ctx, "ready")
				announced(ctx, t, dht, p.infohash, ip)
				d := libtorrent{}.start(t, fmt.Sprintf("10.3.%d.3", host), dht)
				dir := t.TempDir()
				d.leech(ctx, link, dir)
				d.done(ctx)
				p.same(t, dir, false)
			})
		}
	}
}
