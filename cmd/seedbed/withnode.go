package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"seedbed/cmd/seedbed/report"
	"seedbed/node"
)

// withNode runs do with a node that reports all it does, and closes the node in good
// order. It is for commands that go on until a signal; do returns when ctx ends.
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
		return e.Kind != node.Seeding || a.json // a person is shown the link with the key instead
	})
	rep.Follow(n.Torrents)
	err = do(ctx, n)
	rep.Follow(nil)
	return errors.Join(err, warnOfChanges(a.closeNode(n), rep))
}

// warnOfChanges tells which files something else changed while they were shared, and returns
// what else is in err, the error of closing a node. Nothing that was to be saved is lost
// with such a file, so it is no failure of a command that only shares.
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

// openNode opens a node that logs and names itself as the program does.
func (a *app) openNode(cfg node.Config) (*node.Node, error) {
	cfg.Log = a.logger()
	cfg.Version = "seedbed " + version()
	return node.Open(cfg)
}

// closeStall is how long saving may go on at the end without any step that is done: a disk
// that hangs does not hang the program. closeNotice is when a person is told that it goes on.
const (
	closeStall  = 30 * time.Second
	closeNotice = 3 * time.Second
)

// closer is a node, as far as it ends.
type closer interface {
	Close(context.Context) error
	Saved() int64
}

// closeNode closes a node. It waits as long as saving makes progress: a hundred thousand files
// take their time. The second signal ends the process at once, see main.
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
