// Package mse implements encryption of peer connections: Message Stream Encryption, also
// called Protocol Encryption, of Vuze and µTorrent
// (wiki.vuze.com/w/Message_Stream_Encryption). It hides the traffic from simple filters.
// It does not authenticate, and RC4 does not protect against anyone who knows the
// infohash.
//
// Initiate and Receive are the two sides of the handshake. After it, a connection is
// either unencrypted or encrypted completely. These are the messages in order, where A
// dials:
//
//	A→B  Ya, PadA                                     Diffie-Hellman key exchange:
//	B→A  Yb, PadB                                     both sides now have the secret S
//	A→B  HASH("req1",S), HASH("req2",SKEY) xor HASH("req3",S),
//	     ENCRYPT(VC, crypto_provide, len(PadC), PadC, len(IA)), ENCRYPT(IA)
//	B→A  ENCRYPT(VC, crypto_select, len(PadD), PadD)
//
// SKEY is the infohash, VC is eight zero bytes, and IA is the first data that A sends, usually
// the BitTorrent handshake.
//
// A violation of the protocol by the peer is an *Error; other errors are those of the
// connection.
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

// Methods is a set of methods to use after the handshake.
type Methods uint32

const (
	Plain Methods = 1 << iota // only the handshake is encrypted
	RC4                       // everything is encrypted
)

const (
	keyLen = 96
	maxPad = 512
	vcLen  = 8
	// maxEarly bounds IA: a BitTorrent handshake and some messages.
	maxEarly = 4 << 10
	// discard is how many bytes of RC4's stream are skipped, because its beginning
	// reveals the key.
	discard = 1024
	// plainHandshake is the beginning of a BEP 3 handshake.
	plainHandshake = "\x13BitTorrent protocol"
)

var (
	prime, _  = new(big.Int).SetString("FFFFFFFFFFFFFFFFC90FDAA22168C234C4C6628B80DC1CD129024E088A67CC74020BBEA63B139B22514A08798E3404DDEF9519B3CD3A431B302B0A6DF25F14374FE1356D6D51C245E485B576625E7EC6F44C42E9A63A36210000000000090563", 16)
	generator = big.NewInt(2)
)

// Error reports that the peer violated the protocol of the handshake.
type Error struct{ What string }

func (e *Error) Error() string { return "mse: " + e.What }

// Result is the result of a successful handshake.
type Result struct {
	Method Methods // Plain or RC4
	Key    id.ID   // the infohash
	Early  []byte  // data received with the handshake, decrypted
	Stream *Stream // with RC4: encrypts everything from here on
}

// keep sets the Stream if encryption continues after the handshake.
func (r *Result) keep(s *Stream) {
	if r.Method == RC4 {
		r.Stream = s
	}
}

// secret is our private key of the key exchange.
type secret struct{ x *big.Int }

// newSecret returns a private key and its public key; random must be unpredictable.
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

// shared returns S. It rejects a public key that determines S whatever ours is.
func (s secret) shared(theirs []byte) ([]byte, error) {
	y := new(big.Int).SetBytes(theirs)
	if y.Cmp(big.NewInt(1)) <= 0 || y.Cmp(new(big.Int).Sub(prime, big.NewInt(1))) >= 0 {
		return nil, &Error{"invalid public key"}
	}
	b := make([]byte, keyLen)
	new(big.Int).Exp(y, s.x, prime).FillBytes(b)
	return b, nil
}

func hash(parts ...[]byte) [sha1.Size]byte { return sha1.Sum(bytes.Join(parts, nil)) }

// KeyHash returns the hash that identifies an infohash in an incoming handshake.
func KeyHash(infohash id.ID) [sha1.Size]byte { return hash([]byte("req2"), infohash[:]) }

// stream returns the cipher of one direction: "keyA" from the dialing side, "keyB" to it.
func stream(name string, s []byte, key id.ID) *rc4.Cipher {
	k := hash([]byte(name), s, key[:])
	c, err := rc4.NewCipher(k[:])
	if err != nil {
		panic(err) // 20 bytes are a valid key
	}
	var b [discard]byte
	c.XORKeyStream(b[:], b[:])
	return c
}

// pad returns up to maxPad random bytes.
func pad(random io.Reader) ([]byte, error) {
	var n [2]byte
	if _, err := io.ReadFull(random, n[:]); err != nil {
		return nil, err
	}
	b := make([]byte, int(binary.BigEndian.Uint16(n[:]))%(maxPad+1))
	_, err := io.ReadFull(random, b)
	return b, err
}

// sendKey creates our secret and sends its public key and padding.
func sendKey(w io.Writer, random io.Reader) (secret, error) {
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

// readKey reads the peer's public key, which starts with first.
func readKey(r io.Reader, first []byte) ([]byte, error) {
	key := make([]byte, keyLen)
	n := copy(key, first)
	_, err := io.ReadFull(r, key[n:])
	return key, err
}

// skipTo reads up to and including mark, which follows at most maxPad bytes of padding.
func skipTo(r io.Reader, mark []byte) error {
	window := make([]byte, len(mark), maxPad+len(mark))
	if _, err := io.ReadFull(r, window); err != nil {
		return err
	}
	for !bytes.HasSuffix(window, mark) {
		if len(window) == cap(window) {
			return &Error{"no end of padding found"}
		}
		// Read as many bytes as are certainly missing, so that nothing after mark is read.
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

// readDecrypted reads n bytes and decrypts them.
func readDecrypted(r io.Reader, c *Stream, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	c.Decrypt(b)
	return b, nil
}

// Initiate does the handshake of the dialing side. provide is the set of methods we
// support; early is the data to send along, at most 4 KiB. random must be unpredictable
// outside tests.
func Initiate(rw io.ReadWriter, infohash id.ID, provide Methods, early []byte, random io.Reader) (Result, error) {
	if len(early) > maxEarly {
		panic("mse: early data too long")
	}
	mine, err := sendKey(rw, random)
	if err != nil {
		return Result{}, err
	}
	// A peer that does not support encryption may answer with a BEP 3 handshake, which is
	// shorter than a key. Do not wait for the rest of a key then.
	first := make([]byte, len(plainHandshake))
	if _, err := io.ReadFull(rw, first); err != nil {
		return Result{}, err
	}
	if string(first) == plainHandshake {
		return Result{}, &Error{"unencrypted answer"}
	}
	theirs, err := readKey(rw, first)
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
	b = binary.BigEndian.AppendUint16(b, 0) // PadC is empty; padding here would hide nothing
	b = binary.BigEndian.AppendUint16(b, uint16(len(early)))
	b = append(b, early...)
	c.Encrypt(b[plain:])
	if _, err := rw.Write(b); err != nil {
		return Result{}, err
	}
	// VC is zeros, so its encryption is known in advance.
	var vc [vcLen]byte
	c.Decrypt(vc[:])
	if err := skipTo(rw, vc[:]); err != nil {
		return Result{}, err
	}
	head, err := readDecrypted(rw, c, 6)
	if err != nil {
		return Result{}, err
	}
	r.Method = Methods(binary.BigEndian.Uint32(head))
	if r.Method&provide == 0 || r.Method != Plain && r.Method != RC4 {
		return Result{}, &Error{fmt.Sprintf("method %d was chosen, but %d offered", r.Method, provide)}
	}
	n := int(binary.BigEndian.Uint16(head[4:]))
	if n > maxPad {
		return Result{}, &Error{"padding of more than 512 bytes"}
	}
	if _, err := readDecrypted(rw, c, n); err != nil {
		return Result{}, err
	}
	r.keep(c)
	return r, nil
}

// Receive does the handshake of the accepting side, after the bytes of first have been
// read. find returns the infohash of a KeyHash; choose returns one of the offered
// methods, or none.
func Receive(rw io.ReadWriter, first []byte, find func(keyHash [sha1.Size]byte) (id.ID, bool), choose func(Methods) Methods, random io.Reader) (Result, error) {
	// Read the whole key first: a peer that sends less causes no work and gets no answer.
	theirs, err := readKey(rw, first)
	if err != nil {
		return Result{}, err
	}
	mine, err := sendKey(rw, random)
	if err != nil {
		return Result{}, err
	}
	s, err := mine.shared(theirs)
	if err != nil {
		return Result{}, err
	}
	req1, req3 := hash([]byte("req1"), s), hash([]byte("req3"), s)
	if err := skipTo(rw, req1[:]); err != nil {
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
		return Result{}, &Error{"unknown torrent"}
	}
	r := Result{Key: infohash}
	c := &Stream{in: stream("keyA", s, infohash), out: stream("keyB", s, infohash)}
	head, err := readDecrypted(rw, c, vcLen+6)
	if err != nil {
		return Result{}, err
	}
	if !bytes.Equal(head[:vcLen], make([]byte, vcLen)) {
		return Result{}, &Error{"wrong verification constant"}
	}
	offered := Methods(binary.BigEndian.Uint32(head[vcLen:]))
	if r.Method = choose(offered); r.Method != Plain && r.Method != RC4 || r.Method&offered == 0 {
		return Result{}, &Error{fmt.Sprintf("no acceptable method in %d", offered)}
	}
	n := int(binary.BigEndian.Uint16(head[vcLen+4:]))
	if n > maxPad {
		return Result{}, &Error{"padding of more than 512 bytes"}
	}
	rest, err := readDecrypted(rw, c, n+2)
	if err != nil {
		return Result{}, err
	}
	early := int(binary.BigEndian.Uint16(rest[n:]))
	if early > maxEarly {
		return Result{}, &Error{"early data too long"}
	}
	if r.Early, err = readDecrypted(rw, c, early); err != nil {
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
