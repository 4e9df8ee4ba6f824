package storage

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"

	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
)

// The record of names has the names that differ from those of the torrent, and the rename that
// is in progress, if there is one. It is replaced as a whole.
//
// The format, with all numbers big-endian:
//
//	"sbnames" version(1) infohash(20) dirLength(2) dir
//	names
//	in version 2: names after the rename
//	              number(4) of moves, for each: length(2) from, length(2) to
//	SHA-256 of all that
//
// Names are:
//
//	limit(2) rootLength(2) root
//	in version 2: number(4) of files
//	for each file with a name of its own: file(4) length(2) name, with slashes
const (
	namesMagic     = "sbnames"
	namesVersion   = 1
	renamesVersion = 2 // with a rename that is in progress
	namesSuffix    = ".names"
	maxNamesFile   = 1 << 30 // a million paths of 256 bytes, twice, and their moves
)

// recordNames replaces the record of names. pending is a rename that is about to begin, or nil.
func (s *Storage) recordNames(n chosenNames, pending *renaming) error {
	if s.o.Record == "" {
		return nil
	}
	name := filepath.Base(s.o.Record) + namesSuffix
	err := writeWhole(s.state, name+".new", s.appendNames(nil, n, pending), true)
	if err == nil {
		err = s.state.Rename(name+".new", name)
	}
	if err == nil {
		err = s.state.SyncDir(".")
	}
	return wrapNil("write", s.o.Record+namesSuffix, err)
}

func (s *Storage) appendNames(dst []byte, n chosenNames, pending *renaming) []byte {
	start := len(dst)
	version := byte(namesVersion)
	if pending != nil {
		version = renamesVersion
	}
	dst = append(append(dst, namesMagic...), version)
	dst = append(dst, s.info.Hash[:]...)
	dst = appendText(dst, recordDir(s.dir))
	dst = s.appendChosen(dst, n, version)
	if pending != nil {
		dst = s.appendChosen(dst, pending.after, version)
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(pending.moves)))
		for _, m := range pending.moves {
			dst = appendText(appendText(dst, filepath.ToSlash(m.from)), filepath.ToSlash(m.to))
		}
	}
	return append(dst, checksum(dst[start:])...)
}

func appendText(dst []byte, v string) []byte {
	return append(binary.BigEndian.AppendUint16(dst, uint16(len(v))), v...)
}

func (s *Storage) appendChosen(dst []byte, n chosenNames, version byte) []byte {
	dst = binary.BigEndian.AppendUint16(dst, uint16(n.limit))
	dst = appendText(dst, n.root)
	if version == renamesVersion {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(n.files)))
	}
	for i := range s.info.Files {
		if name, ok := n.files[i]; ok {
			dst = binary.BigEndian.AppendUint32(dst, uint32(i))
			dst = appendText(dst, filepath.ToSlash(name))
		}
	}
	return dst
}

// loadNames reads the record of names. If it is damaged or belongs to another folder, the
// names are determined again.
func (s *Storage) loadNames() (n chosenNames, pending *renaming, found bool, err error) {
	if s.o.Record == "" {
		return n, nil, false, nil
	}
	f, err := s.state.Open(filepath.Base(s.o.Record)+namesSuffix, statefile.NonBlock, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return n, nil, false, nil
	}
	if err != nil {
		return n, nil, false, wrap("read", s.o.Record+namesSuffix, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return n, nil, false, wrap("read", s.o.Record+namesSuffix, err)
	}
	if fi.Size() > maxNamesFile || !fi.Mode().IsRegular() {
		return n, nil, false, nil
	}
	b := make([]byte, fi.Size())
	if got, err := f.ReadAt(b, 0); got < len(b) {
		return n, nil, false, wrap("read", s.o.Record+namesSuffix, err)
	}
	n, pending, found = s.parseNames(b)
	return n, pending, found, nil
}

// parseNames parses a record of names. ok is false if it is invalid, or belongs to
// another torrent or folder.
func (s *Storage) parseNames(b []byte) (n chosenNames, pending *renaming, ok bool) {
	if len(b) < len(namesMagic)+1+sha256.Size {
		return n, nil, false
	}
	body, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	version := body[len(namesMagic)]
	head := append(append([]byte(namesMagic), version), s.info.Hash[:]...)
	if !bytes.Equal(checksum(body), sum) || !bytes.HasPrefix(body, head) || version != namesVersion && version != renamesVersion {
		return n, nil, false
	}
	r := namesReader{body: body[len(head):], info: s.info}
	if dir := r.text(); dir != recordDir(s.dir) {
		return n, nil, false
	}
	if version == namesVersion {
		n = r.chosen(func(int) bool { return len(r.body) > 0 })
		return n, nil, !r.bad
	}
	counted := func() chosenNames {
		count := -1
		return r.chosen(func(k int) bool {
			if count < 0 {
				count = r.number()
			}
			return k < count
		})
	}
	n = counted()
	pending = &renaming{after: counted()}
	for k, count := 0, r.number(); k < count && !r.bad; k++ {
		m := nameMove{from: r.name(), to: r.name()}
		pending.moves = append(pending.moves, m)
	}
	return n, pending, !r.bad && len(r.body) == 0
}

// A namesReader parses a record of names. bad is set if it is invalid.
type namesReader struct {
	body []byte
	info *metainfo.Info
	bad  bool
}

// take returns the next n bytes, or zeros if there are not that many.
func (r *namesReader) take(n int) []byte {
	if r.bad = r.bad || len(r.body) < n; r.bad {
		return make([]byte, n)
	}
	b := r.body[:n]
	r.body = r.body[n:]
	return b
}

func (r *namesReader) number() int { return int(binary.BigEndian.Uint32(r.take(4))) }

func (r *namesReader) text() string {
	return string(r.take(int(binary.BigEndian.Uint16(r.take(2)))))
}

// name returns a name below the download folder.
func (r *namesReader) name() string {
	name := filepath.FromSlash(r.text())
	r.bad = r.bad || !usable(name)
	return name
}

// chosen returns names. more reports whether another file follows the first k ones.
func (r *namesReader) chosen(more func(k int) bool) (n chosenNames) {
	n.limit = int(binary.BigEndian.Uint16(r.take(2)))
	n.root = r.text()
	if n.limit != 0 && n.limit != shortName || n.root != "" && (!usable(n.root) || strings.ContainsAny(n.root, `/`)) {
		r.bad = true
	}
	n.files = map[int]string{}
	for k := 0; more(k) && !r.bad; k++ {
		i := r.number()
		name := r.name()
		if i < 0 || i >= len(r.info.Files) {
			r.bad = true
		}
		n.files[i] = name
	}
	return n
}
