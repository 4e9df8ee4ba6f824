package pubcmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/handover"
	"seedbed/cmd/seedbed/hook"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/report"
	"seedbed/dht"
	"seedbed/internal/option"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/daemon"
	"seedbed/node/follow"
	"seedbed/node/names"
	"seedbed/node/view"
)

// Follow returns the command follow.
func Follow(a *app.App) *cobra.Command {
	var c app.Flags
	var f follow.Config
	var keep int
	var history bool
	var target *remotecmd.Target
	hooks := hook.Hooks{Warn: a.Warn, Printer: a.LinePrinter}
	cmd := &cobra.Command{
		Use:   "follow MAGNET|NAME|DIR",
		Short: "Download the latest version published under a key and keep it up to date",
		Long: `Download and seed the latest version published under a public key (xs=urn:btpk:), and
switch to each newer version once it is complete. NAME is a domain, such as example.org,
whose owner names a publication in the DNS; its key is pinned, and another key is refused
until --accept-change. In --dir, the link current leads to
the folder of the latest complete version; versions/ holds that folder and those of
earlier versions. Files that did not change are neither downloaded again nor stored
twice, so all files there are read-only.

The command runs until Ctrl-C; run it again to resume. If a daemon runs with the same
state directory, it follows the link instead, also after restarts, and the command exits
when a version is complete. See seedbed follows.

With --history, list the versions of something that is followed from this state
directory, given as its link, its name or its folder; seedbed show --history asks the DHT.`,
		Example: `  seedbed follow 'magnet:?xs=urn:btpk:8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e' -d site
  seedbed follow example.org
  seedbed follow --keep-alive 'magnet:?xs=urn:btpk:…'`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if history {
				return showHistory(a, c.State(), args[0])
			}
			if keep < 0 {
				return exit.Misuse(fmt.Errorf("--keep %d: a number of earlier versions cannot be negative", keep))
			}
			if f.Keep = keep; keep == 0 {
				f.Keep = -1
			}
			f.Dir, f.Peers = c.Dir, c.Peers
			isName := names.IsName(args[0])
			if !isName {
				link, err := magnet.Parse(args[0])
				if err != nil {
					return err
				}
				f.Link = link
				if err := f.Validate(); err != nil {
					return err
				}
			}
			running, err := target.Running(cmd.Context())
			if err != nil {
				return err
			}
			if running != nil {
				if err := target.Misfit(cmd, "dir", "keep-alive", "poll", "keep", "peer", "timeout", "on-complete", "accept-change"); err != nil {
					return err
				}
				body := api.FollowBody{Link: args[0], AcceptChange: c.AcceptChange, KeepAlive: f.KeepAlive, Poll: f.Poll.Seconds(), Keep: &keep, Peers: f.Peers}
				if body.Dir, err = target.Dir(c.Dir); err != nil {
					return err
				}
				h := &handover.Follow{App: a, Target: target, Client: running, Body: body, Timeout: c.Timeout, Hooks: &hooks}
				return h.Run(cmd.Context())
			}
			cfg, err := c.NodeConfig(cmd.Context())
			if err != nil {
				return err
			}
			if cfg.NoDHT {
				return node.ErrNoDHT
			}
			if isName {
				if f.Link, err = c.ResolveName(cmd.Context(), a, args[0]); err != nil {
					return err
				}
				f.Domain = f.Link.Name
				if err := f.Validate(); err != nil {
					return err
				}
			}
			if f.Dir == "" {
				f.Dir = daemon.FollowFolder(&f, c.State())
			}
			return a.WithNode(cmd.Context(), cfg, func(ctx context.Context, n *node.Node) error {
				defer runHooks(n, &hooks)()
				follower, err := follow.Start(n, f)
				if err != nil {
					return err
				}
				if isName {
					defer watchName(ctx, n, &c, f.Domain)()
				}
				if follower.Seq() == 0 {
					a.Say("searching the DHT for the latest version")
				}
				if c.Timeout > 0 {
					return firstVersion(ctx, follower, c.Timeout)
				}
				<-ctx.Done()
				return nil
			})
		},
	}
	fs := cmd.Flags()
	fs.StringVarP(&c.Dir, "dir", "d", "", "keep the versions in `DIR` (default btpk- and the start of the key, in the current folder)")
	c.AddNetwork(fs)
	target = remotecmd.AddTarget(fs, c.Values)
	fs.BoolVar(&f.KeepAlive, "keep-alive", false, "re-announce the publisher's signed item every hour, so that the link outlives the publisher's machine")
	f.Poll = 10 * time.Minute
	fs.Var(option.Span{To: &f.Poll}, "poll", "check for a new version this often, and more often after a change")
	fs.IntVar(&keep, "keep", 1, "keep `N` earlier versions")
	c.AddNames(fs)
	fs.BoolVar(&history, "history", false, "list the versions of a followed publication and exit")
	hooks.Add(fs)
	return cmd
}

// watchName warns when a domain names another publication. stop waits until it has ended.
func watchName(ctx context.Context, n *node.Node, c *app.Flags, domain string) (stop func()) {
	resolver, err := c.Names()
	if err != nil {
		return func() {} // the name was resolved with the same settings
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		resolver.Watch(ctx, func() []string { return []string{domain} }, func(err error) { n.Emit(node.Event{Kind: node.Warning, Err: err}) })
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

// runHooks runs the command of --on-complete for each version that follow switches to. stop
// waits for running commands.
func runHooks(n *node.Node, hooks *hook.Hooks) (stop func()) {
	versions := n.Subscribe(node.SwitchedVersion)
	go func() {
		for range versions.Ready() {
			for _, e := range versions.Take() {
				hooks.Run(hook.Completed{Name: e.Name, InfoHash: e.Publication.InfoHash, Dir: e.Publication.Dir})
			}
		}
	}()
	return func() {
		hooks.Wait()
		versions.Close()
	}
}

// firstVersion waits until ctx ends. It returns an error if no version is complete within
// the time of --timeout.
func firstVersion(ctx context.Context, f *follow.Follower, within time.Duration) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
	}
	if f.Seq() == 0 {
		return exit.Fail(exit.Timeout, "use a longer --timeout, or run seedbed show with the link", errors.New("no version finished downloading in time"))
	}
	<-ctx.Done()
	return nil
}

// showHistory lists the versions of a publication that is followed from a state directory.
func showHistory(a *app.App, state, arg string) error {
	list, unread := follow.List(state)
	k := slices.IndexFunc(list, func(f follow.Followed) bool { return isNamed(&f, arg) })
	if k < 0 {
		return cmp.Or(unread, exit.Fail(exit.NotFound, "seedbed show --history asks the DHT for the versions of a link", fmt.Errorf("%s is not followed from this state directory", report.Exact(arg))))
	}
	f := &list[k]
	versions, err := f.History()
	if err != nil {
		return err
	}
	h := view.FollowHistory{Link: f.Config.Link.String(), Target: f.Target.String(), Dir: f.Config.Dir, Versions: []view.NamedVersion{}}
	for _, v := range versions {
		n := view.NamedVersion{Seq: v.Seq, InfoHash: v.InfoHash.String(), Folder: v.Folder, Current: v.Seq == f.Seq}
		if n.Current {
			n.Folder = f.Folder
		}
		if !v.Time.IsZero() {
			n.Time = v.Time.Format(time.RFC3339)
		}
		h.Versions = append(h.Versions, n)
	}
	if a.JSON {
		return a.Put(&h)
	}
	if len(h.Versions) == 0 {
		a.Say("no version is complete yet")
	}
	for _, v := range h.Versions {
		at := "time unknown"
		if t, err := time.Parse(time.RFC3339, v.Time); err == nil {
			at = t.Local().Format("2006-01-02 15:04:05")
		}
		where := ""
		switch {
		case v.Current:
			where = "  current"
		case v.Folder != "":
			where = "  on disk"
		}
		a.Result("%d  %-19s  %s%s", v.Seq, at, v.InfoHash, where)
	}
	return nil
}

// isNamed reports whether arg is the link, the domain name or the folder of a followed publication.
func isNamed(f *follow.Followed, arg string) bool {
	if link, err := magnet.Parse(arg); err == nil {
		return link.HasPublicKey && dht.ItemTarget(link.PublicKey, link.Salt) == f.Target
	}
	if domain, err := names.Parse(arg); err == nil && domain == f.Config.Domain {
		return true
	}
	dir, err := filepath.Abs(arg)
	return err == nil && dir == f.Config.Dir
}
