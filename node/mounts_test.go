package node

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
)

// Adding a torrent does not wait for a download folder whose disk hangs: at most the first one does,
// for a moment.
func TestAddDoesNotWaitForTheDiskOfTheData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var hangs atomic.Bool
		a := start(t, simnet.New(65, simnet.Link{}), 1, noDHT, func(c *Config) {
			c.mountOf = func(dir string) string {
				if hangs.Load() {
					<-release
				}
				return filepath.Dir(dir)
			}
		})
		dir := t.TempDir()
		for i, spec := range many(t, 5) {
			time.Sleep(2 * mountFresh)
			hangs.Store(i > 0)
			spec = inSession(spec)
			spec.Dir, spec.Paused = dir, true
			began := time.Now()
			x := a.add(spec)
			limit := time.Duration(0)
			if i == 1 {
				limit = mountPatience
			}
			if took := time.Since(began); took > limit {
				t.Errorf("torrent %d took %v", i, took)
			}
			x.control.mu.Lock()
			if mount := x.control.entry.mount.Value(); mount != filepath.Dir(dir) {
				t.Errorf("torrent %d is on %q", i, mount)
			}
			x.control.mu.Unlock()
		}
		close(release)
	})
}

// Torrents that are added to one folder at once share a lookup. A later one sees a disk that was
// mounted meanwhile.
func TestMountsAreLookedUpOnceInASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lookups, mount := 0, "/"
		m := &mounts{find: func(string) string { lookups++; return mount }}
		for range 1000 {
			if got := m.of("/data/new"); got != "/" {
				t.Fatalf("mounted at %q", got)
			}
		}
		if lookups != 1 {
			t.Errorf("%d lookups", lookups)
		}
		mount = "/data"
		time.Sleep(mountFresh)
		if got := m.of("/data/new"); got != "/data" {
			t.Errorf("mounted at %q after the change", got)
		}
	})
}

// The folders that are remembered are bounded.
func TestMountsForgetsFolders(t *testing.T) {
	m := &mounts{find: func(dir string) string { return dir }}
	for i := range 3 * maxMounts {
		dir := filepath.Join("/", string(rune('a'+i)))
		if got := m.of(dir); got != "" && got != dir {
			t.Fatalf("%s is on %s", dir, got)
		}
	}
	if len(m.byDir) > 2*maxMounts {
		t.Errorf("%d folders are remembered", len(m.byDir))
	}
}
