package follow

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"seedbed/dht"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/magnet/mutable"
	"seedbed/node"
)

// errNoLink is the error for a record that an earlier version of seedbed wrote.
var errNoLink = errors.New("it has no link, because an earlier version of seedbed wrote it")

// Followed is one recorded publication of a state directory.
type Followed struct {
	Target   id.ID // of its item in the DHT
	Config   Config
	Seq      int64  // of the current version; 0 if there is none
	Newest   int64  // the highest number that is known; 0 if there is none
	Stays    bool   // the current version stays, though there may be newer ones (Follower.Stay)
	InfoHash string // of the current version
	Folder   string // of the current version
	Signer   string // the key in hex that has signed the current version; "" if it is that in the link
	// Delegation says which keys publish besides that in the link, or is nil.
	Delegation *mutable.Delegation

	adopted int64         // number of the newest version that was adopted
	value   bencode.Value // of its item
}

// describe returns the publication of a record.
func (r *record) describe() (Followed, error) {
	c, err := r.config()
	if err != nil {
		return Followed{}, err
	}
	now := r.shown()
	f := Followed{Target: dht.ItemTarget(c.Link.PublicKey, c.Link.Salt), Config: c, Seq: now.Seq, InfoHash: now.InfoHash, Newest: r.Seq, Stays: r.Stay != nil, Delegation: r.delegation(c.Link),
		adopted: r.Seq, value: r.Value}
	if r.Stay == nil {
		f.Signer = r.Signer
	}
	if now.Folder != "" {
		f.Folder = filepath.Join(r.Dir, filepath.FromSlash(now.Folder))
	}
	return f, nil
}

// List returns the recorded publications of a state directory, sorted by target. Its error
// joins a *node.DamagedError for each unreadable record; the others are still returned.
func List(state string) (list []Followed, err error) {
	folders, err := node.RecordFolders(followsDir(state))
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, dir := range folders {
		r, err := readRecord(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			var f Followed
			if f, err = r.describe(); err == nil {
				list = append(list, f)
				continue
			}
			if r.Link == "" {
				err = errNoLink
			}
			err = &node.DamagedError{Path: filepath.Join(dir, "record"), Err: err, Advice: damagedAdvice}
		}
		errs = append(errs, err)
	}
	return list, errors.Join(errs...)
}

// RestoreError reports a publication that Restore could not follow.
type RestoreError struct {
	Link string
	Err  error
}

func (e *RestoreError) Error() string { return fmt.Sprintf("%s is not followed: %v", e.Link, e.Err) }
func (e *RestoreError) Unwrap() error { return e.Err }

// Restore follows every publication without an owner that is recorded in the node's state directory. A
// failure does not affect the others: failed has a *RestoreError for each publication that
// cannot be followed and a *node.DamagedError for each unreadable record.
func Restore(n *node.Node) (restored []*Follower, failed []error) {
	list, err := List(n.StateDir())
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		failed = many.Unwrap()
	} else if err != nil {
		return nil, []error{err}
	}
	for _, one := range list {
		if one.Config.Owner != "" {
			continue
		}
		f, err := Start(n, one.Config)
		if err != nil {
			failed = append(failed, &RestoreError{one.Config.Link.String(), err})
			continue
		}
		restored = append(restored, f)
	}
	return restored, failed
}
