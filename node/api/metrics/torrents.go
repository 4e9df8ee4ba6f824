package metrics

import (
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"seedbed/internal/reachability"
	"seedbed/internal/traffic"
	"seedbed/node"
	"seedbed/node/lifecycle"
	"seedbed/swarm"
	"seedbed/swarm/engine"
)

// torrents has the torrents of a node by state.
func torrents(n *node.Node) prometheus.Collector {
	g := new(group)
	state := g.describe("torrents", "Torrents by state.", "state")
	blocked := g.describe("torrents_blocked", "Running torrents that an error of their files blocks.")
	g.collect = func(s sink) {
		c := n.Counters()
		for p := lifecycle.Queued; p < lifecycle.Ended; p++ {
			gauge(s, state, c.Torrents[p], p.String())
		}
		gauge(s, blocked, c.Blocked)
	}
	return g
}

// transfers has the bytes that a node sends and receives.
func transfers(n *node.Node) prometheus.Collector {
	g := new(group)
	all := g.describe("traffic_bytes_total",
		"Bytes sent (out) and received (in): of connections to peers after the handshake (tcp), of the DHT (udp) and of web seeds (http).", "transport", "family", "direction")
	payload := g.describe("payload_bytes_total", "Bytes of torrents' files sent to (out) and received from (in) peers and web seeds.", "direction")
	wasted := g.describe("wasted_bytes_total", "Bytes of received payload that were discarded: duplicates and wrong data.")
	hashes := g.describe("hash_failures_total", "Pieces whose hash was wrong.")
	g.collect = func(s sink) {
		c := n.Counters()
		for transport, by := range map[string]traffic.ByFamily[traffic.Bytes]{"tcp": c.TCP, "udp": c.UDP, "http": c.HTTP} {
			for family, t := range map[string]traffic.Bytes{ipv4: by.V4, ipv6: by.V6} {
				counter(s, all, t.In, transport, family, in)
				counter(s, all, t.Out, transport, family, out)
			}
		}
		counter(s, payload, c.Downloaded, in)
		counter(s, payload, c.Uploaded, out)
		counter(s, wasted, c.Wasted)
		counter(s, hashes, c.HashFailures)
	}
	return g
}

// reachable has whether others can connect to the node.
func reachable(n *node.Node) prometheus.Collector {
	g := new(group)
	verdict := g.describe("reachability", "1 for what is known about whether others on the internet can connect to the node, else 0.", "family", "transport", "verdict")
	g.collect = func(s sink) {
		for _, r := range n.Reachabilities() {
			for over, t := range r.Transports {
				for v := range reachability.NumVerdicts {
					is := 0
					if v == t.Verdict {
						is = 1
					}
					gauge(s, verdict, is, strings.ToLower(r.Family()), strings.ToLower(reachability.Transport(over).String()), v.String())
				}
			}
		}
	}
	return g
}

// peers has the peers of a node and how they came.
func peers(n *node.Node) prometheus.Collector {
	g := new(group)
	connected := g.describe("peers", "Connected peers, by who has dialed: the peer (in) or seedbed (out).", "family", "direction")
	webSeeds := g.describe("web_seeds", "Web seeds in use.")
	dials := g.describe("peer_dials_total", "Dials of peers that have ended, by outcome.", "family", "outcome")
	incoming := g.describe("incoming_connections_total", "Incoming connections of peers, by what became of them.", "outcome")
	punches := g.describe("hole_punches_total", "Connections to peers behind routers that a third peer arranged: tried (begun) and made (connected), and pairs of peers for which seedbed was the third (relayed).", "step")
	items := g.describe("pushed_items_total", "Items of new versions of publications that peers exchange: sent, or what became of received ones.", "outcome")
	bans := g.describe("peer_bans_total", "Peers that were banned because they sent wrong data.")
	g.collect = func(s sink) {
		c := n.Counters()
		for family, p := range map[string]swarm.PeerCounts{ipv4: c.Peers.V4, ipv6: c.Peers.V6} {
			gauge(s, connected, p.Incoming, family, in)
			gauge(s, connected, p.Outgoing, family, out)
		}
		gauge(s, webSeeds, c.WebSeeds)
		for family, d := range map[string]swarm.Dials{ipv4: c.Dials.V4, ipv6: c.Dials.V6} {
			for outcome, k := range d {
				counter(s, dials, k, family, swarm.DialOutcome(outcome).String())
			}
		}
		for outcome, k := range c.Incoming {
			counter(s, incoming, k, node.IncomingOutcome(outcome).String())
		}
		counter(s, punches, c.Punches.Begun, "begun")
		counter(s, punches, c.Punches.Connected, "connected")
		counter(s, punches, c.Punches.Relayed, "relayed")
		for outcome, k := range c.Items {
			counter(s, items, k, engine.ItemOutcome(outcome).String())
		}
		counter(s, items, c.ItemsDropped, "dropped")
		counter(s, bans, c.Bans)
	}
	return g
}
