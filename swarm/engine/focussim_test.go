package engine

import (
	"testing"
	"time"
)

// reading is the result of a simulation with a reader.
type reading struct {
	stalled time.Duration // how long the reader waited for data
	done    time.Duration // when the torrent was complete
	wasted  int64
}

// read simulates a torrent that is downloaded from two good peers, two slow ones, one that never sends
// and one that sends bad blocks. After 10 s a reader begins in the middle and takes 9 pieces a second,
// about half of what comes. With focused, the engine learns what it reads next.
func read(t *testing.T, seed uint64, reads, focused bool) (out reading) {
	const pieces, ahead, tick = 1200, 96, 100 * time.Millisecond
	s := newSim(t, simConfig{seed: seed, nodes: 7, seeds: 5, liars: 1, pieces: pieces, budget: 32, unlimited: true, private: true, sparse: true,
		shape: func(n *simNode) {
			n.rate = []float64{600 << 10, 600 << 10, 20 << 10, 20 << 10, 1, 600 << 10, 600 << 10}[n.name]
		}})
	n := s.nodes[6]
	at := float64(pieces / 2)
	var next func()
	next = func() {
		if int(at) >= pieces {
			if focused {
				n.step(&EvFocus{})
			}
			return
		}
		if n.have.Has(int(at)) {
			at += 9 * tick.Seconds()
		} else {
			out.stalled += tick
		}
		if focused {
			var list []uint32
			for p := int(at); p < min(int(at)+ahead, pieces); p++ {
				list = append(list, uint32(p))
			}
			n.step(&EvFocus{Pieces: list, Rest: true})
		}
		s.at(s.now.Add(tick), next)
	}
	if reads {
		s.at(s.now.Add(10*time.Second), next)
	}
	s.run()
	out.done, out.wasted = n.doneAt, n.e.Stats(s.now).Wasted
	return out
}

// A reader of a torrent that downloads everything seldom waits, although some peers are slow, mute or
// lie; without a focus it waits long. The rest is hardly later than without a reader.
func TestTheRestFollowsAReader(t *testing.T) {
	skipUnderRace(t)
	var with, without, alone reading
	for seed := range uint64(4) {
		for _, c := range []struct {
			to             *reading
			reads, focused bool
		}{{&with, true, true}, {&without, true, false}, {&alone, false, false}} {
			r := read(t, seed, c.reads, c.focused)
			c.to.stalled, c.to.done, c.to.wasted = c.to.stalled+r.stalled, c.to.done+r.done, c.to.wasted+r.wasted
		}
	}
	t.Logf("with a focus %+v, without %+v, without a reader %+v", with, without, alone)
	if with.stalled*10 > without.stalled {
		t.Errorf("the reader waits %v, and %v without a focus", with.stalled, without.stalled)
	}
	if with.done > alone.done*21/20 {
		t.Errorf("complete after %v; without a reader after %v", with.done, alone.done)
	}
	if with.wasted > 3*alone.wasted {
		t.Errorf("%d bytes were wasted; without a reader %d", with.wasted, alone.wasted)
	}
}
