package qbittorrent

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/node"
	"seedbed/swarm/engine"
)

// A preference that seedbed has a setting for shows the setting, and sets it.
func TestPreferencesAreTheSettings(t *testing.T) {
	r := newRig(t)
	r.login()
	in := func(name string) string { return filepath.Join(r.dir, name) }
	for _, c := range []struct {
		set  string         // the JSON of setPreferences
		more map[string]any // what app/preferences shows besides what was set
		get  func() any     // the setting
		want any
	}{
		{set: fmt.Sprintf(`{"save_path":%q}`, in("films")), get: func() any { return r.d.Settings().Dir }, want: in("films")},
		{set: fmt.Sprintf(`{"temp_path":%q,"temp_path_enabled":true}`, in("unfinished")), get: func() any { return r.d.Settings().IncompleteDir }, want: in("unfinished")},
		{set: `{"temp_path_enabled":false}`, more: map[string]any{"temp_path": in("unfinished")}, get: func() any { return r.d.Settings().IncompleteDir }, want: ""},
		{set: `{"temp_path_enabled":true}`, get: func() any { return r.d.Settings().IncompleteDir }, want: in("unfinished")},
		{set: `{"add_stopped_enabled":true}`, more: map[string]any{"start_paused_enabled": true}, get: func() any { return r.d.Settings().AddPaused }, want: true},
		{set: `{"start_paused_enabled":false}`, more: map[string]any{"add_stopped_enabled": false}, get: func() any { return r.d.Settings().AddPaused }, want: false},
		{set: `{"dl_limit":1000}`, get: func() any { return r.d.Settings().DownRate }, want: int64(1000)},
		{set: `{"up_limit":2000}`, get: func() any { return r.d.Settings().UpRate }, want: int64(2000)},
		{set: `{"alt_dl_limit":3000}`, get: func() any { return r.d.Settings().AltDownRate }, want: int64(3000)},
		{set: `{"alt_up_limit":4000}`, get: func() any { return r.d.Settings().AltUpRate }, want: int64(4000)},
		{set: `{"max_connec":77}`, get: func() any { return r.d.Settings().MaxConns }, want: 77},
		{set: `{"lsd":false}`, get: func() any { return r.d.Settings().NoLSD }, want: true},
		{set: `{"max_uploads_per_torrent":9}`, get: func() any { return r.d.Settings().Uploads }, want: 9},
		{set: `{"queueing_enabled":true,"max_active_downloads":3,"max_active_uploads":4}`, get: func() any { return [2]int{r.d.Settings().Queue.Downloads, r.d.Settings().Queue.Seeds} }, want: [2]int{3, 4}},
		{set: `{"queueing_enabled":false}`, more: map[string]any{"max_active_downloads": -1., "max_active_uploads": -1.}, get: func() any { s := r.d.Settings(); return s.Queue.IsOn() }, want: false},
		{set: `{"queueing_enabled":true}`, more: map[string]any{"max_active_downloads": 5.}, get: func() any { return r.d.Settings().Queue.Downloads }, want: 5},
		{set: `{"dont_count_slow_torrents":true,"slow_torrent_inactive_timer":60}`, get: func() any { return r.d.Settings().Queue.Stalled }, want: time.Minute},
		{set: `{"dont_count_slow_torrents":false}`, get: func() any { return r.d.Settings().Queue.Stalled }, want: time.Duration(0)},
		{set: `{"max_ratio_enabled":true,"max_ratio":1.5}`, get: func() any { return r.d.Settings().SeedRatio }, want: 1.5},
		{set: `{"max_ratio_enabled":true,"max_ratio":0}`, get: func() any { return r.d.Settings().SeedRatio }, want: leastRatio},
		{set: `{"max_ratio_enabled":false}`, more: map[string]any{"max_ratio": -1.}, get: func() any { return r.d.Settings().SeedRatio }, want: 0.},
		{set: `{"max_seeding_time_enabled":true,"max_seeding_time":90}`, get: func() any { return r.d.Settings().SeedTime }, want: 90 * time.Minute},
		{set: `{"max_seeding_time_enabled":true,"max_seeding_time":0}`, get: func() any { return r.d.Settings().SeedTime }, want: leastTime},
		{set: `{"max_seeding_time_enabled":false}`, more: map[string]any{"max_seeding_time": -1.}, get: func() any { return r.d.Settings().SeedTime }, want: time.Duration(0)},
		{set: `{"max_inactive_seeding_time_enabled":true,"max_inactive_seeding_time":7}`, get: func() any { return r.d.Settings().SeedIdle }, want: 7 * time.Minute},
		{set: `{"max_inactive_seeding_time_enabled":false}`, more: map[string]any{"max_inactive_seeding_time": -1.}, get: func() any { return r.d.Settings().SeedIdle }, want: time.Duration(0)},
		{set: `{"scheduler_enabled":true,"schedule_from_hour":23,"schedule_from_min":15,"schedule_to_hour":7,"schedule_to_min":30,"scheduler_days":1}`,
			get: func() any { s := r.d.Settings().AltSchedule; return s.String() }, want: "mon,tue,wed,thu,fri 23:15-07:30"},
		{set: `{"scheduler_days":9}`, get: func() any { s := r.d.Settings().AltSchedule; return s.String() }, want: "sun 23:15-07:30"},
		{set: `{"scheduler_enabled":false}`, more: map[string]any{"schedule_from_hour": 23., "scheduler_days": 9.}, get: func() any { s := r.d.Settings().AltSchedule; return s.String() }, want: ""},
		{set: `{"scheduler_enabled":true}`, get: func() any { s := r.d.Settings().AltSchedule; return s.String() }, want: "sun 23:15-07:30"},
	} {
		if code, body := r.post("app/setPreferences", "json="+url.QueryEscape(c.set)); code != 200 {
			t.Errorf("%s: %d %s", c.set, code, body)
			continue
		}
		if got := c.get(); got != c.want {
			t.Errorf("%s: the setting is %v, not %v", c.set, got, c.want)
		}
		want := map[string]any{}
		if err := json.Unmarshal([]byte(c.set), &want); err != nil {
			t.Fatal(err)
		}
		maps.Copy(want, c.more)
		var shown map[string]any
		r.object("app/preferences", &shown)
		for key, v := range want {
			if shown[key] != v {
				t.Errorf("%s: %s is shown as %v, not %v", c.set, key, shown[key], v)
			}
		}
	}

	// A client that posts everything that it has read changes nothing.
	_, all := r.get("app/preferences")
	before := fmt.Sprint(r.d.Settings())
	if code, body := r.post("app/setPreferences", "json="+url.QueryEscape(all)); code != 200 {
		t.Errorf("all preferences: %d %s", code, body)
	}
	if after := fmt.Sprint(r.d.Settings()); after != before {
		t.Errorf("all preferences as they were read change\n%s to\n%s", before, after)
	}

	for _, bad := range []string{`{"scheduler_days":10}`, `{"scheduler_days":-1}`, `{"schedule_from_hour":24}`, `{"schedule_to_min":-1}`, `{"temp_path":"/elsewhere","temp_path_enabled":true}`,
		`{"max_seeding_time":9999999999}`, `{"slow_torrent_inactive_timer":9999999999999}`} {
		if code, _ := r.post("app/setPreferences", "json="+url.QueryEscape(bad)); code != 400 {
			t.Errorf("%s: %d", bad, code)
		}
	}
}

// A torrent is added stopped if the request says so, or if it says nothing and the setting does.
func TestAddedTorrentsStartAsTheRequestOrTheSettingSays(t *testing.T) {
	for _, c := range []struct {
		setting bool
		param   string
		stopped bool
	}{
		{false, "", false}, {false, "&stopped=true", true}, {false, "&paused=true", true},
		{true, "", true}, {true, "&stopped=false", false}, {true, "&paused=false", false}, {true, "&stopped=true", true},
	} {
		r := newRig(t)
		r.login()
		r.post("app/setPreferences", fmt.Sprintf(`json={"add_stopped_enabled":%t}`, c.setting))
		r.post("torrents/add", "urls="+magnet+c.param)
		r.settle()
		if isStopped := r.one(magnet)["state"] == "stoppedDL"; isStopped != c.stopped {
			t.Errorf("setting %t, request %q: stopped %t", c.setting, c.param, isStopped)
		}
	}
}

func TestUTPIsShown(t *testing.T) {
	for on, want := range map[bool]float64{true: 0, false: 1} {
		r := newRig(t, func(cfg *node.Config) { cfg.UTP = on })
		r.login()
		var shown map[string]any
		r.object("app/preferences", &shown)
		if shown["bittorrent_protocol"] != want {
			t.Errorf("with uTP %v, the protocol is %v", on, shown["bittorrent_protocol"])
		}
	}
	o := newObject(nil)
	describePeer(o, &node.PeerInfo{PeerInfo: engine.PeerInfo{UTP: true, Punched: true, Choked: true, PeerChoked: true}})
	if text := string(o.end()); !strings.Contains(text, `"connection":"μTP"`) || !strings.Contains(text, `"flags":"P h"`) {
		t.Error(text)
	}
}
