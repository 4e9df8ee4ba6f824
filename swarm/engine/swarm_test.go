package engine

import (
	"testing"
)

func TestOneSeedOneLeecher(t *testing.T) {
	for seed := range uint64(20) {
		s := newSim(t, simConfig{seed: seed, nodes: 2, seeds: 1, pieces: 40, magnet: seed%2 == 0, plain: seed%3 == 0})
		s.run()
	}
}
