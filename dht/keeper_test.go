package dht

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/simnet"
)

// rounds collects the reports about an item.
type rounds struct {
	mu  sync.Mutex
	all []RepublishReport
}

func (r *rounds) add(t RepublishReport, _ error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, t)
}

// count returns the number of rounds in which the item was sent to every node, those in
// which it was sent to some, and those that found a newer item.
func (r *rounds) count() (full, part, newer int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.all {
		switch {
		case t.Newer != nil:
			newer++
		case t.Sent > 0 && t.Sent == len(t.Nodes):
			full++
		case t.Sent > 0:
			part++
		}
	}
	return full, part, newer
}

// realNodes starts a network of real nodes.
func realNodes(t *testing.T, net *simnet.Net, from, size int) (nodes []*DHT) {
	for i := range size {
		var boot []string
		if from+i > 0 {
			boot = []string{at(public(0)).String()}
		}
		nodes = append(nodes, newNode(t, Config{Conns: conn(t, net, public(from+i)), Bootstrap: boot}))
	}
	return nodes
}

// holders counts the nodes, among the 8 closest to the target, that have the item
// with this number.
func holders(nodes []*DHT, target id.ID, seq int64) (n int) {
	sorted := slices.Clone(nodes)
	slices.SortFunc(sorted, func(a, b *DHT) int { return target.CmpDistance(a.ID(false), b.ID(false)) })
	for _, d := range sorted[:8] {
		if i, ok := d.ownItem(target, nil); ok && i.Seq == seq {
			n++
		}
	}
	return n
}

// BEP 44: "re-announce the item every hour". Nodes that become the closest get it
// sooner, and a newer version from another publisher is never replaced.
func TestKeeperRepublishesAnItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(30, simnet.Link{Delay: 25 * ms})
		nodes := realNodes(t, net, 0, 14)
		time.Sleep(time.Minute)
		owner := nodes[0]
		item := signed(t, "", 1, "5:first")
		target := item.Target()
		k := NewKeeper(owner)
		var r rounds
		stop := k.Keep(item, false, r.add)
		time.Sleep(10 * time.Second)
		others := nodes[1:]
		if n := holders(others, target, 1); n < 7 {
			t.Fatalf("%d of the 8 closest have it", n)
		}
		hours := 3
		if raceEnabled {
			hours = 1
		}
		time.Sleep(time.Duration(hours) * time.Hour)
		full, part, _ := r.count()
		if full < hours || full > hours+2 {
			t.Errorf("the item was sent to every node %d times in %d hours", full, hours)
		}
		t.Logf("the item was sent to all nodes in %d rounds, to some in %d", full, part)
		if n := holders(others, target, 1); n < 7 {
			t.Errorf("%d of the 8 closest have it after %d hours", n, hours)
		}
		// Half of the nodes are new. The closest of them get the item long before the hour
		// is over.
		fresh := realNodes(t, net, 14, 10)
		all := append(slices.Clone(others), fresh...)
		time.Sleep(checkEvery + time.Minute)
		if n := holders(all, target, 1); n < 7 {
			t.Errorf("%d of the 8 closest have it after new nodes joined", n)
		}
		// Another holder of the key puts a newer version.
		second := signed(t, "", 2, "6:second")
		if p, err := fresh[0].Put(t.Context(), second, nil); err != nil || p.Stored == 0 {
			t.Fatal(p.Stored, err)
		}
		time.Sleep(time.Hour)
		if _, _, newer := r.count(); newer == 0 {
			t.Error("the newer item was not reported")
		}
		if n := holders(all, target, 2); n < 7 {
			t.Errorf("the newer one is at %d of the 8 closest", n)
		}
		// An item that is no longer republished expires within two hours.
		stop()
		if k.Len() != 0 {
			t.Error("the item is still republished")
		}
		time.Sleep(3 * time.Hour)
		if g, err := fresh[1].Get(t.Context(), target, nil, nil, nil); err != nil || g.Item != nil {
			t.Error("the item is still stored:", g.Item, err)
		}
	})
}

// Two clients keep items of one target. The higher number is republished, whoever came first, and each
// client can stop without ending the other one.
func TestKeeperOfTwoClients(t *testing.T) {
	if raceEnabled {
		t.Skip("it simulates seven hours; TestKeeperRepublishesAnItem runs the same goroutines")
	}
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(32, simnet.Link{Delay: 25 * ms})
		nodes := realNodes(t, net, 0, 10)
		time.Sleep(time.Minute)
		k := NewKeeper(nodes[0])
		first, second := signed(t, "", 1, "5:first"), signed(t, "", 2, "6:second")
		target := first.Target()
		var a, b, c rounds
		stopA := k.Keep(first, false, a.add)
		stopB := k.Keep(second, false, b.add)
		stopC := k.Keep(second, true, c.add)
		k.Keep(signed(t, "", 1, "5:older"), false, nil)()
		time.Sleep(time.Hour)
		if n := holders(nodes[1:], target, 2); n < 7 || k.Len() != 1 {
			t.Errorf("%d of the 8 closest have the higher number; %d items are kept", n, k.Len())
		}
		fullB, _, _ := b.count()
		fullC, _, _ := c.count()
		if fullC == 0 || fullB == 0 {
			t.Errorf("the clients of the same item were told of %d and %d rounds", fullB, fullC)
		}
		stopC()
		time.Sleep(3 * time.Hour)
		if n := holders(nodes[1:], target, 2); n < 7 {
			t.Errorf("%d of the 8 closest have the item after one of its clients has stopped", n)
		}
		stopB()
		time.Sleep(3 * time.Hour)
		if n := holders(nodes[1:], target, 1); n < 7 {
			t.Errorf("%d of the 8 closest have the lower number after the clients of the higher one have stopped", n)
		}
		stopA()
		if k.Len() != 0 {
			t.Errorf("%d items are kept", k.Len())
		}
	})
}

// Many items are republished within the keeper's share of the rate. If no node answers,
// the keeper retries soon.
func TestKeeperOfManyItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(31, simnet.Link{Delay: 25 * ms})
		nodes := realNodes(t, net, 0, 12)
		time.Sleep(time.Minute)
		lone := newNode(t, Config{Conns: conn(t, net, public(200)), Bootstrap: []string{at(public(201)).String()}, Rate: 50})
		k := NewKeeper(lone)
		var r rounds
		const many = 40
		for i := range many {
			k.Keep(signed(t, string(rune('a'+i)), 1, "1:x"), false, r.add)
		}
		time.Sleep(2 * time.Minute)
		if full, _, _ := r.count(); full != 0 {
			t.Fatal("a round succeeded although no node was running")
		}
		lone.AddNode(at(public(3)))
		before := lone.Stats().V4.Out
		time.Sleep(30 * time.Minute)
		for i := range many {
			item := signed(t, string(rune('a'+i)), 1, "1:x")
			if g, err := nodes[i%len(nodes)].Get(t.Context(), item.Target(), item.Salt, nil, nil); err != nil || g.Item == nil {
				t.Errorf("item %d was not found: %v", i, err)
			}
		}
		if sent, share := float64(lone.Stats().V4.Out-before), keeperShare*50*30*60; sent > 1.5*share {
			t.Errorf("%.0f queries were sent, the share is %.0f", sent, share)
		}
	})
}
