package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"

	"seedbed/node"
)

// QueuePosition returns the position of a torrent in the queue, from 1, or 0 if it is not part
// of the session.
func (d *Daemon) QueuePosition(t *node.Torrent) int {
	q := d.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	x := q.torrents[t.InfoHash()]
	if x == nil {
		return 0
	}
	q.sorted()
	return x.position
}

// WhyQueued says in one line what a torrent waits for, or returns "" if the queue does not hold it.
func (d *Daemon) WhyQueued(t *node.Torrent) string {
	q := d.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	x := q.torrents[t.InfoHash()]
	if x == nil {
		return ""
	}
	for i := range q.kinds {
		if s := &q.kinds[i]; x.in == &s.waiting {
			q.sorted()
			return fmt.Sprintf("waiting: %d of %d %s run; place %d", len(s.running.items), s.limit, kindNames[i], x.position)
		}
	}
	return ""
}

// Where says where Requeue moves torrents.
type Where uint8

const (
	Top Where = iota
	Up
	Down
	Bottom
	wheres
)

var whereNames = [wheres]string{"top", "up", "down", "bottom"}

// String returns the name of w, as it is written in JSON.
func (w Where) String() string { return whereNames[w] }

// MarshalText implements encoding.TextMarshaler.
func (w Where) MarshalText() ([]byte, error) { return []byte(w.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (w *Where) UnmarshalText(b []byte) error {
	i := slices.Index(whereNames[:], string(b))
	if i < 0 {
		return fmt.Errorf("%q is not one of %s", b, strings.Join(whereNames[:], ", "))
	}
	*w = Where(i)
	return nil
}

// Requeue moves torrents in the queue: to the top or bottom, or by one. They keep their order among
// themselves. The torrents that are then the first ones run in place of others.
func (d *Daemon) Requeue(ctx context.Context, torrents []*node.Torrent, to Where) error {
	return d.queue.reorder(ctx, func(r *reordering) {
		var xs []*queued
		for _, t := range torrents {
			if x := r.torrents[t.InfoHash()]; x != nil {
				xs = append(xs, x)
			}
		}
		slices.SortFunc(xs, (*queued).compare)
		xs = slices.Compact(xs)
		switch to {
		case Top:
			r.top(xs)
		case Up:
			r.up(xs)
		case Down:
			r.down(xs)
		case Bottom:
			r.bottom(xs)
		}
	})
}

// SetQueuePosition moves a torrent to a position, from 1. The torrents in between move by one.
func (d *Daemon) SetQueuePosition(ctx context.Context, t *node.Torrent, position int) error {
	return d.queue.reorder(ctx, func(r *reordering) {
		x := r.torrents[t.InfoHash()]
		switch {
		case x == nil:
		case position <= 1:
			r.top([]*queued{x})
		case position >= len(r.order):
			r.bottom([]*queued{x})
		default:
			for x.position < position {
				r.swap(x.position)
			}
			for x.position > position {
				r.swap(x.position - 1)
			}
		}
	})
}

// StartNow starts a torrent regardless of its place in the queue. It takes no slot until it stops,
// also after a restart.
func (d *Daemon) StartNow(ctx context.Context, t *node.Torrent) error {
	if err := t.Resume(ctx); err != nil {
		return err
	}
	if err := t.SetForced(ctx, true); err != nil {
		return err
	}
	q := d.queue
	q.mu.Lock()
	defer q.mu.Unlock()
	if x := q.torrents[t.InfoHash()]; x != nil {
		q.claim(x, nil)
		q.start(x)
		q.balance()
	}
	return nil
}

// reorder changes places with edit, and saves them. It calls edit with mu held.
func (q *queue) reorder(ctx context.Context, edit func(*reordering)) error {
	q.mu.Lock()
	q.sorted()
	r := reordering{q, map[*queued]struct{}{}}
	edit(&r)
	q.balance()
	var g errgroup.Group
	g.SetLimit(savingAtOnce)
	places := make(map[*node.Torrent]int64, len(r.changed))
	for x := range r.changed {
		places[x.t] = x.place
	}
	q.mu.Unlock()
	for t, place := range places {
		g.Go(func() error { return t.SetPlace(ctx, place) })
	}
	return g.Wait()
}

// savingAtOnce limits the records that are written at the same time.
const savingAtOnce = 16

// reordering is a change of places. queue.order is up to date.
type reordering struct {
	*queue
	changed map[*queued]struct{}
}

func (r *reordering) setPlace(x *queued, place int64) {
	x.setPlace(place)
	r.changed[x] = struct{}{}
}

// top moves torrents, which are in order, before all others.
func (r *reordering) top(xs []*queued) {
	if len(xs) == 0 || slices.Equal(r.order[:len(xs)], xs) {
		return
	}
	first := r.order[0].place - int64(len(xs))
	for i, x := range xs {
		r.setPlace(x, first+int64(i))
	}
	r.isDirty = true
}

// bottom moves torrents, which are in order, after all others.
func (r *reordering) bottom(xs []*queued) {
	if len(xs) == 0 || slices.Equal(r.order[len(r.order)-len(xs):], xs) {
		return
	}
	last := r.order[len(r.order)-1].place
	for i, x := range xs {
		r.setPlace(x, last+1+int64(i))
	}
	r.isDirty = true
}

// up moves torrents, which are in order, by one. Those at the top stay there.
func (r *reordering) up(xs []*queued) {
	for i, x := range xs {
		if x.position > i+1 {
			r.swap(x.position - 1)
		}
	}
}

// down moves torrents, which are in order, by one. Those at the bottom stay there.
func (r *reordering) down(xs []*queued) {
	for i, x := range slices.Backward(xs) {
		if x.position < len(r.order)-(len(xs)-1-i) {
			r.swap(x.position)
		}
	}
}

// swap exchanges the torrents at a position, from 1, and the next one.
func (r *reordering) swap(position int) {
	x, y := r.order[position-1], r.order[position]
	a, b := x.place, y.place
	r.setPlace(x, b)
	r.setPlace(y, a)
	x.position, y.position = position+1, position
	r.order[position-1], r.order[position] = y, x
}
