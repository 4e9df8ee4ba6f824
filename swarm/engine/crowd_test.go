package engine

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"seedbed/internal/bitset"
)

// Flash crowds: one seed and leechers that know one another, each with an upload limit.
// The time until all are complete is compared with the fluid bound, which no schedule can
// beat; see sim.bound.

var (
	crowdFlag  = flag.String("crowd", "", `a crowd to simulate: "LEECHERS MIB KIB/S [FREE] [option=value ...]"; see parseCrowd`)
	crowdTable = flag.Duration("crowdtable", 0, "with -crowd, print the use of the uplinks per interval of this length")
)

// crowd describes a flash crowd. If all fields except the first three are zero, there are
// one seed, equal leechers that start at once and stay, and links of 10 to 40 ms.
type crowd struct {
	leechers int
	size     int64   // bytes; a multiple of 256 KiB
	rate     float64 // upload rate of a node in bytes per second

	free     int           // how many leechers upload at a tenth of the rate
	spread   float64       // ratio of the upload rates of the fastest and the slowest of the other leechers
	down     float64       // ratio of a leecher's download limit to its upload rate; 0 means no limit
	over     time.Duration // leechers arrive within this time as a Poisson process; 0 means all at once
	leave    float64       // fraction of the leechers that leave when they are complete
	churn    float64       // fraction of the leechers that disconnect and return
	super    SuperSeed
	nolimit  bool          // the engines do not know their upload limit
	delayMin time.Duration // of a link, one way
	delayMax time.Duration
	uploads  int
	maxConns int
	piece    int64
	seed     uint64 // of the simulation
	seeds    uint64 // number of runs, starting with seed
}

// parseCrowd parses LEECHERS MIB KIB/S [FREE] and options: spread=10 down=4 over=60s
// leave=0.5 churn=0.2 super=auto|on|off nolimit=1 delay=10ms-200ms uploads=8 conns=500
// piece=256 (KiB) seed=0 seeds=3.
func parseCrowd(text string) (c crowd, err error) {
	var numbers []float64
	number := func(s string) (v float64) {
		v, e := strconv.ParseFloat(s, 64)
		if e != nil {
			err = e
		}
		return v
	}
	span := func(s string) time.Duration {
		d, e := time.ParseDuration(s)
		if e != nil {
			err = e
		}
		return d
	}
	for _, f := range strings.Fields(text) {
		name, value, option := strings.Cut(f, "=")
		if !option {
			numbers = append(numbers, number(f))
			continue
		}
		switch name {
		case "free":
			c.free = int(number(value))
		case "spread":
			c.spread = number(value)
		case "down":
			c.down = number(value)
		case "over":
			c.over = span(value)
		case "leave":
			c.leave = number(value)
		case "churn":
			c.churn = number(value)
		case "super":
			if c.super, err = ParseSuperSeed(value); err != nil {
				return c, err
			}
		case "nolimit":
			c.nolimit = number(value) != 0
		case "delay":
			low, high, _ := strings.Cut(value, "-")
			c.delayMin, c.delayMax = span(low), span(high)
		case "uploads":
			c.uploads = int(number(value))
		case "conns":
			c.maxConns = int(number(value))
		case "piece":
			c.piece = int64(number(value)) << 10
		case "seed":
			c.seed = uint64(number(value))
		case "seeds":
			c.seeds = uint64(number(value))
		default:
			return c, fmt.Errorf("unknown option %q", name)
		}
	}
	if len(numbers) < 3 || len(numbers) > 4 {
		return c, fmt.Errorf("%q does not begin with LEECHERS MIB KIB/S [FREE]", text)
	}
	c.leechers, c.size, c.rate = int(numbers[0]), int64(numbers[1])<<20, numbers[2]*1024
	if len(numbers) > 3 {
		c.free = int(numbers[3])
	}
	return c, err
}

// String returns the crowd in the syntax of parseCrowd, without default values.
func (c crowd) String() string {
	s := fmt.Sprintf("%d %d %.0f", c.leechers, c.size>>20, c.rate/1024)
	if c.free > 0 {
		s += fmt.Sprintf(" %d", c.free)
	}
	if c.spread > 1 {
		s += fmt.Sprintf(" spread=%v", c.spread)
	}
	if c.down > 0 {
		s += fmt.Sprintf(" down=%v", c.down)
	}
	if c.over > 0 {
		s += fmt.Sprintf(" over=%v", c.over)
	}
	if c.leave > 0 {
		s += fmt.Sprintf(" leave=%v", c.leave)
	}
	if c.churn > 0 {
		s += fmt.Sprintf(" churn=%v", c.churn)
	}
	if c.super != SuperAuto {
		s += " super=" + map[SuperSeed]string{SuperOn: "on", SuperOff: "off"}[c.super]
	}
	if c.nolimit {
		s += " nolimit=1"
	}
	if c.delayMax > 0 {
		s += fmt.Sprintf(" delay=%v-%v", c.delayMin, c.delayMax)
	}
	if c.uploads > 0 {
		s += fmt.Sprintf(" uploads=%d", c.uploads)
	}
	if c.maxConns > 0 {
		s += fmt.Sprintf(" conns=%d", c.maxConns)
	}
	return s
}

// crowdResult is the result of a run. Times are since the start of the run, except those
// of groups, which are since each member arrived.
type crowdResult struct {
	first, median, last time.Duration
	bound               time.Duration
	took                time.Duration // median of all leechers
	contributors        time.Duration // median of the leechers that are not free riders
	freeRiders          time.Duration // median of the free riders; 0 without any
	copiesFirst         float64       // copies that the seed had sent when the first leecher was complete
	copiesSpread        float64       // the same when every piece was at some leecher
	copiesEnd           float64
	wasted              int64   // useless bytes received
	received            int64   // bytes of blocks that arrived
	seed, leechers      uses    // how their uplinks were used, in bytes
	toChoked            float64 // copies sent to choked peers (BEP 6 allowed fast)
}

// ratio returns the last time divided by the fluid bound.
func (r crowdResult) ratio() float64 { return r.last.Seconds() / r.bound.Seconds() }

// favour returns the contributors' median divided by the free riders'; 1 without free
// riders.
func (r crowdResult) favour() float64 {
	if r.freeRiders == 0 {
		return 1
	}
	return r.contributors.Seconds() / r.freeRiders.Seconds()
}

func (r crowdResult) String() string {
	s := fmt.Sprintf("last/bound %.2f  bound %.1f first %.1f median %.1f last %.1f  copies first %.2f spread %.2f end %.2f  wasted %.1f%%",
		r.ratio(), r.bound.Seconds(), r.first.Seconds(), r.median.Seconds(), r.last.Seconds(),
		r.copiesFirst, r.copiesSpread, r.copiesEnd, 100*float64(r.wasted)/float64(max(r.received, 1)))
	if r.toChoked >= 0.005 {
		s += fmt.Sprintf("  to choked peers %.2f copies", r.toChoked)
	}
	if r.freeRiders > 0 {
		s += fmt.Sprintf("  contributors/free %.2f (%.1f / %.1f)", r.favour(), r.contributors.Seconds(), r.freeRiders.Seconds())
	}
	return s
}

// medianOf returns the median of a list, or zero.
func medianOf(d []time.Duration) time.Duration {
	if len(d) == 0 {
		return 0
	}
	d = slices.Sorted(slices.Values(d))
	return d[len(d)/2]
}

// bound returns the fluid bound on the time when the last leecher is complete, for any
// schedule, without delays. It is the maximum of:
//
//   - the arrival of the first leecher, plus one copy at the seed's rate;
//   - for each leecher, its arrival plus one copy at its download limit;
//   - for each leecher k in order of arrival, the time T by which the seed and all
//     present leechers can have sent what k and all later ones need: (their number) ×
//     size = ∫ from arrival of k to T of the sum of the rates;
//   - for each leecher that disconnected and returned, that time plus what it then
//     lacked, at its download limit or at the upload rate of all others.
//
// If all arrive at once, the last of these is N × size / sum of all rates. Leechers that
// leave when they are complete do not change the bound: in the best schedule all are
// complete at T.
func (s *sim) bound() time.Duration {
	size := float64(s.info.Length)
	leechers := slices.Clone(s.nodes[s.cfg.seeds:])
	slices.SortStableFunc(leechers, func(a, b *simNode) int { return int(a.startAt - b.startAt) })
	seeds := 0.0
	for _, n := range s.nodes[:s.cfg.seeds] {
		seeds += n.rate
	}
	at := func(n *simNode) float64 { return n.startAt.Seconds() }
	t := at(leechers[0]) + size/seeds
	sum := seeds
	for k, n := range leechers {
		sum += n.rate
		if n.down > 0 {
			t = max(t, at(n)+size/n.down)
		}
		left, now, rate := size*float64(len(leechers)-k), at(n), sum
		for _, o := range leechers[k+1:] {
			step := rate * (at(o) - now)
			if step >= left {
				break
			}
			left, now, rate = left-step, at(o), rate+o.rate
		}
		t = max(t, now+left/rate)
	}
	for _, n := range leechers {
		if n.backAt > 0 {
			rate := sum - n.rate
			if n.down > 0 {
				rate = min(rate, n.down)
			}
			t = max(t, n.backAt.Seconds()+float64(n.backLeft)/rate)
		}
	}
	return time.Duration(t * float64(time.Second))
}

// newCrowd creates the simulation of a crowd.
func newCrowd(t *testing.T, c crowd) *sim {
	if c.piece == 0 {
		c.piece = 256 << 10
	}
	if c.delayMax == 0 {
		c.delayMin, c.delayMax = 10*time.Millisecond, 40*time.Millisecond
	}
	if c.maxConns == 0 {
		c.maxConns = 500
	}
	turn := time.Duration(0)
	switch { // large crowds are simulated with less time resolution
	case c.leechers > 100:
		turn = 20 * time.Millisecond
	case c.leechers > 32:
		turn = 10 * time.Millisecond
	}
	rng := rand.New(rand.NewPCG(c.seed, 2))
	arrivals := make([]time.Duration, c.leechers)
	for i := range arrivals {
		arrivals[i] = time.Duration(rng.Int64N(int64(c.over + 100*time.Millisecond)))
	}
	slices.Sort(arrivals)
	riders := make([]int, c.leechers) // rank of each leecher in a list that starts with the free riders
	for i := range riders {
		riders[i] = i
	}
	if c.over > 0 {
		riders = rng.Perm(c.leechers)
	}
	return newSim(t, simConfig{
		seed: c.seed, nodes: 1 + c.leechers, seeds: 1, pieces: int(c.size / c.piece), pieceLen: c.piece, last: c.piece,
		// The same as node's defaults: 24 MiB of buffers, 64 simultaneous dials.
		chunk: 1 << 20, budget: int(24 << 20 / min(c.piece, 1<<20)), halfOpen: 64, maxConns: c.maxConns, uploads: c.uploads,
		delayMin: c.delayMin, delayMax: c.delayMax, churn: c.churn, super: c.super, unlimited: c.nolimit, known: true, sparse: true, account: true, turn: turn,
		private: c.leechers > 50 && c.leechers < c.maxConns, // PEX is useless and slow where all are connected
		until: func(s *sim) bool {
			return !slices.ContainsFunc(s.nodes[1:], func(n *simNode) bool { return n.doneAt == 0 })
		},
		shape: func(n *simNode) {
			n.rate = c.rate
			if n.seed {
				return
			}
			k := n.name - 1
			n.down = c.down * n.rate // also for a free rider
			switch {
			case riders[k] < c.free:
				n.rate /= 10
				n.rider = true
			case c.spread > 1: // uniform in the logarithm, with the given rate on average
				n.rate *= math.Pow(c.spread, rng.Float64()) * math.Log(c.spread) / (c.spread - 1)
				n.down = c.down * n.rate
			}
			n.leaves = rng.Float64() < c.leave
			n.startAt = arrivals[k]
		},
	})
}

// runCrowd simulates a crowd until all are complete.
func runCrowd(t *testing.T, c crowd) (r crowdResult) {
	t.Helper()
	s := newCrowd(t, c)
	size := float64(s.info.Length)
	s.elsewhere = bitset.New(s.cfg.pieces)
	s.onComplete = func(n *simNode) {
		if !n.seed && r.copiesFirst == 0 {
			r.copiesFirst = float64(s.sent) / size
		}
	}
	s.run()
	for _, n := range s.nodes {
		n.endAccount()
		r.toChoked += float64(n.account.choked) / size
	}
	s.checkAccounts()
	_, r.seed = s.usedBy(func(n *simNode) bool { return n.seed })
	_, r.leechers = s.usedBy(func(n *simNode) bool { return !n.seed })
	if *crowdTable > 0 {
		t.Logf("use of the uplinks of the seed and of the leechers, in per cent:\n%s", s.useTable(*crowdTable))
	}
	var all, given, free []time.Duration
	for _, n := range s.nodes[1:] {
		all = append(all, n.doneAt)
		if took := n.doneAt - n.startAt; n.rider {
			free = append(free, took)
		} else {
			given = append(given, took)
		}
	}
	r.bound = s.bound()
	r.first, r.median, r.last = slices.Min(all), medianOf(all), slices.Max(all)
	r.contributors, r.freeRiders = medianOf(given), medianOf(free)
	r.took = medianOf(append(given, free...))
	r.copiesSpread, r.copiesEnd = s.firstCopy, float64(s.sent)/size
	r.wasted, r.received = s.wasted, s.received
	return r
}

// runCrowds simulates a crowd with several seeds and returns the mean ratio.
func runCrowds(t *testing.T, c crowd) (ratio float64) {
	t.Helper()
	runs := max(c.seeds, 1)
	for k := range runs {
		one := c
		one.seed += k
		r := runCrowd(t, one)
		t.Logf("%-24s seed %d  %v", c, one.seed, r)
		t.Logf("    seed: %v", r.seed)
		t.Logf("    leechers: %v", r.leechers)
		ratio += r.ratio() / float64(runs)
	}
	return ratio
}

// TestCrowd simulates the crowd of -crowd and prints a line for each run.
func TestCrowd(t *testing.T) {
	if *crowdFlag == "" {
		t.Skip("no -crowd")
	}
	c, err := parseCrowd(*crowdFlag)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("last/bound %.2f on average", runCrowds(t, c))
}

// The bound of simple crowds is known without the program.
func TestFluidBound(t *testing.T) {
	for _, x := range []struct {
		crowd string
		want  float64
		at    []time.Duration
	}{
		{"16 16 512", 32, nil},                                           // one copy at the seed's rate
		{"16 16 512 8", 16 * 32 / 9.8, nil},                              // all copies at the total rate: 9 of 512 and 8 of 51.2 KiB/s
		{"1 16 512 down=0.5", 64, nil},                                   // the leecher's own limit
		{"2 16 512", 100 + 32./3, []time.Duration{0, 100 * time.Second}}, // the second arrives when the first is complete
	} {
		c, err := parseCrowd(x.crowd)
		if err != nil {
			t.Fatal(err)
		}
		s := newCrowd(t, c)
		for i, n := range s.nodes[1:] {
			n.startAt = 0
			if x.at != nil {
				n.startAt = x.at[i]
			}
		}
		if got := s.bound().Seconds(); math.Abs(got-x.want) > 0.1 {
			t.Errorf("%s: %.2f s, not %.2f", x.crowd, got, x.want)
		}
	}
}

func TestOneSeedGivesOneCrowd(t *testing.T) {
	skipUnderRace(t)
	c, err := parseCrowd("40 2 512 10 spread=4 over=5s leave=0.5 churn=0.2 down=4")
	if err != nil {
		t.Fatal(err)
	}
	a, b := runCrowd(t, c), runCrowd(t, c)
	c.seed++
	if other := runCrowd(t, c); a != b || a == other {
		t.Errorf("same seed: %v and %v; another seed: %v", a, b, other)
	}
}
