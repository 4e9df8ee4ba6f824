package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"seedbed/node"
)

// withNode runs do with a node that reports all it does, and closes the node in good
// order. It is for commands that go on until a signal; do returns when ctx ends.
func (a *app) withNode(ctx context.Context, cfg node.Config, do func(context.Context, *node.Node) error) (err error) {
	rep := a.reporter(true)
	defer rep.close()
	defer func() {
		if err != nil {
			rep.fail(err)
			a.told = true
		}
	}()
	cfg.OnEvent = func(e node.Event) {
		if e.Kind == node.Seeding && !a.json {
			return // what is told is the link with the key
		}
		rep.event(e)
	}
	n, err := a.openNode(cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var ticking sync.WaitGroup
	ticking.Go(func() {
		tick := time.NewTicker(rep.every())
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				rep.tick(n, n.Torrents())
			case <-ctx.Done():
				return
			}
		}
	})
	err = do(ctx, n)
	cancel()
	ticking.Wait()
	return errors.Join(err, closeInTime(n))
}

// openNode opens a node that logs and names itself as the program does.
func (a *app) openNode(cfg node.Config) (*node.Node, error) {
	cfg.Log = a.logger()
	cfg.Version = "seedbed " + version()
	return node.Open(cfg)
}

// closeInTime closes a node, or gives up waiting.
func closeInTime(n *node.Node) error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWithin)
	defer cancel()
	return n.Close(ctx)
}
