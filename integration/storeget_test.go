//go:build linux

package integration

import (
	"context"
	"slices"
	"testing"
)

// What is downloaded from libtorrent into a store are the files, and nothing else, for another client of the store.
func TestADownloadIntoAStore(t *testing.T) {
	t.Parallel()
	need(t, libtorrent{})
	ctx := timeLimit(t)
	o := startObjectStore(ctx, t, "10.20.14.1")
	o.download(ctx, t, tree(t, "downloaded objects", 24<<20), "10.20.14.2", "10.20.14.3")
}

// download downloads p into the empty folder of the torrents from libtorrent, and compares the objects.
func (o *objectStore) download(ctx context.Context, t *testing.T, p *payload, seed, ip string) {
	t.Helper()
	libtorrent{}.start(t, seed, nil).seed(ctx, p)
	argv := slices.Concat([]string{"get", p.torrent, "--store", inStore, "--cache", t.TempDir(), "--cache-size", "1G"}, peersAt(seed))
	runAs(t, o.command(), ip, offline(argv...)...).ends(ctx, 0)
	dir := t.TempDir()
	o.s3cmd(ctx, "get", "--recursive", inStore+"/", dir+"/")
	p.same(t, dir, true)
}
