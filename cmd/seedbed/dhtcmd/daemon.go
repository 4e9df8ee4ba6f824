package dhtcmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/query"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/settings"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

const daemonHelp = `

A running daemon with the same state directory, or the one of --daemon or --socket, is
asked instead, because it knows more of the DHT. With --listen or --bootstrap, the
command joins the DHT itself.`

// orDaemon is like query.Command, but if a daemon runs with the same state directory or is named
// by the flags, it calls ask instead of do. fit are the flags that matter to the daemon.
func orDaemon(a *app.App, cmd *cobra.Command, fit []string, do func(ctx context.Context, v *query.Visitor, args []string) error,
	ask func(ctx context.Context, c *client.Client, args []string) error) *cobra.Command {
	var flags app.Flags
	var target *remotecmd.Target
	var daemon *client.Client
	query.CommandWhen(a, cmd, &flags, false, func([]string) (bool, error) {
		if !target.IsNamed() && visits(cmd) {
			return true, nil
		}
		if _, err := flags.Visit(a); err != nil {
			return false, err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), flags.Timeout)
		defer cancel()
		var err error
		if daemon, err = target.Running(ctx); err == nil && daemon != nil {
			err = target.Misfit(cmd, append(fit, "timeout")...)
		}
		return daemon == nil, err
	}, func(ctx context.Context, v *query.Visitor, args []string) error {
		if v != nil {
			return do(ctx, v, args)
		}
		ctx, cancel := context.WithTimeout(ctx, flags.Timeout)
		defer cancel()
		return query.Explain(target.Fail(ask(ctx, daemon, args)), flags.Timeout)
	})
	target = remotecmd.AddTarget(cmd.Flags(), flags.Values)
	cmd.Long += daemonHelp
	return cmd
}

// visits reports whether the command line has flags that matter only to a command that joins the DHT
// itself.
func visits(cmd *cobra.Command) bool {
	for _, name := range []string{"listen", "bootstrap", "bind-interface", "proxy", "port-map", "port-map-gateway"} {
		if f := cmd.Flags().Lookup(name); f != nil && settings.SourceOf(f) == settings.FromFlag {
			return true
		}
	}
	return false
}

// requireAnswer returns an error if no node answered a lookup of a daemon.
func requireAnswer(l *view.Lookup) error {
	switch {
	case l.Answered > 0:
		return nil
	case l.Asked == 0:
		return exit.Fail(exit.Network, "run seedbed doctor with --daemon or --socket", errors.New("the daemon knows no DHT nodes"))
	}
	return exit.Fail(exit.Network, "run seedbed doctor with --daemon or --socket", fmt.Errorf("none of the %d DHT nodes answered the daemon", l.Asked))
}
