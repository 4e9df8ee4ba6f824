package remotecmd

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/id"
	"seedbed/node"
	"seedbed/node/api/client"
	"seedbed/node/publish"
	"seedbed/node/view"
)

const publicationHelp = `A publication is named by its target, by at least four digits of its beginning, or by the
name of its key.`

// Listing returns a command without arguments that lists something of the daemon: with --json each
// object, otherwise what print prints, or none if there is nothing.
func Listing[T view.Object](a *app.App, use, short, none string, list func(*client.Client, context.Context) ([]T, error), print func(T)) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs}
	t := NewTarget(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := t.Client()
		if err != nil {
			return err
		}
		all, err := list(c, cmd.Context())
		if err != nil {
			return t.Fail(err)
		}
		if len(all) == 0 {
			a.Say("%s", none)
		}
		for _, o := range all {
			if !a.JSON {
				print(o)
			} else if err := a.Put(o); err != nil {
				return err
			}
		}
		return nil
	}
	return cmd
}

// Created prints what a command has created at the daemon: with --json the object, otherwise its name,
// and created, or existed if it was there already.
func Created(a *app.App, o view.Object, name report.Exact, added bool, created, existed string) error {
	if a.JSON {
		return a.Put(o)
	}
	if !added {
		created = existed
	}
	a.Say("%s: %s", name, created)
	return nil
}

func publications(a *app.App) *cobra.Command {
	current := func(c *client.Client, ctx context.Context) ([]*view.History, error) {
		return c.Publications(ctx, false)
	}
	none := "the daemon publishes nothing; publish something with seedbed publish PATH --key NAME"
	return Listing(a, "publications", "List what the running daemon publishes", none, current, func(o *view.History) {
		version := "no version yet"
		if n := len(o.Versions); n > 0 {
			last := &o.Versions[n-1]
			version = fmt.Sprintf("version %d, %s of %s", last.Seq, report.Plural(last.FileCount, "file"), report.Size(last.Size))
		}
		a.Result("%.8s  %s  %s, from %s", o.Target, report.Exact(o.Name), version, report.Exact(o.Path))
		a.Result("          %s", report.Exact(o.Link))
	})
}

func unpublish(a *app.App) *cobra.Command {
	var keepHistory bool
	cmd := &cobra.Command{
		Use:   "unpublish ID...",
		Short: "End publications for good; keys and files stay",
		Long: `End publications for good and delete their history. Their keys and files stay. DHT nodes drop
the link after two hours.

With --keep-history, the versions stay on record: seedbed publish --history lists them, and
publishing under the key continues their numbers. Without it, the history of a publication
that has ended before is deleted too.

Works with a running daemon, and without one.

` + publicationHelp,
		Example: "  seedbed unpublish site --keep-history",
	}
	Ending(a, cmd, func(ctx context.Context, t *Target, id string) (string, error) {
		c, err := t.Running(ctx)
		switch {
		case err != nil:
			return "", err
		case c != nil:
			err = t.Fail(c.Unpublish(ctx, id, keepHistory))
		default:
			err = unpublishRecorded(t.State(), id, keepHistory)
		}
		if keepHistory {
			return "no longer published; its versions stay on record", err
		}
		return "no longer published; its history is deleted", err
	})
	cmd.Flags().BoolVar(&keepHistory, "keep-history", false, "keep the versions on record")
	return cmd
}

// unpublishRecorded ends a publication of a state directory without a daemon.
func unpublishRecorded(state, name string, keepHistory bool) error {
	err := publish.Unpublish(state, name, keepHistory, func(infohash id.ID) error { return node.Forget(state, infohash) })
	if errors.Is(err, publish.ErrUnknown) {
		err = exit.Fail(exit.NotFound, "seedbed key list shows the names of the keys", err)
	}
	return err
}

func follows(a *app.App) *cobra.Command {
	none := "the daemon follows nothing; follow something with seedbed follow LINK"
	return Listing(a, "follows", "List what the running daemon follows", none, (*client.Client).Follows, func(o *view.Followed) {
		version := "no version yet"
		if o.Seq != nil {
			version = fmt.Sprintf("version %d", *o.Seq)
		}
		if o.Stays && o.NewestSeq != nil && *o.NewestSeq > *o.Seq {
			version += fmt.Sprintf(" (stays there; the newest is %d)", *o.NewestSeq)
		} else if o.Stays {
			version += " (stays there)"
		}
		if o.Domain != "" {
			version = o.Domain + ", " + version
		}
		a.Result("%.8s  %s in %s", o.Target, version, report.Exact(o.Dir))
		a.Result("          %s", report.Exact(o.Link))
	})
}

func unfollow(a *app.App) *cobra.Command {
	cmd := &cobra.Command{Use: "unfollow ID...", Short: "Stop following publications; their versions stay on disk",
		Long: "Stop following publications. Their versions stay on disk. A publication is named by its\ntarget in seedbed follows, or by at least four digits of its beginning."}
	return Ending(a, cmd, func(ctx context.Context, t *Target, id string) (string, error) {
		c, err := t.Client()
		if err == nil {
			err = t.Fail(c.Unfollow(ctx, id))
		}
		return "no longer followed", err
	})
}

func stay(a *app.App) *cobra.Command {
	var t *Target
	cmd := &cobra.Command{
		Use:   "stay ID VERSION|newest",
		Short: "Go back to an earlier version of a followed publication, and stay there",
		Long: `Make an earlier version of a followed publication the current one. Newer versions are not
downloaded until seedbed stay ID newest. The version must be on disk: seedbed follow --keep
says how many versions stay there. A publication is named by its target in seedbed follows,
or by at least four digits of its beginning.`,
		Example: `  seedbed stay 5a1c 3
  seedbed stay 5a1c newest`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			seq, err := strconv.ParseInt(args[1], 10, 64)
			if args[1] != "newest" && (err != nil || seq < 1) {
				return exit.Misuse(fmt.Errorf("%q is neither the number of a version nor newest", args[1]))
			}
			c, err := t.Client()
			if err != nil {
				return err
			}
			var o *view.Followed
			if args[1] == "newest" {
				o, err = c.Continue(cmd.Context(), args[0])
			} else {
				o, err = c.Stay(cmd.Context(), args[0], seq)
			}
			if err != nil {
				return t.Fail(err)
			}
			if a.JSON {
				return a.Put(o)
			}
			if o.Seq != nil {
				a.Say("version %d is current: %s", *o.Seq, report.Exact(o.Folder))
			}
			return nil
		},
	}
	t = NewTarget(cmd.Flags())
	return cmd
}

// Ending completes a command that ends something of the daemon for each argument: do ends one and
// returns the words that report it.
func Ending(a *app.App, cmd *cobra.Command, do func(ctx context.Context, t *Target, id string) (what string, err error)) *cobra.Command {
	t := NewTarget(cmd.Flags())
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		return each(a, args, func(id string) error {
			what, err := do(cmd.Context(), t, id)
			if err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
			a.Say("%s: %s", id, what)
			return nil
		})
	}
	return cmd
}
