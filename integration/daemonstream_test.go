//go:build linux

package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"testing"
)

// ranged requests bytes first to last of a URL, as a player does.
func ranged(ctx context.Context, t *testing.T, url string, first, last int) []byte {
	t.Helper()
	q, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	must(t, err)
	q.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", first, last))
	r, err := http.DefaultClient.Do(q)
	must(t, err)
	defer r.Body.Close()
	b, err := io.ReadAll(r.Body)
	must(t, err)
	if r.StatusCode != http.StatusPartialContent {
		t.Fatalf("%s: %s %.200s", url, r.Status, b)
	}
	return b
}

// A daemon downloads a torrent from Transmission, whose upload is limited. stream hands the torrent
// over to it and prints a URL, at which the end of the file can be read when most of it is missing. The
// daemon completes the torrent after the command has ended.
func TestStreamThroughADaemon(t *testing.T) {
	c := transmission{}
	if why := c.missing(); why != "" {
		t.Skip(why)
	}
	t.Parallel()
	ctx := timeLimit(t)
	p := single(t, "film.mkv", 64<<20)
	const seeder, ours = "10.2.196.1", "10.3.196.1"
	peer := c.start(t, seeder, nil).(*transmissionDaemon)
	peer.seed(ctx, p)
	peer.limit(ctx, 4<<20)
	want := p.files[0].data

	state, data := shortDir(t), t.TempDir()
	s := serve(t, ctx, ours, state, data, "--http", ours+":8009")
	o := run(t, "", "stream", p.magnet(), "--state", state, "--peer", endpoint(seeder))
	url := o.wait(ctx, "streaming").URL
	for _, first := range []int{len(want) - 300_000, 0, len(want) / 2} {
		if got := ranged(ctx, t, url, first, first+199_999); !bytes.Equal(got, want[first:first+200_000]) {
			t.Errorf("wrong bytes from %d", first)
		}
	}
	now, err := s.rest.Torrent(ctx, p.infohash)
	must(t, err)
	t.Logf("%d of %d bytes were there when the ranges had been read", now.Have, now.Wanted)
	if now.Have > now.Wanted/2 {
		t.Errorf("the ranges came after %d of %d bytes", now.Have, now.Wanted)
	}
	must(t, o.cmd.Process.Signal(syscall.SIGINT))
	o.exit(ctx)
	peer.limit(ctx, 1<<30)
	s.poll(ctx, "the download of the rest", func() bool {
		now, err := s.rest.Torrent(ctx, p.infohash)
		return err == nil && now.Complete
	})
	p.same(t, data, true)
}
