package catalogue

import (
	"context"
	"errors"
	"fmt"

	"seedbed/internal/id"
	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/s3store"
)

// Check returns an error if the store lacks objects of a torrent, or has them in another size. Nodes would announce the torrent, but could
// not serve it. The objects are not read.
func Check(ctx context.Context, s *objectstore.Store, t *metainfo.Torrent) error {
	n, first, err := s3store.Missing(ctx, s, t.Info)
	if err != nil || n == 0 {
		return err
	}
	more := ""
	if n > 1 {
		more = fmt.Sprintf(", and %d more", n-1)
	}
	return node.NewFault(node.FaultIncomplete, fmt.Errorf("%s is not complete in %s: %s is missing or has another size%s", t.Info.Name, s.Location(), first, more),
		"put its objects there first; seedbed catalogue add --force, or force of POST /v1/catalogue, adds it nevertheless")
}

// Put writes a torrent into the catalogue of a store, in place of the one that is there. If everybody can read its objects, the store
// becomes one of its web seeds, by the rule of seeds. Nodes share it after their next listing.
func Put(ctx context.Context, s *objectstore.Store, t *metainfo.Torrent, seeds *s3store.WebSeeds) error {
	if t.Info.LacksLayers() {
		return node.NewFault(node.FaultUsage, fmt.Errorf("%s lacks the hashes of its pieces", t.Info.Name), "give a torrent file with piece layers")
	}
	own := *t
	seeds.Add(ctx, &own)
	b := own.Append(nil)
	if len(b) > maxFile {
		return node.NewFault(node.FaultUsage, fmt.Errorf("the torrent file of %s has %d bytes, and one of a catalogue at most %d", t.Info.Name, len(b), maxFile), "make it with larger pieces")
	}
	_, err := s.Write(ctx, nameOf(t.Info.Hash), b, "application/x-bittorrent", objectstore.Condition{})
	return err
}

// ErrAbsent is returned by Remove for a torrent that is not in the catalogue under the name that Put gives it.
var ErrAbsent = errors.New("the catalogue does not have this torrent")

// Remove removes a torrent that Put has written. Nodes stop sharing it a few minutes later. The objects with its files stay.
func Remove(ctx context.Context, s *objectstore.Store, infohash id.ID) error {
	name := nameOf(infohash)
	if _, err := s.Stat(ctx, name); err != nil {
		if objectstore.KindOf(err) == objectstore.NotFound {
			return fmt.Errorf("%w as %s; if another tool has put it there under another name, remove that object", ErrAbsent, s.Location().Name(name))
		}
		return err
	}
	return s.Remove(ctx, name)
}

func nameOf(infohash id.ID) string { return folder + infohash.String() + suffix }
