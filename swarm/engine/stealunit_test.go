package engine

import (
	"slices"
	"testing"
	"time"

	"seedbed/internal/bitset"
)

// stealWorld returns a requester with two peers that have everything and have delivered
// at these rates for a while. All blocks are requested from the first; the second has
// nothing to do.
func stealWorld(t *testing.T, slow, fast int) (w *requestWorld, p, q *requestPeer) {
	w = newRequestWorld(t, testInfo(t, 2, 256<<10, 256<<10, false), 256<<10, 8)
	q = w.join(250, full(2))
	w.r.noteUnchoke(q)
	w.r.refillAll()
	p = w.join(250, bitset.New(2))
	w.r.noteUnchoke(p)
	for _, x := range []struct {
		p    *requestPeer
		rate int
	}{{q, slow}, {p, fast}} {
		x.p.rate.Add(w.r.now, 1)
		x.p.noteBlock(w.r.now, w.r.now)
		x.p.firstAt = w.r.now.Add(-2 * steadyTime)
		x.p.steady.Add(w.r.now, steadyTime, float64(x.rate)*steadyTime.Seconds())
		w.r.updateWeak(x.p)
	}
	more := full(2)
	w.r.addPieces(p, more, 2)
	w.r.updateInterest(p)
	for k := w.r.nextChunk(q); k != nil; k = w.r.nextChunk(q) {
		w.r.requestFrom(q, k, 1000)
	}
	if len(w.orders) != 32 || q.out() != 32 {
		t.Fatalf("%d blocks are requested, %d from the slow peer", len(w.orders), q.out())
	}
	w.r.begin(w.r.now.Add(stealAge + time.Millisecond))
	return w, p, q
}

// Blocks move to a peer that is ten times as fast: the newest first, never the oldest,
// each once, and no more than the limit.
func TestStealMovesTheNewestBlocksOfASlowPeer(t *testing.T) {
	for _, limit := range []int{1, 5, 100} {
		w, p, q := stealWorld(t, 20<<10, 200<<10)
		before := slices.Clone(w.orders)
		if !w.r.steal(p, limit) {
			t.Fatal("nothing was moved")
		}
		w.check()
		n := p.out()
		if n == 0 || n > limit || q.out() != 32-n || q.outstanding.oldest == nil || q.cancelled.recent != n {
			t.Fatalf("of 32 blocks %d moved (limit %d), %d remain, %d were cancelled", n, limit, q.out(), q.cancelled.recent)
		}
		if limit > 5 && (n < 5 || n > 31) {
			t.Errorf("%d blocks were moved", n)
		}
		for i, o := range w.orders {
			want := before[i]
			if i >= 32-n {
				want = before[31-(i-(32-n))]
				want.conn = p.conn
			}
			if o != want {
				t.Fatalf("order %d is %+v, not %+v", i, o, want)
			}
		}
	}
}

// A block does not move if it was requested just now, to a peer that chokes us, lacks the
// piece or owes us blocks, without a free slot, or from a peer that delivers soon.
func TestStealLeavesBlocks(t *testing.T) {
	for _, c := range []struct {
		name       string
		slow, fast int
		prepare    func(w *requestWorld, p *requestPeer)
	}{
		{"a quick peer", 1 << 20, 10 << 20, func(*requestWorld, *requestPeer) {}},
		{"fresh requests", 20 << 10, 200 << 10, func(w *requestWorld, _ *requestPeer) { w.r.begin(w.r.now.Add(-time.Millisecond)) }},
		{"a choke", 20 << 10, 200 << 10, func(w *requestWorld, p *requestPeer) { w.r.noteChoke(p) }},
		{"no piece", 20 << 10, 200 << 10, func(w *requestWorld, p *requestPeer) { w.r.removePiece(p, 0); w.r.removePiece(p, 1) }},
		{"a doubtful peer", 20 << 10, 200 << 10, func(_ *requestWorld, p *requestPeer) { p.snubbed = true }},
		{"no memory", 20 << 10, 200 << 10, func(w *requestWorld, _ *requestPeer) { w.setBudget(2) }},
		{"parole", 20 << 10, 200 << 10, func(w *requestWorld, p *requestPeer) {
			for _, pc := range w.r.pieces.opened {
				pc.parole = true
				w.named[[2]uint32{p.origin, pc.index}], w.resting[[2]uint32{p.origin, pc.index}] = true, true
			}
		}},
		{"two copies", 20 << 10, 200 << 10, func(w *requestWorld, p *requestPeer) {
			other := w.join(250, full(2))
			w.r.noteUnchoke(other)
			for _, pc := range w.r.pieces.opened {
				for b := range pc.block {
					w.r.grant(other, pc.chunkOf(uint32(b)), uint32(b))
				}
			}
			w.r.begin(w.r.now.Add(stealAge + 1))
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, p, _ := stealWorld(t, c.slow, c.fast)
			c.prepare(w, p)
			if n := p.out(); w.r.steal(p, 100) || p.out() != n {
				t.Errorf("%d blocks were moved", p.out())
			}
		})
	}
}

// Of two equal peers, an idle one gets part of the other's requests, and nothing moves
// back.
func TestStealMovesNothingBack(t *testing.T) {
	w, p, q := stealWorld(t, 50<<10, 50<<10)
	if !w.r.steal(p, 100) || p.out() >= q.out() {
		t.Fatalf("%d blocks moved, %d remain", p.out(), q.out())
	}
	for range 5 {
		w.r.begin(w.r.now.Add(stealAge + time.Millisecond))
		for _, x := range []*requestPeer{p, q} {
			x.steady.Add(w.r.now, steadyTime, float64(50<<10)*(stealAge+time.Millisecond).Seconds())
			if moved := w.r.steal(x, 100); x == q && moved || p.out() > q.out() {
				t.Fatalf("blocks moved back, or too many: %d and %d outstanding", p.out(), q.out())
			}
		}
		w.check()
	}
}
