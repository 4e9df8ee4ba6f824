package dht

import (
	"encoding/binary"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/simnet"
)

// An infohash with a key is announced only while the node owns it; others are announced always.
func TestOnlyOwnedInfohashesAreAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(20, simnet.Link{Delay: 25 * ms})
		nodes := realNodes(t, net, 0, 8)
		time.Sleep(time.Minute)
		a := NewAnnouncer(nodes[7])
		free, one, two := randomID(), randomID(), randomID()
		check := func(what string, scheduled, owned int, want ...id.ID) {
			t.Helper()
			time.Sleep(50 * time.Minute) // what is not announced any more has expired
			for _, k := range []id.ID{free, one, two} {
				isWanted := false
				for _, w := range want {
					isWanted = isWanted || w == k
				}
				f := newFound()
				nodes[3].Lookup(t.Context(), k, f.add)
				ago, isAccepted := a.LastAnnounce(k)
				if (len(f.peers) > 0) != isWanted || a.IsAnnounced(k) != isWanted || isAccepted != isWanted || ago > time.Hour {
					t.Errorf("%s: %v is announced: %t, %v ago (%t), and found: %v", what, k, a.IsAnnounced(k), ago, isAccepted, f.peers)
				}
			}
			if s := a.Stats(); s.Torrents != scheduled || s.Keyed != 2 || s.Owned != owned {
				t.Errorf("%s: %+v", what, s)
			}
		}
		a.Add(free, Announcement{Ports: onPort(7)})
		a.Add(one, Announcement{Ports: onPort(7), Key: one})
		a.Add(two, Announcement{Ports: onPort(7), Key: two})
		check("everything is owned", 3, 2, free, one, two)
		a.SetOwned(func(k id.ID) bool { return k == one })
		check("one is owned", 2, 1, free, one)
		a.SetOwned(func(k id.ID) bool { return k == two })
		a.SetPorts(onPort(8))
		check("the other is owned", 2, 1, free, two)
		a.Add(one, Announcement{Ports: onPort(8), Key: one}) // again
		remove := a.Add(two, Announcement{Ports: onPort(8), Key: two})
		check("they were added again", 2, 1, free, two)
		remove()
		if s := a.Stats(); s.Torrents != 1 || s.Keyed != 1 || s.Owned != 0 {
			t.Errorf("after a removal: %+v", s)
		}
	})
}

// BenchmarkSetOwned measures a change of the owners of 100,000 torrents, half of which this node owns before and after. It
// reports the nanoseconds for each torrent.
func BenchmarkSetOwned(b *testing.B) {
	net := simnet.New(1, simnet.Link{})
	d := newNode(b, Config{Conns: conn(b, net, public(1))})
	a := NewAnnouncer(d)
	const torrents = 100_000
	for i := range torrents {
		var k id.ID
		binary.BigEndian.PutUint32(k[:], uint32(i)*2654435761)
		a.Add(k, Announcement{Ports: onPort(7), Key: k})
	}
	a.SetOwned(func(k id.ID) bool { return k[0]&1 == 0 })
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		a.SetOwned(func(k id.ID) bool { return (k[0]>>(i&1))&1 == 0 })
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/torrents, "ns/torrent")
}
