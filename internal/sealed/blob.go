package sealed

import (
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"strings"
)

const (
	// BlockSize is the size of the blocks of a blob: the leaves of BEP 52, so that a block that
	// stays the same is a leaf that does.
	BlockSize = 16 << 10

	// Payload is the number of bytes of the file in a block.
	Payload = BlockSize - Overhead

	// minBlob is the size of the smallest blob.
	minBlob = 1 << 10
)

// BlobSize returns the size of the blob of a file of this length, which is above 0. A file
// that fits into one block is padded to at least 1 KiB by Padmé's rule; the blob of a larger
// one has a number of blocks that is padded by this rule.
func BlobSize(length int64) int64 {
	if length <= Payload {
		return padme(max(length+Overhead, minBlob))
	}
	return padme((length+Payload-1)/Payload) * BlockSize
}

// padme rounds n up so that only as many of its leading bits differ from zero as n's length in
// bits has itself (Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and
// Communication with PURBs", 2019). It adds at most 12 %.
func padme(n int64) int64 {
	if n < 2 {
		return n
	}
	exponent := bits.Len64(uint64(n)) - 1
	kept := bits.Len(uint(exponent))
	mask := int64(1)<<max(exponent-kept, 0) - 1
	return (n + mask) &^ mask
}

// BlockError reports a block that the keys do not open.
type BlockError struct {
	Index int64 // in its blob, from 0
}

func (e *BlockError) Error() string {
	return fmt.Sprintf("block %d does not open with the secret of this link: it was changed, or another secret has sealed it", e.Index)
}

// Hint says what to do about it.
func (e *BlockError) Hint() string {
	return "check that the link is complete; if others have the same problem, tell the publisher"
}

// Keys has the keys of the files of a publication. It is safe for concurrent use.
type Keys struct {
	names    []byte
	padding  []byte
	files    *siv
	manifest *siv
}

// Keys returns the keys that a secret to read gives.
func (s Secret) Keys() *Keys {
	if s.kind != Read {
		panic("sealed: only the secret to read gives the keys of files")
	}
	return &Keys{names: derive(s.key[:], "names", 32), padding: derive(s.key[:], "padding", 32),
		files: newSIV(s.key[:], "files"), manifest: newSIV(s.key[:], "manifest")}
}

// nameLen is the length of the names in bytes; in hexadecimal they have twice as many digits.
const nameLen = 16

func (k *Keys) name(purpose byte, what string) string {
	h := hmac.New(sha256.New, k.names)
	_, _ = h.Write([]byte{purpose})
	_, _ = io.WriteString(h, what)
	return hex.EncodeToString(h.Sum(nil)[:nameLen])
}

// TorrentName returns the name of the publication's torrents.
func (k *Keys) TorrentName() string { return k.name('t', "") }

// ManifestName returns the name of the blob with the manifest.
func (k *Keys) ManifestName() string { return k.name('m', "") }

// BlobName returns the name of the blob of the file at a path. A file of a torrent that is not
// a folder has only its name as the path.
func (k *Keys) BlobName(path []string) string { return k.name('f', strings.Join(path, "/")) }

// Seal writes the blob of a file to w. r yields exactly length bytes, which is above 0.
func (k *Keys) Seal(w io.Writer, r io.Reader, length int64, blob string) error {
	return k.seal(k.files, w, r, length, blob)
}

func (k *Keys) seal(s *siv, w io.Writer, r io.Reader, length int64, blob string) error {
	size := BlobSize(length)
	plain, box := make([]byte, Payload), make([]byte, 0, BlockSize)
	index, left := int64(0), length
	for ; left > 0; index++ {
		b := plain[:min(size, BlockSize)-Overhead]
		n := min(left, int64(len(b)))
		if _, err := io.ReadFull(r, b[:n]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		clear(b[n:])
		left -= n
		if _, err := w.Write(s.seal(box, index, b)); err != nil {
			return err
		}
	}
	for ; index*BlockSize < size; index++ {
		if _, err := w.Write(k.padBlock(box, blob, index)); err != nil {
			return err
		}
	}
	return nil
}

// padBlock appends a block of padding to dst. It looks like any other block, it differs in
// every blob and at every index, and it stays the same in the next version.
func (k *Keys) padBlock(dst []byte, blob string, index int64) []byte {
	h := hmac.New(sha256.New, k.padding)
	_, _ = h.Write(binary.BigEndian.AppendUint64([]byte{Version}, uint64(index)))
	_, _ = io.WriteString(h, blob)
	iv := h.Sum(nil)[:Overhead]
	n := len(dst)
	dst = append(dst, iv...)
	dst = append(dst, make([]byte, Payload)...)
	cipher.NewCTR(k.files.block, iv).XORKeyStream(dst[n+Overhead:], dst[n+Overhead:])
	return dst
}

// Reader reads a file from its blob, at any offset. It is not safe for concurrent use.
type Reader struct {
	siv    *siv
	blob   io.ReadSeeker
	at     int64 // offset in blob; -1 if unknown
	length int64
	size   int64 // of the blob's blocks
	offset int64 // of the next Read
	index  int64 // of the block in plain; -1 if none
	plain  []byte
	box    []byte
}

// Reader returns a Reader of a file of this length, above 0, whose blob is as long as BlobSize
// says. Reads return a *BlockError for a block that does not open, and io.ErrUnexpectedEOF if
// the blob is shorter.
func (k *Keys) Reader(blob io.ReadSeeker, length int64) *Reader {
	return &Reader{siv: k.files, blob: blob, at: -1, length: length, size: min(BlobSize(length), BlockSize), index: -1}
}

// Read reads the file from the current offset on.
func (r *Reader) Read(p []byte) (int, error) {
	if r.offset >= r.length {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	index := r.offset / Payload
	if err := r.load(index); err != nil {
		return 0, err
	}
	start := r.offset - index*Payload
	n := copy(p, r.plain[start:min(int64(len(r.plain)), r.length-index*Payload)])
	r.offset += int64(n)
	return n, nil
}

// load decrypts the block with this index into plain.
func (r *Reader) load(index int64) error {
	if index == r.index {
		return nil
	}
	r.index = -1
	if at := index * BlockSize; at != r.at {
		r.at = -1
		if _, err := r.blob.Seek(at, io.SeekStart); err != nil {
			return err
		}
		r.at = at
	}
	if r.box == nil {
		r.box = make([]byte, r.size)
	}
	if _, err := io.ReadFull(r.blob, r.box); err != nil {
		r.at = -1
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	r.at += r.size
	plain, ok := r.siv.open(r.plain[:0], index, r.box)
	if !ok {
		return &BlockError{index}
	}
	r.plain, r.index = plain, index
	return nil
}

// Seek sets the offset of the next Read.
func (r *Reader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.offset
	case io.SeekEnd:
		offset += r.length
	}
	if offset < 0 {
		return 0, errors.New("sealed: seek before the start of the file")
	}
	r.offset = offset
	return offset, nil
}
