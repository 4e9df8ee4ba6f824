package dht

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht/krpc"
	"seedbed/dht/table"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/simnet"
)

// watched records what a node sends, by address and second.
type watched struct {
	netx.PacketConn
	mu   sync.Mutex
	sent map[netip.Addr]map[time.Time]int
	low  []netip.AddrPort // ports below 1024
}

func (w *watched) note(to netip.AddrPort) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if to.Port() < 1024 {
		w.low = append(w.low, to)
	}
	if w.sent[to.Addr()] == nil {
		w.sent[to.Addr()] = map[time.Time]int{}
	}
	w.sent[to.Addr()][time.Now().Truncate(time.Second)]++
}

func (w *watched) WriteTo(b []byte, to netip.AddrPort) error {
	w.note(to)
	return w.PacketConn.WriteTo(b, to)
}

func (w *watched) WriteBatch(ms []netx.Datagram) (int, error) {
	for _, m := range ms {
		w.note(m.Addr)
	}
	return w.PacketConn.WriteBatch(ms)
}

// nameVictim runs a node that answers every query with nodes at a victim's address, with
// ids close to the target and other ports every time.
func nameVictim(t *testing.T, l netx.PacketConn, own id.ID, victim netip.Addr, ports func() uint16) {
	r := rand.New(rand.NewPCG(1, 2))
	in := []netx.Datagram{{Buf: make([]byte, 2048)}}
	var m krpc.Message
	for {
		if _, err := l.ReadBatch(in); err != nil {
			return
		}
		if krpc.Parse(in[0].Buf[:in[0].N], &m) != nil || m.Y != 'q' {
			continue
		}
		q := &m.Query
		b := append([]byte("d1:rd2:id20:"), own[:]...)
		var nodes []byte
		for range table.K {
			x := near(q.Target, 20+r.IntN(100), randomID())
			ip := victim.As4()
			nodes = binary.BigEndian.AppendUint16(append(append(nodes, x[:]...), ip[:]...), ports())
		}
		b = bencode.AppendBytes(append(b, "5:nodes"...), nodes)
		b = append(b, "5:token4:lies"...)
		b = append(bencode.AppendBytes(append(b, "e1:t"...), q.T), "1:y1:re"...)
		if err := l.WriteTo(b, in[0].Addr); err != nil {
			return
		}
		// It sends queries too, so that it gets into the table and is queried in every way.
		if r.IntN(4) == 0 {
			ask := about(randomID())
			_ = l.WriteTo(appendQuery(nil, []byte("tt"), own, "find_node", &ask, false), in[0].Addr)
		}
	}
}

// A DHT node that returns a victim's address makes us send nothing to ports below 1024, and
// only a limited number of queries to other ports, whatever we do meanwhile.
func TestANodeThatReturnsAVictimsAddress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(5, simnet.Link{Delay: 20 * ms})
		victim := netip.MustParseAddr("9.9.9.9")
		low := []uint16{1, 22, 25, 53, 80, 123, 443, 1023}
		var count atomic.Int64
		ports := func() uint16 {
			n := int(count.Add(1))
			if n%2 == 0 {
				return low[n/2%len(low)]
			}
			return uint16(1024 + n*7%60000)
		}
		var boot []string
		for i := range 4 { // lying nodes that have their own entries in the table
			l, err := net.Host(public(100 + i)).PacketConn(6881)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			go nameVictim(t, l, randomID(), victim, ports)
			boot = append(boot, at(public(100+i)).String())
		}
		raw, err := net.Host(public(1)).PacketConn(6881)
		if err != nil {
			t.Fatal(err)
		}
		w := &watched{PacketConn: raw, sent: map[netip.Addr]map[time.Time]int{}}
		begun := time.Now()
		d := newNode(t, Config{Conns: []*netx.Socket{netx.NewSocket(w)}, Bootstrap: boot})
		within(t, time.Minute, "the lying nodes answer", func() bool { return d.Stats().V4.Replies > 0 })
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				for ctx.Err() == nil {
					_, _ = d.Lookup(ctx, randomID(), func(netip.AddrPort, []netip.AddrPort) {})
					_, _ = d.Announce(ctx, randomID(), onPort(4000), false, func(netip.AddrPort, []netip.AddrPort) {})
					_, _ = d.FindNode(ctx, randomID())
				}
			})
		}
		// Peers give us the victim's address too (PORT of BEP 5), and forged queries seem
		// to come from its low port.
		asks, err := net.Host(victim).PacketConn(53)
		if err != nil {
			t.Fatal(err)
		}
		defer asks.Close()
		for range 100 {
			d.AddNode(netip.AddrPortFrom(victim, ports()))
			ask := about(randomID())
			if err := asks.WriteTo(appendQuery(nil, []byte("tt"), randomID(), "find_node", &ask, false), at(public(1))); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
		}
		cancel()
		wg.Wait()
		w.mu.Lock()
		defer w.mu.Unlock()
		if len(w.low) > 0 {
			t.Errorf("%d datagrams to ports below 1024, the first to %v", len(w.low), w.low[0])
		}
		total, most := 0, 0
		for _, k := range w.sent[victim] {
			total, most = total+k, max(most, k)
		}
		t.Logf("%d datagrams to the victim, %d in the worst second", total, most)
		if limit := silentBurst + silentRate*int(time.Since(begun)/time.Second+1); total == 0 || total > limit || most > silentBurst+silentRate {
			t.Errorf("%d datagrams to the victim, at most %d; %d in the worst second, at most %d", total, limit, most, silentBurst+silentRate)
		}
	})
}

// The user may give a bootstrap node, or a node to ping, at any port.
func TestLowPortsAreAllowedIfTheUserGivesThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(5, simnet.Link{Delay: 20 * ms})
		to := netip.AddrPortFrom(public(2), 443)
		l, err := net.Host(to.Addr()).PacketConn(to.Port())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		other := newNode(t, Config{Conns: conn(t, net, public(3))})
		go nameVictim(t, l, randomID(), public(3), func() uint16 { return 6881 })
		d := newNode(t, Config{Conns: conn(t, net, public(1)), Bootstrap: []string{to.String()}})
		within(t, time.Minute, "the node that it returns is found", func() bool { return d.Stats().V4.Nodes == 1 && other.Stats().V4.Queries > 0 })
		if _, err := d.Ping(t.Context(), to); err != nil {
			t.Error(err)
		}
	})
}
