package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"seedbed/node/fleet"
)

// fleetOf returns the metrics of a fleet, as this node sees it. Those of each node are its own.
func fleetOf(status func() fleet.Status) prometheus.Collector {
	g := new(group)
	nodes := g.describe("fleet_nodes", "Nodes of the fleet that are known: live ones, lost ones whose torrents have not moved yet, and those with another store.", "state")
	torrents := g.describe("fleet_torrents", "Infohashes of the catalogue of the store that this node shares. Torrents that were added by hand are not counted.")
	owned := g.describe("fleet_owned_torrents", "Infohashes of the catalogue of the store that this node owns and announces.")
	settling := g.describe("fleet_settling", "1 while nodes have joined or left and the torrents are not divided anew yet.")
	alone := g.describe("fleet_unreachable", "1 if none of the nodes of --fleet can be reached.")
	g.collect = func(s sink) {
		x := status()
		var live, lost, other int
		for i := range x.Members {
			switch m := &x.Members[i]; {
			case !m.Live:
				lost++
			case m.OtherStore:
				other++
			default:
				live++
			}
			if m := &x.Members[i]; m.Self {
				gauge(s, torrents, m.Torrents)
				gauge(s, owned, m.Owned)
			}
		}
		gauge(s, nodes, live, "live")
		gauge(s, nodes, lost, "lost")
		gauge(s, nodes, other, "other_store")
		gauge(s, settling, number01(x.Settling))
		gauge(s, alone, number01(x.Unreachable != ""))
	}
	return g
}

func number01(is bool) int {
	if is {
		return 1
	}
	return 0
}
