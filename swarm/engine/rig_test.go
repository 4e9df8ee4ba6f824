package engine

import (
	"net/netip"
	"testing"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/swarm/wire"
)

// rig is an engine driven by hand; the test plays its peers.
type rig struct {
	t   testing.TB
	e   *Engine
	now mono.Time
	n   Conn
}

func newRig(t testing.TB, cfg Config, pieces int, pieceLen int64) *rig {
	if cfg.Budget == 0 {
		cfg.Budget = 64
	}
	cfg.PeerID = id.ID{1}
	cfg.Seed = 1
	if cfg.Ports == (addrs.Ports{}) {
		cfg.Ports = addrs.Ports{V4: 6881, V6: 6881}
	}
	r := &rig{t: t, now: 1}
	if pieces == 0 {
		cfg.InfoHash = testInfo(t, 50, 64<<10, 100, false).Hash
	}
	r.e = New(cfg, 0)
	if pieces > 0 {
		r.info(pieces, pieceLen)
	}
	return r
}

func (r *rig) info(pieces int, pieceLen int64) {
	r.step(&EvInfo{Info: testInfo(r.t, pieces, pieceLen, pieceLen, false)})
}

// seeding returns a rig that has everything.
func seeding(t testing.TB, cfg Config, pieces int) *rig {
	r := newRig(t, cfg, 0, 0)
	r.step(&EvInfo{Info: testInfo(t, pieces, 64<<10, 64<<10, false), Have: full(pieces)})
	return r
}

func full(n int) bitset.Set {
	s := bitset.New(n)
	s.Fill()
	return s
}

func (r *rig) step(ev Event) { r.e.Step(r.now, ev) }

func (r *rig) block(ev BlockEvent) { r.e.StepBlock(r.now, ev) }

func addrOf(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(n >> 8), byte(n)}), 6881)
}

func (r *rig) connect(fast bool) Conn {
	var res wire.Reserved
	res.SetExtended()
	res.SetDHT()
	if fast {
		res.SetFast()
	}
	return r.join(EvConnected{Reserved: res})
}

func (r *rig) join(ev EvConnected) Conn {
	r.n++
	ev.Conn = r.n
	if !ev.Addr.IsValid() {
		ev.Addr = addrOf(int(r.n))
	}
	if ev.PeerID.IsZero() {
		ev.PeerID = id.ID{2, byte(r.n >> 8), byte(r.n)}
	}
	r.step(&ev)
	return r.n
}

func (r *rig) msg(c Conn, ms ...wire.Msg) {
	for _, m := range ms {
		r.step(&EvMessage{Conn: c, Msg: m})
	}
}

// seed connects a peer that has everything and unchokes us.
func (r *rig) seed(fast bool) Conn {
	c := r.connect(fast)
	r.msg(c, wire.Msg{Type: wire.Bitfield, Payload: full(r.e.content.n).AppendTo(nil)}, wire.Msg{Type: wire.Unchoke})
	return c
}

// leecher connects a peer that has nothing and is interested.
func (r *rig) leecher(fast bool) Conn {
	c := r.connect(fast)
	r.msg(c, wire.Msg{Type: wire.Interested})
	return c
}

// drain returns copies of the engine's commands.
func (r *rig) drain() []Command {
	out := append([]Command(nil), r.e.Drain()...)
	for i := range out {
		out[i].Bytes = append([]byte(nil), out[i].Bytes...)
	}
	for _, c := range out {
		if c.Timed {
			r.step(&EvSent{Conn: c.Conn})
		}
	}
	return out
}

// wait advances the time tick by tick and returns all commands.
func (r *rig) wait(d time.Duration) (out []Command) {
	end := r.now.Add(d)
	out = append(out, r.drain()...)
	for {
		at := r.e.Deadline()
		if at > end {
			r.now = end
			return out
		}
		r.now = max(at, r.now+1)
		r.e.Tick(r.now)
		out = append(out, r.drain()...)
	}
}

// of returns the commands of one kind.
func of(cmds []Command, k CommandKind) (out []Command) {
	for _, c := range cmds {
		if c.Kind == k {
			out = append(out, c)
		}
	}
	return out
}

// sent returns the messages sent to c.
func sent(t testing.TB, cmds []Command, c Conn) (out []wire.Msg) {
	for _, x := range of(cmds, CmdSend) {
		for b := x.Bytes; x.Conn == c && len(b) > 0; {
			n, err := wire.Length(b)
			if err != nil {
				t.Fatal(err)
			}
			m, err := wire.Parse(b[4 : 4+n])
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, m)
			b = b[4+n:]
		}
	}
	return out
}

func typesOf(ms []wire.Msg) (out []wire.Type) {
	for _, m := range ms {
		out = append(out, m.Type)
	}
	return out
}

// closed returns the fault for which c was closed, or FaultNone.
func closed(cmds []Command, c Conn) Fault {
	for _, x := range of(cmds, CmdClose) {
		if x.Conn == c {
			return x.Fault
		}
	}
	return FaultNone
}

// give answers every request to c in cmds and returns the resulting commands.
func (r *rig) give(c Conn, cmds []Command) []Command {
	for _, x := range of(cmds, CmdRequest) {
		if x.Conn == c {
			r.block(BlockEvent{Kind: BlockArrived, Conn: c, Block: x.Block, Slot: x.Slot})
		}
	}
	return r.drain()
}

// verify answers the stores of cmds.
func (r *rig) verify(cmds []Command, ok bool, sums func(Block) []uint64) []Command {
	for _, x := range of(cmds, CmdStore) {
		r.step(&EvStored{Slot: x.Slot, Block: x.Block})
		var s []uint64
		if sums != nil {
			s = sums(x.Block)
		}
		r.step(&EvVerified{Piece: x.Block.Piece, OK: ok, Sums: s})
	}
	return r.drain()
}
