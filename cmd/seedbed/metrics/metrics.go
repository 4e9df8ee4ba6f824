// Package metrics serves the metrics and the health of a bootstrap node over HTTP. It
// defines the names of the metrics, which the manual lists; it counts nothing itself.
package metrics

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"seedbed/dht/bootnode"
	"seedbed/dht/bootstrap"
)

// A Source provides the statistics.
type Source interface{ Stats() bootnode.Stats }

// Server serves /metrics and /healthz.
type Server struct {
	*http.Server
	Addr string
}

// Serve starts a server at addr. The caller closes it.
func Serve(addr string, b Source) (*Server, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("cannot serve metrics at %s: %w", addr, err)
	}
	s := &Server{
		Server: &http.Server{Handler: Handler(b), ReadHeaderTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute},
		Addr:   l.Addr().String(),
	}
	go func() {
		if err := s.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			panic(err) // only our Close ends it
		}
	}()
	return s, nil
}

// Handler answers /metrics and /healthz.
func Handler(b Source) http.Handler {
	reg := prometheus.NewRegistry()
	reg.MustRegister(newCollector(b), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		s := b.Stats()
		if s.Running < s.Loops {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = io.WriteString(w, fmt.Sprintf("%d of %d sockets served, %d nodes verified\n", s.Running, s.Loops, s.V4.Nodes+s.V6.Nodes))
	})
	return mux
}

// collector reads the statistics of a bootstrap node at each scrape.
type collector struct {
	b                               Source
	queries, dropped, nodes, size   *prometheus.Desc
	waiting, noted, pings, verified *prometheus.Desc
	datagrams, bytes, sockets       *prometheus.Desc
}

func newCollector(b Source) *collector {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("seedbed_bootstrap_"+name, help, labels, nil)
	}
	return &collector{
		b:         b,
		queries:   d("queries_total", "Queries that could be read, by kind and by what became of them.", "kind", "outcome"),
		dropped:   d("dropped_total", "Datagrams dropped, by reason.", "reason"),
		nodes:     d("verified_nodes", "Nodes in the ring.", "family"),
		size:      d("ring_size", "Nodes that the ring may have now.", "family"),
		waiting:   d("candidates", "Nodes that wait for their ping."),
		noted:     d("candidates_total", "Nodes that were noted to be pinged later."),
		pings:     d("pings_total", "Pings sent."),
		verified:  d("verifications_total", "Pings answered with their cookie."),
		datagrams: d("datagrams_total", "Datagrams received (in) and sent (out).", "direction"),
		bytes:     d("bytes_total", "Bytes of UDP payload received (in) and sent (out).", "direction"),
		sockets:   d("sockets", "Sockets, by whether they are served.", "served"),
	}
}

// Describe implements prometheus.Collector.
func (m *collector) Describe(ch chan<- *prometheus.Desc) { prometheus.DescribeByCollect(m, ch) }

// Collect implements prometheus.Collector.
func (m *collector) Collect(ch chan<- prometheus.Metric) {
	s := m.b.Stats()
	count := func(d *prometheus.Desc, n uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(n), labels...)
	}
	gauge := func(d *prometheus.Desc, n int, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(n), labels...)
	}
	for k, kind := range bootnode.Kinds() {
		for o := range bootstrap.NumOutcomes {
			count(m.queries, s.Queries[k][o], kind, o.String())
		}
	}
	for r := range bootstrap.NumReasons {
		count(m.dropped, s.Dropped[r], r.String())
	}
	count(m.dropped, s.Sum(bootstrap.Shed), bootstrap.Shed.String())
	for family, f := range map[string]bootnode.FamilyStats{"ipv4": s.V4, "ipv6": s.V6} {
		if f.Has {
			gauge(m.nodes, f.Nodes, family)
			gauge(m.size, f.Size, family)
		}
	}
	gauge(m.waiting, s.Waiting)
	count(m.noted, s.Noted)
	count(m.pings, s.Pinged)
	count(m.verified, s.Verified)
	count(m.datagrams, s.In, "in")
	count(m.datagrams, s.Out, "out")
	count(m.bytes, s.InBytes, "in")
	count(m.bytes, s.OutBytes, "out")
	gauge(m.sockets, s.Running, "true")
	gauge(m.sockets, s.Loops-s.Running, "false")
}
