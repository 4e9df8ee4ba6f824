package engine

import (
	"flag"
	"fmt"
	"math"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The grid is the range of flash crowds in which algorithms are compared. To compare two:
//
//	go test ./swarm/engine -run CrowdGrid -v -crowdgrid . -crowdout /tmp/before.tsv
//	go test ./swarm/engine -run CrowdGrid -v -crowdgrid . -crowdagainst /tmp/before.tsv
var (
	gridMatch   = flag.String("crowdgrid", "", "simulate the crowds of the full grid that match this regular expression")
	gridRuns    = flag.Uint64("crowdruns", 1, "number of runs of each crowd of the grid")
	gridOut     = flag.String("crowdout", "", "write the figures of the grid to this file")
	gridAgainst = flag.String("crowdagainst", "", "compare the figures of the grid with those in this file")
)

// The grid varies one of these, or two in crowds of up to 16. The default is equal
// leechers that start at once, stay, and upload as fast as the seed.
var crowdVariants = [][]string{
	{"spread=10", "spread=10 down=4", "down=2"}, // unequal and asymmetric rates
	{"over=1m0s"},
	{"leave=1", "leave=0.5"},
	{"free=25%", "free=50%"},
	{"super=off", "super=on"},
	{"churn=0.2"},
	{"delay=10ms-10ms", "delay=200ms-200ms", "delay=10ms-200ms"},
}

// gridCrowds returns the crowds of the grid with the given number of leechers and up to
// variants variations.
func gridCrowds(leechers, variants int) (list []crowd) {
	var add func(from int, options []string)
	add = func(from int, options []string) {
		text := fmt.Sprintf("%d 16 512 %s", leechers, strings.Join(options, " "))
		for share, word := range map[float64]string{0.25: "free=25%", 0.5: "free=50%"} {
			text = strings.Replace(text, word, fmt.Sprintf("free=%d", int(share*float64(leechers))), 1)
		}
		c, err := parseCrowd(text)
		if err != nil {
			panic(err)
		}
		list = append(list, c)
		if len(options) == variants {
			return
		}
		for i := from; i < len(crowdVariants); i++ {
			for _, o := range crowdVariants[i] {
				add(i+1, append(options[:len(options):len(options)], o))
			}
		}
	}
	add(0, nil)
	return list
}

// gridResult holds the mean of several runs.
type gridResult struct {
	ratio, took, favour, copiesFirst, copiesSpread float64
}

var gridColumns = []string{"last/bound", "median s", "contributors/free", "copies first", "copies spread"}

func (r *gridResult) columns() []*float64 {
	return []*float64{&r.ratio, &r.took, &r.favour, &r.copiesFirst, &r.copiesSpread}
}

// losses lists the three largest categories of useless uplink time, and what the seed
// sent more than once.
func losses(r crowdResult) string {
	all := r.seed
	all.add(&r.leechers)
	var parts []string
	taken := [nUses]bool{}
	for range 3 {
		best := useWasted
		for k := useWasted; int(k) < nUses; k++ {
			if !taken[k] && (taken[best] || all[k] > all[best]) {
				best = k
			}
		}
		taken[best] = true
		parts = append(parts, fmt.Sprintf("%v %.0f%%", best, 100*all.share(best)))
	}
	return fmt.Sprintf("%s; seed dupl %.0f%% copy %.0f%%", strings.Join(parts, " "), 100*r.seed.share(useDuplicate), 100*r.seed.share(useCopy))
}

// TestBatteryCrowdGrid simulates the crowds of the grid and prints a line for each.
// Without -crowdgrid and SEEDBED_SOAK it takes those of 4 leechers with one variation.
// The full grid takes 15 minutes.
func TestBatteryCrowdGrid(t *testing.T) {
	skipUnderRace(t)
	list := gridCrowds(4, 1)
	if *gridMatch != "" || soak() {
		list = gridCrowds(4, 2)
		list = append(list, gridCrowds(16, 2)...)
		list = append(list, gridCrowds(50, 1)...)
		large := 0 // half a minute each
		if *gridMatch != "" {
			large = 1
		}
		list = append(list, gridCrowds(200, large)...)
	}
	match, err := regexp.Compile(*gridMatch)
	if err != nil {
		t.Fatal(err)
	}
	before := readGrid(t, *gridAgainst)
	var out strings.Builder
	fmt.Fprintf(&out, "crowd\t%s\n", strings.Join(gridColumns, "\t"))
	change, compared := 0.0, 0
	for _, c := range list {
		name := c.String()
		if !match.MatchString(name) {
			continue
		}
		var mean gridResult
		var lost string
		for k := range *gridRuns {
			c.seed = k
			r := runCrowd(t, c)
			one := gridResult{r.ratio(), r.took.Seconds(), r.favour(), r.copiesFirst, r.copiesSpread}
			for i, v := range one.columns() {
				*mean.columns()[i] += *v / float64(*gridRuns)
			}
			lost = losses(r)
			if r.ratio() < 1 {
				t.Errorf("%v, seed %d: complete after %v, before the fluid bound of %v", c, k, r.last, r.bound)
			}
		}
		line := fmt.Sprintf("%-36s %5.2f", name, mean.ratio)
		if b, ok := before[name]; ok {
			line += fmt.Sprintf(" (was %.2f)", b.ratio)
			change += math.Log(mean.ratio / b.ratio)
			compared++
		}
		t.Logf("%s  median %.0f s  favour %.2f  copies %.2f %.2f  %s", line, mean.took, mean.favour, mean.copiesFirst, mean.copiesSpread, lost)
		fmt.Fprint(&out, name)
		for _, v := range mean.columns() {
			fmt.Fprintf(&out, "\t%.3f", *v)
		}
		out.WriteByte('\n')
	}
	if compared > 0 {
		t.Logf("of %d crowds last/bound is %.3f times what it was, in the geometric mean", compared, math.Exp(change/float64(compared)))
	}
	if *gridOut != "" {
		if err := os.WriteFile(*gridOut, []byte(out.String()), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// readGrid reads a file written by -crowdout.
func readGrid(t *testing.T, file string) map[string]gridResult {
	if file == "" {
		return nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]gridResult{}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n")[1:] {
		f := strings.Split(line, "\t")
		var r gridResult
		for i, v := range r.columns() {
			if *v, err = strconv.ParseFloat(f[i+1], 64); err != nil {
				t.Fatal(err)
			}
		}
		all[f[0]] = r
	}
	return all
}

// parseCrowd reverses String.
func TestParseCrowdReversesString(t *testing.T) {
	for _, c := range gridCrowds(16, 2) {
		if again, err := parseCrowd(c.String()); err != nil || again != c {
			t.Errorf("%v parsed as %+v, not %+v: %v", c, again, c, err)
		}
	}
	for _, text := range []string{"", "16 16", "1 2 3 4 5", "16 16 512 speed=3", "16 x 512", "16 16 512 over=3"} {
		if c, err := parseCrowd(text); err == nil {
			t.Errorf("%q was accepted: %v", text, c)
		}
	}
}
