package storage

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// Reader reads the files of one folder by their relative names, through an LRU of open
// files. No name or symbolic link leads out of the folder. Its methods may be called
// concurrently and return errors of package os.
type Reader struct{ disk rootDisk }

// NewReader opens a folder.
func NewReader(dir string, handles *Handles) (*Reader, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	r := &Reader{rootDisk{abs, handles}}
	return r, r.disk.withRoot(func(*os.Root) error { return nil })
}

// Stat follows symbolic links.
func (r *Reader) Stat(name string) (fs.FileInfo, error) { return r.disk.Stat(name) }

// ReadAt reads from a file like io.ReaderAt.
func (r *Reader) ReadAt(name string, b []byte, off int64) (n int, err error) {
	err = r.withFile(name, func(f File) (err error) { n, err = f.ReadAt(b, off); return err })
	return n, err
}

// WillRead hints that n bytes from off of a file will be read soon.
func (r *Reader) WillRead(name string, off, n int64) error {
	return r.withFile(name, func(f File) error { f.WillRead(off, n); return nil })
}

// Forget closes a file if it is open. Its owner has deleted it.
func (r *Reader) Forget(name string) { r.disk.handles.drop(handleKey{dir: r.disk.dir, name: name}) }

func (r *Reader) withFile(name string, do func(File) error) error {
	h, err := r.disk.handles.get(handleKey{dir: r.disk.dir, name: name}, func() (io.Closer, error) {
		return r.disk.Open(name, os.O_RDONLY, 0)
	})
	if err != nil {
		return err
	}
	defer r.disk.handles.put(h)
	return do(h.c.(File))
}
