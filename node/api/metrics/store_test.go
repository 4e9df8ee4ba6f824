package metrics

import (
	"strings"
	"testing"
)

// What the daemon asks of its object store is counted by the kind of the request.
func TestTheStoreIsCounted(t *testing.T) {
	m := New("1.2")
	d := openDaemon(t)
	m.Watch(d)
	store := d.Node().Objects().Store
	before := store.Counts()
	if _, err := store.Stat(t.Context(), "none"); err == nil {
		t.Fatal("there is an object")
	}
	if now := store.Counts(); now.Heads != before.Heads+1 {
		t.Fatalf("%+v, and before %+v", now, before)
	}
	_, text := get(t, m.Scrape(), "/metrics")
	for _, line := range []string{`seedbed_store_requests_total{kind="head"} `, `seedbed_store_bytes_total{operation="read"} `, "seedbed_store_failures_total 0", "seedbed_store_cache_blocks 0", `seedbed_store_cache_reads_total{result="hit"} 0`} {
		if !strings.Contains(text, "\n"+line) {
			t.Errorf("no line %s", line)
		}
	}
	if strings.Contains(text, `seedbed_store_requests_total{kind="head"} 0`) {
		t.Error("the request is not counted")
	}
}
