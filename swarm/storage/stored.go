package storage

import (
	"os"
	"path/filepath"

	"seedbed/internal/bitset"
)

// Stored reads the verified data of a torrent that does not run. It changes nothing: it hashes
// nothing, and writes no record. Its methods may be called concurrently.
type Stored struct {
	s    *Storage
	have bitset.Set
}

// OpenStored finds the data that the resume record proves.
func OpenStored(o Options) (*Stored, error) {
	o.ReadOnly, o.Verified = true, false
	if _, err := os.Stat(filepath.Dir(o.Record)); err != nil { // Open would create it, after the torrent was removed
		return nil, wrap("open", filepath.Dir(o.Record), err)
	}
	s, err := Open(o)
	if err != nil {
		return nil, err
	}
	return &Stored{s, s.Have()}, nil
}

// Has reports whether a piece is verified.
func (v *Stored) Has(piece int) bool { return v.have.Has(piece) }

// ReadAt reads verified data of a piece, starting at begin; Has must be true for all of it. The
// error is an *Error.
func (v *Stored) ReadAt(b []byte, piece int, begin int64) error {
	return v.s.ReadAt(b, int64(piece)*v.s.info.PieceLength+begin)
}

// Close closes the files.
func (v *Stored) Close() {
	v.s.places.Lock()
	v.s.closed = true
	v.s.places.Unlock()
	v.s.handles.dropAll(v.s)
}
