package node

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
)

// A download into the store that is paused is read where its parts are: from the staging folder and from the store. The rest is
// not downloaded.
func TestReadingAPausedDownloadIntoTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms, Rate: 200_000})
		spec, dir := folder(t, ShareOptions{PieceLength: 32 << 10}, map[string]int{"a.bin": 128 << 10, "b.bin": 3 << 20})
		b := newBucket(t)
		want := map[int][]byte{}
		for i, name := range []string{"a.bin", "b.bin"} {
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				t.Fatal(err)
			}
			want[i] = data
		}
		b.Put("data/things/a.bin", want[0])
		start(t, n, 2, noDHT).add(spec)
		a, end := b.start(n, 1, "data", noDHT)
		defer end()
		x := a.add(Spec{Link: withPeers(spec, at(2).String()), Objects: true, Upload: true, Persistent: true})
		awaitPhase(t, x, lifecycle.Downloading)
		time.Sleep(5 * time.Second)
		have := x.run.Load().swarm
		if err := settled(x, x.Pause(t.Context())); err != nil {
			t.Fatal(err)
		}
		if got, err := readPart(t, x, 0, 0, 0); err != nil || !bytes.Equal(got, want[0]) {
			t.Errorf("what the store has: %v", err)
		}
		here, missing := 0, 0
		for off := int64(0); off < 3<<20; off += 32 << 10 {
			got, err := readPart(t, x, 1, off, off+32<<10)
			var f *Fault
			switch isHere := have.Has(int((128<<10 + off) / (32 << 10))); {
			case isHere && err == nil && bytes.Equal(got, want[1][off:off+32<<10]):
				here++
			case !isHere && errors.As(err, &f) && f.Kind == FaultIncomplete:
				missing++
			default:
				t.Fatalf("at %d, which is here %v: %v", off, isHere, err)
			}
		}
		if here == 0 || missing == 0 {
			t.Errorf("%d pieces are here, and %d are not", here, missing)
		}
	})
}

// A reader that waits for a store that is away does not hold up the end of the node.
func TestANodeEndsWhileAPausedTorrentIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 5 * ms})
		spec, dir := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
		b := newBucket(t)
		b.put(dir, "data/")
		a, end := b.start(n, 1, "data", noDHT)
		x := a.add(Spec{Torrent: spec.Torrent, Objects: true, Persistent: true})
		awaitPhase(t, x, lifecycle.Seeding)
		if err := settled(x, x.Pause(t.Context())); err != nil {
			t.Fatal(err)
		}
		b.SetDown(true)
		reader := make(chan error)
		go func() {
			_, err := readPart(t, x, 0, 0, 1000)
			reader <- err
		}()
		time.Sleep(10 * time.Second)
		began := time.Now()
		go end()
		if err := <-reader; !errors.Is(err, errEnd) || time.Since(began) > time.Second {
			t.Errorf("%v, after %v", err, time.Since(began))
		}
		synctest.Wait()
	})
}
