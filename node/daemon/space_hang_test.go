package daemon

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"seedbed/node"
)

// The last measured space is there at once while the disk hangs, and its time does not advance.
func TestTheLastSpaceDoesNotWaitForADisk(t *testing.T) {
	dir := t.TempDir()
	given := DefaultSettings()
	given.Dir = filepath.Join(dir, "data")
	d, err := Open(t.Context(), Config{Node: node.Config{State: filepath.Join(dir, "state"), NoDHT: true, Listen: "127.0.0.1:0"}, Settings: given})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(context.Background())
	await := func(what string, f func() bool) {
		t.Helper()
		for end := time.Now().Add(2 * time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("timeout while waiting for %s", what)
			}
		}
	}
	await("the first measurement", func() bool { s, _, ok := d.LastSpace(); return ok && s.Total > 0 })
	before, at, _ := d.LastSpace()
	reached, release := hangBelow(t, dir)
	d.spaces.mu.Lock()
	for _, m := range d.spaces.of.Values() {
		m.at = at.Add(-spaceFor) // so that the next call measures again
	}
	d.spaces.mu.Unlock()
	d.LastSpace()
	<-reached
	during, old, ok := d.LastSpace()
	if !ok || during != before || !old.Equal(at.Add(-spaceFor)) {
		t.Errorf("while the disk hangs: %+v of %v, %v; before %+v of %v", during, old, ok, before, at)
	}
	release()
	await("a new measurement", func() bool { _, now, _ := d.LastSpace(); return now.After(at) })
}
