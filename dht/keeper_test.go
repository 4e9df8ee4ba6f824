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

// rounds collects the reports that an owner of an item gets.
type rounds struct {
	mu  sync.Mutex
	all []TendReport
}

func (r *rounds) told(t TendReport, _ error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, t)
}

// count returns how many rounds reached every node, and how many only some.
func (r *rounds) count() (full, part, newer int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.all {
		switch {
		case t.Newer != nil:
			newer++
		case t.Told > 0 && t.Told == len(t.Nodes):
			full++
		case t.Told > 0:
			part++
		}
	}
	return full, part, newer
}

// townsfolk starts a network of real nodes.
func townsfolk(t *testing.T, net *simnet.Net, from, size int) (nodes []*DHT) {
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
func TestKeeperKeepsAnItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(30, simnet.Link{Delay: 25 * ms})
		nodes := townsfolk(t, net, 0, 14)
		time.Sleep(time.Minute)
		owner := nodes[0]
		item := signed(t, "", 1, "5:first")
		target := item.Target()
		k := NewKeeper(owner)
		var r rounds
		stop := k.Keep(item, false, r.told)
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
			t.Errorf("every node was told %d times in %d hours", full, hours)
		}
		t.Logf("%d rounds told all, %d some", full, part)
		if n := holders(others, target, 1); n < 7 {
			t.Errorf("%d of the 8 closest have it after %d hours", n, hours)
		}
		// Half of the nodes are new: the closest ones have the item long before the hour is over.
		fresh := townsfolk(t, net, 14, 10)
		all := append(slices.Clone(others), fresh...)
		time.Sleep(tendEvery + time.Minute)
		if n := holders(all, target, 1); n < 7 {
			t.Errorf("%d of the 8 closest have it after nodes have come", n)
		}
		// Another holder of the key puts a newer version.
		second := signed(t, "", 2, "6:second")
		if p, err := fresh[0].Put(t.Context(), second, nil); err != nil || p.Kept == 0 {
			t.Fatal(p.Kept, err)
		}
		time.Sleep(time.Hour)
		if _, _, newer := r.count(); newer == 0 {
			t.Error("the owner was not told")
		}
		if n := holders(all, target, 2); n < 7 {
			t.Errorf("the newer one is at %d of the 8 closest", n)
		}
		// An item that is not kept any more expires within two hours.
		stop()
		if k.Len() != 0 {
			t.Error("it is kept still")
		}
		time.Sleep(3 * time.Hour)
		if g, err := fresh[1].Get(t.Context(), target, nil, nil, nil); err != nil || g.Item != nil {
			t.Error("it is there still:", g.Item, err)
		}
	})
}

// Many items are republished within the keeper's share of the rate. If no node answers,
// the keeper retries soon.
func TestKeeperOfManyItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(31, simnet.Link{Delay: 25 * ms})
		nodes := townsfolk(t, net, 0, 12)
		time.Sleep(time.Minute)
		lone := newNode(t, Config{Conns: conn(t, net, public(200)), Bootstrap: []string{at(public(201)).String()}, Rate: 50})
		k := NewKeeper(lone)
		var r rounds
		const many = 40
		for i := range many {
			k.Keep(signed(t, string(rune('a'+i)), 1, "1:x"), false, r.told)
		}
		time.Sleep(2 * time.Minute)
		if full, _, _ := r.count(); full != 0 {
			t.Fatal("somebody took it, and nobody was there")
		}
		lone.AddNode(at(public(3)))
		before := lone.Stats().V4.Out
		time.Sleep(30 * time.Minute)
		for i := range many {
			item := signed(t, string(rune('a'+i)), 1, "1:x")
			if g, err := nodes[i%len(nodes)].Get(t.Context(), item.Target(), item.Salt, nil, nil); err != nil || g.Item == nil {
				t.Errorf("item %d is not there: %v", i, err)
			}
		}
		if sent, share := float64(lone.Stats().V4.Out-before), keeperShare*50*30*60; sent > 1.5*share {
			t.Errorf("%.0f queries were sent, the share is %.0f", sent, share)
		}
	})
}
