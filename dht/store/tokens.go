package store

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

const (
	// TokenLen is the length of our tokens. BEP 5: a short binary string.
	TokenLen = 8

	// BEP 5: a secret that changes every five minutes, and tokens up to ten
	// minutes old are accepted.
	secretLifetime = 5 * time.Minute
)

// Tokens makes and checks the tokens of get_peers and get. A token is a keyed hash of the
// address of the asking node and the infohash or target, so that nothing is stored for it.
// It proves that the announcing address received our reply. BEP 5 binds it to the IP
// address; like libtorrent we bind it to the infohash too, so that one token cannot be used
// for a flood of announces.
type Tokens struct {
	now, before secret
	drawn       mono.Time
	rnd         *rand.Rand
}

type secret [16]byte

// NewTokens returns Tokens that draw all their secrets from rnd.
func NewTokens(now mono.Time, rnd *rand.Rand) *Tokens {
	t := &Tokens{drawn: now, rnd: rnd}
	t.now, t.before = t.draw(), t.draw()
	return t
}

func (t *Tokens) draw() (s secret) {
	binary.LittleEndian.PutUint64(s[:], t.rnd.Uint64())
	binary.LittleEndian.PutUint64(s[8:], t.rnd.Uint64())
	return s
}

// rotate replaces secrets that are too old.
func (t *Tokens) rotate(now mono.Time) {
	age := now.Sub(t.drawn)
	if age < secretLifetime {
		return
	}
	t.before, t.now = t.now, t.draw()
	if age >= 2*secretLifetime { // no token was made in between
		t.before = t.draw()
	}
	t.drawn = t.drawn.Add(age - age%secretLifetime)
}

// Append appends the token for addr and the infohash.
func (t *Tokens) Append(dst []byte, now mono.Time, addr netip.Addr, infohash id.ID) []byte {
	t.rotate(now)
	tok := t.now.token(addr, infohash)
	return append(dst, tok[:]...)
}

// Valid reports whether token is valid for addr and the infohash. A token is valid for at
// least five minutes and less than ten minutes.
func (t *Tokens) Valid(now mono.Time, token []byte, addr netip.Addr, infohash id.ID) bool {
	t.rotate(now)
	// Most tokens are made with the current secret, and need no second hash. The time that
	// this takes reveals only the age of the token.
	for _, s := range [...]*secret{&t.now, &t.before} {
		if tok := s.token(addr, infohash); subtle.ConstantTimeCompare(token, tok[:]) == 1 {
			return true
		}
	}
	return false
}

// token hashes the secret, followed by fields of fixed length. The hash is truncated, so
// that a length extension attack is not possible.
func (s *secret) token(addr netip.Addr, infohash id.ID) (tok [TokenLen]byte) {
	var in [len(s) + 16 + id.Len]byte // one block of SHA-256
	ip := addr.As16()
	copy(in[:], s[:])
	copy(in[len(s):], ip[:])
	copy(in[len(s)+16:], infohash[:])
	sum := sha256.Sum256(in[:])
	copy(tok[:], sum[:])
	return tok
}
