package daemoncmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/internal/statefile"
	"seedbed/node/api"
	"seedbed/node/api/client"
	"seedbed/node/daemon"
	"seedbed/node/view"
)

// Settings returns the commands settings get and settings set.
func Settings(a *app.App) []*cobra.Command { return []*cobra.Command{settingsGet(a), settingsSet(a)} }

func settingsGet(a *app.App) *cobra.Command {
	var to *remotecmd.Target
	cmd := &cobra.Command{
		Use:   "get [NAME...]",
		Short: "Show the settings of a daemon that can change while it runs",
		Long: `Show the settings of the running daemon that can change while it runs. If none runs, show
those with which the next one would start.`,
		RunE: func(cmd *cobra.Command, names []string) error {
			all, err := daemonSettings(cmd.Context(), a, to)
			if err != nil {
				return err
			}
			for _, name := range names {
				if !slices.ContainsFunc(all, func(s view.Setting) bool { return s.Setting == name }) {
					return exit.Misuse(daemon.UnknownSetting(name))
				}
			}
			for _, s := range all {
				if len(names) > 0 && !slices.Contains(names, s.Setting) {
					continue
				}
				if err := ShowSetting(a, s); err != nil {
					return err
				}
			}
			return nil
		},
	}
	to = remotecmd.NewTarget(cmd.Flags())
	return cmd
}

// daemonSettings returns the settings of the running daemon, or of the next one.
func daemonSettings(ctx context.Context, a *app.App, to *remotecmd.Target) ([]view.Setting, error) {
	c, err := to.Client()
	if err != nil {
		return nil, err
	}
	l, err := c.Settings(ctx)
	if !errors.Is(err, client.ErrNoDaemon) || !to.IsLocal() {
		return l.Settings, to.Fail(err)
	}
	given, err := a.Given(ctx, "daemon")
	if err != nil {
		return nil, err
	}
	states, err := daemon.SavedSettings(to.State(), given)
	return api.SettingsOf(states), err
}

// ShowSetting prints a setting.
func ShowSetting(a *app.App, s view.Setting) error {
	if a.JSON {
		return a.Put(&s)
	}
	if s.Value == "" {
		s.Value = "-"
	}
	a.Result("%-20s %-24s %s", s.Setting, s.Value, s.Source)
	return nil
}

func settingsSet(a *app.App) *cobra.Command {
	var to *remotecmd.Target
	cmd := &cobra.Command{
		Use:   "set NAME=VALUE...",
		Short: "Change settings of a daemon, also while it runs",
		Long: `Change settings of the running daemon, or of the next one if none runs. A change is kept
in the state directory and holds until you change the value of the same setting in the
settings file, the environment or the command line of the daemon.

Give a list one value at a time; NAME= alone is an empty list.`,
		Example: `  seedbed settings set up-limit=500K alt-limits=true
  seedbed settings set allow-host=nas.example.org allow-host=nas.home`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			values, err := parseSettings(args)
			if err != nil {
				return exit.Misuse(err)
			}
			c, err := to.Client()
			if err != nil {
				return err
			}
			_, err = c.SetSettings(cmd.Context(), values)
			if !errors.Is(err, client.ErrNoDaemon) || !to.IsLocal() {
				return to.Fail(err)
			}
			err = daemon.SaveSettings(to.State(), values)
			if errors.Is(err, statefile.ErrLocked) {
				return exit.Fail(exit.SameHash, "run the command again when it has started, or give its --daemon URL", errors.New("a daemon has these settings, but does not answer"))
			}
			if err == nil {
				a.Say("no daemon runs; the next one starts with these settings")
			}
			return err
		},
	}
	to = remotecmd.NewTarget(cmd.Flags())
	return cmd
}

// parseSettings returns the values of NAME=VALUE arguments by name.
func parseSettings(args []string) (map[string][]string, error) {
	values := map[string][]string{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, fmt.Errorf("%q is not of the form NAME=VALUE", arg)
		}
		if values[name] = append([]string{}, values[name]...); value != "" {
			values[name] = append(values[name], value)
		}
	}
	return values, nil
}
