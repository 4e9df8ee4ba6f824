package node

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
)

// awaitFile waits until a file is complete, and returns how many bytes of the others there are then.
func awaitFile(t *testing.T, x *Torrent, number int) (others int64) {
	t.Helper()
	for range 100_000 {
		if info := x.Info(); info != nil {
			i, _ := info.FileIndex(number)
			if have := x.FileProgress(); have[i] == info.Files[i].Length {
				for j, n := range have {
					if j != i {
						others += n
					}
				}
				return others
			}
		}
		time.Sleep(10 * ms)
	}
	t.Fatalf("file %d is not complete", number)
	return 0
}

// The priorities of a torrent apply to the torrent of a magnet link, whose files are not known when
// they are set, change while it runs, and are kept over a restart.
func TestPrioritiesOfATorrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(61, simnet.Link{Delay: 20 * ms})
		files := map[string]int{"1.bin": 500_000, "2.bin": 500_000, "3.bin": 500_000, "4.bin": 500_000}
		spec, _ := folder(t, ShareOptions{PieceLength: 16 << 10}, files)
		a := start(t, n, 1, noDHT)
		const slack = 200_000 // bytes on their way when a file becomes complete
		x := a.add(inSession(Spec{Link: withPeers(spec, at(9).String()), Dir: t.TempDir(), DownRate: 50_000,
			Priorities: Priorities{High: []int{3, 1000}, Low: []int{1}}, Order: Order{FirstLast: true}}))
		if err := x.SetPriority(t.Context(), PriorityHigh, nil); KindOf(err) != FaultUsage {
			t.Errorf("all files of an unknown torrent: %v", err)
		}
		if err := x.SetPriority(t.Context(), PriorityLow, []int{0}); KindOf(err) != FaultSelection {
			t.Errorf("file 0: %v", err)
		}
		if err := x.SetPriority(t.Context(), PriorityMaximum, []int{4}); err != nil {
			t.Fatal(err)
		}
		seedOf(t, n, 9, spec)
		if others := awaitFile(t, x, 4); others > slack {
			t.Errorf("file 4 was complete after %d bytes of others", others)
		}
		if got := x.Details().Priorities.Of(4); !slices.Equal(got, []Priority{PriorityLow, PriorityNormal, PriorityHigh, PriorityMaximum}) {
			t.Errorf("priorities %v", got)
		}
		// Another one comes first while it runs.
		if err := x.SetPriority(t.Context(), PriorityMaximum, []int{1}); err != nil {
			t.Fatal(err)
		}
		if others := awaitFile(t, x, 1); others > 500_000+2*slack {
			t.Errorf("file 1 was complete after %d bytes of others", others)
		}
		if err := x.SetPriority(t.Context(), PriorityHigh, []int{5}); KindOf(err) != FaultSelection {
			t.Errorf("a file that is not there: %v", err)
		}
		if err := x.SetOrder(t.Context(), Order{Sequential: true, From: 7}); err != nil {
			t.Fatal(err)
		}
		if err := x.SetOrder(t.Context(), Order{From: -1}); KindOf(err) != FaultUsage {
			t.Errorf("from piece -1: %v", err)
		}
		if err := x.SetMaxPeers(t.Context(), 7); err != nil {
			t.Fatal(err)
		}
		a.close()
		b := start(t, n, 2, noDHT, state(a.state))
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		x = b.torrentOf(spec)
		if d := x.Details(); d.Order != (Order{Sequential: true, From: 7}) || d.MaxPeers != 7 || !slices.Equal(d.Priorities.High, []int{3, 1000}) || !slices.Equal(d.Priorities.Maximum, []int{1, 4}) || d.Priorities.Low != nil {
			t.Errorf("restored as %+v", d)
		}
		if others := awaitFile(t, x, 3); others > 1_000_000+2*slack {
			t.Errorf("after the restart file 3 was complete after %d bytes of others", others)
		}
		if err := x.SetPriority(t.Context(), PriorityNormal, nil); err != nil || !x.spec().Priorities.isZero() {
			t.Errorf("all normal: %v, %+v", err, x.spec().Priorities)
		}
	})
}

// A torrent has no more peers than its own limit, whoever connects, and disconnects some when the
// limit is lowered.
func TestTheLimitOfPeersOfATorrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(62, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{PieceLength: 16 << 10}, map[string]int{"a.bin": 3_000_000})
		var peers []string
		for i := range 8 {
			peers = append(peers, at(20+i).String())
			seedOf(t, n, 20+i, spec)
		}
		a := start(t, n, 1, noDHT)
		x := a.add(inSession(Spec{Link: withPeers(spec, peers[:5]...), Dir: t.TempDir(), DownRate: 10_000, MaxPeers: 3}))
		most := func(d time.Duration) (most int) {
			for range d / time.Second {
				time.Sleep(time.Second)
				most = max(most, x.Snapshot().Connected)
			}
			return most
		}
		if m := most(90 * time.Second); m != 3 {
			t.Errorf("%d outgoing connections", m)
		}
		for i := 5; i < 8; i++ { // these connect to it
			b := start(t, n, 40+i, noDHT)
			b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
		}
		if m := most(90 * time.Second); m != 3 {
			t.Errorf("%d connections", m)
		}
		if err := x.SetMaxPeers(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if m := most(90 * time.Second); m != 1 {
			t.Errorf("%d connections with a limit of 1", m)
		}
		if err := x.SetMaxPeers(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if m := most(90 * time.Second); m < 4 {
			t.Errorf("%d connections without a limit", m)
		}
		if err := x.SetMaxPeers(t.Context(), -1); KindOf(err) != FaultUsage {
			t.Errorf("a negative limit: %v", err)
		}
	})
}

// A torrent in sequential order has its first half before its second.
func TestATorrentInSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(63, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{PieceLength: 16 << 10}, map[string]int{"1.bin": 600_000, "2.bin": 600_000})
		seedOf(t, n, 9, spec)
		x := start(t, n, 1, noDHT).add(inSession(Spec{Link: withPeers(spec, at(9).String()), Dir: t.TempDir(), DownRate: 50_000, Order: Order{Sequential: true}}))
		if others := awaitFile(t, x, 1); others > 200_000 {
			t.Errorf("the first file was complete after %d bytes of the second", others)
		}
	})
}
