package engine

import (
	"net/netip"
	"testing"
	"time"

	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// BEP 27 applies as soon as the metadata is known, not only when storage is open, because
// checking existing data may take an hour.
func TestBEP27AppliesBeforeStorageIsOpen(t *testing.T) {
	info := testInfo(t, 50, 64<<10, 100, true)
	found := &EvCandidates{Candidates: []Candidate{{Addr: addrOf(70), Source: FromDHT}, {Addr: addrOf(71), Source: FromPEX}, {Addr: addrOf(73), Source: FromLSD}, {Addr: addrOf(72), Source: FromHint}}}
	check := func(r *rig, hints int) {
		t.Helper()
		r.step(found)
		cmds := r.wait(time.Minute)
		if dials := of(cmds, CmdDial); len(dials) != hints || hints == 1 && dials[0].Addr != addrOf(72) {
			t.Errorf("dials %v", dials)
		}
		if len(of(cmds, CmdWantPeers)) > 0 {
			t.Error("asked for candidates")
		}
	}

	r := newRig(t, Config{InfoHash: info.Hash, Hints: true, Private: true}, 0, 0)
	c := r.connect(true)
	for _, m := range sent(t, r.drain(), c) {
		if m.Type != wire.Extended || m.Ext != wire.ExtHandshakeID {
			continue
		}
		if h, err := wire.ParseExtHandshake(m.Payload); err != nil || h.UtPex != 0 {
			t.Errorf("offered peer exchange: %+v, %v", h, err)
		}
	}
	check(r, 1)

	r = newRig(t, Config{}, 0, 0)
	r.e.meta.asm = metainfo.NewAssembler(info.Hash, info.HashV2)
	r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(1), Source: FromDHT}}})
	r.drain()
	var extended wire.Reserved
	extended.SetExtended()
	giver, other := r.join(EvConnected{Addr: addrOf(1), Reserved: extended}), r.connect(true)
	r.msg(giver, wire.Msg{Type: wire.Extended, Payload: wire.AppendExtHandshake(nil, wire.ExtHandshake{UtMetadata: 3, MetadataSize: int64(len(info.Raw))})})
	var done, all []Command
	for range 5 {
		cmds := r.wait(time.Second)
		done, all = append(done, of(cmds, CmdMetadata)...), append(all, cmds...)
		for _, m := range sent(t, cmds, giver) {
			if x, err := wire.ParseMetadata(m.Payload); m.Type == wire.Extended && m.Ext == 3 && err == nil {
				out := wire.MetadataMsg{Type: wire.MetadataData, Piece: x.Piece, TotalSize: int64(len(info.Raw)), Data: info.Raw}
				r.msg(giver, wire.Msg{Type: wire.Extended, Ext: wire.ExtMetadata, Payload: wire.AppendMetadata(nil, out)})
			}
		}
	}
	if len(done) != 1 || closed(all, giver) != FaultUseless || closed(all, other) == FaultUseless {
		t.Errorf("metadata %v, connections %v", done, of(all, CmdClose))
	}
	check(r, 0)
	r.step(&EvInfo{Info: info})
	check(r, 0)
}

// The number of slots may be zero. Then nothing is requested until there are some.
func TestNothingIsRequestedWithoutSlots(t *testing.T) {
	r := newRig(t, Config{}, 20, 64<<10)
	r.step(&EvBudget{HalfOpen: 5, MaxConns: 50})
	r.seed(true)
	r.seed(false)
	if cmds := of(r.wait(time.Minute), CmdRequest); len(cmds) > 0 {
		t.Fatal(cmds)
	}
	r.step(&EvBudget{Budget: 2, HalfOpen: 5, MaxConns: 50})
	if cmds := of(r.wait(time.Second), CmdRequest); len(cmds) == 0 {
		t.Fatal("nothing requested with two slots")
	}
}

// A dial or a hole punch to a peer that the DHT or PEX has named may be in progress when the metadata shows that
// the torrent is private. The peer is neither kept nor dialed again.
func TestBEP27AppliesToConnectionsThatAreBeingMade(t *testing.T) {
	r := punchRig{newRig(t, Config{Holepunch: true}, 0, 0)}
	connected, late, dead, behind := public(1), public(2), public(3), public(4)
	r.step(&EvCandidates{Candidates: []Candidate{{Addr: connected, Source: FromDHT}, {Addr: late, Source: FromDHT}, {Addr: dead, Source: FromDHT}}})
	expect(t, "dials", len(dialed(r.drain(), CmdDial)), 3)
	found := r.joins(EvConnected{Addr: connected})
	r.says(found, connectTo(behind))
	expect(t, "hole punches", dialed(r.drain(), CmdPunch), []netip.AddrPort{behind})
	r.step(&EvInfo{Info: testInfo(t, 4, 64<<10, 9, true)})
	expect(t, "the connected peer", closed(r.drain(), found), FaultUseless)
	r.step(&EvClosed{Conn: found, Addr: connected})
	r.step(&EvDialFailed{Addr: dead, Fault: FaultTimeout})
	for what, ev := range map[string]EvConnected{"the dialed peer": {Addr: late}, "the punched peer": {Addr: behind, UTP: true, Punched: true}} {
		c := r.join(ev)
		expect(t, what, closed(r.drain(), c), FaultUseless)
		r.step(&EvClosed{Conn: c, Addr: ev.Addr})
	}
	r.connect(true) // it keeps the clock of the engine running
	for range 60 {
		expect(t, "dials", dialed(r.wait(time.Minute), CmdDial), []netip.AddrPort{})
	}
}
