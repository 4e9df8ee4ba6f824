//go:build !linux

package storage

import "io/fs"

func stampOf(fi fs.FileInfo) Stamp {
	return Stamp{Size: fi.Size(), Modified: fi.ModTime().UnixNano()}
}
