package metainfo

import (
	"strings"

	"seedbed/internal/bitset"
	"seedbed/internal/id"
)

// BlockSize is the unit of requests (BEP 3) and of metadata transfer (BEP 9): 16 KiB. A
// piece's last block may be shorter.
const BlockSize = 16 << 10

// hashLen is the length of a piece hash (SHA-1).
const hashLen = 20

// Info is a checked info dictionary: its numbers are consistent, and every path is safe
// below a directory of ours. It is read-only.
type Info struct {
	Raw         []byte  // the encoded dictionary, which the hashes are computed from
	Hash        id.ID   // infohash: SHA-1 of Raw, or the truncated HashV2 if there are no v1 hashes
	HashV2      id.ID32 // BEP 52: SHA-256 of Raw; zero without v2 hashes
	Name        string  // one safe path component
	SpelledName string  // the name as spelled in the torrent, if different; otherwise empty
	PieceLength int64   // bytes; the last piece may be shorter
	Length      int64   // bytes of all files, pads included
	Private     bool    // BEP 27: neither DHT nor PEX
	Files       []File  // in the torrent's order; at least one

	pieces []byte          // within Raw; nil without v1 hashes
	layers map[Root][]byte // see layers.go
	number int             // number of pieces
	multi  bool
	v2     bool
	pads   *padding // nil without padding files
	index  index    // see spans.go
	raw    []string // while a hybrid is parsed: the v1 paths as spelled
}

// File is a file of a torrent.
type File struct {
	// Path consists of safe components. It does not include the torrent's name if the
	// torrent has several files; for a single-file torrent it is [Name]. No two files
	// have equal paths and none is below another, except for padding and folders.
	Path       []string
	Offset     int64 // of its first byte in the torrent
	Length     int64
	Pad        bool // BEP 47: all zeros, never stored
	Executable bool // BEP 47 attribute x
	Folder     bool // a placeholder for an empty folder at Path; it has no bytes
	// Symlink is the target of a symbolic link (BEP 47), as a path within the torrent
	// like Path; nil for a file. It is empty but not nil if the link leads out of the
	// torrent or nowhere: such a link is never created. A link has no bytes.
	Symlink []string
	Root    Root // BEP 52: of its merkle tree; zero without v2 hashes, for an empty file and for padding
	// Spelled is the path as spelled in the torrent, if different from Path; otherwise
	// nil.
	Spelled []string
}

// IsRegular reports whether f is an ordinary file: neither padding nor a symbolic link
// nor a folder.
func (f *File) IsRegular() bool { return !f.Pad && f.Symlink == nil && !f.Folder }

// IsMulti reports whether the torrent's files are in a folder called Name. Otherwise
// there is one file, and Name is its name.
func (i *Info) IsMulti() bool { return i.multi }

// PathOf returns the path of a file below the folder into which the torrent is downloaded, with slashes.
func (i *Info) PathOf(file int) string {
	p := strings.Join(i.Files[file].Path, "/")
	if i.multi {
		p = i.Name + "/" + p
	}
	return p
}

// NumPieces returns the number of pieces.
func (i *Info) NumPieces() int { return i.number }

// HasV1 reports whether the torrent has the piece hashes of BEP 3.
func (i *Info) HasV1() bool { return i.pieces != nil }

// HasV2 reports whether it has the file tree of BEP 52; a hybrid has both.
func (i *Info) HasV2() bool { return i.v2 }

// PieceSize returns the length of piece p in bytes: PieceLength, except for the last.
func (i *Info) PieceSize(p int) int64 {
	return min(i.PieceLength, i.Length-int64(p)*i.PieceLength)
}

// DataSize returns PieceSize without the padding at the piece's end (BEP 47), which is
// neither requested nor stored. For a piece of only padding it equals PieceSize.
func (i *Info) DataSize(p int) int64 {
	size := i.PieceSize(p)
	if i.pads == nil {
		return size
	}
	start := int64(p) * i.PieceLength
	if data := i.dataEnd(start+size) - start; data > 0 {
		return data
	}
	return size
}

// Payload returns the total size of all files without padding.
func (i *Info) Payload() (n int64) {
	for k := range i.Files {
		if !i.Files[k].Pad {
			n += i.Files[k].Length
		}
	}
	return n
}

// Stored returns the number of files without padding.
func (i *Info) Stored() int {
	if i.pads != nil {
		return len(i.pads.listed)
	}
	return len(i.Files)
}

// PieceHash returns the SHA-1 of piece p, for a torrent with v1 hashes.
func (i *Info) PieceHash(p int) [20]byte {
	return [hashLen]byte(i.pieces[p*hashLen : (p+1)*hashLen])
}

// NumBlocks returns the number of blocks in piece p, excluding padding.
func (i *Info) NumBlocks(p int) int {
	return int((i.DataSize(p) + BlockSize - 1) / BlockSize)
}

// PiecesOf returns the range [first, end) of pieces that contain bytes of the file; it is
// empty for an empty file.
func (i *Info) PiecesOf(file int) (first, end int) {
	f := &i.Files[file]
	first = int(f.Offset / i.PieceLength)
	if f.Length == 0 {
		return first, first
	}
	return first, int((f.Offset+f.Length-1)/i.PieceLength) + 1
}

// BytesOf returns how many bytes of the file are in these pieces.
func (i *Info) BytesOf(file int, pieces bitset.Set) (n int64) {
	f := &i.Files[file]
	first, end := i.PiecesOf(file)
	for p := pieces.Next(first); p >= 0 && p < end; p = pieces.Next(p + 1) {
		n += min(f.Offset+f.Length, int64(p+1)*i.PieceLength) - max(f.Offset, int64(p)*i.PieceLength)
	}
	return n
}

// Wanted returns the set of pieces that contain bytes of these files, given by their
// index in Files; nil means all files. Pieces of only padding are never wanted.
func (i *Info) Wanted(files []int) bitset.Set {
	s := bitset.New(i.NumPieces())
	if files == nil {
		s.Fill()
		for p := range s.All() {
			if i.IsPadding(p) {
				s.Remove(p)
			}
		}
		return s
	}
	for _, f := range files {
		if i.Files[f].Pad {
			continue
		}
		for p, end := i.PiecesOf(f); p < end; p++ {
			s.Add(p)
		}
	}
	return s
}
