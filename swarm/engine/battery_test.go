package engine

import (
	"os"
	"testing"
	"time"
)

// soak reports whether the long versions of the batteries run, as with make soak.
func soak() bool { return os.Getenv("SEEDBED_SOAK") != "" }

// Six of twenty nodes send bad blocks. Every swarm completes; every node that received a
// bad block bans its sender, and no honest node is banned.
func TestBatteryLiars(t *testing.T) {
	skipUnderRace(t)
	seeds := uint64(10)
	if soak() {
		seeds = 100
	}
	var liars, bans int
	for seed := range seeds {
		s := newSim(t, simConfig{seed: seed, nodes: 20, seeds: 3, liars: 6, pieces: 60, pieceLen: 128 << 10, chunk: 64 << 10, magnet: true, limit: time.Hour})
		s.run()
		banned := map[int]bool{}
		for _, n := range s.nodes {
			for _, b := range n.banned {
				bans++
				for _, o := range s.nodes {
					if o.addr.Addr() == b.Addr() {
						banned[o.name] = true
						if !o.liar {
							t.Errorf("seed %d: node %d banned the honest node %d", seed, n.name, o.name)
						}
					}
				}
			}
		}
		for _, n := range s.nodes {
			if n.liar {
				liars++
				if !banned[n.name] {
					t.Errorf("seed %d: nobody banned the liar %d", seed, n.name)
				}
			}
		}
	}
	t.Logf("battery: %d swarms of 20 complete with 6 liars in each: all %d liars were banned, %d times, and no honest peer", seeds, liars, bans)
}

// In downloads from many seeds of different speed, at most 2 % is fetched twice at the
// end.
func TestBatteryEndgame(t *testing.T) {
	skipUnderRace(t)
	seeds := uint64(10)
	if soak() {
		seeds = 100
	}
	var wasted, size int64
	worst := 0.0
	for seed := range seeds {
		s := newSim(t, simConfig{seed: seed, nodes: 9, seeds: 8, pieces: 256, pieceLen: 256 << 10, chunk: 256 << 10, limit: time.Hour})
		s.run()
		for _, n := range s.nodes {
			if n.seed {
				continue
			}
			st := n.e.Stats(s.now)
			wasted += st.Wasted
			size += st.Size
			worst = max(worst, float64(st.Wasted)/float64(st.Size))
		}
	}
	share := float64(wasted) / float64(size)
	if share > 0.02 || worst > 0.02 {
		t.Errorf("%.2f %% was fetched twice, %.2f %% in the worst run", 100*share, 100*worst)
	}
	t.Logf("battery: %d downloads of 64 MiB from 8 seeds of different speed: %.2f %% fetched twice, %.2f %% in the worst", seeds, 100*share, 100*worst)
}
