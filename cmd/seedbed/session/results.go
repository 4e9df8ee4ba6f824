package session

import (
	"context"
	"fmt"
	"slices"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/id"
	"seedbed/node"
)

// results is the progress of a session's torrents.
type results struct {
	open     map[id.ID]*node.Torrent // neither complete nor failed
	complete []*node.Torrent
	sharing  int  // torrents that have not ended
	all      int  // torrents, and arguments that could not be opened
	ready    bool // ready has been reported
	settled  bool // there was a time when none was open
	failed   exit.Failures
}

// result returns the error of the command at its end. While the session waits for arrivals,
// every failure is reported when it happens.
func (s *Session) result(now *results) error {
	if s.Arrivals != nil {
		return now.failed.Counted(now.all, "torrent")
	}
	return now.failed.Result(now.all)
}

// earlyEvents holds events that arrived while the torrents were added, before wait could handle them. A
// completed torrent, of which there may be 100,000, takes only its infohash.
type earlyEvents struct {
	complete []id.ID
	others   []node.Event
}

// takeUntil takes events until added is closed.
func (early *earlyEvents) takeUntil(added <-chan struct{}, events *node.Subscription) {
	ready := events.Ready()
	var batch []node.Event
	for {
		select {
		case _, open := <-ready:
			if !open {
				ready = nil
			}
			batch = events.TakeInto(batch)
			for _, e := range batch {
				if e.Kind == node.Complete {
					early.complete = append(early.complete, e.InfoHash)
				} else {
					early.others = append(early.others, e)
				}
			}
		case <-added:
			return
		}
	}
}

// noteAll updates the results with the events that wait, and reports what they bring about. It returns
// whether the session is over, and its result.
func (s *Session) noteAll(ctx context.Context, now *results, n *node.Node) (isOver bool, result error) {
	unsettled, complete := len(now.open), len(now.complete)
	for _, torrent := range s.early.complete {
		s.complete(ctx, now, now.open[torrent])
	}
	for _, e := range slices.Concat(s.early.others, s.events.Take()) {
		s.note(ctx, now, e, n)
	}
	s.early = earlyEvents{}
	for _, t := range now.complete[complete:] {
		s.runHook(t)
	}
	if now.failed.Count > 0 && now.all == 1 && s.Arrivals == nil {
		return true, now.failed.First
	}
	if len(now.open) == 0 && unsettled > 0 {
		now.settled = true
		s.rep.Tick(n, report.All(s.torrents))
		if s.Seeding && len(now.complete) > 0 && !now.ready {
			now.ready = true
			s.rep.Ready(len(now.complete))
		}
		if !s.Stay || len(now.complete) == 0 && s.Arrivals == nil {
			return true, s.result(now)
		}
	}
	if now.sharing == 0 && s.Arrivals == nil {
		return true, s.result(now)
	}
	return false, nil
}

// note updates the results with an event.
func (s *Session) note(ctx context.Context, now *results, e node.Event, n *node.Node) {
	if e.Kind == node.Missed {
		s.resync(ctx, now, n)
		return
	}
	t := now.open[e.InfoHash]
	switch e.Kind {
	case node.Complete:
		s.complete(ctx, now, t)
	case node.Metadata:
		if s.MetadataOnly {
			now.settle(t, nil)
		}
	case node.Failed:
		if t != nil {
			now.settle(t, e.Err)
			return
		}
		now.failed.Add(e.Err) // failed while seeding
		now.sharing--
	case node.Seeded:
		now.sharing--
	}
}

// resync updates the results from the node after events were missed.
func (s *Session) resync(ctx context.Context, now *results, n *node.Node) {
	running := n.Torrents()
	now.sharing = len(running)
	for _, t := range now.open {
		select {
		case <-t.Done():
			s.complete(ctx, now, t)
		default:
			if !slices.Contains(running, t) {
				now.settle(t, fmt.Errorf("%s has ended", t.Name()))
			}
		}
	}
}

// settle records that t, if it is open, is complete or failed with err.
func (now *results) settle(t *node.Torrent, err error) {
	if t == nil {
		return
	}
	delete(now.open, t.InfoHash())
	if err == nil {
		now.complete = append(now.complete, t)
		return
	}
	now.failed.Add(err)
	now.sharing--
}
