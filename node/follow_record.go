package node

import (
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet"
)

// adopted is the version that current leads to, as it is remembered.
type adopted struct {
	Seq      int64  `json:"seq"`
	InfoHash string `json:"infohash"`
	Folder   string `json:"folder"`
	Value    []byte `json:"value"`
	Sig      []byte `json:"sig"`
}

// followState is follows/TARGET in the state directory, locked: what was adopted.
//
//	follows/TARGET/lock             held by the process that follows it
//	follows/TARGET/record           the version that current leads to
//	follows/TARGET/FOLDER.torrent   the metadata of each version that is kept
type followState struct {
	path string
	lock *statefile.Lock
	last adopted // Seq is 0 before the first
}

// errFollowed is a publication that another process follows.
var errFollowed = &Fault{Kind: FaultConflict, Err: errors.New("another seedbed process with the same state directory follows this"), hint: "stop that process first"}

func (s *stateDir) openFollow(target id.ID) (*followState, error) {
	f := &followState{path: filepath.Join(s.path, "follows", target.String())}
	var err error
	if f.lock, err = lockFolder(f.path, errFollowed); err != nil {
		return nil, err
	}
	b, err := statefile.Read(filepath.Join(f.path, "record"))
	if err == nil {
		err = json.Unmarshal(b, &f.last)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(&Fault{Kind: FaultIO, Err: fmt.Errorf("%s is damaged: %w", filepath.Join(f.path, "record"), err),
			hint: "move it away to follow anew"}, f.lock.Release())
	}
	return f, nil
}

func (f *followState) save(a adopted) error {
	b, err := json.MarshalIndent(a, "", " ")
	if err != nil {
		return err
	}
	if err := statefile.WriteSync(filepath.Join(f.path, "record"), b); err != nil {
		return err
	}
	f.last = a
	return nil
}

// torrentPath is where the metadata of a version is, by its folder.
func (f *followState) torrentPath(folder string) string {
	return filepath.Join(f.path, path.Base(folder)+".torrent")
}

// item is the signed item of the version, under the key of the link.
func (a *adopted) item(l *magnet.Link) (DHTItem, error) {
	i := DHTItem{Value: a.Value, Mutable: true, Key: l.PublicKey, Salt: l.Salt, Seq: a.Seq}
	if copy(i.Sig[:], a.Sig) != ed25519.SignatureSize {
		return i, errors.New("the record of what is followed has a version without a signature")
	}
	return i, nil
}
