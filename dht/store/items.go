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

// Item is a stored item (BEP 44).
type Item struct {
	V []byte // the bencoded value as received

	// These are set for a mutable item only.
	Mutable bool
	K       [ed25519.PublicKeySize]byte
	Sig     [ed25519.SignatureSize]byte
	Seq     int64
}

// ImmutableTarget returns the target of an immutable item: the SHA-1 of its encoded value.
func ImmutableTarget(v []byte) id.ID { return sha1.Sum(v) }

// MutableTarget returns the target of a mutable item. BEP 44: the SHA-1 hash of the key
// concatenated with the salt, if present.
func MutableTarget(k, salt []byte) id.ID {
	var room [ed25519.PublicKeySize + 64]byte
	return sha1.Sum(append(append(room[:0], k...), salt...))
}

// AppendSigned appends the bytes that the signature of a mutable item covers. BEP 44: a
// salt that is not empty, the sequence number and the value, each preceded by its key as in
// a dictionary.
func AppendSigned(dst, salt []byte, seq int64, v []byte) []byte {
	if len(salt) > 0 {
		dst = bencode.AppendBytes(append(dst, "4:salt"...), salt)
	}
	dst = bencode.AppendInt(append(dst, "3:seq"...), seq)
	return append(append(dst, "1:v"...), v...)
}

// Verify reports whether a mutable item has a valid signature of its key. It takes hundreds
// of times as long as the rest of a put.
func (it *Item) Verify(salt []byte) bool {
	return ed25519.Verify(it.K[:], AppendSigned(nil, salt, it.Seq, it.V), it.Sig[:])
}

// PutOutcome says what a put would do. CheckPut returns it.
type PutOutcome uint8

const (
	Fresh       PutOutcome = iota // it would be stored
	Known                         // it is stored already: a put resets its timeout
	CASMismatch                   // BEP 44's error 301
	OldSeq                        // BEP 44's error 302
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

// Item returns the item stored at the target, or nil. A stored item does not change.
func (s *Store) Item(now mono.Time, target id.ID) *Item {
	if it := s.items.get(now, target); it != nil {
		return &it.Item
	}
	return nil
}

// CheckPut returns what a put of the item at the target would do. cas is the sequence
// number that must be stored now for the put to be performed, or nil for any. CheckPut does
// not verify the signature.
func (s *Store) CheckPut(now mono.Time, target id.ID, it *Item, cas *int64) PutOutcome {
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
			return Fresh // another signature of the same value, to be verified
		}
		return Known
	// BEP 44: a put where seq is lower than or equal to what is already stored
	// must be rejected.
	case it.Seq <= old.Seq:
		return OldSeq
	}
	return Fresh
}

// Put stores an item for which CheckPut returned Fresh or Known, or resets its timeout. The
// Store keeps the item's value, which must not change afterwards.
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

// Items returns how many items are stored. Some may have expired since the last sweep.
func (s *Store) Items() int { return s.items.lru.Len() }

func (i *items) sweep(now mono.Time) {
	for _, target := range i.lru.Keys() {
		if it, _ := i.lru.Peek(target); now.Sub(it.at) >= ItemLifetime {
			i.lru.Remove(target)
		}
	}
}
