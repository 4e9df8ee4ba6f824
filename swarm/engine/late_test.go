package engine

import (
	"testing"
	"time"

	"seedbed/internal/bitset"
	"seedbed/swarm/wire"
)

// urgentFetch is the result of a simulation with an urgent file.
type urgentFetch struct {
	urgent time.Duration // when the urgent file was complete
	done   time.Duration // when the torrent was complete
	wasted int64         // bytes
}

// urgentTotal is the number of pieces in that simulation.
const urgentTotal = 840

// fetchUrgent simulates a torrent whose second file has a high priority. It is downloaded from seeds
// with these rates in bytes a second; 1 never sends a whole block.
func fetchUrgent(t *testing.T, seed uint64, rates ...float64) (out urgentFetch) {
	const low, high, tick = 400, 40, 20 * time.Millisecond
	info := filesInfo(t, kib64, low*kib64, high*kib64, low*kib64)
	s := newSim(t, simConfig{seed: seed, nodes: len(rates) + 1, seeds: len(rates), pieces: urgentTotal, info: info, budget: 64, unlimited: true, private: true, sparse: true,
		shape: func(n *simNode) {
			n.fetch = Order{Files: []Priority{PriorityNormal, PriorityHigh}}
			if n.rate = 600 << 10; n.seed {
				n.rate = rates[n.name]
			}
		}})
	n := s.nodes[len(rates)]
	var look func()
	look = func() {
		for p := low; p < low+high; p++ {
			if !n.have.Has(p) {
				s.at(s.now.Add(tick), look)
				return
			}
		}
		out.urgent = time.Duration(s.now)
	}
	s.at(s.now, look)
	s.run()
	out.done, out.wasted = n.doneAt, n.e.Stats(s.now).Wasted
	return out
}

// A slow or mute peer does not hold up an urgent file while a fast one fetches the rest: the file is
// complete after less than twice the time that the fast peers alone take, which was up to 15 times that.
// The torrent is complete no later, and less than a hundredth of it is fetched twice.
func TestLateBlocksDoNotHoldUpAnUrgentFile(t *testing.T) {
	const fast, slow, mute, seeds = 600 << 10, 20 << 10, 1, 4
	sum := func(rates ...float64) (out urgentFetch) {
		for seed := range uint64(seeds) {
			u := fetchUrgent(t, seed, rates...)
			out.urgent, out.done, out.wasted = out.urgent+u.urgent, out.done+u.done, out.wasted+u.wasted
		}
		return out
	}
	alone := sum(fast)
	for name, rates := range map[string][]float64{"slow": {fast, slow}, "slower": {fast, slow / 4}, "mute": {fast, mute}, "all of them": {fast, slow, slow / 4, mute, mute}} {
		got := sum(rates...)
		t.Logf("%s: %+v; the fast peer alone: %+v", name, got, alone)
		if got.urgent > 2*alone.urgent {
			t.Errorf("%s: the urgent file is complete after %v; with the fast peer alone after %v", name, got.urgent/seeds, alone.urgent/seeds)
		}
		if got.done > alone.done*101/100 {
			t.Errorf("%s: the torrent is complete after %v; with the fast peer alone after %v", name, got.done/seeds, alone.done/seeds)
		}
		if total := int64(seeds * urgentTotal * kib64); got.wasted > total/100 {
			t.Errorf("%s: %d of %d bytes were wasted", name, got.wasted, total)
		}
	}
}

// A late block of an urgent class is requested from a second peer only once, when nothing else of that
// class can be, and not before it is late.
func TestOnlyLateBlocksOfUrgentClassesAreRequestedTwice(t *testing.T) {
	r := newRig(t, Config{}, 0, 0)
	r.step(&EvOrder{Order{Files: []Priority{PriorityHigh}}})
	r.step(&EvInfo{Info: filesInfo(t, kib64, 2*kib64, 400*kib64)})
	slow := r.connect(true)
	one := bitset.New(402)
	one.Add(0)
	r.msg(slow, wire.Msg{Type: wire.Bitfield, Payload: one.AppendTo(nil)}, wire.Msg{Type: wire.Unchoke})
	owed := of(r.drain(), CmdRequest)
	if len(owed) != 4 {
		t.Fatalf("%d requests", len(owed))
	}
	first, second := r.seed(true), r.seed(true)
	twice := map[Conn]int{} // requests for blocks that the slow peer owes
	serve := func(d time.Duration) {
		for end := r.now.Add(d); r.now < end; {
			for _, x := range r.wait(50 * time.Millisecond) {
				switch {
				case x.Kind == CmdRequest && x.Block.Piece == 0:
					twice[x.Conn]++
				case x.Kind == CmdRequest && x.Conn != slow:
					r.block(BlockEvent{Kind: BlockArrived, Conn: x.Conn, Block: x.Block, Slot: x.Slot})
				case x.Kind == CmdStore:
					r.step(&EvStored{Slot: x.Slot, Block: x.Block})
					r.step(&EvVerified{Piece: x.Block.Piece, OK: true})
				}
			}
		}
	}
	serve(duplicateAfter - 100*time.Millisecond)
	if len(twice) > 0 || r.e.req.need.Has(1) {
		t.Fatalf("before they are late: %v; the other piece is missing: %v", twice, r.e.req.need.Has(1))
	}
	serve(300 * time.Millisecond)
	if got := twice[first] + twice[second]; got != len(owed) {
		t.Errorf("late blocks were requested %d times from the others: %v", got, twice)
	}
}
