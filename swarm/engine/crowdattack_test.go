package engine

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

// Attacks on the measures by which uploads are shared. The attackers are nodes of a flash
// crowd that run the engine, but send altered messages.

// alteration returns the messages that a node sends instead of m to the other end of x.
type alteration func(x *simEnd, m wire.Msg) []wire.Msg

// alter applies the alteration to complete messages.
func (x *simEnd) alter(b []byte) (out []byte) {
	for len(b) > 0 {
		size := 4 + int(binary.BigEndian.Uint32(b))
		m, err := wire.Parse(b[4:size])
		if err != nil {
			x.owner.fatal("sent an invalid message: %v", err)
		}
		for _, m := range x.owner.alter(x, m) {
			out = wire.Append(out, m)
		}
		b = b[size:]
	}
	return out
}

// keepAll uploads to nobody.
func keepAll(x *simEnd, m wire.Msg) []wire.Msg {
	switch m.Type {
	case wire.Unchoke, wire.AllowedFast:
		return nil
	}
	return []wire.Msg{m}
}

// hoard uploads to nobody and announces nothing.
func hoard(x *simEnd, m wire.Msg) []wire.Msg {
	switch m.Type {
	case wire.Bitfield, wire.HaveAll:
		return []wire.Msg{{Type: wire.HaveNone}}
	case wire.Have:
		return nil
	}
	return keepAll(x, m)
}

// pretend uploads to nobody and claims to have all pieces except those for which lacks
// returns true.
func pretend(lacks func(piece int) bool) alteration {
	return func(x *simEnd, m wire.Msg) []wire.Msg {
		switch m.Type {
		case wire.Bitfield, wire.HaveAll, wire.HaveNone:
			has := bitset.New(x.owner.have.Len())
			for i := range has.Len() {
				if !lacks(i) {
					has.Add(i)
				}
			}
			if has.Full() {
				return []wire.Msg{{Type: wire.HaveAll}}
			}
			return []wire.Msg{{Type: wire.Bitfield, Payload: has.AppendTo(nil)}}
		case wire.Have:
			if !lacks(int(m.Index)) {
				return nil
			}
		}
		return keepAll(x, m)
	}
}

// attackedCrowd is a flash crowd whose first free riders are attackers.
type attackedCrowd struct {
	crowd     string
	attackers int
	prepare   func(s *sim, attackers []*simNode)
}

// attackResult holds the completion times of attackers and other leechers, as the mean of
// several runs.
type attackResult struct {
	attackers    time.Duration // median
	lastAttacker time.Duration
	contributors time.Duration // median
	lastHonest   time.Duration
}

func (r attackResult) String() string {
	return fmt.Sprintf("attackers %.1f (last %.1f) contributors %.1f (last honest leecher %.1f)",
		r.attackers.Seconds(), r.lastAttacker.Seconds(), r.contributors.Seconds(), r.lastHonest.Seconds())
}

// attackLimit is when a run ends even if attackers are incomplete.
const attackLimit = 5 * time.Minute

func (a attackedCrowd) run(t *testing.T, seeds int) (r attackResult) {
	t.Helper()
	for seed := range seeds {
		c, err := parseCrowd(a.crowd)
		if err != nil {
			t.Fatal(err)
		}
		c.seed = uint64(seed)
		s := newCrowd(t, c)
		attackers, honest := s.nodes[1:1+a.attackers], s.nodes[1+a.attackers:]
		isLeft := func(n *simNode) bool { return n.doneAt == 0 }
		s.cfg.until = func(s *sim) bool {
			return !slices.ContainsFunc(honest, isLeft) &&
				(s.now > mono.Time(attackLimit) || !slices.ContainsFunc(attackers, isLeft))
		}
		if a.prepare != nil {
			a.prepare(s, attackers)
		}
		s.run()
		var took, gave []time.Duration
		var lastAttacker, lastHonest time.Duration
		for _, n := range attackers {
			if n.doneAt == 0 {
				n.doneAt = attackLimit
			}
			took = append(took, n.doneAt)
			lastAttacker = max(lastAttacker, n.doneAt)
		}
		for _, n := range honest {
			lastHonest = max(lastHonest, n.doneAt)
			if !n.rider {
				gave = append(gave, n.doneAt)
			}
		}
		runs := time.Duration(seeds)
		r.attackers += medianOf(took) / runs
		r.lastAttacker += lastAttacker / runs
		r.contributors += medianOf(gave) / runs
		r.lastHonest += lastHonest / runs
	}
	return r
}

// everyone applies an alteration to all attackers.
func everyone(f alteration) func(*sim, []*simNode) {
	return func(s *sim, attackers []*simNode) {
		for _, n := range attackers {
			n.alter = f
		}
	}
}

// oneHost moves nodes to one IP address.
func (s *sim) oneHost(nodes []*simNode) {
	for i, n := range nodes {
		delete(s.byIP, n.addr)
		n.addr = netip.AddrPortFrom(nodes[0].addr.Addr(), uint16(6881+i))
		s.byIP[n.addr] = n
	}
}

// split makes each of the nodes fetch a different part.
func (s *sim) split(nodes []*simNode) {
	for k, n := range nodes {
		n.wanted = bitset.New(s.cfg.pieces)
		for i := k; i < s.cfg.pieces; i += len(nodes) {
			n.wanted.Add(i)
		}
	}
}

// collude makes attackers upload only to one another, and announce at once what other
// attackers have.
func collude(s *sim, attackers []*simNode) {
	is := map[*simNode]bool{}
	for _, n := range attackers {
		is[n] = true
	}
	for _, n := range attackers {
		n.alter = func(x *simEnd, m wire.Msg) []wire.Msg {
			if is[x.other.owner] {
				return []wire.Msg{m}
			}
			if m.Type == wire.Have {
				for _, o := range attackers {
					if o == x.owner {
						continue
					}
					for _, c := range o.order {
						y := o.conns[c]
						if is[y.other.owner] || !y.open || !y.hasSent {
							continue
						}
						y.lie(wire.Msg{Type: wire.Have, Index: m.Index})
					}
				}
			}
			x.hasSent = true
			return keepAll(x, m)
		}
	}
}

// lie sends a message without alteration.
func (x *simEnd) lie(m wire.Msg) {
	f := x.owner.alter
	x.owner.alter = nil
	x.send(wire.Append(nil, m))
	x.owner.alter = f
}

// every calls do periodically.
func (s *sim) every(d time.Duration, do func()) {
	var again func()
	again = func() { do(); s.at(s.now.Add(d), again) }
	s.at(s.now.Add(d), again)
}

// pester makes attackers request as much as possible from the seed, one block of each
// piece, and cancel their previous requests.
func pester(d time.Duration, cancel bool) func(s *sim, attackers []*simNode) {
	return func(s *sim, attackers []*simNode) {
		for _, n := range attackers {
			n.alter = hoard
			k := 0
			var before []Block
			s.every(d, func() {
				for _, c := range n.order {
					x := n.conns[c]
					if !x.other.owner.seed || x.choked || !x.open {
						continue
					}
					x.lie(wire.Msg{Type: wire.Interested})
					if cancel {
						for _, b := range before {
							x.lie(wire.Msg{Type: wire.Cancel, Index: b.Piece, Begin: b.Begin, Length: b.Length})
						}
					}
					before = before[:0]
					for range 1024 {
						b := Block{Piece: uint32(k % s.cfg.pieces), Begin: uint32(k / s.cfg.pieces % 16 * blockSize), Length: blockSize}
						k++
						before = append(before, b)
						x.other.requests++
						x.lie(wire.Msg{Type: wire.Request, Index: b.Piece, Begin: b.Begin, Length: b.Length})
					}
				}
			})
		}
	}
}

// reconnect makes attackers disconnect and return with new ids.
func reconnect(s *sim, attackers []*simNode) {
	s.every(8*time.Second, func() {
		for _, n := range attackers {
			if n.up && !n.complete {
				n.stop()
				n.start()
			}
		}
	})
}

// flap makes attackers change their interest all the time.
func flap(s *sim, attackers []*simNode) {
	s.every(300*time.Millisecond, func() {
		for _, n := range attackers {
			for _, c := range n.order {
				n.conns[c].lie(wire.Msg{Type: wire.NotInterested})
				n.conns[c].lie(wire.Msg{Type: wire.Interested})
			}
		}
	})
}

// No attack completes its attackers before the contributors of an unattacked crowd, or
// much before ordinary free riders, and none delays contributors by more than a small
// factor.
func TestAttacksGainNothing(t *testing.T) {
	skipUnderRace(t)
	const seeds = 2
	lacks := func(i int) bool { return i == 5 }
	for _, k := range []int{2, 8} {
		crowd := fmt.Sprintf("16 16 512 %d", k)
		base := attackedCrowd{crowd, k, everyone(keepAll)}.run(t, seeds)
		t.Logf("%d of 16 upload nothing: %v", k, base)
		for _, x := range []struct {
			name    string
			harm    float64 // allowed factor by which the contributors' median grows
			prepare func(*sim, []*simNode)
		}{
			{"upload a tenth", 1.1, nil},
			{"announce nothing", 1.1, everyone(hoard)},
			{"claim everything", 1.1, everyone(pretend(func(int) bool { return false }))},
			{"claim all but one piece", 1.5, everyone(pretend(lacks))},
			{"claim half", 1.3, everyone(pretend(func(i int) bool { return i%2 == 1 }))},
			{"confirm one another's gifts", 1 + 1.1*float64(k)/16, collude},
			{"change their interest", 1.1, func(s *sim, a []*simNode) { everyone(keepAll)(s, a); flap(s, a) }},
			{"reconnect as new peers", 1.3, func(s *sim, a []*simNode) { everyone(hoard)(s, a); reconnect(s, a) }},
			{"request everything", 1.15, pester(5*time.Second, false)},
			{"request and cancel", 1.15, pester(500*time.Millisecond, true)},
			{"request and read nothing", 1.4, func(s *sim, a []*simNode) {
				for _, n := range a {
					n.down = 1000
				}
				pester(20*time.Second, false)(s, a)
			}},
		} {
			r := attackedCrowd{crowd, k, x.prepare}.run(t, seeds)
			t.Logf("%d of 16 %s: %v", k, x.name, r)
			if harm := r.contributors.Seconds() / base.contributors.Seconds(); harm > x.harm {
				t.Errorf("%d of 16 %s: contributors need %.2f times as long, more than %.2f", k, x.name, harm, x.harm)
			}
			if gain := r.attackers.Seconds() / base.contributors.Seconds(); gain < 0.98 {
				t.Errorf("%d of 16 %s: the attackers need %.2f times as long as contributors without an attack", k, x.name, gain)
			}
			if x.prepare == nil { // these upload something
				continue
			}
			if gain := r.attackers.Seconds() / base.attackers.Seconds(); gain < 0.94 {
				t.Errorf("%d of 16 %s: the attackers need %.2f times as long as ordinary free riders", k, x.name, gain)
			}
		}
	}
}

// A host is not complete sooner if it runs eight peers that each fetch an eighth.
func TestIdentitiesOnOneHostGainNothing(t *testing.T) {
	skipUnderRace(t)
	one := attackedCrowd{"25 16 512 17", 1, everyone(hoard)}.run(t, 1)
	several := func(prepare func(*sim, []*simNode)) attackResult {
		return attackedCrowd{"32 16 512 24", 8, func(s *sim, a []*simNode) {
			everyone(hoard)(s, a)
			s.split(a)
			prepare(s, a)
		}}.run(t, 1)
	}
	onOne := several((*sim).oneHost)
	apart := several(func(*sim, []*simNode) {})
	t.Logf("one peer: %v", one)
	t.Logf("eight on one host: %v", onOne)
	t.Logf("eight on eight hosts: %v", apart)
	if gain := onOne.lastAttacker.Seconds() / one.lastAttacker.Seconds(); gain < 0.97 {
		t.Errorf("eight peers on one host need %.2f times as long as one", gain)
	}
	if apart.lastAttacker >= onOne.lastAttacker {
		t.Error("sharing a host makes no difference")
	}
}
