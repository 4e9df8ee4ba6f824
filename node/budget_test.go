package node

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/simnet"
)

// However many share it, the sum stays within the memory, who gets anything can
// fill one buffer while another is hashed, and everybody has a turn.
func TestMemoryIsDividedWithinItsBound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		memory := rapid.Int64Range(2*chunkSize, 64<<20).Draw(t, "memory")
		pieces := rapid.SliceOfN(rapid.Int64Range(16<<10, 8<<20), 1, 60).Draw(t, "pieces")
		var needs []need
		for _, p := range pieces {
			needs = append(needs, need{new(Torrent), bufferSize(p)})
		}
		fed := map[*Torrent]bool{}
		for turn := range len(needs) {
			slots := divide(memory, needs, turn)
			sum := int64(0)
			for _, x := range needs {
				n := slots[x.t]
				if sum += int64(n) * x.size; n >= 2 {
					fed[x.t] = true
				}
				if int64(len(needs))*2*chunkSize <= memory && n < 2 {
					t.Fatalf("%d buffers though there is room", n)
				}
			}
			if sum > memory {
				t.Fatalf("%d bytes of %d", sum, memory)
			}
		}
		if len(fed) < len(needs) {
			t.Fatalf("%d of %d had a turn", len(fed), len(needs))
		}
	})
}

func TestBuffersComeInPowersOfTwo(t *testing.T) {
	for piece, want := range map[int64]int64{1: 16 << 10, 16 << 10: 16 << 10, 100_000: 128 << 10, 700 << 10: 1 << 20, 8 << 20: chunkSize} {
		if got := bufferSize(piece); got != want {
			t.Errorf("%d for pieces of %d", got, piece)
		}
	}
}

// Torrents that are whole hold no memory: a download has it all, and so many
// that it is too small for all of them are complete one after the other.
func TestMoreDownloadsThanMemoryTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(20, simnet.Link{Delay: 20 * ms})
		a := start(t, n, 1, noDHT)
		b := start(t, n, 2, noDHT, func(c *Config) { c.Memory = 4 << 20 })
		for i := range 7 {
			spec, _ := folder(t, ShareOptions{PieceLength: 1 << 20}, map[string]int{fmt.Sprint("file", i): 3_000_000})
			a.add(spec)
			b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
		}
		granted := func() (sum int) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.Node.mu.Lock()
			defer b.Node.mu.Unlock()
			for _, x := range b.order {
				sum += x.share.slots
			}
			return sum
		}
		for _, x := range b.running() {
			for done := false; !done; {
				select {
				case <-x.Done():
					done = true
				case <-time.After(time.Second):
					if sum := granted(); sum > 4 {
						t.Fatalf("%d buffers of 1 MiB are granted", sum)
					}
					if s := x.Snapshot(); s.ToCheck == 0 && time.Since(b.epoch) > 10*time.Minute {
						t.Fatalf("not done: %+v", s)
					}
				}
			}
		}
		if sum := granted(); sum != 0 {
			t.Errorf("%d buffers are granted to nobody", sum)
		}
	})
}

// Many seeds announce themselves a few at a time, all of them, and go on.
func TestManySeedsAnnounceAFewAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(21, simnet.Link{Delay: 20 * ms})
		ring(t, n, 4)
		const seeds = 64 / scale
		var specs []Spec
		for i := range seeds {
			spec, _ := folder(t, ShareOptions{}, map[string]int{fmt.Sprint("file", i): 1000})
			specs = append(specs, spec)
		}
		a := start(t, n, 1, boot(100))
		time.Sleep(10 * time.Second)
		for _, s := range specs {
			a.add(s)
		}
		for _, x := range a.running() {
			for announced := false; !announced; {
				select {
				case <-x.Announced():
					announced = true
				case <-time.After(5 * ms):
					if l := a.dht.Stats().Lookups; l > maxCalm {
						t.Fatalf("%d lookups at once", l)
					}
					if time.Since(a.epoch) > 5*time.Minute {
						t.Fatal("not all are announced after five minutes")
					}
				}
			}
		}
		made := a.dht.Stats().Made
		time.Sleep(24 * time.Hour / scale)
		// Once every fifteen minutes each, whether they find anybody or not.
		if perDay := float64(a.dht.Stats().Made-made) / seeds * scale; perDay < 88 || perDay > 97 {
			t.Errorf("%.1f announces of a seed in a day", perDay)
		}
	})
}

// A magnet that needs peers does not wait for a thousand seeds.
func TestSeedsDoNotHoldUpAMagnet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(22, simnet.Link{Delay: 20 * ms})
		ring(t, n, 4)
		spec, _ := folder(t, ShareOptions{}, small)
		wait(t, start(t, n, 2, boot(100)).add(spec).Announced(), time.Minute, "the seed is announced")
		a := start(t, n, 1, boot(100))
		time.Sleep(10 * time.Second)
		for i := range 40 / scale {
			s, _ := folder(t, ShareOptions{}, map[string]int{fmt.Sprint("file", i): 1000})
			a.add(s)
		}
		began := time.Now()
		wait(t, a.add(Spec{Link: bare(spec), Dir: t.TempDir()}).Done(), time.Minute, "the download")
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
