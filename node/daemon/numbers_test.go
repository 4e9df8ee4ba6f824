package daemon

import (
	"context"
	"testing"

	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/node"
)

// Numbers are never given twice. Those of removed torrents are remembered for a while, and then
// take no memory.
func TestNumbersOfRemovedTorrentsAreForgotten(t *testing.T) {
	n, err := node.Open(node.Config{State: t.TempDir(), NoDHT: true, Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	numbers := newNumbers(n)
	numbers.remember = 5
	events := n.Subscribe(node.Removed)
	given := map[int64]bool{}
	add := func(hash id.ID) int64 {
		if _, err := n.Add(node.Spec{Link: &magnet.Link{InfoHash: hash, HasInfoHash: true}, Dir: t.TempDir()}); err != nil {
			t.Fatal(err)
		}
		k := numbers.of(hash)
		if k == 0 || given[k] {
			t.Fatalf("%v has number %d, which was given before: %v", hash, k, given[k])
		}
		given[k] = true
		return k
	}
	stays := add(id.ID{99})
	for round := range 40 {
		hash := id.ID{byte(1 + round%13)} // each is added again later
		k := add(hash)
		if err := n.Remove(t.Context(), hash, false); err != nil {
			t.Fatal(err)
		}
		<-events.Ready()
		numbers.handle(events.Take())
		if _, found := numbers.torrent(k); found || numbers.of(hash) != k {
			t.Fatalf("round %d: number %d names a torrent: %v; its number is %d", round, k, found, numbers.of(hash))
		}
		if len(numbers.byID) > 1+2*numbers.remember || len(numbers.ids) != 1 || len(numbers.removed) > 2*numbers.remember {
			t.Fatalf("round %d: %d, %d and %d are remembered", round, len(numbers.byID), len(numbers.ids), len(numbers.removed))
		}
	}
	if k := numbers.of(id.ID{99}); k != stays {
		t.Errorf("the one that stays has number %d, not %d", k, stays)
	}
	if k := numbers.of(id.ID{1, 2}); k != 0 {
		t.Errorf("a torrent that never was has number %d", k)
	}
}
