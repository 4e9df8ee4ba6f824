package node

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
)

// control decides what a torrent does. A request changes the intent. If no worker is active,
// it starts a goroutine that performs the actions of lifecycle.Next until nothing is left to
// do. Only this worker starts and stops the swarm and waits for the disk, and it does so
// without a lock: a disk that hangs under one torrent blocks only the worker of that torrent.
type control struct {
	mu      sync.Mutex // never held during a wait
	spec    Spec       // of a parked torrent, without what the state directory also has
	state   lifecycle.State
	intent  lifecycle.Intent
	working bool
	rested  chan struct{}      // closed when the worker has ended
	cancel  context.CancelFunc // cancels the current step if it can be cancelled; or nil

	failure          error            // why the torrent is Failed or Missing
	upRate, downRate int64            // limits of this torrent; 0: those of Settings
	checked, toCheck int64            // bytes, while files are checked or moved
	found            []netip.AddrPort // peers that wake a parked torrent
	from             netip.AddrPort   // the DHT node that returned them
	unsaved          error            // the error of saving
	deleteData       bool             // RemoveAll deletes the files too

	saving        sync.Mutex    // held while the record is written; before mu
	record        *record       // the saved record of a torrent of the session; nil for others
	moveTo        string        // target folder of a move; "": none
	moveErr       error         // the result of the last move
	moved         chan struct{} // closed when a move has ended; nil if no caller waits
	namesReported bool          // warnings about its file names were reported
}

// init makes the caller the worker of a torrent that is being added.
func (c *control) init(spec Spec) {
	c.spec, c.working, c.rested = spec, true, make(chan struct{})
	c.state.Phase = lifecycle.Adding
}

// reportNames reports whether to report the warnings about file names: only the first time.
func (c *control) reportNames() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.namesReported
	c.namesReported = true
	return first
}

// spec returns the current Spec of the torrent.
func (t *Torrent) spec() Spec {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	return t.control.spec
}

// request changes the intent of the torrent. It does not block.
func (t *Torrent) request(change func(*lifecycle.Intent)) {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	change(&t.control.intent)
	t.serve()
}

// serve starts a worker if there is an action to do and no worker is active. control.mu is held.
func (t *Torrent) serve() {
	c := &t.control
	if c.intent.Want == lifecycle.End || c.intent.Want == lifecycle.Remove {
		closeOnce(t.milestones.stopping)
		if c.cancel != nil {
			c.cancel()
		}
	}
	if !c.working && lifecycle.Next(c.state, c.intent) != lifecycle.Rest {
		c.working, c.rested = true, make(chan struct{})
		go t.work()
	}
}

// work performs actions until none is left.
func (t *Torrent) work() {
	c := &t.control
	for {
		c.mu.Lock()
		action := lifecycle.Next(c.state, c.intent)
		if action == lifecycle.Rest {
			c.working = false
			close(c.rested)
			c.mu.Unlock()
			return
		}
		before := c.state
		c.state, c.intent = lifecycle.Begin(c.state, c.intent, action)
		ctx, cancel := context.WithCancel(context.Background())
		c.cancel = cancel
		if isClosed(t.milestones.stopping) {
			cancel()
		}
		c.mu.Unlock()
		result := t.do(ctx, action, before.Phase)
		c.mu.Lock()
		c.cancel = nil
		c.state = lifecycle.Finish(c.state, action, result)
		c.mu.Unlock()
		cancel()
		if action == lifecycle.Leave || action == lifecycle.RemoveAll {
			t.leave()
		}
	}
}

// do performs one action. No lock is held.
func (t *Torrent) do(ctx context.Context, a lifecycle.Action, was lifecycle.Phase) (r lifecycle.Result) {
	switch a {
	case lifecycle.StartSwarm:
		return t.startSwarm(was)
	case lifecycle.StopSwarm:
		t.stopSwarm()
	case lifecycle.ParkSwarm:
		r.Running = !t.parkSwarm()
	case lifecycle.EnterPause:
		t.fallSilent()
		t.noteStopped()
		t.unload()
	case lifecycle.MoveFiles:
		t.moveFiles(ctx)
	case lifecycle.CheckFiles:
		t.checkFiles(ctx)
	case lifecycle.RemoveAll:
		t.removeAll()
	case lifecycle.EnterFailure:
		r.Phase = t.enterFailure()
	case lifecycle.Leave:
		if was != lifecycle.Parked {
			t.noteStopped()
		}
		t.fallSilent()
	}
	return r
}

// startSwarm starts the swarm. A parked torrent stays parked if another process runs it.
func (t *Torrent) startSwarm(was lifecycle.Phase) lifecycle.Result {
	refuse := func(err error) lifecycle.Result {
		if err != nil {
			t.fail(err)
		}
		return lifecycle.Result{Phase: was}
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
		return refuse(&Fault{Err: fmt.Errorf("the metadata of %s is gone from the state directory", t.Name()), hint: "add the torrent again"})
	}
	if t.uploaded.Load() == 0 {
		t.savedTally = t.state.loadTally()
		t.uploaded.Store(t.savedTally.Uploaded)
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

// load returns the Spec of the torrent and its info dictionary, or nil if that is not known.
// It reads what a parked torrent does not keep in memory from the state directory.
func (t *Torrent) load() (Spec, *metainfo.Info) {
	spec := t.spec()
	if rest := t.summary.Load(); spec.Torrent == nil && rest != nil {
		spec.Torrent = t.state.loadTorrent(rest.hashes)
		t.control.mu.Lock()
		t.control.spec.Torrent = spec.Torrent
		t.control.mu.Unlock()
	}
	if spec.Torrent == nil && spec.Link == nil {
		return spec, nil
	}
	return spec, t.state.loadInfo(&spec)
}

// unload frees the metadata of a torrent that does not run, if it can be read again.
func (t *Torrent) unload() {
	info, spec := t.info.Load(), t.spec()
	if info == nil || t.summary.Load() == nil || t.state.keepTorrent(torrentFile(&spec, info)) != nil {
		return
	}
	t.control.mu.Lock()
	t.control.spec.Torrent, t.control.spec.Verified = nil, false
	t.control.mu.Unlock()
	t.info.Store(nil)
}

// stopSwarm stops the swarm, which saves its state.
func (t *Torrent) stopSwarm() {
	r := t.run.Load()
	err := r.stop()
	t.last.Store(&r.final)
	t.run.Store(nil)
	if t.player != nil {
		t.player.changed()
	}
	if err == nil {
		return
	}
	err = fmt.Errorf("%s: %w", t.Name(), savingFault(err))
	t.control.mu.Lock()
	leaving := isClosed(t.milestones.stopping) || t.control.intent.Failure != lifecycle.NoFailure
	if leaving {
		t.control.unsaved = errors.Join(t.control.unsaved, err)
	}
	t.control.mu.Unlock()
	if !leaving {
		t.emit(Event{Kind: Warning, Err: err})
	}
}

// fallSilent stops the announces of a parked torrent and releases the lock in the state
// directory.
func (t *Torrent) fallSilent() {
	t.stopAnnouncing()
	if err := t.state.close(); err != nil {
		t.control.mu.Lock()
		t.control.unsaved = errors.Join(t.control.unsaved, err)
		t.control.mu.Unlock()
	}
}

func (t *Torrent) stopAnnouncing() {
	for _, d := range t.allDiscoveries() {
		d.stop()
	}
}

// fail reports an error that waiting does not fix, and stops the torrent. It does not
// block.
func (t *Torrent) fail(err error) {
	err = asFault(err)
	kind := lifecycle.Broken
	var f *Fault
	if errors.As(err, &f) && f.Kind == FaultIncomplete {
		kind = lifecycle.NoData
	}
	c := &t.control
	c.mu.Lock()
	if c.failure != nil || isClosed(t.milestones.stopping) {
		c.mu.Unlock()
		return
	}
	c.failure, c.intent.Failure = err, kind
	c.mu.Unlock()
	t.emit(Event{Kind: Failed, Err: err})
	t.request(func(*lifecycle.Intent) {})
}

// enterFailure stops what still runs of a failed torrent and returns its phase. A torrent
// without a record leaves the node.
func (t *Torrent) enterFailure() lifecycle.Phase {
	t.noteStopped()
	t.fallSilent()
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	if t.control.record == nil {
		t.control.intent.Want = max(t.control.intent.Want, lifecycle.End)
		closeOnce(t.milestones.stopping)
	}
	var f *Fault
	if errors.As(t.control.failure, &f) && f.Kind == FaultIncomplete {
		return lifecycle.Missing
	}
	return lifecycle.Failed
}

// leave removes a torrent that has ended from the node.
func (t *Torrent) leave() {
	t.node.steps.Add(1)
	if t.node.forget(t) {
		t.emit(Event{Kind: Removed})
	}
	t.reach(t.milestones.ended)
}

// stop makes the torrent leave the node. It does not block: Ended is closed when the
// torrent has left.
func (t *Torrent) stop() {
	t.request(func(i *lifecycle.Intent) { i.Want = max(i.Want, lifecycle.End) })
}

// unsaved returns the error of saving, once the torrent has ended.
func (t *Torrent) unsaved() error {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	return t.control.unsaved
}

// isStopping reports whether the torrent is leaving the node.
func (t *Torrent) isStopping() bool { return isClosed(t.milestones.stopping) }

// wake starts the torrent if it is parked and returns its run, or nil if it does not run.
// It waits for the worker until ctx ends.
func (t *Torrent) wake(ctx context.Context) *run {
	if r := t.run.Load(); r != nil {
		return r
	}
	t.control.mu.Lock()
	if !t.control.state.Running {
		t.control.intent.Wake = true
		t.serve()
	}
	rested := t.control.rested
	t.control.mu.Unlock()
	select {
	case <-rested:
	case <-ctx.Done():
	}
	return t.run.Load()
}

// wakeFor wakes a parked torrent for peers that a DHT node returned.
func (t *Torrent) wakeFor(from netip.AddrPort, peers []netip.AddrPort) {
	c := &t.control
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.state.Running || isClosed(t.milestones.stopping) {
		return
	}
	if room := maxFound - len(c.found); room > 0 {
		c.found, c.from = append(c.found, peers[:min(len(peers), room)]...), from
	}
	c.intent.Wake = true
	t.serve()
}

// maxFound is how many peers are kept for a torrent that is waking.
const maxFound = 50

// takeFound returns the peers for which the torrent woke.
func (t *Torrent) takeFound() (from netip.AddrPort, peers []netip.AddrPort) {
	c := &t.control
	c.mu.Lock()
	defer c.mu.Unlock()
	from, peers, c.found = c.from, c.found, nil
	return from, peers
}

// observe records the phase of the swarm.
func (t *Torrent) observe(p lifecycle.Phase) {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	t.control.state = t.control.state.Observe(p)
}

// torrentFile returns the torrent with everything known besides the info dictionary.
func torrentFile(spec *Spec, info *metainfo.Info) *metainfo.Torrent {
	if spec.Torrent != nil {
		return spec.Torrent
	}
	return &metainfo.Torrent{Info: info}
}
