package delegate

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"sync"

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
	path := s.path(dht.ItemTarget(key, salt))
	b, err := statefile.ReadMax(path, MaxFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var st *Statement
	if err == nil {
		if st, err = Parse(b); err == nil && (id.ID32(st.Item.Key) != key || string(st.Item.Salt) != string(salt)) {
			err = errors.New("it is about another publication")
		}
	}
	if err != nil {
		return nil, &node.DamagedError{Path: path, Err: err, Advice: "move it away, and import the newest delegation file again"}
	}
	return st, nil
}

// saving orders the processes' goroutines that save; the number decides which statement stays.
var saving sync.Mutex

// Save stores a statement. It refuses one that is older than the stored one, or that has its number
// and says something else. A statement that is stored already is no error.
func (s Store) Save(st *Statement) error {
	saving.Lock()
	defer saving.Unlock()
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
	if err := statefile.MkdirAll(s.dir); err != nil {
		return err
	}
	return statefile.WriteSync(s.path(st.Item.Target()), st.Append(nil))
}
