package dht

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	akrpc "github.com/anacrolix/dht/v2/krpc"

	"seedbed/dht/table"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/simnet"
)

// testNet is a network of simple nodes for the tests of client operations. The nodes know
// each other and reply as the BEPs require, or as a test configures.
type testNet struct {
	net   *simnet.Net
	mu    sync.Mutex // guards the fields of the nodes
	nodes []*testPeer
	born  time.Time
}

type testPeer struct {
	v      *testNet
	id     id.ID
	addr   netip.AddrPort
	conn   netx.PacketConn
	peers  []string          // compact
	item   string            // the return values of an item, sorted: "1:k32:…3:seqi1e3:sig64:…1:v…"
	extra  map[string]string // encoded return values by method, replacing the usual ones except id, nodes and token
	stale  string            // encoded return values of replies to lookups in the first second
	refuse map[string]string // error replies by method: "li302e3:case"
	silent bool
	full   bool // gives no tokens
	asked  map[string]int
	puts   []string // the arguments of each put
}

func newTestNet(t *testing.T, size int) *testNet {
	v := &testNet{net: simnet.New(21, simnet.Link{Delay: 20 * ms}), born: time.Now()}
	for i := range size {
		v.add(t, randomID(), public(100+i))
	}
	return v
}

func (v *testNet) add(t *testing.T, x id.ID, a netip.Addr) *testPeer {
	n := &testPeer{v: v, id: x, addr: at(a), conn: conn(t, v.net, a)[0], extra: map[string]string{}, refuse: map[string]string{}, asked: map[string]int{}}
	v.nodes = append(v.nodes, n)
	go n.serve()
	return n
}

// client returns a DHT whose bootstrap hosts are the first three nodes.
func (v *testNet) client(t *testing.T) *DHT {
	var boot []string
	for _, n := range v.nodes[:min(3, len(v.nodes))] {
		boot = append(boot, n.addr.String())
	}
	return newNode(t, Config{Conns: conn(t, v.net, public(1)), Bootstrap: boot, ReadOnly: true})
}

// closest returns the nodes in the order of their distance from target.
func (v *testNet) closest(target id.ID) []*testPeer {
	ns := slices.Clone(v.nodes)
	slices.SortFunc(ns, func(a, b *testPeer) int { return target.CmpDistance(a.id, b.id) })
	return ns
}

func (n *testPeer) serve() {
	buf := []netx.Datagram{{Buf: make([]byte, 4096)}}
	for {
		if _, err := n.conn.ReadBatch(buf); err != nil {
			return
		}
		q, _, err := bencode.Parse(buf[0].Buf[:buf[0].N], bencode.Limits{})
		if err != nil {
			continue
		}
		n.v.mu.Lock()
		b := n.reply(q, buf[0].Addr)
		n.v.mu.Unlock()
		if b != nil {
			n.conn.WriteTo(b, buf[0].Addr)
		}
	}
}

func (n *testPeer) reply(q bencode.Value, from netip.AddrPort) []byte {
	name, _ := q.Get("q").Bytes()
	method, a := string(name), q.Get("a")
	if n.silent {
		return nil
	}
	n.asked[method]++
	tail := "1:t" + string(q.Get("t")) + "1:v4:TT\x01\x021:y1:"
	if e, ok := n.refuse[method]; ok {
		return []byte("d1:e" + e + tail + "ee")
	}
	var target id.ID
	for _, key := range []string{"target", "info_hash"} {
		if b, ok := a.Get(key).Bytes(); ok {
			copy(target[:], b)
		}
	}
	r := ""
	lookup := method != "ping" && method != "put" && method != "announce_peer"
	only := ""
	if lookup && time.Since(n.v.born) < time.Second {
		only = n.stale
	}
	if extra, ok := n.extra[method]; ok {
		r = extra
	} else {
		switch method {
		case "get_peers":
			if len(n.peers) > 0 {
				r = "6:valuesl"
				for _, p := range n.peers {
					r += "6:" + p
				}
				r += "e"
			}
		case "announce_peer":
			port, _ := a.Get("port").Int()
			n.peers = append(n.peers, string(from.Addr().AsSlice())+string([]byte{byte(port >> 8), byte(port)}))
		case "put":
			n.puts = append(n.puts, string(a))
			n.item = ""
			for key, v := range a.Dict() {
				if slices.Contains([]string{"k", "seq", "sig", "v"}, string(key)) {
					n.item += string(bencode.AppendBytes(nil, key)) + string(v)
				}
			}
		case "get":
			r = n.item
		}
	}
	var nodes []byte
	if lookup && only == "" {
		for _, o := range n.v.closest(target)[:min(12, len(n.v.nodes))] {
			nodes = table.AppendCompact(nodes, o.id, o.addr)
		}
	}
	// A test's own values are unsorted on purpose: the order must not matter.
	ip := from.Addr().As4()
	out := append([]byte("d2:ip6:"), ip[:]...)
	out = append(out, byte(from.Port()>>8), byte(from.Port()))
	out = append(append(out, "1:rd2:id20:"...), n.id[:]...)
	if nodes != nil {
		out = bencode.AppendBytes(append(out, "5:nodes"...), nodes)
		if !n.full {
			out = append(out, "5:token3:tok"...)
		}
	}
	return append(out, only+r+"e"+tail+"re"...)
}

var testKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte("s"), ed25519.SeedSize))

func signed(t *testing.T, salt string, seq int64, value string) Item {
	t.Helper()
	i, err := SignItem(testKey, []byte(salt), seq, bencode.Value(value))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// stored returns the item in the form that a node returns it.
func stored(i Item) string {
	if !i.Mutable {
		return "1:v" + string(i.Value)
	}
	return fmt.Sprintf("1:k32:%s3:seqi%de3:sig64:%s1:v%s", i.Key[:], i.Seq, i.Sig[:], i.Value)
}

func TestPing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 2)
		d := v.client(t)
		c, err := d.Ping(t.Context(), v.nodes[1].addr)
		if err != nil || c.ID != v.nodes[1].id || c.RTT != 40*ms || c.Client != "TT 0102" || c.External != at(public(1)) {
			t.Errorf("%+v, %v", c, err)
		}
		v.mu.Lock()
		v.nodes[1].refuse["ping"] = "li201e4:busye"
		v.mu.Unlock()
		var re *RemoteError
		if _, err := d.Ping(t.Context(), v.nodes[1].addr); !errors.As(err, &re) || re.Code != 201 || re.Text != "busy" {
			t.Errorf("%v", err)
		}
		v.mu.Lock()
		v.nodes[1].silent = true
		v.mu.Unlock()
		begun := time.Now()
		if _, err := d.Ping(t.Context(), v.nodes[1].addr); err != ErrNoAnswer || time.Since(begun) != hardTimeout {
			t.Errorf("%v after %v", err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := d.Ping(ctx, v.nodes[1].addr); err != context.DeadlineExceeded {
			t.Errorf("%v", err)
		}
		if _, err := d.Ping(t.Context(), netip.MustParseAddrPort("[2001:db8::1]:1")); err != ErrNoFamily {
			t.Errorf("%v", err)
		}
		time.Sleep(time.Minute)
		if p := d.Stats().V4.Pending; p > 2 {
			t.Errorf("%d queries are still pending", p)
		}
		go func() { time.Sleep(ms); d.Close() }()
		if _, err := d.Ping(t.Context(), v.nodes[1].addr); err != ErrClosed {
			t.Errorf("%v", err)
		}
	})
}

func TestFindNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 30)
		d := v.client(t)
		for _, target := range []id.ID{randomID(), {}, v.nodes[7].id} {
			r, err := d.FindNode(t.Context(), target)
			if err != nil || r.Answered < 8 || r.First == 0 || r.Took < r.First || len(r.Closest) != 8 {
				t.Fatalf("%+v, %v", r, err)
			}
			for i, n := range v.closest(target)[:8] {
				if c := r.Closest[i]; c.ID != n.id || c.Addr != n.addr || c.RTT != 40*ms || c.Client != "TT 0102" {
					t.Errorf("place %d: %+v", i, c)
				}
			}
			if bits, ok := r.Distance(); !ok || bits != target.CommonPrefix(v.closest(target)[0].id) {
				t.Errorf("distance %d %v", bits, ok)
			}
		}
		if n := len(d.Nodes()); n < 8 || d.Nodes()[0].RTT == 0 {
			t.Errorf("%d nodes in the table: %+v", n, d.Nodes())
		}
	})
}

func TestNoNodeAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 1)
		v.nodes[0].silent = true
		d := v.client(t)
		r, err := d.FindNode(t.Context(), randomID())
		if err != nil || r.Answered != 0 || r.Asked == 0 || r.First != 0 {
			t.Errorf("%+v, %v", r, err)
		}
		p, err := d.Put(t.Context(), signed(t, "", 1, "1:a"), nil)
		if err != nil || p.Accepted != 0 || len(p.Nodes) != 0 {
			t.Errorf("%+v, %v", p, err)
		}
	})
}

func bloomOf(ips ...netip.Addr) string {
	var f akrpc.ScrapeBloomFilter
	for _, a := range ips {
		f.AddIp(net.IP(a.AsSlice()))
	}
	return "256:" + string(f[:])
}

// BEP 33: seeds and peers are reported in Bloom filters, which are combined by OR.
func TestBEP33Scrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 20)
		infohash := randomID()
		var all []netip.Addr
		for i := range 120 {
			all = append(all, public(3000+i))
		}
		for i, n := range v.closest(infohash)[:8] {
			switch i {
			case 2: // a lying node
				n.extra["get_peers"] = "4:BFsd256:" + strings.Repeat("\xff", 256) + "4:BFpe256:" + strings.Repeat("\xff", 256)
			default: // each knows some of them
				n.extra["get_peers"] = "4:BFpe" + bloomOf(all[i*4:80]...) + "4:BFsd" + bloomOf(all[80:120-i]...) + "6:valuesl6:\x14\x20\x01\x01\x00\x05e"
			}
		}
		d := v.client(t)
		r, err := d.GetPeers(t.Context(), infohash, true, nil)
		s := r.Scrape
		if err != nil || s.Filters != 7 || s.Dropped != 1 || s.Peers < 76 || s.Peers > 84 || s.Seeds < 38 || s.Seeds > 42 || r.Peers != 1 || r.FirstPeer == 0 {
			t.Errorf("%+v, first peer %v, %d peers, %v", s, r.FirstPeer, r.Peers, err)
		}
		// Without scrape, no node is asked for filters, and filters are ignored.
		if r, err = d.GetPeers(t.Context(), infohash, false, nil); err != nil || r.Scrape != (Scrape{}) {
			t.Errorf("%+v, %v", r.Scrape, err)
		}
	})
}

func TestMergeOfFilters(t *testing.T) {
	full, none := new(bloom), new(bloom)
	for i := range full {
		full[i] = 255
	}
	for _, c := range []struct {
		given []*akrpc.Return
		want  Scrape
	}{
		{nil, Scrape{}},
		{[]*akrpc.Return{{BFpe: none}}, Scrape{Filters: 1}},
		{[]*akrpc.Return{{BFpe: full}}, Scrape{Dropped: 1}},
		{[]*akrpc.Return{{BFpe: none, BFsd: none}, {BFsd: full}}, Scrape{Filters: 1, Dropped: 1}},
	} {
		if got := merge(c.given); got != c.want {
			t.Errorf("%+v, want %+v", got, c.want)
		}
	}
}

func TestAnnouncePeerReportsEveryReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 20)
		infohash := randomID()
		near := v.closest(infohash)
		near[1].refuse["announce_peer"] = "li203e9:bad tokene"
		d := v.client(t)
		r, err := d.AnnouncePeer(t.Context(), infohash, 7000, true, nil)
		if err != nil || r.Accepted != 7 || len(r.Nodes) != 8 {
			t.Fatalf("%+v, %v", r, err)
		}
		var re *RemoteError
		if bad := r.Nodes[1]; bad.ID != near[1].id || bad.Accepted || !errors.As(bad.Err, &re) || re.Code != 203 {
			t.Errorf("%+v", bad)
		}
		var peers []netip.AddrPort
		if r, err = d.GetPeers(t.Context(), infohash, false, func(p []netip.AddrPort) { peers = append(peers, p...) }); err != nil ||
			!slices.Equal(peers, []netip.AddrPort{netip.AddrPortFrom(public(1), 7000)}) {
			t.Errorf("%v, %+v, %v", peers, r, err)
		}
	})
}

// BEP 33: "the requesting node should only announce to the K nodes which are the
// the closest to the target and have returned a token".
func TestBEP33NodesWithoutATokenAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 20)
		infohash := randomID()
		near := v.closest(infohash)
		for _, n := range near[:3] {
			n.full = true
		}
		d := v.client(t)
		r, err := d.AnnouncePeer(t.Context(), infohash, 7000, false, nil)
		if err != nil || len(r.Nodes) <= 8-3 || r.Accepted != len(r.Nodes) {
			t.Fatalf("%+v, %v", r, err)
		}
		for i, n := range near {
			if n.full != (n.asked["announce_peer"] == 0) && i < 8 {
				t.Errorf("node %d got %d announces", i, n.asked["announce_peer"])
			}
		}
	})
}

func TestBEP44PutAndGet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 30)
		d := v.client(t)
		immutable, err := NewItem(bencode.Value("d1:ali1ei2eee"))
		if err != nil {
			t.Fatal(err)
		}
		for _, item := range []Item{immutable, signed(t, "", 1, "5:hello"), signed(t, "salt", 3, "le")} {
			target := item.Target()
			p, err := d.Put(t.Context(), item, nil)
			if err != nil || p.Accepted != 8 || p.Stored != 8 || p.Item != nil {
				t.Fatalf("%+v, %v", p, err)
			}
			for i, n := range v.closest(target)[:8] {
				if len(n.puts) == 0 || p.Nodes[i].ID != n.id {
					t.Errorf("node %d of the closest was left out", i)
				}
			}
			var found []Item
			g, err := d.Get(t.Context(), target, item.Salt, nil, func(i Item) { found = append(found, i) })
			if err != nil || len(found) != 1 || !bytes.Equal(found[0].Value, item.Value) || found[0].Seq != item.Seq || g.Item == nil || g.Faults != (ItemFaults{}) {
				t.Fatalf("%+v, %v", g, err)
			}
			if item.Mutable && g.Have != 8 {
				t.Errorf("%d nodes have it", g.Have)
			}
			v.mu.Lock()
			for _, n := range v.nodes {
				n.puts, n.item = nil, ""
			}
			v.mu.Unlock()
		}
		if g, err := d.Get(t.Context(), randomID(), nil, nil, nil); err != nil || g.Item != nil || g.Answered < 8 {
			t.Errorf("an item that nobody stores: %+v, %v", g, err)
		}
	})
}

// BEP 44: cas, and the errors of nodes that refuse a put.
func TestBEP44CasAndRefusals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 20)
		item, cas := signed(t, "s", 5, "3:new"), int64(4)
		near := v.closest(item.Target())
		near[0].refuse["put"] = "li301e12:cas mismatche"
		near[3].silent = true
		near[4].extra["put"] = ""
		near[5].extra["get"] = stored(signed(t, "s", 4, "3:old")) // accepts it but keeps the old one
		d := v.client(t)
		p, err := d.Put(t.Context(), item, &cas)
		if err != nil {
			t.Fatal(err)
		}
		var re *RemoteError
		if n := p.Nodes[0]; n.ID != near[0].id || n.Accepted || !errors.As(n.Err, &re) || re.Code != 301 {
			t.Errorf("%+v", n)
		}
		if p.Accepted != 7 || p.Stored != 5 || p.Item == nil || p.Item.Seq != 4 {
			t.Errorf("accepted %d, stored %d, found %+v", p.Accepted, p.Stored, p.Item)
		}
		var conflict *CASError
		wrong := int64(3)
		if q, err := d.Put(t.Context(), item, &wrong); !errors.As(err, &conflict) || conflict.Stored < 4 || len(q.Nodes) != 0 {
			t.Errorf("put with a wrong cas: %+v, %v", q.Nodes, err)
		}
		// "When sending a put request to a node that did not return any data for
		// the get, the cas field SHOULD NOT be included."
		for i, want := range map[int]bool{1: false, 5: true} {
			if puts := near[i].puts; len(puts) != 1 || strings.Contains(puts[0], "3:casi4e") != want || !strings.Contains(puts[0], "4:salt1:s") {
				t.Errorf("sent %q", puts)
			}
		}
	})
}

// Hostile replies to get are dropped and counted: the newest signed item wins.
func TestHostileItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 24)
		newest := signed(t, "s", 9, "6:newest")
		target := newest.Target()
		forged := signed(t, "s", 100, "6:forged")
		forged.Sig[0] ^= 1
		replaced := signed(t, "s", 9, "6:newest")
		replaced.Value = bencode.Value("6:theirs")
		renumbered := signed(t, "s", 9, "6:newest")
		renumbered.Seq = 10
		otherKey, _ := SignItem(ed25519.NewKeyFromSeed(make([]byte, 32)), []byte("s"), 50, bencode.Value("8:stranger"))
		big := signed(t, "s", 1, "2:ok")
		big.Value = bencode.Value("1001:" + strings.Repeat("x", 1001))
		for i, r := range []string{
			"1:v" + strings.Repeat("l", 500) + strings.Repeat("e", 500), // nested too deeply: the whole reply is dropped
			"1:k31:" + strings.Repeat("k", 31) + "1:v1:a",               // an invalid key: a value of another target
			stored(signed(t, "s", 3, "3:old")), stored(forged), stored(replaced), stored(renumbered), stored(otherKey), stored(big),
			stored(newest), "1:v8:no keyed",
			stored(newest)[:37], // only a key
			"3:seqi9e1:v6:newest" + "1:k32:" + string(newest.Key[:]), // no signature
		} {
			v.closest(target)[i].item = r
		}
		d := v.client(t)
		var seqs []int64
		g, err := d.Get(t.Context(), target, []byte("s"), nil, func(i Item) { seqs = append(seqs, i.Seq) })
		if err != nil || g.Item == nil || g.Item.Seq != 9 || string(g.Item.Value) != "6:newest" || g.Have != 1 || g.Older > 1 {
			t.Fatalf("%+v, %v", g, err)
		}
		if !slices.IsSorted(seqs) || seqs[len(seqs)-1] != 9 {
			t.Errorf("streamed %v", seqs)
		}
		if f := g.Faults; f.Oversized != 1 || f.Wrong < 2 || f.Unsigned < 3 {
			t.Errorf("%+v", f)
		}
		if n := d.Stats().V4.Dropped.Malformed; n < 1 {
			t.Errorf("%d malformed", n)
		}
		// BEP 44: with seq, only newer items.
		nine := int64(9)
		if g, err = d.Get(t.Context(), target, []byte("s"), &nine, nil); err != nil || g.Item != nil || g.Older == 0 {
			t.Errorf("%+v, %v", g, err)
		}
	})
}

// A replayed old item among the closest nodes does not hide the new one.
func TestReplayedItemsLose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 20)
		newest := signed(t, "", 2, "3:new")
		for i, n := range v.closest(newest.Target())[:8] {
			n.item = stored(signed(t, "", 1, "3:old"))
			if i == 7 {
				n.item = stored(newest)
			}
		}
		d := v.client(t)
		g, err := d.Get(t.Context(), newest.Target(), nil, nil, nil)
		if err != nil || g.Item == nil || g.Item.Seq != 2 || g.Have != 1 || g.Older != 7 {
			t.Errorf("%+v, %v", g, err)
		}
	})
}

// An immutable item ends the search at the first node that has it. A value
// whose hash is not the target is ignored.
func TestImmutableItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 40)
		item, _ := NewItem(bencode.Value("4:true"))
		for i, n := range v.closest(item.Target())[:8] {
			n.item = "1:v5:false"
			if i == 4 {
				n.item = stored(item)
			}
		}
		d := v.client(t)
		g, err := d.Get(t.Context(), item.Target(), nil, nil, nil)
		if err != nil || g.Item == nil || string(g.Item.Value) != "4:true" || g.Took == 0 || g.Answered == 0 || len(g.Closest) == 0 {
			t.Errorf("%+v, %v", g, err)
		}
	})
}

// Nodes that return only dead addresses do not hide the real ones.
func TestLyingNodesDoNotHideAnItem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 40)
		item := signed(t, "", 1, "4:real")
		target := item.Target()
		for _, n := range v.closest(target)[:8] {
			n.item = stored(item)
		}
		for i := range 8 {
			var nodes []byte
			for j := range 8 {
				x := target
				x[19], x[18] = x[19]^byte(i*8+j+1), x[18]^1
				nodes = table.AppendCompact(nodes, x, at(public(5000+i*8+j)))
			}
			liar := v.nodes[3+i*4]
			liar.extra["get"] = string(bencode.AppendBytes([]byte("5:nodes"), nodes))
		}
		g, err := v.client(t).Get(t.Context(), target, nil, nil, nil)
		if err != nil || g.Item == nil {
			t.Errorf("%+v, %v", g, err)
		}
	})
}

// BEP 51: samples, their number, and how long they stay the same; an empty
// list if the node knows the method.
func TestBEP51Sample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := newTestNet(t, 30)
		target := randomID()
		ihs := strings.Repeat("a", 20) + strings.Repeat("b", 20)
		for i, n := range v.closest(target) {
			switch i % 4 {
			case 0:
				n.extra["sample_infohashes"] = "7:samples40:" + ihs + "3:numi70e8:intervali300e"
			case 1:
				n.extra["sample_infohashes"] = "7:samples0:3:numi-5e8:intervali999999999999e"
			case 2:
				n.refuse["sample_infohashes"] = "li204e14:Method Unknowne"
			}
		}
		d := v.client(t)
		r, err := d.Sample(t.Context(), target)
		if err != nil || len(r.Infohashes) != 2 || r.Answered < 6 || len(r.Nodes) < 4 {
			t.Fatalf("%+v, %v", r, err)
		}
		for _, n := range r.Nodes {
			if n.Samples == 2 && (n.Num != 70 || n.Interval != 5*time.Minute) || n.Samples == 0 && (n.Num != 0 || n.Interval != 6*time.Hour) {
				t.Errorf("%+v", n)
			}
		}
	})
}

func TestItemsThatCannotBePut(t *testing.T) {
	for want, f := range map[string]func() error{
		"BEP 44 allows 1000":    func() error { _, err := NewItem(bencode.Value("998:" + strings.Repeat("x", 998))); return err },
		"BEP 44 allows 64":      func() error { _, err := SignItem(testKey, make([]byte, 65), 1, bencode.Value("1:a")); return err },
		"not canonical bencode": func() error { _, err := NewItem(bencode.Value("d1:b1:x1:a1:ye")); return err },
		"after the value":       func() error { _, err := NewItem(bencode.Value("1:ax")); return err },
	} {
		if err := f(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	// BEP 44's test vectors.
	if i, _ := NewItem(bencode.Value("12:Hello World!")); i.Target().String() != "e5f96f6f38320f0f33959cb4d3d656452117aadb" {
		t.Errorf("target %v", i.Target())
	}
	var k [32]byte
	copy(k[:], unhex("77ff84905a91936367c01360803104f92432fcd904a43511876df5cdf3e7e548"))
	if x := ItemTarget(k, nil); x.String() != "4a533d47ec9c7d95b1ad75f576cffc641853b750" {
		t.Errorf("target %v", x)
	}
	if x := ItemTarget(k, []byte("foobar")); x.String() != "411eba73b6f087ca51a3795d9c8c938d365e32c1" {
		t.Errorf("target %v", x)
	}
}

func unhex(s string) []byte {
	var b []byte
	if _, err := fmt.Sscanf(s, "%x", &b); err != nil {
		panic(err)
	}
	return b
}

func TestClientNames(t *testing.T) {
	for want, v := range map[string]string{"": "", "LT 0207": "LT\x02\x07", "1b5b326d": "\x1b[2m", "616263": "abc"} {
		if got := client([]byte(v)); got != want {
			t.Errorf("%q is %q, want %q", v, got, want)
		}
	}
}
