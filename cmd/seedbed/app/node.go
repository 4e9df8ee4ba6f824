package app

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/version"
	"seedbed/node"
)

// WithNode opens a node, reports its events, calls do and closes the node. It is for
// commands that run until a signal; do returns when ctx ends.
func (a *App) WithNode(ctx context.Context, cfg node.Config, do func(context.Context, *node.Node) error) error {
	return a.WithFeed(ctx, true, func(rep *report.Feed) error {
		n, err := a.OpenNode(cfg)
		if err != nil {
			return err
		}
		defer a.ReloadOnHangup(SettingsOf(n))()
		rep.Watch(n, func(e node.Event) bool {
			return e.Kind != node.Seeding || a.JSON // the user gets the link with the key instead
		})
		rep.Follow(n, func() iter.Seq[report.Torrent] { return report.All(n.Torrents()) })
		err = do(ctx, n)
		rep.Follow(nil, nil)
		return errors.Join(err, WarnOfChanges(a.CloseNode(n), rep))
	})
}

// WarnOfChanges reports the files that another program changed while they were shared, and
// returns the other errors in err, the error of closing the node. Such a change loses no
// saved state, so a command that only shares does not fail because of it.
func WarnOfChanges(err error, rep *report.Feed) error {
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		var left []error
		for _, e := range many.Unwrap() {
			left = append(left, WarnOfChanges(e, rep))
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

// OpenNode opens a node that uses the logger and client name of the program.
func (a *App) OpenNode(cfg node.Config) (*node.Node, error) {
	cfg.Log = a.Logger()
	cfg.Version = "seedbed " + version.String()
	return node.Open(cfg)
}

// closeStall is how long closing may make no progress, so that a disk that hangs does not
// block the program. closeNotice is the delay before the user is told that the node is
// being saved.
const (
	closeStall  = 30 * time.Second
	closeNotice = 3 * time.Second
)

// A Closer is the part of a node that CloseNode needs.
type Closer interface {
	Close(context.Context) error
	Saved() int64
}

// CloseNode closes a node. It waits as long as saving makes progress, which takes a while
// for a hundred thousand files. A second signal ends the process at once; see main.
func (a *App) CloseNode(n Closer) error {
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
			if !a.Quiet && !a.JSON {
				go report.Fprintf(a.Output().Stderr(), "saving; press Ctrl-C again to stop at once\n")
			}
		case <-tick.C:
			if now := n.Saved(); now != saved {
				saved, since = now, time.Now()
			}
			if time.Since(since) >= closeStall {
				return exit.Fail(exit.IO, "unsaved pieces are hashed again next time; check the disk's health and the system log",
					fmt.Errorf("gave up saving: the disk did not respond for %v", closeStall))
			}
		}
	}
}
