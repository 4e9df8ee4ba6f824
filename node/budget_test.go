package node

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"seedbed/dht"
	"seedbed/internal/simnet"
)

// For any number of torrents, the sum stays within the memory, a torrent that gets
// memory gets at least two buffers, and each torrent gets a turn.
func TestMemoryIsDividedWithinItsLimit(t *testing.T) {
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
					t.Fatalf("%d buffers although there is enough memory", n)
				}
			}
			if sum > memory {
				t.Fatalf("%d bytes of %d", sum, memory)
			}
		}
		if len(fed) < len(needs) {
			t.Fatalf("%d of %d got memory in some turn", len(fed), len(needs))
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

// Complete torrents hold no memory: a single download gets all of it, and downloads
// that do not all fit complete one after the other.
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
			for x := range b.order.all() {
				if r := x.run.Load(); r != nil {
					sum += r.share.slots
				}
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
		time.Sleep(time.Second)
		if sum := granted(); sum != 0 {
			t.Errorf("%d buffers are still granted", sum)
		}
	})
}

// Many seeds are all announced soon, each as a seed, and from then on at their interval
// and an even rate. While they are complete, no torrent starts a lookup.
func TestManySeedsAreAnnouncedEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(21, simnet.Link{Delay: 20 * ms})
		ring(t, n, 4)
		asker := start(t, n, 3, boot(100))
		const seeds = 240 / scale
		a := start(t, n, 1, boot(100))
		time.Sleep(10 * time.Second)
		var first *Torrent
		for i := range seeds {
			spec, _ := folder(t, ShareOptions{}, map[string]int{fmt.Sprint("file", i): 1000})
			if x := a.add(spec); i == 0 {
				first = x
			}
		}
		for _, x := range a.running() {
			wait(t, x.Announced(), 5*time.Minute, "every seed is announced")
		}
		if r, err := asker.dht.GetPeers(t.Context(), first.InfoHash(), true, nil); err != nil || r.Scrape.Seeds != 1 || r.Scrape.Peers != 0 {
			t.Errorf("counted as %+v, %v", r.Scrape, err)
		}
		time.Sleep(30 * time.Minute)
		made, least, most := a.dht.Stats().Made, uint64(math.MaxUint64), uint64(0)
		for range 12 {
			before := a.dht.Stats().V4.Out
			time.Sleep(5 * time.Minute)
			sent := a.dht.Stats().V4.Out - before
			least, most = min(least, sent), max(most, sent)
			if s := a.Announcing(); s.Late != 0 || s.Torrents != seeds || s.Stretched {
				t.Fatalf("%+v", s)
			}
		}
		t.Logf("%d to %d packets in five minutes", least, most)
		if most > 2*least {
			t.Errorf("between %d and %d packets in five minutes", least, most)
		}
		if n := a.dht.Stats().Made - made; n != 0 {
			t.Errorf("%d lookups of seeds", n)
		}
	})
}

// There is one warning if there are more torrents than the rate allows.
func TestTooManyTorrentsForTheRateGiveAWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(24, simnet.Link{Delay: 20 * ms})
		ring(t, n, 12)
		a := start(t, n, 1, boot(100), func(c *Config) { c.DHTRate = 1 })
		for i := range 150 {
			spec, _ := folder(t, ShareOptions{}, map[string]int{fmt.Sprint("file", i): 1000})
			a.add(spec)
		}
		time.Sleep(20 * time.Minute)
		s := a.Announcing()
		if !s.Stretched || s.Interval <= 20*time.Minute {
			t.Fatalf("%+v", s)
		}
		var allEvents []string
		for _, e := range a.allEvents() {
			if e.Kind == Warning {
				allEvents = append(allEvents, e.Err.Error())
			}
		}
		if len(allEvents) != 1 || !strings.Contains(allEvents[0], "150 torrents are too many") {
			t.Errorf("%q", allEvents)
		}
	})
}

// A torrent that completes is announced as a seed; before, it was counted as a peer.
func TestACompletedTorrentIsAnnouncedAsASeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(23, simnet.Link{Delay: 20 * ms, Rate: 100e3})
		ring(t, n, 4)
		asker := start(t, n, 3, boot(100))
		spec, _ := folder(t, ShareOptions{}, map[string]int{"a": 3 << 20})
		seed := start(t, n, 2, boot(100))
		wait(t, seed.add(spec).Announced(), time.Minute, "the seed is announced")
		leech := start(t, n, 1, boot(100))
		x := leech.add(Spec{Link: bare(spec), Dir: t.TempDir()})
		wait(t, x.Announced(), time.Minute, "the leech is announced")
		count := func() dht.Scrape {
			r, err := asker.dht.GetPeers(t.Context(), x.InfoHash(), true, nil)
			if err != nil {
				t.Fatal(err)
			}
			return r.Scrape
		}
		if s := count(); s.Seeds != 1 || s.Peers != 1 {
			t.Errorf("while it downloads: %+v", s)
		}
		wait(t, x.Done(), 10*time.Minute, "the leech is done")
		time.Sleep(time.Minute)
		if s := count(); s.Seeds != 2 || s.Peers != 0 {
			t.Errorf("after completion: %+v", s)
		}
	})
}

// A magnet that needs peers does not wait for a thousand seeds.
func TestSeedsDoNotDelayAMagnet(t *testing.T) {
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
