package handover

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/hook"
	"seedbed/cmd/seedbed/report"
	"seedbed/node/api"
	"seedbed/node/view"
)

// handle handles an event of the daemon.
func (d *Download) handle(ctx context.Context, event string, data []byte) error {
	if event == "changes" {
		var c api.Changes
		if err := json.Unmarshal(data, &c); err != nil {
			return err
		}
		if err := d.changed(ctx, &c); err != nil {
			return err
		}
	} else if o, err := view.Decode(event, data); err == nil {
		d.forward(ctx, o)
	}
	if d.open == 0 && (!d.Stay || len(d.torrents) == d.failed.Count) {
		return errDone
	}
	return nil
}

func (d *Download) changed(ctx context.Context, c *api.Changes) error {
	d.cursor = c.Cursor
	seen := map[*torrent]bool{}
	for _, o := range c.Changed {
		if t := d.find(o.InfoHash); t != nil {
			seen[t] = true
			t.set(o)
			d.note(ctx, t, nil)
			if err := d.nameFirst(o); err != nil {
				return err
			}
		}
	}
	for _, infohash := range c.Removed {
		if t := d.find(infohash); t != nil {
			d.settle(t, errRemoved(t))
		}
	}
	for _, t := range d.torrents {
		if c.Resync && !seen[t] {
			d.settle(t, errRemoved(t))
		}
	}
	return nil
}

func errRemoved(t *torrent) error {
	return exit.Fail(exit.Unfinished, "", fmt.Errorf("%s was removed from the daemon", t.Name()))
}

// forward reports an event of one of the torrents.
func (d *Download) forward(ctx context.Context, o view.Object) {
	t := d.find(view.InfoHash(o))
	if t == nil {
		return
	}
	switch o := o.(type) {
	case *view.Seeding:
		if !d.Stay { // the command ends here
			return
		}
	case *view.Completed:
		d.note(ctx, t, o)
		return
	case *view.Failed:
		d.settle(t, exit.Fail(exit.OfFault(o.Kind), o.Hint, fmt.Errorf("%s: %s", t.Name(), o.Error)))
		return
	}
	if m, ok := o.(*view.Metadata); ok { // the state may follow after the completion
		t.rename(m.Name)
	}
	d.rep.Forward(report.Event{Name: t.Name(), Object: o})
}

// note settles a torrent if it is complete. event is the event that says so, or nil if only the
// state does.
func (d *Download) note(ctx context.Context, t *torrent, event *view.Completed) {
	if t.settled || event == nil && !t.isComplete() {
		return
	}
	head := view.NewHead(t.InfoHash(), time.Now())
	if event == nil {
		event = &view.Completed{Head: head}
	}
	d.rep.Forward(report.Event{Name: t.Name(), Object: event})
	if d.Seed != nil {
		d.rep.Forward(report.Event{Name: t.Name(), Object: &view.Seeding{Head: head, Magnet: t.magnet(), Addr: d.addr}})
	}
	dir, err := d.finish(ctx, t)
	d.settle(t, err)
	if err == nil {
		d.Hooks.Run(hook.Completed{Name: t.Name(), InfoHash: t.InfoHash().String(), Dir: dir})
	}
}

// settle records that a torrent is complete or has failed.
func (d *Download) settle(t *torrent, err error) {
	if t.settled {
		return
	}
	t.settled = true
	if d.open--; d.open == 0 && d.timer != nil {
		d.timer.Stop()
	}
	if err != nil {
		d.failed.Add(err)
		if len(d.torrents) > 1 {
			d.rep.Warn(err)
		}
	}
}
