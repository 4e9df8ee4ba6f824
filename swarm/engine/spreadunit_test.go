package engine

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
)

// spreadWorld implements spreadFacts and counts its calls.
type spreadWorld struct {
	s       spread
	now     mono.Time
	peers   []*spreadPeer
	has     map[Conn]bitset.Set
	waiting map[Conn]map[uint32]bool // pieces that a peer awaits blocks of
	n       int
	joined  Conn
	asked   int
}

func newSpreadWorld(pieces int) *spreadWorld {
	w := &spreadWorld{now: 1, n: pieces, has: map[Conn]bitset.Set{}, waiting: map[Conn]map[uint32]bool{}}
	w.s = newSpread(pieces, w)
	return w
}

func (w *spreadWorld) nobodyHas(piece uint32) bool {
	w.asked++
	for _, p := range w.peers {
		if w.has[p.conn].Has(int(piece)) {
			return false
		}
	}
	return true
}

func (w *spreadWorld) awaits(conn Conn, piece uint32) bool {
	w.asked++
	return w.waiting[conn][piece]
}

func (w *spreadWorld) join(host uint32) *spreadPeer {
	w.joined++
	p := new(spreadPeer)
	w.s.join(w.joined, host, p)
	w.peers = append(w.peers, p)
	w.has[p.conn], w.waiting[p.conn] = bitset.New(w.n), map[uint32]bool{}
	return p
}

func (w *spreadWorld) leave(p *spreadPeer) {
	w.peers = slices.DeleteFunc(w.peers, func(q *spreadPeer) bool { return q == p })
	delete(w.has, p.conn)
	delete(w.waiting, p.conn)
	w.s.leave(p)
}

// have makes p announce a piece.
func (w *spreadWorld) have(p *spreadPeer, piece uint32) {
	w.has[p.conn].Add(int(piece))
	w.waiting[p.conn][piece] = false
	w.s.noteHave(w.now, p, piece)
}

// check recounts gifts and suggestions.
func (w *spreadWorld) check(t *rapid.T) {
	gifts, suggested := 0, 0
	for _, h := range w.s.hosts {
		for _, g := range h.gifts {
			if w.s.given[g.piece] != g || g.to.host != h {
				t.Fatalf("piece %d is a gift to host %d and to %+v", g.piece, h.id, w.s.given[g.piece])
			}
		}
		gifts += len(h.gifts)
	}
	for _, p := range w.peers {
		if p.suggested > 0 {
			if suggested++; !w.s.suggested.Has(p.suggested - 1) {
				t.Fatalf("piece %d is suggested to peer %d but not marked", p.suggested-1, p.conn)
			}
		}
	}
	if gifts != len(w.s.given) || suggested != w.s.suggested.Count() {
		t.Fatalf("%d gifts and %d suggestions are kept, not %d and %d", len(w.s.given), w.s.suggested.Count(), gifts, suggested)
	}
}

// Whatever peers do, a piece is a gift to at most one peer and suggested to at most one,
// only pieces that nobody has are suggested, and eventually each piece is suggested or
// given.
func TestSpreadStaysConsistent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 200).Draw(t, "pieces")
		w := newSpreadWorld(n)
		pick := func(t *rapid.T) *spreadPeer {
			if len(w.peers) == 0 {
				return w.join(1)
			}
			return w.peers[rapid.IntRange(0, len(w.peers)-1).Draw(t, "peer")]
		}
		piece := rapid.Uint32Range(0, uint32(n)-1)
		suggest := func(t *rapid.T, p *spreadPeer) (uint32, bool) {
			before := w.asked
			i, ok := w.s.suggest(p)
			if w.asked-before > maxSuggestScan+2 {
				t.Fatalf("one suggestion made %d calls", w.asked-before)
			}
			if !ok {
				return 0, false
			}
			if !w.nobodyHas(i) || w.s.given[i] != nil {
				t.Fatalf("piece %d was suggested although a leecher has it or is getting it", i)
			}
			for _, q := range w.peers {
				if q != p && q.suggested == int(i)+1 {
					t.Fatalf("piece %d is suggested to peers %d and %d", i, q.conn, p.conn)
				}
			}
			return i, true
		}
		t.Repeat(map[string]func(*rapid.T){
			"join":  func(t *rapid.T) { w.join(rapid.Uint32Range(1, 3).Draw(t, "host")) },
			"leave": func(t *rapid.T) { w.leave(pick(t)) },
			"suggest": func(t *rapid.T) {
				p := pick(t)
				if i, ok := suggest(t, p); ok && rapid.Bool().Draw(t, "requests") {
					w.waiting[p.conn][i] = true
				}
			},
			"sent": func(t *rapid.T) {
				p, i := pick(t), piece.Draw(t, "piece")
				w.waiting[p.conn][i] = rapid.Bool().Draw(t, "more")
				w.s.noteSent(w.now, p, i)
			},
			"have":  func(t *rapid.T) { w.have(pick(t), piece.Draw(t, "piece")) },
			"choke": func(t *rapid.T) { p := pick(t); clear(w.waiting[p.conn]); w.s.withdraw(p) },
			"urgency": func(t *rapid.T) {
				p, i := pick(t), piece.Draw(t, "piece")
				u, g := w.s.urgency(w.now, p, i), w.s.given[i]
				if fresh := g == nil && w.nobodyHas(i); fresh && u.class != urgentFresh || g == nil && !fresh && u.class != urgentCopied || u.cost < 0 || u.cost > 40 {
					t.Fatalf("piece %d has urgency %+v; missing: %v", i, u, w.nobodyHas(i))
				}
				if x := w.s.weight(w.now, p); x <= 0 || x > 10 {
					t.Fatalf("weight %v", x)
				}
			},
			"time": func(t *rapid.T) {
				w.now = w.now.Add(time.Duration(rapid.IntRange(1, 100_000).Draw(t, "ms")) * time.Millisecond)
			},
			"": func(t *rapid.T) { w.check(t) },
		})
		// If all others leave, a single peer that fetches every suggestion gets all
		// pieces.
		last := w.join(9)
		for _, p := range slices.Clone(w.peers) {
			if p != last {
				w.leave(p)
				w.check(t)
			}
		}
		for range 4*n + 4 {
			if i, ok := suggest(t, last); ok {
				w.s.noteSent(w.now, last, i)
				w.have(last, i)
			}
		}
		if got := w.has[last.conn].Count(); got != n {
			t.Fatalf("%d pieces of %d were suggested", got, n)
		}
	})
}

// A piece that only a departed leecher had is suggested again, although everything had
// been examined.
func TestSpreadSuggestsLostPieces(t *testing.T) {
	w := newSpreadWorld(10)
	a, b := w.join(1), w.join(2)
	for i := range uint32(10) {
		w.have(a, i)
	}
	for range 10 {
		if i, ok := w.s.suggest(b); ok {
			t.Fatalf("piece %d was suggested although a peer has it", i)
		}
	}
	w.leave(a)
	if _, ok := w.s.suggest(b); !ok {
		t.Error("no suggestion, although nobody has a piece")
	}
}

// When there is nothing to suggest, each piece is examined once, however often suggest is
// called.
func TestSpreadExaminesEachPieceOnce(t *testing.T) {
	const n = 5000
	w := newSpreadWorld(n)
	a, b := w.join(1), w.join(2)
	for i := range uint32(n) {
		w.have(a, i)
	}
	w.asked = 0
	for range 1000 {
		w.s.suggest(b)
	}
	if w.asked > n {
		t.Errorf("%d pieces of %d were examined", w.asked, n)
	}
}

// A gift is passed on when a peer on another host has it. The sooner that happens, the
// better its receiver ranks. Claims of the receiver itself or of its host do not count.
func TestSpreadRanksByGiftsPassedOn(t *testing.T) {
	w := newSpreadWorld(1000)
	quick, slow, liar, accomplice, other := w.join(1), w.join(2), w.join(3), w.join(3), w.join(4)
	next := uint32(0)
	give := func(p *spreadPeer) uint32 {
		next++
		w.s.noteSent(w.now, p, next)
		w.have(p, next)
		return next
	}
	for range 20 {
		a, b, c := give(quick), give(slow), give(liar)
		w.have(accomplice, c)
		w.now = w.now.Add(300 * time.Millisecond)
		w.have(other, a)
		w.now = w.now.Add(9 * time.Second)
		w.have(other, b)
	}
	if len(quick.host.gifts) != 0 || len(slow.host.gifts) != 0 || len(liar.host.gifts) != 20 {
		t.Errorf("%d, %d and %d gifts are pending, not 0, 0 and 20", len(quick.host.gifts), len(slow.host.gifts), len(liar.host.gifts))
	}
	rank := func(p *spreadPeer) urgency { return w.s.urgency(w.now, p, 999) }
	if !rank(quick).isBefore(rank(slow)) || !rank(slow).isBefore(rank(liar)) {
		t.Errorf("urgency of the quick peer %+v, the slow one %+v, the liar %+v", rank(quick), rank(slow), rank(liar))
	}
	x, y, z := w.s.weight(w.now, quick), w.s.weight(w.now, slow), w.s.weight(w.now, liar)
	if x < 4*y || y < 2*z {
		t.Errorf("weight of the quick peer %v, the slow one %v, the liar %v", x, y, z)
	}
}

// A piece on its way to one peer is the least urgent for others. It becomes fresh again,
// and a gift to another peer, if the first one gives it up or does not pass it on.
func TestSpreadMovesGifts(t *testing.T) {
	for _, c := range []struct {
		name     string
		receives bool
		awaits   bool
		after    time.Duration
		moves    bool
	}{
		{"on its way", false, true, time.Minute, false},
		{"given up just now", false, false, giftTime / 2, false},
		{"given up", false, false, giftTime + 1, true},
		{"received just now", true, false, hoardTime / 2, false},
		{"hoarded", true, false, hoardTime + 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newSpreadWorld(10)
			a, b := w.join(1), w.join(2)
			w.s.noteSent(w.now, a, 5)
			w.waiting[a.conn][5] = c.awaits
			if c.receives {
				w.have(a, 5)
			}
			w.now = w.now.Add(c.after)
			u := w.s.urgency(w.now, b, 5)
			w.s.noteSent(w.now, b, 5)
			if moved := len(b.host.gifts) == 1; moved != c.moves || (u.class == urgentFresh) != c.moves || len(a.host.gifts) == len(b.host.gifts) {
				t.Errorf("urgency for another peer %+v; gifts: %d and %d", u, len(a.host.gifts), len(b.host.gifts))
			}
			if c.moves && a.host.lag < c.after {
				t.Errorf("the lag of the peer that kept it is %v", a.host.lag)
			}
		})
	}
}

// A peer that requests a little of every piece cannot make us remember all of them.
func TestSpreadLimitsGifts(t *testing.T) {
	w := newSpreadWorld(4 * maxGifts)
	p := w.join(1)
	for i := range 4 * maxGifts {
		w.s.noteSent(w.now, p, uint32(i))
	}
	if n := len(p.host.gifts); n != maxGifts || len(w.s.given) != n {
		t.Errorf("%d gifts and %d pieces are remembered, not %d", n, len(w.s.given), maxGifts)
	}
	w.leave(p)
	if len(w.s.given) != 0 {
		t.Errorf("%d pieces of a departed peer are remembered", len(w.s.given))
	}
}
