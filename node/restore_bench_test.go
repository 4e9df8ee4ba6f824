package node

import (
	"os"
	"strconv"
	"testing"
	"time"

	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
)

// BenchmarkRestore compares the cost of restoring a session of complete torrents without
// peers with the cost of adding them. SEEDBED_TORRENTS is the number of torrents.
func BenchmarkRestore(b *testing.B) {
	count := 500
	if s := os.Getenv("SEEDBED_TORRENTS"); s != "" {
		count, _ = strconv.Atoi(s)
	}
	specs := many(b, count)
	net := simnet.New(1, simnet.Link{})
	dir := b.TempDir()
	first := start(b, net, 1, noDHT, state(dir))
	began := time.Now()
	inParallel(count, func(i int) { // the disk takes several to be safe at once
		specs[i].Persistent = true
		if _, err := first.Add(specs[i]); err != nil {
			b.Error(err)
		}
		specs[i] = Spec{}
	})
	added := time.Since(began)
	first.close()
	for b.Loop() {
		before, began := inUse(), time.Now()
		r := start(b, net, 1, noDHT, state(dir))
		r.sub.Close() // nobody reads it, so it would fill
		if err := r.Restore(b.Context()); err != nil {
			b.Fatal(err)
		}
		took := time.Since(began)
		parked := 0
		for _, t := range r.Torrents() {
			if t.Phase() == lifecycle.Parked {
				parked++
			}
		}
		if all := len(r.Torrents()); all != count || count > 2*parkBeyond && parked < count-parkBeyond {
			b.Fatalf("%d of %d came back, %d parked", all, count, parked)
		}
		b.ReportMetric(float64(inUse()-before)/float64(count)/1024, "KiB/torrent")
		b.ReportMetric(float64(took.Microseconds())/float64(count), "µs/torrent")
		b.ReportMetric(float64(added)/float64(took), "add/restore")
		r.close()
	}
}
