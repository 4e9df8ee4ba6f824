package remotecmd

import (
	"context"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/argument"
	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/option"
	"seedbed/node/api"
	"seedbed/node/api/client"
)

func add(a *app.App) *cobra.Command {
	var dir, selection string
	var labels, peers []string
	var body api.AddBody
	var t *Target
	var network app.Flags
	cmd := &cobra.Command{
		Use:   "add MAGNET|INFOHASH|FILE.torrent|URL|NAME...",
		Short: "Add torrents to the running daemon",
		Long: `Add torrents to the session of the running daemon, which downloads and then seeds
them, also after a restart. NAME is a domain, such as example.org, whose owner names a
publication in the DNS; its newest version is added.`,
		Example: `  seedbed add 'magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056'
  seedbed add --label film -d ~/films film.torrent`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.Client()
			if err != nil {
				return err
			}
			if selection != "" {
				if body.Select, err = argument.ParseSelection(selection); err != nil {
					return exit.Misuse(err)
				}
			}
			body.Labels, body.Peers = labels, peers
			if body.Dir, err = t.Dir(dir); err != nil {
				return err
			}
			return each(a, args, func(arg string) error { return addOne(cmd.Context(), a, t, c, &network, arg, body) })
		},
	}
	fs := cmd.Flags()
	network.AddState(fs)
	t = AddTarget(fs, network.Values)
	network.AddOutbound(fs)
	network.AddNames(fs)
	fs.StringVarP(&dir, "dir", "d", "", "download into `DIR` (default: the daemon's)")
	fs.Var(&option.List{To: &labels, Arg: "LABEL"}, "label", "add a `LABEL` (repeatable)")
	fs.StringVar(&body.Category, "category", "", "make it part of the category `NAME`, whose folder is then the default of --dir")
	fs.BoolVar(&body.Paused, "paused", false, "do not start it yet")
	fs.StringVar(&selection, "select", "", "files to download, `1,3-5`, numbered as in the output of show")
	fs.BoolVar(&body.Sequential, "sequential", false, "request the pieces in sequence, not the rarest first")
	fs.BoolVar(&body.FirstLast, "first-last", false, "request the first and last pieces of every file first")
	fs.Var(&option.Number{To: &body.MaxPeers, Min: 0}, "max-peers", "connect to at most `N` peers; 0: the limit of all torrents")
	fs.Var(&option.List{To: &peers, Arg: "HOST:PORT", Check: option.CheckPeer}, "peer", "try the peer at `HOST:PORT` first (repeatable)")
	fs.BoolVar(&body.Overwrite, "overwrite", false, "replace existing files that do not belong to the torrent")
	fs.BoolVar(&body.Seed, "complete", false, "the data is complete: only share it")
	fs.BoolVar(&body.Store, "in-store", false, "the data is in the object store of the daemon (its --store), or all of it is downloaded into it if anything is missing there")
	cmd.MarkFlagsMutuallyExclusive("in-store", "dir")
	return cmd
}

// addOne adds the torrent of one argument. The command reads the file, because the daemon may run on
// another machine.
func addOne(ctx context.Context, a *app.App, t *Target, c *client.Client, network *app.Flags, arg string, body api.AddBody) error {
	spec, err := network.OpenArgument(ctx, a, arg)
	if err != nil {
		return err
	}
	body.SetTorrent(&spec)
	made, added, err := c.Add(ctx, body)
	if err != nil {
		return t.Fail(err)
	}
	if a.JSON {
		return a.Put(made)
	}
	if !added {
		a.Say("%d  %s  is already in the session", made.Number, made.Name)
		return nil
	}
	a.Result("%d  %s", made.Number, made.Name)
	return nil
}

// each calls do for each argument. With several, an error does not stop the others: it is
// reported, and the command fails at the end.
func each(a *app.App, args []string, do func(string) error) error {
	var errs []error
	for _, arg := range args {
		if err := do(arg); err != nil {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return a.SomeFailed(errs, len(args))
}
