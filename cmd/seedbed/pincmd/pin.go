// Package pincmd has the command pin, by which a daemon keeps content of others alive.
package pincmd

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/option"
	"seedbed/node/api"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

// Pin returns the command pin.
func Pin(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "pin",
		Short: "Keep content of others alive with the running daemon, within quotas",
		Long: `Make the running daemon hold and seed what a link names. If the link names a publication,
the daemon also keeps the link itself alive: it republishes the publisher's signed item,
downloads each newer version, and deletes the one before.

The setting pin-quota limits what all pins use together. A version that exceeds a quota is
not downloaded, and the one before stays.

The list of your pins can be published, and others can subscribe to it, so that friends and
mirrors keep each other's publications alive.`,
		Args: app.KnownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(add(a), list(a), remove(a), publish(a), subscribe(a), lists(a), unsubscribe(a))
	return cmd
}

const acceptUsage = "accept that the name has another key now than the one that is pinned"

func add(a *app.App) *cobra.Command {
	var b api.PinBody
	cmd := &cobra.Command{
		Use:   "add LINK|NAME",
		Short: "Keep the content of a magnet link alive",
		Long: `Keep the content of a magnet link alive: a publication (xs=urn:btpk:) or a torrent. NAME is a
domain, such as example.org, whose owner names a publication in the DNS; what it names now is
pinned. A link that is pinned already gets the new name and quota.`,
		Example: "  seedbed pin add 'magnet:?xs=urn:btpk:...' --quota 2G\n  seedbed pin add example.org",
		Args:    cobra.ExactArgs(1),
	}
	t := remotecmd.NewTarget(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := t.Client()
		if err != nil {
			return err
		}
		b.Link = args[0]
		o, added, err := c.Pin(cmd.Context(), b)
		if err != nil {
			return t.Fail(err)
		}
		return remotecmd.Created(a, o, nameOf(o), added, "pinned", "was pinned already; its quota is set")
	}
	cmd.Flags().Var((*option.Size)(&b.Quota), "quota", "download no version with more bytes; 0: no limit but that of all pins")
	cmd.Flags().StringVar(&b.Name, "name", "", "show this `NAME` (default: that of the link)")
	cmd.Flags().BoolVar(&b.AcceptChange, "accept-change", false, acceptUsage)
	return cmd
}

// nameOf returns what to call a pin.
func nameOf(o *view.Pin) report.Exact { return report.Exact(cmp.Or(o.Name, o.ID[:8])) }

func list(a *app.App) *cobra.Command {
	var all api.Pins
	cmd := remotecmd.Listing(a, "list", "List the pins", "nothing is pinned; pin something with seedbed pin add LINK",
		func(c *client.Client, ctx context.Context) (pins []*view.Pin, err error) {
			all, err = c.Pins(ctx)
			return all.Pins, err
		}, func(o *view.Pin) { printPin(a, o) })
	printAll := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := printAll(cmd, args); err != nil || len(all.Pins) == 0 {
			return err
		}
		used := report.Size(all.Size)
		if all.Quota > 0 {
			used += " of " + report.Size(all.Quota)
		}
		a.Say("%s used by %s", used, report.Plural(len(all.Pins), "pin"))
		return nil
	}
	return cmd
}

// states are the words for the states of a pin.
var states = map[string]string{"searching": "searching", "fetching": "downloading", "held": "held", "over_quota": "over the quota", "elsewhere": "held without the pin", "failed": "failed"}

func printPin(a *app.App, o *view.Pin) {
	version := ""
	if o.Seq != nil {
		version = fmt.Sprintf(" version %d,", *o.Seq)
		if o.Newest != nil && *o.Newest > *o.Seq {
			version = fmt.Sprintf(" version %d of %d,", *o.Seq, *o.Newest)
		}
	}
	from := ""
	if n := len(o.Lists); n > 0 {
		from = ", on " + report.Plural(n, "list")
	}
	a.Result("%.8s  %s:%s %s%s  %s", o.ID, cmp.Or(states[o.State], o.State), version, report.Size(o.Size), from, report.Exact(o.Name))
	if o.Error != "" {
		a.Result("          %s", report.Exact(o.Error))
	}
	a.Result("          %s", report.Exact(o.Link))
}

func remove(a *app.App) *cobra.Command {
	var deleteData bool
	cmd := &cobra.Command{
		Use:   "remove ID...",
		Short: "Remove pins; their data stays",
		Long: `Remove pins. A pin is named by its id in seedbed pin list, by at least four digits of its
beginning, or by its name. A pin that a list names as well stays for that list.`,
	}
	remotecmd.Ending(a, cmd, func(ctx context.Context, t *remotecmd.Target, id string) (string, error) {
		c, err := t.Client()
		if err == nil {
			err = t.Fail(c.RemovePin(ctx, id, deleteData))
		}
		return "removed", err
	})
	cmd.Flags().BoolVar(&deleteData, "delete-data", false, "also delete what the pins have downloaded")
	return cmd
}
