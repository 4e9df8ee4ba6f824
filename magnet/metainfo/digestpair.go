package metainfo

import (
	"crypto/sha1"

	"seedbed/internal/hashpair"
)

// DigestPair returns the digests of the data of two pieces, each of its torrent: a is
// piece p of i, b is piece q of o. The two SHA-1 are computed side by side, which takes
// little longer than one where [hashpair.Fast] is true. Both torrents must have a v1 side
// and the two pieces the same size, padding included.
func (i *Info) DigestPair(p int, a []byte, o *Info, q int, b []byte) (x, y Digest) {
	size := i.PieceSize(p)
	if size != o.PieceSize(q) || !i.HasV1() || !o.HasV1() {
		panic("metainfo: the two pieces do not fit")
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

// treeOf returns the merkle root of the data of piece p if the torrent has one to
// compare it with, and zero otherwise.
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

// sumPadded returns the SHA-1 of a and of b, each with zeros behind it up to size bytes.
func sumPadded(a, b []byte, size int64) (x, y [sha1.Size]byte) {
	var pair hashpair.Pair
	var s, t [BlockSize]byte
	for ; size > BlockSize; size -= BlockSize {
		pair.Write(cutPadded(&a, &s, BlockSize), cutPadded(&b, &t, BlockSize))
	}
	return pair.Sum(cutPadded(&a, &s, int(size)), cutPadded(&b, &t, int(size)))
}

// cutPadded cuts n bytes off the front of b and returns them. It uses scratch for those
// that zeros follow.
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
