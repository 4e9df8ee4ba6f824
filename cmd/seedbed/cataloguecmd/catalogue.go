// Package cataloguecmd has the command catalogue, about the torrents that all nodes with an object store share.
package cataloguecmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/argument"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/id"
	"seedbed/internal/objectstore"
	"seedbed/node/catalogue"
	"seedbed/swarm/s3store"
)

// Catalogue returns the command catalogue.
func Catalogue(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "catalogue",
		Short: "Say which torrents every daemon with an object store shares",
		Long: `Every daemon with an object store (--store) shares the torrents of the catalogue of that store:
those whose .torrent files are below .seedbed/torrents/ in it. The commands add and remove
change the catalogue in the store itself, from any machine that may write to it.`,
		Args: app.KnownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(add(a), remove(a), status(a))
	return cmd
}

func add(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "add FILE.torrent...",
		Short: "Add torrents to the catalogue of an object store",
		Long: `Add torrents to the catalogue of the object store of --store, which must have their files below
the same place. The daemons share them after their next listing, within a minute, or some minutes if
there are more than 10,000 torrents.`,
		Example: `  seedbed create s3://films/2026/film -o film.torrent
  seedbed catalogue add film.torrent --store s3://films/2026`,
		Args: cobra.MinimumNArgs(1),
	}
	force := cmd.Flags().Bool("force", false, "add torrents even if the store lacks their files, as before they are put there")
	var seeds *s3store.WebSeeds // of all arguments
	return changing(a, cmd, func(ctx context.Context, s *objectstore.Store, arg string) error {
		if seeds == nil {
			seeds = s3store.NewWebSeeds(s, a.Warn)
		}
		t, err := argument.ReadTorrent(ctx, arg)
		if err != nil {
			return err
		}
		if !*force {
			if err := catalogue.Check(ctx, s, t); err != nil {
				return err
			}
		}
		if err := catalogue.Put(ctx, s, t, seeds); err != nil {
			return err
		}
		a.Say("%s: added to %s", report.Exact(t.Info.Name), s.Location())
		return nil
	})
}

func remove(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove INFOHASH|FILE.torrent...",
		Short: "Remove torrents from the catalogue of an object store; their files stay",
		Long: `Remove torrents from the catalogue of the object store of --store. Their files stay in the store.
The daemons stop sharing them after some minutes, when several listings have lacked them.`,
		Args: cobra.MinimumNArgs(1),
	}
	return changing(a, cmd, func(ctx context.Context, s *objectstore.Store, arg string) error {
		infohash, err := infohashOf(ctx, arg)
		if err != nil {
			return err
		}
		err = catalogue.Remove(ctx, s, infohash)
		if errors.Is(err, catalogue.ErrAbsent) {
			return exit.Fail(exit.NotFound, "", fmt.Errorf("%s: %w", arg, err))
		}
		if err != nil {
			return err
		}
		a.Say("%s: removed", arg)
		return nil
	})
}

// infohashOf returns the infohash that an argument is, or that of the .torrent file that it names.
func infohashOf(ctx context.Context, arg string) (id.ID, error) {
	if infohash, err := id.ParseHex(arg); err == nil {
		return infohash, nil
	}
	t, err := argument.ReadTorrent(ctx, arg)
	if err != nil {
		return id.ID{}, err
	}
	return t.Info.Hash, nil
}

// changing gives a command the flags of an object store, and calls do with each argument.
func changing(a *app.App, cmd *cobra.Command, do func(ctx context.Context, s *objectstore.Store, arg string) error) *cobra.Command {
	var f app.Flags
	f.AddOutbound(cmd.Flags())
	f.AddStoreAccess(cmd.Flags())
	f.Add(cmd.Flags(), "store")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !f.HasStore() {
			return exit.Misuse(errors.New("no object store is given: give the one of the catalogue with --store s3://BUCKET/PREFIX"))
		}
		s, away, err := f.ObjectStore(cmd.Context(), f.Store.Location)
		if err != nil {
			return err
		}
		defer s.Close()
		if away != nil {
			return exit.Fail(exit.Network, "check --store-endpoint", away)
		}
		var errs []error
		for _, arg := range args {
			if err := do(cmd.Context(), s, arg); err != nil {
				errs = append(errs, err)
			}
		}
		if len(errs) == 0 {
			return nil
		}
		return a.SomeFailed(errs, len(args))
	}
	return cmd
}

func status(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show what the running daemon shares of the catalogue",
		Args:  cobra.NoArgs,
	}
	t := remotecmd.NewTarget(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := t.Client()
		if err != nil {
			return err
		}
		o, err := c.Catalogue(cmd.Context())
		if err != nil {
			return t.Fail(err)
		}
		if a.JSON {
			return a.Put(o)
		}
		a.Result("shared of %s: %s", o.Store, report.Plural(o.Torrents, "torrent"))
		for _, line := range []struct {
			count int
			what  string
		}{{o.Refused, "cannot be shared; the log says why"}, {o.LeftOut, "are left out, because there are too many"}, {o.Absent, "were not listed the last time, and are not given up yet"}} {
			if line.count > 0 {
				a.Result("%s %s", report.Plural(line.count, "object"), line.what)
			}
		}
		switch {
		case o.Error != "":
			a.Result("the store cannot be listed: %s", report.Exact(o.Error))
		case o.Listed == "":
			a.Result("the store is being listed for the first time")
		}
		return nil
	}
	return cmd
}
