package storage

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Disk is a directory as storage uses it. Names are relative to it and cannot leave it.
// Tests replace it by one that simulates faults and power cuts.
type Disk interface {
	// Open is like os.OpenFile.
	Open(name string, flag int, perm fs.FileMode) (File, error)
	// Lstat does not follow a symbolic link in the last component; Stat does.
	Lstat(name string) (fs.FileInfo, error)
	Stat(name string) (fs.FileInfo, error)
	// Names returns the names in a directory, in any order.
	Names(dir string) ([]string, error)
	MkdirAll(name string) error
	Rename(from, to string) error
	Remove(name string) error
	// Symlink and Readlink are like those of package os.
	Symlink(target, name string) error
	Readlink(name string) (string, error)
	// SyncDir makes the entries of a directory durable.
	SyncDir(name string) error
	// Same reports whether two infos describe the same file, whatever its names.
	Same(a, b fs.FileInfo) bool
	// SteadyTimes reports whether a file's time changes exactly when it is written. On
	// network file systems the server may set it later.
	SteadyTimes() bool
	// Refresh closes cached descriptors of directories, which may be stale.
	Refresh()
}

// File is an open file. Its methods are safe for concurrent use.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Stat() (fs.FileInfo, error)
	// Version returns the size, the modification time in Unix nanoseconds, and the number
	// of hard links, or 0 if the system does not report it.
	Version() (size, mtime int64, links uint64, err error)
	// SetTime sets the modification time, where the system's clock is so coarse that this
	// is useful.
	SetTime(mtime int64) error
	Truncate(size int64) error
	// Sync makes the content and the size durable.
	Sync() error
	// NextData returns the offset of the first byte at or after off that is not in a
	// hole, or the file's size if there is none.
	NextData(off int64) (int64, error)
	// WillRead hints that a range will be read soon.
	WillRead(off, n int64)
}

// rootDisk is a directory of the system accessed through os.Root: no name or symbolic
// link leads out of it. Its descriptor is in the LRU too, shared by all torrents of that
// directory, and so are those of its subdirectories in use. Opening every directory on
// the way to each of many small files would cost several times as much as the file
// itself.
type rootDisk struct {
	dir     string
	handles *Handles
}

// dirCheckEvery is how long an open directory is assumed to be the one that its name
// leads to.
const dirCheckEvery = time.Second

// withRoot calls f with the directory, repeatedly if descriptors run out.
func (d rootDisk) withRoot(f func(*os.Root) error) error {
	h, err := d.handles.get(handleKey{dir: d.dir}, func() (io.Closer, error) { return os.OpenRoot(d.dir) })
	if err != nil {
		return err
	}
	defer d.handles.put(h)
	return d.handles.retry(func() error { return f(h.c.(*os.Root)) })
}

// withDir calls f with the directory that contains name, and with the name relative to
// it. If that fails for a reason that may not apply when starting from the root
// directory, f is called once more from there. makes says that f creates the name; then a
// missing name means a missing directory.
func (d rootDisk) withDir(name string, makes bool, f func(r *os.Root, name string) error) error {
	dir, base := filepath.Split(name)
	if dir = filepath.Clean(dir); dir == "." || base == "" {
		return d.withRoot(func(r *os.Root) error { return f(r, name) })
	}
	h, err := d.openDir(dir)
	if err != nil {
		return err
	}
	defer d.handles.put(h)
	err = d.handles.retry(func() error { return f(h.c.(*os.Root), base) })
	// A link may lead out of its directory but stay in the folder, or the directory may
	// have been removed.
	if err != nil && (escapes(err) || makes && errors.Is(err, fs.ErrNotExist) && !d.isDir(h, dir)) {
		d.handles.drop(d.dirKey(dir))
		return d.withRoot(func(r *os.Root) error { return f(r, name) })
	}
	return err
}

func (d rootDisk) dirKey(dir string) handleKey { return handleKey{dir: d.dir, name: dir, isDir: true} }

// openDir returns an open subdirectory. The caller puts it back.
func (d rootDisk) openDir(dir string) (*handle, error) {
	for {
		h, err := d.handles.get(d.dirKey(dir), func() (c io.Closer, err error) {
			err = d.withRoot(func(r *os.Root) (err error) { c, err = r.OpenRoot(dir); return err })
			var p *fs.PathError
			if errors.As(err, &p) && p.Err.Error() == syscall.ENOTDIR.Error() {
				p.Err = syscall.ENOTDIR // OpenRoot returns another error with this text
			}
			return c, err
		})
		if err != nil {
			return nil, err
		}
		now := time.Now().UnixNano()
		if seen := h.checkedAt.Load(); now-seen < int64(dirCheckEvery) || !h.checkedAt.CompareAndSwap(seen, now) || d.isDir(h, dir) {
			return h, nil
		}
		d.handles.drop(d.dirKey(dir))
		d.handles.put(h)
	}
}

// isDir reports whether the name of a directory still leads to the open one.
func (d rootDisk) isDir(h *handle, dir string) bool {
	open, err := h.c.(*os.Root).Stat(".")
	if err != nil {
		return false
	}
	var there fs.FileInfo
	err = d.withRoot(func(r *os.Root) (err error) { there, err = r.Stat(dir); return err })
	return err == nil && os.SameFile(open, there)
}

func (d rootDisk) Open(name string, flag int, perm fs.FileMode) (out File, err error) {
	err = d.withDir(name, flag&os.O_CREATE != 0, func(r *os.Root, name string) error {
		f, err := r.OpenFile(name, flag, perm)
		if err == nil {
			out = osFile{f, flag&(os.O_WRONLY|os.O_RDWR) != 0}
		}
		return err
	})
	return out, err
}

func (d rootDisk) Lstat(name string) (fi fs.FileInfo, err error) {
	err = d.withDir(name, false, func(r *os.Root, name string) error { fi, err = r.Lstat(name); return err })
	return fi, err
}

func (d rootDisk) Stat(name string) (fi fs.FileInfo, err error) {
	err = d.withDir(name, false, func(r *os.Root, name string) error { fi, err = r.Stat(name); return err })
	return fi, err
}

func (d rootDisk) Names(dir string) (names []string, err error) {
	err = d.withRoot(func(r *os.Root) error {
		f, err := r.Open(dir)
		if err != nil {
			return err
		}
		defer f.Close()
		names, err = f.Readdirnames(-1)
		return err
	})
	return names, err
}

func (d rootDisk) MkdirAll(name string) error {
	if h, err := d.openDir(name); err == nil {
		d.handles.put(h)
		return nil
	}
	return d.withRoot(func(r *os.Root) error { return r.MkdirAll(name, 0o777) })
}

func (d rootDisk) Rename(from, to string) error {
	dir, base := filepath.Split(to)
	if fromDir, _ := filepath.Split(from); fromDir != dir {
		return d.withRoot(func(r *os.Root) error { return r.Rename(from, to) })
	}
	return d.withDir(from, true, func(r *os.Root, name string) error {
		if strings.HasPrefix(name, dir) {
			return r.Rename(name, to)
		}
		return r.Rename(name, base)
	})
}

func (d rootDisk) Remove(name string) error {
	return d.withDir(name, false, func(r *os.Root, name string) error { return r.Remove(name) })
}

func (d rootDisk) Symlink(target, name string) error {
	return d.withRoot(func(r *os.Root) error { return r.Symlink(target, name) })
}

func (d rootDisk) Readlink(name string) (target string, err error) {
	err = d.withRoot(func(r *os.Root) error { target, err = r.Readlink(name); return err })
	return target, err
}

func (d rootDisk) SyncDir(name string) error {
	return d.withRoot(func(r *os.Root) error {
		f, err := r.Open(name)
		if err != nil {
			return err
		}
		defer f.Close()
		return syncDirectory(f)
	})
}

func (d rootDisk) Same(a, b fs.FileInfo) bool { return os.SameFile(a, b) }

func (d rootDisk) Refresh() { d.handles.dropFolder(d.dir) }

// openDisk opens a directory. If it does not exist and create is set, it is created.
func openDisk(dir string, create bool, handles *Handles) (Disk, error) {
	if create {
		if err := handles.retry(func() error { return os.MkdirAll(dir, 0o777) }); err != nil {
			return nil, err
		}
	}
	return openRootDisk(dir, handles)
}

func openRootDisk(dir string, handles *Handles) (rootDisk, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return rootDisk{}, err
	}
	d := rootDisk{abs, handles}
	return d, d.withRoot(func(*os.Root) error { return nil })
}

// osFile is a file of the system.
type osFile struct {
	*os.File
	writable bool
}

func (d rootDisk) SteadyTimes() (steady bool) {
	_ = d.withRoot(func(r *os.Root) error {
		f, err := r.Open(".")
		if err != nil {
			return err
		}
		defer f.Close()
		steady = steadyTimes(f)
		return nil
	})
	return steady
}

func (f osFile) Stat() (fs.FileInfo, error) { return f.File.Stat() }
func (f osFile) Truncate(size int64) error {
	setSparse(f.File)
	return f.File.Truncate(size)
}

// SystemDisk opens a folder as Open does where Options.OpenDisk is nil, for what is put
// between storage and the system.
func SystemDisk(dir string, create bool, handles *Handles) (Disk, error) {
	if !create {
		return openLinkedDisk(dir, handles)
	}
	return openDisk(dir, create, handles)
}
