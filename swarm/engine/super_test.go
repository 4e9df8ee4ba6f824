package engine

import (
	"testing"

	"seedbed/internal/bitset"
)

// BEP 16: a seed that is alone with many leechers sends little more than one copy before
// the swarm has it all, and less than one that shows everybody everything.
func TestBEP16SeedsLittleMoreThanOneCopy(t *testing.T) {
	var sum, took [2]float64
	if raceEnabled {
		t.Skip("one goroutine, and slow: there is nothing to race")
	}
	seeds := *seedsFlag
	for seed := range seeds {
		for k, off := range []bool{false, true} {
			s := newSim(t, simConfig{seed: seed, nodes: 25, seeds: 1, pieces: 240, uploads: 4, noSuper: off})
			s.elsewhere = bitset.New(240)
			s.run()
			sum[k] += s.firstCopy
			took[k] += s.lastDone.Seconds()
		}
	}
	t.Logf("everybody was complete after %.0f s, without super-seeding %.0f s", took[0]/float64(seeds), took[1]/float64(seeds))
	if took[0] > 1.1*took[1] {
		t.Error("super-seeding made it slower")
	}
	super, plain := sum[0]/float64(seeds), sum[1]/float64(seeds)
	t.Logf("the seed sent %.2f copies until all pieces were elsewhere, %.2f without super-seeding", super, plain)
	if super > 1.15 || super > plain {
		t.Errorf("%.2f copies, %.2f without super-seeding", super, plain)
	}
}

// passedOn notes that a leecher has a piece, and how much the first seed has sent when
// nothing is at seeds alone any more.
func (s *sim) passedOn(piece uint32) {
	if s.elsewhere.Len() > 0 && s.elsewhere.Add(int(piece)) && s.elsewhere.Full() {
		s.firstCopy = float64(s.nodes[0].e.Stats(s.now).Uploaded) / float64(s.info.Length)
	}
}
