package node

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
)

// readPart reads the part of a file from off to end, or to its end if end is 0.
func readPart(t testing.TB, x *Torrent, file int, off, end int64) ([]byte, error) {
	t.Helper()
	f, err := x.OpenFile(t.Context(), file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if end == 0 {
		end = f.Size()
	}
	if _, err := f.Seek(off, io.SeekStart); err != nil {
		return nil, err
	}
	b := make([]byte, end-off)
	_, err = io.ReadFull(f, b)
	return b, err
}

// A torrent that downloads everything serves readers before the rest: the end of a file is there long
// before the torrent is complete, and the torrent completes although a reader stays open.
func TestAReaderOfAnyTorrentComesFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(61, simnet.Link{Delay: 20 * ms, Rate: 1 << 20})
		spec, want := film(t)
		start(t, n, 1, noDHT).add(spec)
		b := start(t, n, 2, noDHT)
		began := time.Now()
		x := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir(), Persistent: true})
		wait(t, x.Named(), time.Minute, "the metadata")
		time.Sleep(2 * time.Second) // requests are outstanding
		const off = 20 << 20
		f, err := x.OpenFile(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		f.Seek(off, io.SeekStart)
		got := make([]byte, 1<<20)
		asked := time.Now()
		if _, err := io.ReadFull(f, got); err != nil || !bytes.Equal(got, want[off:off+1<<20]) {
			t.Fatalf("%v, or wrong bytes", err)
		}
		waited := time.Since(asked)
		wait(t, x.Done(), 10*time.Minute, "the download")
		whole := time.Since(began)
		t.Logf("waited %v of %v", waited, whole)
		if waited*5 > whole {
			t.Errorf("the reader waited %v; the whole download took %v", waited, whole)
		}
		if s := x.Snapshot(); s.Wasted > s.Downloaded/20 {
			t.Errorf("%d of %d bytes were wasted", s.Wasted, s.Downloaded)
		}
	})
}

// Verified data can be read in every phase. Missing data of a torrent that does not run is an error
// that says so, and a reader that waits gets it when the torrent is paused.
func TestReadingATorrentThatDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(62, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		spec, want := film(t)
		seed := start(t, n, 1, noDHT)
		seed.add(spec)
		b := start(t, n, 2, noDHT)
		x := b.add(Spec{Torrent: spec.Torrent, Peers: []string{at(1).String()}, Dir: t.TempDir(), Select: []int{1}, Persistent: true})
		if got, err := readPart(t, x, 0, 0, 1<<20); err != nil || !bytes.Equal(got, want[:1<<20]) {
			t.Fatalf("while it downloads: %v, or wrong bytes", err)
		}
		seed.close()
		waiting := make(chan error)
		go func() {
			_, err := readPart(t, x, 0, 0, 0)
			waiting <- err
		}()
		time.Sleep(time.Minute)
		if err := x.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		var f *Fault
		if err := <-waiting; !errors.As(err, &f) || f.Kind != FaultIncomplete || !strings.Contains(err.Error(), "paused") {
			t.Errorf("a reader that waits gets %v", err)
		}
		for phase, to := range map[lifecycle.Phase]func(){
			lifecycle.Paused: func() {},
			lifecycle.Queued: func() { x.Hold(); x.Resume(t.Context()) },
		} {
			to()
			x.Settled(t.Context())
			if x.Phase() != phase {
				t.Fatalf("it is %v", x.Phase())
			}
			if got, err := readPart(t, x, 0, 0, 1<<20); err != nil || !bytes.Equal(got, want[:1<<20]) {
				t.Errorf("%v: %v, or wrong bytes", phase, err)
			}
			if _, err := readPart(t, x, 0, 0, 0); !errors.As(err, &f) || f.Kind != FaultIncomplete {
				t.Errorf("%v: missing data: %v", phase, err)
			}
			if _, err := x.OpenFile(t.Context(), 1); !errors.Is(err, ErrNotSelected) {
				t.Errorf("%v: a file that is not selected: %v", phase, err)
			}
			x.Pause(t.Context())
			x.Settled(t.Context())
		}
		if err := b.Remove(t.Context(), x.InfoHash(), false); err != nil {
			t.Fatal(err)
		}
		x.Settled(t.Context())
		if _, err := x.OpenFile(t.Context(), 0); err == nil {
			t.Error("a removed torrent can be read")
		}
		if left, err := filepath.Glob(filepath.Join(b.state, "torrents", "*")); len(left) > 0 || err != nil {
			t.Errorf("%v is left, %v", left, err)
		}
	})
}

// A parked torrent is read without being woken; one that is read is not parked.
func TestReadingAParkedTorrent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(63, simnet.Link{Delay: 20 * ms})
		b := start(t, n, 1, noDHT)
		var last *Torrent
		for _, s := range many(t, parkBeyond+5) {
			last = b.add(s)
			awaitComplete(t, last)
		}
		if last.Phase() != lifecycle.Parked {
			t.Fatalf("it is %v", last.Phase())
		}
		got, err := readPart(t, last, 0, 0, 0)
		if err != nil || len(got) != 20_000 {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if last.Phase() != lifecycle.Parked || last.player.Load().stored.data != nil {
			t.Errorf("it is %v, and its files stay open: %v", last.Phase(), last.player.Load().stored.data != nil)
		}
		want, err := os.ReadFile(filepath.Join(last.spec().Dir, last.Name()))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("wrong bytes, %v", err)
		}
	})
}
