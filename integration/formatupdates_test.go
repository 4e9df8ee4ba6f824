//go:build linux

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"seedbed/magnet/metainfo"
	"seedbed/swarm/create"
)

// change is what happens to one file between two versions.
type change struct {
	name string
	do   func(s *shape) error
}

// changes are made one after the other, each to another file.
var changes = []change{
	{"a file is edited, at the same size", func(s *shape) error { return s.rewrite(1, 0) }},
	{"a file grows by 1,000 bytes", func(s *shape) error { return s.rewrite(2, 1000) }},
	{"a file is renamed", func(s *shape) error {
		path := s.path(3)
		return os.Rename(path, path+".renamed")
	}},
	{"a file is added before all others", func(s *shape) error {
		return os.WriteFile(filepath.Join(s.p.parent, s.p.name, "0 added"), []byte(strings.Repeat("added ", 1000)), 0o644)
	}},
}

// path returns the path of a file in the middle of the torrent, at some distance from
// those of other numbers.
func (s *shape) path(n int) string {
	return filepath.Join(s.p.parent, filepath.FromSlash(s.p.files[n*len(s.p.files)/5].path))
}

// rewrite replaces the start of a file and adds more bytes to its end.
func (s *shape) rewrite(n, more int) error {
	data := slices.Clone(s.p.files[n*len(s.p.files)/5].data)
	copy(data, "edited")
	return os.WriteFile(s.path(n), append(data, make([]byte, more)...), 0o644)
}

// updated is one shape that one seedbed publishes in one format and another follows.
type updated struct {
	*shape
	format metainfo.Format
	host   int
	table  *formatTable
}

// measureUpdates makes each change in each format. All of them run at once, because bytes
// are counted, not seconds.
func measureUpdates(b testing.TB, t *formatTable, nodes []string) {
	var all sync.WaitGroup
	host := 0
	for _, shape := range []func(testing.TB) *shape{newSite, newMany} {
		for _, f := range formats {
			host++
			u := &updated{shape(b), f, host, t}
			for _, c := range changes {
				t.add(u.row(c))
			}
			all.Go(func() {
				ctx, cancel := context.WithTimeout(b.Context(), 270*time.Second)
				defer cancel()
				if err := attempt(b, func(t testing.TB) { u.run(ctx, t, nodes) }); err != nil {
					b.Errorf("%s, %s: %v", u.name, f, err)
				}
			})
		}
	}
	all.Wait()
}

func (u *updated) row(c change) string { return u.name + ": " + c.name }

// run sets the figures of each change: what a follower fetches, which is data and
// metadata, and what the publisher reads.
func (u *updated) run(ctx context.Context, t testing.TB, nodes []string) {
	dir := filepath.Join(u.p.parent, u.p.name)
	before, err := create.Make(ctx, dir, create.Options{Format: u.format})
	must(t, err)
	p := run(t, fmt.Sprintf("10.2.10.%d", u.host), entered(nodes[:2], "publish", dir, "--key", "k", "--watch", "--watch-every", "500ms", "--"+u.format.String())...)
	link := p.wait(ctx, "published", version(1)).Link
	f := run(t, fmt.Sprintf("10.3.10.%d", u.host), entered(nodes[:2], "follow", link, "-d", t.TempDir(), "--poll", "2s")...)
	f.wait(ctx, "current", version(1))
	for i, c := range changes {
		must(t, c.do(u.shape))
		e := f.wait(ctx, "current", version(int64(i+2)))
		made, err := create.Make(ctx, dir, create.Options{Format: u.format, Before: before})
		must(t, err)
		if got := made.Info.Hash.String(); got != e.Infohash {
			t.Errorf("version %d is %s, want %s", e.Seq, e.Infohash, got)
		}
		u.table.set(u.row(c), u.format, "%s + %s; reads %s", size(e.Fetched), size(int64(len(made.Info.Raw))), size(made.Read))
		before = made
	}
}

// measureAnnounces shows under which infohashes each client announces a hybrid.
func measureAnnounces(b testing.TB, t *formatTable, nodes []string) {
	ctx := timeLimit(b)
	for i, c := range []client{nil, libtorrent{}, rtorrent{}} {
		p, info := single(b, fmt.Sprint("a hybrid that only client ", i, " seeds"), 1<<20).in(b, metainfo.Hybrid)
		ip := fmt.Sprintf("10.2.21.%d", i+1)
		if c == nil {
			run(b, ip, entered(nodes[:2], "seed", p.torrent, "-d", p.parent)...).wait(ctx, "ready")
		} else {
			c.start(b, ip, nodes).seed(ctx, p)
		}
		hashes := infohashesOf(info)
		announced(ctx, b, nodes, hashes[0], ip)
		row, under := opening{client: c}.by()+" announces it under", "the v1 infohash"
		for late := time.Now().Add(10 * time.Second); time.Now().Before(late); time.Sleep(100 * time.Millisecond) {
			if countKnowing(b, nodes, hashes[1], ip) > 0 {
				under = "both infohashes"
				break
			}
		}
		t.set(row, metainfo.Hybrid, "%s", under)
	}
}
