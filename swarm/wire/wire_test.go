package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"seedbed/internal/id"
)

func kindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

// The messages as in the BEPs, without length prefix.
var frames = []struct {
	name  string
	frame string
	msg   Msg
}{
	{"BEP 3: keepalives are messages of length zero", "", Msg{Type: KeepAlive}},
	{"BEP 3: choke has no payload", "\x00", Msg{Type: Choke}},
	{"BEP 3: unchoke has no payload", "\x01", Msg{Type: Unchoke}},
	{"BEP 3: interested has no payload", "\x02", Msg{Type: Interested}},
	{"BEP 3: not interested has no payload", "\x03", Msg{Type: NotInterested}},
	{"BEP 3: have's payload is a single number", "\x04\x00\x01\x02\x03", Msg{Type: Have, Index: 0x010203}},
	{"BEP 3: bitfield's payload is a bitfield", "\x05\xff\x80", Msg{Type: Bitfield, Payload: []byte{0xff, 0x80}}},
	{"BEP 3: request contains an index, begin and length", "\x06\x00\x00\x00\x07\x00\x00\x40\x00\x00\x00\x40\x01",
		Msg{Type: Request, Index: 7, Begin: 0x4000, Length: 0x4001}},
	{"BEP 3: piece contains an index, begin and piece", "\x07\x00\x00\x00\x07\x00\x00\x40\x00data",
		Msg{Type: Piece, Index: 7, Begin: 0x4000, Length: 4, Payload: []byte("data")}},
	{"BEP 3: cancel has the payload of request", "\x08\x00\x00\x00\x07\x00\x00\x40\x00\x00\x00\x40\x01",
		Msg{Type: Cancel, Index: 7, Begin: 0x4000, Length: 0x4001}},
	{"BEP 5: port has the port as a two byte big-endian number", "\x09\x1a\xe1", Msg{Type: Port, Port: 6881}},
	{"BEP 6: suggest is op 0x0D and an index", "\x0d\x00\x00\x00\x09", Msg{Type: Suggest, Index: 9}},
	{"BEP 6: have all is op 0x0E alone", "\x0e", Msg{Type: HaveAll}},
	{"BEP 6: have none is op 0x0F alone", "\x0f", Msg{Type: HaveNone}},
	{"BEP 6: reject is op 0x10, index, begin, length", "\x10\x00\x00\x00\x07\x00\x00\x40\x00\x00\x00\x40\x01",
		Msg{Type: Reject, Index: 7, Begin: 0x4000, Length: 0x4001}},
	{"BEP 6: allowed fast is op 0x11 and an index", "\x11\x00\x00\x00\x09", Msg{Type: AllowedFast, Index: 9}},
	{"BEP 10: extended is 20, then one byte of id", "\x14\x03de", Msg{Type: Extended, Ext: 3, Payload: []byte("de")}},
	{"BEP 10: an extended message may have no payload", "\x14\x03", Msg{Type: Extended, Ext: 3, Payload: []byte{}}},
	{"BEP 52: hash messages pass as they are", "\x15xyz", Msg{Type: HashRequest, Payload: []byte("xyz")}},
	{"unknown ids pass as they are", "\x63xyz", Msg{Type: 99, Payload: []byte("xyz")}},
}

func TestParseAndAppend(t *testing.T) {
	for _, tt := range frames {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse([]byte(tt.frame))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(tt.msg, got); d != "" {
				t.Error(d)
			}
			b := Append([]byte("before"), tt.msg)
			if want := "before" + string(binary.BigEndian.AppendUint32(nil, uint32(len(tt.frame)))) + tt.frame; string(b) != want {
				t.Errorf("Append: %q, want %q", b, want)
			}
		})
	}
}

func TestParseDemandsExactLengths(t *testing.T) {
	for _, tt := range frames {
		if len(tt.frame) == 0 {
			continue
		}
		m, _ := Parse([]byte(tt.frame))
		exact := m.Payload == nil
		long, err := Parse([]byte(tt.frame + "\x00"))
		if exact && kindOf(err) != BadLength {
			t.Errorf("%s: one byte more: %v, %v", m.Type, long, err)
		}
		if !exact && err != nil {
			t.Errorf("%s: one byte more: %v", m.Type, err)
		}
		if len(tt.frame) < 2 {
			continue
		}
		if _, err := Parse([]byte(tt.frame[:len(tt.frame)-1])); exact && kindOf(err) != BadLength {
			t.Errorf("%s: one byte less: %v", m.Type, err)
		}
	}
	for name, frame := range map[string][]byte{
		"a piece without begin":        {7, 0, 0, 0, 1},
		"an empty piece":               append([]byte{7}, make([]byte, 8)...),
		"a piece longer than MaxBlock": append([]byte{7}, make([]byte, 8+MaxBlock+1)...),
		"extended without its id":      {20},
	} {
		if _, err := Parse(frame); kindOf(err) != BadLength {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse(append([]byte{7}, make([]byte, 8+MaxBlock)...)); err != nil {
		t.Errorf("a piece of MaxBlock: %v", err)
	}
	if _, err := Parse([]byte{255}); kindOf(err) != BadID {
		t.Errorf("id 255: %v", err)
	}
	if _, err := Parse(append([]byte{5}, make([]byte, MaxFrame)...)); kindOf(err) != TooLong {
		t.Errorf("a frame too long: %v", err)
	}
}

func TestLength(t *testing.T) {
	for n, ok := range map[uint32]bool{0: true, 1: true, MaxFrame: true, MaxFrame + 1: false, 1<<32 - 1: false} {
		got, err := Length(binary.BigEndian.AppendUint32(nil, n))
		if ok && (err != nil || got != int(n)) || !ok && kindOf(err) != TooLong {
			t.Errorf("%d: %d, %v", n, got, err)
		}
	}
}

func TestPieceHeaderPrecedesTheBlock(t *testing.T) {
	m := Msg{Type: Piece, Index: 3, Begin: 16384, Payload: []byte("block")}
	h := AppendPieceHeader(nil, 3, 16384, 5)
	if len(h) != PieceHeaderLen {
		t.Errorf("%d bytes", len(h))
	}
	if want := Append(nil, m); !bytes.Equal(append(h, "block"...), want) {
		t.Errorf("%q, want %q", h, want)
	}
}

func TestErrorsAreSentences(t *testing.T) {
	for _, e := range []*Error{
		{Kind: BadHandshake}, {Kind: Short, Len: 5}, {Kind: TooLong, Type: Bitfield, Len: 1 << 30},
		{Kind: BadLength, Type: 77, Len: 3}, {Kind: BadID, Type: 255},
		{Kind: BadBencode, Err: errNoDict}, {Kind: BadField, Field: "piece"},
	} {
		if s := e.Error(); len(s) < 10 || strings.Contains(s, "unknown fault") {
			t.Errorf("kind %d: %q", e.Kind, s)
		}
	}
}

func TestHandshake(t *testing.T) {
	infohash, peer := id.ID{1, 2, 3}, id.ID([]byte("-SB0000-abcdefghijkl"))
	var r Reserved
	if r.Extended() || r.Fast() || r.DHT() || r.V2() {
		t.Error("flags in zeros")
	}
	r.SetExtended()
	r.SetFast()
	r.SetDHT()
	r.SetV2()
	// BEP 10: reserved_byte[5] & 0x10; BEP 6: reserved[7] |= 0x04; BEP 5: the last
	// bit; BEP 52: the fourth most significant bit of the last byte.
	if want := (Reserved{5: 0x10, 7: 0x15}); r != want || !r.Extended() || !r.Fast() || !r.DHT() || !r.V2() {
		t.Errorf("%x, want %x", r, want)
	}
	b := AppendHandshake(nil, r, infohash, peer)
	// BEP 3: character nineteen, the string, eight reserved bytes, info hash, peer id.
	want := "\x13BitTorrent protocol" + string(r[:]) + string(infohash[:]) + string(peer[:])
	if string(b) != want || len(b) != HandshakeLen {
		t.Errorf("%q", b)
	}
	gr, gi, gp, err := ParseHandshake(append(b, "more"...))
	if gr != r || gi != infohash || gp != peer || err != nil {
		t.Error(gr, gi, gp, err)
	}
	for n := range HandshakeLen {
		if _, _, _, err := ParseHandshake(b[:n]); kindOf(err) != Short {
			t.Fatalf("the first %d bytes: %v", n, err)
		}
	}
	for n := range len(protocol) {
		bad := bytes.Clone(b)
		bad[n] ^= 1
		for _, b := range [][]byte{bad, bad[:n+1]} {
			if _, _, _, err := ParseHandshake(b); kindOf(err) != BadHandshake {
				t.Fatalf("byte %d wrong: %v", n, err)
			}
		}
	}
}

// msgs generates messages that Append can write.
var msgs = rapid.Custom(func(t *rapid.T) Msg {
	m := Msg{Type: Type(rapid.ByteRange(0, 254).Draw(t, "type"))}
	u32 := func(s string) uint32 { return rapid.Uint32().Draw(t, s) }
	payload := func(least int) []byte {
		return rapid.SliceOfN(rapid.Byte(), least, 50).Draw(t, "payload")
	}
	switch m.Type {
	case Choke, Unchoke, Interested, NotInterested, HaveAll, HaveNone:
	case Have, Suggest, AllowedFast:
		m.Index = u32("index")
	case Request, Cancel, Reject:
		m.Index, m.Begin, m.Length = u32("index"), u32("begin"), u32("length")
	case Piece:
		m.Index, m.Begin, m.Payload = u32("index"), u32("begin"), payload(1)
		m.Length = uint32(len(m.Payload))
	case Port:
		m.Port = rapid.Uint16().Draw(t, "port")
	case Extended:
		m.Ext, m.Payload = rapid.Byte().Draw(t, "ext"), payload(0)
	default:
		m.Payload = payload(0)
	}
	return m
})

func TestParseIsTheInverseOfAppend(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := msgs.Draw(t, "message")
		b := Append(nil, m)
		n, err := Length(b)
		if err != nil || n != len(b)-PrefixLen {
			t.Fatal(n, err, len(b))
		}
		got, err := Parse(b[PrefixLen:])
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(m, got); d != "" {
			t.Fatal(d)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, tt := range frames {
		f.Add([]byte(tt.frame))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		m, err := Parse(frame)
		if err != nil {
			if kindOf(err) == 0 {
				t.Fatalf("not an *Error: %v", err)
			}
			return
		}
		if got := Append(nil, m); !bytes.Equal(got[PrefixLen:], frame) {
			t.Fatalf("%x came back as %x", frame, got)
		}
	})
}

func FuzzParseHandshake(f *testing.F) {
	f.Add(AppendHandshake(nil, Reserved{}, id.ID{1}, id.ID{2}))
	f.Add([]byte(protocol))
	f.Add([]byte("GET / HTTP/1.1\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, infohash, peer, err := ParseHandshake(b)
		if err != nil {
			if k := kindOf(err); k != Short && k != BadHandshake {
				t.Fatal(err)
			}
			return
		}
		if got := AppendHandshake(nil, r, infohash, peer); !bytes.Equal(got, b[:HandshakeLen]) {
			t.Fatalf("%x came back as %x", b, got)
		}
	})
}

func TestParseAndAppendDoNotAllocate(t *testing.T) {
	buf := make([]byte, 0, 256)
	for _, tt := range frames {
		frame := []byte(tt.frame)
		if n := testing.AllocsPerRun(100, func() {
			m, err := Parse(frame)
			if err != nil {
				t.Fatal(err)
			}
			buf = Append(buf[:0], m)
		}); n != 0 {
			t.Errorf("%s: %v allocations", tt.name, n)
		}
	}
}

// BenchmarkParse compares Parse with the minimum for a frame: reading its id.
func BenchmarkParse(b *testing.B) {
	req := Append(nil, Msg{Type: Request, Index: 7, Begin: 1 << 14, Length: 1 << 14})[PrefixLen:]
	piece := Append(nil, Msg{Type: Piece, Index: 7, Payload: make([]byte, 1<<14)})[PrefixLen:]
	for name, frame := range map[string][]byte{"request": req, "piece": piece} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("id alone", func(b *testing.B) {
		n := 0
		for b.Loop() {
			n += int(req[0])
		}
	})
}

func BenchmarkAppend(b *testing.B) {
	m := Msg{Type: Request, Index: 7, Begin: 1 << 14, Length: 1 << 14}
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf = Append(buf[:0], m)
	}
}
