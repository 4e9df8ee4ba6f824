package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"seedbed/cmd/seedbed/report"
	"seedbed/node"
)

// A session is one command's life with a running node: it opens the node, adds
// what was asked for, reports until the goal is reached or something ends it,
// and closes the node in good order.
type session struct {
	app     *app
	cfg     node.Config
	specs   []node.Spec
	given   map[string]bool // of specs; see has
	timeout time.Duration

	// goal is reached when every torrent is complete (or, with metadataOnly,
	// named). The session then ends unless stay is set.
	stay         bool
	metadataOnly bool
	seeding      bool // the data is given: anything missing is an error

	// unreadable are the errors of arguments that name no torrent or one that cannot be
	// taken on, while others do.
	unreadable []error

	// serve, if set, makes something of the first torrent. It is called when that
	// was added, and the session ends, in good order, when over tells how it went,
	// or at a signal. stop comes before the node is closed.
	serve func(*node.Torrent, report.Reporter) (over <-chan error, stop func())
	over  <-chan error

	rep      report.Reporter
	torrents []*node.Torrent
	seeded   chan struct{} // a torrent has been shared as far as it was to be
}

func (s *session) run(ctx context.Context) (err error) {
	s.rep = report.New(s.app.output(), s.stay)
	defer s.rep.Close()
	defer func() {
		if err != nil {
			s.rep.Fail(err)
			s.app.told = true
		}
	}()

	s.seeded = make(chan struct{}, len(s.specs))
	settled := make(chan ending, 2*len(s.specs)) // each torrent is done or fails, and at most both
	whole := map[*node.Torrent]bool{}            // told as settled; OnEvent is called by one at a time
	s.cfg.OnEvent = func(e node.Event) {
		if e.Kind == node.Complete && !whole[e.Torrent] {
			whole[e.Torrent] = true
			defer func() { settled <- ending{e.Torrent, nil} }()
		}
		if e.Kind == node.Seeding && !s.stay {
			return // the command ends here, and the sharing with it
		}
		s.rep.Event(e)
		switch e.Kind {
		case node.Failed:
			settled <- ending{e.Torrent, e.Err}
		case node.Seeded:
			s.seeded <- struct{}{}
		}
	}
	n, err := s.app.openNode(s.cfg)
	if err != nil {
		return err
	}
	var once sync.Once
	closeNode := func() {
		once.Do(func() {
			err = errors.Join(err, s.app.closeNode(n))
		})
	}
	defer closeNode()

	if err := s.resolve(ctx, n); err != nil {
		return err
	}
	s.add(n)
	if len(s.torrents) == 0 {
		return s.app.allFailed(s.unreadable)
	}
	if s.serve != nil {
		over, stop := s.serve(s.torrents[0], s.rep)
		s.over = over
		defer stop()
	}
	err = s.wait(ctx, n, settled)
	goal := err
	closeNode()
	if s.stay && goal == nil { // only sharing was left
		err = warnOfChanges(err, s.rep)
	}
	return err
}

// resolve puts the newest version in the place of links with a public key (BEP 46).
// A link that names a version too is opened by that if no newer one is found.
func (s *session) resolve(ctx context.Context, n *node.Node) error {
	if s.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.timeout)
		defer cancel()
	}
	for i := range s.specs {
		l := s.specs[i].Link
		if l == nil || !l.HasPublicKey {
			continue
		}
		link, item, err := n.Resolve(ctx, l)
		switch {
		case err == nil:
			s.specs[i].Link = link
			s.rep.Event(node.Event{Kind: node.FoundVersion, Time: time.Now(), Publication: &node.PublicationEvent{
				Link: l.String(), Seq: item.Seq, InfoHash: link.InfoHash.String()}})
		case errors.Is(err, context.DeadlineExceeded):
			return fail(exitTimeout, "give it a longer --timeout, or see seedbed show of the link", fmt.Errorf("the newest version was not found within %v", s.timeout))
		case errors.Is(err, context.Canceled):
			return fail(exitUnfinished, "", errors.New("stopped before the newest version was found"))
		case l.Openable() == nil:
			s.rep.Event(node.Event{Kind: node.Warning, Time: time.Now(), Err: fmt.Errorf("the version that the link itself names is opened: %w", err)})
		default:
			return err
		}
	}
	return nil
}

// add takes the torrents on, several at a time where they are many. Of several, one that
// cannot be taken on is left out.
func (s *session) add(n *node.Node) {
	s.torrents = make([]*node.Torrent, len(s.specs))
	errs := make([]error, len(s.specs))
	var g errgroup.Group
	g.SetLimit(1)
	if len(s.specs) > addAtOnce {
		g.SetLimit(runtime.GOMAXPROCS(0))
	}
	for i := range s.specs {
		g.Go(func() error {
			s.torrents[i], errs[i] = n.Add(s.specs[i])
			s.specs[i].Torrent = nil // the node has it
			return nil
		})
	}
	_ = g.Wait() // errs has them
	s.torrents = slices.DeleteFunc(s.torrents, func(t *node.Torrent) bool { return t == nil })
	s.unreadable = append(s.unreadable, slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}

// addAtOnce torrents are added in order, one after the other.
const addAtOnce = 64

// ending is what became of a torrent: done, or ended by err.
type ending struct {
	t   *node.Torrent
	err error
}

// wait reports until the goal, an error, a signal or the timeout. What ends one
// of several downloads is told, and the others go on.
func (s *session) wait(ctx context.Context, n *node.Node, settled chan ending) error {
	tick := time.NewTicker(s.rep.Every())
	defer tick.Stop()
	var timeout <-chan time.Time
	if s.timeout > 0 {
		t := time.NewTimer(s.timeout)
		defer t.Stop()
		timeout = t.C
	}
	ended := make(chan struct{})
	defer close(ended)
	named := func(t *node.Torrent) { // all that is asked for is the metadata
		select {
		case <-t.Done():
			settled <- ending{t, nil}
		case <-ended:
		}
	}
	open, complete, sharing := map[*node.Torrent]bool{}, 0, len(s.torrents)
	all := len(s.torrents) + len(s.unreadable)
	var failed failures
	var shared []*node.Torrent
	for _, err := range s.unreadable {
		s.rep.Event(node.Event{Kind: node.Warning, Time: time.Now(), Err: err})
		failed.add(err)
	}
	for _, t := range s.torrents {
		open[t] = true
		if s.metadataOnly {
			go named(t)
		}
	}
	s.rep.Tick(n, s.torrents)
	for {
		select {
		case o := <-settled:
			if !open[o.t] {
				break
			}
			if o.err != nil && all == 1 {
				return o.err
			}
			delete(open, o.t)
			if o.err == nil {
				complete++
				shared = append(shared, o.t)
			} else {
				s.rep.Event(node.Event{Kind: node.Warning, Time: time.Now(), Torrent: o.t, Err: o.err})
				failed.add(o.err)
				sharing--
			}
			if len(open) > 0 {
				break
			}
			s.rep.Tick(n, s.torrents)
			if s.seeding && complete > 0 {
				s.rep.Ready(shared)
			}
			if !s.stay || complete == 0 {
				return failed.result(all)
			}
			timeout = nil
		case <-s.seeded:
			if sharing--; sharing == 0 {
				return failed.result(all)
			}
		case err := <-s.over:
			return err
		case <-timeout:
			return s.timedOut()
		case <-ctx.Done():
			if len(open) == 0 || s.serve != nil {
				return failed.result(all)
			}
			return s.interrupted()
		case <-tick.C:
			s.rep.Tick(n, s.torrents)
		}
	}
}

// timedOut says what the time was not enough for, and why if a disk held it up.
func (s *session) timedOut() error {
	for _, t := range s.torrents {
		if snap := t.Snapshot(); snap.Paused != nil {
			return snap.Paused
		}
	}
	return fail(exitTimeout, "give it a longer --timeout, or run the same command again to go on",
		fmt.Errorf("not complete after %v: %s", s.timeout, s.progress()))
}

func (s *session) interrupted() error {
	return fail(exitUnfinished, "run the same command again to go on",
		fmt.Errorf("stopped before it was complete: %s", s.progress()))
}

// progress says how far the first unfinished torrent has come.
func (s *session) progress() string {
	for _, t := range s.torrents {
		select {
		case <-t.Done():
			continue
		default:
		}
		snap := t.Snapshot()
		switch {
		case snap.State == node.Checking:
			return fmt.Sprintf("%d %% of what is there of %s is checked", report.Percent(snap.Checked, snap.ToCheck), t.Name())
		case !snap.Metadata:
			return fmt.Sprintf("no metadata of %s yet (%s)", t.Name(), snap.Why)
		}
		return fmt.Sprintf("%s of %s of %s are kept", report.Size(snap.HaveWanted), report.Size(snap.Wanted), t.Name())
	}
	return "everything was complete"
}
