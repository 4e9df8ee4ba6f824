package metrics

import (
	"fmt"
	"io"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"

	"seedbed/dht/bootnode"
	"seedbed/dht/bootstrap"
)

// A BootstrapNode provides the statistics of a bootstrap node.
type BootstrapNode interface{ Stats() bootnode.Stats }

// Bootstrap returns the handler of /metrics and /healthz of a bootstrap node. /healthz returns 200 if all sockets
// are served, otherwise 503. version is that of the program.
func Bootstrap(b BootstrapNode, version string) http.Handler {
	r := newRegistry(version)
	r.MustRegister(bootstrapNode(b))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", scrape(r))
	mux.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, _ *http.Request) {
		s := b.Stats()
		if s.Running < s.Loops {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, fmt.Sprintf("%d of %d sockets served, %d nodes verified\n", s.Running, s.Loops, s.V4.Nodes+s.V6.Nodes))
	})
	return mux
}

// bootstrapNode has the numbers of a bootstrap node.
func bootstrapNode(b BootstrapNode) prometheus.Collector {
	g := new(group)
	queries := g.describe("bootstrap_queries_total", "Valid queries, by kind and outcome.", "kind", "outcome")
	dropped := g.describe("bootstrap_dropped_datagrams_total", "Datagrams that were dropped, by reason.", "reason")
	nodes := g.describe("bootstrap_verified_nodes", "Verified nodes in the ring.", "family")
	size := g.describe("bootstrap_ring_size", "Maximum number of nodes in the ring at present.", "family")
	waiting := g.describe("bootstrap_candidates", "Candidates that wait to be pinged.")
	noted := g.describe("bootstrap_candidates_total", "Candidates that were recorded, to be pinged later.")
	pings := g.describe("bootstrap_pings_total", "Pings sent.")
	verified := g.describe("bootstrap_verifications_total", "Pings that were answered with the right cookie.")
	datagrams := g.describe("bootstrap_datagrams_total", "Datagrams received (in) and sent (out).", "direction")
	bytes := g.describe("bootstrap_traffic_bytes_total", "Bytes of UDP payload received (in) and sent (out).", "direction")
	sockets := g.describe("bootstrap_sockets", "Sockets, by whether a goroutine reads from them.", "served")
	g.collect = func(s sink) {
		n := b.Stats()
		for k, kind := range bootnode.Kinds() {
			for o := range bootstrap.NumOutcomes {
				counter(s, queries, n.Queries[k][o], kind, o.String())
			}
		}
		for r := range bootstrap.NumReasons {
			counter(s, dropped, n.Dropped[r], r.String())
		}
		counter(s, dropped, n.Sum(bootstrap.Shed), bootstrap.Shed.String())
		for family, f := range map[string]bootnode.FamilyStats{ipv4: n.V4, ipv6: n.V6} {
			if f.Has {
				gauge(s, nodes, f.Nodes, family)
				gauge(s, size, f.Size, family)
			}
		}
		gauge(s, waiting, n.Waiting)
		counter(s, noted, n.Noted)
		counter(s, pings, n.Pinged)
		counter(s, verified, n.Verified)
		counter(s, datagrams, n.In, in)
		counter(s, datagrams, n.Out, out)
		counter(s, bytes, n.InBytes, in)
		counter(s, bytes, n.OutBytes, out)
		gauge(s, sockets, n.Running, "true")
		gauge(s, sockets, n.Loops-n.Running, "false")
	}
	return g
}
