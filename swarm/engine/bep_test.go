package engine

import (
	"maps"
	"net/netip"
	"slices"
	"testing"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/pex"
	"seedbed/swarm/wire"
)

// These tests check one sentence of a BEP each.

func TestBEP3BitfieldIsOnlyEverSentFirst(t *testing.T) {
	field := wire.Msg{Type: wire.Bitfield, Payload: []byte{0x80}}
	ext := wire.Msg{Type: wire.Extended, Payload: []byte("de")}
	for name, x := range map[string]struct {
		ms    []wire.Msg
		fault Fault
	}{
		"first":              {[]wire.Msg{field}, 0},
		"after an extension": {[]wire.Msg{ext, field}, 0},
		"late and too long":  {[]wire.Msg{field, {Type: wire.Bitfield, Payload: []byte{0, 0}}}, FaultProtocol},
		"none after have":    {[]wire.Msg{{Type: wire.Have}, {Type: wire.HaveNone}}, FaultProtocol},
		"too short":          {[]wire.Msg{{Type: wire.Bitfield, Payload: []byte{}}}, FaultProtocol},
		"too long":           {[]wire.Msg{{Type: wire.Bitfield, Payload: []byte{0, 0}}}, FaultProtocol},
		"a spare bit is set": {[]wire.Msg{{Type: wire.Bitfield, Payload: []byte{1}}}, FaultProtocol},
	} {
		r := newRig(t, Config{}, 4, 64<<10)
		c := r.connect(true)
		r.msg(c, x.ms...)
		if f := closed(r.drain(), c); f != x.fault {
			t.Errorf("%s: fault %d, not %d", name, f, x.fault)
		}
	}
}

// aria2 sends a bitfield or have all in the middle of a download where that is shorter
// than the pending haves. It adds to the known pieces and removes none.
func TestALateBitfieldStandsForHaves(t *testing.T) {
	for name, known := range map[string]bool{"geometry known": true, "still without metadata": false} {
		r := newRig(t, Config{}, 0, 0)
		if known {
			r.info(4, 64<<10)
		}
		c := r.connect(true)
		r.msg(c, wire.Msg{Type: wire.HaveNone}, wire.Msg{Type: wire.Have, Index: 3})
		for _, bits := range []byte{0x80, 0x40, 0x40} {
			r.msg(c, wire.Msg{Type: wire.Bitfield, Payload: []byte{bits}})
		}
		if !known {
			r.info(4, 64<<10)
		}
		if f := closed(r.drain(), c); f != 0 {
			t.Fatalf("%s: fault %v", name, f)
		}
		if p := r.e.conns[c]; p.down.nHas != 3 || p.down.has.Has(2) {
			t.Errorf("%s: it has %d pieces, not 3", name, p.down.nHas)
		}
		r.msg(c, wire.Msg{Type: wire.HaveAll})
		if p := r.e.conns[c]; closed(r.drain(), c) != 0 || p.down.nHas != 4 {
			t.Errorf("%s: it has %d pieces after have all", name, p.down.nHas)
		}
		if r.e.early != 0 {
			t.Errorf("%s: %d bytes are still held", name, r.e.early)
		}
	}
}

// Announcements that precede the metadata are checked when the number of pieces is known.
func TestEarlyBitfieldsAreCheckedOnceTheGeometryIsKnown(t *testing.T) {
	for name, x := range map[string]struct {
		ms    []wire.Msg
		fault Fault
		has   int
	}{
		"all":              {[]wire.Msg{{Type: wire.HaveAll}}, 0, 50},
		"bits and a have":  {[]wire.Msg{{Type: wire.Bitfield, Payload: []byte{0x80, 0, 0, 0, 0, 0, 0}}, {Type: wire.Have, Index: 49}}, 0, 2},
		"no such piece":    {[]wire.Msg{{Type: wire.Have, Index: 50}}, FaultProtocol, 0},
		"too many pieces":  {[]wire.Msg{{Type: wire.Bitfield, Payload: make([]byte, 8)}}, FaultProtocol, 0},
		"a flood of haves": {slices.Repeat([]wire.Msg{{Type: wire.Have, Index: 3}}, 2*maxEarlyList), 0, 1},
	} {
		r := newRig(t, Config{}, 0, 0)
		c := r.connect(true)
		r.msg(c, x.ms...)
		r.info(50, 64<<10)
		if f := closed(r.drain(), c); f != x.fault {
			t.Errorf("%s: fault %d, not %d", name, f, x.fault)
		}
		if p := r.e.conns[c]; x.fault == 0 && p.down.nHas != x.has {
			t.Errorf("%s: it has %d, not %d", name, p.down.nHas, x.has)
		}
		if r.e.early != 0 {
			t.Errorf("%s: %d bytes are still held", name, r.e.early)
		}
	}
}

func TestBEP3IndicesAndBoundsAreChecked(t *testing.T) {
	for name, m := range map[string]wire.Msg{
		"have":                {Type: wire.Have, Index: 4},
		"have, huge":          {Type: wire.Have, Index: 1 << 31},
		"suggest":             {Type: wire.Suggest, Index: 4},
		"allowed fast":        {Type: wire.AllowedFast, Index: 4},
		"request, no piece":   {Type: wire.Request, Index: 4, Length: 1},
		"request, nothing":    {Type: wire.Request, Index: 0},
		"request, past end":   {Type: wire.Request, Begin: 64<<10 - 1, Length: 2},
		"request, overflow":   {Type: wire.Request, Begin: ^uint32(0), Length: 2},
		"request, too much":   {Type: wire.Request, Length: wire.MaxBlock + 1},
		"lt_donthave":         {Type: wire.Extended, Ext: wire.ExtDontHave, Payload: []byte{0, 0, 0, 4}},
		"extension, no dict":  {Type: wire.Extended, Payload: []byte("i1e")},
		"metadata, no dict":   {Type: wire.Extended, Ext: wire.ExtMetadata, Payload: []byte("x")},
		"pex, no dict":        {Type: wire.Extended, Ext: wire.ExtPex, Payload: []byte("le")},
		"upload_only, length": {Type: wire.Extended, Ext: wire.ExtUploadOnly, Payload: nil},
	} {
		r := newRig(t, Config{}, 4, 64<<10)
		c := r.connect(true)
		r.msg(c, m)
		if f := closed(r.drain(), c); f != FaultProtocol {
			t.Errorf("%s: fault %d", name, f)
		}
	}
}

func TestBEP6FastMessagesNeedTheBit(t *testing.T) {
	for _, ty := range []wire.Type{wire.Suggest, wire.HaveAll, wire.HaveNone, wire.Reject, wire.AllowedFast} {
		r := newRig(t, Config{}, 4, 64<<10)
		c := r.connect(false)
		r.msg(c, wire.Msg{Type: ty})
		if f := closed(r.drain(), c); f != FaultProtocol {
			t.Errorf("%v: fault %d", ty, f)
		}
	}
}

func TestBEP6ExactlyOneOfAllNoneAndBitfieldComesFirst(t *testing.T) {
	some := bitset.New(9)
	some.Add(8)
	for name, x := range map[string]struct {
		have bitset.Set
		fast bool
		want wire.Type
	}{
		"all": {full(9), true, wire.HaveAll}, "none": {bitset.New(9), true, wire.HaveNone}, "some": {some, true, wire.Bitfield},
		"all, plain": {full(9), false, wire.Bitfield}, "none, plain": {bitset.New(9), false, wire.Extended},
	} {
		r := newRig(t, Config{}, 0, 0)
		r.step(&EvInfo{Info: testInfo(t, 9, 64<<10, 5, false), Have: x.have})
		c := r.connect(x.fast)
		ms := sent(t, r.drain(), c)
		if len(ms) == 0 || ms[0].Type != x.want {
			t.Errorf("%s: %v", name, typesOf(ms))
		}
		n := 0
		for _, m := range ms {
			if m.Type == wire.HaveAll || m.Type == wire.HaveNone || m.Type == wire.Bitfield {
				n++
			}
		}
		if x.fast && n != 1 {
			t.Errorf("%s: %d bitfield messages", name, n)
		}
	}
}

func TestBEP6ARequestWhileChokedIsRejectedAndWithoutTheBitIgnored(t *testing.T) {
	for _, fast := range []bool{true, false} {
		r := seeding(t, Config{}, 100)
		c := r.connect(fast)
		r.drain()
		r.msg(c, wire.Msg{Type: wire.Request, Index: 3, Length: 1 << 14})
		cmds := r.drain()
		ms := sent(t, cmds, c)
		if fast && (len(ms) != 1 || ms[0].Type != wire.Reject || ms[0].Index != 3) || !fast && len(ms) > 0 || len(of(cmds, CmdUpload)) > 0 {
			t.Errorf("fast %v: %v", fast, cmds)
		}
	}
}

func TestBEP6AllowedFastPiecesAreServedWhileChoked(t *testing.T) {
	r := seeding(t, Config{Uploads: 1}, 100)
	r.leecher(true)
	r.leecher(true)
	c := r.leecher(true) // two slots, and this is the third peer
	var allowed []uint32
	for _, m := range sent(t, r.drain(), c) {
		switch m.Type {
		case wire.AllowedFast:
			allowed = append(allowed, m.Index)
		case wire.Unchoke:
			t.Fatal("a third was unchoked")
		}
	}
	if len(allowed) != allowedFast {
		t.Fatalf("allowed fast pieces: %v", allowed)
	}
	served := 0
	for range 20 {
		for _, p := range allowed {
			r.msg(c, wire.Msg{Type: wire.Request, Index: p, Length: 1 << 14})
		}
		cmds := r.drain()
		for _, u := range of(cmds, CmdUpload) {
			served++
			r.block(BlockEvent{Kind: BlockUploaded, Conn: c, Block: u.Block})
		}
	}
	if want := 2 * allowedFast * 4; served != want { // each of their blocks twice
		t.Errorf("%d blocks were served, not %d", served, want)
	}
}

func TestBEP6WeAskForAllowedFastPiecesWhileChoked(t *testing.T) {
	r := newRig(t, Config{}, 10, 64<<10)
	c := r.connect(true)
	r.msg(c, wire.Msg{Type: wire.HaveAll}, wire.Msg{Type: wire.AllowedFast, Index: 7})
	reqs := of(r.drain(), CmdRequest)
	for _, q := range reqs {
		if q.Block.Piece != 7 {
			t.Errorf("requested %v", q.Block)
		}
	}
	if len(reqs) != 4 {
		t.Errorf("%d requests, not the 4 of the piece", len(reqs))
	}
}

func TestChokeCancelsRequestsInBEP3ButNotInBEP6(t *testing.T) {
	for _, fast := range []bool{false, true} {
		r := newRig(t, Config{}, 10, 64<<10)
		c := r.seed(fast)
		n := len(of(r.drain(), CmdRequest))
		r.msg(c, wire.Msg{Type: wire.Choke})
		back := of(r.drain(), CmdCancel)
		if !fast && len(back) != n || fast && len(back) > 0 || n == 0 {
			t.Errorf("fast %v: of %d requests, %d were withdrawn", fast, n, len(back))
		}
		for _, x := range back {
			if !x.Rejected {
				t.Error("a cancel is sent after a choke")
			}
		}
		if fast { // BEP 6: it must reject or send; requests without an answer are withdrawn
			if back := of(r.wait(rejectAfter+2*time.Second), CmdCancel); len(back) != n {
				t.Errorf("%d of %d requests withdrawn from a peer that does not reject", len(back), n)
			}
		}
	}
}

func TestBEP6RejectedBlockIsRequestedFromAnotherPeer(t *testing.T) {
	r := newRig(t, Config{}, 1, 16<<10)
	a := r.seed(true)
	q := of(r.drain(), CmdRequest)
	if len(q) != 1 || q[0].Conn != a {
		t.Fatal(q)
	}
	r.msg(a, wire.Msg{Type: wire.Reject, Index: 0, Length: 16 << 10})
	b := r.seed(true)
	q = of(r.drain(), CmdRequest)
	if len(q) != 1 || q[0].Conn != b {
		t.Error(q)
	}
}

func TestBEP5PortIsSentWhenBothHaveTheBit(t *testing.T) {
	r := newRig(t, Config{HasDHT: true, Ports: addrs.Ports{V4: 7000, V6: 7006}}, 4, 64<<10)
	c := r.connect(true)
	if ms := sent(t, r.drain(), c); !slices.ContainsFunc(ms, func(m wire.Msg) bool { return m.Type == wire.Port && m.Port == 7000 }) {
		t.Error("no port:", typesOf(ms))
	}
	r.msg(c, wire.Msg{Type: wire.Port, Port: 9})
	if n := of(r.drain(), CmdDHTNode); len(n) != 1 || n[0].Addr.Port() != 9 || n[0].Addr.Addr() != addrOf(1).Addr() {
		t.Error(n)
	}
	c = r.join(EvConnected{})
	if ms := sent(t, r.drain(), c); slices.Contains(typesOf(ms), wire.Port) {
		t.Error("PORT sent to a peer without DHT")
	}
}

// Peers that connect after the port has changed are told the new one.
func TestTheNextPeersAreToldANewPort(t *testing.T) {
	r := seeding(t, Config{HasDHT: true}, 5)
	r.connect(true)
	r.drain()
	r.step(&EvPorts{Ports: addrs.Ports{V4: 7001, V6: 7006}})
	told := func(c Conn) (ports []uint16) {
		for _, m := range sent(t, r.drain(), c) {
			switch m.Type {
			case wire.Port:
				ports = append(ports, m.Port)
			case wire.Extended:
				if h, err := wire.ParseExtHandshake(m.Payload); err == nil {
					ports = append(ports, uint16(h.Port))
				}
			}
		}
		return ports
	}
	if got := told(r.connect(true)); !slices.Equal(got, []uint16{7001, 7001}) {
		t.Error(got)
	}
	var res wire.Reserved
	res.SetExtended()
	res.SetDHT()
	v6 := netip.AddrPortFrom(netip.MustParseAddr("2001:db8::1"), 6881)
	if got := told(r.join(EvConnected{Addr: v6, Reserved: res})); !slices.Equal(got, []uint16{7006, 7006}) {
		t.Error("over IPv6:", got)
	}
	// Peers in the local network do not pass the router.
	r.step(&EvPorts{Ports: addrs.Ports{V4: 7001, V6: 7006, Local: 6881}})
	for peer, port := range map[string]uint16{"192.168.1.9:6881": 6881, "45.0.0.9:6881": 7001, "[fd00::9]:6881": 6881, "[2a01::9]:6881": 7006} {
		if got := told(r.join(EvConnected{Addr: netip.MustParseAddrPort(peer), Reserved: res})); !slices.Equal(got, []uint16{port, port}) {
			t.Errorf("%s is told %v", peer, got)
		}
	}
	without := seeding(t, Config{}, 5)
	without.step(&EvPorts{Ports: addrs.Ports{V4: 7001, V6: 7006}})
	if ms := sent(t, without.drain(), without.connect(true)); slices.Contains(typesOf(ms), wire.Port) {
		t.Error("a port of a DHT that does not run")
	}
}

func TestBEP10HandshakeListsOurExtensions(t *testing.T) {
	r := seeding(t, Config{Version: "seedbed"}, 5)
	c := r.connect(true)
	for _, m := range sent(t, r.drain(), c) {
		if m.Type != wire.Extended {
			continue
		}
		h, err := wire.ParseExtHandshake(m.Payload)
		if err != nil || h.UtMetadata == 0 || h.UtPex == 0 || h.LtDontHave == 0 || h.Port != 6881 || h.Reqq != ourReqq ||
			h.MetadataSize != int64(len(r.e.content.info.Raw)) || !h.UploadOnly || h.YourIP != addrOf(1).Addr() || h.Version != "seedbed" {
			t.Errorf("%+v %v", h, err)
		}
		return
	}
	t.Error("no extension handshake")
}

func TestBEP9MetadataIsServedAndFloodsAreRejected(t *testing.T) {
	r := seeding(t, Config{}, 5)
	c := r.connect(true)
	r.msg(c, wire.Msg{Type: wire.Extended, Payload: []byte("d1:md11:ut_metadatai9eee")})
	r.drain()
	data, rejects := 0, 0
	ask := func(piece int) {
		r.msg(c, wire.Msg{Type: wire.Extended, Ext: wire.ExtMetadata,
			Payload: wire.AppendMetadata(nil, wire.MetadataMsg{Type: wire.MetadataRequest, Piece: piece})})
		for _, m := range sent(t, r.drain(), c) {
			x, err := wire.ParseMetadata(m.Payload)
			if err != nil || m.Ext != 9 {
				t.Fatal(m, err)
			}
			switch x.Type {
			case wire.MetadataData:
				data++
				if string(x.Data) != string(r.e.content.info.Raw) {
					t.Fatal("wrong data")
				}
			case wire.MetadataReject:
				rejects++
			}
		}
	}
	ask(1)
	if rejects != 1 {
		t.Error("a nonexistent block was not rejected")
	}
	for range 100 {
		ask(0)
	}
	if data != 10 || rejects != 91 {
		t.Errorf("%d served, %d rejected", data, rejects)
	}
}

func TestBEP11PeersAreExchanged(t *testing.T) {
	r := newRig(t, Config{}, 4, 64<<10)
	a, _ := r.connect(true), r.connect(true)
	r.msg(a, wire.Msg{Type: wire.Extended, Payload: []byte("d1:md6:ut_pexi5eee")})
	messages := 0
	for _, m := range sent(t, r.wait(50*time.Second), a) {
		if m.Type == wire.Extended && m.Ext == 5 {
			messages++
		}
	}
	if messages != 1 {
		t.Errorf("%d messages", messages)
	}
}

// BEP 11 defines what each flag says about a peer. Only what is known of a connection is sent.
func TestBEP11FlagsAreTrue(t *testing.T) {
	r := newRig(t, Config{}, 4, 64<<10)
	a := r.connect(true)
	var res wire.Reserved
	res.SetExtended()
	shake := func(ev EvConnected, more string) netip.AddrPort {
		ev.Reserved = res
		c := r.join(ev)
		r.msg(c, wire.Msg{Type: wire.Extended, Payload: []byte("d1:md" + more + "e1:pi6881ee")})
		return addrOf(int(c))
	}
	want := map[netip.AddrPort]pex.Flags{
		shake(EvConnected{}, ""):                                 pex.Reachable,
		shake(EvConnected{Encrypted: true}, ""):                  pex.Reachable | pex.PrefersEncryption,
		shake(EvConnected{UTP: true}, ""):                        pex.Reachable | pex.UTP,
		shake(EvConnected{Incoming: true}, ""):                   0,
		shake(EvConnected{Incoming: true, UTP: true}, ""):        pex.UTP,
		shake(EvConnected{UTP: true, Punched: true}, ""):         pex.UTP,
		shake(EvConnected{Incoming: true}, "12:ut_holepunchi4e"): pex.Holepunch | pex.UTP,
		shake(EvConnected{Incoming: true}, "12:ut_holepunchi0e"): 0,
	}
	r.drain()
	r.msg(a, wire.Msg{Type: wire.Extended, Payload: []byte("d1:md6:ut_pexi5eee")})
	got := map[netip.AddrPort]pex.Flags{}
	for _, m := range sent(t, r.wait(20*time.Second), a) {
		if m.Type == wire.Extended && m.Ext == 5 {
			u, err := pex.Parse(m.Payload)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range u.Added {
				got[p.Addr] = p.Flags
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// rain and webtorrent announce no listening port. They still get the addresses of peers
// that can be dialed, and learn when these leave.
func TestBEP11PeerWithoutListeningPortReceivesAddresses(t *testing.T) {
	r := newRig(t, Config{}, 4, 64<<10)
	dialable := r.connect(true)
	var res wire.Reserved
	res.SetExtended()
	other := r.join(EvConnected{Incoming: true, Reserved: res})
	r.msg(other, wire.Msg{Type: wire.Extended, Payload: []byte("d1:md6:ut_pexi5eee")})
	updates := func(d time.Duration) (list []pex.Update, at []mono.Time) {
		for end := r.now.Add(d); r.now < end; {
			for _, m := range sent(t, r.wait(time.Second), other) {
				if m.Type == wire.Extended && m.Ext == 5 {
					u, err := pex.Parse(m.Payload)
					if err != nil {
						t.Fatal(err)
					}
					list, at = append(list, u), append(at, r.now)
				}
			}
		}
		return list, at
	}
	list, first := updates(20 * time.Second)
	if len(list) != 1 || len(list[0].Added) != 1 || list[0].Added[0].Addr != r.e.conns[dialable].listen {
		t.Fatal("with one peer that can be dialed:", list)
	}
	r.step(&EvClosed{Conn: dialable})
	list, second := updates(100 * time.Second)
	if len(list) != 1 || len(list[0].Dropped) != 1 {
		t.Fatal("when that peer has left:", list)
	}
	if gap := second[0].Sub(first[0]); gap < pex.SendInterval-time.Second {
		t.Errorf("%v between two messages", gap)
	}
}

// The interval starts when a message is written, however long it was queued.
func TestBEP11TheIntervalCountsOnTheWire(t *testing.T) {
	r := newRig(t, Config{}, 4, 64<<10)
	a, _ := r.connect(true), r.connect(true)
	r.msg(a, wire.Msg{Type: wire.Extended, Payload: []byte("d1:md6:ut_pexi5eee")})
	var written, again mono.Time
	for again == 0 {
		for _, c := range r.e.Drain() {
			if c.Timed && c.Conn == a {
				if written != 0 {
					again = r.now
					break
				}
				written = r.now.Add(100 * time.Second) // the peer reads late
			}
		}
		r.now = r.now.Add(time.Second)
		if r.now == written {
			r.connect(true) // news
			r.step(&EvSent{Conn: a})
		}
		if r.now > mono.Time(10*time.Minute) {
			t.Fatal("no second message")
		}
		r.e.Tick(r.now)
	}
	if gap := again.Sub(written); gap < pex.SendInterval || gap > pex.SendInterval+pexEvery+time.Second {
		t.Errorf("%v after the first was written", gap)
	}
}

func TestBEP21UploadOnlyPeersAreClosedByASeed(t *testing.T) {
	r := seeding(t, Config{}, 5)
	a := r.connect(true)
	r.msg(a, wire.Msg{Type: wire.HaveAll})
	b := r.connect(true)
	r.msg(b, wire.Msg{Type: wire.Extended, Payload: []byte("d11:upload_onlyi1ee")})
	c := r.connect(true)
	r.msg(c, wire.Msg{Type: wire.HaveNone})
	cmds := r.drain()
	if closed(cmds, a) != FaultUseless || closed(cmds, b) != FaultUseless || closed(cmds, c) != FaultNone {
		t.Error(of(cmds, CmdClose))
	}
}

func TestBEP27PrivateTorrentsTakeNoPeersFromDHTAndPEX(t *testing.T) {
	for _, hints := range []bool{false, true} {
		r := newRig(t, Config{Hints: hints}, 0, 0)
		r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(1), Source: FromDHT}}})
		r.drain()
		found := r.join(EvConnected{Addr: addrOf(1)})
		came := r.join(EvConnected{Addr: addrOf(2), Incoming: true})
		r.step(&EvInfo{Info: testInfo(t, 4, 64<<10, 9, true)})
		r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(3), Source: FromDHT}, {Addr: addrOf(4), Source: FromPEX}, {Addr: addrOf(5), Source: FromHint}}})
		cmds := r.wait(time.Minute)
		if closed(cmds, found) != FaultUseless || closed(cmds, came) != FaultNone {
			t.Error("connections:", of(cmds, CmdClose))
		}
		dials := of(cmds, CmdDial)
		if hints != (len(dials) == 1 && dials[0].Addr == addrOf(5)) {
			t.Errorf("hints %v: dials %v", hints, dials)
		}
		if len(of(cmds, CmdWantPeers)) > 0 {
			t.Error("asked for candidates")
		}
	}
}

func TestBEP54LostPieceIsNotRequested(t *testing.T) {
	r := newRig(t, Config{}, 3, 16<<10)
	c := r.connect(true)
	r.msg(c, wire.Msg{Type: wire.HaveAll},
		wire.Msg{Type: wire.Extended, Ext: wire.ExtDontHave, Payload: []byte{0, 0, 0, 1}}, wire.Msg{Type: wire.Unchoke})
	for _, q := range of(r.drain(), CmdRequest) {
		if q.Block.Piece == 1 {
			t.Error("requested it")
		}
	}
	if r.e.conns[c].down.want != 2 {
		t.Error("wants", r.e.conns[c].down.want)
	}
}

func TestBEP3KeepAlivesAreSentAndSilentPeersClosed(t *testing.T) {
	r := newRig(t, Config{}, 3, 16<<10)
	c := r.connect(true)
	r.drain()
	cmds := r.wait(119 * time.Second)
	if ms := sent(t, cmds, c); len(ms) != 1 || ms[0].Type != wire.KeepAlive {
		t.Error(typesOf(ms))
	}
	if f := closed(r.wait(silentFor), c); f != FaultTimeout {
		t.Error("fault", f)
	}
}

// When two connections between the same peers cross, both ends must close the same one.
func TestCrossingConnectionsEndWithOne(t *testing.T) {
	small, large := id.ID{1}, id.ID{9}
	for _, outFirst := range []bool{true, false} {
		kept := func(own, other id.ID) bool { // reports whether the connection that own dialed is kept
			r := newRig(t, Config{}, 3, 16<<10)
			r.e.cfg.PeerID = own
			a := r.join(EvConnected{Addr: addrOf(1), PeerID: other, Incoming: !outFirst})
			b := r.join(EvConnected{Addr: addrOf(1), PeerID: other, Incoming: outFirst})
			cmds := r.drain()
			if (closed(cmds, a) == FaultDuplicate) == (closed(cmds, b) == FaultDuplicate) {
				t.Fatal("not exactly one of two was closed:", of(cmds, CmdClose))
			}
			return (closed(cmds, a) == FaultNone) == outFirst
		}
		if !kept(small, large) || kept(large, small) {
			t.Error("the connection that the smaller id dialled was not kept; outgoing first:", outFirst)
		}
	}
	r := newRig(t, Config{}, 3, 16<<10)
	r.join(EvConnected{Addr: addrOf(1), PeerID: large, Incoming: true})
	b := r.join(EvConnected{Addr: addrOf(1), PeerID: large, Incoming: true})
	if closed(r.drain(), b) != FaultDuplicate {
		t.Error("a second connection in the same direction was kept")
	}
}

func TestOurselvesAreNotDialledTwice(t *testing.T) {
	r := newRig(t, Config{}, 3, 16<<10)
	r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(1), Source: FromHint}}})
	if len(of(r.drain(), CmdDial)) != 1 {
		t.Fatal("no dial")
	}
	c := r.join(EvConnected{Addr: addrOf(1), PeerID: r.e.cfg.PeerID})
	if f := closed(r.drain(), c); f != FaultSelf {
		t.Fatal("fault", f)
	}
	r.step(&EvClosed{Conn: c})
	r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(1), Source: FromHint}}})
	if d := of(r.wait(time.Hour), CmdDial); len(d) > 0 {
		t.Error(d)
	}
}
