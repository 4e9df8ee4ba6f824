//go:build linux

package integration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Two machines publish under one key again and again at the same time, and meanwhile a torrent is removed from the catalogue of the
// same store. Each version gets a number of its own, all of them are in the record in the store, and of the catalogue the other
// torrent is left. The second remove of the torrent says that it is not there.
func TestPublishersAtTheSameTime(t *testing.T) {
	t.Parallel()
	need(t)
	ctx := timeLimit(t)
	entries := private4.entries(t)
	o := startObjectStore(ctx, t, "10.20.3.1")
	var films []*payload
	for i := range 2 {
		p := single(t, fmt.Sprint("film of publishers ", i), 1<<20)
		o.put(ctx, p, "films/")
		output(ctx, t, append(o.command(), "catalogue", "add", p.torrent, "--store", inStore)...)
		films = append(films, p)
	}
	states := []string{t.TempDir(), t.TempDir()}
	key := filepath.Join(t.TempDir(), "key")
	output(ctx, t, seedbed, "key", "new", "site", "--state", states[0])
	output(ctx, t, seedbed, "key", "export", "site", "-o", key, "--state", states[0])
	output(ctx, t, seedbed, "key", "import", "site", key, "--state", states[1])

	var publishers []*ours
	var dirs []string
	for i, state := range states {
		dirs = append(dirs, folderOf(t, fmt.Sprint("the first of ", i)))
		publishers = append(publishers, runAs(t, o.command(), fmt.Sprint("10.20.3.", 11+i), entered(entries, "publish", dirs[i], "--key", "site", "--state", state,
			"--watch", "--watch-every", "300ms", "--store", inStore, "--cache", t.TempDir(), "--cache-size", "1G")...))
	}
	output(ctx, t, append(o.command(), "catalogue", "remove", films[0].infohash, "--store", inStore)...)
	const rounds = 3
	seen := map[int64]string{} // infohashes by number
	last := make([]int64, len(publishers))
	for round := range rounds {
		for i, p := range publishers {
			e := p.wait(ctx, "published", func(e event) bool { return e.Seq > last[i] })
			last[i] = e.Seq
			if was := seen[e.Seq]; was != "" {
				t.Errorf("version %d is %s and %s", e.Seq, was, e.Infohash)
			}
			seen[e.Seq] = e.Infohash
		}
		if round < rounds-1 {
			for i, dir := range dirs {
				must(t, os.WriteFile(filepath.Join(dir, fmt.Sprint("round ", round)), fmt.Append(nil, round, i), 0o644))
			}
		}
	}
	for number := range int64(rounds * len(publishers)) {
		if seen[number+1] == "" {
			t.Errorf("there is no version %d among %v", number+1, slices.Sorted(maps.Keys(seen)))
		}
	}
	records, err := filepath.Glob(filepath.Join(o.folder, "films", ".seedbed", "publications", "*"))
	must(t, err)
	if len(records) != 1 {
		t.Fatal(records)
	}
	b, err := os.ReadFile(records[0])
	must(t, err)
	var record struct {
		Versions []struct {
			Seq int64
			By  string
		}
	}
	must(t, json.Unmarshal(b, &record))
	by := map[string]int{}
	for i, v := range record.Versions {
		by[v.By]++
		if v.Seq != int64(i+1) {
			t.Errorf("version %d of the record has the number %d", i+1, v.Seq)
		}
	}
	if len(record.Versions) != rounds*len(publishers) || len(by) != 2 {
		t.Errorf("the record has %d versions, by %v", len(record.Versions), by)
	}

	left, err := filepath.Glob(filepath.Join(o.folder, "films", ".seedbed", "torrents", "*"))
	must(t, err)
	if len(left) != 1 || filepath.Base(left[0]) != films[1].infohash+".torrent" {
		t.Errorf("the catalogue has %v", left)
	}
	argv := append(o.command(), "catalogue", "remove", films[0].infohash, "--store", inStore)
	var said bytes.Buffer
	again := exec.CommandContext(ctx, argv[0], argv[1:]...)
	again.Stderr = &said
	if err := again.Run(); err == nil || !strings.Contains(said.String(), "the catalogue does not have this torrent") {
		t.Errorf("the second removal: %v, %s", err, said.String())
	}
}
