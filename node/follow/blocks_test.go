package follow

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/publish"
)

// Of a large file that has changed in a few places, a follower downloads only the blocks that differ.
func TestOnlyChangedBlocksAreDownloaded(t *testing.T) {
	for _, format := range []metainfo.Format{metainfo.Hybrid, metainfo.V2} {
		t.Run(format.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, simnet.Link{Delay: 10 * ms})
				nodetest.Ring(t, n, 6)
				dir := nodetest.Site(t, 3)
				rng := rand.New(rand.NewPCG(1, 2))
				data := make([]byte, 6<<20)
				for i := range data {
					data[i] = byte(rng.Uint32())
				}
				disk := filepath.Join(dir, "disk.img")
				filetest.Write(t, disk, data)
				a := start(t, n, 1, nodetest.Boot(100))
				p := a.publishAs(publish.Config{Key: testKey(0), KeyName: "k", Path: dir, Options: &node.ShareOptions{Format: format, PieceLength: 1 << 20}})
				b := start(t, n, 2, nodetest.Boot(101))
				f := b.follow(testKey(0), t.TempDir())
				reaches(t, f, 1, 5*time.Minute)
				const edits = 8
				for i := range edits {
					data[i*700_000+1234]++
				}
				filetest.Write(t, disk, data)
				a.update(p)
				reaches(t, f, 2, 5*time.Minute)
				filetest.Same(t, dir, filepath.Join(f.cfg.Dir, "current", filepath.Base(dir)))
				s := f.Torrent().Snapshot()
				if most := int64(edits * 16 << 10); s.Downloaded > most || s.Kept == 0 || s.HashFails > 0 {
					t.Errorf("%d bytes were downloaded, at most %d have changed; %d were kept, %d pieces were wrong", s.Downloaded, most, s.Kept, s.HashFails)
				}
			})
		})
	}
}

// If no piece of a file is as before, its blocks are still reused. If no block is, as after an insertion at the
// beginning, the file is downloaded.
func TestAFileOfWhichEveryPieceHasChanged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir := nodetest.Site(t, 3)
		data := filetest.RandomBytes("data", 1<<20)
		disk := filepath.Join(dir, "disk.img")
		filetest.Write(t, disk, data)
		a := start(t, n, 1, nodetest.Boot(100))
		const piece = 256 << 10
		p := a.publishAs(publish.Config{Key: testKey(0), KeyName: "k", Path: dir, Options: &node.ShareOptions{Format: metainfo.Hybrid, PieceLength: piece}})
		b := start(t, n, 2, nodetest.Boot(101))
		f := b.follow(testKey(0), t.TempDir())
		reaches(t, f, 1, 5*time.Minute)
		for at := 1000; at < len(data); at += piece {
			data[at]++
		}
		filetest.Write(t, disk, data)
		a.update(p)
		reaches(t, f, 2, 5*time.Minute)
		if s, most := f.Torrent().Snapshot(), int64(len(data)/piece*16<<10); s.Downloaded > most || s.Kept == 0 {
			t.Errorf("%d bytes were downloaded, at most %d have changed; %d were kept", s.Downloaded, most, s.Kept)
		}
		data = slices.Concat([]byte("inserted"), data)
		filetest.Write(t, disk, data)
		a.update(p)
		reaches(t, f, 3, 5*time.Minute)
		filetest.Same(t, dir, filepath.Join(f.cfg.Dir, "current", filepath.Base(dir)))
	})
}
