//go:build linux

package integration

import (
	"path/filepath"
	"testing"
)

// BenchmarkBarMapped measures the time from the start of a seeder behind a NAT, which knows no peer, until a peer
// on the internet has the metadata from it, over the port that the router maps by each method.
func BenchmarkBarMapped(b *testing.B) {
	const limit = 3.0 // seconds
	for range b.N {   // -benchtime 1x
		ctx, l := barTime(b), newNATLab(b, "MAPPER_A=1")
		l.startMapper()
		p := single(b, "mapped", 600<<10)
		for _, method := range []string{"pcp", "natpmp", "upnp"} {
			var took []float64
			for range barRuns {
				seeder := runAs(b, l.on("homeA", seedbed), "", offline("seed", filepath.Join(p.parent, p.name), "--port-map", method, "--listen", ":6881")...)
				mapped := seeder.wait(ctx, "mapped")
				link := seeder.wait(ctx, "seeding").Magnet
				outsider := runAs(b, l.on("internet", seedbed), "", offline("get", link, "--dir", b.TempDir(), "--peer", mapped.Addr, "--listen", "45.0.0.100:6881")...)
				outsider.ends(ctx, 0)
				took = append(took, outsider.first("metadata").at().Sub(seeder.first("listening").at()).Seconds())
				must(b, seeder.cmd.Process.Signal(interrupt))
				seeder.exit(ctx)
			}
			b.ReportMetric(median(took), method+"-s")
			if median(took) > limit {
				b.Errorf("with %s, a peer on the internet was connected after %.1f s, over the limit of %.1f s", method, median(took), limit)
			}
		}
		b.ReportMetric(limit, "limit")
		b.ReportMetric(0, "ns/op")
	}
}
