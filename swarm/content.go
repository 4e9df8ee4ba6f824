package swarm

import (
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

const (
	// flushEvery and flushBytes say how much a crash may cost: what was written
	// since the last flush is hashed again.
	flushEvery = 10 * time.Second
	flushBytes = 64 << 20
	// retryFirst and retryLongest bound the wait between tries to mend storage.
	retryFirst   = time.Second
	retryLongest = 30 * time.Second
)

// A keeper opens the storage, flushes it and mends it.
type keeper struct {
	keepMu   sync.Mutex
	err      error // why the torrent is paused; nil if it is not
	mending  bool  // from a failure until the engine knows that it is over
	opening  bool
	opened   bool  // content is set
	closeErr error // set before done is closed

	checked, toCheck atomic.Int64 // bytes, while opening

	unflushed atomic.Int64  // bytes written since the last flush
	soiled    chan struct{} // the first write since
	flushNow  chan struct{} // it was much
}

func (k *keeper) init() { k.soiled, k.flushNow = make(chan struct{}, 1), make(chan struct{}, 1) }

// errStopped is why a task gave up when the torrent stopped.
var errStopped = errors.New("the torrent was stopped")

// task runs f on a goroutine that Stop waits for. The loop alone calls it.
func (t *Torrent) task(f func()) {
	if !t.ending {
		t.tasks.Go(f)
	}
}

// metadata opens the storage, now that the info dictionary is known.
func (t *Torrent) metadata(info *metainfo.Info) {
	if t.info != nil {
		return
	}
	t.info = info
	t.learnNames(info)
	// The longest messages that make sense are a bitfield and a block.
	t.maxFrame.Store(int64(max(info.NumPieces()/8+2, wire.PieceHeaderLen+wire.MaxBlock)))
	t.keepMu.Lock()
	t.opening = true
	t.keepMu.Unlock()
	t.tell(Event{Kind: MetadataKnown, Info: info})
	t.task(func() { t.open(info) })
}

func (t *Torrent) open(info *metainfo.Info) {
	var c Content
	err := t.retry(0, func() (err error) {
		c, err = t.cfg.Open(t.ctx, info, func(done, total int64) {
			t.checked.Store(done)
			t.toCheck.Store(total)
		})
		return err
	})
	if err != nil {
		return
	}
	t.keepMu.Lock()
	t.content, t.opening, t.opened = c, false, true
	t.keepMu.Unlock()
	t.storeMu.Lock()
	t.resumed = c.Stored
	t.storeMu.Unlock()
	t.tasks.Go(t.flusher)
	t.inbox.post(item{
		ev: &engine.EvInfo{Info: info, Have: c.Have, Wanted: c.Wanted, Files: c.Files, Stored: c.Stored},
		fn: func() { t.tell(Event{Kind: Opened, Info: info}) },
	})
}

// retry does f until it works or the torrent stops, telling of each new reason
// why it does not, and of the mend of what it told.
func (t *Torrent) retry(wait time.Duration, f func() error) error {
	for paused := false; ; paused = true {
		if wait > 0 && !t.sleep(wait) {
			return errStopped
		}
		err := f()
		switch {
		case t.ctx.Err() != nil:
			if err == nil {
				return nil
			}
			return errStopped
		case err == nil:
			if paused {
				t.pause(nil)
			}
			return nil
		}
		t.pause(err)
		wait = min(max(2*wait, retryFirst), retryLongest)
	}
}

func (t *Torrent) sleep(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-t.ctx.Done():
		return false
	}
}

// pause keeps the reason why the torrent stands still and tells it when it is
// another than before.
func (t *Torrent) pause(err error) {
	t.keepMu.Lock()
	was := t.err
	t.err = err
	t.keepMu.Unlock()
	switch {
	case err != nil && (was == nil || was.Error() != err.Error()):
		t.cfg.Log.Warn("torrent paused", "infohash", t.cfg.InfoHash, "error", err)
		t.inbox.post(item{fn: func() { t.tell(Event{Kind: Paused, Err: err}) }})
	case err == nil && was != nil:
		t.inbox.post(item{fn: func() { t.tell(Event{Kind: Resumed}) }})
	}
}

// storageFailed tells the engine that storage failed and what was lost by it, and
// starts the recovery unless it is under way.
func (t *Torrent) storageFailed(err error, lost ...item) {
	t.inbox.post(append([]item{{ev: new(engine.EvStorageFailed)}}, lost...)...)
	t.pause(err)
	t.keepMu.Lock()
	start := !t.mending && !t.stopping.Load()
	if start {
		t.mending = true
	}
	t.keepMu.Unlock()
	if start {
		t.inbox.post(item{fn: func() { t.task(t.mend) }})
	}
}

// mend asks the storage, with growing patience, until it works again.
func (t *Torrent) mend() {
	var have bitset.Set
	err := t.retry(retryFirst, func() (err error) {
		// The engine has been told and hands out nothing; what it handed out
		// before is done with first, so that nothing half stored is in doubt.
		t.quiet()
		have, err = t.content.Storage.Recheck(t.ctx)
		return err
	})
	if err != nil {
		return
	}
	t.pause(nil)
	signal(t.soiled) // what failed may have been a flush
	t.inbox.post(item{ev: &engine.EvStorageBack{Have: have}, fn: t.mended})
}

// mended is when the engine knows that storage works. If it failed once more in
// between, which nobody was there to see to, it all begins again.
func (t *Torrent) mended() {
	t.keepMu.Lock()
	t.mending = false
	err := t.err
	t.keepMu.Unlock()
	if err != nil {
		t.storageFailed(err)
	}
}

// wrote counts what a flush will make last.
func (t *Torrent) wrote(n int64) {
	now := t.unflushed.Add(n)
	if now == n {
		signal(t.soiled)
	}
	if now >= flushBytes && now-n < flushBytes {
		signal(t.flushNow)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// flusher flushes until the torrent stops: a while after something was written,
// or when it is much.
func (t *Torrent) flusher() {
	timer := time.NewTimer(flushEvery)
	timer.Stop()
	for {
		select {
		case <-t.soiled:
			timer.Reset(flushEvery)
			continue
		case <-timer.C:
		case <-t.flushNow:
			timer.Stop()
		case <-t.ctx.Done():
			timer.Stop()
			return
		}
		t.unflushed.Store(0)
		if err := t.content.Storage.Flush(); err != nil {
			t.storageFailed(err)
		}
	}
}

// complete gives the files their final names and tells that all is there.
func (t *Torrent) complete() {
	t.task(func() {
		if t.retry(0, t.content.Storage.Finish) == nil {
			t.inbox.post(item{fn: func() { t.tell(Event{Kind: Complete, Info: t.info}) }})
		}
	})
}

// endContent flushes and closes the storage at the end.
func (t *Torrent) endContent() {
	t.keepMu.Lock()
	opened := t.opened
	t.keepMu.Unlock()
	if !opened {
		return
	}
	t.closeErr = t.content.Storage.Flush()
	if err := t.content.Storage.Close(); t.closeErr == nil {
		t.closeErr = err
	}
}
