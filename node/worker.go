package node

import (
	"context"
	"errors"
	"fmt"

	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
)

// work performs actions until none is left.
func (t *Torrent) work() {
	c := &t.control
	for {
		c.mu.Lock()
		action := lifecycle.Next(c.state, c.intent)
		if action == lifecycle.Rest {
			c.rest()
			isNew := c.isNewPhase()
			c.mu.Unlock()
			t.noteAction()
			if isNew {
				t.emit(Event{Kind: Changed})
			}
			return
		}
		before := c.state
		state, intent := lifecycle.Begin(c.state, c.intent, action)
		t.setState(state)
		c.intent = intent
		ctx, cancel := context.WithCancel(context.Background())
		c.cancel = cancel
		if t.milestones.has(isStopping) {
			cancel()
		}
		isNew := c.isNewPhase() // moving and checking take long
		c.mu.Unlock()
		if isNew {
			t.emit(Event{Kind: Changed})
		}
		result := t.do(ctx, action, before)
		c.mu.Lock()
		c.cancel = nil
		t.setState(lifecycle.Finish(c.state, action, result))
		c.mu.Unlock()
		cancel()
		if r := t.run.Load(); r != nil && action == lifecycle.StartSwarm {
			r.observe() // what the swarm has reported before this was noted as running got lost
		}
		t.noteAction()
		if action == lifecycle.Leave || action == lifecycle.RemoveAll {
			t.leave()
		}
	}
}

// do performs one action. No lock is held.
func (t *Torrent) do(ctx context.Context, a lifecycle.Action, was lifecycle.State) (r lifecycle.Result) {
	switch a {
	case lifecycle.StartSwarm:
		return t.startSwarm(was.Phase)
	case lifecycle.StopSwarm:
		t.stopSwarm()
	case lifecycle.ParkSwarm:
		r.Running = !t.parkSwarm()
	case lifecycle.EnterPause, lifecycle.EnterHold:
		t.stopServing()
		t.noteStopped()
		t.unload()
	case lifecycle.MoveFiles:
		t.moveFiles(ctx)
	case lifecycle.RenameFiles:
		r.Running = t.renameFiles(ctx)
	case lifecycle.CheckFiles:
		t.checkFiles(ctx)
	case lifecycle.RemoveAll:
		t.removeAll()
	case lifecycle.EnterFailure:
		r.Phase = t.enterFailure()
	case lifecycle.Leave:
		if was.Phase == lifecycle.Queued && !was.Held { // otherwise that is on record
			t.noteStopped()
		}
		t.stopServing()
	}
	return r
}

// startSwarm starts the swarm. A parked torrent stays parked if another process runs it. One whose data
// is back may become parked instead.
func (t *Torrent) startSwarm(was lifecycle.Phase) lifecycle.Result {
	refuse := func(err error) lifecycle.Result {
		if err != nil {
			t.fail(err)
		}
		return lifecycle.Result{Phase: was}
	}
	if t.takeHealed() && (was == lifecycle.Missing || was == lifecycle.Queued) {
		t.parkHealed()
		return lifecycle.Result{Phase: lifecycle.Parked}
	}
	switch err := t.state.open(); {
	case err == nil:
	case errors.Is(err, ErrLocked) && was == lifecycle.Parked:
		t.node.log.Debug("another process runs a torrent that is parked here", "torrent", t.Name())
		return refuse(nil)
	default:
		return refuse(err)
	}
	spec, info := t.load()
	if info == nil && spec.Link == nil {
		return refuse(&Fault{Err: fmt.Errorf("the metadata of %s is missing in the state directory", t.Name()), hint: "add the torrent again"})
	}
	t.control.mu.Lock()
	t.control.failure = nil
	t.control.mu.Unlock()
	t.startRun(spec, info)
	t.node.reshare()
	if info == nil {
		return lifecycle.Result{Phase: lifecycle.Metadata, Running: true}
	}
	return lifecycle.Result{Phase: lifecycle.Checking, Running: true}
}

// load returns the Spec of the torrent and its info dictionary, or nil if that is not
// known. It reads from the state directory what a parked torrent does not keep in memory.
func (t *Torrent) load() (Spec, *metainfo.Info) {
	spec := t.spec()
	if sum := t.summary.Load(); spec.Torrent == nil && sum != nil {
		spec.Torrent = t.state.loadTorrent(sum.hashes())
		t.control.mu.Lock()
		t.control.replaceSpec(func(s *Spec) { s.Torrent = spec.Torrent })
		t.control.mu.Unlock()
	}
	if spec.Torrent == nil && spec.Link == nil {
		return spec, nil
	}
	return spec, t.state.loadInfo(&spec)
}

// stopSwarm stops the swarm, which saves its state.
func (t *Torrent) stopSwarm() {
	r := t.run.Load()
	err := r.stop()
	t.last.Store(&r.final)
	t.setRun(nil)
	if err == nil || t.inSession() && r.lostData() { // Missing says that
		return
	}
	err = fmt.Errorf("%s: %w", t.Name(), asSavingFault(err))
	t.control.mu.Lock()
	leaving := t.milestones.has(isStopping) || t.control.intent.Failure != lifecycle.NoFailure
	if leaving {
		t.control.unsaved = errors.Join(t.control.unsaved, err)
	}
	t.control.mu.Unlock()
	if !leaving {
		t.emit(Event{Kind: Warning, Err: err})
	}
}

// stopServing stops the announces of a parked torrent and releases the lock in the state
// directory.
func (t *Torrent) stopServing() {
	t.stopAllAnnouncing()
	if err := t.state.close(); err != nil {
		t.control.mu.Lock()
		t.control.unsaved = errors.Join(t.control.unsaved, err)
		t.control.mu.Unlock()
	}
}

func (t *Torrent) stopAllAnnouncing() {
	for i := range t.withdraw {
		t.stopAnnouncing(i)
	}
}

// enterFailure ends the announces of a failed torrent, releases its lock and returns its
// phase. A torrent that is not part of the session leaves the node.
func (t *Torrent) enterFailure() lifecycle.Phase {
	t.control.mu.Lock()
	if t.control.entry != nil {
		t.control.entry.forced = false
	}
	t.control.mu.Unlock()
	t.noteStopped()
	t.stopServing()
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	if t.control.entry == nil {
		t.control.intent.Want = max(t.control.intent.Want, lifecycle.End)
		t.milestones.reach(isStopping)
	}
	var f *Fault
	if errors.As(t.control.failure, &f) && f.lacksData() {
		return lifecycle.Missing
	}
	return lifecycle.Failed
}

// unload frees the metadata of a torrent that does not run, if it can be read again.
func (t *Torrent) unload() {
	info, spec := t.info.Load(), t.spec()
	if info == nil || t.summary.Load() == nil || t.state.keepTorrent(torrentFile(&spec, info)) != nil {
		return
	}
	t.dropMetadata()
}

// dropMetadata frees the metadata, which the state directory has too.
func (t *Torrent) dropMetadata() {
	t.control.mu.Lock()
	t.control.replaceSpec(func(s *Spec) { s.Torrent, s.Verified = nil, false })
	t.control.spec = t.node.specs.share(t.control.spec)
	t.control.mu.Unlock()
	t.info.Store(nil)
}

// torrentFile returns the torrent file of a spec, or one that has only the info dictionary.
func torrentFile(spec *Spec, info *metainfo.Info) *metainfo.Torrent {
	if spec.Torrent != nil {
		return spec.Torrent
	}
	return &metainfo.Torrent{Info: info}
}

// leave removes a torrent that has ended from the node.
func (t *Torrent) leave() {
	t.node.steps.Add(1)
	if p := t.player.Load(); p != nil && t.spec().Objects { // files may be on a disk that hangs
		p.stored.close(t)
	}
	if !t.node.isClosing() { // otherwise all records are synced together
		if err := t.syncRecord(); err != nil {
			t.control.mu.Lock()
			t.control.unsaved = errors.Join(t.control.unsaved, err)
			t.control.mu.Unlock()
		}
	}
	t.control.mu.Lock()
	isReported := t.control.isReported
	t.control.mu.Unlock()
	if t.node.forget(t) && !isReported {
		t.emit(Event{Kind: Removed})
	}
	t.milestones.reach(hasEnded)
}
