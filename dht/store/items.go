package store

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha1"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// Item is a value that somebody put (BEP 44).
type Item struct {
	V []byte // the value as it came, encoded

	// Of a mutable item only.
	Mutable bool
	K       [ed25519.PublicKeySize]byte
	Sig     [ed25519.SignatureSize]byte
	Seq     int64
}

// ImmutableTarget is where an immutable item is kept: under the SHA-1 of its
// encoded value.
func ImmutableTarget(v []byte) id.ID { return sha1.Sum(v) }

// MutableTarget is where a mutable item is kept. BEP 44: the SHA-1 hash of the
// key concatenated with the salt, if present.
func MutableTarget(k, salt []byte) id.ID {
	var room [ed25519.PublicKeySize + 64]byte
	return sha1.Sum(append(append(room[:0], k...), salt...))
}

// AppendSigned appends what the signature of a mutable item is over. BEP 44: a
// salt that is not empty, the sequence number and the value, each behind its
// key as in a dictionary.
func AppendSigned(dst, salt []byte, seq int64, v []byte) []byte {
	if len(salt) > 0 {
		dst = bencode.AppendBytes(append(dst, "4:salt"...), salt)
	}
	dst = bencode.AppendInt(append(dst, "3:seq"...), seq)
	return append(append(dst, "1:v"...), v...)
}

// Verify reports whether a mutable item carries a signature of its key. It is
// some hundred times the work of everything else that a put takes.
func (it *Item) Verify(salt []byte) bool {
	return ed25519.Verify(it.K[:], AppendSigned(nil, salt, it.Seq, it.V), it.Sig[:])
}

// Verdict is what would become of a put.
type Verdict uint8

const (
	Fresh       Verdict = iota // it would be stored
	Known                      // it is stored: putting it again renews it
	CASMismatch                // BEP 44's error 301
	OldSeq                     // BEP 44's error 302
)

type items struct {
	lru *simplelru.LRU[id.ID, *item]
}

type item struct {
	Item
	at mono.Time // of the last put
}

func (i *items) init(n int) {
	lru, err := simplelru.NewLRU[id.ID, *item](n, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	i.lru = lru
}

func (i *items) get(now mono.Time, target id.ID) *item {
	it, ok := i.lru.Get(target)
	if !ok || now.Sub(it.at) >= ItemLifetime {
		return nil
	}
	return it
}

// Item is the item under the target, nil if there is none. It does not change
// once it is stored.
func (s *Store) Item(now mono.Time, target id.ID) *Item {
	if it := s.items.get(now, target); it != nil {
		return &it.Item
	}
	return nil
}

// Judge says what would become of a put of the item under the target. cas is
// the sequence number that the putter expects to be stored, nil if it expects
// nothing. The signature is not looked at.
func (s *Store) Judge(now mono.Time, target id.ID, it *Item, cas *int64) Verdict {
	old := s.items.get(now, target)
	switch {
	// BEP 44: if there is no current value, the cas field should be ignored.
	case old == nil:
		return Fresh
	case !it.Mutable:
		return Known
	// BEP 44: only if the cas matches the stored sequence number is the put
	// performed.
	case cas != nil && *cas != old.Seq:
		return CASMismatch
	// BEP 44: if the sequence number is equal, and the value is also the same,
	// the node should reset its timeout counter.
	case it.Seq == old.Seq && bytes.Equal(it.V, old.V):
		if it.Sig != old.Sig {
			return Fresh // another proof of the same, to be verified
		}
		return Known
	// BEP 44: a put where seq is lower than or equal to what is already stored
	// must be rejected.
	case it.Seq <= old.Seq:
		return OldSeq
	}
	return Fresh
}

// Put stores the item, which Judge called Fresh or Known, or renews its time.
// The Store keeps it.Item's value: it must not change afterwards.
func (s *Store) Put(now mono.Time, target id.ID, it Item) {
	s.sweep(now)
	s.items.lru.Add(target, &item{it, now})
}

// Renew resets the timeout of a Known item.
func (s *Store) Renew(now mono.Time, target id.ID) {
	if it := s.items.get(now, target); it != nil {
		it.at = now
	}
}

// Items is how many items are kept, some of which may have expired since the
// last sweep.
func (s *Store) Items() int { return s.items.lru.Len() }

func (i *items) sweep(now mono.Time) {
	for _, target := range i.lru.Keys() {
		if it, _ := i.lru.Peek(target); now.Sub(it.at) >= ItemLifetime {
			i.lru.Remove(target)
		}
	}
}
