package storage

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"

	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
)

// place is the location of a file's bytes.
type place uint8

const (
	absent  place = iota // nowhere, or its part of shared pieces in the parts file
	inPart               // under the name for incomplete files
	inFinal              // under its final name
)

// record is the resume record: the state of the files.
//
// The format, with all numbers big-endian:
//
//	"sbresume" version(1) infohash(20) pieces(4) files(4) dirLength(2) dir
//	synced bitfield, written bitfield
//	for each file: place(1) size(8) mtime(8)
//	SHA-256 of all that
type record struct {
	hash    id.ID
	dir     string     // absolute path of the download folder
	synced  bitset.Set // pieces that are on the disk
	written bitset.Set // pieces that a power cut may destroy; not in synced
	files   []fileRecord
}

type fileRecord struct {
	place place
	size  int64
	mtime int64 // Unix nanoseconds; 0 while the file is being written to
}

const (
	recordMagic   = "sbresume"
	recordVersion = 1
	recordHead    = len(recordMagic) + 1 + 20 + 4 + 4 + 2
	recordFile    = 1 + 8 + 8
	maxRecordDir  = 4 << 10
)

// recordSize returns the length of a torrent's record.
func recordSize(info *metainfo.Info, dir string) int {
	return recordHead + len(dir) + 2*((info.NumPieces()+7)/8) + recordFile*len(info.Files) + sha256.Size
}

// RecordError says why a resume record is not used.
type RecordError struct{ Reason string }

func (e *RecordError) Error() string {
	return "the resume record " + e.Reason + "; checking the files instead"
}

func (r *record) append(dst []byte) []byte {
	start := len(dst)
	dst = append(dst, recordMagic...)
	dst = append(dst, recordVersion)
	dst = append(dst, r.hash[:]...)
	dst = binary.BigEndian.AppendUint32(dst, uint32(r.synced.Len()))
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(r.files)))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(r.dir)))
	dst = append(dst, r.dir...)
	dst = r.written.AppendTo(r.synced.AppendTo(dst))
	for _, f := range r.files {
		dst = append(dst, byte(f.place))
		dst = binary.BigEndian.AppendUint64(dst, uint64(f.size))
		dst = binary.BigEndian.AppendUint64(dst, uint64(f.mtime))
	}
	return append(dst, checksum(dst[start:])...)
}

// seal returns the checksum of the record, which ends it.
func (r *record) seal() [sha256.Size]byte {
	b := r.append(nil)
	return [sha256.Size]byte(b[len(b)-sha256.Size:])
}

// checksum returns the checksum at the end of a record.
func checksum(body []byte) []byte {
	sum := sha256.Sum256(body)
	return sum[:]
}

// parseRecord parses the record of the torrent with this infohash and these numbers of
// pieces and files. It allocates only what these require. The error is a *RecordError.
func parseRecord(b []byte, hash id.ID, pieces, files int) (*record, error) {
	if len(b) < recordHead+sha256.Size || !bytes.HasPrefix(b, []byte(recordMagic)) {
		return nil, &RecordError{"is none"}
	}
	body, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	if sha256.Sum256(body) != [sha256.Size]byte(sum) {
		return nil, &RecordError{"is damaged"}
	}
	body = body[len(recordMagic):]
	if body[0] != recordVersion {
		return nil, &RecordError{"has another version"}
	}
	r := &record{hash: id.ID(body[1:21])}
	body = body[21:]
	dir := int(binary.BigEndian.Uint16(body[8:]))
	switch {
	case r.hash != hash, binary.BigEndian.Uint32(body) != uint32(pieces), binary.BigEndian.Uint32(body[4:]) != uint32(files):
		return nil, &RecordError{"belongs to another torrent"}
	case dir > maxRecordDir, len(body) != 10+dir+2*((pieces+7)/8)+recordFile*files:
		return nil, &RecordError{"has the wrong length"}
	}
	r.dir = string(body[10 : 10+dir])
	body = body[10+dir:]
	var err error
	for _, s := range []*bitset.Set{&r.synced, &r.written} {
		n := (pieces + 7) / 8
		if *s, err = bitset.Parse(body[:n], pieces); err != nil {
			return nil, &RecordError{"has a bad bitfield"}
		}
		body = body[n:]
	}
	if r.synced.CountAnd(r.written) != 0 {
		return nil, &RecordError{"contradicts itself"}
	}
	r.files = make([]fileRecord, files)
	for i := range r.files {
		f := fileRecord{place(body[0]), int64(binary.BigEndian.Uint64(body[1:])), int64(binary.BigEndian.Uint64(body[9:]))}
		if f.place > inFinal || f.size < 0 {
			return nil, &RecordError{"has a bad file entry"}
		}
		r.files[i] = f
		body = body[recordFile:]
	}
	return r, nil
}

// RecordedPieces returns which pieces a resume record says are verified, without opening the
// files. It returns no pieces if there is no record, or one of another torrent.
func RecordedPieces(path string, info *metainfo.Info) bitset.Set {
	b, err := statefile.ReadMax(path, int64(recordSize(info, "")+maxRecordDir))
	if err != nil {
		return bitset.New(info.NumPieces())
	}
	r, err := parseRecord(b, info.Hash, info.NumPieces(), len(info.Files))
	if err != nil {
		return bitset.New(info.NumPieces())
	}
	r.synced.AddAll(r.written)
	return r.synced
}
