package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/hook"
	"seedbed/cmd/seedbed/settings"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/follow"
)

func (a *app) followCommand() *cobra.Command {
	var c common
	var f follow.Config
	var keep int
	hooks := hook.Hooks{Warn: a.warn}
	cmd := &cobra.Command{
		Use:   "follow MAGNET",
		Short: "Download the latest version published under a key and keep it up to date",
		Long: `Download and seed the latest version published under a public key (xs=urn:btpk:), and
switch to each newer version once it is complete. In --dir, the link current leads to
the folder of the latest complete version; versions/ holds that folder and those of
earlier versions. Files that did not change are neither downloaded again nor stored
twice, so all files there are read-only.

The command runs until Ctrl-C; run it again to resume.`,
		Example: `  seedbed follow 'magnet:?xs=urn:btpk:8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e' -d site
  seedbed follow --keep-alive 'magnet:?xs=urn:btpk:…'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			link, err := magnet.Parse(args[0])
			if err != nil {
				return err
			}
			cfg, err := c.nodeConfig()
			if err != nil {
				return err
			}
			if keep < 0 {
				return usage(fmt.Errorf("--keep %d: a number of earlier versions cannot be negative", keep))
			}
			if f.Keep = keep; keep == 0 {
				f.Keep = -1
			}
			f.Link, f.Dir, f.Peers = link, c.dir, c.Peers.Values
			if f.Dir == "" {
				f.Dir = "btpk-" + link.PublicKey.Short().String()[:8]
			}
			return a.withNode(cmd.Context(), cfg, func(ctx context.Context, n *node.Node) error {
				versions := n.Subscribe(node.SwitchedVersion)
				defer versions.Close()
				defer hooks.Wait()
				go func() {
					for range versions.Ready() {
						for _, e := range versions.Take() {
							hooks.Run(hook.Completed{Name: e.Name, InfoHash: e.Publication.InfoHash, Dir: e.Publication.Dir})
						}
					}
				}()
				follower, err := follow.Start(n, f)
				if err != nil {
					return err
				}
				if follower.Seq() == 0 {
					a.say("searching the DHT for the latest version")
				}
				if c.Timeout > 0 {
					return a.firstVersion(ctx, follower, c.Timeout)
				}
				<-ctx.Done()
				return nil
			})
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&c.dir, "dir", "d", "", "keep the versions in `DIR` (default btpk- and the start of the key, in the current folder)")
	c.addNetwork(fs)
	fs.BoolVar(&f.KeepAlive, "keep-alive", false, "re-announce the publisher's signed item every hour, so that the link outlives the publisher's machine")
	f.Poll = 10 * time.Minute
	fs.Var(settings.Span{To: &f.Poll}, "poll", "check for a new version this often, and more often after a change")
	fs.IntVar(&keep, "keep", 1, "keep `N` earlier versions")
	hooks.Add(fs)
	return cmd
}

// firstVersion waits until ctx ends. It returns an error if no version is complete within
// the time of --timeout.
func (a *app) firstVersion(ctx context.Context, f *follow.Follower, within time.Duration) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
	}
	if f.Seq() == 0 {
		return fail(exitTimeout, "use a longer --timeout, or run seedbed show with the link", errors.New("no version finished downloading in time"))
	}
	<-ctx.Done()
	return nil
}
