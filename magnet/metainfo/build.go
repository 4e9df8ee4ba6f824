package metainfo

import (
	"strconv"
	"unicode/utf8"

	"seedbed/internal/bencode"
)

// Plan is what an info dictionary is made of, but for the piece hashes.
type Plan struct {
	Name        string // of the directory or, of a single-file torrent, the file
	PieceLength int64
	// Files in the order of their bytes. One file with the Path [Name]
	// (or with none) makes a single-file torrent.
	Files   []PlanFile
	Private bool
}

// PlanFile is one file of a Plan.
type PlanFile struct {
	Path   []string // below the directory Name
	Length int64
}

// PieceLengthFor is a sensible piece length for so many bytes: a power of two
// that makes at most 2,048 pieces, from 16 KiB (one block) up to 16 MiB, which
// goes as far as 4 TiB in a quarter million pieces; beyond, still larger ones.
func PieceLengthFor(total int64) int64 {
	const few, many = 1 << 11, 1 << 18
	n := int64(BlockSize)
	for n < 16<<20 && total > n*few || n < MaxPieceLength && total > n*many {
		n *= 2
	}
	return n
}

// Build makes the info dictionary of a plan from the SHA-1 hashes of its
// pieces, one behind the other. The same arguments make the same bytes. What
// it makes passes ParseInfo; what would not is an *Error.
func Build(p Plan, hashes []byte) (*Info, error) {
	if !utf8.ValidString(p.Name) {
		return nil, &Error{Field: "name", Part: p.Name, Reason: "is not UTF-8: rename it"}
	}
	single := len(p.Files) == 1 && (len(p.Files[0].Path) == 0 || len(p.Files[0].Path) == 1 && p.Files[0].Path[0] == p.Name)
	// BEP 3: keys in sorted order.
	dst := []byte{'d'}
	if single {
		dst = bencode.AppendInt(bencode.AppendString(dst, "length"), p.Files[0].Length)
	} else {
		dst = append(bencode.AppendString(dst, "files"), 'l')
		for k, f := range p.Files {
			for _, c := range f.Path {
				if !utf8.ValidString(c) {
					return nil, &Error{Field: "files[" + strconv.Itoa(k) + "].path", Part: joined(f.Path), Reason: "is not UTF-8: rename it"}
				}
			}
			dst = bencode.AppendInt(bencode.AppendString(append(dst, 'd'), "length"), f.Length)
			dst = append(appendList(bencode.AppendString(dst, "path"), f.Path), 'e')
		}
		dst = append(dst, 'e')
	}
	dst = bencode.AppendString(bencode.AppendString(dst, "name"), p.Name)
	dst = bencode.AppendInt(bencode.AppendString(dst, "piece length"), p.PieceLength)
	dst = bencode.AppendBytes(bencode.AppendString(dst, "pieces"), hashes)
	if p.Private {
		dst = bencode.AppendInt(bencode.AppendString(dst, "private"), 1)
	}
	i, err := ParseInfo(append(dst, 'e'))
	if err != nil {
		return nil, err
	}
	if i.Name != p.Name {
		return nil, &Error{Field: "name", Part: p.Name, Reason: "would become " + strconv.Quote(i.Name) + " elsewhere: rename it"}
	}
	return i, nil
}
