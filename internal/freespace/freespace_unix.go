//go:build linux || darwin || freebsd

package freespace

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Of returns the space that users have in the file system of a folder, which must exist. It waits for the disk.
func Of(dir string) (free, total int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, 0, fmt.Errorf("cannot measure the free space in %s: %w", dir, err)
	}
	return int64(st.Bavail) * int64(st.Bsize), int64(st.Blocks) * int64(st.Bsize), nil
}
