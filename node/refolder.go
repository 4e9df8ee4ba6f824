package node

import (
	"context"
	"fmt"
	"path/filepath"
	"unique"

	"seedbed/internal/await"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
	"seedbed/swarm/storage"
)

// SetFolder makes the torrent use the files in another folder, to which another program has moved or
// copied them. Files that are as the resume record says are not hashed again; others are. The files
// in the old folder are left alone. If the new folder has none of the files that were downloaded,
// SetFolder returns an error, so that they are not downloaded again.
func (t *Torrent) SetFolder(ctx context.Context, dir string) error {
	to, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	return await.Do(ctx, func() error { // the disk may hang
		spec, info := t.load()
		if err := spec.refuseObjects("be used in a folder"); err != nil {
			return err
		}
		o := t.storageOptions(&spec, info)
		if info != nil && (spec.Seed || t.hasDownloaded(info)) && storage.HasNoneIn(o, to) {
			return &Fault{Kind: FaultUsage, Err: fmt.Errorf("%s has none of the files of %s", to, t.Name()), hint: "move them there first, or move the torrent with its files"}
		}
		return t.changeNow(func(c *control) error {
			if c.moveTo != "" && (c.moveTo != to || !c.inPlace) {
				return &Fault{Kind: FaultUsage, Err: fmt.Errorf("%s is being moved to %s", t.Name(), c.moveTo), hint: "wait until that has ended"}
			}
			c.moveTo, c.inPlace, c.moveErr = to, true, nil
			if c.entry != nil {
				c.entry.move, c.entry.inPlace = to, true
			}
			return nil
		}, func(i *lifecycle.Intent) { i.Move = true })
	})
}

// hasDownloaded reports whether the torrent has verified pieces, as far as is known.
func (t *Torrent) hasDownloaded(info *metainfo.Info) bool {
	return t.Snapshot().HavePieces > 0 || storage.RecordedPieces(t.state.resumePath(), info).Count() > 0
}

// changeFolder carries out SetFolder.
func (t *Torrent) changeFolder(to string) {
	err := t.state.open()
	if err == nil {
		err = t.syncRecord() // it names the folder in which the next run looks for the files
	}
	if spec, info := t.load(); err == nil && info != nil {
		err = storage.SetFolder(t.storageOptions(&spec, info), to)
	}
	mount := unique.Make(t.node.cfg.mountOf(to))
	c := &t.control
	c.mu.Lock()
	if err == nil {
		c.editSpec(func(s *Spec) { s.Dir, s.FinalDir = to, "" })
	}
	c.moveTo, c.inPlace = "", false
	if c.entry != nil {
		c.entry.move, c.entry.inPlace = "", false
		if err == nil {
			c.entry.mount = mount
		}
	}
	c.mu.Unlock()
	if e := t.save(); err == nil {
		err = e
	}
	if err != nil {
		err = fmt.Errorf("cannot use %s for %s: %w", to, t.Name(), asFault(err))
		t.emit(Event{Kind: Warning, Err: err})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moveErr = err
}
