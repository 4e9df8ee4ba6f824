package node

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
)

// From text to verified files: nothing but an infohash and a DHT of strangers.
func TestABareMagnetOpensThroughTheDHT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		ring(t, n, 8)
		spec, dir := folder(t, ShareOptions{}, small)
		a := start(t, n, 1, boot(100))
		shared := a.add(spec)
		wait(t, shared.Announced(), time.Minute, "the seed is announced")
		for _, e := range a.told() {
			if want := LinkOf(spec.Torrent.Info); (e.Kind == Added || e.Kind == Seeding) && e.Magnet != want {
				t.Errorf("the event %v names %q and not %q", e.Kind, e.Magnet, want)
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
		same(t, dir, to+"/things")
		synctest.Wait()
		if got := b.kinds(); !slices.Equal(got, []EventKind{Added, Metadata, FirstPiece, Complete, Seeding}) {
			t.Errorf("events: %v", got)
		}
		if s := got.Snapshot(); s.State != SeedingState || s.Reason.Kind != ReasonNone {
			t.Errorf("%+v", s)
		}
		if got.Name() != "things" || shared.Link() != got.Link() {
			t.Errorf("%s, %s and %s", got.Name(), shared.Link(), got.Link())
		}
	})
}

// Nobody has the torrent: it is looked up for ever, ever more slowly, and who
// comes at last is found by the next lookup.
func TestAnEmptySwarmIsLookedUpWithBackOffForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(2, simnet.Link{Delay: 20 * ms})
		ring(t, n, 4)
		spec, _ := folder(t, ShareOptions{}, small)
		b := start(t, n, 2, boot(100))
		time.Sleep(10 * time.Second)
		before := b.dht.Stats().Made
		got := b.add(Spec{Link: bare(spec), Dir: t.TempDir()})
		time.Sleep(time.Minute)
		// At 0, 2, 6, 14, 30 s and a little.
		if n := b.dht.Stats().Made - before; n != 5 {
			t.Errorf("%d lookups in the first minute", n)
		}
		const day = 24 * time.Hour / scale
		time.Sleep(day - time.Minute)
		// Eight until the wait is five minutes, and then one each time.
		if n, most := b.dht.Stats().Made-before, int64(8+day/paceLongest); n < most-4 || n > most {
			t.Errorf("%d lookups in a day", n)
		}
		if s := got.Snapshot(); s.State != FindingMetadata || s.Reason.Kind == ReasonNone {
			t.Errorf("%+v", s)
		}

		a := start(t, n, 1, boot(101))
		time.Sleep(10 * time.Second)
		wait(t, a.add(spec).Announced(), time.Minute, "the seed is announced")
		// The seed may find us first, for we are announced too.
		wait(t, got.Done(), paceLongest+10*time.Second, "the late seed is found")
	})
}
