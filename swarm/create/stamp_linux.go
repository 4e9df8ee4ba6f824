package create

import (
	"io/fs"
	"syscall"
)

func stampOf(fi fs.FileInfo) Stamp {
	s := Stamp{Size: fi.Size(), Modified: fi.ModTime().UnixNano()}
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		s.Changed = syscall.TimespecToNsec(st.Ctim)
	}
	return s
}
