// Package mse is the encryption of peer connections: Message Stream Encryption,
// also called Protocol Encryption, of Vuze and µTorrent (wiki.vuze.com/w/
// Message_Stream_Encryption). It hides from the network what is transferred; it
// proves nobody's identity, and RC4 is no protection against anybody who knows
// the infohash.
//
// Initiate and Receive are the two ends of its handshake, after which a
// connection either goes on in the clear or is encrypted throughout. The
// messages in order, A being who dials:
//
//	A→B  Ya, PadA                                     a key exchange of
//	B→A  Yb, PadB                                     Diffie and Hellman: S
//	A→B  HASH("req1",S), HASH("req2",SKEY) xor HASH("req3",S),
//	     ENCRYPT(VC, crypto_provide, len(PadC), PadC, len(IA)), ENCRYPT(IA)
//	B→A  ENCRYPT(VC, crypto_select, len(PadD), PadD)
//
// SKEY is the infohash, VC eight zeros, IA the first bytes of what A has to say:
// the BitTorrent handshake.
package mse

import (
	"bytes"
	"crypto/rc4"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"math/big"

	"seedbed/internal/id"
)

// Methods is a set of ways to go on after the handshake.
type Methods uint32

// The two methods that there are.
const (
	Plain Methods = 1 << iota // the handshake alone is hidden
	RC4                       // everything is
)

const (
	keyLen = 96
	maxPad = 512
	vcLen  = 8
	// maxEarly bounds IA: a BitTorrent handshake and some messages.
	maxEarly = 4 << 10
	// discard is how much of RC4's stream is not used: its beginning betrays the
	// key.
	discard = 1024
	// clearHandshake is how a handshake of BEP 3 begins.
	clearHandshake = "\x13BitTorrent protocol"
)

var (
	prime, _  = new(big.Int).SetString("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563", 16)
	generator = big.NewInt(2)
)

// Error is a peer's fault in the handshake.
type Error struct{ What string }

func (e *Error) Error() string { return "mse: " + e.What }

// Result is a handshake that succeeded.
type Result struct {
	Method Methods // Plain or RC4
	Key    id.ID   // the infohash
	Early  []byte  // what came with the handshake, in the clear
	Stream *Stream // with RC4: around everything from here on
}

// keep leaves the stream to the connection if it is wanted beyond the handshake.
func (r *Result) keep(s *Stream) {
	if r.Method == RC4 {
		r.Stream = s
	}
}

// secret is our part of the key exchange; random must be unpredictable.
type secret struct{ x *big.Int }

func newSecret(random io.Reader) (secret, []byte, error) {
	var b [20]byte // 160 bits, as the specification recommends
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return secret{}, nil, err
	}
	x := new(big.Int).SetBytes(b[:])
	public := make([]byte, keyLen)
	new(big.Int).Exp(generator, x, prime).FillBytes(public)
	return secret{x}, public, nil
}

// shared is S. A public key that fixes it whatever ours is, is refused.
func (s secret) shared(theirs []byte) ([]byte, error) {
	y := new(big.Int).SetBytes(theirs)
	if y.Cmp(big.NewInt(1)) <= 0 || y.Cmp(new(big.Int).Sub(prime, big.NewInt(1))) >= 0 {
		return nil, &Error{"a public key that is no key"}
	}
	b := make([]byte, keyLen)
	new(big.Int).Exp(y, s.x, prime).FillBytes(b)
	return b, nil
}

func hash(parts ...[]byte) [sha1.Size]byte { return sha1.Sum(bytes.Join(parts, nil)) }

// KeyHash is by what an incoming handshake names an infohash.
func KeyHash(infohash id.ID) [sha1.Size]byte { return hash([]byte("req2"), infohash[:]) }

func stream(name string, s []byte, key id.ID) *rc4.Cipher {
	k := hash([]byte(name), s, key[:])
	c, err := rc4.NewCipher(k[:])
	if err != nil {
		panic(err) // 20 bytes are a key
	}
	var b [discard]byte
	c.XORKeyStream(b[:], b[:])
	return c
}

// pad is up to maxPad random bytes.
func pad(random io.Reader) ([]byte, error) {
	var n [2]byte
	if _, err := io.ReadFull(random, n[:]); err != nil {
		return nil, err
	}
	b := make([]byte, int(binary.BigEndian.Uint16(n[:]))%(maxPad+1))
	_, err := io.ReadFull(random, b)
	return b, err
}

// greet makes our secret and sends its public key.
func greet(w io.Writer, random io.Reader) (secret, error) {
	mine, public, err := newSecret(random)
	if err != nil {
		return secret{}, err
	}
	p, err := pad(random)
	if err != nil {
		return secret{}, err
	}
	_, err = w.Write(append(public, p...))
	return mine, err
}

// publicKey reads theirs, which begins with first.
func publicKey(r io.Reader, first []byte) ([]byte, error) {
	key := make([]byte, keyLen)
	n := copy(key, first)
	_, err := io.ReadFull(r, key[n:])
	return key, err
}

// synchronize reads up to and with mark, which at most maxPad bytes precede.
func synchronize(r io.Reader, mark []byte) error {
	window := make([]byte, len(mark), maxPad+len(mark))
	if _, err := io.ReadFull(r, window); err != nil {
		return err
	}
	for !bytes.HasSuffix(window, mark) {
		if len(window) == cap(window) {
			return &Error{"no end of the padding"}
		}
		// As many bytes as are lacking for certain.
		need := len(mark)
		for k := len(mark) - 1; k > 0; k-- {
			if bytes.HasSuffix(window, mark[:k]) {
				need = len(mark) - k
				break
			}
		}
		n := len(window)
		window = window[:min(n+need, cap(window))]
		if _, err := io.ReadFull(r, window[n:]); err != nil {
			return err
		}
	}
	return nil
}

// decrypted reads n bytes and decrypts them.
func decrypted(r io.Reader, c *Stream, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	c.Decrypt(b)
	return b, nil
}

// Initiate is the end that dialled. provide is what it can do, early what it
// sends along: at most 4 KiB. random must be unpredictable outside of tests.
func Initiate(rw io.ReadWriter, infohash id.ID, provide Methods, early []byte, random io.Reader) (Result, error) {
	if len(early) > maxEarly {
		panic("mse: too much is sent along")
	}
	mine, err := greet(rw, random)
	if err != nil {
		return Result{}, err
	}
	// A peer that does not encrypt may answer with a handshake of BEP 3, which is
	// shorter than a key: do not wait for the rest of one.
	first := make([]byte, len(clearHandshake))
	if _, err := io.ReadFull(rw, first); err != nil {
		return Result{}, err
	}
	if string(first) == clearHandshake {
		return Result{}, &Error{"an answer in the clear"}
	}
	theirs, err := publicKey(rw, first)
	if err != nil {
		return Result{}, err
	}
	s, err := mine.shared(theirs)
	if err != nil {
		return Result{}, err
	}
	r := Result{Key: infohash}
	c := &Stream{out: stream("keyA", s, infohash), in: stream("keyB", s, infohash)}
	req1, req2, req3 := hash([]byte("req1"), s), KeyHash(infohash), hash([]byte("req3"), s)
	for i := range req2 {
		req2[i] ^= req3[i]
	}
	b := append(req1[:], req2[:]...)
	plain := len(b)
	b = append(b, make([]byte, vcLen)...)
	b = binary.BigEndian.AppendUint32(b, uint32(provide))
	b = binary.BigEndian.AppendUint16(b, 0) // PadC: its length would not be hidden by it
	b = binary.BigEndian.AppendUint16(b, uint16(len(early)))
	b = append(b, early...)
	c.Encrypt(b[plain:])
	if _, err := rw.Write(b); err != nil {
		return Result{}, err
	}
	// VC is zeros, so that its encryption is known beforehand.
	var vc [vcLen]byte
	c.Decrypt(vc[:])
	if err := synchronize(rw, vc[:]); err != nil {
		return Result{}, err
	}
	head, err := decrypted(rw, c, 6)
	if err != nil {
		return Result{}, err
	}
	r.Method = Methods(binary.BigEndian.Uint32(head))
	if r.Method&provide == 0 || r.Method != Plain && r.Method != RC4 {
		return Result{}, &Error{fmt.Sprintf("method %d was chosen, and %d offered", r.Method, provide)}
	}
	n := int(binary.BigEndian.Uint16(head[4:]))
	if n > maxPad {
		return Result{}, &Error{"padding of more than 512 bytes"}
	}
	if _, err := decrypted(rw, c, n); err != nil {
		return Result{}, err
	}
	r.keep(c)
	return r, nil
}

// Receive is the end that was dialled, after the bytes of first. find tells the
// infohash of a KeyHash; choose picks one of the methods that are offered, or
// none.
func Receive(rw io.ReadWriter, first []byte, find func(keyHash [sha1.Size]byte) (id.ID, bool), choose func(Methods) Methods, random io.Reader) (Result, error) {
	// A stranger who sends less than a key costs nothing and is told nothing.
	theirs, err := publicKey(rw, first)
	if err != nil {
		return Result{}, err
	}
	mine, err := greet(rw, random)
	if err != nil {
		return Result{}, err
	}
	s, err := mine.shared(theirs)
	if err != nil {
		return Result{}, err
	}
	req1, req3 := hash([]byte("req1"), s), hash([]byte("req3"), s)
	if err := synchronize(rw, req1[:]); err != nil {
		return Result{}, err
	}
	var key [sha1.Size]byte
	if _, err := io.ReadFull(rw, key[:]); err != nil {
		return Result{}, err
	}
	for i := range key {
		key[i] ^= req3[i]
	}
	infohash, ok := find(key)
	if !ok {
		return Result{}, &Error{"a torrent that is not here"}
	}
	r := Result{Key: infohash}
	c := &Stream{in: stream("keyA", s, infohash), out: stream("keyB", s, infohash)}
	head, err := decrypted(rw, c, vcLen+6)
	if err != nil {
		return Result{}, err
	}
	if !bytes.Equal(head[:vcLen], make([]byte, vcLen)) {
		return Result{}, &Error{"a wrong verification constant"}
	}
	offered := Methods(binary.BigEndian.Uint32(head[vcLen:]))
	if r.Method = choose(offered); r.Method != Plain && r.Method != RC4 || r.Method&offered == 0 {
		return Result{}, &Error{fmt.Sprintf("no method of %d will do", offered)}
	}
	n := int(binary.BigEndian.Uint16(head[vcLen+4:]))
	if n > maxPad {
		return Result{}, &Error{"padding of more than 512 bytes"}
	}
	rest, err := decrypted(rw, c, n+2)
	if err != nil {
		return Result{}, err
	}
	early := int(binary.BigEndian.Uint16(rest[n:]))
	if early > maxEarly {
		return Result{}, &Error{"too much was sent along"}
	}
	if r.Early, err = decrypted(rw, c, early); err != nil {
		return Result{}, err
	}
	b := make([]byte, vcLen, vcLen+6)
	b = binary.BigEndian.AppendUint32(b, uint32(r.Method))
	b = binary.BigEndian.AppendUint16(b, 0)
	c.Encrypt(b)
	if _, err := rw.Write(b); err != nil {
		return Result{}, err
	}
	r.keep(c)
	return r, nil
}
