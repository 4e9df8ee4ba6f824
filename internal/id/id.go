// Package id defines the 20-byte identifiers of BitTorrent (infohashes, DHT node ids and
// peer ids), their text forms and the XOR metric of BEP 5.
package id

import (
	"bytes"
	"encoding/base32"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
)

// Len is the length of an ID in bytes.
const Len = 20

// ID is a 20-byte identifier: an infohash, a node id or a peer id.
type ID [Len]byte

// ID32 is a 32-byte identifier: a v2 infohash (BEP 52) or a public key (BEP 46).
type ID32 [32]byte

// ParseHex parses 40 hexadecimal digits in upper or lower case.
func ParseHex(s string) (ID, error) {
	var v ID
	if len(s) != 2*Len {
		return ID{}, fmt.Errorf("%d characters instead of 40 hexadecimal digits", len(s))
	}
	if _, err := hex.Decode(v[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("not hexadecimal: %w", err)
	}
	return v, nil
}

var base32Digits = base32.StdEncoding.WithPadding(base32.NoPadding)

// ParseBase32 parses 32 base32 characters in upper or lower case (the older form of the
// infohash in a magnet link, BEP 9).
func ParseBase32(s string) (ID, error) {
	var v ID
	if len(s) != 32 {
		return ID{}, fmt.Errorf("%d characters instead of 32 base32 digits", len(s))
	}
	n, err := base32Digits.Decode(v[:], bytes.ToUpper([]byte(s)))
	if err != nil {
		return ID{}, fmt.Errorf("not base32: %w", err)
	}
	if n != Len { // the decoder skips line breaks
		return ID{}, errors.New("not base32: it contains a line break")
	}
	return v, nil
}

// String returns the lower-case hexadecimal form.
func (a ID) String() string {
	var b [2 * len(ID{})]byte // hex.EncodeToString would copy it once more
	hex.Encode(b[:], a[:])
	return string(b[:])
}

// IsZero reports whether every byte is zero, as in no real identifier.
func (a ID) IsZero() bool { return a == ID{} }

// Xor returns the distance between two ids (BEP 5).
func (a ID) Xor(b ID) (d ID) {
	for i := range a {
		d[i] = a[i] ^ b[i]
	}
	return d
}

// Cmp compares ids as unsigned big-endian numbers and returns -1, 0 or 1.
func (a ID) Cmp(b ID) int { return bytes.Compare(a[:], b[:]) }

// CmpDistance compares the distances of x and y to a. It returns -1 if x is closer.
func (a ID) CmpDistance(x, y ID) int {
	for i := range a {
		if dx, dy := a[i]^x[i], a[i]^y[i]; dx != dy {
			if dx < dy {
				return -1
			}
			return 1
		}
	}
	return 0
}

// CommonPrefix returns the number of leading bits that a and b have in common: 0 to 160.
func (a ID) CommonPrefix(b ID) int {
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			return 8*i + bits.LeadingZeros8(x)
		}
	}
	return 8 * Len
}

// Bit returns bit i of a, counted from the most significant.
func (a ID) Bit(i int) bool { return a[i/8]>>(7-i%8)&1 == 1 }

// Short returns the first 20 bytes: the form of a v2 infohash in handshakes and the DHT
// (BEP 52).
func (a ID32) Short() ID { return ID(a[:Len]) }

// IsZero reports whether every byte is zero.
func (a ID32) IsZero() bool { return a == ID32{} }

// String returns the lower-case hexadecimal form.
func (a ID32) String() string { return hex.EncodeToString(a[:]) }

// ParseHex32 parses 64 hexadecimal digits in upper or lower case.
func ParseHex32(s string) (ID32, error) {
	var v ID32
	if len(s) != 64 {
		return ID32{}, fmt.Errorf("%d characters instead of 64 hexadecimal digits", len(s))
	}
	if _, err := hex.Decode(v[:], []byte(s)); err != nil {
		return ID32{}, fmt.Errorf("not hexadecimal: %w", err)
	}
	return v, nil
}
