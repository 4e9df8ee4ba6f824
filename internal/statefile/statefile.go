// Package statefile reads, replaces and locks the files of a state directory.
//
// Every file there obeys four rules:
//
//   - A file is replaced as a whole. A reader sees the old content or the new one,
//     never a mixture, also after a crash (Write) or a power cut (WriteSync). Only a
//     journal (package journal) is appended to instead.
//   - Only regular files are read. A FIFO, a device or a folder in the place of a
//     file gives a *NotRegularError at once; opening it never waits for another
//     program.
//   - Reading is bounded: a file larger than the limit is an error.
//   - A lock is held by one process at a time and ends with the process.
//
// A state directory is private: files get mode 0600 and folders 0700. The package
// does not know what is in the files and never repairs them.
//
// renameio replaces files in the same way but does not support Windows. Using it would mean
// two implementations.
package statefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// MaxSize is the limit of Read in bytes. It is far more than any state file needs.
const MaxSize = 64 << 20

// NotRegularError reports that a state file is not a regular file.
type NotRegularError struct {
	Path string
	Mode fs.FileMode
}

func (e *NotRegularError) Error() string { return e.Path + " " + e.Reason() }

// Reason describes the error without the path: "is a folder, not a regular file".
func (e *NotRegularError) Reason() string {
	return "is " + Kind(e.Mode) + ", not a regular file"
}

// Hint returns advice.
func (e *NotRegularError) Hint() string { return "move it away, then try again" }

// Kind describes the type of a file: "a folder".
func Kind(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a file"
	case m.IsDir():
		return "a folder"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "a special file"
}

// Open opens a regular file for reading. It never blocks.
func Open(path string) (*os.File, error) {
	f, err := openRegular(path, os.O_RDONLY, 0)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// OpenAppend opens a regular file for reading and for appending. It never blocks.
func OpenAppend(path string, create bool) (*os.File, error) {
	flag := os.O_RDWR | os.O_APPEND
	if create {
		flag |= os.O_CREATE
	}
	return openRegular(path, flag, 0o600)
}

func openRegular(path string, flag int, perm fs.FileMode) (*os.File, error) {
	f, err := os.OpenFile(path, flag|NonBlock, perm)
	if err != nil {
		// A socket, or a folder that is opened for writing, fails before Stat.
		if st, serr := os.Stat(path); serr == nil && !st.Mode().IsRegular() {
			err = &NotRegularError{path, st.Mode()}
		}
		return nil, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = &NotRegularError{path, st.Mode()}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Read returns the content of a regular file of at most MaxSize bytes.
func Read(path string) ([]byte, error) { return ReadMax(path, MaxSize) }

// ReadMax returns the content of a regular file of at most limit bytes.
func ReadMax(path string, limit int64) ([]byte, error) {
	if b, ok, err := readFast(path, limit); ok {
		return b, err
	}
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, err
	}
	if int64(len(b)) > limit {
		return nil, fmt.Errorf("%s is larger than %d bytes", path, limit)
	}
	return b, nil
}

// Write replaces the file at path with one that contains b. A crash of the process leaves
// the old file or the new one. A power cut can lose both, so use it only for data that can
// be recreated.
func Write(path string, b []byte) error { return replace(path, b, false) }

// WriteSync is like Write, but survives a power cut: when it returns nil, content and name
// are on disk.
func WriteSync(path string, b []byte) error { return replace(path, b, true) }

// Temporary files have short names, because the file's own name may already have the maximum
// length of the file system.
const (
	tempPrefix = ".seedbed-"
	tempSuffix = ".tmp"
)

// IsTemporary reports whether a name is that of a file that Write had not finished.
func IsTemporary(name string) bool {
	return strings.HasPrefix(name, tempPrefix) && strings.HasSuffix(name, tempSuffix)
}

func replace(path string, b []byte, sync bool) (err error) {
	if st, err := os.Stat(path); err == nil && st.IsDir() { // rename has no clear error for this
		return &NotRegularError{path, st.Mode()}
	}
	f, err := os.CreateTemp(filepath.Dir(path), tempPrefix+"*"+tempSuffix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(b); err != nil {
		return err
	}
	if sync {
		if err = f.Sync(); err != nil {
			return err
		}
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil || !sync {
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// WriteNew creates a file that only its owner can read, and syncs it. If the file exists,
// the error is fs.ErrExist.
func WriteNew(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(path)
		return err
	}
	return SyncDir(filepath.Dir(path))
}

// SyncDir makes the names in a folder survive a power cut, on systems that can sync folders.
func SyncDir(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_ = f.Sync() // Windows and some network file systems cannot
	return nil
}

// staleAfter is the age after which no process can still be writing a temporary file.
const staleAfter = time.Hour

// Sweep removes the temporary files of killed processes from a folder.
func Sweep(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if !IsTemporary(e.Name()) {
			continue
		}
		if st, err := e.Info(); err == nil && st.Mode().IsRegular() && time.Since(st.ModTime()) > staleAfter {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
