package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"seedbed/node/lifecycle"
)

// Operations on a torrent. Each may be called in every phase, and waits for the disk until
// ctx ends; the work then continues in the background. When an operation has returned without
// an error, the record of a torrent of the session includes it, so that a kill does not undo it.

// change changes a torrent and its record with edit, saves the record, and then changes the
// intent with act. Both functions are called with control.mu held.
func (t *Torrent) change(ctx context.Context, edit func(*control) error, act func(*lifecycle.Intent)) error {
	done := make(chan error, 1)
	go func() { done <- t.changeNow(edit, act) }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t *Torrent) changeNow(edit func(*control) error, act func(*lifecycle.Intent)) error {
	c := &t.control
	c.mu.Lock()
	if isClosed(t.milestones.stopping) {
		c.mu.Unlock()
		return ErrEnded
	}
	err := edit(c)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if err := t.save(); err != nil {
		return fmt.Errorf("%s: %w", t.Name(), err)
	}
	t.request(act)
	return nil
}

// ErrEnded is returned for a torrent that has left the node or is leaving it.
var ErrEnded = errors.New("the torrent has ended")

// editRecord returns a function for change that changes the record of the torrent, if it
// has one.
func editRecord(f func(*record)) func(*control) error {
	return func(c *control) error {
		if c.record != nil {
			f(c.record)
		}
		return nil
	}
}

// Pause stops the torrent until Resume, even after a restart. It waits until nothing runs.
func (t *Torrent) Pause(ctx context.Context) error {
	err := t.change(ctx, editRecord(func(r *record) { r.Want = wantPause }), func(i *lifecycle.Intent) { i.Want = max(i.Want, lifecycle.Pause) })
	if err != nil {
		return err
	}
	return t.awaitRest(ctx)
}

// Resume starts a torrent that is paused, has failed or has missing data.
func (t *Torrent) Resume(ctx context.Context) error {
	return t.change(ctx, editRecord(func(r *record) { r.Want = wantRun }), func(i *lifecycle.Intent) {
		if i.Want == lifecycle.Pause {
			i.Want = lifecycle.Run
		}
		i.Retry = true
	})
}

// Recheck starts to hash everything again and does not wait for the end. Snapshot shows the
// progress. A paused torrent stays paused.
func (t *Torrent) Recheck(ctx context.Context) error {
	return t.change(ctx, editRecord(func(r *record) { r.Recheck = true }), func(i *lifecycle.Intent) { i.Recheck = true })
}

// Move moves the files of the torrent to another folder and waits until they are there.
// Meanwhile nothing is served. Within a file system the files are renamed. Otherwise they are
// copied, synced, compared and then removed. If Move fails, they stay in the old folder.
func (t *Torrent) Move(ctx context.Context, dir string) error {
	to, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	err = t.change(ctx, func(c *control) error {
		c.moveTo, c.moveErr = to, nil
		if c.record != nil {
			c.record.Move = to
		}
		return nil
	}, func(i *lifecycle.Intent) { i.Move = true })
	if err != nil {
		return err
	}
	for {
		t.control.mu.Lock()
		pending, moved, failed := t.control.moveTo == to, t.control.awaitMove(), t.control.moveErr
		t.control.mu.Unlock()
		if !pending {
			return cmp.Or(failed, t.awaitRest(ctx))
		}
		select {
		case <-moved:
		case <-t.milestones.stopping:
			return ErrEnded
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// SetFiles changes which files are wanted: numbers as in Spec.Select, nil for all. Data that
// was downloaded of other files stays.
func (t *Torrent) SetFiles(ctx context.Context, numbers []int) error {
	info := t.Info()
	return t.change(ctx, func(c *control) error {
		spec := c.spec
		spec.Select, spec.All = slices.Clone(numbers), numbers == nil
		if spec.Seed {
			return &Fault{Kind: FaultUsage, Err: errors.New("all files of a torrent that is only shared are wanted"), hint: "add it without Seed"}
		}
		if info != nil {
			if _, err := spec.files(info); err != nil {
				return err
			}
		}
		c.spec.Select, c.spec.All = spec.Select, spec.All
		if c.record != nil {
			c.record.Select, c.record.All = spec.Select, spec.All
		}
		return nil
	}, func(i *lifecycle.Intent) { i.Restart = true })
}

// SetLabels replaces the labels of the torrent.
func (t *Torrent) SetLabels(ctx context.Context, labels []string) error {
	labels = slices.Clone(labels)
	return t.change(ctx, func(c *control) error {
		c.spec.Labels = labels
		if c.record != nil {
			c.record.Labels = labels
		}
		return nil
	}, func(*lifecycle.Intent) {})
}

// Labels returns the labels of the torrent.
func (t *Torrent) Labels() []string { return t.spec().Labels }

// SetLimits is SetRates, and saves the limits in the record.
func (t *Torrent) SetLimits(ctx context.Context, up, down int64) error {
	up, down = max(up, 0), max(down, 0)
	t.SetRates(up, down)
	return t.change(ctx, editRecord(func(r *record) { r.UpRate, r.DownRate = up, down }), func(*lifecycle.Intent) {})
}

// awaitRest waits until the torrent has no action left.
func (t *Torrent) awaitRest(ctx context.Context) error {
	for {
		t.control.mu.Lock()
		working, rested := t.control.working, t.control.rested
		t.control.mu.Unlock()
		if !working {
			return nil
		}
		select {
		case <-rested:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
