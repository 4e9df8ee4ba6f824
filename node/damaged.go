package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
)

// DamagedError reports a record of the state directory that cannot be used. It does not affect
// other records.
type DamagedError struct {
	Path   string
	Err    error
	Advice string
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.Path, e.Err) }

// Unwrap returns the cause, and a Fault of kind FaultIO with the advice.
func (e *DamagedError) Unwrap() []error {
	return []error{e.Err, NewFault(FaultIO, errors.New(e.Error()), e.Advice)}
}

// Hint returns what to do about the error.
func (e *DamagedError) Hint() string { return e.Advice }

// ReadRecord decodes the JSON record at path into r and returns its bytes. The error is
// fs.ErrNotExist, or a *DamagedError with the advice.
func ReadRecord(path string, r any, advice string) ([]byte, error) {
	b, err := statefile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		err = json.Unmarshal(b, r)
	}
	if err != nil {
		return nil, &DamagedError{path, err, advice}
	}
	return b, nil
}

// LockRecord creates the folder of a record if it does not exist, and locks it. If another process
// has locked it, the error is inUse.
func LockRecord(dir string, inUse error) (*statefile.Lock, error) {
	lock, err := statefile.LockFolder(dir)
	switch {
	case errors.Is(err, statefile.ErrLocked):
		return nil, inUse
	case err != nil:
		return nil, fmt.Errorf("the state directory cannot be used: %w; choose another with --state", err)
	}
	return lock, nil
}

// RecordFolders returns the paths of the folders in dir whose name is an infohash or a DHT
// target. It returns none if dir does not exist.
func RecordFolders(dir string) (paths []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	for _, e := range entries {
		if _, bad := id.ParseHex(e.Name()); bad == nil && e.IsDir() {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths, err
}
