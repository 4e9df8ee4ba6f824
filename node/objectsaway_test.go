package node

import (
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
)

// The store is away for a minute, and fails at random before and after. Meanwhile a peer gets what is in the cache, no slower than
// before. Another one gets the rest when the store is back. No piece is wrong.
func TestAStoreThatIsAwayForAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms})
		spec, dir := folder(t, ShareOptions{PieceLength: 256 << 10}, map[string]int{"a.bin": 8 << 20, "b.bin": 16 << 20})
		b := newBucket(t)
		b.put(dir, "data/")
		var mu sync.Mutex
		random := rand.New(rand.NewPCG(1, 2))
		b.SetFault(func(*http.Request) s3test.Fault {
			mu.Lock()
			defer mu.Unlock()
			return []s3test.Fault{{}, {Status: 500}, {Status: 503}, {CutAfter: 1 + random.IntN(6<<20)}, {Delay: time.Second}}[random.IntN(5)]
		})
		a, end := b.start(n, 1, "data", noDHT)
		defer end()
		a.add(Spec{Torrent: spec.Torrent, Objects: true, Persistent: true})
		get := func(num int, files ...int) (r *rig, x *Torrent, dir string) {
			r = start(t, n, num, noDHT)
			dir = t.TempDir()
			return r, r.add(Spec{Link: withPeers(spec, at(1).String()), Dir: dir, Select: files}), dir
		}
		r, x, _ := get(2, 1)
		wait(t, x.Done(), 2*time.Minute, "downloaded by the first peer")
		r.close()

		b.SetDown(true)
		r, x, got := get(3)
		defer r.close()
		time.Sleep(30 * time.Second)
		began := time.Now()
		cached, y, _ := get(4, 1)
		wait(t, y.Done(), 10*time.Second, "downloaded from the cache")
		t.Log("what is in the cache took", time.Since(began))
		cached.close()
		time.Sleep(time.Minute - time.Since(began))
		b.SetDown(false)
		wait(t, x.Done(), 2*time.Minute, "downloaded when the store was back")
		filetest.Same(t, dir, filepath.Join(got, filepath.Base(dir)))
		if s := x.Snapshot(); s.Wasted > 0 {
			t.Errorf("%d bytes were wrong", s.Wasted)
		}
	})
}
