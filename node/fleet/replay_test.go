package fleet

import (
	"bytes"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/netx"
)

// recorder is the network of a node whose datagrams somebody else records.
type recorder struct {
	netx.Network
	udp []*netx.Socket

	mu   sync.Mutex
	sent [][]byte
}

// recordedConn records what a socket sends.
type recordedConn struct {
	netx.PacketConn
	*recorder
}

func newRecorder(network netx.Network) *recorder {
	r := &recorder{Network: network}
	for _, s := range network.UDP() {
		r.udp = append(r.udp, netx.NewSocket(recordedConn{s, r}))
	}
	return r
}

// UDP implements netx.Network.
func (r *recorder) UDP() []*netx.Socket { return r.udp }

// WriteTo implements netx.PacketConn.
func (c recordedConn) WriteTo(b []byte, to netip.AddrPort) error {
	c.mu.Lock()
	c.sent = append(c.sent, bytes.Clone(b))
	c.mu.Unlock()
	return c.PacketConn.WriteTo(b, to)
}

// recorded returns all datagrams until now.
func (r *recorder) recorded() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.sent)
}

// replay sends recorded datagrams to some nodes, from the address of somebody else.
func replay(t *testing.T, recorded [][]byte, from *netx.Socket, nums ...int) {
	t.Helper()
	for _, b := range recorded {
		for _, num := range nums {
			if err := from.WriteTo(b, fleetAddr(num)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// Somebody without the key sends again what a node has sent in an earlier run, which the others decrypt. A node that has left comes
// back in the view of the others, and goes again by itself. A node that runs again is told to be gone, and objects.
func TestAReplayEndsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 12)
		r.start(1)
		r.start(2, 1)
		var old *recorder
		r.startWith(3, func(c *Config) {
			old = newRecorder(c.Network)
			c.Members, c.Network = []string{fleetAddr(1).String()}, old
		})
		r.until(30*time.Second, "three nodes divide the torrents", func() bool { return r.divided(1, 2, 3) })
		alive := old.recorded() // without those that say that it leaves
		r.stop(r.nodes[3])
		all := old.recorded()
		r.until(30*time.Second, "two nodes divide the torrents", func() bool { return r.divided(1, 2) })
		time.Sleep(3 * time.Minute) // until the others have forgotten how old the messages of node 3 are

		stack, err := r.net.Host(netip.MustParseAddr("10.9.9.9")).Open(testPort)
		if err != nil {
			t.Fatal(err)
		}
		defer stack.Close()
		attacker := stack.UDP()[0]
		isMember := func(num int) bool {
			return slices.ContainsFunc(r.nodes[num].Status().Members, func(m Member) bool { return m.Name == name(3) && m.Live })
		}

		replay(t, alive, attacker, 1, 2)
		if !isMember(1) || !isMember(2) {
			t.Error("the replay has no effect; say so in docs/fleet.md")
		}
		took := r.until(time.Minute, "node 3 is gone again", func() bool {
			for _, torrent := range r.torrents {
				if len(r.announcing(torrent)) == 0 {
					t.Fatal("nobody announces a torrent")
				}
			}
			return !isMember(1) && !isMember(2) && r.divided(1, 2)
		})
		t.Logf("the node that had left was a member for %v", took)

		time.Sleep(3 * time.Minute)
		r.start(3, 1)
		r.until(30*time.Second, "three nodes divide the torrents again", func() bool { return r.divided(1, 2, 3) })
		lost := 0
		for range 5 {
			replay(t, all, attacker, 1, 2, 3)
			for range 100 {
				if !isMember(1) || !isMember(2) {
					lost++
				}
				time.Sleep(100 * time.Millisecond)
			}
			r.until(time.Minute, "node 3 has objected", func() bool { return isMember(1) && isMember(2) && r.divided(1, 2, 3) })
		}
		t.Logf("node 3 was lost in %d of 500 looks", lost)
		for num := 1; num <= 3; num++ {
			if s := r.nodes[num].Status(); len(s.Members) != 3 || s.Settling {
				t.Errorf("node %d says: %+v", num, s)
			}
		}
	})
}
