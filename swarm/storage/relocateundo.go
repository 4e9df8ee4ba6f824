package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Abandon undoes an interrupted Relocation: afterwards all files are in the old folder. If
// the record already names the new folder, it completes the move instead, and moved is true.
func Abandon(r Relocation) (moved bool, err error) { return restoreMove(r, false) }

// Reclaim is Abandon, except that complete copies stay for another Relocate.
func Reclaim(r Relocation) (moved bool, err error) { return restoreMove(r, true) }

func restoreMove(r Relocation, keepCopies bool) (moved bool, err error) {
	if r.Rename == nil {
		r.Rename = os.Rename
	}
	m, done, err := newMover(r)
	if m == nil || err != nil {
		return false, err
	}
	defer r.Handles.dropAll(m.s)
	if done {
		return true, m.finish()
	}
	var first error
	for _, f := range m.files {
		_ = m.to.Remove(m.temp(f)) // usually there is none
		_, err := m.to.Lstat(f.name)
		switch {
		case err != nil || f.kind == fs.ModeDir:
		case f.gone:
			err := m.Rename(filepath.Join(m.toDir, f.name), filepath.Join(m.s.dir, f.name))
			if err != nil && !(keepCopies && errors.Is(err, syscall.EXDEV)) { // a copy whose original is gone
				first = firstOf(first, wrap("move", filepath.Join(m.toDir, f.name), err))
			}
		case !keepCopies && m.isCopy(f):
			if err := m.to.Remove(f.name); err != nil {
				first = firstOf(first, wrap("remove", filepath.Join(m.toDir, f.name), err))
			}
		}
	}
	if err := m.sync(m.from, m.s.dir); err != nil { // a power cut must not lose both names of a file
		return false, firstOf(first, err)
	}
	removeFolders(m.to, m.files)
	if !keepCopies { // after a power cut, a copy must not be left of a file that is deleted next
		first = firstOf(first, m.sync(m.to, m.toDir))
	}
	return false, first
}
