package metrics

import (
	"net/http"
	"strings"
	"testing"

	"seedbed/dht/bootnode"
	"seedbed/dht/bootstrap"
	"seedbed/dht/krpc"
)

type fixedStats bootnode.Stats

func (s fixedStats) Stats() bootnode.Stats { return bootnode.Stats(s) }

func someStats() (s bootnode.Stats) {
	s.Loops, s.Running = 2, 2
	s.V4 = bootnode.FamilyStats{Has: true, Nodes: 400, Size: 512}
	s.V6 = bootnode.FamilyStats{Has: true, Nodes: 12, Size: 128}
	s.Waiting = 30
	s.Queries[krpc.FindNode][bootstrap.Answered] = 6000
	s.Queries[krpc.FindNode][bootstrap.Small] = 1200
	s.Queries[krpc.Unknown][bootstrap.Shed] = 60
	s.Dropped[bootstrap.Limited] = 120
	s.InBytes, s.OutBytes = 600_000, 1_800_000
	return s
}

func TestBootstrapNode(t *testing.T) {
	code, text := get(t, Bootstrap(fixedStats(someStats()), "1.2"), "/metrics")
	if code != http.StatusOK {
		t.Fatal(code, text)
	}
	for _, line := range []string{
		`seedbed_bootstrap_queries_total{kind="find_node",outcome="answered"} 6000`,
		`seedbed_bootstrap_queries_total{kind="find_node",outcome="answered_small"} 1200`,
		`seedbed_bootstrap_dropped_datagrams_total{reason="limited"} 120`,
		`seedbed_bootstrap_dropped_datagrams_total{reason="shed"} 60`,
		`seedbed_bootstrap_verified_nodes{family="ipv4"} 400`,
		`seedbed_bootstrap_ring_size{family="ipv6"} 128`,
		`seedbed_bootstrap_candidates 30`,
		`seedbed_bootstrap_traffic_bytes_total{direction="in"} 600000`,
		`seedbed_bootstrap_traffic_bytes_total{direction="out"} 1.8e+06`,
		`go_goroutines `,
	} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("no line %s", line)
		}
	}
}

func TestHealthOfABootstrapNode(t *testing.T) {
	s := someStats()
	if code, text := get(t, Bootstrap(fixedStats(s), "1.2"), "/healthz"); code != http.StatusOK || text != "2 of 2 sockets served, 412 nodes verified\n" {
		t.Error(code, text)
	}
	s.Running = 1
	if code, _ := get(t, Bootstrap(fixedStats(s), "1.2"), "/healthz"); code != http.StatusServiceUnavailable {
		t.Error("one of two sockets is served, and the status is", code)
	}
}
