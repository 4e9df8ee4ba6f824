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
	r.step(&EvClosed{Conn: 1})
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
	for range 600 {
		r.wait(2 * time.Second)
		for _, p := range r.e.peers {
			p.lastIn = r.now
			if !p.up.choking {
				served[p.conn] += 2 * time.Second
				p.up.sent += 2 << 20
				p.up.took, p.up.tookAt = p.up.took+2<<20, r.now
			}
		}
	}
	for c := range Conn(12) {
		if s := served[c+1]; s < 4*time.Minute || s > 6*time.Minute {
			t.Errorf("peer %d was served for %v of 20 minutes, not 5", c+1, s)
		}
	}
}

// Who takes nothing loses its slot to those who wait, for longer each time.
func TestAStalledPeerLosesItsSlot(t *testing.T) {
	r := seeding(t, Config{Uploads: 1}, 1000)
	for range 3 {
		r.leecher(true)
	}
	held := map[Conn]int{}
	for range 600 {
		r.wait(time.Second)
		for _, p := range r.e.peers {
			p.lastIn = r.now
			if p.up.choking {
				continue
			}
			held[p.conn]++
			if p.conn == 3 { // the others take nothing
				p.up.sent += 1 << 20
				p.up.took, p.up.tookAt = p.up.took+1<<20, r.now
			}
		}
	}
	if held[3] < 560 || held[1] == 0 || held[1] > 300 {
		t.Errorf("slots were held for %v of 600 seconds", held)
	}
}

// A crowd of peers that take nothing gets a little of what goes out.
func TestInACrowdThoseWhoTookSomethingGoFirst(t *testing.T) {
	r := seeding(t, Config{Uploads: 3}, 1000)
	for range 20 {
		r.leecher(true)
	}
	good := r.leecher(true)
	for range 120 {
		r.wait(time.Second)
		for _, p := range r.e.peers {
			p.lastIn = r.now
		}
		if p := r.e.conns[good]; !p.up.choking {
			p.up.sent += 1 << 20
			p.up.took, p.up.tookAt = p.up.took+1<<20, r.now
		}
	}
	if p := r.e.conns[good]; p.up.choking || !p.up.proven() || !r.e.crowd.on {
		t.Fatalf("choking %v, proven %v, crowd %v", p.up.choking, p.up.proven(), r.e.crowd.on)
	}
	went := 0
	for i := range 100 {
		if p := r.e.conns[1]; r.e.worth(p, Block{Length: blockSize}) {
			went += blockSize
		}
		if i%10 == 0 {
			r.now = r.now.Add(time.Second)
			r.e.begin(r.now)
		}
	}
	if most := trialBurst + 11*minTrial; went == 0 || went > most {
		t.Errorf("%d bytes for one that took nothing, of at most %d", went, most)
	}
}

// Messages without sense cost whoever sends many of them; requests that cross a
// choke do not.
func TestAFloodOfNonsenseIsBanned(t *testing.T) {
	r := seeding(t, Config{}, 20)
	honest, bad := r.leecher(true), r.leecher(true)
	for i := range 2 * noiseBurst {
		if i < 2048 {
			r.msg(honest, wire.Msg{Type: wire.Request, Index: 1, Begin: uint32(i%4) << 14, Length: 1 << 14})
		}
		r.msg(bad, wire.Msg{Type: wire.KeepAlive})
	}
	if r.e.conns[honest].closing {
		t.Error("two queues of requests are taken for a flood")
	}
	if p := r.e.conns[bad]; !p.closing || !r.e.book.isBanned(r.now, p.addr) {
		t.Error("a flood of keepalives goes on")
	}
}
