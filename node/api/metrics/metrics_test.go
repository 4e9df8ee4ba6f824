package metrics

import (
	"context"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"seedbed/internal/nodetest"
	"seedbed/internal/s3test"
	"seedbed/node"
	"seedbed/node/daemon"
)

// openDaemon returns a daemon with a DHT on the loopback interface.
func openDaemon(t *testing.T) *daemon.Daemon {
	t.Helper()
	dir := t.TempDir()
	given := daemon.DefaultSettings()
	given.Dir = filepath.Join(dir, "data")
	objects := nodetest.Objects(t, s3test.New(t).Open("data"), filepath.Join(dir, "cache"))
	d, err := daemon.Open(t.Context(), daemon.Config{Node: node.Config{State: filepath.Join(dir, "state"), Listen: "127.0.0.1:0", Bootstrap: []string{}, Objects: objects}, Settings: given})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { d.Close(context.Background()) })
	return d
}

// get returns the answer of a handler.
func get(t *testing.T, h http.Handler, path string) (code int, text string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
	return w.Code, w.Body.String()
}

// awaitLine scrapes until there is a line with a beginning.
func awaitLine(t *testing.T, h http.Handler, line string) {
	t.Helper()
	poll(t, line, func() bool {
		code, text := get(t, h, "/metrics")
		if code != http.StatusOK {
			t.Fatal(code, text)
		}
		return strings.Contains("\n"+text, "\n"+line)
	})
}

// poll calls f until it returns true.
func poll(t *testing.T, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(2 * time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("timeout while waiting for %s", what)
		}
	}
}

// A daemon has a line for each state, family and outcome from the start, so that rates can be computed and alerts
// see zeros. The free space comes with a later scrape.
func TestMetricsOfADaemon(t *testing.T) {
	m := New("1.2")
	h := m.Handler()
	if code, text := get(t, h, readyPath); code != http.StatusServiceUnavailable || text != "the session is being restored\n" {
		t.Error(code, text)
	}
	d := openDaemon(t)
	m.Watch(d)
	for _, line := range []string{
		`seedbed_build_info{goarch=`,
		`seedbed_torrents{state="seeding"} 0`,
		`seedbed_torrents_blocked 0`,
		`seedbed_traffic_bytes_total{direction="out",family="ipv6",transport="http"} 0`,
		`seedbed_payload_bytes_total{direction="in"} 0`,
		`seedbed_peers{direction="in",family="ipv4"} 0`,
		`seedbed_peer_dials_total{family="ipv6",outcome="timed_out"} 0`,
		`seedbed_hole_punches_total{step="connected"} 0`,
		`seedbed_incoming_connections_total{outcome="node_full"} 0`,
		`seedbed_disk_queue_jobs{operation="write"} 0`,
		`seedbed_disk_free_bytes `,
		`seedbed_disk_measured_timestamp_seconds `,
		`seedbed_dht_nodes{family="ipv4",state="good"} 0`,
		`seedbed_dht_dropped_datagrams_total{family="ipv4",reason="spoofed"} 0`,
		`seedbed_dht_lookup_duration_seconds_bucket{method="get_peers",le="0.05"} 0`,
		`seedbed_dht_late_announces 0`,
		`seedbed_publications 0`,
		`seedbed_follows 0`,
		`process_start_time_seconds `,
		`go_goroutines `,
	} {
		awaitLine(t, h, line)
	}
	poll(t, "the daemon to be ready", func() bool {
		code, text := get(t, h, readyPath)
		if code != http.StatusOK && text != "publications and follows are being resumed\n" {
			t.Fatal(code, text)
		}
		return code == http.StatusOK
	})
	m.Ending()
	if code, text := get(t, h, readyPath); code != http.StatusServiceUnavailable || text != "the daemon is ending\n" {
		t.Error(code, text)
	}
	if code, text := get(t, h, healthPath); code != http.StatusOK || text != "ok\n" {
		t.Error(code, text)
	}
	// The listener of its own answers until the process ends.
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	awaitLine(t, h, `seedbed_torrents{state="seeding"} 0`)
}

// The names follow the conventions of Prometheus.
func TestNames(t *testing.T) {
	families := allMetrics(t)
	if len(families) < 50 {
		t.Errorf("only %d metrics", len(families))
	}
	problems, err := promlint.NewWithMetricFamilies(families).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
