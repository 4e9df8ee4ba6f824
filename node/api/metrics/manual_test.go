package metrics

import (
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"seedbed/node/fleet"
	"seedbed/node/gateway"
)

var update = flag.Bool("update", false, "rewrite the metrics in the manual")

var manualSection = regexp.MustCompile(`(?s)<!-- metrics: go test ./node/api/metrics -run Manual -update -->\n.*?<!-- end -->\n`)

// The manual lists the metrics with their labels and help.
func TestTheManualListsTheMetrics(t *testing.T) {
	const path = "../../../docs/manual.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(manualSection.FindString(string(b)), "\n")
	if head == "" {
		t.Fatal("the manual has no section for the metrics")
	}
	var table strings.Builder
	table.WriteString(head + "\n| metric | labels | meaning |\n|---|---|---|\n")
	for _, f := range allMetrics(t) {
		fmt.Fprintf(&table, "| `%s` | %s | %s |\n", f.GetName(), labelsOf(f), f.GetHelp())
	}
	fresh := strings.Replace(string(b), manualSection.FindString(string(b)), table.String()+"<!-- end -->\n", 1)
	switch {
	case fresh == string(b):
	case *update:
		if err := os.WriteFile(path, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("the manual's metrics are stale: go test ./node/api/metrics -run Manual -update")
	}
}

// allMetrics returns the metrics of a daemon and of a bootstrap node whose names begin with the prefix.
func allMetrics(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	m := New("1.2")
	m.Watch(openDaemon(t))
	awaitLine(t, m.Scrape(), "seedbed_disk_free_bytes ")
	get(t, m.Observe(http.NotFoundHandler()), "/")
	m.registry.MustRegister(bootstrapNode(fixedStats(someStats())))
	m.registry.MustRegister(fleetOf(func() fleet.Status { return fleet.Status{Members: []fleet.Member{{Self: true}}} }))
	m.WatchGateway(func() gateway.Stats { return gateway.Stats{Requests: map[int]int64{200: 1}} })
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(families, func(f *dto.MetricFamily) bool { return !strings.HasPrefix(f.GetName(), prefix) })
}

// openLabels are labels whose values the manual does not list.
var openLabels = []string{"route", "code", "version", "goversion", "goos", "goarch"}

// labelsOf returns the labels of a metric and their values.
func labelsOf(f *dto.MetricFamily) string {
	values := map[string][]string{}
	for _, m := range f.GetMetric() {
		for _, l := range m.GetLabel() {
			values[l.GetName()] = append(values[l.GetName()], "`"+l.GetValue()+"`")
		}
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		text := "`" + name + "`"
		if list := slices.Compact(slices.Sorted(slices.Values(values[name]))); !slices.Contains(openLabels, name) {
			text += ": " + strings.Join(list, ", ")
			if name == "family" { // which ones a machine has differs
				text = "`family`"
			}
		}
		all = append(all, text)
	}
	return strings.Join(all, "; ")
}
