package node

import (
	"context"
	"errors"
	"sync"
	"time"

	"seedbed/node/lifecycle"
	"seedbed/swarm/engine"
)

// control decides what a torrent does. A request changes the intent. If no worker is active,
// it starts a goroutine that performs the actions of lifecycle.Next until nothing is left to
// do. Only this worker starts and stops the swarm and waits for the disk, and it does so
// without a lock: a disk that hangs under one torrent blocks only the worker of that torrent.
type control struct {
	mu      sync.Mutex // never held during a wait
	spec    *Spec      // replaced, never modified; that of a parked torrent lacks what the state directory has
	state   lifecycle.State
	intent  lifecycle.Intent
	working bool
	edited  uint32             // Unix time of the last editSpec; 0: none in this run
	rested  chan struct{}      // closed when the worker has ended; nil if no caller waits
	cancel  context.CancelFunc // cancels the current step if it can be cancelled; or nil

	failure          error               // the error of a torrent that is Failed or Missing
	upRate, downRate int64               // limits of this torrent; 0: those of Settings
	checked, toCheck int64               // bytes, while files are checked or moved
	found            *[]engine.Candidate // peers that wake a parked torrent, up to maxFound; nil if there are none
	unsaved          error               // the errors of saving the state, joined

	counts        counts
	deleteData    bool            // RemoveAll deletes the files too
	healed        bool            // the data is back: the next start parks the torrent instead
	isParking     bool            // the record that is being saved is that of a parked torrent
	saving        sync.Mutex      // held while the record is written; locked before mu
	saved         uint32          // sum of the record that was written last, or 0; guarded by saving
	entry         *sessionEntry   // nil if the torrent is not part of the session
	moveTo        string          // target folder of a move; "": none
	moveErr       error           // the error of the last move or rename
	isNewMove     bool            // no file has been moved yet
	inPlace       bool            // the files are in moveTo already; see SetFolder
	isReported    bool            // Removed was reported
	namesReported bool            // warnings about its file names were reported
	lastPhase     lifecycle.Phase // of the last event Changed
}

// init makes the caller the worker of a torrent that is being added.
func (c *control) init(spec *Spec) {
	c.spec, c.working = spec, true
	c.state.Phase = lifecycle.Adding
}

// rest records that the worker has ended. mu is held.
func (c *control) rest() {
	c.working = false
	if c.rested != nil {
		close(c.rested)
		c.rested = nil
	}
}

// untilRest returns a channel that is closed when no worker is active. mu is held.
func (c *control) untilRest() <-chan struct{} {
	if !c.working {
		return closedChannel
	}
	if c.rested == nil {
		c.rested = make(chan struct{})
	}
	return c.rested
}

// reportNames reports whether the warnings about file names have yet to be reported. It
// returns true only once.
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
	return *t.control.spec
}

// editSpec changes in the Spec what the user has chosen. mu is held.
func (c *control) editSpec(edit func(*Spec)) {
	c.replaceSpec(edit)
	c.edited = uint32(time.Now().Unix())
}

// replaceSpec changes the Spec. mu is held.
func (c *control) replaceSpec(edit func(*Spec)) {
	now := *c.spec
	edit(&now)
	c.spec = &now
}

// request changes the intent of the torrent. It does not block.
func (t *Torrent) request(change func(*lifecycle.Intent)) {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	change(&t.control.intent)
	t.serve()
}

// serve starts a worker if an action is pending and no worker is active. control.mu is
// held.
func (t *Torrent) serve() {
	c := &t.control
	if c.intent.Want == lifecycle.End || c.intent.Want == lifecycle.Remove {
		t.milestones.reach(isStopping)
		if c.cancel != nil {
			c.cancel()
		}
	}
	if !c.working && lifecycle.Next(c.state, c.intent) != lifecycle.Rest {
		c.working = true
		go t.work()
	}
}

// isNewPhase reports whether the phase has changed since the last call. mu is held.
func (c *control) isNewPhase() bool {
	isNew := c.state.Phase != c.lastPhase && c.state.Phase != lifecycle.Ended // Removed says that
	c.lastPhase = c.state.Phase
	return isNew
}

// IsPaused reports whether the user wants the torrent paused. Its phase follows.
func (t *Torrent) IsPaused() bool {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	return t.control.intent.Want == lifecycle.Pause
}

// fail reports a permanent error and stops the torrent. It does not block.
func (t *Torrent) fail(err error) {
	err = asFault(err)
	kind := lifecycle.Broken
	var f *Fault
	if errors.As(err, &f) && f.lacksData() {
		kind = lifecycle.NoData
	}
	c := &t.control
	c.mu.Lock()
	if c.failure != nil || t.milestones.has(isStopping) {
		c.mu.Unlock()
		return
	}
	c.failure, c.intent.Failure = err, kind
	c.mu.Unlock()
	t.emit(Event{Kind: Failed, Err: err})
	t.request(func(*lifecycle.Intent) {})
}

// stop makes the torrent leave the node. It does not block: Ended is closed when the
// torrent has left.
func (t *Torrent) stop() {
	t.request(func(i *lifecycle.Intent) { i.Want = max(i.Want, lifecycle.End) })
}

// unsaved returns the errors of saving the state, joined. It is called after the torrent
// has ended.
func (t *Torrent) unsaved() error {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	var fault *Fault
	if t.milestones.has(isOutdated) && errors.As(t.control.unsaved, &fault) && fault.Kind == FaultVanished {
		return nil
	}
	return t.control.unsaved
}

// Outdate says that the files of the torrent are those of a newer version from now on, and that it will be removed
// soon. Files that have changed are no longer reported.
func (t *Torrent) Outdate() { t.milestones.reach(isOutdated) }

// isStopping reports whether the torrent is leaving the node.
func (t *Torrent) isStopping() bool { return t.milestones.has(isStopping) }

// observe records the phase that the swarm has reached, and reports whether it is another one than before.
func (t *Torrent) observe(p lifecycle.Phase) (changed bool) {
	c := &t.control
	c.mu.Lock()
	before := c.state.Phase
	t.setState(c.state.Observe(p))
	changed = c.state.Phase != before
	isNew := !c.working && c.isNewPhase() // the worker reports the phase in which it ends
	c.mu.Unlock()
	if isNew {
		t.emit(Event{Kind: Changed})
	}
	return changed
}
