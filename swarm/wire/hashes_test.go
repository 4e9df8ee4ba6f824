package wire

import (
	"bytes"
	"testing"
)

func FuzzHash(f *testing.F) {
	f.Add(uint8(HashRequest), AppendHash(nil, HashMsg{Root: [32]byte{1}, Base: 2, Index: 512, Length: 512, ProofLayers: 7}))
	f.Add(uint8(Hashes), AppendHash(nil, HashMsg{Length: 2, Hashes: make([]byte, 64)}))
	f.Add(uint8(HashReject), []byte("short"))
	f.Fuzz(func(t *testing.T, kind uint8, b []byte) {
		m := Msg{Type: Type(kind), Payload: b}
		h, err := ParseHash(&m)
		if err != nil {
			return
		}
		if len(h.Hashes) > 0 && m.Type != Hashes {
			t.Fatal("hashes in a message type without hashes")
		}
		if !bytes.Equal(AppendHash(nil, h), b) {
			t.Fatal("written differently than parsed")
		}
	})
}

// BEP 52: the lengths of the three messages.
func TestHashMessagesOfWrongLengthAreRejected(t *testing.T) {
	for _, c := range []struct {
		kind Type
		n    int
		ok   bool
	}{{HashRequest, 48, true}, {HashRequest, 47, false}, {HashRequest, 80, false}, {HashReject, 48, true}, {HashReject, 80, false},
		{Hashes, 48, true}, {Hashes, 80, true}, {Hashes, 81, false}} {
		if _, err := ParseHash(&Msg{Type: c.kind, Payload: make([]byte, c.n)}); (err == nil) != c.ok {
			t.Errorf("%v of %d bytes: %v", c.kind, c.n, err)
		}
	}
}
