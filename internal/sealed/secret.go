package sealed

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
)

// Version is the version of the format, which is part of every secret, value and key.
const Version = 1

// SecretLen is the length of a secret in bytes.
const SecretLen = 32

// checksumLen makes a mistyped secret pass once in 16 million times. With it, a secret fills
// its base32 digits.
const checksumLen = 3

// textLen is the length of a secret in text form: the version and the base32 digits.
const textLen = 1 + (SecretLen+checksumLen)*8/5

// saltLen is the length of what the salt of an item is the hexadecimal form of: a salt is text
// for many programs, and BEP 44 limits it to 64 bytes.
const saltLen = 16

// Kind says what a secret opens.
type Kind uint8

const (
	None      Kind = iota // of the zero Secret
	KeepAlive             // the value of the item: to hold and serve, without reading
	Read                  // everything
)

// param returns the parameter of a link that has such a secret.
func (k Kind) param() string { return [...]string{"", "x.keep", "x.read"}[k] }

// Secret is a secret of a private publication. The zero Secret is that of a public one.
// Secrets are compared with ==. String does not reveal it.
type Secret struct {
	kind Kind
	key  [SecretLen]byte
}

// NewSecret returns the secret to read with these random bytes.
func NewSecret(random [SecretLen]byte) Secret { return Secret{Read, random} }

// SecretError says why a text is not a secret.
type SecretError struct{ Reason string }

func (e *SecretError) Error() string { return "the secret " + e.Reason }

// VersionError reports data of a later version of the format.
type VersionError struct {
	What string
}

func (e *VersionError) Error() string {
	return "the " + e.What + " has a version of the format that is not known here"
}

// Hint says what to do about it.
func (e *VersionError) Hint() string { return "update seedbed" }

var base32Text = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// ParseSecret parses the text form of a secret, in either case. The error is a *SecretError or
// a *VersionError.
func ParseSecret(kind Kind, text string) (Secret, error) {
	text = strings.ToLower(text)
	if text == "" || text[0] != '0'+Version {
		if len(text) == textLen && strings.Trim(text[:1], "23456789") == "" {
			return Secret{}, &VersionError{"secret"}
		}
		return Secret{}, &SecretError{fmt.Sprintf("does not begin with %d", Version)}
	}
	if len(text) != textLen {
		return Secret{}, &SecretError{fmt.Sprintf("has %d characters instead of %d: a part of the link is missing, or something was added", len(text), textLen)}
	}
	b, err := base32Text.DecodeString(text[1:])
	if err != nil {
		return Secret{}, &SecretError{"has a character that is not a base32 digit"}
	}
	s := Secret{kind: kind, key: [SecretLen]byte(b)}
	if !bytes.Equal(b[SecretLen:], s.checksum()) {
		other := Secret{kind: Read + KeepAlive - kind, key: s.key}
		if bytes.Equal(b[SecretLen:], other.checksum()) {
			return Secret{}, &SecretError{"belongs to " + other.kind.param() + ", not to " + kind.param()}
		}
		return Secret{}, &SecretError{"is mistyped: its checksum is wrong"}
	}
	return s, nil
}

// checksum covers the kind, so that one secret cannot be taken for the other.
func (s Secret) checksum() []byte {
	sum := sha256.Sum256(append([]byte(label(s.kind.param())), s.key[:]...))
	return sum[:checksumLen]
}

// Text returns the text form of the secret: 57 letters and digits.
func (s Secret) Text() string {
	return string(rune('0'+Version)) + base32Text.EncodeToString(append(s.key[:], s.checksum()...))
}

// String returns no secret, so that none gets into a log by accident.
func (s Secret) String() string {
	return [...]string{"no secret", "secret to keep", "secret to read"}[s.kind]
}

// GoString is for %#v.
func (s Secret) GoString() string { return s.String() }

// Kind returns what the secret opens.
func (s Secret) Kind() Kind { return s.kind }

// IsZero reports whether s is the zero value, which stands for no secret.
func (s Secret) IsZero() bool { return s.kind == None }

// CanRead reports whether the secret opens the files.
func (s Secret) CanRead() bool { return s.kind == Read }

// ToKeep returns the secret to keep, which a secret to read contains.
func (s Secret) ToKeep() Secret {
	if s.kind != Read {
		return s
	}
	return Secret{KeepAlive, [SecretLen]byte(derive(s.key[:], "keep", SecretLen))}
}

// Salt returns the salt of the item in the DHT: 32 hexadecimal digits.
func (s Secret) Salt() []byte {
	return hex.AppendEncode(nil, derive(s.keepKey(), "salt", saltLen))
}

// keepKey returns the bytes of the secret to keep.
func (s Secret) keepKey() []byte {
	keep := s.ToKeep()
	return keep.key[:]
}

// SigningKey returns the key that signs the items, for a secret to read and the seed of the
// user's key. Nobody can connect its public key with that of the user's key.
func (s Secret) SigningKey(seed []byte) ed25519.PrivateKey {
	if s.kind != Read {
		panic("sealed: only with the secret to read can items be signed")
	}
	return ed25519.NewKeyFromSeed(derive(append(s.key[:], seed...), "sign", ed25519.SeedSize))
}

// label returns the name of a purpose, with the version.
func label(purpose string) string { return fmt.Sprintf("seedbed private %d %s", Version, purpose) }

// derive returns n bytes for one purpose: HKDF with SHA-256 and no salt (RFC 5869).
func derive(secret []byte, purpose string, n int) []byte {
	b, err := hkdf.Key(sha256.New, secret, nil, label(purpose), n)
	if err != nil {
		panic(err) // only for lengths above 8,160
	}
	return b
}
