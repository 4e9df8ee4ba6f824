package engine

import (
	"testing"
	"time"

	"seedbed/internal/addrs"
	"seedbed/swarm/wire"
)

// playMetadata connects peers that offer metadata: mute ones, which answer after slow or
// never, and one good one. It returns how long the metadata takes.
func playMetadata(t *testing.T, mute int, slow time.Duration, limit time.Duration) time.Duration {
	info := testInfo(t, 20_000, 16<<10, 100, false) // 400 kB of metadata
	r := &rig{t: t, now: 1}
	r.e = New(Config{Budget: 64, InfoHash: info.Hash, Ports: addrs.Ports{V4: 6881, V6: 6881}, Seed: 1, MaxConns: 200}, 0)
	offer := wire.AppendExtHandshake(nil, wire.ExtHandshake{UtMetadata: 7, MetadataSize: int64(len(info.Raw))})
	var good Conn
	for i := range mute + 1 {
		good = r.connect(true)
		r.msg(good, extended(wire.ExtHandshakeID, offer))
		_ = i
	}
	type answer struct {
		conn  Conn
		piece int
		at    time.Duration
	}
	began, due := r.now, []answer{}
	for now := time.Duration(0); now < limit; now += 50 * time.Millisecond {
		r.now = began.Add(now)
		r.e.Tick(r.now)
		cmds := r.drain()
		if len(of(cmds, CmdMetadata)) > 0 {
			return now
		}
		for c := Conn(1); c <= good; c++ {
			for _, m := range sent(t, cmds, c) {
				if m.Type != wire.Extended || m.Ext != 7 {
					continue
				}
				q, err := wire.ParseMetadata(m.Payload)
				if err != nil {
					t.Fatal(err)
				}
				switch {
				case c == good:
					due = append(due, answer{c, q.Piece, now + 100*time.Millisecond})
				case slow > 0:
					due = append(due, answer{c, q.Piece, now + slow})
				}
			}
		}
		for len(due) > 0 {
			x, at := due[0], 0
			for i := range due {
				if due[i].at < x.at {
					x, at = due[i], i
				}
			}
			if x.at > now {
				break
			}
			due = append(due[:at], due[at+1:]...)
			begin := x.piece * wire.MetadataBlock
			r.msg(x.conn, extended(wire.ExtMetadata, wire.AppendMetadata(nil, wire.MetadataMsg{Type: wire.MetadataData, Piece: x.piece,
				TotalSize: int64(len(info.Raw)), Data: info.Raw[begin:min(begin+wire.MetadataBlock, len(info.Raw))]})))
		}
	}
	return limit
}

// Peers that offer metadata but never send any delay it only by seconds, however many
// they are and however late the peer that has it connects.
func TestMetadataArrivesDespiteMutePeers(t *testing.T) {
	alone := playMetadata(t, 0, 0, time.Minute)
	for _, mute := range []int{8, 20, 60, 150} {
		if took := playMetadata(t, mute, 0, 10*time.Minute); took > alone+10*time.Second {
			t.Errorf("with %d mute peers the metadata took %v, without them %v", mute, took, alone)
		}
	}
}

// When every peer is slow, late blocks still count.
func TestMetadataArrivesFromSlowPeers(t *testing.T) {
	if took := playMetadata(t, 20, 6*time.Second, 10*time.Minute); took > 20*time.Second {
		t.Errorf("with 20 peers that answer after 6 s and a fast one, it took %v", took)
	}
	if took := playMetadata(t, 0, 0, time.Minute); took > 2*time.Second {
		t.Errorf("one peer that answers in 100 ms takes %v", took)
	}
}
