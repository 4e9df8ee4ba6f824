package dht

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht/table"
	"seedbed/internal/simnet"
)

// Within seconds after its address has changed, a node knows the new one, has an id that fits to it
// (BEP 42), has found live nodes again, and its torrents are announced from there. It makes no
// difference whether the machine has that address itself or a router does.
func TestANodeFollowsItsAddress(t *testing.T) {
	for name, local := range map[string]netip.Addr{"public": public(501), "behind a router": netip.MustParseAddr("192.168.1.2")} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				net := simnet.New(40, simnet.Link{Delay: 30 * ms, Jitter: 40 * ms})
				startNetwork(t, net, 40)
				boot := []string{at(public(0)).String()}
				d := newNode(t, Config{Conns: conn(t, net, public(500)), Bootstrap: boot})
				other := newNode(t, Config{Conns: conn(t, net, public(600)), Bootstrap: boot})
				a := NewAnnouncer(d)
				infohash := randomID()
				a.Add(infohash, Announcement{Ports: onPort(6881)})
				time.Sleep(10 * time.Minute)
				if d.External(false) != public(500) || !table.Secure(d.ID(false), public(500)) {
					t.Fatalf("%v, %v", d.External(false), d.ID(false))
				}
				net.Host(public(500)).Readdress(public(500), public(501))
				time.Sleep(time.Minute)
				if d.External(false) != public(500) {
					t.Fatal("the test shows nothing: the address was noticed by itself")
				}
				changed := time.Now()
				d.NetworkChanged(false, local)
				a.Renew(false)
				within(t, 10*time.Second, "the address and the id", func() bool {
					return d.External(false) == public(501) && table.Secure(d.ID(false), public(501))
				})
				within(t, 10*time.Second-time.Since(changed), "16 nodes answer", func() bool { return d.repliedSince(changed) >= 16 })
				time.Sleep(10*time.Second - time.Since(changed))
				f := newFound()
				if _, err := other.Lookup(t.Context(), infohash, f.add); err != nil {
					t.Fatal(err)
				}
				if !slices.Contains(f.peers, at(public(501))) {
					t.Errorf("not announced from the new address: %v", f.peers)
				}
			})
		})
	}
}

// An item whose rounds failed while the machine was offline is put as soon as it is back.
func TestItemsArePutAfterAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(41, simnet.Link{Delay: 25 * ms})
		nodes := realNodes(t, net, 0, 10)
		time.Sleep(time.Minute)
		link := func(l simnet.Link) {
			for i := 1; i < len(nodes); i++ {
				net.SetLink(public(0), public(i), l)
			}
		}
		item := signed(t, "", 1, "5:first")
		k := NewKeeper(nodes[0])
		link(simnet.Link{Loss: 1})
		defer k.Keep(item, false, nil)()
		time.Sleep(30 * time.Minute)
		link(simnet.Link{Delay: 25 * ms})
		nodes[0].NetworkChanged(false, public(0))
		k.Retry()
		time.Sleep(10 * time.Second)
		if n := holders(nodes[1:], item.Target(), 1); n < 7 {
			t.Errorf("%d of the 8 closest have it 10 s later", n)
		}
	})
}
