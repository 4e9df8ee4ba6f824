package delegate

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/node"
)

// Store has the newest known statement of each publication in a state directory, in the file
// delegations/TARGET; the target is that of the statement's item.
type Store struct{ dir string }

// Open returns the statements of the state directory at path.
func Open(path string) Store { return Store{filepath.Join(path, "delegations")} }

func (s Store) path(target id.ID) string { return filepath.Join(s.dir, target.String()) }

// Load returns the statement of the publication with a key and a salt, or nil if there is none.
func (s Store) Load(key id.ID32, salt []byte) (*Statement, error) {
	st, err := s.read(dht.ItemTarget(key, salt))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return st, err
}

// read reads the statement with a target. The error is a *node.DamagedError, which wraps
// fs.ErrNotExist if there is none.
func (s Store) read(target id.ID) (*Statement, error) {
	path := s.path(target)
	b, err := statefile.ReadMax(path, MaxFile)
	var st *Statement
	if err == nil {
		if st, err = Parse(b); err == nil && st.Item.Target() != target {
			err = errors.New("it is about another publication")
		}
	}
	if err != nil {
		return nil, &node.DamagedError{Path: path, Err: err, Advice: "move it away, and import the newest delegation file again"}
	}
	return st, nil
}

// saving serialises Save in this process, as the lock file does between processes. So of two statements with the same
// number only one is stored.
var saving sync.Mutex

// List returns all stored statements, ordered by target. The error joins a *node.DamagedError for each file that
// cannot be read; the others are returned nevertheless.
func (s Store) List() (list []*Statement, err error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, e := range entries {
		target, err := id.ParseHex(e.Name())
		if err != nil { // the lock, or a temporary file
			continue
		}
		st, err := s.read(target)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		list = append(list, st)
	}
	return list, errors.Join(errs...)
}

// If another process is saving, Save tries again saveTries times, every savePause: 2 s in all.
const (
	saveTries = 100
	savePause = 20 * time.Millisecond
)

// lock takes the lock of the folder, which another process holds for a moment only.
func (s Store) lock() (lock *statefile.Lock, err error) {
	for range saveTries {
		if lock, err = statefile.LockFolder(s.dir); !errors.Is(err, statefile.ErrLocked) {
			return lock, err
		}
		time.Sleep(savePause)
	}
	return nil, node.NewFault(node.FaultBusy, fmt.Errorf("%s: %w", s.dir, err), "run the command again when the other seedbed process has stored its delegation")
}

// Save stores a statement. It refuses one that is older than the stored one, or that has its number
// and says something else. A statement that is stored already is no error.
func (s Store) Save(st *Statement) (err error) {
	saving.Lock()
	defer saving.Unlock()
	lock, err := s.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	was, err := s.Load(st.Item.Key, st.Item.Salt)
	if err != nil {
		return err
	}
	if was != nil {
		switch {
		case was.Item.Seq > st.Item.Seq:
			return node.NewFault(node.FaultConflict, fmt.Errorf("the delegation has the number %d, and a newer one, with the number %d, is known here", st.Item.Seq, was.Item.Seq),
				"use the file that the owner of the publication has made last")
		case was.Item.Seq == st.Item.Seq && string(was.Item.Value) != string(st.Item.Value):
			return node.NewFault(node.FaultConflict, fmt.Errorf("another delegation with the number %d is known here", st.Item.Seq),
				"the owner of the publication must make another one: followers ignore one of the two")
		case was.Item.Seq == st.Item.Seq:
			return nil
		}
	}
	return statefile.WriteSync(s.path(st.Item.Target()), st.Append(nil))
}
