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
	tokenTurn = 5 * time.Minute
)

// Tokens gives out and checks the tokens of get_peers and announce_peer. A token is a keyed
// hash of the asking address and the infohash, so that nothing is stored for it. It proves
// that the announcing address received our reply. BEP 5 binds it to the IP address; like
// libtorrent we bind it to the infohash too, so that one token cannot be used for a flood
// of announces.
type Tokens struct {
	now, before secret
	turned      mono.Time
	rnd         *rand.Rand
}

type secret [16]byte

// NewTokens returns Tokens that draw their secrets from rnd, now and later.
func NewTokens(now mono.Time, rnd *rand.Rand) *Tokens {
	t := &Tokens{turned: now, rnd: rnd}
	t.now, t.before = t.draw(), t.draw()
	return t
}

func (t *Tokens) draw() (s secret) {
	binary.LittleEndian.PutUint64(s[:], t.rnd.Uint64())
	binary.LittleEndian.PutUint64(s[8:], t.rnd.Uint64())
	return s
}

func (t *Tokens) turn(now mono.Time) {
	age := now.Sub(t.turned)
	if age < tokenTurn {
		return
	}
	t.before, t.now = t.now, t.draw()
	if age >= 2*tokenTurn { // no token was given in between
		t.before = t.draw()
	}
	t.turned = t.turned.Add(age - age%tokenTurn)
}

// Append appends the token of addr for the infohash.
func (t *Tokens) Append(dst []byte, now mono.Time, addr netip.Addr, infohash id.ID) []byte {
	t.turn(now)
	tok := t.now.token(addr, infohash)
	return append(dst, tok[:]...)
}

// Valid reports whether token was given to addr for the infohash within the last ten
// minutes.
func (t *Tokens) Valid(now mono.Time, token []byte, addr netip.Addr, infohash id.ID) bool {
	t.turn(now)
	// Most tokens are of the current secret, and then the second hash is not needed. The
	// time that this takes reveals only the age of the token.
	for _, s := range [...]*secret{&t.now, &t.before} {
		if tok := s.token(addr, infohash); subtle.ConstantTimeCompare(token, tok[:]) == 1 {
			return true
		}
	}
	return false
}

// token hashes the secret, followed by fields of fixed length. Because the hash is
// truncated, it cannot be extended to that of another input.
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
