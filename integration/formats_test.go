//go:build linux

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/magnet/metainfo"
	"seedbed/swarm/create"
)

// formats are in the order of the tables of docs/performance.md.
var formats = []metainfo.Format{metainfo.V1, metainfo.Hybrid, metainfo.V2}

// way is how a user gives a torrent to a client.
type way int

const (
	byFile  way = iota
	byBTIH      // a magnet link with the v1 infohash
	byBTMH      // one with the v2 infohash
	byTwice     // one with both, as in BEP 52
	byAside     // one with both, as seedbed writes it: the v2 infohash has the parameter xt.2
)

func (w way) String() string {
	return [...]string{".torrent file", "link, btih", "link, btmh", "link, both as xt", "link, btmh as xt.2"}[w]
}

// suits reports whether torrents of this format can be given this way.
func (w way) suits(f metainfo.Format) bool {
	switch w {
	case byBTIH:
		return f != metainfo.V2
	case byBTMH:
		return f != metainfo.V1
	case byTwice, byAside:
		return f == metainfo.Hybrid
	}
	return true
}

// of returns what the user gives the client: a path or a magnet link.
func (w way) of(p *payload, i *metainfo.Info) string {
	switch w {
	case byBTIH:
		return "magnet:?xt=urn:btih:" + i.Hash.String()
	case byBTMH:
		return "magnet:?xt=urn:btmh:1220" + i.HashV2.String()
	case byTwice:
		return byBTIH.of(p, i) + "&xt=urn:btmh:1220" + i.HashV2.String()
	case byAside:
		return byBTIH.of(p, i) + "&xt.2=urn:btmh:1220" + i.HashV2.String()
	}
	return p.torrent
}

// linkOf returns the magnet link that seedbed prints for a torrent, without its name.
func linkOf(i *metainfo.Info) string {
	for _, w := range []way{byAside, byBTIH} {
		if w.suits(formatOf(i)) {
			return w.of(nil, i)
		}
	}
	return byBTMH.of(nil, i)
}

func formatOf(i *metainfo.Info) metainfo.Format {
	switch {
	case i.HasV1() && i.HasV2():
		return metainfo.Hybrid
	case i.HasV2():
		return metainfo.V2
	}
	return metainfo.V1
}

// in returns p with a torrent of this format, made with the defaults.
func (p *payload) in(t testing.TB, f metainfo.Format) (*payload, *metainfo.Info) {
	t.Helper()
	made, err := create.Make(t.Context(), filepath.Join(p.parent, p.name), create.Options{Format: f})
	must(t, err)
	q := *p
	q.torrent, q.infohash, q.piece = filepath.Join(t.TempDir(), f.String()+".torrent"), made.Info.Hash.String(), made.Info.PieceLength
	must(t, os.WriteFile(q.torrent, (&metainfo.Torrent{Info: made.Info}).Append(nil), 0o644))
	return &q, made.Info
}

// opening is one client that is given one torrent. The only seed is seedbed, which dials
// the client: transmission and aria2 cannot be given the addresses of peers.
type opening struct {
	client client // nil means seedbed
	format metainfo.Format
	way    way
	host   int // of both addresses
}

func openings() (all []opening) {
	for _, c := range append([]client{nil}, others...) {
		for w := byFile; w <= byAside; w++ {
			for _, f := range formats {
				if w.suits(f) {
					all = append(all, opening{c, f, w, len(all) + 1})
				}
			}
		}
	}
	return all
}

func (o opening) by() string {
	if o.client == nil {
		return "seedbed"
	}
	return o.client.name()
}

func (o opening) String() string { return fmt.Sprintf("%s by %s, %s", o.format, o.way, o.by()) }

// isOpened reports whether the client is known to open such torrents in every version that
// is packaged: v1 all clients, hybrids libtorrent and rTorrent, v2 libtorrent.
func (o opening) isOpened() bool {
	switch o.by() {
	case "seedbed", "libtorrent":
		return true
	case "rtorrent":
		return o.format != metainfo.V2 && o.way != byBTMH && o.way != byTwice
	}
	return o.format == metainfo.V1
}

// run lets the client download everything and compares it.
func (o opening) run(ctx context.Context, t testing.TB) {
	t.Helper()
	p, info := tree(t, o.String(), 5<<20).in(t, o.format)
	given, dir := o.way.of(p, info), t.TempDir()
	from, to := fmt.Sprint("10.8.4.", o.host), fmt.Sprint("10.8.5.", o.host)
	seed := offline("seed", p.torrent, "-d", p.parent, "--peer", endpoint(to))
	if o.client == nil {
		run(t, from, seed...).wait(ctx, "ready")
		run(t, to, offline("get", given, "-d", dir, "--peer", endpoint(from))...).ends(ctx, 0)
		p.same(t, dir, true)
		return
	}
	d := o.client.start(t, to, nil)
	opened := false
	t.Cleanup(func() {
		if why := complaint(d, info); !opened && why != "" {
			t.Errorf("%s", why)
		}
	})
	if l, ok := d.(*libtorrentDaemon); ok {
		l.settings["peers"] = []string{endpoint(from)}
	}
	d.leech(ctx, given, dir)
	if r, ok := d.(*rtorrentDaemon); ok {
		r.peer, r.infohash = endpoint(from), strings.ToUpper(info.Hash.String())
	}
	run(t, from, seed...).wait(ctx, "ready")
	d.done(ctx)
	opened = true
	p.as(o.client).same(t, dir, false)
}

// complaint returns what is wrong with a torrent in the view of a client that reports no
// error, or "".
func complaint(d daemon, i *metainfo.Info) string {
	switch d := d.(type) {
	case *transmissionDaemon:
		if strings.Count(d.tail(), "checksum passed 1, metainfo parsed 0") > 1 {
			return "it fetches the metadata again and again, because it cannot parse it"
		}
	case *aria2Daemon:
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		var s struct{ InfoHash string }
		if d.call(ctx, "tellStatus", &s, d.gid) == nil && s.InfoHash != "" && s.InfoHash != i.Hash.String() {
			return "it computes another infohash, which no peer has"
		}
	case *rtorrentDaemon:
		if r, err := d.call("d.multicall2", "", "main", "d.is_meta="); err == nil && len(values(r)) == 0 {
			return "it has not added the torrent"
		}
	}
	return ""
}

// Other clients open the torrents that seedbed makes, from a .torrent file and by magnet
// links with either infohash or both. BenchmarkFormats shows what the others do that are
// not expected to.
func TestFormatsAreOpened(t *testing.T) {
	need(t, others...)
	for _, o := range openings() {
		if o.isOpened() {
			t.Run(strings.ReplaceAll(o.String(), ", ", "/"), func(t *testing.T) {
				t.Parallel()
				o.run(timeLimit(t), t)
			})
		}
	}
}
