package engine

import (
	"net/netip"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/swarm/wire"
)

// Anyone can copy a peer id. A peer that uses the id of another from another address
// neither replaces that peer nor keeps it out.
func TestCopiedPeerIDHarmsNobody(t *testing.T) {
	for _, low := range []bool{false, true} {
		theirs := id.ID{2, 9}
		if low {
			theirs = id.ID{0, 9} // ours is 1
		}
		var res wire.Reserved
		res.SetFast()
		r := newRig(t, Config{}, 50, 64<<10)
		good := r.join(EvConnected{Addr: addrOf(1000), PeerID: theirs, Reserved: res})
		r.msg(good, wire.Msg{Type: wire.HaveAll}, wire.Msg{Type: wire.Unchoke})
		r.give(good, r.drain())
		r.join(EvConnected{Addr: addrOf(2000), PeerID: theirs, Incoming: true, Reserved: res})
		if f := closed(r.drain(), good); f != FaultNone {
			t.Errorf("the peer was closed (%v) for one with the same id", f)
		}
		// In reverse order.
		r = newRig(t, Config{}, 50, 64<<10)
		fake := r.join(EvConnected{Addr: addrOf(2000), PeerID: theirs, Incoming: true, Reserved: res})
		r.msg(fake, wire.Msg{Type: wire.HaveAll}, wire.Msg{Type: wire.Unchoke})
		r.wait(10 * time.Second)
		for _, incoming := range []bool{false, true} {
			good = r.join(EvConnected{Addr: addrOf(1000), PeerID: theirs, Incoming: incoming, Reserved: res})
			if f := closed(r.drain(), good); f != FaultNone {
				t.Errorf("the peer was refused (%v) for one with the same id", f)
			}
			r.step(&EvClosed{Conn: good})
		}
	}
}

// A peer that delivers is not connected a second time through its address of the other
// family. A peer that does not deliver may have another address with its id.
func TestAPeerOfBothFamiliesIsConnectedOnce(t *testing.T) {
	six := netip.MustParseAddrPort("[fd00::9]:6881")
	for _, delivers := range []bool{false, true} {
		r := newRig(t, Config{}, 50, 64<<10)
		c := r.seed(true)
		if cmds := r.drain(); delivers {
			r.give(c, cmds)
		}
		other := r.join(EvConnected{Addr: six, PeerID: r.e.conns[c].id, Incoming: true})
		cmds := r.drain()
		if closed(cmds, c) != FaultNone || (closed(cmds, other) == FaultDuplicate) != delivers {
			t.Errorf("delivers: %t; closed with %v and %v", delivers, closed(cmds, c), closed(cmds, other))
		}
	}
}
