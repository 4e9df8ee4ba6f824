// Package session runs the commands that download or seed torrents until a goal is reached:
// get, seed and stream.
//
// With several torrents, one that fails is reported and the others go on; the exit code is
// that of the first failure.
package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/hook"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/id"
	"seedbed/node"
)

// A Session is the run of one command with a node. The caller sets the exported fields and
// calls Run.
type Session struct {
	App    *app.App
	Config node.Config
	// Specs are the torrents. Has finds those that were given twice.
	Specs []node.Spec
	// Paths are more torrents: what Take returns for each of them. They are added one by one,
	// so that a large number of them is never in memory at the same time. One that was given
	// before is left out.
	Paths   []string
	Timeout time.Duration // for reaching the goal; 0 means no limit

	// The goal is reached when every torrent is complete (with MetadataOnly: has its
	// metadata). The session then ends unless Stay is set.
	Stay         bool
	MetadataOnly bool
	Seeding      bool // the data exists: anything missing is an error

	// Unreadable holds the errors of arguments that could not be opened as torrents while
	// others could.
	Unreadable []error

	// Arrivals, if not nil, sends arguments that appear during the session; Take returns
	// the Spec of each. The session then waits for more arrivals even if all torrents have
	// ended or failed.
	Arrivals <-chan string
	Take     func(arg string) (node.Spec, error) // for Paths and Arrivals; safe for concurrent use

	Hooks *hook.Hooks // for --on-complete; may be nil

	// Serve, if not nil, is called when the first torrent has been added. The session closes
	// cleanly when over sends the result of serving, or at a signal. stop is called before
	// the node is closed.
	Serve func(*node.Torrent, *report.Feed) (over <-chan error, stop func())

	At int64 // of links with a key, the version to open; 0: the newest

	sealed map[id.ID]*sealedTorrent // of private publications
	over   <-chan error
	given  map[string]bool // torrents of Specs
	rep    *report.Feed
	events *node.Subscription // for wait
	early  earlyEvents        // taken from events by add, for wait

	mu       sync.Mutex // guards torrents, which the feed reads, and dirs
	torrents []*node.Torrent
	dirs     map[id.ID]string // download folders of the torrents, for Hooks
}

// present returns the torrents of the session.
func (s *Session) present() iter.Seq[report.Torrent] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return report.All(s.torrents[:len(s.torrents):len(s.torrents)]) // it only grows, so nothing is copied
}

// Run opens the node, adds the torrents, reports progress until the goal is reached or
// something ends the session, and closes the node cleanly.
func (s *Session) Run(ctx context.Context) error {
	if s.Config.NoDHT && slices.ContainsFunc(s.Specs, needsDHT) {
		return node.ErrNoDHT
	}
	return s.App.WithFeed(ctx, s.Stay, func(rep *report.Feed) error {
		s.rep = rep
		n, err := s.App.OpenNode(s.Config)
		if err != nil {
			return err
		}
		defer s.App.ReloadOnHangup(app.SettingsOf(n))()
		goal := s.runWith(ctx, n)
		err = s.App.CloseNode(n)
		if !s.Stay {
			err = errors.Join(err, s.deleteSealed())
		}
		if s.Stay && goal == nil { // nothing is left but sharing
			return app.WarnOfChanges(err, rep)
		}
		return errors.Join(goal, err)
	})
}

// needsDHT reports whether the link of spec has a public key but no infohash.
func needsDHT(spec node.Spec) bool {
	return spec.Link != nil && spec.Link.HasPublicKey && spec.Link.Openable() != nil
}

// runWith adds the torrents to n and reports until the goal is reached or something ends the
// session.
func (s *Session) runWith(ctx context.Context, n *node.Node) error {
	kinds := []node.EventKind{node.Complete, node.Failed, node.Seeded}
	if s.MetadataOnly { // the events hold the metadata
		kinds = append(kinds, node.Metadata)
	}
	s.events = n.Subscribe(kinds...)
	s.rep.Watch(n, s.shows(len(s.Specs)+len(s.Paths)+len(s.Unreadable) > 1))
	if err := s.resolve(ctx, n); err != nil {
		return err
	}
	if err := s.add(ctx, n); err != nil {
		return err
	}
	if len(s.torrents) == 0 && s.Arrivals == nil {
		return s.App.AllFailed(s.Unreadable)
	}
	if s.Serve != nil {
		over, stop := s.Serve(s.torrents[0], s.rep)
		s.over = over
		defer stop()
	}
	err := s.wait(ctx, n)
	if s.Hooks != nil {
		s.Hooks.Wait()
	}
	s.rep.Follow(nil, nil)
	return err
}

// shows returns a function that reports whether an event is reported. It runs on another
// goroutine than the session. several says that the command was given several torrents.
func (s *Session) shows(several bool) func(node.Event) bool {
	stays, allFailures := s.Stay, several || s.App.JSON || s.Arrivals != nil
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

// wait reports until the goal is reached, an error, a signal or the timeout. If one of
// several downloads ends with an error, it reports that and continues with the others.
func (s *Session) wait(ctx context.Context, n *node.Node) error {
	var timeout <-chan time.Time
	if s.Timeout > 0 {
		t := time.NewTimer(s.Timeout)
		defer t.Stop()
		timeout = t.C
	}
	now := results{open: map[id.ID]*node.Torrent{}, sharing: len(s.torrents), all: len(s.torrents) + len(s.Unreadable)}
	for _, err := range s.Unreadable {
		s.rep.Warn(err)
		now.failed.Add(err)
	}
	for _, t := range s.torrents {
		now.open[t.InfoHash()] = t
	}
	s.rep.Tick(n, report.All(s.torrents))
	s.rep.Follow(n, s.present)
	for {
		if isOver, err := s.noteAll(ctx, &now, n); isOver {
			return err
		}
		if now.settled {
			timeout = nil
		}
		select {
		case <-s.events.Ready():
		case arg := <-s.Arrivals:
			s.addArrival(n, &now, arg)
		case err := <-s.over:
			return err
		case <-timeout:
			return s.timedOut()
		case <-ctx.Done():
			if len(now.open) == 0 || s.Serve != nil {
				return s.result(&now)
			}
			return s.interrupted()
		}
	}
}

// runHook runs the command of --on-complete for a torrent.
func (s *Session) runHook(t *node.Torrent) {
	if s.Hooks.IsSet() && !s.MetadataOnly {
		s.Hooks.Run(hook.Completed{Name: t.Name(), InfoHash: t.InfoHash().String(), Dir: s.dirs[t.InfoHash()]})
	}
}

// timedOut returns the error that paused a torrent, such as a full disk, if there is one. Else
// it returns a timeout error with the progress.
func (s *Session) timedOut() error {
	for _, t := range s.torrents {
		if snap := t.Snapshot(); snap.Paused != nil {
			return snap.Paused
		}
	}
	return exit.Fail(exit.Timeout, "use a longer --timeout, or run the same command again to resume",
		fmt.Errorf("not complete after %v: %s", s.Timeout, s.progress()))
}

func (s *Session) interrupted() error {
	return exit.Fail(exit.Unfinished, "run the same command again to resume", fmt.Errorf("stopped: %s", s.progress()))
}

// progress describes the progress of the one incomplete torrent, or counts the complete ones
// if there are several.
func (s *Session) progress() string {
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

// Has reports whether the session has the torrent of spec already, and records it.
func (s *Session) Has(spec node.Spec) bool {
	what := spec.InfoHash().String()
	if spec.Torrent == nil && spec.Link.HasPublicKey {
		what = spec.Link.PublicKey.String() + string(spec.Link.Salt)
	}
	if s.given[what] {
		return true
	}
	if s.given == nil {
		s.given = map[string]bool{}
	}
	s.given[what] = true
	return false
}
