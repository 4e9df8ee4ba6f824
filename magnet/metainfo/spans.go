package metainfo

import (
	"iter"
	"slices"
	"sort"
)

// Span is a range of one file.
type Span struct {
	File   int   // index in Info.Files
	Offset int64 // of the first byte in the file
	Length int64 // bytes, at least one
}

// Spans yields the ranges of files that contain the n bytes starting at off of the
// torrent, in order, including padding but not empty files. Bytes beyond the torrent's
// end are omitted. It finds the first file in logarithmic time and does not allocate.
func (i *Info) Spans(off, n int64) iter.Seq[Span] {
	return func(yield func(Span) bool) { i.spans(off, n, yield) }
}

// PieceSpans is Spans for piece p.
func (i *Info) PieceSpans(p int) iter.Seq[Span] {
	return i.Spans(int64(p)*i.PieceLength, i.PieceLength)
}

func (i *Info) spans(off, n int64, yield func(Span) bool) {
	end := i.Length
	if n < end-off {
		end = off + n
	}
	for k := i.index.at(i, off); off < end; k++ {
		file := i.index.file(k)
		f := &i.Files[file]
		m := min(end, f.Offset+f.Length) - off
		if !yield(Span{file, off - f.Offset, m}) {
			return
		}
		off += m
	}
}

// index finds files in logarithmic time for any torrent, even with a million empty or
// padding files between two bytes.
type index struct {
	filled []int32 // files with bytes, in order; nil if that is all
	data   []int32 // files with bytes that are not padding, in order; nil without padding
	roots  []int32 // of a v2 torrent: files with a root, by root and then in order
}

// buildIndex must be called when Files is complete.
func (i *Info) buildIndex() {
	pick := func(ok func(f *File) bool) (list []int32) {
		for k := range i.Files {
			if ok(&i.Files[k]) {
				list = append(list, int32(k))
			}
		}
		return list
	}
	if slices.ContainsFunc(i.Files, func(f File) bool { return f.Length == 0 }) {
		i.index.filled = pick(func(f *File) bool { return f.Length > 0 })
	}
	i.findPadding()
	if i.pads != nil {
		i.index.data = pick(func(f *File) bool { return f.Length > 0 && !f.Pad })
	}
	if i.v2 {
		i.index.roots = pick(func(f *File) bool { return f.Length > 0 && !f.Pad })
		slices.SortStableFunc(i.index.roots, func(a, b int32) int { return compareRoots(i.Files[a].Root, i.Files[b].Root) })
	}
}

func compareRoots(a, b Root) int { return slices.Compare(a[:], b[:]) }

// file returns the index in Info.Files of the k-th file with bytes.
func (x *index) file(k int) int {
	if x.filled == nil {
		return k
	}
	return int(x.filled[k])
}

// at returns the index, among the files with bytes, of the one that contains the byte at
// off.
func (x *index) at(i *Info, off int64) int {
	n := len(i.Files)
	if x.filled != nil {
		n = len(x.filled)
	}
	return sort.Search(n, func(k int) bool {
		f := &i.Files[x.file(k)]
		return f.Offset+f.Length > off
	})
}

// fileAt returns the index of the file that contains the byte at off.
func (i *Info) fileAt(off int64) int { return i.index.file(i.index.at(i, off)) }

// dataEnd returns the end of the last byte below end that is not padding; 0 if there is
// none.
func (i *Info) dataEnd(end int64) int64 {
	if i.index.data == nil {
		return end
	}
	k := sort.Search(len(i.index.data), func(k int) bool { return i.Files[i.index.data[k]].Offset >= end })
	if k == 0 {
		return 0
	}
	f := &i.Files[i.index.data[k-1]]
	return min(end, f.Offset+f.Length)
}

// fileOf returns the first file with this root.
func (i *Info) fileOf(root Root) (file int, ok bool) {
	k, ok := slices.BinarySearchFunc(i.index.roots, root, func(k int32, root Root) int { return compareRoots(i.Files[k].Root, root) })
	if !ok {
		return 0, false
	}
	return int(i.index.roots[k]), true
}
