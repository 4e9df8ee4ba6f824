// Package journal keeps one record for each of many keys in a single file, which is only appended to.
// Many small files would take a sync each, and seconds to create or to read.
//
//	Put, Delete   append a line. A kill does not undo it; a power cut can.
//	Sync          makes everything before it survive a power cut.
//
// The file has a line for each change, with a checksum of the rest of the line:
//
//	CRC KEY VALUE      KEY has this value from now on
//	CRC KEY            KEY has none
//	CRC synced BYTES   everything but the last BYTES bytes before this line was synced
//
// What is damaged after the part that was synced is left over from a power cut, and is dropped without
// a word. What is damaged before costs the line alone, and Damage reports it, as it does a file without one
// valid line. When most lines are out of date, Sync writes the file again without them.
package journal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
)

// MaxValue is the limit of a value, in bytes.
const MaxValue = 32 << 20

// A Journal is an open journal. Its methods may be called at the same time. One process at a time may
// write a journal; its owner sees to that.
type Journal struct {
	path string

	syncing sync.Mutex // held by Sync; locked before mu

	mu     sync.Mutex
	file   *os.File // nil until the first change, if there was no file
	index  map[id.ID]span
	size   int64 // where the next line begins
	live   int64 // bytes of the lines in index
	synced int64 // the bytes before were synced
	marked int64 // the bytes before are known to be synced from a line
	line   []byte

	isClosed  bool
	isNamed   bool  // the name of the file was synced
	isTorn    bool  // the file is longer than size: a line was not written as a whole
	isSuspect bool  // a sync or a deletion has failed, or there is damage: the file must be written again
	isKept    bool  // the damaged file was kept under another name
	nextRound int64 // the size from which on rewrite is tried again
	damage    *DamageError
}

// span is the place of a line in the file.
type span struct {
	at int64
	n  int32
}

// DamageError reports damaged lines.
type DamageError struct {
	Path  string
	Lines int
	First int64 // the first byte of the first one
}

func (e *DamageError) Error() string {
	lines := "a line is"
	if e.Lines > 1 {
		lines = fmt.Sprintf("%d lines are", e.Lines)
	}
	return fmt.Sprintf("%s is damaged: %s not readable, from byte %d on", e.Path, lines, e.First)
}

// Open reads the journal at path. The file is created by the first change.
func Open(path string) (*Journal, error) {
	j := &Journal{path: path, index: map[id.ID]span{}}
	_ = os.Remove(path + newSuffix) // a kill has interrupted rewrite
	f, err := statefile.OpenAppend(path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err != nil {
		return nil, err
	}
	if err := j.load(f); err != nil {
		f.Close()
		return nil, err
	}
	if j.size == 0 && j.damage != nil { // the first line would overwrite it
		err := errors.Join(f.Close(), os.Rename(path, path+damagedSuffix))
		return &Journal{path: path, index: j.index, damage: j.damage, isKept: true}, err
	}
	j.file = f
	return j, nil
}

// Has reports whether the journal at path has the key. Another process may write it meanwhile.
func Has(path string, key id.ID) (bool, error) {
	f, err := statefile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	j := &Journal{path: path, index: map[id.ID]span{}}
	if err := j.load(f); err != nil {
		return false, err
	}
	_, has := j.index[key]
	return has, nil
}

// Damage returns a *DamageError if lines were damaged when the journal was opened, and nil otherwise.
// The keys have the values of the lines before. The next Sync keeps the damaged file under its name with
// ".damaged"; Open does if no line is valid.
func (j *Journal) Damage() error {
	if j.damage == nil {
		return nil
	}
	return j.damage
}

// Keys returns all keys, in no order.
func (j *Journal) Keys() []id.ID {
	j.mu.Lock()
	defer j.mu.Unlock()
	keys := make([]id.ID, 0, len(j.index))
	for k := range j.index {
		keys = append(keys, k)
	}
	return keys
}

// Has reports whether there is a value for key.
func (j *Journal) Has(key id.ID) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	_, has := j.index[key]
	return has
}

// Get returns the value of key, or fs.ErrNotExist.
func (j *Journal) Get(key id.ID) ([]byte, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	s, has := j.index[key]
	if !has {
		return nil, fs.ErrNotExist
	}
	if err := j.open(); err != nil {
		return nil, err
	}
	b := make([]byte, s.n)
	if _, err := j.file.ReadAt(b, s.at); err != nil {
		return nil, err
	}
	l, ok := parse(b)
	if !ok || l.key != key {
		return nil, &DamageError{j.path, 1, s.at}
	}
	return l.value, nil
}

// Put sets the value of key. The value has no line break.
func (j *Journal) Put(key id.ID, value []byte) error {
	switch {
	case len(value) == 0 || len(value) > MaxValue:
		return fmt.Errorf("a value of %d bytes does not fit in the journal", len(value))
	case bytes.IndexByte(value, '\n') >= 0:
		return errors.New("a value with a line break does not fit in the journal")
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	s, err := j.append(key.String(), value)
	if err != nil {
		return err
	}
	j.live += int64(s.n) - int64(j.index[key].n)
	j.index[key] = s
	return nil
}

// Delete deletes key, if there is a value for it. If the line cannot be written, as on a full disk, the key
// is deleted nevertheless, and the next Sync writes the file again without it.
func (j *Journal) Delete(key id.ID) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	s, has := j.index[key]
	if !has {
		return nil
	}
	_, err := j.append(key.String(), nil)
	j.isSuspect = j.isSuspect || err != nil
	j.live -= int64(s.n)
	delete(j.index, key)
	return err
}

// open opens the file, unless it is open. It creates a file only for the first line: the index would not
// fit an empty file in the place of one that has vanished. mu is held.
func (j *Journal) open() (err error) {
	switch {
	case j.isClosed:
		return fs.ErrClosed
	case j.file == nil:
		j.file, err = statefile.OpenAppend(j.path, j.size == 0)
	}
	return err
}

// append writes a line. mu is held.
func (j *Journal) append(name string, value []byte) (s span, err error) {
	if err := j.open(); err != nil {
		return s, err
	}
	b := j.line[:0]
	if j.synced > j.marked {
		b = j.appendMark(b)
	}
	begin := len(b)
	b = appendLine(b, name, value)
	if j.line = b; cap(b) > maxKept {
		j.line = nil
	}
	s = span{j.size + int64(begin), int32(len(b) - begin)}
	return s, j.write(b)
}

func (j *Journal) appendMark(b []byte) []byte {
	return appendLine(b, markName, strconv.AppendInt(nil, j.size-j.synced, 10))
}

// write appends b, which begins with a mark if there is something to mark. mu is held.
func (j *Journal) write(b []byte) error {
	if j.isTorn {
		if err := j.file.Truncate(j.size); err != nil {
			return err
		}
		j.isTorn = false
	}
	if _, err := j.file.Write(b); err != nil {
		j.isTorn = true
		return err
	}
	j.size += int64(len(b))
	j.marked = j.synced
	return nil
}

// maxKept limits the buffer that is kept for the next line.
const maxKept = 64 << 10

// Sync makes everything before it survive a power cut. It waits for the disk; Put and Delete do not wait
// for Sync. If it fails, the next Sync writes everything again.
func (j *Journal) Sync() error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	if must, can := j.wantsRewrite(); must || can {
		if err := j.rewrite(); err != nil {
			j.mu.Lock()
			j.isSuspect = j.isSuspect || must
			j.nextRound = 2 * j.size // such as a full disk: otherwise the file stays as it is for now
			j.mu.Unlock()
			if must {
				return err
			}
		}
	}
	j.mu.Lock()
	if j.size > 0 {
		if err := j.open(); err != nil {
			j.mu.Unlock()
			return err
		}
	}
	f, size, isNamed := j.file, j.size, j.isNamed
	isDone := size == j.synced && isNamed
	j.mu.Unlock()
	if f == nil || isDone {
		return nil
	}
	err := f.Sync()
	if err == nil && !isNamed {
		err = statefile.SyncDir(filepath.Dir(j.path))
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		j.isSuspect = true
		return err
	}
	j.synced, j.isNamed = size, true
	return nil
}

// wantsRewrite reports whether the file must be written again, or can be, because most of it is out of
// date.
func (j *Journal) wantsRewrite() (must, can bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return false, false
	}
	return j.isSuspect, j.size-j.live > max(j.live, minGarbage) && j.size >= j.nextRound
}

// IsPending reports whether there is something for Sync to do.
func (j *Journal) IsPending() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return !j.isClosed && (j.size > j.synced || j.isSuspect)
}

// Close closes the file without a sync. Changes after it fail with fs.ErrClosed.
func (j *Journal) Close() error {
	j.syncing.Lock()
	defer j.syncing.Unlock()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.isClosed = true
	if j.file == nil {
		return nil
	}
	var err error
	if j.synced > j.marked {
		err = j.write(j.appendMark(j.line[:0]))
	}
	err = errors.Join(err, j.file.Close())
	j.file, j.index = nil, map[id.ID]span{}
	return err
}

// markName is in the place of the key in a line that says what was synced.
const markName = "synced"

var table = crc32.MakeTable(crc32.Castagnoli)

// appendLine appends a line to b. A nil value deletes.
func appendLine(b []byte, name string, value []byte) []byte {
	begin := len(b)
	b = append(b, "00000000 "...)
	b = append(b, name...)
	if value != nil {
		b = append(append(b, ' '), value...)
	}
	rest := b[begin+sumLen+1:]
	copy(b[begin:], fmt.Sprintf("%08x", crc32.Checksum(rest, table)))
	return append(b, '\n')
}

// sumLen is the length of a checksum, in hexadecimal.
const sumLen = 8

// parsed is what a line says.
type parsed struct {
	key    id.ID
	value  []byte // nil: deleted
	isMark bool
	back   int64 // with isMark
}

// parse parses a line, with its line break.
func parse(b []byte) (l parsed, ok bool) {
	if len(b) < sumLen+2 || b[len(b)-1] != '\n' || b[sumLen] != ' ' {
		return l, false
	}
	rest := b[sumLen+1 : len(b)-1]
	if sum, err := strconv.ParseUint(string(b[:sumLen]), 16, 32); err != nil || uint32(sum) != crc32.Checksum(rest, table) {
		return l, false
	}
	name, value, hasValue := bytes.Cut(rest, []byte{' '})
	if string(name) == markName {
		back, err := strconv.ParseInt(string(value), 10, 64)
		return parsed{isMark: true, back: back}, err == nil && back >= 0
	}
	key, err := id.ParseHex(string(name))
	if err != nil || hasValue && len(value) == 0 {
		return l, false
	}
	if hasValue {
		l.value = value
	}
	l.key = key
	return l, true
}

// damagedLines are lines that follow each other: a large file may have nothing but such lines.
type damagedLines struct {
	at int64 // where the first one begins
	n  int
}

// load reads the file and makes the index.
func (j *Journal) load(f *os.File) error {
	var bad []damagedLines
	wasBad, hasLine := false, false
	lines := newLineReader(f)
	for {
		b, n, err := lines.next()
		if err != nil && err != io.EOF {
			return err
		}
		if n == 0 {
			break
		}
		at := lines.at - n
		l, ok := parse(b)
		switch {
		case !ok:
			if !wasBad {
				bad = append(bad, damagedLines{at: at})
			}
			bad[len(bad)-1].n++
			wasBad, hasLine = true, hasLine || err == nil
			continue
		case l.isMark:
			j.synced = max(j.synced, at-l.back)
		case l.value == nil:
			j.live -= int64(j.index[l.key].n)
			delete(j.index, l.key)
		default:
			j.live += n - int64(j.index[l.key].n)
			j.index[l.key] = span{at, int32(n)}
		}
		j.size, wasBad = lines.at, false
	}
	j.marked = j.synced
	before := 0 // in the synced part
	for _, b := range bad {
		if b.at < j.synced {
			before += b.n
		}
		j.isSuspect = j.isSuspect || b.at < j.size
	}
	if j.size == 0 && hasLine {
		before = bad[0].n
	}
	if before > 0 {
		j.damage = &DamageError{j.path, before, bad[0].at}
	}
	j.isTorn = lines.at > j.size
	return nil
}
