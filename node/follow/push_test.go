package follow

import (
	"fmt"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// A connected follower has a new version long before it would ask the DHT for it, and says that it was pushed.
func TestVersionsArePushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 25 * ms})
		nodetest.Ring(t, n, 8)
		dir := nodetest.Site(t, 5)
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		var fs []*Follower
		var rigs []*rig
		for i := range 3 {
			rigs = append(rigs, start(t, n, 2+i, nodetest.Boot(101)))
			fs = append(fs, rigs[i].follow(testKey(0), t.TempDir(), func(c *Config) { c.Poll = time.Hour }))
		}
		for _, f := range fs {
			reaches(t, f, 1, 2*time.Minute)
		}
		time.Sleep(30 * time.Minute) // the quick polls are over
		for seq := int64(2); seq < 5; seq++ {
			if k := p.Connected(); k != len(fs) {
				t.Errorf("%d followers are connected to the publisher", k)
			}
			filetest.Write(t, filepath.Join(dir, "new"), filetest.RandomBytes(fmt.Sprint(seq), 5_000))
			a.update(p)
			for _, f := range fs {
				reaches(t, f, seq, 2*time.Second)
				filetest.Same(t, dir, filepath.Join(f.cfg.Dir, "current", "site"))
			}
			time.Sleep(10 * time.Minute)
		}
		for i, f := range fs {
			if k := f.Connected(); k != len(fs) {
				t.Errorf("follower %d is connected to %d peers, not to all", i, k)
			}
			found := rigs[i].Events(node.FoundVersion)
			for k, e := range found {
				if e.Publication.Pushed != (k > 0) {
					t.Errorf("follower %d, version %d: pushed %v", i, e.Publication.Seq, e.Publication.Pushed)
				}
			}
		}
	})
}
