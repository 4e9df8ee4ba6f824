package fleet

import (
	"bytes"
	"context"
	"crypto/rand"
	"net"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/nodetest"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/swarm"
)

// A node that is cut off owns everything on its side, and the others everything on theirs. They find each other again, also
// long after they have forgotten each other's membership, and though the node was told of none of the others.
func TestBothSidesOfAPartitionGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 12)
		r.start(1)
		r.start(2, 1)
		r.start(3, 1)
		r.until(30*time.Second, "three nodes divide the torrents", func() bool { return r.divided(1, 2, 3) })
		cut := r.nodes[1]
		cut.Host.Unplug()
		r.until(30*time.Second, "each side divides the torrents", func() bool { return r.divided(2, 3) && r.divided(1) })
		time.Sleep(10 * time.Minute)
		if !r.divided(2, 3) || !r.divided(1) {
			t.Error("the sides changed")
		}
		if s := r.nodes[2].Status(); s.Unreachable == "" || len(s.Members) != 2 {
			t.Errorf("node 2 says: %+v", s)
		}
		cut.Host.Plug()
		r.until(time.Minute, "the sides have found each other", func() bool {
			s := r.nodes[2].Status()
			return r.divided(1, 2, 3) && s.Unreachable == "" && len(s.Members) == 3 && !s.Settling
		})
		// Without the node that both were told of, too.
		r.stop(r.nodes[1])
		cut = r.nodes[3]
		cut.Host.Unplug()
		time.Sleep(5 * time.Minute)
		cut.Host.Plug()
		r.until(time.Minute, "the others have found each other", func() bool {
			return r.divided(2, 3) && len(r.nodes[2].Status().Members) == 2 && len(r.nodes[3].Status().Members) == 2
		})
	})
}

// A short failure moves nothing.
func TestAShortFailureMovesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 12)
		r.startThree(1)
		for range 3 {
			r.nodes[3].Host.Unplug()
			for range 80 {
				time.Sleep(100 * time.Millisecond)
				if !r.divided(1, 2, 3) {
					t.Fatal("torrents moved within 8 s")
				}
			}
			r.nodes[3].Host.Plug()
			for range 200 {
				time.Sleep(100 * time.Millisecond)
				if !r.divided(1, 2, 3) {
					t.Fatal("torrents moved after the node was back")
				}
			}
		}
	})
}

// While the nodes restart one after the other, each torrent is announced all the time.
func TestRollingRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 12)
		r.startThree(1, 2, 3)
		check := func(seconds int) {
			for range 10 * seconds {
				time.Sleep(100 * time.Millisecond)
				for _, torrent := range r.torrents {
					if len(r.announcing(torrent)) == 0 {
						t.Fatal("nobody announces a torrent")
					}
				}
			}
		}
		for num := 1; num <= 3; num++ {
			r.stop(r.nodes[num])
			check(4 * num)
			r.start(num, 1, 2, 3)
			check(30)
			if !r.divided(1, 2, 3) {
				t.Fatalf("the torrents are not divided after the restart of node %d", num)
			}
		}
	})
}

// A node whose others are all away works alone, goes on trying, and joins them when they are there.
func TestANodeWorksAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 6)
		m := r.start(1, 1, 2, 3) // its own address is one of those that are named
		time.Sleep(8 * time.Second)
		if s := m.Status(); r.divided(1) || s.Unreachable == "" {
			t.Errorf("at first: %+v", s)
		}
		r.until(30*time.Second, "the node owns everything", func() bool { return r.divided(1) })
		r.start(3)
		r.until(30*time.Second, "they have found each other", func() bool {
			s := m.Status()
			return s.Unreachable == "" && len(s.Members) == 2 && len(m.Owners(r.torrents[0].Info.Hash)) == 2 && r.divided(1, 3)
		})
	})
}

// Nodes without the key of the fleet, or with another store, own nothing and change nothing.
func TestOthersOwnNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 12)
		r.start(1)
		r.start(2, 1)
		r.until(30*time.Second, "two nodes divide the torrents", func() bool { return r.divided(1, 2) })
		before := r.nodes[1].Status().Members
		r.startWith(3, func(c *Config) {
			c.Members, c.Key = []string{fleetAddr(1).String()}, bytes.Repeat([]byte{1}, KeyLen)
		})
		r.startWith(4, func(c *Config) {
			c.Members, c.Store = []string{fleetAddr(1).String()}, "s3://other"
		})
		r.until(time.Minute, "node 4 is known", func() bool { return len(r.nodes[1].Status().Members) == len(before)+1 })
		time.Sleep(time.Minute)
		if !r.divided(1, 2) || !r.divided(3) || !r.divided(4) {
			t.Error("the torrents are divided otherwise")
		}
		for _, m := range r.nodes[1].Status().Members {
			if m.Name == name(3) || m.OtherStore != (m.Name == name(4)) || m.Age > 10*time.Second {
				t.Errorf("%+v", m)
			}
		}
	})
}

// Two nodes with one name are reported, by both.
func TestANameTakenTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.start(1)
		r.start(2, 1)
		r.until(30*time.Second, "node 2 is a member", func() bool { return len(r.nodes[1].Status().Members) == 2 })
		r.startWith(3, func(c *Config) { c.Members, c.Name = []string{fleetAddr(1).String()}, name(2) })
		time.Sleep(3 * time.Minute)
		for _, num := range []int{1, 3} {
			if w := r.nodes[num].Warnings(); strings.Count(w, "two nodes of the fleet have the name node-2") != 1 {
				t.Errorf("node %d warns: %q", num, w)
			}
		}
		for _, m := range r.nodes[1].Status().Members {
			if m.SameName.IsValid() != (m.Name == name(2)) {
				t.Errorf("%+v", m)
			}
		}
	})
}

// Datagrams and connections of others do not disturb a fleet, and are not answered with more than they have sent.
func TestHostileTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 6)
		r.start(1)
		r.start(2, 1)
		r.until(30*time.Second, "two nodes divide the torrents", func() bool { return r.divided(1, 2) })
		attacker := r.net.Host(netip.MustParseAddr("10.9.9.9"))
		stack, err := attacker.Open(testPort)
		if err != nil {
			t.Fatal(err)
		}
		defer stack.Close()
		udp := stack.UDP()[0]
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		b := make([]byte, 1400)
		var conns []net.Conn
		for i := range 300 {
			_, _ = rand.Read(b)
			if b[0] = byte(i % 20); i%20 == 19 {
				b[0] = 244 // a label
			}
			if err := udp.WriteTo(b[:1+i*4], fleetAddr(1)); err != nil {
				t.Fatal(err)
			}
			c, err := attacker.Dial(ctx, fleetAddr(1))
			if err != nil {
				t.Fatal(err)
			}
			conns = append(conns, c)
			if i%2 == 0 {
				go func() { _, _ = c.Write([]byte{10, 0, 255, 255, 255, 1, 2, 3}) }() // encrypted, of 16 MiB
			}
			time.Sleep(100 * time.Millisecond)
		}
		p := r.nodes[1].port
		p.mu.Lock()
		open := p.sum
		p.mu.Unlock()
		if open > maxStreamsPerHost {
			t.Errorf("%d connections of one host are open", open)
		}
		if !r.divided(1, 2) || len(r.nodes[1].Status().Members) != 2 {
			t.Errorf("the fleet changed: %+v", r.nodes[1].Status())
		}
		for _, c := range conns {
			c.Close()
		}
		if in := udp.Traffic().In; in != 0 {
			t.Errorf("the attacker was sent %d bytes", in)
		}
	})
}

// A peer of a node that does not own a torrent learns of the owners. The nodes themselves never connect to each other as
// peers, though they find each other in the DHT.
func TestPeersFindTheOwners(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRigOf(t, 3, 2_000_000)
		r.startThree(1)
		time.Sleep(time.Minute)
		torrent := r.torrents[0]
		other := 0
		owners := r.announcing(torrent)
		for num := 1; num <= 3; num++ {
			if num != owners[0] && num != owners[1] {
				other = num
			}
		}
		peer := nodetest.Start(t, r.net, 10, func(c *node.Config) { c.NoDHT = true })
		link, err := magnet.ParseBare("magnet:?xt=urn:btih:" + torrent.Info.Hash.String())
		if err != nil {
			t.Fatal(err)
		}
		got, err := peer.Add(node.Spec{Link: link, Dir: t.TempDir(), Peers: []string{nodetest.AddrPort(other).String()}})
		if err != nil {
			t.Fatal(err)
		}
		r.until(time.Minute, "the peer is connected to all three nodes", func() bool {
			return got.Snapshot().Connected == 3
		})
		for num, m := range r.nodes {
			c := m.Counters()
			if c.Dials.V4 != (swarm.Dials{}) || c.Peers.V4.Incoming > 1 {
				t.Errorf("node %d has dialled %+v and has %+v", num, c.Dials.V4, c.Peers.V4)
			}
		}
	})
}
