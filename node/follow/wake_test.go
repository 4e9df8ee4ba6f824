package follow

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/netx"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// A follower whose machine was suspended for a day is up to date within five seconds after it wakes up. Nothing leaves or
// reaches it in that day. Then it has another address, and its node learns of the suspension, as from the watcher of a real
// machine.
func TestAFollowerIsUpToDateSoonAfterItWakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 25 * ms})
		nodetest.Ring(t, n, 8)
		dir := nodetest.Site(t, 5)
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(testKey(0), dir)
		const sleeper = 2
		woke := make(chan netx.Change)
		b := start(t, n, sleeper, nodetest.Boot(101), func(c *node.Config) {
			c.WatchNetwork = func(ctx context.Context, changed func(netx.Change)) {
				for {
					select {
					case ch := <-woke:
						changed(ch)
					case <-ctx.Done():
						return
					}
				}
			}
		})
		// No poll becomes due, as on a machine whose clock has stood still.
		f := b.follow(testKey(0), t.TempDir(), func(c *Config) { c.Poll = 1000 * time.Hour })
		awake := start(t, n, 3, nodetest.Boot(102)).follow(testKey(0), t.TempDir(), func(c *Config) { c.Poll = 10 * time.Minute })
		for _, f := range []*Follower{f, awake} {
			reaches(t, f, 1, 2*time.Minute)
		}
		time.Sleep(10 * time.Minute)

		b.Host.Unplug()
		seq := int64(1)
		for range 3 {
			time.Sleep(8 * time.Hour)
			filetest.Write(t, filepath.Join(dir, "new"), fmt.Append(nil, "version ", seq))
			a.update(p)
			seq++
		}
		reaches(t, awake, seq, time.Minute)
		if f.Seq() != 1 {
			t.Fatalf("the follower that is asleep is at version %d", f.Seq())
		}

		before, after := nodetest.Addr(sleeper), nodetest.Addr(200)
		b.Host.Readdress(before, after)
		b.Host.Plug()
		began := time.Now()
		woke <- netx.Change{Before: pathsFrom(before), After: pathsFrom(after), Slept: 24 * time.Hour}
		reaches(t, f, seq, 5*time.Second)
		t.Logf("up to date after %v", time.Since(began))
		filetest.Same(t, dir, filepath.Join(f.cfg.Dir, "current", "site"))
	})
}

// pathsFrom returns the paths of a machine with one address.
func pathsFrom(ip netip.Addr) netx.Paths {
	l := netx.Local{Prefix: netip.PrefixFrom(ip, 24), Interface: "eth0"}
	return netx.Paths{Internet: [2]netx.Local{l}, Locals: []netx.Local{l}}
}
