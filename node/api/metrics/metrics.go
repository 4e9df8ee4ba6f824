// Package metrics serves the numbers of a daemon or of a bootstrap node in the Prometheus format, and their health.
//
// New counts HTTP requests from the start and answers /healthz and /readyz. Watch adds the numbers of a daemon,
// which are read at each scrape: they cost nothing in between, a scrape waits for neither a disk nor
// a peer, and its time does not depend on the number of torrents.
//
// All names begin with seedbed_. Sizes are in bytes, durations in seconds. No label has a value that a peer, a
// client or a torrent chooses, so that the number of time series is bounded; what exists for both
// address families has the label family (ipv4, ipv6), and what goes both ways the label direction (in, out).
package metrics

import (
	"net/http"
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"seedbed/node/daemon"
)

// Metrics is the metrics of a process that runs a daemon. Its methods may be called from any goroutine.
type Metrics struct {
	registry *prometheus.Registry
	health   health
	requests *requests
}

// New returns metrics that know no daemon yet. version is that of the program.
func New(version string) *Metrics {
	m := &Metrics{registry: newRegistry(version)}
	m.requests = newRequests(m.registry)
	m.health.set("the session is being restored")
	return m
}

// newRegistry returns a registry with what every program has: the version, and the numbers of the process and of Go.
func newRegistry(version string) *prometheus.Registry {
	r := prometheus.NewRegistry()
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: prefix + "build_info", Help: "Always 1. The labels describe the program."},
		[]string{"version", "goversion", "goos", "goarch"})
	build.WithLabelValues(version, runtime.Version(), runtime.GOOS, runtime.GOARCH).Set(1)
	r.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Watch adds the numbers of a daemon. The daemon is ready from then on, once the records of its publications and
// follows are read, until Ending is called. It is ready before all publications are resumed: that needs the DHT and
// can take minutes, in which the daemon answers all requests.
func (m *Metrics) Watch(d *daemon.Daemon) {
	n := d.Node()
	m.registry.MustRegister(torrents(n), transfers(n), peers(n), reachable(n), disk(d), publications(d))
	if o := n.Objects(); o != nil {
		m.registry.MustRegister(store(o))
	}
	if dht, err := n.DHT(); err == nil {
		m.registry.MustRegister(dhtTraffic(dht), dhtNodes(dht), lookups(dht), announces(n))
	}
	if f, err := d.Fleet(); err == nil {
		m.registry.MustRegister(fleetOf(f.Status))
	}
	m.health.watch(func() string {
		if !d.Counts().Opened {
			return "the records of publications and follows are being read"
		}
		return ""
	})
}

// Ending says that the process is ending, so that it is not ready any more.
func (m *Metrics) Ending() { m.health.set("the daemon is ending") }

// maxScrapes is how many scrapes are answered at a time.
const maxScrapes = 8

// Scrape returns the handler of /metrics.
func (m *Metrics) Scrape() http.Handler { return scrape(m.registry) }

func scrape(r *prometheus.Registry) http.Handler {
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes})
}

// Handler returns the handler of a listener of its own: /metrics, /healthz and /readyz without a token.
func (m *Metrics) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.Scrape())
	m.AddHealth(mux)
	return mux
}

// AddHealth adds /healthz, which answers 200 while the process serves, and /readyz, which answers 200 while
// the daemon does its work, otherwise 503 and the reason.
func (m *Metrics) AddHealth(mux *http.ServeMux) {
	mux.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, _ *http.Request) { answerHealth(w, "") })
	mux.HandleFunc("GET "+readyPath, func(w http.ResponseWriter, _ *http.Request) { answerHealth(w, m.health.reason()) })
}
