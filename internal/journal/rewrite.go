package journal

import (
	"bufio"
	"cmp"
	"errors"
	"io"
	"os"
	"slices"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
)

// minGarbage is how many bytes of lines that are out of date are always allowed.
const minGarbage = 1 << 20

// These follow the path of the journal in those of other files.
const (
	newSuffix     = ".new"     // what rewrite writes
	damagedSuffix = ".damaged" // a damaged file, for the user
)

// maxTail is how many bytes Put and Delete may have to wait for while they are copied.
const maxTail = 64 << 10

// rewrite replaces the file with one that has only the valid lines. What was synced before is synced
// there; the caller syncs the rest and the name. Put and Delete go on meanwhile; they wait only while
// the last lines are copied. syncing is held.
func (j *Journal) rewrite() (err error) {
	j.mu.Lock()
	old, end := j.file, j.size
	j.isSuspect = false // a deletion that fails from now on is for the next time
	lines := make([]moved, 0, len(j.index))
	for k, s := range j.index {
		lines = append(lines, moved{k, s, 0})
	}
	j.mu.Unlock()
	slices.SortFunc(lines, func(a, b moved) int { return cmp.Compare(a.from.at, b.from.at) })

	path := j.path + newSuffix
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return err
	}
	f, err := statefile.OpenAppend(path, true)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(path)
		}
	}()
	size, err := copyLines(f, old, lines)
	if err != nil {
		return err
	}
	head := size
	if err := f.Sync(); err != nil {
		return err
	}
	// What was appended meanwhile follows as it is.
	copied := end
	copyTail := func(to int64) error {
		n, err := io.Copy(f, io.NewSectionReader(old, copied, to-copied))
		copied, size = copied+n, size+n
		if err == nil && copied < to {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	j.mu.Lock()
	for j.size-copied > maxTail {
		to := j.size
		j.mu.Unlock()
		err := copyTail(to)
		j.mu.Lock()
		if err != nil {
			j.mu.Unlock()
			return err
		}
	}
	if err = copyTail(j.size); err == nil {
		err = j.replace(path, f)
	}
	if err != nil {
		j.mu.Unlock()
		return err
	}
	index := make(map[id.ID]span, len(j.index))
	for _, l := range lines {
		if j.index[l.key] == l.from { // otherwise it has changed meanwhile
			index[l.key] = span{l.to, l.from.n}
		}
	}
	for k, s := range j.index {
		if s.at >= end {
			index[k] = span{s.at - end + head, s.n}
		}
	}
	j.index = index
	j.size, j.synced, j.marked = size, head, 0
	j.isNamed, j.isTorn, j.nextRound = false, false, 0
	j.mu.Unlock()
	return nil
}

// replace gives the new file, which is open as f, the name of the journal. Windows renames no open files.
// mu is held.
func (j *Journal) replace(path string, f *os.File) error {
	if j.damage != nil && !j.isKept {
		_ = os.Remove(j.path + damagedSuffix)
		_ = os.Link(j.path, j.path+damagedSuffix) // some file systems cannot
	}
	err := errors.Join(f.Close(), j.file.Close())
	if err == nil {
		err = os.Rename(path, j.path)
	}
	j.isKept = j.isKept || err == nil
	j.file = nil // if it cannot be opened now, the next change tries again
	if f, e := statefile.OpenAppend(j.path, false); e == nil {
		j.file = f
	}
	return err
}

// moved is a line that is copied.
type moved struct {
	key  id.ID
	from span
	to   int64
}

// copyLines copies lines and notes where they are. It returns their size.
func copyLines(to io.Writer, from io.ReaderAt, lines []moved) (size int64, err error) {
	w := bufio.NewWriterSize(to, 256<<10)
	var b []byte
	for i := range lines {
		l := &lines[i]
		b = slices.Grow(b[:0], int(l.from.n))[:l.from.n]
		if _, err := from.ReadAt(b, l.from.at); err != nil {
			return 0, err
		}
		l.to = size
		n, err := w.Write(b)
		if size += int64(n); err != nil {
			return 0, err
		}
	}
	return size, w.Flush()
}
