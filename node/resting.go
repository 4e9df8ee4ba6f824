package node

import (
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"

	"seedbed/magnet/metainfo"
	"seedbed/swarm"
	"seedbed/swarm/s3store"
	"seedbed/swarm/storage"
)

// restingData is the data of a torrent that does not run.
type restingData interface {
	source
	// Has reports whether ReadAt can read a piece, as far as that is known.
	Has(piece int) bool
	// mayBeClosed reports whether ReadAt may have failed because another reader has closed the data.
	mayBeClosed() bool
	close(t *Torrent)
}

// storedData is the data of a torrent that does not run, which all its readers share. It is opened
// by the first that needs it.
type storedData struct {
	mu   sync.Mutex // held while the files are looked for; a hung disk delays only the readers of this torrent
	data restingData
	// outdated is set when the torrent has run or its files have been moved or checked.
	outdated atomic.Bool
}

// open returns the data of a torrent that does not run.
func (d *storedData) open(t *Torrent, info *metainfo.Info) (restingData, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if isOutdated := d.outdated.Swap(false); d.data != nil && !isOutdated {
		return d.data, nil
	}
	d.drop(t)
	if t.isStopping() { // the cache of objects closes after it has left
		return nil, errEnd
	}
	spec := t.spec()
	if spec.Objects {
		data, err := t.openRestingObjects(&spec, info)
		if err == nil {
			d.data = data
		}
		return d.data, err
	}
	o := t.storageOptions(&spec, info)
	var err error
	if o.Select, err = spec.files(info); err != nil {
		return nil, err
	}
	stored, err := storage.OpenStored(o)
	if err == nil {
		d.data = restingFiles{stored}
	}
	return d.data, err
}

// close closes the data, because nothing is read.
func (d *storedData) close(t *Torrent) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drop(t)
}

func (d *storedData) drop(t *Torrent) {
	if d.data != nil {
		d.data.close(t)
		d.data = nil
	}
}

// restingFiles is data in files.
type restingFiles struct{ *storage.Stored }

// ReadAt implements source.
func (f restingFiles) ReadAt(_ context.Context, b []byte, piece int, begin int64) error {
	return f.Stored.ReadAt(b, piece, begin)
}

func (f restingFiles) mayBeClosed() bool { return true }
func (f restingFiles) close(*Torrent)    { f.Close() }

// restingObjects is data in the object store. What was downloaded and is not uploaded yet is in files.
type restingObjects struct {
	*s3store.Storage
	info     *metainfo.Info
	files    *storage.Stored // nil if there are none
	isClosed atomic.Bool
}

// openRestingObjects opens the objects of a torrent that does not run. It does not wait for the store.
func (t *Torrent) openRestingObjects(spec *Spec, info *metainfo.Info) (*restingObjects, error) {
	o := &restingObjects{info: info}
	var err error
	if spec.Upload && t.node.isStaged(t.hash) {
		if o.files, err = storage.OpenStored(t.stagedOptions(info)); err != nil {
			return nil, err
		}
	}
	if o.Storage, err = t.openStore(context.Background(), spec, s3store.Options{Info: info, IsKnown: true}); err != nil && o.files != nil {
		o.files.Close()
	}
	return o, err
}

// Has implements restingData.
func (o *restingObjects) Has(piece int) bool {
	return o.files != nil && o.files.Has(piece) || o.Storage.Has(piece)
}

// ReadAt implements source.
func (o *restingObjects) ReadAt(ctx context.Context, b []byte, piece int, begin int64) error {
	if o.files != nil && o.files.Has(piece) {
		return o.files.ReadAt(b, piece, begin)
	}
	err := swarm.ReadRemote(ctx, o.Storage, b, int64(piece)*o.info.PieceLength+begin)
	var lost *storage.Error
	if o.files != nil && errors.As(err, &lost) && lost.Kind == storage.Changed { // the file is not uploaded yet
		return swarm.ErrMissing
	}
	return err
}

func (o *restingObjects) mayBeClosed() bool { return o.isClosed.Load() }

func (o *restingObjects) close(t *Torrent) {
	o.isClosed.Store(true)
	if o.files != nil {
		o.files.Close()
	}
	_ = o.Storage.Close() // nothing was written
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	t.control.counts.store.add(o.Storage)
}

// stagedOptions returns how the data is stored that is to be uploaded.
func (t *Torrent) stagedOptions(info *metainfo.Info) storage.Options {
	n, staging := t.node, t.node.stagingDir(t.hash)
	return storage.Options{Dir: filepath.Join(staging, "data"), Info: info, Own: true, Record: filepath.Join(staging, "resume"),
		Handles: n.handles, Steps: &n.steps, OpenDisk: n.cfg.openDisk}
}
