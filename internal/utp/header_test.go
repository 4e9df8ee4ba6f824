package utp

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// A SYN as sent by libtorrent 2.0, and one of µTorrent with its extension bits.
var (
	synLibtorrent = unhex("4100" + "5b21" + "0a1b2c3d" + "00000000" + "00000000" + "0001" + "0000")
	synUTorrent   = unhex("4102" + "1234" + "00000001" + "00000000" + "00038000" + "0001" + "0000" + "0008" + "0000000000000000")
)

func unhex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func TestParse(t *testing.T) {
	h, rest, err := Parse(synLibtorrent)
	if want := (Header{Type: Syn, ConnID: 0x5b21, Timestamp: 0x0a1b2c3d, Seq: 1}); err != nil || h != want || len(rest) != 0 {
		t.Errorf("%+v, %x, %v", h, rest, err)
	}
	h, rest, err = Parse(append(bytes.Clone(synUTorrent), "payload"...))
	if want := (Header{Type: Syn, ConnID: 0x1234, Timestamp: 1, Window: 0x38000, Seq: 1}); err != nil || h != want || string(rest) != "payload" {
		t.Errorf("%+v, %q, %v", h, rest, err)
	}
	long := bytes.Clone(synUTorrent)
	long[21] = 9 // longer than the packet
	for name, b := range map[string][]byte{
		"empty": nil, "short": synLibtorrent[:19], "version 2": append([]byte{0x42}, synLibtorrent[1:]...), "type 5": append([]byte{0x51}, synLibtorrent[1:]...),
		"a truncated extension": synUTorrent[:21], "an extension longer than the packet": long,
	} {
		if _, _, err := Parse(b); err != ErrMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// BEP 29: the ST_RESET goes to the id under which the sender of the SYN receives, which
// is that of the SYN, and acknowledges it. It is no longer than the shortest SYN.
func TestRefuse(t *testing.T) {
	syn, _, err := Parse(synLibtorrent)
	if err != nil {
		t.Fatal(err)
	}
	r := Refuse(syn, 5, 0x0abc) // our clock is behind: the difference wraps
	b := r.Append(nil)
	if want := unhex("3100" + "5b21" + "00000005" + "f5e4d3c8" + "00000000" + "0abc" + "0001"); !bytes.Equal(b, want) {
		t.Errorf("%x, not %x", b, want)
	}
	if len(b) != HeaderLen || len(b) > len(synLibtorrent) {
		t.Errorf("%d bytes", len(b))
	}
}

// BEP 29: extensions are a linked list, and unknown ones are skipped. So padding of any
// length leaves the payload as it is.
func TestPadding(t *testing.T) {
	for n := 2; n < 1500; n++ {
		h := Header{Type: Data, Seq: uint16(n)}
		b := h.Append(nil)
		b[1] = extPadding
		b = append(appendPadding(b, n), "payload"...)
		if got, rest, err := Parse(b); err != nil || got != h || string(rest) != "payload" || len(b) != HeaderLen+n+7 {
			t.Fatalf("%d: %+v, %q, %v, %d bytes", n, got, rest, err, len(b))
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(synLibtorrent)
	f.Add(synUTorrent)
	f.Add([]byte{0x11, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, rest, err := Parse(b)
		if err != nil {
			return
		}
		if len(rest) > len(b)-HeaderLen || h.Type >= numTypes {
			t.Fatalf("%+v, %d of %d bytes", h, len(rest), len(b))
		}
		want := bytes.Clone(b[:HeaderLen])
		want[1] = 0 // the extensions are not kept
		if got := h.Append(nil); !bytes.Equal(got, want) {
			t.Fatalf("%x, not %x", got, want)
		}
	})
}
