package engine

import (
	"slices"
	"testing"
	"time"

	"seedbed/swarm/wire"
)

func TestTheFirstInterestedAreUnchokedAtOnce(t *testing.T) {
	r := seeding(t, Config{Uploads: 3}, 20)
	for i := range 6 {
		c := r.leecher(true)
		if got := slices.Contains(typesOf(sent(t, r.drain(), c)), wire.Unchoke); got != (i < 4) {
			t.Errorf("interested peer %d: unchoked %v", i, got)
		}
	}
	// One that goes makes room for the next.
	r.step(&Event{Kind: EvClosed, Conn: 1})
	if !slices.Contains(typesOf(sent(t, r.drain(), 5)), wire.Unchoke) {
		t.Error("the free slot is not given")
	}
}

func TestALeecherServesThoseWhoGiveMost(t *testing.T) {
	r := newRig(t, Config{Uploads: 2}, 1000, 64<<10)
	for i := range 8 {
		c := r.leecher(true)
		r.e.conns[c].down.rate.Add(r.now, 1)
		_ = i
	}
	optimistic := map[Conn]bool{}
	for range 60 {
		for i := range 8 {
			r.e.conns[Conn(i+1)].down.rate.Add(r.now, (i+1)*100_000)
		}
		r.wait(10 * time.Second)
		for i := range 8 {
			p := r.e.conns[Conn(i+1)]
			p.lastIn = r.now
			if i >= 6 && p.up.choking {
				t.Fatalf("at %v peer %d, among the best two, is choked", time.Duration(r.now), i)
			}
			if i < 6 && !p.up.choking {
				optimistic[p.conn] = true
			}
		}
		if r.e.unchoked() != 3 {
			t.Fatalf("%d are unchoked", r.e.unchoked())
		}
	}
	if len(optimistic) < 5 {
		t.Error("the optimistic unchoke went to", optimistic)
	}
}

func TestASeedServesAllInTurns(t *testing.T) {
	r := seeding(t, Config{Uploads: 2}, 1000)
	for range 12 {
		r.leecher(true)
	}
	served := map[Conn]time.Duration{}
	for range 240 {
		r.wait(5 * time.Second)
		for _, p := range r.e.peers {
			p.lastIn = r.now
			if !p.up.choking {
				served[p.conn] += 5 * time.Second
				p.up.sent += 5 << 20
			}
		}
	}
	for c := range Conn(12) {
		if s := served[c+1]; s < 4*time.Minute || s > 6*time.Minute {
			t.Errorf("peer %d was served for %v of 20 minutes, not 5", c+1, s)
		}
	}
}
