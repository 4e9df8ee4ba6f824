package engine

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"seedbed/internal/bitset"
	"seedbed/swarm/wire"
)

// hostile drives an engine by input of a fuzzer or random numbers: messages of every kind
// in every state, requested and unrequested blocks, results of hashing, disconnects and
// time. Whatever happens, nothing panics and the state stays consistent.
type hostile struct {
	r     *rig
	conns []Conn
	owed  []Command // requests without an answer
	store []Command
}

func (h *hostile) take() {
	for _, c := range h.r.drain() {
		switch c.Kind {
		case CmdRequest:
			h.owed = append(h.owed, c)
		case CmdCancel:
			for i, o := range h.owed {
				if o.Conn == c.Conn && o.Block == c.Block {
					h.owed = append(h.owed[:i], h.owed[i+1:]...)
					break
				}
			}
		case CmdStore:
			h.store = append(h.store, c)
		case CmdClose:
			h.gone(c.Conn)
		}
	}
}

func (h *hostile) gone(c Conn) {
	h.r.step(&EvClosed{Conn: c, Fault: FaultReset})
	for i, x := range h.conns {
		if x == c {
			h.conns = append(h.conns[:i], h.conns[i+1:]...)
			break
		}
	}
	kept := h.owed[:0]
	for _, o := range h.owed {
		if o.Conn != c {
			kept = append(kept, o)
		}
	}
	h.owed = kept
}

func (h *hostile) act(op, arg byte, data []byte) {
	r := h.r
	pick := func(n int) int { return int(arg) % n }
	var c Conn
	if len(h.conns) > 0 {
		c = h.conns[pick(len(h.conns))]
	}
	switch op % 16 {
	case 0:
		if len(h.conns) < 6 {
			h.conns = append(h.conns, r.connect(arg%3 != 0))
		}
	case 1:
		if c != 0 && arg%4 == 0 {
			h.gone(c)
		}
	case 2, 3, 4:
		if len(h.owed) > 0 {
			i := pick(len(h.owed))
			o := h.owed[i]
			h.owed = append(h.owed[:i], h.owed[i+1:]...)
			r.block(BlockEvent{Kind: BlockArrived, Conn: o.Conn, Block: o.Block, Slot: o.Slot})
		}
	case 5:
		if len(h.store) > 0 {
			s := h.store[0]
			h.store = h.store[1:]
			if arg%7 == 0 {
				r.step(&EvStorageFailed{})
				r.step(&EvChunkLost{Slot: s.Slot, Block: s.Block})
				h.take()
				r.step(&EvStorageBack{Have: r.e.content.have.Clone()})
				break
			}
			r.step(&EvStored{Slot: s.Slot, Block: s.Block})
			r.step(&EvVerified{Piece: s.Block.Piece, OK: arg%5 != 0,
				Sums: make([]uint64, r.e.content.info.NumBlocks(int(s.Block.Piece)))})
		}
	case 6:
		r.now = r.now.Add(time.Duration(arg) * time.Second / 8)
		r.e.Tick(r.now)
	case 7:
		w := bitset.New(r.e.content.n)
		for i := range r.e.content.n {
			if arg>>(i%8)&1 == 1 {
				w.Add(i)
			}
		}
		r.step(&EvWanted{Wanted: w})
	case 8:
		r.step(&EvOrder{Order{FirstLast: arg&1 == 1, Sequential: arg&2 == 2, From: uint32(arg >> 2)}})
		r.step(&EvBudget{Budget: 1 + pick(5), HalfOpen: 4, MaxConns: 5})
	case 9:
		if c != 0 {
			h.r.block(BlockEvent{Kind: BlockUnwanted, Conn: c, Block: Block{Piece: uint32(arg), Length: 1 << 14}})
		}
	default:
		if m, err := wire.Parse(data); err == nil && c != 0 && m.Type != wire.Piece {
			r.msg(c, m)
		}
	}
	h.take()
}

func newHostile(t testing.TB) *hostile {
	r := newRig(t, Config{Budget: 3, ChunkSize: 64 << 10}, 12, 96<<10)
	return &hostile{r: r}
}

// check runs the simulation's consistency checks.
func (h *hostile) check() {
	n := &simNode{s: &sim{t: h.r.t.(*testing.T)}, e: h.r.e}
	n.deepCheck()
	if len(h.r.e.blame.index) > 1+len(h.conns)+len(h.r.e.req.pieces.opened)*8+maxSuspects*maxAttempts*8 {
		n.fatal("%d origins are held", len(h.r.e.blame.index))
	}
}

func TestStateStaysConsistentWhateverPeersDo(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 0))
		h := newHostile(t)
		for i := range 1500 {
			h.act(byte(rng.Uint32()), byte(rng.Uint32()), anyMessage(rng))
			if i%16 == 0 {
				h.check()
			}
		}
	}
}

// anyMessage returns a random message, valid about half the time.
func anyMessage(rng *rand.Rand) []byte {
	types := []wire.Type{wire.Choke, wire.Unchoke, wire.Unchoke, wire.Unchoke, wire.Interested, wire.NotInterested, wire.Have, wire.Bitfield,
		wire.Request, wire.Cancel, wire.Port, wire.Suggest, wire.HaveAll, wire.HaveNone, wire.Reject, wire.AllowedFast, wire.Extended, 99}
	m := wire.Msg{Type: types[rng.IntN(len(types))]}
	m.Index = rng.Uint32N(12)
	m.Begin = rng.Uint32N(6) << 14
	m.Length = 1 << 14
	switch m.Type {
	case wire.Bitfield:
		m.Payload = []byte{byte(rng.Uint32()), byte(rng.Uint32()) & 0xf0}
	case wire.Extended:
		m.Ext = byte(rng.IntN(5))
		switch m.Ext {
		case wire.ExtDontHave:
			m.Payload = binary.BigEndian.AppendUint32(nil, m.Index)
		case wire.ExtUploadOnly:
			m.Payload = []byte{byte(rng.IntN(2))}
		case wire.ExtMetadata:
			m.Payload = wire.AppendMetadata(nil, wire.MetadataMsg{Type: rng.IntN(3), Piece: rng.IntN(2), Data: []byte("x"), TotalSize: 9})
		default:
			m.Payload = []byte("d1:md11:lt_donthavei3e11:ut_metadatai1e6:ut_pexi2e11:upload_onlyi4ee13:metadata_sizei99e1:pi99e4:reqqi3ee")
		}
	}
	if rng.IntN(200) == 0 {
		m.Index += 12
	}
	return wire.Append(nil, m)[4:]
}

func FuzzPeers(f *testing.F) {
	for seed := range uint64(4) {
		rng := rand.New(rand.NewPCG(seed, 9))
		var b []byte
		for range 60 {
			m := anyMessage(rng)
			b = append(b, byte(rng.Uint32()), byte(rng.Uint32()), byte(len(m)))
			b = append(b, m...)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h := newHostile(t)
		for len(b) >= 3 {
			n := min(int(b[2]), len(b)-3)
			h.act(b[0], b[1], b[3:3+n])
			b = b[3+n:]
		}
		h.check()
	})
}
