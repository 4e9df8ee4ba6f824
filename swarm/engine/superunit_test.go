package engine

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

// swarmView is a rarity that counts its calls.
type swarmView struct {
	held  bitset.Set
	asked int
}

func (v *swarmView) nobodyHas(piece uint32) bool {
	v.asked++
	return !v.held.Has(int(piece))
}

// Whatever peers do, no offered piece is at a leecher or on its way to another peer, no
// piece is offered twice to one peer, and a piece that becomes free is eventually offered
// again.
func TestSuperSeederOffersWhatTheSwarmLacks(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(5, 90).Draw(t, "pieces")
		view := &swarmView{held: bitset.New(n)}
		s := newSuperSeeder(n, 16<<10, view)
		now := mono.Time(1)
		peers := make([]superPeer, 3)
		offered := make([]map[uint32]bool, len(peers)) // but neither requested nor received by that peer
		unasked := bitset.New(n)                       // pieces requested although they were not offered
		forget := func(k int) {
			peers[k], offered[k] = superPeer{}, map[uint32]bool{}
			s.limit(now, &peers[k])
		}
		for k := range peers {
			forget(k)
		}
		whom := rapid.IntRange(0, len(peers)-1)
		piece := rapid.IntRange(0, n-1)
		t.Repeat(map[string]func(*rapid.T){
			"turn": func(t *rapid.T) {
				k := whom.Draw(t, "peer")
				now = now.Add(time.Millisecond)
				offers, all := s.turn(now, &peers[k], superFacts{interested: true, unchoked: true, busy: true})
				if all {
					t.Fatal("everything was announced to a busy peer")
				}
				for _, i := range offers {
					if view.held.Has(int(i)) {
						t.Fatalf("piece %d was offered although a leecher has it", i)
					}
					for j := range peers {
						if offered[j][i] && !unasked.Has(int(i)) {
							t.Fatalf("piece %d was offered to peer %d, but is offered to %d", i, k, j)
						}
					}
					offered[k][i] = true
				}
			},
			"request": func(t *rapid.T) {
				k, i := whom.Draw(t, "peer"), piece.Draw(t, "piece")
				if !offered[k][uint32(i)] {
					unasked.Add(i)
				}
				s.noteRequest(&peers[k], uint32(i))
			},
			"have": func(t *rapid.T) {
				k, i := whom.Draw(t, "peer"), piece.Draw(t, "piece")
				view.held.Add(i)
				s.noteRequest(&peers[k], uint32(i))
				for j := range peers {
					delete(offered[j], uint32(i))
				}
			},
			"choke": func(t *rapid.T) {
				k := whom.Draw(t, "peer")
				for i := range offered[k] {
					if !peers[k].asked.Has(int(i)) {
						delete(offered[k], i)
					}
				}
				s.noteChoke(&peers[k])
			},
			"go": func(t *rapid.T) {
				k := whom.Draw(t, "peer")
				s.release(&peers[k], true)
				forget(k)
			},
			"": func(t *rapid.T) {
				for k := range peers {
					p := &peers[k]
					if got := p.shown.Count() - p.asked.Count(); got != p.unasked || p.asked.AnyNotIn(p.shown) {
						t.Fatalf("peer %d: %d offered pieces are unrequested, not %d", k, got, p.unasked)
					}
				}
				if s.requeued.Len() > n || s.limited != len(peers) {
					t.Fatalf("%d requeued pieces, %d limited peers", s.requeued.Len(), s.limited)
				}
			},
		})
		// A peer that takes everything is offered all missing pieces.
		for k := 1; k < len(peers); k++ {
			s.release(&peers[k], true)
		}
		for range 4 * n {
			s.turn(now, &peers[0], superFacts{interested: true, unchoked: true, busy: true})
			for i := range peers[0].shown.All() {
				s.noteRequest(&peers[0], uint32(i))
			}
		}
		for i := range n {
			if !view.held.Has(i) && !peers[0].shown.Has(i) {
				t.Fatalf("missing piece %d was not offered", i)
			}
		}
	})
}

// A turn costs as much as it offers, however many pieces the torrent has: no piece is
// examined again and again.
func TestSuperSeederTurnsCostWhatTheyOffer(t *testing.T) {
	const n = superMaxPieces
	view := &swarmView{held: full(n)} // the swarm lacks almost nothing, so each turn searches everything and finds nothing
	view.held.Remove(n - 1)
	s := newSuperSeeder(n, 16<<10, view)
	peers := make([]superPeer, 50)
	for k := range peers {
		s.limit(1, &peers[k])
	}
	const turns = 1000
	for i := range turns {
		for k := range peers {
			s.turn(mono.Time(i+2), &peers[k], superFacts{interested: true, unchoked: true, busy: true, rate: 1 << 30})
		}
	}
	if most := n + 2*turns*len(peers)/10; view.asked > most {
		t.Errorf("%d pieces were examined in %d turns, more than %d", view.asked, turns*len(peers), most)
	}
}

func TestSuperSeedingNeedsConnectedLeechers(t *testing.T) {
	firstOf := func(r *rig, c Conn) wire.Type {
		ms := sent(t, r.drain(), c)
		if len(ms) == 0 {
			t.Fatal("nothing was sent")
		}
		return ms[0].Type
	}
	const pieces = 100
	for _, c := range []struct {
		name     string
		cfg      Config
		prepare  func(r *rig)
		superNow bool
	}{
		{"alone", Config{}, func(r *rig) {}, false},
		{"with addresses", Config{}, func(r *rig) {
			var list []Candidate
			for i := range 200 {
				list = append(list, Candidate{Addr: addrOf(1000 + i), Source: FromHint})
			}
			r.step(&EvCandidates{Candidates: list})
		}, false},
		{"with peers that want nothing", Config{}, func(r *rig) {
			for range 5 {
				r.connect(true)
			}
			r.wait(3 * time.Second)
		}, false},
		{"with two leechers", Config{}, func(r *rig) { r.leecher(true); r.leecher(true) }, false},
		{"with three leechers", Config{}, func(r *rig) { r.leecher(true); r.leecher(true); r.leecher(true) }, true},
		{"with three leechers and a seed", Config{}, func(r *rig) {
			r.leecher(true)
			r.leecher(true)
			r.leecher(true)
			c := r.connect(true)
			r.e.content.complete = false // otherwise the seed would be closed as useless
			r.msg(c, wire.Msg{Type: wire.HaveAll})
			r.e.content.complete = true
		}, false},
		{"switched off", Config{SuperSeed: SuperOff}, func(r *rig) { r.leecher(true); r.leecher(true); r.leecher(true) }, false},
		{"switched on", Config{SuperSeed: SuperOn}, func(r *rig) {}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := seeding(t, c.cfg, pieces)
			c.prepare(r)
			r.drain()
			got := firstOf(r, r.connect(true))
			if want := map[bool]wire.Type{false: wire.HaveAll, true: wire.HaveNone}[c.superNow]; got != want {
				t.Errorf("the first message is %v, not %v", got, want)
			}
		})
	}
}

// A peer that does not want its offers soon gets all announcements.
func TestSuperSeedingEndsForPeersThatWantOtherPieces(t *testing.T) {
	const pieces = 100
	announced := func(r *rig, cmds []Command, c Conn, had map[uint32]bool) int {
		for _, m := range sent(t, cmds, c) {
			if m.Type == wire.Have {
				had[m.Index] = true
			}
		}
		return len(had)
	}
	t.Run("not interested", func(t *testing.T) {
		r := seeding(t, Config{SuperSeed: SuperOn}, pieces)
		r.leecher(true)
		c, had := r.connect(true), map[uint32]bool{}
		if n := announced(r, r.drain(), c, had); n == 0 || n > 10 {
			t.Errorf("%d pieces were announced at first", n)
		}
		if n := announced(r, r.wait(1500*time.Millisecond), c, had); n != pieces {
			t.Errorf("%d pieces were announced after 1.5 s", n)
		}
	})
	t.Run("requests nothing", func(t *testing.T) {
		r := seeding(t, Config{SuperSeed: SuperOn}, pieces)
		r.leecher(true)
		c, had := r.leecher(true), map[uint32]bool{}
		if n := announced(r, r.drain(), c, had); n == 0 || n > 20 {
			t.Errorf("%d pieces were announced at first", n)
		}
		if n := announced(r, r.wait(1500*time.Millisecond), c, had); n != pieces {
			t.Errorf("%d pieces were announced after 1.5 s", n)
		}
	})
	t.Run("the only peer", func(t *testing.T) {
		r := seeding(t, Config{}, pieces)
		for range 3 {
			r.leecher(true)
		}
		c, had := r.leecher(true), map[uint32]bool{}
		announced(r, r.drain(), c, had)
		for k := range Conn(3) {
			r.step(&EvClosed{Conn: k + 1})
		}
		if n := announced(r, r.wait(1200*time.Millisecond), c, had); n != pieces {
			t.Errorf("%d pieces were announced after the others left", n)
		}
	})
}
