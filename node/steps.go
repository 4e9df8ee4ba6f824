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

// The steps of a torrent's worker that use its files while nothing runs: moving,
// checking and removing.

// storageOptions returns the options for opening the files of the torrent.
func (t *Torrent) storageOptions(spec *Spec, info *metainfo.Info) storage.Options {
	n := t.node
	return storage.Options{Dir: spec.Dir, Info: info, Overwrite: spec.Overwrite, ReadOnly: spec.Seed, Symlinks: spec.Symlinks,
		Record: t.state.resumePath(), Handles: n.handles, Steps: &n.steps, OpenDisk: n.cfg.openDisk}
}

// progress records the progress of a step.
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

// moveFiles moves the files to the target folder. The next Restore can finish a move after a
// kill at any moment, because the record names both folders until the move is complete.
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
		return // it stays in the record and continues after a restart
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
	if c.moveTo == to { // otherwise another move was requested meanwhile
		c.moveTo, c.moveErr = "", err
	}
	if c.moved != nil {
		close(c.moved)
		c.moved = nil
	}
}

// proveFiles hashes unproven data, so that the record shows which files are ours. An error
// does not prevent a move or a removal: files that are not proven stay where they are.
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

// checkFiles hashes all existing data and corrects the resume record.
func (t *Torrent) checkFiles(ctx context.Context) {
	err := t.state.open()
	spec, info := t.load()
	if err == nil && info != nil {
		err = t.check(ctx, &spec, info)
	}
	t.progress(0, 0)
	if err != nil && ctx.Err() != nil {
		return // it stays in the record
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

// Remove stops the torrent with this infohash and deletes its folder in the state directory.
// With deleteData it also deletes the files that the torrent has written, unless another
// program has changed them, and the folders that become empty. Files of a torrent that was
// only seeded (Spec.Seed) stay. Remove returns when that is done or when ctx ends. The work
// then continues in the background, and after a kill in the next Restore.
func (n *Node) Remove(ctx context.Context, ih id.ID, deleteData bool) error {
	t := n.lookup(ih)
	if t == nil {
		return ErrUnknown
	}
	t.request(func(i *lifecycle.Intent) {
		if i.Want != lifecycle.End { // otherwise it is leaving already, and only a restart continues the removal
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

// removeAll deletes everything the node has of the torrent. It saves the removal in the
// record first, and deletes the record last.
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

// removeFiles deletes the files that the torrent has written. It deletes the copies of an
// interrupted move even without deleteData.
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

// removedSuffix marks a folder of the state directory that is being deleted.
const removedSuffix = ".removed"

// removeState deletes the torrent's folder in the state directory. It renames the folder
// first, so that after a kill it is either complete or sweepRemoved deletes it.
func (t *Torrent) removeState() error {
	t.node.handles.Forget(t.state.path)
	gone := t.state.path + removedSuffix
	if err := errors.Join(t.state.close(), os.RemoveAll(gone), os.Rename(t.state.path, gone)); err != nil {
		return err
	}
	return errors.Join(statefile.SyncDir(filepath.Dir(gone)), os.RemoveAll(gone))
}

// sweepRemoved deletes the folders that removeState could not delete because of a kill.
func (s *stateDir) sweepRemoved() error {
	left, err := filepath.Glob(filepath.Join(s.path, "torrents", "*"+removedSuffix))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}
