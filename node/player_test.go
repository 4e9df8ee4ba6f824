package node

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
)

// Windows are fetched in parallel, each from its start.
func TestInterleave(t *testing.T) {
	got := interleave([]window{{10, 13}, {4, 4}, {11, 12}, {0, 2}})
	if !slices.Equal(got, []uint32{10, 11, 0, 1, 12}) {
		t.Error(got)
	}
	if got := interleave(nil); got == nil || len(got) != 0 {
		t.Errorf("without windows there must be no pieces, got %v", got)
	}
}

// film returns a torrent of one large file and a small one.
func film(t testing.TB) (Spec, []byte) {
	files := map[string]int{"film.mkv": 24 << 20, "notes.txt": 1000}
	spec, _ := folder(t, ShareOptions{PieceLength: 256 << 10}, files)
	return spec, filetest.RandomBytes("film.mkv", files["film.mkv"])
}

// played opens a torrent for playing from a seed, with this read-ahead.
func played(t testing.TB, n *simnet.Net, spec Spec, ahead int64) *Torrent {
	b := start(t, n, 2, noDHT)
	x := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir(), ReadAhead: ahead})
	wait(t, x.Named(), time.Minute, "the metadata")
	return x
}

// Data read during the download is correct, from the start, after a seek, to the
// end; and only the data read and the read-ahead are fetched.
func TestPlay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(51, simnet.Link{Delay: 20 * ms, Rate: 4 << 20})
		spec, want := film(t)
		start(t, n, 1, noDHT).add(spec)
		const ahead = 4 << 20
		x := played(t, n, spec, ahead)
		f, err := x.OpenFile(t.Context(), 0)
		if err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 1<<20)
		read := func(off int64) {
			t.Helper()
			if _, err := f.Seek(off, io.SeekStart); err != nil {
				t.Fatal(err)
			}
			if _, err := io.ReadFull(f, buf); err != nil || !bytes.Equal(buf, want[off:off+1<<20]) {
				t.Fatalf("at %d: %v, or wrong bytes", off, err)
			}
		}
		read(0)
		read(1 << 20)
		// A paused player: only the read-ahead is fetched.
		time.Sleep(time.Minute)
		fetched := func() int64 { return x.Snapshot().Downloaded }
		if got := fetched(); got < 2<<20+ahead-(256<<10) || got > 2<<20+ahead+4*(256<<10) {
			t.Errorf("%d bytes were downloaded for a player that paused at 2 MiB", got)
		}
		read(16 << 20)
		before := fetched()
		time.Sleep(time.Minute)
		if got := fetched() - before; got > ahead+(256<<10) {
			t.Errorf("after the seek %d more bytes were downloaded", got)
		}
		read(23 << 20)
		if _, err := f.Read(buf); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
		if size, err := f.Seek(0, io.SeekEnd); size != 24<<20 || err != nil {
			t.Error(size, err)
		}
		if x.Snapshot().Wasted > 1<<20 {
			t.Errorf("%d bytes were wasted", x.Snapshot().Wasted)
		}
		f.Close()
	})
}

// Several readers of one torrent make progress; one that closes stops its
// read-ahead.
func TestPlaySeveral(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(52, simnet.Link{Delay: 20 * ms, Rate: 2 << 20})
		spec, want := film(t)
		start(t, n, 1, noDHT).add(spec)
		x := played(t, n, spec, 8<<20)
		done := make(chan error, 3)
		for i := range 3 {
			go func() {
				f, err := x.OpenFile(context.Background(), 0)
				if err != nil {
					done <- err
					return
				}
				defer f.Close()
				off := int64(i) * 8 << 20
				f.Seek(off, io.SeekStart)
				got := make([]byte, 3<<20)
				if _, err := io.ReadFull(f, got); err != nil || !bytes.Equal(got, want[off:off+3<<20]) {
					done <- errors.Join(err, errors.New("wrong bytes"))
					return
				}
				done <- nil
			}()
		}
		for range 3 {
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("a reader gets no data")
			}
		}
		synctest.Wait() // they close after they have reported
		p := x.player.Load()
		p.mu.Lock()
		defer p.mu.Unlock()
		if n := len(p.readers); n != 0 {
			t.Errorf("%d readers are left", n)
		}
	})
}

// A reader waits no longer than its context and ends with the torrent. Unwanted
// files cannot be read.
func TestPlayEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(53, simnet.Link{Delay: 20 * ms})
		spec, _ := film(t)
		b := start(t, n, 2, noDHT)
		x := b.add(Spec{Torrent: spec.Torrent, Dir: t.TempDir(), ReadAhead: 1 << 20, Select: []int{2}})
		wait(t, x.Named(), time.Minute, "the metadata")
		if _, err := x.OpenFile(t.Context(), 0); !errors.Is(err, ErrNotSelected) {
			t.Errorf("a file that was not selected: %v", err)
		}
		for _, i := range []int{-1, 2, 1 << 40} {
			if _, err := x.OpenFile(t.Context(), i); !errors.Is(err, ErrNoFile) {
				t.Errorf("file %d: %v", i, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		f, err := x.OpenFile(ctx, 1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Read(make([]byte, 1)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("after its time: %v", err)
		}
		f, _ = x.OpenFile(t.Context(), 1)
		ended := make(chan error)
		go func() {
			_, err := f.Read(make([]byte, 1))
			ended <- err
		}()
		synctest.Wait()
		b.close()
		if err := <-ended; err == nil {
			t.Error("a read of a stopped torrent succeeded")
		}
		if _, err := f.Read(make([]byte, 1)); err == nil {
			t.Error("the next read succeeded too")
		}
	})
}

// waits holds how long a player waits: for the first byte, from the magnet link on, and
// after a seek for the byte at three quarters of the file. For comparison, it holds the
// wait for that byte when reading in order and in an ordinary download.
type waits struct{ first, seek, inOrder, awaitComplete time.Duration }

func measurePlay(t testing.TB, n *simnet.Net) (w waits) {
	spec, _ := film(t)
	start(t, n, 1, noDHT).add(spec)
	open := func(num int) (*rig, *FileReader) {
		r := start(t, n, num, noDHT)
		x := r.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir(), ReadAhead: 16 << 20})
		wait(t, x.Named(), time.Minute, "the metadata")
		f, err := x.OpenFile(context.Background(), 0)
		if err != nil {
			t.Fatal(err)
		}
		return r, f
	}
	read := func(f *FileReader, bytes int64) {
		if _, err := io.CopyN(io.Discard, f, bytes); err != nil {
			t.Fatal(err)
		}
	}
	const there = 18 << 20
	began := time.Now()
	r, f := open(2)
	read(f, 1)
	w.first = time.Since(began)
	time.Sleep(time.Second) // time to play
	began = time.Now()
	f.Seek(there, io.SeekStart)
	read(f, 1)
	w.seek = time.Since(began)
	r.close()

	began = time.Now()
	r, f = open(3)
	read(f, there+1)
	w.inOrder = time.Since(began)
	r.close()

	began = time.Now()
	r = start(t, n, 4, noDHT)
	x := r.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
	wait(t, x.Done(), time.Hour, "the download")
	w.awaitComplete = time.Since(began)
	r.close()
	return w
}

// slowSeed is a network whose hosts send 4 MB/s, with a round trip of 40 ms.
var slowSeed = simnet.Link{Delay: 20 * ms, Rate: 4 << 20}

// A player waits much less than a download in order would take.
func TestPlayingStartsSoonerThanADownloadInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := measurePlay(t, simnet.New(54, slowSeed))
		t.Logf("%+v", w)
		if w.first*5 > w.inOrder || w.seek*5 > w.inOrder || w.inOrder > w.awaitComplete {
			t.Errorf("%+v", w)
		}
	})
}

func BenchmarkPlay(b *testing.B) {
	for b.Loop() {
		w := measurePlay(b, simnet.New(54, slowSeed))
		b.ReportMetric(w.first.Seconds(), "first_s")
		b.ReportMetric(w.seek.Seconds(), "seek_s")
		b.ReportMetric(w.inOrder.Seconds(), "in_order_s")
		b.ReportMetric(w.awaitComplete.Seconds(), "whole_s")
	}
}
