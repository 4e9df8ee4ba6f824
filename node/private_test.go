package node

import (
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
)

// BEP 27: a private torrent uses neither the DHT nor peer exchange, but only the peers
// given by the user and the link.
func TestBEP27APrivateTorrentUsesOnlyHints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(5, simnet.Link{Delay: 20 * ms})
		ring(t, n, 4)
		spec, dir := folder(t, ShareOptions{Private: true}, small)
		a := start(t, n, 1, boot(100))
		time.Sleep(10 * time.Second)
		a.add(spec)
		b := start(t, n, 2, boot(101))
		to := t.TempDir()
		got := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: to})
		b.await(Metadata, time.Minute)
		// The torrent of a link may be private: only the metadata says so.
		lookups := b.dht.Stats().Made
		wait(t, got.Done(), time.Minute, "the download")
		filetest.Same(t, dir, to+"/things")
		time.Sleep(24 * time.Hour / scale)
		if n := a.dht.Stats().Made; n != 0 {
			t.Errorf("the seed asked the DHT %d times", n)
		}
		if n := b.dht.Stats().Made; n != lookups || n > 1 {
			t.Errorf("%d lookups, of which %d before the metadata was known", n, lookups)
		}
		select {
		case <-a.lookup(spec.InfoHash()).Announced():
			t.Error("a private torrent was announced")
		default:
		}
		// When it is opened again, it is known to be private from the start.
		b.close()
		b = start(t, n, 2, boot(101), state(b.state))
		wait(t, b.add(Spec{Link: bare(spec), Dir: to}).Done(), time.Minute, "the data is still there")
		time.Sleep(time.Hour)
		if n := b.dht.Stats().Made; n != 0 {
			t.Errorf("%d lookups of a torrent known to be private", n)
		}
	})
}

// Two peers that are connected to a third learn of each other, unless the torrent is
// private.
func TestBEP27APrivateTorrentDoesNotUsePEX(t *testing.T) {
	for _, private := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(6, simnet.Link{Delay: 20 * ms, Rate: 50e3})
			spec, _ := folder(t, ShareOptions{Private: private}, map[string]int{"long": 8 << 20})
			start(t, n, 1, noDHT).add(spec)
			b, c := start(t, n, 2, noDHT), start(t, n, 3, noDHT)
			link := withPeers(spec, at(1).String())
			got := b.add(Spec{Link: link, Dir: t.TempDir()})
			c.add(Spec{Link: link, Dir: t.TempDir()})
			time.Sleep(100 * time.Second)
			want := 2
			if private {
				want = 1
			}
			if s := got.Snapshot(); s.Connected != want || s.Known != want || s.Complete {
				t.Errorf("private %v: %+v", private, s)
			}
		})
	}
}
