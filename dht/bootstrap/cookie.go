package bootstrap

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"seedbed/internal/mono"
)

const (
	// CookieLen is the length of our transaction ids. It is long enough that none can be
	// guessed while it is valid.
	CookieLen = 8

	// slot is the time unit of cookies. A cookie is valid until the end of the next slot,
	// that is for 8 to 16 seconds.
	slot = 8 * time.Second
)

// cookies creates and checks the transaction ids of our pings without storing
// them: an id is a keyed hash of the address and the time. A node that returns it
// has received our ping at that address, from any loop.
type cookies [16]byte

func newCookies(random *rand.Rand) (c cookies) {
	binary.LittleEndian.PutUint64(c[:], random.Uint64())
	binary.LittleEndian.PutUint64(c[8:], random.Uint64())
	return c
}

func (c *cookies) cookie(now mono.Time, a netip.AddrPort) [CookieLen]byte {
	return c.at(int64(now)/int64(slot), a)
}

func (c *cookies) valid(now mono.Time, a netip.AddrPort, t []byte) bool {
	if len(t) != CookieLen {
		return false
	}
	s := int64(now) / int64(slot)
	x, y := c.at(s, a), c.at(s-1, a)
	return subtle.ConstantTimeCompare(t, x[:])|subtle.ConstantTimeCompare(t, y[:]) == 1
}

// at hashes the key, followed by fields of fixed length. The hash is truncated, so that a
// length extension attack is not possible.
func (c *cookies) at(slot int64, a netip.AddrPort) [CookieLen]byte {
	var in [len(c) + 16 + 2 + 8]byte // within one block of SHA-256
	ip := a.Addr().As16()
	copy(in[:], c[:])
	copy(in[len(c):], ip[:])
	binary.BigEndian.PutUint16(in[len(c)+16:], a.Port())
	binary.BigEndian.PutUint64(in[len(c)+18:], uint64(slot))
	h := sha256.Sum256(in[:])
	return [CookieLen]byte(h[:])
}
