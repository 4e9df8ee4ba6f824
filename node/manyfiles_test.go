package node

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
)

// A folder of many small files is seeded, downloaded and checked. The amount saved
// at the end is proportional to what is new: a second run saves nothing,
// and a run in which one file was lost saves that file.
func TestBatteryManyFiles(t *testing.T) {
	files := 2000 / scale
	if os.Getenv("SEEDBED_SOAK") != "" {
		files = 100_000
	}
	dir := filepath.Join(t.TempDir(), "site")
	name := func(i int) string { return filepath.Join(dir, fmt.Sprint("d", i/1000), fmt.Sprint("page ", i)) }
	for i := range files {
		filetest.Write(t, name(i), fmt.Appendf(nil, "%d of %d\n", i, files))
	}
	spec, err := Share(t.Context(), dir, ShareOptions{Format: metainfo.Hybrid, PieceLength: 16 << 10})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: ms})
		seed := seedOf(t, n, 1, spec)
		to, st := t.TempDir(), t.TempDir()
		var saved []int64
		run := func() {
			t.Helper()
			r := start(t, n, 2, noDHT, state(st))
			tt := r.add(Spec{Link: withPeers(spec, at(1).String()), Dir: to})
			wait(t, tt.Done(), time.Hour, "all files are there")
			r.close()
			saved = append(saved, r.Saved())
		}
		run()
		filetest.Same(t, dir, filepath.Join(to, "site"))
		run()
		if err := os.Remove(filepath.Join(to, "site", "d0", "page 7")); err != nil {
			t.Fatal(err)
		}
		run()
		filetest.Same(t, dir, filepath.Join(to, "site"))
		if saved[0] < int64(files) || saved[1] > 2 || saved[2] > 20 {
			t.Errorf("steps of saving for %d files, none and one: %v", files, saved)
		}
		seed.close()
		result, err := Check(t.Context(), st, Spec{Link: bare(spec), Dir: to}, nil)
		if err != nil || result.Have.Count() != files {
			t.Errorf("%d pieces of %d files are right: %v", result.Have.Count(), files, err)
		}
		t.Logf("battery: %d files downloaded and checked; steps of saving for all, none and one of them: %v", files, saved)
	})
}
