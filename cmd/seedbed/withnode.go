package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"seedbed/cmd/seedbed/report"
	"seedbed/node"
)

// withNode runs do with a node whose events are all reported, and closes the node cleanly.
// It is for commands that run until a signal; do returns when ctx ends.
func (a *app) withNode(ctx context.Context, cfg node.Config, do func(context.Context, *node.Node) error) (err error) {
	rep := report.NewFeed(report.New(a.output(), true))
	a.feed = rep
	defer rep.Close(ctx)
	defer func() {
		if err != nil {
			rep.Fail(err)
			a.told = true
		}
	}()
	n, err := a.openNode(cfg)
	if err != nil {
		return err
	}
	defer a.reloadOnHangup(n)()
	rep.Watch(n, func(e node.Event) bool {
		return e.Kind != node.Seeding || a.json // a person gets the link with the key instead
	})
	rep.Follow(n.Torrents)
	err = do(ctx, n)
	rep.Follow(nil)
	return errors.Join(err, warnOfChanges(a.closeNode(n), rep))
}

// warnOfChanges reports the files that another program changed while they were shared, and
// returns the other errors in err, the error of closing the node. Such a change loses no
// saved state, so a command that only shares does not fail because of it.
func warnOfChanges(err error, rep *report.Feed) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var left []error
		for _, e := range many.Unwrap() {
			left = append(left, warnOfChanges(e, rep))
		}
		return errors.Join(left...)
	}
	var f *node.Fault
	if !errors.As(err, &f) || f.Kind != node.FaultVanished {
		return err
	}
	rep.Warn(err)
	return nil
}

// openNode opens a node that uses the logger and client name of the program.
func (a *app) openNode(cfg node.Config) (*node.Node, error) {
	cfg.Log = a.logger()
	cfg.Version = "seedbed " + version()
	return node.Open(cfg)
}

// closeStall is how long closing may go on without progress, so that a disk that hangs does
// not block the program. closeNotice is when the user is told that closing takes time.
const (
	closeStall  = 30 * time.Second
	closeNotice = 3 * time.Second
)

// closer is the part of a node that closeNode needs.
type closer interface {
	Close(context.Context) error
	Saved() int64
}

// closeNode closes a node. It waits as long as saving makes progress, which takes a while
// for a hundred thousand files. A second signal ends the process at once; see main.
func (a *app) closeNode(n closer) error {
	ctx, giveUp := context.WithCancel(context.Background())
	defer giveUp()
	done := make(chan error, 1)
	go func() { done <- n.Close(ctx) }()
	notice := time.NewTimer(closeNotice)
	defer notice.Stop()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	saved, since := n.Saved(), time.Now()
	for {
		select {
		case err := <-done:
			return err
		case <-notice.C:
			if !a.quiet && !a.json {
				go report.Fprintf(a.output().Stderr(), "saving; press Ctrl-C again to stop at once\n")
			}
		case <-tick.C:
			if now := n.Saved(); now != saved {
				saved, since = now, time.Now()
			}
			if time.Since(since) >= closeStall {
				return fail(exitIO, "unsaved pieces are hashed again next time; check the disk's health and the system log",
					fmt.Errorf("gave up saving: the disk did not respond for %v", closeStall))
			}
		}
	}
}
