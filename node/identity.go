package node

import "seedbed/internal/id"

// Hashes returns the v1 and the v2 infohash (BEP 52), each zero if the torrent has none or while
// it is not known. It does not read the metadata of a parked torrent.
func (t *Torrent) Hashes() (v1 id.ID, v2 id.ID32) {
	if i := t.info.Load(); i != nil {
		if i.HasV1() {
			v1 = i.Hash
		}
		return v1, i.HashV2
	}
	if m := t.summary.Load(); m != nil {
		if m.hasV1 {
			v1 = m.hash
		}
		if m.hashV2 != nil {
			v2 = *m.hashV2
		}
		return v1, v2
	}
	s := t.spec()
	switch {
	case s.Torrent != nil && s.Torrent.Info.HasV1():
		v1 = s.Torrent.Info.Hash
	case s.Link != nil && s.Link.HasInfoHash:
		v1 = s.Link.InfoHash
	}
	return v1, s.InfoHashV2()
}

// IsPrivate reports whether the torrent is private (BEP 27), as far as the metadata is known.
func (t *Torrent) IsPrivate() bool { return t.private.Load() }

// Layout returns the number of files, without padding, and the length of a piece in bytes, both 0
// while they are not known. It does not read the metadata of a torrent that does not run.
func (t *Torrent) Layout() (files int, pieceLength int64) {
	if i := t.info.Load(); i != nil {
		return i.Stored(), i.PieceLength
	}
	if m := t.summary.Load(); m != nil {
		return int(m.files), int64(m.pieceLength)
	}
	return 0, 0
}
