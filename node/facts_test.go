package node

import (
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
)

// While a torrent downloads, the peers, the pieces and the progress of each file agree with the
// snapshot; paused, it shows the same progress from the resume record.
func TestFactsAgreeWithTheSnapshot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(91, simnet.Link{Delay: 20 * ms, Rate: 100e3})
		files := map[string]int{"a.bin": 1_500_000, "b.bin": 700_000, "c.txt": 10}
		whole, _ := folder(t, ShareOptions{PieceLength: 32 << 10}, files)
		seed := start(t, n, 9, noDHT)
		seeding := seed.add(whole)
		b := start(t, n, 1, noDHT)
		x := b.add(inSession(Spec{Link: withPeers(whole, at(9).String()), Dir: t.TempDir()}))
		if p, f, m := x.Peers(), x.FileProgress(), x.Pieces(); len(p) > 0 || f != nil || m.Have.Len() > 0 {
			t.Errorf("before the metadata: %v, %v, %v", p, f, m)
		}
		for range 3000 {
			if s := x.Snapshot(); s.HavePieces > 20 {
				break
			}
			time.Sleep(10 * ms)
		}
		s, peers, pieces, progress := x.Snapshot(), x.Peers(), x.Pieces(), x.FileProgress()
		if len(peers) != 1 {
			t.Fatalf("%d peers", len(peers))
		}
		p := peers[0]
		if p.Addr != at(9) || p.Source != FromHint || p.Incoming || !p.Seed || p.Progress != 1 || p.Choked || !p.Interested ||
			p.PeerInterested || p.DownRate <= 0 || p.Downloaded != s.Downloaded || p.Client != "seedbed 0.1" {
			t.Errorf("the peer is %+v", p)
		}
		other := seeding.Peers()
		if len(other) != 1 || !other[0].Incoming || other[0].Source&FromIncoming == 0 || other[0].Listen != at(1) || other[0].Seed || other[0].Progress <= 0 ||
			other[0].PeerChoked || other[0].Uploaded <= 0 {
			t.Errorf("its peer is %+v", other)
		}
		if got := pieces.Have.Count(); got != s.HavePieces {
			t.Errorf("%d pieces, not %d", got, s.HavePieces)
		}
		if pieces.Begun.Count() == 0 || slices.Min(pieces.Peers) != 1 || slices.Max(pieces.Peers) != 1 {
			t.Errorf("%d pieces are begun; peers: %v", pieces.Begun.Count(), pieces.Peers)
		}
		if got := sum(progress); got != s.Have {
			t.Errorf("the files have %d bytes, not %d", got, s.Have)
		}
		if err := settled(x, x.Pause(t.Context())); err != nil {
			t.Fatal(err)
		}
		reachesPhase(t, x, lifecycle.Paused)
		s = x.Snapshot()
		if got := x.FileProgress(); sum(got) != s.Have || s.Have == 0 {
			t.Errorf("paused, the files have %v, not %d", got, s.Have)
		}
		if got := x.Pieces(); got.Have.Count() != s.HavePieces || got.Peers != nil || len(x.Peers()) > 0 {
			t.Errorf("paused: %d pieces, not %d", got.Have.Count(), s.HavePieces)
		}
		if err := x.Resume(t.Context()); err != nil {
			t.Fatal(err)
		}
		wait(t, x.Done(), 5*time.Minute, "the download")
		info := x.Info()
		for i, got := range x.FileProgress() {
			if got != info.Files[i].Length {
				t.Errorf("file %d has %d bytes", i, got)
			}
		}
	})
}

func sum(list []int64) (n int64) {
	for _, x := range list {
		n += x
	}
	return n
}

// What interfaces show never waits for the disk of the data: this test would not end.
func TestFactsDoNotWaitForTheDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(92, simnet.Link{Delay: 20 * ms, Rate: 100e3})
		whole, _ := folder(t, ShareOptions{}, small)
		seed := start(t, n, 9, noDHT)
		seed.add(whole)
		d := newDisks()
		b := start(t, n, 1, noDHT, d.on)
		dir := filepath.Join(t.TempDir(), "data")
		x := b.add(inSession(Spec{Link: withPeers(whole, at(9).String()), Dir: dir}))
		reachesPhase(t, x, lifecycle.Downloading)
		release := d.hang(dir)
		<-d.waiting // for the first write
		x.Peers()
		x.Pieces()
		x.FileProgress()
		x.Snapshot()
		release()
		wait(t, x.Done(), time.Minute, "the download")
	})
}
