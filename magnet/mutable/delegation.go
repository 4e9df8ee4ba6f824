package mutable

import (
	"crypto/ed25519"
	"slices"
	"time"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/magnet"
)

// MaxDelegates is the maximum number of keys that a statement can name. With it, a statement
// takes less than 400 of the 1,000 bytes that BEP 44 allows for a value.
const MaxDelegates = 8

// maxExpiry is the last moment that a statement can name: the end of the year 9999.
const maxExpiry = 253402300799

// Delegation is a statement that the owner of the key in a link makes: until it expires, the
// items of other keys are versions of the publication too. It is the entry "d" of the value of
// the owner's item; see docs/delegation.md. Package delegation judges by it.
type Delegation struct {
	Keys   []id.ID32 // at most MaxDelegates; without the key in the link, and each once
	Expiry time.Time // in whole seconds
	// Number is the number of the version that the item with the statement names. 0 means
	// that it is the item's own number.
	Number int64
}

// appendEntry appends the entry "d" of a value.
func (d *Delegation) appendEntry(dst []byte) []byte {
	dst = append(bencode.AppendString(dst, "d"), 'd')
	dst = bencode.AppendInt(bencode.AppendString(dst, "e"), d.Expiry.Unix())
	dst = append(bencode.AppendString(dst, "k"), 'l')
	for _, key := range d.Keys {
		dst = bencode.AppendBytes(dst, key[:])
	}
	dst = append(dst, 'e')
	if d.Number > 0 {
		dst = bencode.AppendInt(bencode.AppendString(dst, "n"), d.Number)
	}
	return append(dst, 'e')
}

// readDelegation reads the entry "d" of a value. It ignores entries of it that it does not
// know. It returns nil if the statement is malformed; that names nobody, so that a reader
// never trusts a key because it did not understand a condition.
func readDelegation(l *magnet.Link, v bencode.Value) *Delegation {
	if v.Kind() != bencode.Dict {
		return nil
	}
	var d Delegation
	for key, val := range v.Dict() {
		switch string(key) {
		case "e":
			e, ok := val.Int()
			if !ok || e < 1 || e > maxExpiry {
				return nil
			}
			d.Expiry = time.Unix(e, 0)
		case "k":
			if val.Kind() != bencode.List {
				return nil
			}
			for k := range val.List() {
				b, ok := k.Bytes()
				if !ok || len(b) != ed25519.PublicKeySize || len(d.Keys) == MaxDelegates {
					return nil
				}
				if key := id.ID32(b); key != l.PublicKey && !slices.Contains(d.Keys, key) {
					d.Keys = append(d.Keys, key)
				}
			}
		case "n":
			n, ok := val.Int()
			if !ok || n < 1 {
				return nil
			}
			d.Number = n
		}
	}
	if d.Expiry.IsZero() {
		return nil
	}
	return &d
}
