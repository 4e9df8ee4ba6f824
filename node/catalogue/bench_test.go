package catalogue

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"testing"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
)

// inUse returns the bytes of the heap that are in use.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// await waits until a catalogue is complete.
func (r *rig) await(torrents int) {
	for {
		s := r.Status()
		if s.Err != nil {
			r.t.Fatal(s.Err)
		}
		if !s.Listed.IsZero() && s.Torrents == torrents {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// BenchmarkCatalogue fills an empty state directory from a catalogue, and compares that with a start from what is kept, up to the
// first listing. SEEDBED_TORRENTS is the number of torrents.
func BenchmarkCatalogue(b *testing.B) {
	count := 500
	if s := os.Getenv("SEEDBED_TORRENTS"); s != "" {
		count, _ = strconv.Atoi(s)
	}
	n, store := simnet.New(1, simnet.Link{}), s3test.New(b)
	for i := range count {
		torrent := torrentOf(b, fmt.Sprint("torrent ", i), filetest.RandomBytes(strconv.Itoa(i), 100))
		store.Put("p/"+nameOf(torrent.Info.Hash), torrent.Append(nil))
	}
	state := b.TempDir()
	began := time.Now()
	r := start(b, n, 1, store, nodetest.State(state))
	r.await(count)
	filled := time.Since(began)
	r.end()
	for b.Loop() {
		before, began, was := inUse(), time.Now(), len(store.Requests())
		r := start(b, n, 1, store, nodetest.State(state))
		r.await(count)
		took := time.Since(began)
		requests := len(store.Requests()) - was
		b.ReportMetric(float64(inUse()-before)/float64(count)/1024, "KiB/torrent")
		b.ReportMetric(float64(took.Microseconds())/float64(count), "µs/torrent")
		b.ReportMetric(float64(filled.Microseconds())/float64(count), "µs/torrent-filled")
		b.ReportMetric(float64(requests), "requests")
		r.end()
	}
}
