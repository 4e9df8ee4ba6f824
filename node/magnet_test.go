package node

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
)

// From text to verified files, with only an infohash and a DHT.
func TestABareMagnetOpensThroughTheDHT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		ring(t, n, 8)
		spec, dir := folder(t, ShareOptions{}, small)
		a := start(t, n, 1, boot(100))
		shared := a.add(spec)
		wait(t, shared.Announced(), time.Minute, "the seed is announced")
		for _, e := range a.allEvents() {
			if want := LinkOf(spec.Torrent.Info); (e.Kind == Added || e.Kind == Seeding) && e.Magnet != want {
				t.Errorf("the event %v has the link %q, want %q", e.Kind, e.Magnet, want)
			}
		}
		if got := a.kinds(); !slices.Equal(got, []EventKind{Added, Metadata, Complete, Seeding}) {
			t.Errorf("events of the seed: %v", got)
		}

		b := start(t, n, 2, boot(101))
		to := t.TempDir()
		began := time.Now()
		got := b.add(Spec{Link: bare(spec), Dir: to})
		wait(t, got.Done(), 10*time.Second, "the download")
		t.Logf("complete %v after the link was given", time.Since(began))
		filetest.Same(t, dir, to+"/things")
		synctest.Wait()
		if got := b.kinds(); !slices.Equal(got, []EventKind{Added, Metadata, FirstPiece, Complete, Seeding}) {
			t.Errorf("events: %v", got)
		}
		if s := got.Snapshot(); s.State != lifecycle.Seeding || s.Reason.Kind != ReasonNone {
			t.Errorf("%+v", s)
		}
		if got.Name() != "things" || shared.Link() != got.Link() {
			t.Errorf("%s, %s and %s", got.Name(), shared.Link(), got.Link())
		}
	})
}

// While no peer has the torrent, lookups continue for ever at growing intervals, and the
// next lookup finds a peer that arrives late.
func TestAnEmptySwarmIsLookedUpAtGrowingIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(2, simnet.Link{Delay: 20 * ms})
		ring(t, n, 4)
		spec, _ := folder(t, ShareOptions{}, small)
		b := start(t, n, 2, boot(100))
		time.Sleep(10 * time.Second)
		before := b.dht.Stats().Made
		got := b.add(Spec{Link: bare(spec), Dir: t.TempDir()})
		time.Sleep(time.Minute)
		// At about 0, 2, 6, 14 and 30 s.
		if n := b.dht.Stats().Made - before; n != 5 {
			t.Errorf("%d lookups in the first minute", n)
		}
		const day = 24 * time.Hour / scale
		time.Sleep(day - time.Minute)
		// Eight until the wait is five minutes, and then one for each wait.
		if n, most := b.dht.Stats().Made-before, int64(8+day/paceLongest); n < most-4 || n > most {
			t.Errorf("%d lookups in a day", n)
		}
		if s := got.Snapshot(); s.State != lifecycle.Metadata || s.Reason.Kind == ReasonNone {
			t.Errorf("%+v", s)
		}

		a := start(t, n, 1, boot(101))
		time.Sleep(10 * time.Second)
		wait(t, a.add(spec).Announced(), time.Minute, "the seed is announced")
		// The seed may find us first, because we are announced too.
		wait(t, got.Done(), paceLongest+10*time.Second, "the late seed is found")
	})
}
