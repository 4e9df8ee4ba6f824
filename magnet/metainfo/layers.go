package metainfo

import (
	"fmt"
	"slices"

	"seedbed/internal/bencode"
)

// The piece layers of BEP 52 are the roots of the pieces of each file with more than one.
// They are not in the info dictionary: a torrent file contains them separately, or they
// are requested from peers and verified against the file's root.

// maxHashes is the maximal number of hashes of a layer to request at once (BEP 52:
// "SHOULD NOT be greater than 512").
const maxHashes = 512

// maxLeaves bounds requests to us: the leaves of a piece of 128 MiB.
const maxLeaves = 8192

// HashRequest identifies hashes of a file's tree, as in BEP 52's hash request.
type HashRequest struct {
	Root        Root   // of the file
	Base        uint32 // layers above the leaves
	Index       uint32 // of the first hash in its layer
	Length      uint32 // number of hashes
	ProofLayers uint32 // number of layers above, whose uncle hashes are requested
}

// LacksLayers reports whether pieces cannot be verified because piece layers are missing,
// in a torrent without v1 hashes.
func (i *Info) LacksLayers() bool {
	return i.v2 && !i.HasV1() && len(i.layers) == 0 && slices.ContainsFunc(i.Files, i.hasLayer)
}

// HasLayers reports whether all piece layers, if any, are known.
func (i *Info) HasLayers() bool {
	return i.v2 && (len(i.layers) > 0 || !slices.ContainsFunc(i.Files, i.hasLayer))
}

// hasLayer reports whether the file has a piece layer.
func (i *Info) hasLayer(f File) bool { return !f.Pad && f.Length > i.PieceLength }

// pieceRoot returns the merkle root of piece p, if known.
func (i *Info) pieceRoot(p int) (Root, bool) {
	off := int64(p) * i.PieceLength
	k := i.fileAt(off)
	f := &i.Files[k]
	if !i.hasLayer(*f) {
		return f.Root, true
	}
	layer := i.layers[f.Root]
	if layer == nil {
		return Root{}, false
	}
	at := (off - f.Offset) / i.PieceLength * int64(len(Root{}))
	return Root(layer[at : at+int64(len(Root{}))]), true
}

// pieceWidth returns the number of leaves in piece p's tree.
func (i *Info) pieceWidth(p int) int64 {
	f := &i.Files[i.fileAt(int64(p)*i.PieceLength)]
	if i.hasLayer(*f) {
		return i.PieceLength / BlockSize
	}
	return treeWidth((f.Length + BlockSize - 1) / BlockSize)
}

// base returns the height of the piece layers.
func (i *Info) base() int { return log2(i.PieceLength / BlockSize) }

func (i *Info) piecesIn(f *File) int64 { return (f.Length + i.PieceLength - 1) / i.PieceLength }

// setLayers sets the piece layers, given by their file's root. Those of a torrent file
// must be complete and correct. If the only error is that some are missing, it is a
// noLayersError.
func (i *Info) setLayers(layers map[Root][]byte) error {
	missing := noLayersError{}
	for k := range i.Files {
		f := &i.Files[k]
		if !i.hasLayer(*f) {
			continue
		}
		layer := layers[f.Root]
		n := i.piecesIn(f)
		switch {
		case layer == nil && missing.err == nil:
			missing.err = &Error{Field: "piece layers", Part: joined(f.Path), Reason: "has no piece layer"}
		case layer == nil:
		case int64(len(layer)) != n*int64(len(Root{})):
			return &Error{Field: "piece layers", Part: joined(f.Path), Reason: fmt.Sprintf("has %d bytes of hashes, not %d", len(layer), n*int64(len(Root{})))}
		case rootOf(layer, treeWidth(n), i.base()) != f.Root:
			return &Error{Field: "piece layers", Part: joined(f.Path), Reason: "has hashes that do not match its root"}
		}
	}
	if missing.err != nil {
		return missing
	}
	i.layers = layers
	return nil
}

type noLayersError struct{ err *Error }

func (e noLayersError) Error() string { return e.err.Error() }

// LayersError means that a v2-only torrent file lacks piece layers, which BEP 52
// requires. Everything else is valid: the layers can be requested from peers, as with a
// link.
type LayersError struct {
	Torrent *Torrent // contents of the file
	err     *Error
}

func (e *LayersError) Error() string { return e.err.Error() }
func (e *LayersError) Unwrap() error { return e.err }

// readLayers parses the piece layers of a torrent file.
func readLayers(v bencode.Value, i *Info) error {
	layers := map[Root][]byte{}
	for key, val := range v.Dict() {
		if b, ok := val.Bytes(); ok && len(key) == len(Root{}) {
			layers[Root(key)] = b
		}
	}
	kept := map[Root][]byte{}
	for k := range i.Files {
		if f := &i.Files[k]; i.hasLayer(*f) && layers[f.Root] != nil {
			kept[f.Root] = slices.Clone(layers[f.Root])
		}
	}
	return i.setLayers(kept)
}

// appendLayers appends the piece layers, in the order of their keys.
func (i *Info) appendLayers(dst []byte) []byte {
	roots := make([]Root, 0, len(i.layers))
	for r := range i.layers {
		roots = append(roots, r)
	}
	slices.SortFunc(roots, func(a, b Root) int { return slices.Compare(a[:], b[:]) })
	dst = append(dst, 'd')
	for _, r := range roots {
		dst = bencode.AppendBytes(bencode.AppendBytes(dst, r[:]), i.layers[r])
	}
	return append(dst, 'e')
}

// Layers collects the piece layers of a torrent from peers.
type Layers struct {
	info     *Info
	bytes    map[Root][]byte
	requests []HashRequest
	answered []bool
	left     int // requests without an answer
}

// NewLayers returns the layers of a torrent that must be collected.
func NewLayers(info *Info) *Layers {
	l := &Layers{info: info, bytes: map[Root][]byte{}}
	for k := range info.Files {
		f := &info.Files[k]
		if !info.hasLayer(*f) || l.bytes[f.Root] != nil {
			continue
		}
		n := info.piecesIn(f)
		l.bytes[f.Root] = make([]byte, n*int64(len(Root{})))
		for at := int64(0); at < n; at += maxHashes {
			l.requests = append(l.requests, HashRequest{Root: f.Root, Base: uint32(info.base()), Index: uint32(at),
				Length: uint32(max(2, treeWidth(min(maxHashes, n-at)))), ProofLayers: uint32(log2(treeWidth(n)) - 1)})
		}
	}
	l.answered = make([]bool, len(l.requests))
	l.left = len(l.requests)
	return l
}

// Requests returns the requests that together yield all layers. They must not be modified.
func (l *Layers) Requests() []HashRequest { return l.requests }

// Answered reports whether request k has been answered.
func (l *Layers) Answered(k int) bool { return l.answered[k] }

// Add adds the answer to request k, and reports whether it is correct: whether its hashes
// match the file's root.
func (l *Layers) Add(k int, hashes []byte) bool {
	q := &l.requests[k]
	layer := l.bytes[q.Root]
	total := treeWidth(int64(len(layer) / len(Root{})))
	if !q.proves(hashes, total) {
		return false
	}
	if !l.answered[k] {
		l.answered[k] = true
		l.left--
		copy(layer[int(q.Index)*len(Root{}):], hashes[:int(q.Length)*len(Root{})])
	}
	return true
}

// proves reports whether hashes (the requested ones and the uncles above them) lead to
// the root of a tree with total nodes in their layer.
func (q *HashRequest) proves(hashes []byte, total int64) bool {
	const size = len(Root{})
	own, top := log2(int64(q.Length)), log2(total)
	if len(hashes) != (int(q.Length)+max(0, top-own))*size {
		return false
	}
	node := rootOf(hashes[:int(q.Length)*size], int64(q.Length), int(q.Base))
	at := int64(q.Index) >> own
	for uncles := hashes[int(q.Length)*size:]; len(uncles) > 0; uncles = uncles[size:] {
		if uncle := Root(uncles[:size]); at&1 == 0 {
			node = join2(node, uncle)
		} else {
			node = join2(uncle, node)
		}
		at >>= 1
	}
	return node == q.Root
}

// Finish adds the layers to the torrent if all have arrived, and reports whether they
// have.
func (l *Layers) Finish() bool {
	if l.left > 0 {
		return false
	}
	if err := l.info.setLayers(l.bytes); err != nil {
		panic("metainfo: proven layers are wrong: " + err.Error())
	}
	return true
}

// Hashes appends the answer to a request for hashes of a piece layer. It returns false if
// we do not have them.
func (i *Info) Hashes(dst []byte, q HashRequest) ([]byte, bool) {
	layer := i.layers[q.Root]
	if layer == nil || int(q.Base) != i.base() {
		return dst, false
	}
	const size = len(Root{})
	total := treeWidth(int64(len(layer) / size))
	if !q.isValid(total) {
		return dst, false
	}
	return appendProof(dst, q, layer, total), true
}

// LeavesOf returns the piece whose leaves are requested; ok is false if the request is not
// for the leaves of exactly one piece.
func (i *Info) LeavesOf(q HashRequest) (piece int, ok bool) {
	if q.Base != 0 {
		return 0, false
	}
	k, ok := i.fileOf(q.Root)
	if !ok {
		return 0, false
	}
	f := &i.Files[k]
	width := treeWidth((f.Length + BlockSize - 1) / BlockSize)
	per := min(width, max(1, i.PieceLength/BlockSize))
	if !q.isValid(width) || int64(q.Length) != per || int64(q.Index)*BlockSize >= f.Length {
		return 0, false
	}
	return int((f.Offset + int64(q.Index)*BlockSize) / i.PieceLength), true
}

// LeafHashes appends the answer to a request for the leaves of a piece; leaves excludes
// those beyond the file's end.
func (i *Info) LeafHashes(dst []byte, q HashRequest, leaves []Root) ([]byte, bool) {
	piece, ok := i.LeavesOf(q)
	if !ok {
		return dst, false
	}
	for _, r := range leaves {
		dst = append(dst, r[:]...)
	}
	for range int(q.Length) - len(leaves) {
		dst = append(dst, padRoots[0][:]...)
	}
	f := &i.Files[i.fileAt(int64(piece)*i.PieceLength)]
	layer := i.layers[f.Root]
	own := log2(int64(q.Length))
	if uncles := int(q.ProofLayers) + 1 - own; uncles > 0 && i.hasLayer(*f) {
		if layer == nil {
			return dst, false
		}
		above := HashRequest{Index: q.Index / q.Length, Length: 1, Base: uint32(i.base()), ProofLayers: uint32(uncles - 1)}
		proof := appendProof(nil, above, layer, treeWidth(int64(len(layer)/len(Root{}))))
		dst = append(dst, proof[len(Root{}):]...)
	}
	return dst, true
}

// CheckLeaves verifies an answer to LeafRequest of piece p, and returns the leaves.
func (i *Info) CheckLeaves(p int, hashes []byte) ([]Root, bool) {
	const size = len(Root{})
	width := i.pieceWidth(p)
	if root, known := i.pieceRoot(p); known {
		if int64(len(hashes)) < width*int64(size) || rootOf(hashes[:width*int64(size)], width, 0) != root {
			return nil, false
		}
	} else if q, ok := i.LeafRequest(p); !ok || !q.proves(hashes, i.leafWidth(p)) {
		return nil, false
	}
	leaves := make([]Root, i.NumBlocks(p))
	for k := range leaves {
		leaves[k] = Root(hashes[k*size:])
	}
	return leaves, true
}

// leafWidth returns the number of leaves in the tree of the file with piece p.
func (i *Info) leafWidth(p int) int64 {
	return treeWidth((i.Files[i.fileAt(int64(p)*i.PieceLength)].Length + BlockSize - 1) / BlockSize)
}

// LeafRequest returns a request for the leaves of piece p; ok is false if they are known
// without it: for a piece of one block. If the root of the piece is not known, as in a hybrid torrent
// without piece layers, the request is also for the proof up to the root of the file.
func (i *Info) LeafRequest(p int) (q HashRequest, ok bool) {
	f := &i.Files[i.fileAt(int64(p)*i.PieceLength)]
	width := i.pieceWidth(p)
	if !i.v2 || width < 2 {
		return q, false
	}
	first := (int64(p)*i.PieceLength - f.Offset) / BlockSize
	q = HashRequest{Root: f.Root, Index: uint32(first), Length: uint32(width)}
	if _, known := i.pieceRoot(p); !known {
		q.ProofLayers = uint32(log2(i.leafWidth(p)) - 1)
	}
	return q, true
}

// MaxHashes returns the maximal number of hashes in an answer to one of our requests:
// those of Layers with their proof, or the leaves of a piece. It is 0 for a torrent
// without v2 hashes.
func (i *Info) MaxHashes() int {
	if !i.v2 {
		return 0
	}
	const maxProof = 64 // a tree of 2^64 leaves
	return max(maxHashes, int(i.PieceLength/BlockSize)) + maxProof
}

// isValid reports whether a request complies with BEP 52 and fits a layer with total nodes.
func (q *HashRequest) isValid(total int64) bool {
	n := int64(q.Length)
	return n >= 2 && n&(n-1) == 0 && n <= maxLeaves && int64(q.Index)%n == 0 && int64(q.Index)+n <= max(total, n) &&
		int(q.ProofLayers) <= log2(total)
}

// appendProof appends the requested hashes and the uncles that prove them.
func appendProof(dst []byte, q HashRequest, layer []byte, total int64) []byte {
	const size = len(Root{})
	at := func(k int64) (r Root) {
		if k*int64(size) < int64(len(layer)) {
			return Root(layer[k*int64(size):])
		}
		return padRoots[q.Base]
	}
	for k := range int64(q.Length) {
		r := at(int64(q.Index) + k)
		dst = append(dst, r[:]...)
	}
	// Uncles: the roots of adjacent ranges of increasing size.
	own := log2(int64(q.Length))
	for k := own; k < log2(total) && k <= int(q.ProofLayers); k++ {
		width := int64(1) << k
		first := (int64(q.Index)/width ^ 1) * width
		from := min(first*int64(size), int64(len(layer)))
		part := layer[from:min((first+width)*int64(size), int64(len(layer)))]
		r := rootOf(part, width, int(q.Base))
		dst = append(dst, r[:]...)
	}
	return dst
}
