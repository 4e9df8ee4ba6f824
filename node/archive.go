package node

import (
	"context"
	"errors"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
)

// Limits of the earlier versions of one publication that its publisher, or a follower, shares as Archives.
const (
	MaxEarlier = 20 // versions; the item names about as many
	// MaxEarlierBytes limits their torrent files: with 100,000 files, one has about 10 MB.
	MaxEarlierBytes = 32 << 20
)

// archiveConns limits the connections of an Archive. Most take a moment: the metadata is sent.
const archiveConns = 8

// An Archive shares something that few peers ask for, such as an earlier version of a publication: the
// metadata of a torrent, and those of its files that are in a folder. It is parked until a peer connects,
// and again when it has had no peer for a minute, so that it takes about 1 KiB of memory. It is announced
// like other torrents, as a seed only if it has all files.
//
// The node does not list it, and it has no events. It gives way to every torrent with the same
// infohash that is added later.
type Archive struct{ torrent *Torrent }

// AddArchive adds an Archive of a torrent. Its files with these numbers, from 1 as in Spec.Select, are in
// the folder dir; nil means all of them, and an empty list that only the metadata is shared. The files are opened
// read-only, and hashed when a peer asks first. If one of them is damaged then, the Archive ends. The error is
// ErrDuplicate if the node has the torrent, and ErrLocked if another process has it.
func (n *Node) AddArchive(torrent *metainfo.Torrent, dir string, files []int) (*Archive, error) {
	if files != nil && len(files) == 0 {
		dir = n.state.path // one that exists
	}
	t, err := n.Add(Spec{Torrent: torrent, Dir: dir, Select: files, Seed: true, Archive: true})
	if err != nil {
		return nil, err
	}
	return &Archive{t}, nil
}

// HasEnded reports whether the Archive has given way to another torrent, or its files are damaged.
func (a *Archive) HasEnded() bool { return a.torrent.isBeingRemoved() || a.torrent.isStopping() }

// CanReturn reports whether the Archive has ended, and the node does not have another torrent of the same
// infohash (any more), so that AddArchive can add it again.
func (a *Archive) CanReturn() bool {
	return a.HasEnded() && a.torrent.node.Torrent(a.torrent.hash) == nil
}

// Remove removes the Archive from the node, unless it has ended, and what the state directory has of it.
// The files stay. It waits until that is done, or ctx ends.
func (a *Archive) Remove(ctx context.Context) error {
	err := a.torrent.remove(false)
	if err == nil || errors.Is(err, ErrEnded) {
		err = a.torrent.Settled(ctx)
	}
	return errors.Join(err, a.torrent.node.Forget(a.torrent.hash))
}

// Archived returns the torrent of the Archive with that infohash, or nil if the node has none. isWhole reports
// whether the Archive has all files, so that they can be read; a torrent that is added to get the others ends it.
func (n *Node) Archived(infohash id.ID) (t *Torrent, isWhole bool) {
	t = n.lookup(infohash)
	if t == nil || !t.isArchive() || t.isBeingRemoved() || t.isStopping() {
		return nil, false
	}
	spec := t.spec()
	return t, spec.Select == nil
}

// isArchive reports whether the torrent is that of an Archive.
func (t *Torrent) isArchive() bool { return t.milestones.has(isArchive) }

// isHidden reports whether the torrent is left out of Torrents and has no events.
func (t *Torrent) isHidden() bool { return t.IsCache() || t.isArchive() }

// givesWayTo reports whether the torrent is removed when other, which has the same infohash, is added.
func (t *Torrent) givesWayTo(other *Torrent) bool {
	if t.isArchive() {
		return !other.isArchive()
	}
	return t.IsCache() && !other.isHidden()
}
