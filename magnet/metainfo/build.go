package metainfo

import (
	"slices"
	"strconv"
	"unicode/utf8"

	"seedbed/internal/bencode"
)

// Format says which versions of hashes a torrent has.
type Format uint8

const (
	V1     Format = iota // BEP 3; every client opens it
	V2                   // BEP 52: one merkle tree per file
	Hybrid               // both; Transmission 3 and aria2 cannot open it
)

func (f Format) String() string { return [...]string{"v1", "v2", "hybrid"}[f] }

// Plan describes an info dictionary, except for its hashes.
type Plan struct {
	Name        string // of the folder or, for a single-file torrent, of the file
	PieceLength int64
	// Files are in the order of their bytes; with v2 hashes that must be the order of
	// SortFiles. A single file without a Path makes a single-file torrent.
	Files   []PlanFile
	Format  Format
	Private bool
	Source  string // changes the infohash, so that it differs from others with the same data; may be empty
}

// PlanFile is one file of a Plan.
type PlanFile struct {
	Path       []string // below the folder Name
	Length     int64
	Executable bool     // BEP 47
	Symlink    []string // BEP 47: target of a link, relative to the torrent's root; a link has no bytes
}

// PieceLengthFor returns a sensible piece length for total bytes. It is the smallest power of
// two of at least 16 KiB (one block) that makes at most 2,048 pieces, but not more than
// 16 MiB up to 4 TiB. Beyond that, it makes at most 262,144 pieces.
func PieceLengthFor(total int64) int64 {
	const preferred, most = 1 << 11, 1 << 18 // pieces
	n := int64(BlockSize)
	for n < 16<<20 && total > n*preferred || n < MaxPieceLength && total > n*most {
		n *= 2
	}
	return n
}

// Draft is a torrent being made: its files are laid out, but its pieces are not yet
// hashed.
type Draft struct {
	plan   Plan
	layout *Info // with zero hashes
	places []int // index in layout.Files of each file of the plan
}

// NewDraft lays out a plan. It returns an *Error, before anything is hashed, if ParseInfo
// would reject the result.
func NewDraft(p Plan) (*Draft, error) {
	if p.Format != V1 && !slices.IsSortedFunc(p.Files, func(a, b PlanFile) int { return slices.Compare(a.Path, b.Path) }) {
		return nil, &Error{Field: "file tree", Reason: "has names that are not in order"}
	}
	if p.Format == V2 && !p.single() && len(p.Files) == 1 && slices.Equal(p.Files[0].Path, []string{p.Name}) {
		return nil, &Error{Field: "name", Part: p.Name, Reason: "is the name of the folder and of its only file, which a v2 torrent cannot represent: rename one of them, or make a hybrid"}
	}
	layout, err := p.encode(nil)
	if err != nil {
		return nil, err
	}
	d := &Draft{plan: p, layout: layout}
	for k := range layout.Files {
		if !layout.Files[k].Pad {
			d.places = append(d.places, k)
		}
	}
	return d, nil
}

// Layout returns the torrent's geometry. Its hashes are not valid.
func (d *Draft) Layout() *Info { return d.layout }

// Files yields the files that contain bytes, by their index in the plan and in the files
// of Layout.
func (d *Draft) Files(yield func(file, at int) bool) {
	for k, at := range d.places {
		if d.layout.Files[at].Length > 0 && !yield(k, at) {
			return
		}
	}
}

// Renamed yields the files that other systems will store under another name, either
// because of their characters or because they clash with another file on file systems
// that ignore case or normalisation.
func (d *Draft) Renamed(yield func(file int, as []string) bool) {
	if !d.layout.IsMulti() {
		return
	}
	_, folded := d.layout.Substitutes(NameRules{Fold: true})
	for k, at := range d.places {
		as, ok := folded[at]
		if !ok {
			as = d.layout.Files[at].Path
		}
		if path := d.plan.Files[k].Path; len(path) > 0 && !slices.Equal(path, as) && !yield(k, as) {
			return
		}
	}
}

// NewPieceHash returns a hash for piece p, of all versions of the torrent.
func (d *Draft) NewPieceHash(p int) *PieceHash {
	h := d.layout.NewPieceHash(p)
	if d.layout.v2 && h.v2 == nil {
		h.v2 = newTreeHash(d.layout.pieceWidth(p))
	}
	return h
}

// Finish returns the info dictionary with the digests of all pieces. The same arguments
// give the same bytes.
func (d *Draft) Finish(digests []Digest) (*Info, error) { return d.plan.encode(&hashed{d, digests}) }

// hashed is a draft with the digests of its pieces.
type hashed struct {
	*Draft
	digests []Digest
}

// of returns a file's merkle root, and its piece layer if it has one.
func (h *hashed) of(file int) (root Root, layer []byte) {
	i := h.layout
	f := &i.Files[h.places[file]]
	first, end := i.PiecesOf(h.places[file])
	if !i.hasLayer(*f) {
		return h.digests[first].V2, nil
	}
	layer = make([]byte, 0, (end-first)*len(root))
	for p := first; p < end; p++ {
		layer = append(layer, h.digests[p].V2[:]...)
	}
	return rootOf(layer, treeWidth(int64(end-first)), i.base()), layer
}

func (p *Plan) single() bool { return len(p.Files) == 1 && len(p.Files[0].Path) == 0 }

// gap returns the length of the padding after a file: in a hybrid every file starts a new
// piece. The last file is padded too, as libtorrent does, so that the same folder gives the
// same infohash.
func (p *Plan) gap(f *PlanFile) int64 {
	if rest := f.Length % p.PieceLength; p.Format == Hybrid && rest != 0 && !p.single() {
		return p.PieceLength - rest
	}
	return 0
}

// encode encodes the info dictionary, with zero hashes if h is nil.
func (p *Plan) encode(h *hashed) (*Info, error) {
	if err := p.validate(); err != nil {
		return nil, err
	}
	var total int64
	for k := range p.Files {
		total += p.Files[k].Length + p.gap(&p.Files[k])
	}
	// BEP 3: keys in sorted order.
	dst := []byte{'d'}
	if p.single() && p.Format != V2 {
		dst = p.Files[0].appendAttr(dst)
	}
	var layers map[Root][]byte
	if p.Format != V1 {
		layers = map[Root][]byte{}
		dst = p.appendTree(bencode.AppendString(dst, "file tree"), func(file int) (root Root) {
			if h == nil {
				return root
			}
			root, layer := h.of(file)
			if layer != nil {
				layers[root] = layer
			}
			return root
		})
	}
	if p.Format != V2 {
		dst = p.appendFiles(dst)
	}
	if p.Format != V1 {
		dst = bencode.AppendInt(bencode.AppendString(dst, "meta version"), 2)
	}
	dst = bencode.AppendString(bencode.AppendString(dst, "name"), p.Name)
	dst = bencode.AppendInt(bencode.AppendString(dst, "piece length"), p.PieceLength)
	if p.Format != V2 {
		v1 := make([]byte, 0, hashLen*(total+p.PieceLength-1)/p.PieceLength)
		if h == nil {
			v1 = v1[:(total+p.PieceLength-1)/p.PieceLength*hashLen]
		} else {
			for i := range h.digests {
				v1 = append(v1, h.digests[i].V1[:]...)
			}
		}
		dst = bencode.AppendBytes(bencode.AppendString(dst, "pieces"), v1)
	}
	if p.Private {
		dst = bencode.AppendInt(bencode.AppendString(dst, "private"), 1)
	}
	if p.Source != "" {
		dst = bencode.AppendString(bencode.AppendString(dst, "source"), p.Source)
	}
	return p.parse(append(dst, 'e'), h != nil, layers)
}

// parse checks that the encoded dictionary is parsed as intended.
func (p *Plan) parse(raw []byte, final bool, layers map[Root][]byte) (*Info, error) {
	i, err := ParseInfo(raw)
	if err != nil {
		return nil, err
	}
	if i.Name != p.Name {
		return nil, &Error{Field: "name", Part: p.Name, Reason: "would be replaced by " + strconv.Quote(i.Name) + " in other clients: rename it"}
	}
	if final && i.v2 {
		return i, i.setLayers(layers)
	}
	return i, nil
}

func (p *Plan) validate() error {
	if p.PieceLength < 1 || p.PieceLength > MaxPieceLength {
		return &Error{Field: "piece length", Part: strconv.FormatInt(p.PieceLength, 10), Reason: "is not between 1 and " + strconv.Itoa(MaxPieceLength)}
	}
	if !utf8.ValidString(p.Name) {
		return &Error{Field: "name", Part: p.Name, Reason: "is not UTF-8: rename it"}
	}
	for k := range p.Files {
		for _, c := range p.Files[k].Path {
			if !utf8.ValidString(c) {
				return &Error{Field: "files[" + strconv.Itoa(k) + "].path", Part: joined(p.Files[k].Path), Reason: "is not UTF-8: rename it"}
			}
		}
	}
	return nil
}

// appendFiles appends the files as in BEP 3, with BEP 47 padding between them.
func (p *Plan) appendFiles(dst []byte) []byte {
	if p.single() {
		return bencode.AppendInt(bencode.AppendString(dst, "length"), p.Files[0].Length)
	}
	dst = append(bencode.AppendString(dst, "files"), 'l')
	for k := range p.Files {
		f := &p.Files[k]
		dst = f.appendAttr(append(dst, 'd'))
		dst = bencode.AppendInt(bencode.AppendString(dst, "length"), f.Length)
		dst = appendList(bencode.AppendString(dst, "path"), f.Path)
		dst = append(f.appendLink(dst), 'e')
		if gap := p.gap(f); gap > 0 {
			dst = bencode.AppendString(bencode.AppendString(append(dst, 'd'), "attr"), "p")
			dst = bencode.AppendInt(bencode.AppendString(dst, "length"), gap)
			dst = append(appendList(bencode.AppendString(dst, "path"), []string{".pad", strconv.FormatInt(gap, 10)}), 'e')
		}
	}
	return append(dst, 'e')
}

// appendTree appends BEP 52's file tree. The files are in its order, so that the files of
// a directory are consecutive.
func (p *Plan) appendTree(dst []byte, root func(file int) Root) []byte {
	if p.single() {
		dst = bencode.AppendString(append(dst, 'd'), p.Name)
		return append(p.appendLeaf(dst, 0, root), 'e')
	}
	var open []string
	dst = append(dst, 'd')
	for k := range p.Files {
		dirs := p.Files[k].Path[:len(p.Files[k].Path)-1]
		same := 0
		for same < min(len(open), len(dirs)) && open[same] == dirs[same] {
			same++
		}
		for range len(open) - same {
			dst = append(dst, 'e')
		}
		for _, d := range dirs[same:] {
			dst = append(bencode.AppendString(dst, d), 'd')
		}
		open = dirs
		dst = p.appendLeaf(bencode.AppendString(dst, p.Files[k].Path[len(dirs)]), k, root)
	}
	for range open {
		dst = append(dst, 'e')
	}
	return append(dst, 'e')
}

func (p *Plan) appendLeaf(dst []byte, file int, root func(int) Root) []byte {
	f := &p.Files[file]
	dst = f.appendAttr(append(bencode.AppendString(append(dst, 'd'), ""), 'd'))
	if f.Symlink == nil {
		dst = bencode.AppendInt(bencode.AppendString(dst, "length"), f.Length)
	}
	if f.Length > 0 {
		r := root(file)
		dst = bencode.AppendBytes(bencode.AppendString(dst, "pieces root"), r[:])
	}
	return append(f.appendLink(dst), 'e', 'e')
}

func (f *PlanFile) appendAttr(dst []byte) []byte {
	switch {
	case f.Symlink != nil:
		return bencode.AppendString(bencode.AppendString(dst, "attr"), "l")
	case f.Executable:
		return bencode.AppendString(bencode.AppendString(dst, "attr"), "x")
	}
	return dst
}

func (f *PlanFile) appendLink(dst []byte) []byte {
	if f.Symlink == nil {
		return dst
	}
	return appendList(bencode.AppendString(dst, "symlink path"), f.Symlink)
}

// Build returns the info dictionary of a v1 plan with the concatenated SHA-1 hashes of
// its pieces. A single file with the Path [Name] makes a single-file torrent too.
func Build(p Plan, sums []byte) (*Info, error) {
	if len(p.Files) == 1 && slices.Equal(p.Files[0].Path, []string{p.Name}) {
		p.Files = []PlanFile{p.Files[0]}
		p.Files[0].Path = nil
	}
	d, err := NewDraft(p)
	if err != nil {
		return nil, err
	}
	digests := make([]Digest, len(sums)/hashLen)
	for k := range digests {
		copy(digests[k].V1[:], sums[k*hashLen:])
	}
	return d.Finish(digests)
}
