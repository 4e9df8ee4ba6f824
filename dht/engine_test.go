package dht

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	akrpc "github.com/anacrolix/dht/v2/krpc"
	abencode "github.com/anacrolix/torrent/bencode"

	"seedbed/dht/krpc"
	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/simnet"
)

// What we ask is what BEP 5, 32 and 43 say, under a transaction id of ours.
func TestQueriesOnTheWire(t *testing.T) {
	own, target := strings.Repeat("o", 20), id.ID([]byte(strings.Repeat("t", 20)))
	port := 7000
	for _, c := range []struct {
		method string
		args   akrpc.MsgArgs
		ro     bool
		want   string
	}{
		{"ping", akrpc.MsgArgs{}, false, "d1:ad2:id20:OWNe1:q4:ping1:t4:TTTT1:v4:VVVV1:y1:qe"},
		{"ping", akrpc.MsgArgs{}, true, "d1:ad2:id20:OWNe1:q4:ping2:roi1e1:t4:TTTT1:v4:VVVV1:y1:qe"},
		{"find_node", akrpc.MsgArgs{Target: akrpc.ID(target), Want: []akrpc.Want{"n4", "n6"}}, false,
			"d1:ad2:id20:OWN6:target20:TARGET4:wantl2:n42:n6ee1:q9:find_node1:t4:TTTT1:v4:VVVV1:y1:qe"},
		{"get_peers", akrpc.MsgArgs{InfoHash: akrpc.ID(target)}, false,
			"d1:ad2:id20:OWN9:info_hash20:TARGETe1:q9:get_peers1:t4:TTTT1:v4:VVVV1:y1:qe"},
		{"announce_peer", akrpc.MsgArgs{InfoHash: akrpc.ID(target), Port: &port, Token: "tok"}, false,
			"d1:ad2:id20:OWN9:info_hash20:TARGET4:porti7000e5:token3:toke1:q13:announce_peer1:t4:TTTT1:v4:VVVV1:y1:qe"},
	} {
		synctest.Test(t, func(t *testing.T) {
			net := simnet.New(1, simnet.Link{Delay: ms})
			peer := conn(t, net, public(2))[0]
			d := newNode(t, Config{Conns: conn(t, net, public(1)), ID4: id.ID([]byte(own)), ReadOnly: c.ro})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			go d.families[0].query(ctx, at(public(2)), c.method, c.args)
			buf := []netx.Datagram{{Buf: make([]byte, 2048)}}
			if _, err := peer.ReadBatch(buf); err != nil {
				t.Fatal(err)
			}
			got := string(buf[0].Buf[:buf[0].N])
			if i := strings.LastIndex(got, "1:v4:"+krpc.Version); i > 9 && got[i-9:i-4] == "1:t4:" {
				got = got[:i-4] + "TTTT1:v4:VVVV" + got[i+9:]
			}
			got = strings.NewReplacer(own, "OWN", string(target[:]), "TARGET").Replace(got)
			if got != c.want {
				t.Errorf("%s\n got %q\nwant %q", c.method, got, c.want)
			}
		})
	}
}

// The engine answers queries of ours and does nothing else.
func TestEngineKeepsToItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(2, simnet.Link{Delay: 20 * ms})
		var nodes []*DHT
		for i := range 6 {
			var boot []string
			if i > 0 {
				boot = []string{at(public(0)).String()}
			}
			nodes = append(nodes, newNode(t, Config{Conns: conn(t, net, public(i)), Bootstrap: boot}))
		}
		time.Sleep(20 * time.Minute)
		for i, d := range nodes {
			d.mu.Lock()
			s := d.families[0].engine.server
			d.mu.Unlock()
			if st := s.Stats(); st.Nodes != 0 || st.OutstandingTransactions != 0 || st.OutboundQueriesAttempted == 0 {
				t.Errorf("node %d: the engine has %+v", i, st)
			}
		}
	})
}

// What passes our checks is decoded by the engine as it was sent, whatever it is.
func FuzzInbound(f *testing.F) {
	f.Add([]byte("d1:rd2:id20:aaaaaaaaaaaaaaaaaaaae1:t2:aa1:y1:re"))
	f.Add([]byte("d1:rd2:id20:aaaaaaaaaaaaaaaaaaaa5:nodes26:bbbbbbbbbbbbbbbbbbbbccccdd5:token3:tok6:valuesl6:aaaabb18:aaaaaaaaaaaaaaaabbee1:t2:aa1:y1:re"))
	f.Add([]byte("d1:rd2:id20:aaaaaaaaaaaaaaaaaaaa6:nodes638:bbbbbbbbbbbbbbbbbbbbccccccccccccccccdd1:vi5eee1:t0:1:y1:re"))
	f.Add([]byte("d1:eli203e5:wronge1:t2:aa1:y1:ee"))
	f.Add([]byte("d1:eli9223372036854775807e0:e2:ip6:aaaabb1:t2:aa1:y1:ee"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m krpc.Message
		if krpc.Parse(b, &m) != nil || m.Y == 'q' {
			return
		}
		out := inbound(&m, "inner")
		var d akrpc.Msg
		if err := abencode.Unmarshal(out, &d); err != nil {
			t.Fatalf("%q became %q: %v", b, out, err)
		}
		if d.T != "inner" || d.Y != string(m.Y) || !d.ReadOnly {
			t.Fatalf("%q became %+v", b, d)
		}
		if m.Y == 'r' && (id.ID(d.R.ID) != m.Response.ID || len(d.R.Nodes)*26 != len(m.Response.Nodes) || len(d.R.Nodes6)*38 != len(m.Response.Nodes6)) {
			t.Fatalf("%q became %+v", b, d.R)
		}
		if m.Y == 'e' && d.E == nil {
			t.Fatalf("%q lost its error", b)
		}
	})
}

// A network that is gone for hours is found again without any bootstrap host.
func TestALostNetworkIsFoundAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(12, simnet.Link{Delay: 20 * ms})
		addrs := []netip.Addr{public(0)}
		first := newNode(t, Config{Conns: conn(t, net, addrs[0])})
		for i := 1; i < 14; i++ {
			addrs = append(addrs, public(i))
			newNode(t, Config{Conns: conn(t, net, addrs[i]), Bootstrap: []string{at(addrs[0]).String()}})
		}
		time.Sleep(10 * time.Minute)
		if n := first.Stats().Nodes4; n < enough {
			t.Fatalf("only %d nodes", n)
		}
		link := func(l simnet.Link) {
			for _, a := range addrs[1:] {
				net.SetLink(addrs[0], a, l)
			}
		}
		link(simnet.Link{Loss: 1})
		time.Sleep(time.Hour)
		link(simnet.Link{Delay: 20 * ms})
		back := time.Now()
		within(t, 10*time.Second, "the network is found again", func() bool { return first.heard(back) >= enough })
	})
}

func ExampleDHT_Lookup() {
	// A node without a connection to anybody finds nobody, and says so.
	d, err := New(Config{Conns: []*netx.Socket{netx.NewSocket(&silent{local: netip.MustParseAddrPort("127.0.0.1:6881"), closed: make(chan struct{})})}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer d.Close()
	s, err := d.Lookup(context.Background(), id.ID{1}, func(_ netip.AddrPort, peers []netip.AddrPort) { fmt.Println(peers) })
	fmt.Println(s.Asked, s.Peers, err)
	// Output: 0 0 <nil>
}
