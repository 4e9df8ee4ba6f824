//go:build !linux

package storage

import (
	"os"
	"runtime"
)

func (f osFile) Sync() error {
	if !f.writable && runtime.GOOS == "windows" {
		return nil // FlushFileBuffers requires write access
	}
	return f.File.Sync()
}

func (f osFile) NextData(off int64) (int64, error) { return off, nil }
func (f osFile) WillRead(int64, int64)             {}

func syncDirectory(f *os.File) error {
	if runtime.GOOS == "windows" {
		return nil // NTFS journals its directories and cannot flush one
	}
	return f.Sync()
}

func (f osFile) SetTime(int64) error { return nil }

// steadyTimes reports whether the system sets file times immediately: Windows may set
// them when a file is closed.
func steadyTimes(*os.File) bool { return runtime.GOOS != "windows" }
