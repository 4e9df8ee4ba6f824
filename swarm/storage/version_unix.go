//go:build unix

package storage

import "golang.org/x/sys/unix"

func (f osFile) Version() (size, mtime int64, links uint64, err error) {
	var st unix.Stat_t
	for {
		err = unix.Fstat(int(f.Fd()), &st)
		if err != unix.EINTR {
			break
		}
	}
	return st.Size, unix.TimespecToNsec(st.Mtim), uint64(st.Nlink), err
}
