// Package pincmd has the command pin, by which a daemon keeps content of others alive.
package pincmd

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/option"
	"seedbed/node/api"
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
	t := remotecmd.NewTarget(cmd.PersistentFlags())
	cmd.AddCommand(add(a, t), list(a, t), remove(a, t), publish(a, t), subscribe(a, t), lists(a, t), unsubscribe(a, t))
	return cmd
}

func add(a *app.App, t *remotecmd.Target) *cobra.Command {
	var b api.PinBody
	cmd := &cobra.Command{
		Use:   "add LINK",
		Short: "Keep the content of a magnet link alive",
		Long: `Keep the content of a magnet link alive: a publication (xs=urn:btpk:) or a torrent. A link
that is pinned already gets the new name and quota.`,
		Example: "  seedbed pin add 'magnet:?xs=urn:btpk:...' --quota 2G",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.Client()
			if err != nil {
				return err
			}
			b.Link = args[0]
			o, added, err := c.Pin(cmd.Context(), b)
			if err != nil {
				return t.Fail(err)
			}
			if a.JSON {
				return a.Put(o)
			}
			what := "was pinned already; its quota is set"
			if added {
				what = "pinned"
			}
			a.Say("%s: %s", nameOf(o), what)
			return nil
		},
	}
	cmd.Flags().Var((*option.Size)(&b.Quota), "quota", "download no version with more bytes; 0: no limit but that of all pins")
	cmd.Flags().StringVar(&b.Name, "name", "", "show this `NAME` (default: that of the link)")
	return cmd
}

// nameOf returns what to call a pin.
func nameOf(o *view.Pin) report.Exact { return report.Exact(cmp.Or(o.Name, o.ID[:8])) }

func list(a *app.App, t *remotecmd.Target) *cobra.Command {
	return &cobra.Command{Use: "list", Short: "List the pins", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := t.Client()
			if err != nil {
				return err
			}
			all, err := c.Pins(cmd.Context())
			if err != nil {
				return t.Fail(err)
			}
			for _, o := range all.Pins {
				if a.JSON {
					if err := a.Put(o); err != nil {
						return err
					}
					continue
				}
				printPin(a, o)
			}
			if len(all.Pins) == 0 {
				a.Say("nothing is pinned; pin something with seedbed pin add LINK")
				return nil
			}
			limit := ", without a limit"
			if all.Quota > 0 {
				limit = " of " + report.Size(all.Quota)
			}
			a.Say("%s use %s%s", report.Plural(len(all.Pins), "pin"), report.Size(all.Size), limit)
			return nil
		}}
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

func remove(a *app.App, t *remotecmd.Target) *cobra.Command {
	var deleteData bool
	cmd := &cobra.Command{
		Use:   "remove ID...",
		Short: "Remove pins; their data stays",
		Long: `Remove pins. A pin is named by its id in seedbed pin list, by at least four digits of its
beginning, or by its name. A pin that a list names as well stays for that list.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := t.Client()
			if err != nil {
				return err
			}
			for _, id := range args {
				if err := t.Fail(c.RemovePin(cmd.Context(), id, deleteData)); err != nil {
					return fmt.Errorf("%s: %w", id, err)
				}
				a.Say("%s: removed", id)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&deleteData, "delete-data", false, "also delete what the pins have downloaded")
	return cmd
}
