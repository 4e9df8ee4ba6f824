package engine

import (
	"testing"
	"time"

	"seedbed/swarm/wire"
)

// A peer that supports lt_donthave (BEP 54) learns which pieces are out of reach, once for each, and when they are back.
func TestPiecesOutOfReach(t *testing.T) {
	r := seeding(t, Config{Uploads: 4}, 16)
	c := r.leecher(true)
	r.msg(c, wire.Msg{Type: wire.Extended, Payload: []byte("d1:md11:lt_donthavei7eee")})
	request := func(blocks ...Block) {
		for _, b := range blocks {
			r.block(BlockEvent{Kind: BlockRequested, Conn: c, Block: b})
		}
		r.drain()
		for _, b := range blocks {
			r.block(BlockEvent{Kind: BlockAway, Conn: c, Block: b})
		}
	}
	request(Block{Piece: 3, Length: 16 << 10}, Block{Piece: 3, Begin: 16 << 10, Length: 16 << 10}, Block{Piece: 5, Length: 16 << 10})
	var gone []uint32
	rejects := 0
	for _, m := range sent(t, r.drain(), c) {
		switch {
		case m.Type == wire.Reject:
			rejects++
		case m.Type == wire.Extended && m.Ext == 7:
			piece, err := wire.ParseDontHave(m.Payload)
			if err != nil {
				t.Fatal(err)
			}
			gone = append(gone, piece)
		}
	}
	if len(gone) != 2 || gone[0] != 3 || gone[1] != 5 || rejects != 3 {
		t.Errorf("lt_donthave for %v and %d rejects", gone, rejects)
	}
	if u := &r.e.conns[c].up; u.inflight != 0 || u.handed.Len() != 0 {
		t.Errorf("%d bytes are counted as with the shell", u.inflight)
	}
	for i := range 2 {
		r.step(&EvReachable{})
		haves := ofType(sent(t, r.drain(), c), wire.Have)
		if want := 2 * (1 - i); len(haves) != want {
			t.Errorf("call %d of EvReachable: %v", i, haves)
		}
	}
}

// A peer without lt_donthave would request the block again at once: it waits for the answer, but its queue does not.
func TestPiecesOutOfReachWithoutDontHave(t *testing.T) {
	r := seeding(t, Config{Uploads: 4}, 16)
	c := r.leecher(true)
	b := Block{Piece: 3, Length: 16 << 10}
	r.block(BlockEvent{Kind: BlockRequested, Conn: c, Block: b})
	r.drain()
	r.block(BlockEvent{Kind: BlockAway, Conn: c, Block: b})
	if u := &r.e.conns[c].up; u.inflight != 0 || u.handed.Len() != 0 {
		t.Errorf("%d bytes are counted as with the shell", u.inflight)
	}
	answered := time.Duration(-1)
	for at := time.Duration(0); at < 30*time.Second; at += time.Second {
		r.e.Tick(r.now)
		if n := len(ofType(sent(t, r.drain(), c), wire.Reject)); n > 0 {
			if n != 1 || answered >= 0 {
				t.Errorf("%d rejects after %v", n, at)
			}
			answered = at
		}
		r.now = r.now.Add(time.Second)
	}
	if answered < refuseAfter || answered > refuseAfter+2*time.Second {
		t.Errorf("rejected after %v", answered)
	}
}

// ofType returns the messages of a type.
func ofType(list []wire.Msg, typ wire.Type) (found []wire.Msg) {
	for _, m := range list {
		if m.Type == typ {
			found = append(found, m)
		}
	}
	return found
}
