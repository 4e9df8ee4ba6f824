package node

import (
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
)

// A summary holds the facts about a torrent whose metadata is not in memory.
type summary struct {
	name               string
	hash               id.ID    // metainfo.Info.Hash
	hashV2             *id.ID32 // nil for a v1 torrent
	hasV1              bool
	size, wanted, have int64
	pieces, havePieces int32
	files, pieceLength int32 // 0 in records of earlier versions
}

func summarize(info *metainfo.Info, s *engine.Stats) *summary {
	m := &summary{name: info.Name, hash: info.Hash, hasV1: info.HasV1(), size: info.Payload(), wanted: s.Wanted, have: s.HaveWanted,
		pieces: int32(info.NumPieces()), havePieces: int32(s.HavePieces), files: int32(info.Stored()), pieceLength: int32(info.PieceLength)}
	if info.HasV2() {
		v2 := info.HashV2
		m.hashV2 = &v2
	}
	return m
}

// summary returns the summary of a torrent without verified pieces.
func (s *Spec) summary() *summary {
	info := s.Torrent.Info
	files, err := s.files(info)
	if err != nil {
		files = nil // starting the torrent reports the error
	}
	set := fileSet(info, files)
	wanted := int64(0)
	for i := range info.Files {
		if f := &info.Files[i]; !f.Pad && (files == nil || set.Has(i)) {
			wanted += f.Length
		}
	}
	return summarize(info, &engine.Stats{Wanted: wanted})
}

// hashes returns the infohashes of the torrent, like hashesOf.
func (m *summary) hashes() []id.ID {
	list := []id.ID{m.hash}
	if m.hasV1 && m.hashV2 != nil {
		list = append(list, m.hashV2.Short())
	}
	return list
}

// describe is the function describe for a torrent whose metadata is not in memory.
func (m *summary) describe(l *magnet.Link) {
	l.Name, l.Length = m.name, m.size
	if m.hasV1 {
		l.InfoHash, l.HasInfoHash = m.hash, true
	}
	if l.HasV2 = m.hashV2 != nil; l.HasV2 {
		l.V2 = *m.hashV2
	}
}

// isComplete reports whether no piece was missing.
func (m *summary) isComplete() bool { return m.have == m.wanted && m.havePieces == m.pieces }

// stats returns the counts of a torrent that does not run.
func (m *summary) stats() engine.Stats {
	return engine.Stats{Metadata: true, Complete: m.have == m.wanted, Size: m.size, Wanted: m.wanted, Have: m.have, HaveWanted: m.have,
		Pieces: int(m.pieces), HavePieces: int(m.havePieces)}
}

// fill sets the counts that a swarm does not know before it has opened its files. It is not
// Complete until they are open.
func (m *summary) fill(s *engine.Stats) {
	known := m.stats()
	s.Metadata, s.Size, s.Wanted, s.Have, s.HaveWanted, s.Pieces, s.HavePieces = true, known.Size, known.Wanted, known.Have, known.HaveWanted, known.Pieces, known.HavePieces
}

// record returns the form of the summary that is stored in a record.
func (m *summary) record(private bool) *recordSummary {
	r := &recordSummary{Name: m.name, Size: m.size, Wanted: m.wanted, Have: m.have, Pieces: int(m.pieces), HavePieces: int(m.havePieces), Private: private,
		Files: m.files, PieceLength: m.pieceLength}
	if m.hasV1 {
		r.Hash = m.hash.String()
	}
	if m.hashV2 != nil {
		r.HashV2 = m.hashV2.String()
	}
	return r
}

// namesTorrent reports whether r has an infohash.
func (r *recordSummary) namesTorrent() bool { return r != nil && (r.Hash != "" || r.HashV2 != "") }

// summary returns the summary that is stored in a record. It returns nil if r is nil or has no
// infohash: the torrent then starts from its saved metadata.
func (r *recordSummary) summary() (*summary, error) {
	if !r.namesTorrent() {
		return nil, nil
	}
	m := &summary{name: r.Name, size: r.Size, wanted: r.Wanted, have: r.Have, pieces: int32(r.Pieces), havePieces: int32(r.HavePieces),
		files: r.Files, pieceLength: r.PieceLength}
	if r.HashV2 != "" {
		v2, err := id.ParseHex32(r.HashV2)
		if err != nil {
			return nil, err
		}
		m.hashV2, m.hash = &v2, v2.Short()
	}
	if r.Hash != "" {
		hash, err := id.ParseHex(r.Hash)
		if err != nil {
			return nil, err
		}
		m.hash, m.hasV1 = hash, true
	}
	return m, nil
}
