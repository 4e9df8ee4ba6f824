package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/settings"
	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/node/view"
	"seedbed/node/visit"
)

// dhtTimeout is the default time limit of a DHT command.
const dhtTimeout = 30 * time.Second

func (a *app) dhtCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "dht",
		Short: "Query the DHT: ping, find-node, get-peers, announce, get, put, sample, nodes",
		Long: `Run a single DHT query and show the replies and how long they took.

These commands join the DHT for a moment, starting from the nodes saved in the state
directory, and write nothing. Except for announce, they act as read-only nodes (BEP
43), which other nodes do not add to their tables.

Exit codes: 3 nothing found, 2 --timeout expired or a node did not answer, 6 no DHT
node answered.`,
		Example: `  seedbed dht ping router.bittorrent.com:6881
  seedbed dht get-peers --scrape c9e15763f722f23e98a29decdfae341b98d53056
  seedbed dht put --key name.key --new-key --salt blog 'hello'`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.dhtPing(), a.dhtFindNode(), a.dhtGetPeers(), a.dhtAnnounce(), a.dhtGet(), a.dhtPut(), a.dhtSample(), a.dhtNodes())
	return cmd
}

// visitor is the DHT visit of one command.
type visitor struct {
	*app
	*visit.Visit
	timeout time.Duration
}

// visits adds the flags of a DHT visit to cmd and sets its RunE, which joins the DHT and
// calls do.
func (a *app) visits(cmd *cobra.Command, serve bool, do func(ctx context.Context, v *visitor, args []string) error) *cobra.Command {
	return a.visitsWhen(cmd, serve, func([]string) (bool, error) { return true, nil }, do)
}

// visitsWhen is like visits, but calls do without a visitor if when returns false.
func (a *app) visitsWhen(cmd *cobra.Command, serve bool, when func(args []string) (bool, error), do func(ctx context.Context, v *visitor, args []string) error) *cobra.Command {
	var c common
	fs := cmd.Flags()
	c.addVisit(fs, dhtTimeout)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		visiting, err := when(args)
		if err != nil {
			return err
		}
		if !visiting {
			return do(cmd.Context(), nil, args)
		}
		cfg, err := c.visit(a)
		if err != nil {
			return err
		}
		cfg.Serve = serve
		stay, err := visit.Open(cfg)
		if err != nil {
			return err
		}
		v := &visitor{a, stay, c.Timeout}
		ctx, cancel := context.WithTimeout(cmd.Context(), c.Timeout)
		defer cancel()
		err = do(ctx, v, args)
		return errors.Join(v.explain(err), stay.Close())
	}
	return cmd
}

// explain turns the error that ended a visit into one for a person.
func (v *visitor) explain(err error) error {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fail(exitTimeout, "use a longer --timeout, or run seedbed doctor", fmt.Errorf("timed out after %v", v.timeout))
	case errors.Is(err, context.Canceled):
		return fail(exitUnfinished, "", errors.New("stopped before the reply came"))
	}
	return err
}

// alone returns an error if no node answered the lookup, else nil.
func (v *visitor) alone(r *dht.Report) error {
	switch {
	case r.Answered > 0:
		return nil
	case r.Asked == 0:
		return fail(exitNetwork, "use --bootstrap HOST:PORT, or run seedbed doctor",
			errors.New("no DHT nodes to ask: none are saved, and no bootstrap host could be resolved"))
	}
	what := fmt.Sprintf("none of the %d DHT nodes answered", r.Asked)
	if r.Asked == 1 {
		what = "the DHT node did not answer"
	}
	return fail(exitNetwork, "run seedbed doctor", errors.New(what))
}

func parseID(s string) (id.ID, error) {
	x, err := id.ParseHex(s)
	if err != nil && len(s) == 32 {
		x, err = id.ParseBase32(s)
	}
	if err != nil {
		return id.ID{}, usage(fmt.Errorf("%q is not an id of 40 hex digits", s))
	}
	return x, nil
}

// put prints an object with --json.
func (a *app) put(o view.Object) error {
	return view.NewWriter(report.EscapeJSON(a.stdout)).Write(o, time.Now())
}

// say prints a line, except with --quiet or --json.
func (a *app) say(format string, args ...any) {
	if !a.quiet && !a.json {
		report.Fprintf(a.output().Stdout(), format+"\n", args...)
	}
}

// result prints a line, also with --quiet.
func (a *app) result(format string, args ...any) {
	if !a.json {
		report.Fprintf(a.output().Stdout(), format+"\n", args...)
	}
}

func millis(d time.Duration) string {
	if d < 10*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/1e6)
	}
	return fmt.Sprintf("%d ms", d.Milliseconds())
}

func contactJSON(c dht.Contact, target *id.ID) view.Contact {
	j := view.Contact{ID: c.ID.String(), Addr: c.Addr.String(), RTT: view.Millis(c.RTT), Client: c.Client, Secure: c.Secure}
	if c.External.IsValid() {
		j.External = externalText(c.External)
	}
	if target != nil {
		bits := target.CommonPrefix(c.ID)
		j.Bits = &bits
	}
	return j
}

// externalText formats an address whose port may be unknown.
func externalText(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}

func lookupJSON(r *dht.Report) view.Lookup {
	j := view.Lookup{Target: r.Target.String(), Asked: r.Asked, Answered: r.Answered,
		Failed: r.Failed, First: view.Millis(r.First), Took: view.Millis(r.Took), Closest: []view.Contact{}}
	if bits, ok := r.Distance(); ok {
		j.Bits = &bits
	}
	for _, c := range r.Closest {
		j.Closest = append(j.Closest, contactJSON(c, &r.Target))
	}
	return j
}

// reportLine summarises a lookup for a person.
func reportLine(r *dht.Report) string {
	s := fmt.Sprintf("%s asked, %d answered", report.Plural(r.Asked, "node"), r.Answered)
	if r.Failed > 0 {
		s += fmt.Sprintf(", %d failed", r.Failed)
	}
	if r.First > 0 {
		s += ", the first after " + millis(r.First)
	}
	s += "; done after " + millis(r.Took)
	if bits, ok := r.Distance(); ok {
		s += fmt.Sprintf("; the closest shares %s with the target", report.Plural(bits, "bit"))
	}
	return s
}

// contactRow formats one line of a list of nodes.
func contactRow(c *dht.Contact, target id.ID, outcome string) string {
	return strings.TrimRight(fmt.Sprintf("  %3d bits  %s  %-21s  %8s  %-8s  %s",
		target.CommonPrefix(c.ID), c.ID, c.Addr, millis(c.RTT), c.Client, outcome), " ")
}

func (a *app) dhtPing() *cobra.Command {
	return a.visits(&cobra.Command{
		Use:   "ping HOST:PORT",
		Short: "Ping one node",
		Args:  cobra.ExactArgs(1),
	}, false, func(ctx context.Context, v *visitor, args []string) error {
		if err := settings.CheckPeer(args[0]); err != nil {
			return usage(err)
		}
		begun := time.Now()
		addrs, err := visit.Resolve(ctx, args[0])
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fail(exitNotFound, "", err)
		}
		resolved := time.Since(begun)
		type pong struct {
			c   dht.Contact
			err error
		}
		pongs := make(chan pong, len(addrs))
		for _, addr := range addrs {
			go func() {
				c, err := v.Ping(ctx, addr)
				if errors.Is(err, dht.ErrNoAnswer) {
					c, err = v.Ping(ctx, addr) // twice, since a datagram may be lost
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
			a.printPong(p.c, p.err)
		}
		switch {
		case answered > 0:
			return nil
		case errors.Is(last, dht.ErrNoAnswer):
			return fail(exitTimeout, "run seedbed doctor", fmt.Errorf("no answer from %s (%s, resolved in %s)", args[0], report.Plural(len(addrs), "address"), millis(resolved)))
		}
		var refused *dht.RemoteError
		if errors.As(last, &refused) || ctx.Err() != nil {
			return last
		}
		return fail(exitNetwork, "", last)
	})
}

func (a *app) printPong(c dht.Contact, err error) {
	if a.json {
		j := contactJSON(c, nil)
		if err != nil {
			j = view.Contact{Addr: c.Addr.String(), Error: err.Error()}
		}
		_ = a.put(&view.Ping{Contact: j})
		return
	}
	if err != nil {
		what := strings.TrimPrefix(err.Error(), "dht: ")
		if errors.Is(err, context.DeadlineExceeded) {
			what = "no answer"
		}
		a.say("%s: %s", c.Addr, what)
		return
	}
	line := fmt.Sprintf("%s answered in %s: node %s", c.Addr, millis(c.RTT), c.ID)
	if c.Client != "" {
		line += ", client " + c.Client
	}
	if c.External.IsValid() {
		line += ", sees us as " + externalText(c.External)
	}
	if !c.Secure {
		line += ", its id does not fit its address (BEP 42)"
	}
	a.result("%s", line)
}

func (a *app) dhtFindNode() *cobra.Command {
	return a.visits(&cobra.Command{
		Use:   "find-node ID",
		Short: "Find the nodes closest to an id",
		Args:  cobra.ExactArgs(1),
	}, false, func(ctx context.Context, v *visitor, args []string) error {
		target, err := parseID(args[0])
		if err != nil {
			return err
		}
		r, err := v.FindNode(ctx, target)
		if a.json {
			_ = a.put(&view.FindNode{Lookup: lookupJSON(&r)})
		}
		for _, c := range r.Closest {
			a.result("%s", contactRow(&c, target, ""))
		}
		a.say("%s", reportLine(&r))
		if err == nil {
			err = v.alone(&r)
		}
		return err
	})
}

func (a *app) dhtNodes() *cobra.Command {
	return a.visits(&cobra.Command{
		Use:   "nodes",
		Short: "Join the DHT and list the routing table",
		Args:  cobra.NoArgs,
	}, false, func(ctx context.Context, v *visitor, args []string) error {
		took := v.Settle(ctx)
		nodes := v.Nodes()
		list, good := []view.Contact{}, 0
		for _, n := range nodes {
			list = append(list, view.Contact{ID: n.ID.String(), Addr: n.Addr.String(), RTT: view.Millis(n.RTT), Bits: &n.Shared, Good: &n.Good, Secure: n.Secure})
			state := ""
			if !n.Good {
				state = "questionable"
			} else {
				good++
			}
			if !n.Secure {
				state = strings.TrimSpace(state + " id does not fit its address")
			}
			a.result("%s", strings.TrimRight(fmt.Sprintf("  %3d bits  %s  %-21s  %8s  %s", n.Shared, n.ID, n.Addr, millis(n.RTT), state), " "))
		}
		if a.json {
			_ = a.put(&view.Nodes{Saved: v.Saved, GoodNodes: good, Took: view.Millis(took), Contacts: list})
		}
		a.say("%s, %d of them good, after %s; %d were loaded from an earlier run", report.Plural(len(nodes), "node"), good, millis(took), v.Saved)
		if len(nodes) == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fail(exitNetwork, "run seedbed doctor", errors.New("no DHT node answered"))
		}
		return nil
	})
}
