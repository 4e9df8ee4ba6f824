package qbittorrent

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// While the disk hangs, clients that ask again and again do not make more and more threads.
func TestReadsThatHangAreFew(t *testing.T) {
	r := newRig(t)
	synctest.Test(t, func(t *testing.T) {
		c := &call{handler: &handler{node: r.d.Node(), reads: make(chan struct{}, maxReads)}}
		var began, failed atomic.Int32
		disk := make(chan struct{})
		for range 10 * maxReads {
			go func() {
				if _, err := onDisk(c, func() int { began.Add(1); <-disk; return 1 }); err != nil {
					failed.Add(1)
				}
			}()
		}
		synctest.Wait()
		if n := began.Load(); n != maxReads {
			t.Errorf("%d reads at a time", n)
		}
		close(disk)
		synctest.Wait()
		if began.Load() != 10*maxReads || failed.Load() != 0 {
			t.Errorf("%d reads, %d failed", began.Load(), failed.Load())
		}
	})
}
