package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"seedbed/node"
)

// A session is one command's life with a running node: it opens the node, adds
// what was asked for, reports until the goal is reached or something ends it,
// and closes the node in good order.
type session struct {
	app     *app
	cfg     node.Config
	specs   []node.Spec
	timeout time.Duration

	// goal is reached when every torrent is complete (or, with metadataOnly,
	// named). The session then ends unless stay is set.
	stay    bool
	seeding bool // the data is given: anything missing is an error

	rep      reporter
	torrents []*node.Torrent
}

// closeWithin is how long a stop may take to save everything.
const closeWithin = 8 * time.Second

func (s *session) run(ctx context.Context) (err error) {
	s.rep = s.app.reporter(s.stay)
	defer s.rep.close()
	defer func() {
		if err != nil {
			s.rep.fail(err)
			s.app.told = true
		}
	}()

	faults := make(chan error, 1)
	s.cfg.OnEvent = func(e node.Event) {
		if e.Kind == node.Seeding && !s.stay {
			return // the command ends here, and the sharing with it
		}
		s.rep.event(e)
		if e.Kind == node.Failed {
			select {
			case faults <- e.Err:
			default: // the first one ends the session
			}
		}
	}
	s.cfg.Log = s.app.logger()
	s.cfg.Version = "seedbed " + version()
	n, err := node.Open(s.cfg)
	if err != nil {
		return err
	}
	var once sync.Once
	closeNode := func() {
		once.Do(func() {
			c, cancel := context.WithTimeout(context.Background(), closeWithin)
			defer cancel()
			err = errors.Join(err, n.Close(c))
		})
	}
	defer closeNode()

	for _, spec := range s.specs {
		t, err := n.Add(spec)
		if err != nil {
			return err
		}
		s.torrents = append(s.torrents, t)
	}
	err = s.wait(ctx, n, faults)
	closeNode()
	return err
}

// wait reports until the goal, an error, a signal or the timeout.
func (s *session) wait(ctx context.Context, n *node.Node, faults <-chan error) error {
	tick := time.NewTicker(s.rep.every())
	defer tick.Stop()
	var timeout <-chan time.Time
	if s.timeout > 0 {
		t := time.NewTimer(s.timeout)
		defer t.Stop()
		timeout = t.C
	}
	all := make(chan struct{})
	ended := make(chan struct{})
	defer close(ended)
	go func() {
		defer close(all)
		for _, t := range s.torrents {
			select {
			case <-t.Done():
			case <-ended:
				return
			}
		}
	}()
	s.rep.tick(n, s.torrents)
	for {
		select {
		case <-all:
			s.rep.tick(n, s.torrents)
			if s.seeding {
				s.rep.ready(s.torrents)
			}
			if !s.stay {
				return nil
			}
			all, timeout = nil, nil
		case err := <-faults:
			return err
		case <-timeout:
			return s.timedOut()
		case <-ctx.Done():
			if all == nil {
				return nil
			}
			return s.interrupted()
		case <-tick.C:
			s.rep.tick(n, s.torrents)
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
		if !snap.Metadata {
			return fmt.Sprintf("no metadata of %s yet (%s)", t.Name(), snap.Why)
		}
		return fmt.Sprintf("%s of %s of %s are kept", formatSize(snap.HaveWanted), formatSize(snap.Wanted), t.Name())
	}
	return "everything was complete"
}
