package storage

import (
	"os"

	"golang.org/x/sys/windows"
)

// setSparse lets holes of the file take no space: NTFS must be asked to.
func setSparse(f *os.File) {
	var n uint32
	_ = windows.DeviceIoControl(windows.Handle(f.Fd()), windows.FSCTL_SET_SPARSE, nil, 0, nil, 0, &n, nil) // FAT cannot
}
