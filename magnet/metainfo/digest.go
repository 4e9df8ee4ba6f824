package metainfo

import (
	"crypto/sha1"
	"hash"
)

// Digest verifies a piece: its SHA-1 if the torrent has v1 hashes, and its merkle root if
// that is known (BEP 52 on hybrids: "they must also verify that pieces match both piece
// hash formats"). Missing hashes are zero.
type Digest struct {
	V1 [sha1.Size]byte
	V2 Root
}

// Digest returns the digest of piece p. For a v2-only torrent, LacksLayers must be false.
func (i *Info) Digest(p int) (d Digest) {
	if i.HasV1() {
		d.V1 = i.PieceHash(p)
	}
	if i.v2 {
		d.V2, _ = i.pieceRoot(p)
	}
	return d
}

// IsPlain reports whether the digest of piece p is just the SHA-1 of its data.
func (i *Info) IsPlain(p int) bool {
	if i.v2 {
		if _, known := i.pieceRoot(p); known || !i.HasV1() {
			return false
		}
	}
	return i.pads == nil || i.DataSize(p) == i.PieceSize(p)
}

// PieceHash computes the digest of a piece from its data, excluding the padding at its
// end.
type PieceHash struct {
	v1  hash.Hash
	v2  *treeHash
	pad int64
}

// NewPieceHash returns a PieceHash for piece p.
func (i *Info) NewPieceHash(p int) *PieceHash {
	h := &PieceHash{pad: i.PieceSize(p) - i.DataSize(p)}
	if i.HasV1() {
		h.v1 = sha1.New()
	}
	if i.v2 {
		if _, known := i.pieceRoot(p); known {
			h.v2 = newTreeHash(i.pieceWidth(p))
		}
	}
	return h
}

// Write never fails.
func (h *PieceHash) Write(b []byte) (int, error) {
	if h.v1 != nil {
		h.v1.Write(b)
	}
	if h.v2 != nil {
		_, _ = h.v2.Write(b)
	}
	return len(b), nil
}

// zeros is the content of padding. It is read-only.
var zeros [BlockSize]byte

// Digest returns the digest and ends the hash.
func (h *PieceHash) Digest() (d Digest) {
	if h.v1 != nil {
		for h.pad > 0 {
			b := zeros[:min(h.pad, int64(len(zeros)))]
			h.v1.Write(b)
			h.pad -= int64(len(b))
		}
		h.v1.Sum(d.V1[:0])
	}
	if h.v2 != nil {
		d.V2 = h.v2.root()
	}
	return d
}

// Leaves appends the hashes of the blocks of b, which starts at a block boundary (BEP
// 52).
func Leaves(dst []Root, b []byte) []Root {
	t := newTreeHash(1)
	t.leaf = func(r Root) { dst = append(dst, r) }
	_, _ = t.Write(b)
	t.flush()
	return dst
}
