package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unique"

	"golang.org/x/sync/errgroup"

	"seedbed/internal/id"
	"seedbed/internal/journal"
	"seedbed/node/lifecycle"
)

// The session consists of the torrents that were added with Spec.Persistent. Restore adds
// them again, in queue order and in their last state, until they are removed.

// ErrNoSession is returned by Restore when another process owns the session of the state
// directory.
var ErrNoSession = errors.New("another seedbed process runs the session of this state directory")

// ErrUnreadable is returned by Restore and Add if the file of the session cannot be read. No torrent of the
// session is known then, so a program that goes on would show an empty session.
var ErrUnreadable = errors.New("the session cannot be read")

// Restore adds the torrents of the session again, each in its last state: running, parked
// or paused. It finishes a removal or a move that a kill interrupted. It does not hash data
// that the resume record proves. A torrent that cannot be restored does not affect the
// others. The returned error joins one error for each such torrent; an error about a record
// is a *DamagedError. Restore returns when all torrents have started.
func (n *Node) Restore(ctx context.Context) error {
	if !n.state.owned() {
		return ErrNoSession
	}
	found, errs := n.readRecords(ctx)
	if j, err := n.state.records(); err == nil {
		n.sweepStaging(j.Keys())
	}
	n.records.add() // after a kill, some may not be synced
	errs = append(errs, n.state.sweepRemoved())
	slices.SortFunc(found, func(a, b restored) int { return int(min(max(a.entry.place-b.entry.place, -1), 1)) })
	var g errgroup.Group
	g.SetLimit(4 * runtime.GOMAXPROCS(0)) // the disk takes most of the time
	failed := make([]error, len(found))
	for i, f := range found {
		n.mu.Lock()
		n.lastPlace = max(n.lastPlace, f.entry.place)
		n.mu.Unlock()
		t := n.newTorrent(f.hash, f.spec)
		if err := n.reserve(t, f.hashes()); err != nil {
			if failed[i] = fmt.Errorf("%s: %w", t.Name(), err); errors.Is(err, ErrClosed) {
				break
			}
			continue
		}
		if ctx.Err() == nil && f.isParked(len(found)) {
			n.restore(t, f)
			continue
		}
		g.Go(func() error {
			n.restore(t, f)
			return nil
		})
	}
	_ = g.Wait() // its functions return no errors
	return errors.Join(append(errs, failed...)...)
}

// restored is what is saved of a torrent of the session.
type restored struct {
	hash     id.ID
	entry    *sessionEntry
	spec     *Spec
	summary  *summary
	private  bool
	tally    tally
	isLost   bool // its files are in a store that this node does not have
	isStaged bool // what it has downloaded is not in the store yet
}

func (f *restored) hashes() []id.ID {
	if f.summary != nil {
		return f.summary.hashes()
	}
	if f.spec.Torrent == nil && f.spec.Link == nil { // only its removal continues
		return []id.ID{f.hash}
	}
	return f.spec.hashes()
}

// isParked reports whether the torrent can be restored as parked: the session is large, and
// the torrent was complete when it last stopped or was parked, and is not being uploaded. Its files are checked when
// it wakes.
func (f *restored) isParked(sessionSize int) bool {
	m := f.summary
	return sessionSize > parkBeyond && m != nil && m.isComplete() && !f.isLost && !f.isStaged && f.entry.intent() == lifecycle.Intent{} && len(f.spec.naming().Pending) == 0
}

// readRecords reads the records of all torrents in parallel. Folders of torrents without a record are
// those of an earlier version, or of an interrupted add.
func (n *Node) readRecords(ctx context.Context) (found []restored, errs []error) {
	j, err := n.state.records()
	if err != nil {
		return nil, []error{err}
	}
	if err := j.Damage(); err != nil {
		errs = append(errs, &DamagedError{n.state.sessionPath(), err, "compare the list of torrents with what you expect; the damaged file is kept beside it"})
	}
	older, err := n.adoptFolders(ctx, j)
	errs = append(errs, older, err)
	keys := j.Keys()
	all := make([]restored, len(keys))
	bad := make([]error, len(keys))
	inParallel(len(keys), func(i int) {
		if ctx.Err() == nil {
			all[i], bad[i] = n.readRestored(j, keys[i])
		}
	})
	all = slices.DeleteFunc(all, func(r restored) bool { return r.entry == nil })
	return all, slices.DeleteFunc(append(append(errs, bad...), ctx.Err()), func(err error) bool { return err == nil })
}

// inParallel calls f with each number from 0 to n-1, on a few goroutines. Starting a goroutine
// for each call would cost more than reading a small record.
func inParallel(n int, f func(int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range 4 * runtime.GOMAXPROCS(0) { // the disk may take most of the time
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				f(i)
			}
		})
	}
	wg.Wait()
}

// readRestored reads what is saved of one torrent.
func (n *Node) readRestored(j *journal.Journal, hash id.ID) (f restored, err error) {
	st := n.state.torrent(hash)
	r, err := readRecord(j, st)
	if err != nil {
		return f, err
	}
	keep := r.entry()
	f.summary, err = r.Summary.summary()
	var spec Spec
	if err == nil {
		spec, err = r.spec(st)
	}
	if err != nil && keep.intent().Want != lifecycle.Remove { // a removal needs neither
		return f, st.damaged(err)
	}
	f.hash, f.spec = hash, n.specs.share(&spec)
	f.entry, f.private = keep, r.Summary != nil && r.Summary.Private
	f.isLost = n.checkStore(&spec) != nil
	f.isStaged = spec.Upload && n.isStaged(hash)
	f.tally = r.tally
	if later := st.loadTally(); later.Downloading+later.Seeding > r.Downloading+r.Seeding { // the process was killed
		f.tally = later
	} else if r.Parked > 0 {
		f.tally.Seeding += max(n.uptimeBefore-r.Parked, 0)
	}
	return f, nil
}

// restore restores the last state of a torrent. The caller is its worker.
func (n *Node) restore(t *Torrent, f restored) {
	t.control.mu.Lock()
	t.control.counts.tally = f.tally
	t.control.moveTo, t.control.inPlace = f.entry.move, f.entry.inPlace
	t.control.takeUp(f.entry)
	t.control.intent.Rename = len(f.spec.naming().Pending) > 0
	t.control.mu.Unlock()
	if f.summary != nil {
		t.summary.Store(f.summary)
		t.private.Store(f.private)
	}
	t.emit(Event{Kind: Added, Magnet: t.Link()})
	parked := f.isParked(int(n.population.Load()))
	if parked {
		t.complete.Store(true)
		t.reportParked()
		t.announceParked()
	}
	switch {
	case parked:
		t.enter(lifecycle.State.AddedParked)
	case t.node.cfg.Held:
		t.addHeld()
		t.enter(lifecycle.State.AddedHeld)
	default:
		t.enter(lifecycle.State.Added)
	}
}

// keepOnRecord makes a torrent that is being added part of the session. The caller is its
// worker.
func (t *Torrent) keepOnRecord(spec *Spec, takeOver func(*Torrent, *sessionEntry) error) error {
	n := t.node
	if _, err := n.state.records(); err != nil {
		return err
	}
	n.mu.Lock()
	n.lastPlace++
	place := n.lastPlace
	n.mu.Unlock()
	dir, err := filepath.Abs(spec.Dir)
	if err != nil {
		return err
	}
	final := spec.FinalDir
	if final != "" {
		if final, err = filepath.Abs(final); err != nil {
			return err
		}
	}
	keep := &sessionEntry{want: wantRun, place: place, added: time.Now().Unix(), mount: unique.Make(n.mounts.of(dir))}
	if spec.Paused {
		keep.want = wantPause
	}
	if spec.Torrent != nil {
		if err := t.state.keepTorrent(spec.Torrent); err != nil {
			return err
		}
		t.summary.Store(spec.summary())
		t.private.Store(spec.Torrent.Info.Private)
	}
	if takeOver != nil {
		if err := takeOver(t, keep); err != nil {
			return err
		}
	}
	t.control.mu.Lock()
	t.control.replaceSpec(func(s *Spec) { s.Dir, s.FinalDir = dir, final })
	t.control.takeUp(keep)
	t.control.mu.Unlock()
	return t.save()
}

// takeUp gives a torrent that is being added its entry. What was requested of it meanwhile, such as
// its end, remains requested. mu is held.
func (c *control) takeUp(k *sessionEntry) {
	c.entry = k
	switch c.intent.Want {
	case lifecycle.Pause:
		if k.want == wantRun {
			k.want = wantPause
		}
	case lifecycle.Remove:
		c.recordRemoval()
	}
	i := k.intent()
	c.intent.Want = max(c.intent.Want, i.Want)
	c.intent.Move, c.intent.Recheck = c.intent.Move || i.Move, c.intent.Recheck || i.Recheck
}

// noteStopped saves the summary of a torrent that stops.
func (t *Torrent) noteStopped() {
	info, last := t.info.Load(), t.last.Load()
	switch {
	case info == nil:
	case last != nil && last.Pieces > 0:
		t.summary.Store(summarize(info, last))
	case t.summary.Load() == nil: // it has its metadata and has opened no file
		spec := t.spec()
		spec.Torrent = torrentFile(&spec, info)
		t.summary.Store(spec.summary())
	}
	t.saveSummary()
}

// saveParked saves the record of a torrent that is being parked.
func (t *Torrent) saveParked() {
	t.control.mu.Lock()
	t.control.isParking = true
	t.control.mu.Unlock()
	t.saveSummary()
	t.control.mu.Lock()
	t.control.isParking = false
	t.control.mu.Unlock()
}

// saveSummary saves the record of a torrent that has stopped. The record then has the tally.
func (t *Torrent) saveSummary() {
	err := t.saveRecord(false) // it has often changed in nothing, as after an add
	if err == nil && t.inSession() {
		err = t.dropTally()
	}
	if err != nil {
		t.emit(Event{Kind: Warning, Err: fmt.Errorf("cannot save the record of %s: %w", t.Name(), err)})
	}
}
