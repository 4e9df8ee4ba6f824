package metainfo

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"fmt"
	"slices"
	"strconv"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

// ParseInfo parses and checks an info dictionary, and keeps a copy of it. The error is an
// *Error.
func ParseInfo(raw []byte) (*Info, error) {
	if len(raw) > MaxInfo {
		return nil, &Error{Reason: fmt.Sprintf("the info dictionary has %d bytes; at most %d are accepted", len(raw), MaxInfo)}
	}
	return adoptInfo(bytes.Clone(raw))
}

// fields holds the values of an info dictionary that are used, found in one pass.
type fields struct {
	attr, files, fileTree, length, metaVersion, name, nameUTF8, pieceLength, pieces, private, symlink bencode.Value
}

func (f *fields) slot(key []byte) *bencode.Value {
	switch string(key) {
	case "attr":
		return &f.attr
	case "files":
		return &f.files
	case "file tree":
		return &f.fileTree
	case "length":
		return &f.length
	case "meta version":
		return &f.metaVersion
	case "name":
		return &f.name
	case "name.utf-8":
		return &f.nameUTF8
	case "piece length":
		return &f.pieceLength
	case "pieces":
		return &f.pieces
	case "private":
		return &f.private
	case "symlink path":
		return &f.symlink
	}
	return nil
}

// adoptInfo is ParseInfo for bytes that it may keep.
func adoptInfo(raw []byte) (*Info, error) {
	v, rest, err := bencode.Parse(raw, limits)
	if err != nil {
		return nil, &Error{Reason: "the info dictionary is not bencoded: " + err.Error()}
	}
	if len(rest) != 0 {
		return nil, &Error{Reason: fmt.Sprintf("%d bytes follow the info dictionary", len(rest))}
	}
	if v.Kind() != bencode.Dict {
		return nil, &Error{Reason: "the info is not a dictionary"}
	}
	var f fields
	for key, val := range v.Dict() {
		slot := f.slot(key)
		if slot == nil {
			continue
		}
		if *slot != nil {
			// Clients differ in which of the two values they use.
			return nil, &Error{Field: string(key), Reason: "occurs twice"}
		}
		*slot = val
	}
	i := &Info{Raw: raw, Hash: id.ID(sha1.Sum(raw))}
	if err := i.version(&f); err != nil {
		return nil, err
	}
	if err := i.pieceTable(&f); err != nil {
		return nil, err
	}
	if err := i.layOut(&f); err != nil {
		return nil, err
	}
	if err := i.checkPieces(); err != nil {
		return nil, err
	}
	i.buildIndex()
	// BEP 27: "private=1". Any other value except 0 counts as private too: to publish a
	// private torrent by mistake is worse than the opposite.
	if f.private != nil {
		n, ok := f.private.Int()
		i.Private = !ok || n != 0
	}
	return i, nil
}

// pieceTable parses the piece hashes and the piece length.
func (i *Info) pieceTable(f *fields) error {
	if f.pieces == nil && !i.v2 {
		return &Error{Field: "pieces", Reason: "is missing"}
	}
	n, bad := integer(f.pieceLength)
	if bad != "" {
		return &Error{Field: "piece length", Reason: bad}
	}
	if n < 1 || n > MaxPieceLength {
		return &Error{Field: "piece length", Part: strconv.FormatInt(n, 10), Reason: fmt.Sprintf("is not between 1 and %d", MaxPieceLength)}
	}
	if i.v2 && (n < BlockSize || n&(n-1) != 0) {
		// BEP 52: "It must be a power of two and at least 16KiB."
		return &Error{Field: "piece length", Part: strconv.FormatInt(n, 10), Reason: "is not a power of two of at least 16384, as BEP 52 requires"}
	}
	i.PieceLength = n
	if f.pieces == nil {
		return nil
	}
	pieces, ok := f.pieces.Bytes()
	switch {
	case !ok:
		return &Error{Field: "pieces", Reason: "is not a string"}
	case len(pieces)%hashLen != 0:
		// BEP 3: "a string whose length is a multiple of 20".
		return &Error{Field: "pieces", Reason: fmt.Sprintf("has %d bytes, not a multiple of %d", len(pieces), hashLen)}
	}
	i.pieces, i.number = pieces, len(pieces)/hashLen
	return nil
}

// version determines whether there are v2 hashes.
func (i *Info) version(f *fields) error {
	if f.metaVersion == nil && f.fileTree == nil {
		return nil
	}
	// BEP 52: "Implementations must check this field first".
	switch n, bad := integer(f.metaVersion); {
	case f.metaVersion == nil && f.pieces != nil:
		return nil // a file tree is then irrelevant
	case bad != "":
		return &Error{Field: "meta version", Reason: bad}
	case n != 2:
		return &Error{Field: "meta version", Part: strconv.FormatInt(n, 10), Reason: "is not supported; only 2 is"}
	case f.fileTree == nil:
		return &Error{Field: "file tree", Reason: "is missing"}
	}
	i.v2 = true
	i.HashV2 = sha256.Sum256(i.Raw)
	if f.pieces == nil {
		i.Hash = i.HashV2.Short()
	}
	return nil
}

// checkPieces checks that the pieces cover the files exactly.
func (i *Info) checkPieces() error {
	if !slices.ContainsFunc(i.Files, func(f File) bool { return f.Length > 0 && !f.Pad }) {
		// Other clients reject it too: there is nothing to request or verify.
		return &Error{Reason: "it holds no data: all files are empty"}
	}
	want := (i.Length + i.PieceLength - 1) / i.PieceLength
	if !i.HasV1() {
		if want > maxPieces {
			return &Error{Field: "file tree", Reason: fmt.Sprintf("has %d pieces; at most %d are accepted", want, maxPieces)}
		}
		i.number = int(want)
		return nil
	}
	if want != int64(i.NumPieces()) {
		return &Error{Field: "pieces", Reason: fmt.Sprintf("has %d hashes, but %d bytes in pieces of %d bytes need %d",
			i.NumPieces(), i.Length, i.PieceLength, want)}
	}
	return nil
}

// integer parses v; bad says why it is invalid, and is empty if it is valid.
func integer(v bencode.Value) (n int64, bad string) {
	if v == nil {
		return 0, "is missing"
	}
	n, ok := v.Int()
	if !ok {
		return 0, "is not an integer"
	}
	return n, ""
}
