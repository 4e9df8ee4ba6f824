// Package dhtcmd has the commands that work on the DHT itself: dht with its subcommands,
// bootstrap, and doctor.
package dhtcmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/handover"
	"seedbed/cmd/seedbed/query"
	"seedbed/cmd/seedbed/report"
	"seedbed/dht"
	"seedbed/internal/option"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

// DHT returns the command dht.
func DHT(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dht",
		Short: "Query the DHT: ping, find-node, get-peers, announce, get, put, sample, nodes",
		Long: `Run a single DHT query and show the replies and how long they took.

These commands join the DHT for a short time, starting from the nodes saved in the state
directory, and write nothing. Except for announce, they act as read-only nodes (BEP
43), which other nodes do not add to their tables.

Exit codes: 3 nothing found, 2 --timeout expired or a node did not answer, 6 no DHT
node answered.`,
		Example: `  seedbed dht ping router.bittorrent.com:6881
  seedbed dht get-peers --scrape c9e15763f722f23e98a29decdfae341b98d53056
  seedbed dht put --key name.key --new-key --salt blog 'hello'`,
		Args: app.KnownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(dhtPing(a), dhtFindNode(a), dhtGetPeers(a), dhtAnnounce(a), dhtGet(a), dhtPut(a), dhtSample(a), dhtNodes(a))
	return cmd
}

func dhtPing(a *app.App) *cobra.Command {
	return query.Command(a, &cobra.Command{
		Use:   "ping HOST:PORT",
		Short: "Ping one node",
		Args:  cobra.ExactArgs(1),
	}, false, func(ctx context.Context, v *query.Visitor, args []string) error {
		if err := option.CheckPeer(args[0]); err != nil {
			return exit.Misuse(err)
		}
		began := time.Now()
		addrs, err := v.Resolve(ctx, args[0])
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return exit.Fail(exit.NotFound, "", err)
		}
		resolved := time.Since(began)
		type pong struct {
			c   dht.Contact
			err error
		}
		pongs := make(chan pong, len(addrs))
		for _, addr := range addrs {
			go func() {
				c, err := v.Ping(ctx, addr)
				if errors.Is(err, dht.ErrNoAnswer) {
					c, err = v.Ping(ctx, addr) // a second time, because datagrams can be lost
				}
				c.Addr = addr
				pongs <- pong{c, err}
			}()
		}
		answered := 0
		var last error
		for range addrs {
			p := <-pongs
			if p.err == nil {
				answered++
			} else {
				last = p.err
			}
			printPong(a, p.c, p.err)
		}
		switch {
		case answered > 0:
			return nil
		case errors.Is(last, dht.ErrNoAnswer):
			return exit.Fail(exit.Timeout, "run seedbed doctor", fmt.Errorf("no answer from %s (%s, resolved in %s)", args[0], report.Plural(len(addrs), "address"), query.Millis(resolved)))
		}
		var refused *dht.RemoteError
		if errors.As(last, &refused) || ctx.Err() != nil {
			return last
		}
		return exit.Fail(exit.Network, "", last)
	})
}

func printPong(a *app.App, c dht.Contact, err error) {
	if a.JSON {
		j := view.ContactOf(c, nil)
		if err != nil {
			j = view.Contact{Addr: c.Addr.String(), Error: err.Error()}
		}
		_ = a.Put(&view.Ping{Contact: j})
		return
	}
	if err != nil {
		what := strings.TrimPrefix(err.Error(), "dht: ")
		if errors.Is(err, context.DeadlineExceeded) {
			what = "no answer"
		}
		a.Say("%s: %s", c.Addr, what)
		return
	}
	line := fmt.Sprintf("%s answered in %s: node %s", c.Addr, query.Millis(c.RTT), c.ID)
	if c.Client != "" {
		line += ", client " + c.Client
	}
	if c.External.IsValid() {
		line += ", sees us as " + view.AddrText(c.External)
	}
	if !c.Secure {
		line += ", its id does not match its address (BEP 42)"
	}
	a.Result("%s", line)
}

func dhtFindNode(a *app.App) *cobra.Command {
	return query.Command(a, &cobra.Command{
		Use:   "find-node ID",
		Short: "Find the nodes closest to an id",
		Args:  cobra.ExactArgs(1),
	}, false, func(ctx context.Context, v *query.Visitor, args []string) error {
		target, err := query.ParseID(args[0])
		if err != nil {
			return err
		}
		r, err := v.FindNode(ctx, target)
		lookup := view.LookupOf(&r)
		if a.JSON {
			_ = a.Put(&view.FindNode{Lookup: lookup})
		}
		for _, c := range r.Closest {
			a.Result("%s", query.ContactRow(&c, target, ""))
		}
		a.Say("%s", query.Summary(&lookup))
		if err == nil {
			err = v.RequireAnswer(&r)
		}
		return err
	})
}

func dhtNodes(a *app.App) *cobra.Command {
	return handover.Lookup{Flags: new(app.Flags), Visit: func(ctx context.Context, v *query.Visitor, args []string) error {
		if v.Saved == 0 && len(v.Config.Bootstrap) == 0 {
			return v.NoNodes()
		}
		took := v.Settle(ctx)
		list, good := view.TableOf(v.Nodes())
		printNodes(a, &view.Nodes{Saved: v.Saved, GoodNodes: good, Took: view.Millis(took), Contacts: list})
		a.Say("%s, %d of them good, after %s; %d were loaded from an earlier run", report.Plural(len(list), "node"), good, query.Millis(took), v.Saved)
		if len(list) == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return exit.Fail(exit.Network, "run seedbed doctor", errors.New("no DHT node answered"))
		}
		return nil
	}, Ask: func(ctx context.Context, c *client.Client, args []string) error {
		s, err := c.DHT(ctx)
		if err != nil {
			return err
		}
		if s.Nodes == nil {
			s.Nodes = []view.Contact{}
		}
		printNodes(a, &view.Nodes{GoodNodes: s.GoodNodes, Contacts: s.Nodes})
		line := fmt.Sprintf("%s, %d of them good; the daemon's id is %s over IPv4 and %s over IPv6", report.Plural(len(s.Nodes), "node"), s.GoodNodes, s.ID4, s.ID6)
		for _, address := range []string{s.External4, s.External6} {
			if address != "" {
				line += "; other nodes see it as " + address
			}
		}
		a.Say("%s", line)
		if len(s.Nodes) == 0 {
			return handover.RequireAnswer(&view.Lookup{})
		}
		return nil
	}}.Command(a, &cobra.Command{
		Use:   "nodes",
		Short: "List the routing table of a daemon, or join the DHT and list one",
		Long:  "Join the DHT and list the routing table.",
		Args:  cobra.NoArgs,
	})
}

// printNodes prints a routing table.
func printNodes(a *app.App, t *view.Nodes) {
	if a.JSON {
		_ = a.Put(t)
		return
	}
	for i := range t.Contacts {
		n, state, bits := &t.Contacts[i], "", 0
		if n.Good == nil || !*n.Good {
			state = "questionable"
		}
		if !n.Secure {
			state = strings.TrimSpace(state + " id does not match its address")
		}
		if n.Bits != nil {
			bits = *n.Bits
		}
		a.Result("%s", strings.TrimRight(fmt.Sprintf("  %8s  %s  %-21s  %8s  %s", query.Bits(bits), n.ID, n.Addr, query.Millis(query.Span(n.RTT)), state), " "))
	}
}
