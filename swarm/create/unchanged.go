package create

import (
	"strings"

	"seedbed/magnet/metainfo"
)

// PieceLength returns the piece length of a torrent with this many bytes that is made after m, which may be nil: that of m, unless
// the data has become much larger.
func (m *Made) PieceLength(total int64) int64 {
	fit := metainfo.PieceLengthFor(total)
	if m == nil || fit > 4*m.Info.PieceLength {
		return fit
	}
	return m.Info.PieceLength
}

// Unchanged returns the digests of the pieces of those files of a draft that have the same stamp as in m, by piece of the draft.
// stampOf returns the stamp of a file of its plan. There are none if m is nil, or if the torrents differ in more than their files.
func (m *Made) Unchanged(d *metainfo.Draft, stampOf func(file int) Stamp) map[int]metainfo.Digest {
	info := d.Layout()
	if m == nil || !info.HasV2() { // pieces of v1 can be of several files
		return nil
	}
	old := m.Info
	if old.PieceLength != info.PieceLength || old.HasV1() != info.HasV1() || !old.HasV2() || !old.HasLayers() || old.IsMulti() != info.IsMulti() {
		return nil
	}
	index := map[string]int{}
	for i := range old.Files {
		if !old.Files[i].Pad && i < len(m.Stamps) && m.Stamps[i] != (Stamp{}) {
			index[strings.Join(old.Files[i].Path, "/")] = i
		}
	}
	out := map[int]metainfo.Digest{}
	for file, at := range d.Files {
		i, ok := index[strings.Join(info.Files[at].Path, "/")]
		if !ok || m.Stamps[i] != stampOf(file) {
			continue
		}
		first, end := old.PiecesOf(i)
		begin, _ := info.PiecesOf(at)
		for p := first; p < end; p++ {
			out[begin+p-first] = old.Digest(p)
		}
	}
	return out
}
