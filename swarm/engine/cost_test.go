package engine

import (
	"encoding/binary"
	"flag"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/internal/mono"
	"seedbed/magnet/metainfo"
	"seedbed/pex"
	"seedbed/swarm/wire"
)

var floodFlag = flag.String("flood", "", "run only the floods whose name contains this")

// costPieces is the number of pieces of a very large torrent.
const costPieces = 2_000_000

// flood is a sequence of messages of one or a few kinds, which a peer may send for as
// long as its connection lasts.
type flood struct {
	name    string // we have everything; otherwise nothing
	seeding bool   // we have everything; else nothing
	begin   func(r *rig, c Conn)
	next    func(i int) []wire.Msg
	batch   int  // messages per turn of the loop; 0 means 1
	rejoin  bool // every message uses a new connection
	fields  bool // the message is a bitfield
}

func extended(ext uint8, payload []byte) wire.Msg {
	return wire.Msg{Type: wire.Extended, Ext: ext, Payload: payload}
}

func dontHave(i int) wire.Msg {
	return extended(wire.ExtDontHave, binary.BigEndian.AppendUint32(nil, uint32(i)))
}

// half returns the bitfield of every other piece, starting at first.
func half(first int) wire.Msg {
	s := bitset.New(costPieces)
	for i := first; i < costPieces; i += 2 {
		s.Add(i)
	}
	return wire.Msg{Type: wire.Bitfield, Payload: s.AppendTo(nil)}
}

func floods() []flood {
	one := func(m wire.Msg) func(int) []wire.Msg { return func(int) []wire.Msg { return []wire.Msg{m} } }
	pair := func(a, b wire.Msg) func(int) []wire.Msg { return func(int) []wire.Msg { return []wire.Msg{a, b} } }
	send := func(ms ...wire.Msg) func(*rig, Conn) { return func(r *rig, c Conn) { r.msg(c, ms...) } }
	serves := func(r *rig, c Conn) { // has every other piece and unchokes us
		r.msg(c, half(0), wire.Msg{Type: wire.Unchoke})
	}
	request := func(i int) wire.Msg {
		return wire.Msg{Type: wire.Request, Index: uint32(i*7919) % costPieces, Length: 1 << 14}
	}
	all, none := wire.Msg{Type: wire.HaveAll}, wire.Msg{Type: wire.HaveNone}
	handshake := extended(wire.ExtHandshakeID, []byte("d1:md11:lt_donthavei3e11:ut_metadatai1e6:ut_pexi2e11:upload_onlyi4ee1:pi9999e4:reqqi300e6:yourip4:abcde"))
	list := []flood{
		{name: "keep alive", next: one(wire.Msg{Type: wire.KeepAlive})},
		{name: "choke and unchoke", begin: serves, next: pair(wire.Msg{Type: wire.Choke}, wire.Msg{Type: wire.Unchoke})},
		{name: "unchoke", begin: serves, next: one(wire.Msg{Type: wire.Unchoke})},
		{name: "interested and not", seeding: true, next: pair(wire.Msg{Type: wire.Interested}, wire.Msg{Type: wire.NotInterested})},
		{name: "have", next: func(i int) []wire.Msg {
			return []wire.Msg{{Type: wire.Have, Index: uint32(i*7919) % costPieces}}
		}},
		{name: "have of a peer that serves", begin: serves, next: func(i int) []wire.Msg {
			return []wire.Msg{{Type: wire.Have, Index: uint32(i*7918+1) % costPieces}}
		}},
		{name: "the same have", next: one(wire.Msg{Type: wire.Have, Index: 5})},
		{name: "have and dont-have", next: pair(wire.Msg{Type: wire.Have, Index: 5}, dontHave(5))},
		{name: "dont-have and have all", begin: send(all), next: pair(dontHave(7), all)},
		{name: "dont-have and have all of a downloader", seeding: true, begin: send(half(0)), next: pair(dontHave(8), all)},
		{name: "have all", begin: send(half(0)), next: one(all)},
		{name: "late bitfields", begin: send(half(0)), next: one(half(0))},
		{name: "late bitfields with one more", begin: send(half(0)), next: func(i int) []wire.Msg {
			m := wire.Msg{Type: wire.Bitfield, Payload: make([]byte, costPieces/8)}
			m.Payload[i*31%len(m.Payload)] = 1
			return []wire.Msg{m}
		}},
		{name: "connections with bitfields", rejoin: true, fields: true, next: one(half(1))},
		{name: "connections with bitfields of a seed's peer", seeding: true, rejoin: true, fields: true, next: one(half(1))},
		{name: "have none", rejoin: true, next: one(none)},
		{name: "suggest", begin: serves, next: func(i int) []wire.Msg { return []wire.Msg{{Type: wire.Suggest, Index: uint32(i) % costPieces}} }},
		{name: "allowed fast", begin: send(half(0)), next: func(i int) []wire.Msg {
			return []wire.Msg{{Type: wire.AllowedFast, Index: uint32(i) % costPieces}}
		}},
		{name: "reject", begin: serves, next: func(i int) []wire.Msg {
			return []wire.Msg{{Type: wire.Reject, Index: uint32(i*2) % costPieces, Length: 1 << 14}}
		}},
		{name: "request", seeding: true, begin: send(wire.Msg{Type: wire.Interested}), next: func(i int) []wire.Msg { return []wire.Msg{request(i)} }},
		{name: "request while choked", seeding: true, next: func(i int) []wire.Msg { return []wire.Msg{request(i)} }},
		{name: "request and cancel", seeding: true, batch: 2048, begin: func(r *rig, c Conn) {
			r.msg(c, wire.Msg{Type: wire.Interested})
			for i := range 1500 {
				r.msg(c, request(i))
			}
		}, next: func(i int) []wire.Msg {
			m := request(1000 - i%500)
			m.Type = wire.Cancel
			return []wire.Msg{request(1000 - i%500), m}
		}},
		{name: "cancel", seeding: true, next: func(i int) []wire.Msg {
			m := request(i)
			m.Type = wire.Cancel
			return []wire.Msg{m}
		}},
		{name: "port", next: func(i int) []wire.Msg { return []wire.Msg{{Type: wire.Port, Port: uint16(1024 + i%60000)}} }},
		{name: "extension handshake", next: one(handshake)},
		{name: "metadata request", seeding: true, begin: send(handshake), next: func(i int) []wire.Msg {
			return []wire.Msg{extended(wire.ExtMetadata, wire.AppendMetadata(nil, wire.MetadataMsg{Type: wire.MetadataRequest, Piece: i % 9}))}
		}},
		{name: "metadata block", next: one(extended(wire.ExtMetadata, wire.AppendMetadata(nil, wire.MetadataMsg{Type: wire.MetadataData, TotalSize: 1 << 20, Data: make([]byte, 1<<14)})))},
		{name: "metadata reject", next: one(extended(wire.ExtMetadata, wire.AppendMetadata(nil, wire.MetadataMsg{Type: wire.MetadataReject})))},
		{name: "peer exchange", next: func(i int) []wire.Msg {
			u := pex.Update{}
			for k := range 50 {
				u.Added = append(u.Added, pex.Peer{Addr: addrOf(i*50 + k)})
			}
			return []wire.Msg{extended(wire.ExtPex, pex.Append(nil, u))}
		}},
		{name: "upload only", next: func(i int) []wire.Msg { return []wire.Msg{extended(wire.ExtUploadOnly, []byte{byte(i % 2)})} }},
		{name: "an unknown extension", next: one(extended(200, make([]byte, 20)))},
		{name: "an unknown message", next: one(wire.Msg{Type: 99})},
	}
	for _, t := range []wire.Type{wire.HashRequest, wire.Hashes, wire.HashReject} {
		list = append(list, flood{name: fmt.Sprintf("hash message %d", t), seeding: true, next: func(i int) []wire.Msg {
			h := wire.HashMsg{Root: metainfo.Root{byte(i)}, Base: 3, Length: 2}
			if t == wire.Hashes {
				h.Hashes = make([]byte, 64)
			}
			return []wire.Msg{{Type: t, Payload: wire.AppendHash(nil, h)}}
		}})
	}
	return list
}

// joinFlooder connects the flooding peer, which always has the same address.
func joinFlooder(r *rig) Conn {
	var res wire.Reserved
	res.SetExtended()
	res.SetDHT()
	res.SetFast()
	return r.join(EvConnected{Addr: addrOf(9), PeerID: id.ID{9}, Reserved: res, V2: true, Incoming: true})
}

// play sends up to bytes of a flood. It returns how much was sent and the CPU time used.
// It stops early when the peer is banned.
func (f *flood) play(r *rig, bytes int) (sent int, took time.Duration) {
	c := joinFlooder(r)
	if f.begin != nil {
		f.begin(r, c)
	}
	r.e.Drain()
	began := cpuTime()
	for i := 0; sent < bytes; i++ {
		if f.rejoin && i > 0 {
			r.step(&EvClosed{Conn: c})
			c = joinFlooder(r)
		}
		for _, m := range f.next(i) {
			r.msg(c, m)
			sent += len(m.Payload) + 9
		}
		if f.rejoin {
			sent += 2 * 68 // the handshakes
		}
		if f.batch == 0 || i%f.batch == 0 {
			r.e.Drain()
			r.now++
			r.e.begin(r.now)
		}
		if p := r.e.conns[c]; p == nil || p.closing {
			r.step(&EvClosed{Conn: c})
			if f.rejoin && !r.e.book.isBanned(r.now, addrOf(9)) {
				c = joinFlooder(r)
				continue
			}
			break
		}
	}
	return sent, cpuTime() - began
}

// In a torrent of two million pieces, every message costs little more than its bytes, or
// its cost is charged to the peer. A peer can cause no more work than costAllowance
// bitfields plus costFactor times what haves cost per byte.
func TestBatteryMessageCost(t *testing.T) {
	skipUnderRace(t)
	runtime.LockOSThread() // for cpuTime
	defer runtime.UnlockOSThread()
	info := testInfo(t, costPieces, 16<<10, 16<<10, false)
	fresh := func(seeding bool) *rig {
		r := &rig{t: t, now: mono.Time(time.Hour)}
		r.e = New(Config{Budget: 64, PeerID: id.ID{1}, Seed: 1, Ports: addrs.Ports{V4: 6881, V6: 6881}}, r.now)
		ev := &EvInfo{Info: info}
		if seeding {
			ev.Have = full(costPieces)
		}
		r.step(ev)
		return r
	}
	const (
		bytes         = 256 << 10
		costFactor    = 25.0
		costAllowance = 1.5
	)
	have := flood{next: func(i int) []wire.Msg {
		return []wire.Msg{{Type: wire.Have, Index: uint32(i*7919) % costPieces}}
	}}
	// The reference is the cost of a have per byte in this run, and of a bitfield of half
	// the pieces.
	perByte, perField := 0.0, 0.0
	for i := range 3 {
		n, took := have.play(fresh(false), 4*bytes)
		cost := took.Seconds() / float64(n)
		r := fresh(false)
		c := joinFlooder(r)
		m := half(0)
		began := cpuTime()
		r.msg(c, m, wire.Msg{Type: wire.Unchoke})
		r.e.Drain()
		r.step(&EvClosed{Conn: c})
		field := (cpuTime() - began).Seconds()
		if i == 0 || cost < perByte {
			perByte = cost
		}
		if i == 0 || field < perField {
			perField = field
		}
	}
	t.Logf("haves cost %.1f ns a byte, a bitfield of half the pieces %.1f ms", perByte*1e9, perField*1e3)
	worst, worstName := 0.0, ""
	rigs := map[bool]*rig{}
	for _, f := range floods() {
		if !strings.Contains(f.name, *floodFlag) {
			continue
		}
		ratio := 0.0
		for try := range 2 { // again, in case a garbage collection interfered
			if rigs[f.seeding] == nil {
				rigs[f.seeding] = fresh(f.seeding)
			}
			r := rigs[f.seeding]
			size := bytes
			if f.fields { // enough to exhaust the limit of the address
				size = 16 * bytes
			}
			n, took := f.play(r, size)
			left := max(took.Seconds()-costAllowance*perField, 0)
			again := left / (float64(n) * perByte)
			if try == 0 || again < ratio {
				ratio = again
			}
			t.Logf("%-45s %7d bytes %9.2f ms %6.1f times a have's cost", f.name, n, took.Seconds()*1e3, ratio)
			delete(rigs, f.seeding)
			if ratio <= costFactor {
				break
			}
		}
		if ratio > worst {
			worst, worstName = ratio, f.name
		}
		if ratio > costFactor {
			t.Errorf("%s: %.0f times what a have costs a byte", f.name, ratio)
		}
	}
	t.Logf("battery: %d kinds of messages to a torrent of %d pieces cost at most %.1f times what haves cost a byte (%s)", len(floods()), costPieces, worst, worstName)
}
