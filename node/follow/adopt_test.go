package follow

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// A version that cannot become current for a local reason is adopted as soon as it can.
// Until then it does not count for --keep, and there is only one warning.
func TestAdoptionIsRetriedUntilNothingPreventsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir, to := nodetest.Site(t, 3), t.TempDir()
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		b := start(t, n, 2, nodetest.Boot(101))
		f := b.follow(testKey(0), to, func(c *Config) { c.Poll = 10 * time.Second })
		reaches(t, f, 1, time.Minute)

		current := filepath.Join(to, "current")
		if err := os.Remove(current); err != nil {
			t.Fatal(err)
		}
		filetest.Write(t, filepath.Join(current, "precious"), []byte("of somebody else"))
		for i := range 3 { // a newer version replaces the waiting one
			filetest.Write(t, filepath.Join(dir, "n"), fmt.Append(nil, i))
			a.update(p)
			time.Sleep(3 * time.Minute)
		}
		if f.Seq() != 1 {
			t.Fatalf("at version %d, which replaced somebody else's folder", f.Seq())
		}
		if b, err := os.ReadFile(filepath.Join(current, "precious")); err != nil || len(b) == 0 {
			t.Error(err)
		}
		if got := b.Events(node.Warning); len(got) != 3 {
			t.Errorf("%d warnings for 3 versions that wait: %s", len(got), b.Warnings())
		}
		if left := filetest.Entries(t, filepath.Join(to, "versions")); len(left) != 2 {
			t.Errorf("the current version and the one that waits: %v", left)
		}
		if left := filetest.Entries(t, filepath.Join(b.State, "torrents")); len(left) != 2 {
			t.Errorf("the current torrent and the one that waits: %v", left)
		}
		if err := os.RemoveAll(current); err != nil {
			t.Fatal(err)
		}
		reaches(t, f, 4, time.Minute)
		filetest.Same(t, dir, filepath.Join(to, "current", "site"))
		if len(b.Events(node.Recovered)) != 1 {
			t.Error("the recovery was not reported")
		}
		var kept []string
		for _, name := range filetest.Entries(t, filepath.Join(to, "versions")) {
			kept = append(kept, name[:2])
		}
		if got := strings.Join(kept, ""); got != "1-4-" {
			t.Errorf("kept %v, want the current version and the one before it", kept)
		}
	})
}

// A version whose download failed leaves nothing that counts as a version.
func TestOnlyVersionsThatWereCurrentAreKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(2, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir, to := nodetest.Site(t, 3), t.TempDir()
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		f := start(t, n, 2, nodetest.Boot(101)).follow(testKey(0), to)
		reaches(t, f, 1, time.Minute)
		half := filepath.Join(to, "versions", "2-01234567")
		filetest.Write(t, filepath.Join(half, "site", "part"), []byte("of a download that was killed"))
		for i := range 2 {
			filetest.Write(t, filepath.Join(dir, "n"), fmt.Append(nil, i))
			a.update(p)
			reaches(t, f, int64(2+i), 2*time.Minute)
			if left := filetest.Entries(t, filepath.Join(to, "versions")); len(left) != 2 || left[0] == filepath.Base(half) {
				t.Error(left)
			}
		}
	})
}

// The state directories and the open files do not grow with the number of versions published
// and followed.
func TestVersionsLeaveNothingBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(3, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir, to := nodetest.Site(t, 12), t.TempDir()
		a, b := start(t, n, 1, nodetest.Boot(100)), start(t, n, 2, nodetest.Boot(101))
		p := a.publish(testKey(0), dir)
		f := b.follow(testKey(0), to)
		reaches(t, f, 1, time.Minute)
		var early int
		for seq := int64(2); seq <= 30; seq++ {
			for i := range 4 {
				page := filepath.Join(dir, "d0", fmt.Sprint("page ", 3*i))
				filetest.Write(t, page, filetest.RandomBytes(fmt.Sprint(seq, i), 20_000+i))
			}
			a.update(p)
			reaches(t, f, seq, 10*time.Minute)
			time.Sleep(time.Minute)
			if seq == 4 {
				time.Sleep(5 * time.Minute) // what a peer has asked of an earlier version is closed again
				early = openFiles(t)
			}
		}
		for r, want := range map[*rig]int{a: 1 + 20, b: 1 + 1} { // with the earlier versions that are shared
			if left := filetest.Entries(t, filepath.Join(r.State, "torrents")); len(left) != want {
				t.Errorf("%d torrents are left in a state directory, want %d", len(left), want)
			}
		}
		if left := filetest.Entries(t, filepath.Join(to, "versions")); len(left) != 2 {
			t.Error(left)
		}
		time.Sleep(5 * time.Minute)
		late := openFiles(t)
		t.Logf("open files after 4 versions: %d, after 30: %d", early, late)
		if late > early+8 {
			t.Errorf("%d files are open after 4 versions and %d after 30", early, late)
		}
		if err := f.Remove(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{"torrents", "follows"} {
			if left := filetest.Entries(t, filepath.Join(b.State, dir)); len(left) != 0 {
				t.Errorf("left in %s: %v", dir, left)
			}
		}
		filetest.Same(t, dir, filepath.Join(to, "current", "site"))
	})
}

// openFiles returns the number of open descriptors of the process, or 0 if it is unknown.
func openFiles(t *testing.T) int {
	if runtime.GOOS != "linux" {
		return 0
	}
	return len(filetest.Entries(t, "/proc/self/fd"))
}
