//go:build unix

package node

import (
	"os"
	"path/filepath"
	"syscall"
)

// mountOf returns the folder in which the file system of path is mounted: the highest folder above
// path on the same device. If path does not exist, it is that of the first folder above it that
// does. It returns "" if this cannot be found out.
func mountOf(path string) string {
	device := func(dir string) (uint64, bool) {
		fi, err := os.Stat(dir)
		if err != nil {
			return 0, false
		}
		st, ok := fi.Sys().(*syscall.Stat_t)
		if !ok {
			return 0, false
		}
		return uint64(st.Dev), true
	}
	dev, ok := device(path)
	for !ok {
		parent := filepath.Dir(path)
		if parent == path {
			return ""
		}
		path = parent
		dev, ok = device(path)
	}
	for {
		parent := filepath.Dir(path)
		if above, ok := device(parent); parent == path || !ok || above != dev {
			return path
		}
		path = parent
	}
}
