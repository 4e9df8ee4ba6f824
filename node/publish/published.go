package publish

import (
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/node"
)

// Published is one publication of a state directory.
type Published struct {
	Target     id.ID  // of its item in the DHT
	ItemSalt   []byte // of its item
	Place      id.ID  // identifies it on this machine: the target of the item under Key and Salt, also of a private one
	Private    bool
	Key        string // the user's, public, in hex
	KeyName    string
	Master     string // public, in hex: the key in the link, if that is another one
	Salt       string
	Path       string
	Link       string
	KeepLink   string        // of a private publication: keeps it alive without reading it
	Watch      time.Duration // interval at which the path is watched, or 0
	RolledBack bool          // the newest version is an earlier one
	Ended      bool          // it is no longer published, and its history was kept
	Versions   []Version     // ascending
}

// describe returns the publication of a record.
func (r *record) describe() (Published, error) {
	key, err := id.ParseHex32(r.Key)
	if err != nil {
		return Published{}, err
	}
	link, err := r.link()
	if err != nil {
		return Published{}, err
	}
	place, keep := dht.ItemTarget(key, r.Salt), ""
	target := place
	if link.IsPrivate() {
		target, keep = dht.ItemTarget(link.PublicKey, link.Salt), link.ToKeep().String()
	}
	return Published{Target: target, ItemSalt: link.Salt, Place: place, Private: link.IsPrivate(), KeepLink: keep, Key: r.Key, KeyName: r.KeyName, Master: r.Master, Salt: string(r.Salt), Path: r.Path, Link: link.String(),
		Watch: r.Watch, RolledBack: r.RolledBack, Ended: r.Ended, Versions: slices.Clone(r.Versions)}, nil
}

// List returns the publications of a state directory, sorted by key name and salt. Its error
// joins a *node.DamagedError for each unreadable record; the others are still returned.
func List(state string) (list []Published, err error) {
	folders, err := node.RecordFolders(publicationsDir(state))
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, dir := range folders {
		r, _, err := readRecord(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p, err := r.describe()
		if err != nil {
			errs = append(errs, &node.DamagedError{Path: filepath.Join(dir, "record"), Err: err, Advice: damagedAdvice})
			continue
		}
		if len(p.Versions) > 0 {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b Published) int {
		return cmp.Or(cmp.Compare(a.KeyName, b.KeyName), cmp.Compare(a.Salt, b.Salt))
	})
	return list, errors.Join(errs...)
}
