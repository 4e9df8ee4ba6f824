package metainfo

import (
	"crypto/sha1"

	"seedbed/internal/hashpair"
)

// DigestPair returns the digests of two pieces: a is the data of piece p of i, b that of
// piece q of o. Both SHA-1 are computed together, which takes little longer than one
// where [hashpair.Fast] is true. Both torrents must have v1 hashes, and the pieces must
// have the same size including padding.
func (i *Info) DigestPair(p int, a []byte, o *Info, q int, b []byte) (x, y Digest) {
	size := i.PieceSize(p)
	if size != o.PieceSize(q) || !i.HasV1() || !o.HasV1() {
		panic("metainfo: the two pieces differ in size")
	}
	if !hashpair.Fast() {
		return i.digestOf(p, a), o.digestOf(q, b)
	}
	x.V1, y.V1 = sumPadded(a, b, size)
	x.V2, y.V2 = i.treeOf(p, a), o.treeOf(q, b)
	return x, y
}

// digestOf returns the digest of the data of piece p.
func (i *Info) digestOf(p int, b []byte) Digest {
	h := i.NewPieceHash(p)
	_, _ = h.Write(b)
	return h.Digest()
}

// treeOf returns the merkle root of the data of piece p if the torrent has one for
// comparison, and zero otherwise.
func (i *Info) treeOf(p int, b []byte) (r Root) {
	if !i.v2 {
		return r
	}
	if _, known := i.pieceRoot(p); !known {
		return r
	}
	t := newTreeHash(i.pieceWidth(p))
	_, _ = t.Write(b)
	return t.root()
}

// sumPadded returns the SHA-1 of a and of b, each padded with zeros to size bytes.
func sumPadded(a, b []byte, size int64) (x, y [sha1.Size]byte) {
	var pair hashpair.Pair
	var s, t [BlockSize]byte
	for ; size > BlockSize; size -= BlockSize {
		pair.Write(cutPadded(&a, &s, BlockSize), cutPadded(&b, &t, BlockSize))
	}
	return pair.Sum(cutPadded(&a, &s, int(size)), cutPadded(&b, &t, int(size)))
}

// cutPadded removes n bytes from the front of b and returns them, padded with zeros. It
// uses scratch if padding is needed.
func cutPadded(b *[]byte, scratch *[BlockSize]byte, n int) []byte {
	switch whole := *b; {
	case len(whole) >= n:
		*b = whole[n:]
		return whole[:n]
	case len(whole) == 0:
		return zeros[:n]
	default:
		clear(scratch[copy(scratch[:], whole):])
		*b = nil
		return scratch[:n]
	}
}
