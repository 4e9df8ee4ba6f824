package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"seedbed/dht"
	"seedbed/dht/announce"
	"seedbed/node"
	"seedbed/node/daemon"
)

// eachFamily calls f with the statistics of each family for which the node has a socket.
func eachFamily(s dht.Stats, f func(family string, s *dht.FamilyStats)) {
	for family, fs := range map[string]*dht.FamilyStats{ipv4: &s.V4, ipv6: &s.V6} {
		if fs.Has {
			f(family, fs)
		}
	}
}

// dhtTraffic has the messages of the DHT.
func dhtTraffic(d *dht.DHT) prometheus.Collector {
	g := new(group)
	datagrams := g.describe("dht_datagrams_total", "Datagrams received (in), including dropped ones, and sent (out).", "family", "direction")
	queries := g.describe("dht_queries_total", "Queries of other nodes (in) and of this one (out).", "family", "direction")
	responses := g.describe("dht_responses_total", "Responses to the queries of this node (in) and to those of others (out).", "family", "direction")
	timeouts := g.describe("dht_timeouts_total", "Queries of this node that were not answered.", "family")
	dropped := g.describe("dht_dropped_datagrams_total", "Datagrams that were dropped, by reason.", "family", "reason")
	pending := g.describe("dht_pending_queries", "Queries of this node that wait for an answer.", "family")
	g.collect = func(s sink) {
		eachFamily(d.Stats(), func(family string, fs *dht.FamilyStats) {
			counter(s, datagrams, fs.In, family, in)
			counter(s, datagrams, fs.Out+fs.Answers, family, out)
			counter(s, queries, fs.Queries, family, in)
			counter(s, queries, fs.Out, family, out)
			counter(s, responses, fs.Replies, family, in)
			counter(s, responses, fs.Answers, family, out)
			counter(s, timeouts, fs.Timeouts, family)
			r := &fs.Dropped
			for reason, k := range map[string]uint64{"not_krpc": r.NotKRPC, "malformed": r.Malformed, "unasked": r.Unasked, "spoofed": r.Spoofed,
				"busy": r.Busy, "limited": r.Limited, "unsent": fs.SendErrors} {
				counter(s, dropped, k, family, reason)
			}
			gauge(s, pending, fs.Pending, family)
		})
	}
	return g
}

// dhtNodes has the sizes of the routing tables.
func dhtNodes(d *dht.DHT) prometheus.Collector {
	g := new(group)
	nodes := g.describe("dht_nodes", "Nodes in the routing table: those that have answered recently (good), and others (questionable).", "family", "state")
	g.collect = func(s sink) {
		eachFamily(d.Stats(), func(family string, fs *dht.FamilyStats) {
			gauge(s, nodes, fs.Good, family, "good")
			gauge(s, nodes, fs.Nodes-fs.Good, family, "questionable")
		})
	}
	return g
}

// lookups has the lookups of this node, and how long they took.
func lookups(d *dht.DHT) prometheus.Collector {
	g := new(group)
	running := g.describe("dht_lookups_running", "Lookups of peers and items, and announces after them, that are running.")
	took := g.describe("dht_lookup_duration_seconds", "Time until a lookup knew the closest nodes, by the query that it sends.", "method")
	failed := g.describe("dht_failed_lookups_total", "Lookups that no node has answered, or that were canceled.", "method", "reason")
	g.collect = func(s sink) {
		gauge(s, running, d.Stats().Lookups)
		for i, c := range d.LookupCounts() {
			within := make(map[float64]uint64, len(dht.LookupBounds))
			for k, bound := range dht.LookupBounds {
				within[bound.Seconds()] = c.Within[k]
			}
			method := dht.LookupMethods[i]
			s.ch <- prometheus.MustNewConstHistogram(took, c.Answered, c.Took.Seconds(), within, method)
			counter(s, failed, c.Unanswered, method, "unanswered")
			counter(s, failed, c.Canceled, method, "canceled")
		}
	}
	return g
}

// announces has the regular announces of all torrents.
func announces(n *node.Node) prometheus.Collector {
	g := new(group)
	infohashes := g.describe("dht_announced_infohashes", "Infohashes that are announced regularly.")
	late := g.describe("dht_late_announces", "Infohashes that were not announced in the last 20 minutes.")
	interval := g.describe("dht_announce_interval_seconds", "Time in which all infohashes are announced once.")
	visits := g.describe("dht_announces_total", "Regular announces that have ended: at least one node has accepted it, or none.", "family", "outcome")
	g.collect = func(s sink) {
		a := n.Announcing()
		gauge(s, infohashes, a.Torrents)
		gauge(s, late, a.Late)
		gauge(s, interval, a.Interval.Seconds())
		for family, c := range map[string]announce.Counts{ipv4: a.V4.Counts, ipv6: a.V6.Counts} {
			counter(s, visits, c.Visits-c.Fruitless, family, "accepted")
			counter(s, visits, c.Fruitless, family, "not_accepted")
		}
	}
	return g
}

// publications has what a daemon publishes and follows.
func publications(d *daemon.Daemon) prometheus.Collector {
	g := new(group)
	published := g.describe("publications", "Publications of this daemon.")
	followed := g.describe("follows", "Publications that this daemon follows.")
	g.collect = func(s sink) {
		c := d.Counts()
		gauge(s, published, c.Publications)
		gauge(s, followed, c.Follows)
	}
	return g
}
