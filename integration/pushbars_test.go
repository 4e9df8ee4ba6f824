//go:build linux

package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// The size of the swarm in which the time of a push is measured: the publisher has connections for pushDirect of
// the followers.
const (
	pushFollowers = 50
	pushDirect    = 10
	pushChanges   = 3
	// hyperdriveTime is how long a follower of hyperdrive has for a version. 50 of its processes with their connections to
	// each other can keep a busy machine from finishing in time.
	hyperdriveTime = 2 * time.Minute
)

// A small change reaches 50 followers, of which the publisher is connected to ten: 95 % have adopted it within a second
// after the publisher has begun to publish it, which is before the put. Each is a process; the DHT has nodes of seedbed and
// libtorrent. hyperdrive does the same with its own DHT: as many processes, a change of the same size, and as many
// connections of the publisher. All of them share this machine, so that the times contain the work of 50 machines.
func BenchmarkBarPush(b *testing.B) {
	needNPM(b, missingHyperdrive())
	const limit = 1000 // ms
	ctx, cancel := context.WithTimeout(b.Context(), 20*time.Minute)
	defer cancel()
	for range b.N { // -benchtime 1x
		ours := pushOurs(ctx, b)
		theirs := pushHyperdrive(ctx, b)
		for name, took := range map[string][]float64{"ours": ours, "hyperdrive": theirs} {
			b.ReportMetric(percentile(took, 50), name+"-p50-ms")
			b.ReportMetric(percentile(took, 95), name+"-p95-ms")
			b.Logf("%s: p50 %.0f ms, p95 %.0f ms, last %.0f ms", name, percentile(took, 50), percentile(took, 95), took[len(took)-1])
		}
		b.ReportMetric(limit, "limit")
		b.ReportMetric(0, "ns/op")
		if p95 := percentile(ours, 95); p95 > limit {
			b.Errorf("95 %% of the followers had a change after %.0f ms, over the limit of %d", p95, limit)
		}
	}
}

// percentile returns a percentile of a sorted list.
func percentile(v []float64, p int) float64 { return v[(len(v)-1)*p/100] }

// needNPM is like need for npm packages.
func needNPM(t testing.TB, missing ...string) {
	t.Helper()
	skipIfMissing(t, missing)
}

// pushOurs returns how many milliseconds it took until each follower had each change, sorted.
func pushOurs(ctx context.Context, b *testing.B) (took []float64) {
	all := private4.join(b)
	entries := []string{all[0], all[private4.ours]}
	dir := b.TempDir()
	must(b, os.WriteFile(filepath.Join(dir, "page 0"), []byte(strings.Repeat("x", 20_000)), 0o644))
	p := run(b, "10.8.71.1", entered(entries, "publish", dir, "--key", "pushed", "--watch", "--watch-every", "500ms", "--connections", fmt.Sprint(pushDirect))...)
	link := p.wait(ctx, "published", version(1)).Link
	var followers []*ours
	for i := range pushFollowers {
		followers = append(followers, run(b, fmt.Sprint("10.8.71.", 10+i), entered(entries, "follow", link, "-d", b.TempDir(), "--poll", "1h")...))
	}
	for _, f := range followers {
		f.wait(ctx, "current", version(1))
	}
	settle(ctx)
	for seq := int64(2); seq < 2+pushChanges; seq++ {
		must(b, os.WriteFile(filepath.Join(dir, "new"), []byte(strings.Repeat(fmt.Sprint(seq), 2000)), 0o644))
		p.wait(ctx, "published", version(seq))
		began := p.last("added").at()
		for _, f := range followers {
			took = append(took, f.wait(ctx, "current", version(seq)).at().Sub(began).Seconds()*1000)
		}
		settle(ctx)
	}
	for _, o := range append(followers, p) {
		o.stop()
	}
	slices.Sort(took)
	return took
}

// pushHyperdrive is like pushOurs for hyperdrive.
func pushHyperdrive(ctx context.Context, b *testing.B) (took []float64) {
	dht := startHyperdrive(b, "hyperdht", map[string]any{"role": "dht", "nodes": 10})
	bootstrap := dht.wait(ctx, "ready", 0).Bootstrap
	p := startHyperdrive(b, "hyperdrive publisher", map[string]any{"role": "publisher", "dir": b.TempDir(), "bootstrap": bootstrap, "maxPeers": pushDirect, "size": 20_000})
	ready := p.wait(ctx, "ready", 2)
	var followers []*hyperdrive
	for i := range pushFollowers {
		followers = append(followers, startHyperdrive(b, fmt.Sprint("hyperdrive ", i), map[string]any{"role": "follower", "dir": b.TempDir(), "bootstrap": bootstrap, "key": ready.Key}))
	}
	for end, i := time.Now().Add(hyperdriveTime), 0; i < len(followers); i++ {
		followers[i].within(end, "adopted", ready.Version) // one that is late only joins later
	}
	settle(ctx)
	for v := ready.Version + 1; v <= ready.Version+pushChanges; v++ {
		fmt.Fprintln(p.in, "put")
		put := p.wait(ctx, "put", v)
		b.Logf("the publisher of hyperdrive has %d connections", put.Peers) // one or two more than it may, at times
		end, missed := time.Now().Add(hyperdriveTime), 0
		for _, f := range followers {
			if e, ok := f.within(end, "adopted", v); ok {
				took = append(took, e.at().Sub(put.at()).Seconds()*1000)
			} else {
				missed++
				took = append(took, hyperdriveTime.Seconds()*1000)
			}
		}
		if missed > 0 {
			b.Logf("%d followers of hyperdrive did not have version %d within %v, and count as if they had it then", missed, v, hyperdriveTime)
		}
		settle(ctx)
	}
	for _, h := range append(followers, p, dht) {
		h.stop()
	}
	slices.Sort(took)
	return took
}

// settle waits until the followers have dialed each other, and the publisher may push the next version at once.
func settle(ctx context.Context) {
	select {
	case <-time.After(10 * time.Second):
	case <-ctx.Done():
	}
}
