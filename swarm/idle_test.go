package swarm

import (
	"context"
	"runtime"
	"testing"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
)

// BenchmarkIdleTorrent measures what a complete torrent without peers costs: memory, and
// two goroutines.
func BenchmarkIdleTorrent(b *testing.B) {
	info, full := makeContent(b, 4<<20, 64<<10)
	sh := NewShared(SharedConfig{Workers: 1})
	defer sh.Close()
	const n = 500
	for b.Loop() {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		opened := make(chan struct{}, n)
		var ts []*Torrent
		for i := range n {
			ts = append(ts, New(Config{
				Shared: sh, InfoHash: info.Hash, PeerID: id.ID{byte(i)}, Info: info, Dialer: &netDialer{}, Budget: 1, HalfOpen: 1, MaxConns: 10,
				Open: func(context.Context, *metainfo.Info, func(int64, int64)) (Content, error) {
					return Content{Storage: &memStorage{info: info}, Have: full.verified}, nil
				},
				OnEvent: func(ev Event) {
					if ev.Kind == Complete {
						opened <- struct{}{}
					}
				},
			}))
		}
		for range ts {
			<-opened
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric(float64(after.HeapAlloc+after.StackInuse-before.HeapAlloc-before.StackInuse)/n, "bytes/torrent")
		for _, t := range ts {
			if err := t.Stop(context.Background()); err != nil {
				b.Error(err)
			}
		}
	}
	b.ReportMetric(0, "ns/op")
}
