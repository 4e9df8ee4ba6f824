package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/follow"
)

func (a *app) followCommand() *cobra.Command {
	var c common
	var f follow.Config
	var keep int
	cmd := &cobra.Command{
		Use:   "follow MAGNET",
		Short: "Have the newest version of what is published under a key, and keep up",
		Long: `Fetch the newest version of what a link with a public key (xs=urn:btpk:) names, seed
it, and switch when a newer one appears. In --dir, current leads to the version that
is newest and whole, versions/ holds it and those before. Files that did not change
are neither fetched again nor stored twice, so all files there are read-only.

It goes on until Ctrl-C; the same command again goes on where it was.`,
		Example: `  seedbed follow 'magnet:?xs=urn:btpk:8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e' -d site
  seedbed follow --keep-alive 'magnet:?xs=urn:btpk:…'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			link, err := magnet.Parse(args[0])
			if err != nil {
				return err
			}
			cfg, err := a.nodeConfig(&c)
			if err != nil {
				return err
			}
			if keep < 0 {
				return usage(fmt.Errorf("--keep %d: a number of earlier versions cannot be negative", keep))
			}
			if f.Keep = keep; keep == 0 {
				f.Keep = -1
			}
			f.Link, f.Dir, f.Peers = link, c.dir, c.peers.Values
			if f.Dir == "" {
				f.Dir = "btpk-" + link.PublicKey.Short().String()[:8]
			}
			return a.withNode(cmd.Context(), cfg, func(ctx context.Context, n *node.Node) error {
				follower, err := follow.Start(n, f)
				if err != nil {
					return err
				}
				if c.timeout > 0 {
					return a.firstVersion(ctx, follower, c.timeout)
				}
				<-ctx.Done()
				return nil
			})
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&c.dir, "dir", "d", "", "keep the versions in `DIR` (default btpk- and the beginning of the key, in the current folder)")
	c.addNetwork(fs)
	c.addState(fs)
	fs.BoolVar(&f.KeepAlive, "keep-alive", false, "put the publisher's signed item again every hour, so that the link outlives the publisher's machine")
	fs.DurationVar(&f.Poll, "poll", 10*time.Minute, "ask for a newer version this often, and more often after a change")
	fs.IntVar(&keep, "keep", 1, "keep `N` earlier versions")
	return cmd
}

// firstVersion waits for the first version as long as --timeout says, and then on.
func (a *app) firstVersion(ctx context.Context, f *follow.Follower, within time.Duration) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
	}
	if f.Seq() == 0 {
		return fail(exitTimeout, "give it a longer --timeout, or see seedbed show of the link", errors.New("no version was whole in time"))
	}
	<-ctx.Done()
	return nil
}
