package remotecmd

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/option"
	"seedbed/node/api"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

const idHelp = `A torrent is named by its infohash, by at least four digits of its beginning, or by its
number in seedbed list.`

// onTorrents completes a command that takes torrents. The command calls do for each.
func onTorrents(a *app.App, cmd *cobra.Command, do func(ctx context.Context, t *Target, c *client.Client, id string) error) *cobra.Command {
	t := NewTarget(cmd.Flags())
	cmd.Long = cmd.Short + ".\n\n" + idHelp
	cmd.Args = cobra.MinimumNArgs(1)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := t.Client()
		if err != nil {
			return err
		}
		return each(a, args, func(id string) error {
			if err := do(cmd.Context(), t, c, id); err != nil {
				return fmt.Errorf("%s: %w", id, err)
			}
			return nil
		})
	}
	return cmd
}

// perform completes a command that sends a request about each torrent and prints what was done.
func perform(a *app.App, cmd *cobra.Command, what string, do func(ctx context.Context, c *client.Client, id string) (*view.Torrent, error)) *cobra.Command {
	return onTorrents(a, cmd, func(ctx context.Context, t *Target, c *client.Client, id string) error {
		o, err := do(ctx, c, id)
		if err := t.put(a, o, err); err != nil {
			return err
		}
		a.Say("%s: %s", o.Name, what)
		return nil
	})
}

func pause(a *app.App) *cobra.Command {
	return perform(a, &cobra.Command{Use: "pause ID...", Short: "Stop torrents until resume, also after a restart"}, "paused",
		func(ctx context.Context, c *client.Client, id string) (*view.Torrent, error) {
			return c.Perform(ctx, "pause", id)
		})
}

func resume(a *app.App) *cobra.Command {
	var now bool
	cmd := perform(a, &cobra.Command{Use: "resume ID...", Short: "Start torrents that are paused, have failed or have missing data"}, "started",
		func(ctx context.Context, c *client.Client, id string) (*view.Torrent, error) {
			if now {
				return c.Perform(ctx, "start", id)
			}
			return c.Perform(ctx, "resume", id)
		})
	cmd.Flags().BoolVar(&now, "now", false, "start now, regardless of the place in the queue")
	return cmd
}

func recheck(a *app.App) *cobra.Command {
	return perform(a, &cobra.Command{Use: "recheck ID...", Short: "Hash the data of torrents again"}, "is being checked",
		func(ctx context.Context, c *client.Client, id string) (*view.Torrent, error) {
			return c.Perform(ctx, "recheck", id)
		})
}

func limit(a *app.App) *cobra.Command {
	var up, down int64
	var ratio, idle, total goal
	var peers int
	cmd := &cobra.Command{Use: "limit ID...", Short: "Limit the rates and the peers of torrents, and how long they seed",
		Example: "  seedbed limit 3 --up 500k --down 0\n  seedbed limit 3 --seed-ratio 2 --seed-time none"}
	perform(a, cmd, "limited",
		func(ctx context.Context, c *client.Client, id string) (*view.Torrent, error) {
			return c.Change(ctx, id, api.TorrentChange{UpLimit: given(up), DownLimit: given(down), MaxPeers: ifChanged(cmd, "max-peers", &peers),
				Goals: &api.GoalsChange{Ratio: ratio.value, Idle: idle.seconds(), Time: total.seconds()}})
		})
	up, down = -1, -1
	cmd.Flags().Var((*option.Size)(&up), "up", "upload limit in bytes a second; 0: the limit in the settings")
	cmd.Flags().Var((*option.Size)(&down), "down", "download limit in bytes a second; 0: the limit in the settings")
	cmd.Flags().Lookup("up").DefValue, cmd.Flags().Lookup("down").DefValue = "", ""
	cmd.Flags().Var(&ratio, "seed-ratio", "stop seeding when `R` times the size has been uploaded; none: never; default: as in the settings")
	idle.isSpan, total.isSpan = true, true
	cmd.Flags().Var(&idle, "seed-idle", "stop seeding when nothing has been uploaded for this long; none: never; default: as in the settings")
	cmd.Flags().Var(&total, "seed-time", "stop seeding after this long; none: never; default: as in the settings")
	cmd.Flags().Var(&option.Number{To: &peers, Min: 0}, "max-peers", "connect to at most `N` peers; 0: the limit of all torrents")
	cmd.Flags().Lookup("max-peers").DefValue = ""
	cmd.MarkFlagsOneRequired("up", "down", "max-peers", "seed-ratio", "seed-idle", "seed-time")
	return cmd
}

// ifChanged returns the value of a flag, or nil if the flag was not given.
func ifChanged[T any](cmd *cobra.Command, name string, value *T) *T {
	if !cmd.Flags().Changed(name) {
		return nil
	}
	return value
}

// given returns a limit, or nil if the flag was not given.
func given(limit int64) *int64 {
	if limit < 0 {
		return nil
	}
	return &limit
}

func remove(a *app.App) *cobra.Command {
	var deleteData bool
	cmd := onTorrents(a, &cobra.Command{Use: "remove ID...", Short: "Remove torrents from the session; their data stays"},
		func(ctx context.Context, t *Target, c *client.Client, id string) error {
			err := t.Fail(c.Remove(ctx, id, deleteData))
			if err == nil {
				a.Say("%s: removed", id)
			}
			return err
		})
	cmd.Flags().BoolVar(&deleteData, "delete-data", false, "also delete the files that the torrent has written")
	return cmd
}

func move(a *app.App) *cobra.Command {
	var t *Target
	var there bool
	cmd := &cobra.Command{
		Use:   "move ID DIR",
		Short: "Move the data of a torrent to another folder",
		Long: `Move the data of a torrent to another folder, which the daemon must be allowed to use.

With --already-there, the files are in DIR already, because another program has moved or
copied them: the torrent uses them there, and the old folder is left alone. Files that are
not as the daemon left them are hashed.

` + idHelp,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.Client()
			if err != nil {
				return err
			}
			dir, err := t.Dir(args[1])
			if err != nil {
				return err
			}
			o, err := c.Move(cmd.Context(), args[0], dir, there)
			if err := t.put(a, o, err); err != nil {
				return err
			}
			if there {
				a.Say("%s: uses the files in %s", o.Name, cmp.Or(o.MoveTo, o.Dir))
				return nil
			}
			if o.MoveTo != "" {
				a.Say("%s: is being moved to %s", o.Name, o.MoveTo)
				return nil
			}
			a.Say("%s: moved to %s", o.Name, o.Dir)
			return nil
		},
	}
	t = NewTarget(cmd.Flags())
	cmd.Flags().BoolVar(&there, "already-there", false, "do not move the files, because they are in DIR already")
	return cmd
}

func rename(a *app.App) *cobra.Command {
	var t *Target
	cmd := &cobra.Command{
		Use:   "rename ID [PATH] NAME",
		Short: "Rename a torrent, or a file or folder in it",
		Long: `Rename a torrent, or the file or folder at PATH in it, as seedbed files shows it, while it runs.
A NAME with slashes is the new path in the torrent: the file or folder moves there. Without
PATH, the name that is shown changes too. Nothing is replaced: if another file has the new name,
the names stay as they are.

` + idHelp,
		Example: "  seedbed rename 3 'My film'\n  seedbed rename 3 sample/a.mkv b.mkv\n  seedbed rename 3 sample/a.mkv extras/b.mkv",
		Args:    cobra.RangeArgs(2, 3),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.Client()
			if err != nil {
				return err
			}
			path, name := "", args[len(args)-1]
			if len(args) == 3 {
				path = args[1]
			}
			o, err := c.Rename(cmd.Context(), args[0], path, name)
			if err := t.put(a, o, err); err != nil {
				return err
			}
			if path == "" {
				path = "the torrent"
			}
			a.Say("%s: %s renamed to %s", o.Name, path, name)
			return nil
		},
	}
	t = NewTarget(cmd.Flags())
	return cmd
}

func label(a *app.App) *cobra.Command {
	var t *Target
	var clear bool
	cmd := &cobra.Command{
		Use:     "label ID [LABEL...]",
		Short:   "Set the labels of a torrent",
		Long:    "Replace the labels of a torrent.\n\n" + idHelp,
		Example: "  seedbed label 3 film new\n  seedbed label 3 --clear",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			labels := args[1:]
			if len(labels) == 0 != clear {
				return exit.Misuse(errors.New("give labels, or --clear for none"))
			}
			c, err := t.Client()
			if err != nil {
				return err
			}
			o, err := c.Change(cmd.Context(), args[0], api.TorrentChange{Labels: &labels})
			if err := t.put(a, o, err); err != nil {
				return err
			}
			a.Say("%s: labels set", o.Name)
			return nil
		},
	}
	t = NewTarget(cmd.Flags())
	cmd.Flags().BoolVar(&clear, "clear", false, "remove all labels")
	return cmd
}
