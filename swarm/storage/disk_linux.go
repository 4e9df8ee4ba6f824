package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Sync writes the content and what is needed to find it, but not the times.
func (f osFile) Sync() error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (f osFile) NextData(off int64) (int64, error) {
	at, err := unix.Seek(int(f.Fd()), off, unix.SEEK_DATA)
	switch {
	case errors.Is(err, unix.ENXIO): // only a hole up to the end
		fi, err := f.File.Stat()
		if err != nil {
			return 0, err
		}
		return max(fi.Size(), off), nil
	case err != nil: // the file system does not support holes
		return off, nil
	}
	return at, nil
}

func (f osFile) WillRead(off, n int64) {
	_ = unix.Fadvise(int(f.Fd()), off, n, unix.FADV_WILLNEED) // only a hint
}

// groupFileSystems are those whose syncfs is known to make everything durable. Others,
// such as those in user space, may do nothing and report success.
var groupFileSystems = []uint32{unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.TMPFS_MAGIC}

// syncfsReports reports whether syncfs returns write errors, as it does since Linux 5.8.
var syncfsReports = sync.OnceValue(func() bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 5 || major == 5 && minor >= 8
})

// groupSync is a directory of a file system that can be synced as a whole.
type groupSync struct {
	*os.File
	dev uint64
}

func (d rootDisk) openSyncer() (out syncer) {
	if !syncfsReports() {
		return nil
	}
	_ = d.withRoot(func(r *os.Root) error {
		f, err := r.Open(".")
		if err != nil {
			return err
		}
		var kind unix.Statfs_t
		fi, err := f.Stat()
		if st, ok := fi.Sys().(*syscall.Stat_t); err == nil && ok && unix.Fstatfs(int(f.Fd()), &kind) == nil && slices.Contains(groupFileSystems, uint32(kind.Type)) {
			out = groupSync{f, uint64(st.Dev)}
			return nil
		}
		return f.Close()
	})
	return out
}

func (g groupSync) Covers(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && uint64(st.Dev) == g.dev
}

func (g groupSync) Sync() error {
	for {
		err := unix.Syncfs(int(g.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func setSparse(*os.File) {}

func syncDirectory(f *os.File) error {
	// Some network file systems do not support this; then nothing can be done.
	if err := f.Sync(); err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	return nil
}

func (f osFile) SetTime(mtime int64) error {
	t := [2]unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(mtime)}
	// Package unix lacks the system call for open files.
	_, _, errno := unix.Syscall6(unix.SYS_UTIMENSAT, f.Fd(), 0, uintptr(unsafe.Pointer(&t)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// steadyTimes reports whether the file system of f sets file times immediately and by
// itself.
func steadyTimes(f *os.File) bool {
	var s unix.Statfs_t
	if err := unix.Fstatfs(int(f.Fd()), &s); err != nil {
		return false
	}
	switch uint32(s.Type) {
	case unix.NFS_SUPER_MAGIC, unix.SMB_SUPER_MAGIC, unix.SMB2_SUPER_MAGIC, unix.CIFS_SUPER_MAGIC, unix.V9FS_MAGIC,
		unix.AFS_SUPER_MAGIC, unix.AFS_FS_MAGIC, unix.CODA_SUPER_MAGIC, unix.CEPH_SUPER_MAGIC:
		return false
	}
	return true
}
