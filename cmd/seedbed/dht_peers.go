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
	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/node/view"
)

// parseInfoHash parses an infohash or a magnet link that contains one.
func parseInfoHash(s string) (id.ID, error) {
	if isMagnet(s) || magnet.IsBare(s) {
		link, err := magnet.ParseBare(s)
		if err != nil {
			return id.ID{}, err
		}
		if !link.HasInfoHash && !link.HasV2 {
			return id.ID{}, fail(exitMagnet, "", errors.New("the link has no infohash of either version (xt=urn:btih, xt=urn:btmh)"))
		}
		return link.Hash(), nil
	}
	return parseID(s)
}

// showPeers prints peers when they are found.
func (a *app) showPeers(peers []netip.AddrPort) {
	if a.json {
		found := &view.Found{Addrs: []string{}}
		for _, p := range peers {
			found.Addrs = append(found.Addrs, p.String())
		}
		_ = a.put(found)
		return
	}
	for _, p := range peers {
		a.result("%s", p)
	}
}

func (a *app) dhtGetPeers() *cobra.Command {
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
	return a.visits(cmd, false, func(ctx context.Context, v *visitor, args []string) error {
		infohash, err := parseInfoHash(args[0])
		if err != nil {
			return err
		}
		r, err := v.GetPeers(ctx, infohash, scrape, a.showPeers)
		if a.json {
			j := &view.GetPeers{Lookup: lookupJSON(&r.Report), Peers: r.Peers, FirstPeer: view.Millis(r.FirstPeer)}
			if scrape {
				j.Scrape = &view.Scrape{Seeds: r.Scrape.Seeds, Peers: r.Scrape.Peers, Filters: r.Scrape.Filters, Implausible: r.Scrape.Dropped}
			}
			_ = a.put(j)
		}
		line := report.Plural(r.Peers, "peer")
		if r.Peers > 0 {
			line += ", the first after " + millis(r.FirstPeer)
		}
		a.say("%s; %s", line, reportLine(&r.Report))
		if s := r.Scrape; scrape {
			switch {
			case s.Filters > 0:
				line = fmt.Sprintf("scrape: about %s and %s, from the filters of %s", report.Plural(s.Seeds, "seed"), report.Plural(s.Peers, "other peer"), report.Plural(s.Filters, "node"))
			default:
				line = "scrape: none of the closest nodes gave filters"
			}
			if s.Dropped > 0 {
				line += fmt.Sprintf("; %d implausible ones ignored", s.Dropped)
			}
			a.say("%s", line)
		}
		if err == nil {
			err = v.alone(&r.Report)
		}
		if err == nil && r.Peers == 0 {
			err = fail(exitNotFound, "the torrent may have no peers now", errors.New("no peers found"))
		}
		return err
	})
}

func (a *app) dhtAnnounce() *cobra.Command {
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
	cmd.Flags().Uint16Var(&port, "port", 0, "`PORT` where the peer takes connections (default: the port of --listen)")
	cmd.Flags().BoolVar(&seed, "seed", false, "announce as a seed (BEP 33)")
	return a.visits(cmd, true, func(ctx context.Context, v *visitor, args []string) error {
		infohash, err := parseInfoHash(args[0])
		if err != nil {
			return err
		}
		if port == 0 {
			port = v.Port()
		}
		begun := time.Now()
		r, err := v.AnnouncePeer(ctx, infohash, port, seed, a.showPeers)
		took := time.Since(begun)
		if a.json {
			_ = a.put(&view.Announce{Lookup: lookupJSON(&r.Report), Peers: r.Peers, FirstPeer: view.Millis(r.FirstPeer),
				Port: port, Accepted: r.Accepted, Contacts: toldJSON(r.Nodes, false, r.Target)})
		}
		for _, n := range r.Nodes {
			a.say("%s", contactRow(&n.Contact, infohash, outcome(&n, "announced", "")))
		}
		a.say("%s; %s", report.Plural(r.Peers, "peer"), reportLine(&r.Report))
		a.say("announced port %d to %d of %s; done after %s", port, r.Accepted, report.Plural(len(r.Nodes), "node"), millis(took))
		if err == nil {
			err = v.alone(&r.Report)
		}
		if err == nil && r.Accepted == 0 {
			err = refusal("announce", r.Nodes)
		}
		return err
	})
}

// outcome returns the result of a request to a node in a few words.
func outcome(n *dht.Told, done, kept string) string {
	var refused *dht.RemoteError
	switch {
	case n.Kept:
		return kept
	case n.Accepted:
		return done
	case errors.As(n.Err, &refused):
		return fmt.Sprintf("error %d: %s", refused.Code, refused.Text)
	}
	return strings.TrimPrefix(n.Err.Error(), "dht: ")
}

func toldJSON(nodes []dht.Told, item bool, target id.ID) []view.Contact {
	out := []view.Contact{}
	for _, n := range nodes {
		j := contactJSON(n.Contact, &target)
		j.Took = &n.Accepted
		if item {
			j.GaveBack = &n.Kept
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

// refusal returns the error for a request that no node accepted.
func refusal(what string, nodes []dht.Told) error {
	if len(nodes) == 0 {
		return fail(exitUnknown, "full nodes give no tokens, and some nodes cannot store items; try again later",
			errors.New("none of the closest nodes gave a token"))
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
			301: "somebody wrote meanwhile: get the item, and put again with its seq as --cas",
			302: "a newer one is stored: leave out --seq to put the next one",
		}[refused.Code]
	}
	return fail(exitUnknown, hint, fmt.Errorf("none of %s accepted the %s: %s", report.Plural(len(nodes), "node"), what, most))
}
