//go:build linux || darwin || freebsd

package daemon

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// spaceOf returns the space that users have in the file system of a folder.
func spaceOf(dir string) (Space, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return Space{}, fmt.Errorf("cannot measure the free space in %s: %w", dir, err)
	}
	return Space{Free: int64(st.Bavail) * int64(st.Bsize), Total: int64(st.Blocks) * int64(st.Bsize)}, nil
}
