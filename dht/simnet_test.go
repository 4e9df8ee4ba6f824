package dht

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht/table"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/simnet"
)

const ms = time.Millisecond

// public returns the nth of many public addresses that do not share a /24.
func public(n int) netip.Addr { return netip.AddrFrom4([4]byte{20, byte(n >> 8), byte(n), 1}) }

func conn(t testing.TB, net *simnet.Net, addrs ...netip.Addr) []*netx.Socket {
	t.Helper()
	s, err := net.Host(addrs...).Open(6881)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s.UDP()
}

func at(a netip.Addr) netip.AddrPort { return netip.AddrPortFrom(a, 6881) }

// within fails the test if ok does not hold within d of fake time.
func within(t testing.TB, d time.Duration, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(d); !ok(); time.Sleep(10 * ms) {
		if time.Now().After(end) {
			t.Fatalf("not after %v: %s", d, what)
		}
	}
}

// A network like the internet: round trips of 50 to 150 ms, a third of the nodes
// dead, and real nodes.
func TestNetworkWithDeadNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 90
		net := simnet.New(1, simnet.Link{Delay: 25 * ms, Jitter: 50 * ms})
		var nodes []*DHT
		for i := range size {
			var boot []string
			if i > 0 {
				boot = []string{at(public(0)).String(), at(public(i / 2)).String()}
			}
			nodes = append(nodes, newNode(t, Config{Conns: conn(t, net, public(i)), Bootstrap: boot}))
			time.Sleep(200 * ms)
		}
		time.Sleep(time.Minute)
		for i := 10; i < size; i += 3 {
			net.Host(public(i)).Unplug()
		}
		var took, first []time.Duration
		asked, missing := 0, 0
		for i := range 30 {
			from, to := nodes[11+3*(i%26)], nodes[12+3*((i*7)%26)]
			infohash := randomID()
			as, err := from.Announce(t.Context(), infohash, onPort(4000), false, func(netip.AddrPort, []netip.AddrPort) {})
			if err != nil || as.Accepted < 4 {
				t.Errorf("announce %+v, %v", as, err)
			}
			f := newFound()
			ls, err := to.Lookup(t.Context(), infohash, f.add)
			if err != nil {
				t.Fatal(err)
			}
			if len(f.peers) == 0 {
				missing++
			}
			took, first = append(took, ls.Took), append(first, f.first)
			asked += ls.Asked
		}
		slices.Sort(took)
		slices.Sort(first)
		t.Logf("first peer p50 %v, p95 %v; done p50 %v, p95 %v; %d queries each; %d of 30 not found",
			first[15], first[28], took[15], took[28], asked/30, missing)
		if first[15] > 400*ms || took[15] > 800*ms || asked/30 > 60 || missing > 0 {
			t.Error("too slow, too many or too few")
		}
	})
}

// One dead host, one name that does not resolve and one whose resolution never ends
// delay nothing, and a lookup starts with the bootstrap host itself.
func TestDeadBootstrapHostsDelayNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(2, simnet.Link{Delay: 20 * ms})
		newNode(t, Config{Conns: conn(t, net, public(1)), Private: true})
		announcer := newNode(t, Config{Conns: conn(t, net, public(2)), Bootstrap: []string{at(public(1)).String()}})
		infohash := randomID()
		<-announcer.Ready()
		if as, err := announcer.Announce(t.Context(), infohash, onPort(5), false, func(netip.AddrPort, []netip.AddrPort) {}); err != nil || as.Accepted != 1 {
			t.Fatalf("announce %+v, %v", as, err)
		}
		began := time.Now()
		d := newNode(t, Config{
			Conns:     conn(t, net, public(3)),
			Bootstrap: []string{"silent.example:6881", "broken.example:6881", "dead.example:6881", "alive.example:6881"},
			Resolve: func(ctx context.Context, host string, _ uint16) ([]netip.Addr, error) {
				switch strings.TrimSuffix(host, ".example") {
				case "silent":
					<-ctx.Done()
					return nil, ctx.Err()
				case "broken":
					return nil, errors.New("no such host")
				case "dead":
					return []netip.Addr{public(99)}, nil
				}
				time.Sleep(15 * ms)
				return []netip.Addr{netip.MustParseAddr("2a01:db8::9"), public(1)}, nil
			},
		})
		f := newFound()
		go d.Lookup(t.Context(), infohash, f.add)
		<-f.any
		if took := time.Since(began); took != 55*ms {
			t.Errorf("the first peer came after %v, not after one name and one round trip", took)
		}
	})
}

// The first reply of a bootstrap host contains only dead nodes. It is queried again,
// and the item is found.
func TestABootstrapHostThatReturnsDeadNodesIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 20)
		item, err := NewItem([]byte("5:hello"))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range v.nodes[1:] {
			n.item = "1:v" + string(item.Value)
		}
		host := v.nodes[0]
		var dead []byte
		for i := range 8 {
			dead = table.AppendCompact(dead, randomID(), at(public(900+i)))
		}
		host.stale = string(bencode.AppendBytes([]byte("5:nodes"), dead))
		d := newNode(t, Config{Conns: conn(t, v.net, public(1)), Bootstrap: []string{host.addr.String()}, ReadOnly: true})
		began := time.Now()
		g, err := d.Get(t.Context(), item.Target(), nil, nil, nil)
		if err != nil || g.Item == nil {
			t.Errorf("%+v, %v", g.Report, err)
		}
		t.Logf("found after %v with %d queries", time.Since(began), g.Asked)
	})
}

func TestBootstrapIsRetriedWhileNoNodeIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(3, simnet.Link{Delay: 20 * ms})
		d := newNode(t, Config{Conns: conn(t, net, public(1)), Bootstrap: []string{at(public(2)).String()}})
		if s, err := d.Lookup(t.Context(), randomID(), func(netip.AddrPort, []netip.AddrPort) {}); err != nil || s.Asked != 1 || s.Answered != 0 {
			t.Fatalf("a lookup without an answer: %+v, %v", s, err)
		}
		time.Sleep(5 * time.Minute)
		sent := d.Stats().V4.Out
		if sent < 5 || sent > 20 {
			t.Errorf("%d queries in five minutes without an answer", sent)
		}
		newNode(t, Config{Conns: conn(t, net, public(2))})
		within(t, 2*time.Minute, "the bootstrap host is found after it has started", func() bool { return d.Stats().Nodes4 == 1 })
		select {
		case <-d.Ready():
		default:
			t.Error("not ready with a good node")
		}
	})
}

func TestStartWithSavedNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(4, simnet.Link{Delay: 20 * ms})
		newNode(t, Config{Conns: conn(t, net, public(1))})
		first := newNode(t, Config{Conns: conn(t, net, public(2)), Bootstrap: []string{at(public(1)).String()}})
		<-first.Ready()
		saved, own := first.SavedNodes(), first.ID(false)
		first.Close()
		if len(saved) != 1 {
			t.Fatalf("saved %v", saved)
		}
		second := newNode(t, Config{Conns: conn(t, net, public(3)), Nodes: saved, ID4: own})
		<-second.Ready()
		if second.ID(false) != own {
			t.Error("the id of the earlier run is lost")
		}
	})
}

// BEP 42: the id matches our external address.
func TestExternalAddressVoting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(5, simnet.Link{Delay: 20 * ms})
		var boot []string
		for i := range 6 {
			newNode(t, Config{Conns: conn(t, net, public(10+i)), Bootstrap: boot})
			boot = append(boot, at(public(10+i)).String())
		}
		d := newNode(t, Config{Conns: conn(t, net, public(1)), Bootstrap: boot})
		within(t, time.Minute, "the address is known", func() bool { return d.Stats().External == public(1) })
		if !table.Secure(d.ID(false), public(1)) {
			t.Error("the id does not fit the address")
		}
		within(t, time.Minute, "the nodes are still known", func() bool { return d.Stats().Nodes4 == 6 })
		if _, err := d.Lookup(t.Context(), randomID(), func(netip.AddrPort, []netip.AddrPort) {}); err != nil {
			t.Error(err)
		}
	})
}

// BEP 43: a read-only node does not answer queries, sets ro in its own, and other
// nodes do not add it to their tables.
func TestBEP43ReadOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(6, simnet.Link{Delay: 20 * ms})
		a := newNode(t, Config{Conns: conn(t, net, public(1))})
		b := newNode(t, Config{Conns: conn(t, net, public(2)), Bootstrap: []string{at(public(1)).String()}, ReadOnly: true})
		<-b.Ready()
		a.AddNode(at(public(2)))
		time.Sleep(time.Minute)
		if n := a.Stats().V4.Nodes; n != 0 {
			t.Errorf("a read-only node was added to a table of %d", n)
		}
		if b.Stats().V4.Queries == 0 {
			t.Error("no node asked the read-only node, so the test proves nothing")
		}
	})
}

// BEP 32: two families have two tables; nodes of each return those of the other.
func TestBEP32TwoFamilies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(7, simnet.Link{Delay: 20 * ms})
		six := func(n int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x2a, 1, 0xd, 0xb8, 0, 0, byte(n), 15: 1})
		}
		var nodes []*DHT
		for i := range 12 {
			var boot []string
			if i > 0 { // only IPv4
				boot = []string{at(public(0)).String()}
			}
			nodes = append(nodes, newNode(t, Config{Conns: conn(t, net, public(i), six(i)), Bootstrap: boot}))
		}
		nodes[0].AddNode(at(six(1)))
		within(t, time.Hour, "every node knows nodes of both families", func() bool {
			return !slices.ContainsFunc(nodes, func(d *DHT) bool { s := d.Stats(); return s.Nodes4 < 8 || s.Nodes6 < 8 })
		})
		infohash := randomID()
		if as, err := nodes[3].Announce(t.Context(), infohash, onPort(9), false, func(netip.AddrPort, []netip.AddrPort) {}); err != nil || as.Accepted != 16 {
			t.Fatalf("announce %+v, %v", as, err)
		}
		f := newFound()
		if _, err := nodes[7].Lookup(t.Context(), infohash, f.add); err != nil {
			t.Fatal(err)
		}
		want := []netip.AddrPort{netip.AddrPortFrom(public(3), 9), netip.AddrPortFrom(six(3), 9)}
		slices.SortFunc(f.peers, func(a, b netip.AddrPort) int { return a.Compare(b) })
		if !slices.Equal(f.peers, want) {
			t.Fatalf("found %v, want %v", f.peers, want)
		}
	})
}

// Junk, truncated and forged datagrams are dropped and counted, and no state grows.
func TestHostileDatagrams(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(8, simnet.Link{Delay: 20 * ms})
		victim := newNode(t, Config{Conns: conn(t, net, public(1)), Bootstrap: []string{at(public(2)).String()}})
		evil := conn(t, net, public(66))[0]
		defer evil.Close()
		r := rand.New(rand.NewPCG(1, 1))
		good := "d1:rd2:id20:aaaaaaaaaaaaaaaaaaaae1:t4:abcd1:y1:re"
		for i := range 20000 {
			b := []byte(good)
			switch i % 4 {
			case 0: // guessed transaction ids
				binary.BigEndian.PutUint32(b[strings.Index(good, "abcd"):], r.Uint32())
			case 1: // truncated
				b = b[:r.IntN(len(b))]
			case 2: // flipped bits
				b[r.IntN(len(b))] ^= 1 << r.IntN(8)
			case 3: // a query from an invented node
				x := randomID()
				b = append(append([]byte("d1:ad2:id20:"), x[:]...), "e1:q4:ping1:t2:aa1:y1:qe"...)
			}
			evil.WriteTo(b, at(public(1)))
			if i%100 == 0 {
				time.Sleep(ms)
			}
		}
		time.Sleep(time.Minute)
		s := victim.Stats().V4
		if s.Nodes != 0 || s.Pending > 8 {
			t.Errorf("after the junk, %d nodes are in the table and %d queries are pending", s.Nodes, s.Pending)
		}
		d := s.Dropped
		if d.NotKRPC+d.Malformed < 5000 || d.Unasked < 5000 {
			t.Errorf("dropped %+v", d)
		}
		if s.Out > 500 {
			t.Errorf("we sent %d queries because of 20,000 forged datagrams", s.Out)
		}
	})
}

// A reply is accepted only from the address that was queried, even if the transaction
// id is right.
func TestReplyFromAnotherAddressIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(9, simnet.Link{Delay: 20 * ms})
		asked, other := conn(t, net, public(2))[0], conn(t, net, public(3))[0]
		defer asked.Close()
		defer other.Close()
		d := newNode(t, Config{Conns: conn(t, net, public(1)), Bootstrap: []string{at(public(2)).String()}})
		buf := []netx.Datagram{{Buf: make([]byte, 2048)}}
		if _, err := asked.ReadBatch(buf); err != nil {
			t.Fatal(err)
		}
		q := string(buf[0].Buf[:buf[0].N])
		i := strings.LastIndex(q, "1:t4:")
		if i < 0 || !strings.Contains(q, "9:find_node") {
			t.Fatalf("an unexpected query: %q", q)
		}
		reply := "d1:rd2:id20:aaaaaaaaaaaaaaaaaaaae" + q[i:i+9] + "1:y1:re"
		other.WriteTo([]byte(reply), at(public(1)))
		time.Sleep(100 * ms)
		if s := d.Stats(); s.V4.Dropped.Spoofed != 1 || s.Nodes4 != 0 {
			t.Fatalf("a forged reply: %+v", s)
		}
		asked.WriteTo([]byte(reply), at(public(1)))
		time.Sleep(100 * ms)
		if s := d.Stats(); s.Nodes4 != 1 {
			t.Fatalf("the real reply: %+v", s)
		}
		asked.WriteTo([]byte(reply), at(public(1)))
		time.Sleep(100 * ms)
		if s := d.Stats(); s.V4.Dropped.Unasked != 1 {
			t.Fatalf("the same reply again: %+v", s)
		}
	})
}

// A long idle time: live nodes stay good, dead nodes are removed.
func TestLiveNodesStayGoodAndDeadNodesAreRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(10, simnet.Link{Delay: 20 * ms})
		nodes := realNodes(t, net, 0, 12)
		time.Sleep(20 * time.Minute)
		before := nodes[0].Stats().V4.Out
		time.Sleep(20 * time.Minute)
		for i, d := range nodes {
			if s := d.Stats().V4; s.Good < 8 || s.Good != s.Nodes {
				t.Errorf("node %d knows %d of 11, %d of them good", i, s.Nodes, s.Good)
			}
		}
		if n := nodes[0].Stats().V4.Out - before; n > 500 {
			t.Errorf("an idle node sent %d queries in 20 minutes", n)
		}
		for i := 6; i < 12; i++ {
			net.Host(public(i)).Unplug()
		}
		time.Sleep(30 * time.Minute)
		for _, d := range nodes[:6] {
			if s := d.Stats().V4; s.Nodes > 5 || s.Good < 5 {
				t.Errorf("%d nodes, %d of them good, of 5 that are alive", s.Nodes, s.Good)
			}
		}
	})
}

// A node that knows no other node announces to itself, and a node that joins later
// finds it. It does not return itself as a peer.
func TestALoneAnnouncerIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(13, simnet.Link{Delay: 20 * ms})
		lone := newNode(t, Config{Conns: conn(t, net, public(1))})
		infohash := randomID()
		if as, err := lone.Announce(t.Context(), infohash, onPort(6881), false, nil); err != nil || as.Asked != 0 {
			t.Fatalf("%+v, %v", as, err)
		}
		f, self := newFound(), newFound()
		late := newNode(t, Config{Conns: conn(t, net, public(2)), Bootstrap: []string{at(public(1)).String()}})
		if _, err := late.Announce(t.Context(), infohash, onPort(6881), false, f.add); err != nil || len(f.peers) != 1 || f.peers[0] != at(public(1)) {
			t.Fatalf("found %v, %v", f.peers, err)
		}
		if _, err := lone.Lookup(t.Context(), infohash, self.add); err != nil || len(self.peers) != 1 || self.peers[0] != at(public(2)) {
			t.Fatalf("the first node found %v, %v", self.peers, err)
		}
	})
}

func TestCloseEndsLookups(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(11, simnet.Link{Delay: 20 * ms})
		d := newNode(t, Config{Conns: conn(t, net, public(1)), Bootstrap: []string{at(public(2)).String()}})
		done := make(chan error)
		go func() {
			_, err := d.Lookup(t.Context(), id.ID{1}, func(netip.AddrPort, []netip.AddrPort) {})
			done <- err
		}()
		time.Sleep(ms)
		began := time.Now()
		d.Close()
		if err := <-done; !errors.Is(err, ErrClosed) || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		if _, err := d.Lookup(t.Context(), id.ID{1}, func(netip.AddrPort, []netip.AddrPort) {}); !errors.Is(err, ErrClosed) {
			t.Errorf("a lookup after Close: %v", err)
		}
		d.AddNode(at(public(5)))
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
}

func TestInvalidConfig(t *testing.T) {
	four := func() *netx.Socket { return loopback(t, "127.0.0.1:0")[0] }
	for want, cfg := range map[string]Config{
		"no Conns":                        {},
		"two Conns of one address family": {Conns: []*netx.Socket{four(), four()}},
		"is not HOST:PORT":                {Conns: []*netx.Socket{four()}, Bootstrap: []string{"router"}},
		"below the minimum":               {Conns: []*netx.Socket{four()}, Rate: 0.5},
	} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		for _, c := range cfg.Conns {
			c.Close()
		}
	}
}
