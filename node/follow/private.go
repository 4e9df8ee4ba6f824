package follow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"seedbed/internal/sealedfs"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// A private publication (docs/privacy.md) that is followed with the link to read has two copies
// of each version:
//
//	DIR/versions/7-1f0e9d3c/NAME          the files, to which current leads
//	DIR/.sealed/versions/7-1f0e9d3c/NAME  the encrypted copy, which is seeded
//
// With the link to keep there is only the encrypted copy, in the place of the files.

const sealedDir = ".sealed"

// openStore opens the folder with the data of the torrents.
func (f *Follower) openStore() (err error) {
	f.store = f.dirs
	secret := f.cfg.Link.Secret
	if was, err := magnet.Parse(f.folder.file.Link); err == nil && was.Secret != secret && f.folder.file.Seq > 0 {
		return node.NewFault(node.FaultUsage, errors.New("this publication is followed with another link, to keep it alive or to read it"),
			"end that with seedbed unfollow, or use another state directory")
	}
	if !secret.CanRead() {
		return nil
	}
	f.keys = secret.Keys()
	f.store, err = openVersions(filepath.Join(f.dirs.dir, sealedDir))
	return err
}

func (f *Follower) closeVersions() {
	if f.store != f.dirs {
		f.store.close()
	}
	f.dirs.close()
}

// reading decrypts a version of a private publication, on a goroutine of its own: it can take
// long. Its fields belong to the goroutine of the follower, and those that have the result to the
// other one until done is closed.
type reading struct {
	done       chan struct{} // nil if no attempt is being made
	cancel     context.CancelFunc
	isComplete bool // there is nothing left to decrypt

	tree *sealedfs.Tree
	err  error
}

// beginReading decrypts a version whose torrent is complete.
func (f *Follower) beginReading(fe *fetch) {
	r := &fe.reading
	ctx, cancel := context.WithCancel(f.ctx)
	done := make(chan struct{})
	r.done, r.cancel = done, cancel
	go func() {
		defer close(done)
		r.tree, r.err = f.decrypt(ctx, fe)
	}()
}

// end returns the result of an attempt that is over.
func (r *reading) end() error {
	if r.done == nil {
		return nil
	}
	r.cancel()
	r.done = nil
	r.isComplete = r.err == nil
	return r.err
}

// stop ends an attempt and waits for that.
func (r *reading) stop() {
	if r.done != nil {
		r.cancel()
		<-r.done
		r.done = nil
	}
}

// decrypt writes the files of a complete version into its folder. Files that an earlier version
// has are one file with two names.
func (f *Follower) decrypt(ctx context.Context, fe *fetch) (*sealedfs.Tree, error) {
	torrent := fe.torrent.Info()
	if torrent == nil {
		return nil, node.ErrNoMetadata
	}
	tree, blobs, err := f.openTree(fe.name, torrent)
	if err != nil {
		return nil, err
	}
	defer blobs.Close()
	var from []source
	known := map[metainfo.Root]bool{}
	for _, name := range f.dirs.list() {
		if name == fe.name {
			continue
		}
		old := f.folder.torrent(name)
		if old == nil {
			continue
		}
		if t, dir, err := f.openTree(name, old); err == nil { // otherwise its files are not reused
			dir.Close()
			from = append(from, source{name, t.Info})
			for i := range t.Info.Files {
				known[t.Info.Files[i].Root] = true
			}
		}
	}
	if _, err := f.dirs.reuse(fe.name, tree.Info, from); err != nil {
		return nil, err
	}
	if err := f.dirs.root.MkdirAll(fe.name, 0o755); err != nil {
		return nil, err
	}
	to, err := f.dirs.root.OpenRoot(fe.name)
	if err != nil {
		return nil, err
	}
	defer to.Close()
	x := sealedfs.Extraction{Tree: tree, Open: sealedfs.InFolder(torrent, blobs), To: to, Overwrite: true,
		Keep: func(file int) bool { return known[tree.Info.Files[file].Root] }}
	if err := x.Run(ctx); err != nil {
		return nil, fmt.Errorf("cannot decrypt it: %w", err)
	}
	return tree, nil
}

// openTree opens the list of the files of a version that is complete, and the folder with its
// blobs.
func (f *Follower) openTree(name string, torrent *metainfo.Info) (*sealedfs.Tree, *os.Root, error) {
	blobs, err := f.store.root.OpenRoot(name)
	if err != nil {
		return nil, nil, err
	}
	tree, err := sealedfs.Open(f.keys, sealedfs.BlobsOf(torrent), sealedfs.InFolder(torrent, blobs))
	if err != nil {
		blobs.Close()
		return nil, nil, err
	}
	return tree, blobs, nil
}

// files returns the metadata of the files of a version: its torrent, unless that is encrypted and
// can be read.
func (f *Follower) files(name string, torrent *metainfo.Info) *metainfo.Info {
	if f.keys == nil {
		return torrent
	}
	tree, blobs, err := f.openTree(name, torrent)
	if err != nil {
		return torrent
	}
	blobs.Close()
	return tree.Info
}
