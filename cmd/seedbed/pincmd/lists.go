package pincmd

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/handover"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/option"
	"seedbed/node/api"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

func publish(a *app.App) *cobra.Command {
	var b api.PublishBody
	cmd := &cobra.Command{
		Use:   "publish --key NAME",
		Short: "Publish the list of your pins, and keep it up to date",
		Long: `Publish the list of your pins under a key, and publish it again when they change. It has the
links that you have pinned, not those that only lists name, and none of private publications.
Others follow it with seedbed pin subscribe. seedbed unpublish ends it.`,
		Example: "  seedbed pin publish --key me",
		Args:    cobra.NoArgs,
	}
	t := remotecmd.NewTarget(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if b.Key == "" {
			return exit.Misuse(errors.New("--key NAME is missing"))
		}
		c, err := t.Client()
		if err != nil {
			return err
		}
		p := handover.Publish{App: a, Target: t, Client: c, Body: b, Pins: true}
		return p.Run(cmd.Context())
	}
	cmd.Flags().StringVar(&b.Key, "key", "", "publish under the key `NAME`, which is created if it does not exist")
	cmd.Flags().StringVar(&b.Salt, "salt", "pins", "`TEXT` that distinguishes the list from other publications of the key")
	return cmd
}

func subscribe(a *app.App) *cobra.Command {
	var b api.SubscribeBody
	cmd := &cobra.Command{
		Use:   "subscribe LINK|NAME --quota SIZE",
		Short: "Pin what a published list names, and follow its changes",
		Long: `Pin what a published list of pins names, and follow its changes: links that are added to it
are pinned, and those that are removed from it are dropped with their data. Your own pins and
those of other lists are not affected. A list that the list names is held, but what it names
is not pinned.`,
		Example: "  seedbed pin subscribe 'magnet:?xs=urn:btpk:...&s=70696e73' --quota 20G",
		Args:    cobra.ExactArgs(1),
	}
	t := remotecmd.NewTarget(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if b.Quota == 0 {
			return exit.Misuse(errors.New("--quota SIZE is missing: how many bytes the pins of the list may use"))
		}
		c, err := t.Client()
		if err != nil {
			return err
		}
		b.Link = args[0]
		o, added, err := c.SubscribePins(cmd.Context(), b)
		if err != nil {
			return t.Fail(err)
		}
		return remotecmd.Created(a, o, report.Exact(o.ID[:8]), added, "subscribed", "was subscribed to already; its quota is set")
	}
	cmd.Flags().Var((*option.Size)(&b.Quota), "quota", "the pins of the list together may use this many bytes; required")
	cmd.Flags().IntVar(&b.Max, "max", 100, "pin at most `N` links of the list")
	cmd.Flags().BoolVar(&b.AcceptChange, "accept-change", false, acceptUsage)
	return cmd
}

func lists(a *app.App) *cobra.Command {
	none := "no list is subscribed to; subscribe with seedbed pin subscribe LINK --quota SIZE"
	return remotecmd.Listing(a, "lists", "List the lists of pins that the daemon subscribes to", none, (*client.Client).PinLists, func(o *view.PinList) {
		version := "no version yet"
		if o.Seq != nil {
			version = fmt.Sprintf("version %d, %d of %s pinned", *o.Seq, o.Pins, report.Plural(o.Named, "link"))
		}
		a.Result("%.8s  %s, %s of %s", o.ID, version, report.Size(o.Size), report.Size(o.Quota))
		if o.Error != "" {
			a.Result("          %s", report.Exact(o.Error))
		}
		a.Result("          %s", report.Exact(o.Link))
	})
}

func unsubscribe(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "unsubscribe ID...",
		Short: "End subscriptions; the data of pins that only they name is deleted",
		Long: `End subscriptions to lists of pins. A list is named by its id in seedbed pin lists, or by at
least four digits of its beginning. The pins that only this list names end, and their data is
deleted.`,
	}
	return remotecmd.Ending(a, cmd, func(ctx context.Context, t *remotecmd.Target, id string) (string, error) {
		c, err := t.Client()
		if err == nil {
			err = t.Fail(c.UnsubscribePins(ctx, id))
		}
		return "no longer subscribed to", err
	})
}
