package engine

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The chart of docs/performance.md shows how long a flash crowd takes: one seed and
// leechers that start at once, know one another and have an upload limit. Its data is in
// docs/crowd.tsv, one line per run. Some runs are simulated, others measured with real
// clients (BenchmarkCrowdRuns of package integration). `make chart` repeats the
// simulation and writes the file, the chart and the tables.

var chartFlag = flag.Bool("chart", false, "simulate the crowds of docs/performance.md and draw their chart")

const (
	crowdFile  = "../../docs/crowd.tsv"
	crowdChart = "../../docs/crowd.svg"
	crowdPage  = "../../docs/performance.md"
)

// The parameters of the crowd in the chart.
const (
	crowdSize  = 16 << 20
	crowdPiece = 256 << 10
	crowdRate  = 512 << 10
	crowdSeeds = 3 // simulated runs, of which the median is shown
)

var (
	crowdLeechers = []int{4, 8, 16, 32, 64, 128}
	crowdFree     = [2]int{16, 8} // leechers, and how many of them upload at a tenth of the rate
)

// crowdRun is a line of docs/crowd.tsv. Times are in seconds from the leechers' start.
type crowdRun struct {
	crowdKind
	leechers, free int // free of the leechers upload at a tenth of the rate
	run            int
	median, last   float64
	givers, riders float64 // medians of contributors and of free riders; NaN if there are none
	copies         float64 // copies that the seed had sent when the first leecher was complete
}

// crowdKind identifies the client of a run, and whether it was simulated or measured.
type crowdKind struct{ client, how string }

var (
	simulated = crowdKind{"seedbed", "simulated"}
	measured  = crowdKind{"seedbed", "measured"}
	compared  = crowdKind{"libtorrent", "measured"}
)

const crowdColumns = "client\thow\tleechers\tfree riders\trun\tmedian s\tlast s\tcontributors' median s\tfree riders' median s\tcopies from the seed"

func (r crowdRun) String() string {
	s := fmt.Sprintf("%s\t%s\t%d\t%d\t%d", r.client, r.how, r.leechers, r.free, r.run)
	for i, v := range []float64{r.median, r.last, r.givers, r.riders, r.copies} {
		switch {
		case math.IsNaN(v):
			s += "\t-"
		case i == 4:
			s += fmt.Sprintf("\t%.2f", v)
		default:
			s += fmt.Sprintf("\t%.1f", v)
		}
	}
	return s
}

func parseCrowdRun(t *testing.T, line string) (r crowdRun) {
	t.Helper()
	f := strings.Split(line, "\t")
	if len(f) != strings.Count(crowdColumns, "\t")+1 {
		t.Fatalf("%s: %q has %d columns", crowdFile, line, len(f))
	}
	r.client, r.how = f[0], f[1]
	for i, p := range []*int{&r.leechers, &r.free, &r.run} {
		v, err := strconv.Atoi(f[2+i])
		if err != nil {
			t.Fatalf("%s: %q: %v", crowdFile, line, err)
		}
		*p = v
	}
	for i, p := range []*float64{&r.median, &r.last, &r.givers, &r.riders, &r.copies} {
		if *p = math.NaN(); f[5+i] == "-" {
			continue
		}
		v, err := strconv.ParseFloat(f[5+i], 64)
		if err != nil {
			t.Fatalf("%s: %q: %v", crowdFile, line, err)
		}
		*p = v
	}
	return r
}

// crowdRuns holds the lines of the file. Its comments begin with #.
type crowdRuns struct {
	comments []string
	runs     []crowdRun
}

func readCrowdRuns(t *testing.T) (c crowdRuns) {
	t.Helper()
	p, err := os.ReadFile(crowdFile)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(p)) {
		switch line = strings.TrimSuffix(line, "\n"); {
		case strings.HasPrefix(line, "#"):
			c.comments = append(c.comments, line)
		case line != crowdColumns:
			c.runs = append(c.runs, parseCrowdRun(t, line))
		}
	}
	return c
}

func (c crowdRuns) write(t *testing.T) {
	t.Helper()
	kinds := []crowdKind{simulated, measured, compared}
	slices.SortFunc(c.runs, func(a, b crowdRun) int {
		return cmp.Or(cmp.Compare(slices.Index(kinds, a.crowdKind), slices.Index(kinds, b.crowdKind)),
			cmp.Compare(a.free, b.free), cmp.Compare(a.leechers, b.leechers), cmp.Compare(a.run, b.run))
	})
	var b strings.Builder
	for _, l := range c.comments {
		fmt.Fprintln(&b, l)
	}
	fmt.Fprintln(&b, crowdColumns)
	for _, r := range c.runs {
		fmt.Fprintln(&b, r)
	}
	writeFile(t, crowdFile, []byte(b.String()))
}

func writeFile(t *testing.T, name string, p []byte) {
	t.Helper()
	if err := os.WriteFile(name, p, 0o644); err != nil {
		t.Fatal(err)
	}
}

// of returns the runs of one kind in one crowd.
func (c crowdRuns) of(kind crowdKind, leechers, free int) (runs []crowdRun) {
	for _, r := range c.runs {
		if r.crowdKind == kind && r.leechers == leechers && r.free == free {
			runs = append(runs, r)
		}
	}
	return runs
}

// middle returns the median of a figure over runs, or NaN if there are none.
func middle(runs []crowdRun, figure func(crowdRun) float64) float64 {
	if len(runs) == 0 {
		return math.NaN()
	}
	var v []float64
	for _, r := range runs {
		v = append(v, figure(r))
	}
	slices.Sort(v)
	return (v[len(v)/2] + v[(len(v)-1)/2]) / 2
}

func byLast(r crowdRun) float64   { return r.last }
func byMedian(r crowdRun) float64 { return r.median }
func byGivers(r crowdRun) float64 { return r.givers }
func byRiders(r crowdRun) float64 { return r.riders }
func byCopies(r crowdRun) float64 { return r.copies }

// crowdBound returns the fluid bound in seconds: the larger of one copy at the seed's
// rate and all copies at the total rate.
func crowdBound(leechers, free int) float64 {
	all := crowdRate*(1+leechers-free) + free*(crowdRate/10)
	return crowdSize * max(1/float64(crowdRate), float64(leechers)/float64(all))
}

// simulateCrowd simulates one run.
func simulateCrowd(t *testing.T, leechers, free int, seed uint64) crowdRun {
	t.Helper()
	r := runCrowd(t, crowd{leechers: leechers, size: crowdSize, rate: crowdRate, piece: crowdPiece, free: free, seed: seed})
	run := crowdRun{crowdKind: simulated, leechers: leechers, free: free, run: int(seed), median: r.median.Seconds(), last: r.last.Seconds(),
		givers: math.NaN(), riders: math.NaN(), copies: r.copiesFirst}
	if free > 0 {
		run.givers, run.riders = r.contributors.Seconds(), r.freeRiders.Seconds()
	}
	return run
}

// The chart and the tables of docs/performance.md show the data of docs/crowd.tsv, which
// agrees with the current engine. Every change of the engine moves the figures a little;
// a difference of up to five percent, which is invisible in the chart, is allowed.
func TestCrowdChart(t *testing.T) {
	skipUnderRace(t)
	c := readCrowdRuns(t)
	if *chartFlag {
		c.runs = slices.DeleteFunc(c.runs, func(r crowdRun) bool { return r.crowdKind == simulated })
		var runs []crowdRun
		for _, n := range crowdLeechers {
			for seed := range uint64(crowdSeeds) {
				runs = append(runs, simulateCrowd(t, n, 0, seed))
			}
		}
		for seed := range uint64(crowdSeeds) {
			runs = append(runs, simulateCrowd(t, crowdFree[0], crowdFree[1], seed))
		}
		c.runs = append(runs, c.runs...)
		c.write(t)
		c = readCrowdRuns(t) // rounded, as read from the file
		writeFile(t, crowdChart, c.chart().svg())
		page, err := os.ReadFile(crowdPage)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, crowdPage, replaceCrowdTables(t, page, c))
	}

	chart, err := os.ReadFile(crowdChart)
	if err != nil {
		t.Fatal(err)
	}
	checkXML(t, chart)
	if !bytes.Equal(chart, c.chart().svg()) {
		t.Errorf("%s does not show what %s says: run `make chart`", crowdChart, crowdFile)
	}
	page, err := os.ReadFile(crowdPage)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(page, replaceCrowdTables(t, page, c)) {
		t.Errorf("%s does not show what %s says: run `make chart`", crowdPage, crowdFile)
	}
	for _, n := range crowdLeechers[:3] {
		var now []crowdRun
		for seed := range uint64(crowdSeeds) {
			now = append(now, simulateCrowd(t, n, 0, seed))
		}
		for name, figure := range map[string]func(crowdRun) float64{"last": byLast, "median": byMedian} {
			was, is := middle(c.of(simulated, n, 0), figure), middle(now, figure)
			t.Logf("%d leechers: %s %.1f s, in the chart %.1f s", n, name, is, was)
			if !(math.Abs(is-was) <= 0.05*was) {
				t.Errorf("with %d leechers the %s is complete after %.1f s, but in the chart after %.1f s: run `make chart`", n, name, is, was)
			}
		}
	}
}

// chart draws the runs without free riders.
func (c crowdRuns) chart() *lineChart {
	points := func(kind crowdKind, figure func(crowdRun) float64) (p []chartPoint) {
		for _, n := range crowdLeechers {
			runs := c.of(kind, n, 0)
			if len(runs) == 0 {
				continue
			}
			byFigure := func(a, b crowdRun) int { return int(math.Copysign(1, figure(a)-figure(b))) }
			p = append(p, chartPoint{n, middle(runs, figure), figure(slices.MinFunc(runs, byFigure)), figure(slices.MaxFunc(runs, byFigure))})
		}
		return p
	}
	var bound []chartPoint
	for _, n := range crowdLeechers {
		bound = append(bound, chartPoint{x: n, y: crowdBound(n, 0)})
	}
	last, median := points(simulated, byLast), points(simulated, byMedian)
	actual, other := points(measured, byLast), points(compared, byLast)
	words := func(what string, p []chartPoint) string {
		if len(p) == 0 {
			return ""
		}
		var s []string
		for _, p := range p {
			s = append(s, fmt.Sprintf("%.1f s of %d", p.y, p.x))
		}
		return " " + what + " after " + strings.Join(s, ", ") + "."
	}
	return &lineChart{
		title:    "How long a flash crowd takes",
		subtitle: "16 MiB from one seed; everybody uploads at most 512 KiB/s; all start at once",
		description: fmt.Sprintf("Seconds until the leechers are complete, against their number. The fluid bound is %.0f s whatever their number.", bound[0].y) +
			words("seedbed in simulation: the last is complete", last) + words("The median", median) +
			words("seedbed, measured: the last is complete", actual) + words("libtorrent, measured: the last is complete", other),
		xLabel: "leechers", yLabel: "seconds until complete",
		series: []chartSeries{
			{label: fmt.Sprintf("fluid bound, %.0f s", bound[0].y), style: "grey dashed", line: true, points: bound},
			{label: "seedbed, median (simulated)", style: "blue dotted", line: true, points: median},
			{label: "seedbed, last (simulated)", style: "blue", line: true, marker: disc, points: last},
			{label: "seedbed, last (measured)", style: "blue", marker: ring, points: actual},
			{label: "libtorrent, last (measured)", style: "orange", marker: square, points: other},
		},
	}
}

const (
	tablesBegin = "<!-- crowd tables, written by make chart -->\n"
	tablesEnd   = "<!-- end of crowd tables -->\n"
)

// replaceCrowdTables returns the page with the tables of these runs between the markers.
func replaceCrowdTables(t *testing.T, page []byte, c crowdRuns) []byte {
	t.Helper()
	before, rest, ok := bytes.Cut(page, []byte(tablesBegin))
	_, after, ok2 := bytes.Cut(rest, []byte(tablesEnd))
	if !ok || !ok2 {
		t.Fatalf("%s has no markers for the tables", crowdPage)
	}
	return slices.Concat(before, []byte(tablesBegin+"\n"+c.tables()+"\n"+tablesEnd), after)
}

// tables returns the figures as Markdown tables.
func (c crowdRuns) tables() string {
	var b strings.Builder
	cell := func(format string, v float64) {
		if math.IsNaN(v) {
			b.WriteString(" |")
			return
		}
		fmt.Fprintf(&b, " "+format+" |", v)
	}
	b.WriteString("| leechers | seedbed, simulated: median | last | last ÷ bound | measured: last | last ÷ bound | libtorrent, measured: last | last ÷ bound |\n" +
		"|---|---|---|---|---|---|---|---|\n")
	for _, n := range crowdLeechers {
		fmt.Fprintf(&b, "| %d |", n)
		cell("%.1f s", middle(c.of(simulated, n, 0), byMedian))
		for _, kind := range []crowdKind{simulated, measured, compared} {
			runs := c.of(kind, n, 0)
			cell("%.1f s", middle(runs, byLast))
			cell("%.2f", middle(runs, byLast)/crowdBound(n, 0))
		}
		b.WriteString("\n")
	}
	n, free := crowdFree[0], crowdFree[1]
	bound := crowdBound(n, free)
	fmt.Fprintf(&b, "\n| %d leechers, %d of which upload a tenth; fluid bound %.1f s | seedbed, simulated | measured | libtorrent, measured |\n|---|---|---|---|\n", n, free, bound)
	for _, row := range []struct {
		name, format string
		figure       func([]crowdRun) float64
	}{
		{"last complete", "%.1f s", func(r []crowdRun) float64 { return middle(r, byLast) }},
		{"last ÷ bound", "%.2f", func(r []crowdRun) float64 { return middle(r, byLast) / bound }},
		{"contributors' median", "%.1f s", func(r []crowdRun) float64 { return middle(r, byGivers) }},
		{"free riders' median", "%.1f s", func(r []crowdRun) float64 { return middle(r, byRiders) }},
		{"contributors' median ÷ free riders' median", "%.2f", func(r []crowdRun) float64 { return middle(r, byGivers) / middle(r, byRiders) }},
		{"copies that the seed sends until the first is complete", "%.2f", func(r []crowdRun) float64 { return middle(r, byCopies) }},
	} {
		fmt.Fprintf(&b, "| %s |", row.name)
		for _, kind := range []crowdKind{simulated, measured, compared} {
			cell(row.format, row.figure(c.of(kind, n, free)))
		}
		b.WriteString("\n")
	}
	return b.String()
}
