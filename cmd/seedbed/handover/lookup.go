package handover

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/query"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/settings"
	"seedbed/internal/bencode"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

const daemonHelp = `

A running daemon with the same state directory, or the one of --daemon or --socket, is
asked instead, because it knows more of the DHT. With --listen or --bootstrap, the
command joins the DHT itself.`

// A Lookup is what a command finds out from the DHT.
type Lookup struct {
	// Flags are those of the command. The flags of a visit are added to them.
	Flags *app.Flags
	// Fit are the flags that matter to a daemon too.
	Fit []string
	// Needed reports whether the command needs the DHT. Nil means always.
	Needed func(args []string) (bool, error)
	// Visit does it in the DHT. The visitor is nil if the DHT is not needed.
	Visit func(ctx context.Context, v *query.Visitor, args []string) error
	// Ask has the daemon do it.
	Ask func(ctx context.Context, c *client.Client, args []string) error
}

// Command adds the flags of a DHT visit and of a daemon to cmd and sets its RunE: if a daemon runs with
// the same state directory or is named by the flags, it calls Ask, otherwise Visit.
func (l Lookup) Command(a *app.App, cmd *cobra.Command) *cobra.Command {
	var target *remotecmd.Target
	var daemon *client.Client
	query.CommandWhen(a, cmd, l.Flags, false, func(args []string) (bool, error) {
		if l.Needed != nil {
			if needed, err := l.Needed(args); err != nil || !needed {
				return false, err
			}
		}
		if !target.IsNamed() && Visits(cmd) {
			return true, nil
		}
		if _, err := l.Flags.Visit(a); err != nil {
			return false, err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), l.Flags.Timeout)
		defer cancel()
		var err error
		if daemon, err = target.Running(ctx); err == nil && daemon != nil {
			err = target.Misfit(cmd, append(l.Fit, "timeout")...)
		}
		return daemon == nil, err
	}, func(ctx context.Context, v *query.Visitor, args []string) error {
		if daemon == nil {
			return l.Visit(ctx, v, args)
		}
		ctx, cancel := context.WithTimeout(ctx, l.Flags.Timeout)
		defer cancel()
		return query.Explain(target.Fail(l.Ask(ctx, daemon, args)), l.Flags.Timeout)
	})
	target = remotecmd.AddTarget(cmd.Flags(), l.Flags.Values)
	cmd.Long += daemonHelp
	return cmd
}

// Visits reports whether the command line has flags that matter only to a command that joins the DHT
// itself.
func Visits(cmd *cobra.Command) bool {
	for _, name := range []string{"listen", "bootstrap", "bind-interface", "proxy", "port-map", "port-map-gateway"} {
		if f := cmd.Flags().Lookup(name); f != nil && settings.SourceOf(f) == settings.FromFlag {
			return true
		}
	}
	return false
}

// RequireAnswer returns an error if no node answered a lookup of a daemon.
func RequireAnswer(l *view.Lookup) error {
	switch {
	case l.Answered > 0:
		return nil
	case l.Asked == 0:
		return exit.Fail(exit.Network, "run seedbed doctor with --daemon or --socket", errors.New("the daemon knows no DHT nodes"))
	}
	return exit.Fail(exit.Network, "run seedbed doctor with --daemon or --socket", fmt.Errorf("none of the %d DHT nodes answered the daemon", l.Asked))
}

// ValueOf returns the encoded value of an item that a daemon has found.
func ValueOf(i *view.Item) (bencode.Value, error) {
	b, err := base64.StdEncoding.DecodeString(i.Value)
	var v bencode.Value
	if err == nil {
		v, _, err = bencode.Parse(b, bencode.Limits{BigInts: true})
	}
	if err != nil {
		return nil, fmt.Errorf("the item that the daemon has found cannot be read: %w", err)
	}
	return v, nil
}
