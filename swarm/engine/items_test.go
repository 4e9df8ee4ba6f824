package engine

import (
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"seedbed/internal/bencode"
	"seedbed/swarm/wire"
)

// itemOf returns an item of test publication pub. The engine does not look at the signature.
func itemOf(pub byte, seq int64, value string) *wire.ItemMsg {
	return &wire.ItemMsg{Key: [32]byte{pub}, Salt: []byte("s"), Seq: seq, Value: bencode.Value(value)}
}

func publicationOf(pub byte, item *wire.ItemMsg) Publication {
	return Publication{Key: [32]byte{pub}, Salt: "s", Item: item}
}

// publish makes the torrent a version of the publications.
func (r *rig) publish(list ...Publication) { r.step(&EvPublications{list}) }

// follower connects a peer that supports sb_item with the id 9.
func (r *rig) follower(ev EvConnected) Conn {
	ev.Reserved.SetExtended()
	c := r.join(ev)
	r.sendExt(c, wire.ExtHandshakeID, wire.AppendExtHandshake(nil, wire.ExtHandshake{Item: 9, UploadOnly: true}))
	return c
}

func (r *rig) sendItem(c Conn, m *wire.ItemMsg) {
	r.sendExt(c, wire.ExtItem, wire.AppendItem(nil, m))
}

// itemsTo returns the numbers of the items that were sent to c.
func itemsTo(t *testing.T, cmds []Command, c Conn) (seqs []int64) {
	t.Helper()
	for _, m := range sent(t, cmds, c) {
		if m.Type == wire.Extended && m.Ext == 9 {
			i, err := wire.ParseItem(m.Payload)
			if err != nil {
				t.Fatal(err)
			}
			seqs = append(seqs, i.Seq)
		}
	}
	return seqs
}

func wantSeqs(t *testing.T, what string, got []int64, want ...int64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
		return
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
}

// namesItems returns whether the last extension handshake to c names sb_item, and whether there is one.
func namesItems(t *testing.T, cmds []Command, c Conn) (names, is bool) {
	for _, m := range sent(t, cmds, c) {
		if m.Type != wire.Extended || m.Ext != wire.ExtHandshakeID {
			continue
		}
		h, err := wire.ParseExtHandshake(m.Payload)
		if err != nil {
			t.Fatal(err)
		}
		names, is = h.Item == wire.ExtItem, true
	}
	return names, is
}

// Each side sends its newest item when a connection begins, and a newer one to all peers but the one that
// has sent it.
func TestItemsAreSentToPeersThatLackThem(t *testing.T) {
	r := seeding(t, Config{}, 5)
	r.publish(publicationOf(1, itemOf(1, 3, "i3e")))
	a, b := r.follower(EvConnected{}), r.follower(EvConnected{})
	plain := r.connect(true)
	cmds := r.drain()
	wantSeqs(t, "to the first", itemsTo(t, cmds, a), 3)
	wantSeqs(t, "to the second", itemsTo(t, cmds, b), 3)
	wantSeqs(t, "to a peer without the extension", itemsTo(t, cmds, plain))
	if n := len(r.e.ItemPeers()); n != 2 {
		t.Errorf("%d peers get items", n)
	}

	r.sendItem(a, itemOf(1, 4, "i4e"))
	cmds = r.drain()
	news := of(cmds, CmdItem)
	if len(news) != 1 || news[0].Conn != a || news[0].Item.Seq != 4 {
		t.Fatalf("%+v", news)
	}
	wantSeqs(t, "before the signature is checked", itemsTo(t, cmds, b))
	r.publish(publicationOf(1, news[0].Item))
	cmds = r.drain()
	wantSeqs(t, "back to the sender", itemsTo(t, cmds, a))
	wantSeqs(t, "on to another", itemsTo(t, cmds, b), 4)
	r.publish(publicationOf(1, news[0].Item))
	wantSeqs(t, "again", itemsTo(t, r.drain(), b))
	r.publish(publicationOf(1, itemOf(1, 2, "i2e")))
	wantSeqs(t, "an older one", itemsTo(t, r.drain(), b))

	// A handshake that is repeated gets nothing again.
	r.sendExt(b, wire.ExtHandshakeID, wire.AppendExtHandshake(nil, wire.ExtHandshake{Item: 9}))
	wantSeqs(t, "after another handshake", itemsTo(t, r.drain(), b))
}

// Peers learn that a torrent belongs to a publication, and that it no longer does.
func TestConnectedPeersLearnOfPublications(t *testing.T) {
	r := newRig(t, Config{}, 5, 64<<10)
	c := r.follower(EvConnected{})
	if names, is := namesItems(t, r.drain(), c); names || !is {
		t.Error("the first handshake of a torrent without publication names sb_item")
	}
	r.sendItem(c, itemOf(1, 4, "i4e"))
	if len(of(r.drain(), CmdItem)) != 0 {
		t.Error("a torrent without publication took an item")
	}
	r.publish(publicationOf(1, itemOf(1, 3, "i3e")))
	cmds := r.drain()
	if names, is := namesItems(t, cmds, c); !names || !is {
		t.Error("no handshake names sb_item")
	}
	wantSeqs(t, "to the peer", itemsTo(t, cmds, c), 3)
	r.publish()
	if names, is := namesItems(t, r.drain(), c); names || !is {
		t.Error("no handshake disables sb_item")
	}
	if len(r.e.ItemPeers()) != 0 {
		t.Error("peers get items of no publication")
	}
}

func TestReceivedItemsAreJudged(t *testing.T) {
	r := seeding(t, Config{}, 5)
	r.publish(publicationOf(1, itemOf(1, 3, "i3e")), publicationOf(2, nil))
	c := r.follower(EvConnected{})
	for _, tt := range []struct {
		name string
		item *wire.ItemMsg
		news int
		want ItemCounts
	}{
		{"older, at first", itemOf(1, 2, "i2e"), 0, ItemCounts{ItemKnown: 1}},
		{"older, again", itemOf(1, 2, "i2e"), 0, ItemCounts{ItemOld: 1}},
		{"another older one", itemOf(1, 1, "i1e"), 0, ItemCounts{ItemOld: 1}},
		{"ours, which crosses it", itemOf(1, 3, "i3e"), 0, ItemCounts{ItemKnown: 1}},
		{"ours, again", itemOf(1, 3, "i3e"), 0, ItemCounts{ItemOld: 1}},
		{"another value with our number", itemOf(1, 3, "i4e"), 1, ItemCounts{ItemChecked: 1}},
		{"newer", itemOf(1, 5, "i5e"), 1, ItemCounts{ItemChecked: 1}},
		{"the first of another publication", itemOf(2, 1, "i1e"), 1, ItemCounts{ItemChecked: 1}},
		{"of a key that is not ours", itemOf(3, 9, "i9e"), 0, ItemCounts{ItemForeign: 1}},
	} {
		before := r.e.Items()
		r.sendItem(c, tt.item)
		got := r.e.Items()
		for o := range got {
			got[o] -= before[o]
		}
		got[ItemSent] = 0
		if n := len(of(r.drain(), CmdItem)); n != tt.news || got != tt.want {
			t.Errorf("%s: %d are checked; %+v", tt.name, n, got)
		}
	}
	r.sendExt(c, wire.ExtItem, []byte("de"))
	if f := closed(r.drain(), c); f != FaultProtocol {
		t.Errorf("a malformed item: %v", f)
	}
	forger := r.follower(EvConnected{})
	r.sendItem(forger, itemOf(1, 9, "i9e"))
	r.drain()
	r.step(&EvForgedItem{Conn: forger})
	if f := closed(r.drain(), forger); f != FaultProtocol || r.e.Stats(r.now).Banned != 1 || r.e.Items()[ItemForged] != 1 {
		t.Errorf("a forged item: %v", f)
	}
}

// Whatever a peer floods us with, few signatures are checked, and it is banned.
func TestFloodsOfItemsAreBanned(t *testing.T) {
	for name, item := range map[string]func(i int) *wire.ItemMsg{
		"new":     func(i int) *wire.ItemMsg { return itemOf(1, int64(10+i), "i9e") },
		"forked":  func(i int) *wire.ItemMsg { return itemOf(1, 3, string(bencode.AppendInt(nil, int64(100+i)))) },
		"old":     func(i int) *wire.ItemMsg { return itemOf(1, 2, "i2e") },
		"foreign": func(i int) *wire.ItemMsg { return itemOf(7, int64(i), "i2e") },
	} {
		r := seeding(t, Config{}, 5)
		r.publish(publicationOf(1, itemOf(1, 3, "i3e")))
		c := r.follower(EvConnected{})
		r.drain()
		checked, n := 0, 0
		for n = 0; n < 1000 && r.e.Stats(r.now).Banned == 0; n++ {
			r.sendItem(c, item(n))
			checked += len(of(r.drain(), CmdItem))
		}
		if n > 4*itemBurst || checked > itemBurst {
			t.Errorf("%s: banned after %d items; %d were checked", name, n, checked)
		}
	}
}

// A publisher that makes versions all the time slows nobody: only the newest is sent, at a low rate, and the
// last one arrives. Nobody who follows these rules is above the limit of a peer.
func TestManyVersionsAreSentAtALowRate(t *testing.T) {
	r := seeding(t, Config{}, 5)
	r.publish(publicationOf(1, itemOf(1, 1, "i1e")))
	c := r.follower(EvConnected{})
	other := seeding(t, Config{}, 5)
	other.publish(publicationOf(1, nil))
	d := other.follower(EvConnected{})
	var got []int64
	pass := func(cmds []Command) {
		for _, seq := range itemsTo(t, cmds, c) {
			got = append(got, seq)
			other.now = r.now
			other.sendItem(d, itemOf(1, seq, "i1e"))
		}
	}
	pass(r.drain())
	for i := range 400 {
		r.publish(publicationOf(1, itemOf(1, int64(2+i), "i1e")))
		pass(r.wait(50 * time.Millisecond))
	}
	pass(r.wait(5 * time.Second))
	if n := len(got); n > 1+pushBurst+int(20*pushRate)+2 || got[n-1] != 401 {
		t.Errorf("%d items were sent in 20 s, the last is %d", n, got[n-1])
	}
	if k := other.e.Items(); k[ItemTooMany] > 0 || k[ItemChecked] != int64(len(got)) {
		t.Errorf("%+v", k)
	}
}

// Complete peers stay connected to complete peers to which new versions are pushed, within limits.
func TestSeedsKeepNeighbours(t *testing.T) {
	r := seeding(t, Config{}, 5)
	r.publish(publicationOf(1, nil))
	all := wire.Msg{Type: wire.Bitfield, Payload: full(5).AppendTo(nil)}
	kept := map[bool]int{}
	var first Conn
	for _, incoming := range []bool{false, true} {
		for range 70 {
			ev := EvConnected{Incoming: incoming}
			ev.Reserved.SetExtended()
			c := r.join(ev)
			r.msg(c, all) // before the extension handshake, as it is usual
			if f := closed(r.drain(), c); f != FaultNone {
				t.Fatalf("closed before it could say what it supports: %v", f)
			}
			r.sendExt(c, wire.ExtHandshakeID, wire.AppendExtHandshake(nil, wire.ExtHandshake{Item: 9, UploadOnly: true}))
			if closed(r.drain(), c) == FaultNone {
				kept[incoming]++
			}
			if first == 0 {
				first = c
			}
		}
	}
	if kept[false] != maxDialedNeighbours || kept[true] != maxIncomingNeighbours {
		t.Errorf("kept %v", kept)
	}
	plain := r.connect(true)
	r.msg(plain, all)
	r.sendExt(plain, wire.ExtHandshakeID, wire.AppendExtHandshake(nil, wire.ExtHandshake{UploadOnly: true}))
	silent := r.connect(true)
	r.msg(silent, all)
	cmds := r.wait(extensionWait + time.Second)
	if closed(cmds, plain) != FaultUseless || closed(cmds, silent) != FaultUseless || closed(cmds, first) != FaultNone {
		t.Error("a connection without sb_item was kept, or one with it was not")
	}
	r.publish()
	if closed(r.drain(), first) != FaultUseless {
		t.Error("a connection was kept after the torrent had left the publication")
	}
}

// One host takes few of the places for incoming connections, also with many addresses of its IPv6 network.
func TestOneHostTakesFewPlaces(t *testing.T) {
	r := seeding(t, Config{}, 5)
	r.publish(publicationOf(1, nil))
	var kept4, kept6 int
	for i := range 3 * maxHostNeighbours {
		if c := r.follower(EvConnected{Incoming: true, Addr: netip.AddrPortFrom(addrOf(1).Addr(), uint16(1000+i))}); closed(r.drain(), c) == FaultNone {
			kept4++
		}
		ip := netip.AddrFrom16([16]byte{0x20, 1, 0xd, 0xb8, 15: byte(i)})
		if c := r.follower(EvConnected{Incoming: true, Addr: netip.AddrPortFrom(ip, 1000)}); closed(r.drain(), c) == FaultNone {
			kept6++
		}
	}
	if kept4 != maxHostNeighbours || kept6 != maxHostNeighbours {
		t.Errorf("%d connections of an IPv4 host and %d of an IPv6 host are kept", kept4, kept6)
	}
	if c := r.follower(EvConnected{Incoming: true, Addr: addrOf(2)}); closed(r.drain(), c) != FaultNone {
		t.Error("a connection of another host is not kept")
	}
}

// The counts of kept connections are those of the connections, however these end.
func TestNeighboursAreCounted(t *testing.T) {
	r := seeding(t, Config{MaxConns: 500}, 5)
	rng := rand.New(rand.NewPCG(1, 2))
	most := [2]int{}
	for step := range 3000 {
		r.publish(publicationOf(1, nil))
		switch open := r.e.peers; {
		case step%500 == 499:
			r.publish()
		case len(open) == 0 || rng.IntN(5) > 0:
			r.follower(EvConnected{Incoming: rng.IntN(2) == 0})
		default:
			r.step(&EvClosed{Conn: open[rng.IntN(len(open))].conn, Fault: FaultReset})
		}
		for _, x := range of(r.drain(), CmdClose) {
			if rng.IntN(2) == 0 { // otherwise the end of the connection is reported later
				r.step(&EvClosed{Conn: x.Conn, Fault: x.Fault})
			}
		}
		want := [2]int{}
		for _, p := range r.e.peers {
			if p.neighbour && !p.closing {
				if p.incoming {
					want[1]++
				} else {
					want[0]++
				}
			}
		}
		if got := [2]int{r.e.push.dialed, r.e.push.incoming}; got != want {
			t.Fatalf("after step %d: %v kept connections, counted %v", step, want, got)
		}
		most = [2]int{max(most[0], want[0]), max(most[1], want[1])}
	}
	if most != [2]int{maxDialedNeighbours, maxIncomingNeighbours} {
		t.Errorf("at most %v connections were kept", most)
	}
}

// A complete torrent dials complete peers until it has enough neighbours, and others as before.
func TestSeedsDialNeighbours(t *testing.T) {
	for _, pushes := range []bool{true, false} {
		r := seeding(t, Config{HalfOpen: 100}, 5)
		r.publish(publicationOf(1, nil))
		addrs := []Candidate{}
		for i := range 30 {
			addrs = append(addrs, Candidate{Addr: addrOf(1000 + i), Source: FromPublication})
		}
		r.step(&EvCandidates{addrs})
		dialed := func(cmds []Command) (conns []Conn) {
			for _, d := range of(cmds, CmdDial) {
				ev := EvConnected{Addr: d.Addr}
				ev.Reserved.SetExtended()
				c := r.join(ev)
				h := wire.ExtHandshake{UploadOnly: true}
				if pushes {
					h.Item = 9
				}
				r.msg(c, wire.Msg{Type: wire.Bitfield, Payload: full(5).AppendTo(nil)})
				r.sendExt(c, wire.ExtHandshakeID, wire.AppendExtHandshake(nil, h))
				conns = append(conns, c)
			}
			return conns
		}
		conns := dialed(r.drain())
		if len(conns) != 30 {
			t.Fatalf("%d dials", len(conns))
		}
		for _, x := range of(r.drain(), CmdClose) {
			r.step(&EvClosed{Conn: x.Conn, Addr: addrOf(1000), Fault: x.Fault})
		}
		for range 2 * retryUseless / time.Minute {
			if again := of(r.wait(time.Minute), CmdDial); len(again) != 0 {
				t.Fatalf("pushes %v: %d dials although there are enough", pushes, len(again))
			}
			for _, c := range conns {
				r.msg(c, wire.Msg{Type: wire.KeepAlive})
			}
		}
		r.step(&EvClosed{Conn: conns[0], Fault: FaultReset}) // if it was kept
		if again := of(r.drain(), CmdDial); len(again) > 1 || len(again) == 1 != pushes {
			t.Errorf("pushes %v: %d dials to replace one", pushes, len(again))
		}
	}
}

// A peer of another version is dialed again soon: it may be about to have this one.
func TestPeersOfAnotherVersionAreDialedAgainSoon(t *testing.T) {
	r := newRig(t, Config{}, 5, 64<<10)
	a := addrOf(1)
	r.step(&EvCandidates{[]Candidate{{Addr: a, Source: FromPublication}}})
	var at []time.Duration
	began := r.now
	for range fastRetries + 2 {
		for len(of(r.drain(), CmdDial)) == 0 {
			r.now = max(r.e.Deadline(), r.now+1)
			r.e.Tick(r.now)
		}
		at = append(at, r.now.Sub(began))
		r.step(&EvDialFailed{Addr: a, Fault: FaultHandshake})
	}
	if at[1] > 2*retryVersion || at[3] > 2*time.Second || at[fastRetries+1]-at[fastRetries] < retryFirst {
		t.Errorf("dialed at %v", at)
	}
}
