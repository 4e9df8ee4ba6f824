package dht

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	akrpc "github.com/anacrolix/dht/v2/krpc"
	abencode "github.com/anacrolix/torrent/bencode"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"seedbed/dht/krpc"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/simnet"
)

// Our queries follow BEP 5, 32, 33, 43 and 44.
func TestAppendQuery(t *testing.T) {
	own, target := id.ID([]byte(strings.Repeat("o", 20))), id.ID{}
	port, seven := 7, int64(7)
	k, sig := [32]byte(bytes.Repeat([]byte("k"), 32)), [64]byte(bytes.Repeat([]byte("s"), 64))
	for _, c := range []struct {
		method string
		args   queryArgs
		ro     bool
		want   string
	}{
		{"ping", queryArgs{}, false, "d1:ad2:id20:OWNe1:q4:ping1:t2:tt1:v4:VVVV1:y1:qe"},
		{"ping", queryArgs{}, true, "d1:ad2:id20:OWNe1:q4:ping2:roi1e1:t2:tt1:v4:VVVV1:y1:qe"}, // BEP 43
		// A target of zeros is valid, and a cas of 0 is a condition.
		{"find_node", queryArgs{MsgArgs: akrpc.MsgArgs{Want: []akrpc.Want{"n4", "n6"}}}, false,
			"d1:ad2:id20:OWN6:target20:ZERO4:wantl2:n42:n6ee1:q9:find_node1:t2:tt1:v4:VVVV1:y1:qe"},
		{"get_peers", queryArgs{MsgArgs: akrpc.MsgArgs{Scrape: 1}}, false, // BEP 33
			"d1:ad2:id20:OWN9:info_hash20:ZERO6:scrapei1ee1:q9:get_peers1:t2:tt1:v4:VVVV1:y1:qe"},
		{"announce_peer", queryArgs{MsgArgs: akrpc.MsgArgs{Port: &port, Token: "tok"}, Seed: true}, false,
			"d1:ad2:id20:OWN9:info_hash20:ZERO4:porti7e4:seedi1e5:token3:toke1:q13:announce_peer1:t2:tt1:v4:VVVV1:y1:qe"},
		{"get", queryArgs{MsgArgs: akrpc.MsgArgs{Seq: &seven}}, false,
			"d1:ad2:id20:OWN3:seqi7e6:target20:ZEROe1:q3:get1:t2:tt1:v4:VVVV1:y1:qe"},
		{"put", queryArgs{HasCas: true, MsgArgs: akrpc.MsgArgs{K: k, Sig: sig, Salt: []byte("n"), Seq: &seven, Token: "tok", V: bencode.Value("i5e")}}, false,
			"d1:ad3:casi0e2:id20:OWN1:k32:" + string(k[:]) + "4:salt1:n3:seqi7e3:sig64:" + string(sig[:]) + "5:token3:tok1:vi5ee1:q3:put1:t2:tt1:v4:VVVV1:y1:qe"},
		{"sample_infohashes", queryArgs{}, false, "d1:ad2:id20:OWN6:target20:ZEROe1:q17:sample_infohashes1:t2:tt1:v4:VVVV1:y1:qe"},
	} {
		b := appendQuery(nil, []byte("tt"), own, c.method, &c.args, c.ro)
		got := strings.NewReplacer(string(own[:]), "OWN", string(target[:]), "ZERO", krpc.Version, "VVVV").Replace(string(b))
		if got != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.method, got, c.want)
		}
		if _, err := bencode.ParseStrict(b, bencode.Limits{}); err != nil {
			t.Errorf("%s is not canonical: %v", c.method, err)
		}
		var m krpc.Message
		if err := krpc.Parse(b, &m); err != nil || m.Y != 'q' || m.Query.ID != own || m.Query.Bad != "" {
			t.Errorf("%s is not accepted by krpc.Parse: %v, %q", c.method, err, m.Query.Bad)
		}
		// The library parses the same arguments.
		var theirs akrpc.Msg
		if err := abencode.Unmarshal(b, &theirs); err != nil || theirs.A == nil {
			t.Errorf("%s: the library does not read it: %v", c.method, err)
			continue
		}
		want := c.args.MsgArgs
		want.ID = akrpc.ID(own)
		if want.V != nil {
			want.V = int64(5)
		}
		if diff := cmp.Diff(want, *theirs.A); diff != "" {
			t.Errorf("%s: the library reads other arguments (-ours +theirs):\n%s", c.method, diff)
		}
	}
}

// FuzzReturned compares the return values of a response with those of the library's
// decoder.
func FuzzReturned(f *testing.F) {
	key, sig, bits := strings.Repeat("k", 32), strings.Repeat("s", 64), strings.Repeat("b", 256)
	for _, r := range []string{
		"", "1:k32:" + key + "3:seqi1e3:sig64:" + sig + "1:v1:a", "3:seqi0e", "1:v1:a",
		"8:intervali1e3:numi9e7:samples40:" + strings.Repeat("i", 40), "8:intervali0e3:numi0e7:samples0:",
	} {
		f.Add([]byte("d1:rd2:id20:aaaaaaaaaaaaaaaaaaaa" + r + "e1:t2:aa1:y1:re"))
	}
	f.Add([]byte("d1:rd4:BFpe256:" + bits + "4:BFsd256:" + bits + "2:id20:aaaaaaaaaaaaaaaaaaaae1:t2:aa1:y1:re"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var m krpc.Message
		if krpc.Parse(b, &m) != nil || m.Y != 'r' {
			return
		}
		ours := returned(&m)
		if v, err := bencode.ParseStrict(b, bencode.Limits{Depth: 8}); err != nil || len(v) != len(b) {
			return // the library's decoder has its own limits
		}
		var theirs akrpc.Msg
		if abencode.Unmarshal(b, &theirs) != nil || theirs.R == nil {
			return
		}
		r := *theirs.R
		r.Nodes, r.Nodes6, r.Values, r.Token = nil, nil, nil, nil
		if r.Samples == nil {
			r.Num, r.Interval = nil, nil
		} else {
			r.Num, r.Interval = zeroIfNil(r.Num), zeroIfNil(r.Interval)
		}
		if diff := cmp.Diff(r, *ours, cmpopts.EquateEmpty()); diff != "" {
			t.Fatalf("%q (-theirs +ours):\n%s", b, diff)
		}
	})
}

func zeroIfNil(n *int64) *int64 {
	if n == nil {
		return new(int64)
	}
	return n
}

// outgoing is a connection that records the queries that a node sends, and fails while
// err is set.
type outgoing struct {
	netx.PacketConn
	mu   sync.Mutex
	err  error
	sent []time.Time
	last krpc.Query
}

func (c *outgoing) WriteBatch(ms []netx.Datagram) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		for i := range ms {
			ms[i].Err = c.err
		}
		return 0, c.err
	}
	for _, d := range ms {
		var m krpc.Message
		if krpc.Parse(bytes.Clone(d.Buf), &m) == nil && m.Y == 'q' {
			c.sent, c.last = append(c.sent, time.Now()), m.Query
		}
	}
	return c.PacketConn.WriteBatch(ms)
}

// newOutgoing starts a node that knows no other node.
func newOutgoing(t *testing.T, seed uint64, cfg Config) (*outgoing, *DHT) {
	c := &outgoing{PacketConn: conn(t, simnet.New(seed, simnet.Link{Delay: ms}), public(1))[0]}
	cfg.Conns = []*netx.Socket{netx.NewSocket(c)}
	d := newNode(t, cfg)
	time.Sleep(time.Minute)
	return c, d
}

// A query that the system does not send fails at once, not at its timeout.
func TestAQueryThatCannotBeSentFailsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := newOutgoing(t, 1, Config{})
		c.err = errors.New("no route")
		begun := time.Now()
		if _, err := d.Ping(t.Context(), at(public(2))); err != c.err || time.Since(begun) != 0 {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if s := d.Stats().V4; s.SendErrors != 1 || s.Pending != 0 {
			t.Errorf("%+v", s)
		}
		c.mu.Lock()
		c.err = nil
		c.mu.Unlock()
		if _, err := d.Ping(t.Context(), at(public(2))); err != ErrNoAnswer || time.Since(begun) != hardTimeout {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		if s := d.Stats().V4; s.Timeouts != 1 || s.Pending != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// Queries are sent in order and at the configured rate. A query whose caller has given up is
// not sent.
func TestQueriesAreSentAtTheConfiguredRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const rate, burst, all, cancelled = 10, 16, 56, 20
		c, d := newOutgoing(t, 2, Config{Rate: rate, Private: true})
		ctx, cancel := context.WithCancel(t.Context())
		begun := time.Now()
		for i := range all {
			ctx := ctx
			if i >= cancelled {
				ctx = t.Context()
			}
			go d.Ping(ctx, at(public(2+i)))
			synctest.Wait()
		}
		cancel()
		time.Sleep(time.Minute)
		c.mu.Lock()
		defer c.mu.Unlock()
		if len(c.sent) != burst+all-cancelled {
			t.Fatalf("%d queries were sent", len(c.sent))
		}
		for i, at := range c.sent {
			due := max(0, time.Duration(i+1-burst)*time.Second/rate)
			if took := at.Sub(begun); took < due || took > due+ms {
				t.Errorf("query %d was sent after %v, want %v", i, took, due)
			}
		}
	})
}

// Every query contains the current id at the time of sending, and ro as BEP 43 requires.
func TestQueriesContainTheCurrentID(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, d := newOutgoing(t, 3, Config{ReadOnly: true})
		for range 2 {
			d.Ping(t.Context(), at(public(2)))
			c.mu.Lock()
			if q := c.last; q.ID != d.ID(false) || !q.ReadOnly || q.Name == nil {
				t.Errorf("%+v, our id is %v", q, d.ID(false))
			}
			c.mu.Unlock()
			d.mu.Lock()
			d.families[0].table.Rebase(d.now(), randomID())
			d.mu.Unlock()
		}
	})
}

// A network that was down for hours is found again without a bootstrap host.
func TestALostNetworkIsFoundWithoutABootstrapHost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(12, simnet.Link{Delay: 20 * ms})
		addrs := []netip.Addr{public(0)}
		first := newNode(t, Config{Conns: conn(t, net, addrs[0])})
		for i := 1; i < 14; i++ {
			addrs = append(addrs, public(i))
			newNode(t, Config{Conns: conn(t, net, addrs[i]), Bootstrap: []string{at(addrs[0]).String()}})
		}
		time.Sleep(10 * time.Minute)
		if n := first.Stats().Nodes4; n < minNodes {
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
		within(t, 10*time.Second, "the network is found again", func() bool { return first.repliedSince(back) >= minNodes })
	})
}

func ExampleDHT_Lookup() {
	// A node without any contact finds no peers and reports that.
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
