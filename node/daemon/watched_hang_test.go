package daemon

import (
	"context"
	"path/filepath"
	"slices"
	"testing"

	"seedbed/node"
	"seedbed/node/daemon/watch"
)

// A watched folder on a disk that hangs delays the watching of no other when the list changes. It is
// watched anew when the disk is back, and by one watcher at a time.
func TestAWatchedFolderThatHangsDelaysNoOther(t *testing.T) {
	dir := t.TempDir()
	nas, other := filepath.Join(dir, "nas"), filepath.Join(dir, "other")
	given := DefaultSettings()
	given.Dir, given.Watch = filepath.Join(dir, "data"), []string{nas}
	back, began := make(chan struct{}), make(chan string)
	defer func() { watchFolder = (*watch.Folder).Watch }()
	watchFolder = func(f *watch.Folder, ctx context.Context) {
		began <- f.Dir
		if f.Dir == nas {
			<-back
		}
		<-ctx.Done()
	}
	d, err := Open(t.Context(), Config{Node: node.Config{State: filepath.Join(dir, "state"), NoDHT: true, Listen: "127.0.0.1:0"}, Settings: given})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(context.Background())
	next := func(want string) {
		t.Helper()
		if got := <-began; got != want {
			t.Errorf("%s is watched next, not %s", got, want)
		}
	}
	next(nas)
	for _, list := range [][]string{{nas, other}, {other}, {other, nas}} {
		given.Watch = slices.Clone(list)
		if err := d.Reload(given); err != nil {
			t.Fatal(err)
		}
		next(other)
	}
	close(back)
	next(nas)
}
