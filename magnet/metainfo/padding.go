package metainfo

import (
	"crypto/sha1"
	"slices"

	"seedbed/internal/bitset"
)

// padding holds additional data of a torrent with padding files (BEP 47); nil for others.
type padding struct {
	listed []int32    // the files that are not padding, in order
	pieces bitset.Set // pieces of only padding; length 0 if there are none
}

// findPadding sets i.pads.
func (i *Info) findPadding() {
	n := 0
	for k := range i.Files {
		if !i.Files[k].Pad {
			n++
		}
	}
	if n == len(i.Files) {
		return
	}
	i.pads = &padding{listed: make([]int32, 0, n)}
	start := int64(0) // start of the current run of padding
	for k := range i.Files {
		f := &i.Files[k]
		if f.Pad {
			continue
		}
		i.pads.listed = append(i.pads.listed, int32(k))
		if f.Length > 0 {
			i.padPieces(start, f.Offset)
			start = f.Offset + f.Length
		}
	}
	i.padPieces(start, i.Length)
}

// padPieces records the pieces within [start, end), which is padding.
func (i *Info) padPieces(start, end int64) {
	first, last := (start+i.PieceLength-1)/i.PieceLength, end/i.PieceLength
	if end == i.Length {
		last = int64(i.number)
	}
	for p := first; p < last; p++ {
		if i.pads.pieces.Len() == 0 {
			i.pads.pieces = bitset.New(i.number)
		}
		i.pads.pieces.Add(int(p))
	}
}

// IsPadding reports whether piece p contains only padding. Such a piece is neither wanted
// nor requested, but peers may request it.
func (i *Info) IsPadding(p int) bool {
	return i.pads != nil && i.pads.pieces.Len() > 0 && i.pads.pieces.Has(p)
}

// ProvenPadding calls yield for every piece of only padding whose hash is that of zeros.
// There is no data to verify; nobody can satisfy another hash.
func (i *Info) ProvenPadding(yield func(p int) bool) {
	if i.pads == nil || i.pads.pieces.Len() == 0 || !i.HasV1() {
		return
	}
	var size int64 // size for which sum was computed
	var sum [sha1.Size]byte
	for p := range i.pads.pieces.All() {
		if n := i.PieceSize(p); n != size {
			size, sum = n, zeroSum(n)
		}
		if i.PieceHash(p) == sum && !yield(p) {
			return
		}
	}
}

// zeroSum returns the SHA-1 of n zero bytes.
func zeroSum(n int64) [sha1.Size]byte {
	h := sha1.New()
	for b := make([]byte, min(n, 64<<10)); n > 0; n -= int64(len(b)) {
		b = b[:min(n, int64(len(b)))]
		h.Write(b)
	}
	return [sha1.Size]byte(h.Sum(nil))
}

// FileNumber returns the number of a file for people, given its index in Files: counted
// from 1 without padding. It is 0 for padding.
func (i *Info) FileNumber(index int) int {
	if i.pads == nil {
		return index + 1
	}
	if n, ok := slices.BinarySearch(i.pads.listed, int32(index)); ok {
		return n + 1
	}
	return 0
}

// FileIndex returns the index in Files of the file with this FileNumber; ok is false if
// there is none.
func (i *Info) FileIndex(number int) (index int, ok bool) {
	switch {
	case number < 1 || number > i.Stored():
		return 0, false
	case i.pads == nil:
		return number - 1, true
	}
	return int(i.pads.listed[number-1]), true
}

// PayloadIn returns the number of bytes of piece p in files, excluding padding: in any
// file if files has length 0, otherwise in those whose bit is set.
func (i *Info) PayloadIn(p int, files bitset.Set) (n int64) {
	if i.pads == nil && files.Len() == 0 {
		return i.PieceSize(p)
	}
	for s := range i.PieceSpans(p) {
		if !i.Files[s.File].Pad && (files.Len() == 0 || files.Has(s.File)) {
			n += s.Length
		}
	}
	return n
}
