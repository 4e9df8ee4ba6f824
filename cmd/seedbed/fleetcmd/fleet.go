// Package fleetcmd has the command fleet, about several nodes that share an object store.
package fleetcmd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/id"
	"seedbed/node/fleet"
	"seedbed/node/view"
)

// Fleet returns the command fleet.
func Fleet(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "fleet",
		Short: "Show the nodes that share an object store, and make their key",
		Long: `Several daemons over one object store form a fleet: each torrent of the catalogue of
the store is announced by two of them, and all of them serve it. seedbed daemon --fleet starts a node of a fleet.`,
		Args: app.KnownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(status(a), key(a))
	return cmd
}

func status(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "status [INFOHASH]",
		Short: "Show the nodes of a fleet and their shares, or what they do for a torrent",
		Long: `Show the nodes of the fleet as the running daemon sees them: how many torrents of the catalogue
each announces, what it sends to peers, how often its cache had what they asked for, and what it
has read from the store. With an infohash, ask all nodes whether they announce that torrent, and
show what each has in its cache, sends to peers and has read from the store for it.`,
		Example: "  seedbed fleet status\n  seedbed fleet status c9e15763f722f23e98a29decdfae341b98d53056",
		Args:    cobra.MaximumNArgs(1),
	}
	t := remotecmd.NewTarget(cmd.Flags())
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := t.Client()
		if err != nil {
			return err
		}
		if len(args) == 1 {
			infohash, err := id.ParseHex(args[0])
			if err != nil {
				return exit.Misuse(fmt.Errorf("%q is not an infohash: it has 40 hex digits", args[0]))
			}
			o, err := c.FleetOwners(cmd.Context(), infohash)
			if err != nil {
				return t.Fail(err)
			}
			return printOwners(a, o)
		}
		f, err := c.Fleet(cmd.Context())
		if err != nil {
			return t.Fail(err)
		}
		for _, o := range f.Nodes {
			if err := printNode(a, o); err != nil {
				return err
			}
		}
		printSum(a, f.Nodes)
		if f.Error != "" {
			a.Warn(fmt.Errorf("no node of --fleet can be reached: %s", report.Exact(f.Error)))
		}
		if f.Settling {
			a.Say("nodes have joined or left; the torrents are divided anew within seconds")
		}
		return nil
	}
	return cmd
}

func printNode(a *app.App, o *view.FleetNode) error {
	if a.JSON {
		return a.Put(o)
	}
	about := slices.DeleteFunc([]string{strings.ReplaceAll(o.State, "_", " "), o.Addr, "seedbed " + strings.TrimPrefix(o.Version, "seedbed ")}, func(s string) bool { return s == "" || s == "seedbed " })
	if o.Self {
		about = append(about, "this node")
	}
	a.Result("%s  %s", report.Exact(o.Name), report.Exact(strings.Join(about, ", ")))
	if o.Error != "" {
		a.Result("    %s", report.Exact(o.Error))
	}
	if o.Age == nil {
		if o.State == "live" {
			a.Result("    its numbers are not known yet")
		}
		return nil
	}
	others := ""
	if o.Announced > o.Owned {
		others = fmt.Sprintf(", and %d that it does not share", o.Announced-o.Owned)
	}
	a.Result("    announces %d of %s of the catalogue%s; %s connected", o.Owned, report.Plural(int(o.Torrents), "torrent"), others, report.Plural(int(o.Connected), "peer"))
	cache := ""
	if reads := o.Hits + o.Misses; reads > 0 {
		cache = fmt.Sprintf("; %d%% of %s from the cache", o.Hits*100/reads, report.Plural(int(reads), "read"))
	}
	a.Result("    sent %s, now %s%s", report.Size(o.Uploaded), report.Rate(float64(o.UpRate)), cache)
	a.Result("    read %s from the store in %s", report.Size(o.Fetched), report.Plural(int(o.Requests), "request"))
	return nil
}

// printSum prints what all nodes of a fleet have done together.
func printSum(a *app.App, nodes []*view.FleetNode) {
	var known int
	var uploaded, rate, read, requests int64
	for _, o := range nodes {
		if o.Age != nil {
			known++
			uploaded, rate, read, requests = uploaded+o.Uploaded, rate+o.UpRate, read+o.Fetched, requests+o.Requests
		}
	}
	if known > 1 && !a.JSON {
		a.Result("together  sent %s, now %s; read %s from the store in %s", report.Size(uploaded), report.Rate(float64(rate)), report.Size(read), report.Plural(int(requests), "request"))
	}
}

func key(a *app.App) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "key -o FILE",
		Short: "Make the key of a fleet",
		Long: `Make the secret key with which the nodes of a fleet encrypt what they tell each other. Copy the
file to each node and give it with --fleet-key. Who has the key can become a node of the fleet.`,
		Example: "  seedbed fleet key -o fleet.key",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if out == "" {
				return exit.Misuse(errors.New("-o FILE is missing"))
			}
			if err := fleet.NewKey(out); err != nil {
				return err
			}
			a.Say("wrote %s; copy it to each node of the fleet, readable by its user alone", report.Exact(out))
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write the key to `FILE`, which must not exist")
	return cmd
}
