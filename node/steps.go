package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"unique"

	"seedbed/internal/await"
	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
	"seedbed/swarm/storage"
)

// The steps of a torrent's worker that use its files while its swarm is stopped: moving,
// checking and removing.

// storageOptions returns the options for opening the files of the torrent.
func (t *Torrent) storageOptions(spec *Spec, info *metainfo.Info) storage.Options {
	n := t.node
	return storage.Options{Dir: spec.Dir, Info: info, Overwrite: spec.Overwrite, Own: spec.Own, ReadOnly: spec.Seed, Symlinks: spec.Symlinks,
		Record: t.state.resumePath(), Handles: n.handles, Steps: &n.steps, OpenDisk: n.cfg.openDisk}
}

// progress records the progress of a step.
func (t *Torrent) progress(done, total int64) {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	t.control.checked, t.control.toCheck = done, total
}

// inSession reports whether the torrent is part of the session.
func (t *Torrent) inSession() bool {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	return t.control.entry != nil
}

// moveFiles moves the files to the target folder. The next Restore can finish a move after a
// kill at any moment, because the record names both folders until the move is complete.
func (t *Torrent) moveFiles(ctx context.Context) {
	c := &t.control
	c.mu.Lock()
	to, isNew, inPlace := c.moveTo, c.isNewMove, c.inPlace
	c.isNewMove = false
	c.mu.Unlock()
	if inPlace {
		t.changeFolder(to)
		return
	}
	if to == "" {
		return
	}
	err := t.state.open()
	if err == nil {
		err = t.syncRecord() // it names the folder in which the next run looks for the files
	}
	spec, info := t.load()
	if err == nil && isNew && t.lacksData() {
		err = t.missingFault()
	}
	moved := false
	if err == nil && info != nil {
		moved, err = t.relocate(ctx, &spec, info, to, isNew)
	}
	t.progress(0, 0)
	if err != nil && ctx.Err() != nil {
		return // the move stays in the record and continues after a restart
	}
	moved = moved || err == nil
	mount := unique.Make(t.node.cfg.mountOf(to))
	c.mu.Lock()
	if moved {
		c.editSpec(func(s *Spec) { s.Dir, s.FinalDir = to, "" })
		if c.entry != nil {
			c.entry.mount = mount
		}
	}
	if c.moveTo = ""; c.entry != nil {
		c.entry.move = ""
	}
	c.mu.Unlock()
	e := t.save()
	switch {
	case err != nil && moved:
		err = fmt.Errorf("%s is in %s now, but some of its files in %s are left over: %w", t.Name(), to, spec.Dir, asFault(err))
	case err != nil:
		err = fmt.Errorf("cannot move %s to %s: %w", t.Name(), to, asFault(err))
	case e != nil:
		err = fmt.Errorf("%s is in %s now, but that cannot be saved: %w", t.Name(), to, asFault(e))
	}
	if err != nil {
		t.emit(Event{Kind: Warning, Err: err})
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.moveErr = err
}

// relocate moves the files from the folder of spec. moved says that they are in the new one, even if
// there is an error. Unless isNew is set, a kill may have interrupted the move. It is then reclaimed
// before the files are hashed: that writes a resume record which does not know the files in the new
// folder.
func (t *Torrent) relocate(ctx context.Context, spec *Spec, info *metainfo.Info, to string, isNew bool) (moved bool, err error) {
	r := storage.Relocation{Options: t.storageOptions(spec, info), To: to, Rename: t.node.cfg.rename, Progress: t.progress}
	if !isNew {
		if moved, err = storage.Reclaim(r); moved || err != nil {
			return moved, err
		}
	}
	if err := t.proveFiles(ctx, spec, info); err != nil {
		return false, err
	}
	return storage.Relocate(ctx, r)
}

// proveFiles hashes unproven data, so that the resume record shows which files belong to
// the torrent. Files that do not belong to it stay where they are in a move or a removal.
func (t *Torrent) proveFiles(ctx context.Context, spec *Spec, info *metainfo.Info) error {
	o := t.storageOptions(spec, info)
	var err error
	if o.Select, err = spec.files(info); err != nil {
		return err
	}
	s, _, err := openChecked(ctx, o, t.progress)
	if err != nil {
		return err
	}
	return s.Close()
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
		return // the check stays in the record
	}
	c := &t.control
	c.mu.Lock()
	if c.entry != nil && !c.intent.Recheck {
		c.entry.recheck = false
	}
	c.mu.Unlock()
	if e := t.save(); err == nil {
		err = e
	}
	if err != nil {
		t.emit(Event{Kind: Warning, Err: fmt.Errorf("cannot check the files of %s: %w", t.Name(), asFault(err))})
	}
}

func (t *Torrent) check(ctx context.Context, spec *Spec, info *metainfo.Info) error {
	if spec.Objects {
		return t.checkObjects(ctx, spec, info)
	}
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
		t.noteChecked(info, info.Wanted(o.Select), have)
	}
	return errors.Join(err, s.Close())
}

// noteChecked notes which pieces of a torrent that does not run are there.
func (t *Torrent) noteChecked(info *metainfo.Info, wanted, have bitset.Set) {
	t.complete.Store(!wanted.AnyNotIn(have))
	if sum := t.summary.Load(); sum != nil {
		now := *sum
		now.havePieces = int32(have.Count())
		now.have = min(int64(wanted.CountAnd(have))*info.PieceLength, now.wanted)
		if t.complete.Load() {
			now.have = now.wanted
		}
		t.summary.Store(&now)
		t.last.Store(nil)
	}
}

// Remove stops the torrent with this infohash and deletes its folder in the state directory.
// With deleteData it also deletes the files that the torrent has written, unless another
// program has changed them, and the folders that become empty. Files of a torrent that was
// only seeded (Spec.Seed) stay. Remove returns as soon as the removal is on record, and from then
// on the node does not list the torrent. Settled waits for the rest, which the next Restore
// continues after a kill. If the removal cannot be recorded, the torrent is removed nevertheless,
// so that a full disk does not prevent it.
func (n *Node) Remove(ctx context.Context, ih id.ID, deleteData bool) error {
	t := n.lookup(ih)
	if t == nil {
		return ErrUnknown
	}
	return await.Do(ctx, func() error { return t.remove(deleteData) })
}

func (t *Torrent) remove(deleteData bool) error {
	c := &t.control
	c.mu.Lock()
	if c.intent.Want == lifecycle.End { // it stays in the session
		c.mu.Unlock()
		return ErrEnded
	}
	c.deleteData = c.deleteData || deleteData
	c.recordRemoval()
	c.mu.Unlock()
	err := t.save()
	first := false
	t.request(func(i *lifecycle.Intent) {
		if i.Want < lifecycle.End {
			i.Want, first = lifecycle.Remove, true
			c.isReported = true
		}
	})
	if first {
		t.emit(Event{Kind: Removed})
	}
	return err
}

// recordRemoval notes in the session entry that the torrent is being removed. mu is held.
func (c *control) recordRemoval() {
	if c.entry == nil {
		return
	}
	if c.entry.want == wantDelete {
		c.deleteData = true
	}
	if c.entry.want = wantRemove; c.deleteData {
		c.entry.want = wantDelete
	}
}

// isBeingRemoved reports whether the removal of the torrent was requested.
func (t *Torrent) isBeingRemoved() bool {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	return t.control.intent.Want == lifecycle.Remove
}

// removeAll deletes the torrent's folder in the state directory and, if requested, its
// files. It first saves the removal in the record, and deletes the record last.
func (t *Torrent) removeAll() {
	c := &t.control
	c.mu.Lock()
	spec := c.spec
	moveTo := c.moveTo
	if c.inPlace { // nothing has been moved that would have to be moved back
		moveTo = ""
	}
	c.recordRemoval()
	deleteData := c.deleteData && !spec.Seed && !spec.Objects
	c.mu.Unlock()
	err := t.state.openExisting() // a torrent that has waited in a queue may have no folder
	// If this fails, as on a full disk, the removal goes on: it may be what makes space. After a kill the torrent
	// lacks the data that was deleted.
	unsaved := t.saveSynced()
	now, info := t.load()
	if err == nil && info != nil {
		err = asFault(t.removeFiles(&now, info, moveTo, deleteData))
	}
	if spec.Upload {
		err = errors.Join(err, t.removeStaging(info))
	}
	t.stopAllAnnouncing()
	if !errors.Is(err, ErrLocked) {
		err = errors.Join(err, t.removeState())
	}
	err = errors.Join(err, unsaved)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.entry = nil
	c.unsaved = errors.Join(c.unsaved, err)
}

// removeFiles deletes the files that the torrent has written. It deletes the copies of an
// interrupted move even without deleteData.
func (t *Torrent) removeFiles(spec *Spec, info *metainfo.Info, moveTo string, deleteData bool) error {
	now := *spec
	var left error
	if moveTo != "" { // before the files are hashed, as in relocate
		moved, err := storage.Abandon(storage.Relocation{Options: t.storageOptions(spec, info), To: moveTo, Rename: t.node.cfg.rename})
		if left = err; moved {
			now.Dir = moveTo
		}
	}
	if !deleteData {
		return left
	}
	if left == nil && !storage.IsRemoving(t.storageOptions(&now, info)) {
		if err := t.proveFiles(context.Background(), &now, info); err != nil {
			t.node.log.Warn("cannot hash the data, so files that are not proven stay", "torrent", t.Name(), "err", err)
		}
	}
	return errors.Join(left, storage.RemoveFiles(t.storageOptions(&now, info)))
}

// removedSuffix marks a folder of the state directory that is being deleted.
const removedSuffix = ".removed"

// removeState deletes the torrent's folder in the state directory, and then its record.
func (t *Torrent) removeState() error {
	t.node.handles.Forget(t.state.path())
	if err := t.state.remove(); err != nil {
		return err
	}
	return t.deleteRecord()
}

// Forget deletes the folder in the state directory of a torrent that the node does not have,
// such as one that was to be removed when the process was killed. It leaves alone a torrent
// that the node has, that is in the session, or that another process has open.
func (n *Node) Forget(ih id.ID) error {
	if n.lookup(ih) != nil {
		return nil
	}
	return n.state.torrent(ih).forget()
}

// Forget is Node.Forget for a state directory whose node does not run.
func Forget(state string, ih id.ID) error {
	return newStateDir(state).torrent(ih).forget()
}

// forget implements Forget.
func (t *torrentState) forget() error {
	if _, err := os.Stat(t.path()); err != nil {
		return nil
	}
	if err := t.open(); err != nil {
		if errors.Is(err, ErrLocked) {
			err = nil
		}
		return err
	}
	if has, err := t.dir.hasRecord(t.hash); has || err != nil || t.hasOldRecord() {
		return errors.Join(err, t.close())
	}
	return t.remove()
}

// sweepRemoved deletes the folders that remove had renamed, but not deleted, before a
// kill.
func (s *stateDir) sweepRemoved() error {
	left, err := filepath.Glob(filepath.Join(s.path, "torrents", "*"+removedSuffix))
	for _, dir := range left {
		err = errors.Join(err, os.RemoveAll(dir))
	}
	return err
}
