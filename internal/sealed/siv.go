package sealed

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
)

// Overhead is what encryption adds: the synthetic IV in front, which is also the authenticator.
const Overhead = aes.BlockSize

// siv encrypts deterministically. The IV is the HMAC of the version, the index and the
// plaintext. So equal plaintext at an equal index gives equal ciphertext, and everything else
// another IV; changed ciphertext gives plaintext whose HMAC is another one.
type siv struct {
	mac   []byte
	block cipher.Block
}

func newSIV(secret []byte, purpose string) *siv {
	keys := derive(secret, purpose, 64)
	block, err := aes.NewCipher(keys[32:])
	if err != nil {
		panic(err) // only for other key lengths
	}
	return &siv{keys[:32], block}
}

func (s *siv) iv(index int64, plain []byte) []byte {
	h := hmac.New(sha256.New, s.mac)
	_, _ = h.Write(binary.BigEndian.AppendUint64([]byte{Version}, uint64(index)))
	_, _ = h.Write(plain)
	return h.Sum(nil)[:Overhead]
}

// seal appends the IV and the ciphertext to dst.
func (s *siv) seal(dst []byte, index int64, plain []byte) []byte {
	dst = append(dst, s.iv(index, plain)...)
	n := len(dst)
	dst = append(dst, plain...)
	cipher.NewCTR(s.block, dst[n-Overhead:n]).XORKeyStream(dst[n:], dst[n:])
	return dst
}

// open appends the plaintext to dst, or returns false if box was not sealed with this index and
// these keys.
func (s *siv) open(dst []byte, index int64, box []byte) ([]byte, bool) {
	if len(box) < Overhead {
		return dst, false
	}
	n := len(dst)
	dst = append(dst, box[Overhead:]...)
	cipher.NewCTR(s.block, box[:Overhead]).XORKeyStream(dst[n:], dst[n:])
	if !hmac.Equal(s.iv(index, dst[n:]), box[:Overhead]) {
		clear(dst[n:])
		return dst[:n], false
	}
	return dst, true
}
