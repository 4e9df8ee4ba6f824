//go:build !linux

package create

import "io/fs"

func stampOf(fi fs.FileInfo) Stamp {
	return Stamp{Size: fi.Size(), Modified: fi.ModTime().UnixNano()}
}
