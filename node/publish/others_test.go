package publish

import (
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// While the machine of a publisher is off, another node with the store republishes the item, if it owns the target. After the
// publication has ended, nobody does, also if the store was away at that time.
func TestNodesKeepEachOthersPublicationsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(19, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		state, dir := t.TempDir(), nodetest.Site(t, 2)
		b := start(t, n, 2, nodetest.Boot(101), inStore(store))
		isThere := func() bool {
			t.Helper()
			g, err := b.items.Get(t.Context(), targetOf(keyLink(testKey(0))), nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			return g.Item != nil
		}
		publish := func(num int) (*rig, *Publication) {
			t.Helper()
			a := start(t, n, num, nodetest.Boot(100), nodetest.State(state), inStore(store))
			p, err := a.publishWith(dir)
			if err != nil {
				t.Fatal(err)
			}
			return a, p
		}
		a, _ := publish(3)
		a.Node.Close()
		time.Sleep(3 * time.Hour) // longer than nodes keep an item
		if !isThere() {
			t.Error("the item is gone while its publisher is off")
		}

		a, p := publish(4)
		if err := p.Remove(true); err != nil {
			t.Fatal(err)
		}
		a.Node.Close()
		time.Sleep(3 * time.Hour)
		if isThere() {
			t.Error("another node republishes what has ended")
		}

		a, p = publish(5) // the same version, which is alive again
		time.Sleep(othersEvery + time.Minute)
		if b.items.Kept() != 1 {
			t.Errorf("%d items are republished of one that is published again", b.items.Kept())
		}
		var owns atomic.Bool
		b.SetOwnership(&node.Ownership{Owns: func(id.ID) bool { return owns.Load() }, Others: func(id.ID) []netip.AddrPort { return nil }})
		time.Sleep(othersEvery + time.Minute)
		if b.items.Kept() != 0 {
			t.Error("a node republishes the item of a target that it does not own")
		}
		owns.Store(true)
		store.SetDown(true)
		if err := p.Remove(false); err != nil {
			t.Fatal(err)
		}
		a.Node.Close()
		store.SetDown(false)
		time.Sleep(othersEvery + time.Minute)
		if b.items.Kept() != 1 {
			t.Error("the store was not told that it has ended, and the item is not republished")
		}
		start(t, n, 6, nodetest.Boot(100), nodetest.State(state), inStore(store))
		time.Sleep(2*othersEvery + time.Minute)
		if b.items.Kept() != 0 {
			t.Error("the store is not told later")
		}
	})
}
