package swarm

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"seedbed/internal/simnet"
	"seedbed/swarm/engine"
)

// crowd is a flash crowd of complete torrents: one seed, and leechers that know one
// another and start at once. All have the same upload limit; free riders use a tenth of
// it. It shows that the results of the simulation in swarm/engine hold for the shell too.
type crowd struct {
	leechers, free int
	size, rate     int64
}

// crowdResult holds completion times of the leechers divided by the fluid bound, which no
// schedule can beat: one copy at the seed's rate, or all copies at the total rate.
type crowdResult struct {
	first, median, last float64
	favour              float64 // contributors' median divided by the free riders'; 1 without any
	copies              float64 // copies that the seed had sent when the first leecher was complete
}

func (r crowdResult) String() string {
	return fmt.Sprintf("first %.2f, median %.2f and last %.2f times the bound; contributors/free riders %.2f; %.2f copies until the first",
		r.first, r.median, r.last, r.favour, r.copies)
}

func runCrowd(t *testing.T, c crowd) (r crowdResult) {
	info, full := makeContent(t, c.size, 256<<10)
	sim(t, func(t *testing.T, _ *simnet.Net) {
		n := simnet.New(1, simnet.Link{Delay: 20 * time.Millisecond})
		var seed *node
		var sent atomic.Int64 // sent by the seed when the first leecher was complete
		join := func(num int, have *memStorage, rate int64) *node {
			return startNode(t, n, num, info, have, rates(rate, 0), func(cfg *Config, sc *SharedConfig) {
				// The same as node's defaults.
				cfg.Info, cfg.Hints = info, true
				cfg.Uploads, cfg.HalfOpen, cfg.MaxConns = 8, 64, 500
				sc.Memory, sc.ChunkSize = 24<<20, 1<<20
				cfg.Budget = int(sc.Memory / info.PieceLength)
				note := cfg.OnEvent
				cfg.OnEvent = func(ev Event) {
					note(ev)
					if ev.Kind == Complete && num > 1 && sent.Load() == 0 {
						sent.Store(seed.Snapshot().Uploaded)
					}
				}
			})
		}
		seed = join(1, full, c.rate)
		defer seed.close()
		nodes := []*node{seed}
		sum := c.rate
		for i := range c.leechers {
			rate := c.rate
			if i < c.free {
				rate /= 10
			}
			sum += rate
			nd := join(2+i, nil, rate)
			defer nd.close()
			var others []engine.Candidate
			for _, o := range nodes {
				others = append(others, engine.Candidate{Addr: o.addr, Source: engine.FromHint})
			}
			nd.AddCandidates(others)
			nodes = append(nodes, nd)
		}
		start := time.Now()
		bound := max(float64(c.size)/float64(c.rate), float64(c.leechers)*float64(c.size)/float64(sum))
		var free, contributors []float64
		for i, nd := range nodes[1:] {
			took := nd.await(Complete, time.Hour).Sub(start).Seconds() / bound
			nd.checkContent(full)
			if i < c.free {
				free = append(free, took)
			} else {
				contributors = append(contributors, took)
			}
		}
		median := func(list []float64) float64 {
			slices.Sort(list)
			return list[len(list)/2]
		}
		all := slices.Concat(free, contributors)
		r.median = median(all)
		r.first, r.last = all[0], all[len(all)-1]
		r.favour = 1
		if c.free > 0 {
			r.favour = median(contributors) / median(free)
		}
		r.copies = float64(sent.Load()) / float64(c.size)
	})
	return r
}

func TestCrowds(t *testing.T) {
	for _, x := range []struct {
		name string
		crowd
		last, favour, copies float64 // upper limits
	}{
		{"equal", crowd{leechers: 16, size: 16 << 20, rate: 512 << 10}, 1.2, 1, 1.2},
		{"free riders", crowd{leechers: 16, free: 8, size: 16 << 20, rate: 512 << 10}, 1.2, 0.9, 1.45},
	} {
		t.Run(x.name, func(t *testing.T) {
			if raceEnabled {
				x.size /= 8
			}
			r := runCrowd(t, x.crowd)
			t.Log(r)
			if raceEnabled {
				return // too small to measure
			}
			if r.last < 1 || r.last > x.last {
				t.Errorf("the last was complete after %.2f times the fluid bound, not 1 to %v times", r.last, x.last)
			}
			if r.favour > x.favour || r.copies > x.copies {
				t.Errorf("the ratio of medians must be at most %v, the copies at most %v", x.favour, x.copies)
			}
		})
	}
}
