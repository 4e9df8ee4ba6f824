package node

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
)

// A download into the store takes from peers what the store lacks, and nothing else. If an object is lost later, a recheck downloads
// that one.
func TestADownloadOfWhatTheStoreLacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, piece = 300_000, 32 << 10
		n := simnet.New(1, simnet.Link{Delay: 5 * ms})
		files := map[string]int{}
		for i := range 10 {
			files[fmt.Sprintf("%d.bin", i)] = size
		}
		spec, dir := folder(t, ShareOptions{PieceLength: piece}, files)
		tree := filetest.Tree(t, dir)
		b := newBucket(t)
		object := func(file int) string { return fmt.Sprintf("data/%s/%d.bin", filepath.Base(dir), file) }
		b.put(dir, "data/")
		for _, i := range []int{2, 5, 6} {
			b.Remove(object(i))
		}
		start(t, n, 2, noDHT).add(spec)
		a, end := b.start(n, 1, "data", noDHT)
		defer end()
		x := a.add(Spec{Link: withPeers(spec, at(2).String()), Objects: true, Upload: true, Persistent: true})
		wait(t, x.Done(), time.Minute, "downloaded what the store lacks")
		check := func(what string, lacked int64) { // in this run
			t.Helper()
			for path, data := range tree {
				if got := b.Get("data/" + filepath.Base(dir) + "/" + path); !bytes.Equal(got, data) {
					t.Errorf("%s: %s has %d bytes in the store", what, path, len(got))
				}
			}
			if got := x.Snapshot().Downloaded; got < lacked*size || got > lacked*(size+2*piece) {
				t.Errorf("%s: %d bytes came from peers for %d files of %d", what, got, lacked, size)
			}
		}
		check("at first", 3)
		awaitPhase(t, x, lifecycle.Seeding)

		b.Remove(object(8))
		if err := settled(x, x.Recheck(t.Context())); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); b.Get(object(8)) == nil && time.Now().Before(end); {
			time.Sleep(50 * ms)
		}
		check("after a loss", 1)
	})
}
