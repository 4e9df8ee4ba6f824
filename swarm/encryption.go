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

// Encryption is the policy for message stream encryption (MSE; see package mse).
type Encryption uint8

const (
	// PreferPlain dials unencrypted. If the peer hangs up, does not answer soon or sends
	// something else, it dials again with encryption. It accepts both.
	PreferPlain Encryption = iota
	// NoEncryption neither dials with encryption nor accepts it.
	NoEncryption
	// RequireEncryption dials and accepts only connections that use RC4 throughout.
	RequireEncryption
)

// ParseEncryption parses off, prefer or require.
func ParseEncryption(s string) (Encryption, error) {
	switch s {
	case "off":
		return NoEncryption, nil
	case "prefer":
		return PreferPlain, nil
	case "require":
		return RequireEncryption, nil
	}
	return 0, fmt.Errorf("%q is not one of off, prefer, require", s)
}

// methods returns the methods that e allows after an encrypted handshake.
func (e Encryption) methods() mse.Methods {
	if e == RequireEncryption {
		return mse.RC4
	}
	return mse.Plain | mse.RC4
}

// choose returns the method to use from those that a peer offers. Plain is preferred
// because it costs less.
func (e Encryption) choose(offered mse.Methods) mse.Methods {
	both := offered & e.methods()
	if both&mse.Plain != 0 {
		return mse.Plain
	}
	return both
}

// unencrypted stands for a handshake without encryption.
const unencrypted mse.Methods = 0

// handshakes returns the kinds of handshake to try with a peer, in order: unencrypted, or the
// methods that an encrypted handshake offers. encrypted says that the peer is known to
// support encryption.
func (e Encryption) handshakes(encrypted bool) []mse.Methods {
	switch {
	case e == NoEncryption:
		return []mse.Methods{unencrypted}
	case e == RequireEncryption:
		return []mse.Methods{mse.RC4}
	case encrypted:
		return []mse.Methods{e.methods(), unencrypted}
	}
	return []mse.Methods{unencrypted, e.methods()}
}

// errNotEncrypted rejects a peer that does not encrypt.
var errNotEncrypted = fmt.Errorf("encryption is required, but the peer does not encrypt: %w", &wire.Error{Kind: wire.BadHandshake})

// KeyHash returns the hash that stands for an infohash in an encrypted handshake. ReadHello
// passes it to find.
func KeyHash(infohash id.ID) [20]byte { return mse.KeyHash(infohash) }

// Hello is the part of an incoming handshake that identifies the torrent. The peer id
// comes after it; some peers send it only after they have received our handshake (BEP 3:
// "the peer id ... is transmitted last").
type Hello struct {
	Reserved wire.Reserved
	InfoHash id.ID
	// NodeFull says that the node has reached its connection limit: this connection must
	// replace another one of the same torrent.
	NodeFull bool

	nc        net.Conn // the rest of the connection
	encrypted bool
	by        time.Time // deadline of the handshake
}

const helloLen = wire.HandshakeLen - id.Len

// ReadHello reads the part of an incoming handshake that identifies the torrent,
// encrypted or not. It gives up after HandshakeTimeout or at the first wrong byte. find
// returns the infohash of a KeyHash. If the peer does not encrypt but has to, there is an error and
// the Hello has the infohash. The caller passes the Hello to (*Torrent).Incoming.
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
	}
	copy(h.Reserved[:], b[20:])
	copy(h.InfoHash[:], b[28:])
	if e == RequireEncryption && !h.encrypted {
		return h, errNotEncrypted
	}
	return h, nil
}

// readHello fills b with the beginning of a handshake, and returns an error as soon as
// the bytes cannot be one. n is the number of bytes read.
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

// isBad reports whether err says that the received bytes are not a handshake.
func isBad(err error) bool {
	var we *wire.Error
	return errors.As(err, &we) && we.Kind == wire.BadHandshake
}
