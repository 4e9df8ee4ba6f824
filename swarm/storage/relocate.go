package storage

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// A Relocation moves the files of a closed torrent to another folder.
type Relocation struct {
	// Options are those of Open; Dir is the old folder. For a ReadOnly torrent all existing
	// files move, otherwise only those that are ours according to the record.
	Options
	To string // the new folder; created if it does not exist
	// Rename renames a file. It returns syscall.EXDEV if the new path is on another file
	// system. Nil means os.Rename.
	Rename   func(from, to string) error
	Progress func(done, total int64) // bytes; may be nil
}

// movedFile is one file, symbolic link or empty folder that moves.
type movedFile struct {
	name string
	size int64
	kind fs.FileMode // type bits
	gone bool        // not in the old folder any longer
}

// mover carries out one Relocation.
type mover struct {
	Relocation
	s        *Storage // opened in the old folder; used only for names and places
	rec      *record  // nil if there is none
	from, to Disk
	toDir    string
	files    []movedFile
	made     []string // copies made by this mover
}

// temp returns the name of a copy in progress.
func (m *mover) temp(f movedFile) string {
	return f.name + strings.TrimSuffix(m.s.suffix, ".part") + ".moving"
}

// Relocate moves the files and then updates the resume record, so that nothing is hashed
// again. If it fails, the files stay where they were. If ctx or the process ends, another
// call with the same arguments continues; at every moment the record names the folder of the
// files that it proves.
func Relocate(ctx context.Context, r Relocation) (err error) {
	if r.Rename == nil {
		r.Rename = os.Rename
	}
	if r.Progress == nil {
		r.Progress = func(int64, int64) {}
	}
	m, done, err := newMover(r)
	if m == nil || err != nil {
		return err
	}
	defer r.Handles.dropAll(m.s)
	if done {
		return m.finish()
	}
	if err := m.clearWay(); err != nil {
		return err
	}
	err = m.renameAll(ctx)
	if errors.Is(err, syscall.EXDEV) {
		err = m.copyAll(ctx)
	}
	if err != nil {
		return err
	}
	if err := m.sync(m.to, m.toDir); err != nil {
		return err
	}
	if err := m.switchRecord(); err != nil {
		return err
	}
	return m.finish()
}

// newMover opens both folders. done says that the record already names the new folder. The
// mover is nil if both folders are the same.
func newMover(r Relocation) (m *mover, done bool, err error) {
	m = &mover{Relocation: r}
	if m.toDir, err = filepath.Abs(r.To); err != nil {
		return nil, false, wrap("find", r.To, err)
	}
	o := r.Options
	o.ReadOnly = true
	if m.s, err = Open(o); err != nil {
		return nil, false, err
	}
	if m.toDir == m.s.dir {
		return nil, false, nil
	}
	if m.rec, err = m.s.loadRecord(""); m.rec == nil {
		err = nil // existing data is hashed in the new folder
	}
	done = m.rec != nil && m.rec.dir == recordDir(m.toDir)
	if err != nil && !done {
		m.rec = nil
	}
	open := o.OpenDisk
	if open == nil {
		open = func(dir string, create bool) (Disk, error) { return openDisk(dir, create, r.Handles) }
	}
	if m.from, err = open(m.s.dir, true); err != nil {
		return nil, false, wrap("open", m.s.dir, err)
	}
	if m.to, err = open(m.toDir, true); err != nil {
		return nil, false, wrap("make", m.toDir, err)
	}
	m.to.Refresh() // another program may have cleared it just before
	m.list()
	return m, done, nil
}

// Abandon undoes an interrupted Relocation: afterwards all files are in the old folder. If
// the record already names the new folder, it completes the move instead.
func Abandon(r Relocation) error {
	if r.Rename == nil {
		r.Rename = os.Rename
	}
	m, done, err := newMover(r)
	if m == nil || err != nil {
		return err
	}
	defer r.Handles.dropAll(m.s)
	if done {
		return m.finish()
	}
	var first error
	for _, f := range m.files {
		_ = m.to.Remove(m.temp(f)) // usually there is none
		_, err := m.to.Lstat(f.name)
		switch {
		case err != nil || f.kind == fs.ModeDir:
		case f.gone:
			if err := m.Rename(filepath.Join(m.toDir, f.name), filepath.Join(m.s.dir, f.name)); err != nil {
				first = firstOf(first, wrap("move", filepath.Join(m.toDir, f.name), err))
			}
		case m.isCopy(f):
			if err := m.to.Remove(f.name); err != nil {
				first = firstOf(first, wrap("remove", filepath.Join(m.toDir, f.name), err))
			}
		}
	}
	removeFolders(m.to, m.files)
	return first
}

// list lists the files to move.
func (m *mover) list() {
	s := m.s
	for i := range s.info.Files {
		f := &s.info.Files[i]
		x := movedFile{size: f.Length}
		switch {
		case f.Pad:
			continue
		case f.Symlink != nil:
			x.name, x.kind = s.final(i), fs.ModeSymlink
			if fi, err := m.from.Lstat(x.name); err != nil || fi.Mode()&fs.ModeSymlink == 0 || !m.Symlinks {
				continue
			}
		case f.Folder:
			x.name, x.kind = s.final(i), fs.ModeDir
			if fi, err := m.from.Lstat(x.name); err != nil || !fi.IsDir() {
				continue
			}
		default:
			at := s.files[i].place
			if m.rec != nil && m.rec.files[i].place != absent {
				at = m.rec.files[i].place
			} else if !m.ReadOnly && at == inFinal {
				continue // it may not be ours
			}
			switch at {
			case absent:
				continue
			case inPart:
				x.name = s.part(i)
			case inFinal:
				if x.name = s.final(i); s.files[i].other != "" {
					x.name = s.files[i].other
				}
			}
			if _, err := m.from.Lstat(x.name); err != nil {
				x.gone = true
			}
		}
		m.files = append(m.files, x)
	}
}

// clearWay returns an error if files of others exist in the new folder, before anything
// moves.
func (m *mover) clearWay() error {
	for _, f := range m.files {
		_ = m.to.Remove(m.temp(f)) // from an interrupted move
		there, err := m.to.Lstat(f.name)
		switch {
		case kindOf(err) == Vanished:
			if f.gone {
				continue // lost before the move; a check finds that out
			}
		case err != nil:
			return wrap("move", filepath.Join(m.toDir, f.name), err)
		case f.gone, f.kind == fs.ModeDir && there.IsDir():
		case m.isCopy(f):
		default:
			return wrap("move", filepath.Join(m.toDir, f.name), ErrExists)
		}
	}
	return nil
}

// isCopy reports whether the new folder holds an identical file, as after an interrupted
// move.
func (m *mover) isCopy(f movedFile) bool {
	if f.kind == fs.ModeSymlink {
		a, err := m.from.Readlink(f.name)
		b, e := m.to.Readlink(f.name)
		return err == nil && e == nil && a == b
	}
	a, err := m.from.Open(f.name, os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer a.Close()
	b, err := m.to.Open(f.name, os.O_RDONLY, 0)
	if err != nil {
		return false
	}
	defer b.Close()
	return equal(a, b)
}

// equal reports whether two files have the same content.
func equal(a, b File) bool {
	x, y := make([]byte, writeSize), make([]byte, writeSize)
	for at := int64(0); ; at += writeSize {
		n, err := a.ReadAt(x, at)
		k, e := b.ReadAt(y, at)
		if n != k || !bytes.Equal(x[:n], y[:k]) || err != nil && !errors.Is(err, io.EOF) || e != nil && !errors.Is(e, io.EOF) {
			return false
		}
		if n < len(x) {
			return true
		}
	}
}

func (m *mover) total() (n int64) {
	for _, f := range m.files {
		n += f.size
	}
	return n
}

// renameAll renames all files to their new paths, or none.
func (m *mover) renameAll(ctx context.Context) error {
	var renamed []movedFile
	undo := func(err error) error {
		for _, f := range slices.Backward(renamed) {
			_ = m.Rename(filepath.Join(m.toDir, f.name), filepath.Join(m.s.dir, f.name)) // the record still names the old folder; files that stay are hashed again
		}
		removeFolders(m.to, renamed)
		return err
	}
	done, total := int64(0), m.total()
	for _, f := range m.files {
		if ctx.Err() != nil {
			return undo(ctx.Err())
		}
		if done += f.size; f.gone {
			continue
		}
		if err := m.makeFolder(f); err != nil {
			return undo(err)
		}
		if f.kind == fs.ModeDir {
			continue
		}
		if err := m.Rename(filepath.Join(m.s.dir, f.name), filepath.Join(m.toDir, f.name)); err != nil {
			if errors.Is(err, syscall.EXDEV) {
				return undo(err)
			}
			return undo(wrap("move", filepath.Join(m.s.dir, f.name), err))
		}
		renamed = append(renamed, f)
		m.s.stepped()
		m.Progress(done, total)
	}
	return nil
}

// makeFolder creates the folder for a file in the new folder.
func (m *mover) makeFolder(f movedFile) error {
	dir := filepath.Dir(f.name)
	if f.kind == fs.ModeDir {
		dir = f.name
	}
	if dir == "." {
		return nil
	}
	if err := m.to.MkdirAll(dir); err != nil {
		return wrap("make", filepath.Join(m.toDir, dir), err)
	}
	return nil
}

// copyAll copies all files. When ctx ends, complete copies stay, and the next call continues
// from them.
func (m *mover) copyAll(ctx context.Context) error {
	done, total := int64(0), m.total()
	for _, f := range m.files {
		err := ctx.Err()
		if err == nil && !f.gone {
			err = m.copy(ctx, f, func(n int64) { m.Progress(done+n, total) })
		}
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			for _, name := range m.made {
				_ = m.to.Remove(name) // the next attempt overwrites it
			}
			removeFolders(m.to, m.files)
			return wrap("copy", filepath.Join(m.toDir, f.name), err)
		}
		done += f.size
		m.s.stepped()
		m.Progress(done, total)
	}
	return nil
}

// copy copies one file, syncs the copy, compares it, and renames it to its final name.
func (m *mover) copy(ctx context.Context, f movedFile, progress func(int64)) (err error) {
	if err := m.makeFolder(f); err != nil || f.kind == fs.ModeDir {
		return err
	}
	if _, err := m.to.Lstat(f.name); err == nil {
		return nil // copied by an interrupted move; clearWay has compared it
	}
	if f.kind == fs.ModeSymlink {
		target, err := m.from.Readlink(f.name)
		if err != nil {
			return err
		}
		m.made = append(m.made, f.name)
		return m.to.Symlink(target, f.name)
	}
	in, err := m.from.Open(f.name, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer in.Close()
	fi, err := in.Stat()
	if err != nil {
		return err
	}
	temp := m.temp(f)
	out, err := m.to.Open(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, fi.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() {
		if e := out.Close(); err == nil {
			err = e
		}
		if err != nil {
			_ = m.to.Remove(temp) // the next attempt overwrites it
		}
	}()
	if err := copyContent(ctx, in, out, fi.Size(), progress); err != nil {
		return err
	}
	if err := out.Sync(); err != nil {
		return err
	}
	if !equal(in, out) {
		return errors.New("the copy differs from the file")
	}
	if err := out.SetTime(fi.ModTime().UnixNano()); err != nil {
		return err
	}
	if err := m.to.Rename(temp, f.name); err != nil {
		return err
	}
	m.made = append(m.made, f.name)
	return nil
}

// copyContent copies only data that is not zero, so that holes stay holes.
func copyContent(ctx context.Context, in, out File, size int64, progress func(int64)) error {
	if err := out.Truncate(size); err != nil {
		return err
	}
	b, zero := make([]byte, writeSize), make([]byte, writeSize)
	for at := int64(0); at < size; at += writeSize {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		part := b[:min(writeSize, size-at)]
		if _, err := in.ReadAt(part, at); err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if !bytes.Equal(part, zero[:len(part)]) {
			if _, err := out.WriteAt(part, at); err != nil {
				return err
			}
		}
		progress(at)
	}
	return nil
}

// sync makes the names in the folders of all files durable.
func (m *mover) sync(d Disk, dir string) error {
	folders := append(foldersOf(m.files), ".")
	for _, f := range folders {
		if err := d.SyncDir(f); err != nil && kindOf(err) != Vanished {
			return wrap("sync", filepath.Join(dir, f), err)
		}
	}
	return nil
}

// switchRecord changes the folder in the resume record to the new one.
func (m *mover) switchRecord() error {
	if m.rec == nil || m.Record == "" {
		return nil
	}
	m.rec.dir = recordDir(m.toDir)
	name := filepath.Base(m.Record)
	if err := writeWhole(m.s.state, name+".new", m.rec.append(nil), true); err != nil {
		return wrap("write", m.Record, err)
	}
	if err := m.s.state.Rename(name+".new", name); err != nil {
		return wrap("write", m.Record, err)
	}
	return wrapNil("sync", m.Record, m.s.state.SyncDir("."))
}

// finish completes a move after the record names the new folder: it updates the record of
// names and removes copied files and empty folders from the old folder.
func (m *mover) finish() error {
	s := m.s
	if m.Record != "" {
		if names, found, err := s.loadNames(); err == nil && found {
			was := s.dir
			s.dir = m.toDir
			b := s.appendNames(nil, names)
			s.dir = was
			if err := writeWhole(s.state, filepath.Base(m.Record)+namesSuffix, b, true); err != nil {
				return wrap("write", m.Record+namesSuffix, err)
			}
		}
	}
	for _, f := range m.files {
		if f.kind == fs.ModeDir {
			continue
		}
		here, err := m.from.Lstat(f.name)
		if err != nil {
			continue
		}
		there, err := m.to.Lstat(f.name)
		if err != nil || here.Size() != there.Size() || f.kind == 0 && !here.ModTime().Equal(there.ModTime()) {
			continue // it has changed since and is not ours to remove
		}
		if err := m.from.Remove(f.name); err != nil {
			return wrap("remove", filepath.Join(s.dir, f.name), err)
		}
		s.stepped()
	}
	removeFolders(m.from, m.files)
	return m.sync(m.from, s.dir)
}

// wrapNil is like wrap, but returns nil if err is nil.
func wrapNil(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return wrap(op, path, err)
}
