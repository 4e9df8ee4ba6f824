package publish

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// A torrent that is acquired while it is being removed is added again after the removal:
// publishing A, B, A ends with A seeded.
func TestATorrentThatIsBeingRemovedIsAddedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, simnet.New(1, simnet.Link{}), 1)
		path := filepath.Join(t.TempDir(), "a")
		filetest.Write(t, path, filetest.RandomBytes("a", 100_000))
		spec, err := node.Share(t.Context(), path, node.ShareOptions{})
		if err != nil {
			t.Fatal(err)
		}
		acquire := func() *node.Torrent {
			t.Helper()
			x, _, err := r.torrents.acquire(t.Context(), spec)
			if err != nil {
				t.Fatal(err)
			}
			return x
		}
		for range 20 { // the removal is at a different point each time
			first := acquire()
			r.torrents.release(first, "")
			second := acquire()
			if second == first {
				t.Fatal("the torrent that is being removed was returned")
			}
			nodetest.Wait(t, second.Done(), time.Minute, "the data is complete")
			if r.Torrent(spec.InfoHash()) != second {
				t.Fatal("it is not seeded")
			}
			r.torrents.release(second, "")
		}
		// Two publications of the same content share a torrent until both have changed.
		one, two := acquire(), acquire()
		if one != two {
			t.Fatal("one torrent was added twice")
		}
		r.torrents.release(one, "")
		time.Sleep(time.Minute)
		if r.Torrent(spec.InfoHash()) != two {
			t.Fatal("it was removed while another publication uses it")
		}
		r.torrents.release(two, "")
		nodetest.Wait(t, two.Ended(), time.Minute, "it ends with its last user")
		// A torrent that someone else added is used and stays.
		nodetest.Until(t, time.Minute, "it is removed", func() bool { return len(filetest.Entries(t, filepath.Join(r.State, "torrents"))) == 0 })
		theirs, err := r.Add(spec)
		if err != nil {
			t.Fatal(err)
		}
		ours := acquire()
		r.torrents.release(ours, "")
		time.Sleep(time.Minute)
		if ours != theirs || r.Torrent(spec.InfoHash()) != theirs {
			t.Error("a torrent that another client added was removed")
		}
	})
}

// A publication whose torrent has failed seeds again when the files are restored.
func TestAPublicationRecoversFromAFailedTorrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, simnet.New(3, simnet.Link{}), 1)
		dir := nodetest.Site(t, 3)
		p := r.publish(testKey(0), dir)
		failed := p.Torrent()
		if err := errors.Join(r.Remove(t.Context(), failed.InfoHash(), false), failed.Settled(t.Context())); err != nil { // as if it had failed
			t.Fatal(err)
		}
		for range 2 {
			if changed, err := p.Update(t.Context()); changed || err != nil {
				t.Fatal(changed, err)
			}
			time.Sleep(time.Minute)
			if now := p.Torrent(); now == failed || r.Torrent(now.InfoHash()) != now {
				t.Fatal("it is not seeded")
			}
		}
	})
}

// A, B, A: the first content is seeded again, and the versions in between leave nothing in
// the state directory except their history.
func TestPublishingEarlierContentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(2, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		a := start(t, n, 1, nodetest.Boot(100))
		dir := nodetest.Site(t, 3)
		page := filepath.Join(dir, "d0", "page 0")
		p := a.publish(testKey(0), dir)
		first := p.Torrent().InfoHash()
		for i := range 10 {
			content := filetest.RandomBytes("0", 20_000) // as Site wrote it
			if i%2 == 0 {
				content = filetest.RandomBytes("other", 20_000)
			}
			filetest.Write(t, page, content)
			if changed, err := p.Update(t.Context()); !changed || err != nil {
				t.Fatal(changed, err)
			}
		}
		if p.Torrent().InfoHash() != first || a.Torrent(first) != p.Torrent() {
			t.Error("the first content is not seeded again")
		}
		if v := newest(p); v.Seq != 11 {
			t.Errorf("version %d", v.Seq)
		}
		time.Sleep(time.Minute)
		if left := filetest.Entries(t, filepath.Join(a.State, "torrents")); len(left) != 2 { // the other one is shared as an earlier version
			t.Errorf("%d torrents are left in the state directory", len(left))
		}
		if err := p.Remove(false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		for _, dir := range []string{"torrents", "publications"} {
			if left := filetest.Entries(t, filepath.Join(a.State, dir)); len(left) != 0 {
				t.Errorf("left in %s: %v", dir, left)
			}
		}
	})
}

// A torrent that is used again, now as a download, can save its progress.
func TestARollbackOfASeededVersionIsADownload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		here, err := os.Getwd()
		if err != nil {
			t.Fatal(err)
		}
		relative, err := filepath.Rel(here, t.TempDir()) // as a user may specify it
		if err != nil {
			t.Fatal(err)
		}
		r := start(t, simnet.New(4, simnet.Link{}), 1, nodetest.State(relative))
		dir := nodetest.Site(t, 3)
		p := r.publish(testKey(0), dir)
		time.Sleep(time.Minute)
		filetest.Write(t, filepath.Join(dir, "d0", "page 0"), []byte("other"))
		if _, err := p.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		if err := p.Rollback(t.Context(), 1, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		r.Node.Close() // reports anything that could not be saved
		if got := r.Warnings(); strings.Contains(got, "cannot remove") {
			t.Error(got)
		}
	})
}
