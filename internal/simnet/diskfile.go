package simnet

import (
	"io"
	"io/fs"
	"slices"
	"syscall"
	"time"
)

// DiskFile is an open file of a Disk.
type DiskFile struct {
	d    *Disk
	n    *inode
	name string
}

// Close does nothing.
func (f *DiskFile) Close() error { return nil }

// ReadAt is like that of os.File.
func (f *DiskFile) ReadAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.injected("read", f.name); err != nil {
		return 0, err
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt is like that of os.File; on a full disk it writes what fits.
func (f *DiskFile) WriteAt(b []byte, off int64) (int, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.injected("write", f.name); err != nil {
		return 0, err
	}
	var err error
	for at := off / diskPage * diskPage; at < off+int64(len(b)); at += diskPage {
		if !f.d.take(f.n, at/diskPage) {
			b, err = b[:max(0, at-off)], syscall.ENOSPC
			break
		}
	}
	if n := int(off) + len(b) - len(f.n.data); n > 0 && len(b) > 0 {
		f.n.data = append(f.n.data, make([]byte, n)...)
	}
	f.n.mtime = f.d.tick()
	if len(b) == 0 {
		return 0, err
	}
	return copy(f.n.data[off:], b), err
}

// Stat is like that of os.File.
func (f *DiskFile) Stat() (fs.FileInfo, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return inodeInfo{f.n, int64(len(f.n.data)), f.n.mtime}, nil
}

// Version returns the size, the time of the last write, and 1 as the number of names.
func (f *DiskFile) Version() (size, mtime int64, links uint64, err error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return int64(len(f.n.data)), f.n.mtime, 1, nil
}

// SetTime sets the time of the last write.
func (f *DiskFile) SetTime(mtime int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.n.mtime = mtime
	return nil
}

// Truncate is like that of os.File; bytes that it adds are a hole, which occupies no
// space.
func (f *DiskFile) Truncate(size int64) error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.injected("truncate", f.name); err != nil {
		return err
	}
	f.n.mtime = f.d.tick()
	if more := size - int64(len(f.n.data)); more > 0 {
		f.n.data = append(f.n.data, make([]byte, more)...)
	}
	f.n.data = f.n.data[:size]
	f.d.free(f.n, size)
	return nil
}

// Sync makes the content durable. If it fails, the content on the disk stays as it was
// until it is written again: as on Linux, pages that could not be written count as clean.
func (f *DiskFile) Sync() error {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if err := f.d.injected("sync", f.name); err != nil {
		return err
	}
	f.n.disk = slices.Clone(f.n.data)
	return nil
}

// NextData returns off: holes are not distinguished from zeros.
func (f *DiskFile) NextData(off int64) (int64, error) { return off, nil }

// WillRead does nothing.
func (f *DiskFile) WillRead(int64, int64) {}

type inodeInfo struct {
	n     *inode
	size  int64
	mtime int64
}

func (i inodeInfo) Name() string { return "" }
func (i inodeInfo) Size() int64  { return i.size }
func (i inodeInfo) Mode() fs.FileMode {
	if i.n.dir {
		return fs.ModeDir
	}
	return 0
}
func (i inodeInfo) ModTime() time.Time { return time.Unix(0, i.mtime) }
func (i inodeInfo) IsDir() bool        { return i.n.dir }
func (i inodeInfo) Sys() any           { return nil }
