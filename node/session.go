package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"seedbed/internal/id"
	"seedbed/node/lifecycle"
)

// The session consists of the torrents that were added with Spec.Persistent. Restore adds
// them again, in queue order and in their last state, until they are removed.

// ErrNoSession is returned by Restore when another process owns the session of the state
// directory.
var ErrNoSession = errors.New("another seedbed process runs the session of this state directory")

// Restore adds the torrents of the session again, each in its last state: running, parked or
// paused. It finishes a removal or a move that a kill interrupted. It does not hash data that
// is proven. A torrent that cannot be restored does not affect the others. The returned error
// joins one error for each such torrent; an error about a record is a *DamagedError. Restore
// returns when all torrents have started.
func (n *Node) Restore(ctx context.Context) error {
	if !n.state.owned() {
		return ErrNoSession
	}
	found, errs := n.readRecords(ctx)
	errs = append(errs, n.state.sweepRemoved())
	slices.SortFunc(found, func(a, b restored) int { return int(min(max(a.record.Place-b.record.Place, -1), 1)) })
	var g errgroup.Group
	g.SetLimit(4 * runtime.GOMAXPROCS(0)) // the disk takes most of the time
	failed := make([]error, len(found))
	for i, f := range found {
		n.mu.Lock()
		n.lastPlace = max(n.lastPlace, f.record.Place)
		n.mu.Unlock()
		t := n.newTorrent(f.spec)
		if err := n.reserve(t, f.hashes()); err != nil {
			if failed[i] = fmt.Errorf("%s: %w", f.spec.Name(), err); errors.Is(err, ErrClosed) {
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

// restored is a torrent of the session as read from its folder.
type restored struct {
	record  *record
	spec    Spec
	summary *summary
}

func (f *restored) hashes() []id.ID {
	if f.summary != nil {
		return f.summary.hashes
	}
	return f.spec.hashes()
}

// isParked reports whether the torrent can be parked in a session of that many torrents: it was
// complete when it last stopped or was parked. It is checked again when it wakes.
func (f *restored) isParked(of int) bool {
	m := f.summary
	return of > parkBeyond && m != nil && m.have == m.wanted && m.havePieces == m.pieces && f.record.intent() == lifecycle.Intent{}
}

// readRecords reads the records of all torrents in parallel.
func (n *Node) readRecords(ctx context.Context) (found []restored, errs []error) {
	root := filepath.Join(n.state.path, "torrents")
	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, []error{err}
	}
	all := make([]restored, len(entries))
	bad := make([]error, len(entries))
	var g errgroup.Group
	g.SetLimit(4 * runtime.GOMAXPROCS(0))
	for i, e := range entries {
		if !e.IsDir() || ctx.Err() != nil {
			continue
		}
		g.Go(func() error {
			all[i], bad[i] = n.readRestored(e.Name())
			return nil
		})
	}
	_ = g.Wait() // its functions return no errors
	all = slices.DeleteFunc(all, func(r restored) bool { return r.record == nil })
	bad = slices.DeleteFunc(bad, func(err error) bool { return err == nil })
	return all, append(bad, ctx.Err())
}

// readRestored reads the folder of one torrent. A folder without a record does not belong to
// the session and returns the zero value.
func (n *Node) readRestored(name string) (f restored, err error) {
	hash, err := id.ParseHex(name)
	if err != nil {
		return f, nil
	}
	st := n.state.torrent(hash)
	r, err := readRecord(st)
	if errors.Is(err, os.ErrNotExist) {
		return f, nil
	}
	if err != nil {
		return f, err
	}
	f.summary, err = r.summary()
	if err == nil {
		f.spec, err = r.spec(st)
	}
	if r.intent().Want == lifecycle.Remove { // the rest is deleted, whatever it is
		f.spec.hash, err = hash, nil
	}
	if err != nil {
		return f, &DamagedError{st.recordPath(), err, damagedAdvice}
	}
	f.record = r
	return f, nil
}

// restore restores the last state of a torrent. The caller is its worker.
func (n *Node) restore(t *Torrent, f restored) {
	r := f.record
	t.uploaded.Store(r.Uploaded)
	t.savedTally.Uploaded = r.Uploaded
	t.control.mu.Lock()
	t.control.record, t.control.moveTo = r, r.Move
	t.control.intent = r.intent()
	t.control.mu.Unlock()
	if f.summary != nil {
		t.summary.Store(f.summary)
		t.private.Store(r.Summary.Private)
		r.Summary = nil // t.summary has it
	}
	t.emit(Event{Kind: Added, Magnet: t.Link()})
	parked := f.isParked(int(n.population.Load()))
	if parked {
		t.whole.Store(true)
		t.seedingSince.Store(time.Now().UnixNano())
		t.reportParked()
		t.announceParked()
	}
	t.enter(parked)
}

// keepOnRecord adds a torrent that is being added to the session. The caller is its
// worker.
func (t *Torrent) keepOnRecord(spec *Spec) error {
	n := t.node
	n.mu.Lock()
	n.lastPlace++
	place := n.lastPlace
	n.mu.Unlock()
	r, err := newRecord(spec, place)
	if err != nil {
		return err
	}
	if spec.Torrent != nil {
		if err := t.state.keepTorrent(spec.Torrent); err != nil {
			return err
		}
	}
	t.control.mu.Lock()
	t.control.record = r
	t.control.spec.Dir = r.Dir
	t.control.intent = r.intent()
	t.control.mu.Unlock()
	return t.save()
}

// noteStopped records what is known of a torrent that stops.
func (t *Torrent) noteStopped() {
	info, last := t.info.Load(), t.last.Load()
	if info != nil && last != nil && last.Pieces > 0 {
		t.summary.Store(summarize(info, last))
	}
	t.saveSummary()
}

func (t *Torrent) saveSummary() {
	if err := t.save(); err != nil {
		t.emit(Event{Kind: Warning, Err: fmt.Errorf("what is on record of %s is not up to date: %w", t.Name(), err)})
	}
}
