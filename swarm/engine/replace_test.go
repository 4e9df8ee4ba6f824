package engine

import (
	"testing"
	"time"

	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

func TestRankOfConnections(t *testing.T) {
	now := mono.Time(time.Hour)
	ago := func(d time.Duration) mono.Time { return now.Add(-d) }
	for name, tt := range map[string]struct {
		u    usefulness
		want rank
	}{
		"just connected":                     {usefulness{since: now}, rankUseful},
		"neither is interested, for a while": {usefulness{since: ago(idleFor + 1), received: 1, sent: 1}, rankIdle},
		"wants us":                           {usefulness{since: ago(time.Hour), wantsUs: true}, rankUseful},
		"wants us but takes nothing":         {usefulness{since: ago(time.Hour), wantsUs: true, stalled: true}, rankStalled},
		"takes nothing, but sent data":       {usefulness{since: ago(time.Hour), wantsUs: true, stalled: true, received: 1}, rankUseful},
		"wanted, recently":                   {usefulness{since: ago(unusedFor), isWanted: true}, rankUseful},
		"wanted, but sent nothing":           {usefulness{since: ago(unusedFor + 1), isWanted: true}, rankUnused},
		"wanted, sent nothing, but took":     {usefulness{since: ago(unusedFor + 1), isWanted: true, wantsUs: true, sent: 1}, rankUseful},
		"wanted, and sent data":              {usefulness{since: ago(time.Hour), isWanted: true, received: 1}, rankUseful},
		"has metadata, was not asked":        {usefulness{since: ago(time.Hour), isWanted: true, hasMeta: true}, rankUseful},
		"has metadata, but does not answer":  {usefulness{since: ago(time.Hour), isWanted: true, hasMeta: true, isSilent: true}, rankUnused},
		"wants us, but we lack pieces":       {usefulness{since: ago(idleFor + 1), wantsUs: true, lacking: true}, rankUnused},
		"wants us, new connection":           {usefulness{since: ago(idleFor), wantsUs: true, lacking: true}, rankUseful},
		"sent data, but long ago":            {usefulness{since: ago(time.Hour), used: ago(forgetUseAfter + 1), isWanted: true, lacking: true, received: 1}, rankUnused},
		"sent data recently":                 {usefulness{since: ago(time.Hour), used: ago(forgetUseAfter), isWanted: true, lacking: true, received: 1}, rankUseful},
		"took data, but long ago":            {usefulness{since: ago(time.Hour), used: ago(forgetUseAfter + 1), wantsUs: true, lacking: true, sent: 1}, rankUnused},
		"took data long ago from a seed":     {usefulness{since: ago(time.Hour), used: ago(forgetUseAfter + 1), wantsUs: true, sent: 1}, rankUseful},
	} {
		if got := tt.u.rank(now); got != tt.want {
			t.Errorf("%s: rank %d, want %d", name, got, tt.want)
		}
	}
}

// mute connects a peer that claims to have everything, unchokes us and sends nothing.
func (r *rig) mute() Conn {
	var res wire.Reserved
	res.SetFast()
	c := r.join(EvConnected{Incoming: true, Reserved: res})
	r.msg(c, wire.Msg{Type: wire.HaveAll}, wire.Msg{Type: wire.Unchoke})
	return c
}

func TestAtTheLimitAMutePeerIsReplacedByASeed(t *testing.T) {
	r := newRig(t, Config{MaxConns: 500, Budget: 64}, 50, 64<<10)
	for range 500 {
		r.mute()
	}
	r.wait(unusedFor / 2)
	if c := r.mute(); closed(r.drain(), c) != FaultUseless {
		t.Error("a new connection replaced another too early")
	}
	r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(5000), Source: FromHint}}})
	if len(of(r.wait(unusedFor/4), CmdDial)) > 0 {
		t.Error("dialled although no connection may be replaced")
	}
	// Connections may be replaced now, both by incoming peers and by those we dial.
	cmds := r.wait(unusedFor)
	dials := of(cmds, CmdDial)
	if len(dials) == 0 || dials[0].Addr != addrOf(5000) {
		t.Fatal("nobody was dialled at the limit:", len(dials))
	}
	c := r.join(EvConnected{Addr: addrOf(5000)})
	cmds = r.drain()
	if closed(cmds, c) != FaultNone || len(of(cmds, CmdClose)) != 1 {
		t.Errorf("the seed was closed with %v; %d connections closed", closed(cmds, c), len(of(cmds, CmdClose)))
	}
	if r.e.open != 500 {
		t.Errorf("%d connections", r.e.open)
	}
}

// One block, or interest in pieces that we do not have, does not secure a place forever.
func TestAtTheLimitFormerlyUsefulPeersAreReplaced(t *testing.T) {
	r := newRig(t, Config{MaxConns: 8, Budget: 64}, 50, 64<<10)
	var conns []Conn
	for range 4 {
		conns = append(conns, r.leecher(true))
		c := r.seed(true)
		conns = append(conns, c)
		r.drain()
		l := r.e.conns[c].down.outstanding.oldest
		r.block(BlockEvent{Kind: BlockArrived, Conn: c, Block: l.chunk.piece.blockOf(l.block), Slot: l.chunk.slot})
	}
	r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(5000), Source: FromHint}}})
	var cmds []Command
	for range 10 {
		cmds = append(cmds, r.wait(15*time.Second)...)
		for _, c := range conns {
			r.msg(c, wire.Msg{Type: wire.KeepAlive})
		}
	}
	if dials := of(cmds, CmdDial); len(dials) == 0 || dials[0].Addr != addrOf(5000) {
		t.Fatal("nobody was dialled at the limit:", len(dials))
	}
	if c := r.join(EvConnected{Addr: addrOf(5000)}); closed(r.drain(), c) != FaultNone {
		t.Error("the seed was not accepted")
	}
}

func TestPeersThatDeliverAreNotReplaced(t *testing.T) {
	r := newRig(t, Config{MaxConns: 3, Budget: 64}, 50, 64<<10)
	var good []Conn
	for range 3 {
		c := r.seed(true)
		r.give(c, r.drain())
		good = append(good, c)
	}
	for k := range 300 {
		r.wait(time.Second)
		r.mute()
		for _, c := range good {
			if l := r.e.conns[c].down.outstanding.oldest; k%60 == 0 && l != nil { // slow, but it delivers
				r.block(BlockEvent{Kind: BlockArrived, Conn: c, Block: l.chunk.piece.blockOf(l.block), Slot: l.chunk.slot})
			}
			r.msg(c, wire.Msg{Type: wire.KeepAlive})
		}
	}
	for _, c := range good {
		if p := r.e.conns[c]; p == nil || p.closing {
			t.Errorf("peer %d was replaced although it delivers", c)
		}
	}
	// If the node is at its limit, a connection is accepted only in place of another.
	if c := r.join(EvConnected{Incoming: true, NodeFull: true}); closed(r.drain(), c) != FaultUseless {
		t.Error("one more connection was accepted")
	}
}
