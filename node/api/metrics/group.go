package metrics

import "github.com/prometheus/client_golang/prometheus"

// prefix is the beginning of all names.
const prefix = "seedbed_"

// A group is metrics that are read together at each scrape.
type group struct {
	descs   []*prometheus.Desc
	collect func(sink)
}

// describe describes a metric, and returns what a sink needs to know of it.
func (g *group) describe(name, help string, labels ...string) *prometheus.Desc {
	d := prometheus.NewDesc(prefix+name, help, labels, nil)
	g.descs = append(g.descs, d)
	return d
}

// Describe implements prometheus.Collector.
func (g *group) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range g.descs {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (g *group) Collect(ch chan<- prometheus.Metric) { g.collect(sink{ch}) }

// A sink takes the values of a scrape.
type sink struct{ ch chan<- prometheus.Metric }

type number interface {
	~int | ~int64 | ~uint64 | ~float64
}

func counter[T number](s sink, d *prometheus.Desc, value T, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
}

func gauge[T number](s sink, d *prometheus.Desc, value T, labels ...string) {
	s.ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
}

// The values of the labels family and direction.
const (
	ipv4, ipv6 = "ipv4", "ipv6"
	in, out    = "in", "out"
)
