package node

import (
	"context"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
)

// inet is an address on the internet.
func inet(num byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{45, 0, 0, num}), DefaultPort)
}

// home starts a node behind a router.
func home(t *testing.T, n *simnet.Net, num byte, kind simnet.NAT) *rig {
	n.Host(inet(num).Addr()).SetNAT(kind)
	return startAt(t, n, inet(num), noDHT, withUTP)
}

// Two peers behind routers that keep ports are connected by peers that both have dialed, soon
// after the second has arrived, and transfer the torrent. If one router is symmetric they are
// not, and stay connected to the others.
func TestHolePunch(t *testing.T) {
	for name, kind := range map[string]simnet.NAT{"port-preserving": simnet.PreservingNAT, "symmetric": simnet.SymmetricNAT} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(3, simnet.Link{Delay: 30 * ms})
				spec, dir := folder(t, ShareOptions{}, small)
				relays := []*rig{startAt(t, n, inet(100), noDHT, withUTP), startAt(t, n, inet(101), noDHT, withUTP)}
				for _, r := range relays {
					r.add(Spec{Link: withPeers(spec, inet(100).String()), Dir: t.TempDir()})
				}
				a, b := home(t, n, 1, simnet.PreservingNAT), home(t, n, 2, kind)
				seeded := spec
				seeded.UpRate = 4 << 10 // so that it takes a while
				seeded.Peers = []string{inet(100).String()}
				sent := a.add(seeded)
				// A has peers from PEX now, so it learns of B by the hole punch first.
				time.Sleep(30 * time.Second)
				to := t.TempDir()
				got := b.add(Spec{Link: withPeers(spec, inet(100).String()), Dir: to})
				begun := time.Now()
				punched := func(x *Torrent) (n int) {
					for _, p := range x.Peers() {
						if p.Punched && p.UTP {
							n++
						}
					}
					return n
				}
				for time.Since(begun) < time.Minute && (punched(got) == 0 || punched(sent) == 0) {
					time.Sleep(10 * ms)
				}
				if kind == simnet.PreservingNAT {
					if took := time.Since(begun); took > 5*time.Second || punched(sent) != 1 || punched(got) != 1 {
						t.Errorf("%d and %d punched connections after %v", punched(sent), punched(got), took)
					}
				} else if punched(got)+punched(sent) > 0 || len(got.Peers()) != 2 || len(sent.Peers()) != 2 {
					t.Errorf("%d and %d peers, of which %d and %d punched", len(got.Peers()), len(sent.Peers()), punched(got), punched(sent))
				}
				wait(t, got.Done(), 10*time.Minute, "the download")
				filetest.Same(t, dir, to+"/things")
				if x, y := relays[0].Counters().Punches, relays[1].Counters().Punches; x.Relayed+y.Relayed == 0 {
					t.Errorf("the relays count %+v and %+v", x, y)
				}
				if c := b.Counters().Punches; c.Begun == 0 || c.Begun > 6 || (c.Connected > 0) != (kind == simnet.PreservingNAT) {
					t.Errorf("home B counts %+v", c)
				}
			})
		})
	}
}

// Hole punches of all torrents together are limited, per host and in all. What is over the
// limit fails at once.
func TestHolePunchesOfANodeAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{})
		a := startAt(t, n, inet(1), noDHT, withUTP)
		try := func(to netip.Addr) bool {
			ctx, cancel := context.WithCancel(t.Context())
			cancel() // only what is sent at once counts
			_, err := a.punch(ctx, netip.AddrPortFrom(to, 7000))
			return !errors.Is(err, errPunchLimit)
		}
		const minutes = 10
		toOne := 0
		for range minutes * 60 {
			if try(inet(9).Addr()) {
				toOne++
			}
			time.Sleep(time.Second)
		}
		if limit := hostPunchBurst + int(minutes*60*hostPunchRate) + 1; toOne < limit-2 || toOne > limit {
			t.Errorf("%d hole punches to one host in %d minutes, not %d", toOne, minutes, limit)
		}
		toAll := 0
		for i := range 1000 {
			if try(netip.AddrFrom4([4]byte{46, 0, byte(i >> 8), byte(i)})) {
				toAll++
			}
		}
		if toAll != punchBurst {
			t.Errorf("%d hole punches at once, not %d", toAll, punchBurst)
		}
	})
}

// Relays that name one host do not use up the hole punches to others.
func TestOneHostDoesNotTakeTheHolePunchesOfOthers(t *testing.T) {
	var g punchGate
	g.init()
	for range 10 * punchBurst {
		g.enter(inet(1).Addr())
	}
	if !g.enter(inet(2).Addr()) {
		t.Error("no hole punch to another host is possible")
	}
}
