package engine

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/mono"
)

// slotHolders is a chokeSink that records the state of each peer and checks the number of
// slots at every step.
type slotHolders struct {
	t        rapid.TB
	slots    int
	held     map[Conn]bool
	snubbing map[Conn]bool
	sending  map[Conn]bool
}

func newSlotHolders(t rapid.TB, slots int) *slotHolders {
	return &slotHolders{t: t, slots: slots, held: map[Conn]bool{}, snubbing: map[Conn]bool{}, sending: map[Conn]bool{}}
}

func (s *slotHolders) choke(c Conn) {
	if !s.held[c] {
		s.t.Fatalf("peer %d is choked twice", c)
	}
	delete(s.held, c)
}

func (s *slotHolders) unchoke(c Conn) {
	if s.held[c] {
		s.t.Fatalf("peer %d is unchoked twice", c)
	}
	if s.held[c] = true; len(s.held) > s.slots {
		s.t.Fatalf("%d peers are unchoked, of %d slots", len(s.held), s.slots)
	}
}

func (s *slotHolders) allowFast(c Conn) {
	if s.held[c] {
		s.t.Fatalf("allowFast for peer %d, which is unchoked", c)
	}
}

func (s *slotHolders) snubs(c Conn) bool { return s.snubbing[c] }

func (s *slotHolders) isSending(c Conn) bool { return s.sending[c] }

// chokeRig returns a choker with peers that all connect at once and are interested.
func chokeRig(t rapid.TB, uploads, peers int) (*choker, *slotHolders, []*chokePeer) {
	c := newChoker(uploads, rand.New(rand.NewPCG(1, 2)))
	c.open = true
	c.postponeRound(1)
	sink := newSlotHolders(t, uploads+1)
	list := make([]*chokePeer, peers)
	for i := range list {
		list[i] = new(chokePeer)
		c.join(1, Conn(i+1), list[i])
		c.setInterested(1, list[i], sink)
	}
	return &c, sink, list
}

// playSecond simulates one second, in which each unchoked peer takes the number of bytes
// that takes returns.
func (c *choker) playSecond(now mono.Time, seeding bool, sink chokeSink, takes func(*chokePeer) int) {
	for _, p := range c.peers {
		if n := takes(p); p.unchoked && n > 0 {
			c.noteSent(now, p, n)
		}
	}
	c.countStalled(now, 1<<20, sink)
	for _, p := range c.peers {
		c.dropStalled(now, p, sink)
	}
	if now >= c.roundAt {
		c.round(now, seeding, sink)
	}
	c.fill(now, sink)
}

// Whatever peers do, no more peers than slots are unchoked, every peer knows its state,
// and no slot is free while an eligible peer waits.
func TestChokerNeverExceedsItsSlots(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newChoker(rapid.IntRange(1, 4).Draw(t, "uploads"), rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		sink := newSlotHolders(t, c.slots)
		now, last := mono.Time(1), Conn(0)
		pick := func(t *rapid.T) *chokePeer {
			if len(c.peers) == 0 {
				t.Skip("nobody is connected")
			}
			return rapid.SampledFrom(c.peers).Draw(t, "peer")
		}
		t.Repeat(map[string]func(*rapid.T){
			"join": func(t *rapid.T) {
				last++
				c.join(now, last, new(chokePeer))
			},
			"leave": func(t *rapid.T) {
				p := pick(t)
				delete(sink.held, p.conn)
				c.leave(p)
			},
			"open":       func(t *rapid.T) { c.open = true },
			"interested": func(t *rapid.T) { c.setInterested(now, pick(t), sink) },
			"not interested": func(t *rapid.T) {
				c.setNotInterested(pick(t))
			},
			"sent": func(t *rapid.T) {
				c.noteSent(now, pick(t), rapid.IntRange(1, 4<<20).Draw(t, "bytes"))
			},
			"give": func(t *rapid.T) {
				p := pick(t)
				c.noteReceived(now, p, rapid.IntRange(0, 1<<20).Draw(t, "bytes"))
				sink.snubbing[p.conn] = rapid.Bool().Draw(t, "snubs")
				sink.sending[p.conn] = rapid.Bool().Draw(t, "sending")
			},
			"round": func(t *rapid.T) { c.round(now, rapid.Bool().Draw(t, "seeding"), sink) },
			"second": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(1, 40).Draw(t, "seconds")) * time.Second)
				c.countStalled(now, rapid.Float64Range(0, 1e7).Draw(t, "rate"), sink)
				for _, p := range c.peers {
					c.dropStalled(now, p, sink)
				}
			},
			"fill": func(t *rapid.T) {
				ran := c.freed && c.open
				c.fill(now, sink)
				for _, p := range c.peers {
					if ran && c.hasFree() && p.interested && !p.unchoked && now >= p.retry {
						t.Fatalf("a slot is free while peer %d waits", p.conn)
					}
				}
			},
			"": func(t *rapid.T) {
				optimistic := 0
				for _, p := range c.peers {
					if p.unchoked != sink.held[p.conn] {
						t.Fatalf("peer %d is unchoked: %v; it was sent %v", p.conn, p.unchoked, sink.held[p.conn])
					}
					if p.optimistic {
						optimistic++
					}
				}
				if c.held != len(sink.held) || c.held > c.slots || optimistic > 1 || !c.open && c.held > 0 {
					t.Fatalf("%d of %d slots are used, not %d; %d are optimistic", c.held, c.slots, len(sink.held), optimistic)
				}
			},
		})
	})
}

// A seed serves every peer that takes what it is sent, within as many turns as there are
// peers per slot, however fast the others are.
func TestChokerStarvesNobody(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		uploads, n := rapid.IntRange(1, 4).Draw(t, "uploads"), rapid.IntRange(2, 24).Draw(t, "peers")
		c, sink, peers := chokeRig(t, uploads, n) // when each was last served
		rates := rapid.SliceOfN(rapid.IntRange(32<<10, 8<<20), n, n).Draw(t, "rates")
		served := make([]mono.Time, n) // when each was served last
		turns := (n + c.slots - 1) / c.slots
		patience := time.Duration(turns) * (4*turnTime + rechokeEvery)
		for now := mono.Time(1); now < mono.Time(3*patience); now = now.Add(time.Second) {
			c.playSecond(now, true, sink, func(p *chokePeer) int { return rates[p.conn-1] })
			for i, p := range peers {
				if p.unchoked {
					served[i] = now
				}
				if now.Sub(served[i]) > patience {
					t.Fatalf("at %v peer %d, which takes %d bytes a second, has waited since %v", time.Duration(now), i, rates[i], time.Duration(served[i]))
				}
			}
		}
	})
}

// While we download, each round serves the peers that send us most. One slot moves
// between the others every optimisticEvery. Peers that snub us come last.
func TestChokerServesByMeritAndRotatesOneSlot(t *testing.T) {
	c, sink, peers := chokeRig(t, 2, 9)
	sink.snubbing[peers[8].conn] = true // the fastest peer snubs us
	optimistic := map[Conn]int{}
	var last Conn
	var since mono.Time
	for now := mono.Time(1); now < mono.Time(time.Hour); now = now.Add(rechokeEvery) {
		for i, p := range peers {
			c.noteReceived(now, p, 1000*(i+1))
		}
		c.round(now, false, sink)
		if !peers[7].unchoked || !peers[6].unchoked {
			t.Fatalf("at %v one of the two peers that send most is choked", time.Duration(now))
		}
		for _, p := range peers {
			if !p.optimistic {
				continue
			}
			if optimistic[p.conn]++; p.conn != last {
				if last != 0 && now.Sub(since) < optimisticEvery {
					t.Fatalf("the optimistic unchoke moved after %v", now.Sub(since))
				}
				last, since = p.conn, now
			}
			if !p.unchoked {
				t.Fatal("the optimistic unchoke is choked")
			}
		}
	}
	if len(optimistic) != 7 {
		t.Errorf("the optimistic unchoke went to %v, not to all seven others", optimistic)
	}
}

// BEP 3: new connections are three times as likely to get the optimistic unchoke.
func TestBEP3NewcomersAreThreeTimesAsLikely(t *testing.T) {
	c, sink, peers := chokeRig(t, 1, 10)
	now := mono.Time(1).Add(2 * newcomerFor)
	fresh := peers[9]
	drawn, draws := 0, 4000
	for range draws {
		for _, p := range peers {
			p.optimistic = false
		}
		fresh.since = now
		c.optimisticAt = 0
		c.round(now, false, sink)
		if fresh.optimistic {
			drawn++
		}
	}
	// Nobody sends us anything, so the first peer keeps the regular slot. Among the other
	// nine, one has weight 3 and eight have weight 1.
	if want := draws * 3 / 11; drawn < want*9/10 || drawn > want*11/10 {
		t.Errorf("the new connection was drawn %d times of %d, not about %d", drawn, draws, want)
	}
}

// A peer that takes nothing loses its slot while others wait, for twice as long each
// time. It keeps the slot while nobody waits.
func TestChokerPausesStalledPeers(t *testing.T) {
	c, sink, peers := chokeRig(t, 1, 2)
	mute := peers[0]
	now := mono.Time(1)
	takes := func(p *chokePeer) int {
		if p == mute {
			return 0
		}
		return 1 << 20
	}
	for range 60 {
		now = now.Add(time.Second)
		c.playSecond(now, true, sink, takes)
	}
	if !mute.unchoked || mute.isStalled() {
		t.Fatal("a peer lost its slot although nobody waited")
	}
	for i := range 2 { // these wait for a slot
		p := new(chokePeer)
		c.join(now, Conn(10+i), p)
		c.setInterested(now, p, sink)
	}
	var pauses []time.Duration
	for range 4000 {
		retry := mute.retry
		now = now.Add(time.Second)
		if c.playSecond(now, true, sink, takes); mute.retry > retry {
			pauses = append(pauses, mute.retry.Sub(now))
		}
		if now < mute.retry && mute.unchoked {
			t.Fatal("a stalled peer is unchoked in its pause while others wait")
		}
	}
	if len(pauses) < 3 || !mute.isStalled() {
		t.Fatalf("a peer that takes nothing had pauses of %v", pauses)
	}
	for i, d := range pauses {
		if want := stallPause << min(i, maxStalls); d != want {
			t.Errorf("pause %d is %v, not %v", i+1, d, want)
		}
	}
}

// When many peers are stalled, proven peers hold all slots but one, and the others share
// a small part of the uplink.
func TestChokerPutsProvenPeersFirst(t *testing.T) {
	for _, mutes := range []int{manyStalled - 1, 5 * manyStalled} {
		t.Run(fmt.Sprint(mutes), func(t *testing.T) {
			const good = 4
			c, sink, peers := chokeRig(t, 3, good+mutes)
			now, held := mono.Time(1), 0
			for i := range 1800 {
				now = now.Add(time.Second)
				c.playSecond(now, true, sink, func(p *chokePeer) int {
					if p.conn <= good {
						return 1 << 20
					}
					return 0
				})
				for _, p := range peers[:good] {
					if i >= 600 && p.unchoked {
						held++
					}
				}
			}
			if many := mutes >= manyStalled; c.stalled.many != many {
				t.Fatalf("with %d peers that take nothing, many are stalled: %v", mutes, c.stalled.many)
			}
			if held < 3*1200*95/100 {
				t.Errorf("four proven peers held slots for %d seconds of three slots times 1,200", held)
			}
			if !c.stalled.many {
				return
			}
			went := 0
			for range 10 {
				for range 100 {
					if c.maySend(now, peers[good], blockSize) {
						went += blockSize
					}
				}
				now = now.Add(time.Second)
			}
			if most := trialBurst + 11*int(c.stalled.trial.Rate); went == 0 || went > most {
				t.Errorf("an unproven peer was sent %d bytes in 10 s, more than %d", went, most)
			}
		})
	}
}
