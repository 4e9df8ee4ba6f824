package qbittorrent

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"seedbed/internal/nodetest"
)

// A follower is a client that follows sync/maindata.
type follower struct {
	*rig
	rid        int64
	torrents   map[string]map[string]any
	tags       []string
	categories map[string]map[string]any
	server     map[string]any
	full       int // full updates
	size       int // of the last answer
}

func follow(r *rig) *follower {
	return &follower{rig: r, torrents: map[string]map[string]any{}, server: map[string]any{}}
}

// poll asks for the changes and merges them, as clients do.
func (f *follower) poll() {
	f.t.Helper()
	code, body := f.get(fmt.Sprintf("sync/maindata?rid=%d", f.rid))
	var a struct {
		Rid             int64
		Full            bool `json:"full_update"`
		Torrents        map[string]map[string]any
		TorrentsRemoved []string `json:"torrents_removed"`
		Categories      map[string]map[string]any
		CategoriesGone  []string `json:"categories_removed"`
		Tags            []string
		TagsRemoved     []string       `json:"tags_removed"`
		Server          map[string]any `json:"server_state"`
	}
	if err := json.Unmarshal([]byte(body), &a); code != 200 || err != nil {
		f.t.Fatalf("%d %s: %v", code, body, err)
	}
	f.rid, f.size = a.Rid, len(body)
	if a.Full {
		f.full++
		f.torrents, f.categories, f.tags = map[string]map[string]any{}, map[string]map[string]any{}, nil
	}
	maps.Copy(f.categories, a.Categories)
	for _, name := range a.CategoriesGone {
		delete(f.categories, name)
	}
	for hash, values := range a.Torrents {
		if f.torrents[hash] == nil {
			f.torrents[hash] = map[string]any{}
		}
		for k, v := range values {
			f.torrents[hash][k] = v
		}
	}
	for _, hash := range a.TorrentsRemoved {
		delete(f.torrents, hash)
	}
	f.tags = append(f.tags, a.Tags...)
	f.tags = slices.DeleteFunc(f.tags, func(t string) bool { return slices.Contains(a.TagsRemoved, t) })
	for k, v := range a.Server {
		f.server[k] = v
	}
}

// check compares what the client has with torrents/info and torrents/tags.
func (f *follower) check() {
	f.t.Helper()
	var list []map[string]any
	f.object("torrents/info", &list)
	if len(list) != len(f.torrents) {
		f.t.Errorf("%d torrents, not %d", len(f.torrents), len(list))
	}
	for _, want := range list {
		got := f.torrents[want["hash"].(string)]
		for key, v := range want {
			switch key {
			case "hash", "time_active", "seeding_time", "last_activity", "popularity", "seen_complete":
			default:
				if fmt.Sprint(got[key]) != fmt.Sprint(v) {
					f.t.Errorf("%s: %s is %v, not %v", want["hash"], key, got[key], v)
				}
			}
		}
	}
	var categories map[string]map[string]any
	f.object("torrents/categories", &categories)
	if fmt.Sprint(categories) != fmt.Sprint(f.categories) {
		f.t.Errorf("categories %v, not %v", f.categories, categories)
	}
	var tags []string
	f.object("torrents/tags", &tags)
	if got := slices.Sorted(slices.Values(f.tags)); !slices.Equal(got, tags) {
		f.t.Errorf("tags %v, not %v", got, tags)
	}
}

// A client that merges the changes has what the lists say, however rarely it asks.
func TestMaindataFollowsTheLists(t *testing.T) {
	r := newRig(t)
	r.login()
	often, rarely := follow(r), follow(r)
	rarely.poll()
	film := ""
	for i, do := range []func(){
		func() {},
		func() { film = r.seed("film", map[string]string{"a": "x"}, map[string]string{"tags": "x,y"}) },
		func() { r.post("torrents/add", "stopped=true&tags=y&urls="+magnet) },
		func() { r.post("torrents/addTags", "tags=z&hashes="+magnet) },
		func() { r.post("torrents/createTags", "tags=made,other") },
		func() { r.post("torrents/createCategory", "category=tv/hd&savePath="+r.dir+"/tv") },
		func() { r.post("torrents/createCategory", "category=other") },
		func() { r.post("torrents/setCategory", "category=tv/hd&hashes="+magnet) },
		func() { r.post("torrents/editCategory", "category=other&savePath="+r.dir+"/other") },
		func() { r.post("torrents/removeCategories", "categories=tv/hd%0Anone") },
		func() { r.post("torrents/stop", "hashes=all") },
		func() { r.post("torrents/setUploadLimit", "limit=9&hashes=all") },
		func() {
			r.post("torrents/setShareLimits", "ratioLimit=3&seedingTimeLimit=-2&inactiveSeedingTimeLimit=-2&hashes=all")
		},
		func() { r.post("torrents/removeTags", "tags=y&hashes="+film) },
		func() { r.post("torrents/deleteTags", "tags=y,made") },
		func() { r.post("torrents/start", "hashes="+film) },
		func() { r.post("transfer/setDownloadLimit", "limit=77") },
		func() { r.post("torrents/delete", "deleteFiles=false&hashes="+film) },
		func() { r.seed("film", map[string]string{"a": "x"}, map[string]string{"tags": "again"}) },
	} {
		do()
		r.settle()
		often.poll()
		often.check()
		if t.Failed() {
			t.Fatalf("after step %d", i)
		}
	}
	rarely.poll()
	rarely.check()
	if often.full != 1 || rarely.full != 1 || often.server["dl_rate_limit"] != 77.0 {
		t.Errorf("%d and %d full updates, %v", often.full, rarely.full, often.server["dl_rate_limit"])
	}
	nodetest.Until(t, time.Minute, "two clients get the same number for the same state", func() bool {
		often.poll() // what the node counts may change between two answers
		rarely.poll()
		return often.rid == rarely.rid
	})
	for _, unknown := range []int64{0, -1, often.rid + 1e6, 1 << 60} {
		f := follow(r)
		f.rid = unknown
		if f.poll(); f.full != 1 {
			t.Errorf("a client with the number %d", unknown)
		}
		f.check()
	}
}

// An answer without changes is small, and so is one about a torrent whose rates change.
func TestMaindataSendsOnlyWhatChanged(t *testing.T) {
	r := newRig(t)
	r.login()
	for i := range 50 {
		r.post("torrents/add", fmt.Sprintf("stopped=true&urls=%040x", i+1))
	}
	r.settle()
	f := follow(r)
	f.poll()
	f.poll()
	f.poll() // the free space may have been measured
	if f.size > 200 || f.full != 1 {
		t.Errorf("%d bytes, %d full updates", f.size, f.full)
	}
	r.post("torrents/setUploadLimit", fmt.Sprintf("limit=9&hashes=%040x", 7))
	if f.poll(); f.size > 3000 || f.size < 1000 {
		t.Errorf("%d bytes about one torrent", f.size)
	}
}

// The number of an answer means nothing to another run of the daemon.
func TestNumbersOfAnswersDoNotOutliveTheDaemon(t *testing.T) {
	seen := map[int64]bool{}
	for range 3 {
		r := newRig(t)
		r.login()
		f := follow(r)
		f.poll()
		if seen[f.rid] || f.rid <= 0 || f.rid >= 1<<31 {
			t.Errorf("number %d", f.rid)
		}
		seen[f.rid] = true
	}
}

// Tags that come and go do not use more and more memory, and a client that was away for a long time
// starts again.
func TestTheMemoryOfMaindataIsBounded(t *testing.T) {
	r := newRig(t)
	r.login()
	f := follow(r)
	f.poll()
	for i := range 1500 {
		r.post("torrents/createTags", fmt.Sprintf("tags=t%d", i))
		r.post("torrents/deleteTags", fmt.Sprintf("tags=t%d", i))
	}
	f.poll()
	f.check()
	if f.full != 2 {
		t.Errorf("%d full updates", f.full)
	}
	if code, _ := r.post("torrents/createTags", "tags="+manyTags(1001)); code != 409 {
		t.Errorf("too many tags: %d", code)
	}
	if code, _ := r.post("torrents/createTags", "tags="+strings.Repeat("x", 129)); code != 409 {
		t.Errorf("a long tag: %d", code)
	}
}

func manyTags(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "tag%d,", i)
	}
	return b.String()
}
