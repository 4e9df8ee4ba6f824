package node

import (
	"time"

	"seedbed/node/lifecycle"
)

// When a disk is back, many torrents may stop being Missing at once. In a large session, those that
// are complete do not start: they are parked, announced again, and wake for peers. The others start in
// order, healsAtOnce at a time, so that not all of them open their files and look for peers at once.

const (
	healsAtOnce = 16
	// healWithin is how long the next torrent waits for one that starts: its disk may hang again.
	healWithin = 10 * time.Second
)

// healing are the torrents of one folder whose data is back.
type healing struct {
	node    *Node
	waiting []*Torrent // they start after others
}

// add takes up a torrent whose data is back. It does not wait.
func (h *healing) add(t *Torrent) {
	switch {
	case t.canStayParked():
		t.retry(true)
	case len(h.waiting) > 0 || !h.tryStart(t):
		h.waiting = append(h.waiting, t)
	}
}

// tryStart starts a torrent, unless healsAtOnce are starting.
func (h *healing) tryStart(t *Torrent) bool {
	select {
	case h.node.folders.heals <- struct{}{}:
		go h.start(t)
		return true
	default:
		return false
	}
}

// finish starts the torrents that wait, until the node closes.
func (h *healing) finish() {
	for _, t := range h.waiting {
		select {
		case h.node.folders.heals <- struct{}{}:
			go h.start(t)
		case <-h.node.ctx.Done():
			return
		}
	}
}

// start starts a torrent and waits until it has opened its files, or rests.
func (h *healing) start(t *Torrent) {
	defer func() { <-h.node.folders.heals }()
	timer := time.NewTimer(healWithin)
	defer timer.Stop()
	t.retry(false)
	t.control.mu.Lock()
	rested := t.control.untilRest()
	t.control.mu.Unlock()
	select {
	case <-rested:
	case <-timer.C:
		return
	}
	if r := t.run.Load(); r != nil {
		select {
		case <-r.opened:
		case <-r.ctx.Done():
		case <-timer.C:
		}
	}
}

// retry starts a torrent whose data is back, or parks it.
func (t *Torrent) retry(park bool) {
	if !t.isMissing() { // it was retried already
		return
	}
	t.emit(Event{Kind: Recovered})
	t.request(func(i *lifecycle.Intent) { i.Retry, t.control.healed = true, park })
}

// canStayParked reports whether a torrent that lacked its data can be parked without being started, as
// when the session is restored. Its files are checked when it wakes.
func (t *Torrent) canStayParked() bool {
	m := t.summary.Load()
	return t.node.population.Load() > parkBeyond && m != nil && m.isComplete() && !t.isRead() && !(t.spec().Upload && t.node.isStaged(t.hash))
}

// takeHealed reports whether the torrent is to be parked instead of started, once.
func (t *Torrent) takeHealed() (was bool) {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	was, t.control.healed = t.control.healed, false
	return was
}

// parkHealed parks a torrent whose data is back. The caller is its worker.
func (t *Torrent) parkHealed() {
	t.control.mu.Lock()
	t.control.failure = nil
	t.control.mu.Unlock()
	t.complete.Store(true)
	t.last.Store(nil)
	t.saveParked()
	t.strip()
	t.announceParked()
}
