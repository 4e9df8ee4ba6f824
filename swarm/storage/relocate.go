package storage

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
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

// The order of a relocation makes the resume record the one witness of where the files are:
//
//  1. The files are renamed, or copied while the originals stay. The new folder is synced.
//  2. The record is switched to the new folder and synced. Until then the move can be undone, and
//     from then on it only has to be finished.
//  3. The originals of copies are removed.
//
// A kill or a power cut may come at any instant, and what follows may be the move again or a
// removal. So nothing may open the old folder with Open after an interruption, because that writes a
// record of what it finds there, before Reclaim or Abandon has restored one of the two states.

// Relocate moves the files and then updates the resume record, so that nothing is hashed
// again. If moved is false, the files are where they were. If it is true, they are in the new
// folder, and an error says that files in the old one could not be removed. If ctx ends, Reclaim,
// and then another call with the same arguments, continue.
func Relocate(ctx context.Context, r Relocation) (moved bool, err error) {
	if r.Rename == nil {
		r.Rename = os.Rename
	}
	if r.Progress == nil {
		r.Progress = func(int64, int64) {}
	}
	m, done, err := newMover(r)
	if err != nil {
		return false, err
	}
	if m == nil {
		return true, nil
	}
	defer r.Handles.dropAll(m.s)
	if done {
		return true, m.finish()
	}
	if err := m.clearWay(); err != nil {
		return false, err
	}
	err = m.renameAll(ctx)
	if errors.Is(err, syscall.EXDEV) {
		err = m.copyAll(ctx)
	}
	if err != nil {
		return false, err
	}
	if err = m.sync(m.to, m.toDir); err == nil {
		err = m.switchRecord()
	}
	if err != nil { // the record may name either folder
		moved, e := Abandon(r)
		return moved, firstOf(err, e)
	}
	return true, m.finish()
}

// newMover opens both folders. done says that the record already names the new folder. The
// mover is nil if both folders are the same.
func newMover(r Relocation) (m *mover, done bool, err error) {
	m = &mover{Relocation: r}
	if m.toDir, err = filepath.Abs(r.To); err != nil {
		return nil, false, wrap("find", r.To, err)
	}
	o := r.Options
	open := o.OpenDisk
	if open == nil {
		open = func(dir string, create bool) (Disk, error) { return openDisk(dir, create, r.Handles) }
	}
	if dir, err := filepath.Abs(r.Dir); err == nil && !r.ReadOnly { // an interrupted move may have left nothing in it
		if _, err := open(dir, true); err != nil {
			return nil, false, wrap("open", dir, err)
		}
	}
	o.ReadOnly = true
	if m.s, err = Open(o); err != nil {
		return nil, false, err
	}
	if m.toDir == m.s.dir {
		return nil, false, nil
	}
	if m.rec, err = m.s.readRecord(""); err != nil {
		var bad *RecordError
		if !errors.As(err, &bad) {
			return nil, false, err
		}
		m.rec = nil // existing data is hashed in the new folder
	}
	if m.rec != nil {
		if done = m.rec.dir == recordDir(m.toDir); !done && m.rec.dir != recordDir(m.s.dir) {
			m.rec = nil
		}
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
		if m.sync(m.from, m.s.dir) == nil { // as in restoreMove
			removeFolders(m.to, renamed)
		}
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

// finish completes a move after the record names the new folder: it removes copied files and
// empty folders from the old folder, and then updates the record of names. In this order, a move
// that is interrupted here knows the names of the files that are left to remove.
func (m *mover) finish() error {
	s := m.s
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
	if err := m.sync(m.from, s.dir); err != nil {
		return err
	}
	names, _, found, err := s.loadNames()
	if err != nil || !found {
		return err
	}
	s.dir = m.toDir
	return s.recordNames(names, nil)
}
