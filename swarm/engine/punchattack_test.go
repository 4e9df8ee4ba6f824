package engine

import (
	"net/netip"
	"testing"
	"time"
)

// mob is a number of peers. Each that loses its connection is replaced by another at once.
type mob struct {
	r     punchRig
	peers []Conn
	lost  int
	next  int
}

func (r punchRig) mob(size int) *mob {
	c := &mob{r: r, peers: make([]Conn, size), next: 1 << 16}
	c.renew(nil)
	return c
}

// renew replaces the peers that lost their connection in cmds.
func (c *mob) renew(cmds []Command) {
	for _, x := range of(cmds, CmdClose) {
		c.r.step(&EvClosed{Conn: x.Conn, Fault: x.Fault})
		c.lost++
	}
	for i, p := range c.peers {
		if c.r.e.conns[p] == nil {
			c.next++
			c.peers[i] = c.r.joins(EvConnected{Addr: public(c.next)})
		}
	}
}

// Relays that lie cannot make us send to more than a few addresses, neither one nor many of
// them, however much they send. The book does not grow.
func TestLyingRelaysAreLimited(t *testing.T) {
	const seconds = 60
	for _, c := range []struct {
		relays, perSecond, limit int
	}{
		{1, 20, unaskedBurst + unaskedRate*seconds},
		{40, 20, unaskedTotalBurst + unaskedTotalRate*seconds},
		{20, 1000, unaskedTotalBurst + unaskedTotalRate*seconds},
	} {
		r := newPunchRig(t, Config{})
		relays := r.mob(c.relays)
		punches, most, named := 0, 0, 1<<20
		for range seconds {
			for _, p := range relays.peers {
				for range c.perSecond {
					named++
					r.says(p, connectTo(public(named)))
				}
			}
			most = max(most, len(r.e.punch.pending))
			cmds := r.wait(time.Second)
			begun := dialed(cmds, CmdPunch)
			punches += len(begun)
			for _, addr := range begun {
				r.step(&EvPunchFailed{Addr: addr})
			}
			relays.renew(cmds)
		}
		if punches < c.limit/2 || punches > c.limit || most > maxPunches {
			t.Errorf("%d relays that send %d messages a second: %d hole punches in %d s, %d at once; the limits are %d and %d",
				c.relays, c.perSecond, punches, seconds, most, c.limit, maxPunches)
		}
		if c.perSecond > noiseRate != (relays.lost > 0) {
			t.Errorf("%d that send %d messages a second lost the connection", relays.lost, c.perSecond)
		}
		expect(t, "addresses that are known", r.e.book.known(), 0)
	}
}

// A hole punch that nobody reports as ended does not block others for ever.
func TestForgottenHolePunchesEnd(t *testing.T) {
	r := newPunchRig(t, Config{})
	c := r.joins(EvConnected{Addr: public(1)})
	for i := range maxPunches + 5 {
		r.says(c, connectTo(public(100+i)))
		r.wait(2 * time.Second)
	}
	r.wait(punchTime)
	r.drain()
	r.says(c, connectTo(public(99)))
	expect(t, "hole punches", dialed(r.drain(), CmdPunch), []netip.AddrPort{public(99)})
}

// Peers that send us many rendezvous messages cannot make us send more than a few messages to
// another peer, and not much to themselves. If they are very many, they lose the connection.
func TestRendezvousFloodsAreLimited(t *testing.T) {
	const seconds = 60
	for _, c := range []struct{ askers, perSecond, limit int }{
		{2, 20, 2 * (relayBurst + relayRate*seconds)},
		{80, 4, relayTotalBurst + relayTotalRate*seconds},
		{10, 1000, relayTotalBurst + relayTotalRate*seconds},
	} {
		r := newPunchRig(t, Config{})
		target := r.joins(EvConnected{Addr: public(2)})
		askers := r.mob(c.askers)
		r.drain()
		toTarget, toAskers := 0, 0
		for range seconds {
			for _, p := range askers.peers {
				for i := range c.perSecond {
					r.says(p, rendezvous(public(2+i%4)))
				}
			}
			cmds := r.wait(time.Second)
			toTarget += len(heard(t, cmds, target))
			for _, p := range askers.peers {
				toAskers += len(heard(t, cmds, p))
			}
			askers.renew(cmds)
		}
		if limit := targetBurst + int(targetRate*seconds); toTarget < limit/4 || toTarget > limit {
			t.Errorf("%d messages to the target, over the limit of %d", toTarget, limit)
		}
		if toAskers > c.limit {
			t.Errorf("%d messages to %d that ask, over the limit of %d", toAskers, c.askers, c.limit)
		}
		if c.perSecond > noiseRate != (askers.lost > 0) {
			t.Errorf("%d that send %d messages a second lost the connection", askers.lost, c.perSecond)
		}
		if r.e.conns[target].closing {
			t.Error("the target lost its connection")
		}
	}
}
