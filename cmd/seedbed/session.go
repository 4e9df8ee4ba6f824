package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"seedbed/cmd/seedbed/hook"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/id"
	"seedbed/node"
)

// A session is the run of one command with a node: it opens the node, adds the torrents,
// reports progress until the goal is reached or something ends it, and closes the node
// cleanly.
type session struct {
	app     *app
	cfg     node.Config
	specs   []node.Spec
	given   map[string]bool // torrents of specs; see has
	timeout time.Duration

	// The goal is reached when every torrent is complete (with metadataOnly: has its
	// metadata). The session then ends unless stay is set.
	stay         bool
	metadataOnly bool
	seeding      bool // the data exists: anything missing is an error

	// unreadable holds the errors of arguments that could not be opened as torrents while
	// others could.
	unreadable []error

	// arrivals, if not nil, sends arguments that appear during the session; take returns
	// what to seed for each. The session then waits for more arrivals even if all torrents
	// have ended or failed.
	arrivals <-chan string
	take     func(arg string) (node.Spec, error)

	hooks *hook.Hooks      // for --on-complete; may be nil
	dirs  map[id.ID]string // download folders of the torrents

	// serve, if not nil, is called when the first torrent has been added. The session closes
	// cleanly when over sends the result of serving, or at a signal. stop is called before
	// the node is closed.
	serve func(*node.Torrent, *report.Feed) (over <-chan error, stop func())
	over  <-chan error

	rep    *report.Feed
	events *node.Subscription // for wait

	mu       sync.Mutex // guards torrents, which the feed reads
	torrents []*node.Torrent
}

// present returns the torrents of the session.
func (s *session) present() []*node.Torrent {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.torrents)
}

func (s *session) run(ctx context.Context) (err error) {
	s.rep = report.NewFeed(report.New(s.app.output(), s.stay))
	s.app.feed = s.rep
	defer s.rep.Close(ctx)
	defer func() {
		if err != nil {
			s.rep.Fail(err)
			s.app.told = true
		}
	}()

	n, err := s.app.openNode(s.cfg)
	if err != nil {
		return err
	}
	defer s.app.reloadOnHangup(n)()
	s.events = n.Subscribe(node.Complete, node.Metadata, node.Failed, node.Seeded)
	s.rep.Watch(n, s.shows(len(s.specs)+len(s.unreadable) > 1))
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
	if len(s.torrents) == 0 && s.arrivals == nil {
		return s.app.allFailed(s.unreadable)
	}
	if s.serve != nil {
		over, stop := s.serve(s.torrents[0], s.rep)
		s.over = over
		defer stop()
	}
	err = s.wait(ctx, n)
	if s.hooks != nil {
		s.hooks.Wait()
	}
	s.rep.Follow(nil)
	goal := err
	closeNode()
	if s.stay && goal == nil { // nothing is left but sharing
		err = warnOfChanges(err, s.rep)
	}
	return err
}

// shows returns a function that reports whether an event is reported. It runs on another
// goroutine than the session. several says that the command was given several torrents.
func (s *session) shows(several bool) func(node.Event) bool {
	stays, allFailures := s.stay, several || s.app.json || s.arrivals != nil
	return func(e node.Event) bool {
		switch e.Kind {
		case node.Seeding: // without stay, the command ends here
			return stays
		case node.Failed: // with one torrent, the error of the command says it
			return allFailures
		}
		return true
	}
}

// resolve replaces links that have a public key by the newest version (BEP 46). If none
// newer is found, a link that also names a version keeps that version.
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
			s.rep.Event(node.Event{Kind: node.FoundVersion, Publication: &node.PublicationEvent{
				Link: l.String(), Seq: item.Seq, InfoHash: link.InfoHash.String()}})
		case errors.Is(err, context.DeadlineExceeded):
			return fail(exitTimeout, "use a longer --timeout, or run seedbed show with the link", fmt.Errorf("the newest version was not found within %v", s.timeout))
		case errors.Is(err, context.Canceled):
			return fail(exitUnfinished, "", errors.New("stopped before the latest version was found"))
		case l.Openable() == nil:
			s.rep.Warn(fmt.Errorf("opening the version that the link itself names: %w", err))
		default:
			return err
		}
	}
	return nil
}

// add adds the torrents to the node, in parallel if there are many. If there are several, it
// leaves out those that cannot be added.
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
	for i, t := range s.torrents {
		s.located(t, s.specs[i].Dir)
	}
	s.torrents = slices.DeleteFunc(s.torrents, func(t *node.Torrent) bool { return t == nil })
	s.unreadable = append(s.unreadable, slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
}

// located records the folder of a torrent's data; t may be nil.
func (s *session) located(t *node.Torrent, dir string) {
	if t == nil {
		return
	}
	if s.dirs == nil {
		s.dirs = map[id.ID]string{}
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	s.dirs[t.InfoHash()] = dir
}

// arrive adds an argument that arrived during the session.
func (s *session) arrive(n *node.Node, now *results, arg string) {
	spec, err := s.take(arg)
	if err == nil && s.has(spec) {
		return
	}
	var t *node.Torrent
	if err == nil {
		t, err = n.Add(spec)
	}
	now.all++
	if err != nil {
		s.rep.Warn(err)
		now.failed.add(err)
		return
	}
	s.located(t, spec.Dir)
	s.mu.Lock()
	s.torrents = append(s.torrents, t)
	s.mu.Unlock()
	now.open[t.InfoHash()] = t
	now.sharing++
}

// addAtOnce is the number of torrents up to which add works in order, one at a time.
const addAtOnce = 64

// results is the progress of a session's torrents.
type results struct {
	open     map[id.ID]*node.Torrent // neither complete nor failed
	complete []*node.Torrent
	sharing  int  // torrents that have not ended
	all      int  // torrents, and arguments that could not be opened
	ready    bool // ready has been reported
	failed   failures
}

// wait reports until the goal is reached, an error, a signal or the timeout. If one of
// several downloads ends with an error, it reports that and continues with the others.
func (s *session) wait(ctx context.Context, n *node.Node) error {
	var timeout <-chan time.Time
	if s.timeout > 0 {
		t := time.NewTimer(s.timeout)
		defer t.Stop()
		timeout = t.C
	}
	now := results{open: map[id.ID]*node.Torrent{}, sharing: len(s.torrents), all: len(s.torrents) + len(s.unreadable)}
	for _, err := range s.unreadable {
		s.rep.Warn(err)
		now.failed.add(err)
	}
	for _, t := range s.torrents {
		now.open[t.InfoHash()] = t
	}
	s.rep.Tick(n, s.torrents)
	s.rep.Follow(s.present)
	for {
		select {
		case <-s.events.Ready():
			unsettled, complete := len(now.open), len(now.complete)
			for _, e := range s.events.Take() {
				s.note(&now, e, n)
			}
			for _, t := range now.complete[complete:] {
				s.runHook(t)
			}
			if now.failed.n > 0 && now.all == 1 && s.arrivals == nil {
				return now.failed.first
			}
			if len(now.open) == 0 && unsettled > 0 {
				s.rep.Tick(n, s.torrents)
				if s.seeding && len(now.complete) > 0 && !now.ready {
					now.ready = true
					s.rep.Ready(now.complete)
				}
				if !s.stay || len(now.complete) == 0 && s.arrivals == nil {
					return now.failed.result(now.all)
				}
				timeout = nil
			}
			if now.sharing == 0 && s.arrivals == nil {
				return now.failed.result(now.all)
			}
		case arg := <-s.arrivals:
			s.arrive(n, &now, arg)
		case err := <-s.over:
			return err
		case <-timeout:
			return s.timedOut()
		case <-ctx.Done():
			if len(now.open) == 0 || s.serve != nil {
				return now.failed.result(now.all)
			}
			return s.interrupted()
		}
	}
}

// runHook runs the command of --on-complete for a torrent.
func (s *session) runHook(t *node.Torrent) {
	if s.hooks != nil && !s.metadataOnly {
		s.hooks.Run(hook.Completed{Name: t.Name(), InfoHash: t.InfoHash().String(), Dir: s.dirs[t.InfoHash()]})
	}
}

// note updates the results from an event.
func (s *session) note(now *results, e node.Event, n *node.Node) {
	if e.Kind == node.Missed {
		s.look(now, n)
		return
	}
	t := now.open[e.InfoHash]
	switch e.Kind {
	case node.Complete:
		now.settle(t, nil)
	case node.Metadata:
		if s.metadataOnly {
			now.settle(t, nil)
		}
	case node.Failed:
		if t != nil {
			now.settle(t, e.Err)
			return
		}
		now.failed.add(e.Err) // failed while seeding
		now.sharing--
	case node.Seeded:
		now.sharing--
	}
}

// look updates the results from the node after events were missed.
func (s *session) look(now *results, n *node.Node) {
	running := n.Torrents()
	now.sharing = len(running)
	for _, t := range now.open {
		select {
		case <-t.Done():
			now.settle(t, nil)
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
	now.failed.add(err)
	now.sharing--
}

// timedOut returns the error that paused a torrent, such as a full disk, if there is one. Else
// it returns a timeout error with the progress.
func (s *session) timedOut() error {
	for _, t := range s.torrents {
		if snap := t.Snapshot(); snap.Paused != nil {
			return snap.Paused
		}
	}
	return fail(exitTimeout, "use a longer --timeout, or run the same command again to resume",
		fmt.Errorf("not complete after %v: %s", s.timeout, s.progress()))
}

func (s *session) interrupted() error {
	return fail(exitUnfinished, "run the same command again to resume", fmt.Errorf("stopped: %s", s.progress()))
}

// progress describes the progress of the one incomplete torrent, or counts the complete ones
// if there are several.
func (s *session) progress() string {
	var open []*node.Torrent
	for _, t := range s.torrents {
		select {
		case <-t.Done():
		default:
			open = append(open, t)
		}
	}
	switch len(open) {
	case 0:
		return "everything was complete"
	case 1:
		return report.Progress(open[0].Name(), open[0].Snapshot())
	}
	return fmt.Sprintf("%d of %s complete", len(s.torrents)-len(open), report.Plural(len(s.torrents), "torrent"))
}
