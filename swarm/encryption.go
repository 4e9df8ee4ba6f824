package swarm

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"seedbed/internal/id"
	"seedbed/swarm/mse"
	"seedbed/swarm/wire"
)

// Encryption is what is done about message stream encryption (MSE, see package
// mse).
type Encryption uint8

const (
	// PreferPlain dials in the clear and, where the peer hangs up on that, does not
	// answer soon or answers something else, once more encrypted; it accepts both.
	PreferPlain Encryption = iota
	// NoEncryption neither dials nor accepts it.
	NoEncryption
	// RequireEncryption dials and accepts nothing but RC4 throughout.
	RequireEncryption
)

// ParseEncryption reads off, prefer or require.
func ParseEncryption(s string) (Encryption, error) {
	switch s {
	case "off":
		return NoEncryption, nil
	case "prefer":
		return PreferPlain, nil
	case "require":
		return RequireEncryption, nil
	}
	return 0, fmt.Errorf("%q is neither off nor prefer nor require", s)
}

// methods are those that go with e, after an encrypted handshake.
func (e Encryption) methods() mse.Methods {
	if e == RequireEncryption {
		return mse.RC4
	}
	return mse.Plain | mse.RC4
}

// choose picks of what a peer offers; what is in the clear costs less.
func (e Encryption) choose(offered mse.Methods) mse.Methods {
	both := offered & e.methods()
	if both&mse.Plain != 0 {
		return mse.Plain
	}
	return both
}

// inTheClear is to dial without an encrypted handshake.
const inTheClear mse.Methods = 0

// ways returns the kinds of handshake that are tried with a peer, one after the
// other: inTheClear or what an encrypted handshake offers. encrypted says that the
// peer is known to encrypt.
func (e Encryption) ways(encrypted bool) []mse.Methods {
	switch {
	case e == NoEncryption:
		return []mse.Methods{inTheClear}
	case e == RequireEncryption:
		return []mse.Methods{mse.RC4}
	case encrypted:
		return []mse.Methods{e.methods(), inTheClear}
	}
	return []mse.Methods{inTheClear, e.methods()}
}

// errClear turns away who does not encrypt.
var errClear = fmt.Errorf("not encrypted, which is required: %w", &wire.Error{Kind: wire.BadHandshake})

// KeyHash is what find of ReadHello is asked for in place of an infohash.
func KeyHash(infohash id.ID) [20]byte { return mse.KeyHash(infohash) }

// A Hello is the part of an incoming handshake that says which torrent is
// meant. The peer id comes after it, and some peers send it only when they have
// seen our handshake (BEP 3: "the peer id ... is transmitted last").
type Hello struct {
	Reserved wire.Reserved
	InfoHash id.ID
	// Crowded says that the node has no room for one more connection: this one is
	// kept only in place of another of its torrent.
	Crowded bool

	nc        net.Conn // to go on with
	encrypted bool
	by        time.Time // when the rest must be there
}

const helloLen = wire.HandshakeLen - id.Len

// ReadHello reads what names the torrent of an incoming connection, encrypted or
// not, giving up after HandshakeTimeout or at the first byte that is wrong. find
// tells the infohash that a KeyHash stands for. The rest is for
// (*Torrent).Incoming.
func ReadHello(nc net.Conn, e Encryption, find func(keyHash [20]byte) (id.ID, bool)) (Hello, error) {
	h := Hello{nc: nc, by: time.Now().Add(HandshakeTimeout)}
	if err := nc.SetDeadline(h.by); err != nil {
		return Hello{}, err
	}
	var b [helloLen]byte
	n, err := readHello(nc, b[:])
	switch {
	case isBad(err) && e != NoEncryption:
		r, err := mse.Receive(nc, b[:n], find, e.choose, rand.Reader)
		if err != nil {
			return Hello{}, err
		}
		h.nc, h.encrypted = r.Wrap(nc), true
		if _, err := readHello(h.nc, b[:]); err != nil {
			return Hello{}, err
		}
		copy(h.InfoHash[:], b[28:])
		if h.InfoHash != r.Key {
			return Hello{}, &wire.Error{Kind: wire.BadHandshake}
		}
	case err != nil:
		return Hello{}, err
	case e == RequireEncryption:
		return Hello{}, errClear
	}
	copy(h.Reserved[:], b[20:])
	copy(h.InfoHash[:], b[28:])
	return h, nil
}

// readHello fills b with the beginning of a handshake, unless it is none. n is
// how much was read.
func readHello(nc io.Reader, b []byte) (n int, err error) {
	for n < len(b) {
		k, err := nc.Read(b[n:])
		n += k
		if _, _, _, e := wire.ParseHandshake(b[:n]); isBad(e) {
			return n, e
		}
		if err != nil && n < len(b) {
			return n, err
		}
	}
	return n, nil
}

// isBad reports whether err says that a handshake is none.
func isBad(err error) bool {
	var we *wire.Error
	return errors.As(err, &we) && we.Kind == wire.BadHandshake
}
