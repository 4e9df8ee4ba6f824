package engine

import (
	"testing"
	"time"

	"seedbed/internal/bitset"
)

// A seed that is alone with many leechers sends little more than one copy before the
// swarm has everything: by super-seeding (BEP 16), or because it knows its upload limit
// and chooses which peer gets which piece.
func TestBEP16SeedsLittleMoreThanOneCopy(t *testing.T) {
	skipUnderRace(t)
	type result struct{ copies, took float64 }
	measure := func(mode SuperSeed, unlimited bool) (r result) {
		for seed := range *seedsFlag {
			s := newSim(t, simConfig{seed: seed, nodes: 25, seeds: 1, pieces: 240, uploads: 4, super: mode, unlimited: unlimited})
			s.elsewhere = bitset.New(240)
			s.run()
			r.copies += s.firstCopy / float64(*seedsFlag)
			r.took += s.lastDone.Seconds() / float64(*seedsFlag)
		}
		t.Logf("mode %d, unlimited %v: the seed sent %.2f copies until leechers had all pieces; all were complete after %.0f s",
			mode, unlimited, r.copies, r.took)
		return r
	}
	off, plain := measure(SuperOff, true), measure(SuperOff, false)
	for _, unlimited := range []bool{true, false} {
		on := measure(SuperOn, unlimited)
		if on.copies > 1.15 || on.copies > off.copies || on.took > 1.1*off.took {
			t.Errorf("super-seeding, unlimited %v: %+v; without: %+v", unlimited, on, off)
		}
	}
	if plain.copies > 1.2 || plain.took > off.took {
		t.Errorf("with an upload limit: %+v; without: %+v", plain, off)
	}
	// SuperAuto begins with the fourth leecher, and only without an upload limit. All
	// pieces were announced to the first three.
	if auto := measure(SuperAuto, true); auto.copies > 0.95*off.copies || auto.took > 1.1*off.took {
		t.Errorf("automatic super-seeding: %+v; without: %+v", auto, off)
	}
}

// Super-seeding makes no peer slower than ordinary seeding while upload capacity is idle,
// whatever the peer wants and whoever else is connected.
func TestSuperSeedingStarvesNobody(t *testing.T) {
	skipUnderRace(t)
	third := func(pieces int) bitset.Set {
		w := bitset.New(pieces)
		for i := pieces / 3; i < 2*pieces/3; i++ {
			w.Add(i)
		}
		return w
	}
	for name, c := range map[string]struct {
		cfg   simConfig
		shape func(n *simNode) // nodes 1 to 5 are the others; nodes from 6 on are timed
	}{
		"a selection with others": {simConfig{nodes: 8, pieces: 480}, func(n *simNode) {
			if n.name >= 6 {
				n.wanted = third(n.have.Len())
			}
		}},
		"a selection with slow peers": {simConfig{nodes: 8, pieces: 480}, func(n *simNode) {
			if n.name < 6 {
				n.down = 20 << 10
				return
			}
			n.wanted = third(n.have.Len())
		}},
		"everything with slow peers": {simConfig{nodes: 7, pieces: 240}, func(n *simNode) {
			if n.name < 6 {
				n.down = 20 << 10
			}
		}},
		"everything with idle players": {simConfig{nodes: 7, pieces: 240}, func(n *simNode) {
			n.idle = n.name < 6
		}},
		"a player with others": {simConfig{nodes: 7, pieces: 240}, func(n *simNode) {
			n.playing = n.name >= 6
		}},
		"a player with idle players": {simConfig{nodes: 7, pieces: 240}, func(n *simNode) {
			n.playing = n.name >= 6
			n.idle = n.name < 6
		}},
		"only the seed to connect to": {simConfig{nodes: 8, pieces: 180, star: true}, func(n *simNode) {}},
		"only a seed without the fast extension": {simConfig{nodes: 8, pieces: 180, star: true, plain: true}, func(n *simNode) {
			n.wanted = third(n.have.Len())
		}},
	} {
		t.Run(name, func(t *testing.T) {
			results := map[SuperSeed]time.Duration{}
			limited := map[SuperSeed]int{}
			for _, mode := range []SuperSeed{SuperOff, SuperAuto, SuperOn} {
				for seed := range 3 * *seedsFlag {
					cfg := c.cfg
					cfg.seed, cfg.seeds, cfg.super, cfg.uploads, cfg.unlimited = seed, 1, mode, 8, true
					cfg.shape = func(n *simNode) {
						if n.seed {
							n.rate = 400 << 10
							return
						}
						if n.name >= 6 {
							n.startAt = 5 * time.Second
						}
						c.shape(n)
					}
					timed := func(s *sim) []*simNode {
						if s.cfg.star { // what one peer loses another gains
							return s.nodes[1:]
						}
						return s.nodes[6:]
					}
					cfg.until = func(s *sim) bool {
						for _, p := range s.nodes[0].e.peers {
							if p.super.limited {
								limited[mode]++
							}
						}
						for _, n := range timed(s) {
							if !n.complete {
								return false
							}
						}
						return true
					}
					s := newSim(t, cfg)
					s.run()
					for _, n := range timed(s) {
						results[mode] += n.doneAt - n.startAt
					}
				}
			}
			t.Logf("plain %v, auto %v, on %v", results[SuperOff], results[SuperAuto], results[SuperOn])
			for _, mode := range []SuperSeed{SuperAuto, SuperOn} {
				if limited[mode] == 0 {
					t.Errorf("mode %d limited nobody", mode)
				}
				// SuperOn is allowed to cost a little, because it saves upload capacity
				// of the seed.
				if most := map[SuperSeed]time.Duration{SuperAuto: 105, SuperOn: 108}[mode]; results[mode] > results[SuperOff]*most/100 {
					t.Errorf("mode %d took %v, plain seeding %v", mode, results[mode], results[SuperOff])
				}
			}
		})
	}
}

// passedOn records that a leecher has a piece, and how much the first seed had sent when
// leechers had every piece.
func (s *sim) passedOn(piece uint32) {
	if s.elsewhere.Len() > 0 && s.elsewhere.Add(int(piece)) && s.elsewhere.Full() {
		s.firstCopy = float64(s.nodes[0].e.Stats(s.now).Uploaded) / float64(s.info.Length)
	}
}
