package dht

import (
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht/krpc"
	"seedbed/internal/netx"
	"seedbed/internal/rate"
	"seedbed/internal/simnet"
)

// counting records when each address was last written to, and the maximum number of
// addresses within rate.FlowTime.
type counting struct {
	netx.PacketConn
	mu   sync.Mutex
	last map[netip.AddrPort]time.Time
	most int
}

func (c *counting) note(to netip.AddrPort) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last[to] = time.Now()
	open := 0
	for _, at := range c.last {
		if time.Since(at) < rate.FlowTime {
			open++
		}
	}
	c.most = max(c.most, open)
}

func (c *counting) WriteBatch(ms []netx.Datagram) (int, error) {
	for _, d := range ms {
		var m krpc.Message
		if krpc.Parse(d.Buf, &m) == nil && m.Y == 'q' {
			c.note(d.Addr)
		}
	}
	return c.PacketConn.WriteBatch(ms)
}

// The flows that a node's queries open stay within the limit. Lookups wait for a free
// flow and then continue, and all find their targets.
func TestLookupsWaitForAFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, limit = 80, 60
		net := simnet.New(4, simnet.Link{Delay: 20 * ms})
		var nodes []*DHT
		for i := range size {
			var boot []string
			if i > 0 {
				boot = []string{at(public(0)).String(), at(public(i / 2)).String()}
			}
			nodes = append(nodes, newNode(t, Config{Conns: conn(t, net, public(i)), Bootstrap: boot}))
			time.Sleep(100 * ms)
		}
		c := &counting{PacketConn: conn(t, net, public(900))[0], last: map[netip.AddrPort]time.Time{}}
		d := newNode(t, Config{Conns: []*netx.Socket{netx.NewSocket(c)}, Bootstrap: []string{at(public(0)).String()}, Flows: limit})
		<-d.Ready()
		var wg sync.WaitGroup
		for i := range 20 {
			infohash := randomID()
			if s, err := nodes[3*i].Announce(t.Context(), infohash, onPort(4000), false, nil); err != nil || s.Accepted == 0 {
				t.Fatal(s, err)
			}
			wg.Go(func() {
				found := newFound()
				if s, err := d.Lookup(t.Context(), infohash, found.add); err != nil || len(found.peers) != 1 {
					t.Errorf("%d peers, %+v, %v", len(found.peers), s, err)
				}
			})
		}
		began := time.Now()
		wg.Wait()
		c.mu.Lock()
		most := c.most
		c.mu.Unlock()
		t.Logf("20 lookups in a network of %d nodes with %d flows took %v; at most %d were open", size, limit, time.Since(began), most)
		if most > limit {
			t.Errorf("%d flows at a time, limit %d", most, limit)
		}
		if most < limit/2 {
			t.Errorf("%d flows at a time: the limit was not in force", most)
		}
		// A lookup sends about 35 queries.
		if took, allowed := time.Since(began), 20*35*rate.FlowTime/limit; took > allowed {
			t.Errorf("the lookups took %v; with these flows they can finish in %v", took, allowed)
		}
	})
}

// Nodes that other nodes return to us open at most half of the flows.
func TestPingsOfUnknownNodesLeaveFlowsForLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(5, simnet.Link{Delay: 20 * ms})
		d := newNode(t, Config{Conns: conn(t, net, public(0)), Flows: 100})
		for i := range 600 {
			d.AddNode(at(public(1 + i)))
			time.Sleep(50 * ms)
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		if n := d.flows.Len(); n != 50 {
			t.Errorf("%d flows of 100 are open", n)
		}
	})
}
