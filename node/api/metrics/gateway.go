package metrics

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"seedbed/node/gateway"
)

// WatchGateway adds the numbers of a gateway.
func (m *Metrics) WatchGateway(stats func() gateway.Stats) { m.registry.MustRegister(gatewayOf(stats)) }

func gatewayOf(stats func() gateway.Stats) prometheus.Collector {
	g := new(group)
	requests := g.describe("gateway_requests_total", "Requests to the gateway that have been answered, by status code.", "code")
	sent := g.describe("gateway_sent_bytes_total", "Bytes of files and pages that the gateway has sent.")
	publications := g.describe("gateway_publications", "Publications that the gateway has been asked for and remembers.")
	lookups := g.describe("gateway_lookups", "Publications whose newest version the gateway is looking for.")
	copies := g.describe("gateway_copies", "Versions of which the gateway keeps what was read.")
	cache := g.describe("gateway_cache_bytes", "Disk space of the gateway's cache, updated every ten seconds.")
	g.collect = func(s sink) {
		x := stats()
		for code, n := range x.Requests {
			counter(s, requests, n, strconv.Itoa(code))
		}
		counter(s, sent, x.Sent)
		gauge(s, publications, x.Publications)
		gauge(s, lookups, x.Lookups)
		gauge(s, copies, x.Copies)
		gauge(s, cache, x.CacheBytes)
	}
	return g
}
