package engine

import (
	"testing"
	"time"

	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

func TestWhoGivesWayToANewcomer(t *testing.T) {
	now := mono.Time(time.Hour)
	ago := func(d time.Duration) mono.Time { return now.Add(-d) }
	for name, tt := range map[string]struct {
		u    usefulness
		want rank
	}{
		"just connected":                    {usefulness{since: now}, rankUseful},
		"neither wants, for a while":        {usefulness{since: ago(idleFor + 1), gave: 1, took: 1}, rankIdle},
		"wants us":                          {usefulness{since: ago(time.Hour), wantsUs: true}, rankUseful},
		"wants us and does not take":        {usefulness{since: ago(time.Hour), wantsUs: true, stalled: true}, rankStalled},
		"does not take, and gave":           {usefulness{since: ago(time.Hour), wantsUs: true, stalled: true, gave: 1}, rankUseful},
		"wanted, not for long":              {usefulness{since: ago(muteFor), isWanted: true}, rankUseful},
		"wanted, and gave nothing":          {usefulness{since: ago(muteFor + 1), isWanted: true}, rankMute},
		"wanted, gave nothing, but took":    {usefulness{since: ago(muteFor + 1), isWanted: true, wantsUs: true, took: 1}, rankUseful},
		"wanted, and gave":                  {usefulness{since: ago(time.Hour), isWanted: true, gave: 1}, rankUseful},
		"has metadata, was not asked":       {usefulness{since: ago(time.Hour), isWanted: true, hasMeta: true}, rankUseful},
		"has metadata, and does not answer": {usefulness{since: ago(time.Hour), isWanted: true, hasMeta: true, isSilent: true}, rankMute},
		"wants us, and we lack pieces":      {usefulness{since: ago(idleFor + 1), wantsUs: true, lacking: true}, rankMute},
		"wants us, as a new one does":       {usefulness{since: ago(idleFor), wantsUs: true, lacking: true}, rankUseful},
		"gave, but nothing since":           {usefulness{since: ago(time.Hour), used: ago(spentFor + 1), isWanted: true, lacking: true, gave: 1}, rankMute},
		"gave, not long ago":                {usefulness{since: ago(time.Hour), used: ago(spentFor), isWanted: true, lacking: true, gave: 1}, rankUseful},
		"took, but nothing since":           {usefulness{since: ago(time.Hour), used: ago(spentFor + 1), wantsUs: true, lacking: true, took: 1}, rankMute},
		"took of a seed, but nothing since": {usefulness{since: ago(time.Hour), used: ago(spentFor + 1), wantsUs: true, took: 1}, rankUseful},
	} {
		if got := tt.u.rank(now); got != tt.want {
			t.Errorf("%s: rank %d, want %d", name, got, tt.want)
		}
	}
}

// mute is a peer that claims to have everything, unchokes us and sends nothing.
func (r *rig) mute() Conn {
	var res wire.Reserved
	res.SetFast()
	c := r.join(EvConnected{Incoming: true, Reserved: res})
	r.msg(c, wire.Msg{Type: wire.HaveAll}, wire.Msg{Type: wire.Unchoke})
	return c
}

func TestAtTheCapAMutePeerGivesWayToASeed(t *testing.T) {
	r := newRig(t, Config{MaxConns: 500, Budget: 64}, 50, 64<<10)
	for range 500 {
		r.mute()
	}
	r.wait(muteFor / 2)
	if c := r.mute(); closed(r.drain(), c) != FaultUseless {
		t.Error("a newcomer takes a place before its time")
	}
	r.step(&EvCandidates{Candidates: []Candidate{{Addr: addrOf(5000), Source: FromHint}}})
	if len(of(r.wait(muteFor/4), CmdDial)) > 0 {
		t.Error("dialled though no place is free")
	}
	// The place is there, for who comes and for whom we dial.
	cmds := r.wait(muteFor)
	dials := of(cmds, CmdDial)
	if len(dials) == 0 || dials[0].Addr != addrOf(5000) {
		t.Fatal("nobody is dialled at the cap:", len(dials))
	}
	c := r.join(EvConnected{Addr: addrOf(5000)})
	cmds = r.drain()
	if closed(cmds, c) != FaultNone || len(of(cmds, CmdClose)) != 1 {
		t.Errorf("the seed is closed with %v, %d connections in all", closed(cmds, c), len(of(cmds, CmdClose)))
	}
	if r.e.open != 500 {
		t.Errorf("%d connections", r.e.open)
	}
}

// One block, or interest in what we do not have, buys no place for good.
func TestAtTheCapPeersOfPastUseGiveWayToASeed(t *testing.T) {
	r := newRig(t, Config{MaxConns: 8, Budget: 64}, 50, 64<<10)
	var conns []Conn
	for range 4 {
		conns = append(conns, r.leecher(true))
		c := r.seed(true)
		conns = append(conns, c)
		r.drain()
		l := r.e.conns[c].down.leases.oldest
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
		t.Fatal("nobody is dialled at the cap:", len(dials))
	}
	if c := r.join(EvConnected{Addr: addrOf(5000)}); closed(r.drain(), c) != FaultNone {
		t.Error("the seed is not let in")
	}
}

func TestNewcomersDoNotPushOutPeersThatDeliver(t *testing.T) {
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
			if l := r.e.conns[c].down.leases.oldest; k%60 == 0 && l != nil { // slow, but it delivers
				r.block(BlockEvent{Kind: BlockArrived, Conn: c, Block: l.chunk.piece.blockOf(l.block), Slot: l.chunk.slot})
			}
			r.msg(c, wire.Msg{Type: wire.KeepAlive})
		}
	}
	for _, c := range good {
		if p := r.e.conns[c]; p == nil || p.closing {
			t.Errorf("%d has given way, which delivered", c)
		}
	}
	// A node without room takes a connection in place of another only.
	if c := r.join(EvConnected{Incoming: true, Crowded: true}); closed(r.drain(), c) != FaultUseless {
		t.Error("one more is taken")
	}
}
