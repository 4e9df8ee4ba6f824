package node

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"seedbed/internal/await"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
)

// Operations on a torrent. Each may be called in every phase. It returns as soon as the change is
// in the record of a torrent of the session, so that a kill does not undo it; a power cut in the
// next second may (recordsync.go). What follows from the change happens in the background: Settled
// waits for it. So an operation waits for the file system of the state directory, until ctx ends,
// but never for that of the data.

// change changes a torrent and its record with edit, saves the record, and then changes the
// intent with act. Both functions are called with control.mu held.
func (t *Torrent) change(ctx context.Context, edit func(*control) error, act func(*lifecycle.Intent)) error {
	return await.Do(ctx, func() error { return t.changeNow(edit, act) })
}

func (t *Torrent) changeNow(edit func(*control) error, act func(*lifecycle.Intent)) error {
	c := &t.control
	c.mu.Lock()
	if t.milestones.has(isStopping) {
		c.mu.Unlock()
		return ErrEnded
	}
	if c.moveTo == "" {
		c.moveErr = nil
	}
	err := edit(c)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if err := t.save(); err != nil {
		if t.isStopping() { // its folder is being deleted
			return ErrEnded
		}
		return fmt.Errorf("%s: %w", t.Name(), err)
	}
	t.request(act)
	t.emit(Event{Kind: Changed})
	return nil
}

// ErrEnded is returned for a torrent that has left the node or is leaving it.
var ErrEnded = errors.New("the torrent has ended")

// editEntry returns an edit function for change. It applies f to the session entry of the
// torrent, if the torrent is part of the session.
func editEntry(f func(*sessionEntry)) func(*control) error {
	return func(c *control) error {
		if c.entry != nil {
			f(c.entry)
		}
		return nil
	}
}

// Pause stops the torrent until Resume, even after a restart. It ends SetForced.
func (t *Torrent) Pause(ctx context.Context) error {
	return t.change(ctx, editEntry(func(k *sessionEntry) { k.want, k.forced = wantPause, false }), func(i *lifecycle.Intent) { i.Want = max(i.Want, lifecycle.Pause) })
}

// Resume starts a torrent that is paused, has failed or has missing data. A seeding goal that
// the torrent has reached does not stop it again. It ends SetForced.
func (t *Torrent) Resume(ctx context.Context) error {
	reached := t.reachedGoals(time.Now())
	t.idleSince.Store(0)
	return t.change(ctx, func(c *control) error {
		if c.entry == nil {
			return nil
		}
		if c.entry.finished {
			c.editSpec(func(s *Spec) { s.Goals = s.Goals.without(reached) })
		}
		c.entry.want, c.entry.finished, c.entry.forced = wantRun, false, false
		return nil
	}, func(i *lifecycle.Intent) {
		if i.Want == lifecycle.Pause {
			i.Want = lifecycle.Run
		}
		i.Retry = true
	})
}

// Recheck starts to hash all data again. Snapshot shows the progress. A paused torrent stays paused.
func (t *Torrent) Recheck(ctx context.Context) error {
	return t.change(ctx, editEntry(func(k *sessionEntry) { k.recheck = true }), func(i *lifecycle.Intent) { i.Recheck = true })
}

// Move starts to move the files of the torrent to another folder. Meanwhile the torrent does not
// run. Within a file system the files are renamed. Otherwise they are copied, synced, compared
// and then removed. Until that has ended, a move to another folder is refused. If the move fails,
// the files stay in the old folder, a warning says why, and Settled returns the error.
func (t *Torrent) Move(ctx context.Context, dir string) error {
	to, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	name := t.Name()
	return t.change(ctx, func(c *control) error {
		if err := c.spec.refuseObjects("be moved to a folder"); err != nil {
			return err
		}
		if c.moveTo != "" && c.moveTo != to { // its files may be in both folders already
			return &Fault{Kind: FaultUsage, Err: fmt.Errorf("%s is being moved to %s", name, c.moveTo), hint: "wait until that has ended"}
		}
		var f *Fault
		if c.state.Phase == lifecycle.Missing && c.moveTo == "" && errors.As(c.failure, &f) && f.Kind == FaultMissing {
			return f
		}
		c.moveTo, c.moveErr, c.isNewMove = to, nil, c.isNewMove || c.moveTo == ""
		if c.entry != nil {
			c.entry.move = to
		}
		return nil
	}, func(i *lifecycle.Intent) { i.Move = true })
}

// SetFiles changes which files are wanted. The numbers are those of Spec.Select; nil means
// all files. Downloaded data of other files stays.
func (t *Torrent) SetFiles(ctx context.Context, numbers []int) error {
	numbers = slices.Clone(numbers)
	return t.changeFiles(ctx, t.Info(), func(*Spec) ([]int, error) { return numbers, nil })
}

// EditFiles changes which files are wanted by what is added and what is taken away; other files stay as they are, whatever
// another client has changed in the meantime. The metadata must be known.
func (t *Torrent) EditFiles(ctx context.Context, more, fewer []int) error {
	info := t.Info()
	if info == nil {
		return ErrNoMetadata
	}
	more, fewer = slices.Clone(more), slices.Clone(fewer)
	return t.changeFiles(ctx, info, func(spec *Spec) ([]int, error) {
		wanted := spec.selected(info, 0, info.Stored())
		for _, list := range []struct {
			numbers []int
			to      bool
		}{{more, true}, {fewer, false}} {
			for _, n := range list.numbers {
				if n < 1 || n > len(wanted) {
					return nil, noSuchFile(info, n)
				}
				wanted[n-1] = list.to
			}
		}
		var numbers []int
		for k, is := range wanted {
			if is {
				numbers = append(numbers, k+1)
			}
		}
		switch len(numbers) {
		case 0:
			return nil, &Fault{Kind: FaultSelection, Err: errors.New("no file would be wanted"), hint: "to download nothing, pause the torrent"}
		case len(wanted):
			return nil, nil
		}
		return numbers, nil
	})
}

// changeFiles sets which files are wanted to the numbers that choose returns; nil means all. info may be nil.
func (t *Torrent) changeFiles(ctx context.Context, info *metainfo.Info, choose func(*Spec) ([]int, error)) error {
	return t.change(ctx, func(c *control) (err error) {
		spec := *c.spec
		if err := spec.refuseObjects("be selected"); err != nil {
			return err
		}
		if spec.Seed {
			return &Fault{Kind: FaultUsage, Err: errors.New("the files of a torrent that was added with Seed cannot be selected"), hint: "add it without Seed"}
		}
		if spec.Select, err = choose(c.spec); err != nil {
			return err
		}
		spec.All = spec.Select == nil
		if info != nil {
			if _, err := spec.files(info); err != nil {
				return err
			}
		}
		c.editSpec(func(s *Spec) { *s = spec })
		return nil
	}, func(i *lifecycle.Intent) { i.Restart = true })
}

// SetLabels replaces the labels of the torrent.
func (t *Torrent) SetLabels(ctx context.Context, labels []string) error {
	labels = slices.Clone(labels)
	return t.change(ctx, func(c *control) error {
		c.editSpec(func(s *Spec) { s.Labels = labels })
		return nil
	}, func(*lifecycle.Intent) {})
}

// SetCategory changes the category of the torrent.
func (t *Torrent) SetCategory(ctx context.Context, category string) error {
	return t.change(ctx, func(c *control) error {
		c.editSpec(func(s *Spec) { s.Category = category })
		return nil
	}, func(*lifecycle.Intent) {})
}

// SetReported records in the session that other programs were told that the torrent is complete, so
// that a later run does not do so again; see Details.Reported.
func (t *Torrent) SetReported(ctx context.Context) error {
	return t.change(ctx, editEntry(func(k *sessionEntry) { k.reported = true }), func(*lifecycle.Intent) {})
}

// IsForced reports whether SetForced was called and the torrent was neither paused nor resumed, and has
// not failed, since. The node does not use it.
func (t *Torrent) IsForced() bool {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	return t.control.entry != nil && t.control.entry.forced
}

// SetForced records in the session whether the torrent runs regardless of its place in the queue, until
// it stops.
func (t *Torrent) SetForced(ctx context.Context, forced bool) error {
	return t.change(ctx, editEntry(func(k *sessionEntry) { k.forced = forced }), func(*lifecycle.Intent) {})
}

// Labels returns the labels of the torrent.
func (t *Torrent) Labels() []string { return t.spec().Labels }

// SetLimits changes the limits of the torrent as SetRates does, and saves them in the record.
func (t *Torrent) SetLimits(ctx context.Context, up, down int64) error {
	up, down = max(up, 0), max(down, 0)
	t.SetRates(up, down)
	return t.change(ctx, func(c *control) error {
		c.editSpec(func(s *Spec) { s.UpRate, s.DownRate = up, down })
		return nil
	}, func(*lifecycle.Intent) {})
}

// SetGoals changes the seeding goals of the torrent.
func (t *Torrent) SetGoals(ctx context.Context, g Goals) error {
	if err := g.validate(); err != nil {
		return usageFault(err)
	}
	return t.change(ctx, func(c *control) error {
		c.editSpec(func(s *Spec) { s.Goals = g })
		return nil
	}, func(*lifecycle.Intent) {})
}

// SetPlace changes the place of a torrent of the session in the queue; see Details.Place.
// Torrents that are added later get larger places. The node does not use the places.
func (t *Torrent) SetPlace(ctx context.Context, place int64) error {
	t.node.mu.Lock()
	t.node.lastPlace = max(t.node.lastPlace, place)
	t.node.mu.Unlock()
	return t.change(ctx, editEntry(func(k *sessionEntry) { k.place = place }), func(*lifecycle.Intent) {})
}

// Settled waits until everything that was requested is done: the torrent runs, has stopped or has
// left the node. It returns the error of the last Move, unless another operation followed. For a
// torrent that has left the node, it returns the errors of saving and removing its state.
func (t *Torrent) Settled(ctx context.Context) error {
	for {
		t.control.mu.Lock()
		working, rested, failed := t.control.working, t.control.untilRest(), t.control.moveErr
		t.control.mu.Unlock()
		if !working {
			if t.milestones.has(hasEnded) {
				failed = t.unsaved()
			}
			return failed
		}
		select {
		case <-rested:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
