package storage

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"seedbed/internal/bitset"
	"seedbed/internal/piecehash"
	"seedbed/internal/statefile"
)

// A Claim says which pieces of a torrent another client has verified and how it has stored them.
// It comes from files of that client and proves nothing by itself; see Adopt.
type Claim struct {
	Pieces bitset.Set    // the pieces that the client says are correct
	Files  []ClaimedFile // one for each of Info.Files
	Suffix string        // that the client gives to the names of incomplete files, such as ".part"; "": none
	Parts  string        // name of libtorrent's part file in the download folder; "": none
}

// A ClaimedFile is one file of a Claim.
type ClaimedFile struct {
	Name string // of the complete file, relative to the download folder, with slashes; "": that of the torrent
	// Until is the latest time, in Unix seconds, at which the client may have written to the file
	// before it saved its resume data.
	Until int64
}

// Adopted is the result of Adopt.
type Adopted struct {
	Have    bitset.Set // pieces that are now proven by the resume record
	Sampled int        // pieces of them that were hashed
	Hashed  int64      // bytes that were hashed
	// Refused says why the claim is not used, so that all the data is hashed when the torrent
	// is opened; nil if it is used.
	Refused error
}

const (
	// minSample and samplePart say how many of the claimed pieces are hashed: at least minSample,
	// and one of samplePart.
	minSample  = 4
	samplePart = 100
	// maxSample limits the pieces that are hashed to have one from every file.
	maxSample = 256
)

// claimError says why a claim is not used.
type claimError struct{ reason string }

func (e *claimError) Error() string { return e.reason }

// Adopt takes over the data that another client has stored, before a torrent is opened for the
// first time, and writes the resume record. Incomplete files get the names that Open expects. The
// pieces of the claim count as verified if every file is where the claim says, has not changed
// since, and a random sample of the pieces is correct. Otherwise the next Open finds all pieces
// doubtful. The error says that there is no data at all, or that the disk failed.
//
// Adopt does nothing if a resume record exists. The options must have a Record, and neither
// ReadOnly nor Verified.
func Adopt(ctx context.Context, o Options, c *Claim) (a Adopted, err error) {
	if c.Pieces.Len() != o.Info.NumPieces() || len(c.Files) != len(o.Info.Files) {
		return Adopted{Have: bitset.New(o.Info.NumPieces()), Refused: &claimError{"it is about another torrent"}}, nil
	}
	s, err := openClaimed(o, c)
	if err != nil {
		return a, err
	}
	if !s.recorded {
		err := s.adoptClaimed(ctx, &a)
		if err == nil && a.Refused == nil {
			err = s.adoptParts(ctx, c, &a)
		}
		if err != nil {
			s.abandon()
			return a, err
		}
	}
	a.Have = s.Have()
	return a, s.Close() // writes the record
}

// adoptClaimed checks a sample of what was claimed, and prepares for the record to be written.
func (s *Storage) adoptClaimed(ctx context.Context, a *Adopted) error {
	if a.Refused = s.refused; a.Refused == nil {
		if err := s.checkSample(ctx, a); err != nil {
			return err
		}
	}
	s.places.Lock()
	s.mu.Lock()
	if a.Refused != nil {
		s.doubtAll()
	} else { // the other client may not have synced them
		s.written, s.synced = s.synced, s.written
	}
	s.changed = true
	s.recount()
	s.mu.Unlock()
	s.places.Unlock()
	s.markAllDirty()
	return nil
}

// doubtAll makes every piece doubtful. The caller holds mu.
func (s *Storage) doubtAll() {
	s.synced.Clear()
	s.doubt.Fill()
	for p := range s.info.ProvenPadding {
		s.doubt.Remove(p)
		s.synced.Add(p)
	}
}

// abandon closes the files without writing a record.
func (s *Storage) abandon() {
	s.places.Lock()
	defer s.places.Unlock()
	s.closed = true
	s.handles.dropAll(s)
	s.unlock()
}

// checkSample hashes a sample of the verified pieces.
func (s *Storage) checkSample(ctx context.Context, a *Adopted) error {
	buf := make([]byte, piecehash.ReadSize)
	for _, p := range s.samplePieces() {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		ok, err := s.HashPiece(p, buf)
		a.Sampled++
		a.Hashed += s.info.DataSize(p)
		switch kind := kindOf(err); {
		case err != nil && kind != Truncated && kind != Vanished && kind != Changed:
			return err
		case err != nil || !ok:
			a.Refused = &claimError{fmt.Sprintf("piece %d is not as the other client says", p)}
			return nil
		}
	}
	return nil
}

// samplePieces returns a random sample of the verified pieces, which has one from every file if
// that takes at most maxSample.
func (s *Storage) samplePieces() []int {
	var claimed []int
	for p := range s.Have().All() {
		if !s.info.IsPadding(p) {
			claimed = append(claimed, p)
		}
	}
	rand.Shuffle(len(claimed), func(i, j int) { claimed[i], claimed[j] = claimed[j], claimed[i] })
	claimed = claimed[:min(len(claimed), max(minSample, len(claimed)/samplePart))]
	have, chosen := s.Have(), bitset.New(s.info.NumPieces())
	for _, p := range claimed {
		chosen.Add(p)
	}
	for n, i := range rand.Perm(len(s.info.Files)) {
		first, end := s.info.PiecesOf(i)
		if n >= maxSample {
			break
		}
		if s.info.Files[i].Pad || first == end || touches(chosen, first, end) {
			continue
		}
		if p := have.Next(first + rand.IntN(end-first)); p >= 0 && p < end && chosen.Add(p) {
			claimed = append(claimed, p)
		}
	}
	slices.Sort(claimed)
	return claimed
}

// touches reports whether set has a number in [first, end).
func touches(set bitset.Set, first, end int) bool {
	p := set.Next(first)
	return p >= 0 && p < end
}

// claimed returns the record that a claim amounts to, with the files in their places. If the claim
// is not usable, s.refused says why.
func (s *Storage) claimed(c *Claim) (*record, error) {
	names, err := s.claimNames(c)
	if err != nil {
		return nil, err
	}
	r := &record{hash: s.info.Hash, dir: recordDir(s.dir), synced: c.Pieces.Clone(), written: bitset.New(s.info.NumPieces()),
		files: make([]fileRecord, len(s.info.Files))}
	found, expected := false, false // whether a file exists, and whether one should
	for i := range s.info.Files {
		f := &s.info.Files[i]
		if !f.IsRegular() || f.Length == 0 {
			continue
		}
		first, end := s.info.PiecesOf(i)
		isClaimed := touches(c.Pieces, first, end)
		known, err := s.claimFile(i, c, isClaimed)
		var e *claimError
		switch {
		case errors.As(err, &e):
			s.refused = firstOf(s.refused, e)
		case err != nil:
			return nil, err
		}
		r.files[i] = known
		found = found || known.place != absent || e != nil
		expected = expected || isClaimed
		if known.place == absent && e == nil && s.files[i].wanted && isClaimed {
			s.refused = firstOf(s.refused, &claimError{fmt.Sprintf("%s is not there", s.final(i))})
		}
	}
	if expected && !found {
		return nil, wrap("find", filepath.Join(s.dir, s.root), errGone)
	}
	return r, s.writeNames(names)
}

// claimNames chooses the names of the files.
func (s *Storage) claimNames(c *Claim) (chosenNames, error) {
	names, err := s.findNames()
	if err != nil {
		return names, err
	}
	s.setNames(names)
	for i, f := range c.Files {
		name := filepath.FromSlash(f.Name)
		if name == "" || name == s.final(i) || !s.info.Files[i].IsRegular() {
			continue
		}
		if !usable(name) {
			return names, wrap("find", filepath.Join(s.dir, name), errOutside)
		}
		names.files[i] = filepath.Clean(name)
	}
	s.setNames(names)
	names = s.layout.choose(s.final)
	s.setNames(names)
	return names, nil
}

// errOutside is the error about data that is not below the download folder.
var errOutside = errors.New("it is outside of the download folder")

// claimFile returns the place of a file. An incomplete one gets the name and the size for that.
func (s *Storage) claimFile(i int, c *Claim, isClaimed bool) (known fileRecord, err error) {
	f, size := &c.Files[i], s.info.Files[i].Length
	name := s.final(i)
	fi, err := s.claimedInfo(name)
	if err == nil && fi == nil && c.Suffix != "" {
		name += c.Suffix
		fi, err = s.claimedInfo(name)
	}
	if err == nil && fi == nil { // an import that was killed may have renamed it
		name = s.part(i)
		fi, err = s.claimedInfo(name)
	}
	if err != nil || fi == nil {
		return known, err
	}
	switch {
	case !fi.Mode().IsRegular():
		return known, &claimError{fmt.Sprintf("%s is not a regular file", name)}
	case fi.Size() > size:
		return known, &claimError{fmt.Sprintf("%s is longer than in the torrent", name)}
	case isClaimed && fi.ModTime().Unix() > f.Until:
		err = &claimError{fmt.Sprintf("%s has changed since the other client saved its resume data", name)}
	case fi.Size() < s.claimedEnd(i, c):
		err = &claimError{fmt.Sprintf("%s is shorter than the other client says", name)}
	}
	known = fileRecord{place: inFinal, size: size, mtime: fi.ModTime().UnixNano()}
	if name == s.final(i) && fi.Size() == size && isClaimed {
		return known, err
	}
	known.place = inPart
	if e := s.claimPart(i, name); e != nil {
		return known, e
	}
	now, e := s.disk.Lstat(s.part(i))
	if e != nil {
		return known, wrap("find", filepath.Join(s.dir, s.part(i)), e)
	}
	known.mtime = now.ModTime().UnixNano()
	return known, err
}

// claimedInfo returns what has a name, or nil.
func (s *Storage) claimedInfo(name string) (fs.FileInfo, error) {
	fi, err := s.disk.Lstat(name)
	if err != nil && kindOf(err) == Vanished {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("find", filepath.Join(s.dir, name), err)
	}
	return fi, nil
}

// claimPart renames an incomplete file to the name for incomplete files and gives it its full size.
func (s *Storage) claimPart(i int, name string) error {
	if name != s.part(i) {
		if fi, err := s.claimedInfo(s.part(i)); fi != nil || err != nil {
			return firstOf(err, wrap("rename", filepath.Join(s.dir, s.part(i)), ErrExists))
		}
		if err := s.disk.Rename(name, s.part(i)); err != nil {
			return wrap("rename", filepath.Join(s.dir, name), err)
		}
	}
	s.files[i].place = inPart
	s.markDirDirty(i)
	return s.restoreFile(i, nil)
}

// claimedEnd returns where the last claimed byte of a file ends.
func (s *Storage) claimedEnd(i int, c *Claim) int64 {
	f := &s.info.Files[i]
	first, end := s.info.PiecesOf(i)
	for p := end - 1; p >= first; p-- {
		if c.Pieces.Has(p) {
			return min(f.Length, int64(p+1)*s.info.PieceLength-f.Offset)
		}
	}
	return 0
}

// adoptParts copies those claimed pieces that have bytes in libtorrent's part file, because they
// are shared with files that are not wanted. Each is hashed. A damaged part file costs these pieces.
//
// The part file begins with the number of pieces, their length, and the slot of each piece, or
// 0xffffffff; all are big-endian numbers of 4 bytes. The slots follow at a multiple of 1 KiB.
func (s *Storage) adoptParts(ctx context.Context, c *Claim, a *Adopted) error {
	if c.Parts == "" || len(s.shared) == 0 {
		return nil
	}
	fi, err := s.claimedInfo(c.Parts)
	if err != nil || fi == nil || !fi.Mode().IsRegular() {
		return err
	}
	f, err := s.disk.Open(c.Parts, os.O_RDONLY|statefile.NonBlock, 0)
	if err != nil {
		return wrap("open", filepath.Join(s.dir, c.Parts), err)
	}
	defer f.Close()
	n := s.info.NumPieces()
	word := func(at int64) uint32 {
		var b [4]byte
		if _, err := f.ReadAt(b[:], at); err != nil {
			return 1<<32 - 1
		}
		return binary.BigEndian.Uint32(b[:])
	}
	if word(0) != uint32(n) || int64(word(4)) != s.info.PieceLength {
		return nil
	}
	begin := (int64(2+n)*4 + 1023) &^ 1023
	buf := make([]byte, piecehash.ReadSize)
	for _, p := range s.shared {
		slot := word(8 + 4*int64(p))
		if !c.Pieces.Has(int(p)) || s.Have().Has(int(p)) || int64(slot) >= int64(n) {
			continue
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := s.copySlot(f, begin+int64(slot)*s.info.PieceLength, int(p), buf); err != nil {
			return err
		}
		a.Hashed += s.info.DataSize(int(p))
		if ok, err := s.HashPiece(int(p), buf); err == nil && ok {
			s.MarkVerified(int(p))
		}
	}
	return nil
}

// copySlot copies from a slot the bytes of a piece that belong to files which do not exist.
func (s *Storage) copySlot(f File, slot int64, p int, buf []byte) error {
	at := int64(p) * s.info.PieceLength
	for sp := range s.info.PieceSpans(p) {
		for left := sp.Length; left > 0; {
			b := buf[:min(left, int64(len(buf)))]
			if s.files[sp.File].place == absent && !s.info.Files[sp.File].Pad {
				if _, err := f.ReadAt(b, slot+at-int64(p)*s.info.PieceLength); err != nil {
					return nil // it is shorter than it says
				}
				if err := s.WriteAt(b, at); err != nil {
					return err
				}
			}
			at, left = at+int64(len(b)), left-int64(len(b))
		}
	}
	return nil
}
