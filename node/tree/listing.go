package tree

import (
	"context"
	"errors"
	"io"
	"os"

	"seedbed/internal/sealed"
	"seedbed/internal/sealedfs"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// SealedFiles fetches the list of the files of one version of a private publication, as the publisher named
// them, and the metadata of its torrent. Nothing else is fetched, and nothing stays on the disk or in the
// node. version is a link to the torrent, which the node must not have: otherwise the error is
// node.ErrDuplicate. The other errors are those of OpenSealed.
func SealedFiles(ctx context.Context, n *node.Node, version *magnet.Link, keys *sealed.Keys) (files, torrent *metainfo.Info, err error) {
	dir, err := os.MkdirTemp("", "seedbed-files-")
	if err != nil {
		return nil, nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	t, err := n.Add(node.Spec{Link: version, Dir: dir, All: true, ReadAhead: 1, Cache: true})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		over := context.WithoutCancel(ctx)
		err = errors.Join(err, n.Remove(over, t.InfoHash(), true), t.Settled(over))
	}()
	select {
	case <-t.Named():
	case <-t.Ended():
		return nil, nil, node.ErrEnded
	case <-ctx.Done():
		return nil, nil, context.Cause(ctx)
	}
	if torrent = t.Info(); torrent == nil {
		return nil, nil, node.ErrEnded
	}
	opened, err := sealedfs.Open(keys, sealedfs.BlobsOf(torrent), func(file int) (io.ReadSeekCloser, error) { return t.OpenFile(ctx, file) })
	if err != nil {
		return nil, torrent, err
	}
	return opened.Info, torrent, nil
}
