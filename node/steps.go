package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
	"seedbed/swarm/storage"
)

// The steps of a torrent's worker that work on its files while nothing runs: moving,
// checking and removing.

// storageOptions returns how the files of the torrent are opened.
func (t *Torrent) storageOptions(spec *Spec, info *metainfo.Info) storage.Options {
	n := t.node
	return storage.Options{Dir: spec.Dir, Info: info, Overwrite: spec.Overwrite, ReadOnly: spec.Seed, Symlinks: spec.Symlinks,
		Record: t.state.resumePath(), Handles: n.handles, Steps: &n.steps, OpenDisk: n.cfg.openDisk}
}

// progress shows how far a step has come.
func (t *Torrent) progress(done, total int64) {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	t.control.checked, t.control.toCheck = done, total
}

// isKept reports whether the torrent is part of the session.
func (t *Torrent) isKept() bool {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	return t.control.record != nil
}

// awaitMove returns a channel that is closed when a move has ended. mu is held.
func (c *control) awaitMove() <-chan struct{} {
	if c.moved == nil {
		c.moved = make(chan struct{})
	}
	return c.moved
}

// moveFiles moves the files to where they are to be. The order is such that a kill at any
// moment is finished by the next Restore: the record names both folders until all is done.
func (t *Torrent) moveFiles(ctx context.Context) {
	c := &t.control
	c.mu.Lock()
	to := c.moveTo
	c.mu.Unlock()
	if to == "" {
		return
	}
	err := t.state.open()
	spec, info := t.load()
	if err == nil && info != nil {
		t.proveFiles(ctx, &spec, info)
		err = storage.Relocate(ctx, storage.Relocation{Options: t.storageOptions(&spec, info), To: to, Rename: t.node.cfg.rename, Progress: t.progress})
	}
	t.progress(0, 0)
	if err != nil && ctx.Err() != nil {
		return // it stays on record, and goes on after a restart
	}
	c.mu.Lock()
	if err == nil {
		c.spec.Dir = to
	}
	if c.record != nil {
		c.record.Dir = c.spec.Dir
		if c.moveTo == to {
			c.record.Move = ""
		}
	}
	c.mu.Unlock()
	if e := t.save(); err == nil {
		err = e
	}
	if err != nil {
		err = fmt.Errorf("%s was not moved to %s: %w", t.Name(), to, asFault(err))
		t.emit(Event{Kind: Warning, Err: err})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.moveTo == to { // or else it is to go elsewhere by now
		c.moveTo, c.moveErr = "", err
	}
	if c.moved != nil {
		close(c.moved)
		c.moved = nil
	}
}

// proveFiles hashes what is there and not on record, so that the record knows which files are
// ours. What stands against it does not stand against a move or a removal: what is not
// proven stays where it is.
func (t *Torrent) proveFiles(ctx context.Context, spec *Spec, info *metainfo.Info) {
	o := t.storageOptions(spec, info)
	var err error
	if o.Select, err = spec.files(info); err != nil {
		return
	}
	s, _, err := openChecked(ctx, o, t.progress)
	if err == nil {
		err = s.Close()
	}
	if err != nil {
		t.node.log.Debug("the files are not proven before they move", "torrent", t.Name(), "err", err)
	}
}

// checkFiles hashes everything that is there, and corrects the resume record.
func (t *Torrent) checkFiles(ctx context.Context) {
	err := t.state.open()
	spec, info := t.load()
	if err == nil && info != nil {
		err = t.check(ctx, &spec, info)
	}
	t.progress(0, 0)
	if err != nil && ctx.Err() != nil {
		return // it stays on record
	}
	c := &t.control
	c.mu.Lock()
	if c.record != nil && !c.intent.Recheck {
		c.record.Recheck = false
	}
	c.mu.Unlock()
	if e := t.save(); err == nil {
		err = e
	}
	if err != nil {
		t.emit(Event{Kind: Warning, Err: fmt.Errorf("%s could not be checked: %w", t.Name(), asFault(err))})
	}
}

func (t *Torrent) check(ctx context.Context, spec *Spec, info *metainfo.Info) error {
	o := t.storageOptions(spec, info)
	var err error
	if o.Select, err = spec.files(info); err != nil {
		return err
	}
	s, err := storage.Open(o)
	if err != nil {
		return err
	}
	have, err := s.Check(ctx, t.progress)
	if err == nil {
		wanted := info.Wanted(o.Select)
		t.whole.Store(!wanted.AnyNotIn(have))
		if rest := t.summary.Load(); rest != nil {
			now := *rest
			now.havePieces = have.Count()
			now.have = min(int64(wanted.CountAnd(have))*info.PieceLength, now.wanted)
			if t.whole.Load() {
				now.have = now.wanted
			}
			t.summary.Store(&now)
			t.last.Store(nil)
		}
	}
	return errors.Join(err, s.Close())
}

// Remove stops the torrent that has this infohash and deletes all that the state directory
// has of it; with deleteData also the files that it has written, as far as nobody has changed
// them since, and the folders that are empty then. Files of a torrent that was only shared
// (Spec.Seed) stay. Remove returns when that is done, or when ctx ends: the rest follows by
// itself, after a kill with the next Restore.
func (n *Node) Remove(ctx context.Context, ih id.ID, deleteData bool) error {
	t := n.lookup(ih)
	if t == nil {
		return ErrUnknown
	}
	t.request(func(i *lifecycle.Intent) {
		if i.Want != lifecycle.End { // else it leaves already, and only a restart takes it up
			i.Want = lifecycle.Remove
			t.control.deleteData = t.control.deleteData || deleteData
		}
	})
	select {
	case <-t.Ended():
		return t.unsaved()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// removeAll deletes what there is of the torrent. That it is to be removed is on record
// first, and the record goes last.
func (t *Torrent) removeAll() {
	c := &t.control
	c.mu.Lock()
	spec := c.spec
	moveTo := c.moveTo
	if c.record != nil {
		if c.record.Want == wantDelete {
			c.deleteData = true
		}
		if c.record.Want = wantRemove; c.deleteData {
			c.record.Want = wantDelete
		}
	}
	deleteData := c.deleteData && !spec.Seed
	c.mu.Unlock()
	err := t.state.open()
	if e := t.save(); err == nil {
		err = e
	}
	if spec, info := t.load(); err == nil && info != nil {
		err = asFault(t.removeFiles(&spec, info, moveTo, deleteData))
	}
	t.stopAnnouncing()
	if !errors.Is(err, ErrLocked) {
		err = errors.Join(err, t.removeState())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.record = nil
	c.unsaved = errors.Join(c.unsaved, err)
}

// removeFiles deletes the files that the torrent has written. Of a move that is under way it
// leaves no copies in either case.
func (t *Torrent) removeFiles(spec *Spec, info *metainfo.Info, moveTo string, deleteData bool) (err error) {
	o := t.storageOptions(spec, info)
	if deleteData {
		t.proveFiles(context.Background(), spec, info)
	}
	dirs := []string{spec.Dir}
	if moveTo != "" {
		err = storage.Abandon(storage.Relocation{Options: o, To: moveTo, Rename: t.node.cfg.rename})
		dirs = append(dirs, moveTo)
	}
	for _, dir := range dirs {
		if o.Dir = dir; deleteData {
			err = errors.Join(err, storage.RemoveFiles(o))
		}
	}
	return err
}

// removedSuffix names a folder of the state directory that is being deleted.
const removedSuffix = ".removed"

// removeState deletes the torrent's folder in the state directory: under another name first,
// so that a kill leaves all of it or what sweepRemoved deletes.
func (t *Torrent) removeState() error {
	t.node.handles.Forget(t.state.path)
	gone := t.state.path + removedSuffix
	if err := errors.Join(t.state.close(), os.RemoveAll(gone), os.Rename(t.state.path, gone)); err != nil {
		return err
	}
	return errors.Join(statefile.SyncDir(filepath.Dir(gone)), os.RemoveAll(gone))
}

// sweepRemoved deletes the folders that a kill has kept removeState from deleting.
func (s *stateDir) sweepRemoved() error {
	left, err := filepath.Glob(filepath.Join(s.path, "torrents", "*"+removedSuffix))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}
