package storage

import "golang.org/x/sys/windows"

func (f osFile) Version() (size, mtime int64, links uint64, err error) {
	var d windows.ByHandleFileInformation
	err = windows.GetFileInformationByHandle(windows.Handle(f.Fd()), &d)
	return int64(d.FileSizeHigh)<<32 | int64(d.FileSizeLow), d.LastWriteTime.Nanoseconds(), uint64(d.NumberOfLinks), err
}
