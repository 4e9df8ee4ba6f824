// Package torrentcmd has the commands that work on torrents: get, seed, stream, create, check
// and show.
package torrentcmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/argument"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/handover"
	"seedbed/cmd/seedbed/hook"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/session"
	"seedbed/cmd/seedbed/settings"
	"seedbed/internal/option"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/api/client"
)

// Get returns the command get.
func Get(a *app.App) *cobra.Command {
	var c app.Flags
	hooks := hook.Hooks{Warn: a.Warn, Printer: a.LinePrinter}
	var selection string
	var seed, overwrite, metadataOnly, symlinks bool
	var order node.Order
	var maxPeers int
	var at int64
	var target *remotecmd.Target
	cmd := &cobra.Command{
		Use:   "get MAGNET|INFOHASH|FILE.torrent|URL|NAME...",
		Short: "Download torrents; exits when all are complete, or keeps seeding with --seed",
		Long: `Download torrents. A torrent is given as a magnet link, a bare infohash, a .torrent
file or the http(s) URL of one. A magnet link is enough: seedbed finds the swarm over
the DHT and peer exchange, and fetches the metadata from peers. NAME is a domain, such as
example.org, whose owner names a publication in the DNS; see docs/publishing.md.

With --store, the files are written into an object store in place of --dir: each as soon
as it is complete. What is there already is not downloaded again; see docs/fleet.md.

Ctrl-C saves and stops; run the same command again to resume.

If a daemon runs with the same state directory, it downloads the torrents, into its own
folder unless --dir is given, and seeds them from then on. The command shows its
progress; Ctrl-C ends only that.`,
		Example: `  seedbed get 'magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056'
  seedbed get --select 1,3-5 -d ~/films film.torrent
  seedbed get --metadata-only 'magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var selected []int
			inStore, err := c.IsInStore(cmd.Flags())
			if err == nil && inStore {
				err = checkIntoStore(cmd)
			}
			if err != nil {
				return err
			}
			if selection != "" {
				if len(args) > 1 {
					return exit.Misuse(errors.New("--select can be used with one torrent only"))
				}
				if selected, err = argument.ParseSelection(selection); err != nil {
					return exit.Misuse(err)
				}
			}
			if err := checkAt(cmd, at, args); err != nil {
				return err
			}
			running, err := target.Running(cmd.Context())
			if err != nil {
				return err
			}
			if running != nil {
				if err := target.Misfit(cmd, "at", "resolver", "accept-change", "dir", "store", "select", "peer", "overwrite", "symlinks", "seed", "sequential", "first-last", "max-peers", "on-complete", "timeout"); err != nil {
					return err
				}
				d := &handover.Download{App: a, Target: target, Client: running, Flags: &c, Timeout: c.Timeout, Stay: seed, Hooks: &hooks}
				d.Body = api.AddBody{Select: selected, Peers: c.Peers, Overwrite: overwrite, Symlinks: symlinks,
					Sequential: order.Sequential, FirstLast: order.FirstLast, MaxPeers: maxPeers}
				if cmd.Flags().Changed("dir") {
					if d.Body.Dir, err = target.Dir(c.Dir); err != nil {
						return err
					}
				}
				if inStore && settings.SourceOf(cmd.Flags().Lookup("store")) == settings.FromFlag {
					d.Store, d.Body.Store = c.Store.Location.String(), true
				}
				d.Resolve = resolveWith(running, at)
				return d.Run(cmd.Context(), args)
			}
			cfg, err := c.NodeConfig(cmd.Context())
			if err != nil {
				return err
			}
			s := &session.Session{App: a, Config: cfg, Timeout: c.Timeout, Stay: seed, MetadataOnly: metadataOnly, Hooks: &hooks, At: at}
			for _, arg := range args {
				spec, err := c.OpenArgument(cmd.Context(), a, arg)
				if err != nil && (len(args) == 1 || cmd.Context().Err() != nil) {
					return err
				}
				if err != nil { // a warning; the others are still downloaded
					s.Unreadable = append(s.Unreadable, err)
					continue
				}
				spec.Dir, spec.Peers, spec.Select = c.Dir, c.Peers, selected
				spec.Order, spec.MaxPeers = order, maxPeers
				spec.Objects, spec.Upload = inStore, inStore
				spec.Overwrite, spec.MetadataOnly, spec.Symlinks = overwrite, metadataOnly, symlinks
				if !s.Has(spec) {
					s.Specs = append(s.Specs, spec)
				}
			}
			if len(s.Specs) == 0 {
				return a.AllFailed(s.Unreadable)
			}
			if inStore {
				end, err := a.OpenStore(cmd.Context(), &c, &s.Config)
				if err != nil {
					return err
				}
				defer end()
			}
			return s.Run(cmd.Context())
		},
	}
	fs := cmd.Flags()
	c.AddDir(fs, "download into `DIR`")
	c.AddNetwork(fs)
	c.AddStore(fs)
	target = remotecmd.AddTarget(fs, c.Values)
	fs.StringVar(&selection, "select", "", "files to download, `1,3-5`, numbered as in the output of show")
	fs.BoolVar(&metadataOnly, "metadata-only", false, "write the .torrent file and stop")
	fs.BoolVar(&overwrite, "overwrite", false, "replace existing files that do not belong to the torrent")
	fs.BoolVar(&symlinks, "symlinks", false, "create the symbolic links of a torrent, except those that point outside it")
	fs.BoolVar(&order.Sequential, "sequential", false, "request the pieces in sequence, not the rarest first")
	fs.BoolVar(&order.FirstLast, "first-last", false, "request the first and last pieces of every file first")
	fs.Var(&option.Number{To: &maxPeers, Min: 0}, "max-peers", "connect to at most `N` peers for each torrent; 0: the limit of all torrents")
	fs.BoolVar(&seed, "seed", false, "keep seeding when complete")
	c.AddNames(fs)
	fs.Int64Var(&at, "at", 0, "of a publisher link or name, download version `N` instead of the newest one, from followers that keep it")
	hooks.Add(fs)
	cmd.MarkFlagsMutuallyExclusive("metadata-only", "seed")
	cmd.MarkFlagsMutuallyExclusive("metadata-only", "on-complete")
	return cmd
}

// checkIntoStore returns an error if a flag has no meaning for files in an object store.
func checkIntoStore(cmd *cobra.Command) error {
	for _, name := range []string{"select", "metadata-only", "overwrite", "symlinks"} {
		if cmd.Flags().Changed(name) {
			return exit.Misuse(fmt.Errorf("--%s cannot be used with --store: all files become objects, and none is replaced", name))
		}
	}
	return nil
}

// checkAt returns an error if --at does not fit the arguments.
func checkAt(cmd *cobra.Command, at int64, args []string) error {
	if !cmd.Flags().Changed("at") {
		return nil
	}
	if err := checkNumber(at); err != nil {
		return err
	}
	if len(args) == 1 && argument.IsName(args[0]) {
		return nil
	}
	link, err := magnet.ParseBare(args[0])
	if len(args) > 1 || err != nil || !link.HasPublicKey {
		return exit.Misuse(errors.New("--at needs one publisher link (xs=urn:btpk:) or name and nothing else: other links have no versions"))
	}
	return nil
}

// resolveWith returns a function that returns the link to version seq of a publication, or to the newest
// one if seq is 0. A daemon finds the newest item.
func resolveWith(c *client.Client, seq int64) func(context.Context, *magnet.Link) (*magnet.Link, error) {
	return func(ctx context.Context, link *magnet.Link) (*magnet.Link, error) {
		found, err := handover.WithDaemon(c).Newest(ctx, link)
		if err != nil {
			return nil, err
		}
		newest, err := found.Version()
		if err != nil {
			return nil, err
		}
		if seq == 0 {
			return newest.Pin(link), nil
		}
		return node.VersionAt(link, &newest, seq)
	}
}
