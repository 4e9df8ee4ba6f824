package fleet

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

// The types of messages of memberlist that change the membership.
const (
	suspectType = 3
	aliveType   = 4
	deadType    = 5
)

// A field is one of a message of memberlist. Its value is a uint32, a string or []byte.
type field struct {
	name  string
	value any
}

// accusation returns the fields of a message that a member is suspect or dead. A node that leaves says itself that it is dead.
func accusation(incarnation uint32, name, from string) []field {
	return []field{{"Incarnation", incarnation}, {"Node", name}, {"From", from}}
}

// msgpack encodes a message.
func msgpack(fields []field) []byte {
	text := func(b []byte, s string) []byte {
		return append(binary.BigEndian.AppendUint16(append(b, 0xda), uint16(len(s))), s...)
	}
	b := []byte{0x80 | byte(len(fields))}
	for _, f := range fields {
		b = text(b, f.name)
		switch v := f.value.(type) {
		case uint32:
			b = binary.BigEndian.AppendUint32(append(b, 0xce), v)
		case string:
			b = text(b, v)
		case []byte:
			b = text(b, string(v))
		}
	}
	return b
}

// sealed returns a packet of a member with the key of the tests.
func sealed(t *testing.T, kind byte, fields []field) []byte {
	t.Helper()
	block, err := aes.NewCipher(testKey)
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	nonce := make([]byte, gcm.NonceSize())
	_, _ = rand.Read(nonce) // it never fails
	return gcm.Seal(append([]byte{1}, nonce...), nonce, append([]byte{kind}, msgpack(fields)...), nil)
}

// Who has recorded packets of a fleet can send them again. While old packets say that all members are suspect, have failed or have left,
// no torrent moves, because those that are accused object. A member that is gone seems to be back for some seconds, in which its torrents
// have one owner less. All effects end by themselves.
func TestReplays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 12)
		r.startThree(1)
		r.start(4, 1)
		r.until(30*time.Second, "four nodes divide the torrents", func() bool { return r.divided(1, 2, 3, 4) })
		gone := r.nodes[4].Fleet
		m := gone.meta()
		back := sealed(t, aliveType, []field{
			{"Incarnation", uint32(1000)}, {"Node", name(4)}, {"Addr", fleetAddr(4).Addr().AsSlice()}, {"Port", uint32(testPort)}, {"Meta", m.encode()}, {"Vsn", []byte{1, 5, 5, 0, 0, 0}}})
		r.stop(r.nodes[4])
		r.until(30*time.Second, "three divide them", func() bool { return r.divided(1, 2, 3) })
		time.Sleep(time.Minute) // until memberlist has forgotten node 4

		stack, err := r.net.Host(netip.MustParseAddr("10.9.9.9")).Open(testPort)
		if err != nil {
			t.Fatal(err)
		}
		defer stack.Close()
		replay := func(packets ...[]byte) {
			for _, b := range packets {
				for num := range r.nodes {
					if err := stack.UDP()[0].WriteTo(b, fleetAddr(num)); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		// Each round has the newest incarnations that the members can have had in a recording.
		for round := range 20 {
			for num := 1; num <= 3; num++ {
				in := uint32(3*round + 1)
				replay(sealed(t, suspectType, accusation(in, name(num), name(1+num%3))),
					sealed(t, deadType, accusation(in+1, name(num), name(1+num%3))), sealed(t, deadType, accusation(in+2, name(num), name(num))))
			}
			time.Sleep(3 * time.Second)
			if !r.divided(1, 2, 3) {
				t.Fatalf("torrents move in round %d", round)
			}
		}
		r.until(30*time.Second, "all are live", func() bool {
			for num := range r.nodes {
				if s := r.nodes[num].Status(); len(s.Members) != 3 || s.Settling {
					return false
				}
			}
			return true
		})

		moved := false
		for range 30 {
			replay(back)
			time.Sleep(time.Second)
			moved = moved || !r.divided(1, 2, 3)
		}
		for _, torrent := range r.torrents {
			if len(r.announcing(torrent)) == 0 {
				t.Error("nobody announces a torrent")
			}
		}
		if !moved {
			t.Error("the packets of node 4 have no effect, so that the test shows nothing")
		}
		r.until(time.Minute, "node 4 is gone again", func() bool {
			return r.divided(1, 2, 3) && len(r.nodes[1].Status().Members) == 3
		})
	})
}
