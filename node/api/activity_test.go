package api_test

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/api"
)

// The activity of a torrent says what became of its peers, and its log has what happened in order.
func TestActivityAndLogOfATorrent(t *testing.T) {
	seed, r := newRig(t), newRig(t)
	shared, addr := seed.seeds(t, metainfo.V1)
	var made object
	body := object{"link": node.LinkOf(shared.Info), "peers": []string{addr, "127.0.0.1:1"}}
	if code := r.do("POST", "/v1/torrents", body, &made); code != 201 {
		t.Fatalf("%d %v", code, made)
	}
	x := r.d.Node().Torrent(shared.Info.Hash)
	select {
	case <-x.Done():
	case <-time.After(time.Minute):
		t.Fatal("the download does not end")
	}
	var a api.Activity
	eventually(t, func() bool {
		r.do("GET", "/v1/torrents/1/activity", nil, &a)
		return a.Peers.Failed["refused"] > 0
	})
	if a.Peers.Handshaken == 0 || a.Peers.Accepted == 0 || !a.Metadata.Known || a.Pieces.Have != a.Pieces.Total || a.Pieces.Total == 0 || a.Lookup == nil || a.Lookup.Kind != node.LookupOff {
		t.Errorf("%+v", a)
	}
	var log api.TorrentLog
	eventually(t, func() bool {
		r.do("GET", "/v1/torrents/1/log", nil, &log)
		return slices.ContainsFunc(log.Entries, func(e api.LogEntry) bool { return e.Text == "it is seeding" }) &&
			slices.ContainsFunc(log.Entries, func(e api.LogEntry) bool { return e.Event == "complete" })
	})
	var events []string
	for i, e := range log.Entries {
		if e.Text == "" || i > 0 && e.Time.Before(log.Entries[i-1].Time) {
			t.Errorf("%+v", log.Entries)
		}
		if e.Event != "state" {
			events = append(events, e.Event)
		}
	}
	if got := strings.Join(events, " "); got != "added metadata first_piece complete" {
		t.Errorf("%s: %+v", got, log.Entries)
	}
	if i := slices.IndexFunc(log.Entries, func(e api.LogEntry) bool { return e.Event == "metadata" }); i < 0 || !regexp.MustCompile(`^the metadata is known: [0-9.]+ kB in 2 files$`).MatchString(log.Entries[i].Text) {
		t.Errorf("metadata: %+v", log.Entries)
	}
	if code := r.do("POST", "/v1/torrents/1/pause?wait=60", nil, nil); code != 200 {
		t.Fatal(code)
	}
	a = api.Activity{}
	if r.do("GET", "/v1/torrents/1/activity", nil, &a); a.State != "paused" || a.Lookup != nil {
		t.Errorf("%+v", a)
	}
	for range 30 { // more than the log has
		r.do("POST", "/v1/torrents/1/resume?wait=60", nil, nil)
		r.do("POST", "/v1/torrents/1/pause?wait=60", nil, nil)
	}
	eventually(t, func() bool {
		r.do("GET", "/v1/torrents/1/log", nil, &log)
		return len(log.Entries) == 50
	})
}

// eventually waits until is returns true.
func eventually(t *testing.T, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it does not become true")
		}
	}
}
