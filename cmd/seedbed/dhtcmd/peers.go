package dhtcmd

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/handover"
	"seedbed/cmd/seedbed/query"
	"seedbed/cmd/seedbed/report"
	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

// peersPrinter returns a function that prints peers when they are found.
func peersPrinter(a *app.App) func([]netip.AddrPort) {
	return func(peers []netip.AddrPort) {
		if a.JSON {
			found := &view.Found{Addrs: []string{}}
			for _, p := range peers {
				found.Addrs = append(found.Addrs, p.String())
			}
			_ = a.Put(found)
			return
		}
		for _, p := range peers {
			a.Result("%s", p)
		}
	}
}

func dhtGetPeers(a *app.App) *cobra.Command {
	var scrape bool
	cmd := &cobra.Command{
		Use:   "get-peers INFOHASH",
		Short: "Find the peers of a torrent",
		Long: `Find the peers of a torrent, given as an infohash or magnet link, and print them as
they arrive. --scrape also asks the closest nodes for an estimate of how many seeds
and other peers there are (BEP 33).`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().BoolVar(&scrape, "scrape", false, "estimate how many seeds and peers there are (BEP 33)")
	return handover.Lookup{Flags: new(app.Flags), Fit: []string{"scrape"}, Visit: func(ctx context.Context, v *query.Visitor, args []string) error {
		infohash, err := query.ParseInfoHash(args[0])
		if err != nil {
			return err
		}
		r, err := v.GetPeers(ctx, infohash, scrape, peersPrinter(a))
		found := &view.GetPeers{Lookup: view.LookupOf(&r.Report), Peers: r.Peers, FirstPeer: view.Millis(r.FirstPeer)}
		if scrape {
			found.Scrape = view.ScrapeOf(&r.Scrape)
		}
		printPeers(a, found)
		if err == nil {
			err = v.RequireAnswer(&r.Report)
		}
		return requirePeers(r.Peers, err)
	}, Ask: func(ctx context.Context, c *client.Client, args []string) error {
		infohash, err := query.ParseInfoHash(args[0])
		if err != nil {
			return err
		}
		r, err := c.FindPeers(ctx, infohash.String(), scrape)
		if err != nil {
			return err
		}
		if a.JSON {
			if len(r.Addrs) > 0 {
				_ = a.Put(&view.Found{Addrs: r.Addrs})
			}
		} else {
			for _, addr := range r.Addrs {
				a.Result("%s", report.Exact(addr))
			}
		}
		found := &view.GetPeers{Lookup: view.Lookup(r.Lookup), Peers: len(r.Addrs), FirstPeer: r.FirstPeer, Scrape: r.Scrape}
		printPeers(a, found)
		return requirePeers(found.Peers, handover.RequireAnswer(&found.Lookup))
	}}.Command(a, cmd)
}

// printPeers prints the summary of a lookup of peers.
func printPeers(a *app.App, found *view.GetPeers) {
	if a.JSON {
		_ = a.Put(found)
	}
	line := report.Plural(found.Peers, "peer")
	if found.Peers > 0 {
		line += ", the first after " + query.Millis(query.Span(found.FirstPeer))
	}
	a.Say("%s; %s", line, query.Summary(&found.Lookup))
	if s := found.Scrape; s != nil {
		switch {
		case s.Filters > 0:
			line = fmt.Sprintf("scrape: about %s and %s, from the filters of %s", report.Plural(s.Seeds, "seed"), report.Plural(s.Peers, "other peer"), report.Plural(s.Filters, "node"))
		default:
			line = "scrape: none of the closest nodes returned filters"
		}
		if s.Implausible > 0 {
			line += fmt.Sprintf("; %d implausible ones ignored", s.Implausible)
		}
		a.Say("%s", line)
	}
}

// requirePeers returns err, or an error if there are no peers.
func requirePeers(peers int, err error) error {
	if err == nil && peers == 0 {
		err = exit.Fail(exit.NotFound, "the torrent may have no peers now", errors.New("no peers found"))
	}
	return err
}

func dhtAnnounce(a *app.App) *cobra.Command {
	var port uint16
	var seed bool
	cmd := &cobra.Command{
		Use:   "announce INFOHASH",
		Short: "Announce this machine as a peer",
		Long: `Find the peers of a torrent, and announce this machine as one to the nodes closest to
its infohash: on the port that this command listens on, or on --port if another program
accepts the connections. Nodes keep an announce for about 30 to 45 minutes.`,
		Args: cobra.ExactArgs(1),
	}
	cmd.Flags().Uint16Var(&port, "port", 0, "`PORT` on which the peer accepts connections (default: the port of --listen)")
	cmd.Flags().BoolVar(&seed, "seed", false, "announce as a seed (BEP 33)")
	return query.Command(a, cmd, true, func(ctx context.Context, v *query.Visitor, args []string) error {
		infohash, err := query.ParseInfoHash(args[0])
		if err != nil {
			return err
		}
		if port == 0 {
			port = v.Port()
		}
		began := time.Now()
		r, err := v.AnnouncePeer(ctx, infohash, port, seed, peersPrinter(a))
		took := time.Since(began)
		lookup := view.LookupOf(&r.Report)
		if a.JSON {
			_ = a.Put(&view.Announce{Lookup: lookup, Peers: r.Peers, FirstPeer: view.Millis(r.FirstPeer),
				Port: port, Accepted: r.Accepted, Contacts: resultsJSON(r.Nodes, false, r.Target)})
		}
		for _, n := range r.Nodes {
			a.Say("%s", query.ContactRow(&n.Contact, infohash, outcome(&n, "announced", "")))
		}
		a.Say("%s; %s", report.Plural(r.Peers, "peer"), query.Summary(&lookup))
		a.Say("announced port %d to %d of %s; done after %s", port, r.Accepted, report.Plural(len(r.Nodes), "node"), query.Millis(took))
		if err == nil {
			err = v.RequireAnswer(&r.Report)
		}
		if err == nil && r.Accepted == 0 {
			err = notAccepted("announce", r.Nodes)
		}
		return err
	})
}

// outcome describes the result of a request to a node. done describes one that the node
// accepted, kept one that it accepted and stored.
func outcome(n *dht.NodeResult, done, kept string) string {
	var refused *dht.RemoteError
	switch {
	case n.Stored:
		return kept
	case n.Accepted:
		return done
	case errors.As(n.Err, &refused):
		return fmt.Sprintf("error %d: %s", refused.Code, refused.Text)
	}
	return strings.TrimPrefix(n.Err.Error(), "dht: ")
}

func resultsJSON(nodes []dht.NodeResult, item bool, target id.ID) []view.Contact {
	out := []view.Contact{}
	for _, n := range nodes {
		j := view.ContactOf(n.Contact, &target)
		j.Took = &n.Accepted
		if item {
			j.GaveBack = &n.Stored
		}
		if n.Err != nil {
			j.Error = strings.TrimPrefix(n.Err.Error(), "dht: ")
			var refused *dht.RemoteError
			if errors.As(n.Err, &refused) {
				j.Code, j.Error = refused.Code, refused.Text
			}
		}
		out = append(out, j)
	}
	return out
}

// notAccepted returns the error for a request that no node accepted.
func notAccepted(what string, nodes []dht.NodeResult) error {
	if len(nodes) == 0 {
		return exit.Fail(exit.Unknown, "nodes that are full return no tokens, and some nodes do not store items; try again later",
			errors.New("none of the closest nodes returned a token"))
	}
	codes := map[string]int{}
	most := ""
	for _, n := range nodes {
		s := outcome(&n, "", "")
		if codes[s]++; codes[s] > codes[most] || most == "" {
			most = s
		}
	}
	hint := ""
	var refused *dht.RemoteError
	if errors.As(nodes[0].Err, &refused) {
		hint = map[int]string{
			204: "these nodes do not store items (BEP 44)",
			301: "another put came first: get the item, and put again with its seq as --cas",
			302: "a newer item is stored: leave out --seq to put the next version",
		}[refused.Code]
	}
	return exit.Fail(exit.Unknown, hint, fmt.Errorf("none of %s accepted the %s: %s", report.Plural(len(nodes), "node"), what, most))
}
