package storage

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// writeSize is the maximal number of bytes written at once: larger writes take large
// folios from the page cache, which costs several times more on virtual machines.
const writeSize = 64 << 10

// ReadAt reads len(b) bytes from the torrent offset off. The error is an *Error.
func (s *Storage) ReadAt(b []byte, off int64) error {
	s.places.RLock()
	defer s.places.RUnlock()
	if s.closed {
		return wrap("read", s.dir, errClosed)
	}
	if err := s.read(b, off); err != nil {
		return s.failed(err)
	}
	return nil
}

func (s *Storage) inside(b []byte, off int64) {
	if off < 0 || off > s.info.Length-int64(len(b)) {
		panic("storage: range outside of the torrent")
	}
}

func (s *Storage) read(b []byte, off int64) error {
	s.inside(b, off)
	for sp := range s.info.Spans(off, int64(len(b))) {
		i, n := sp.File, sp.Length
		var err error
		switch {
		case s.info.Files[i].Pad: // BEP 47: padding is all zeros and not stored
			clear(b[:n])
		case s.files[i].place == absent:
			err = s.inParts(i, b[:n], off, s.readFile)
		default:
			err = s.readFile(i, b[:n], sp.Offset)
		}
		if err != nil {
			return err
		}
		b, off = b[n:], off+n
	}
	return nil
}

func (s *Storage) readFile(i int, b []byte, at int64) error {
	h, f, err := s.acquire(i)
	if err != nil {
		return wrap("read", s.path(i), err)
	}
	defer s.handles.put(h)
	if err := s.checkName(i, h); err != nil {
		return err
	}
	n, err := f.ReadAt(b, at)
	switch {
	case n == len(b):
		if s.files[i].place == inFinal {
			return s.afterRead(i, f)
		}
		return nil
	case errors.Is(err, io.EOF):
		return s.lost("read", i, at+int64(n), errShort)
	}
	return s.lost("read", i, 0, err)
}

// nameCheckEvery is how often we check that the name of an open file still leads to it and
// that no other program wrote to it. Otherwise a deleted or replaced file could be read
// for days, and shared although the folder no longer has it.
const nameCheckEvery = 5 * time.Second

func (s *Storage) checkName(i int, h *handle) error {
	now := time.Now().UnixNano()
	if seen := h.checkedAt.Load(); now-seen < int64(nameCheckEvery) || !h.checkedAt.CompareAndSwap(seen, now) {
		return nil
	}
	_, err := s.identify(i)
	if err != nil {
		h.checkedAt.Store(0) // the next reader gets the error too
	}
	return err
}

// inParts calls do with the parts file for a range of an absent file.
func (s *Storage) inParts(i int, b []byte, off int64, do func(i int, b []byte, at int64) error) error {
	for len(b) > 0 {
		p := off / s.info.PieceLength
		in := off - p*s.info.PieceLength
		n := min(int64(len(b)), s.info.PieceLength-in)
		slot, ok := s.slot(int(p))
		if !ok || s.files[s.parts()].place == absent {
			return s.lost("read", i, 0, errGone)
		}
		if err := do(s.parts(), b[:n], slot+in); err != nil {
			return err
		}
		b, off = b[n:], off+n
	}
	return nil
}

// WriteAt writes b at the torrent offset off: wanted bytes to their files, others to the
// parts file. The error is an *Error.
func (s *Storage) WriteAt(b []byte, off int64) error {
	s.inside(b, off)
	if s.o.ReadOnly {
		return wrap("write", s.dir, errReadOnly)
	}
	for sp := range s.info.Spans(off, int64(len(b))) {
		if !s.info.Files[sp.File].Pad {
			if err := s.write(sp.File, b[:sp.Length], off); err != nil {
				return s.failed(err)
			}
		}
		b, off = b[sp.Length:], off+sp.Length
	}
	return nil
}

// write writes a range of one file, which it creates if necessary.
func (s *Storage) write(i int, b []byte, off int64) error {
	for {
		s.places.RLock()
		need, err := s.tryWrite(i, b, off)
		s.places.RUnlock()
		if err != nil || need < 0 {
			return err
		}
		if err := s.makeForWrite(need); err != nil {
			return err
		}
	}
}

// tryWrite returns the index of the file that must be created first, or -1.
func (s *Storage) tryWrite(i int, b []byte, off int64) (need int, err error) {
	st := &s.files[i]
	switch {
	case s.closed:
		return -1, wrap("write", s.dir, errClosed)
	case st.place == inPart:
		if err := s.writeFile(i, b, off-s.info.Files[i].Offset); err != errLinked {
			return -1, err
		}
		return i, nil
	case st.place == inFinal || s.isWanted(i) || !s.allShared(off, int64(len(b))):
		return i, nil
	case s.files[s.parts()].place == absent:
		return s.parts(), nil
	}
	return -1, s.inParts(i, b, off, s.writeFile)
}

func (s *Storage) isWanted(i int) bool { return s.files[i].wanted }

// allShared reports whether all pieces of a range are shared.
func (s *Storage) allShared(off, n int64) bool {
	for p := off / s.info.PieceLength; p*s.info.PieceLength < off+n; p++ {
		if _, ok := s.slot(int(p)); !ok {
			return false
		}
	}
	return true
}

func (s *Storage) writeFile(i int, b []byte, at int64) error {
	h, f, err := s.acquire(i)
	if err != nil {
		return wrap("write", s.path(i), err)
	}
	defer s.handles.put(h)
	s.watchSync()
	s.files[i].writing.Lock()
	defer s.files[i].writing.Unlock()
	if err := s.beforeWrite(i, f); err != nil {
		return err
	}
	// Mark it after the write: a concurrent flush must not believe that it has synced
	// this write.
	defer s.markDirty(i)
	for len(b) > 0 && err == nil {
		n := min(len(b), writeSize)
		if _, err = f.WriteAt(b[:n], at); err == nil {
			b, at = b[n:], at+int64(n)
		}
	}
	after := s.afterWrite(i, f)
	s.redoWrite(i, at, err)
	if err != nil {
		return wrap("write", s.path(i), err)
	}
	return after
}

// markDirty records that a file has writes that are not synced.
func (s *Storage) markDirty(i int) {
	if !s.files[i].dirty.Swap(true) {
		s.mu.Lock()
		s.dirty = append(s.dirty, i)
		s.mu.Unlock()
	}
}

// makeWritable moves a file to the name for incomplete files, or creates it. The caller
// holds places for writing.
func (s *Storage) makeWritable(i int) error {
	st := &s.files[i]
	if st.place == inFinal && st.candidate {
		// It is not proven to be ours: leave it alone.
		s.disown(i)
	}
	if st.place == inPart {
		if i < s.parts() {
			return s.restoreFile(i, nil) // it has another hard link, or another goroutine was faster
		}
		return nil
	}
	was := st.place
	switch was {
	case inFinal:
		if _, err := s.identify(i); err != nil {
			return err
		}
	case absent: // what a failed attempt left is ignored
		if i < s.parts() && s.info.IsMulti() && s.hasFiles && hasVanished(s.disk, s.root) {
			s.gone.Store(true) // a new folder would be in the way when ours is back
			return wrap("find", filepath.Join(s.dir, s.root), errGone)
		}
		s.mu.Lock()
		st.id, st.version = nil, version{}
		s.mu.Unlock()
	}
	_, from := s.where(i)
	st.place = inPart
	d, to := s.where(i)
	err := func() error {
		if i == s.parts() {
			return s.create(i, d, to, 0o666, -1, nil)
		}
		f := &s.info.Files[i]
		perm := os.FileMode(0o666)
		if f.Executable { // BEP 47 attribute x
			perm = 0o777
		}
		if was == inFinal {
			s.handles.drop(handleKey{owner: s, file: i})
			if err := s.makeIncomplete(i, d, from, to, perm); err != nil {
				return err
			}
			was = inPart
			s.mu.Lock()
			if st.left == 0 { // no later piece will restore it
				s.finishable = append(s.finishable, i)
			}
			s.mu.Unlock()
		} else if dir := filepath.Dir(to); dir != "." {
			if err := d.MkdirAll(dir); err != nil {
				return wrap("make", filepath.Join(s.dir, dir), err)
			}
		}
		var adopt func(int) bool
		if was == absent {
			adopt = func(int) bool { return true }
		}
		return s.create(i, d, to, perm, f.Length, adopt)
	}()
	st.place = was
	if err == nil {
		st.place = inPart
	}
	if st.place == inPart {
		s.hasFiles = s.hasFiles || i < s.parts()
		s.markDirDirty(i)
	}
	if err == nil && was == absent && i != s.parts() {
		s.markPartsMoved(i)
	}
	return err
}

// create creates the file if necessary, with the given size unless that is negative. If
// adopt is not nil, it copies the pieces for which adopt returns true from the parts
// file.
func (s *Storage) create(i int, d Disk, name string, perm os.FileMode, size int64, adopt func(p int) bool) (err error) {
	defer func() {
		if err != nil {
			err = wrap("make", s.path(i), err)
		}
	}()
	// Usually it does not exist.
	f, err := d.Open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, perm)
	found := errors.Is(err, fs.ErrExist)
	if found {
		if fi, err := d.Lstat(name); err == nil && !fi.Mode().IsRegular() { // opening a pipe would block
			return ErrExists
		}
		f, err = d.Open(name, os.O_RDWR|os.O_CREATE, perm)
	}
	if err != nil {
		return err
	}
	keep, ours := false, false
	defer func() {
		if keep {
			return
		}
		if fi, e := f.Stat(); e == nil && ours {
			s.note(i, fi)
		}
		err = errors.Join(err, f.Close())
	}()
	if i < s.parts() {
		if err := s.lockPart(i, found); err != nil {
			return err
		}
	}
	if err := s.compare("open", i, f); err != nil {
		return err
	}
	ours = true
	now, err := versionOf(f)
	if err != nil {
		return err
	}
	if i < s.parts() && now.links > 1 {
		if err := s.copyFresh(i, d, name, name, perm); err != nil {
			return err
		}
		fresh, err := d.Open(name, os.O_RDWR, perm)
		if err != nil {
			return err
		}
		_ = f.Close()
		f = fresh
		if now, err = versionOf(f); err != nil {
			return err
		}
	}
	if size >= 0 && now.size != size {
		if err := f.Truncate(size); err != nil {
			return err
		}
	}
	if adopt != nil {
		if err := s.adopt(i, f, adopt); err != nil {
			return err
		}
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	s.note(i, fi)
	keep = true // it is written to next
	s.handles.add(handleKey{owner: s, file: i}, f)
	return nil
}

// adopt copies what the parts file has of these pieces to the file of a wanted file.
func (s *Storage) adopt(i int, to File, piece func(p int) bool) error {
	if i == s.parts() || s.files[s.parts()].place == absent || s.info.Files[i].Length == 0 {
		return nil
	}
	f := &s.info.Files[i]
	first, end := s.info.PiecesOf(i)
	// Only its first and last piece can be shared.
	for k, p := range []int{first, end - 1} {
		slot, ok := s.slot(p)
		if !ok || k == 1 && p == first || !piece(p) {
			continue
		}
		start := int64(p) * s.info.PieceLength
		lo, hi := max(start, f.Offset), min(start+s.info.PieceSize(p), f.Offset+f.Length)
		if err := s.copyParts(to, slot+lo-start, lo-f.Offset, hi-lo); err != nil {
			return err
		}
	}
	return nil
}

func (s *Storage) copyParts(to File, from, at, n int64) error {
	h, f, err := s.acquire(s.parts())
	if err != nil {
		return err
	}
	defer s.handles.put(h)
	buf := make([]byte, min(n, writeSize))
	for n > 0 {
		b := buf[:min(n, int64(len(buf)))]
		got, err := f.ReadAt(b, from)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if got == 0 {
			return nil // nothing has been kept yet
		}
		b = b[:got]
		if _, err := to.WriteAt(b, at); err != nil {
			return err
		}
		from, at, n = from+int64(got), at+int64(got), n-int64(got)
	}
	return nil
}

// markPartsMoved records that the file's part of shared pieces is in a new place, where it is
// not synced yet.
func (s *Storage) markPartsMoved(i int) {
	if s.files[s.parts()].place == absent {
		return
	}
	s.mu.Lock()
	for p, end := s.info.PiecesOf(i); p < end; p++ {
		if _, ok := s.slot(p); !ok {
			continue
		}
		s.moved.Add(p)
		if s.synced.Remove(p) {
			s.written.Add(p)
			s.changed = true
		}
	}
	s.mu.Unlock()
	s.markDirty(i)
}

// markDirDirty records that the name of a file is new in its directory, which may be new
// itself.
func (s *Storage) markDirDirty(i int) {
	_, name := s.where(i)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changed = true
	if i == s.parts() {
		if s.o.Record != "" {
			return // flush syncs that directory anyway
		}
	}
	for dir := filepath.Dir(name); ; dir = filepath.Dir(dir) {
		s.dirs[dir] = struct{}{}
		if dir == "." {
			return
		}
	}
}
