package qbittorrent

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"path/filepath"
	"time"

	"seedbed/node/daemon"
)

// refreshEvery is the interval of polls that the interface recommends, in milliseconds.
const refreshEvery = 1500

// Values of bittorrent_protocol.
const (
	tcpAndUTP = 0
	tcpOnly   = 1
)

// preferences answers with the settings that seedbed has, under their names in qBittorrent, and
// with others that programs read before they add a torrent.
func preferences(c *call) error {
	set := c.Daemon.Settings()
	_, noDHT := c.node.Items()
	o := newObject(nil)
	o.str("locale", "en")
	o.str("save_path", c.Daemon.Dir())
	o.bool("temp_path_enabled", set.IncompleteDir != "")
	o.str("temp_path", c.shownTemp(&set))
	o.bool("auto_tmm_enabled", false)
	o.bool("use_subcategories", true)
	o.bool("add_stopped_enabled", set.AddPaused)
	o.bool("start_paused_enabled", set.AddPaused) // its name before 5.0
	o.str("torrent_content_layout", "Original")
	o.bool("preallocate_all", false)
	o.bool("dht", noDHT == nil)
	o.bool("pex", true)
	o.bool("lsd", !set.NoLSD)
	o.int("listen_port", int64(c.port()))
	_, isMapping := c.node.PortMapping()
	o.bool("upnp", isMapping)
	o.bool("random_port", false)
	o.str("announce_ip", "") // there are no trackers
	o.bool("ip_filter_enabled", set.Blocklist.Len() > 0)
	o.int("dl_limit", set.DownRate)
	o.int("up_limit", set.UpRate)
	o.int("alt_dl_limit", set.AltDownRate)
	o.int("alt_up_limit", set.AltUpRate)
	writeSchedule(o, c.shownSchedule())
	o.bool("scheduler_enabled", set.AltSchedule.IsSet())
	protocol := int64(tcpOnly)
	if c.node.UsesUTP() {
		protocol = tcpAndUTP
	}
	o.int("bittorrent_protocol", protocol)
	o.int("max_connec", int64(set.MaxConns))
	o.int("max_connec_per_torrent", maxConnections)
	o.int("max_uploads", noLimit)
	o.int("max_uploads_per_torrent", int64(set.Uploads))
	o.bool("queueing_enabled", set.Queue.IsOn())
	o.int("max_active_downloads", orNone(set.Queue.Downloads))
	o.int("max_active_uploads", orNone(set.Queue.Seeds))
	o.int("max_active_torrents", noLimit)
	o.bool("dont_count_slow_torrents", set.Queue.Stalled > 0)
	o.int("slow_torrent_inactive_timer", int64(set.Queue.Stalled/time.Second))
	o.bool("max_ratio_enabled", set.SeedRatio > 0)
	o.float("max_ratio", limitOf(cmp.Or(set.SeedRatio, noLimit)))
	o.bool("max_seeding_time_enabled", set.SeedTime > 0)
	o.int("max_seeding_time", minutesOf(cmp.Or(set.SeedTime, noLimit)))
	o.bool("max_inactive_seeding_time_enabled", set.SeedIdle > 0)
	o.int("max_inactive_seeding_time", minutesOf(cmp.Or(set.SeedIdle, noLimit)))
	o.int("max_ratio_act", 0) // stop
	o.int("refresh_interval", refreshEvery)
	o.bool("rss_processing_enabled", false)
	o.bool("rss_auto_downloading_enabled", false)
	o.bool("bypass_local_auth", false)
	return c.json(o.end())
}

// orNone returns a limit of the settings, in which 0 means none, as qBittorrent writes it.
func orNone(limit int) int64 {
	if limit <= 0 {
		return noLimit
	}
	return int64(limit)
}

// port returns the port on which peers reach the node.
func (h *handler) port() uint16 {
	for _, a := range h.node.Addrs() {
		return a.Port()
	}
	return 0
}

// A change has the preferences that setPreferences knows. It ignores all others, as qBittorrent
// does. Each is nil if it was not given.
type change struct {
	Port            *uint16  `json:"listen_port"`
	Dir             *string  `json:"save_path"`
	DownLimit       *int64   `json:"dl_limit"`
	UpLimit         *int64   `json:"up_limit"`
	AltDownLimit    *int64   `json:"alt_dl_limit"`
	AltUpLimit      *int64   `json:"alt_up_limit"`
	MaxConns        *int     `json:"max_connec"`
	Uploads         *int     `json:"max_uploads_per_torrent"`
	Ratio           *float64 `json:"max_ratio"`
	RatioEnabled    *bool    `json:"max_ratio_enabled"`
	SeedTime        *int64   `json:"max_seeding_time"`
	SeedTimeEnabled *bool    `json:"max_seeding_time_enabled"`
	Idle            *int64   `json:"max_inactive_seeding_time"`
	IdleEnabled     *bool    `json:"max_inactive_seeding_time_enabled"`
	Queueing        *bool    `json:"queueing_enabled"`
	Downloads       *int     `json:"max_active_downloads"`
	Seeds           *int     `json:"max_active_uploads"`
	StalledEnabled  *bool    `json:"dont_count_slow_torrents"`
	Stalled         *int64   `json:"slow_torrent_inactive_timer"` // seconds
	AddStopped      *bool    `json:"add_stopped_enabled"`
	AddPaused       *bool    `json:"start_paused_enabled"` // its name before 5.0
	LSD             *bool    `json:"lsd"`
	Temp            *string  `json:"temp_path"`
	TempEnabled     *bool    `json:"temp_path_enabled"`
	scheduleChange
}

func setPreferences(c *call) error {
	if err := c.require("json"); err != nil {
		return err
	}
	var p change
	if err := json.Unmarshal([]byte(c.get("json")), &p); err != nil {
		return fail(http.StatusBadRequest, "the preferences are not valid: %v", err)
	}
	return c.change(func(set *daemon.Settings) error { return p.apply(c.handler, set) })
}

// apply changes the settings.
func (p *change) apply(h *handler, set *daemon.Settings) error {
	if p.Dir != nil && *p.Dir != "" {
		set.Dir = *p.Dir
	}
	if p.Port != nil && *p.Port != h.port() {
		set.Port = int(*p.Port)
	}
	p.applyTemp(h, set)
	if on := cmp.Or(p.AddStopped, p.AddPaused); on != nil {
		set.AddPaused = *on
	}
	if p.LSD != nil {
		set.NoLSD = !*p.LSD
	}
	assign(&set.DownRate, p.DownLimit)
	assign(&set.UpRate, p.UpLimit)
	assign(&set.AltDownRate, p.AltDownLimit)
	assign(&set.AltUpRate, p.AltUpLimit)
	assign(&set.MaxConns, p.MaxConns) // 0: the default, since there is always a limit
	assign(&set.Uploads, p.Uploads)
	if p.Ratio != nil {
		if set.SeedRatio = 0; *p.Ratio >= 0 {
			set.SeedRatio = max(*p.Ratio, leastRatio)
		}
	}
	if isOff(p.RatioEnabled) {
		set.SeedRatio = 0
	}
	return errors.Join(
		p.applyQueue(&set.Queue),
		p.scheduleChange.apply(h, set),
		assignTime(&set.SeedTime, p.SeedTime, p.SeedTimeEnabled),
		assignTime(&set.SeedIdle, p.Idle, p.IdleEnabled))
}

// applyQueue changes the settings of the queue.
func (p *change) applyQueue(q *daemon.QueueSettings) error {
	assign(&q.Downloads, p.Downloads)
	assign(&q.Seeds, p.Seeds)
	switch {
	case isOff(p.Queueing):
		q.Downloads, q.Seeds = 0, 0
	case p.Queueing != nil && !q.IsOn():
		q.Downloads = daemon.DefaultQueueSettings().Downloads
	}
	if p.Stalled != nil {
		if *p.Stalled > maxMinutes {
			return fail(http.StatusBadRequest, "a time of more than %d seconds", maxMinutes)
		}
		q.Stalled = time.Duration(max(*p.Stalled, 0)) * time.Second
	}
	switch {
	case isOff(p.StalledEnabled):
		q.Stalled = 0
	case p.StalledEnabled != nil && q.Stalled == 0:
		q.Stalled = daemon.DefaultQueueSettings().Stalled
	}
	return nil
}

// applyTemp changes the folder for incomplete data. Clients may switch it on without giving its
// name.
func (p *change) applyTemp(h *handler, set *daemon.Settings) {
	dir := h.shownTemp(set)
	if p.Temp != nil && *p.Temp != "" {
		dir = *p.Temp
	}
	isOn := set.IncompleteDir != ""
	if p.TempEnabled != nil {
		isOn = *p.TempEnabled
	}
	h.temp.Store(&dir)
	if set.IncompleteDir = ""; isOn {
		set.IncompleteDir = dir
	}
}

// shownTemp returns the folder for incomplete data, or the one before it was switched off. The
// default is that of qBittorrent.
func (h *handler) shownTemp(set *daemon.Settings) string {
	if dir := h.temp.Load(); dir != nil && set.IncompleteDir == "" {
		return *dir
	}
	return cmp.Or(set.IncompleteDir, filepath.Join(set.Dir, "temp"))
}

// assign sets a limit, if it was given. In the interface, 0 or less means none.
func assign[T int | int64](to *T, limit *T) {
	if limit != nil {
		*to = max(*limit, 0)
	}
}

func isOff(enabled *bool) bool { return enabled != nil && !*enabled }

// assignTime sets a goal in minutes, if it was given. Less than 0 means none; 0 is a goal that is
// reached at once.
func assignTime(to *time.Duration, given *int64, enabled *bool) error {
	if given != nil && *given != minutesOf(cmp.Or(*to, noLimit)) {
		goal, err := minutes(max(*given, noLimit))
		if err != nil {
			return err
		}
		*to = max(goal, 0)
	}
	if isOff(enabled) {
		*to = 0
	}
	return nil
}

// maxMinutes limits the times of goals: about 250 years.
const maxMinutes = 1 << 27

// change changes settings and saves them.
func (h *handler) change(edit func(*daemon.Settings) error) error {
	_, err := h.start(func(ctx context.Context) error { return h.Daemon.ChangeSettings(ctx, edit) })
	return err
}
