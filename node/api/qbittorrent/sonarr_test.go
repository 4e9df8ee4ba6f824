package qbittorrent

import (
	"errors"
	"path/filepath"
	"testing"

	"seedbed/node"
	"seedbed/node/lifecycle"
	"seedbed/swarm/engine"
)

// Sonarr and Radarr take a torrent whose content_path is its save_path for one without a file or
// folder of its own, and do not import it.
func TestContentIsBelowTheSavePath(t *testing.T) {
	r := newRig(t)
	r.login()
	for name, files := range map[string]map[string]string{
		"film.mkv": {"": "x"}, "folder": {"a": "x", "b": "y"}, "one": {"a": "x"},
	} {
		x := r.one(r.seed(name, files, nil))
		if x["content_path"] != filepath.Join(r.dir, name) || x["save_path"] != r.dir {
			t.Errorf("%s: %v in %v", name, x["content_path"], x["save_path"])
		}
	}
}

// They refuse to add magnet links if the DHT is off.
func TestThePreferencesSayThatTheDHTIsOn(t *testing.T) {
	r := newRig(t, func(c *node.Config) { c.NoDHT, c.Bootstrap = false, []string{} })
	r.login()
	var p map[string]any
	if r.object("app/preferences", &p); p["dht"] != true {
		t.Errorf("%v", p["dht"])
	}
}

// They ask for the properties at once after an add, and give up after ten times.
func TestATorrentIsThereOnceItsAddIsAnswered(t *testing.T) {
	r := newRig(t)
	r.login()
	for _, link := range []string{magnet, "magnet:?xt=urn:btih:ABABABABABABABABABABABABABABABABABABABAC"} {
		if _, body := r.post("torrents/add", "urls="+link); body != "Ok." {
			t.Fatal(body)
		}
		if code, body := r.get("torrents/properties?hash=" + link[len(link)-40:]); code != 200 {
			t.Errorf("%d %s", code, body)
		}
	}
}

// The states say when they import a torrent, and when they may remove it.
func TestStates(t *testing.T) {
	complete, missing := engine.Stats{Metadata: true, Complete: true}, engine.Stats{Metadata: true}
	with := func(s engine.Stats, down, up float64) engine.Stats {
		s.DownRate, s.UpRate = down, up
		return s
	}
	for _, c := range []struct {
		phase  lifecycle.Phase
		stats  engine.Stats
		forced bool
		want   string
	}{
		{lifecycle.Adding, engine.Stats{}, false, "checkingResumeData"},
		{lifecycle.Queued, missing, false, "queuedDL"},
		{lifecycle.Queued, complete, false, "queuedUP"},
		{lifecycle.Metadata, engine.Stats{}, false, "metaDL"},
		{lifecycle.Metadata, engine.Stats{}, true, "forcedMetaDL"},
		{lifecycle.Checking, missing, false, "checkingDL"},
		{lifecycle.Checking, complete, true, "checkingUP"},
		{lifecycle.Downloading, missing, false, "stalledDL"},
		{lifecycle.Downloading, with(missing, 5, 0), false, "downloading"},
		{lifecycle.Downloading, with(missing, 5, 0), true, "forcedDL"},
		{lifecycle.Seeding, complete, false, "stalledUP"},
		{lifecycle.Seeding, with(complete, 0, 5), false, "uploading"},
		{lifecycle.Seeding, complete, true, "forcedUP"},
		{lifecycle.Parked, complete, false, "stalledUP"},
		{lifecycle.Paused, complete, false, "stoppedUP"}, // also if a seeding goal has stopped it
		{lifecycle.Paused, missing, false, "stoppedDL"},
		{lifecycle.Paused, engine.Stats{}, false, "stoppedDL"},
		{lifecycle.Missing, missing, false, "missingFiles"},
		{lifecycle.Moving, complete, false, "moving"},
		{lifecycle.Failed, missing, false, "error"},
	} {
		if got := stateOf(c.phase, &node.Snapshot{Stats: c.stats, State: c.phase}, c.forced); got != c.want {
			t.Errorf("%v, complete %v: %s, not %s", c.phase, c.stats.Complete, got, c.want)
		}
	}
	if got := stateOf(lifecycle.Downloading, &node.Snapshot{Stats: missing, State: lifecycle.Downloading, Paused: errors.New("disk full")}, false); got != "error" {
		t.Errorf("a full disk: %s", got)
	}
}

// A goal is read back as it was set: they compare it with the ratio before they remove a torrent.
func TestShareLimitsAreReadBack(t *testing.T) {
	r := newRig(t)
	r.login()
	r.post("torrents/add", "stopped=true&urls="+magnet)
	for _, c := range []struct {
		ratio, minutes, idle string
		want, effective      [3]float64
	}{
		{"1.5", "90", "7", [3]float64{1.5, 90, 7}, [3]float64{1.5, 90, 7}},
		{"0", "0", "0", [3]float64{0, 0, 0}, [3]float64{0, 0, 0}},
		{"-1", "-1", "-1", [3]float64{-1, -1, -1}, [3]float64{-1, -1, -1}},
		{"-2", "-2", "-2", [3]float64{-2, -2, -2}, [3]float64{2, 60, -1}},
	} {
		r.post("app/setPreferences", `json={"max_ratio":2,"max_ratio_enabled":true,"max_seeding_time":60}`)
		if code, body := r.post("torrents/setShareLimits", "hashes=all&ratioLimit="+c.ratio+"&seedingTimeLimit="+c.minutes+"&inactiveSeedingTimeLimit="+c.idle); code != 200 {
			t.Fatalf("%d %s", code, body)
		}
		x := r.one(magnet)
		for i, key := range []string{"ratio_limit", "seeding_time_limit", "inactive_seeding_time_limit"} {
			if x[key] != c.want[i] {
				t.Errorf("%s: %v, not %v", key, x[key], c.want[i])
			}
		}
		for i, key := range []string{"max_ratio", "max_seeding_time", "max_inactive_seeding_time"} {
			if x[key] != c.effective[i] {
				t.Errorf("%s: %v, not %v", key, x[key], c.effective[i])
			}
		}
	}
	if code, _ := r.post("torrents/setShareLimits", "hashes=all&ratioLimit=1&seedingTimeLimit=9999999999&inactiveSeedingTimeLimit=1"); code != 400 {
		t.Errorf("a time that is too long: %d", code)
	}
}
