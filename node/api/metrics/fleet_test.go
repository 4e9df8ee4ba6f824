package metrics

import (
	"testing"

	"seedbed/node/fleet"
)

func TestMetricsOfAFleet(t *testing.T) {
	m := New("1.2")
	m.registry.MustRegister(fleetOf(func() fleet.Status {
		return fleet.Status{Settling: true, Members: []fleet.Member{
			{Name: "a", Self: true, Live: true, Numbers: fleet.Numbers{Torrents: 10, Owned: 7}}, {Name: "b", Live: true, Numbers: fleet.Numbers{Torrents: 10, Owned: 9}}, {Name: "c"}, {Name: "d", Live: true, OtherStore: true},
		}}
	}))
	for _, line := range []string{
		`seedbed_fleet_nodes{state="live"} 2`, `seedbed_fleet_nodes{state="lost"} 1`, `seedbed_fleet_nodes{state="other_store"} 1`,
		"seedbed_fleet_torrents 10", "seedbed_fleet_owned_torrents 7", "seedbed_fleet_settling 1", "seedbed_fleet_unreachable 0",
	} {
		awaitLine(t, m.Scrape(), line)
	}
}
