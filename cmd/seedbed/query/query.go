// Package query runs the commands that join the DHT for a single query, and formats the
// replies.
package query

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/dht"
	"seedbed/node/visit"
)

// defaultTimeout is the default of --timeout.
const defaultTimeout = 30 * time.Second

// A Visitor is the DHT visit of one command.
type Visitor struct {
	App *app.App
	*visit.Visit
}

// Command adds the flags of a DHT visit to cmd and sets its RunE, which joins the DHT and
// calls do. With serve, the node answers the queries of others too.
func Command(a *app.App, cmd *cobra.Command, serve bool, do func(ctx context.Context, v *Visitor, args []string) error) *cobra.Command {
	return CommandWhen(a, cmd, new(app.Flags), serve, func([]string) (bool, error) { return true, nil }, do)
}

// CommandWhen is like Command, but calls do without a Visitor if when returns false. The flags of
// the visit are in c.
func CommandWhen(a *app.App, cmd *cobra.Command, c *app.Flags, serve bool, when func(args []string) (bool, error), do func(ctx context.Context, v *Visitor, args []string) error) *cobra.Command {
	fs := cmd.Flags()
	c.AddVisit(fs, defaultTimeout)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		visiting, err := when(args)
		if err != nil {
			return err
		}
		if !visiting {
			return do(cmd.Context(), nil, args)
		}
		cfg, err := c.Visit(a)
		if err != nil {
			return err
		}
		cfg.Serve = serve
		visited, err := visit.Open(cfg)
		if err != nil {
			return err
		}
		v := &Visitor{a, visited}
		ctx, cancel := context.WithTimeout(cmd.Context(), c.Timeout)
		defer cancel()
		err = do(ctx, v, args)
		return errors.Join(Explain(err, c.Timeout), visited.Close())
	}
	return cmd
}

// Explain returns the message for an error that ended a query with that time limit.
func Explain(err error, timeout time.Duration) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return exit.Fail(exit.Timeout, "use a longer --timeout, or run seedbed doctor", fmt.Errorf("timed out after %v", timeout))
	case errors.Is(err, context.Canceled):
		return exit.Fail(exit.Unfinished, "", errors.New("stopped before a reply arrived"))
	}
	return err
}

// RequireAnswer returns an error if no node answered the lookup.
func (v *Visitor) RequireAnswer(r *dht.Report) error {
	switch {
	case r.Answered > 0:
		return nil
	case r.Asked == 0:
		return v.NoNodes()
	}
	what := fmt.Sprintf("none of the %d DHT nodes answered", r.Asked)
	if r.Asked == 1 {
		what = "the DHT node did not answer"
	}
	return exit.Fail(exit.Network, "run seedbed doctor", errors.New(what))
}

// NoNodes returns the error for a visit that knows no DHT node.
func (v *Visitor) NoNodes() error {
	const none = "no DHT nodes to ask: none are saved, and "
	if len(v.Config.Bootstrap) == 0 {
		return exit.Fail(exit.Network, "leave it out, or give --bootstrap HOST:PORT", errors.New(none+"with --bootstrap none no host is asked for some"))
	}
	return exit.Fail(exit.Network, "use --bootstrap HOST:PORT, or run seedbed doctor", errors.New(none+"no bootstrap host could be resolved"))
}
