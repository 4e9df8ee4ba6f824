//go:build linux

package integration

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var crowdsFlag = flag.String("crowds", "", "the file to which BenchmarkCrowdRuns appends a line for each run: ../docs/crowd.tsv")

// BenchmarkCrowdRuns measures the crowds of the chart in docs/performance.md with real
// clients. Each takes a minute or two; -count sets how often it runs, and -bench
// CrowdRuns/libtorrent/16 selects one.
func BenchmarkCrowdRuns(b *testing.B) {
	if *crowdsFlag == "" {
		b.Skip("takes half an hour, and is only of use with -crowds FILE")
	}
	const up = 512 << 10
	for _, kind := range []string{"libtorrent", "seedbed"} {
		for _, n := range []struct{ leechers, free int }{{4, 0}, {8, 0}, {16, 0}, {32, 0}, {64, 0}, {16, 8}} {
			b.Run(fmt.Sprintf("%s/%d-%d", kind, n.leechers, n.free), func(b *testing.B) {
				need(b, libtorrent{})
				ctx := barTime(b)
				b.ReportMetric(0, "ns/op")
				for range b.N { // -benchtime 1x
					c := newCrowd(b, oneFile(b, "crowd of "+kind, 16<<20, 256<<10), kind, up)
					c.add(n.free, kind, up/10).add(n.leechers-n.free, kind, up)
					c.run(ctx)
					c.stop()
					givers, riders := "-", "-"
					if n.free > 0 {
						givers = fmt.Sprintf("%.1f", median(c.seconds(c.leechers()[n.free:])))
						riders = fmt.Sprintf("%.1f", median(c.seconds(c.leechers()[:n.free])))
					}
					b.ReportMetric(c.last()/c.fluid(), "last/limit")
					appendRun(b, *crowdsFlag, fmt.Sprintf("%s\tmeasured\t%d\t%d", kind, n.leechers, n.free),
						fmt.Sprintf("%.1f\t%.1f\t%s\t%s\t%.2f", c.median(), c.last(), givers, riders, c.copies()))
				}
			})
		}
	}
}

// appendRun appends a line to a file: the name of the measurement, its number of lines so
// far, and the figures.
func appendRun(b *testing.B, file, what, figures string) {
	b.Helper()
	old, err := os.ReadFile(file)
	if err != nil {
		b.Fatal(err)
	}
	run := 1
	for line := range strings.Lines(string(old)) {
		if strings.HasPrefix(line, what+"\t") {
			run++
		}
	}
	line := fmt.Appendf(nil, "%s\t%d\t%s\n", what, run, figures)
	must(b, os.WriteFile(file, bytes.Join([][]byte{old, line}, nil), 0o644))
}
