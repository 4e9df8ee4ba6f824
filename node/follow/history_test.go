package follow

import (
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// The item of the newest version names the earlier ones, for followers and for those who ask the DHT.
func TestTheHistoryOfAPublication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		dir := nodetest.Site(t, 5)
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		b := start(t, n, 2, nodetest.Boot(101))
		f := b.follow(testKey(0), t.TempDir())
		reaches(t, f, 1, 2*time.Minute)
		for seq, text := range []string{2: "second", 3: "third"} {
			if text != "" {
				time.Sleep(time.Hour)
				filetest.Write(t, filepath.Join(dir, "d1", "page 1"), []byte(text))
				a.update(p)
				reaches(t, f, int64(seq), 10*time.Minute)
			}
		}
		d := f.Describe()
		list, err := d.History()
		published := p.Versions()
		if err != nil || len(list) != 3 || len(published) != 3 {
			t.Fatalf("%+v, %v", list, err)
		}
		for i, v := range list {
			want := published[2-i]
			onDisk := ""
			if i < 2 { // the newest, and one earlier version
				onDisk = filepath.Join(f.cfg.Dir, filepath.FromSlash(versionName(want.Seq, want.InfoHash)))
			}
			if v.Seq != want.Seq || v.InfoHash.String() != want.InfoHash || !v.Time.Equal(want.Time) || v.Folder != onDisk {
				t.Errorf("%+v, want %+v in %q", v, want, onDisk)
			}
		}
		_, item, err := b.Resolve(t.Context(), f.cfg.Link)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range published {
			l, err := node.VersionAt(f.cfg.Link, &item, int64(i+1))
			if err != nil || l.InfoHash.String() != v.InfoHash || l.HasV2 != (i == 2) {
				t.Errorf("version %d: %v, %v", i+1, l, err)
			}
		}
		for _, seq := range []int64{4, 0, -1} {
			if l, err := node.VersionAt(f.cfg.Link, &item, seq); err == nil {
				t.Errorf("version %d is %v", seq, l)
			}
		}
	})
}
