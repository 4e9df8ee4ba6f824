package qbittorrent

import (
	"net/http"
	"slices"
	"strconv"

	"seedbed/internal/reachability"
	"seedbed/node"
	"seedbed/node/daemon"
)

// totals are sums over all torrents.
type totals struct {
	down, up       int64 // bytes a second
	received, sent int64 // bytes, in this run
	wasted         int64
	peers          int64
}

// totals returns the sums over the running torrents.
func (h *handler) totals() (s totals) {
	for _, t := range h.node.Active() {
		x := t.Snapshot()
		s.down += int64(x.DownRate)
		s.up += int64(x.UpRate)
		s.received += x.Downloaded
		s.sent += x.Uploaded
		s.wasted += x.Wasted
		s.peers += int64(x.Connected)
	}
	return s
}

// rates returns the limits of all torrents together that apply now.
func rates(set *daemon.Settings) (down, up int64) {
	if set.AltLimits {
		return set.AltDownRate, set.AltUpRate
	}
	return set.DownRate, set.UpRate
}

// connection returns the state of the connection to other nodes: firewalled only if peers have reported that they
// cannot connect to us.
func (h *handler) connection() string { return connectionOf(h.node.Reachabilities()) }

func connectionOf(all []*node.Reachability) string {
	if len(all) == 0 {
		return "disconnected"
	}
	closed := func(r *node.Reachability) bool { return r.Verdict == reachability.NotReachable }
	open := func(r *node.Reachability) bool { return r.Verdict == reachability.Reachable }
	if slices.ContainsFunc(all, closed) && !slices.ContainsFunc(all, open) {
		return "firewalled"
	}
	return "connected"
}

func transferInfo(c *call) error {
	set, s := c.Daemon.Settings(), c.totals()
	down, up := rates(&set)
	o := newObject(nil)
	o.str("connection_status", c.connection())
	o.int("dht_nodes", int64(c.node.DHTNodes()))
	o.int("dl_info_data", s.received)
	o.int("dl_info_speed", s.down)
	o.int("dl_rate_limit", down)
	o.int("up_info_data", s.sent)
	o.int("up_info_speed", s.up)
	o.int("up_rate_limit", up)
	return c.json(o.end())
}

func totalLimit(up bool) func(*call) error {
	return func(c *call) error {
		set := c.Daemon.Settings()
		limit, upLimit := rates(&set)
		if up {
			limit = upLimit
		}
		return c.text(strconv.FormatInt(limit, 10))
	}
}

func setTotalLimit(up bool) func(*call) error {
	return func(c *call) error {
		if err := c.require("limit"); err != nil {
			return err
		}
		limit := max(c.integer("limit", 0), 0)
		return c.change(func(set *daemon.Settings) error {
			switch {
			case up && set.AltLimits:
				set.AltUpRate = limit
			case up:
				set.UpRate = limit
			case set.AltLimits:
				set.AltDownRate = limit
			default:
				set.DownRate = limit
			}
			return nil
		})
	}
}

func speedLimitsMode(c *call) error {
	set := c.Daemon.Settings()
	if set.AltLimits {
		return c.text("1")
	}
	return c.text("0")
}

func toggleSpeedLimitsMode(c *call) error {
	return c.change(func(set *daemon.Settings) error {
		set.AltLimits = !set.AltLimits
		return nil
	})
}

func setSpeedLimitsMode(c *call) error {
	if err := c.require("mode"); err != nil {
		return err
	}
	mode, err := strconv.Atoi(c.get("mode"))
	if err != nil {
		return fail(http.StatusBadRequest, "'mode': invalid argument")
	}
	return c.change(func(set *daemon.Settings) error {
		set.AltLimits = mode != 0
		return nil
	})
}
