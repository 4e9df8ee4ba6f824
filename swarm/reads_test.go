package swarm

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Reads wait for one another while they end in time. One that hangs loses its place, once, and does
// not take part again when it ends.
func TestReadsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReads()
		var now, most atomic.Int64
		var all sync.WaitGroup
		read := func(took time.Duration) {
			place, turn := r.begin()
			defer r.end(place, turn)
			now.Add(1)
			most.Store(max(most.Load(), now.Load()))
			time.Sleep(took)
			now.Add(-1)
		}
		short := func(n int) time.Duration {
			began := time.Now()
			most.Store(0)
			for range n {
				all.Go(func() { read(hungAfter - time.Millisecond) })
			}
			all.Wait()
			return time.Since(began)
		}
		if took := short(10); took != 5*(hungAfter-time.Millisecond) || most.Load() != readsAtOnce {
			t.Errorf("10 reads took %v, %d at a time", took, most.Load())
		}
		for range readsAtOnce {
			go read(time.Hour)
		}
		synctest.Wait()
		if took := short(10); took != hungAfter+5*(hungAfter-time.Millisecond) || most.Load() != 2*readsAtOnce {
			t.Errorf("beside reads that hang, 10 took %v, %d at a time", took, most.Load())
		}
		time.Sleep(2 * time.Hour)
		if took := short(10); took != 5*(hungAfter-time.Millisecond) || most.Load() != readsAtOnce || len(r.free) != readsAtOnce {
			t.Errorf("after that 10 took %v, %d at a time; %d places are free", took, most.Load(), len(r.free))
		}
	})
}
