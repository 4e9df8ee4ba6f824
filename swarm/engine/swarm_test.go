package engine

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"seedbed/internal/mono"
)

var seedsFlag = flag.Uint64("seeds", defaultSeeds, "number of random seeds for each swarm")

// Every swarm here must become complete whatever happens to it, with the invariants of
// sim_test.go checked at every step.
func TestSwarmsComplete(t *testing.T) {
	for name, cfg := range map[string]simConfig{
		"one seed, one leecher":           {nodes: 2, seeds: 1, pieces: 40},
		"one seed, one leecher, magnet":   {nodes: 2, seeds: 1, pieces: 40, magnet: true},
		"without the fast extension":      {nodes: 6, seeds: 1, pieces: 40, magnet: true, plain: true},
		"ten from one seed":               {nodes: 10, seeds: 1, pieces: 60, magnet: true, uploads: 2},
		"one slot of memory":              {nodes: 8, seeds: 2, pieces: 30, budget: 1, dropEvery: 2 * time.Second},
		"one slot, pieces of four chunks": {nodes: 6, seeds: 1, pieces: 12, pieceLen: 256 << 10, budget: 1, dropEvery: 2 * time.Second},
		"pieces of four chunks":           {nodes: 10, seeds: 1, pieces: 12, pieceLen: 256 << 10, magnet: true, dropEvery: time.Second},
		"links break":                     {nodes: 12, seeds: 1, pieces: 40, magnet: true, dropEvery: 300 * time.Millisecond},
		"disks fail":                      {nodes: 6, seeds: 1, pieces: 40, pieceLen: 128 << 10, diskFails: 700 * time.Millisecond},
		"one piece":                       {nodes: 5, seeds: 1, pieces: 1, magnet: true},
		"blocks that do not fill":         {nodes: 4, seeds: 1, pieces: 20, pieceLen: 32 << 10, magnet: true},
		"private":                         {nodes: 6, seeds: 1, pieces: 20, magnet: true, private: true},
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range *seedsFlag {
				cfg.seed = seed
				newSim(t, cfg).run()
			}
		})
	}
}

// Fifty nodes, a fifth of which disconnect and return.
func TestFiftyWithChurnAlwaysComplete(t *testing.T) {
	skipUnderRace(t)
	for seed := range *seedsFlag {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			newSim(t, simConfig{seed: seed, nodes: 50, seeds: 2, pieces: 30, churn: 0.2, magnet: true, dropEvery: time.Second}).run()
		})
	}
}

func TestOneSeedGivesOneTranscript(t *testing.T) {
	cfg := simConfig{seed: 7, nodes: 12, seeds: 1, liars: 1, pieces: 30, churn: 0.2, magnet: true, dropEvery: time.Second}
	a, b := newSim(t, cfg).run(), newSim(t, cfg).run()
	cfg.seed++
	if c := newSim(t, cfg).run(); a != b || a == c {
		t.Errorf("transcripts %x and %x of one seed, %x of another", a, b, c)
	}
}

// A peer that sends bad blocks is banned by all that received them; nobody else is
// banned.
func TestLiarsAreBannedAndBystandersAreNot(t *testing.T) {
	bans := 0
	for seed := range *seedsFlag {
		s := newSim(t, simConfig{seed: seed, nodes: 10, seeds: 2, liars: 2, pieces: 40, pieceLen: 128 << 10, chunk: 64 << 10, magnet: true})
		s.run()
		for _, n := range s.nodes {
			for _, b := range n.banned {
				bans++
				for _, o := range s.nodes {
					if o.addr.Addr() == b.Addr() && !o.liar {
						t.Errorf("seed %d: node %d banned the honest node %d", seed, n.name, o.name)
					}
				}
			}
		}
	}
	if bans == 0 {
		t.Error("nobody was banned")
	}
}

// anyOrder returns a random order.
func anyOrder(rng *rand.Rand, pieces int) (o Order) {
	return Order{Files: []Priority{Priority(rng.IntN(4) - 1)}, FirstLast: rng.IntN(2) == 0, Sequential: rng.IntN(2) == 0, From: uint32(rng.IntN(pieces + 2))}
}

// Any combination of conditions.
func TestAnySwarmCompletes(t *testing.T) {
	for seed := range 8 * *seedsFlag {
		rng := rand.New(rand.NewPCG(seed, 42))
		one := func(n int) bool { return rng.IntN(n) == 0 }
		cfg := simConfig{
			seed: seed, nodes: 2 + rng.IntN(14), seeds: 1 + rng.IntN(2), pieces: 1 + rng.IntN(40),
			pieceLen: 16 << 10 << rng.IntN(5), budget: 1 + rng.IntN(10), uploads: 1 + rng.IntN(4),
			magnet: one(2), plain: one(3), private: one(5),
		}
		if cfg.nodes > cfg.seeds+4 {
			cfg.liars = rng.IntN(3)
		}
		if one(2) {
			cfg.dropEvery = time.Duration(200+rng.IntN(3000)) * time.Millisecond
		}
		if one(2) {
			cfg.churn = rng.Float64() / 2
		}
		if one(4) && cfg.liars == 0 {
			cfg.diskFails = time.Duration(500+rng.IntN(2000)) * time.Millisecond
		}
		if one(3) { // in an order of their own, which changes
			cfg.shape = func(n *simNode) { n.fetch = anyOrder(rng, cfg.pieces) }
		}
		s := newSim(t, cfg)
		for range 10 * rng.IntN(2) {
			n, o := s.nodes[rng.IntN(len(s.nodes))], anyOrder(rng, cfg.pieces)
			s.at(mono.Time(rng.Int64N(int64(time.Minute))), func() {
				if n.fetch = o; n.up {
					n.step(&EvOrder{o})
				}
			})
		}
		s.run()
		if t.Failed() {
			t.Fatalf("%+v", cfg)
		}
	}
}
