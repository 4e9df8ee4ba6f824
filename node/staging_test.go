package node

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
	"seedbed/swarm/create"
	"seedbed/swarm/s3store"
)

// noParts refuses the parts of uploads.
func noParts(r *http.Request) (f s3test.Fault) {
	if r.URL.Query().Has("partNumber") {
		f.Status = http.StatusServiceUnavailable
	}
	return f
}

// Removing a torrent whose files are being uploaded leaves nothing in the store. Without the store, there is a warning.
func TestRemovingADownloadAbortsItsUploads(t *testing.T) {
	for _, isAway := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1, simnet.Link{Delay: 5 * ms})
			spec, _ := folder(t, ShareOptions{PieceLength: 256 << 10}, map[string]int{"large": 3 << 20})
			start(t, n, 2, noDHT).add(spec)
			b := newBucket(t)
			b.SetFault(noParts)
			a, end := b.start(n, 1, "data", noDHT)
			defer end()
			x := a.add(Spec{Link: withPeers(spec, at(2).String()), Objects: true, Upload: true, Persistent: true})
			uploads := func() (n int) {
				for _, err := range b.Open("data").Uploads(t.Context(), "") {
					if n++; err != nil {
						t.Fatal(err)
					}
				}
				return n
			}
			time.Sleep(20 * time.Second)
			if n := uploads(); n != 1 {
				t.Errorf("%d uploads have begun", n)
			}
			b.SetDown(isAway)
			if err := settled(x, a.Remove(t.Context(), x.InfoHash(), false)); err != nil {
				t.Error(err)
			}
			b.SetDown(false)
			if n := uploads(); isAway != (n == 1) {
				t.Errorf("away %v: %d uploads are left", isAway, n)
			}
			if strings.Contains(a.warnings(), "may be left in the store") != isAway {
				t.Errorf("away %v: %s", isAway, a.warnings())
			}
			if left := filetest.Entries(t, filepath.Join(b.cache, "staging")); len(left) > 0 {
				t.Errorf("%v is left", left)
			}
		})
	}
}

// A torrent that would write where seedbed keeps its own objects fails, and writes nothing.
func TestADownloadIntoOurFolderIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms})
		spec, _ := folder(t, ShareOptions{PieceLength: 32 << 10, Rules: create.Rules{Hidden: create.Keep}}, map[string]int{".seedbed/torrents/x.torrent": 1000})
		start(t, n, 2, noDHT).add(spec)
		b := newBucket(t)
		a, end := b.start(n, 1, "things", noDHT)
		defer end()
		x := a.add(Spec{Link: withPeers(spec, at(2).String()), Objects: true, Upload: true, Persistent: true})
		awaitPhase(t, x, lifecycle.Failed)
		var f *Fault
		if err := x.Snapshot().Paused; !errors.As(err, &f) || f.Kind != FaultUsage || !strings.Contains(err.Error(), "things/.seedbed/torrents/x.torrent") {
			t.Errorf("%v", err)
		}
		for o := range b.Open("").List(t.Context(), "") {
			t.Errorf("%s is in the store", o.Name)
		}
	})
}

// Folders of finished downloads are deleted at the start, and those of torrents that are unknown for a month. Others stay.
func TestStagingFoldersAreSwept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms, Rate: 200_000})
		spec, _ := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
		start(t, n, 2, noDHT).add(spec)
		b := newBucket(t)
		a, end := b.start(n, 1, "data", noDHT)
		x := a.add(Spec{Link: withPeers(spec, at(2).String()), Objects: true, Upload: true, Persistent: true})
		awaitPhase(t, x, lifecycle.Downloading)
		end()
		root := filepath.Join(b.cache, "staging")
		mine, old, new, done := x.InfoHash().String(), id.ID{1}.String(), id.ID{2}.String(), id.ID{3}.String()+s3store.DoneSuffix
		for name, age := range map[string]time.Duration{mine: 2 * staleAfter, old: 2 * staleAfter, new: staleAfter / 2, done: 0} {
			dir := filepath.Join(root, name)
			if err := os.MkdirAll(filepath.Join(dir, "data"), 0o700); err != nil {
				t.Fatal(err)
			}
			for _, path := range append(filetest.Entries(t, dir), "") {
				if err := os.Chtimes(filepath.Join(dir, path), time.Time{}, time.Now().Add(-age)); err != nil {
					t.Fatal(err)
				}
			}
		}
		a, end = b.start(n, 1, "data", noDHT, state(a.state))
		if err := a.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		left := filetest.Entries(t, root)
		if want := slices.Sorted(slices.Values([]string{mine, new})); !slices.Equal(left, want) {
			t.Errorf("%v are left, want %v", left, want)
		}
		end()
	})
}

// A torrent of a large session that was downloaded, but not uploaded, is not parked: it goes on uploading.
func TestAnUnfinishedUploadIsNotParked(t *testing.T) {
	objects, end := newBucket(t).objects("")
	defer end()
	n := &Node{}
	n.population.Store(parkBeyond + 1)
	n.cfg.Objects = objects
	spec, _ := folder(t, ShareOptions{}, map[string]int{"a": 1000})
	whole := spec.summary()
	whole.have, whole.havePieces = whole.wanted, whole.pieces
	x := &Torrent{node: n, hash: spec.InfoHash()}
	x.summary.Store(whole)
	x.control.spec = &Spec{Objects: true, Upload: true}
	for _, staged := range []bool{false, true} {
		if staged {
			if err := os.MkdirAll(n.stagingDir(x.hash), 0o700); err != nil {
				t.Fatal(err)
			}
		}
		if got := x.canStayParked(); got == staged {
			t.Errorf("staged %v: parked %v", staged, got)
		}
		f := &restored{spec: x.control.spec, summary: whole, entry: &sessionEntry{want: wantRun}, isStaged: staged}
		if got := f.isParked(parkBeyond + 1); got == staged {
			t.Errorf("staged %v: restored as parked %v", staged, got)
		}
	}
}
