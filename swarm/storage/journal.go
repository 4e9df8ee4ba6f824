package storage

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"seedbed/internal/id"
	"seedbed/internal/piecehash"
	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
)

// Chunk is a part of a piece that has been written. Begin and Length are in bytes.
type Chunk struct {
	Piece         int
	Begin, Length uint32

	sum uint32 // CRC-32C of its bytes; 0 for a complete piece, which has a hash
}

// journal lists what was written since the last record: chunks of incomplete pieces, and
// verified pieces. Each entry is appended at once, so that a killed process loses only
// what it had in memory. When a record is written, the entries it covers are dropped. The
// journal is never synced and proves nothing: its pieces are doubtful, and the bytes of a
// chunk are compared with its checksum.
//
// The format, with all numbers big-endian:
//
//	"sbjournl" version(1) infohash(20)
//	for each chunk or piece: piece(4) begin(4) length(4) CRC-32C(4), CRC-32C of these(4)
type journal struct {
	mu       sync.Mutex
	parts    map[int][]Chunk // by piece that is not verified
	verified []int           // pieces verified since the last record, in that order
	size     int64           // of the file; 0 if there is none
}

const (
	journalSuffix = ".journal"
	journalMagic  = "sbjournl\x01"
	journalHead   = len(journalMagic) + id.Len
	journalEntry  = 20
	maxJournal    = 64 << 20 // bytes; a record is written long before
	journalHandle = -1       // its index among the open files
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (c *Chunk) append(dst []byte) []byte {
	at := len(dst)
	dst = binary.BigEndian.AppendUint32(dst, uint32(c.Piece))
	dst = binary.BigEndian.AppendUint32(dst, c.Begin)
	dst = binary.BigEndian.AppendUint32(dst, c.Length)
	dst = binary.BigEndian.AppendUint32(dst, c.sum)
	return binary.BigEndian.AppendUint32(dst, crc32.Checksum(dst[at:], castagnoli))
}

// parseJournal parses the entries up to the first truncated one, and skips invalid ones.
func parseJournal(b []byte, info *metainfo.Info) (list []Chunk, size int64) {
	if len(b) < journalHead || !bytes.HasPrefix(b, []byte(journalMagic)) || id.ID(b[len(journalMagic):journalHead]) != info.Hash {
		return nil, 0
	}
	size = int64(journalHead)
	for b = b[journalHead:]; len(b) >= journalEntry; b = b[journalEntry:] {
		if crc32.Checksum(b[:journalEntry-4], castagnoli) != binary.BigEndian.Uint32(b[journalEntry-4:]) {
			break
		}
		size += int64(journalEntry)
		c := Chunk{Piece: int(binary.BigEndian.Uint32(b)), Begin: binary.BigEndian.Uint32(b[4:]),
			Length: binary.BigEndian.Uint32(b[8:]), sum: binary.BigEndian.Uint32(b[12:])}
		if c.Piece < info.NumPieces() && c.Length > 0 && int64(c.Begin)+int64(c.Length) <= info.PieceSize(c.Piece) {
			list = append(list, c)
		}
	}
	return list, size
}

// MarkChunk records that b has been written at begin of the incomplete piece p.
func (s *Storage) MarkChunk(p int, begin uint32, b []byte) {
	c := Chunk{Piece: p, Begin: begin, Length: uint32(len(b)), sum: crc32.Checksum(b, castagnoli)}
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	s.journal.enter(c)
	s.appendJournal(c)
}

// markWhole records that piece p is verified.
func (s *Storage) markWhole(p int) {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	delete(s.journal.parts, p)
	s.journal.verified = append(s.journal.verified, p)
	s.appendJournal(s.wholePiece(p))
}

func (s *Storage) wholePiece(p int) Chunk {
	return Chunk{Piece: p, Length: uint32(s.info.PieceSize(p))}
}

// appendJournal appends an entry. Failing to write the journal is not an error: what it
// lacks is downloaded again if the process is killed before the next record.
func (s *Storage) appendJournal(c Chunk) {
	j := &s.journal
	if s.o.Record == "" || s.o.ReadOnly || j.size > maxJournal-int64(journalHead+journalEntry) {
		return
	}
	h, err := s.handles.get(handleKey{owner: s, file: journalHandle}, func() (io.Closer, error) {
		return s.state.Open(s.journalName(), os.O_RDWR|os.O_CREATE|statefile.NonBlock, 0o666)
	})
	if err != nil {
		return
	}
	defer s.handles.put(h)
	var b []byte
	if j.size == 0 {
		b = s.journalHeader()
	}
	if n, err := h.c.(File).WriteAt(c.append(b), j.size); err == nil {
		j.size += int64(n)
	}
}

// enter adds c, replacing earlier entries for its bytes.
func (j *journal) enter(c Chunk) {
	if j.parts == nil {
		j.parts = map[int][]Chunk{}
	}
	j.parts[c.Piece] = append(slices.DeleteFunc(j.parts[c.Piece], func(o Chunk) bool {
		return o.Begin < c.Begin+c.Length && c.Begin < o.Begin+o.Length
	}), c)
}

func (s *Storage) journalName() string { return filepath.Base(s.o.Record) + journalSuffix }

func (s *Storage) journalHeader() []byte { return append([]byte(journalMagic), s.info.Hash[:]...) }

// loadJournal reads the journal of the last run. An unreadable one is ignored.
func (s *Storage) loadJournal() {
	if s.o.Record == "" || s.o.ReadOnly {
		return
	}
	f, err := s.state.Open(s.journalName(), os.O_RDONLY|statefile.NonBlock, 0)
	if err != nil {
		return
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil || fi.Size() > maxJournal || !fi.Mode().IsRegular() {
		return
	}
	b := make([]byte, fi.Size())
	if n, _ := f.ReadAt(b, 0); n < len(b) {
		return
	}
	j := &s.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	var list []Chunk
	list, j.size = parseJournal(b, s.info) // a truncated entry is overwritten
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range list {
		switch {
		case int64(c.Length) < s.info.PieceSize(c.Piece):
			j.enter(c)
		case !s.synced.Has(c.Piece):
			delete(j.parts, c.Piece)
			j.verified = append(j.verified, c.Piece)
			s.doubt.Add(c.Piece)
		}
	}
}

// Chunks returns the chunks, in the order of the torrent, of pieces that are neither
// verified nor doubtful. They are read and compared with their checksums. Pieces that are
// complete but wrong are left out.
func (s *Storage) Chunks() (list []Chunk) {
	s.mu.Lock()
	settled := s.have()
	settled.AddAll(s.doubt)
	s.mu.Unlock()
	j := &s.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	for p, cs := range j.parts {
		cs = slices.DeleteFunc(cs, func(c Chunk) bool { return !s.hasBytesOf(c) })
		left := s.info.DataSize(p)
		for _, c := range cs {
			left -= int64(c.Length)
		}
		if len(cs) == 0 || left == 0 || settled.Has(p) {
			delete(j.parts, p)
			continue
		}
		j.parts[p] = cs
		list = append(list, cs...)
	}
	slices.SortFunc(list, func(a, b Chunk) int {
		return cmp.Or(cmp.Compare(a.Piece, b.Piece), cmp.Compare(a.Begin, b.Begin))
	})
	return list
}

// hasBytesOf reports whether the bytes of c are those that were written.
func (s *Storage) hasBytesOf(c Chunk) bool {
	buf := make([]byte, min(c.Length, piecehash.ReadSize))
	sum := uint32(0)
	for at := uint32(0); at < c.Length; at += uint32(len(buf)) {
		buf = buf[:min(c.Length-at, uint32(len(buf)))]
		if s.checkRead(buf, int64(c.Piece)*s.info.PieceLength+int64(c.Begin+at)) != nil {
			return false
		}
		sum = crc32.Update(sum, castagnoli, buf)
	}
	return sum == c.sum
}

// journaled returns how many verified pieces are listed. They will be in any record
// created from now on.
func (s *Storage) journaled() int {
	s.journal.mu.Lock()
	defer s.journal.mu.Unlock()
	return len(s.journal.verified)
}

// trimJournal drops what a record contains: the first n verified pieces.
func (s *Storage) trimJournal(n int) error {
	j := &s.journal
	j.mu.Lock()
	defer j.mu.Unlock()
	j.verified = slices.Delete(j.verified, 0, n)
	if j.size == 0 {
		return nil
	}
	b := s.journalHeader()
	for _, cs := range j.parts {
		for i := range cs {
			b = cs[i].append(b)
		}
	}
	for _, p := range j.verified {
		c := s.wholePiece(p)
		b = c.append(b)
	}
	name := s.journalName()
	if int64(len(b)) == j.size {
		return nil
	}
	s.handles.drop(handleKey{owner: s, file: journalHandle})
	if len(b) == journalHead {
		j.size = 0
		if err := s.state.Remove(name); kindOf(err) != Vanished {
			return err
		}
		return nil
	}
	if err := writeWhole(s.state, name+".new", b, false); err != nil {
		return err
	}
	j.size = int64(len(b))
	return s.state.Rename(name+".new", name)
}
