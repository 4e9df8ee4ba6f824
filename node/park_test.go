package node

import (
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
)

// many creates n torrents of one small file each, in one folder.
func many(t testing.TB, n int) []Spec {
	t.Helper()
	dir := t.TempDir()
	specs := make([]Spec, n)
	for i := range specs {
		path := filepath.Join(dir, strconv.Itoa(i))
		filetest.Write(t, path, filetest.RandomBytes(strconv.Itoa(i), 20_000))
		spec, err := Share(t.Context(), path, ShareOptions{PieceLength: 16 << 10})
		if err != nil {
			t.Fatal(err)
		}
		specs[i] = spec
	}
	return specs
}

func parked(r *rig) (n int) {
	for _, t := range r.running() {
		if t.run.Load() == nil {
			n++
		}
	}
	return n
}

// Many torrents that are proven complete are parked from the start, report the usual
// events, are announced, serve peers that connect, and are then parked again.
func TestParkedTorrentsWakeForPeers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(3, simnet.Link{Delay: 10 * ms})
		ring(t, n, 6)
		specs := many(t, parkBeyond+20)
		a := start(t, n, 1, boot(100))
		for _, s := range specs {
			awaitComplete(t, a.add(s))
		}
		if got := parked(a); got != 20 {
			t.Fatalf("%d of %d are parked, want 20", got, len(specs))
		}
		allEvents := map[EventKind]int{}
		for _, k := range a.kinds() {
			allEvents[k]++
		}
		for _, k := range []EventKind{Added, Metadata, Complete, Seeding} {
			if allEvents[k] != len(specs) {
				t.Errorf("event %d was emitted %d times", k, allEvents[k])
			}
		}
		last := a.all()[len(specs)-1]
		wait(t, last.Announced(), 10*time.Minute, "the announce of a parked torrent")
		if l := last.Link(); l == "" || last.Name() != strconv.Itoa(len(specs)-1) || last.Info() == nil || last.Phase() != lifecycle.Parked {
			t.Errorf("while parked it is %q %q", last.Name(), l)
		}
		// Each announce returns our own address: no torrent wakes for it.
		rest := len(specs)
		for range 150 {
			time.Sleep(20 * time.Second)
			if time.Since(a.epoch) > 10*time.Minute {
				rest = min(rest, parked(a))
			}
		}
		if rest < len(specs)-1 {
			t.Errorf("%d of %d stay parked through three announces", rest, len(specs))
		}
		// Through the DHT only.
		b := start(t, n, 2, boot(100))
		to := t.TempDir()
		got := b.add(Spec{Link: bare(specs[len(specs)-1]), Dir: to})
		wait(t, got.Done(), 5*time.Minute, "the download from a parked torrent")
		if last.run.Load() == nil || last.Uploaded() == 0 {
			t.Errorf("it did not wake: %d bytes uploaded", last.Uploaded())
		}
		b.close()
		time.Sleep(5 * time.Minute)
		if got := parked(a); got < len(specs)-1 {
			t.Errorf("%d of %d are parked when no peer is connected", got, len(specs))
		}
		if last.Uploaded() == 0 {
			t.Error("the number of uploaded bytes is lost while parked")
		}
		allEvents = map[EventKind]int{}
		for _, k := range a.kinds() {
			allEvents[k]++
		}
		if allEvents[Complete] != len(specs) || allEvents[Failed] != 0 {
			t.Errorf("waking emitted: %v", allEvents)
		}
		// Everything is requested at once.
		c := start(t, n, 3, boot(100), func(c *Config) { c.MaxConns = 500 })
		for _, s := range specs[:40] {
			c.add(Spec{Link: withPeers(s, at(1).String()), Dir: t.TempDir()})
		}
		for _, tt := range c.running() {
			wait(t, tt.Done(), 10*time.Minute, "a download")
		}
	})
}

// A parked torrent holds no lock: another process may run it, and then it does not
// wake.
func TestAParkedTorrentMayRunElsewhere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(3, simnet.Link{Delay: 10 * ms})
		specs := many(t, parkBeyond+2)
		a := start(t, n, 1, noDHT)
		for _, s := range specs {
			awaitComplete(t, a.add(s))
		}
		last := a.all()[parkBeyond]
		other := start(t, n, 2, noDHT, state(a.state))
		running := other.add(specs[parkBeyond])
		awaitComplete(t, running)
		if last.wake(t.Context()) != nil {
			t.Error("it runs in two nodes at once")
		}
		other.close()
		if last.wake(t.Context()) == nil {
			t.Error("it does not wake after the other node has closed")
		}
	})
}

// A torrent that its records prove is parked from the start without the lock of its folder. One whose metadata is lost takes the
// lock and saves it again, so that it can wake.
func TestAProvenTorrentIsParkedWithoutALock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(3, simnet.Link{Delay: 10 * ms})
		specs := many(t, parkBeyond+2)
		dir := t.TempDir()
		first := start(t, n, 1, noDHT, state(dir))
		for _, s := range specs {
			awaitComplete(t, first.add(s))
		}
		rest := first.all()[parkBeyond:]
		first.close()
		for _, x := range rest {
			if err := os.Remove(x.state.file(lockName)); err != nil {
				t.Fatal(err)
			}
			filetest.Write(t, x.state.tallyPath(), []byte(`{"uploaded":5}`))
		}
		lost, proven := rest[0], rest[1]
		if err := os.Remove(lost.state.torrentPath()); err != nil {
			t.Fatal(err)
		}
		again := start(t, n, 1, noDHT, state(dir))
		for _, s := range specs {
			awaitComplete(t, again.add(s))
		}
		if got := parked(again); got != 2 {
			t.Fatalf("%d are parked, want 2", got)
		}
		for _, x := range again.all()[parkBeyond:] {
			if x.Uploaded() != 5 {
				t.Errorf("%s has lost its totals: %d", x.Name(), x.Uploaded())
			}
		}
		if _, err := os.Lstat(proven.state.file(lockName)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the lock of a proven torrent was taken: %v", err)
		}
		if _, err := os.Lstat(lost.state.file(lockName)); err != nil {
			t.Errorf("the metadata was saved without a lock: %v", err)
		}
		if again.lookup(lost.hash).wake(t.Context()) == nil {
			t.Error("the torrent whose metadata was lost does not wake")
		}
	})
}

// If a file has changed while the torrent was parked, the torrent notices.
func TestAParkedTorrentWhoseDataIsGoneFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(3, simnet.Link{Delay: 10 * ms})
		specs := many(t, parkBeyond+1)
		a := start(t, n, 1, noDHT)
		for _, s := range specs {
			awaitComplete(t, a.add(s))
		}
		last := a.all()[parkBeyond]
		if last.run.Load() != nil {
			t.Fatal("it is not parked")
		}
		filetest.Write(t, filepath.Join(last.spec().Dir, last.Name()), filetest.RandomBytes("another", 20_000))
		b := start(t, n, 2, noDHT)
		got := b.add(Spec{Link: withPeers(specs[parkBeyond], at(1).String()), Dir: t.TempDir()})
		time.Sleep(time.Minute)
		if e := a.await(Failed, time.Minute); e.InfoHash != last.InfoHash() || e.Err == nil {
			t.Errorf("%+v", e)
		}
		select {
		case <-got.Done():
			t.Error("something was downloaded")
		default:
		}
	})
}

// The cost of a parked torrent, compared with one that runs.
func BenchmarkParkedTorrent(b *testing.B) {
	const n = 2000
	specs := many(b, n)
	net := simnet.New(1, simnet.Link{})
	dir := b.TempDir()
	first := start(b, net, 1, noDHT, state(dir))
	for _, s := range specs {
		first.add(s)
	}
	first.close()
	for b.Loop() {
		before, began := inUse(), time.Now()
		r := start(b, net, 1, noDHT, state(dir))
		for i := range specs {
			s := specs[i]
			r.add(s)
		}
		took := time.Since(began)
		rest := parked(r)
		b.ReportMetric(float64(inUse()-before)/n/1024, "KiB/torrent")
		b.ReportMetric(float64(took.Microseconds())/n, "µs/torrent")
		b.ReportMetric(float64(rest), "at-rest")
		r.close()
	}
}

// inUse returns the size of the heap and the stacks.
func inUse() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}

// We do not count as one of the peers that the DHT returns.
func TestOurOwnAnnounceWakesNoTorrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(3, simnet.Link{Delay: 10 * ms})
		a := start(t, n, 1)
		own := netip.AddrPortFrom(addr(1), a.net.Port())
		other, sameHost := at(2), netip.AddrPortFrom(addr(1), 7)
		if got := a.excludeSelf([]netip.AddrPort{own, other, own, sameHost}); !slices.Equal(got, []netip.AddrPort{other, sameHost}) {
			t.Errorf("%v", got)
		}
		if got := a.excludeSelf([]netip.AddrPort{own}); len(got) != 0 {
			t.Errorf("%v", got)
		}
	})
}

// A parked torrent of the session takes little memory: what a restart has to read again is not
// kept, and nothing is made for a caller that does not come.
func TestAParkedTorrentIsSmall(t *testing.T) {
	const n = 2 * parkBeyond
	dir := t.TempDir()
	net := simnet.New(1, simnet.Link{})
	first := start(t, net, 1, noDHT, state(dir))
	for _, s := range many(t, n) {
		s.Persistent = true
		awaitComplete(t, first.add(s))
	}
	first.close()
	again := start(t, net, 1, noDHT, state(dir))
	if err := again.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := parked(again); got != n-parkBeyond {
		t.Fatalf("%d of %d are parked", got, n)
	}
	all := again.Torrents()[parkBeyond:]
	for _, x := range all {
		switch {
		case x.milestones.waits != nil || x.control.rested != nil || x.control.cancel != nil:
			t.Errorf("%s has channels", x.Name())
		case x.info.Load() != nil || x.last.Load() != nil || x.control.spec.Torrent != nil:
			t.Errorf("%s has its metadata in memory", x.Name())
		case x.control.spec != all[0].control.spec:
			t.Errorf("%s has a Spec of its own", x.Name())
		}
	}
	if size := unsafe.Sizeof(Torrent{}); size > 464 {
		t.Errorf("a Torrent has %d bytes", size)
	}
}
